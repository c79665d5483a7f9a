//! ID tokens: what they say, who takes them, how they are encrypted, and what is refused.

use std::time::Duration;

use claviger::ErrorKind;
use claviger::profiles::oidc::{
    Endpoint, Expired, IdTokenOptions, IdTokenRules, LogoutTokenOptions, LogoutTokenRules,
    NoReplayCheck, Nonce, Untyped, half_hash,
};
use serde_json::{Value, json};

use crate::oidc_house::{
    House, ISSUER, NOW, SECRET, claims, client, forge, oct, part, private, public, reason,
};

const LOGOUT: LogoutTokenRules<'_> =
    LogoutTokenRules { untyped: Untyped::Refused, max_lifetime: None, replay: &NoReplayCheck };

const SIGNATURES: [&str; 10] =
    ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"];
const MACS: [&str; 3] = ["HS256", "HS384", "HS512"];

#[test]
fn id_tokens_go_to_the_relying_party_and_back_in_every_algorithm() {
    let house = House::new();
    let (provider, published) = (house.provider(), house.published(&SIGNATURES));
    for name in SIGNATURES.into_iter().chain(MACS) {
        let shop = client(json!({ "id_token_signed_response_alg": name, "client_secret": SECRET }));
        let given =
            claims(json!({ "sub": "alice", "nonce": "n-1", "acr": "silver", "amr": ["pwd"],
            "auth_time": NOW - 10, "email": "alice@example.com" }));
        let options = IdTokenOptions {
            access_token: Some("at"),
            code: Some("co"),
            state: Some("st"),
            ..IdTokenOptions::default()
        };
        let token = provider.issue_id_token(&shop, &given, &options).unwrap();
        let header = part(&token, 0);
        assert_eq!((&header["alg"], &header["typ"]), (&json!(name), &json!("JWT")));
        assert_eq!(header.get("kid").is_none(), MACS.contains(&name), "{header}");

        let rules = IdTokenRules {
            from: Endpoint::Authorization,
            nonce: Nonce::Is("n-1"),
            max_age: Some(Duration::from_secs(10)),
            acr: &["gold", "silver"],
            subject: Some("alice"),
            access_token: Some("at"),
            code: Some("co"),
            state: Some("st"),
            ..IdTokenRules::default()
        };
        let found = house
            .relying_party(&shop)
            .verify_id_token(Some(&published), &token, &rules)
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(found.algorithm.name, name);
        for (claim, value) in &given {
            assert_eq!(&found.claims[claim], value, "{name}");
        }
        assert_eq!(found.claims["iss"], ISSUER);
        let shown = format!("{found:?}");
        assert!(shown.contains("email") && !shown.contains("alice"), "{shown}");
        assert_eq!(found.claims["aud"], "shop");
        assert_eq!(
            (&found.claims["iat"], &found.claims["exp"]),
            (&json!(NOW), &json!(NOW + 3_600))
        );
        assert_eq!(found.claims["at_hash"], half_hash(found.algorithm, "at").unwrap());
        assert!(!found.claims.contains_key("azp"));
        // The provider knows its own token again.
        let hint = IdTokenRules { nonce: Nonce::Any, ..IdTokenRules::default() };
        assert_eq!(provider.verify_id_token(&shop, &token, &hint).unwrap().claims["sub"], "alice");
    }
}

#[test]
fn what_the_client_could_have_made_itself_is_no_hint() {
    let house = House::new();
    let (provider, shop) = (
        house.provider(),
        client(json!({
        "id_token_signed_response_alg": "HS256", "client_secret": SECRET })),
    );
    let ours = provider
        .issue_id_token(&shop, &claims(json!({ "sub": "alice" })), &IdTokenOptions::default())
        .unwrap();
    let other = provider
        .issue_id_token(&shop, &claims(json!({ "sub": "bob" })), &IdTokenOptions::default())
        .unwrap();
    // With its secret the client signs whatever it wants: also beside a second signature of another token.
    let second = part(&other, 0)["authenticity"].clone();
    assert!(second.is_string());
    for extra in [None, Some(second), Some(json!(1)), Some(json!("a.b.c"))] {
        let mut header = json!({ "typ": "JWT" });
        if let Some(extra) = extra {
            header["authenticity"] = extra;
        }
        let forged = forge(&oct(SECRET), "HS256", header, &part(&ours, 1));
        let rp = house.relying_party(&shop);
        assert!(rp.verify_id_token(None, &forged, &IdTokenRules::default()).is_ok());
        let error = provider.verify_id_token(&shop, &forged, &IdTokenRules::default()).unwrap_err();
        reason(&error);
    }
    assert!(provider.verify_id_token(&shop, &ours, &IdTokenRules::default()).is_ok());
}

