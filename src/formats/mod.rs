//! Containers: bytes and a password in, entries out; no IO, no clock, every reader bounded.

mod asn1;
pub mod der;
mod java_serialization;
pub mod jks;
pub mod jwk;
pub mod jwk_public;
mod jwk_write;
pub(crate) mod pbe;
pub mod pem;
mod pem_legacy;
pub mod pkcs12;
mod public_half;
pub mod sealed;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::{SecretBytes, SecretString};

/// What a container is. [`sniff`] tells them apart by their bytes, never by a file name.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ContainerType {
    /// One DER certificate, SubjectPublicKeyInfo or PKCS#8 key.
    Der,
    /// Java's JCEKS keystore.
    Jceks,
    /// Java's JKS keystore.
    Jks,
    /// One JSON Web Key (RFC 7517).
    Jwk,
    /// A JSON Web Key set (RFC 7517 §5).
    Jwks,
    /// PEM text (RFC 7468).
    Pem,
    /// PKCS#12 (RFC 7292).
    Pkcs12,
}

impl ContainerType {
    /// The name in configuration and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Der => "der",
            Self::Jceks => "jceks",
            Self::Jks => "jks",
            Self::Jwk => "jwk",
            Self::Jwks => "jwks",
            Self::Pem => "pem",
            Self::Pkcs12 => "pkcs12",
        }
    }

    /// Whether the format compares aliases without case, as Java does.
    #[must_use]
    pub const fn ignores_alias_case(self) -> bool {
        matches!(self, Self::Jceks | Self::Jks | Self::Pkcs12)
    }
}

/// What a secret key is for, as its container says.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SecretKeyType {
    /// AES.
    Aes,
    /// HMAC of any digest.
    Hmac,
    /// Another algorithm, by the container's name for it (`DES`, `DESede`, an OID).
    /// `oct` is a JWK that does not say: it may serve AES and HMAC.
    Other(String),
}

/// The secret or public content of an entry.
#[derive(Debug)]
#[non_exhaustive]
pub enum Material {
    /// Certificates without a key, in [`Entry::chain`].
    Certificate,
    /// A private key: PKCS#8 PrivateKeyInfo in DER (RFC 5208 or RFC 5958).
    PrivateKey(SecretBytes),
    /// A public key: SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7).
    PublicKey(Vec<u8>),
    /// Bytes that are no key (a password).
    Secret(SecretBytes),
    /// A symmetric key, raw.
    SecretKey {
        /// What it is for.
        key_type: SecretKeyType,
        /// The raw key.
        bytes: SecretBytes,
    },
    /// An entry that is there but cannot be served; the others still are. The error says why.
    Unreadable(Error),
}

/// What a JWK says about its use, kept so that loading can check it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct JwkHints {
    /// `kid`.
    pub kid: Option<String>,
    /// `alg`.
    pub alg: Option<String>,
    /// `use`.
    pub usage: Option<String>,
    /// `key_ops`.
    pub key_ops: Vec<String>,
}

/// One entry of a container.
#[derive(Debug)]
pub struct Entry {
    /// The alias as the container has it; a number from 1 where it has none.
    pub alias: String,
    /// The content.
    pub material: Material,
    /// DER certificates, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// What a JWK adds; empty for other containers.
    pub hints: JwkHints,
}

impl Entry {
    /// An entry without certificates or hints.
    #[must_use]
    pub fn new(alias: impl Into<String>, material: Material) -> Self {
        Self { alias: alias.into(), material, chain: Vec::new(), hints: JwkHints::default() }
    }
}

/// A container that was opened.
#[derive(Debug)]
pub struct Container {
    /// What it is.
    pub container_type: ContainerType,
    /// Its entries, in the order of the file; no two with the same alias.
    pub entries: Vec<Entry>,
    /// What the operator should know: legacy algorithms read, no integrity check, duplicates.
    pub warnings: Vec<String>,
}

