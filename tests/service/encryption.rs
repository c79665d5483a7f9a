//! Encryption by label: every form of input and token, and encrypting again.

use claviger::access::Right;
use serde_json::{Value, json};

use super::running::{Running, granting};

const LABEL: &str = "/v1/labels/app.session.seal";
const KEY: Option<&str> = Some("the key of portal");

fn running() -> Running {
    Running::new(granting(&[Right::Encrypt, Right::Decrypt, Right::Rewrap]))
}

fn post(running: &Running, what: &str, body: &Value) -> Value {
    let (status, answer) = running.post(&format!("{LABEL}/{what}"), KEY, body);
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

fn refused(running: &Running, what: &str, body: &Value, status: u16, code: &str) -> Value {
    let (got, problem) = running.post(&format!("{LABEL}/{what}"), KEY, body);
    assert_eq!((got, &problem["code"]), (status, &json!(code)), "{body}: {problem}");
    problem
}

#[test]
fn what_is_encrypted_comes_back_in_the_form_that_is_asked_for() {
    let running = running();
    for serialization in ["compact", "flattened", "general"] {
        for (name, input) in
            [("claims", json!({"sub": "ü"})), ("payload", json!("AP8")), ("text", json!("a\nb"))]
        {
            let body = json!({name: input, "serialization": serialization, "typ": "note",
                "cty": "x"});
            let token = post(&running, "encrypt", &body)["token"].clone();
            let body = json!({"token": token, "as": name, "typ": "note", "header": true});
            let answer = post(&running, "decrypt", &body);
            assert_eq!((&answer[name], &answer["alias"]), (&input, &json!("aes")), "{answer}");
            assert_eq!(answer["header"]["cty"], json!("x"));
            let body = json!({"token": token, "as": name, "typ": "other"});
            refused(&running, "decrypt", &body, 422, "not_decrypted");
        }
    }
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let running = running();
    for (body, code) in [
        (json!({}), "usage"),
        (json!({"text": "", "payload": ""}), "usage"),
        (json!({"text": "", "zip": true}), "usage"),
        (json!({"text": "", "aad": "AA"}), "usage"),
        (json!({"text": "", "apu": "="}), "malformed"),
        (json!({"text": "", "alg": "RSA-OAEP-256"}), "algorithm_not_allowed"),
        (json!({"text": "", "enc": "A128GCM"}), "algorithm_not_allowed"),
    ] {
        refused(&running, "encrypt", &body, 400, code);
    }
}

#[test]
fn every_token_that_does_not_decrypt_is_told_the_same() {
    let running = running();
    let token = post(&running, "encrypt", &json!({"text": "a"}))["token"].clone();
    let token = token.as_str().unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let with = |at: usize, part: &str| {
        let mut parts = parts.clone();
        parts[at] = part;
        json!(parts.join("."))
    };
    let mut told = Vec::new();
    for token in [
        json!(""),
        json!("a.b.c"),
        json!({}),
        with(0, "e30"),
        with(1, "AAAA"),
        with(3, "AAAA"),
        with(4, "AAAAAAAAAAAAAAAAAAAAAA"),
    ] {
        for what in ["decrypt", "rewrap"] {
            told.push(refused(&running, what, &json!({"token": token}), 422, "not_decrypted"));
        }
    }
    assert!(told.windows(2).all(|two| two[0] == two[1]), "{told:?}");
}

#[test]
fn encrypting_again_keeps_content_headers_and_form_and_shows_nothing() {
    let running = running();
    for serialization in ["compact", "flattened", "general"] {
        let mut body = json!({"text": "the plaintext", "serialization": serialization,
            "typ": "note", "cty": "x", "apu": "YQ", "apv": "Yg"});
        if serialization != "compact" {
            body["aad"] = json!("YWFk");
        }
        let old = post(&running, "encrypt", &body)["token"].clone();
        let answer = post(&running, "rewrap", &json!({"token": old}));
        assert_eq!((&answer["from"]["alias"], &answer["alias"]), (&json!("aes"), &json!("aes")));
        let new = &answer["token"];
        assert!(*new != old && !answer.to_string().contains("plaintext"), "{answer}");
        assert_eq!(new.get("aad"), old.get("aad"));
        assert_eq!(new.get("recipients").is_some(), serialization == "general");
        let body = json!({"token": new, "as": "text", "header": true});
        let opened = post(&running, "decrypt", &body);
        let header = &opened["header"];
        assert_eq!(opened["text"], json!("the plaintext"));
        let kept = [&header["typ"], &header["cty"], &header["apu"], &header["apv"]];
        assert_eq!(kept, [&json!("note"), &json!("x"), &json!("YQ"), &json!("Yg")]);
    }
    let old = post(&running, "encrypt", &json!({"text": "a"}))["token"].clone();
    let body = json!({"token": old, "alg": "RSA-OAEP"});
    refused(&running, "rewrap", &body, 400, "algorithm_not_allowed");
}