/// Claims of an ID token for `shop` that holds.
fn good() -> Value {
    json!({ "iss": ISSUER, "sub": "alice", "aud": "shop", "iat": NOW, "exp": NOW + 60, "nonce": "n-1" })
}

const GOOD: IdTokenRules<'_> = IdTokenRules {
    from: Endpoint::Token,
    nonce: Nonce::Is("n-1"),
    max_age: None,
    acr: &[],
    subject: None,
    access_token: None,
    code: None,
    state: None,
    trusted_audiences: &[],
    expired: Expired::Refused,
};

/// A token of the provider with one claim changed, or taken out.
pub(crate) fn changed(name: &str, value: Option<Value>) -> String {
    let mut all = good();
    let members = all.as_object_mut().unwrap();
    drop(match value {
        Some(value) => members.insert(name.into(), value),
        None => members.remove(name),
    });
    forge(&private("es256-1"), "ES256", json!({ "typ": "JWT" }), &all)
}

#[test]
fn each_claim_of_an_id_token_counts() {
    let house = House::new();
    let shop = client(json!({ "id_token_signed_response_alg": "ES256" }));
    let (rp, published) = (house.relying_party(&shop), house.published(&["ES256"]));
    let verify = |token: &str, rules: &IdTokenRules<'_>| {
        rp.verify_id_token(Some(&published), token, rules).map(|found| found.claims)
    };
    assert!(verify(&changed("x", Some(json!(1))), &GOOD).is_ok());
    let refused = [
        ("iss", None, "missing"),
        ("iss", Some(json!("https://op.example.com/am/oauth2/")), "another issuer"),
        ("iss", Some(json!([ISSUER])), "not a string"),
        ("sub", None, "missing"),
        ("sub", Some(json!("")), "1 to 255"),
        ("sub", Some(json!("a".repeat(256))), "1 to 255"),
        ("sub", Some(json!("ålice")), "1 to 255"),
        ("sub", Some(json!(1)), "not a string"),
        ("aud", None, "missing"),
        ("aud", Some(json!("shop2")), "another audience"),
        ("aud", Some(json!([])), "another audience"),
        ("aud", Some(json!(["shop", 1])), "aud is no"),
        ("aud", Some(json!({ "shop": 1 })), "aud is no"),
        ("aud", Some(json!(["shop", "other"])), "not trusted"),
        ("azp", Some(json!("other")), "authorized party"),
        ("azp", Some(json!(1)), "not a string"),
        ("exp", None, "missing"),
        ("exp", Some(json!(NOW - 61)), "expired"),
        ("exp", Some(json!("1900000000")), "not a number"),
        ("iat", None, "missing"),
        ("iat", Some(json!(NOW + 61)), "in the future"),
        ("nbf", Some(json!(NOW + 61)), "not valid yet"),
        ("nonce", None, "nonce"),
        ("nonce", Some(json!("n-2")), "nonce"),
        ("nonce", Some(json!(1)), "not a string"),
        ("amr", Some(json!("pwd")), "amr"),
        ("auth_time", Some(json!("1")), "auth_time"),
        ("acr", Some(json!(1)), "acr"),
        ("events", Some(json!({})), "no ID token"),
        ("at_hash", Some(json!(1)), "at_hash"),
    ];
    for (name, value, why) in refused {
        let error = verify(&changed(name, value.clone()), &GOOD).unwrap_err();
        assert!(reason(&error).contains(why), "{name} {value:?}: {}", reason(&error));
        assert_eq!(error.message(), "the token is not accepted");
    }
    // Within the minute by which clocks may differ.
    assert!(verify(&changed("exp", Some(json!(NOW - 59))), &GOOD).is_ok());
    assert!(verify(&changed("iat", Some(json!(NOW + 59))), &GOOD).is_ok());
    let several = json!(["shop", "other"]);
    let trusting = IdTokenRules { trusted_audiences: &["other"], ..GOOD };
    let error = verify(&changed("aud", Some(several)), &trusting).unwrap_err();
    assert!(reason(&error).contains("azp is missing"));
    let two = IdTokenOptions { audiences: &["other"], ..IdTokenOptions::default() };
    let token = house
        .provider()
        .issue_id_token(&shop, &claims(json!({ "sub": "alice", "nonce": "n-1" })), &two)
        .unwrap();
    assert_eq!(verify(&token, &trusting).unwrap()["azp"], "shop");
    assert!(verify(&token, &GOOD).is_err());
}

