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

/// Cases that are to load and do not, with the reason.
const NOT_LOADED: &[(&str, &str, &str)] = &[
    // Bouncy Castle's own formats are named and refused.
    ("keystore-explorer:CryptoFileUtilTest:keystore.bcfks", "unsupported", "BCFKS"),
    ("keystore-explorer:CryptoFileUtilTest:keystore.bks", "unsupported", "BKS"),
    ("keystore-explorer:CryptoFileUtilTest:keystore.uber", "unsupported", "UBER"),
    ("pyjks:bks:christmas.bksv2", "unsupported", "BKS"),
    ("pyjks:bks:custom_entry_passwords.bksv2", "unsupported", "BKS"),
    ("pyjks:bks:empty.bksv2", "unsupported", "BKS"),
    ("pyjks:uber:christmas.uber", "unsupported", "UBER"),
    ("pyjks:uber:custom_entry_passwords.uber", "unsupported", "UBER"),
    ("pyjks:uber:empty.uber", "unsupported", "UBER"),
];

#[test]
fn inspect_meets_the_answer_sheet_of_keystores() {
    let Some(root) = vectors("keystores") else { return };
    let sheet: Value =
        serde_json::from_slice(&std::fs::read(root.join("expectations.json")).unwrap()).unwrap();
    let (mut ran, mut not_loaded) = (0, 0);
    for case in sheet["cases"].as_array().unwrap() {
        let password = case["password"].as_str();
        if password.is_some_and(|text| text.contains('\0')) {
            // An environment variable cannot hold it; the readers' own tests do.
            continue;
        }
        let path = root.join(case["file"].as_str().unwrap());
        let started = std::time::Instant::now();
        let output = claviger(&["inspect", "--json", path.to_str().unwrap()], password);
        let (id, got) = (case["id"].as_str().unwrap(), json(&output));
        assert!(started.elapsed().as_secs() < 20, "{id}");
        ran += 1;
        if let Some((_, code, _)) = NOT_LOADED.iter().find(|(known, ..)| *known == id) {
            assert_eq!(case["must"], "load", "{id}");
            assert_eq!(got["error"]["code"], *code, "{id}: take it off the list");
            assert_eq!(output.status.code(), Some(2), "{id}");
            not_loaded += 1;
            continue;
        }
        match case["must"].as_str().unwrap() {
            "load" => meets(id, case, &got, &output),
            "refuse" => {
                assert!(got["error"]["code"].is_string(), "{id}: {got}");
                assert_eq!(output.status.code(), Some(2), "{id}");
            }
            _ => assert!(output.status.code().is_some_and(|code| code <= 3), "{id}"),
        }
    }
    println!("{ran} keystores inspected, {not_loaded} of them on the list of differences");
    assert_eq!(not_loaded, NOT_LOADED.len());
    assert!(ran >= 120, "{ran}");
}

