//! Containers: bytes and a password in, entries out; no IO, no clock, every reader bounded.

use crate::error::Error;
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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 16 << 20,
            max_iterations: 5_000_000,
            max_total_iterations: 20_000_000,
            max_depth: 32,
            max_entries: 100_000,
        }
    }
}
