//! The configuration as a checked value: what `claviger.toml` says once every rule of form holds.

mod access;
mod audit;
mod callers;
pub(crate) mod edit;
pub(crate) mod lines;
mod parse;
mod rate_limits;
mod reader;
mod rotation;
mod rules;
mod service;
mod sessions;
mod stores;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::access::Access;
use crate::alg::Algorithm;
use crate::label::{Alias, LabelName, Realm, StoreName};
use crate::problem::{Location, Problem};
use crate::stores::{PasswordSource, StoreConfig};

pub use audit::{
    AuditFailure, AuditRotation, AuditSettings, AuditTarget, AuditedUses, FailureMode,
};
pub(crate) use parse::without_mark;
pub use rate_limits::{Rate, RateLimits};
pub use rotation::{AliasPattern, Schedule};
pub use service::{
    ClientCa, Listen, ListenAddress, MinTls, ServerCertificate, ServiceLimits, ServiceSettings,
};
pub use sessions::{SessionLabel, SessionOrder, SessionSettings};

/// A value and its place in the file.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub location: Location,
}

/// A whole configuration file.
#[derive(Debug)]
pub struct Config {
    /// The file it was read from; relative paths in it were joined to its directory.
    pub file: PathBuf,
    /// `[keyring]`.
    pub keyring: KeyringSettings,
    /// `[policy]`.
    pub policy: Policy,
    /// `[rotation."…"]`.
    pub rotation: BTreeMap<LabelName, Placed<Schedule>>,
    /// `[sessions]`.
    pub sessions: SessionSettings,
    /// `[trace]`.
    pub trace: TraceSettings,
    /// `[service]`.
    pub service: ServiceSettings,
    /// `[[callers]]` and `[[grants]]`.
    pub access: Access,
    /// `[stores.*]`, in file order, the order in which they are asked.
    pub stores: Vec<StoreEntry>,
    /// `[labels."…"]`.
    pub labels: BTreeMap<LabelName, Placed<LabelSettings>>,
    /// Findings of form that do not stop it.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// The labels that it declares, maps, or takes passwords from; some of them several times.
    pub fn labels_named(&self) -> impl Iterator<Item = &LabelName> {
        let mapped = self.stores.iter().flat_map(|store| &store.mappings);
        let passwords = self.stores.iter().flat_map(|store| &store.places.passwords);
        let passwords = passwords.filter_map(|source| match &source.value {
            PasswordSource::Label(label) => Some(label),
            PasswordSource::Env(_) | PasswordSource::File(_) => None,
        });
        self.labels.keys().chain(mapped.map(|mapping| &mapping.label.value)).chain(passwords)
    }

    /// What it maps from a keystore file, however that is named: labels with their aliases and the realm of each.
    pub fn mapped_from(
        &self,
        keystore: &Path,
    ) -> impl Iterator<Item = (&LabelName, &Alias, Option<&Realm>)> {
        let wanted = keystore.canonicalize().ok();
        let stores = self.stores.iter().filter(move |store| match &store.options {
            StoreConfig::Keystore(options) => {
                wanted.is_some() && options.path.canonicalize().ok() == wanted
            }
            StoreConfig::Environment(_) | StoreConfig::Volume(_) => false,
        });
        stores.flat_map(|store| {
            let mapped = store.mappings.iter().flat_map(|mapping| {
                mapping.aliases.iter().map(|one| (&mapping.label.value, &one.alias.value))
            });
            mapped.map(|(label, alias)| (label, alias, store.realm.as_ref()))
        })
    }
}

/// `[keyring]`.
#[derive(Clone, Debug)]
pub struct KeyringSettings {
    /// Where journal and usage live. Absent: nothing is kept.
    pub state_dir: Option<PathBuf>,
    /// How changes of files are noticed.
    pub reload: Reload,
    /// How kids are made.
    pub kid: KidMode,
}

