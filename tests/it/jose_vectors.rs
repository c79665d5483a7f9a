//! Tokens of the RFCs, in the renderings of four projects, walked file by file.

use std::path::Path;

use claviger::alg::ALGORITHMS;
use claviger::catalogue::LabelUse;
use claviger::config::TokenLimits;
use claviger::error::Error;
use claviger::jose::jws::{SignOptions, VerifyOptions};
use claviger::jose::{jwe, jws, nested};
use claviger::ops::{KeySet, KeySetPolicy};
use serde_json::{Map, Value, json};

use crate::support::vectors;

/// What is not ours to open, by a part of its name, with the reason; each must be refused.
const REFUSED: [(&str, &str); 7] = [
    ("ML-DSA", "draft-ietf-cose-dilithium is not built in"),
    ("ECDH-1PU", "draft-madden-jose-ecdh-1pu is not built in"),
    ("A.5.jwsc", "alg none does not exist"),
    ("cve-2023-50967.jwe", "its p2c is beyond every bound"),
    (
        "'b64'=false compatible with compact serialization compact",
        "a compact token with b64=false must be detached (attacks.md J12)",
    ),
    ("'b64'=false JSON only", "it names b64 without crit (RFC 7797 §6, attacks.md J12)"),
    ("b64=false, safe payload compact", "as above"),
];

const USES: [LabelUse; 4] =
    [LabelUse::Sign, LabelUse::Verify, LabelUse::Encrypt, LabelUse::Decrypt];

/// A label that allows everything, with these keys.
fn set(keys: &Value) -> Result<KeySet, Error> {
    let keys = if keys.is_array() { keys.clone() } else { json!([keys]) };
    let limits = TokenLimits::default();
    let policy = KeySetPolicy { limits, zip: true, short_hmac_keys: true, ..Default::default() };
    let jwks = json!({ "keys": keys }).to_string();
    let rows = ALGORITHMS.iter().collect();
    KeySet::from_jwks("test.label".parse().unwrap(), USES.to_vec(), jwks.as_bytes(), rows, policy)
}

fn oct(secret: &[u8]) -> Value {
    use base64::Engine;
    let k = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(secret);
    json!({ "kty": "oct", "k": k })
}

/// Opens a token of any kind and form; `detached` goes to tokens that carry no payload.
fn open(set: &KeySet, token: &Value, detached: &[u8]) -> Result<Vec<u8>, Error> {
    let text = token.as_str().map_or_else(|| token.to_string(), str::to_owned);
    if let Value::Object(members) = token {
        if members.contains_key("ciphertext") {
            return Ok(jwe::decrypt_json(set, &text)?.plaintext.expose_secret().to_vec());
        }
        let payload = (!members.contains_key("payload")).then_some(detached);
        let options = VerifyOptions { detached_payload: payload, typ: None };
        return Ok(jws::verify_json(set, &text, &options)?.payload);
    }
    if text.matches('.').count() == 4 {
        return Ok(jwe::decrypt(set, &text)?.plaintext.expose_secret().to_vec());
    }
    let payload = text.contains("..").then_some(detached);
    let options = VerifyOptions { detached_payload: payload, typ: None };
    Ok(jws::verify(set, &text, &options)?.payload)
}

#[derive(Default)]
struct Tally {
    opened: usize,
    refused: usize,
    failures: Vec<String>,
}

impl Tally {
    fn check(&mut self, name: &str, keys: &Value, token: &Value, expected: &[u8]) {
        let opened = set(keys).and_then(|set| open(&set, token, expected));
        let refused = REFUSED.iter().any(|(part, _)| name.contains(part));
        match opened {
            Err(_) if refused => self.refused += 1,
            Ok(_) if refused => self.failures.push(format!("{name}: take it off the list")),
            Ok(found) if found == expected => self.opened += 1,
            Ok(_) => self.failures.push(format!("{name}: another content")),
            Err(error) => {
                let why = std::error::Error::source(&error).map(ToString::to_string);
                self.failures.push(format!("{name}: {error} {why:?}"));
            }
        }
    }

