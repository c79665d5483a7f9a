//! A folder with keys, a configuration with callers, and a service over it whose clock tests set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use claviger::Keyring;
use claviger::access::{Right, Scope};
use claviger::clock::Clock;
use claviger::config::Config;
use claviger::crypto::sha256;
use claviger::journal::{History, Journal};
use claviger::key_tools::{self, GenerateOptions};
use claviger::service::{Audit, Service};
use serde_json::{Value, json};

use super::running::Running;

pub(crate) const ES256: &str = "am.services.oauth2.oidc.signing.ES256";
pub(crate) const SEAL: &str = "app.session.seal";
pub(crate) const KEY: Option<&str> = Some("the key of portal");

pub(crate) struct Shop {
    folder: tempfile::TempDir,
    now: Arc<AtomicU64>,
    pub(crate) service: Service,
    running: Running,
}

impl Shop {
    /// Keys `a`, `b`, `c` (EC), `s`, `t` (AES); `a`, `b` stand behind the signing label, `s` behind the sealing one.
    /// The caller `portal` has `rights` to everything.
    pub(crate) fn new(rights: &[&str]) -> Self {
        Self::with(rights, "")
    }

    /// The same with more lines at the end of the configuration.
    pub(crate) fn with(rights: &[&str], more: &str) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), rights, more)
    }

    /// The same with one more key, in a JWK set of its own.
    pub(crate) fn with_key(
        rights: &[&str],
        more: &str,
        file: &str,
        alias: &str,
        key_type: &str,
    ) -> Self {
        Self::with_key_in(tempfile::tempdir().unwrap(), rights, more, file, alias, key_type)
    }

    /// The same in a folder that is there.
    pub(crate) fn with_key_in(
        folder: tempfile::TempDir,
        rights: &[&str],
        more: &str,
        file: &str,
        alias: &str,
        key_type: &str,
    ) -> Self {
        let keys = format!("{{\"keys\":[{}]}}", jwk(alias, key_type));
        std::fs::write(folder.path().join(file), keys).unwrap();
        Self::in_folder(folder, rights, more)
    }

    pub(crate) fn in_folder(folder: tempfile::TempDir, rights: &[&str], more: &str) -> Self {
        let keys = [("a", "ec"), ("b", "ec"), ("c", "ec"), ("s", "aes"), ("t", "aes")];
        let keys: Vec<String> = keys.iter().map(|(alias, kind)| jwk(alias, kind)).collect();
        let keys = format!("{{\"keys\":[{}]}}", keys.join(","));
        std::fs::write(folder.path().join("keys.jwks"), keys).unwrap();
        let hash = Self::hash("the key of portal");
        let grants: String = rights.iter().map(|right| grant(right)).collect();
        let text = format!(
            "[keyring]\nstate_dir = \"state\"\nreload = \"off\"\n\n[policy]\npropagation = \"1h\"\n\n\
             [stores.keys]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\n\
             [stores.keys.mappings]\n\"{ES256}\" = [\"a\", \"b\"]\n\"{SEAL}\" = [\"s\"]\n\n\
             [labels.\"{ES256}\"]\nmax_token_lifetime = \"2h\"\n\
             [labels.\"{SEAL}\"]\nuse = \"encrypt\"\nalgorithms = [\"A256GCMKW\", \"A256GCM\"]\n\n\
             [[callers]]\nname = \"portal\"\napi_key_sha256 = \"{hash}\"\n\n\
             {grants}\n{more}"
        );
        let file = folder.path().join("claviger.toml");
        std::fs::write(&file, text).unwrap();
        let now = Arc::new(AtomicU64::new(1_800_000_000));
        let ticking = Arc::clone(&now);
        let clock = Clock::from_fn(move || {
            UNIX_EPOCH + Duration::from_secs(ticking.load(Ordering::SeqCst))
        });
        let keyring = Keyring::from_config(Config::load(&file).unwrap(), clock.clone()).unwrap();
        let config = keyring.config();
        let audit = config.service.audit.as_ref();
        let audit = audit.map(|audit| Audit::open(audit, clock.clone()).unwrap());
        let service = Service::audited(keyring, clock, config.service.limits.clone(), audit);
        let running = Running::of(service.clone());
        Self { folder, now, service, running }
    }

    /// What a configuration has of an API key.
    pub(crate) fn hash(key: &str) -> String {
        sha256(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn wait(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("claviger.toml")).unwrap()
    }

    pub(crate) fn write(&self, text: &str) {
        std::fs::write(self.folder.path().join("claviger.toml"), text).unwrap();
    }

    pub(crate) fn history(&self) -> History {
        Journal::of(&self.folder.path().join("state")).read().unwrap()
    }

    /// The aliases of a label as the service serves them.
    pub(crate) fn aliases(&self, label: &str) -> Vec<String> {
        let keys = self.service.keyring().label(label).unwrap().keys().unwrap();
        keys.keys().iter().map(|key| key.alias.to_string()).collect()
    }

    pub(crate) fn post(&self, label: &str, what: &str, body: &Value) -> (u16, Value) {
        self.running.post(&format!("/v1/labels/{label}/{what}"), KEY, body)
    }

    /// The answer of a request that is granted.
    pub(crate) fn done(&self, label: &str, what: &str, body: &Value) -> Value {
        let (status, answer) = self.post(label, what, body);
        assert_eq!(status, 200, "{what} {body}: {answer}");
        answer
    }

    /// The problem of one that is not.
    pub(crate) fn refused(
        &self,
        label: &str,
        what: &str,
        body: &Value,
        expected: (u16, &str),
    ) -> Value {
        let (status, problem) = self.post(label, what, body);
        assert_eq!(
            (status, &problem["code"]),
            (expected.0, &json!(expected.1)),
            "{what} {body}: {problem}"
        );
        problem
    }

    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// One more service over the same folder, as another process or after a restart.
    pub(crate) fn another(&self) -> Running {
        let clock = self.service.keyring().clock().clone();
        let config = Config::load(&self.service.keyring().config().file).unwrap();
        let keyring = Keyring::from_config(config, clock.clone()).unwrap();
        Running::of(Service::new(keyring, clock, claviger::service::Limits::default()))
    }
}

/// A right to everything that there is.
fn grant(right: &str) -> String {
    let of = match right.parse::<Right>().unwrap().scope() {
        Scope::Label => "labels = [\"*\"]\nrealms = [\"*\"]\n",
        Scope::Realm => "realms = [\"*\"]\n",
        Scope::Service => "",
    };
    format!("[[grants]]\ncallers = [\"portal\"]\nrights = [\"{right}\"]\n{of}\n")
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