#[test]
fn what_a_request_asked_for_must_be_there() {
    let house = House::new();
    let shop = client(json!({ "id_token_signed_response_alg": "ES256" }));
    let (rp, published) = (house.relying_party(&shop), house.published(&["ES256"]));
    let verify = |token: &str, rules: &IdTokenRules<'_>| {
        rp.verify_id_token(Some(&published), token, rules).map(|found| found.claims)
    };
    let bare = changed("x", None);
    let front = Endpoint::Authorization;
    let es256 = claviger::alg::Algorithm::named("ES256").unwrap();
    let bound = |name| changed(name, Some(half_hash(es256, "right").unwrap().into()));
    let cases: [(IdTokenRules<'_>, &str, bool); 16] = [
        (IdTokenRules { nonce: Nonce::Absent, ..GOOD }, &bare, false),
        (IdTokenRules { nonce: Nonce::Absent, ..GOOD }, &changed("nonce", None), true),
        (
            IdTokenRules { nonce: Nonce::Absent, from: front, ..GOOD },
            &changed("nonce", None),
            false,
        ),
        (IdTokenRules { nonce: Nonce::Any, ..GOOD }, &changed("nonce", None), true),
        (IdTokenRules { subject: Some("bob"), ..GOOD }, &bare, false),
        (IdTokenRules { acr: &["gold"], ..GOOD }, &bare, false),
        (IdTokenRules { acr: &["gold"], ..GOOD }, &changed("acr", Some(json!("gold"))), true),
        (IdTokenRules { acr: &["gold"], ..GOOD }, &changed("acr", Some(json!("silver"))), false),
        (IdTokenRules { access_token: Some("right"), ..GOOD }, &bare, true),
        (IdTokenRules { access_token: Some("right"), from: front, ..GOOD }, &bare, false),
        (
            IdTokenRules { access_token: Some("right"), from: front, ..GOOD },
            &bound("at_hash"),
            true,
        ),
        (IdTokenRules { access_token: Some("wrong"), ..GOOD }, &bound("at_hash"), false),
        (IdTokenRules { code: Some("right"), from: front, ..GOOD }, &bound("c_hash"), true),
        (IdTokenRules { code: Some("wrong"), ..GOOD }, &bound("c_hash"), false),
        (IdTokenRules { state: Some("right"), from: front, ..GOOD }, &bound("s_hash"), true),
        (IdTokenRules { state: Some("right"), from: front, ..GOOD }, &bare, false),
    ];
    for (index, (rules, token, accepted)) in cases.iter().enumerate() {
        let found = verify(token, rules);
        assert_eq!(found.is_ok(), *accepted, "{index}: {rules:?} {found:?}");
    }
    let old = IdTokenRules { max_age: Some(Duration::from_secs(100)), ..GOOD };
    assert!(reason(&verify(&bare, &old).unwrap_err()).contains("auth_time is missing"));
    assert!(verify(&changed("auth_time", Some(json!(NOW - 160))), &old).is_ok());
    let error = verify(&changed("auth_time", Some(json!(NOW - 161))), &old).unwrap_err();
    assert!(reason(&error).contains("too long ago"));
}

