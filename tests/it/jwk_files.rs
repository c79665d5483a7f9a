//! JWK files: other people's keys load and round-trip, contradictions and damage are refused.

use std::path::{Path, PathBuf};

use base64ct::{Base64, Base64Url, Base64UrlUnpadded, Encoding};
use claviger::crypto::Key;
use claviger::error::{ErrorKind, Result};
use claviger::formats::{self, Container, ContainerType, Limits, Material, Passwords, jwk};
use openssl::hash::MessageDigest;
use serde_json::{Value, json};

use crate::support::{hex, vectors};

fn open(bytes: &[u8]) -> Result<Container> {
    formats::open(bytes, None, &Passwords::default(), &Limits::default(), true)
}

fn files(root: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(root)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| ends.contains(&end.to_str().unwrap())))
        .collect();
    files.sort();
    files
}

/// The members that make the key, without what only describes it.
fn key_members(jwk: &Value) -> Value {
    let names = ["kty", "crv", "x", "y", "d", "n", "e", "p", "q", "dp", "dq", "qi", "k"];
    let members = jwk.as_object().unwrap().iter();
    members
        .filter(|(name, _)| names.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Files that are refused, and why.
const REFUSED: &[(&str, &str)] = &[];

#[test]
fn other_peoples_keys_load_and_come_out_the_same() {
    let mut count = 0;
    for (folder, ends) in [
        ("jose/joserfc/keys", &["json"][..]),
        ("jose/latchset", &["jwk", "jwkset"]),
        ("jose/ietf-cookbook/jwk", &["json"]),
    ] {
        let Some(root) = vectors(folder) else { return };
        for path in files(&root, ends) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let result = open(&bytes);
            if let Some((_, why)) = REFUSED.iter().find(|(file, _)| *file == name) {
                assert!(result.is_err(), "{name} loads, but is listed as refused: {why}");
                continue;
            }
            let container = result.unwrap_or_else(|error| panic!("{name}: {error}"));
            let original: Value = serde_json::from_slice(&bytes).unwrap();
            let single = [original.clone()];
            let originals = original["keys"].as_array().map_or(&single[..], Vec::as_slice);
            assert_eq!(container.entries.len(), originals.len(), "{name}");
            for (entry, original) in container.entries.iter().zip(originals) {
                let text =
                    jwk::write(entry, false).unwrap_or_else(|error| panic!("{name}: {error}"));
                let written: Value = serde_json::from_str(text.expose_secret()).unwrap();
                assert_eq!(key_members(&written), key_members(original), "{name}");
                let again = open(text.expose_secret().as_bytes()).unwrap();
                assert_eq!(again.entries[0].hints, entry.hints, "{name}");
                if let Ok(public) = jwk::write(entry, true) {
                    assert!(!public.expose_secret().contains("\"d\":"), "{name}");
                }
            }
            count += 1;
        }
    }
    println!("{count} JWK files loaded and written back");
    assert!(count >= 60, "{count}");
}

#[test]
fn keystore_explorer_keys_load_and_encrypted_ones_are_refused() {
    let Some(root) = vectors("keystores/keystore-explorer/CryptoFileUtilTest") else { return };
    let mut count = 0;
    for path in files(&root, &["json"]) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let result = open(&std::fs::read(&path).unwrap());
        if name.contains(".enc.") {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Unsupported, "{name}");
        } else if name == "ec.unenc.json" {
            // Its x and y are no multiple by d: pyca/cryptography derives another point too.
            assert!(result.unwrap_err().message().starts_with("d:"), "{name}");
        } else {
            let found = result.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(found.container_type, ContainerType::Jwk, "{name}");
        }
        count += 1;
    }
    println!("keystore-explorer: {count} JWK files");
    assert!(count >= 12);
}

/// What the format lets through and the key itself refuses when it is loaded.
fn loads_as_key(material: &Material) -> bool {
    match material {
        Material::PrivateKey(key) => Key::from_private(key, Vec::new()).is_ok(),
        Material::PublicKey(spki) => Key::from_public(spki).is_ok(),
        _ => true,
    }
}

