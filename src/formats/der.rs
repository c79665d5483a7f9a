//! DER files (certificates, public and private keys), and the shapes of keys that every reader shares.

use std::sync::atomic::{AtomicU64, Ordering};

use ::der::asn1::{AnyRef, ObjectIdentifier};
use ::der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

use super::{Container, ContainerType, Entry, Limits, Material, Passwords};

/// Reads one DER certificate, SubjectPublicKeyInfo, or private key (PKCS#8 plain or encrypted, PKCS#1, SEC1).
///
/// # Errors
/// [`ErrorKind::Damaged`] if it is none of these; [`ErrorKind::WrongPassword`] for an encrypted key that
/// the store password does not open.
pub fn read(bytes: &[u8], passwords: &Passwords<'_>, limits: &Limits) -> Result<Container> {
    let mut warnings = Vec::new();
    let entry = if is_certificate(bytes) {
        Entry { chain: vec![bytes.to_vec()], ..Entry::new("1", Material::Certificate) }
    } else if is_encrypted_private_key(bytes) {
        let password = passwords.entry.or(passwords.store).ok_or_else(no_password)?;
        let opened = decrypt(bytes, password, &WorkLeft::new(limits))?;
        warnings.extend(opened.warning());
        Entry::new("1", Material::PrivateKey(opened.key))
    } else if let Some(public) = public_key(bytes) {
        Entry::new("1", Material::PublicKey(public))
    } else {
        Entry::new("1", Material::PrivateKey(private_key(bytes)?))
    };
    Ok(Container { container_type: ContainerType::Der, entries: vec![entry], warnings })
}

/// A private key that was encrypted.
pub(super) struct Opened {
    pub(super) key: SecretBytes,
    /// The legacy algorithms that it was encrypted with.
    legacy: Vec<&'static str>,
}

impl Opened {
    /// What the operator should know.
    pub(super) fn warning(&self) -> Option<String> {
        let names = self.legacy.join(", ");
        (!self.legacy.is_empty()).then(|| {
            format!(
                "a private key is encrypted with legacy algorithms ({names}): convert it with \
                 openssl pkcs8 -topk8 -in FILE -out NEW"
            )
        })
    }
}

/// Decrypts an EncryptedPrivateKeyInfo (RFC 5958 §3) and checks that a PrivateKeyInfo came out.
pub(super) fn decrypt(
    encrypted: &[u8],
    password: &crate::secret::SecretString,
    work: &WorkLeft,
) -> Result<Opened> {
    let scrypt = pkcs8::EncryptedPrivateKeyInfoRef::try_from(encrypted).ok().filter(|info| {
        info.encryption_algorithm.pbes2().is_some_and(|scheme| scheme.kdf.scrypt().is_some())
    });
    let opened = match scrypt {
        Some(info) => {
            bound_scrypt(&info, work)?;
            // EXPOSE: the key derivation reads the password.
            let document = info.decrypt(password.expose_secret()).map_err(|_| wrong_password())?;
            Opened { key: SecretBytes::from_slice(document.as_bytes()), legacy: Vec::new() }
        }
        None => decrypt_pbe(encrypted, password, work)?,
    };
    // EXPOSE: the shape alone is looked at.
    if is_private_key_info(opened.key.expose_secret()) { Ok(opened) } else { Err(wrong_password()) }
}

/// Everything but scrypt is read as in PKCS#12.
fn decrypt_pbe(
    encrypted: &[u8],
    password: &crate::secret::SecretString,
    work: &WorkLeft,
) -> Result<Opened> {
    let limits = Limits {
        max_iterations: work.each,
        max_total_iterations: work.left(),
        ..Limits::default()
    };
    let mut spent = super::pbe::Work::new(&limits);
    let plain = super::pbe::decrypt_private_key_info(encrypted, password, &mut spent);
    work.take(spent.spent());
    let legacy = spent.legacy;
    plain.map(|key| Opened { key, legacy }).map_err(|error| {
        if error.kind() == ErrorKind::WrongPassword { wrong_password() } else { error }
    })
}

