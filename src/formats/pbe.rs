//! Password-based encryption of PKCS#12 and PKCS#8 (RFC 8018, RFC 7292 appendix B): read only.

use std::collections::HashMap;
use std::num::NonZeroU32;

use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, InnerIvInit, KeyInit, KeyIvInit, StreamCipher};
use der::asn1::ObjectIdentifier;
use pkcs12::kdf::{Pkcs12KeyType, derive_key};
use rc2::Rc2;
use ring::pbkdf2;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::formats::Limits;
use crate::formats::asn1::{self, Node, OCTET_STRING, SEQUENCE, damaged};
use crate::secret::{SecretBytes, SecretString};

/// A key derivation that was paid for: salt, rounds, what for, how long.
type Derivation = (Vec<u8>, u64, u8, usize);

/// Accounts for key derivations before they are done; equal ones are done once.
pub(crate) struct Work<'l> {
    pub(crate) limits: &'l Limits,
    spent: u64,
    done: HashMap<Derivation, Zeroizing<Vec<u8>>>,
    /// Legacy algorithms that were met.
    pub(crate) legacy: Vec<&'static str>,
}

impl<'l> Work<'l> {
    pub(crate) fn new(limits: &'l Limits) -> Self {
        Self { limits, spent: 0, done: HashMap::new(), legacy: Vec::new() }
    }

    /// Checks `rounds` against the bounds (attacks.md K02), before any work.
    pub(crate) fn spend(&mut self, rounds: u64) -> Result<()> {
        let Limits { max_iterations, max_total_iterations, .. } = *self.limits;
        if rounds == 0 {
            return Err(damaged("an iteration count of zero"));
        }
        self.spent = self.spent.saturating_add(rounds);
        if rounds > max_iterations || self.spent > max_total_iterations {
            let (asked, bound) = if rounds > max_iterations {
                (rounds, max_iterations)
            } else {
                (self.spent, max_total_iterations)
            };
            let text =
                format!("{asked} key derivation iterations are more than the bound of {bound}");
            return Err(Error::new(ErrorKind::LimitExceeded, text)
                .with_help("write the keystore again with fewer iterations"));
        }
        Ok(())
    }

    /// Iterations so far.
    pub(crate) const fn spent(&self) -> u64 {
        self.spent
    }

    pub(crate) fn note(&mut self, legacy: &'static str) {
        if !self.legacy.contains(&legacy) {
            self.legacy.push(legacy);
        }
    }

    fn once(
        &mut self,
        derivation: Derivation,
        derive: impl FnOnce() -> Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        if let Some(known) = self.done.get(&derivation) {
            return Ok(known.clone());
        }
        self.spend(derivation.1)?;
        let made = Zeroizing::new(derive());
        self.done.insert(derivation, made.clone());
        Ok(made)
    }
}

/// A password in the two encodings that containers use.
pub(crate) struct Password {
    /// UTF-8, for PBKDF2.
    utf8: Zeroizing<Vec<u8>>,
    /// UTF-16BE with a terminator, for the PKCS#12 derivation (RFC 7292 §B.1); none at all for no password.
    bmp: Zeroizing<Vec<u8>>,
    tag: u8,
}

impl Password {
    pub(crate) fn new(password: &SecretString) -> Self {
        // EXPOSE: re-encoded into wiped buffers.
        let text = password.expose_secret();
        let mut bmp: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        bmp.extend_from_slice(&[0, 0]);
        Self { utf8: Zeroizing::new(text.as_bytes().to_vec()), bmp: Zeroizing::new(bmp), tag: 0 }
    }

    /// The other reading of the empty password: no bytes instead of two zero bytes.
    pub(crate) fn none() -> Self {
        Self { utf8: Zeroizing::default(), bmp: Zeroizing::default(), tag: 1 }
    }

    /// Derivations of another password (an entry's own) are kept apart.
    pub(crate) const fn marked(mut self, tag: u8) -> Self {
        self.tag = self.tag | tag << 1;
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.utf8.is_empty()
    }
}

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const PBES2: ObjectIdentifier = oid("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = oid("1.2.840.113549.1.5.12");

/// PBES1 of PKCS#12 (RFC 7292 §C) and of PKCS#5 (RFC 8018 §A.3): digest, cipher, key and IV bytes.
const PBES1: &[(ObjectIdentifier, &str, Cipher, usize)] = &[
    (oid("1.2.840.113549.1.12.1.1"), "RC4-128", Cipher::Rc4, 16),
    (oid("1.2.840.113549.1.12.1.2"), "RC4-40", Cipher::Rc4, 5),
    (oid("1.2.840.113549.1.12.1.3"), "3DES", Cipher::Des3, 24),
    (oid("1.2.840.113549.1.12.1.4"), "two-key 3DES", Cipher::Des3, 16),
    (oid("1.2.840.113549.1.12.1.5"), "RC2-128", Cipher::Rc2(128), 16),
    (oid("1.2.840.113549.1.12.1.6"), "RC2-40", Cipher::Rc2(40), 5),
];

#[derive(Clone, Copy)]
enum Cipher {
    Aes,
    Des,
    Des3,
    /// With this many effective bits.
    Rc2(usize),
    Rc4,
}

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
    /// Keeps derivations with different PRFs apart; 1 to 3 are those of PKCS#12.
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

pub(crate) fn unsupported(what: &str, named: ObjectIdentifier) -> Error {
    Error::new(ErrorKind::Unsupported, format!("{what} {named} is not built in"))
        .with_help("write the keystore again: keytool -importkeystore or openssl pkcs12 -export")
}

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
    let Some((_, name, cipher, key_bytes)) = PBES1.iter().find(|(known, ..)| *known == named)
    else {
        return Err(unsupported("the encryption", named));
    };
    // LEGACY: RFC 7292 appendix C; real files of Java, OpenSSL and Windows still use it.
    work.note(name);
    let [salt, rounds] = parameters.children(SEQUENCE)? else {
        return Err(damaged("PBE parameters"));
    };
    let (salt, rounds) = (salt.string(OCTET_STRING)?, rounds.number()?);
    let mut key =
        pkcs12_key(password, &salt, Pkcs12KeyType::EncryptionKey, rounds, *key_bytes, work)?;
    if *key_bytes == 16 && matches!(cipher, Cipher::Des3) {
        let first: Vec<u8> = key.iter().take(8).copied().collect();
        key.extend_from_slice(&first);
    }
    let iv = match cipher {
        Cipher::Rc4 => Zeroizing::default(),
        _ => pkcs12_key(password, &salt, Pkcs12KeyType::Iv, rounds, 8, work)?,
    };
    decipher(*cipher, &key, &iv, ciphertext)
}