#[test]
fn hostile_imports() {
    let Some(root) = vectors("jose/attack") else { return };
    let sheet: Value =
        serde_json::from_slice(&std::fs::read(root.join("attack-cases.json")).unwrap()).unwrap();
    let mut count = 0;
    for case in sheet["cases"].as_array().unwrap() {
        if case["op"] != "import-jwk" {
            continue;
        }
        let id = case["id"].as_str().unwrap();
        let result = open(case["jwk"].to_string().as_bytes());
        // Whether 32 bytes are enough for HS512 is a policy: the label decides, the hint is kept.
        if id == "J30-28-hs512-short" {
            assert_eq!(result.unwrap().entries[0].hints.alg.as_deref(), Some("HS512"));
        } else {
            let accepted = result.is_ok_and(|found| loads_as_key(&found.entries[0].material));
            assert_eq!(accepted, case["must"] == "accept", "{id}: {}", case["why"]);
        }
        count += 1;
    }
    println!("J30: {count} imports");
    assert!(count >= 17);
}

const EC: &str = r#"{"kty":"EC","crv":"P-256","x":"uwIUGm2QUyEqluxlyKmS3CLEIfO53FM5d219_btmabY","y":"RnGr57ticqwarjwmd4TFeFWDdT9za7X3ffPqmsNczfU","d":"jVP9LVu-l9wTrosYEunVM9s-c-SkVcbIk04Q5sV_IXk"}"#;

