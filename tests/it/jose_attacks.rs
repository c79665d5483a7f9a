//! Tokens that an attacker would write by hand, beyond the cases of the vectors.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::alg::Algorithm;
use claviger::catalogue::LabelUse;
use claviger::config::TokenLimits;
use claviger::crypto::generate::{KeySpec, generate};
use claviger::crypto::{Key, OctType, cipher, sign};
use claviger::error::{Error, ErrorKind};
use claviger::formats::JwkHints;
use claviger::jose::claims::{self, ClaimRules};
use claviger::jose::jwe::EncryptOptions;
use claviger::jose::jws::{SignOptions, VerifyOptions};
use claviger::jose::{Serialization, jwe, jws, nested};
use claviger::ops::{KeySet, KeySetPolicy, LabelKey};
use claviger::secret::SecretBytes;
use serde_json::{Value, json};

const USES: [LabelUse; 4] =
    [LabelUse::Sign, LabelUse::Verify, LabelUse::Encrypt, LabelUse::Decrypt];

pub(crate) fn row(name: &str) -> &'static Algorithm {
    Algorithm::find(name).unwrap()
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of 32 bytes, all `fill`, called `kid`.
pub(crate) fn oct(kid: &str, fill: u8) -> LabelKey {
    let key = Key::from_secret(SecretBytes::from_vec(vec![fill; 32]), OctType::Any).unwrap();
    LabelKey {
        alias: kid.parse().unwrap(),
        store: "store".parse().unwrap(),
        realm: None,
        kid: kid.to_owned(),
        key,
        hints: JwkHints::default(),
        usage: claviger::usage::KeyUsage::default(),
    }
}

pub(crate) fn label(keys: Vec<LabelKey>, names: &[&str], policy: KeySetPolicy) -> KeySet {
    let rows = names.iter().map(|name| row(name)).collect();
    KeySet::new("app.test".parse().unwrap(), USES.to_vec(), keys, rows, policy).unwrap()
}

fn one_key() -> KeySet {
    label(vec![oct("k1", 1)], &["HS256", "dir", "A256GCM"], KeySetPolicy::default())
}

/// A compact token with any header at all, whose MAC under the first key is right.
pub(crate) fn forged(set: &KeySet, header: impl AsRef<[u8]>, payload: &[u8]) -> String {
    let input = format!("{}.{}", b64(header), b64(payload));
    format!("{input}.{}", mac(set, input.as_bytes()))
}

fn mac(set: &KeySet, input: &[u8]) -> String {
    let mut signature = Vec::new();
    sign::sign(&set.active().key, row("HS256"), input, &mut signature).unwrap();
    b64(signature)
}

/// A compact `dir` token with any header at all, rightly sealed under the first key.
pub(crate) fn sealed(set: &KeySet, header: &str) -> String {
    let header = b64(header);
    let key = &set.active().key;
    let made = cipher::seal_direct(key, row("A256GCM"), header.as_bytes(), b"plain").unwrap();
    format!("{header}..{}.{}.{}", b64(&made.iv), b64(&made.ciphertext), b64(&made.tag))
}

pub(crate) fn verify(set: &KeySet, token: &str) -> Result<Vec<u8>, Error> {
    jws::verify(set, token, &VerifyOptions::default()).map(|verified| verified.payload)
}

