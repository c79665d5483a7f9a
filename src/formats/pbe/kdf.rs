//! Key derivations: PBKDF1 and PBKDF2 (RFC 8018 §5), and that of PKCS#12 (RFC 7292 appendix B).

use std::num::NonZeroU32;

use der::asn1::ObjectIdentifier;
use md5::Md5;
use pkcs12::kdf::{Pkcs12KeyType, derive_key};
use ring::pbkdf2;
use sha1::{Digest as _, Sha1};
use sha2::{Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};
use zeroize::Zeroizing;

use super::names::unsupported;
use super::work::{Password, Work};
use crate::error::Result;
use crate::formats::asn1::{self, Node, OCTET_STRING, SEQUENCE, damaged};

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const PBKDF2: ObjectIdentifier = oid("1.2.840.113549.1.5.12");

/// The pseudo-random functions of PBKDF2 (RFC 8018 §B.1) and the digests of MACs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Digest {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha512_224,
    Sha512_256,
}

impl Digest {
    /// Keeps derivations with different PRFs apart; 1 to 3 are those of PKCS#12, 4 and 5 of PBKDF1.
    const fn marker(self) -> u8 {
        match self {
            Self::Sha1 => 8,
            Self::Sha224 => 9,
            Self::Sha256 => 10,
            Self::Sha384 => 11,
            Self::Sha512 => 12,
            Self::Sha512_224 => 13,
            Self::Sha512_256 => 14,
        }
    }
}

const PRFS: &[(ObjectIdentifier, Digest)] = &[
    (oid("1.2.840.113549.2.7"), Digest::Sha1),
    (oid("1.2.840.113549.2.8"), Digest::Sha224),
    (oid("1.2.840.113549.2.9"), Digest::Sha256),
    (oid("1.2.840.113549.2.10"), Digest::Sha384),
    (oid("1.2.840.113549.2.11"), Digest::Sha512),
    (oid("1.2.840.113549.2.12"), Digest::Sha512_224),
    (oid("1.2.840.113549.2.13"), Digest::Sha512_256),
];

/// The PRF of an identifier `hmacWith…`.
pub(crate) fn prf(algorithm: &Node<'_>) -> Result<Digest> {
    let named = algorithm.children(SEQUENCE)?.first().ok_or_else(|| damaged("no PRF"))?.oid()?;
    PRFS.iter()
        .find(|(known, _)| *known == named)
        .map(|(_, digest)| *digest)
        .ok_or_else(|| unsupported("the PRF", named))
}

pub(super) fn pkcs12_key(
    password: &Password,
    salt: &[u8],
    purpose: Pkcs12KeyType,
    rounds: u64,
    length: usize,
    work: &mut Work<'_>,
) -> Result<Zeroizing<Vec<u8>>> {
    let marker = match purpose {
        Pkcs12KeyType::EncryptionKey => 1,
        Pkcs12KeyType::Iv => 2,
        Pkcs12KeyType::Mac => 3,
    };
    let count = i32::try_from(rounds).unwrap_or(i32::MAX);
    work.once((salt.to_vec(), rounds, password.tag << 4 | marker, length), || {
        derive_key::<Sha1>(&password.bmp, salt, purpose, count, length)
    })
}

/// The digests of PBKDF1.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pbkdf1Digest {
    Md5,
    Sha1,
}

/// Key and initialization vector, 8 bytes each (RFC 8018 §5.1, §6.1.1).
pub(super) fn pbkdf1_key(
    digest: Pbkdf1Digest,
    password: &Password,
    salt: &[u8],
    rounds: u64,
    work: &mut Work<'_>,
) -> Result<Zeroizing<Vec<u8>>> {
    let marker = match digest {
        Pbkdf1Digest::Md5 => 4,
        Pbkdf1Digest::Sha1 => 5,
    };
    work.once((salt.to_vec(), rounds, password.tag << 4 | marker, 16), || {
        let mut block = Zeroizing::new([password.utf8.as_slice(), salt].concat());
        for _ in 0..rounds {
            block = Zeroizing::new(match digest {
                Pbkdf1Digest::Md5 => Md5::digest(&block).to_vec(),
                Pbkdf1Digest::Sha1 => Sha1::digest(&block).to_vec(),
            });
        }
        block.iter().take(16).copied().collect()
    })
}

