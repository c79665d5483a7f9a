//! Tokens of OpenID Connect over HTTP: as the provider, as a client, with every kind of token.

use serde_json::{Value, json};

use super::running::Running;
use super::shop::{ES256, KEY, Shop, jwk};

const ISSUER: &str = "https://op.example";

/// The client's key stands behind the relying party's label as well: both sides are here.
const MAPPINGS: &str = "[stores.more]\nkind = \"keystore\"\npath = \"more.jwks\"\nintegrity = \"none\"\n\n\
    [stores.more.mappings]\n\"am.services.oauth2.oidc.rp.jwt.authenticity.signing\" = [\"h\"]\n\
    \"am.services.oauth2.stateless.signing.ES256\" = [\"h\"]\n";

fn shop(rights: &[&str]) -> Shop {
    Shop::with_key(rights, MAPPINGS, "more.jwks", "h", "ec")
}

fn post(shop: &Shop, what: &str, body: &Value) -> (u16, Value) {
    shop.running().post(&format!("/v1/oidc/{what}"), KEY, body)
}

fn done(shop: &Shop, what: &str, body: &Value) -> Value {
    let (status, answer) = post(shop, what, body);
    assert_eq!(status, 200, "{what} {body}: {answer}");
    answer
}

fn jwks(shop: &Shop, path: &str) -> Value {
    serde_json::from_str(&shop.running().fetch(path, KEY, &[]).text).unwrap()
}

