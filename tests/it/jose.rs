//! JOSE against tokens of other people's software, attacks, and itself.

use std::time::{Duration, Instant, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::alg::{ALGORITHMS, Algorithm, Operation, Status};
use claviger::catalogue::LabelUse;
use claviger::config::TokenLimits;
use claviger::error::{Error, ErrorKind};
use claviger::jose::claims::{self, ClaimRules};
use claviger::jose::jws::VerifyOptions;
use claviger::jose::{Serialization, jwe, jws, nested};
use claviger::ops::{KeySet, KeySetPolicy};
use serde_json::{Value, json};

use crate::support::vectors;
use crate::workshop::jwk;

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn read(path: &str) -> Option<Value> {
    let root = vectors("jose")?;
    Some(serde_json::from_slice(&std::fs::read(root.join(path)).unwrap()).unwrap())
}

fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

const USES: [LabelUse; 4] =
    [LabelUse::Sign, LabelUse::Verify, LabelUse::Encrypt, LabelUse::Decrypt];

/// A label with these JWKs and algorithms; content algorithms are all allowed.
fn set(keys: &Value, names: &[&str], zip: bool) -> Result<KeySet, Error> {
    let jwks = json!({ "keys": keys }).to_string();
    let mut rows: Vec<&'static Algorithm> =
        names.iter().filter_map(|name| Algorithm::find(name)).collect();
    rows.extend(ALGORITHMS.iter().filter(|row| row.operation == Operation::Content));
    let policy = KeySetPolicy { zip, limits: TokenLimits::default(), ..Default::default() };
    KeySet::from_jwks("test.label".parse().unwrap(), USES.to_vec(), jwks.as_bytes(), rows, policy)
}

fn every_name() -> Vec<&'static str> {
    ALGORITHMS.iter().map(|row| row.name).collect()
}

