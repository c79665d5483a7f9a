//! `at_hash`, `c_hash` and `s_hash`: the left half of a digest (OpenID Connect Core §3.1.3.6, §3.3.2.11).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::alg::{Algorithm, Family, Hash};
use crate::crypto::Digest;

/// The left half of the digest of `value`, by the hash of the algorithm that signs the ID token; `None` for
/// algorithms that sign nothing.
#[must_use]
pub fn half_hash(algorithm: &Algorithm, value: &str) -> Option<String> {
    HalfHash::of(algorithm, value).map(|hash| hash.as_str().to_owned())
}

/// The same without memory of its own.
pub(super) struct HalfHash {
    characters: [u8; MOST_CHARACTERS],
    len: usize,
}

/// Half of SHA-512, 32 bytes, in base64url.
const MOST_CHARACTERS: usize = 43;

impl HalfHash {
    pub(super) fn of(algorithm: &Algorithm, value: &str) -> Option<Self> {
        let hash = match algorithm.family {
            Family::Hmac(hash)
            | Family::RsaPkcs1(hash)
            | Family::RsaPss(hash)
            | Family::Ecdsa(_, hash) => hash,
            // Ed25519 hashes with SHA-512 (RFC 8032 §5.1).
            Family::EdDsa => Hash::Sha512,
            _ => return None,
        };
        let whole = Digest::of(hash, value.as_bytes());
        let half = whole.as_ref().get(..whole.as_ref().len() / 2)?;
        let mut characters = [0; MOST_CHARACTERS];
        let len = URL_SAFE_NO_PAD.encode_slice(half, &mut characters).ok()?;
        Some(Self { characters, len })
    }

    /// In base64url.
    pub(super) fn as_str(&self) -> &str {
        // base64url is ASCII: nothing can fail.
        self.characters
            .get(..self.len)
            .and_then(|text| std::str::from_utf8(text).ok())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        let rs256 = Algorithm::named("RS256").unwrap();
        // OpenID Connect Core appendix A.3 and A.4.
        let access_token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(half_hash(rs256, access_token).unwrap(), "77QmUPtjPfzWtF2AnpK9RQ");
        let code = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk";
        assert_eq!(half_hash(rs256, code).unwrap(), "LDktKdoQak3Pk0cnXxCltA");
        assert_eq!(half_hash(Algorithm::named("dir").unwrap(), code), None);
    }

    #[test]
    fn half_of_each_digest() {
        for (name, characters) in [("HS256", 22), ("ES384", 32), ("PS512", 43), ("EdDSA", 43)] {
            let hash = half_hash(Algorithm::named(name).unwrap(), "x").unwrap();
            assert_eq!(hash.len(), characters, "{name}");
        }
    }
}
