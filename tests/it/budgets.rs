//! AES-GCM keys under random nonces: told at half of their messages, stopped at all of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::error::ErrorKind;

const LABEL: &str = "app.half.seal";

/// One AES key for direct encryption, and ten messages for it.
fn configured(folder: &Path) -> PathBuf {
    let jwk = r#"{"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}"#;
    let secrets = folder.join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    std::fs::write(secrets.join(LABEL), jwk).unwrap();
    let config = folder.join("claviger.toml");
    let text = format!(
        "[keyring]\nstate_dir = \"state\"\n[policy]\ngcm_messages = 10\n\
         [stores.keys]\nkind = \"volume\"\ndirectory = \"secrets\"\nformat = \"jwk\"\n\
         permissions = \"ignore\"\n\
         [labels.\"{LABEL}\"]\nuse = \"encrypt\"\nalgorithms = [\"dir\", \"A256GCM\"]\n"
    );
    std::fs::write(&config, text).unwrap();
    config
}

fn claviger(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.arg("-c").arg(config).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn told(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stderr).contains("messages that random nonces allow")
}

#[test]
fn check_says_when_nobody_can_read_what_was_used() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    assert_eq!(claviger(&config, &["encrypt", "--label", LABEL]).status.code(), Some(0));
    let usage = folder.path().join("state/usage");
    let whole = std::fs::read(&usage).unwrap();
    let damaged: Vec<u8> = whole.iter().map(|byte| byte ^ 0x55).collect();
    for is_folder in [false, true] {
        std::fs::remove_file(&usage).unwrap();
        if is_folder {
            std::fs::create_dir(&usage).unwrap();
        } else {
            std::fs::write(&usage, &damaged).unwrap();
        }
        let (says, help) = if is_folder {
            ("cannot be read: ", format!("ls -l {}", usage.display()))
        } else {
            ("is damaged", format!("mv {0} {0}.damaged", usage.display()))
        };
        assert_eq!(claviger(&config, &["encrypt", "--label", LABEL]).status.code(), Some(3));
        let output = claviger(&config, &["check", "--json"]);
        let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &facts["errors"]), (Some(1), &1.into()), "{facts}");
        let problem = &facts["problems"][0];
        assert_eq!(problem["code"], "usage_not_kept");
        let message = problem["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{}: ", usage.display())), "{message}");
        assert!(message.contains(says), "{message}");
        assert!(problem["help"].as_str().unwrap().contains(&help), "{problem}");
    }
}

#[test]
fn every_command_that_shows_the_key_warns_from_the_half_on() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    let encrypt = || claviger(&config, &["encrypt", "--label", LABEL]);
    let check = || {
        let output = claviger(&config, &["check", "--json"]);
        let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{facts}");
        let problems = facts["problems"].as_array().unwrap().clone();
        problems.into_iter().find(|problem| problem["code"] == "key_budget")
    };
    // One more is used in between.
    for used in 1..=9 {
        let made = encrypt();
        assert_eq!(made.status.code(), Some(0), "{made:?}");
        assert_eq!(told(&made), used >= 5, "{used}: {made:?}");
        assert_eq!(check().is_some(), used >= 5, "{used}");
        for command in ["labels", "status"] {
            let shown = claviger(&config, &[command]);
            assert_eq!(shown.status.code(), Some(0), "{shown:?}");
            assert_eq!(told(&shown), used >= 5, "{used}: {shown:?}");
        }
        if used == 7 {
            let problem = check().unwrap();
            let message = problem["message"].as_str().unwrap();
            assert!(message.ends_with("has used more than half of the 10 messages that random nonces allow (7): put a new key first"), "{message}");
            assert_eq!(problem["severity"], "warning");
            let quiet = claviger(&config, &["--quiet", "encrypt", "--label", LABEL]);
            assert!(quiet.stderr.is_empty(), "{quiet:?}");
            assert_eq!(claviger(&config, &["check", "--strict"]).status.code(), Some(1));
        }
    }
    let stopped = encrypt();
    assert_eq!(stopped.status.code(), Some(2), "{stopped:?}");
    let text = String::from_utf8(stopped.stderr).unwrap();
    assert!(text.contains("the key has encrypted 10 messages under random nonces"), "{text}");
    let message = check().unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("has used all of the 10 messages"), "{message}");
}

