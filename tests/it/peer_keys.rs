//! Keys of somebody else: what is used of a set, what is left out, and what a client secret does.

use claviger::alg::{ALGORITHMS, Algorithm, Operation};
use claviger::catalogue::LabelUse;
use claviger::error::ErrorKind;
use claviger::formats::{Container, Limits, Passwords};
use claviger::jose::jwe::{self, EncryptOptions};
use claviger::jose::jws::{self, SignOptions, VerifyOptions};
use claviger::ops::{KeySet, KeySetPolicy, PeerKeySet, PeerRules};
use claviger::secret::SecretBytes;
use openssl::hash::{MessageDigest, hash};
use serde_json::{Value, json};

use crate::workshop::{Workshop, jwk};

const BOTH: [LabelUse; 2] = [LabelUse::Sign, LabelUse::Verify];
const SEALS: [LabelUse; 2] = [LabelUse::Encrypt, LabelUse::Decrypt];

fn b64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A new private JWK.
fn private(kid: &str, key_type: &str) -> Value {
    serde_json::from_str(&jwk(kid, key_type)).unwrap()
}

/// Its public half, with or without other members.
fn public(private: &Value, more: Value) -> Value {
    let mut members = private.as_object().unwrap().clone();
    members.retain(|name, _| ["kty", "crv", "x", "y", "n", "e", "kid"].contains(&name.as_str()));
    for (name, value) in more.as_object().unwrap() {
        members.insert(name.clone(), value.clone());
    }
    members.retain(|_, value| !value.is_null());
    Value::Object(members)
}

/// The peer's own view of its keys.
fn owner(jwk: &Value, uses: &[LabelUse], names: &[&str]) -> KeySet {
    let rows = names.iter().map(|name| Algorithm::find(name).unwrap()).collect();
    let jwks = json!({ "keys": [jwk] }).to_string();
    let policy = KeySetPolicy { short_hmac_keys: true, ..KeySetPolicy::default() };
    KeySet::from_jwks("peer.own".parse().unwrap(), uses.to_vec(), jwks.as_bytes(), rows, policy)
        .unwrap()
}

fn peer(keys: &[Value], rules: &PeerRules) -> PeerKeySet {
    PeerKeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes(), rules).unwrap()
}

fn sign(set: &KeySet, algorithm: &'static str) -> String {
    let options = SignOptions { algorithm: Some(algorithm.into()), ..SignOptions::default() };
    jws::sign(set, b"claims", &options).unwrap()
}

fn verifies(peer: &PeerKeySet, token: &str) -> bool {
    jws::verify(peer.keys().unwrap(), token, &VerifyOptions::default()).is_ok()
}

fn header(token: &str) -> Value {
    use base64::Engine;
    let part = token.split('.').next().unwrap();
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    serde_json::from_slice(&engine.decode(part).unwrap()).unwrap()
}

#[test]
fn a_key_that_cannot_be_used_spoils_nothing() {
    let (ec, rsa, ed) = (private("ec", "ec"), private("rsa", "rsa"), private("ed", "ed25519"));
    let mut off_curve = public(&ec, json!({"kid": "off"}));
    off_curve["x"] = off_curve["y"].clone();
    let small = json!({"kty": "RSA", "kid": "small", "e": "AQAB", "n": b64(&[0xff; 128])});
    let keys = [
        json!({"kty": "AKP", "alg": "ML-DSA-44", "kid": "pq", "pub": "AA"}),
        off_curve,
        rsa.clone(),
        json!({"kty": "oct", "kid": "oct", "k": b64(&[7; 32])}),
        small,
        json!(["not", "a", "key"]),
        json!({"kty": "EC", "crv": "P-256", "kid": "cut", "x": "AA", "y": "AA"}),
        public(&ec, json!({"kid": "x5c", "x5c": ["AAAA"]})),
        public(&ec, json!({"alg": "ES256", "use": "sig"})),
        public(&rsa, json!({})),
        public(&ed, json!({"alg": "Ed25519", "key_ops": ["verify"]})),
    ];
    let rules = PeerRules::verify(&["ES256", "RS256", "EdDSA"]).unwrap();
    let set = peer(&keys, &rules);
    let kids: Vec<String> = set.keys().unwrap().keys().iter().map(|key| key.kid.clone()).collect();
    assert_eq!(kids, ["ec", "rsa", "ed"]);
    let skipped: Vec<usize> = set.skipped().iter().map(|one| one.number).collect();
    assert_eq!(skipped, [1, 2, 3, 4, 5, 6, 7, 8]);
    for (number, part) in [(1, "AKP"), (3, "private key"), (4, "symmetric"), (5, "1024 bits")] {
        let shown = set.skipped()[number - 1].to_string();
        assert!(shown.contains(part), "{shown}");
    }
    for (key, algorithm) in [(&ec, "ES256"), (&rsa, "RS256"), (&ed, "EdDSA")] {
        assert!(verifies(&set, &sign(&owner(key, &BOTH, &[algorithm]), algorithm)), "{algorithm}");
    }
}

