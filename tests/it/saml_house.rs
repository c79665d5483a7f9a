//! Hosted SAML providers of both roles with two keys for each purpose, a clock that tests set, and peers that are
//! programs: what the logins with other people's software start from.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use claviger::Keyring;
use claviger::clock::{Clock, rfc3339};
use claviger::config::Config;
use claviger::error::{ErrorKind, Result};
use claviger::journal::Actor;
use claviger::ops::KeySet;
use claviger::profiles::saml::metadata::{Endpoint, MetadataOptions, PeerMetadata, PeerRole};
use claviger::profiles::saml::{SamlEntity, SamlRole, SamlScope, SamlUse};
use claviger::rotation::{EncryptTo, Request, Rotation, Step};
use claviger::xmlsec::dsig::SignOptions;
use claviger::xmlsec::{XmlLimits, fresh_id};
use serde_json::Value;

use crate::interop::peers;

pub(crate) const LABELS: &str = "am.default.applications.federation.entity.providers.saml2";
/// Seconds after which peers have forgotten old metadata, and what they sent by it has ended.
pub(crate) const CACHES: u64 = 2 * 3_600 + 300;

/// The providers, and who changes their mappings.
pub(crate) struct House {
    folder: tempfile::TempDir,
    keyring: Keyring,
    now: Arc<AtomicU64>,
}

impl House {
    /// `sign-1` signs and `enc-1` decrypts, for both roles, `tls-1` is the service provider's client certificate;
    /// `sign-2`, `enc-2` and `tls-2` are in the store. What is made lives for an hour.
    pub(crate) fn new() -> Self {
        let labels = ["idp.signing", "idp.encryption", "sp.signing", "sp.encryption"];
        Self::with(&labels.map(|label| (label, "max_token_lifetime = \"1h\"")))
    }