fn meets(id: &str, case: &Value, got: &Value, output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{id}: {got}");
    for want in case["entries"].as_array().into_iter().flatten() {
        if want["entry_password"].is_string() {
            continue;
        }
        // Unnamed entries of the sheet are alone in their file.
        let alias = want["alias"].as_str().unwrap_or_default().to_lowercase();
        let entry = got["entries"]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| {
                want["alias"].is_null() || entry["alias"].as_str().unwrap().to_lowercase() == alias
            })
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

const TYPES: &[(&str, &[&str], &str)] = &[
    ("rs", &["--type", "rsa", "--bits", "2048"], "RSA"),
    ("es256", &["--type", "ec"], "EC"),
    ("es384", &["--type", "ec", "--curve", "P-384"], "EC"),
    ("es512", &["--type", "ec", "--curve", "P-521"], "EC"),
    ("ed25519", &["--type", "ed25519"], "Ed25519"),
    ("ed448", &["--type", "ed448"], "Ed448"),
    ("aes", &["--type", "aes", "--bits", "256"], "AES"),
    ("hmac", &["--type", "hmac"], "HMAC"),
];

#[test]
fn generated_keystores_are_read_by_keytool_and_openssl_with_the_same_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("keys.p12");
    let path = store.to_str().unwrap();
    for (alias, arguments, algorithm) in TYPES {
        let mut all = vec!["generate", alias, "--json", "--store", path];
        all.extend_from_slice(arguments);
        let output = claviger(&all, Some(PASSWORD));
        assert_eq!(output.status.code(), Some(0), "{alias}: {output:?}");
        assert_eq!(json(&output)["entries"][0]["algorithm"], *algorithm, "{alias}");
        assert!(!String::from_utf8(output.stdout).unwrap().contains(PASSWORD));
    }
    mode_is_0600(&store);

    let mut command = Command::new("keytool");
    command.args(["-list", "-v", "-storetype", "PKCS12", "-keystore", path]);
    let listed = command.args(["-storepass", PASSWORD]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let got = json(&claviger(&["inspect", "--json", path], Some(PASSWORD)));
    assert_eq!(got["entries"].as_array().unwrap().len(), TYPES.len(), "{got}");
    assert_eq!(listed.matches("Alias name:").count(), TYPES.len(), "{listed}");
    assert_eq!(listed.matches("SecretKeyEntry").count(), 2, "{listed}");
    let fingerprints = listed.replace(':', "").to_lowercase();
    let mut compared = 0;
    for entry in got["entries"].as_array().unwrap() {
        for one in entry["certificates"].as_array().unwrap() {
            assert!(fingerprints.contains(one["sha256"].as_str().unwrap()), "{entry}");
            compared += 1;
        }
    }
    assert_eq!(compared, 6);

    // A taken alias, in another case too, is refused and the file stays.
    let before = std::fs::read(&store).unwrap();
    let output =
        claviger(&["generate", "RS", "--type", "rsa", "--store", path, "--json"], Some(PASSWORD));
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(json(&output)["error"]["code"], "alias_taken");
    let output =
        claviger(&["generate", "n", "--type", "aes", "--store", path, "--json"], Some("wrong"));
    assert_eq!(json(&output)["error"]["code"], "wrong_password");
    assert_eq!(std::fs::read(&store).unwrap(), before);

    exported_certificates_verify_under_themselves(dir.path(), path);

    let output = claviger(&["delete", "es384", "--store", path, "--json"], Some(PASSWORD));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let got = json(&claviger(&["inspect", "--json", path], Some(PASSWORD)));
    assert_eq!(got["entries"].as_array().unwrap().len(), TYPES.len() - 1);
    let output = claviger(&["delete", "es384", "--store", path, "--json"], Some(PASSWORD));
    assert_eq!(json(&output)["error"]["code"], "unknown_alias");
}

#[test]
fn what_stands_behind_a_label_is_not_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let (config, store) = (dir.path().join("claviger.toml"), dir.path().join("keys.p12"));
    let (config, store) = (config.to_str().unwrap(), store.to_str().unwrap());
    for alias in ["acts", "waits", "free"] {
        let made = claviger(&["generate", alias, "--type", "ec", "--store", store], Some(PASSWORD));
        assert_eq!(made.status.code(), Some(0), "{made:?}");
    }
    let label = "am.services.oauth2.oidc.signing.ES256";
    let text = format!(
        "[stores.keys]\nkind = \"keystore\"\npath = \"keys.p12\"\nrealm = \"alpha\"\n\
         store_password = {{ env = \"STORE_PASSWORD\" }}\n\
         [stores.keys.mappings]\n\"{label}\" = [\"acts\", \"waits\"]\n"
    );
    std::fs::write(config, text).unwrap();
    let delete = |alias: &str, more: &[&str]| {
        let arguments = ["-c", config, "--json", "delete", alias, "--store", store];
        claviger(&[&arguments[..], more].concat(), Some(PASSWORD))
    };
    let before = std::fs::read(store).unwrap();
    for alias in ["acts", "WAITS"] {
        let refused = delete(alias, &[]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let error = &json(&refused)["error"];
        assert_eq!(error["code"], "still_in_use");
        assert!(error["message"].as_str().unwrap().contains(label), "{error}");
        let then = format!("retire {label} {} --realm alpha", alias.to_lowercase());
        assert!(error["help"].as_str().unwrap().contains(&then), "{error}");
    }
    assert_eq!(std::fs::read(store).unwrap(), before);
    assert_eq!(delete("free", &[]).status.code(), Some(0));
    assert_eq!(delete("waits", &["--force"]).status.code(), Some(0));
    // A configuration that cannot be read says nothing.
    std::fs::write(config, "[").unwrap();
    assert_eq!(delete("acts", &[]).status.code(), Some(0));
}

fn exported_certificates_verify_under_themselves(dir: &Path, store: &str) {
    for (alias, arguments, _) in TYPES.iter().filter(|one| !["AES", "HMAC"].contains(&one.2)) {
        let public = dir.join(format!("{alias}.pem"));
        let out = public.to_str().unwrap();
        let output = claviger(&["export", alias, "--store", store, "--out", out], Some(PASSWORD));
        assert_eq!(output.status.code(), Some(0), "{alias}: {output:?}");
        let text = std::fs::read_to_string(&public).unwrap();
        assert!(text.contains("BEGIN CERTIFICATE") && !text.contains("PRIVATE"), "{alias}");
        let verified = Command::new("openssl")
            .args(["verify", "-check_ss_sig", "-CAfile", out, out])
            .output()
            .unwrap();
        assert!(verified.status.success(), "{alias} {arguments:?}: {verified:?}");

        let private = dir.join(format!("{alias}.key.pem"));
        let out = private.to_str().unwrap();
        let all = ["export", alias, "--store", store, "--private", "--out", out];
        let output = claviger(&all, Some(PASSWORD));
        assert_eq!(output.status.code(), Some(0), "{alias}: {output:?}");
        mode_is_0600(&private);
        let key = std::fs::read_to_string(&private).unwrap();
        let secret = key.lines().nth(1).unwrap();
        assert!(!String::from_utf8(output.stderr).unwrap().contains(secret));
        let read = Command::new("openssl").args(["pkey", "-noout", "-in", out]).output().unwrap();
        assert!(read.status.success(), "{alias}: {read:?}");
        // A file that is there is never overwritten.
        assert_eq!(claviger(&all, Some(PASSWORD)).status.code(), Some(2), "{alias}");
    }
}

#[test]
fn jceks_is_imported_into_pkcs12_that_keytool_lists_and_is_no_target() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old.jceks"), dir.path().join("new.p12"));
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    keytool(&["-genseckey", "-alias", "aes", "-keyalg", "AES", "-keysize", "128"], old, "JCEKS");
    keytool(&["-genkeypair", "-alias", "ec", "-keyalg", "EC", "-dname", "CN=x"], old, "JCEKS");
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.args(["import", old, "--store", new, "--json", "--store-password-env", "NEW"]);
    let output = command
        .args(["--source-password-env", "OLD"])
        .envs([("OLD", PASSWORD), ("NEW", "another-One")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(json(&output)["entries"].as_array().unwrap().len(), 2);
    assert_eq!(json(&output)["skipped"].as_array().unwrap().len(), 0);
    let listed = Command::new("keytool")
        .args(["-list", "-storetype", "PKCS12", "-keystore", new, "-storepass", "another-One"])
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("aes,") && listed.contains("SecretKeyEntry"), "{listed}");
    assert!(listed.contains("ec,") && listed.contains("PrivateKeyEntry"), "{listed}");

    let all = ["generate", "k", "--type", "aes", "--store", old, "--json"];
    let output = claviger(&all, Some(PASSWORD));
    assert_eq!(json(&output)["error"]["code"], "store_not_written");
    assert!(json(&output)["error"]["help"].as_str().unwrap().contains("claviger import"));
}

#[test]
fn import_asks_for_the_password_that_does_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old.jks"), dir.path().join("new.p12"));
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    keytool(&["-genkeypair", "-alias", "ec", "-keyalg", "EC", "-dname", "CN=x"], old, "JKS");
    keytool(&["-keypasswd", "-alias", "ec", "-new", "of-the-entry"], old, "JKS");
    for (source, option) in [
        (None, "--source-password-file"),
        (Some("another-One"), "--source-password-file"),
        (Some(PASSWORD), "--entry-password-file"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.args(["import", old, "--store", new, "--json", "--store-password-env", "NEW"]);
        command.env("NEW", "another-One");
        if let Some(source) = source {
            command.args(["--source-password-env", "OLD"]).env("OLD", source);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = &json(&output)["error"];
        assert_eq!(error["code"], "wrong_password", "{error}");
        assert!(error["help"].as_str().unwrap().contains(option), "{option}: {error}");
    }
}

#[test]
fn inspect_says_how_to_open_entries_under_another_password() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("old.jks");
    let store = store.to_str().unwrap();
    keytool(&["-genkeypair", "-alias", "ec", "-keyalg", "EC", "-dname", "CN=x"], store, "JKS");
    let help = "help: name the password of the entries: --entry-password-file";
    let open = |entry: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.args(["inspect", store, "--store-password-env", "STORE"]).env("STORE", PASSWORD);
        let output = command.args(["--entry-password-env", "ENTRY"]).env("ENTRY", entry).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap().contains(help)
    };
    assert!(!open(PASSWORD));
    keytool(&["-keypasswd", "-alias", "ec", "-new", "of-the-entry"], store, "JKS");
    assert!(open(PASSWORD));
    assert!(!open("of-the-entry"));
}

