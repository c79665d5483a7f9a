//! The public half of a private key: taken from it where it is stored, else derived by a library.

use ::der::Tagged;
use ::der::asn1::ObjectIdentifier;
use aws_lc_rs::agreement::{self, PrivateKey};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::der::{
    EC, RSA, bare_algorithm, context, ec_algorithm, elements, parts, rsa_public_to_spki, sequence,
    spki,
};

/// The SubjectPublicKeyInfo of a PrivateKeyInfo; `None` for a key type or curve without a backend.
pub(super) fn public_half(pkcs8: &[u8]) -> Option<Vec<u8>> {
    let info = pkcs8::PrivateKeyInfoRef::try_from(pkcs8).ok()?;
    let oid = info.algorithm.oid;
    let key = info.private_key.as_bytes();
    let simple = if oid == RSA {
        rsa(key)
    } else if oid == EC {
        let curve = info.algorithm.parameters.and_then(|any| any.decode_as().ok())?;
        ec(&curve, key)
    } else if oid == ED25519 {
        let pair = Ed25519KeyPair::from_seed_unchecked(inner(key)?).ok()?;
        spki(&bare_algorithm(&oid).ok()?, pair.public_key().as_ref()).ok()
    } else if oid == X25519 {
        let point = agree(&agreement::X25519, inner(key)?)?;
        spki(&bare_algorithm(&oid).ok()?, &point).ok()
    } else {
        None
    };
    simple.or_else(|| by_openssl(pkcs8))
}

fn rsa(key: &[u8]) -> Option<Vec<u8>> {
    let numbers = elements(key)?;
    let modulus = super::der::unsigned(numbers.get(1)?.value()).ok()?;
    let exponent = super::der::unsigned(numbers.get(2)?.value()).ok()?;
    rsa_public_to_spki(&sequence(&[&modulus, &exponent]).ok()?).ok()
}

fn ec(curve: &ObjectIdentifier, sec1: &[u8]) -> Option<Vec<u8>> {
    let fields = elements(sec1)?;
    let stored = fields.iter().find(|field| field.tag() == context(1));
    let point = if let Some(stored) = stored {
        let bits = parts(stored.value())?;
        bits.first()?.value().strip_prefix(&[0])?.to_vec()
    } else {
        let algorithm = if *curve == P256 {
            &agreement::ECDH_P256
        } else if *curve == P384 {
            &agreement::ECDH_P384
        } else if *curve == P521 {
            &agreement::ECDH_P521
        } else {
            return None;
        };
        agree(algorithm, fields.get(1)?.value())?
    };
    spki(&ec_algorithm(curve).ok()?, &point).ok()
}

fn agree(algorithm: &'static agreement::Algorithm, scalar: &[u8]) -> Option<Vec<u8>> {
    let key = PrivateKey::from_private_key(algorithm, scalar).ok()?;
    key.compute_public_key().ok().map(|public| public.as_ref().to_vec())
}

/// The bytes inside the OCTET STRING that RFC 8410 §7 puts around a raw key.
pub(super) fn inner(key: &[u8]) -> Option<&[u8]> {
    match parts(key)?.as_slice() {
        [only] if only.tag() == ::der::Tag::OctetString => Some(only.value()),
        _ => None,
    }
}

#[cfg(feature = "compat")]
fn by_openssl(pkcs8: &[u8]) -> Option<Vec<u8>> {
    let key = openssl::pkey::PKey::private_key_from_pkcs8(pkcs8).ok()?;
    key.public_key_to_der().ok()
}

#[cfg(not(feature = "compat"))]
fn by_openssl(_: &[u8]) -> Option<Vec<u8>> {
    None
}

/// NIST P-256 (RFC 5480 §2.1.1.1).
pub(super) const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// NIST P-384.
pub(super) const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// NIST P-521.
pub(super) const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
/// secp256k1 (SEC 2).
pub(super) const SECP256K1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.10");
/// Ed25519 (RFC 8410 §3).
pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// X25519.
pub(super) const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
/// Ed448.
pub(super) const ED448: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.113");
/// X448.
pub(super) const X448: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.111");