#[test]
fn a_hint_may_have_expired_and_nothing_else() {
    let house = House::new();
    let shop = client(json!({ "id_token_signed_response_alg": "ES256" }));
    let provider = house.provider();
    let issue = || {
        let given = claims(json!({ "sub": "alice" }));
        provider.issue_id_token(&shop, &given, &IdTokenOptions::default()).unwrap()
    };
    let token = issue();
    house.wait(10_000);
    let strict = IdTokenRules { nonce: Nonce::Any, ..GOOD };
    let hint = IdTokenRules { expired: Expired::Accepted, ..strict };
    assert!(
        reason(&provider.verify_id_token(&shop, &token, &strict).unwrap_err()).contains("expired")
    );
    assert!(provider.verify_id_token(&shop, &token, &hint).is_ok());
    let other = client(json!({ "client_id": "other", "id_token_signed_response_alg": "ES256" }));
    assert!(provider.verify_id_token(&other, &token, &hint).is_err());
    let foreign = house.keyring.oidc(None).provider("https://other.example.com");
    assert!(foreign.verify_id_token(&shop, &token, &hint).is_err());
    for (name, value) in
        [("exp", None), ("exp", Some(json!("1"))), ("iat", Some(json!(NOW + 90_000)))]
    {
        assert!(provider.verify_id_token(&shop, &changed(name, value), &hint).is_err(), "{name}");
    }
}

#[test]
fn the_registered_algorithm_counts_and_not_the_tokens() {
    let house = House::new();
    let published = house.published(&SIGNATURES);
    for (registered, made) in
        [("RS256", "PS256"), ("RS256", "RS384"), ("PS256", "RS256"), ("ES256", "RS256")]
    {
        let shop = client(json!({ "id_token_signed_response_alg": registered }));
        let token = forge(&private("rsa-1"), made, json!({}), &good());
        let rp = house.relying_party(&shop);
        assert!(
            rp.verify_id_token(Some(&published), &token, &GOOD).is_err(),
            "{registered} {made}"
        );
        let provider = house.provider();
        assert!(provider.verify_id_token(&shop, &token, &GOOD).is_err(), "{registered} {made}");
    }
    // The public key of the provider as an HMAC secret, in several renderings (attacks.md J02).
    let shop = client(json!({ "id_token_signed_response_alg": "RS256", "client_secret": SECRET }));
    let jwk = public("rsa-1");
    for text in [jwk.to_string(), jwk["n"].as_str().unwrap().to_owned()] {
        let token = forge(&oct(&text), "HS256", json!({}), &good());
        let rp = house.relying_party(&shop);
        assert!(rp.verify_id_token(Some(&published), &token, &GOOD).is_err());
    }
    let unregistered = client(json!({}));
    let token = forge(&private("rsa-2"), "RS256", json!({}), &good());
    let rp = house.relying_party(&unregistered);
    assert!(rp.verify_id_token(Some(&published), &token, &GOOD).is_ok());
}

#[test]
fn tokens_are_encrypted_to_the_client_as_it_registered() {
    let house = House::new();
    let provider = house.provider();
    let published = house.published(&["ES256"]);
    let contents =
        ["A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512", "A128GCM", "A192GCM", "A256GCM"];
    let transports = ["RSA-OAEP", "RSA-OAEP-256", "A128KW", "A192KW", "A256KW", "A256GCMKW", "dir"];
    for alg in transports {
        for enc in contents {
            let shop = client(json!({
                "id_token_signed_response_alg": "ES256",
                "id_token_encrypted_response_alg": alg,
                "id_token_encrypted_response_enc": enc,
                "client_secret": SECRET,
                // A key that signs stands first, as in most JWK sets.
                "jwks": { "keys": [public("es256-1"), public("enc-1")] },
            }));
            let given = claims(json!({ "sub": "alice" }));
            let token = provider.issue_id_token(&shop, &given, &IdTokenOptions::default()).unwrap();
            let header = part(&token, 0);
            assert_eq!(
                (&header["alg"], &header["enc"], &header["cty"]),
                (&json!(alg), &json!(enc), &json!("JWT"))
            );
            let rp = house.relying_party(&shop);
            let found = rp.verify_id_token(Some(&published), &token, &IdTokenRules::default());
            assert_eq!(found.unwrap().claims["sub"], "alice", "{alg} {enc}");
            let given = claims(json!({ "sid": "s-1" }));
            let token =
                provider.issue_logout_token(&shop, &given, &LogoutTokenOptions::default()).unwrap();
            assert!(
                rp.verify_logout_token(Some(&published), &token, &LOGOUT).is_ok(),
                "{alg} {enc}"
            );
            // Neither layer alone is taken for both, nor another content algorithm for the registered one.
            let signed = client(json!({ "id_token_signed_response_alg": "ES256" }));
            let given = claims(json!({ "sub": "alice" }));
            let bare =
                provider.issue_id_token(&signed, &given, &IdTokenOptions::default()).unwrap();
            assert!(rp.verify_id_token(Some(&published), &bare, &IdTokenRules::default()).is_err());
            let plain = house.relying_party(&signed);
            assert!(
                plain.verify_id_token(Some(&published), &token, &IdTokenRules::default()).is_err()
            );
        }
    }
}