/// Runs one case of the attack set; the accepted content comes back.
fn run(case: &Value) -> Result<Vec<u8>, Error> {
    if text(case, "op") == "import-jwk" {
        let one = set(&json!([case["jwk"]]), &every_name(), false)?;
        let key = &one.keys()[0];
        // A key that may do nothing is as good as refused.
        let fits = ALGORITHMS.iter().any(|row| {
            use claviger::crypto::Role::{Encrypt, Verify};
            one.fits(key, row, Verify) || one.fits(key, row, Encrypt)
        });
        return if fits { Ok(Vec::new()) } else { Err(Error::new(ErrorKind::KeyUnfit, "unfit")) };
    }
    let names: Vec<&str> =
        case["allow_alg"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let zip = text(case, "class") == "J23";
    let keys = set(&case["keys"], &names, zip)?;
    let token = text(case, "token");
    let options = VerifyOptions::default();
    match text(case, "op") {
        "verify" => Ok(jws::verify(&keys, token, &options)?.payload),
        "verify-json" => Ok(jws::verify_json(&keys, token, &options)?.payload),
        "verify-jwt" => {
            let payload = jws::verify(&keys, token, &options)?.payload;
            let require = &case["require"];
            let required = require.as_object().map(|names| names.keys().map(String::as_str));
            let required: Vec<&str> = required.into_iter().flatten().collect();
            let rules = ClaimRules {
                issuer: require["iss"].as_str(),
                audience: require["aud"].as_str(),
                skew: Duration::from_secs(case["leeway_s"].as_u64().unwrap_or(0)),
                required: &required,
                ..ClaimRules::default()
            };
            let now =
                UNIX_EPOCH + Duration::from_secs(case["now"].as_u64().unwrap_or(1_750_000_000));
            claims::check(&payload, &rules, now)?;
            Ok(payload)
        }
        "decrypt-verify" => Ok(nested::open(&keys, &keys, token, &options)?.1.payload),
        "decrypt-json" => Ok(jwe::decrypt_json(&keys, token)?.plaintext.expose_secret().to_vec()),
        _ => Ok(jwe::decrypt(&keys, token)?.plaintext.expose_secret().to_vec()),
    }
}

#[test]
fn attacks_are_refused_and_controls_accepted() {
    let Some(file) = read("attack/attack-cases.json") else { return };
    let cases = file["cases"].as_array().unwrap();
    let mut failures = Vec::new();
    for case in cases {
        let (id, must) = (text(case, "id"), text(case, "must"));
        let started = Instant::now();
        let result = run(case);
        let took = started.elapsed();
        match (must, &result) {
            ("accept", Err(error)) => {
                let source = std::error::Error::source(error).map(ToString::to_string);
                failures.push(format!("{id}: {error} {source:?} ({})", text(case, "why")));
            }
            ("accept", Ok(payload)) => {
                let expected = case["payload_b64u"].as_str().map(unb64);
                if expected.is_some_and(|expected| expected != *payload) {
                    failures.push(format!("{id}: another payload"));
                }
            }
            ("reject" | "reject-by-default", Ok(_)) => {
                failures.push(format!("{id}: accepted ({})", text(case, "why")));
            }
            _ => {}
        }
        // A generous multiple of the stated bound: this is no benchmark.
        let bound = case["max_ms"].as_u64().unwrap_or(250) * 8;
        if took > Duration::from_millis(bound) {
            failures.push(format!("{id}: took {took:?}"));
        }
    }
    println!("attack: {} cases", cases.len());
    assert!(cases.len() > 200 && failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn refusals_look_alike_from_outside() {
    let Some(file) = read("attack/attack-cases.json") else { return };
    let mut seen = std::collections::HashSet::new();
    for case in file["cases"].as_array().unwrap() {
        if !text(case, "op").starts_with("decrypt") || text(case, "op") == "decrypt-verify" {
            continue;
        }
        if let Err(error) = run(case)
            && error.kind() == ErrorKind::NotDecrypted
        {
            seen.insert((error.kind().code(), error.to_string(), error.help().map(str::to_owned)));
        }
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[test]
fn tokens_of_other_libraries_open() {
    let (Some(interop), Some(go)) =
        (read("interop/interop-cases.json"), read("go-jose/nimbus-jose4j-nodejose.json"))
    else {
        return;
    };
    let mut failures = Vec::new();
    let mut ran = 0;
    for (file, case) in [&interop, &go]
        .into_iter()
        .flat_map(|file| file["cases"].as_array().unwrap().iter().map(move |case| (file, case)))
    {
        ran += 1;
        let named = case["key"].as_str();
        let mut key = named.map_or_else(|| case["key"].clone(), |name| file["keys"][name].clone());
        // The keys of the answer sheet serve many algorithms.
        if named.is_some() {
            let members = key.as_object_mut().unwrap();
            for name in ["alg", "use", "key_ops"] {
                members.remove(name);
            }
        }
        let expected = case["payload"].as_str().map_or_else(
            || unb64(text(case, "payload_b64u")),
            |payload| payload.as_bytes().to_vec(),
        );
        let opened = |names: &[&str]| -> Result<Vec<u8>, Error> {
            let mut keys = set(&json!([key]), names, true)?;
            // Some peers write counts above our default cap.
            if let Some(count) = case["p2c"].as_u64() {
                let limits =
                    TokenLimits { max_p2c: u32::try_from(count).unwrap(), ..Default::default() };
                let policy = KeySetPolicy { limits, zip: true, ..Default::default() };
                let label = "test.label".parse().unwrap();
                let jwks = json!({ "keys": [key] }).to_string();
                let rows = ALGORITHMS.iter().collect();
                keys = KeySet::from_jwks(label, USES.to_vec(), jwks.as_bytes(), rows, policy)?;
            }
            let token = text(case, "token");
            let json = token.starts_with('{');
            if text(case, "kind") == "jws" && json {
                return Ok(jws::verify_json(&keys, token, &VerifyOptions::default())?.payload);
            }
            if json {
                return Ok(jwe::decrypt_json(&keys, token)?.plaintext.expose_secret().to_vec());
            }
            if text(case, "kind") == "jws" {
                return Ok(jws::verify(&keys, token, &VerifyOptions::default())?.payload);
            }
            Ok(jwe::decrypt(&keys, token)?.plaintext.expose_secret().to_vec())
        };
        match opened(&every_name()) {
            Ok(found) if found == expected => {}
            Ok(_) => failures.push(format!("{}: another payload", text(case, "id"))),
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                failures.push(format!("{}: {error} {source:?}", text(case, "id")));
            }
        }
        if text(case, "must") == "accept-if-enabled" {
            let on: Vec<&str> = ALGORITHMS
                .iter()
                .filter(|row| row.status == Status::On)
                .map(|row| row.name)
                .collect();
            assert!(opened(&on).is_err(), "{}: opened while off", text(case, "id"));
        }
    }
    println!("interop: {ran} tokens");
    assert!(
        ran > 500 && failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Tokens on whose verdict we differ from Wycheproof, by file, with the reason; compared exactly.
const WYCHEPROOF_DIFFERENT: [(&str, &str, &[u64]); 6] = [
    (
        "json_web_signature_test.json",
        "PS384 under a key that says alg=PS256: RFC 7517 §4.4 binds the key",
        &[346, 350],
    ),
    (
        "json_web_signature_test.json",
        "the key says alg=ES521, which is not registered",
        &[347, 351],
    ),
    (
        "json_web_signature_test.json",
        "named after padding, but the token in the file has none and its MAC is right",
        &[367, 370],
    ),
    (
        "json_web_signature_test.json",
        "valid for decoders that skip a `?`: it is no base64url (RFC 7515 §2)",
        &[372, 373],
    ),
    (
        "json_web_key_test.json",
        "a label may hold symmetric and asymmetric keys: its algorithms decide",
        &[1],
    ),
    ("json_web_crypto_test.json", "as json_web_key_test.json 1", &[47]),
];

#[test]
fn wycheproof_tokens_have_their_verdict_or_a_reason() {
    let mut ran = 0;
    let mut failures = Vec::new();
    for (file, kind) in [
        ("json_web_signature_test.json", "jws"),
        ("json_web_encryption_test.json", "jwe"),
        ("json_web_key_test.json", "jws"),
        ("json_web_crypto_test.json", "either"),
    ] {
        let Some(sheet) = read(&format!("wycheproof/{file}")) else { return };
        for group in sheet["testGroups"].as_array().unwrap() {
            for case in group["tests"].as_array().unwrap() {
                ran += 1;
                let token =
                    case["jws"].as_str().or_else(|| case["jwe"].as_str()).unwrap_or_default();
                let is_jwe = kind == "jwe" || case["jwe"].is_string();
                let key = if is_jwe || group["public"].is_null() {
                    &group["private"]
                } else {
                    &group["public"]
                };
                let keys = if key["keys"].is_array() { key["keys"].clone() } else { json!([key]) };
                let opened = set(&keys, &every_name(), true).and_then(|keys| {
                    if is_jwe {
                        jwe::decrypt(&keys, token).map(|_| ())
                    } else {
                        jws::verify(&keys, token, &VerifyOptions::default()).map(|_| ())
                    }
                });
                let valid = text(case, "result") == "valid";
                let id = case["tcId"].as_u64().unwrap();
                let listed = WYCHEPROOF_DIFFERENT
                    .iter()
                    .any(|(known, _, ids)| *known == file && ids.contains(&id));
                let why = opened
                    .as_ref()
                    .err()
                    .and_then(std::error::Error::source)
                    .map(ToString::to_string);
                if listed != (opened.is_ok() != valid) {
                    let (comment, flags) = (text(case, "comment"), &case["flags"]);
                    failures.push(format!(
                        "{file} {id} {comment} {flags}: valid={valid}, listed={listed}, {why:?}"
                    ));
                }
            }
        }
    }
    println!("wycheproof: {ran} tokens");
    assert!(
        ran > 600 && failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// A token that is kept, and that its own label refuses later, has lost what is in it.
#[test]
fn what_is_encrypted_for_a_label_opens_again_or_is_not_made() {
    let aes = |kid: &str, bytes: usize| {
        let k = URL_SAFE_NO_PAD.encode(vec![7_u8; bytes]);
        json!({ "kty": "oct", "kid": kid, "k": k })
    };
    let label = set(&json!([aes("a", 32)]), &["A256GCMKW"], true).unwrap();
    let plain = jwe::EncryptOptions::default();
    for serialization in [Serialization::Compact, Serialization::Flattened, Serialization::General]
    {
        let options = jwe::EncryptOptions { serialization, ..plain.clone() };
        let mut made = 0;
        for size in (48_600..49_200).step_by(3) {
            let text = vec![b'x'; size];
            match jwe::encrypt(&label, &text, &options) {
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Usage);
                    assert!(error.help().unwrap().contains("max_token_bytes"), "{error}");
                }
                Ok(token) => {
                    let opened = match serialization {
                        Serialization::Compact => jwe::decrypt(&label, &token),
                        _ => jwe::decrypt_json(&label, &token),
                    };
                    assert_eq!(opened.unwrap().plaintext.expose_secret(), text, "{size}");
                    made += 1;
                }
            }
        }
        assert!((1..200).contains(&made), "{serialization:?}: {made}");
    }
    let zipped = jwe::EncryptOptions { zip: true, ..plain.clone() };
    let most = TokenLimits::default().max_inflated_bytes;
    let token = jwe::encrypt(&label, &vec![0; most], &zipped).unwrap();
    assert!(jwe::decrypt(&label, &token).is_ok());
    let error = jwe::encrypt(&label, &vec![0; most + 1], &zipped).unwrap_err();
    assert!(error.help().unwrap().contains("max_inflated_bytes"), "{error}");
    let typed =
        |bytes: usize| jwe::EncryptOptions { typ: Some("t".repeat(bytes).into()), ..plain.clone() };
    let mut made = 0;
    for bytes in 7_900..8_200 {
        if let Ok(token) = jwe::encrypt(&label, b"x", &typed(bytes)) {
            assert!(jwe::decrypt(&label, &token).is_ok(), "{bytes}");
            made += 1;
        }
    }
    assert!((1..300).contains(&made), "{made}");
    // Another key has a longer header: what opened must not be lost by what takes its place.
    let both = json!([aes("a", 32), aes("b", 16)]);
    let both = set(&both, &["A256GCMKW", "A128KW"], false).unwrap();
    let short = set(&json!([aes("b", 16)]), &["A128KW"], false).unwrap();
    let fits = |size: &usize| jwe::encrypt(&short, &vec![b'x'; *size], &plain).is_ok();
    let size = (48_600..49_200).rev().find(fits).unwrap();
    let token = jwe::encrypt(&short, &vec![b'x'; size], &plain).unwrap();
    assert!(jwe::decrypt(&both, &token).is_ok());
    let error = jwe::rewrap(&both, &token, &jwe::RewrapOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    // Who else reads it has bounds of its own.
    let mut public: Value = serde_json::from_str(&jwk("e", "ec")).unwrap();
    public.as_object_mut().unwrap().remove("d");
    let peer = set(&json!([public]), &["ECDH-ES"], false).unwrap();
    assert!(jwe::encrypt(&peer, &vec![b'x'; 100_000], &plain).is_ok());
}

/// The same of signatures: nobody hands out what its own label refuses.
#[test]
fn what_is_signed_with_a_label_verifies_or_is_not_made() {
    let keys: Value = json!([serde_json::from_str::<Value>(&jwk("e", "ec")).unwrap()]);
    let label = set(&keys, &["ES256"], false).unwrap();
    let plain = jws::SignOptions::default();
    let refused = |error: Error, bound: &str| {
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.help().unwrap().contains(bound), "{error}");
    };
    for serialization in [Serialization::Compact, Serialization::Flattened, Serialization::General]
    {
        let verify = match serialization {
            Serialization::Compact => jws::verify,
            _ => jws::verify_json,
        };
        let options = jws::SignOptions { serialization, ..plain.clone() };
        let mut made = 0;
        for size in (48_600..49_200).step_by(3) {
            let text = vec![b'x'; size];
            match jws::sign(&label, &text, &options) {
                Err(error) => refused(error, "max_token_bytes"),
                Ok(token) => {
                    let verified = verify(&label, &token, &VerifyOptions::default()).unwrap();
                    assert_eq!(verified.payload, text, "{size}");
                    made += 1;
                }
            }
        }
        assert!((1..200).contains(&made), "{serialization:?}: {made}");
        // What stands beside the token is no part of it.
        let text = vec![b'x'; 100_000];
        let detached = jws::SignOptions { detached: true, ..options.clone() };
        let token = jws::sign(&label, &text, &detached).unwrap();
        let beside = VerifyOptions { detached_payload: Some(&text), ..VerifyOptions::default() };
        assert!(verify(&label, &token, &beside).is_ok());
        let mut made = 0;
        for bytes in 7_900..8_200 {
            let typ = Some("t".repeat(bytes).into());
            match jws::sign(&label, b"x", &jws::SignOptions { typ, ..options.clone() }) {
                Err(error) => refused(error, "max_header_bytes"),
                Ok(token) => {
                    let verified = verify(&label, &token, &VerifyOptions::default());
                    assert!(verified.is_ok(), "{bytes}");
                    made += 1;
                }
            }
        }
        assert!((1..300).contains(&made), "{made}");
    }
}
