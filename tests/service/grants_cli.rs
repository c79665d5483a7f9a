//! `claviger grants` and `claviger api-key`: what operators see of callers.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const ACCESS: &str = "
[[callers]]
name = 'portal'
certificate = { san_uri = 'spiffe://example.org/portal' }
[[callers]]
name = 'batch'
api_key_sha256 = 'KEY'
[[callers]]
name = 'idle'
anonymous = true
[[grants]]
callers = ['portal', 'batch']
rights = ['sign', 'verify', 'reload']
labels = ['am.services.oauth2.oidc.signing.E*']
[[grants]]
callers = ['portal']
rights = ['verify', 'keys']
labels = ['am.services.oauth2.oidc.signing.ES256', 'am.services.iot.*']
realms = ['*']
";

fn claviger(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.current_dir(folder).args(arguments).output().unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The demo keystores with callers.
fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/keystores");
    for name in ["default.p12", "storepass.txt"] {
        std::fs::copy(format!("{keys}/{name}"), folder.path().join(name)).unwrap();
    }
    let made = json_of(&claviger(folder.path(), &["api-key", "--json"]));
    let hash = made["api_key_sha256"].as_str().unwrap().to_owned();
    let base = std::fs::read_to_string(format!("{keys}/claviger.toml")).unwrap();
    let text = base + &ACCESS.replace("KEY", &hash);
    std::fs::write(folder.path().join("claviger.toml"), text).unwrap();
    (folder, hash)
}

#[test]
fn rights_are_shown_as_they_hold_label_by_label() {
    let (folder, hash) = folder();
    let shown = json_of(&claviger(folder.path(), &["grants", "--for", "portal", "--json"]));
    let label = |end: &str, realms: Value, rights: Value| {
        let label = format!("am.services.oauth2.oidc.signing.{end}");
        json!({ "label": label, "realms": realms, "rights": rights })
    };
    let portal = json!({
        "name": "portal",
        "credential": { "kind": "certificate", "shown": "certificate with san_uri spiffe://example.org/portal" },
        "labels": [
            label("EDDSA", json!(["/"]), json!(["sign", "verify"])),
            label("ES256", json!(["*"]), json!(["verify"])),
            label("ES256", json!(["/"]), json!(["sign"])),
            label("ES384", json!(["/"]), json!(["sign", "verify"])),
        ],
        "realms": [{ "realms": ["*"], "rights": ["keys"] }],
        "service": ["reload"],
        "without_label": ["am.services.iot.*"],
    });
    assert_eq!(shown, json!({ "callers": [portal] }));
    let all = claviger(folder.path(), &["grants"]);
    let text = String::from_utf8(all.stdout).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let start: String = hash.chars().take(16).collect();
    assert!(text.contains(&format!("API key with sha256 {start}…")), "{text}");
    assert!(!text.contains(&hash), "{text}");
    assert!(
        rows.iter().any(|row| row.starts_with(&["idle", "anonymous", "-", "-", "none"])),
        "{text}"
    );
    assert!(String::from_utf8(all.stderr).unwrap().contains("\"am.services.iot.*\" is no label"));
    let alpha = json_of(&claviger(folder.path(), &["--realm", "alpha", "grants", "--json"]));
    let labels = &alpha["callers"][0]["labels"];
    assert_eq!(*labels, json!([label("ES256", json!(["*"]), json!(["verify"]))]));
    assert_eq!(alpha["callers"][1]["labels"], json!([]));
    let nobody = claviger(folder.path(), &["grants", "--for", "portel"]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(String::from_utf8(nobody.stderr).unwrap().contains("portal, batch, idle"));
    let check = claviger(folder.path(), &["check"]);
    let said = String::from_utf8(check.stderr).unwrap();
    assert!(said.contains("3 callers: `claviger grants` shows"), "{said}");
}

#[test]
fn a_new_api_key_has_256_bits_and_the_hash_that_openssl_reckons() {
    let folder = tempfile::tempdir().unwrap();
    let made = claviger(folder.path(), &["api-key"]);
    let text = String::from_utf8(made.stdout).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    let ["key", key, "api_key_sha256", hash] = words.as_slice() else { panic!("{text}") };
    let digest = openssl::sha::sha256(key.as_bytes());
    assert_eq!(*hash, digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    // "cvk_" and 32 bytes in base64url.
    assert_eq!((key.len(), key.starts_with("cvk_")), (47, true));
    let other = json_of(&claviger(folder.path(), &["api-key", "--json"]));
    assert_ne!(other["key"], json!(key));
}
