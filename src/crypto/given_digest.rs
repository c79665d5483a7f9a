//! Signs and verifies digests that were made elsewhere, of messages that are not here.

use aws_lc_rs::digest as aws_digest;

use crate::alg::{Algorithm, Family, Hash};
use crate::crypto::prepared::{Prepared, RSA_ROWS};
use crate::crypto::sign::{MAX_SIGNATURE_BYTES, put, rsa_encoding};
use crate::crypto::{Key, Role};
use crate::error::{Error, ErrorKind, Result};

/// A digest that somebody else made. That it is one of a message that may be signed is for its maker to know.
#[derive(Clone, Debug)]
pub struct GivenDigest {
    hash: Hash,
    digest: aws_digest::Digest,
}

impl GivenDigest {
    /// The names of the hashes whose digests are signed.
    pub const HASHES: [Hash; 3] = [Hash::Sha256, Hash::Sha384, Hash::Sha512];

    /// A digest of this hash.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if it is not as long as digests of the hash are; [`ErrorKind::Usage`] for SHA-1, with
    /// which nothing is signed.
    pub fn new(hash: Hash, bytes: &[u8]) -> Result<Self> {
        let algorithm = match hash {
            Hash::Sha1 => {
                return Err(Error::new(ErrorKind::Usage, "no digest of SHA-1 is signed")
                    .with_help("use one of SHA-256, SHA-384, SHA-512"));
            }
            Hash::Sha256 => &aws_digest::SHA256,
            Hash::Sha384 => &aws_digest::SHA384,
            Hash::Sha512 => &aws_digest::SHA512,
        };
        let wrong_length = |_| {
            let text = format!(
                "a digest of {} has {} bytes, this one has {}",
                hash.name(),
                algorithm.output_len,
                bytes.len()
            );
            Error::new(ErrorKind::Malformed, text)
                .with_help("send the bytes of the digest, not its text in hexadecimal digits")
        };
        let digest = aws_digest::Digest::import_less_safe(bytes, algorithm);
        Ok(Self { hash, digest: digest.map_err(wrong_length)? })
    }

    /// Of which hash it is.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// Whether an algorithm signs it: RSA and ECDSA sign digests of their own hash. EdDSA and HMAC need the message.
    #[must_use]
    pub fn fits(&self, algorithm: &Algorithm) -> bool {
        match algorithm.family {
            Family::Ecdsa(_, hash) | Family::RsaPkcs1(hash) | Family::RsaPss(hash) => {
                hash == self.hash
            }
            _ => false,
        }
    }
}

/// As [`super::sign::sign_into`], of a digest.
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] if the key does not fit the row; [`ErrorKind::Bug`] if the digest does not.
pub fn sign_digest_into<'b>(
    key: &Key,
    algorithm: &Algorithm,
    given: &GivenDigest,
    buffer: &'b mut [u8; MAX_SIGNATURE_BYTES],
) -> Result<&'b [u8]> {
    key.fits(algorithm, Role::Sign)?;
    let made = match key.prepared() {
        _ if !given.fits(algorithm) => None,
        Prepared::Elliptic(elliptic) => elliptic
            .signer
            .as_ref()
            .and_then(|pair| put(pair.sign_digest(&given.digest).ok()?.as_ref(), buffer)),
        Prepared::Rsa(rsa) => rsa.signer.as_ref().and_then(|pair| {
            let encoding = rsa_encoding(algorithm.family)?;
            let out = buffer.get_mut(..pair.public_modulus_len())?;
            pair.sign_digest(encoding, &given.digest, out).ok()?;
            Some(pair.public_modulus_len())
        }),
        _ => None,
    };
    let failed = || Error::new(ErrorKind::Bug, format!("signing a digest with {algorithm} failed"));
    Ok(buffer.get(..made.ok_or_else(failed)?).unwrap_or_default())
}

/// Checks `signature` over a digest.
///
/// # Errors
/// [`ErrorKind::NotVerified`], whatever the reason.
pub fn verify_digest(
    key: &Key,
    algorithm: &Algorithm,
    given: &GivenDigest,
    signature: &[u8],
) -> Result<()> {
    let verifier = match key.prepared() {
        Prepared::Elliptic(elliptic) => Some(&elliptic.verifier),
        Prepared::Rsa(rsa) => RSA_ROWS
            .iter()
            .position(|(family, _)| *family == algorithm.family)
            .and_then(|index| rsa.verifiers.get(index)),
        _ => None,
    };
    let fits = given.fits(algorithm) && key.fits(algorithm, Role::Verify).is_ok();
    match verifier.filter(|_| fits) {
        Some(verifier) if verifier.verify_digest_sig(&given.digest, signature).is_ok() => Ok(()),
        _ => Err(Error::new(ErrorKind::NotVerified, "the signature does not verify")),
    }
}