/// The MAC key of a PFX (RFC 7292 §B.4).
pub(crate) fn mac_key(
    digest: Digest,
    password: &Password,
    salt: &[u8],
    rounds: u64,
    work: &mut Work<'_>,
) -> Result<Zeroizing<Vec<u8>>> {
    work.spend(rounds)?;
    let count = i32::try_from(rounds).unwrap_or(i32::MAX);
    let (bmp, purpose) = (&password.bmp, Pkcs12KeyType::Mac);
    Ok(Zeroizing::new(match digest {
        Digest::Sha1 => derive_key::<Sha1>(bmp, salt, purpose, count, 20),
        Digest::Sha224 => derive_key::<Sha224>(bmp, salt, purpose, count, 28),
        Digest::Sha256 => derive_key::<Sha256>(bmp, salt, purpose, count, 32),
        Digest::Sha384 => derive_key::<Sha384>(bmp, salt, purpose, count, 48),
        Digest::Sha512 => derive_key::<Sha512>(bmp, salt, purpose, count, 64),
        Digest::Sha512_224 => derive_key::<Sha512_224>(bmp, salt, purpose, count, 28),
        Digest::Sha512_256 => derive_key::<Sha512_256>(bmp, salt, purpose, count, 32),
    }))
}

/// PBKDF2 as its parameters say (RFC 8018 §A.2). `expected` is the length that the cipher needs; `None`
/// makes the key length of the parameters mandatory (RFC 9579 §4).
pub(crate) fn pbkdf2_key(
    kdf: &Node<'_>,
    expected: Option<usize>,
    password: &Password,
    work: &mut Work<'_>,
) -> Result<Zeroizing<Vec<u8>>> {
    let [named, parameters] = kdf.children(SEQUENCE)? else {
        return Err(damaged("a key derivation without parameters"));
    };
    let named = named.oid()?;
    if named != PBKDF2 {
        return Err(unsupported("the key derivation", named));
    }
    let [salt, rounds, rest @ ..] = parameters.children(SEQUENCE)? else {
        return Err(damaged("PBKDF2 parameters"));
    };
    let (salt, rounds) = (salt.string(OCTET_STRING)?, rounds.number()?);
    let (length, rest) = match rest {
        [length, rest @ ..] if length.tag == asn1::INTEGER => {
            (usize::try_from(length.number()?).ok(), rest)
        }
        rest => (None, rest),
    };
    let digest = rest.first().map_or(Ok(Digest::Sha1), prf)?;
    let length = match (expected, length) {
        (Some(expected), Some(length)) if expected != length => {
            return Err(damaged("a PBKDF2 key length that does not fit the cipher"));
        }
        (Some(length), _) | (None, Some(length)) => length,
        (None, None) => return Err(damaged("PBKDF2 without a key length")),
    };
    if length > 1024 {
        return Err(damaged("a PBKDF2 key length beyond any cipher"));
    }
    let count = u32::try_from(rounds).ok().and_then(NonZeroU32::new);
    let marker = digest.marker();
    work.once((salt.clone(), rounds, password.tag << 4 | marker, length), || {
        let mut key = vec![0; length];
        let count = count.unwrap_or(NonZeroU32::MIN);
        derive_pbkdf2(digest, count, &salt, &password.utf8, &mut key);
        key
    })
}

fn derive_pbkdf2(digest: Digest, count: NonZeroU32, salt: &[u8], password: &[u8], out: &mut [u8]) {
    let rounds = count.get();
    match digest {
        Digest::Sha1 => pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, count, salt, password, out),
        Digest::Sha256 => pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, count, salt, password, out),
        Digest::Sha384 => pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA384, count, salt, password, out),
        Digest::Sha512 => pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, count, salt, password, out),
        Digest::Sha224 => ::pbkdf2::pbkdf2_hmac::<Sha224>(password, salt, rounds, out),
        Digest::Sha512_224 => ::pbkdf2::pbkdf2_hmac::<Sha512_224>(password, salt, rounds, out),
        Digest::Sha512_256 => ::pbkdf2::pbkdf2_hmac::<Sha512_256>(password, salt, rounds, out),
    }
}