#[test]
fn headers_by_hand() {
    let set = one_key();
    for good in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","kid":"k1","typ":"JWT"}"#,
        "{ \"kid\" : \"k1\" ,\r\n\t\"alg\" : \"HS256\" }\n",
        r#"{"alg":"HS256","kid":"\u006b1"}"#,
        r#"{"alg":"HS256","b64":true,"crit":["b64"]}"#,
        r#"{"alg":"HS256","jku":"https://attacker.example/","jwk":{"kty":"oct","k":"AAAA"}}"#,
        r#"{"alg":"HS256","x":[[[[[[[[[[[[[[1]]]]]]]]]]]]]]}"#,
    ] {
        assert_eq!(verify(&set, &forged(&set, good, b"x")).unwrap(), b"x", "{good}");
    }
    let long_kid = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(8200));
    let deep = format!(r#"{{"alg":"HS256","x":{}1{}}}"#, "[".repeat(16), "]".repeat(16));
    for bad in [
        "",
        "{}",
        "[]",
        "null",
        r#""HS256""#,
        r#"{"alg":"HS256"}{}"#,
        r#"{"alg":"HS256"} x"#,
        r#"{"alg":"HS256",}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"HS256"}"#,
        r#"{"alg":"HS256","kid":"k1","kid":"k1"}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":"HS256 "}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS384"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"dir"}"#,
        r#"{"alg":"HS256","enc":"A256GCM"}"#,
        r#"{"alg":"HS256","zip":"DEF"}"#,
        r#"{"alg":"HS256","zip":null}"#,
        r#"{"alg":"HS256","kid":null}"#,
        r#"{"alg":"HS256","kid":1}"#,
        r#"{"alg":"HS256","crit":["b64"]}"#,
        r#"{"alg":"HS256","crit":["alg"]}"#,
        r#"{"alg":"HS256","crit":["crit"]}"#,
        r#"{"alg":"HS256","crit":"b64","b64":true}"#,
        r#"{"alg":"HS256","crit":[["b64"]],"b64":true}"#,
        r#"{"alg":"HS256","crit":["b64","b64"],"b64":true}"#,
        r#"{"alg":"HS256","crit":["b64","exp"],"b64":true,"exp":9}"#,
        r#"{"alg":"HS256","b64":true}"#,
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","b64":0,"crit":["b64"]}"#,
        r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"HS256","typ":"a}"#,
        "{\"alg\":\"HS256\",\"typ\":\"a\nb\"}",
        "\u{feff}{\"alg\":\"HS256\"}",
        long_kid.as_str(),
        deep.as_str(),
    ] {
        let error = verify(&set, &forged(&set, bad, b"x")).expect_err(bad);
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::NotVerified, "the token does not verify")
        );
        assert_eq!(error.help(), None);
    }
    assert!(verify(&set, &forged(&set, b"{\"alg\":\"HS256\",\"typ\":\"\xff\"}", b"x")).is_err());
}

