//! The promise: what an alias made opens exactly as long as that alias is mapped.

use claviger::alg::{ALGORITHMS, Algorithm, Operation};
use claviger::catalogue::LabelUse;
use claviger::crypto::generate::{KeySpec, generate};
use claviger::crypto::{Key, OctType};
use claviger::error::ErrorKind;
use claviger::formats::JwkHints;
use claviger::jose::jwe::{self, EncryptOptions};
use claviger::jose::jws::{self, SignOptions, VerifyOptions};
use claviger::jose::{Serialization, nested};
use claviger::ops::{KeySet, KeySetPolicy, LabelKey};
use proptest::prelude::*;

fn key(index: usize, spec: KeySpec, oct: Option<OctType>) -> LabelKey {
    let made = generate(spec).unwrap();
    let key = match oct {
        Some(oct_type) => Key::from_secret(made, oct_type).unwrap(),
        None => Key::from_private(&made, Vec::new()).unwrap(),
    };
    LabelKey {
        alias: format!("key-{index}").parse().unwrap(),
        store: "store".parse().unwrap(),
        realm: None,
        kid: key.thumbprint().to_owned(),
        key,
        hints: JwkHints::default(),
        usage: claviger::usage::KeyUsage::default(),
    }
}

fn label(keys: &[LabelKey], uses: &[LabelUse], rows: Vec<&'static Algorithm>) -> KeySet {
    let policy = KeySetPolicy { zip: true, ..Default::default() };
    KeySet::new("app.test".parse().unwrap(), uses.to_vec(), keys.to_vec(), rows, policy).unwrap()
}

fn spec_for(row: &Algorithm, enc: Option<&Algorithm>) -> (KeySpec, Option<OctType>) {
    use claviger::alg::{Curve, Family};
    let oct = |bits: usize, kind| (KeySpec::Oct { bytes: bits / 8 }, Some(kind));
    match row.family {
        Family::Hmac(_) => oct(512, OctType::Hmac),
        Family::RsaPkcs1(_) | Family::RsaPss(_) | Family::RsaOaep(_) | Family::Rsa15 => {
            (KeySpec::Rsa { bits: 2048 }, None)
        }
        Family::Ecdsa(curve, _) => (KeySpec::Curve(curve), None),
        Family::EdDsa => (KeySpec::Curve(Curve::Ed25519), None),
        Family::EcdhEs(_) => (KeySpec::Curve(Curve::P256), None),
        Family::AesKw(bits) | Family::AesGcmKw(bits) => oct(bits, OctType::Aes),
        Family::Pbes2(..) => oct(256, OctType::Generic),
        _ => oct(enc.unwrap().content_key_bytes().unwrap() * 8, OctType::Aes),
    }
}

const SIGNS: [LabelUse; 2] = [LabelUse::Sign, LabelUse::Verify];
const ENCRYPTS: [LabelUse; 2] = [LabelUse::Encrypt, LabelUse::Decrypt];
const FORMS: [Serialization; 3] =
    [Serialization::Compact, Serialization::Flattened, Serialization::General];

#[test]
fn every_signing_row_rotates_in_every_form() {
    for row in ALGORITHMS.iter().filter(|row| row.operation == Operation::Sign) {
        let (spec, oct) = spec_for(row, None);
        let keys: Vec<LabelKey> = (0..2).map(|index| key(index, spec, oct)).collect();
        let before = label(&keys, &SIGNS, vec![row]);
        let rotated = label(&[keys[1].clone(), keys[0].clone()], &SIGNS, vec![row]);
        let retired = label(&keys[1..], &SIGNS, vec![row]);
        for (serialization, without_kid) in
            FORMS.into_iter().flat_map(|form| [(form, false), (form, true)])
        {
            let options = SignOptions { serialization, without_kid, ..Default::default() };
            let token = jws::sign(&before, b"payload", &options).unwrap();
            let verify = |set: &KeySet| match serialization {
                Serialization::Compact => jws::verify(set, &token, &VerifyOptions::default()),
                _ => jws::verify_json(set, &token, &VerifyOptions::default()),
            };
            for set in [&before, &rotated] {
                assert_eq!(verify(set).unwrap().key.alias.as_str(), "key-0", "{row}");
            }
            assert!(verify(&retired).is_err(), "{row}: a retired alias verifies");
        }
    }
}

