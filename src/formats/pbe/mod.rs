//! Password-based encryption of PKCS#12 and PKCS#8 (RFC 8018, RFC 7292 appendix B): read only.

mod cipher;
mod kdf;
mod names;
mod work;

use der::asn1::ObjectIdentifier;
use pkcs12::kdf::Pkcs12KeyType;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::formats::Limits;
use crate::formats::asn1::{self, Node, OCTET_STRING, SEQUENCE, damaged};
use crate::secret::{SecretBytes, SecretString};

use cipher::{Cipher, decipher, rc2_parameters};
pub(crate) use kdf::{Digest, mac_key, pbkdf2_key, prf};
use kdf::{Pbkdf1Digest, pbkdf1_key, pkcs12_key};
pub(crate) use names::unsupported;
pub(crate) use work::{Password, Work};

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const PBES2: ObjectIdentifier = oid("1.2.840.113549.1.5.13");

/// PBES1 of PKCS#5 (RFC 8018 §A.3), which the old `openssl pkcs8 -topk8` wrote: digest, cipher.
const PKCS5_PBES1: &[(ObjectIdentifier, &str, Pbkdf1Digest, Cipher)] = &[
    (oid("1.2.840.113549.1.5.3"), "MD5 and DES", Pbkdf1Digest::Md5, Cipher::Des),
    (oid("1.2.840.113549.1.5.6"), "MD5 and RC2-64", Pbkdf1Digest::Md5, Cipher::Rc2(64)),
    (oid("1.2.840.113549.1.5.10"), "SHA-1 and DES", Pbkdf1Digest::Sha1, Cipher::Des),
    (oid("1.2.840.113549.1.5.11"), "SHA-1 and RC2-64", Pbkdf1Digest::Sha1, Cipher::Rc2(64)),
];

/// PBES1 of PKCS#12 (RFC 7292 §C): cipher, key bytes.
const PKCS12_PBES1: &[(ObjectIdentifier, &str, Cipher, usize)] = &[
    (oid("1.2.840.113549.1.12.1.1"), "RC4-128", Cipher::Rc4, 16),
    (oid("1.2.840.113549.1.12.1.2"), "RC4-40", Cipher::Rc4, 5),
    (oid("1.2.840.113549.1.12.1.3"), "3DES", Cipher::Des3, 24),
    (oid("1.2.840.113549.1.12.1.4"), "two-key 3DES", Cipher::Des3, 16),
    (oid("1.2.840.113549.1.12.1.5"), "RC2-128", Cipher::Rc2(128), 16),
    (oid("1.2.840.113549.1.12.1.6"), "RC2-40", Cipher::Rc2(40), 5),
];

/// What a decryption that fails says: padding and garbage look alike.
pub(crate) fn wrong() -> Error {
    Error::new(ErrorKind::WrongPassword, "wrong password, or the content was altered")
}

/// Decrypts as an AlgorithmIdentifier says.
pub(crate) fn decrypt(
    algorithm: &Node<'_>,
    ciphertext: &[u8],
    password: &Password,
    work: &mut Work<'_>,
) -> Result<SecretBytes> {
    let [named, parameters] = algorithm.children(SEQUENCE)? else {
        return Err(damaged("an encryption algorithm without parameters"));
    };
    let named = named.oid()?;
    if named == PBES2 {
        return pbes2(parameters, ciphertext, password, work);
    }
    let pkcs5 = PKCS5_PBES1.iter().find(|(known, ..)| *known == named);
    if let Some((_, name, digest, cipher)) = pkcs5 {
        // LEGACY: RFC 8018 appendix A.3.
        work.note(name);
        let (salt, rounds) = pbe_parameters(parameters)?;
        let derived = pbkdf1_key(*digest, password, &salt, rounds, work)?;
        let (key, iv) = derived.split_at_checked(8).ok_or_else(wrong)?;
        return decipher(*cipher, key, iv, ciphertext);
    }
    let pkcs12 = PKCS12_PBES1.iter().find(|(known, ..)| *known == named);
    let Some((_, name, cipher, key_bytes)) = pkcs12 else {
        return Err(unsupported("the encryption", named));
    };
    // LEGACY: RFC 7292 appendix C; real files of Java, OpenSSL and Windows still use it.
    work.note(name);
    let (salt, rounds) = pbe_parameters(parameters)?;
    let mut key =
        pkcs12_key(password, &salt, Pkcs12KeyType::EncryptionKey, rounds, *key_bytes, work)?;
    if *key_bytes == 16 && matches!(cipher, Cipher::Des3) {
        let (whole, first) = (key.as_slice(), key.get(..8).unwrap_or_default());
        key = Zeroizing::new([whole, first].concat());
    }
    let iv = match cipher {
        Cipher::Rc4 => Zeroizing::default(),
        _ => pkcs12_key(password, &salt, Pkcs12KeyType::Iv, rounds, 8, work)?,
    };
    decipher(*cipher, &key, &iv, ciphertext)
}

