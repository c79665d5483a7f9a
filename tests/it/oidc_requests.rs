//! Request objects, client authentication with JWTs, userinfo: what clients make, and what a provider and a relying
//! party take.

use std::cell::RefCell;
use std::time::Duration;

use claviger::ErrorKind;
use claviger::catalogue::LabelUse;
use claviger::error::Error;
use claviger::jose::jwe::{self, EncryptOptions};
use claviger::ops::PeerRules;
use claviger::profiles::oidc::{
    AssertionOptions, AssertionRules, AudienceForm, Client, JtiUse, NoReplayCheck,
    RequestObjectOptions, RequestObjectRules, Typed, Untyped,
};
use serde_json::{Value, json};

use crate::oidc_house::{
    House, ISSUER, NOW, SECRET, claims, client, forge, oct, part, peer, private, public, reason,
};

const RULES: RequestObjectRules = RequestObjectRules {
    untyped: Untyped::Accepted,
    max_lifetime: Some(Duration::from_secs(3_600)),
};

fn request() -> Value {
    json!({ "response_type": "code", "scope": "openid", "redirect_uri": "https://shop.example.com/cb" })
}

#[test]
fn a_request_object_goes_to_the_provider_in_every_algorithm() {
    let house = House::new();
    let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    for alg in rsa.into_iter().chain(["HS256", "HS384", "HS512"]) {
        let shop = client(json!({ "request_object_signing_alg": alg, "client_secret": SECRET,
            "jwks": { "keys": [public("rsa-1"), public("rsa-2")] } }));
        let rp = house.relying_party(&shop);
        let token =
            rp.request_object(&claims(request()), &RequestObjectOptions::default()).unwrap();
        assert_eq!(part(&token, 0)["typ"], "oauth-authz-req+jwt");
        let found = house.provider().open_request_object(&shop, &token, &RULES).unwrap();
        assert_eq!((found.algorithm.name, &found.claims["scope"]), (alg, &json!("openid")));
        assert_eq!(
            (&found.claims["iss"], &found.claims["client_id"]),
            (&json!("shop"), &json!("shop"))
        );
    }
}

#[test]
fn a_request_object_is_decrypted_with_the_label_of_its_algorithm_or_with_the_secret() {
    let house = House::new();
    for alg in
        ["RSA-OAEP", "RSA-OAEP-256", "RSA1_5", "A128KW", "A192KW", "A256KW", "A256GCMKW", "dir"]
    {
        for enc in ["A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM"] {
            if cfg!(not(feature = "compat")) && alg == "RSA1_5" {
                continue;
            }
            let shop =
                client(json!({ "request_object_signing_alg": "PS256", "client_secret": SECRET,
                "request_object_encryption_alg": alg, "request_object_encryption_enc": enc,
                "jwks": { "keys": [public("rsa-1"), public("rsa-2")] } }));
            // A shared key needs no public one.
            let keys = alg.starts_with("RSA").then(|| {
                let rules = PeerRules::encrypt(&[alg, enc]).unwrap();
                peer(&json!({ "keys": [public("enc-2")] }), &rules)
            });
            let options =
                RequestObjectOptions { provider_keys: keys.as_ref(), ..Default::default() };
            let rp = house.relying_party(&shop);
            let token = rp.request_object(&claims(request()), &options).unwrap();
            let provider = house.provider();
            assert!(provider.open_request_object(&shop, &token, &RULES).is_ok(), "{alg} {enc}");
            // What was to be encrypted is not taken bare.
            let bare = client(json!({ "request_object_signing_alg": "PS256" }));
            let bare =
                house.relying_party(&bare).request_object(&claims(request()), &Default::default());
            assert!(provider.open_request_object(&shop, &bare.unwrap(), &RULES).is_err());
        }
    }
    let shop = client(
        json!({ "request_object_signing_alg": "PS256", "request_object_encryption_alg": "ECDH-ES",
        "jwks": { "keys": [public("rsa-1")] } }),
    );
    let error = house.provider().open_request_object(&shop, "a.b.c.d.e", &RULES).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlgorithmNotAllowed);
}

