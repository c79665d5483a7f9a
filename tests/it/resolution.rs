//! Realm before global, fallbacks, and what `explain` tells of them, through the program.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const CONFIG: &str = r#"
[stores.passwords]
kind = "volume"
directory = "secrets"

[stores.global]
kind = "keystore"
path = "keystores/default.p12"
store_password = { label = "storepass" }

[stores.global.mappings]
"am.global.services.session.clientbased.signing" = ["es256-1"]
"am.default.applications.federation.entity.providers.saml2.idp.signing" = ["rsa-1"]
"am.default.authentication.nodes.persistentcookie.signing" = ["hmac-1"]
"am.services.oauth2.oidc.signing.ES256" = ["es256-1"]

[stores.alpha]
kind = "keystore"
realm = "alpha"
path = "keystores/default.p12"
store_password = { label = "storepass" }

[stores.alpha.mappings]
"am.services.oauth2.oidc.signing.ES256" = ["es256-2"]
"#;

const ID_TOKENS: &str = "am.services.oauth2.oidc.signing.ES256";
const SESSIONS: &str = "am.global.services.session.clientbased.signing";

/// A starter with the mappings above and what a test adds.
struct Starter(tempfile::TempDir);

impl Starter {
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new(env!("CARGO_BIN_EXE_claviger"))
            .args(["init", "-q"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(made.success());
        std::fs::write(folder.path().join("claviger.toml"), format!("{CONFIG}{more}")).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_claviger"))
            .args(arguments)
            .current_dir(self.path())
            .env_remove("CLAVIGER_CONFIG")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn the_realm_s_alias_acts_and_the_global_one_still_verifies() {
    let starter = Starter::new("");
    let global = starter.json(&["sign", "--label", ID_TOKENS, "--in", "claviger.toml"]);
    let alpha =
        starter.json(&["--realm", "alpha", "sign", "--label", ID_TOKENS, "--in", "claviger.toml"]);
    let beta =
        starter.json(&["--realm", "beta", "sign", "--label", ID_TOKENS, "--in", "claviger.toml"]);
    assert_eq!((&global["alias"], &alpha["alias"]), (&"es256-1".into(), &"es256-2".into()));
    assert_eq!(beta["alias"], "es256-1");
    std::fs::write(starter.path().join("t"), global["token"].as_str().unwrap()).unwrap();
    let verified = starter.json(&["--realm", "alpha", "verify", "--label", ID_TOKENS, "--in", "t"]);
    assert_eq!(verified["alias"], "es256-1");
    // With realm-only the global list does not count there.
    let strict = format!("{CONFIG}[labels.\"{ID_TOKENS}\"]\nvalid = \"realm-only\"\n");
    std::fs::write(starter.path().join("claviger.toml"), strict).unwrap();
    let refused = starter.run(&["--realm", "alpha", "verify", "--label", ID_TOKENS, "--in", "t"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = starter.json(&["--realm", "alpha", "explain", ID_TOKENS]);
    let outcomes: Vec<&str> = told["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["active", "skipped", "skipped"], "{told}");
}

#[test]
fn labels_fall_back_as_the_product_does_and_keep_their_algorithms() {
    let starter = Starter::new("");
    let signed =
        |label: &str| starter.run(&["sign", "--raw", "--label", label, "--in", "claviger.toml"]);
    // The session label of an algorithm falls to the generic one, for that algorithm alone.
    assert_eq!(signed(&format!("{SESSIONS}.ES256")).stdout.len(), 64);
    assert_eq!(signed(&format!("{SESSIONS}.RSA")).status.code(), Some(2));
    // A SAML identifier falls to the label of its role.
    let saml = "am.applications.federation.entity.providers.saml2.my.idp.signing";
    assert_eq!(signed(saml).stdout.len(), 384);
    let told = starter.json(&["explain", saml]);
    assert_eq!(told["active"], "rsa-1", "{told}");
    assert!(told["steps"].as_array().unwrap().iter().any(|step| step["label"] != saml));
    // The identifier of a persistent cookie does not.
    let cookie = "am.authentication.nodes.persistentcookie.my.signing";
    assert_eq!(signed(cookie).status.code(), Some(2));
    let told = starter.run(&["explain", cookie]);
    assert_eq!(told.status.code(), Some(1));
}

#[test]
fn explain_works_where_the_configuration_is_refused() {
    let starter = Starter::new(
        "\"app.broken\" = [\"gone\"]\n[labels.\"app.broken\"]\nuse = \"sign\"\nalgorithms = [\"ES256\"]\n",
    );
    assert_eq!(starter.run(&["check"]).status.code(), Some(1));
    let told = starter.json(&["--realm", "alpha", "explain", "app.broken"]);
    assert_eq!(told["steps"][0]["outcome"], "unusable", "{told}");
    assert!(told["active"].is_null());
    assert_eq!(starter.json(&["explain", ID_TOKENS])["active"], "es256-1");
}

#[test]
fn explain_names_the_key_that_a_token_needs_with_and_without_a_label() {
    let starter = Starter::new("");
    for form in ["compact", "flattened", "general"] {
        let file = format!("t.{form}");
        starter.run(&[
            "sign",
            "--label",
            ID_TOKENS,
            "--form",
            form,
            "--in",
            "claviger.toml",
            "--out",
            &file,
        ]);
        let told = starter.json(&["explain", ID_TOKENS, "--token", &file]);
        assert_eq!(
            (&told["alias"], &told["algorithm_allowed"]),
            (&"es256-1".into(), &true.into()),
            "{told}"
        );
        let told = starter.json(&["explain", "--token", &file]);
        assert_eq!(told["alias"], "es256-1", "{told}");
        let labels: Vec<&str> = told["matches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["label"].as_str().unwrap())
            .collect();
        assert_eq!(labels, [SESSIONS, ID_TOKENS], "{told}");
    }
    std::fs::write(starter.path().join("foreign"), "eyJhbGciOiJub25lIn0.e30.").unwrap();
    assert_eq!(starter.run(&["explain", "--token", "foreign"]).status.code(), Some(1));
    assert_eq!(starter.run(&["explain"]).status.code(), Some(2));
}

/// A label of one's own without its use is one mistake, whatever its keys are.
#[test]
fn what_a_label_wants_is_not_guessed() {
    let more =
        "[stores.alpha.mappings.\"app.own\"]\naliases = [\"es256-1\"]\n\n[labels.\"app.own\"]\n";
    let starter = Starter::new(more);
    let told = starter.run(&["check", "--json"]);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let codes: Vec<&str> = told["problems"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|problem| problem["severity"] == "error")
        .map(|problem| problem["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["missing_key"], "{told}");
}
