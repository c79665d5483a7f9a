//! Signs and verifies bytes with one key and one algorithm row.

use aws_lc_rs::signature as aws;
use ring::hmac;

use crate::alg::{ALGORITHMS, Algorithm, Curve, Family, Hash, Operation};
use crate::crypto::prepared::{Oct, Prepared, RSA_ROWS, Rsa};
use crate::crypto::{Key, KeyKind, Role};
use crate::error::{Error, ErrorKind, Result};

/// The longest signature there is: RSA of 8192 bits.
pub const MAX_SIGNATURE_BYTES: usize = 1024;

/// Appends the signature of `message` to `out` (JOSE form: ECDSA as `r‖s`).
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] if the key does not fit the row.
pub fn sign(key: &Key, algorithm: &Algorithm, message: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut buffer = [0; MAX_SIGNATURE_BYTES];
    out.extend_from_slice(sign_into(key, algorithm, message, &mut buffer)?);
    Ok(())
}

/// As [`sign`], into a buffer of the caller's; the signature is its beginning.
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] if the key does not fit the row.
pub fn sign_into<'b>(
    key: &Key,
    algorithm: &Algorithm,
    message: &[u8],
    buffer: &'b mut [u8; MAX_SIGNATURE_BYTES],
) -> Result<&'b [u8]> {
    key.fits(algorithm, Role::Sign)?;
    let made = match key.prepared() {
        Prepared::Oct(oct) => mac_key(oct, algorithm.family)
            .and_then(|key| put(hmac::sign(key, message).as_ref(), buffer)),
        Prepared::Rsa(rsa) => sign_rsa(rsa, algorithm.family, message, buffer),
        Prepared::Elliptic(elliptic) => elliptic.signer.as_ref().and_then(|pair| {
            let rng = aws_lc_rs::rand::SystemRandom::new();
            put(pair.sign(&rng, message).ok()?.as_ref(), buffer)
        }),
        Prepared::Edwards { private, .. } => {
            private.as_ref().and_then(|pair| put(pair.sign(message).as_ref(), buffer))
        }
        Prepared::Foreign(foreign) => foreign.sign(message).and_then(|made| put(&made, buffer)),
        Prepared::X25519 { .. } => None,
    };
    let len =
        made.ok_or_else(|| Error::new(ErrorKind::Bug, format!("signing with {algorithm} failed")))?;
    Ok(buffer.get(..len).unwrap_or_default())
}

pub(in crate::crypto) fn put(signature: &[u8], buffer: &mut [u8]) -> Option<usize> {
    buffer.get_mut(..signature.len())?.copy_from_slice(signature);
    Some(signature.len())
}

/// A signature as TLS has it: ECDSA in DER (RFC 8446 §4.2.3).
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] if the key does not fit the row.
pub fn sign_handshake(key: &Key, algorithm: &Algorithm, message: &[u8]) -> Result<Vec<u8>> {
    let mut buffer = [0; MAX_SIGNATURE_BYTES];
    let signature = sign_into(key, algorithm, message, &mut buffer)?;
    Ok(match algorithm.family {
        Family::Ecdsa(..) => super::certificate::ecdsa_der(signature),
        _ => signature.to_vec(),
    })
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
        // LEGACY: only XML has it (XML-DSig §6.4.2), and only to verify.
        Prepared::Rsa(_) if algorithm.family == Family::RsaPkcs1(Hash::Sha1) => {
            let rule = &aws::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY;
            key.spki().is_some_and(|spki| holds_rsa(rule, spki, message, signature))
        }
        Prepared::Rsa(rsa) => RSA_ROWS
            .iter()
            .position(|(family, _)| *family == algorithm.family)
            .and_then(|index| rsa.verifiers.get(index))
            .is_some_and(|verifier| verifier.verify_sig(message, signature).is_ok()),
        Prepared::Elliptic(elliptic) => elliptic.verifier.verify_sig(message, signature).is_ok(),
        Prepared::Edwards { public, .. } => public.verify_sig(message, signature).is_ok(),
        Prepared::Foreign(foreign) => foreign.verify(message, signature),
        Prepared::X25519 { .. } => false,
    }
}