#[test]
fn a_set_without_a_usable_key_says_why_when_it_is_used() {
    let rules = PeerRules::verify(&["RS256"]).unwrap();
    let set = peer(&[public(&private("ec", "ec"), json!({}))], &rules);
    let error = set.keys().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnfit);
    assert!(error.help().unwrap().contains("kid \"ec\""), "{error:?}");
    assert!(peer(&[], &rules).keys().unwrap_err().help().unwrap().contains("empty"));
    assert_eq!(PeerRules::verify(&[]).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(PeerRules::verify(&["none"]).unwrap_err().kind(), ErrorKind::AlgorithmNotAllowed);
}

#[test]
fn a_key_does_what_the_registration_and_its_own_members_admit_and_the_token_adds_nothing() {
    let rsa = private("rsa", "rsa");
    let own = owner(&rsa, &BOTH, &["RS256", "PS256", "RS512"]);
    let rules = PeerRules::verify(&["RS256", "PS256"]).unwrap();
    let any = peer(&[public(&rsa, json!({}))], &rules);
    let narrow = peer(&[public(&rsa, json!({"alg": "PS256"}))], &rules);
    for (algorithm, by_any, by_narrow) in
        [("RS256", true, false), ("PS256", true, true), ("RS512", false, false)]
    {
        let token = sign(&own, algorithm);
        assert_eq!((verifies(&any, &token), verifies(&narrow, &token)), (by_any, by_narrow));
    }
    for members in [
        json!({"use": "enc"}),
        json!({"use": "tls"}),
        json!({"key_ops": ["encrypt"]}),
        json!({"alg": "RSA-OAEP"}),
    ] {
        assert!(peer(&[public(&rsa, members.clone())], &rules).keys().is_err(), "{members}");
    }
    // attacks.md J02: a MAC keyed with the public key, under rules that allow HS256.
    let rules = PeerRules::verify(&["RS256", "HS256"]).unwrap();
    let set = peer(&[public(&rsa, json!({}))], &rules);
    let n = rsa["n"].as_str().unwrap().as_bytes();
    let forger = owner(&json!({"kty": "oct", "kid": "rsa", "k": b64(n)}), &BOTH, &["HS256"]);
    assert!(!verifies(&set, &sign(&forger, "HS256")));
}

#[test]
fn one_kid_names_several_keys_where_type_or_algorithm_tell_them_apart() {
    let (ec, rsa, other) = (private("1", "ec"), private("1", "rsa"), private("1", "rsa"));
    let rules = PeerRules::verify(&["ES256", "RS256", "PS256"]).unwrap();
    // As Ping AM lists a key once for each algorithm, beside one of another type.
    let keys = [
        public(&rsa, json!({"alg": "RS256"})),
        public(&ec, json!({})),
        public(&private("2", "ec"), json!({})),
        public(&rsa, json!({"alg": "PS256"})),
        public(&rsa, json!({"alg": "RS256"})),
    ];
    let set = peer(&keys, &rules);
    assert!(set.skipped().is_empty());
    assert_eq!(set.keys().unwrap().keys().len(), 4);
    for (key, algorithm) in [(&ec, "ES256"), (&rsa, "RS256"), (&rsa, "PS256")] {
        assert!(verifies(&set, &sign(&owner(key, &BOTH, &[algorithm]), algorithm)), "{algorithm}");
    }
    // Nothing tells these apart, so neither counts, and the others still do.
    let keys = [public(&rsa, json!({})), public(&ec, json!({})), public(&other, json!({}))];
    let set = peer(&keys, &rules);
    assert_eq!(set.skipped().iter().map(|one| one.number).collect::<Vec<_>>(), [1, 3]);
    assert!(verifies(&set, &sign(&owner(&ec, &BOTH, &["ES256"]), "ES256")));
    assert!(!verifies(&set, &sign(&owner(&rsa, &BOTH, &["RS256"]), "RS256")));
}