#[test]
fn each_parameter_of_a_request_object_counts() {
    let house = House::new();
    let shop = client(json!({ "jwks": { "keys": [public("es256-1")] } }));
    let open = |header: Value, name: &str, value: Option<Value>, rules: &RequestObjectRules| {
        let mut all = json!({ "iss": "shop", "aud": ISSUER, "client_id": "shop", "iat": NOW, "exp": NOW + 300,
            "response_type": "code" });
        let members = all.as_object_mut().unwrap();
        drop(match value {
            Some(value) => members.insert(name.into(), value),
            None => members.remove(name),
        });
        let token = forge(&private("es256-1"), "ES256", header, &all);
        house.provider().open_request_object(&shop, &token, rules).map(drop)
    };
    let typed = || json!({ "typ": "oauth-authz-req+jwt" });
    assert!(open(typed(), "x", None, &RULES).is_ok());
    assert!(open(typed(), "client_id", None, &RULES).is_ok());
    assert!(open(typed(), "aud", Some(json!(["https://other", ISSUER])), &RULES).is_ok());
    for (name, value) in [
        ("iss", None),
        ("iss", Some(json!("other"))),
        ("aud", None),
        ("aud", Some(json!("https://other"))),
        ("client_id", Some(json!("other"))),
        ("client_id", Some(json!(["shop"]))),
        ("request", Some(json!("x"))),
        ("request_uri", Some(json!("https://x"))),
        ("sub", Some(json!("shop"))),
        ("exp", None),
        ("exp", Some(json!(NOW - 61))),
        ("exp", Some(json!(NOW + 3_661))),
        ("iat", Some(json!(NOW - 3_700))),
        ("iat", Some(json!(NOW + 61))),
        ("nbf", Some(json!(NOW + 61))),
    ] {
        let error = open(typed(), name, value.clone(), &RULES).unwrap_err();
        assert!(!reason(&error).is_empty(), "{name} {value:?}");
    }
    let lax = RequestObjectRules { max_lifetime: None, ..RULES };
    assert!(open(typed(), "exp", None, &lax).is_ok());
    let strict = RequestObjectRules { untyped: Untyped::Refused, ..RULES };
    for (header, taken, taken_strictly) in [
        (json!({}), true, false),
        (json!({ "typ": "JWT" }), true, false),
        (json!({ "typ": "OAuth-Authz-Req+jwt" }), true, true),
        (json!({ "typ": "client-authentication+jwt" }), false, false),
        (json!({ "typ": "at+jwt" }), false, false),
    ] {
        assert_eq!(open(header.clone(), "x", None, &RULES).is_ok(), taken, "{header}");
        assert_eq!(open(header.clone(), "x", None, &strict).is_ok(), taken_strictly, "{header}");
    }
    for name in ["request", "request_uri", "iss", "aud", "exp"] {
        let rp = house.relying_party(&shop);
        let given = claims(json!({ name: "x" }));
        assert!(rp.request_object(&given, &RequestObjectOptions::default()).is_err(), "{name}");
    }
}

#[test]
fn a_client_that_registered_no_algorithm_signs_with_its_keys_and_not_with_its_secret() {
    let house = House::new();
    let shop = client(
        json!({ "client_secret": SECRET, "jwks": { "keys": [public("es256-1"), public("ed-1")] } }),
    );
    let all = json!({ "iss": "shop", "aud": ISSUER, "exp": NOW + 300 });
    let open = |token: &str| house.provider().open_request_object(&shop, token, &RULES);
    assert!(open(&forge(&private("es256-1"), "ES256", json!({}), &all)).is_ok());
    assert!(open(&forge(&private("ed-1"), "EdDSA", json!({}), &all)).is_ok());
    assert!(open(&forge(&oct(SECRET), "HS256", json!({}), &all)).is_err());
    assert!(open(&forge(&private("es256-2"), "ES256", json!({}), &all)).is_err());
    // A public key of the client as an HMAC secret (attacks.md J02).
    assert!(open(&forge(&oct(&public("es256-1").to_string()), "HS256", json!({}), &all)).is_err());
    let none = format!(
        "{}.{}.",
        "eyJhbGciOiJub25lIn0",
        forge(&oct(SECRET), "HS256", json!({}), &all).split('.').nth(1).unwrap()
    );
    assert!(open(&none).is_err());
}

