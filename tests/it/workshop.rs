//! A folder with a configuration, a store of keys that opens at once, and a clock that tests set.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use claviger::Keyring;
use claviger::clock::Clock;
use claviger::error::Result;
use claviger::journal::{Actor, History, Journal};
use claviger::key_tools::{self, GenerateOptions};
use claviger::rotation::{Overrides, Plan, Request, Rotation, Step};

pub(crate) const ES256: &str = "am.services.oauth2.oidc.signing.ES256";
pub(crate) const SEAL: &str = "app.session.seal";
/// What every configuration ends with; edits must keep it.
pub(crate) const TAIL: &str = "# the last line stays\n";

pub(crate) struct Workshop {
    pub(crate) folder: tempfile::TempDir,
    now: Arc<AtomicU64>,
}

impl Workshop {
    /// Keys `a`, `b`, `c`, `d` (EC), `s`, `t` (AES); `a`, `b` stand behind the signing label, `s` behind the
    /// sealing one.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<String> =
            [("a", "ec"), ("b", "ec"), ("c", "ec"), ("d", "ec"), ("s", "aes"), ("t", "aes")]
                .iter()
                .map(|(alias, key_type)| jwk(alias, key_type))
                .collect();
        std::fs::write(
            folder.path().join("keys.jwks"),
            format!("{{\"keys\":[{}]}}", keys.join(",")),
        )
        .unwrap();
        let shop = Self { folder, now: Arc::new(AtomicU64::new(1_800_000_000)) };
        shop.configure("", "");
        shop
    }

    /// Writes the configuration anew, with lines for `[policy]` and whatever else.
    pub(crate) fn configure(&self, policy: &str, more: &str) {
        let text = format!(
            "# top\n[keyring]\nstate_dir = \"state\"\n\n[policy]\n{policy}\n\
             [stores.keys]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\n\
             [stores.keys.mappings]\n# who signs\n\"{ES256}\" = [\n    # newest first\n    \"a\", # first\n    \
             \"b\", # second\n]\n\"{SEAL}\" = [\"s\"]\n\n\
             [labels.\"{ES256}\"]\nmax_token_lifetime = \"2h\"\n\
             [labels.\"{SEAL}\"]\nuse = \"encrypt\"\nalgorithms = [\"A256GCMKW\", \"A256GCM\"]\n{more}\n{TAIL}"
        );
        std::fs::write(self.config(), text).unwrap();
    }

    /// Begins the journal before there is a key.
    pub(crate) fn begin_empty(&self) {
        let text = self.text();
        let empty = "[keyring]\nstate_dir = \"state\"\n[stores.keys]\nkind = \"keystore\"\npath = \"keys.jwks\"\n\
                     integrity = \"none\"\n";
        std::fs::write(self.config(), empty).unwrap();
        drop(self.rotation());
        std::fs::write(self.config(), text).unwrap();
    }

    /// The same, and then each key of the keystore comes by a step that is recorded: nothing was made before.
    pub(crate) fn begin_without_keys(&self) {
        let text = self.text();
        let keys = [ES256, SEAL].map(|label| (label, self.aliases(label)));
        self.begin_empty();
        let (head, rest) = text.split_once("[stores.keys.mappings]\n").unwrap();
        let (_, tail) = rest.split_once("\n[").unwrap();
        std::fs::write(self.config(), format!("{head}[{tail}")).unwrap();
        for (label, aliases) in keys {
            for alias in aliases {
                let store = Some("keys".parse().unwrap());
                let request = Request { store, ..Request::new(stage(&alias), label).unwrap() };
                self.rotation().apply(&request).unwrap();
            }
        }
        std::fs::write(self.config(), text).unwrap();
        assert!(self.rotation().notes().is_empty());
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("claviger.toml")
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.config()).unwrap()
    }

    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = self.text();
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(self.config(), text.replacen(from, to, 1)).unwrap();
    }

    pub(crate) fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Clock::from_fn(move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::SeqCst)))
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock().now()
    }

    pub(crate) fn wait(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn back(&self, seconds: u64) {
        self.now.fetch_sub(seconds, Ordering::SeqCst);
    }

    pub(crate) fn keyring(&self) -> Keyring {
        Keyring::open_once(&self.config()).unwrap()
    }

    pub(crate) fn rotation(&self) -> Rotation {
        Rotation::open(&self.config(), self.clock(), Actor::of_this_process(None)).unwrap()
    }

    pub(crate) fn apply(&self, step: Step, label: &str) -> Result<Plan> {
        self.rotation().apply(&Request::new(step, label).unwrap())
    }

    pub(crate) fn apply_over(&self, step: Step, label: &str, overrides: Overrides) -> Result<Plan> {
        self.rotation().apply(&Request { overrides, ..Request::new(step, label).unwrap() })
    }

    pub(crate) fn history(&self) -> History {
        Journal::of(&self.path().join("state")).read().unwrap()
    }

    /// The aliases of a label as the keyring has them.
    pub(crate) fn aliases(&self, label: &str) -> Vec<String> {
        let keys = self.keyring().label(label).unwrap().keys().unwrap();
        keys.keys().iter().map(|key| key.alias.to_string()).collect()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.args(arguments).env("CLAVIGER_CONFIG", self.config()).env_remove("CLAVIGER_ACTOR");
        command.current_dir(self.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

pub(crate) fn jwk(alias: &str, key_type: &str) -> String {
    let options = GenerateOptions {
        alias,
        key_type,
        bits: None,
        curve: None,
        subject: None,
        days: 30,
        now: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
    };
    let made = key_tools::generate_file("jwk", &options).unwrap();
    String::from_utf8(made.content.expose_secret().to_vec()).unwrap()
}

pub(crate) fn stage(alias: &str) -> Step {
    Step::Stage { alias: alias.parse().unwrap() }
}

pub(crate) fn promote(alias: &str) -> Step {
    Step::Promote { alias: alias.parse().unwrap() }
}

pub(crate) fn retire(alias: &str) -> Step {
    Step::Retire { alias: alias.parse().unwrap() }
}

pub(crate) fn revoke(alias: &str) -> Step {
    Step::Revoke { alias: alias.parse().unwrap(), compromised_at: None, replace: None }
}

pub(crate) const NOW: Overrides = Overrides { now: true, force: false };
pub(crate) const FORCE: Overrides = Overrides { now: false, force: true };
