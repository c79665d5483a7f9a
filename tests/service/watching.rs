//! Health, readiness and figures.

use claviger::access::Right;
use serde_json::json;

use super::running::{Running, granting};

const LABEL: &str = "am.services.oauth2.oidc.signing.ES256";
const KEY: Option<&str> = Some("the key of portal");

#[test]
fn figures_tell_requests_keys_and_the_snapshot_but_no_secret() {
    let running = Running::new(granting(&[Right::Sign, Right::Metrics]));
    let sign = format!("/v1/labels/{LABEL}/sign");
    let body = json!({ "claims": { "sub": "a subject of nobody" } });
    let (status, signed) = running.post(&sign, KEY, &body);
    assert_eq!(status, 200, "{signed}");
    assert_eq!(running.post(&sign, None, &body).0, 401);
    // A label of a caller's own invention is no series.
    let invented = "/v1/labels/am.services.oauth2.oidc.invented/sign";
    assert_eq!(running.post(invented, KEY, &body).0, 404);
    let (status, text) = running.get("/metrics", KEY);
    assert_eq!(status, 200, "{text}");
    let route = r#"route="POST /v1/labels/{label}/sign""#;
    for line in [
        format!(
            r#"claviger_requests_total{{{route},label="{LABEL}",realm="",outcome="ok",status="200"}} 1"#
        ),
        format!(
            r#"claviger_requests_total{{{route},label="",realm="",outcome="unauthenticated",status="401"}} 1"#
        ),
        format!(
            r#"claviger_requests_total{{{route},label="",realm="",outcome="unknown_label",status="404"}} 1"#
        ),
        format!("claviger_request_duration_seconds_count{{{route}}} 3"),
        "claviger_snapshot_generation 1".to_owned(),
        "claviger_reload_is_refused 0".to_owned(),
        r#"claviger_not_ready{reason="rotation_overdue"} 0"#.to_owned(),
        "claviger_requests_in_flight 1".to_owned(),
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
    let of_key = |line: &str| {
        line.starts_with("claviger_key_operations_total{") && line.contains(r#"alias="es256-a""#)
    };
    let signed_once = |line: &str| of_key(line) && line.ends_with(r#"operation="sign"} 1"#);
    assert!(text.lines().any(signed_once), "{text}");
    assert!(text.ends_with("# EOF\n"));
    for secret in ["the key of portal", "a subject of nobody", signed["token"].as_str().unwrap()] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(!text.contains("invented"), "{text}");
}

#[test]
fn figures_are_for_those_who_may_read_them_and_health_for_everybody() {
    let running = Running::new(granting(&[Right::Sign]));
    assert_eq!(running.get("/metrics", KEY).0, 403);
    assert_eq!(running.get("/metrics", None).0, 401);
    assert_eq!(running.get("/healthz", None), (200, "ok\n".to_owned()));
    let (status, text) = running.get("/readyz", None);
    assert_eq!((status, text.as_str()), (200, r#"{"ready":true,"reasons":[]}"#));
}