    /// The same, with these lines for these labels.
    pub(crate) fn with(lines: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), "changeit").unwrap();
        std::fs::write(folder.path().join("saml.p12"), store()).unwrap();
        let mut text = "[keyring]\nstate_dir = \"state\"\n\
             [stores.saml]\nkind = \"keystore\"\npath = \"saml.p12\"\nstore_password = { file = \"password\" }\n\
             [stores.saml.mappings]\n\"am.services.saml2.metadata.signing.RSA\" = [\"meta-1\"]\n".to_owned();
        for role in ["idp", "sp"] {
            text.push_str(&format!("\"{LABELS}.{role}.signing\" = [\"sign-1\"]\n"));
            text.push_str(&format!("\"{LABELS}.{role}.encryption\" = [\"enc-1\"]\n"));
        }
        text.push_str(&format!("\"{LABELS}.sp.mtls\" = [\"tls-1\"]\n"));
        for (label, lines) in lines {
            text.push_str(&format!("[labels.\"{LABELS}.{label}\"]\n{lines}\n"));
        }
        let file = folder.path().join("claviger.toml");
        std::fs::write(&file, text).unwrap();
        let start = Clock::system().coarse_secs();
        let now = Arc::new(AtomicU64::new(start));
        let keyring = Keyring::from_config(Config::load(&file).unwrap(), clock(&now)).unwrap();
        Self { folder, keyring, now }
    }

    pub(crate) fn entity(&self, role: SamlRole) -> SamlEntity {
        self.keyring.saml(SamlScope { realm: None, role, identifier: None }).unwrap()
    }

    /// The signed metadata of now, with the times that `claviger saml metadata write` gives it.
    pub(crate) fn metadata(&self, role: SamlRole) -> String {
        let entity = self.entity(role);
        let signing = entity.keys(SamlUse::Signing).unwrap();
        let mtls = entity.keys_if_mapped(SamlUse::Mtls).unwrap();
        let encryption = entity.keys(SamlUse::Encryption).unwrap();
        let shown: Vec<_> = std::iter::once(&*signing).chain(mtls.as_deref()).collect();
        let rotation = Rotation::preview(&self.config(), clock(&self.now)).unwrap();
        let validity = rotation.validity(&shown, Some(EncryptTo::Active(&encryption)), None);
        let at = |service, binding, location| Endpoint { service, binding, location };
        let endpoints = match role {
            SamlRole::Idp => [
                at("SingleSignOnService", "HTTP-Redirect", "https://house.example/idp/sso"),
                at("SingleLogoutService", "HTTP-Redirect", "https://house.example/idp/slo"),
            ],
            SamlRole::Sp => [
                at("AssertionConsumerService", "HTTP-POST", "https://house.example/sp/acs"),
                at("SingleLogoutService", "HTTP-Redirect", "https://house.example/sp/slo"),
            ],
        };
        let options = MetadataOptions {
            entity_id: entity_id(role),
            valid_until: validity.until,
            cache_duration: Some(validity.cache),
            endpoints: &endpoints,
            ..Default::default()
        };
        let xml = entity.metadata(&options).unwrap();
        entity.sign_metadata(xml.as_bytes(), &SignOptions::default()).unwrap().xml
    }

    /// For how long metadata of the service provider hold that tell peers to encrypt to these keys.
    pub(crate) fn holds(&self, to: fn(&KeySet) -> EncryptTo<'_>) -> Duration {
        let set = self.entity(SamlRole::Sp).keys(SamlUse::Encryption).unwrap();
        let rotation = Rotation::preview(&self.config(), clock(&self.now)).unwrap();
        let until = rotation.validity(&[], Some(to(&set)), None).until.unwrap();
        until.duration_since(clock(&self.now).now()).unwrap()
    }

    /// A step on a label of a role, such as `idp.signing`; the providers see it.
    pub(crate) fn step(&self, step: Step, label: &str) -> Result<()> {
        let actor = Actor::of_this_process(None);
        let mut rotation = Rotation::open(&self.config(), clock(&self.now), actor)?;
        rotation.apply(&Request::new(step, &format!("{LABELS}.{label}"))?)?;
        drop(rotation);
        self.keyring.reload()?;
        Ok(())
    }

    /// What refuses a step.
    pub(crate) fn refuses(&self, step: Step, label: &str) -> ErrorKind {
        self.step(step, label).unwrap_err().kind()
    }

    pub(crate) fn wait(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The house's time and seconds from it.
    pub(crate) fn instant(&self, seconds: u64) -> String {
        rfc3339(clock(&self.now).now() + Duration::from_secs(seconds))
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("claviger.toml")
    }
}

pub(crate) const fn entity_id(role: SamlRole) -> &'static str {
    match role {
        SamlRole::Idp => "https://house.example/idp",
        SamlRole::Sp => "https://house.example/sp",
    }
}

fn clock(now: &Arc<AtomicU64>) -> Clock {
    let now = Arc::clone(now);
    Clock::from_fn(move || UNIX_EPOCH + Duration::from_secs(now.load(Ordering::SeqCst)))
}

/// A PKCS#12 store, made once.
fn store() -> &'static [u8] {
    static STORE: OnceLock<Vec<u8>> = OnceLock::new();
    STORE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), "changeit").unwrap();
        for (alias, kind) in [
            ("sign-1", "rsa"),
            ("sign-2", "rsa"),
            ("enc-1", "rsa"),
            ("enc-2", "rsa"),
            ("meta-1", "rsa"),
            ("tls-1", "ec"),
            ("tls-2", "ec"),
        ] {
            let made = format!(
                "generate {alias} --type {kind} --store saml.p12 --store-password-file password"
            );
            let arguments: Vec<&str> = made.split(' ').collect();
            let output = crate::support::claviger(folder.path(), &arguments, &[]);
            assert!(output.status.success(), "{output:?}");
        }
        std::fs::read(folder.path().join("saml.p12")).unwrap()
    })
}