/// Checks a signature of RSA with 1024 to 2047 bits, which nothing else here takes: XML signatures of old
/// peers, where the caller switched it on.
///
/// # Errors
/// [`ErrorKind::NotVerified`], whatever the reason.
pub fn verify_small_rsa(
    key: &Key,
    algorithm: &Algorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<()> {
    // LEGACY: as the name says.
    let rule = match algorithm.family {
        Family::RsaPkcs1(Hash::Sha1) => &aws::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
        Family::RsaPkcs1(Hash::Sha256) => &aws::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
        Family::RsaPkcs1(Hash::Sha512) => &aws::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        _ => return Err(Error::new(ErrorKind::NotVerified, "the signature does not verify")),
    };
    let small = matches!(key.kind(), KeyKind::Rsa { bits: 1024..2048 });
    match key.spki().filter(|_| small) {
        Some(spki) if holds_rsa(rule, spki, message, signature) => Ok(()),
        _ => Err(Error::new(ErrorKind::NotVerified, "the signature does not verify")),
    }
}

/// Checks ECDSA with any of the three hashes on any of the three curves of NIST, `r‖s` of the curve's width: XML
/// signatures name the hash alone (RFC 9231 §2.3.6), and peers sign with ecdsa-sha256 whatever their curve is.
///
/// # Errors
/// [`ErrorKind::NotVerified`], whatever the reason.
pub fn verify_ecdsa(key: &Key, hash: Hash, message: &[u8], signature: &[u8]) -> Result<()> {
    let refused = || Error::new(ErrorKind::NotVerified, "the signature does not verify");
    let KeyKind::Curve(curve) = key.kind() else { return Err(refused()) };
    let rule = match (curve, hash) {
        (Curve::P256, Hash::Sha256) => &aws::ECDSA_P256_SHA256_ASN1,
        (Curve::P256, Hash::Sha384) => &aws::ECDSA_P256_SHA384_ASN1,
        (Curve::P256, Hash::Sha512) => &aws::ECDSA_P256_SHA512_ASN1,
        (Curve::P384, Hash::Sha256) => &aws::ECDSA_P384_SHA256_ASN1,
        (Curve::P384, Hash::Sha384) => &aws::ECDSA_P384_SHA384_ASN1,
        (Curve::P384, Hash::Sha512) => &aws::ECDSA_P384_SHA512_ASN1,
        (Curve::P521, Hash::Sha256) => &aws::ECDSA_P521_SHA256_ASN1,
        (Curve::P521, Hash::Sha384) => &aws::ECDSA_P521_SHA384_ASN1,
        (Curve::P521, Hash::Sha512) => &aws::ECDSA_P521_SHA512_ASN1,
        _ => return Err(refused()),
    };
    if signature.len() != 2 * curve.coordinate_bytes() {
        return Err(refused());
    }
    let der = super::certificate::ecdsa_der(signature);
    let public = key.spki().and_then(|spki| aws::ParsedPublicKey::new(rule, spki).ok());
    match public {
        Some(public) if public.verify_sig(message, &der).is_ok() => Ok(()),
        _ => Err(refused()),
    }
}

fn holds_rsa(rule: &'static aws::RsaParameters, spki: &[u8], message: &[u8], value: &[u8]) -> bool {
    aws::ParsedPublicKey::new(rule, spki).is_ok_and(|key| key.verify_sig(message, value).is_ok())
}

const fn mac_key(oct: &Oct, family: Family) -> Option<&hmac::Key> {
    match family {
        Family::Hmac(Hash::Sha256) => Some(&oct.hs256),
        Family::Hmac(Hash::Sha384) => Some(&oct.hs384),
        Family::Hmac(Hash::Sha512) => Some(&oct.hs512),
        _ => None,
    }
}

/// The padding of an RSA row.
pub(in crate::crypto) const fn rsa_encoding(
    family: Family,
) -> Option<&'static aws::RsaSignatureEncoding> {
    Some(match family {
        Family::RsaPkcs1(Hash::Sha256) => &aws::RSA_PKCS1_SHA256,
        Family::RsaPkcs1(Hash::Sha384) => &aws::RSA_PKCS1_SHA384,
        Family::RsaPkcs1(Hash::Sha512) => &aws::RSA_PKCS1_SHA512,
        Family::RsaPss(Hash::Sha256) => &aws::RSA_PSS_SHA256,
        Family::RsaPss(Hash::Sha384) => &aws::RSA_PSS_SHA384,
        Family::RsaPss(Hash::Sha512) => &aws::RSA_PSS_SHA512,
        _ => return None,
    })
}

fn sign_rsa(rsa: &Rsa, family: Family, message: &[u8], buffer: &mut [u8]) -> Option<usize> {
    let encoding = rsa_encoding(family)?;
    let pair = rsa.signer.as_ref()?;
    let out = buffer.get_mut(..pair.public_modulus_len())?;
    pair.sign(encoding, &aws_lc_rs::rand::SystemRandom::new(), message, out).ok()?;
    Some(pair.public_modulus_len())
}