/// `[trace]`: what was verified and decrypted, recorded for `drill --plan`, never a token.
#[derive(Clone, Copy, Debug)]
pub struct TraceSettings {
    /// Whether it is recorded; default false. It needs `state_dir`.
    pub record: bool,
    /// The size of one file; default 16 MiB.
    pub max_bytes: u64,
    /// How many files are kept; default 4.
    pub max_files: u32,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self { record: false, max_bytes: 16 << 20, max_files: 4 }
    }
}

/// `keyring.reload`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the three values of the setting")]
pub enum Reload {
    /// `"off"`.
    Off,
    /// `"30s"`.
    Poll(Duration),
    /// `"watch"`, the default.
    Watch,
}

impl Reload {
    /// How late a process that follows its files may notice a change; `None`: it never does.
    #[must_use]
    pub const fn noticed_within(self) -> Option<Duration> {
        match self {
            Self::Off => None,
            Self::Poll(interval) => Some(interval),
            Self::Watch => Some(WATCH_LATENCY),
        }
    }
}

/// How soon a process that watches its files has noticed a change, at the latest.
const WATCH_LATENCY: Duration = Duration::from_secs(60);

/// `keyring.kid`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the values of the setting")]
pub enum KidMode {
    /// The alias itself.
    Alias,
    /// Ping AM's formula over alias, use and key.
    Am,
    /// RFC 7638 thumbprint.
    #[default]
    Rfc7638,
}

/// `[policy]`: what is refused at load or bounded at run time unless said otherwise.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Smallest RSA modulus that may act or verify; default 2048.
    pub min_rsa_bits: usize,
    /// Algorithms with status `off` that every label may use when its row allows them.
    pub legacy: Vec<&'static Algorithm>,
    /// Days before expiry at which `check` warns; default 90, 30, 7, 1.
    pub expiry_warn_days: Vec<u32>,
    /// What happens to the published demo keys of Ping AM; default a warning.
    pub demo_keys: DemoKeys,
    /// Accept HMAC keys shorter than the digest (RFC 7518 §3.2), with a warning; default false.
    pub allow_short_hmac_keys: bool,
    /// Messages that an AES-GCM key may encrypt under random nonces, under all its labels together; default
    /// and most 4,294,967,296 (NIST SP 800-38D §8.3).
    pub gcm_messages: u64,
    /// How long peers may cache a published key set; default one hour.
    pub jwks_max_age: Duration,
    /// `jwks_alg`.
    pub jwks_alg: crate::catalogue::JwkAlg,
    /// How far clocks may differ; default one minute.
    pub clock_skew: Duration,
    /// How long a key is published before it acts; absent: reckoned from caches, reload and skew.
    pub propagation: Option<Duration>,
    /// Bounds on tokens.
    pub limits: TokenLimits,
}

/// `policy.demo_keys`: everybody has the private halves of these keys.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the values of the setting")]
pub enum DemoKeys {
    /// Nothing is said.
    Allow,
    /// The configuration is refused.
    Refuse,
    /// A warning.
    #[default]
    Warn,
}

/// `[policy.limits]`: bounds that hold before any work on a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenLimits {
    /// A whole token, in bytes; default 65,536, at most 1,048,576.
    pub max_token_bytes: usize,
    /// A decoded protected header, in bytes; default 8,192.
    pub max_header_bytes: usize,
    /// Nesting of JSON; default 16.
    pub max_json_depth: usize,
    /// Signatures of a general JWS; default 16.
    pub max_signatures: usize,
    /// Recipients of a general JWE; default 16.
    pub max_recipients: usize,
    /// PBES2 `p2c`; default 10,000.
    pub max_p2c: u32,
    /// Inflated bytes of a `zip` payload; default 256,000.
    pub max_inflated_bytes: usize,
    /// A kid that names no key of the label, in bytes as the header spells it; default 256. A token with a longer
    /// one is refused before any key is tried: each of them would have to hash it.
    pub max_kid_bytes: usize,
    /// Keys tried for a token without a usable kid; default 16.
    pub max_tries: usize,
}