/// A program that takes one JSON task a line and answers with one line.
pub(crate) struct Peer {
    child: Child,
    tasks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// A script of `tests/interop` that needs these modules; `None` if they are absent outside CI.
    pub(crate) fn start(script: &str, modules: &str, arguments: &[&Path]) -> Option<Self> {
        let python = peers()?.join("venv/bin/python");
        let has =
            Command::new(&python).args(["-c", &format!("import {modules}")]).output().unwrap();
        if !has.status.success() {
            assert!(std::env::var_os("CI").is_none(), "run scripts/setup.sh first");
            println!("{modules}: absent; scripts/setup.sh installs what these tests need");
            return None;
        }
        let mut command = Command::new(python);
        command.args(["-W", "ignore"]);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(script));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Some(Self { tasks: child.stdin.take(), child, answers })
    }

    /// What it answers; `Err` is why it refuses.
    pub(crate) fn ask(&mut self, task: &Value) -> Result<Value, String> {
        let tasks = self.tasks.as_mut().unwrap();
        writeln!(tasks, "{task}").unwrap();
        tasks.flush().unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("{}: {line}", task["do"]));
        match answer["error"].as_str() {
            Some(why) => Err(why.to_owned()),
            None => Ok(answer),
        }
    }

    /// What it answers; it must.
    pub(crate) fn must(&mut self, task: &Value) -> Value {
        self.ask(task).unwrap_or_else(|why| panic!("{}: {why}", task["do"]))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.tasks.take());
        drop(self.child.wait());
    }
}

/// The one role in a peer's metadata.
pub(crate) fn role_of(metadata: &str, role: SamlRole) -> PeerRole {
    let read = PeerMetadata::read(metadata.as_bytes(), None, &XmlLimits::METADATA).unwrap();
    read.role(role).unwrap().clone()
}

/// The value of the first attribute of this name in a message that verified.
pub(crate) fn attribute(xml: &str, name: &str) -> String {
    let (_, rest) =
        xml.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("{name}: {xml}"));
    rest.split_once('"').unwrap().0.to_owned()
}

/// What stands between `?` and the end of a URL.
pub(crate) fn query(url: &str) -> &str {
    url.split_once('?').unwrap_or_else(|| panic!("{url}")).1
}

/// The time of day, which peers go by, and seconds from it.
pub(crate) fn instant(seconds: u64) -> String {
    rfc3339(Clock::system().now() + Duration::from_secs(seconds))
}

/// A minute ago: peers compare with clocks of their own.
pub(crate) fn earlier() -> String {
    rfc3339(Clock::system().now() - Duration::from_secs(60))
}

/// The start tag of a protocol message up to its Issuer, which is in it.
pub(crate) fn message(name: &str, issuer: SamlRole, attributes: &str) -> String {
    format!(
        "<samlp:{name} xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
         xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"{}\" Version=\"2.0\" IssueInstant=\"{}\" \
         {attributes}><saml:Issuer>{}</saml:Issuer>",
        fresh_id().unwrap(),
        earlier(),
        entity_id(issuer)
    )
}

/// A LogoutRequest of one of our providers for alice's session.
pub(crate) fn logout_request(issuer: SamlRole, destination: &str) -> String {
    let head = message("LogoutRequest", issuer, &format!("Destination=\"{destination}\""));
    format!(
        "{head}<saml:NameID Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\">alice</saml:NameID>\
         <samlp:SessionIndex>s-1</samlp:SessionIndex></samlp:LogoutRequest>"
    )
}

/// The answer of one of our providers to a LogoutRequest.
pub(crate) fn logout_response(issuer: SamlRole, destination: &str, request: &str) -> String {
    let attributes = format!("Destination=\"{destination}\" InResponseTo=\"{request}\"");
    format!("{}{SUCCESS}</samlp:LogoutResponse>", message("LogoutResponse", issuer, &attributes))
}

pub(crate) const SUCCESS: &str = "<samlp:Status><samlp:StatusCode \
    Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status>";