/// A PrivateKeyInfo from PKCS#8, PKCS#1 or SEC1 DER.
///
/// # Errors
/// [`ErrorKind::Damaged`] if it is none of them.
pub(super) fn private_key(bytes: &[u8]) -> Result<SecretBytes> {
    if is_private_key_info(bytes) {
        return Ok(SecretBytes::from_slice(bytes));
    }
    if is_rsa_private_key(bytes) {
        return rsa_to_pkcs8(bytes);
    }
    if elements(bytes).is_some_and(|parts| is_sec1(&parts)) {
        return sec1_to_pkcs8(bytes, None);
    }
    Err(damaged("neither a certificate nor a key in DER"))
}

/// Wraps a PKCS#1 RSAPrivateKey (RFC 8017 §A.1.2).
pub(super) fn rsa_to_pkcs8(pkcs1: &[u8]) -> Result<SecretBytes> {
    if !is_rsa_private_key(pkcs1) {
        return Err(damaged("not an RSA private key"));
    }
    private_key_info(&rsa_algorithm()?, pkcs1)
}

/// Wraps a SEC1 ECPrivateKey (RFC 5915 §3); `parameters` serves where the key names no curve.
pub(super) fn sec1_to_pkcs8(sec1: &[u8], parameters: Option<&[u8]>) -> Result<SecretBytes> {
    let parts = elements(sec1).filter(|parts| is_sec1(parts));
    let parts = parts.ok_or_else(|| damaged("not an EC private key"))?;
    let own = parts.iter().find(|part| part.tag() == context(0)).map(|part| part.value());
    let curve = own.or(parameters).ok_or_else(|| damaged("the EC private key names no curve"))?;
    let curve = ObjectIdentifier::from_der(curve).map_err(|_| {
        Error::new(ErrorKind::Unsupported, "the EC private key has explicit curve parameters")
            .with_help("convert it to a named curve: openssl ec -param_enc named_curve")
    })?;
    private_key_info(&ec_algorithm(&curve)?, sec1)
}

/// The SubjectPublicKeyInfo, if `bytes` are one; a PKCS#1 RSAPublicKey is wrapped.
pub(super) fn public_key(bytes: &[u8]) -> Option<Vec<u8>> {
    let parts = elements(bytes)?;
    let tags: Vec<Tag> = parts.iter().map(|part| part.tag()).collect();
    match tags.as_slice() {
        [Tag::Sequence, Tag::BitString] => Some(bytes.to_vec()),
        [Tag::Integer, Tag::Integer] => rsa_public_to_spki(bytes).ok(),
        _ => None,
    }
}

/// Wraps a PKCS#1 RSAPublicKey (RFC 8017 §A.1.1).
pub(super) fn rsa_public_to_spki(pkcs1: &[u8]) -> Result<Vec<u8>> {
    spki(&rsa_algorithm()?, pkcs1)
}

/// A SubjectPublicKeyInfo of an encoded AlgorithmIdentifier and the key's bytes.
pub(super) fn spki(algorithm: &[u8], key: &[u8]) -> Result<Vec<u8>> {
    let mut bits = vec![0];
    bits.extend_from_slice(key);
    Ok(sequence(&[algorithm, &element(Tag::BitString, &bits)?])?.to_vec())
}

/// A PrivateKeyInfo, version 0, of an encoded AlgorithmIdentifier and the key's bytes.
pub(super) fn private_key_info(algorithm: &[u8], key: &[u8]) -> Result<SecretBytes> {
    let info = sequence(&[&VERSION_0, algorithm, &element(Tag::OctetString, key)?])?;
    Ok(SecretBytes::from_slice(&info))
}

/// The AlgorithmIdentifier `rsaEncryption` (RFC 3279 §2.3.1).
pub(super) fn rsa_algorithm() -> Result<Zeroizing<Vec<u8>>> {
    sequence(&[&element(Tag::ObjectIdentifier, RSA.as_bytes())?, &[5, 0]])
}

