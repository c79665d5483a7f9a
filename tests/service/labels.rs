//! Operations by label: who is let in, and what is answered.

use claviger::access::{Access, Caller, Credential, Grant, Right};
use claviger::crypto::sha256;
use serde_json::json;

use super::running::Running;

const LABEL: &str = "am.services.oauth2.oidc.signing.ES256";

fn portal() -> Access {
    let name: claviger::label::CallerName = "portal".parse().unwrap();
    let caller =
        Caller { name: name.clone(), credential: Credential::ApiKey(sha256(b"the key of portal")) };
    let grant = Grant {
        callers: vec![name],
        rights: vec![Right::Sign, Right::Verify],
        labels: vec!["am.services.oauth2.oidc.*".parse().unwrap()],
        realms: vec!["/".parse().unwrap()],
    };
    Access::new(vec![caller], vec![grant])
}

#[test]
fn a_caller_signs_and_verifies_with_the_labels_it_is_granted() {
    let running = Running::new(portal());
    let key = Some("the key of portal");
    let path = |what: &str| format!("/v1/labels/{LABEL}/{what}");
    let (status, signed) =
        running.post(&path("sign"), key, &json!({ "claims": { "sub": "alice" } }));
    assert_eq!((status, &signed["alias"]), (200, &json!("es256-a")), "{signed}");
    let token = json!({ "token": signed["token"] });
    let (status, verified) = running.post(&path("verify"), key, &token);
    assert_eq!((status, &verified["claims"]["sub"]), (200, &json!("alice")), "{verified}");
}

#[test]
fn everybody_else_is_told_no_with_a_code() {
    let running = Running::new(portal());
    let key = Some("the key of portal");
    let claims = json!({ "claims": {} });
    let sign = format!("/v1/labels/{LABEL}/sign");
    for (path, key, body, status, code) in [
        (sign.as_str(), None, &claims, 401, "unauthenticated"),
        (&sign, Some("another key"), &claims, 401, "unauthenticated"),
        ("/v1/labels/am.authn.authid.signing.HMAC/sign", key, &claims, 403, "forbidden"),
        ("/v1/labels/no.such.label/sign", key, &claims, 403, "forbidden"),
        (&format!("{sign}?realm=alpha"), key, &claims, 403, "forbidden"),
        (&format!("{sign}?realm=../x"), key, &claims, 400, "usage"),
        ("/v1/labels/a..b/sign", key, &claims, 400, "usage"),
        ("/v1/labels/am.services.oauth2.oidc.none/sign", key, &claims, 404, "unknown_label"),
        (&sign, key, &json!({ "claim": {} }), 400, "malformed"),
        (&sign, key, &json!({ "claims": {}, "alg": "HS256" }), 400, "algorithm_not_allowed"),
        ("/v1/nothing", key, &claims, 404, "unknown_route"),
        ("/healthz", key, &claims, 405, "method_not_allowed"),
        (
            &format!("/v1/labels/{LABEL}/verify"),
            key,
            &json!({"token": "a.b.c"}),
            422,
            "not_verified",
        ),
    ] {
        let (got, problem) = running.post(path, key, body);
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{path} {key:?}: {problem}");
        assert_eq!(problem["status"], json!(status));
    }
}