fn client(more: Value) -> Value {
    let mut client = json!({"client_id": "shop", "id_token_signed_response_alg": "ES256",
        "userinfo_signed_response_alg": "ES256", "request_object_signing_alg": "ES256",
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256"});
    client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client
}

const ALL: [&str; 3] = ["oidc-issue", "oidc-open", "keys"];

#[test]
fn an_id_token_holds_at_the_provider_and_at_the_client() {
    let shop = shop(&ALL);
    let body = json!({"issuer": ISSUER, "client": client(json!({})), "code": "c-1",
        "claims": {"sub": "alice", "nonce": "n-1"}});
    let token = done(&shop, "id-token/issue", &body)["token"].clone();
    let mut ask = json!({"issuer": ISSUER, "client": client(json!({})), "token": token});
    let found = done(&shop, "id-token/verify", &ask);
    assert_eq!((&found["claims"]["sub"], &found["alias"]), (&json!("alice"), &json!("a")));
    ask["as_client"] = json!(true);
    ask["provider_jwks"] = jwks(&shop, "/.well-known/jwks.json");
    ask["code"] = json!("c-1");
    ask["nonce"] = json!("n-1");
    let found = done(&shop, "id-token/verify", &ask);
    assert_eq!(found["claims"]["aud"], json!("shop"), "{found}");
    let mut told = Vec::new();
    for (member, value) in [
        ("nonce", json!("n-2")),
        ("code", json!("c-2")),
        ("subject", json!("bob")),
        ("issuer", json!("https://other.example")),
        ("token", json!("a.b.c")),
        ("acr", json!(["gold"])),
    ] {
        let mut ask = ask.clone();
        ask[member] = value;
        told.push(post(&shop, "id-token/verify", &ask));
    }
    shop.wait(3_700);
    told.push(post(&shop, "id-token/verify", &ask));
    assert_eq!((told[0].0, &told[0].1["code"]), (422, &json!("token_refused")));
    assert!(told.windows(2).all(|two| two[0] == two[1]), "{told:?}");
    ask["accept_expired"] = json!(true);
    done(&shop, "id-token/verify", &ask);
}

#[test]
fn access_and_refresh_tokens_are_of_their_provider() {
    let shop = shop(&ALL);
    let body = json!({"issuer": ISSUER, "client": client(json!({})), "protection": ["ES256"],
        "claims": {"sub": "alice", "scope": "read write"}});
    let access = done(&shop, "access-token/issue", &body)["token"].clone();
    let refresh = done(&shop, "refresh-token/issue", &body)["token"].clone();
    let with = |token: &Value, more: Value| {
        let mut body = json!({"issuer": ISSUER, "protection": ["ES256"], "token": token});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let found = done(&shop, "access-token/verify", &with(&access, json!({"scopes": ["read"]})));
    assert_eq!((&found["claims"]["client_id"], &found["alias"]), (&json!("shop"), &json!("h")));
    for wrong in [json!({"scopes": ["admin"]}), json!({"client_id": "other"})] {
        assert_eq!(post(&shop, "access-token/verify", &with(&access, wrong)).0, 422);
    }
    assert_eq!(post(&shop, "access-token/verify", &with(&refresh, json!({}))).0, 422);
    let mine = json!({"client": client(json!({}))});
    done(&shop, "refresh-token/verify", &with(&refresh, mine));
    let other = json!({"client": client(json!({"client_id": "other"}))});
    assert_eq!(post(&shop, "refresh-token/verify", &with(&refresh, other)).0, 422);
    // What would be left out is refused, and so is what is no certificate.
    for (what, member, value) in [
        ("refresh-token/issue", "certificate", json!("AAAA")),
        ("refresh-token/issue", "audiences", json!(["https://api.example"])),
        ("access-token/issue", "certificate", json!("AAAA")),
    ] {
        let mut body = body.clone();
        body[member] = value;
        let (status, problem) = post(&shop, what, &body);
        assert_eq!(status, 400, "{what}: {problem}");
        assert!(problem.to_string().contains("certificate"), "{problem}");
    }
    let active = done(&shop, "access-token/introspect", &with(&access, json!({})));
    assert_eq!((&active["active"], &active["sub"]), (&json!(true), &json!("alice")));
    let none = done(&shop, "access-token/introspect", &with(&json!("x"), json!({})));
    assert_eq!(none, json!({"active": false}));
}

#[test]
fn what_clients_and_provider_tell_each_other_counts_once_where_it_must() {
    let shop = shop(&ALL);
    let client = client(json!({"jwks": jwks(&shop, "/v1/rp/jwks.json")}));
    let body = |claims: Value| json!({"issuer": ISSUER, "client": client, "claims": claims});
    let ask = |token: &Value| json!({"issuer": ISSUER, "client": client, "token": token});

    let request = done(&shop, "request-object/issue", &body(json!({"scope": "openid"})));
    let opened = done(&shop, "request-object/verify", &ask(&request["token"]));
    assert_eq!(opened["claims"]["scope"], json!("openid"));

    let assertion = json!({"issuer": ISSUER, "client": client});
    let assertion = done(&shop, "client-assertion/issue", &assertion)["token"].clone();
    done(&shop, "client-assertion/verify", &ask(&assertion));
    assert_eq!(post(&shop, "client-assertion/verify", &ask(&assertion)).0, 422);

    let logout = done(&shop, "logout-token/issue", &body(json!({"sub": "alice"})));
    let mut look = ask(&logout["token"]);
    look["provider_jwks"] = jwks(&shop, "/.well-known/jwks.json");
    done(&shop, "logout-token/verify", &look);
    assert_eq!(post(&shop, "logout-token/verify", &look).0, 422);

    let userinfo = done(&shop, "userinfo/issue", &body(json!({"sub": "alice", "name": "A"})));
    look["token"] = userinfo["token"].clone();
    look["subject"] = json!("alice");
    assert_eq!(done(&shop, "userinfo/open", &look)["claims"]["name"], json!("A"));
    look["subject"] = json!("bob");
    assert_eq!(post(&shop, "userinfo/open", &look).0, 422);

    let subject = json!({"issuer": ISSUER, "client": client, "account": "alice"});
    assert_eq!(done(&shop, "subject", &subject)["sub"], json!("alice"));
}

#[test]
fn a_used_assertion_stays_used_after_a_restart_and_in_every_process() {
    let shop = shop(&ALL);
    let beside = shop.another();
    let client = client(json!({"jwks": jwks(&shop, "/v1/rp/jwks.json")}));
    let issue = || {
        let body = json!({"issuer": ISSUER, "client": client});
        done(&shop, "client-assertion/issue", &body)["token"].clone()
    };
    let used = |running: &Running, token: &Value| {
        let ask = json!({"issuer": ISSUER, "client": client, "token": token});
        running.post("/v1/oidc/client-assertion/verify", KEY, &ask).0
    };
    let (first, second, third) = (issue(), issue(), issue());
    assert_eq!((used(shop.running(), &first), used(&beside, &first)), (200, 422));
    assert_eq!((used(&beside, &second), used(shop.running(), &second)), (200, 422));
    let restarted = shop.another();
    for token in [&first, &second] {
        assert_eq!(used(&restarted, token), 422);
    }
    assert_eq!((used(&restarted, &third), used(&beside, &third)), (200, 422));
    let kept = std::fs::read_to_string(shop.path().join("state/used-tokens")).unwrap();
    assert_eq!(kept.lines().count(), 3, "{kept}");
}

/// Who may open tokens in a realm writes the registration that they are believed by: it uses up none of another realm.
#[test]
fn what_counts_once_does_so_in_each_realm_and_no_longer_than_a_day() {
    let shop = shop(&ALL);
    let client = client(json!({"jwks": jwks(&shop, "/v1/rp/jwks.json")}));
    let assertion = json!({"issuer": ISSUER, "client": client, "lifetime": 200_000});
    let long = done(&shop, "client-assertion/issue", &assertion)["token"].clone();
    let assertion = json!({"issuer": ISSUER, "client": client});
    let token = done(&shop, "client-assertion/issue", &assertion)["token"].clone();
    let ask = json!({"issuer": ISSUER, "client": client, "token": token});
    for realm in ["", "?realm=alpha", "?realm=beta"] {
        let verify = format!("client-assertion/verify{realm}");
        assert_eq!([post(&shop, &verify, &ask).0, post(&shop, &verify, &ask).0], [200, 422]);
    }
    let mut ask =
        json!({"issuer": ISSUER, "client": client, "token": long, "max_lifetime": u64::MAX});
    let refused = post(&shop, "client-assertion/verify", &ask);
    assert_eq!((refused.0, &refused.1["code"]), (422, &json!("token_refused")));
    // As long as it may be where nobody says more.
    let sub = json!({"sub": "alice"});
    let logout = |lifetime| {
        let body = json!({"issuer": ISSUER, "client": client, "claims": sub, "lifetime": lifetime});
        done(&shop, "logout-token/issue", &body)["token"].clone()
    };
    ask["provider_jwks"] = jwks(&shop, "/.well-known/jwks.json");
    ask.as_object_mut().unwrap().remove("max_lifetime");
    for (lifetime, status) in [(120, 200), (7_200, 422), (200_000, 422)] {
        ask["token"] = logout(lifetime);
        assert_eq!(post(&shop, "logout-token/verify", &ask).0, status, "{lifetime}");
    }
    ask["token"] = logout(7_200);
    ask["max_lifetime"] = json!(7_200);
    done(&shop, "logout-token/verify", &ask);
}

#[test]
fn a_clients_secret_is_in_no_answer_and_mistakes_are_the_callers() {
    let shop = shop(&ALL);
    let secret = "0123456789abcdef0123456789abcdef-secret";
    let registration = json!({"client_id": "shop", "id_token_signed_response_alg": "HS256",
        "client_secret": secret});
    for body in [
        json!({"issuer": ISSUER, "client": registration, "claims": {}}),
        json!({"issuer": ISSUER, "client": registration, "claims": {"sub": "a", "iss": "b"}}),
        json!({"issuer": ISSUER, "client": {"client_secret": secret}, "claims": {"sub": "a"}}),
        json!({"issuer": ISSUER, "client": [secret], "claims": {"sub": "a"}}),
    ] {
        let (status, problem) = post(&shop, "id-token/issue", &body);
        assert_eq!(status, 400, "{problem}");
        assert!(!problem.to_string().contains("secret\""), "{problem}");
        assert!(!problem.to_string().contains(secret), "{problem}");
    }
    assert_eq!(shop.aliases(ES256), ["a", "b"]);
}

/// Whatever is wrong with keys in a body, it is the caller's to mend; with those of a label, the operator's.
#[test]
fn keys_that_are_unfit_are_whose_they_are() {
    let shop = shop(&ALL);
    let keys_of = |keys: &str| serde_json::from_str::<Value>(keys).unwrap();
    let encrypted = json!({"id_token_encrypted_response_alg": "RSA-OAEP-256"});
    let issue = |client: &Value| {
        let body = json!({"issuer": ISSUER, "client": client, "claims": {"sub": "alice"}});
        post(&shop, "id-token/issue", &body)
    };
    let hmac = json!({"client_id": "shop", "id_token_signed_response_alg": "HS256",
        "client_secret": "short"});
    let refused = |(status, problem): (u16, Value), why: &str| {
        assert_eq!((status, &problem["code"]), (400, &json!("malformed")), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
    };
    refused(issue(&hmac), "the client secret is shorter than the digest");
    for (jwks, why) in [
        (r#"{"keys":[]}"#, "no key that can be used"),
        (r#"{}"#, "no member `keys`"),
        (r#"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}"#, "no key"),
    ] {
        let mut with_jwks = client(encrypted.clone());
        with_jwks["jwks"] = keys_of(jwks);
        refused(issue(&with_jwks), why);
        let body = json!({"issuer": ISSUER, "client": client(json!({})), "token": "a.b.c",
            "as_client": true, "provider_jwks": keys_of(jwks)});
        refused(post(&shop, "id-token/verify", &body), "\"provider_jwks\": ");
        refused(post(&shop, "id-token/verify", &body), why);
    }
    for registration in [json!("shop"), json!([])] {
        refused(issue(&registration), "\"client\": ");
    }

    // A secret that the operator mapped.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("am.applications.oauth2.client.s.secret"), "short").unwrap();
    let more = format!("{MAPPINGS}\n[stores.secrets]\nkind = \"volume\"\ndirectory = \".\"\n");
    let mapped = Shop::with_key_in(folder, &ALL, &more, "more.jwks", "h", "ec");
    let mut registration = hmac;
    registration["secret_label_identifier"] = json!("s");
    let body = json!({"issuer": ISSUER, "client": registration, "claims": {"sub": "alice"}});
    let (status, problem) = post(&mapped, "id-token/issue", &body);
    assert_eq!((status, &problem["code"]), (500, &json!("key_unfit")), "{problem}");
}

/// The bounds of the configuration hold for keys that come with a request as for others.
#[test]
fn keys_of_a_body_are_under_the_policy() {
    let shop = shop(&ALL);
    let mut key: Value = serde_json::from_str(&jwk("r", "rsa")).unwrap();
    for private in ["d", "p", "q", "dp", "dq", "qi"] {
        key.as_object_mut().unwrap().remove(private);
    }
    let body = json!({"issuer": ISSUER, "client": client(json!({"id_token_signed_response_alg": "RS256"})),
        "token": "a.b.c", "as_client": true, "provider_jwks": {"keys": [key]}});
    assert_eq!(post(&shop, "id-token/verify", &body).0, 422);
    shop.write(&shop.text().replace("[policy]\n", "[policy]\nmin_rsa_bits = 8192\n"));
    shop.service.keyring().reload().unwrap();
    let (status, problem) = post(&shop, "id-token/verify", &body);
    assert_eq!((status, &problem["code"]), (400, &json!("malformed")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().starts_with("\"provider_jwks\": "), "{problem}");
}

#[test]
fn times_that_no_verifier_knows_are_refused() {
    let shop = shop(&ALL);
    let issue = |lifetime: u64| {
        let body = json!({"issuer": ISSUER, "client": client(json!({})), "lifetime": lifetime,
            "claims": {"sub": "alice", "auth_time": 1_800_003_600}});
        post(&shop, "id-token/issue", &body)
    };
    for lifetime in [0, 253_402_300_800 - 1_800_000_000, 1 << 63, u64::MAX] {
        assert_eq!(issue(lifetime).1["code"], json!("usage"), "{lifetime}");
    }
    let token = issue(600).1["token"].clone();
    let mut ask = json!({"issuer": ISSUER, "client": client(json!({})), "token": token});
    done(&shop, "id-token/verify", &ask);
    // The user is still to authenticate.
    ask["max_age"] = json!(60);
    assert_eq!(post(&shop, "id-token/verify", &ask).0, 422);
}

#[test]
fn issuing_and_opening_are_two_rights() {
    for (right, other) in [("oidc-issue", "verify"), ("oidc-open", "issue")] {
        let shop = shop(&[right]);
        let kinds = [
            "id-token",
            "access-token",
            "refresh-token",
            "logout-token",
            "request-object",
            "client-assertion",
        ];
        for kind in kinds {
            for what in ["issue", "verify"] {
                let (status, _) = post(&shop, &format!("{kind}/{what}"), &json!({"none": 1}));
                assert_eq!(status, if what == other { 403 } else { 400 }, "{right} {kind}/{what}");
            }
        }
    }
}

/// What is made of a caller's claims holds where its kind is checked, or is not made.
#[test]
fn no_token_is_made_that_its_own_kind_refuses() {
    let shop = shop(&ALL);
    let issue = |what: &str, claims: Value| {
        let mut body = json!({"issuer": ISSUER, "client": client(json!({})), "claims": claims});
        if ["access-token", "refresh-token"].contains(&what) {
            body["protection"] = json!(["ES256"]);
        }
        let (status, problem) = post(&shop, &format!("{what}/issue"), &body);
        assert_eq!(
            (status, &problem["code"]),
            (400, &json!("usage")),
            "{what} {claims}: {problem}"
        );
    };
    for what in
        ["id-token", "logout-token", "access-token", "refresh-token", "request-object", "userinfo"]
    {
        issue(what, json!({"sub": "alice", "nbf": "now"}));
        issue(what, json!({"sub": "alice", "jti": ""}));
    }
    let deep = (0..16).fold(json!(1), |inner, _| json!([inner]));
    for what in
        ["id-token", "logout-token", "access-token", "refresh-token", "request-object", "userinfo"]
    {
        issue(what, json!({"sub": "alice", "x": "y".repeat(60_000)}));
        issue(what, json!({"sub": "alice", "x": deep}));
    }
    issue("logout-token", json!({"sub": ""}));
    issue("logout-token", json!({"sub": "x".repeat(256)}));
    issue("logout-token", json!({"sid": ""}));
    issue("logout-token", json!({"sub": "alice", "sid": ""}));
    // A request object that has the client as its subject is taken for an assertion of it.
    issue("request-object", json!({"sub": "shop"}));
}

/// Whoever sends it believes that it counts.
#[test]
fn what_a_kind_of_token_has_no_use_for_is_refused() {
    let shop = shop(&ALL);
    let jwks = json!({"keys": []});
    for (what, member, value) in [
        ("logout-token/issue", "provider_jwks", &jwks),
        ("logout-token/verify", "audiences", &json!(["https://api.example"])),
        ("logout-token/verify", "audience_list", &json!(true)),
        ("request-object/verify", "audiences", &json!(["https://api.example"])),
        ("request-object/verify", "audience_list", &json!(true)),
        ("request-object/verify", "provider_jwks", &jwks),
        ("client-assertion/verify", "provider_jwks", &jwks),
        ("userinfo/issue", "lifetime", &json!(60)),
        ("userinfo/issue", "provider_jwks", &jwks),
        ("id-token/verify", "provider_jwks", &jwks),
    ] {
        let mut body = json!({"issuer": ISSUER, "client": client(json!({}))});
        let of =
            if what.ends_with("issue") { ("claims", json!({})) } else { ("token", json!("x")) };
        body[of.0] = of.1;
        body[member] = value.clone();
        let (status, problem) = post(&shop, what, &body);
        assert_eq!(status, 400, "{what} {member}: {problem}");
        assert!(problem["help"].is_string(), "{what} {member}: {problem}");
        let told = ["\"issuer\", \"client\"", "own keys"];
        let detail = problem["detail"].as_str().unwrap();
        assert!(told.iter().any(|part| detail.contains(part)), "{what} {member}: {problem}");
    }
}

/// Who asks what a token is with which it was called must not take a refresh token for an access token.
#[test]
fn an_introspection_tells_an_access_token_from_a_refresh_token() {
    let shop = shop(&ALL);
    let claims = json!({"sub": "alice", "token_use": "x", "token_type": "y", "active": false});
    let body = json!({"issuer": ISSUER, "client": client(json!({})), "protection": ["ES256"],
        "claims": claims});
    for (what, token_use, token_type) in [
        ("access-token", "access_token", json!("Bearer")),
        ("refresh-token", "refresh_token", Value::Null),
    ] {
        let token = done(&shop, &format!("{what}/issue"), &body)["token"].clone();
        let ask = json!({"issuer": ISSUER, "protection": ["ES256"], "token": token});
        let found = done(&shop, "access-token/introspect", &ask);
        assert_eq!((&found["active"], &found["token_use"]), (&json!(true), &json!(token_use)));
        assert_eq!(found["token_type"], token_type);
    }
}