#[test]
fn contradictions_are_refused_by_the_members_name() {
    for (name, value, member) in [
        ("kid", json!(7), "kid"),
        ("kid", json!("a\nb"), "kid"),
        ("alg", json!("ES384"), "alg"),
        ("alg", json!("HS256"), "alg"),
        ("use", json!(["sig"]), "use"),
        ("key_ops", json!("sign"), "key_ops"),
        ("key_ops", json!(["sign", "sign"]), "key_ops"),
        ("x", json!("uwIUGm2QUyEqluxlyKmS3CLEIfO53FM5d219_btmabY="), "x"),
        ("y", json!("AA"), "y"),
        ("d", json!("jVP9LVu-l9wTrosYEunVM9s-c-SkVcbIk04Q5sV_IXl"), "d"),
        ("x5c", json!([]), "x5c"),
        ("x5c", json!(["AAAA"]), "x5c"),
        ("crv", json!("p-256"), "crv"),
    ] {
        let mut key: Value = serde_json::from_str(EC).unwrap();
        assert!(open(key.to_string().as_bytes()).is_ok());
        key[name] = value.clone();
        let error = open(key.to_string().as_bytes()).unwrap_err();
        assert!(error.message().starts_with(member), "{name} {value}: {error}");
    }
    let mut key: Value = serde_json::from_str(EC).unwrap();
    key["alg"] = json!("ES256");
    key["use"] = json!("enc");
    assert!(open(key.to_string().as_bytes()).is_err());
    let doubled = EC.replacen('{', r#"{"kty":"EC","#, 1);
    assert!(open(doubled.as_bytes()).unwrap_err().message().contains("twice"));
}

/// Auth0 and WSO2 encode the hexadecimal digits of the thumbprint, in either case; WSO2 and Oracle pad it.
#[test]
fn a_thumbprint_may_be_the_digits_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let made = crate::support::claviger(
        folder.path(),
        &["generate", "one", "--type", "ec", "--subject", "CN=one", "--out", "one.pem"],
        &[],
    );
    assert!(made.status.success());
    let export = ["export", "1", "--store", "one.pem", "--format", "jwk", "--out", "one.jwk"];
    assert!(crate::support::claviger(folder.path(), &export, &[]).status.success());
    let text = std::fs::read(folder.path().join("one.jwk")).unwrap();
    let key: Value = serde_json::from_slice(&text).unwrap();
    let leaf = Base64::decode_vec(key["x5c"][0].as_str().unwrap()).unwrap();
    let digest = |name| openssl::hash::hash(name, &leaf).unwrap().to_vec();
    let (sha1, sha256) = (digest(MessageDigest::sha1()), digest(MessageDigest::sha256()));
    for (name, digest, other) in [("x5t", &sha1, &sha256), ("x5t#S256", &sha256, &sha1)] {
        let digits = hex(digest);
        for said in [digits.to_uppercase().as_bytes(), digits.as_bytes(), digest] {
            let mut changed = key.clone();
            changed[name] = Base64UrlUnpadded::encode_string(said).into();
            open(changed.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"));
            changed[name] = Base64Url::encode_string(said).into();
            open(changed.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        }
        let foreign = digits.replace(&digits[..1], if digits.starts_with('0') { "1" } else { "0" });
        for wrong in [foreign, digits[2..].to_owned(), format!("{digits}00")] {
            let mut changed = key.clone();
            changed[name] = Base64UrlUnpadded::encode_string(wrong.as_bytes()).into();
            let error = open(changed.to_string().as_bytes()).unwrap_err();
            assert!(error.message().starts_with(name), "{error}");
        }
        let mut changed = key.clone();
        changed[name] = Base64UrlUnpadded::encode_string(other).into();
        assert!(open(changed.to_string().as_bytes()).is_err());
    }
}

#[test]
fn a_curve_that_is_not_built_in_is_told_from_one_of_another_type() {
    use ErrorKind::{Damaged, Unsupported};
    for (kty, crv, kind) in [
        ("EC", json!("BP-256"), Unsupported),
        ("EC", json!("p-256"), Unsupported),
        ("OKP", json!("Ed\u{1b}"), Unsupported),
        ("EC", json!("X25519"), Damaged),
        ("OKP", json!("P-256"), Damaged),
        ("OKP", Value::Null, Damaged),
    ] {
        let mut key = json!({ "kty": kty, "x": "AA", "y": "AA", "crv": crv });
        if crv.is_null() {
            key.as_object_mut().unwrap().remove("crv");
        }
        let error = open(key.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().starts_with("crv: "), "{error}");
        assert!(!error.message().contains('\u{1b}'), "{error}");
    }
}

/// A public key that no label would take says so where it is looked at: here y lies beside the curve.
#[test]
fn a_public_key_beside_its_curve_is_shown_as_unfit() {
    let mut key: Value = serde_json::from_str(EC).unwrap();
    key.as_object_mut().unwrap().remove("d");
    let folder = tempfile::tempdir().unwrap();
    let shown = |key: &Value| {
        std::fs::write(folder.path().join("k.jwk"), key.to_string()).unwrap();
        let found = crate::support::claviger(folder.path(), &["inspect", "k.jwk"], &[]);
        crate::support::json(&found)["entries"][0].clone()
    };
    assert!(shown(&key)["error"].is_null());
    key["y"] = json!("RnGr57ticqwarjwmd4TFeFWDdT9za7X3ffPqmsNczfA");
    let entry = shown(&key);
    assert_eq!(entry["error"]["code"], "key_unfit", "{entry}");
    let why = entry["error"]["message"].as_str().unwrap();
    assert!(why.ends_with("its point is not on the curve"), "{why}");
    assert_eq!((&entry["kind"], &entry["curve"]), (&json!("public-key"), &json!("P-256")));
}

#[test]
fn a_set_keeps_its_good_keys() {
    let mut bad: Value = serde_json::from_str(EC).unwrap();
    bad["x"] = json!("AA");
    let good: Value = serde_json::from_str(EC).unwrap();
    let set = json!({ "keys": [bad, {"kty": "new"}, good] });
    let container = open(set.to_string().as_bytes()).unwrap();
    assert_eq!(container.container_type, ContainerType::Jwks);
    assert_eq!(container.warnings.len(), 1);
    let [first, second] = container.entries.as_slice() else { panic!("{container:?}") };
    assert!(matches!(first.material, Material::Unreadable(_)) && first.alias == "1");
    assert!(matches!(second.material, Material::PrivateKey(_)) && second.alias == "3");
    let text = jwk::write_set(&container.entries[1..], true).unwrap();
    assert!(open(text.expose_secret().as_bytes()).is_ok());
    let twice =
        json!({ "keys": [{"kty":"oct","k":"AAAA","kid":"a"}, {"kty":"oct","k":"AAAB","kid":"a"}] });
    assert!(open(twice.to_string().as_bytes()).unwrap_err().message().starts_with("kid"));
}

#[test]
fn altered_text_never_panics() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..3000 {
        let mut altered = EC.as_bytes().to_vec();
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let place = usize::try_from(seed % u64::try_from(altered.len()).unwrap()).unwrap();
        altered[place] = seed.to_be_bytes()[0];
        if let Ok(container) = open(&altered) {
            drop(jwk::write(&container.entries[0], false));
        }
        drop(open(&altered[..place]));
    }
}
