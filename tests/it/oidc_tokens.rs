//! Logout, access and refresh tokens, introspection and pairwise subjects.

use std::cell::RefCell;
use std::time::Duration;

use claviger::ErrorKind;
use claviger::profiles::oidc::{
    AccessTokenOptions, AccessTokenRules, Binding, IdTokenOptions, JtiUse, LogoutTokenOptions,
    LogoutTokenRules, NoReplayCheck, RefreshTokenOptions, TokenProtection, Untyped,
};
use claviger::usage::Horizon;
use serde_json::{Value, json};

use crate::oidc_house::{
    House, ISSUER, NOW, SECRET, claims, client, forge, part, private, reason, signed,
};
use crate::oidc_id_tokens::changed;

const LOGOUT: LogoutTokenRules<'_> =
    LogoutTokenRules { untyped: Untyped::Refused, max_lifetime: None, replay: &NoReplayCheck };

#[test]
fn a_logout_token_says_who_is_logged_out_and_counts_once() {
    let house = House::new();
    let shop = client(json!({ "id_token_signed_response_alg": "ES256" }));
    let (rp, published) = (house.relying_party(&shop), house.published(&["ES256"]));
    let issue = |given| {
        house.provider().issue_logout_token(&shop, &claims(given), &LogoutTokenOptions::default())
    };
    let token = issue(json!({ "sub": "alice", "sid": "s-1" })).unwrap();
    assert_eq!(part(&token, 0)["typ"], "logout+jwt");
    let seen = RefCell::new(Vec::new());
    let remember = |token: &JtiUse<'_>| {
        let first = !seen.borrow().contains(&(token.jti.to_owned(), token.until));
        seen.borrow_mut().push((token.jti.to_owned(), token.until));
        Ok(first)
    };
    let once = LogoutTokenRules { replay: &remember, ..LOGOUT };
    assert_eq!(
        rp.verify_logout_token(Some(&published), &token, &once).unwrap().claims["sid"],
        "s-1"
    );
    let again = rp.verify_logout_token(Some(&published), &token, &once).unwrap_err();
    assert!(reason(&again).contains("used before"));
    // Remembered for as long as any clock may still take it: two minutes and the skew.
    let until = std::time::UNIX_EPOCH + Duration::from_secs(NOW + 120 + 60);
    assert_eq!(seen.borrow()[0].1, until);
    for (given, why) in [
        (json!({}), "sub, sid"),
        (json!({ "sub": "a", "nonce": "n" }), "nonce"),
        (json!({ "sub": "a", "events": {} }), "events"),
        (json!({ "sid": 1 }), "sid"),
    ] {
        assert!(issue(given).unwrap_err().message().contains(why));
    }
}

#[test]
fn each_claim_of_a_logout_token_counts() {
    let house = House::new();
    let shop = client(json!({ "id_token_signed_response_alg": "ES256" }));
    let (rp, published) = (house.relying_party(&shop), house.published(&["ES256"]));
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let verify = |header: Value, name: &str, value: Option<Value>, rules: &LogoutTokenRules<'_>| {
        let mut all = json!({ "iss": ISSUER, "aud": "shop", "iat": NOW, "exp": NOW + 60, "jti": "j",
            "sub": "alice", "events": { event: {} } });
        let members = all.as_object_mut().unwrap();
        drop(match value {
            Some(value) => members.insert(name.into(), value),
            None => members.remove(name),
        });
        let token = forge(&private("es256-1"), "ES256", header, &all);
        rp.verify_logout_token(Some(&published), &token, rules).map(drop)
    };
    let typed = || json!({ "typ": "logout+jwt" });
    assert!(verify(typed(), "x", None, &LOGOUT).is_ok());
    for (name, value) in [
        ("iss", Some(json!("https://other"))),
        ("aud", Some(json!("other"))),
        ("iat", None),
        ("exp", None),
        ("exp", Some(json!(NOW - 61))),
        ("jti", None),
        ("jti", Some(json!(""))),
        ("sub", None),
        ("nonce", Some(json!("n"))),
        ("events", None),
        ("sub", Some(json!(""))),
        ("sub", Some(json!("x".repeat(256)))),
        ("sid", Some(json!(""))),
        ("events", Some(json!({}))),
        ("events", Some(json!([event]))),
        ("events", Some(json!({ event: true }))),
    ] {
        let error = verify(typed(), name, value.clone(), &LOGOUT).unwrap_err();
        assert!(!reason(&error).is_empty(), "{name} {value:?}");
    }
    let older = LogoutTokenRules { untyped: Untyped::Accepted, max_lifetime: None, ..LOGOUT };
    for (header, strict, lenient) in [
        (json!({}), false, true),
        (json!({ "typ": "JWT" }), false, true),
        (json!({ "typ": "at+jwt" }), false, false),
        (json!({ "typ": "application/logout+JWT" }), true, true),
    ] {
        assert_eq!(verify(header.clone(), "x", None, &LOGOUT).is_ok(), strict, "{header}");
        assert_eq!(verify(header.clone(), "x", None, &older).is_ok(), lenient, "{header}");
    }
    // Untyped it is still no ID token, nor is an ID token a logout token.
    assert!(rp.verify_logout_token(Some(&published), &changed("x", None), &older).is_err());
}

