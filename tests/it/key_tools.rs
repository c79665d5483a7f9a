//! The commands on key files, driven as a person drives them and read by keytool and openssl.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::support::vectors;

fn claviger(arguments: &[&str], password: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.args(arguments).env_remove("CLAVIGER_CONFIG");
    if let Some(password) = password {
        command.env("STORE_PASSWORD", password).args(["--store-password-env", "STORE_PASSWORD"]);
    }
    command.output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Java's and Bouncy Castle's files: `case["file"]` by its ending.
fn is_java(file: &str) -> bool {
    let end = Path::new(file).extension().and_then(|end| end.to_str());
    matches!(end, Some("jks" | "jceks")) && !file.contains("java11")
}

#[test]
fn inspect_meets_the_answer_sheet_of_java_keystores() {
    let Some(root) = vectors("keystores") else { return };
    let sheet: Value =
        serde_json::from_slice(&std::fs::read(root.join("expectations.json")).unwrap()).unwrap();
    let mut ran = 0;
    for case in sheet["cases"].as_array().unwrap() {
        let file = case["file"].as_str().unwrap();
        let password = case["password"].as_str();
        if !is_java(file) || password.is_some_and(|text| text.contains('\0')) {
            continue;
        }
        let path = root.join(file);
        let output = claviger(&["inspect", "--json", path.to_str().unwrap()], password);
        let (id, got) = (case["id"].as_str().unwrap(), json(&output));
        ran += 1;
        match case["must"].as_str().unwrap() {
            "load" => meets(id, case, &got, &output),
            "refuse" => {
                assert!(got["error"]["code"].is_string(), "{id}: {got}");
                assert_eq!(output.status.code(), Some(2), "{id}");
            }
            _ => assert!(output.status.code().is_some_and(|code| code <= 3), "{id}"),
        }
    }
    println!("{ran} cases of JKS and JCEKS inspected");
    assert!(ran >= 60, "{ran}");
}

fn meets(id: &str, case: &Value, got: &Value, output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{id}: {got}");
    for want in case["entries"].as_array().into_iter().flatten() {
        if want["entry_password"].is_string() {
            continue;
        }
        let alias = want["alias"].as_str().unwrap();
        let entry = got["entries"]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["alias"].as_str().unwrap().to_lowercase() == alias)
            .unwrap_or_else(|| panic!("{id}: no {alias}"));
        if want["spki_sha256"].is_string() {
            assert_eq!(want["spki_sha256"], entry["spki_sha256"], "{id} {alias}");
        }
        if let Some(chain) = want["cert_sha256"].as_array() {
            let found: Vec<_> = entry["certificates"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["sha256"].clone())
                .collect();
            assert_eq!(*chain, found, "{id} {alias}");
        }
        if want["secret_sha256"].is_string() {
            assert_eq!(entry["kind"], "secret-key", "{id} {alias}");
        }
    }
}

#[test]
fn a_wrong_password_and_a_damaged_file_have_codes_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store.jceks");
    let path = store.to_str().unwrap();
    keytool(&["-genseckey", "-alias", "aes", "-keyalg", "AES", "-keysize", "256"], path, "JCEKS");
    keytool(
        &["-genkeypair", "-alias", "rs", "-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=a b"],
        path,
        "JCEKS",
    );

    let got = json(&claviger(&["inspect", "--json", path], Some(PASSWORD)));
    assert_eq!(got["type"], "jceks");
    let mut kinds: Vec<_> = got["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| format!("{} {} {}", entry["kind"], entry["algorithm"], entry["bits"]))
        .collect();
    kinds.sort();
    assert_eq!(kinds, [r#""key-pair" "RSA" 2048"#, r#""secret-key" "AES" 256"#]);

    let table = claviger(&["inspect", path], Some(PASSWORD));
    let shown = String::from_utf8(table.stdout).unwrap();
    assert!(shown.contains("CN=a b") && shown.contains("secret-key"), "{shown}");

    let output = claviger(&["inspect", "--json", path], Some("not-the-password"));
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(json(&output)["error"]["code"], "wrong_password");
    assert!(!text.contains("not-the-password") && !text.contains(PASSWORD));

    let mut bytes = std::fs::read(&store).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&store, bytes).unwrap();
    let output = claviger(&["inspect", "--json", path], Some(PASSWORD));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        matches!(json(&output)["error"]["code"].as_str(), Some("damaged" | "wrong_password")),
        "{output:?}"
    );

    let output = claviger(&["inspect", "--json", path, "--type", "zip"], Some(PASSWORD));
    assert_eq!(json(&output)["error"]["code"], "usage");
}

fn keytool(arguments: &[&str], store: &str, store_type: &str) {
    let output = Command::new("keytool")
        .args(arguments)
        .args(["-keystore", store, "-storetype", store_type])
        .args(["-storepass", PASSWORD, "-keypass", PASSWORD])
        .output()
        .expect("these tests need keytool");
    assert!(output.status.success(), "{output:?}");
}

const PASSWORD: &str = "a-Store_Passw0rd";
