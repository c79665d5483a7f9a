//! Signatures by label: every form of input and token, claims, bare signatures.

use claviger::access::Right;
use serde_json::{Value, json};

use super::running::{Running, granting};

const LABEL: &str = "/v1/labels/am.services.oauth2.oidc.signing.ES256";
const KEY: Option<&str> = Some("the key of portal");

fn running() -> Running {
    Running::new(granting(&[Right::Sign, Right::Verify]))
}

fn post(running: &Running, what: &str, body: &Value) -> Value {
    let (status, answer) = running.post(&format!("{LABEL}/{what}"), KEY, body);
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

fn refused(running: &Running, what: &str, body: &Value, status: u16, code: &str) {
    let (got, problem) = running.post(&format!("{LABEL}/{what}"), KEY, body);
    assert_eq!((got, &problem["code"]), (status, &json!(code)), "{body}: {problem}");
}

#[test]
fn what_is_signed_comes_back_in_the_form_that_is_asked_for() {
    let running = running();
    for (input, form, expected) in [
        (json!({"claims": {"sub": "ü", "n": 1e2}}), "claims", json!({"sub": "ü", "n": 1e2})),
        (json!({"payload": "AP8"}), "payload", json!("AP8")),
        (json!({"text": "a\"b"}), "text", json!("a\"b")),
        (json!({"text": "{}"}), "claims", json!({})),
        (json!({"claims": {}}), "payload", json!("e30")),
    ] {
        let token = post(&running, "sign", &input)["token"].clone();
        let answer = post(&running, "verify", &json!({"token": token, "as": form}));
        assert_eq!(answer[form], expected, "{answer}");
        assert_eq!((&answer["alias"], &answer["alg"]), (&json!("es256-a"), &json!("ES256")));
    }
}

#[test]
fn claims_are_signed_octet_for_octet() {
    let running = running();
    let body = r#"{"claims": {"b" : 1.0,  "a":"\u00e9"}}"#;
    let (status, answer) = running.post_text(&format!("{LABEL}/sign"), KEY, body);
    assert_eq!(status, 200, "{answer}");
    let answer = post(&running, "verify", &json!({"token": answer["token"], "as": "text"}));
    assert_eq!(answer["text"], json!(r#"{"b" : 1.0,  "a":"\u00e9"}"#));
}

#[test]
fn claims_that_name_a_member_twice_are_neither_signed_nor_given_out() {
    let running = running();
    for twice in [r#"{"sub":"a","sub":"b"}"#, r#"{"x":{"sub":"a","\u0073ub":"b"}}"#] {
        let body = format!("{{\"claims\":{twice}}}");
        let (status, problem) = running.post_text(&format!("{LABEL}/sign"), KEY, &body);
        assert_eq!((status, &problem["code"]), (400, &json!("malformed")), "{problem}");
        // As somebody else may have made it.
        let token = post(&running, "sign", &json!({ "text": twice }))["token"].clone();
        refused(&running, "verify", &json!({ "token": token }), 422, "claims_rejected");
        let as_text = post(&running, "verify", &json!({ "token": token, "as": "text" }));
        assert_eq!(as_text["text"], json!(twice));
    }
}

#[test]
fn there_is_one_input_and_it_is_of_its_form() {
    let running = running();
    for (body, code) in [
        (json!({}), "usage"),
        (json!({"claims": {}, "text": ""}), "usage"),
        (json!({"payload": "", "text": ""}), "usage"),
        (json!({"claims": []}), "malformed"),
        (json!({"payload": "AA=="}), "malformed"),
        (json!({"payload": 1}), "malformed"),
        (json!({"claims": {}, "serialization": "fancy"}), "malformed"),
        (json!({"claims": {}, "unencoded": true}), "usage"),
    ] {
        refused(&running, "sign", &body, 400, code);
    }
    let token = post(&running, "sign", &json!({"payload": "AP8"}))["token"].clone();
    for form in ["claims", "text"] {
        refused(&running, "verify", &json!({"token": token, "as": form}), 422, "claims_rejected");
    }
}

#[test]
fn every_serialization_and_detached_payloads_verify() {
    let running = running();
    for serialization in ["compact", "flattened", "general"] {
        for unencoded in [false, true] {
            let body = json!({"text": "a b", "serialization": serialization, "detached": true,
                "unencoded": unencoded, "typ": "note", "cty": "text/plain"});
            let token = post(&running, "sign", &body)["token"].clone();
            assert_eq!(token.is_object(), serialization != "compact", "{token}");
            let mut verify = json!({"token": token, "text": "a b", "as": "text", "typ": "note",
                "header": true});
            let answer = post(&running, "verify", &verify);
            assert_eq!(answer["header"]["cty"], json!("text/plain"), "{answer}");
            verify["text"] = json!("a  b");
            refused(&running, "verify", &verify, 422, "not_verified");
        }
        let body = json!({"text": "a b", "serialization": serialization});
        let token = post(&running, "sign", &body)["token"].clone();
        let answer = post(&running, "verify", &json!({"token": token, "as": "text"}));
        assert_eq!((&answer["text"], &answer["header"]), (&json!("a b"), &Value::Null));
    }
}

#[test]
fn claims_are_checked_where_that_is_asked_for() {
    let running = running();
    let claims = json!({"iss": "me", "aud": ["api"], "exp": 1, "sub": "alice"});
    let token = post(&running, "sign", &json!({"claims": claims}))["token"].clone();
    let all_is_well = json!({"issuer": "me", "audience": "api", "skew": 4_000_000_000_u32});
    for (checks, says) in [
        (json!(null), None),
        (all_is_well.clone(), None),
        (json!({}), Some("expired")),
        (json!({"issuer": "you", "skew": 4_000_000_000_u32}), Some("issuer")),
        (json!({"audience": "you", "skew": 4_000_000_000_u32}), Some("audience")),
        (json!({"require": ["jti"]}), Some("jti")),
    ] {
        let body = json!({"token": token, "checks": checks});
        let (status, answer) = running.post(&format!("{LABEL}/verify"), KEY, &body);
        match says {
            None => assert_eq!((status, &answer["claims"]), (200, &claims), "{checks}: {answer}"),
            Some(says) => {
                assert_eq!((status, &answer["code"]), (422, &json!("claims_rejected")));
                assert!(answer["detail"].as_str().unwrap().contains(says), "{answer}");
            }
        }
    }
    // Twice the same claim is one claim to one reader and another to the next.
    let token = post(&running, "sign", &json!({"text": r#"{"a":1,"a":2}"#}))["token"].clone();
    let body = json!({"token": token, "checks": {}});
    refused(&running, "verify", &body, 422, "claims_rejected");
}

#[test]
fn a_bare_signature_holds_for_its_message_alone() {
    let running = running();
    let made = post(&running, "raw/sign", &json!({"message": "AP8"}));
    assert_eq!((&made["alias"], &made["alg"]), (&json!("es256-a"), &json!("ES256")), "{made}");
    let mut body = json!({"signature": made["signature"], "message": "AP8"});
    assert_eq!(post(&running, "raw/verify", &body)["kid"], made["kid"]);
    body["message"] = json!("AP4");
    refused(&running, "raw/verify", &body, 422, "not_verified");
    body["message"] = json!("AP8");
    body["alg"] = json!("RS256");
    refused(&running, "raw/verify", &body, 400, "algorithm_not_allowed");
    refused(&running, "raw/sign", &json!({"message": "AA", "text": ""}), 400, "usage");
    refused(&running, "raw/sign", &json!({}), 400, "usage");
}
