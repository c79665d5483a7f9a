//! The compiled catalogue, fact by fact against the list of facts about Ping AM's labels.

use std::path::PathBuf;

use claviger::alg::Algorithm;
use claviger::catalogue::{self, LabelSpec};

/// The list; it belongs to the project's papers, not to the repository.
fn facts() -> Option<Vec<toml::Table>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/spec/labels.toml");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("the list of facts is absent: nothing to compare");
        return None;
    };
    let mut file: toml::Table = toml::from_str(&text).unwrap();
    let rows = file.remove("label").unwrap();
    Some(rows.as_array().unwrap().iter().map(|row| row.as_table().unwrap().clone()).collect())
}

fn list(row: &toml::Table, key: &str) -> Vec<String> {
    let items = row.get(key).and_then(toml::Value::as_array).cloned().unwrap_or_default();
    items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn text<'a>(row: &'a toml::Table, key: &str) -> &'a str {
    row.get(key).and_then(toml::Value::as_str).unwrap_or_default()
}

fn flag(row: &toml::Table, key: &str) -> bool {
    row.get(key).and_then(toml::Value::as_bool).unwrap_or(false)
}

/// How the list writes what a row of ours says.
fn told(spec: &LabelSpec) -> Vec<(&'static str, String)> {
    let uses: Vec<&str> = spec.uses.iter().map(|one| one.name()).collect();
    let material =
        format!("{:?}{}", spec.material, if spec.certificate_required { "+cert" } else { "" });
    vec![
        ("section", spec.section.clone()),
        ("use", uses.join(" ")),
        ("material", material),
        ("scope", format!("{:?}", spec.scope)),
        ("rotation", format!("{:?}", spec.rotation)),
        ("default_aliases", spec.default_aliases.join(" ")),
        ("replaced_by", spec.replaced_by.join(" ")),
        ("deprecated", spec.deprecated.to_string()),
        ("restart_needed", spec.restart_needed.to_string()),
        ("publish", format!("{:?}", spec.publish)),
    ]
}

fn wanted(row: &toml::Table) -> Vec<(&'static str, String)> {
    let mut uses: Vec<&str> = Vec::new();
    for purpose in list(row, "purpose") {
        uses.push(match purpose.as_str() {
            "password" | "salt" => "secret",
            "signing" => "sign",
            "encryption" => "encrypt",
            "decryption" => "decrypt",
            "mtls" => "mtls",
            "trust-anchor" => "trust",
            // Anchors verify what is below them; that is no use of its own.
            "verification" | "certificate-verification" if uses.contains(&"trust") => {
                if purpose == "verification" { "verify" } else { continue }
            }
            "verification" => "verify",
            other => panic!("{other}"),
        });
    }
    let material = match text(row, "material") {
        "generic" => "Generic",
        "rsa-keypair" => "Rsa",
        "rsa-keypair+cert" => "Rsa+cert",
        "aes" => "Aes",
        "ec-keypair" => "Ec",
        "ed25519-keypair" => "Ed25519",
        "hmac" => "Hmac",
        "rsa-or-ec-keypair" => "RsaOrEc",
        "certificate" => "Certificate",
        "keypair+cert" => "KeyPair+cert",
        "des-or-aes" => "DesOrAes",
        "rsa-keypair-or-aes" => "RsaOrAes",
        "public-key" => "PublicKey",
        other => panic!("{other}"),
    };
    let scope = match text(row, "scope") {
        "global-only" => "GlobalOnly",
        "global+realm" => "GlobalOrRealm",
        "realm" => "Realm",
        other => panic!("{other}"),
    };
    let rotation = match text(row, "rotation") {
        "overlap" => "Overlap",
        "active-only" => "ActiveOnly",
        "trust-set" => "TrustSet",
        "none" => "None",
        other => panic!("{other}"),
    };
    let publish = match text(row, "publish") {
        "" => "None",
        active if active.contains("active-only") => "Active",
        _ => "All",
    };
    vec![
        ("section", text(row, "section").to_owned()),
        ("use", uses.join(" ")),
        ("material", material.to_owned()),
        ("scope", scope.to_owned()),
        ("rotation", rotation.to_owned()),
        ("default_aliases", list(row, "default_aliases").join(" ")),
        ("replaced_by", list(row, "replaced_by").join(" ")),
        ("deprecated", flag(row, "deprecated").to_string()),
        ("restart_needed", flag(row, "restart_needed").to_string()),
        ("publish", publish.to_owned()),
    ]
}

#[test]
fn every_row_says_what_the_list_of_facts_says() {
    let Some(rows) = facts() else { return };
    let names: Vec<&str> = rows.iter().map(|row| text(row, "name")).collect();
    let ours: Vec<&str> = catalogue::all().iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(ours, names);
    let mut differences = Vec::new();
    for (spec, row) in catalogue::all().iter().zip(&rows) {
        for (ours, facts) in told(spec).iter().zip(wanted(row)) {
            // The list's own algorithms of SAML signing are RSA and ECDSA, its material is RSA: both are taken.
            let ecdsa = spec.xml_algorithms.iter().any(|name| name.starts_with("ecdsa"));
            if *ours != facts && !(ecdsa && facts == ("material", "Rsa+cert".to_owned())) {
                differences.push(format!("{}: {ours:?}, and the list has {facts:?}", spec.name));
            }
        }
        // JOSE names as they are; the list words the others freely.
        let mut jose: Vec<String> = list(row, "algorithms");
        jose.retain(|name| Algorithm::find(name).is_some() && spec.xml_algorithms.is_empty());
        jose.sort();
        let mut named = spec.algorithms.clone();
        named.sort();
        let freely = list(row, "algorithms") == ["AES-256"];
        if jose != named && !freely {
            differences.push(format!("{}: algorithms {named:?}, and {jose:?}", spec.name));
        }
        let xml = list(row, "algorithms")
            .iter()
            .filter(|name| name.contains("SHA-") || name.starts_with("RSA "))
            .count();
        if !spec.xml_algorithms.is_empty() && spec.xml_algorithms.len() < xml {
            differences.push(format!("{}: XML algorithms {:?}", spec.name, spec.xml_algorithms));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn fallbacks_are_those_of_the_product_and_no_others() {
    let Some(rows) = facts() else { return };
    for (spec, row) in catalogue::all().iter().zip(&rows) {
        let expected: Vec<String> = match text(row, "fallback") {
            // An identifier that is configured and not mapped never falls to the default label.
            _ if spec.name == "am.authentication.nodes.persistentcookie.{identifier}.signing" => {
                vec![]
            }
            label if label.contains("{role}") => {
                ["idp", "sp"].map(|role| label.replace("{role}", role)).to_vec()
            }
            label if label.starts_with("am.") => vec![label.to_owned()],
            // A keystore outside the secret stores.
            _ => vec![],
        };
        assert_eq!(spec.fallback, expected, "{}", spec.name);
    }
}
