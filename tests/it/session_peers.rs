//! Sessions that other people's libraries read, and sessions that they make of the same keys.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use claviger::config::{SessionLabel, SessionOrder, SessionSettings};
use claviger::ops::KeySet;

use serde_json::{Map, Value, json};

use crate::deployment::{Deployment, START, aliases, kind_of};
use crate::interop::peers;

/// Signing label and algorithm, encryption label and `alg`; the parts that they are put together in.
const WAYS: [(&str, &str, &str, &str, &str); 8] = [
    ("HMAC", "HS256", "AES", "A256KW", "signed then encrypted"),
    ("HMAC", "HS256", "AES", "A256KW", "encrypted then signed"),
    ("ES256", "ES256", "RSA", "RSA-OAEP-256", "signed then encrypted"),
    ("ES512", "ES512", "AES", "A256KW", "signed then encrypted"),
    ("RSA", "RS256", "RSA", "RSA-OAEP-256", "encrypted then signed"),
    ("ES384", "ES384", "", "", "signed"),
    ("HMAC", "HS256", "", "", "signed"),
    ("", "", "AES", "A256KW", "encrypted"),
];

fn settings(signing: &str, encryption: &str, parts: &str) -> SessionSettings {
    let pick = |all: &'static [SessionLabel], name: &str| {
        all.iter().filter(|one| one.name == name).collect()
    };
    SessionSettings {
        signing: pick(SessionLabel::signing(), signing),
        encryption: pick(SessionLabel::encryption(), encryption),
        order: if parts == "encrypted then signed" {
            SessionOrder::EncryptThenSign
        } else {
            SessionOrder::SignThenEncrypt
        },
        ..SessionSettings::default()
    }
}

#[test]
fn sessions_go_back_and_forth_with_joserfc_jwcrypto_and_pyjwt() {
    let Some(folder) = peers() else { return };
    let deployment = Deployment::new();
    let all = SessionLabel::signing().iter().chain(SessionLabel::encryption());
    let all: Vec<_> = all
        .map(|one| (None, one.label.as_str(), aliases(kind_of(one.label.as_str()), &[1, 2])))
        .collect();
    deployment.configure(&all, "");
    let keyring = deployment.keyring();
    let text = std::fs::read_to_string(deployment.folder.path().join("keys.jwks")).unwrap();
    let keys: Value = serde_json::from_str(&text).unwrap();
    // Keys as a peer that shares them has them, kids as ours.
    let jwk = |part: &str, name: &str, public: bool| {
        if name.is_empty() {
            return (Value::Null, Value::Null);
        }
        let label = format!("am.global.services.session.clientbased.{part}.{name}");
        let set: std::sync::Arc<KeySet> = keyring.label(&label).unwrap().keys().unwrap();
        let active = set.active();
        let found = keys["keys"].as_array().unwrap().iter();
        let found = found.clone().find(|key| key["kid"] == active.alias.as_str()).unwrap();
        let mut members = found.as_object().unwrap().clone();
        let private = ["d", "p", "q", "dp", "dq", "qi"];
        // What a JWK says of itself is stricter in some readers than in others.
        let hints = ["kid", "use", "key_ops", "alg", "x5c", "x5t", "x5t#S256"];
        members.retain(|name, _| !hints.contains(&name.as_str()));
        if public {
            members.retain(|name, _| !private.contains(&name.as_str()));
        }
        (Value::Object(members), json!(active.kid))
    };
    let mut python = Command::new(folder.join("venv/bin/python"));
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/session.py"));
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut sessions = Vec::new();
    for (signing, alg, encryption, wrap, parts) in WAYS {
        let given = settings(signing, encryption, parts);
        let ours = keyring.realm("alpha").unwrap().sessions().with_settings(given).unwrap();
        let claims = json!({ "sub": "alice", "roles": ["a", "ü"] });
        let sealed = ours.seal(claims.as_object().unwrap()).unwrap();
        let theirs = json!({ "jti": "theirs", "iat": START, "exp": START as f64 + 60.5, "idle": 60,
            "seen": START as f64 + 0.25, "realm": "alpha", "sub": "bob" });
        let (sign, sign_kid) = jwk("signing", signing, false);
        let task = json!({
            "parts": parts, "token": sealed.token, "claims": theirs, "alg": alg, "wrap": wrap, "enc": "A256GCM",
            "sign": sign, "sign_kid": sign_kid, "verify": jwk("signing", signing, true).0,
            "encrypt": jwk("encryption", encryption, true).0, "decrypt": jwk("encryption", encryption, false).0,
        });
        writeln!(input, "{task}").unwrap();
        sessions.push((ours, sealed, parts));
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), WAYS.len(), "{lines}");
    for (line, (ours, sealed, parts)) in lines.lines().zip(sessions) {
        let answer: Value = serde_json::from_str(line).unwrap();
        assert_eq!(answer["error"], Value::Null, "{parts}");
        let read = &answer["opened"];
        assert_eq!((&read["jti"], &read["exp"]), (&json!(sealed.id), &json!(sealed.times.expires)));
        assert_eq!((&read["realm"], &read["roles"][1]), (&json!("alpha"), &json!("ü")));
        let made = ours.open(answer["made"].as_str().unwrap()).unwrap();
        assert_eq!(made.claims(), &Map::from_iter([("sub".to_owned(), json!("bob"))]), "{parts}");
        assert_eq!((made.id(), made.times().unwrap().expires), (Some("theirs"), START + 60));
    }
}
