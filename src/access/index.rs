//! What a request asks for, found without walking the configuration.

use std::collections::HashMap;

use crate::access::{Caller, CertificateName, Credential, Grant};
use crate::crypto::sha256;
use crate::label::CallerName;
use crate::secret::SecretBytes;

/// Positions of callers and grants.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    anonymous: Option<usize>,
    /// By the first bytes of the hash: a search that takes longer for some tells nothing of 256 random bits.
    api_keys: HashMap<[u8; 8], Vec<(usize, [u8; 32])>>,
    certificates: HashMap<CertificateName, usize>,
    /// By issuer, then subject.
    tokens: HashMap<String, HashMap<String, Vec<usize>>>,
    grants: HashMap<CallerName, Vec<usize>>,
}

impl Index {
    pub(super) fn new(callers: &[Caller], grants: &[Grant]) -> Self {
        let mut index = Self::default();
        for (at, caller) in callers.iter().enumerate() {
            match &caller.credential {
                Credential::Anonymous => index.anonymous = index.anonymous.or(Some(at)),
                Credential::ApiKey(hash) => {
                    index.api_keys.entry(start(hash)).or_default().push((at, *hash));
                }
                Credential::Certificate(name) => {
                    index.certificates.entry(name.clone()).or_insert(at);
                }
                Credential::Token(rule) => {
                    let subjects = index.tokens.entry(rule.issuer.clone()).or_default();
                    subjects.entry(rule.subject.clone()).or_default().push(at);
                }
            }
        }
        for (at, grant) in grants.iter().enumerate() {
            for caller in &grant.callers {
                index.grants.entry(caller.clone()).or_default().push(at);
            }
        }
        index
    }

    pub(super) const fn anonymous(&self) -> Option<usize> {
        self.anonymous
    }

    pub(super) fn by_api_key(&self, key: &str) -> Option<usize> {
        let hash = sha256(key.as_bytes());
        let shown = SecretBytes::from_slice(&hash);
        let near = self.api_keys.get(&start(&hash))?;
        near.iter().find(|(_, hash)| shown.ct_eq(hash)).map(|(at, _)| *at)
    }

    pub(super) fn by_certificate(&self, name: &CertificateName) -> Option<usize> {
        self.certificates.get(name).copied()
    }

    pub(super) fn by_token(&self, issuer: &str, subject: &str) -> &[usize] {
        let found = self.tokens.get(issuer).and_then(|subjects| subjects.get(subject));
        found.map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn grants_of(&self, caller: &CallerName) -> &[usize] {
        self.grants.get(caller).map(Vec::as_slice).unwrap_or_default()
    }
}

fn start(hash: &[u8; 32]) -> [u8; 8] {
    std::array::from_fn(|at| hash.get(at).copied().unwrap_or_default())
}