/// The passwords of a container.
#[derive(Debug, Default)]
pub struct Passwords<'a> {
    /// The store's; `None` where none was given (differs from an empty one).
    pub store: Option<&'a SecretString>,
    /// The entries'; `None` means the store's.
    pub entry: Option<&'a SecretString>,
}

/// Bounds that hold before any work is done.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest file, in bytes.
    pub max_bytes: usize,
    /// Iterations of one key derivation.
    pub max_iterations: u64,
    /// Iterations of all key derivations of one container together. Equal derivations count once.
    pub max_total_iterations: u64,
    /// Nesting of ASN.1 elements.
    pub max_depth: usize,
    /// Entries.
    pub max_entries: usize,
    /// Private keys: each is proven when it is described or served.
    pub max_private_keys: usize,
    /// The largest JWK or JWK set, in bytes: its values take many times that while they are read.
    pub max_jwk_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 16 << 20,
            max_iterations: 5_000_000,
            max_total_iterations: 20_000_000,
            max_depth: 32,
            max_entries: 10_000,
            max_private_keys: 1_000,
            max_jwk_bytes: 1 << 20,
        }
    }
}

/// What `bytes` are, by their content alone; `None` if nothing known.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Option<ContainerType> {
    if bytes.starts_with(&jks::JKS_MAGIC) {
        return Some(ContainerType::Jks);
    }
    if bytes.starts_with(&jks::JCEKS_MAGIC) {
        return Some(ContainerType::Jceks);
    }
    let has_block = || contains(bytes, b"-----BEGIN ");
    if bytes.first() == Some(&DER_SEQUENCE) && !(is_text(bytes) && has_block()) {
        return Some(sniff_der(bytes));
    }
    if looks_like_json(bytes) {
        return Some(if jwk::is_set(bytes) { ContainerType::Jwks } else { ContainerType::Jwk });
    }
    has_block().then_some(ContainerType::Pem)
}

/// Text in front of a PEM block may begin with a zero, which is the tag of a SEQUENCE; no key or certificate
/// in DER is without control characters.
fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace())
}

fn looks_like_json(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
}

/// A SEQUENCE that begins with version 3 and a ContentInfo is a PFX (RFC 7292 §4); other versions than those
/// of private keys (RFC 5958 §2: 0 and 1) go to the same reader, which names them.
fn sniff_der(bytes: &[u8]) -> ContainerType {
    match after_header(bytes) {
        Some([2, 1, version, DER_SEQUENCE, _, rest @ ..])
            if *version > 1 && rest.iter().take(9).any(|byte| *byte == 6) =>
        {
            ContainerType::Pkcs12
        }
        _ => ContainerType::Der,
    }
}

/// What stands behind the tag and the length of an element.
fn after_header(bytes: &[u8]) -> Option<&[u8]> {
    let header = match bytes.get(1) {
        // X.690 §8.1.3.5: so many bytes of length follow.
        Some(first @ 0x81..=0x88) => 2 + usize::from(first & 0x0f),
        _ => 2,
    };
    bytes.get(header..)
}

