//! Signature algorithms that a peer says it takes.

use crate::alg::Algorithm;
use crate::crypto::KeyKind;

/// A signature algorithm that a peer takes of keys within bounds (SAML metadata profile for algorithm support §2.4).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SigningMethod {
    /// Its URI.
    pub algorithm: String,
    /// The size in bits that a key has at least.
    pub min_bits: Option<usize>,
    /// The size in bits that a key has at most.
    pub max_bits: Option<usize>,
}

impl SigningMethod {
    /// Of keys of any size.
    #[must_use]
    pub fn new(algorithm: impl Into<String>) -> Self {
        Self { algorithm: algorithm.into(), min_bits: None, max_bits: None }
    }

    /// Of keys of these sizes alone.
    #[must_use]
    pub fn within(mut self, min_bits: Option<usize>, max_bits: Option<usize>) -> Self {
        (self.min_bits, self.max_bits) = (min_bits, max_bits);
        self
    }

    /// Whether a signature of this algorithm by such a key is taken.
    #[must_use]
    pub fn takes(&self, algorithm: &Algorithm, key: KeyKind) -> bool {
        let bits = key.bits();
        Algorithm::by_xml_uri(&self.algorithm) == Some(algorithm)
            && self.min_bits.is_none_or(|least| bits >= least)
            && self.max_bits.is_none_or(|most| bits <= most)
    }

    /// Whether `methods` name algorithms and sizes, and not this.
    pub(crate) fn leave_out(methods: &[Self], algorithm: &Algorithm, key: KeyKind) -> bool {
        !methods.is_empty() && !methods.iter().any(|one| one.takes(algorithm, key))
    }
}
