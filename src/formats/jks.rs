//! Java's JKS and JCEKS keystores, read only: integrity digest, key protection, sealed secret keys.

use std::collections::HashMap;

use ::der::{Tag, Tagged};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use md5::Md5;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::parallel;
use crate::secret::{SecretBytes, SecretString};

use super::der::{WorkLeft, elements, is_certificate, is_private_key_info, magnitude};
use super::java_serialization::{SealedObject, modified_utf8, read_sealed, read_secret_key};
use super::{Container, ContainerType, Entry, Limits, Material, Passwords};

/// The first four bytes of JKS.
pub(super) const JKS_MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// The first four bytes of JCEKS.
pub(super) const JCEKS_MAGIC: [u8; 4] = [0xce; 4];

/// Reads a JKS or JCEKS keystore. An entry whose password differs comes out as
/// [`Material::Unreadable`]; the others are still there.
///
/// # Errors
/// [`ErrorKind::Damaged`], [`ErrorKind::LimitExceeded`] or [`ErrorKind::Unsupported`] for what the file
/// holds; [`ErrorKind::WrongPassword`] if the digest does not match the store password, or if there is
/// no store password and `require_integrity`.
pub fn read(
    bytes: &[u8],
    passwords: &Passwords<'_>,
    limits: &Limits,
    require_integrity: bool,
) -> Result<Container> {
    let split = bytes.len().checked_sub(DIGEST_BYTES).ok_or_else(cut)?;
    let (data, digest) = bytes.split_at_checked(split).ok_or_else(cut)?;
    let (container_type, raw) = parse(data, limits)?;
    let mut warnings = vec![legacy_warning(container_type)];
    if let Some(password) = passwords.store {
        check_digest(data, digest, password)?;
    } else if require_integrity {
        return Err(Error::new(
            ErrorKind::WrongPassword,
            "without the store password the keystore's integrity cannot be checked",
        )
        .with_help("give the store password, or set integrity = \"none\" for this store"));
    } else {
        warnings.push("the keystore's integrity was not checked: no store password".to_owned());
    }
    let work = WorkLeft::new(limits);
    let password = passwords.entry.or(passwords.store);
    let mut entries: Vec<Entry> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    // Each entry has a key derivation of its own.
    for entry in parallel::map(&raw, 2, |entry| entry.open(password, &work)) {
        let entry = entry?;
        if let Some(place) = places.get(&entry.alias.to_lowercase()).copied() {
            warnings.push(format!("alias {:?} occurs twice: the last one counts", entry.alias));
            if let Some(slot) = entries.get_mut(place) {
                *slot = entry;
            }
        } else {
            places.insert(entry.alias.to_lowercase(), entries.len());
            entries.push(entry);
        }
    }
    Ok(Container { container_type, entries, warnings })
}

fn legacy_warning(container_type: ContainerType) -> String {
    let name = container_type.name();
    format!(
        "{name} is a legacy format with weak protection: convert it with keytool -importkeystore \
         -srcstoretype {name} -srckeystore FILE -deststoretype pkcs12 -destkeystore FILE.p12"
    )
}

/// An entry before any decryption.
struct RawEntry<'a> {
    alias: String,
    content: RawContent<'a>,
}