#[test]
fn every_encryption_row_rotates_in_every_form() {
    let contents: Vec<&Algorithm> =
        ALGORITHMS.iter().filter(|row| row.operation == Operation::Content).collect();
    for row in ALGORITHMS.iter().filter(|row| row.operation == Operation::KeyManagement) {
        for enc in &contents {
            let (spec, oct) = spec_for(row, Some(enc));
            let keys: Vec<LabelKey> = (0..2).map(|index| key(index, spec, oct)).collect();
            let rows = vec![row, *enc];
            let before = label(&keys, &ENCRYPTS, rows.clone());
            let rotated = label(&[keys[1].clone(), keys[0].clone()], &ENCRYPTS, rows.clone());
            let retired = label(&keys[1..], &ENCRYPTS, rows);
            for serialization in FORMS {
                let zip = serialization == Serialization::General;
                let options = EncryptOptions { serialization, zip, ..Default::default() };
                let token = jwe::encrypt(&before, b"plaintext", &options).unwrap();
                let decrypt = |set: &KeySet| match serialization {
                    Serialization::Compact => jwe::decrypt(set, &token),
                    _ => jwe::decrypt_json(set, &token),
                };
                let opened = decrypt(&rotated).unwrap();
                assert!(opened.plaintext.ct_eq(b"plaintext"), "{row} {enc}");
                assert_eq!(opened.key.alias.as_str(), "key-0");
                assert!(decrypt(&retired).is_err(), "{row} {enc}: a retired alias decrypts");
            }
        }
    }
}

#[test]
fn detached_and_unencoded_payloads_verify_and_changed_ones_do_not() {
    let row = Algorithm::find("ES256").unwrap();
    let (spec, oct) = spec_for(row, None);
    let set = label(&[key(0, spec, oct)], &SIGNS, vec![row]);
    for unencoded in [false, true] {
        let options = SignOptions { detached: true, unencoded, ..Default::default() };
        let token = jws::sign(&set, b"pay.load", &options).unwrap();
        let check = |payload: Option<&[u8]>| {
            jws::verify(&set, &token, &VerifyOptions { detached_payload: payload, typ: None })
        };
        assert_eq!(check(Some(b"pay.load")).unwrap().payload, b"pay.load");
        assert!(check(Some(b"pay.loaD")).is_err());
        assert!(check(None).is_err());
    }
}

