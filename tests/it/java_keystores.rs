//! JKS and JCEKS: every case of the answer sheet, stores that keytool writes here, and altered bytes.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use claviger::error::ErrorKind;
use claviger::formats::{self, Container, ContainerType, Limits, Material, Passwords};
use claviger::secret::SecretString;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use crate::support::{hex, vectors};

fn open(
    bytes: &[u8],
    store: Option<&str>,
    entry: Option<&str>,
) -> claviger::error::Result<Container> {
    let store = store.map(|text| SecretString::from_string(text.to_owned()));
    let entry = entry.map(|text| SecretString::from_string(text.to_owned()));
    let passwords = Passwords { store: store.as_ref(), entry: entry.as_ref() };
    formats::open(bytes, None, &passwords, &Limits::default(), store.is_some())
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn is_java(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|end| end == "jks" || end == "jceks")
        && !file.contains("java11")
        || file.ends_with(".bks")
        || file.ends_with(".bksv2")
        || file.ends_with(".uber")
        || file.ends_with(".bcfks")
        || file.ends_with(".bin")
}

#[test]
fn every_case_of_the_answer_sheet_is_met() {
    let Some(root) = vectors("keystores") else { return };
    let sheet: Value =
        serde_json::from_slice(&std::fs::read(root.join("expectations.json")).unwrap()).unwrap();
    let (mut ran, mut foreign) = (0, 0);
    for case in sheet["cases"].as_array().unwrap() {
        let file = case["file"].as_str().unwrap();
        if !is_java(file) {
            continue;
        }
        let id = case["id"].as_str().unwrap();
        let bytes = std::fs::read(root.join(file)).unwrap();
        let result = open(&bytes, case["password"].as_str(), None);
        if matches!(case["type"].as_str(), Some("BKS" | "UBER" | "BCFKS")) {
            // Bouncy Castle's formats are refused by name, with the way to convert them.
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{id}");
            assert!(error.help().unwrap().contains("keytool -importkeystore"), "{id}");
            foreign += 1;
            continue;
        }
        match case["must"].as_str().unwrap() {
            "load" => meets(case, &bytes, &result.unwrap_or_else(|error| panic!("{id}: {error}"))),
            "refuse" => drop(result.expect_err(id)),
            "refuse-entry" => {
                let alias = case["refuse_alias"].as_str().unwrap();
                let served = result.is_ok_and(|container| {
                    container.entries.iter().any(|entry| {
                        entry.alias == alias && !matches!(entry.material, Material::Unreadable(_))
                    })
                });
                assert!(!served, "{id}");
            }
            "either" => drop(result),
            other => panic!("{id}: unknown expectation {other}"),
        }
        ran += 1;
    }
    println!(
        "JKS and JCEKS: {ran} cases ran, {foreign} of Bouncy Castle's formats refused by name"
    );
    assert!(ran >= 60 && foreign >= 9, "{ran} {foreign}");
}

fn meets(case: &Value, bytes: &[u8], container: &Container) {
    let id = case["id"].as_str().unwrap();
    let Some(expected) = case["entries"].as_array() else { return };
    assert_eq!(container.entries.len(), expected.len(), "{id}");
    assert!(container.warnings.iter().any(|warning| warning.contains("legacy")), "{id}");
    for want in expected {
        let alias = want["alias"].as_str().unwrap();
        let other = want["entry_password"]
            .as_str()
            .map(|password| open(bytes, case["password"].as_str(), Some(password)).unwrap());
        let container = other.as_ref().unwrap_or(container);
        let entry = container
            .entries
            .iter()
            .find(|entry| entry.alias.to_lowercase() == alias)
            .unwrap_or_else(|| panic!("{id}: no {alias}"));
        let (field, secret) = match &entry.material {
            Material::Certificate => ("trustedCert", None),
            Material::PrivateKey(key) => ("pkcs8_sha256", Some(key)),
            Material::SecretKey { bytes, .. } => ("secret_sha256", Some(bytes)),
            other => panic!("{id} {alias}: {other:?}"),
        };
        if let Some(secret) = secret {
            let got = sha256(secret.expose_secret());
            assert_eq!(want[field].as_str(), Some(got.as_str()), "{id} {alias}");
        } else {
            assert_eq!(want["kind"], field, "{id} {alias}");
        }
        if let Some(chain) = want["cert_sha256"].as_array() {
            let got: Vec<_> = entry.chain.iter().map(|der| Value::from(sha256(der))).collect();
            assert_eq!(*chain, got, "{id} {alias}");
        }
    }
}