#[test]
fn what_is_encrypted_to_a_peer_names_the_kid_that_the_peer_gave() {
    let own = private("theirs", "rsa");
    let rules = PeerRules::encrypt(&["RSA-OAEP-256", "A128GCM"]).unwrap();
    let opener = owner(&own, &SEALS, &["RSA-OAEP-256", "A128GCM"]);
    for (kid, expected) in [(json!("theirs"), json!("theirs")), (Value::Null, Value::Null)] {
        let signing = public(&private("first", "rsa"), json!({"use": "sig"}));
        let set = peer(&[signing, public(&own, json!({"kid": kid, "use": "enc"}))], &rules);
        for options in [
            EncryptOptions::default(),
            EncryptOptions { cty: Some("JWT".into()), ..Default::default() },
        ] {
            let token = jwe::encrypt(set.keys().unwrap(), b"claims", &options).unwrap();
            assert_eq!(header(&token)["kid"], expected);
            assert_eq!(jwe::decrypt(&opener, &token).unwrap().plaintext.expose_secret(), b"claims");
        }
        let error = jwe::decrypt(set.keys().unwrap(), "a.b.c.d.e").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongUse);
    }
}

#[test]
fn a_client_secret_signs_as_it_is_if_it_is_long_enough() {
    for (algorithm, needed) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        let rules = PeerRules::new(&BOTH, &[algorithm]).unwrap();
        let secret = vec![b'x'; needed];
        let set = PeerKeySet::from_secret(SecretBytes::from_slice(&secret), &rules).unwrap();
        let token = sign(set.keys().unwrap(), algorithm);
        assert_eq!(header(&token), json!({"alg": algorithm}));
        let jwk = json!({"kty": "oct", "k": b64(&secret)});
        let theirs = owner(&jwk, &BOTH, &[algorithm]);
        assert!(jws::verify(&theirs, &token, &VerifyOptions::default()).is_ok());
        assert!(verifies(&set, &sign(&theirs, algorithm)));
        let short = SecretBytes::from_slice(&secret[1..]);
        let error = PeerKeySet::from_secret(short, &rules).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnfit);
        let mut lenient = rules;
        lenient.policy.short_hmac_keys = true;
        let short = SecretBytes::from_slice(&secret[1..]);
        assert!(PeerKeySet::from_secret(short, &lenient).is_ok());
    }
}

#[test]
fn a_client_secret_encrypts_with_the_keys_that_openid_connect_derives() {
    let secret = b"a client secret of any length";
    let contents = ALGORITHMS.iter().filter(|row| row.operation == Operation::Content);
    let wraps = ["A128KW", "A192KW", "A256KW", "A128GCMKW", "A192GCMKW", "A256GCMKW", "dir"];
    let mut tried = 0;
    for enc in contents {
        for alg in wraps {
            let bits = match alg.get(1..4).and_then(|bits| bits.parse().ok()) {
                Some(bits) => bits,
                None => enc.content_key_bytes().unwrap() * 8,
            };
            let digest = match bits {
                0..=256 => MessageDigest::sha256(),
                257..=384 => MessageDigest::sha384(),
                _ => MessageDigest::sha512(),
            };
            let derived = hash(digest, secret).unwrap()[..bits / 8].to_vec();
            let theirs =
                owner(&json!({"kty": "oct", "k": b64(&derived)}), &SEALS, &[alg, enc.name]);
            let rules = PeerRules::new(&SEALS, &[alg, enc.name]).unwrap();
            let set = PeerKeySet::from_secret(SecretBytes::from_slice(secret), &rules).unwrap();
            let ours = set.keys().unwrap();
            let token = jwe::encrypt(ours, b"claims", &EncryptOptions::default()).unwrap();
            assert_eq!(header(&token)["kid"], Value::Null, "{alg} {enc}");
            assert!(jwe::decrypt(&theirs, &token).is_ok(), "{alg} {enc}");
            let token = jwe::encrypt(&theirs, b"claims", &EncryptOptions::default()).unwrap();
            assert!(jwe::decrypt(ours, &token).is_ok(), "{alg} {enc}");
            tried += 1;
        }
    }
    assert_eq!(tried, 42);
    // A client may register several: the key of the right length is found.
    let rules = PeerRules::new(&SEALS, &["A128KW", "dir", "A256GCM", "A256CBC-HS512"]).unwrap();
    let set = PeerKeySet::from_secret(SecretBytes::from_slice(secret), &rules).unwrap();
    let derived = hash(MessageDigest::sha512(), secret).unwrap();
    let jwk = json!({"kty": "oct", "k": b64(&derived)});
    let theirs = owner(&jwk, &SEALS, &["dir", "A256CBC-HS512"]);
    let token = jwe::encrypt(&theirs, b"claims", &EncryptOptions::default()).unwrap();
    assert!(jwe::decrypt(set.keys().unwrap(), &token).is_ok());
}