fn assertion_client(method: &str, more: Value) -> Client {
    let mut all = json!({ "token_endpoint_auth_method": method, "client_secret": SECRET,
        "jwks": { "keys": [public("rsa-1"), public("rsa-2"), public("es256-1")] } });
    all.as_object_mut().unwrap().extend(claims(more));
    client(all)
}

#[test]
fn a_client_authenticates_in_every_algorithm() {
    let house = House::new();
    let rules = AssertionRules::new(&[ISSUER], &NoReplayCheck);
    let rsa =
        ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map(|alg| ("private_key_jwt", alg));
    let macs = ["HS256", "HS384", "HS512"].map(|alg| ("client_secret_jwt", alg));
    for (method, alg) in rsa.into_iter().chain(macs) {
        for typed in [Typed::Plain, Typed::Own] {
            let shop = assertion_client(method, json!({ "token_endpoint_auth_signing_alg": alg }));
            let options = AssertionOptions { typed, ..AssertionOptions::default() };
            let token = house.relying_party(&shop).client_assertion(ISSUER, &options).unwrap();
            let found = house.provider().verify_client_assertion(&shop, &token, &rules).unwrap();
            assert_eq!((found.algorithm.name, &found.claims["sub"]), (alg, &json!("shop")));
            assert_eq!(found.claims["exp"], NOW + 60);
            // An algorithm that the registration does not name is another one.
            let other = match (method, alg) {
                ("private_key_jwt", _) => "ES256",
                (_, "HS256") => "HS384",
                _ => "HS256",
            };
            let other =
                assertion_client(method, json!({ "token_endpoint_auth_signing_alg": other }));
            assert!(house.provider().verify_client_assertion(&other, &token, &rules).is_err());
        }
    }
    let error = Client::from_json(
        br#"{"client_id":"a","token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_signing_alg":"HS256"}"#,
    );
    assert_eq!(error.unwrap_err().kind(), ErrorKind::AlgorithmNotAllowed);
    let none = client(json!({ "client_secret": SECRET }));
    let error = house.provider().verify_client_assertion(&none, "a.b.c", &rules).unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.message().contains("not registered"));
}

#[test]
fn each_claim_of_an_assertion_counts() {
    let house = House::new();
    let shop = assertion_client("private_key_jwt", json!({}));
    let token_endpoint = "https://op.example.com/token";
    let audiences = [ISSUER, token_endpoint];
    let rules = AssertionRules::new(&audiences, &NoReplayCheck);
    let verify = |header: Value, name: &str, value: Option<Value>, rules: &AssertionRules<'_>| {
        let mut all = json!({ "iss": "shop", "sub": "shop", "aud": ISSUER, "iat": NOW, "exp": NOW + 60, "jti": "j" });
        let members = all.as_object_mut().unwrap();
        drop(match value {
            Some(value) => members.insert(name.into(), value),
            None => members.remove(name),
        });
        let token = forge(&private("es256-1"), "ES256", header, &all);
        house.provider().verify_client_assertion(&shop, &token, rules).map(drop)
    };
    assert!(verify(json!({}), "x", None, &rules).is_ok());
    assert!(verify(json!({}), "aud", Some(json!(token_endpoint)), &rules).is_ok());
    assert!(verify(json!({}), "iat", None, &rules).is_ok());
    for (name, value) in [
        ("iss", None),
        ("iss", Some(json!("other"))),
        ("sub", None),
        ("sub", Some(json!("other"))),
        ("aud", None),
        ("aud", Some(json!("https://op.example.com/am/oauth2/"))),
        ("aud", Some(json!("https://op.example.com"))),
        ("aud", Some(json!([ISSUER]))),
        ("aud", Some(json!([ISSUER, "https://other"]))),
        ("exp", None),
        ("exp", Some(json!(NOW - 61))),
        ("exp", Some(json!(NOW + 661))),
        ("exp", Some(json!("1900000000"))),
        ("iat", Some(json!(NOW - 661))),
        ("iat", Some(json!(NOW + 61))),
        ("nbf", Some(json!(NOW + 61))),
        ("jti", None),
        ("jti", Some(json!(""))),
        ("jti", Some(json!(1))),
    ] {
        let error = verify(json!({}), name, value.clone(), &rules).unwrap_err();
        assert!(!reason(&error).is_empty(), "{name} {value:?}");
    }
    let lists = AssertionRules { form: AudienceForm::List, ..rules };
    assert!(verify(json!({}), "aud", Some(json!([ISSUER])), &lists).is_ok());
    assert!(verify(json!({}), "aud", Some(json!(["https://other"])), &lists).is_err());
    let strict = AssertionRules { untyped: Untyped::Refused, ..rules };
    for (header, taken, taken_strictly) in [
        (json!({}), true, false),
        (json!({ "typ": "JWT" }), true, false),
        (json!({ "typ": "client-authentication+jwt" }), true, true),
        (json!({ "typ": "oauth-authz-req+jwt" }), false, false),
    ] {
        assert_eq!(verify(header.clone(), "x", None, &rules).is_ok(), taken, "{header}");
        assert_eq!(verify(header.clone(), "x", None, &strict).is_ok(), taken_strictly, "{header}");
    }
}