enum RawContent<'a> {
    Certificate(&'a [u8]),
    PrivateKey { protected: &'a [u8], chain: Vec<Vec<u8>> },
    SecretKey(SealedObject),
}

impl RawEntry<'_> {
    /// Decrypts. What stops this entry alone makes it unreadable; what is no key store content at all
    /// (an unknown Java class under the seal) refuses the store.
    fn open(&self, password: Option<&SecretString>, work: &WorkLeft) -> Result<Entry> {
        let mut chain = Vec::new();
        let opened = match &self.content {
            RawContent::Certificate(certificate) => {
                chain.push(certificate.to_vec());
                Ok(Material::Certificate)
            }
            RawContent::PrivateKey { protected, chain: certificates } => {
                chain.clone_from(certificates);
                open_private_key(protected, password, work).map(Material::PrivateKey)
            }
            RawContent::SecretKey(sealed) => {
                if sealed.algorithm != SEAL_ALGORITHM {
                    return Err(Error::new(
                        ErrorKind::Unsupported,
                        "a secret key is sealed with an algorithm that JCEKS does not use",
                    ));
                }
                match open_sealed(sealed, password, work) {
                    Ok(serialized) => Ok(read_secret_key(&serialized)?),
                    Err(error) => Err(error),
                }
            }
        };
        let material = opened.unwrap_or_else(Material::Unreadable);
        Ok(Entry { chain, ..Entry::new(self.alias.as_str(), material) })
    }
}

fn parse<'a>(data: &'a [u8], limits: &Limits) -> Result<(ContainerType, Vec<RawEntry<'a>>)> {
    let mut cursor = Cursor(data);
    let container_type = match cursor.take(4)? {
        magic if magic == JKS_MAGIC => ContainerType::Jks,
        magic if magic == JCEKS_MAGIC => ContainerType::Jceks,
        _ => return Err(cut()),
    };
    let version = cursor.number()?;
    if !matches!(version, 1 | 2) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("keystore version {version} is not known; 1 and 2 are"),
        ));
    }
    let count = cursor.number()?;
    if count > limits.max_entries {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!(
                "the keystore says it has {count} entries; the bound is {}",
                limits.max_entries
            ),
        ));
    }
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(cursor.entry(version, container_type)?);
    }
    if !cursor.0.is_empty() {
        return Err(cut());
    }
    Ok((container_type, entries))
}

/// The bytes not read yet.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<usize> {
        let bytes = self.take(4)?.try_into().map_err(|_| cut())?;
        usize::try_from(u32::from_be_bytes(bytes)).map_err(|_| cut())
    }

    fn utf(&mut self) -> Result<String> {
        let bytes = self.take(2)?.try_into().map_err(|_| cut())?;
        modified_utf8(self.take(usize::from(u16::from_be_bytes(bytes)))?)
            .ok_or_else(|| damaged("a name in the keystore is not modified UTF-8"))
    }

    fn block(&mut self) -> Result<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }

    fn entry(&mut self, version: usize, container_type: ContainerType) -> Result<RawEntry<'a>> {
        let tag = self.number()?;
        let alias = self.utf()?;
        if alias.len() > MAX_ALIAS_BYTES || alias.chars().any(char::is_control) {
            return Err(damaged(
                "an alias of the keystore is over long or holds control characters",
            ));
        }
        self.take(8)?;
        let content = match tag {
            1 => {
                let protected = self.block()?;
                let count = self.number()?;
                let mut chain = Vec::new();
                for _ in 0..count {
                    chain.push(self.certificate(version)?.to_vec());
                }
                RawContent::PrivateKey { protected, chain }
            }
            2 => RawContent::Certificate(self.certificate(version)?),
            3 if container_type == ContainerType::Jceks => {
                let (sealed, length) = read_sealed(self.0)?;
                self.take(length)?;
                RawContent::SecretKey(sealed)
            }
            _ => return Err(damaged("the keystore has an entry of an unknown kind")),
        };
        Ok(RawEntry { alias, content })
    }

    fn certificate(&mut self, version: usize) -> Result<&'a [u8]> {
        if version == 2 && self.utf()? != "X.509" {
            return Err(Error::new(ErrorKind::Unsupported, "a certificate is not of type X.509"));
        }
        let certificate = self.block()?;
        if is_certificate(certificate) {
            Ok(certificate)
        } else {
            Err(damaged("a certificate of the keystore is not X.509 in DER"))
        }
    }
}

