//! Other people's libraries read the key set that we publish, in every `jwks_alg`, and verify our tokens by it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use claviger::profiles::jwks::Party;
use claviger::profiles::oidc::{IdTokenOptions, RequestObjectRules, Untyped};
use serde_json::{Value, json};

use crate::interop::peers;
use crate::oidc_house::{House, ISSUER, NOW, claims, client, forge, private, public};
use crate::oidc_peers::exchange;

const ALGORITHMS: [&str; 10] =
    ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"];

/// What a reader makes of a token in a mode; everything else verifies. PyJWT takes the first key of a kid, and an RSA key without
/// `alg` for RS256.
fn is_refused(reader: &str, mode: &str, algorithm: &str) -> bool {
    let is_rsa = algorithm.starts_with(['R', 'P']);
    match (reader, mode) {
        // In order of name the first one is PS256.
        ("pyjwt", "each") => is_rsa && algorithm != "PS256",
        ("pyjwt", _) => is_rsa && algorithm != "RS256",
        _ => false,
    }
}

fn published(house: &House) -> Value {
    let document = house.keyring.jwks(None, Party::Provider).document();
    serde_json::from_str(&document.json).unwrap()
}

fn token(house: &House, algorithm: &str) -> String {
    let shop = client(json!({ "id_token_signed_response_alg": algorithm }));
    let given = claims(json!({ "sub": "alice", "nonce": "n-1" }));
    house.provider().issue_id_token(&shop, &given, &IdTokenOptions::default()).unwrap()
}

fn readers(folder: &Path) -> [Command; 2] {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let mut node = Command::new("node");
    node.arg(scripts.join("jwks_readers.mjs")).arg(folder);
    let mut python = Command::new(folder.join("venv/bin/python"));
    python.arg(scripts.join("jwks_readers.py"));
    [node, python]
}

fn house(mode: &str) -> House {
    match mode {
        "each" => House::with("[policy]\n", "[policy]\njwks_alg = \"each\"\n"),
        "none" => House::with("[policy]\n", "[policy]\njwks_alg = \"none\"\n"),
        _ => House::with("[policy]\n", "[policy]\njwks_alg = \"single\"\n"),
    }
}

#[test]
fn every_reader_verifies_every_algorithm_by_the_published_set_before_and_after_a_rotation() {
    let Some(folder) = peers() else { return };
    for mode in ["single", "each", "none"] {
        let house = house(mode);
        let before: Vec<String> = ALGORITHMS.iter().map(|one| token(&house, one)).collect();
        house.remap(|_, name| vec![format!("{name}-2"), format!("{name}-1")]);
        let jwks = published(&house);
        let after = ALGORITHMS.iter().map(|one| token(&house, one));
        let tokens: Vec<(&str, String)> =
            ALGORITHMS.into_iter().chain(ALGORITHMS).zip(before.into_iter().chain(after)).collect();
        let kid = |token: &str| crate::oidc_house::part(token, 0)["kid"].to_string();
        let kids: BTreeSet<String> = tokens.iter().map(|(_, token)| kid(token)).collect();
        assert_eq!(kids.len(), 10, "five labels, two keys each");
        let tasks: Vec<Value> = tokens
            .iter()
            .map(|(alg, token)| json!({ "jwks": jwks, "token": token, "alg": alg, "now": NOW }))
            .collect();
        for command in readers(&folder) {
            let answers = exchange(command, &tasks);
            assert_eq!(answers.len(), tokens.len());
            for ((alg, _), answer) in tokens.iter().zip(&answers) {
                for (reader, found) in answer.as_object().unwrap() {
                    let expected = !is_refused(reader, mode, alg);
                    assert_eq!(found == "alice", expected, "{mode} {reader} {alg}: {found}");
                }
            }
        }
    }
}

#[test]
fn no_reader_takes_a_token_of_a_key_that_is_not_in_the_set() {
    let Some(folder) = peers() else { return };
    for mode in ["single", "each", "none"] {
        let house = house(mode);
        let old = token(&house, "ES256");
        house.remap(|_, name| vec![format!("{name}-2")]);
        let jwks = published(&house);
        let own = token(&house, "ES256");
        let kid = crate::oidc_house::part(&own, 0)["kid"].clone();
        let about = json!({ "sub": "alice", "iss": ISSUER, "exp": NOW + 60 });
        // Under the kid of the key that is there, too.
        let forged = forge(&private("es256-1"), "ES256", json!({ "kid": kid }), &about);
        let task =
            |token: &str| json!({ "jwks": jwks, "token": token, "alg": "ES256", "now": NOW });
        let tasks = [task(&old), task(&forged), task(&own)];
        for command in readers(&folder) {
            let answers = exchange(command, &tasks);
            for (answer, expected) in answers.iter().zip([false, false, true]) {
                for (reader, found) in answer.as_object().unwrap() {
                    assert_eq!(found == "alice", expected, "{mode} {reader}: {found}");
                }
            }
        }
    }
}

#[test]
fn clients_encrypt_to_the_published_key_and_we_open_it_before_and_after_a_rotation() {
    let Some(folder) = peers() else { return };
    let parameters =
        json!({ "iss": "shop", "aud": ISSUER, "scope": "openid", "iat": NOW, "exp": NOW + 60 });
    let signed = forge(&private("es256-1"), "ES256", json!({ "kid": "es256-1" }), &parameters);
    let rules = RequestObjectRules { untyped: Untyped::Accepted, ..RequestObjectRules::default() };
    for mode in ["single", "each", "none"] {
        for (alg, enc) in [("RSA-OAEP", "A128CBC-HS256"), ("RSA-OAEP-256", "A256GCM")] {
            let house = house(mode);
            let shop = client(json!({ "request_object_signing_alg": "ES256",
                "request_object_encryption_alg": alg, "request_object_encryption_enc": enc,
                "jwks": { "keys": [public("es256-1")] } }));
            let task =
                json!({ "jwks": published(&house), "payload": signed, "alg": alg, "enc": enc });
            let sealed: Vec<String> = readers(&folder)
                .into_iter()
                .map(|command| exchange(command, std::slice::from_ref(&task)).remove(0))
                .map(|answer| {
                    answer["sealed"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
                })
                .collect();
            for turn in [["-1", "-2"], ["-2", "-1"]] {
                house.remap(|_, name| turn.iter().map(|end| format!("{name}{end}")).collect());
                for token in &sealed {
                    let opened = house.provider().open_request_object(&shop, token, &rules);
                    let opened = opened.unwrap_or_else(|error| panic!("{mode} {alg}: {error:?}"));
                    assert_eq!(opened.claims["scope"], "openid");
                }
            }
            house.remap(|_, name| vec![format!("{name}-2")]);
            for token in &sealed {
                assert!(house.provider().open_request_object(&shop, token, &rules).is_err());
            }
        }
    }
}