/// `PBEParameter ::= SEQUENCE { salt OCTET STRING, iterationCount INTEGER }` (RFC 8018 §A.3)
fn pbe_parameters(parameters: &Node<'_>) -> Result<(Vec<u8>, u64)> {
    let [salt, rounds] = parameters.children(SEQUENCE)? else {
        return Err(damaged("PBE parameters"));
    };
    Ok((salt.string(OCTET_STRING)?, rounds.number()?))
}

fn pbes2(
    parameters: &Node<'_>,
    ciphertext: &[u8],
    password: &Password,
    work: &mut Work<'_>,
) -> Result<SecretBytes> {
    let [kdf, scheme] = parameters.children(SEQUENCE)? else {
        return Err(damaged("PBES2 parameters"));
    };
    let [named, scheme_parameters] = scheme.children(SEQUENCE)? else {
        return Err(damaged("an encryption scheme without parameters"));
    };
    let named = named.oid()?;
    let (cipher, key_bytes, iv) = match named.to_string().as_str() {
        "2.16.840.1.101.3.4.1.2" => (Cipher::Aes, 16, scheme_parameters.string(OCTET_STRING)?),
        "2.16.840.1.101.3.4.1.22" => (Cipher::Aes, 24, scheme_parameters.string(OCTET_STRING)?),
        "2.16.840.1.101.3.4.1.42" => (Cipher::Aes, 32, scheme_parameters.string(OCTET_STRING)?),
        "1.2.840.113549.3.7" => {
            work.note("3DES");
            (Cipher::Des3, 24, scheme_parameters.string(OCTET_STRING)?)
        }
        "1.3.14.3.2.7" => {
            work.note("DES");
            (Cipher::Des, 8, scheme_parameters.string(OCTET_STRING)?)
        }
        "1.2.840.113549.3.2" => {
            work.note("RC2");
            rc2_parameters(scheme_parameters)?
        }
        _ => return Err(unsupported("the encryption scheme", named)),
    };
    let key = pbkdf2_key(kdf, Some(key_bytes), password, work)?;
    decipher(cipher, &key, &iv, ciphertext)
}

/// Decrypts `EncryptedPrivateKeyInfo ::= SEQUENCE { algorithm, encryptedData OCTET STRING }`
/// (RFC 5958 §3) to the PKCS#8 inside.
pub(crate) fn decrypt_private_key_info(
    encrypted: &[u8],
    password: &SecretString,
    work: &mut Work<'_>,
) -> Result<SecretBytes> {
    let node = asn1::parse(encrypted, work.limits)?;
    private_key_info(&node, &[Password::new(password)], work).map(|(plain, _)| plain)
}

/// As [`decrypt_private_key_info`], with the readings of several passwords in turn; also, which of them fits.
pub(crate) fn private_key_info(
    node: &Node<'_>,
    passwords: &[Password],
    work: &mut Work<'_>,
) -> Result<(SecretBytes, usize)> {
    let [algorithm, text] = node.children(SEQUENCE)? else {
        return Err(damaged("an encrypted private key"));
    };
    let text = text.string(OCTET_STRING)?;
    let mut last = wrong();
    for (index, password) in passwords.iter().enumerate() {
        match decrypt(algorithm, &text, password, work) {
            // Padding is right by chance once in 256 times: what is inside must be a SEQUENCE that fills it.
            // EXPOSE: the shape alone is looked at.
            Ok(plain) if is_whole_sequence(plain.expose_secret()) => {
                return Ok((plain, index));
            }
            Ok(_) => last = wrong(),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Whether `bytes` are one DER SEQUENCE and nothing else.
pub(crate) fn is_whole_sequence(bytes: &[u8]) -> bool {
    asn1::parse(bytes, &Limits::default()).is_ok_and(|node| node.tag == SEQUENCE)
}