/// Opens a container: `insist` is the type that the operator named, else the content decides.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`] for a file beyond the bound, [`ErrorKind::Unsupported`] for a format that
/// is not read here, [`ErrorKind::Damaged`] where the content is not what `insist` says, and the reader's own.
pub fn open(
    bytes: &[u8],
    insist: Option<ContainerType>,
    passwords: &Passwords<'_>,
    limits: &Limits,
    require_integrity: bool,
) -> Result<Container> {
    if bytes.len() > limits.max_bytes {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            format!("{} bytes are more than the bound of {}", bytes.len(), limits.max_bytes),
        ));
    }
    if looks_like_json(bytes) && bytes.len() > limits.max_jwk_bytes {
        let text = format!(
            "{} bytes of JSON are more than the bound of {}",
            bytes.len(),
            limits.max_jwk_bytes
        );
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    }
    let found = sniff(bytes).ok_or_else(|| not_readable(bytes))?;
    if let Some(insist) = insist.filter(|insist| *insist != found) {
        return Err(Error::new(
            ErrorKind::Damaged,
            format!("the content is {}, not {}", found.name(), insist.name()),
        )
        .with_help("leave the type out: it is told by the content"));
    }
    let opened = read(found, bytes, passwords, limits, require_integrity)?;
    let is_private = |entry: &&Entry| matches!(entry.material, Material::PrivateKey(_));
    let keys = opened.entries.iter().filter(is_private).count();
    if keys > limits.max_private_keys {
        let text =
            format!("{keys} private keys are more than the bound of {}", limits.max_private_keys);
        return Err(Error::new(ErrorKind::LimitExceeded, text).with_help("use several keystores"));
    }
    Ok(opened)
}

fn read(
    found: ContainerType,
    bytes: &[u8],
    passwords: &Passwords<'_>,
    limits: &Limits,
    require_integrity: bool,
) -> Result<Container> {
    match found {
        ContainerType::Jks | ContainerType::Jceks => {
            jks::read(bytes, passwords, limits, require_integrity)
        }
        ContainerType::Der => der::read(bytes, passwords, limits).map_err(|error| {
            if error.kind() == ErrorKind::Damaged { foreign(bytes).unwrap_or(error) } else { error }
        }),
        ContainerType::Jwk | ContainerType::Jwks => jwk::read(bytes, limits),
        ContainerType::Pem => pem::read(bytes, passwords, limits),
        ContainerType::Pkcs12 => pkcs12::read(bytes, passwords, limits, require_integrity),
    }
}

fn not_readable(bytes: &[u8]) -> Error {
    if bytes.trim_ascii().is_empty() {
        return Error::new(ErrorKind::Damaged, "it is empty");
    }
    foreign(bytes).unwrap_or_else(|| {
        Error::new(
            ErrorKind::Damaged,
            "neither PKCS#12, JKS, JCEKS, PEM, JWK nor a DER certificate or key",
        )
    })
}

/// The error for what is known but not read: encrypted JWKs, and Bouncy Castle's formats by their first bytes. BKS and UBER start with a version from 1 to
/// 2 and a salt of 20 bytes; BCFKS is a SEQUENCE of a PBES2 content and an integrity check, one level deeper
/// than an encrypted private key.
fn foreign(bytes: &[u8]) -> Option<Error> {
    // A compact JWE (RFC 7516 §7.1): five parts, the first a JSON object in base64url.
    if bytes.starts_with(b"eyJ") && bytes.iter().filter(|byte| **byte == b'.').count() == 4 {
        return Some(jwk::encrypted());
    }
    let name = match bytes {
        [0, 0, 0, 1 | 2, 0, 0, 0, 20, ..] => "BKS or UBER",
        _ if third_level(bytes).is_some_and(|content| content.starts_with(&PBES2)) => "BCFKS",
        _ => return None,
    };
    Some(Error::new(ErrorKind::Unsupported, format!("{name} keystores are not read")).with_help(
        "convert it with keytool -importkeystore -srckeystore FILE -srcstoretype TYPE \
             -providerpath bcprov.jar -provider org.bouncycastle.jce.provider.BouncyCastleProvider \
             -destkeystore FILE.p12 -deststoretype PKCS12",
    ))
}

/// What begins inside three SEQUENCEs, each the first element of the one around it.
fn third_level(bytes: &[u8]) -> Option<&[u8]> {
    (0..3).try_fold(bytes, |bytes, _| {
        bytes.first().filter(|tag| **tag == DER_SEQUENCE).and_then(|_| after_header(bytes))
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

const DER_SEQUENCE: u8 = 0x30;
/// The OBJECT IDENTIFIER 1.2.840.113549.1.5.13 (RFC 8018 §A.4).
const PBES2: [u8; 11] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