#[test]
fn another_content_algorithm_than_the_registered_one_is_refused() {
    let house = House::new();
    let published = house.published(&["ES256"]);
    let with = |enc: &str| {
        client(json!({ "id_token_signed_response_alg": "ES256",
            "id_token_encrypted_response_alg": "RSA-OAEP-256", "id_token_encrypted_response_enc": enc,
            "jwks": { "keys": [public("enc-1")] } }))
    };
    let given = claims(json!({ "sub": "alice" }));
    let token =
        house.provider().issue_id_token(&with("A128GCM"), &given, &IdTokenOptions::default());
    let token = token.unwrap();
    let verify = |enc| {
        let rp = house.relying_party(&with(enc));
        rp.verify_id_token(Some(&published), &token, &IdTokenRules::default())
    };
    assert!(verify("A128GCM").is_ok());
    let error = verify("A256GCM").unwrap_err();
    assert!(reason(&error).contains("agreed on"), "{}", reason(&error));
}

#[test]
fn the_labels_of_a_client_come_before_its_registration() {
    let house = House::new();
    let provider = house.provider();
    let mapped = client(json!({ "client_id": "shop", "secret_label_identifier": "mapped",
        "client_secret": "ignored, for a mapping wins: as long as it must be for HS256",
        "jwks": { "keys": [public("es384-1"), public("ecenc-1")] },
        "id_token_signed_response_alg": "HS256", "id_token_encrypted_response_alg": "RSA-OAEP-256" }));
    let given = claims(json!({ "sub": "alice" }));
    let token = provider.issue_id_token(&mapped, &given, &IdTokenOptions::default()).unwrap();
    assert_eq!(part(&token, 0)["kid"], "enc-1");
    // The newest version of the mapped secret signed; the client knows it from its own registration.
    let knows = |secret: &str| {
        let one = client(json!({ "client_secret": secret, "id_token_signed_response_alg": "HS256",
            "id_token_encrypted_response_alg": "RSA-OAEP-256" }));
        house.relying_party(&one).verify_id_token(None, &token, &IdTokenRules::default())
    };
    assert!(knows(SECRET).is_ok());
    assert!(knows("ignored, for a mapping wins: as long as it must be for HS256").is_err());
    // Without mapped labels an identifier changes nothing.
    let unmapped = client(json!({ "secret_label_identifier": "nobody", "client_secret": SECRET,
        "id_token_signed_response_alg": "HS256" }));
    let given = claims(json!({ "sub": "alice" }));
    assert!(provider.issue_id_token(&unmapped, &given, &IdTokenOptions::default()).is_ok());
}

#[test]
fn agents_have_a_label_of_their_own() {
    let house = House::new();
    let agent = client(json!({ "agent": true }));
    let given = claims(json!({ "sub": "alice" }));
    let token =
        house.provider().issue_id_token(&agent, &given, &IdTokenOptions::default()).unwrap();
    let label =
        house.keyring.label("am.global.services.oauth2.oidc.agent.idtoken.signing").unwrap();
    assert!(label.verify(&token).is_ok());
    assert!(house.provider().verify_id_token(&agent, &token, &IdTokenRules::default()).is_ok());
    house.remap(
        |label, name| {
            if label.contains(".agent.") { Vec::new() } else { vec![format!("{name}-1")] }
        },
    );
    let given = claims(json!({ "sub": "alice" }));
    let error =
        house.provider().issue_id_token(&agent, &given, &IdTokenOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownLabel);
}

