//! A request is of one moment: what is reloaded between its head and its body counts from the next request on.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::audit::Lines;
use super::shop::{ES256, KEY, Shop};

const MORE: &str = "[stores.more]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\n\
    [stores.more.mappings]\n\"am.global.services.session.clientbased.encryption.AES\" = [\"s\"]\n\
    \"am.authn.trees.transientstate.encryption\" = [\"t\"]\n\n\
    [stores.saml]\nkind = \"keystore\"\npath = \"saml.p12\"\nstore_password = { file = \"pass\" }\n\n\
    [stores.saml.mappings]\n\
    \"am.default.applications.federation.entity.providers.saml2.idp.signing\" = [\"rsa\"]\n\n\
    [sessions]\nsigning = []\nencryption = [\"AES\"]\n";

const RESPONSE: &str = r#"<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_r1" Version="2.0" IssueInstant="2027-01-15T08:00:00Z"/>"#;

fn shop() -> Shop {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy("keystores/default.p12", folder.path().join("saml.p12")).unwrap();
    std::fs::copy("keystores/storepass.txt", folder.path().join("pass")).unwrap();
    let rights = ["sign", "session-seal", "token-issue", "oidc-issue", "saml-sign"];
    Shop::in_folder(folder, &rights, MORE)
}

/// The same configuration with nothing behind any label.
fn emptied(text: &str) -> String {
    let kept = text.lines().filter(|line| !(line.starts_with('"') && line.contains("\" = [\"")));
    kept.map(|line| format!("{line}\n")).collect()
}

/// A request whose caller was let in, and whose body is awaited.
struct Begun {
    stream: TcpStream,
    body: String,
}

impl Begun {
    fn new(shop: &Shop, path: &str, body: &Value) -> Self {
        let body = body.to_string();
        let mut stream = TcpStream::connect(shop.running().address).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
             expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
            KEY.unwrap(),
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut goes_on = [0; 25];
        stream.read_exact(&mut goes_on).unwrap();
        assert_eq!(&goes_on, b"HTTP/1.1 100 Continue\r\n\r\n", "{path}");
        Self { stream, body }
    }

    /// Status and body.
    fn end(mut self) -> (u16, Value) {
        self.stream.write_all(self.body.as_bytes()).unwrap();
        let mut text = String::new();
        self.stream.read_to_string(&mut text).unwrap();
        let status = text.strip_prefix("HTTP/1.1 ").unwrap().get(..3).unwrap().parse().unwrap();
        (status, serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap())
    }
}

#[test]
fn what_is_taken_away_between_head_and_body_still_serves_that_request_and_no_other() {
    let shop = shop();
    let text = shop.text();
    let client = json!({"client_id": "shop", "id_token_signed_response_alg": "ES256"});
    let endpoint = json!({"service": "SingleSignOnService", "binding": "HTTP-POST",
        "location": "https://idp.example"});
    let sign = format!("/v1/labels/{ES256}/sign");
    for (path, body) in [
        (sign.as_str(), json!({"claims": {}})),
        ("/v1/sessions/seal", json!({"claims": {}})),
        ("/v1/tokens/tree-state/seal", json!({"claims": {}})),
        (
            "/v1/oidc/id-token/issue",
            json!({"issuer": "https://op.example", "client": client, "claims": {"sub": "a"}}),
        ),
        ("/v1/saml/sign", json!({"role": "idp", "xml": RESPONSE})),
        ("/v1/saml/redirect/sign", json!({"role": "idp", "xml": RESPONSE, "response": true})),
        (
            "/v1/saml/metadata",
            json!({"role": "idp", "entity_id": "https://idp.example", "endpoints": [endpoint]}),
        ),
    ] {
        let begun = Begun::new(&shop, path, &body);
        shop.write(&emptied(&text));
        shop.service.keyring().reload().unwrap();
        let (status, answer) = begun.end();
        assert_eq!(status, 200, "{path}: {answer}");
        let (status, answer) = Begun::new(&shop, path, &body).end();
        assert_eq!((status, &answer["code"]), (404, &json!("unknown_label")), "{path}: {answer}");
        shop.write(&text);
        shop.service.keyring().reload().unwrap();
    }
}

#[test]
fn rights_and_callers_are_those_of_the_head() {
    let shop = shop();
    let text = shop.text();
    let body = json!({"claims": {}});
    let begun = Begun::new(&shop, "/v1/sessions/seal", &body);
    shop.write(&text.replace("rights = [\"session-seal\"]", "rights = [\"session-open\"]"));
    shop.service.keyring().reload().unwrap();
    assert_eq!(begun.end().0, 200);
    assert_eq!(shop.running().post("/v1/sessions/seal", KEY, &body).0, 403);
}

#[test]
fn the_audit_line_is_of_the_moment_of_its_request_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = Lines::of(&folder.path().join("audit.log"));
    let audit =
        "[service]\nplain_http = true\n[service.audit]\nto = \"audit.log\"\nuses = \"full\"\n";
    let shop = Shop::in_folder(folder, &["sign"], audit);
    let request = Begun::new(&shop, &format!("/v1/labels/{ES256}/sign"), &json!({"claims": {}}));
    shop.write(&emptied(&shop.text()));
    shop.service.keyring().reload().unwrap();
    assert_eq!(request.end().0, 200);
    let found = lines.next(2);
    assert_eq!((&found[0]["event"], &found[1]["event"]), (&json!("reload"), &json!("use")));
    assert_eq!((&found[1]["label"], &found[1]["alias"]), (&json!(ES256), &json!("a")));
}