fn pkcs12_key(
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

/// `RC2-CBC-Parameter ::= SEQUENCE { rc2ParameterVersion INTEGER, iv OCTET STRING }` (RFC 8018 §B.2.3)
fn rc2_parameters(parameters: &Node<'_>) -> Result<(Cipher, usize, Vec<u8>)> {
    let [version, iv] = parameters.children(SEQUENCE)? else {
        return Err(damaged("RC2 parameters"));
    };
    let bits = match version.number()? {
        160 => 40,
        120 => 64,
        58 => 128,
        other => {
            usize::try_from(other).ok().filter(|bits| (256..=1024).contains(bits)).unwrap_or(0)
        }
    };
    if bits == 0 {
        return Err(damaged("an RC2 version"));
    }
    Ok((Cipher::Rc2(bits), bits / 8, iv.string(OCTET_STRING)?))
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

fn decipher(cipher: Cipher, key: &[u8], iv: &[u8], text: &[u8]) -> Result<SecretBytes> {
    let plain = match (cipher, key.len()) {
        (Cipher::Aes, 16) => cbc_decrypt(Decryptor::<aes::Aes128>::new_from_slices(key, iv), text),
        (Cipher::Aes, 24) => cbc_decrypt(Decryptor::<aes::Aes192>::new_from_slices(key, iv), text),
        (Cipher::Aes, _) => cbc_decrypt(Decryptor::<aes::Aes256>::new_from_slices(key, iv), text),
        (Cipher::Des, _) => cbc_decrypt(Decryptor::<des::Des>::new_from_slices(key, iv), text),
        (Cipher::Des3, _) => {
            cbc_decrypt(Decryptor::<des::TdesEde3>::new_from_slices(key, iv), text)
        }
        (Cipher::Rc2(bits), _) => {
            let inner = Rc2::new_with_eff_key_len(key, bits);
            cbc_decrypt(Decryptor::<Rc2>::inner_iv_slice_init(inner, iv), text)
        }
        (Cipher::Rc4, _) => rc4::Rc4::new_from_slice(key).ok().map(|mut stream| {
            let mut out = text.to_vec();
            stream.apply_keystream(&mut out);
            out
        }),
    };
    plain.map(SecretBytes::from_vec).ok_or_else(wrong)
}

fn cbc_decrypt<M: BlockModeDecrypt, E>(
    mode: std::result::Result<M, E>,
    text: &[u8],
) -> Option<Vec<u8>> {
    mode.ok()?.decrypt_padded_vec::<Pkcs7>(text).ok()
}

/// Decrypts `EncryptedPrivateKeyInfo ::= SEQUENCE { algorithm, encryptedData OCTET STRING }`
/// (RFC 5958 §3) to the PKCS#8 inside.
pub(crate) fn decrypt_private_key_info(
    encrypted: &[u8],
    password: &SecretString,
    work: &mut Work<'_>,
) -> Result<SecretBytes> {
    let node = asn1::parse(encrypted, work.limits)?;
    private_key_info(&node, &[Password::new(password)], work)
}

/// As [`decrypt_private_key_info`], with the readings of a password in turn.
pub(crate) fn private_key_info(
    node: &Node<'_>,
    passwords: &[Password],
    work: &mut Work<'_>,
) -> Result<SecretBytes> {
    let [algorithm, text] = node.children(SEQUENCE)? else {
        return Err(damaged("an encrypted private key"));
    };
    let text = text.string(OCTET_STRING)?;
    let mut last = wrong();
    for password in passwords {
        match decrypt(algorithm, &text, password, work) {
            // Padding is right by chance once in 256 times: what is inside must be a SEQUENCE that fills it.
            // EXPOSE: the shape alone is looked at.
            Ok(plain) if is_whole_sequence(plain.expose_secret()) => return Ok(plain),
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