#[test]
fn nested_tokens_must_be_signed_inside() {
    let (es256, dir) = (Algorithm::find("ES256").unwrap(), Algorithm::find("A256KW").unwrap());
    let enc = Algorithm::find("A256GCM").unwrap();
    let (spec, oct) = spec_for(es256, None);
    let signing = label(&[key(0, spec, oct)], &SIGNS, vec![es256]);
    let (spec, oct) = spec_for(dir, None);
    let sealing = label(&[key(1, spec, oct)], &ENCRYPTS, vec![dir, enc]);
    let (sign, encrypt) = (SignOptions::default(), EncryptOptions::default());
    let token = nested::seal(&signing, &sealing, b"{}", &sign, &encrypt).unwrap();
    let (_, verified) =
        nested::open(&sealing, &signing, &token, &VerifyOptions::default()).unwrap();
    assert_eq!(verified.payload, b"{}");
    let plain = jwe::encrypt(&sealing, b"{}", &encrypt).unwrap();
    assert!(nested::open(&sealing, &signing, &plain, &VerifyOptions::default()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Random histories of a list: tokens of every moment verify exactly while their alias is mapped.
    #[test]
    fn a_token_verifies_exactly_while_its_alias_is_mapped(steps in prop::collection::vec((0_usize..6, 0_usize..3), 1..20)) {
        thread_local! {
            static KEYS: Vec<LabelKey> =
                (0..6).map(|index| key(index, KeySpec::Oct { bytes: 32 }, Some(OctType::Hmac))).collect();
        }
        let keys = KEYS.with(Clone::clone);
        let rows = vec![Algorithm::find("HS256").unwrap()];
        let mut mapped: Vec<usize> = vec![0];
        let mut tokens: Vec<(usize, String)> = Vec::new();
        for (index, step) in steps {
            match step {
                0 if !mapped.contains(&index) => mapped.push(index),
                1 if mapped.len() > 1 => mapped.retain(|one| *one != index),
                _ if mapped.contains(&index) => {
                    mapped.retain(|one| *one != index);
                    mapped.insert(0, index);
                }
                _ => {}
            }
            let list: Vec<LabelKey> = mapped.iter().map(|one| keys[*one].clone()).collect();
            let set = label(&list, &SIGNS, rows.clone());
            let without_kid = tokens.len().is_multiple_of(2);
            let options = SignOptions { without_kid, ..Default::default() };
            tokens.push((mapped[0], jws::sign(&set, b"x", &options).unwrap()));
            for (maker, token) in &tokens {
                let verified = jws::verify(&set, token, &VerifyOptions::default()).is_ok();
                prop_assert_eq!(verified, mapped.contains(maker));
            }
        }
    }
}

/// Writes the starter's configuration with one replacement.
fn swap(config: &std::path::Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(config).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(config, text.replace(from, to)).unwrap();
}

#[test]
fn a_handle_follows_orders_and_labels_that_go_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let now = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000);
    claviger::starter::create(folder.path(), now).unwrap();
    let config = folder.path().join("claviger.toml");
    let keyring = claviger::Keyring::open(&config).unwrap();
    const NAME: &str = "am.services.oauth2.oidc.signing.ES256";
    let global = keyring.label(NAME).unwrap();
    let in_realm = keyring.realm("alpha").unwrap().label(NAME).unwrap();
    let old = global.sign(b"old").unwrap();
    assert_eq!(in_realm.verify(&old).unwrap().key.alias.as_str(), "es256-1");

    swap(&config, r#"["es256-1", "es256-2"]"#, r#"["es256-2", "es256-1"]"#);
    keyring.reload().unwrap();
    for handle in [&global, &in_realm, &global.clone()] {
        let new = handle.sign(b"new").unwrap();
        assert_eq!(handle.verify(&new).unwrap().key.alias.as_str(), "es256-2");
        assert_eq!(handle.verify(&old).unwrap().key.alias.as_str(), "es256-1");
    }

    let quoted = format!("\"{NAME}\"");
    swap(&config, &quoted, "\"am.services.oauth2.oidc.signing.ES384\"");
    // Its keys do not fit the other label: nothing changes.
    assert!(keyring.reload().is_err());
    assert!(global.verify(&old).is_ok());
    swap(&config, "\"am.services.oauth2.oidc.signing.ES384\"", "\"app.moved\"");
    let text = std::fs::read_to_string(&config).unwrap();
    let declared = "\n[labels.\"app.moved\"]\nuse = \"sign\"\nalgorithms = [\"ES256\"]\n";
    std::fs::write(&config, format!("{text}{declared}")).unwrap();
    keyring.reload().unwrap();
    for handle in [&global, &in_realm] {
        assert_eq!(handle.verify(&old).unwrap_err().kind(), ErrorKind::UnknownLabel);
    }
    assert!(keyring.label("app.moved").unwrap().verify(&old).is_ok());

    std::fs::write(&config, text.replace("\"app.moved\"", &quoted)).unwrap();
    keyring.reload().unwrap();
    for handle in [&global, &in_realm] {
        assert_eq!(handle.verify(&old).unwrap().key.alias.as_str(), "es256-1");
    }
}
