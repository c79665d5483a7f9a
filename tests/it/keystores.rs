//! PKCS#12 as other people's software writes it: every case of the answer sheet, and files made here.

use std::path::Path;
use std::time::Instant;

use claviger::crypto::{Key, sha256};
use claviger::formats::{self, Entry, Limits, Material, Passwords};
use claviger::secret::SecretString;
use serde_json::Value;

use crate::support::{hex, vectors};

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// Opens a file as `check` would.
fn open(
    path: &Path,
    store: &str,
    entry: Option<&str>,
    integrity: bool,
) -> Result<formats::Container, claviger::error::Error> {
    let store = SecretString::from_string(store.into());
    let entry = entry.map(|entry| SecretString::from_string(entry.into()));
    let passwords = Passwords { store: Some(&store), entry: entry.as_ref() };
    let bytes = std::fs::read(path).unwrap();
    formats::open(&bytes, None, &passwords, &Limits::default(), integrity)
}

/// Cases whose files carry no MAC: they load only where the store says so.
const WITHOUT_MAC: [&str; 1] = ["boringssl:no_encryption.p12"];

/// Cases that the answer sheet lets other readers take and that we do not, with the reason.
const DIFFERENT: [(&str, &str); 0] = [];

#[test]
fn pkcs12_files_of_other_software_give_their_expected_result() {
    let Some(root) = vectors("keystores") else { return };
    let sheet: Value =
        serde_json::from_slice(&std::fs::read(root.join("expectations.json")).unwrap()).unwrap();
    let mut ran = 0;
    let mut failures = Vec::new();
    for case in sheet["cases"].as_array().unwrap() {
        if text(case, "type") != "PKCS12" && case["type"].as_str().is_some() {
            continue;
        }
        ran += 1;
        let id = text(case, "id");
        let started = Instant::now();
        let integrity = !WITHOUT_MAC.contains(&id);
        let opened = open(&root.join(text(case, "file")), text(case, "password"), None, integrity);
        let wrong = match (text(case, "must"), opened) {
            ("refuse", Ok(_)) => Some("was not refused".to_owned()),
            ("load", Err(error)) => Some(format!("did not load: {error}")),
            ("load", Ok(container)) => compare(case, &container.entries),
            _ => None,
        };
        let slow = started.elapsed().as_secs() > 5;
        let listed = DIFFERENT.iter().any(|(known, _)| *known == id);
        match wrong {
            Some(why) if !listed => failures.push(format!("{id}: {why}")),
            None if listed => failures.push(format!("{id}: passes now, take it off the list")),
            _ => {}
        }
        if slow {
            failures.push(format!("{id}: took {:?}", started.elapsed()));
        }
    }
    println!("keystores: {ran} PKCS#12 cases");
    assert!(ran > 40 && failures.is_empty(), "{}", failures.join("\n"));
}

fn compare(case: &Value, entries: &[Entry]) -> Option<String> {
    let expected = case["entries"].as_array().unwrap();
    for one in expected {
        // A reader that numbers nothing shows an unnamed entry without an alias.
        let alias =
            Some(text(one, "alias")).filter(|name| !name.is_empty()).unwrap_or("1").to_lowercase();
        let found = entries.iter().find(|entry| entry.alias.to_lowercase() == alias);
        let Some(found) = found else {
            let names: Vec<&str> = entries.iter().map(|entry| entry.alias.as_str()).collect();
            return Some(format!("alias \"{alias}\" is missing; there are {names:?}"));
        };
        let chain: Vec<String> = found.chain.iter().map(|der| hex(&sha256(der))).collect();
        let wanted: Vec<&str> = one["cert_sha256"]
            .as_array()
            .map(|all| all.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        if chain != wanted {
            return Some(format!("alias \"{alias}\": chain {chain:?}, not {wanted:?}"));
        }
        if let Some(secret) = one["secret_sha256"].as_str()
            && let Material::SecretKey { bytes, .. } = &found.material
            && hex(&sha256(bytes.expose_secret())) != secret
        {
            return Some(format!("alias \"{alias}\": another secret"));
        }
        if let Some(spki) = one["spki_sha256"].as_str()
            && let Material::PrivateKey(pkcs8) = &found.material
            && text(one, "key_alg") != "DSA"
        {
            let key = match Key::from_private(pkcs8, found.chain.clone()) {
                Ok(key) => key,
                Err(error) => return Some(format!("alias \"{alias}\": {error}")),
            };
            if hex(&sha256(key.spki().unwrap())) != spki {
                return Some(format!("alias \"{alias}\": another key"));
            }
        }
    }
    (entries.len() != expected.len()).then(|| {
        let names: Vec<&str> = entries.iter().map(|entry| entry.alias.as_str()).collect();
        format!("{} entries instead of {}: {names:?}", entries.len(), expected.len())
    })
}
