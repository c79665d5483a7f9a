//! Stores: where secrets lie. Each kind loads what a label means in it.

mod content;
mod convert;
pub(crate) mod draft;
mod environment;
mod files;
mod generation;
mod keystore;
pub mod password;
mod prepared;
mod value;
mod volume;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::crypto::Key;
use crate::error::Result;
use crate::formats::JwkHints;
use crate::label::{Alias, LabelName};
use crate::secret::SecretBytes;

pub use content::Content;
pub(crate) use content::read_password_file;
pub use environment::variable_of;
pub(crate) use files::Stamp;
pub use prepared::Prepared;

/// One variant a kind; the fields are the kind's options in `claviger.toml`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreConfig {
    /// `kind = "environment"`.
    Environment(EnvironmentOptions),
    /// `kind = "keystore"`.
    Keystore(KeystoreOptions),
    /// `kind = "volume"`.
    Volume(VolumeOptions),
}

/// Where a password comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the three forms of the setting")]
pub enum PasswordSource {
    /// `{ env = "NAME" }`: an environment variable.
    Env(String),
    /// `{ file = "path" }`: a file; one trailing newline is dropped.
    File(PathBuf),
    /// `{ label = "storepass" }`: a label of another store.
    Label(LabelName),
}

/// Options of `kind = "keystore"`.
#[derive(Clone, Debug)]
pub struct KeystoreOptions {
    /// The keystore file.
    pub path: PathBuf,
    /// `type`: insists on a format (`pkcs12`, `jks`, `jceks`); absent: told apart by content.
    pub container_type: Option<crate::formats::ContainerType>,
    /// `store_password`; absent: none.
    pub store_password: Option<PasswordSource>,
    /// `entry_password`; absent: the store password.
    pub entry_password: Option<PasswordSource>,
    /// `integrity`: `"none"` accepts containers without a MAC.
    pub require_integrity: bool,
    /// `lease`.
    pub lease: Option<Duration>,
}

/// How the files of a volume, or the variables of the environment, are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ValueFormat {
    /// `base64`: base64 of bytes.
    Base64,
    /// `encrypted-base64`: base64 of bytes, then sealed.
    EncryptedBase64,
    /// `encrypted-pem`: PEM text, then sealed.
    EncryptedPem,
    /// `encrypted-plain`: text, then sealed.
    EncryptedPlain,
    /// `jwk`: one JSON Web Key.
    Jwk,
    /// `pem`: any PEM blocks.
    Pem,
    /// `plain`: UTF-8 text.
    Plain,
}

impl ValueFormat {
    const fn is_pem(self) -> bool {
        matches!(self, Self::EncryptedPem | Self::Pem)
    }
}

/// `permissions`: what happens when others may read a file. Writable by others is always refused.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the values of the setting")]
pub enum Permissions {
    /// Nothing.
    Ignore,
    /// The file is refused.
    Refuse,
    /// A warning.
    #[default]
    Warn,
}

/// Options of `kind = "volume"`.
#[derive(Clone, Debug)]
pub struct VolumeOptions {
    /// The directory.
    pub directory: PathBuf,
    /// `format`.
    pub format: ValueFormat,
    /// `extension`, with its dot; empty: none.
    pub extension: String,
    /// `version_suffix`; empty: exactly one file a label.
    pub version_suffix: String,
    /// `permissions`.
    pub permissions: Permissions,
    /// `key`: opens the `encrypted-*` formats. A label of another store, a file, a variable.
    pub key: Option<PasswordSource>,
    /// `pem_password`; absent: the label `am.global.services.secret.pem.decryption`, if mapped.
    pub pem_password: Option<PasswordSource>,
    /// `lease`.
    pub lease: Option<Duration>,
}

/// Options of `kind = "environment"`.
#[derive(Clone, Debug)]
pub struct EnvironmentOptions {
    /// `format`.
    pub format: ValueFormat,
    /// `key`: opens the `encrypted-*` formats.
    pub key: Option<PasswordSource>,
    /// `pem_password`, as for volumes.
    pub pem_password: Option<PasswordSource>,
    /// `lease`.
    pub lease: Option<Duration>,
}

/// Something loaded for a label.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its alias; for volumes the file name without extension, for the environment the variable.
    pub alias: Alias,
    /// The key, certificate or password.
    pub key: Key,
    /// What a JWK says of itself: kid, algorithm, use.
    pub hints: JwkHints,
}

/// Loads what a label means in one place. A store is opened once and then only read.
pub trait SecretStore: fmt::Debug + Send + Sync {
    /// What stands behind `label`, active first; empty: not here. `aliases` is the mapping; kinds
    /// without mappings get an empty one and ignore it. One result per alias, so that one broken
    /// alias does not hide the others.
    fn load(&self, label: &LabelName, aliases: &[Alias]) -> Vec<(Alias, Result<Loaded>)>;

    /// Every alias in the store, for suggestions and for finding unused ones.
    fn aliases(&self) -> Vec<Alias>;

    /// The labels that a kind without mappings holds by itself (file names); empty for others.
    fn labels(&self) -> Vec<LabelName>;

