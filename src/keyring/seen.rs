//! What a set tells its witness of a token that held.

use crate::alg::Algorithm;
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::trace::{Held, Outcome};
use crate::usage::Life;

impl KeySet {
    /// A signature held.
    pub(crate) fn witness_verified(
        &self,
        kid: Option<&str>,
        key: &LabelKey,
        algorithm: &'static Algorithm,
        life: Life,
    ) {
        self.held(Outcome::Verified, kid, key, (algorithm.name, None), life);
    }

    /// As [`KeySet::witness_verified`], of a payload whose `exp` says when it ends; it is looked for only if
    /// somebody wants to know.
    pub(crate) fn witness_payload(
        &self,
        kid: Option<&str>,
        key: &LabelKey,
        algorithm: &'static Algorithm,
        payload: &[u8],
    ) {
        if self.witness().is_on() {
            self.witness_verified(kid, key, algorithm, Life::of_payload(payload));
        }
    }

    /// A signature held over something that says nowhere how long it lives.
    #[cfg(feature = "saml")]
    pub(crate) fn witness_held(&self, key: &LabelKey, algorithm: &'static Algorithm) {
        self.witness_verified(None, key, algorithm, Life::Open);
    }

    /// A JWE was decrypted.
    pub(crate) fn witness_decrypted(
        &self,
        kid: Option<&str>,
        key: &LabelKey,
        (algorithm, content): (&'static Algorithm, &'static Algorithm),
        plaintext: &[u8],
    ) {
        if self.witness().is_on() {
            let rows = (algorithm.name, Some(content.name));
            self.held(Outcome::Decrypted, kid, key, rows, Life::of_payload(plaintext));
        }
    }

    fn held(
        &self,
        outcome: Outcome,
        kid: Option<&str>,
        key: &LabelKey,
        (algorithm, content): (&'static str, Option<&'static str>),
        life: Life,
    ) {
        let end = match life {
            Life::Open => 0,
            Life::Until(end) => end.max(1),
        };
        let key = key.key.thumbprint();
        self.witness().held(&Held { outcome, kid, algorithm, content, key, end });
    }
}