#[test]
fn an_assertion_counts_once_and_only_a_good_one_uses_its_id_up() {
    let house = House::new();
    let shop = assertion_client("private_key_jwt", json!({}));
    let seen = RefCell::new(Vec::new());
    let remember = |token: &JtiUse<'_>| {
        let new = (token.issuer.to_owned(), token.jti.to_owned());
        let first = !seen.borrow().contains(&new);
        seen.borrow_mut().push(new);
        Ok(first)
    };
    let rules = AssertionRules::new(&[ISSUER], &remember);
    let claims = |aud: &str| json!({ "iss": "shop", "sub": "shop", "aud": aud, "exp": NOW + 60, "jti": "j" });
    let make = |alias: &str, aud: &str| forge(&private(alias), "ES256", json!({}), &claims(aud));
    let verify = |token: &str| house.provider().verify_client_assertion(&shop, token, &rules);
    // Foreign keys and audiences leave no trace.
    assert!(verify(&make("es256-2", ISSUER)).is_err());
    assert!(verify(&make("es256-1", "https://other")).is_err());
    assert!(seen.borrow().is_empty());
    let token = make("es256-1", ISSUER);
    assert!(verify(&token).is_ok());
    // ECDSA: (r, n - s) verifies too, and is the same token (attacks.md J07).
    for again in [token.clone(), mirrored(&token)] {
        assert!(reason(&verify(&again).unwrap_err()).contains("used before"));
    }
    let broken = |_: &JtiUse<'_>| Err(Error::new(ErrorKind::StoreUnavailable, "no memory"));
    let rules = AssertionRules::new(&[ISSUER], &broken);
    let error = house.provider().verify_client_assertion(&shop, &token, &rules).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreUnavailable);
}

