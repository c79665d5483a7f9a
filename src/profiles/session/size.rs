//! How large a session's cookie is, and what would make it smaller.

use std::fmt;

use crate::crypto::KeyKind;
use crate::ops::KeySet;
use crate::profiles::Parts;

/// The size of a cookie. Browsers keep at least 4,096 bytes of name and value together (RFC 6265 §6.1), and
/// mostly not one more.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CookieSize {
    /// Name, `=` and value, in bytes.
    pub bytes: usize,
    /// The claims in it, in bytes.
    pub claims_bytes: usize,
    /// What would make it smaller, where it is larger than [`CookieSize::LIMIT`].
    pub advice: Vec<String>,
}

impl CookieSize {
    /// What every browser keeps.
    pub const LIMIT: usize = 4_096;

    pub(super) fn of(
        cookie: &str,
        token: &str,
        claims_bytes: usize,
        keys: &Parts<&KeySet>,
        zip: bool,
    ) -> Self {
        let bytes = cookie.len() + 1 + token.len();
        let advice = if bytes > Self::LIMIT { advice(claims_bytes, keys, zip) } else { Vec::new() };
        Self { bytes, claims_bytes, advice }
    }

    /// Whether browsers may drop it.
    #[must_use]
    pub const fn is_too_large(&self) -> bool {
        self.bytes > Self::LIMIT
    }
}

impl fmt::Display for CookieSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, claims_bytes, .. } = self;
        write!(f, "{bytes} bytes of cookie for {claims_bytes} bytes of claims")
    }
}

fn advice(claims_bytes: usize, keys: &Parts<&KeySet>, zip: bool) -> Vec<String> {
    let mut advice = vec![format!("put fewer claims into it: they are {claims_bytes} bytes")];
    if keys.encryption().is_some() && !zip {
        advice.push(
            "compress it: zip = true in [sessions] and on the label; not where somebody else chooses \
             claims next to secret ones"
                .into(),
        );
    }
    if let Some(bytes) = keys.signing().and_then(|set| rsa_bytes(set)) {
        let saved = encoded(bytes).saturating_sub(encoded(ES256_BYTES));
        let nested = matches!(keys, Parts::SignedThenEncrypted { .. });
        let saved = if nested { encoded(saved) } else { saved };
        advice.push(format!("sign with HMAC or ES256 rather than RSA: {saved} bytes less"));
    }
    if let Some(bytes) = keys.encryption().and_then(|set| rsa_bytes(set)) {
        let saved = encoded(bytes).saturating_sub(encoded(AES_KW_BYTES));
        let nested = matches!(keys, Parts::EncryptedThenSigned { .. });
        let saved = if nested { encoded(saved) } else { saved };
        advice.push(format!("encrypt with AES rather than RSA: {saved} bytes less"));
    }
    advice
}

/// The size of what the active key makes, if it is an RSA key.
fn rsa_bytes(set: &KeySet) -> Option<usize> {
    match set.active().key.kind() {
        KeyKind::Rsa { bits } => Some(bits.div_ceil(8)),
        _ => None,
    }
}

/// In base64url.
const fn encoded(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

const ES256_BYTES: usize = 64;
/// A wrapped content key of 256 bits.
const AES_KW_BYTES: usize = 40;