/// The digest at the end: SHA-1 over the password in UTF-16BE, a fixed text, and all before it.
fn check_digest(data: &[u8], digest: &[u8], password: &SecretString) -> Result<()> {
    let hash = Sha1::new_with_prefix(utf16(password).as_slice())
        .chain_update(b"Mighty Aphrodite")
        .chain_update(data)
        .finalize();
    if SecretBytes::from_slice(&hash).ct_eq(digest) {
        Ok(())
    } else {
        Err(Error::new(
            ErrorKind::WrongPassword,
            "wrong store password, or the keystore is damaged",
        ))
    }
}

fn utf16(password: &SecretString) -> Zeroizing<Vec<u8>> {
    // EXPOSE: the bytes that Java hashes.
    let text = password.expose_secret();
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() * 2));
    for unit in text.encode_utf16() {
        bytes.extend_from_slice(&unit.to_be_bytes());
    }
    bytes
}

fn open_private_key(
    protected: &[u8],
    password: Option<&SecretString>,
    work: &WorkLeft,
) -> Result<SecretBytes> {
    let password = password.ok_or_else(no_password)?;
    let not_protected = || damaged("the private key is not an EncryptedPrivateKeyInfo");
    let outer = elements(protected).ok_or_else(not_protected)?;
    let [algorithm, content] = outer.as_slice() else { return Err(not_protected()) };
    let algorithm = super::der::parts(algorithm.value()).ok_or_else(not_protected)?;
    let oid = algorithm.first().ok_or_else(not_protected)?;
    if content.tag() != Tag::OctetString || oid.tag() != Tag::ObjectIdentifier {
        return Err(not_protected());
    }
    let key = if oid.value() == JKS_PROTECTOR {
        open_jks(content.value(), password)?
    } else if oid.value() == JCEKS_PROTECTOR {
        let parameters = algorithm.get(1).ok_or_else(not_protected)?;
        open_pbe(parameters.value(), content.value(), password, work)?
    } else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the private key is protected with an algorithm that is not built in",
        ));
    };
    if is_private_key_info(&key) {
        Ok(SecretBytes::from_slice(&key))
    } else {
        Err(wrong_password())
    }
}

/// Sun's JKS protection: a key stream of chained SHA-1, and SHA-1 over password and key as a check.
fn open_jks(content: &[u8], password: &SecretString) -> Result<Zeroizing<Vec<u8>>> {
    let (salt, rest) = content.split_at_checked(DIGEST_BYTES).ok_or_else(wrong_password)?;
    let length = rest.len().checked_sub(DIGEST_BYTES).ok_or_else(wrong_password)?;
    let (masked, check) = rest.split_at_checked(length).ok_or_else(wrong_password)?;
    let password = utf16(password);
    let keyed = Sha1::new_with_prefix(password.as_slice());
    let mut block = Zeroizing::new(salt.to_vec());
    let mut key = Zeroizing::new(Vec::with_capacity(masked.len()));
    for chunk in masked.chunks(DIGEST_BYTES) {
        block = Zeroizing::new(keyed.clone().chain_update(block.as_slice()).finalize().to_vec());
        key.extend(chunk.iter().zip(block.iter()).map(|(byte, mask)| byte ^ mask));
    }
    let digest = keyed.chain_update(key.as_slice()).finalize();
    if SecretBytes::from_slice(&digest).ct_eq(check) { Ok(key) } else { Err(wrong_password()) }
}

fn open_sealed(
    sealed: &SealedObject,
    password: Option<&SecretString>,
    work: &WorkLeft,
) -> Result<Zeroizing<Vec<u8>>> {
    let password = password.ok_or_else(no_password)?;
    let parameters = ::der::asn1::AnyRef::try_from(sealed.parameters.as_slice())
        .map_err(|_| damaged("the parameters of a sealed key are not DER"))?;
    let plain = open_pbe(parameters.value(), &sealed.content, password, work)?;
    // Any object stream starts so; other bytes mean that the padding fitted by chance.
    if plain.starts_with(&[0xac, 0xed]) { Ok(plain) } else { Err(wrong_password()) }
}

