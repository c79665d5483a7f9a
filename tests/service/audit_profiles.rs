//! Audit lines and figures of the profiles: each names the key that served, and nothing that came with a message.

use std::cell::RefCell;

use serde_json::{Value, json};

use crate::audit::Lines;
use crate::shop::{ES256, KEY, Shop, jwk};

const ISSUER: &str = "https://op.example";
const SESSION: &str = "am.global.services.session.clientbased.encryption.AES";
const AUTHID: &str = "am.authn.authid.signing.HMAC";
const ACCESS: &str = "am.services.oauth2.stateless.signing.ES256";
const SEALED_ACCESS: &str = "am.services.oauth2.stateless.token.encryption";
const PARTY: &str = "am.services.oauth2.oidc.rp.jwt.authenticity.signing";
const PARTY_OPENS: &str = "am.services.oauth2.oidc.rp.idtoken.encryption";
const AUTHENTICITY: &str = "am.services.oauth2.jwt.authenticity.signing";
const IDP: &str = "am.default.applications.federation.entity.providers.saml2.idp.signing";
const SP: &str = "am.default.applications.federation.entity.providers.saml2.sp.signing";
const SP_OPENS: &str = "am.default.applications.federation.entity.providers.saml2.sp.encryption";
const METADATA: &str = "am.services.saml2.metadata.signing.RSA";

const RESPONSE: &str = r#"<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_r1" Version="2.0" IssueInstant="2027-01-15T08:00:00Z"><saml:Issuer>https://idp.example</saml:Issuer><saml:Assertion ID="_a1" Version="2.0" IssueInstant="2027-01-15T08:00:00Z"><saml:Issuer>https://idp.example</saml:Issuer><saml:Subject><saml:NameID>alice</saml:NameID></saml:Subject></saml:Assertion></samlp:Response>"#;

/// A service with keys for every profile, and its audit lines as they come.
struct Watched {
    shop: Shop,
    lines: RefCell<Lines>,
}

impl Watched {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lines = Lines::of(&folder.path().join("audit.log"));
        let keys = [("k", "aes"), ("h", "hmac"), ("o", "ec"), ("p", "ec"), ("u", "aes")];
        let keys: Vec<String> = keys.iter().map(|(alias, kind)| jwk(alias, kind)).collect();
        let keys = format!("{{\"keys\":[{}]}}", keys.join(","));
        std::fs::write(folder.path().join("more.jwks"), keys).unwrap();
        std::fs::copy("keystores/default.p12", folder.path().join("saml.p12")).unwrap();
        std::fs::copy("keystores/storepass.txt", folder.path().join("pass")).unwrap();
        // Keys that come with a message are of no store, whatever a store of ours is called.
        let more = format!(
            "[stores.peer]\nkind = \"keystore\"\npath = \"more.jwks\"\nintegrity = \"none\"\n\
             [stores.peer.mappings]\n\"{SESSION}\" = [\"k\"]\n\"{AUTHID}\" = [\"h\"]\n\
             \"{ACCESS}\" = [\"o\"]\n\"{PARTY}\" = [\"p\"]\n\"{SEALED_ACCESS}\" = [\"u\"]\n\
             \"{AUTHENTICITY}\" = [\"h\"]\n\
             [stores.saml]\nkind = \"keystore\"\npath = \"saml.p12\"\n\
             store_password = {{ file = \"pass\" }}\n\
             [stores.saml.mappings]\n\"{IDP}\" = [\"rsa\"]\n\"{SP}\" = [\"rsa\"]\n\
             \"{SP_OPENS}\" = [\"rsa\"]\n\"{METADATA}\" = [\"rsa\"]\n\"{PARTY_OPENS}\" = [\"rsa\"]\n\
             [sessions]\nsigning = []\nencryption = [\"AES\"]\n\
             [service]\nplain_http = true\n\
             [service.audit]\nto = \"audit.log\"\nuses = \"full\"\n"
        );
        let rights = [
            "session-seal",
            "session-open",
            "token-issue",
            "token-open",
            "oidc-issue",
            "oidc-open",
            "saml-sign",
            "saml-open",
            "keys",
            "metrics",
        ];
        Self { shop: Shop::in_folder(folder, &rights, &more), lines: RefCell::new(lines) }
    }

    /// The answer of a request that is granted, and its line.
    fn asked(&self, path: &str, body: &Value) -> (Value, Value) {
        let (status, answer) = self.shop.running().post(&format!("/v1/{path}"), KEY, body);
        assert_eq!(status, 200, "{path}: {answer}");
        let line = self.lines.borrow_mut().next(1).remove(0);
        assert_eq!((&line["event"], &line["outcome"]), (&json!("use"), &json!("ok")), "{line}");
        (answer, line)
    }

    /// The same of one whose line names the key of a label that acts.
    fn by(&self, label: &str, path: &str, body: &Value) -> Value {
        let (answer, line) = self.asked(path, body);
        let keys = self.shop.service.keyring().label(label).unwrap().keys().unwrap();
        let key = keys.active();
        let expected = (json!(key.alias.as_str()), json!(key.kid));
        assert_eq!((line["alias"].clone(), line["kid"].clone()), expected, "{path}: {line}");
        answer
    }

    /// The same of one whose line names none: what served is not ours, or nothing did.
    fn by_nobody(&self, path: &str, body: &Value) -> Value {
        let (answer, line) = self.asked(path, body);
        assert!(line.get("alias").is_none() && line.get("kid").is_none(), "{path}: {line}");
        answer
    }

    fn jwks(&self, path: &str) -> Value {
        serde_json::from_str(&self.shop.running().fetch(path, KEY, &[]).text).unwrap()
    }

    /// How often a key did something, by the figures.
    fn count(&self, label: &str, operation: &str) -> u64 {
        let figures = self.shop.running().get("/metrics", KEY).1;
        let has = |line: &&str| {
            line.starts_with("claviger_key_operations_total{")
                && line.contains(&format!("label=\"{label}\""))
                && line.contains(&format!("operation=\"{operation}\""))
        };
        let counts = figures.lines().filter(has);
        counts.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
    }
}