#[test]
fn no_keystore_is_written_under_an_empty_password() {
    let dir = tempfile::tempdir().unwrap();
    let [store, pem, file] = ["new.p12", "key.pem", "pw"].map(|name| dir.path().join(name));
    let (path, pem) = (store.to_str().unwrap(), pem.to_str().unwrap());
    let key = openssl::pkey::PKey::generate_ed25519().unwrap();
    std::fs::write(pem, key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    for arguments in [
        &["generate", "k", "--type", "ec", "--store", path, "--json"][..],
        &["import", pem, "--store", path, "--json"],
    ] {
        for empty in ["", "\n"] {
            std::fs::write(&file, empty).unwrap();
            let password = ["--store-password-file", file.to_str().unwrap()];
            let output = claviger(&[arguments, &password].concat(), None);
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            let error = &json(&output)["error"];
            assert_eq!(error["message"].as_str().unwrap().split(": ").last().unwrap(), EMPTY);
            assert!(!store.exists());
        }
        assert_eq!(claviger(arguments, Some("")).status.code(), Some(2));
    }
}

const EMPTY: &str = "the password of the keystore is empty";

#[test]
fn wrong_options_of_generate_are_usage_errors_and_leave_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("keys.p12");
    let path = store.to_str().unwrap();
    for arguments in [
        &["--type", "dsa"][..],
        &["--type", "ec", "--curve", "P-257"],
        &["--type", "ec", "--bits", "256"],
        &["--type", "rsa", "--bits", "1024"],
        &["--type", "aes", "--bits", "100"],
        &["--type", "password"],
        &["--type", "ec", "--subject", "nothing"],
        &["--type", "ec", "--subject", "CN=x,C=Germany"],
    ] {
        let mut all = vec!["generate", "k", "--json", "--store", path];
        all.extend_from_slice(arguments);
        let output = claviger(&all, Some(PASSWORD));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(json(&output)["error"]["code"], "usage", "{arguments:?}");
        assert!(!store.exists());
    }
    let output = claviger(&["generate", "k", "--type", "aes", "--store", path, "--json"], None);
    assert_eq!(json(&output)["error"]["code"], "usage", "a password is needed");
}

#[test]
fn keys_in_files_of_their_own_keep_their_alias_in_jwk_and_never_show_on_the_terminal() {
    let dir = tempfile::tempdir().unwrap();
    for (key_type, format) in
        [("x25519", "jwk"), ("aes", "jwk"), ("ec", "pem"), ("password", "pem"), ("x448", "der")]
    {
        let file = dir.path().join(format!("{key_type}.{format}"));
        let out = file.to_str().unwrap();
        let all = ["generate", "mine", "--type", key_type, "--format", format, "--out", out];
        let output = claviger(&all, None);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        mode_is_0600(&file);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains("mine"), "{said}");
        let got = json(&claviger(&["inspect", "--json", out], None));
        assert_eq!(got["entries"].as_array().unwrap().len(), 1, "{got}");
        if format == "jwk" {
            assert_eq!(got["entries"][0]["alias"], "mine", "{got}");
            let key: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            let secret = key["d"].as_str().or_else(|| key["k"].as_str()).unwrap();
            assert!(!said.contains(secret) && !got.to_string().contains(secret));
        }
    }
}

fn mode_is_0600(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}