#[test]
fn a_wrong_entry_password_leaves_the_other_entries() {
    let Some(root) = vectors("keystores") else { return };
    let bytes = std::fs::read(root.join("openam/shared-test-keystore.jceks")).unwrap();
    let container = open(&bytes, Some("testcase"), None).unwrap();
    let unreadable: Vec<_> = container
        .entries
        .iter()
        .filter_map(|entry| match &entry.material {
            Material::Unreadable(error) => Some((entry.alias.as_str(), error.kind())),
            _ => None,
        })
        .collect();
    assert_eq!(unreadable, [("privatekey", ErrorKind::WrongPassword)]);
}

#[test]
fn without_a_password_integrity_is_refused_or_warned_of() {
    let Some(root) = vectors("keystores") else { return };
    let bytes = std::fs::read(root.join("openam/sts-stsstore.jks")).unwrap();
    let passwords = Passwords::default();
    let limits = Limits::default();
    let error = formats::open(&bytes, None, &passwords, &limits, true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongPassword);
    let container = formats::open(&bytes, None, &passwords, &limits, false).unwrap();
    assert!(container.warnings.iter().any(|warning| warning.contains("integrity")));
    assert!(container.entries.iter().any(|entry| matches!(entry.material, Material::Certificate)));
    let insist = formats::open(&bytes, Some(ContainerType::Jceks), &passwords, &limits, false);
    assert!(insist.is_err());
}

#[test]
fn every_flipped_byte_refuses() {
    let Some(root) = vectors("keystores") else { return };
    let mut count = 0;
    for (file, password) in [
        ("openam/sts-stsstore.jks", "frstssrvkspw"),
        ("pyjks/jceks/AES256.jceks", "12345678"),
        ("openam/shared-test-keystore.jceks", "testcase"),
    ] {
        let bytes = std::fs::read(root.join(file)).unwrap();
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..1500 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let mut altered = bytes.clone();
            let place = usize::try_from(seed % u64::try_from(bytes.len()).unwrap()).unwrap();
            altered[place] ^= 1 << (seed >> 61);
            assert!(open(&altered, Some(password), None).is_err(), "{file} at {place}");
            // Without the digest the parser itself meets the altered bytes.
            drop(open(&altered, None, Some(password)));
            drop(open(&altered[..place], None, Some(password)));
            count += 1;
        }
    }
    println!("{count} altered keystores refused");
}

fn keytool(args: &[&str]) -> bool {
    let output = Command::new("keytool")
        .env("LC_ALL", "C.UTF-8")
        .args(["-J-Dfile.encoding=UTF-8", "-J-Dsun.jnu.encoding=UTF-8"])
        .args(args)
        .output();
    let Ok(output) = output else {
        assert!(std::env::var_os("CI").is_none(), "keytool is absent under CI");
        println!("keytool is absent: these cases did not run");
        return false;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    true
}

#[test]
fn what_keytool_writes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for store_type in ["jks", "jceks"] {
        let path = folder.path().join(format!("made.{store_type}"));
        let path = path.to_str().unwrap();
        let common = ["-keystore", path, "-storetype", store_type, "-storepass", "store-pw"];
        let pair = ["-genkeypair", "-keypass", "entry-pw", "-dname", "CN=claviger"];
        let keys: [&[&str]; 3] = [
            &["-alias", "schl\u{fc}ssel-\u{1f511}", "-keyalg", "RSA", "-keysize", "2048"],
            &["-alias", "Rsa-Key", "-keyalg", "RSA", "-keysize", "2048"],
            &["-alias", "ec", "-keyalg", "EC", "-groupname", "secp384r1"],
        ];
        for key in keys {
            if !keytool(&[&common[..], &pair, key].concat()) {
                return;
            }
        }
        let mut want = vec!["ec", "rsa-key", "schl\u{fc}ssel-\u{1f511}"];
        if store_type == "jceks" {
            for (alias, algorithm, bits) in [("aes", "AES", "256"), ("hmac", "HmacSHA256", "512")] {
                let secret = ["-genseckey", "-keypass", "entry-pw", "-alias", alias];
                keytool(
                    &[&common[..], &secret, &["-keyalg", algorithm, "-keysize", bits]].concat(),
                );
                want.push(alias);
            }
        }
        let bytes = std::fs::read(path).unwrap();
        let container = open(&bytes, Some("store-pw"), Some("entry-pw")).unwrap();
        assert_eq!(container.container_type.name(), store_type);
        let got: HashSet<_> = container
            .entries
            .iter()
            .filter(|entry| !matches!(entry.material, Material::Unreadable(_)))
            .map(|entry| entry.alias.as_str())
            .collect();
        assert_eq!(got, want.into_iter().collect(), "{:?}", container.entries);
        let wrong = open(&bytes, Some("store-pw"), None).unwrap();
        assert!(
            wrong.entries.iter().all(|entry| matches!(entry.material, Material::Unreadable(_)))
        );
    }
}
