//! Digests of public data: fingerprints and thumbprints, and those of XML signatures.

use ring::digest;

use crate::alg::Hash;

/// The digest of `data`.
#[must_use]
pub fn digest(hash: Hash, data: &[u8]) -> Vec<u8> {
    Digest::of(hash, data).as_ref().to_vec()
}

/// A digest where it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest(digest::Digest);

impl Digest {
    pub(crate) fn of(hash: Hash, data: &[u8]) -> Self {
        let algorithm = match hash {
            Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha384 => &digest::SHA384,
            Hash::Sha512 => &digest::SHA512,
        };
        Self(digest::digest(algorithm, data))
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

/// SHA-1, for `x5t` and Ping AM's kid formula only.
#[must_use]
pub fn sha1(data: &[u8]) -> [u8; 20] {
    fixed(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, data).as_ref())
}

/// SHA-256.
#[must_use]
pub fn sha256(data: &[u8]) -> [u8; 32] {
    fixed(digest::digest(&digest::SHA256, data).as_ref())
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}
