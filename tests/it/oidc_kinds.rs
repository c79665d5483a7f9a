//! The kinds of tokens of OAuth 2.0 and OpenID Connect, for the tests that go over every kind: each with the most lenient
//! rules that it has, over keys that the labels share as far as they can.

use claviger::Keyring;
use claviger::error::{ErrorKind, Result};
use claviger::jose::jwk;
use claviger::ops::PeerRules;
use claviger::profiles::oidc::{
    AccessTokenRules, AssertionOptions, AssertionRules, AudienceForm, Binding, Client, Endpoint,
    Expired, IdTokenOptions, IdTokenRules, LogoutTokenOptions, LogoutTokenRules, NoReplayCheck,
    Nonce, Provider, RefreshTokenOptions, RelyingParty, RequestObjectOptions, RequestObjectRules,
    TokenProtection, Untyped,
};
use serde_json::{Map, Value, json};

use crate::deployment::Deployment;
use crate::oidc_house::{ISSUER, SECRET, claims, client, signed};
use crate::token_kinds::{Kind, REALM, mappings, published};

/// What the kinds need, besides a client's registration.
pub(crate) const LABELS: [&str; 9] = [
    "am.services.oauth2.oidc.signing.RSA",
    "am.services.oauth2.oidc.signing.ES256",
    "am.services.oauth2.stateless.signing.RSA",
    "am.services.oauth2.stateless.signing.HMAC",
    "am.services.oauth2.stateless.token.encryption",
    "am.services.oauth2.jwt.authenticity.signing",
    "am.services.oauth2.oidc.rp.jwt.authenticity.signing",
    "am.services.oauth2.oidc.rp.idtoken.encryption",
    "am.services.oauth2.oidc.decryption.RSA.OAEP.256",
];

const ANY_ID_TOKEN: IdTokenRules<'_> = IdTokenRules {
    from: Endpoint::Token,
    nonce: Nonce::Any,
    max_age: None,
    acr: &[],
    subject: None,
    access_token: None,
    code: None,
    state: None,
    trusted_audiences: &[ISSUER, "https://api"],
    expired: Expired::Accepted,
};

struct Sides {
    provider: Provider,
    relying_party: RelyingParty,
    client: Client,
    keyring: Keyring,
}

impl Sides {
    /// A client, `shop`, that has this registration and the same keys as the provider.
    fn new(keyring: &Keyring, metadata: Value) -> Self {
        let public = |label: &str| -> Vec<Value> {
            let keys = keyring.realm(REALM).unwrap().label(label).unwrap().keys().unwrap();
            keys.keys().iter().filter_map(|key| jwk::public(&keys, key)).collect()
        };
        let keys = [public(LABELS[6]), public(LABELS[7])].concat();
        let mut all = json!({ "client_secret": SECRET, "jwks": { "keys": keys } });
        all.as_object_mut().unwrap().extend(claims(metadata));
        let client = client(all);
        let oidc = keyring.oidc(Some(REALM.parse().unwrap()));
        let provider = oidc.provider(ISSUER);
        let relying_party = oidc.relying_party(client.clone(), ISSUER);
        Self { provider, relying_party, client, keyring: keyring.clone() }
    }

    fn protected(self, protection: TokenProtection) -> Self {
        Self { provider: self.provider.with_tokens(&[protection]).unwrap(), ..self }
    }
}

/// Claims of which every kind takes some.
fn given() -> Map<String, Value> {
    claims(json!({ "sub": "alice", "scope": "openid", "sid": "s-1", "jti": "j-1" }))
}

fn kind(
    name: &str,
    sides: Sides,
    make: impl Fn(&Sides) -> Result<String> + 'static,
    open: impl Fn(&Sides, &str) -> Result<()> + 'static,
) -> Kind {
    let sides = std::rc::Rc::new(sides);
    let opening = std::rc::Rc::clone(&sides);
    Kind {
        name: name.to_owned(),
        make: Box::new(move || make(&sides).unwrap()),
        open: Box::new(move |token| open(&opening, token)),
    }
}

fn id_token(name: &str, sides: Sides) -> Kind {
    let make = |sides: &Sides| {
        sides.provider.issue_id_token(&sides.client, &given(), &IdTokenOptions::default())
    };
    kind(name, sides, make, |sides, token| {
        let keys = verifying(sides);
        let as_client = sides.relying_party.verify_id_token(keys.as_ref(), token, &ANY_ID_TOKEN);
        if sides.client.id_token().encryption.is_none() {
            // The provider is of the same opinion.
            let own = sides.provider.verify_id_token(&sides.client, token, &ANY_ID_TOKEN);
            assert_eq!(own.is_ok(), as_client.is_ok(), "{own:?} {as_client:?}");
        }
        as_client.map(drop)
    })
}

fn logout_token(name: &str, sides: Sides) -> Kind {
    let make = |sides: &Sides| {
        sides.provider.issue_logout_token(&sides.client, &given(), &LogoutTokenOptions::default())
    };
    kind(name, sides, make, |sides, token| {
        let rules = LogoutTokenRules {
            untyped: Untyped::Accepted,
            max_lifetime: None,
            replay: &NoReplayCheck,
        };
        let keys = verifying(sides);
        sides.relying_party.verify_logout_token(keys.as_ref(), token, &rules).map(drop)
    })
}

/// The provider's published keys for the registered algorithm.
fn verifying(sides: &Sides) -> Option<std::sync::Arc<claviger::ops::KeySet>> {
    let name = sides.client.id_token().signing.map_or("RS256", |row| row.name);
    let label = match name {
        "RS256" => LABELS[0],
        "ES256" => LABELS[1],
        _ => return None,
    };
    Some(published(&sides.keyring, label, &PeerRules::verify(&[name]).unwrap()))
}