/// The AlgorithmIdentifier `id-ecPublicKey` with a named curve (RFC 5480 §2.1.1).
pub(super) fn ec_algorithm(curve: &ObjectIdentifier) -> Result<Zeroizing<Vec<u8>>> {
    sequence(&[
        &element(Tag::ObjectIdentifier, EC.as_bytes())?,
        &element(Tag::ObjectIdentifier, curve.as_bytes())?,
    ])
}

/// The AlgorithmIdentifier of an OID without parameters (RFC 8410 §3).
pub(super) fn bare_algorithm(oid: &ObjectIdentifier) -> Result<Zeroizing<Vec<u8>>> {
    sequence(&[&element(Tag::ObjectIdentifier, oid.as_bytes())?])
}

/// A SEQUENCE of encoded parts.
pub(super) fn sequence(parts: &[&[u8]]) -> Result<Zeroizing<Vec<u8>>> {
    element(Tag::Sequence, &Zeroizing::new(parts.concat()))
}

/// One encoded element.
pub(super) fn element(tag: Tag, value: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let encoded = AnyRef::new(tag, value).and_then(|any| any.to_der());
    encoded.map(Zeroizing::new).map_err(|_| Error::new(ErrorKind::Bug, "DER encoding failed"))
}

/// An INTEGER of an unsigned big-endian number.
pub(super) fn unsigned(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let mut value = Zeroizing::new(vec![0]);
    value.extend_from_slice(bytes.get(start..).unwrap_or_default());
    let spare = matches!(value.as_slice(), [0, second, ..] if second & 0x80 == 0);
    element(Tag::Integer, value.get(usize::from(spare)..).unwrap_or_default())
}

/// The bytes of a non-negative INTEGER without leading zeros; `None` for a negative one.
pub(super) fn magnitude(integer: &[u8]) -> Option<&[u8]> {
    match integer {
        [first, ..] if first & 0x80 != 0 => None,
        [0, rest @ ..] => Some(rest),
        [] => None,
        all => Some(all),
    }
}

/// The elements inside one SEQUENCE that spans all of `bytes`.
pub(super) fn elements(bytes: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let outer = AnyRef::from_der(bytes).ok().filter(|outer| outer.tag() == Tag::Sequence)?;
    parts(outer.value())
}

/// The elements side by side in `bytes`; bounded, for no key or certificate has more.
pub(super) fn parts(bytes: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        found.push(AnyRef::decode(&mut reader).ok()?);
        if found.len() > MAX_ELEMENTS {
            return None;
        }
    }
    Some(found)
}

/// Whether `bytes` are one X.509 certificate and nothing else.
pub(super) fn is_certificate(bytes: &[u8]) -> bool {
    certificate(bytes).is_some()
}

/// The certificate, if `bytes` are one and nothing else.
pub(super) fn certificate(bytes: &[u8]) -> Option<x509_parser::certificate::X509Certificate<'_>> {
    let (rest, certificate) = x509_parser::parse_x509_certificate(bytes).ok()?;
    rest.is_empty().then_some(certificate)
}

/// Whether `bytes` are one PrivateKeyInfo or OneAsymmetricKey (RFC 5958 §2) and nothing else.
pub(super) fn is_private_key_info(bytes: &[u8]) -> bool {
    pkcs8::PrivateKeyInfoRef::try_from(bytes).is_ok()
}

fn is_encrypted_private_key(bytes: &[u8]) -> bool {
    elements(bytes).is_some_and(|parts| match parts.as_slice() {
        [algorithm, content] => {
            algorithm.tag() == Tag::Sequence && content.tag() == Tag::OctetString
        }
        _ => false,
    })
}

