//! A deployment for profiles: three keys of every kind, mapped to whatever labels, and a clock that tests set.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use claviger::Keyring;
use claviger::catalogue::{self, LabelMaterial, LabelUse};
use claviger::clock::Clock;
use claviger::config::Config;
use claviger::error::{Error, ErrorKind, Result};
use claviger::key_tools::{self, GenerateOptions};
use claviger::label::LabelName;

/// When it begins.
pub(crate) const START: u64 = 1_800_000_000;

/// What the keys of each kind are called, before `-1`, `-2` and `-3`.
const KINDS: [(&str, &str, Option<usize>, Option<&str>); 8] = [
    ("aes", "aes", Some(256), None),
    ("ed25519", "ed25519", None, None),
    ("es256", "ec", None, Some("P-256")),
    ("es384", "ec", None, Some("P-384")),
    ("es512", "ec", None, Some("P-521")),
    ("hmac", "hmac", Some(512), None),
    ("rsaenc", "rsa", Some(2048), None),
    ("rsasig", "rsa", Some(2048), None),
];

pub(crate) struct Deployment {
    pub(crate) folder: tempfile::TempDir,
    now: Arc<AtomicU64>,
}

/// One mapping: realm, label, aliases.
pub(crate) type Mapped<'m> = (Option<&'m str>, &'m str, Vec<String>);

impl Deployment {
    /// The keys are the same in every deployment of a process: what is foreign is so by other means.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("keys.jwks"), keys()).unwrap();
        Self { folder, now: Arc::new(AtomicU64::new(START)) }
    }

    /// Writes the configuration: these mappings, and whatever else.
    pub(crate) fn configure(&self, mappings: &[Mapped<'_>], more: &str) {
        let mut text = format!("{more}\n");
        let mut realms: Vec<Option<&str>> = mappings.iter().map(|(realm, ..)| *realm).collect();
        realms.sort_unstable();
        realms.dedup();
        for realm in realms {
            let name = realm.unwrap_or("global");
            let line = realm.map_or_else(String::new, |realm| format!("realm = \"{realm}\"\n"));
            text += &format!(
                "[stores.{name}]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n{line}\
                 [stores.{name}.mappings]\n"
            );
            for (_, label, aliases) in mappings.iter().filter(|(of, ..)| *of == realm) {
                text += &format!("\"{label}\" = {aliases:?}\n");
            }
        }
        std::fs::write(self.file(), text).unwrap();
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("claviger.toml")
    }

    pub(crate) fn try_keyring(&self) -> Result<Keyring, Error> {
        let now = Arc::clone(&self.now);
        let clock =
            Clock::from_fn(move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::SeqCst)));
        Keyring::from_config(Config::load(&self.file())?, clock)
    }

    pub(crate) fn keyring(&self) -> Keyring {
        self.try_keyring().unwrap_or_else(|error| panic!("{error}: {:?}", error.problems()))
    }

    /// A deployment with these global mappings.
    pub(crate) fn with(mappings: &[(&str, &str)], more: &str) -> Self {
        let deployment = Self::new();
        let mapped: Vec<Mapped<'_>> = mappings
            .iter()
            .map(|(label, aliases)| (None, *label, aliases.split(' ').map(str::to_owned).collect()))
            .collect();
        deployment.configure(&mapped, more);
        deployment
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.now.store(seconds, Ordering::SeqCst);
    }
}

/// The kind of key that a label of the catalogue wants here.
pub(crate) fn kind_of(label: &str) -> &'static str {
    let label: LabelName = label.parse().unwrap();
    let spec = catalogue::find(&label).unwrap().spec;
    let signs = spec.uses.iter().any(|one| matches!(one, LabelUse::Sign | LabelUse::Verify));
    let lists = |name: &str| spec.algorithms.iter().any(|one| one == name);
    match spec.material {
        LabelMaterial::Aes | LabelMaterial::RsaOrAes => "aes",
        LabelMaterial::Hmac => "hmac",
        LabelMaterial::Ed25519 => "ed25519",
        LabelMaterial::Ec if lists("ES384") => "es384",
        LabelMaterial::Ec if lists("ES512") => "es512",
        LabelMaterial::Ec => "es256",
        _ if signs => "rsasig",
        _ => "rsaenc",
    }
}

/// `aliases("es256", &[2, 1])`: `es256-2`, `es256-1`.
pub(crate) fn aliases(kind: &str, numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(|number| format!("{kind}-{number}")).collect()
}

/// Why a profile refused a token; the error outside is the same for all reasons.
pub(crate) fn reason<T>(refused: Result<T, Error>) -> String {
    let Err(error) = refused else { panic!("it was accepted") };
    assert_eq!(error.kind(), ErrorKind::TokenRefused, "{error}: {error:?}");
    assert_eq!((error.message(), error.help()), ("the token is not accepted", None));
    std::error::Error::source(&error).expect("a reason").to_string()
}

fn keys() -> &'static str {
    static KEYS: OnceLock<String> = OnceLock::new();
    KEYS.get_or_init(|| {
        let mut keys = Vec::new();
        for (name, key_type, bits, curve) in KINDS {
            for number in 1..=3 {
                let options = GenerateOptions {
                    alias: &format!("{name}-{number}"),
                    key_type,
                    bits,
                    curve,
                    subject: None,
                    days: 30,
                    now: UNIX_EPOCH + Duration::from_secs(START),
                };
                let made = key_tools::generate_file("jwk", &options).unwrap();
                keys.push(String::from_utf8(made.content.expose_secret().to_vec()).unwrap());
            }
        }
        format!("{{\"keys\":[{}]}}", keys.join(","))
    })
}