fn access_token(name: &str, sides: Sides) -> Kind {
    let make = |sides: &Sides| {
        sides.provider.issue_access_token(&sides.client, &given(), &Default::default())
    };
    kind(name, sides, make, |sides, token| {
        let rules = AccessTokenRules { binding: Binding::Unchecked, ..Default::default() };
        sides.provider.verify_access_token(token, &rules).map(drop)
    })
}

fn refresh_token(name: &str, sides: Sides) -> Kind {
    let make = |sides: &Sides| {
        sides.provider.issue_refresh_token(&sides.client, &given(), &RefreshTokenOptions::default())
    };
    kind(name, sides, make, |sides, token| {
        sides.provider.verify_refresh_token(&sides.client, token).map(drop)
    })
}

fn request_object(name: &str, sides: Sides) -> Kind {
    let make = |sides: &Sides| {
        let rules = PeerRules::encrypt(&["RSA-OAEP-256", "A128CBC-HS256"]).unwrap();
        let keys = published(&sides.keyring, LABELS[8], &rules);
        let options = RequestObjectOptions { provider_keys: Some(&keys), ..Default::default() };
        sides.relying_party.request_object(&given(), &options)
    };
    kind(name, sides, make, |sides, token| {
        let rules = RequestObjectRules { untyped: Untyped::Accepted, max_lifetime: None };
        sides.provider.open_request_object(&sides.client, token, &rules).map(drop)
    })
}

fn client_assertion(name: &str, sides: Sides) -> Kind {
    let make =
        |sides: &Sides| sides.relying_party.client_assertion(ISSUER, &AssertionOptions::default());
    kind(name, sides, make, |sides, token| {
        let audiences = [ISSUER, "shop", "https://api"];
        let rules = AssertionRules {
            form: AudienceForm::List,
            max_lifetime: std::time::Duration::from_secs(100 * 86_400),
            ..AssertionRules::new(&audiences, &NoReplayCheck)
        };
        sides.provider.verify_client_assertion(&sides.client, token, &rules).map(drop)
    })
}

/// Every kind of token, in each way that it is protected.
pub(crate) fn kinds(keyring: &Keyring) -> Vec<Kind> {
    let with = |metadata: Value| Sides::new(keyring, metadata);
    let plain = || with(json!({}));
    let encrypted = json!({ "id_token_encrypted_response_alg": "RSA-OAEP-256" });
    let mac = json!({ "id_token_signed_response_alg": "HS256" });
    let es256 = json!({ "id_token_signed_response_alg": "ES256" });
    let mut kinds = vec![
        id_token("ID token RS256", plain()),
        id_token("ID token ES256", with(es256.clone())),
        id_token("ID token HS256", with(mac.clone())),
        id_token("ID token RS256 RSA-OAEP-256", with(encrypted.clone())),
        logout_token("logout token RS256", plain()),
        logout_token("logout token ES256", with(es256)),
        logout_token("logout token HS256", with(mac)),
        logout_token("logout token RS256 RSA-OAEP-256", with(encrypted)),
        request_object("request object", with(json!({ "request_object_signing_alg": "RS256" }))),
        request_object(
            "request object HS256",
            with(json!({ "request_object_signing_alg": "HS256" })),
        ),
        request_object(
            "request object RSA-OAEP-256",
            with(json!({ "request_object_signing_alg": "RS256",
                "request_object_encryption_alg": "RSA-OAEP-256" })),
        ),
        client_assertion(
            "private_key_jwt",
            with(json!({ "token_endpoint_auth_method": "private_key_jwt",
                "token_endpoint_auth_signing_alg": "RS256" })),
        ),
        client_assertion(
            "client_secret_jwt",
            with(json!({ "token_endpoint_auth_method": "client_secret_jwt",
                "token_endpoint_auth_signing_alg": "HS256" })),
        ),
    ];
    for (name, protection) in [
        ("RS256", signed("RS256")),
        ("HS256", signed("HS256")),
        ("encrypted", TokenProtection::Encrypted),
    ] {
        kinds.push(access_token(&format!("access token {name}"), plain().protected(protection)));
        kinds.push(refresh_token(&format!("refresh token {name}"), plain().protected(protection)));
    }
    kinds
}

#[test]
fn every_changed_character_is_noticed() {
    let deployment = Deployment::new();
    deployment.configure(&mappings(), "");
    let keyring = deployment.keyring();
    for kind in kinds(&keyring) {
        let token = (kind.make)();
        // A prime step reaches every part of every kind.
        for at in (0..token.len()).step_by(13) {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            for other in [changed.as_str(), &token[..at], &format!("{token}.{}", &token[..at])] {
                let error = (kind.open)(other).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TokenRefused, "{} at {at}", kind.name);
            }
        }
    }
}

#[test]
fn a_userinfo_response_is_taken_for_no_token() {
    let deployment = Deployment::new();
    deployment.configure(&mappings(), "");
    let keyring = deployment.keyring();
    let mut given = given();
    given.insert("client_id".into(), "shop".into());
    for alg in ["RS256", "ES256", "HS256"] {
        let sides = Sides::new(&keyring, json!({ "userinfo_signed_response_alg": alg }));
        let response = sides.provider.issue_userinfo(&sides.client, &given).unwrap();
        for kind in crate::token_kinds::kinds(&keyring) {
            let error = (kind.open)(&response).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TokenRefused, "{alg} as {}", kind.name);
        }
    }
}