#[test]
fn rules_that_no_client_secret_serves_are_refused() {
    let secret = || SecretBytes::from_slice(&[b'x'; 64]);
    for (uses, names, kind) in [
        (&BOTH[..], &["RS256"][..], ErrorKind::KeyUnfit),
        (&SEALS, &["RSA-OAEP", "A128GCM"], ErrorKind::KeyUnfit),
        (&[LabelUse::Sign, LabelUse::Encrypt], &["HS256", "dir", "A128GCM"], ErrorKind::Usage),
    ] {
        let rules = PeerRules::new(uses, names).unwrap();
        assert_eq!(PeerKeySet::from_secret(secret(), &rules).unwrap_err().kind(), kind);
    }
    let rules = PeerRules::verify(&["HS256"]).unwrap();
    let empty = SecretBytes::from_slice(b"");
    assert_eq!(PeerKeySet::from_secret(empty, &rules).unwrap_err().kind(), ErrorKind::KeyUnfit);
}

#[test]
fn every_secret_of_a_client_label_verifies_and_the_newest_signs() {
    let shop = Workshop::new();
    let label = "am.applications.oauth2.client.shop.secret";
    let volume = "[stores.clients]\nkind = \"volume\"\ndirectory = \"clients\"\n\
                  version_suffix = \".v\"\npermissions = \"ignore\"\n";
    shop.configure("", volume);
    std::fs::create_dir(shop.path().join("clients")).unwrap();
    let secrets = [[b'a'; 32], [b'b'; 32]];
    for (version, secret) in (1..).zip(&secrets) {
        let file = shop.path().join(format!("clients/{label}.v{version}"));
        std::fs::write(file, secret).unwrap();
    }
    let keyring = shop.keyring();
    let stored = keyring.label(label).unwrap().keys().unwrap();
    let rules = PeerRules::new(&BOTH, &["HS256"]).unwrap();
    let set = PeerKeySet::from_secret_label(&stored, &rules).unwrap();
    for secret in &secrets {
        let theirs = owner(&json!({"kty": "oct", "k": b64(secret)}), &BOTH, &["HS256"]);
        assert!(verifies(&set, &sign(&theirs, "HS256")));
    }
    // The newest signs.
    let newest = owner(&json!({"kty": "oct", "k": b64(&secrets[1])}), &BOTH, &["HS256"]);
    let token = sign(set.keys().unwrap(), "HS256");
    assert!(jws::verify(&newest, &token, &VerifyOptions::default()).is_ok());
}

#[test]
fn one_key_comes_from_pem_der_or_jwk() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("keystores");
    let own: Container = claviger::formats::open(
        &std::fs::read(folder.join("openssl.pem")).unwrap(),
        None,
        &Passwords::default(),
        &Limits::default(),
        false,
    )
    .unwrap();
    let entry = &own.entries[0];
    let private: Value =
        serde_json::from_str(claviger::formats::jwk::write(entry, false).unwrap().expose_secret())
            .unwrap();
    let certificate = openssl::x509::X509::from_der(&entry.chain[0]).unwrap();
    let key = certificate.public_key().unwrap();
    let rules = PeerRules::verify(&["ES256"]).unwrap();
    let token = sign(&owner(&private, &BOTH, &["ES256"]), "ES256");
    for file in [
        certificate.to_pem().unwrap(),
        certificate.to_der().unwrap(),
        key.public_key_to_pem().unwrap(),
        key.public_key_to_der().unwrap(),
        public(&private, json!({})).to_string().into_bytes(),
    ] {
        assert!(verifies(&PeerKeySet::from_file(&file, &rules).unwrap(), &token));
    }
    let file = std::fs::read(folder.join("openssl.pem")).unwrap();
    let set = PeerKeySet::from_file(&file, &rules).unwrap();
    assert!(set.keys().is_err() && set.skipped()[0].reason.contains("private"), "{set:?}");
}
