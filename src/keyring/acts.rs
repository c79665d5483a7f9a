//! What the tokens of an active key have in common, worked out at load: its algorithms and the parts of
//! its headers that never change.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::alg::{Algorithm, Family, Operation};
use crate::crypto::Role;

/// How the active key acts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acts {
    /// The kid as a JSON string, with its quotation marks; `None`: tokens name no key.
    pub(crate) kid: Option<String>,
    /// The protected header of a default signature, base64url, for each row that the key signs with; the
    /// preferred row first.
    signing: Vec<(&'static Algorithm, String)>,
    /// `alg`, `enc` and the protected header of a default encryption; absent for rows whose header is
    /// another for each token.
    encryption: Option<(&'static Algorithm, &'static Algorithm, String)>,
}

impl Acts {
    pub(crate) fn of(
        kid: Option<&str>,
        algorithms: &[&'static Algorithm],
        fits: impl Fn(&Algorithm, Role) -> bool,
    ) -> Self {
        let kid = kid.map(|kid| serde_json::Value::from(kid).to_string());
        let member = kid.as_ref().map(|kid| format!(",\"kid\":{kid}")).unwrap_or_default();
        let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
        let rows = |operation| {
            algorithms.iter().copied().filter(move |row: &&Algorithm| row.operation == operation)
        };
        let signing = rows(Operation::Sign)
            .filter(|row| fits(row, Role::Sign))
            .map(|row| (row, encode(format!(r#"{{"alg":"{row}"{member}}}"#))))
            .collect();
        let wraps = rows(Operation::KeyManagement).find(|row| fits(row, Role::Encrypt));
        let direct = wraps.is_some_and(|row| row.family == Family::Direct);
        let enc = rows(Operation::Content).find(|row| !direct || fits(row, Role::Encrypt));
        let encryption =
            wraps.zip(enc).filter(|(alg, _)| has_constant_header(alg)).map(|(alg, enc)| {
                let header = format!(r#"{{"alg":"{alg}","enc":"{enc}"{member}}}"#);
                (alg, enc, encode(header))
            });
        Self { kid, signing, encryption }
    }

    /// The row that signs unless the caller names one, and its header.
    pub(crate) fn default_signing(&self) -> Option<(&'static Algorithm, &str)> {
        self.signing.first().map(|(row, header)| (*row, header.as_str()))
    }

    /// The header of a default signature with this row.
    pub(crate) fn signing_header(&self, algorithm: &Algorithm) -> Option<&str> {
        self.signing.iter().find(|(row, _)| *row == algorithm).map(|(_, header)| header.as_str())
    }

    /// The header of a default encryption with these rows, if it is made in advance.
    pub(crate) fn encryption_header(&self, alg: &Algorithm, enc: &Algorithm) -> Option<&str> {
        self.encryption
            .as_ref()
            .filter(|(own_alg, own_enc, _)| *own_alg == alg && *own_enc == enc)
            .map(|(_, _, header)| header.as_str())
    }
}

/// Whether key management adds nothing to the header (RFC 7518 §4.1).
const fn has_constant_header(algorithm: &Algorithm) -> bool {
    matches!(
        algorithm.family,
        Family::AesKw(_) | Family::Direct | Family::Rsa15 | Family::RsaOaep(_)
    )
}
