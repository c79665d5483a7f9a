//! Health, readiness and figures.

use claviger::access::Right;
use serde_json::{Value, json};

use super::process::{Home, PLAIN, Served};
use super::running::{Running, granting};
use super::shop::Shop;

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

/// Nobody runs `claviger rotate --due`.
#[test]
fn a_schedule_that_nobody_follows_is_not_ready() {
    let schedule =
        format!("[rotation.\"{LABEL}\"]\nperiod = \"30d\"\nalias = \"es256-{{date}}\"\n");
    const DAY: u64 = 86_400;
    let shop = Shop::with(&["metrics", "stage", "undo"], &schedule);
    let ready = || shop.running().get("/readyz", None);
    let overdue = r#"claviger_not_ready{reason="rotation_overdue"} 1"#;
    let told = || shop.running().get("/metrics", KEY).1.lines().any(|line| line == overdue);
    assert_eq!((ready().0, told()), (200, false));
    // No command has written down yet what stands there.
    shop.wait(DAY);
    assert_eq!((ready().0, told()), (200, false));
    shop.wait(3_600);
    let (status, text) = ready();
    assert_eq!((status, told()), (503, true), "{text}");
    assert!(text.contains("rotation_overdue"), "{text}");
    shop.done(LABEL, "stage", &json!({"alias": "c"}));
    shop.wait(60);
    assert_eq!((ready().0, told()), (200, false));
    // It was promoted by nobody when it was due.
    shop.wait(31 * DAY);
    assert_eq!((ready().0, told()), (503, true));
}

#[test]
fn the_figures_of_a_password_have_no_kid_from_which_it_could_be_guessed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("files")).unwrap();
    std::fs::write(folder.path().join("files/app.password"), "hunter2").unwrap();
    let more = "[stores.files]\nkind = \"volume\"\ndirectory = \"files\"\npermissions = \"ignore\"\n\
                [labels.\"app.password\"]\nuse = \"secret\"\n";
    let shop = Shop::in_folder(folder, &["metrics"], more);
    let (status, text) = shop.running().get("/metrics", KEY);
    assert_eq!(status, 200, "{text}");
    let keys = shop.service.keyring().label("app.password").unwrap().keys().unwrap();
    let of_key = |line: &&str| line.contains("label=\"app.password\"");
    let lines: Vec<&str> = text.lines().filter(of_key).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("kid=\"\"")), "{lines:?}");
    assert!(!text.contains(&keys.active().kid));
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

#[test]
fn names_of_callers_own_invention_are_no_series_though_they_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy("keystores/default.p12", folder.path().join("saml.p12")).unwrap();
    std::fs::copy("keystores/storepass.txt", folder.path().join("pass")).unwrap();
    let saml = "[stores.saml]\nkind = \"keystore\"\npath = \"saml.p12\"\nstore_password = { file = \"pass\" }\n\n\
        [stores.saml.mappings]\n\
        \"am.default.applications.federation.entity.providers.saml2.idp.signing\" = [\"rsa\"]\n";
    let shop = Shop::in_folder(folder, &["read", "metrics"], saml);
    // A label with an identifier falls back, whatever the identifier is.
    let label = |identifier: &str| {
        format!("am.applications.federation.entity.providers.saml2.{identifier}.signing")
    };
    for at in 0..20 {
        let path = format!("/v1/labels/{}?realm=invented{at}", label(&format!("invented{at}")));
        assert_eq!(shop.running().get(&path, KEY).0, 200, "{path}");
    }
    let (_, text) = shop.running().get("/metrics", KEY);
    assert!(!text.contains("invented"), "{text}");
    let counted =
        text.lines().find(|line| line.contains("saml2.idp.signing\",realm=\"\",outcome=\"ok\""));
    assert!(counted.is_some_and(|line| line.ends_with(" 20")), "{text}");
}

/// Whoever shows a token has one answer; who runs the service must be able to find out.
#[test]
fn the_log_says_why_a_token_is_refused_where_it_is_asked_to() {
    let home = Home::new(PLAIN);
    let grant = "\n[[grants]]\ncallers = [\"anybody\"]\nrights = [\"verify\", \"oidc-open\"]\n\
        labels = [\"*\"]\n";
    let mapped = format!("\"{LABEL}\" = ");
    let stateless = "\"am.services.oauth2.stateless.signing.ES256\" = [\"es256-a\"]\n";
    let text = std::fs::read_to_string(home.config()).unwrap();
    let text = text.replace(&mapped, &format!("{stateless}{mapped}")) + grant;
    std::fs::write(home.config(), text).unwrap();
    let canary = "CANARYcanary0123456789";
    let token = format!("eyJhbGciOiJub25lIn0.{canary}.{canary}");
    let refuse = |served: &Served, path: &str, id: &str, body: &Value| {
        let url = format!("http://{}/v1/{path}", served.address());
        let id = format!("x-request-id: {id}");
        home.curl(&["--header", &id, "--json", &body.to_string(), &url])
    };
    let ask = |served: &Served| {
        let verify = format!("labels/{LABEL}/verify");
        let one = refuse(served, &verify, "one", &json!({ "token": token }));
        let batch = json!({ "items": [{ "token": token }] });
        let two = refuse(served, &format!("{verify}/batch"), "two", &batch);
        let client = json!({ "client_id": "shop", "id_token_signed_response_alg": "ES256" });
        let hint = json!({ "issuer": "https://i", "client": client, "token": token });
        let three = refuse(served, "oidc/id-token/verify", "three", &hint);
        let asked = json!({ "issuer": "https://i", "token": token, "protection": ["ES256"] });
        let four = refuse(served, "oidc/access-token/introspect", "four", &asked);
        [one, two, three, four]
    };
    let mut command = home.command();
    command.arg("-v");
    let mut talking = Served::start(command);
    let told = ask(&talking);
    assert_eq!(told[3], r#"{"active":false}"#);
    for (id, code) in [
        ("one", "not_verified"),
        ("two", "not_verified"),
        ("three", "token_refused"),
        ("four", "token_refused"),
    ] {
        let line = talking.wait_for(&format!("request {id}: {code}: "));
        assert!(!line.ends_with(": ") && !line.contains(canary), "{line}");
    }
    assert!(!talking.said(canary) && !talking.said(&token));
    let mut silent = home.serve();
    assert_eq!(ask(&silent), told);
    silent.signal("TERM");
    assert!(silent.ended().success());
    assert!(!silent.said("request one"));
}