const TOKENS: [&str; 12] = [
    "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "HS256",
    "HS384", "HS512",
];

fn protections() -> Vec<TokenProtection> {
    TOKENS.into_iter().map(signed).chain([TokenProtection::Encrypted]).collect()
}

#[test]
fn access_and_refresh_tokens_open_in_every_protection_and_never_for_each_other() {
    let house = House::new();
    let shop = client(json!({}));
    let all = protections();
    for protection in &all {
        // The one in question acts, and all the others still open.
        let mut order = vec![*protection];
        order.extend(all.iter().copied().filter(|one| one != protection));
        let (provider, alone) = (house.provider_with(&order), house.provider_with(&[*protection]));
        let given = claims(json!({ "sub": "alice", "scope": "read write" }));
        let options = AccessTokenOptions { audiences: &["https://api"], ..Default::default() };
        let access = provider.issue_access_token(&shop, &given, &options).unwrap();
        let refresh =
            provider.issue_refresh_token(&shop, &given, &RefreshTokenOptions::default()).unwrap();
        assert_eq!(part(&access, 0)["typ"], "at+jwt");
        let rules = AccessTokenRules {
            audience: Some("https://api"),
            client_id: Some("shop"),
            scopes: &["write"],
            ..Default::default()
        };
        let turned: Vec<TokenProtection> = all.iter().copied().rev().collect();
        for opener in [&provider, &alone, &house.provider_with(&turned)] {
            let found = opener.verify_access_token(&access, &rules).unwrap();
            assert_eq!(found.claims["sub"], "alice", "{protection:?}");
            assert!(opener.verify_refresh_token(&shop, &refresh).is_ok(), "{protection:?}");
            let any = AccessTokenRules::default();
            assert!(opener.verify_access_token(&refresh, &any).is_err(), "{protection:?}");
            assert!(opener.verify_refresh_token(&shop, &access).is_err(), "{protection:?}");
        }
        for other in all.iter().filter(|one| *one != protection) {
            let other = house.provider_with(&[*other]);
            assert!(other.verify_access_token(&access, &rules).is_err(), "{protection:?}");
        }
    }
    let error = house.provider().with_tokens(&[signed("EdDSA")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlgorithmNotAllowed);
    assert!(house.provider().with_tokens(&[]).is_err());
}

#[test]
fn each_claim_of_an_access_token_counts() {
    let house = House::new();
    let provider = house.provider_with(&[signed("ES256")]);
    let verify = |name: &str, value: Option<Value>, rules: &AccessTokenRules<'_>| {
        let mut all = json!({ "iss": ISSUER, "aud": ["https://api", "https://b"], "sub": "alice", "iat": NOW,
            "exp": NOW + 60, "jti": "j", "client_id": "shop", "scope": "read write" });
        let members = all.as_object_mut().unwrap();
        drop(match value {
            Some(value) => members.insert(name.into(), value),
            None => members.remove(name),
        });
        let token = forge(&private("es256-2"), "ES256", json!({ "typ": "at+jwt" }), &all);
        provider.verify_access_token(&token, rules).map(drop)
    };
    let any = AccessTokenRules::default();
    let rules = AccessTokenRules {
        audience: Some("https://api"),
        client_id: Some("shop"),
        scopes: &["read", "write"],
        binding: Binding::Nobody,
    };
    assert!(verify("x", None, &rules).is_ok());
    for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        let error = verify(name, None, &any).unwrap_err();
        assert!(reason(&error).contains("missing"), "{name}");
    }
    for (name, value) in [
        ("iss", json!("https://other")),
        ("aud", json!("https://c")),
        ("exp", json!(NOW - 61)),
        ("iat", json!(NOW + 61)),
        ("sub", json!(1)),
        ("client_id", json!("other")),
        ("scope", json!("read writer")),
        ("scope", json!(["read", "write"])),
        ("cnf", json!({ "jkt": "x" })),
    ] {
        assert!(verify(name, Some(value.clone()), &rules).is_err(), "{name} {value}");
    }
    let bound = |thumbprint| AccessTokenRules { binding: Binding::Certificate(thumbprint), ..any };
    let cnf = |value: Value| Some(json!({ "x5t#S256": value }));
    assert!(verify("cnf", cnf(json!("abc")), &bound("abc")).is_ok());
    assert!(verify("cnf", cnf(json!("abc")), &bound("abd")).is_err());
    assert!(verify("cnf", cnf(json!(["abc"])), &bound("abc")).is_err());
    assert!(verify("cnf", None, &bound("abc")).is_err());
    let unchecked = AccessTokenRules { binding: Binding::Unchecked, ..any };
    assert!(verify("cnf", cnf(json!("abc")), &unchecked).is_ok());
}