#[test]
fn sizes_are_checked_before_work() {
    let set = one_key();
    let fits = |bytes: usize| verify(&set, &forged(&set, r#"{"alg":"HS256"}"#, &vec![0; bytes]));
    // 20 + 1 + 65,471 + 1 + 43 characters.
    assert!(fits(49_103).is_ok());
    assert!(fits(49_104).is_err());
    let limits = TokenLimits { max_header_bytes: 60, ..TokenLimits::default() };
    let policy = KeySetPolicy { limits, ..KeySetPolicy::default() };
    let small = label(vec![oct("k1", 1)], &["HS256"], policy);
    let header = |padding: usize| format!(r#"{{"alg":"HS256","typ":"{}"}}"#, "t".repeat(padding));
    assert!(verify(&small, &forged(&small, header(36), b"x")).is_ok());
    assert!(verify(&small, &forged(&small, header(40), b"x")).is_err());
}

/// What one label read of a header, or refused, decides nothing for another, nor for the next token.
#[test]
fn a_header_that_was_read_before_is_judged_anew() {
    let limits = TokenLimits { max_header_bytes: 60, ..TokenLimits::default() };
    let policy = KeySetPolicy { limits, ..KeySetPolicy::default() };
    let (wide, small) = (one_key(), label(vec![oct("k1", 1)], &["HS256"], policy));
    let other = label(vec![oct("k2", 2)], &["HS512"], KeySetPolicy::default());
    let long = format!(r#"{{"alg":"HS256","typ":"{}"}}"#, "t".repeat(40));
    let headers = [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","kid":"k1"}"#,
        r#"{"alg":"HS256","kid":"k1","typ":"JWT"}"#,
        r#"{"alg":"HS256","kid":"nobody"}"#,
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"HS256","zip":"DEF"}"#,
        &long,
    ];
    let refused = [headers[4], headers[5], headers[6]];
    for round in 0..40 {
        // Every order of neighbours comes about.
        for step in 0..headers.len() {
            let header = headers[(step * (1 + round % 7) + round) % headers.len()];
            let token = forged(&wide, header, b"x");
            let good = !refused.contains(&header);
            let verified = jws::verify(&wide, &token, &VerifyOptions::default());
            assert_eq!(verified.is_ok(), good, "{header}");
            if let Ok(verified) = verified {
                let members = serde_json::from_str::<Value>(header).unwrap();
                assert_eq!(Value::Object(verified.header()), members);
            }
            assert_eq!(verify(&small, &token).is_ok(), good && header != long, "{header}");
            assert!(verify(&other, &token).is_err(), "{header}");
            let mut broken = token.into_bytes();
            let last = broken.len() - 2;
            broken[last] ^= 1;
            assert!(verify(&wide, &String::from_utf8(broken).unwrap()).is_err(), "{header}");
        }
    }
}

#[test]
fn errors_never_carry_what_the_token_says() {
    let set = one_key();
    for kid in ["\u{1b}[31m", "a\r\nb", "\u{202e}", "${jndi:ldap://x}", "../../etc/passwd"] {
        let header = json!({ "alg": "HS512", "kid": kid }).to_string();
        let token = forged(&set, header, b"x");
        let error = verify(&set, &token).unwrap_err();
        assert!(!format!("{error:?}").contains("jndi") && !format!("{error:?}").contains("passwd"));
        assert!(format!("{error}{error:?}").chars().all(|c| !c.is_control() && c != '\u{202e}'));
    }
    let asked = "\u{1b}]0;x\u{7}".repeat(100);
    let options = SignOptions { algorithm: Some(asked.into()), ..SignOptions::default() };
    let error = jws::sign(&set, b"x", &options).unwrap_err();
    assert!(error.message().len() < 600 && !error.message().chars().any(char::is_control));
}

#[test]
fn json_forms_of_signatures_by_hand() {
    let set = one_key();
    let protected = b64(r#"{"alg":"HS256"}"#);
    let payload = b64("x");
    let good = mac(&set, format!("{protected}.{payload}").as_bytes());
    let unprotected = mac(&set, format!(".{payload}").as_bytes());
    let run = |token: &Value| {
        let text = token.to_string();
        jws::verify_json(&set, &text, &VerifyOptions::default())
    };
    let one = json!({ "protected": protected, "signature": good });
    let bad = json!({ "protected": protected, "signature": b64([0; 32]) });
    for accepted in [
        json!({ "payload": payload, "protected": protected, "signature": good, "more": [1] }),
        json!({ "payload": payload, "signatures": [one] }),
        // One good signature of several is enough (README).
        json!({ "payload": payload, "signatures": [bad, one] }),
        json!({ "payload": payload, "header": { "alg": "HS256" }, "signature": unprotected }),
        json!({ "payload": payload, "protected": protected, "header": { "kid": "k1" }, "signature": good }),
    ] {
        assert_eq!(run(&accepted).unwrap().payload, b"x", "{accepted}");
    }
    for refused in [
        json!({ "protected": protected, "signature": good }),
        json!({ "payload": null, "protected": protected, "signature": good }),
        json!({ "payload": [payload], "protected": protected, "signature": good }),
        json!({ "payload": payload, "protected": protected }),
        json!({ "payload": payload, "protected": protected, "signature": null }),
        json!({ "payload": payload, "protected": { "alg": "HS256" }, "signature": good }),
        json!({ "payload": payload, "protected": protected, "header": [], "signature": good }),
        json!({ "payload": payload, "protected": protected, "header": { "alg": "HS256" }, "signature": good }),
        json!({ "payload": payload, "protected": protected, "header": { "crit": [] }, "signature": good }),
        json!({ "payload": payload, "protected": protected, "header": { "b64": false }, "signature": good }),
        json!({ "payload": payload, "protected": protected, "header": { "enc": "x" }, "signature": good }),
        json!({ "payload": payload, "signatures": [] }),
        json!({ "payload": payload, "signatures": {} }),
        json!({ "payload": payload, "signatures": [bad] }),
        json!({ "payload": payload, "signatures": [one, 1] }),
        json!({ "payload": payload, "signatures": [one, { "protected": protected, "signature": "=" }] }),
        json!({ "payload": payload, "signatures": vec![one.clone(); 17] }),
        json!({ "payload": payload, "signatures": [one], "signature": good }),
        json!({ "payload": payload, "signatures": [one], "header": {} }),
        json!([{ "payload": payload, "protected": protected, "signature": good }]),
    ] {
        assert!(run(&refused).is_err(), "{refused}");
    }
    let doubled = format!(
        r#"{{"payload":"{payload}","payload":"{payload}","protected":"{protected}","signature":"{good}"}}"#
    );
    assert!(jws::verify_json(&set, &doubled, &VerifyOptions::default()).is_err());
    let compact = forged(&set, r#"{"alg":"HS256"}"#, b"x");
    assert!(jws::verify_json(&set, &compact, &VerifyOptions::default()).is_err());
}

#[test]
fn encrypted_tokens_by_hand() {
    let set = one_key();
    let open = |header: &str| jwe::decrypt(&set, &sealed(&set, header));
    assert!(open(r#"{"alg":"dir","enc":"A256GCM"}"#).is_ok());
    assert!(open(r#"{"alg":"dir","enc":"A256GCM","kid":"k1","apu":"AA"}"#).is_ok());
    for bad in [
        r#"{"alg":"dir"}"#,
        r#"{"enc":"A256GCM"}"#,
        r#"{"alg":"dir","enc":"A128GCM"}"#,
        r#"{"alg":"dir","enc":"A256CBC-HS512"}"#,
        r#"{"alg":"A256KW","enc":"A256GCM"}"#,
        r#"{"alg":"HS256","enc":"A256GCM"}"#,
        r#"{"alg":"RSA1_5","enc":"A256GCM"}"#,
        r#"{"alg":"dir","enc":"A256GCM","enc":"A256GCM"}"#,
        r#"{"alg":"dir","enc":"A256GCM","zip":"DEF"}"#,
        r#"{"alg":"dir","enc":"A256GCM","zip":null}"#,
        r#"{"alg":"dir","enc":"A256GCM","crit":["b64"],"b64":true}"#,
        r#"{"alg":"dir","enc":"A256GCM","crit":[]}"#,
        r#"{"alg":"dir","enc":"A256GCM","apu":1}"#,
        r#"{"alg":"dir","enc":"A256GCM","apv":"AA=="}"#,
        r#"{"alg":"dir","enc":"A256GCM","p2c":"1000"}"#,
        r#"{"alg":"dir","enc":"A256GCM","p2c":1000.5}"#,
        r#"{"alg":"dir","enc":"A256GCM","epk":"x"}"#,
    ] {
        let error = open(bad).expect_err(bad);
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::NotDecrypted, "the token does not decrypt")
        );
    }
    let token = sealed(&set, r#"{"alg":"dir","enc":"A256GCM"}"#);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, _, iv, text, tag] = parts.as_slice() else { panic!("{token}") };
    for bad in [
        format!("{header}.AAAA.{iv}.{text}.{tag}"),
        format!("{header}..{iv}.{text}"),
        format!("{header}..{iv}.{text}.{tag}."),
        format!("{header}..{iv}A.{text}.{tag}"),
        format!("{header}..{iv}.{text}.{}", b64([0; 200])),
        format!("{header}..{}.{text}.{tag}", b64([0; 64])),
        format!("{header}...{text}.{tag}"),
        format!("{header}..{iv}..{tag}"),
        format!("{header}..{iv}.{text}."),
        String::new(),
        "....".to_owned(),
    ] {
        assert!(jwe::decrypt(&set, &bad).is_err(), "{bad}");
    }
}

#[test]
fn agreement_info_is_authenticated() {
    let pkcs8 = generate(KeySpec::Curve(claviger::alg::Curve::P256)).unwrap();
    let key = LabelKey { key: Key::from_private(&pkcs8, Vec::new()).unwrap(), ..oct("ec", 1) };
    let set = label(vec![key], &["ECDH-ES", "A256GCM"], KeySetPolicy::default());
    let options = EncryptOptions {
        apu: Some(b"Alice".to_vec()),
        apv: Some(b"Bob".to_vec()),
        serialization: Serialization::Flattened,
        ..EncryptOptions::default()
    };
    let token: Value = serde_json::from_str(&jwe::encrypt(&set, b"x", &options).unwrap()).unwrap();
    assert!(jwe::decrypt_json(&set, &token.to_string()).is_ok());
    let header = URL_SAFE_NO_PAD.decode(token["protected"].as_str().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!((header["apu"].as_str(), header["apv"].as_str()), (Some("QWxpY2U"), Some("Qm9i")));
    for (name, value) in [("apu", json!("QWxpY2Y")), ("apv", json!("")), ("apu", json!(["x"]))] {
        let mut changed = header.clone();
        changed[name] = value;
        let mut token = token.clone();
        token["protected"] = b64(changed.to_string()).into();
        assert!(jwe::decrypt_json(&set, &token.to_string()).is_err());
    }
}

#[test]
fn recipients_that_name_a_key_come_first_and_the_rest_is_bounded() {
    let limits = TokenLimits { max_tries: 2, ..TokenLimits::default() };
    let policy = KeySetPolicy { limits, ..KeySetPolicy::default() };
    let ours = label(vec![oct("k1", 1), oct("k2", 2)], &["A256KW", "A256GCM"], policy);
    let options =
        EncryptOptions { serialization: Serialization::General, ..EncryptOptions::default() };
    let token = |kid: Option<&str>, before: usize| {
        let made = label(vec![oct("k1", 1)], &["A256KW", "A256GCM"], KeySetPolicy::default());
        let options = EncryptOptions { without_kid: true, ..options.clone() };
        let text = jwe::encrypt(&made, b"x", &options).unwrap();
        let mut token: Value = serde_json::from_str(&text).unwrap();
        let mut own = token["recipients"][0].clone();
        if let Some(kid) = kid {
            own["header"] = json!({ "kid": kid });
        }
        let other = json!({ "encrypted_key": b64([7; 40]) });
        let mut recipients = vec![other; before];
        recipients.push(own);
        token["recipients"] = recipients.into();
        token.to_string()
    };
    assert!(jwe::decrypt_json(&ours, &token(Some("k1"), 10)).is_ok());
    assert!(jwe::decrypt_json(&ours, &token(None, 0)).is_ok());
    // Two keys tried for the first recipient: the bound holds for the token, not for each of them.
    assert!(jwe::decrypt_json(&ours, &token(None, 1)).is_err());
    assert!(jwe::decrypt_json(&ours, &token(Some("k1"), 16)).is_err(), "17 recipients");
}

#[test]
fn nesting_stops_at_two_layers() {
    let set = label(vec![oct("k1", 1)], &["HS256", "dir", "A256GCM"], KeySetPolicy::default());
    let options = VerifyOptions::default();
    let (sign, encrypt) = (SignOptions::default(), EncryptOptions::default());
    let two = nested::seal(&set, &set, b"{}", &sign, &encrypt).unwrap();
    assert!(nested::open(&set, &set, &two, &options).is_ok());
    let three = jwe::encrypt(&set, two.as_bytes(), &encrypt).unwrap();
    assert!(nested::open(&set, &set, &three, &options).is_err());
    let signed_outside = jws::sign(&set, two.as_bytes(), &sign).unwrap();
    assert!(nested::open(&set, &set, &signed_outside, &options).is_err());
    for inside in ["{}", "", "e30.e30.", "a.b.c"] {
        let token = jwe::encrypt(&set, inside.as_bytes(), &encrypt).unwrap();
        assert!(nested::open(&set, &set, &token, &options).is_err(), "{inside}");
    }
    let binary = jwe::encrypt(&set, &[0xff, 0xfe], &encrypt).unwrap();
    assert!(nested::open(&set, &set, &binary, &options).is_err());
}

#[test]
fn claims_of_every_type_at_every_edge() {
    let now = UNIX_EPOCH + Duration::from_secs(1_000);
    let skew = Duration::from_secs(10);
    let rules = ClaimRules { skew, ..ClaimRules::default() };
    for accepted in [
        "{}",
        r#"{"exp":991}"#,
        r#"{"exp":990.5}"#,
        r#"{"exp":1e300}"#,
        r#"{"exp":18446744073709551615}"#,
        r#"{"exp":9223372036854775808}"#,
        r#"{"nbf":1010,"iat":1010}"#,
        r#"{"nbf":-1,"iat":-9223372036854775808}"#,
        r#"{"aud":["a","b"],"iss":"x","sub":"y","jti":"z"}"#,
    ] {
        assert!(claims::check(accepted.as_bytes(), &rules, now).is_ok(), "{accepted}");
    }
    for refused in [
        "",
        "[]",
        "1",
        "{\"exp\":2000} x",
        r#"{"exp":2000,"exp":2000}"#,
        r#"{"exp":990}"#,
        r#"{"exp":0}"#,
        r#"{"exp":-1}"#,
        r#"{"exp":-0.0}"#,
        r#"{"exp":-9223372036854775808}"#,
        r#"{"exp":1e400}"#,
        r#"{"exp":"2000"}"#,
        r#"{"exp":null}"#,
        r#"{"exp":true}"#,
        r#"{"exp":[2000]}"#,
        r#"{"exp":{}}"#,
        r#"{"nbf":1010.5}"#,
        r#"{"nbf":"0"}"#,
        r#"{"nbf":18446744073709551615}"#,
        r#"{"iat":1011}"#,
        r#"{"iat":null}"#,
        r#"{"aud":1}"#,
        r#"{"aud":{"a":1}}"#,
        r#"{"aud":["a",1]}"#,
        r#"{"aud":null}"#,
        r#"{"iss":1}"#,
        r#"{"iss":["x"]}"#,
        r#"{"sub":7}"#,
        r#"{"jti":null}"#,
    ] {
        let error = claims::check(refused.as_bytes(), &rules, now).expect_err(refused);
        assert_eq!(error.kind(), ErrorKind::ClaimsRejected);
    }
    let strict =
        ClaimRules { issuer: Some("me"), audience: Some("you"), required: &["exp"], ..rules };
    let nested = |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let within = ClaimRules { max_json_depth: 8, ..ClaimRules::default() };
    assert!(claims::check(nested(7).as_bytes(), &within, now).is_ok());
    assert!(claims::check(nested(8).as_bytes(), &within, now).is_err());
    let check = |text: &str| claims::check(text.as_bytes(), &strict, now).is_ok();
    assert!(check(r#"{"exp":2000,"iss":"me","aud":"you"}"#));
    assert!(check(r#"{"exp":2000,"iss":"me","aud":["other","you"]}"#));
    for refused in [
        r#"{"iss":"me","aud":"you"}"#,
        r#"{"exp":2000,"iss":"ME","aud":"you"}"#,
        r#"{"exp":2000,"iss":["me"],"aud":"you"}"#,
        r#"{"exp":2000,"aud":"you"}"#,
        r#"{"exp":2000,"iss":"me","aud":"you "}"#,
        r#"{"exp":2000,"iss":"me","aud":[]}"#,
        r#"{"exp":2000,"iss":"me","aud":[["you"]]}"#,
        r#"{"exp":2000,"iss":"me"}"#,
    ] {
        assert!(!check(refused), "{refused}");
    }
}

#[test]
fn types_compare_as_media_types() {
    let set = one_key();
    let token = forged(&set, r#"{"alg":"HS256","typ":"application/AT+jwt"}"#, b"x");
    let check = |typ| {
        let options = VerifyOptions { typ: Some(typ), ..VerifyOptions::default() };
        jws::verify(&set, &token, &options).is_ok()
    };
    assert!(check("at+jwt") && check("application/at+JWT"));
    assert!(!check("jwt") && !check("application/application/at+jwt"));
}

#[test]
fn rsa_keys_of_every_size_and_exponent() {
    let make = |bits: u32, exponent: u32| {
        let e = openssl::bn::BigNum::from_u32(exponent).unwrap();
        let rsa = openssl::rsa::Rsa::generate_with_e(bits, &e).unwrap();
        let key = openssl::pkey::PKey::from_rsa(rsa).unwrap();
        let pkcs8 = SecretBytes::from_vec(key.private_key_to_pkcs8().unwrap());
        (Key::from_private(&pkcs8, Vec::new()), Key::from_public(&key.public_key_to_der().unwrap()))
    };
    let (small, _) = make(1024, 65_537);
    let small = small.unwrap();
    assert!(sign::sign(&small, row("RS256"), b"x", &mut Vec::new()).is_err());
    // Public keys with the exponent 3 are still met; both sides say by name what they refuse.
    let (pair, public) = make(2048, 3);
    for result in [pair.map(|_| ()), public.map(|_| ())] {
        if let Err(error) = result {
            assert_eq!(error.kind(), ErrorKind::KeyUnfit);
            assert!(error.message().contains("RSA"), "{error}");
        }
    }
    // A size that is no multiple of 8: the signature has the length of the modulus in whole bytes.
    let (odd, public) = make(2050, 65_537);
    let (odd, public) = (odd.unwrap(), public.unwrap());
    for name in ["RS256", "PS256", "PS512"] {
        let mut signature = Vec::new();
        sign::sign(&odd, row(name), b"x", &mut signature).unwrap();
        assert_eq!(signature.len(), 257);
        assert!(sign::verify(&public, row(name), b"x", &signature).is_ok(), "{name}");
    }
}

/// What anybody may add to a token of another kind (RFC 8725 §3.11).
#[test]
fn a_typ_that_is_not_protected_is_none() {
    let set = one_key();
    for own in [None, Some("JWT")] {
        let typ = own.map(Into::into);
        let options = SignOptions {
            serialization: Serialization::Flattened,
            typ: typ.clone(),
            ..SignOptions::default()
        };
        let token = jws::sign(&set, b"{}", &options).unwrap();
        let expected = VerifyOptions { typ: Some("at+jwt"), ..VerifyOptions::default() };
        let mut token: Value = serde_json::from_str(&token).unwrap();
        assert!(jws::verify_json(&set, &token.to_string(), &expected).is_err());
        token["header"] = json!({ "typ": "at+jwt" });
        assert!(jws::verify_json(&set, &token.to_string(), &expected).is_err(), "{token}");

        let options = EncryptOptions {
            serialization: Serialization::Flattened,
            typ,
            ..EncryptOptions::default()
        };
        let token = jwe::encrypt(&set, b"{}", &options).unwrap();
        let mut token: Value = serde_json::from_str(&token).unwrap();
        if own.is_none() {
            for part in ["header", "unprotected"] {
                let mut token = token.clone();
                token[part] = json!({ "typ": "at+jwt" });
                let opened = jwe::decrypt_json(&set, &token.to_string()).unwrap();
                assert!(opened.has_typ() && !opened.is_of_type("at+jwt"), "{token}");
            }
        } else {
            token["unprotected"] = json!({ "typ": "at+jwt" });
            assert!(jwe::decrypt_json(&set, &token.to_string()).is_err());
        }
    }
    let options = SignOptions { serialization: Serialization::Flattened, ..SignOptions::default() };
    let mut token: Value =
        serde_json::from_str(&jws::sign(&set, b"{}", &options).unwrap()).unwrap();
    token["header"] = json!({ "typ": "JWT" });
    let found = jws::verify_json(&set, &token.to_string(), &VerifyOptions::default()).unwrap();
    assert!(found.has_typ() && !found.is_of_type("JWT"));
}