#[test]
fn sessions_and_tokens_of_profiles_name_the_key_on_both_sides() {
    let watched = Watched::new();
    let claims = json!({ "claims": { "sub": "alice" } });
    let token = |answer: &Value| json!({ "token": answer["token"] });
    let sealed = token(&watched.by(SESSION, "sessions/seal", &claims));
    watched.by(SESSION, "sessions/open", &sealed);
    let again = token(&watched.by(SESSION, "sessions/refresh", &sealed));
    watched.by(SESSION, "sessions/end", &again);
    let counts = [watched.count(SESSION, "encrypt"), watched.count(SESSION, "decrypt")];
    assert_eq!(counts, [2, 3]);

    let claims = json!({ "claims": { "otk": "a1" } });
    let sealed = token(&watched.by(AUTHID, "tokens/authid/seal", &claims));
    watched.by(AUTHID, "tokens/authid/open", &sealed);
    assert_eq!([watched.count(AUTHID, "sign"), watched.count(AUTHID, "verify")], [1, 1]);
}

#[test]
fn tokens_of_the_provider_name_its_key_and_those_of_a_client_only_ours() {
    let watched = Watched::new();
    let client = json!({ "client_id": "shop", "id_token_signed_response_alg": "ES256",
        "userinfo_signed_response_alg": "ES256", "request_object_signing_alg": "ES256",
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256", "jwks": watched.jwks("/v1/rp/jwks.json") });
    let provider = watched.jwks("/.well-known/jwks.json");
    let make = |more: Value| with(json!({ "issuer": ISSUER, "client": client }), more);
    let claims = || make(json!({ "claims": { "sub": "alice" } }));
    let show = |answer: &Value, more: Value| with(make(more), json!({ "token": answer["token"] }));

    let made = watched.by(ES256, "oidc/id-token/issue", &claims());
    watched.by(ES256, "oidc/id-token/verify", &show(&made, json!({})));
    let as_client = json!({ "as_client": true, "provider_jwks": provider });
    watched.by_nobody("oidc/id-token/verify", &show(&made, as_client));
    let made = watched.by(ES256, "oidc/logout-token/issue", &claims());
    let jwks = || json!({ "provider_jwks": provider });
    watched.by_nobody("oidc/logout-token/verify", &show(&made, jwks()));
    let made = watched.by(ES256, "oidc/userinfo/issue", &claims());
    let about = with(jwks(), json!({ "subject": "alice" }));
    watched.by_nobody("oidc/userinfo/open", &show(&made, about));
    assert_eq!([watched.count(ES256, "sign"), watched.count(ES256, "verify")], [3, 1]);

    for (label, protection) in [(ACCESS, "ES256"), (SEALED_ACCESS, "encrypted")] {
        let how = || json!({ "protection": [protection] });
        let access = watched.by(label, "oidc/access-token/issue", &with(claims(), how()));
        let shown = json!({ "issuer": ISSUER, "token": access["token"] });
        watched.by(label, "oidc/access-token/verify", &with(shown.clone(), how()));
        watched.by(label, "oidc/access-token/introspect", &with(shown, how()));
        let refresh = watched.by(label, "oidc/refresh-token/issue", &with(claims(), how()));
        watched.by(label, "oidc/refresh-token/verify", &show(&refresh, how()));
        let (makes, opens) =
            if label == ACCESS { ("sign", "verify") } else { ("encrypt", "decrypt") };
        assert_eq!([watched.count(label, makes), watched.count(label, opens)], [2, 3]);
    }
    let strange = json!({ "issuer": ISSUER, "token": "x", "protection": ["ES256"] });
    watched.by_nobody("oidc/access-token/introspect", &strange);

    let scope = make(json!({ "claims": { "scope": "openid" } }));
    let made = watched.by(PARTY, "oidc/request-object/issue", &scope);
    watched.by_nobody("oidc/request-object/verify", &show(&made, json!({})));
    let made = watched.by(PARTY, "oidc/client-assertion/issue", &make(json!({})));
    watched.by_nobody("oidc/client-assertion/verify", &show(&made, json!({})));
    watched.by_nobody("oidc/subject", &make(json!({ "account": "alice" })));
    assert_eq!(watched.count(PARTY, "sign"), 2);
}

#[test]
fn what_only_our_key_could_decrypt_names_it_though_another_signed() {
    let watched = Watched::new();
    let client = json!({ "client_id": "shop", "id_token_signed_response_alg": "ES256",
        "id_token_encrypted_response_alg": "RSA-OAEP-256",
        "userinfo_encrypted_response_alg": "RSA-OAEP-256",
        "jwks": watched.jwks("/v1/rp/jwks.json") });
    let provider = watched.jwks("/.well-known/jwks.json");
    let body = json!({ "issuer": ISSUER, "client": client, "claims": { "sub": "alice" } });
    let made = watched.by(ES256, "oidc/id-token/issue", &body);
    let shown = json!({ "issuer": ISSUER, "client": client, "token": made["token"],
        "as_client": true, "provider_jwks": provider });
    watched.by(PARTY_OPENS, "oidc/id-token/verify", &shown);
    // A response that is encrypted to the client alone: no key of ours made it.
    let made = watched.by_nobody("oidc/userinfo/issue", &body);
    let shown = json!({ "issuer": ISSUER, "client": client, "token": made["token"],
        "subject": "alice" });
    watched.by(PARTY_OPENS, "oidc/userinfo/open", &shown);
}

#[test]
fn a_secret_that_came_with_a_registration_leaves_no_trace() {
    let watched = Watched::new();
    let client = json!({ "client_id": "shop", "id_token_signed_response_alg": "HS256",
        "client_secret": "0123456789abcdef0123456789abcdef" });
    let body = json!({ "issuer": ISSUER, "client": client, "claims": { "sub": "alice" } });
    let made = watched.by_nobody("oidc/id-token/issue", &body);
    let shown = json!({ "issuer": ISSUER, "client": client, "token": made["token"] });
    let found = watched.by_nobody("oidc/id-token/verify", &shown);
    let log = std::fs::read_to_string(watched.shop.path().join("audit.log")).unwrap();
    // The answer tells the caller, who has the secret; a line is read by others.
    for trace in [&found["kid"], &client["client_secret"]] {
        assert!(!log.contains(trace.as_str().unwrap()), "{trace} in {log}");
    }
}

#[test]
fn saml_names_alias_and_kid_of_our_keys_and_none_of_a_peer() {
    let watched = Watched::new();
    let metadata = |role: &str, sign: bool| {
        let service =
            if role == "idp" { "SingleSignOnService" } else { "AssertionConsumerService" };
        let endpoint = json!({ "service": service, "binding": "HTTP-POST",
            "location": format!("https://{role}.example/saml") });
        json!({ "role": role, "entity_id": format!("https://{role}.example"),
            "endpoints": [endpoint], "sign": sign })
    };
    let idp = watched.by(METADATA, "saml/metadata", &metadata("idp", true));
    let sp = watched.by_nobody("saml/metadata", &metadata("sp", false));
    let (idp, sp) = (json!({ "metadata": idp["xml"] }), json!({ "metadata": sp["xml"] }));
    let body = json!({ "role": "idp", "xml": RESPONSE, "what": "assertion" });
    let signed = watched.by(IDP, "saml/sign", &body);
    let believed = json!({ "peer": idp, "xml": signed["xml"], "expect": "assertion" });
    watched.by_nobody("saml/verify", &believed);
    let body = json!({ "peer": sp, "xml": signed["xml"] });
    let encrypted = watched.by_nobody("saml/encrypt", &body);
    let body = json!({ "role": "sp", "xml": encrypted["xml"] });
    watched.by(SP_OPENS, "saml/decrypt", &body);
    let body = json!({ "role": "idp", "xml": RESPONSE, "response": true });
    let query = watched.by(IDP, "saml/redirect/sign", &body);
    let body = json!({ "peer": idp, "query": query["query"] });
    watched.by_nobody("saml/redirect/verify", &body);
    let counts = [watched.count(IDP, "sign"), watched.count(SP_OPENS, "decrypt")];
    assert_eq!((counts, watched.count(METADATA, "sign")), ([2, 1], 1));
}

fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}