    /// The files and directories that it was read from.
    fn files(&self) -> Vec<PathBuf>;

    /// What the operator should know about the store (legacy algorithms, file modes, odd names).
    fn warnings(&self) -> Vec<String>;

    /// How long its values hold; they are loaded again ahead of that time. `None`: for ever, unless the
    /// store's options say otherwise.
    fn lease(&self) -> Option<Duration> {
        None
    }

    /// Wipes every secret but those of the aliases in `keep`: what no mapping names is not kept in memory.
    fn forget(&self, keep: &[Alias]) {
        let _ = keep;
    }

    /// Whether these aliases can be loaded without opening the store again.
    fn still_holds(&self, aliases: &[Alias]) -> bool {
        let _ = aliases;
        true
    }
}

/// Answers where a password comes from; the keyring asks other stores for labels.
pub type Resolve<'r> = &'r dyn Fn(&PasswordSource) -> Result<SecretBytes>;

/// Reads and opens a store.
///
/// # Errors
/// The kinds of [`crate::formats::open`], and [`crate::error::ErrorKind::StoreUnreadable`].
pub fn open(options: &StoreConfig, resolve: Resolve<'_>) -> Result<Box<dyn SecretStore>> {
    open_content(options, &options.read()?, &Arc::new(Prepared::new()?), resolve)
}

/// Opens a store from what was read of it. Keys and values that `prepared` knows are not made again.
pub(crate) fn open_content(
    options: &StoreConfig,
    content: &Content,
    prepared: &Arc<Prepared>,
    resolve: Resolve<'_>,
) -> Result<Box<dyn SecretStore>> {
    Ok(match options {
        StoreConfig::Environment(options) => {
            Box::new(environment::EnvironmentStore::open(options, content, prepared, resolve)?)
        }
        StoreConfig::Keystore(options) => {
            Box::new(keystore::KeystoreStore::open(options, content, prepared, resolve)?)
        }
        StoreConfig::Volume(options) => {
            Box::new(volume::VolumeStore::open(options, content, prepared, resolve)?)
        }
    })
}

/// The keys of a JSON Web Key set or a single JWK, each with its alias (`kid`, else a number).
///
/// # Errors
/// Those of the reader; a key that cannot be used is left out and is among the results.
pub fn load_jwks(bytes: &[u8]) -> Result<Vec<(Alias, Result<Loaded>)>> {
    let limits = crate::formats::Limits::default();
    let passwords = crate::formats::Passwords::default();
    let container = crate::formats::open(bytes, None, &passwords, &limits, false)?;
    Ok(container
        .entries
        .into_iter()
        .filter_map(|entry| {
            let alias: Alias = entry.alias.parse().ok()?;
            let loaded = convert::key_of(&entry).map(|key| Loaded {
                alias: alias.clone(),
                key,
                hints: entry.hints.clone(),
            });
            Some((alias, loaded))
        })
        .collect())
}

/// The key of an entry of a container, parsed and proven.
///
/// # Errors
/// Those of [`Key::from_private`], [`Key::from_public`] and [`Key::from_secret`].
pub fn load_entry(entry: &crate::formats::Entry) -> Result<Key> {
    convert::key_of(entry)
}

/// Seals a value for the `encrypted-*` formats, as the stores read it.
///
/// # Errors
/// Those of the source, and [`crate::error::ErrorKind::Usage`] without one.
pub fn seal(source: Option<&PasswordSource>, value: &SecretBytes) -> Result<String> {
    // EXPOSE: into the cipher.
    crate::formats::sealed::encode(&source_key(source)?, value.expose_secret())
}

/// Opens what [`seal`] made.
///
/// # Errors
/// As [`seal`], and [`crate::error::ErrorKind::NotDecrypted`].
pub fn unseal(source: Option<&PasswordSource>, text: &str) -> Result<SecretBytes> {
    crate::formats::sealed::decode(&source_key(source)?, text)
}

/// Seals a value under a key as a store that names its label as `key` reads it.
pub(crate) fn seal_with(key: &Key, value: &SecretBytes) -> Result<String> {
    // EXPOSE: into the cipher.
    crate::formats::sealed::encode(&as_sealing_key(key)?, value.expose_secret())
}

/// Opens what [`seal_with`] made.
pub(crate) fn unseal_with(key: &Key, text: &str) -> Result<SecretBytes> {
    crate::formats::sealed::decode(&as_sealing_key(key)?, text)
}

fn as_sealing_key(key: &Key) -> Result<Key> {
    let bytes = key.reveal(SecretBytes::from_slice).ok_or_else(|| {
        crate::error::Error::new(crate::error::ErrorKind::KeyUnfit, "a key pair cannot seal values")
            .with_help("use a label with an AES key or a password")
    })?;
    value::sealing_key(&bytes)
}

fn source_key(source: Option<&PasswordSource>) -> Result<Key> {
    let missing = || {
        crate::error::Error::new(crate::error::ErrorKind::Usage, "no sealing key is named")
            .with_help("name it: --key-file FILE, --key-env NAME or --label LABEL")
    };
    value::sealing_key(&password::read(source.ok_or_else(missing)?)?)
}