#[test]
fn of_what_cannot_be_read_nobody_says_that_it_is_used_up() {
    assert_eq!(claviger::usage::KeyReport::default().budget_warning(), None);
}

#[test]
fn sessions_and_tokens_of_profiles_warn_too() {
    const SESSION: &str = "am.global.services.session.clientbased.encryption.AES";
    const STATE: &str = "am.authn.trees.transientstate.encryption";
    const TOKEN: &str = "am.services.oauth2.stateless.token.encryption";
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    let mut text = std::fs::read_to_string(&config).unwrap();
    for (label, number) in [(SESSION, 1_u8), (STATE, 2), (TOKEN, 3)] {
        let key = URL_SAFE_NO_PAD.encode([number; 32]);
        let jwk = format!("{{\"kty\":\"oct\",\"k\":\"{key}\"}}");
        std::fs::write(folder.path().join("secrets").join(label), jwk).unwrap();
        text += &format!("[labels.\"{label}\"]\nalgorithms = [\"dir\", \"A256GCM\"]\n");
    }
    text += "[sessions]\nsigning = []\nencryption = [\"AES\"]\n";
    std::fs::write(&config, text).unwrap();
    let claims = folder.path().join("claims.json");
    std::fs::write(&claims, "{\"sub\":\"alice\"}").unwrap();
    let claims = ["--in", claims.to_str().unwrap()];
    let client = folder.path().join("shop.toml");
    std::fs::write(&client, "client_id = \"shop\"\n").unwrap();
    let client = client.to_str().unwrap();
    let issue = [
        "oidc",
        "access-token",
        "issue",
        "--issuer",
        "https://op.example",
        "--client",
        client,
        "--audience",
        "https://api.example",
        "--protection",
        "encrypted",
    ];
    for command in [&["session", "seal"][..], &["token", "seal", "--profile", "tree-state"], &issue]
    {
        for used in 1..=7 {
            let made = claviger(&config, &[command, &claims].concat());
            assert_eq!(made.status.code(), Some(0), "{made:?}");
            assert_eq!(told(&made), used >= 5, "{command:?} {used}: {made:?}");
        }
    }
}

/// What the log of this process was told of budgets.
struct Kept(Mutex<Vec<String>>);

impl log::Log for Kept {
    fn enabled(&self, of: &log::Metadata<'_>) -> bool {
        of.target() == "claviger::usage"
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}

static KEPT: Kept = Kept(Mutex::new(Vec::new()));

#[test]
fn a_process_logs_it_once() {
    // Nothing else in this binary sets one in its own process.
    log::set_logger(&KEPT).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let folder = tempfile::tempdir().unwrap();
    let keyring = claviger::Keyring::open_once(&configured(folder.path())).unwrap();
    let label = keyring.label(LABEL).unwrap();
    let lines = || KEPT.0.lock().unwrap().iter().filter(|line| line.contains(LABEL)).count();
    for used in 1..=10 {
        label.encrypt(b"x").unwrap();
        // The sixth is the first one beyond the half.
        assert_eq!(lines(), usize::from(used > 5), "{used}");
    }
    assert_eq!(label.encrypt(b"x").unwrap_err().kind(), ErrorKind::BudgetSpent);
    assert_eq!(lines(), 1);
    let line = KEPT.0.lock().unwrap().iter().find(|line| line.contains(LABEL)).unwrap().clone();
    assert_eq!(
        line,
        format!(
            "WARN label \"{LABEL}\": half of the 10 messages that random nonces allow its active key are used: \
             put a new key first (`claviger promote`)"
        )
    );
}