#[test]
fn an_introspection_answers_for_live_tokens_alone() {
    let house = House::new();
    let shop = client(json!({}));
    for protection in [signed("RS256"), signed("HS256"), TokenProtection::Encrypted] {
        let provider = house.provider_with(&[protection]);
        let given =
            claims(json!({ "sub": "alice", "scope": "read", "cnf": { "x5t#S256": "abc" } }));
        let access = provider.issue_access_token(&shop, &given, &Default::default()).unwrap();
        let refresh = provider.issue_refresh_token(&shop, &given, &Default::default()).unwrap();
        for token in [&access, &refresh] {
            let answer = provider.introspect(token).unwrap();
            assert_eq!((&answer["active"], &answer["client_id"]), (&json!(true), &json!("shop")));
            assert_eq!(answer["cnf"]["x5t#S256"], "abc");
        }
        let dead = json!({ "active": false });
        for token in ["", "x", "a.b.c", "a.b.c.d.e", &access[1..], &format!("{access}A")] {
            assert_eq!(provider.introspect(token).unwrap(), dead);
        }
        let foreign = house.keyring.oidc(None).provider("https://other").with_tokens(&[protection]);
        assert_eq!(foreign.unwrap().introspect(&access).unwrap(), dead);
        house.wait(3_661);
        assert_eq!(provider.introspect(&access).unwrap(), dead);
        assert_eq!(provider.introspect(&refresh).unwrap()["active"], true);
        assert!(
            provider.verify_refresh_token(&client(json!({ "client_id": "b" })), &refresh).is_err()
        );
    }
}

#[test]
fn pairwise_subjects_are_those_of_ping_am() {
    let house = House::new();
    let provider = house.provider();
    let pairwise = |more: Value| {
        let mut all = json!({ "subject_type": "pairwise" });
        all.as_object_mut().unwrap().extend(claims(more));
        client(all)
    };
    let subject = |client: &_| provider.subject(client, "alice");
    // base64 of SHA-256 of "shop.example.com" "alice" "salt", by `openssl dgst`.
    let expected = "I6CXKY1z9E/7xeh7XTRQtHPzUB4lH0YZDyAD8kENWZM=";
    for more in [
        json!({ "redirect_uris": ["https://shop.example.com/a", "https://shop.example.com:8443/b"] }),
        json!({ "sector_identifier_uri": "https://shop.example.com/uris.json",
            "redirect_uris": ["https://a.example", "https://b.example"] }),
    ] {
        assert_eq!(subject(&pairwise(more)).unwrap(), expected);
    }
    assert_eq!(subject(&client(json!({}))).unwrap(), "alice");
    let several = pairwise(json!({ "redirect_uris": ["https://a.example", "https://b.example"] }));
    let error = subject(&several).unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.message().contains("several hosts"));
}

#[test]
fn the_keys_stay_for_as_long_as_the_tokens_that_they_made() {
    let house = House::with("[keyring]\n", "[keyring]\nstate_dir = \"state\"\n");
    let shop = client(json!({ "id_token_signed_response_alg": "HS256", "client_secret": SECRET }));
    let given = || claims(json!({ "sub": "alice" }));
    let provider = house.provider();
    drop(provider.issue_id_token(&shop, &given(), &IdTokenOptions::default()).unwrap());
    let sealed = house.provider_with(&[TokenProtection::Encrypted]);
    drop(sealed.issue_refresh_token(&shop, &given(), &RefreshTokenOptions::default()).unwrap());
    let signing = house.provider_with(&[signed("ES256")]);
    drop(signing.issue_access_token(&shop, &given(), &AccessTokenOptions::default()).unwrap());
    for (label, lifetime) in [
        ("am.services.oauth2.jwt.authenticity.signing", 3_600),
        ("am.services.oauth2.stateless.token.encryption", 7 * 24 * 3_600),
        ("am.services.oauth2.stateless.signing.ES256", 3_600),
    ] {
        let keys = house.keyring.label(label).unwrap().keys().unwrap();
        let thumbprint = keys.active().key.thumbprint().to_owned();
        let report = house.keyring.usage().report(&label.parse().unwrap(), None, &thumbprint);
        assert_eq!(report.unwrap().horizon(None), Horizon::Until(NOW + lifetime), "{label}");
    }
}

#[test]
fn a_typ_is_compared_as_a_media_type() {
    let house = House::new();
    let provider = house.provider_with(&[signed("ES256")]);
    let all = json!({ "iss": ISSUER, "aud": ISSUER, "sub": "alice", "iat": NOW, "exp": NOW + 60, "jti": "j",
        "client_id": "shop" });
    for (header, taken) in [
        (json!({ "typ": "at+jwt" }), true),
        (json!({ "typ": "AT+JWT" }), true),
        (json!({ "typ": "Application/at+JWT" }), true),
        (json!({}), false),
        (json!({ "typ": "" }), false),
        (json!({ "typ": "JWT" }), false),
        (json!({ "typ": "rt+jwt" }), false),
        (json!({ "typ": "at+jwt " }), false),
        (json!({ "typ": "text/at+jwt" }), false),
        (json!({ "typ": 1 }), false),
        (json!({ "typ": ["at+jwt"] }), false),
    ] {
        let token = forge(&private("es256-1"), "ES256", header.clone(), &all);
        let found = provider.verify_access_token(&token, &AccessTokenRules::default());
        assert_eq!(found.is_ok(), taken, "{header}");
    }
}