impl Default for TokenLimits {
    fn default() -> Self {
        Self {
            max_token_bytes: 64 << 10,
            max_header_bytes: 8 << 10,
            max_json_depth: 16,
            max_signatures: 16,
            max_recipients: 16,
            max_p2c: 10_000,
            max_inflated_bytes: 256_000,
            max_kid_bytes: 256,
            max_tries: 16,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            min_rsa_bits: 2048,
            legacy: Vec::new(),
            expiry_warn_days: vec![90, 30, 7, 1],
            demo_keys: DemoKeys::default(),
            allow_short_hmac_keys: false,
            gcm_messages: 1 << 32,
            jwks_max_age: Duration::from_secs(3_600),
            jwks_alg: crate::catalogue::JwkAlg::default(),
            clock_skew: Duration::from_secs(60),
            propagation: None,
            limits: TokenLimits::default(),
        }
    }
}

/// One `[stores.NAME]`.
#[derive(Debug)]
pub struct StoreEntry {
    /// Its name and place.
    pub name: Placed<StoreName>,
    /// The realm it belongs to; absent: global.
    pub realm: Option<Realm>,
    /// What it is.
    pub options: StoreConfig,
    /// Where it says what it is, for problems of opening it.
    pub places: StorePlaces,
    /// `[stores.NAME.mappings]`, in file order. Kinds whose file names are labels have none.
    pub mappings: Vec<Mapping>,
}

impl StoreEntry {
    /// The directory whose files are its secrets; kinds without one have none.
    #[must_use]
    pub fn volume(&self) -> Option<&Path> {
        match &self.options {
            StoreConfig::Volume(volume) => Some(&volume.directory),
            _ => None,
        }
    }
}

/// Where a store names its file and its passwords.
#[derive(Clone, Debug)]
pub struct StorePlaces {
    /// `path` or `directory`; of the environment its `kind`.
    pub content: Location,
    /// `store_password`, `entry_password`, `key` and `pem_password`, as far as they are there.
    pub passwords: Vec<Placed<PasswordSource>>,
}

/// One mapping: a label and its ordered aliases.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The label.
    pub label: Placed<LabelName>,
    /// The aliases; the first acts. Never empty, no repeats.
    pub aliases: Vec<MappedAlias>,
    /// Narrows the label's algorithms here.
    pub algorithms: Option<Vec<Placed<&'static Algorithm>>>,
}

/// One alias of a mapping.
#[derive(Clone, Debug)]
pub struct MappedAlias {
    /// The alias and its place.
    pub alias: Placed<Alias>,
    /// An explicit kid: `{ alias = "…", kid = "…" }`.
    pub kid: Option<String>,
}

/// `[labels."…"]`: declares a label of your own, or changes settings of a catalogue label.
#[derive(Clone, Debug, Default)]
pub struct LabelSettings {
    /// `use`; required for labels outside the catalogue.
    pub uses: Option<Placed<Vec<crate::catalogue::LabelUse>>>,
    /// `algorithms`: replaces the catalogue's list; naming an `off` row here switches it on.
    pub algorithms: Option<Vec<Placed<&'static Algorithm>>>,
    /// `max_token_lifetime`.
    pub max_token_lifetime: Option<Duration>,
    /// `valid`: whether a realm's list is joined by the global one.
    pub valid: ValidSet,
    /// `unknown_kid`.
    pub unknown_kid: UnknownKid,
    /// `max_tries`; absent: the policy's.
    pub max_tries: Option<usize>,
    /// `zip`: allow compressed JWE; default false.
    pub zip: bool,
    /// `kid`; absent: the keyring's.
    pub kid: Option<KidMode>,
    /// `publish`; absent: the catalogue's.
    pub publish: Option<crate::catalogue::Publish>,
    /// `propagation`; absent: the policy's.
    pub propagation: Option<Duration>,
}

/// `valid`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the values of the setting")]
pub enum ValidSet {
    /// The realm's list alone.
    RealmOnly,
    /// The realm's list, then the global one.
    #[default]
    Union,
}

/// `unknown_kid`: what happens to a token whose kid names no key of the label.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the values of the setting")]
pub enum UnknownKid {
    /// Refused.
    Reject,
    /// Every valid key is tried.
    #[default]
    TryAll,
}
