//! Signs and verifies bytes with one key and one algorithm row.

use aws_lc_rs::signature as aws;
use ring::hmac;
use ring::rand::SystemRandom;

use crate::alg::{ALGORITHMS, Algorithm, Family, Hash, Operation};
use crate::crypto::key::{EcSigner, EcVerifier, Oct, Prepared, RSA_ROWS, Rsa};
use crate::crypto::{Key, Role};
use crate::error::{Error, ErrorKind, Result};

/// Appends the signature of `message` to `out` (JOSE form: ECDSA as `r‖s`).
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] if the key does not fit the row.
pub fn sign(key: &Key, algorithm: &Algorithm, message: &[u8], out: &mut Vec<u8>) -> Result<()> {
    key.fits(algorithm, Role::Sign)?;
    let failed = || Error::new(ErrorKind::Bug, format!("signing with {algorithm} failed"));
    match key.prepared() {
        Prepared::Oct(oct) => {
            let key = mac_key(oct, algorithm.family).ok_or_else(failed)?;
            out.extend_from_slice(hmac::sign(key, message).as_ref());
        }
        Prepared::Rsa(rsa) => sign_rsa(rsa, algorithm.family, message, out).ok_or_else(failed)?,
        Prepared::Elliptic(elliptic) => match elliptic.signer.as_ref().ok_or_else(failed)? {
            EcSigner::Ring(pair) => {
                let made = pair.sign(&SystemRandom::new(), message).map_err(|_| failed())?;
                out.extend_from_slice(made.as_ref());
            }
            EcSigner::AwsLc(pair) => {
                let rng = aws_lc_rs::rand::SystemRandom::new();
                let made = pair.sign(&rng, message).map_err(|_| failed())?;
                out.extend_from_slice(made.as_ref());
            }
        },
        Prepared::Edwards { private, .. } => {
            let pair = private.as_ref().ok_or_else(failed)?;
            out.extend_from_slice(pair.sign(message).as_ref());
        }
        Prepared::Foreign(foreign) => {
            out.extend_from_slice(&foreign.sign(message).ok_or_else(failed)?);
        }
        Prepared::X25519 { .. } => return Err(failed()),
    }
    Ok(())
}

/// Checks `signature` over `message`.
///
/// # Errors
/// [`ErrorKind::NotVerified`], whatever the reason.
pub fn verify(key: &Key, algorithm: &Algorithm, message: &[u8], signature: &[u8]) -> Result<()> {
    if key.fits(algorithm, Role::Verify).is_ok() && holds(key, algorithm, message, signature) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotVerified, "the signature does not verify"))
}

/// Proves a pair once: what the private half signs, the public half verifies. A wrong CRT value or a
/// public key of another pair shows here and not in a token (attacks.md J30).
pub(in crate::crypto) fn prove(key: &Key) -> Result<()> {
    let mut rows = ALGORITHMS.iter().filter(|row| row.operation == Operation::Sign);
    let Some(row) = rows.find(|row| key.fits(row, Role::Sign).is_ok()) else { return Ok(()) };
    let message = b"claviger key proof";
    let mut signature = Vec::new();
    sign(key, row, message, &mut signature)
        .and_then(|()| verify(key, row, message, &signature))
        .map_err(|_| {
            Error::new(ErrorKind::KeyUnfit, "the private and the public half do not match")
        })
}

fn holds(key: &Key, algorithm: &Algorithm, message: &[u8], signature: &[u8]) -> bool {
    match key.prepared() {
        // Constant time, and of the full length only (RFC 7518 §3.2).
        Prepared::Oct(oct) => mac_key(oct, algorithm.family)
            .is_some_and(|key| hmac::verify(key, message, signature).is_ok()),
        Prepared::Rsa(rsa) => RSA_ROWS
            .iter()
            .position(|(family, _)| *family == algorithm.family)
            .and_then(|index| rsa.verifiers.get(index))
            .is_some_and(|verifier| verifier.verify_sig(message, signature).is_ok()),
        Prepared::Elliptic(elliptic) => match &elliptic.verifier {
            EcVerifier::Ring(verifier) => verifier.verify(message, signature).is_ok(),
            EcVerifier::AwsLc(verifier) => verifier.verify_sig(message, signature).is_ok(),
        },
        Prepared::Edwards { public, .. } => public.verify_sig(message, signature).is_ok(),
        Prepared::Foreign(foreign) => foreign.verify(message, signature),
        Prepared::X25519 { .. } => false,
    }
}

const fn mac_key(oct: &Oct, family: Family) -> Option<&hmac::Key> {
    match family {
        Family::Hmac(Hash::Sha256) => Some(&oct.hs256),
        Family::Hmac(Hash::Sha384) => Some(&oct.hs384),
        Family::Hmac(Hash::Sha512) => Some(&oct.hs512),
        _ => None,
    }
}

fn sign_rsa(rsa: &Rsa, family: Family, message: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let encoding: &'static aws::RsaSignatureEncoding = match family {
        Family::RsaPkcs1(Hash::Sha256) => &aws::RSA_PKCS1_SHA256,
        Family::RsaPkcs1(Hash::Sha384) => &aws::RSA_PKCS1_SHA384,
        Family::RsaPkcs1(Hash::Sha512) => &aws::RSA_PKCS1_SHA512,
        Family::RsaPss(Hash::Sha256) => &aws::RSA_PSS_SHA256,
        Family::RsaPss(Hash::Sha384) => &aws::RSA_PSS_SHA384,
        Family::RsaPss(Hash::Sha512) => &aws::RSA_PSS_SHA512,
        _ => return None,
    };
    let pair = rsa.signer.as_ref()?;
    let start = out.len();
    out.resize(start + pair.public_modulus_len(), 0);
    let rng = aws_lc_rs::rand::SystemRandom::new();
    pair.sign(encoding, &rng, message, out.get_mut(start..)?).ok()
}