/// Of two primes, or of more (`otherPrimeInfos`): these are refused by name where keys are parsed.
fn is_rsa_private_key(bytes: &[u8]) -> bool {
    let Some(parts) = elements(bytes) else { return false };
    let (version, others) = match parts.len() {
        9 => (0, None),
        10 => (1, parts.last()),
        _ => return false,
    };
    others.is_none_or(|others| others.tag() == Tag::Sequence)
        && parts.iter().take(9).all(|part| part.tag() == Tag::Integer)
        && parts.first().is_some_and(|part| part.value() == [version])
}

fn is_sec1(parts: &[AnyRef<'_>]) -> bool {
    match parts {
        [version, key, rest @ ..] => {
            version.tag() == Tag::Integer
                && version.value() == [1]
                && key.tag() == Tag::OctetString
                && rest.iter().all(|part| part.tag() == context(0) || part.tag() == context(1))
        }
        _ => false,
    }
}

/// Refuses an scrypt that costs more than the bounds, before it is run (RFC 7914 §2).
fn bound_scrypt(info: &pkcs8::EncryptedPrivateKeyInfoRef<'_>, work: &WorkLeft) -> Result<()> {
    let Some(scrypt) = info.encryption_algorithm.pbes2().and_then(|scheme| scheme.kdf.scrypt())
    else {
        return Ok(());
    };
    let memory = scrypt.cost_parameter.saturating_mul(u64::from(scrypt.block_size));
    let time = memory.saturating_mul(u64::from(scrypt.parallelization));
    if memory > MAX_SCRYPT_MEMORY || time > MAX_SCRYPT_TIME {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!(
                "scrypt with N times r of {memory} and p of {} is more than the bound of {MAX_SCRYPT_MEMORY}",
                scrypt.parallelization
            ),
        )
        .with_help("encrypt the key again: openssl pkcs8 -topk8 -in FILE -out NEW"));
    }
    work.spend(time.div_ceil(8))
}

/// Iterations that may still be spent on one container; an scrypt block of 1 KiB counts as one.
pub(super) struct WorkLeft {
    each: u64,
    /// Shared by threads that open entries of one container.
    total: AtomicU64,
}

impl WorkLeft {
    fn left(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    fn take(&self, iterations: u64) {
        self.total.fetch_sub(iterations.min(self.left()), Ordering::Relaxed);
    }

    pub(super) const fn new(limits: &Limits) -> Self {
        Self { each: limits.max_iterations, total: AtomicU64::new(limits.max_total_iterations) }
    }

    /// Takes one derivation out of what is left, or refuses it.
    pub(super) fn spend(&self, iterations: u64) -> Result<()> {
        if iterations == 0 || iterations > self.each {
            return Err(beyond());
        }
        let take = |left: u64| left.checked_sub(iterations);
        let taken = self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.map(drop).map_err(|_| beyond())
    }
}

fn beyond() -> Error {
    Error::new(ErrorKind::LimitExceeded, "the iteration count of a key derivation is out of bounds")
}

/// The tag of a constructed context-specific element.
pub(super) const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

pub(super) fn damaged(text: &'static str) -> Error {
    Error::new(ErrorKind::Damaged, text)
}

pub(super) fn wrong_password() -> Error {
    Error::new(ErrorKind::WrongPassword, "the password does not open the encrypted private key")
        .with_help(PASSWORD_HELP)
}

pub(super) fn no_password() -> Error {
    Error::new(ErrorKind::WrongPassword, "the private key is encrypted and no password was given")
        .with_help(PASSWORD_HELP)
}

const PASSWORD_HELP: &str = "give the password of the encrypted key; for a volume or the environment it is the \
     secret of am.global.services.secret.pem.decryption";
const VERSION_0: [u8; 3] = [2, 1, 0];
const MAX_ELEMENTS: usize = 64;
/// scrypt's N times r: 64 MiB, four times what OpenSSL writes (RFC 7914 §2: 128 bytes each).
const MAX_SCRYPT_MEMORY: u64 = 1 << 19;
/// scrypt's N times r times p.
const MAX_SCRYPT_TIME: u64 = 1 << 20;

/// `rsaEncryption`.
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// `id-ecPublicKey`.
pub(super) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