/// PBEWithMD5AndTripleDES, Sun's own: each half of the salt is hashed with the password by chained MD5.
fn open_pbe(
    parameters: &[u8],
    content: &[u8],
    password: &SecretString,
    work: &WorkLeft,
) -> Result<Zeroizing<Vec<u8>>> {
    let bad = || damaged("the key protection parameters are not a salt and an iteration count");
    let parts = super::der::parts(parameters).ok_or_else(bad)?;
    let [salt, iterations] = parts.as_slice() else { return Err(bad()) };
    if salt.tag() != Tag::OctetString || iterations.tag() != Tag::Integer {
        return Err(bad());
    }
    let salt: [u8; 8] = salt.value().try_into().map_err(|_| bad())?;
    let iterations = iteration_count(iterations.value()).ok_or_else(bad)?;
    work.spend(iterations)?;
    // EXPOSE: the key derivation reads the password.
    let password = password.expose_secret().as_bytes();
    if !password.is_ascii() {
        return Err(Error::new(ErrorKind::WrongPassword, "JCEKS entry passwords are ASCII only"));
    }
    let derived = derive(salt, password, iterations);
    let (key, iv) = derived.split_at_checked(24).ok_or_else(bad)?;
    let cipher =
        cbc::Decryptor::<des::TdesEde3>::new_from_slices(key, iv).map_err(|_| wrong_password())?;
    cipher.decrypt_padded_vec::<Pkcs7>(content).map(Zeroizing::new).map_err(|_| wrong_password())
}

fn derive(salt: [u8; 8], password: &[u8], iterations: u64) -> Zeroizing<Vec<u8>> {
    let [a, b, c, d, e, f, g, h] = salt;
    let second = [e, f, g, h];
    // Equal halves: Java means to reverse the first but writes this; every store since depends on it.
    let first = if [a, b, c, d] == second { [d, a, b, d] } else { [a, b, c, d] };
    let mut derived = Zeroizing::new(Vec::with_capacity(32));
    let mut block = Zeroizing::new([0; 16]);
    for half in [first, second] {
        for round in 0..iterations {
            let before: &[u8] = if round == 0 { &half } else { block.as_slice() };
            let hash = Md5::new_with_prefix(before).chain_update(password).finalize();
            block.copy_from_slice(&hash);
        }
        derived.extend_from_slice(block.as_slice());
    }
    derived
}

fn iteration_count(integer: &[u8]) -> Option<u64> {
    let digits = magnitude(integer).filter(|digits| digits.len() <= 8)?;
    Some(digits.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn cut() -> Error {
    damaged("the keystore is cut or altered")
}

fn damaged(text: &'static str) -> Error {
    Error::new(ErrorKind::Damaged, text)
}

fn wrong_password() -> Error {
    Error::new(ErrorKind::WrongPassword, "the entry password does not open the entry")
        .with_help("set entry_password for the store; without one the store password is used")
}

fn no_password() -> Error {
    Error::new(ErrorKind::WrongPassword, "the entry is protected and no password was given")
        .with_help("set store_password for the store, or entry_password where it differs")
}

const DIGEST_BYTES: usize = 20;
const MAX_ALIAS_BYTES: usize = 4096;
const SEAL_ALGORITHM: &str = "PBEWithMD5AndTripleDES";
/// 1.3.6.1.4.1.42.2.17.1.1, Sun's JKS key protector.
const JKS_PROTECTOR: [u8; 10] = [0x2b, 6, 1, 4, 1, 0x2a, 2, 0x11, 1, 1];
/// 1.3.6.1.4.1.42.2.19.1, Sun's JCE key protector.
const JCEKS_PROTECTOR: [u8; 9] = [0x2b, 6, 1, 4, 1, 0x2a, 2, 0x13, 1];