    fn finish(self, opened: usize, refused: usize) {
        println!("{} tokens opened, {} refused", self.opened, self.refused);
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        assert_eq!((self.opened, self.refused), (opened, refused));
    }
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn read_text(path: &Path) -> Value {
    Value::from(std::fs::read_to_string(path).unwrap())
}

fn bytes(value: &Value) -> Vec<u8> {
    value.as_str().map_or_else(|| value.to_string().into_bytes(), |text| text.as_bytes().to_vec())
}

/// One case of the cookbook's form.
fn cookbook_case(tally: &mut Tally, case: &Value) {
    let input = &case["input"];
    let keys = match input["pwd"].as_str() {
        Some(password) => oct(password.as_bytes()),
        None => input["key"].clone(),
    };
    let content = if input["payload"].is_null() { &input["plaintext"] } else { &input["payload"] };
    let title = case["title"].as_str().unwrap();
    for (form, token) in case["output"].as_object().unwrap() {
        tally.check(&format!("{title} {form}"), &keys, token, &bytes(content));
    }
    // What two signers make alike is made alike by us.
    let names: Vec<&str> = case["signing"]["protected"]
        .as_object()
        .map(|members| members.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let reproducible = case["reproducible"] == true || case["deterministic"] == true;
    if reproducible && names == ["alg", "kid"] && case["output"]["compact"].is_string() {
        let detached = case["output"]["compact"].as_str().unwrap().contains("..");
        let algorithm = input["alg"].as_str().map(|name| name.to_owned().into());
        let options = SignOptions { algorithm, detached, ..Default::default() };
        if let Ok(set) = set(&keys) {
            let made = jws::sign(&set, &bytes(content), &options).unwrap();
            assert_eq!(Some(made.as_str()), case["output"]["compact"].as_str(), "{title}");
        }
    }
}

#[test]
fn the_cookbook_of_rfc_7520_opens_in_two_renderings() {
    let Some(root) = vectors("jose") else { return };
    let mut tally = Tally::default();
    for folder in ["jws", "jwe", "rfc7797", "curve25519"] {
        for entry in std::fs::read_dir(root.join("ietf-cookbook").join(folder)).unwrap() {
            cookbook_case(&mut tally, &read(&entry.unwrap().path()));
        }
    }
    for file in ["cookbook-jws.json", "cookbook-jwe.json"] {
        for case in read(&root.join("panva").join(file))["cases"].as_array().unwrap() {
            cookbook_case(&mut tally, case);
        }
    }
    tally.finish(113, 12);
    let nesting = read(&root.join("ietf-cookbook/6.nesting_signatures_and_encryption.json"));
    let (sign, encrypt) = (&nesting["sign"], &nesting["encrypt"]);
    let (outer, inner) =
        (set(&encrypt["input"]["key"]).unwrap(), set(&sign["input"]["key"]).unwrap());
    let token = encrypt["output"]["compact"].as_str().unwrap();
    let (_, verified) = nested::open(&outer, &inner, token, &VerifyOptions::default()).unwrap();
    let claims: Map<String, Value> = serde_json::from_slice(&verified.payload).unwrap();
    assert_eq!(claims["iss"], "hobbiton.example");
}

#[test]
fn the_files_of_latchset_open() {
    let Some(root) = vectors("jose/latchset") else { return };
    let mut tally = Tally::default();
    let mut names: Vec<String> = std::fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in &names {
        let (stem, extension) = name.rsplit_once('.').unwrap();
        if !extension.starts_with("jws") && !extension.starts_with("jwe") {
            continue;
        }
        let mut keys = Vec::new();
        for key in &names {
            let own = key.strip_prefix(stem).is_some_and(|rest| {
                rest == ".jwk" || rest == ".jwkset" || (rest.len() == 6 && rest.ends_with(".jwk"))
            });
            if own {
                let key = read(&root.join(key));
                match key["keys"].as_array() {
                    Some(list) => keys.extend(list.clone()),
                    None => keys.push(key),
                }
            }
        }
        let text = std::fs::read_to_string(root.join(name)).unwrap();
        let token = if text.starts_with('{') {
            serde_json::from_str(&text).unwrap()
        } else {
            Value::from(text.trim())
        };
        let file = |extension: &str| std::fs::read(root.join(format!("{stem}.{extension}"))).ok();
        let expected = file("pt").or_else(|| file("payl")).unwrap_or_else(|| {
            use base64::Engine;
            let payload = match &token {
                Value::String(text) => text.split('.').nth(1).unwrap_or_default(),
                token => token["payload"].as_str().unwrap_or_default(),
            };
            base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()
        });
        let mut distinct: Vec<Value> = Vec::new();
        for key in keys {
            if !distinct.contains(&key) {
                distinct.push(key);
            }
        }
        let mut keys = distinct;
        if keys.is_empty() {
            keys.push(oct(b"alg none has no key"));
        }
        let started = std::time::Instant::now();
        tally.check(name, &Value::from(keys), &token, &expected);
        assert!(started.elapsed() < std::time::Duration::from_secs(2), "{name}");
    }
    tally.finish(58, 2);
    let thumbprint = std::fs::read_to_string(root.join("rfc7638_3.1.thp")).unwrap();
    let key = set(&read(&root.join("rfc7638_3.1.jwk"))).unwrap();
    assert_eq!(key.active().key.thumbprint(), thumbprint.trim());
}

#[test]
fn the_fixtures_of_joserfc_open() {
    let Some(root) = vectors("jose/joserfc") else { return };
    let mut tally = Tally::default();
    for entry in std::fs::read_dir(root.join("fixtures")).unwrap() {
        let path = entry.unwrap().path();
        let sheet = read(&path);
        for case in sheet["tests"].as_array().unwrap() {
            let forms = ["compact", "general_json", "flattened_json", "token", "value"];
            if forms.iter().all(|form| case[*form].is_null()) {
                continue;
            }
            let named = ["key", "public_key"].iter().find_map(|name| case[*name].as_str());
            let keys = match (named, case["secret"].as_str()) {
                (Some(file), _) if file.ends_with(".json") => read(&root.join("keys").join(file)),
                (Some(file), _) => jwk_of_pem(&root.join("keys").join(file)),
                (None, Some(secret)) => oct(secret.as_bytes()),
                // RFC 7797 §4 takes the key of RFC 7515 §A.1.
                _ => read(&root.join("../latchset/rfc7515_A.1.jwk")),
            };
            // The sheet of RFC 7520's JWEs leaves their content out.
            let missing = read_text(&root.join("../latchset/rfc7520_5.1.pt"));
            let sheet_payload = if sheet["payload"] == "" { &missing } else { &sheet["payload"] };
            let own = if case["payload"].is_null() { sheet_payload } else { &case["payload"] };
            let title = case["name"].as_str().unwrap();
            for form in forms {
                let Some(token) = case.get(form) else { continue };
                tally.check(&format!("{title} {form}"), &keys, token, &bytes(own));
            }
        }
    }
    tally.finish(56, 10);
}

fn jwk_of_pem(path: &Path) -> Value {
    let pem = std::fs::read(path).unwrap();
    let der = openssl::pkey::PKey::public_key_from_pem(&pem).unwrap().public_key_to_der().unwrap();
    let key = claviger::crypto::Key::from_public(&der).unwrap();
    use base64::Engine;
    let b64 = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    match key.public_parameters().unwrap() {
        claviger::crypto::PublicParameters::Rsa { n, e } => {
            json!({ "kty": "RSA", "n": b64(n), "e": b64(e) })
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn agreements_with_jwks_of_wycheproof() {
    let Some(root) = vectors("jose/wycheproof") else { return };
    let mut ran = 0;
    for file in ["ecdh_secp256r1_webcrypto_test.json", "x25519_jwk_test.json"] {
        for group in read(&root.join(file))["testGroups"].as_array().unwrap() {
            for case in group["tests"].as_array().unwrap() {
                ran += 1;
                let shared = case["shared"].as_str().unwrap();
                let zero = file.starts_with("x25519") && shared.bytes().all(|digit| digit == b'0');
                let opened = agree(&case["private"], &case["public"], shared);
                match case["result"].as_str().unwrap() {
                    "valid" => assert!(opened, "{file} {}", case["tcId"]),
                    "invalid" => assert!(!opened, "{file} {}", case["tcId"]),
                    // An all-zero secret (attacks.md J24).
                    _ if zero => assert!(!opened, "{file} {}", case["tcId"]),
                    _ => {}
                }
            }
        }
    }
    println!("{ran} agreements");
    assert!(ran > 700);
}

/// Opens a token that we make from the shared secret of the vector: as a sender with this `epk` would.
fn agree(private: &Value, public: &Value, shared: &str) -> bool {
    let unhex = |index: usize| u8::from_str_radix(&shared[index..index + 2], 16).unwrap();
    let shared: Vec<u8> = (0..shared.len()).step_by(2).map(unhex).collect();
    let info = b"\x00\x00\x00\x07A256GCM\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00";
    let cek = claviger::crypto::sha256(&[&[0, 0, 0, 1], shared.as_slice(), info].concat());
    let Ok(receiver) = set(private) else { return false };
    let mut epk = public.clone();
    if let Some(members) = epk.as_object_mut() {
        members.remove("kid");
    }
    use base64::Engine;
    let b64 = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let header =
        b64(json!({ "alg": "ECDH-ES", "enc": "A256GCM", "epk": epk }).to_string().as_bytes());
    let enc = claviger::alg::Algorithm::find("A256GCM").unwrap();
    let sealed = claviger::crypto::cipher::seal(enc, &cek, header.as_bytes(), b"agreed").unwrap();
    let (iv, text, tag) = (b64(&sealed.iv), b64(&sealed.ciphertext), b64(&sealed.tag));
    jwe::decrypt(&receiver, &format!("{header}..{iv}.{text}.{tag}"))
        .is_ok_and(|opened| opened.plaintext.ct_eq(b"agreed"))
}