/// The other signature of an ES256 token that verifies.
fn mirrored(token: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use openssl::bn::{BigNum, BigNumContext};
    let (input, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let group = openssl::ec::EcGroup::from_curve_name(openssl::nid::Nid::X9_62_PRIME256V1).unwrap();
    let (mut order, mut context) = (BigNum::new().unwrap(), BigNumContext::new().unwrap());
    group.order(&mut order, &mut context).unwrap();
    let s = BigNum::from_slice(&bytes[32..]).unwrap();
    let mirrored = (&order - &s).to_vec_padded(32).unwrap();
    bytes[32..].copy_from_slice(&mirrored);
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[test]
fn userinfo_is_signed_encrypted_or_both_and_about_the_subject_of_the_id_token() {
    let house = House::new();
    let published = house.published(&["ES256"]);
    let alice = json!({ "iss": ISSUER, "aud": "shop", "sub": "alice", "email": "a@example.com" });
    let signed = forge(&private("es256-1"), "ES256", json!({}), &alice);
    let to_us = peer(
        &json!({ "keys": [public("enc-1")] }),
        &PeerRules::new(&[LabelUse::Encrypt], &["RSA-OAEP-256", "A256GCM"]).unwrap(),
    );
    let encrypted =
        |content: &[u8]| jwe::encrypt(&to_us, content, &EncryptOptions::default()).unwrap();
    let (both, sealed) = (encrypted(signed.as_bytes()), encrypted(alice.to_string().as_bytes()));
    let signing = json!({ "userinfo_signed_response_alg": "ES256" });
    let encryption = json!({ "userinfo_encrypted_response_alg": "RSA-OAEP-256",
        "userinfo_encrypted_response_enc": "A256GCM" });
    let nested = json!({ "userinfo_signed_response_alg": "ES256",
        "userinfo_encrypted_response_alg": "RSA-OAEP-256", "userinfo_encrypted_response_enc": "A256GCM" });
    let open = |metadata: &Value, response: &str, subject: &str| {
        let rp = house.relying_party(&client(metadata.clone()));
        rp.open_userinfo(Some(&published), response, subject)
    };
    for (metadata, good) in [(&signing, &signed), (&encryption, &sealed), (&nested, &both)] {
        assert_eq!(open(metadata, good, "alice").unwrap()["email"], "a@example.com");
        assert!(reason(&open(metadata, good, "bob").unwrap_err()).contains("another subject"));
        for other in [&signed, &sealed, &both].into_iter().filter(|other| *other != good) {
            assert!(open(metadata, other, "alice").is_err());
        }
    }
    for (name, value) in [("iss", "https://other"), ("aud", "other"), ("sub", "")] {
        let mut all = alice.clone();
        all[name] = value.into();
        let token = forge(&private("es256-1"), "ES256", json!({}), &all);
        assert!(open(&signing, &token, "alice").is_err(), "{name}");
    }
    // An ID token of the same provider, to the same client, about the same user.
    let mut id_token = alice.clone();
    id_token["nonce"] = "n-1".into();
    let id_token = forge(&private("es256-1"), "ES256", json!({}), &id_token);
    assert!(reason(&open(&signing, &id_token, "alice").unwrap_err()).contains("another kind"));
    let logout = forge(&private("es256-1"), "ES256", json!({ "typ": "logout+jwt" }), &alice);
    assert!(open(&signing, &logout, "alice").is_err());
    assert_eq!(open(&json!({}), &signed, "alice").unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn userinfo_goes_to_the_relying_party_as_it_registered() {
    let house = House::new();
    let published = house.published(&["ES256", "RS256"]);
    let keys = json!({ "keys": [public("es256-1"), public("enc-1")] });
    for signing in [None, Some("ES256"), Some("RS256"), Some("HS256")] {
        for encryption in
            [None, Some("RSA-OAEP"), Some("RSA-OAEP-256"), Some("A256KW"), Some("dir")]
        {
            let mut metadata = json!({ "client_secret": SECRET, "jwks": keys,
                // Other algorithms for ID tokens: neither is taken for the other's.
                "id_token_encrypted_response_alg": "A128KW", "id_token_encrypted_response_enc": "A128GCM" });
            if let Some(alg) = signing {
                metadata["userinfo_signed_response_alg"] = alg.into();
            }
            if let Some(alg) = encryption {
                metadata["userinfo_encrypted_response_alg"] = alg.into();
                metadata["userinfo_encrypted_response_enc"] = "A256GCM".into();
            }
            let shop = client(metadata);
            let given = || claims(json!({ "sub": "alice", "email": "a@example.com" }));
            drop(house.provider().issue_id_token(&shop, &given(), &Default::default()).unwrap());
            let made = house.provider().issue_userinfo(&shop, &given());
            if (signing, encryption) == (None, None) {
                assert_eq!(made.unwrap_err().kind(), ErrorKind::Usage);
                continue;
            }
            let rp = house.relying_party(&shop);
            let found = rp.open_userinfo(Some(&published), &made.unwrap(), "alice");
            assert_eq!(found.unwrap()["email"], "a@example.com", "{signing:?} {encryption:?}");
        }
    }
    let shop = client(json!({ "userinfo_signed_response_alg": "ES256" }));
    for name in ["iss", "aud", "exp", "iat", "nonce", "events", "at_hash"] {
        let given = claims(json!({ "sub": "alice", name: "x" }));
        assert_eq!(
            house.provider().issue_userinfo(&shop, &given).unwrap_err().kind(),
            ErrorKind::Usage
        );
    }
    assert!(house.provider().issue_userinfo(&shop, &claims(json!({}))).is_err());
}

#[test]
fn metadata_that_is_misspelled_or_contradicts_itself_is_refused() {
    for (metadata, why) in [
        (
            json!({ "id_token_encrypted_response_al": "RSA-OAEP" }),
            "id_token_encrypted_response_alg",
        ),
        (json!({ "client_secrets": "x" }), "did you mean \"client_secret\""),
        (json!({ "Subject_Type": "pairwise" }), "did you mean \"subject_type\""),
        (json!({ "id_token_encrypted_response_enc": "A128GCM" }), "stands without"),
        (json!({ "id_token_signed_response_alg": "none" }), "no algorithm"),
        (json!({ "id_token_signed_response_alg": "RSA-OAEP" }), "no algorithm"),
        (json!({ "id_token_signed_response_alg": 1 }), "not a string"),
        (json!({ "id_token_encrypted_response_alg": "PBES2-HS256+A128KW" }), "no algorithm"),
        (json!({ "client_id": "" }), "client_id"),
        (json!({ "subject_type": "private" }), "subject_type"),
        (json!({ "agent": "yes" }), "true or false"),
        (json!({ "client_secret": "" }), "empty"),
    ] {
        let mut all = json!({ "client_id": "shop" });
        all.as_object_mut().unwrap().extend(claims(metadata));
        let error = Client::from_json(all.to_string().as_bytes()).unwrap_err();
        let text = format!("{} {}", error.message(), error.help().unwrap_or_default());
        assert!(text.contains(why), "{all}: {text}");
    }
    let answered = json!({ "client_id": "shop", "client_name": "Shop", "client_name#fr": "Boutique",
        "client_secret_expires_at": 0, "grant_types": ["authorization_code"], "jwks_uri": "https://shop/jwks", "nfv_token_signed_response_alg": "RS256",
        // Of Ping AM.
        "jwt_token_lifetime": 0, "public_key_selector": "jwks_uri", "userinfo_response_format": "JSON",
        "token_endpoint_auth_method": "client_secret_basic", "default_max_age": null });
    assert!(Client::from_json(answered.to_string().as_bytes()).is_ok());
    let shown = format!("{:?}", client(json!({ "client_secret": SECRET })));
    assert!(!shown.contains(SECRET) && shown.contains("shop"));
}

#[test]
fn no_metadata_of_whatever_type_is_more_than_an_error() {
    let names = [
        "agent",
        "client_id",
        "client_secret",
        "id_token_encrypted_response_alg",
        "id_token_encrypted_response_enc",
        "id_token_signed_response_alg",
        "jwks",
        "redirect_uris",
        "request_object_encryption_alg",
        "secret_label_identifier",
        "sector_identifier_uri",
        "subject_type",
        "token_endpoint_auth_method",
        "token_endpoint_auth_signing_alg",
        "userinfo_signed_response_alg",
    ];
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("x"),
        json!("\u{0}\u{202e}"),
        json!("a".repeat(10_000)),
        json!([]),
        json!([1]),
        json!(["https://["]),
        json!({}),
        json!({ "keys": [1, {}] }),
    ];
    let house = House::new();
    for name in names {
        for value in &odd {
            let mut all = json!({ "client_id": "shop", "subject_type": "pairwise" });
            all[name] = value.clone();
            let Ok(client) = Client::from_json(all.to_string().as_bytes()) else { continue };
            assert!(!client.id().is_empty());
            // What is taken is used without harm: an answer or an error.
            let provider = house.provider();
            let given = claims(json!({ "sub": "alice" }));
            drop(provider.issue_id_token(&client, &given, &Default::default()));
            drop(provider.open_request_object(&client, "a.b.c", &RULES));
            let rules = AssertionRules::new(&[ISSUER], &NoReplayCheck);
            assert!(provider.verify_client_assertion(&client, "a.b.c", &rules).is_err());
            drop(provider.subject(&client, "alice"));
        }
    }
}