#[test]
fn what_nobody_can_make_is_an_error_that_says_why() {
    let house = House::new();
    let provider = house.provider();
    let issue = |metadata: Value, given: Value| {
        let error = provider
            .issue_id_token(&client(metadata), &claims(given), &IdTokenOptions::default())
            .unwrap_err();
        (error.kind(), format!("{}; {}", error.message(), error.help().unwrap_or_default()))
    };
    let alice = || json!({ "sub": "alice" });
    for (metadata, given, kind, why) in [
        (json!({}), json!({}), ErrorKind::Usage, "\"sub\" is missing"),
        (json!({}), json!({ "sub": "" }), ErrorKind::Usage, "1 to 255"),
        (json!({}), json!({ "sub": "a", "events": {} }), ErrorKind::Usage, "no events"),
        (json!({}), json!({ "sub": 1 }), ErrorKind::Usage, "sub is not a string"),
        (json!({}), json!({ "sub": "a", "exp": 1 }), ErrorKind::Usage, "\"exp\" is set here"),
        (
            json!({}),
            json!({ "sub": "a", "at_hash": "x" }),
            ErrorKind::Usage,
            "\"at_hash\" is set here",
        ),
        (
            json!({ "id_token_signed_response_alg": "HS256" }),
            alice(),
            ErrorKind::Usage,
            "has no secret",
        ),
        (
            json!({ "id_token_signed_response_alg": "HS512", "client_secret": "short" }),
            alice(),
            ErrorKind::KeyUnfit,
            "shorter than the digest",
        ),
        (
            json!({ "id_token_signed_response_alg": "ES256K" }),
            alice(),
            ErrorKind::AlgorithmNotAllowed,
            "no label signs",
        ),
        (
            json!({ "id_token_encrypted_response_alg": "RSA-OAEP" }),
            alice(),
            ErrorKind::Usage,
            "has no public keys",
        ),
    ] {
        let (found, text) = issue(metadata.clone(), given.clone());
        assert!(found == kind && text.contains(why), "{metadata} {given}: {found:?} {text}");
    }
    let options = IdTokenOptions { lifetime: Duration::ZERO, ..IdTokenOptions::default() };
    assert!(provider.issue_id_token(&client(json!({})), &claims(alice()), &options).is_err());
}

#[test]
fn a_registration_does_not_switch_on_what_the_policy_has_off() {
    let metadata = json!({ "id_token_signed_response_alg": "ES256", "id_token_encrypted_response_alg": "RSA1_5",
        "request_object_signing_alg": "ES256", "request_object_encryption_alg": "RSA1_5",
        "jwks": { "keys": [public("es256-1"), public("enc-1")] } });
    let shop = client(metadata);
    let issue = |house: &House| {
        let given = claims(json!({ "sub": "alice" }));
        house.provider().issue_id_token(&shop, &given, &IdTokenOptions::default())
    };
    let strict = House::with("legacy = [\"RSA1_5\"]", "");
    let error = issue(&strict).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlgorithmNotAllowed);
    assert!(error.help().unwrap().contains("[policy] legacy"));
    let opened = strict.provider().open_request_object(&shop, "a.b.c.d.e", &Default::default());
    assert!(opened.is_err());
    if cfg!(feature = "compat") {
        assert_eq!(part(&issue(&House::new()).unwrap(), 0)["alg"], "RSA1_5");
    }
}

#[test]
fn one_call_works_with_one_configuration_and_the_next_with_the_next() {
    let house = House::new();
    let provider = house.provider();
    let shop = client(
        json!({ "id_token_signed_response_alg": "ES256", "id_token_encrypted_response_alg": "RSA-OAEP",
        "jwks": { "keys": [public("es256-1"), public("enc-1")] } }),
    );
    let issue = || {
        let given = claims(json!({ "sub": "alice" }));
        provider.issue_id_token(&shop, &given, &IdTokenOptions::default())
    };
    assert!(issue().is_ok());
    // What was made of the registration is made anew under a new configuration.
    house.remap(|label, name| {
        if label.contains("signing.ES256") { Vec::new() } else { vec![format!("{name}-1")] }
    });
    assert_eq!(issue().unwrap_err().kind(), ErrorKind::UnknownLabel);
    house.remap(|_, name| vec![format!("{name}-2")]);
    let token = issue().unwrap();
    let rp = house.relying_party(&shop);
    let published = house.published(&["ES256"]);
    // Encrypted to the client's key, which is no longer behind our label.
    assert!(rp.verify_id_token(Some(&published), &token, &IdTokenRules::default()).is_err());
    house.remap(|_, name| vec![format!("{name}-2"), format!("{name}-1")]);
    assert!(rp.verify_id_token(Some(&published), &token, &IdTokenRules::default()).is_ok());
}
