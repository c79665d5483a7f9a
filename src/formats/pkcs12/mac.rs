//! The integrity check of a PFX: the MAC of RFC 7292 §4 and PBMAC1 (RFC 9579).

use der::asn1::ObjectIdentifier;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

use crate::error::{Error, ErrorKind, Result};
use crate::formats::asn1::{Node, OCTET_STRING, SEQUENCE, damaged};
use crate::formats::pbe::{self, Digest, Password, Work};

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const PBMAC1: ObjectIdentifier = oid("1.2.840.113549.1.5.14");
const DIGESTS: &[(ObjectIdentifier, Digest)] = &[
    (oid("1.3.14.3.2.26"), Digest::Sha1),
    (oid("2.16.840.1.101.3.4.2.4"), Digest::Sha224),
    (oid("2.16.840.1.101.3.4.2.1"), Digest::Sha256),
    (oid("2.16.840.1.101.3.4.2.2"), Digest::Sha384),
    (oid("2.16.840.1.101.3.4.2.3"), Digest::Sha512),
    (oid("2.16.840.1.101.3.4.2.5"), Digest::Sha512_224),
    (oid("2.16.840.1.101.3.4.2.6"), Digest::Sha512_256),
];

/// Checks the MAC over `content`; the index of the reading of the password that fits comes back.
///
/// `MacData ::= SEQUENCE { mac DigestInfo, macSalt OCTET STRING, iterations INTEGER DEFAULT 1 }`
pub(super) fn check(
    mac_data: &Node<'_>,
    content: &[u8],
    passwords: &[Password],
    work: &mut Work<'_>,
) -> Result<usize> {
    let [info, salt, rest @ ..] = mac_data.children(SEQUENCE)? else {
        return Err(damaged("MacData"));
    };
    let [algorithm, expected] = info.children(SEQUENCE)? else {
        return Err(damaged("the DigestInfo of the MAC"));
    };
    let expected = expected.string(OCTET_STRING)?;
    let [named, parameters @ ..] = algorithm.children(SEQUENCE)? else {
        return Err(damaged("the MAC algorithm"));
    };
    let named = named.oid()?;
    if named == PBMAC1 {
        let parameters = parameters.first().ok_or_else(|| damaged("PBMAC1 without parameters"))?;
        return check_pbmac1(parameters, content, &expected, passwords, work);
    }
    let Some((_, digest)) = DIGESTS.iter().find(|(known, _)| *known == named) else {
        return Err(pbe::unsupported("the MAC digest", named));
    };
    if *digest == Digest::Sha1 {
        // LEGACY: RFC 7292 §4; the MAC of every PKCS#12 before about 2020.
        work.note("a SHA-1 MAC");
    }
    let salt = salt.string(OCTET_STRING)?;
    if salt.is_empty() {
        return Err(damaged("a MAC without a salt"));
    }
    let rounds = rest.first().map_or(Ok(1), Node::number)?;
    for (index, password) in passwords.iter().enumerate() {
        let key = pbe::mac_key(*digest, password, &salt, rounds, work)?;
        if verify(*digest, &key, content, &expected) {
            return Ok(index);
        }
    }
    Err(wrong())
}

/// `PBMAC1-params ::= SEQUENCE { keyDerivationFunc, messageAuthScheme }` (RFC 8018 §A.5). The salt and
/// count of MacData are ignored (RFC 9579 §4).
fn check_pbmac1(
    parameters: &Node<'_>,
    content: &[u8],
    expected: &[u8],
    passwords: &[Password],
    work: &mut Work<'_>,
) -> Result<usize> {
    let [kdf, scheme] = parameters.children(SEQUENCE)? else {
        return Err(damaged("PBMAC1 parameters"));
    };
    let digest = pbe::prf(scheme)?;
    for (index, password) in passwords.iter().enumerate() {
        let key = pbe::pbkdf2_key(kdf, None, password, work)?;
        // RFC 9579 §8: a short key makes the MAC guessable.
        if key.len() < 20 {
            return Err(damaged("a PBMAC1 key of less than 20 bytes"));
        }
        if verify(digest, &key, content, expected) {
            return Ok(index);
        }
    }
    Err(wrong())
}

fn wrong() -> Error {
    Error::new(ErrorKind::WrongPassword, "wrong store password, or the file was altered")
}

fn verify(digest: Digest, key: &[u8], content: &[u8], expected: &[u8]) -> bool {
    match digest {
        Digest::Sha1 => holds::<Hmac<Sha1>>(key, content, expected),
        Digest::Sha224 => holds::<Hmac<Sha224>>(key, content, expected),
        Digest::Sha256 => holds::<Hmac<Sha256>>(key, content, expected),
        Digest::Sha384 => holds::<Hmac<Sha384>>(key, content, expected),
        Digest::Sha512 => holds::<Hmac<Sha512>>(key, content, expected),
        Digest::Sha512_224 => holds::<Hmac<Sha512_224>>(key, content, expected),
        Digest::Sha512_256 => holds::<Hmac<Sha512_256>>(key, content, expected),
    }
}

fn holds<M: Mac + KeyInit>(key: &[u8], content: &[u8], expected: &[u8]) -> bool {
    <M as KeyInit>::new_from_slice(key)
        .is_ok_and(|mac| mac.chain_update(content).verify_slice(expected).is_ok())
}
