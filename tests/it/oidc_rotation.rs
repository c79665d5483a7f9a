//! A rotation in the middle of every kind of token, for every label of the catalogue whose home is OpenID Connect: what
//! lives goes on, what a retired alias made is refused.

use claviger::catalogue::{self, Home};
use claviger::ops::PeerRules;
use claviger::profiles::jwks::Party;
use claviger::profiles::oidc::{
    AccessTokenRules, AssertionOptions, AssertionRules, Client, IdTokenOptions, IdTokenRules,
    LogoutTokenOptions, LogoutTokenRules, NoReplayCheck, RequestObjectOptions, RequestObjectRules,
    TokenProtection, Untyped,
};
use serde_json::{Value, json};

use crate::oidc_house::{
    House, ISSUER, NOW, SECRET, claims, client, forge, part, peer, private, public, reason, signed,
};

/// Makes a token with an algorithm and a label.
type Make = fn(&House, &str, &str) -> String;
/// Opens one: it must open for as long as its alias is mapped to the label.
type Open = fn(&House, &str, &str, &str) -> claviger::error::Result<()>;

/// How labels are used, each with an algorithm.
struct Use {
    labels: &'static [(&'static str, &'static str)],
    make: Make,
    open: Open,
}

/// Who uses which label, with which algorithm.
const USES: [Use; 9] = [
    Use {
        labels: &[
            ("am.services.oauth2.oidc.signing.ES256", "ES256"),
            ("am.services.oauth2.oidc.signing.ES384", "ES384"),
            ("am.services.oauth2.oidc.signing.ES512", "ES512"),
            ("am.services.oauth2.oidc.signing.RSA", "RS256"),
            ("am.services.oauth2.oidc.signing.RSA", "PS384"),
            ("am.services.oauth2.oidc.signing.EDDSA", "EdDSA"),
        ],
        make: |house, alg, _| id_token(house, &registered(alg)),
        open: |house, alg, label, token| {
            let shop = registered(alg);
            let as_client = house.relying_party(&shop).verify_id_token(
                Some(&house.published_by(label, &[alg])),
                token,
                &IdTokenRules::default(),
            );
            let own = house.provider().verify_id_token(&shop, token, &IdTokenRules::default());
            assert_eq!(own.is_ok(), as_client.is_ok());
            as_client.map(drop)
        },
    },
    Use {
        labels: &[
            ("am.services.oauth2.oidc.signing.ES256", "ES256"),
            ("am.services.oauth2.oidc.signing.RSA", "RS512"),
        ],
        make: |house, alg, _| {
            let options = LogoutTokenOptions::default();
            let given = claims(json!({ "sub": "alice" }));
            house.provider().issue_logout_token(&registered(alg), &given, &options).unwrap()
        },
        open: |house, alg, label, token| {
            let rules = LogoutTokenRules {
                untyped: Untyped::Refused,
                max_lifetime: None,
                replay: &NoReplayCheck,
            };
            let rp = house.relying_party(&registered(alg));
            let keys = house.published_by(label, &[alg]);
            rp.verify_logout_token(Some(&keys), token, &rules).map(drop)
        },
    },
    Use {
        labels: &[("am.services.oauth2.jwt.authenticity.signing", "HS256")],
        make: |house, alg, _| id_token(house, &registered(alg)),
        open: |house, alg, _, token| {
            let rules = IdTokenRules::default();
            house.provider().verify_id_token(&registered(alg), token, &rules).map(drop)
        },
    },
    Use {
        labels: &[("am.global.services.oauth2.oidc.agent.idtoken.signing", "RS256")],
        make: |house, _, _| id_token(house, &client(json!({ "agent": true }))),
        open: |house, _, _, token| {
            let agent = client(json!({ "agent": true }));
            house.provider().verify_id_token(&agent, token, &IdTokenRules::default()).map(drop)
        },
    },
    Use {
        labels: &[
            ("am.services.oauth2.stateless.signing.ES256", "ES256"),
            ("am.services.oauth2.stateless.signing.ES384", "ES384"),
            ("am.services.oauth2.stateless.signing.ES512", "ES512"),
            ("am.services.oauth2.stateless.signing.RSA", "PS256"),
            ("am.services.oauth2.stateless.signing.HMAC", "HS512"),
            ("am.services.oauth2.stateless.token.encryption", "encrypted"),
        ],
        make: |house, alg, _| {
            let given = claims(json!({ "sub": "alice" }));
            let provider = house.provider_with(&[protection(alg)]);
            provider.issue_access_token(&client(json!({})), &given, &Default::default()).unwrap()
        },
        open: |house, alg, _, token| {
            let provider = house.provider_with(&[protection(alg)]);
            provider.verify_access_token(token, &AccessTokenRules::default()).map(drop)
        },
    },
    Use {
        labels: &[
            ("am.services.oauth2.oidc.decryption.RSA1.5", "RSA1_5"),
            ("am.services.oauth2.oidc.decryption.RSA.OAEP", "RSA-OAEP"),
            ("am.services.oauth2.oidc.decryption.RSA.OAEP.256", "RSA-OAEP-256"),
        ],
        make: |house, alg, label| {
            // Encrypted to the key that acts, as the provider publishes it.
            let active = house.keyring.label(label).unwrap().keys().unwrap().active().clone();
            let jwks = json!({ "keys": [public(active.alias.as_str())] });
            let keys = peer(&jwks, &PeerRules::encrypt(&[alg, "A128CBC-HS256"]).unwrap());
            let options = RequestObjectOptions { provider_keys: Some(&keys), ..Default::default() };
            house
                .relying_party(&encrypting(alg))
                .request_object(&claims(json!({})), &options)
                .unwrap()
        },
        open: |house, alg, _, token| {
            let rules = RequestObjectRules::default();
            house.provider().open_request_object(&encrypting(alg), token, &rules).map(drop)
        },
    },
    Use {
        labels: &[("am.services.oauth2.oidc.rp.idtoken.encryption", "RSA-OAEP-256")],
        make: |house, alg, label| {
            let active = house.keyring.label(label).unwrap().keys().unwrap().active().clone();
            let shop = to_us(alg, json!({ "keys": [public(active.alias.as_str())] }));
            id_token(house, &shop)
        },
        open: |house, alg, _, token| {
            let rp = house.relying_party(&to_us(alg, json!({ "keys": [] })));
            rp.verify_id_token(Some(&house.published(&["ES256"])), token, &IdTokenRules::default())
                .map(drop)
        },
    },
    Use {
        labels: &[
            ("am.services.oauth2.oidc.rp.jwt.authenticity.signing", "RS256"),
            ("am.services.oauth2.oidc.rp.jwt.authenticity.signing", "PS512"),
        ],
        make: |house, alg, _| {
            let options = AssertionOptions::default();
            let shop = authenticating(alg, json!({ "keys": [] }));
            house.relying_party(&shop).client_assertion(ISSUER, &options).unwrap()
        },
        open: |house, alg, _, token| {
            // The other provider knows what we publish.
            let ours = house.keyring.jwks(None, Party::RelyingParty).document();
            let shop = authenticating(alg, serde_json::from_str(&ours.json).unwrap());
            let rules = AssertionRules::new(&[ISSUER], &NoReplayCheck);
            house.provider().verify_client_assertion(&shop, token, &rules).map(drop)
        },
    },
    Use {
        labels: &[("am.applications.oauth2.client.mapped.jwt.public.key", "ES256")],
        make: |house, alg, label| {
            let active = house.keyring.label(label).unwrap().keys().unwrap().active().clone();
            let all = json!({ "iss": "shop", "aud": ISSUER, "exp": NOW + 300 });
            forge(&private(active.alias.as_str()), alg, json!({}), &all)
        },
        open: |house, _, _, token| {
            let mapped = client(json!({ "secret_label_identifier": "mapped" }));
            let rules = RequestObjectRules::default();
            house.provider().open_request_object(&mapped, token, &rules).map(drop)
        },
    },
];

fn registered(alg: &str) -> Client {
    client(json!({ "id_token_signed_response_alg": alg, "client_secret": SECRET }))
}

fn encrypting(alg: &str) -> Client {
    client(json!({ "request_object_signing_alg": "HS256", "client_secret": SECRET,
        "request_object_encryption_alg": alg }))
}

fn to_us(alg: &str, jwks: Value) -> Client {
    client(
        json!({ "id_token_signed_response_alg": "ES256", "id_token_encrypted_response_alg": alg, "jwks": jwks }),
    )
}

fn authenticating(alg: &str, jwks: Value) -> Client {
    client(json!({ "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": alg, "jwks": jwks }))
}

fn protection(name: &str) -> TokenProtection {
    if name == "encrypted" { TokenProtection::Encrypted } else { signed(name) }
}

fn id_token(house: &House, shop: &Client) -> String {
    let given = claims(json!({ "sub": "alice" }));
    house.provider().issue_id_token(shop, &given, &IdTokenOptions::default()).unwrap()
}

/// The aliases of `label` by number; every other label keeps its own.
fn numbered(house: &House, label: &str, numbers: &[u32]) {
    house.remap(|of, name| {
        let numbers = if of == label { numbers } else { &[1, 2] };
        numbers.iter().map(|number| format!("{name}-{number}")).collect()
    });
}

fn rotate(one: &Use, label: &str, alg: &str) {
    let house = House::new();
    let mut live = Vec::new();
    // The only one; staged; promoted.
    for numbers in [&[1][..], &[1, 2], &[2, 1]] {
        numbered(&house, label, numbers);
        live.push((one.make)(&house, alg, label));
        for token in &live {
            let opened = (one.open)(&house, alg, label, token);
            assert!(opened.is_ok(), "{label} {alg} {numbers:?}: {opened:?}");
        }
    }
    numbered(&house, label, &[2]);
    let opened: Vec<bool> =
        live.iter().map(|token| (one.open)(&house, alg, label, token).is_ok()).collect();
    assert_eq!(opened, [false, false, true], "{label} {alg}: retired");
    reason(&(one.open)(&house, alg, label, &live[0]).unwrap_err());
}

#[test]
fn a_rotation_of_any_label_breaks_nothing_that_lives() {
    for one in &USES {
        for (label, alg) in one.labels {
            if cfg!(not(feature = "compat")) && *alg == "RSA1_5" {
                continue;
            }
            rotate(one, label, alg);
        }
    }
}

#[test]
fn every_label_of_the_catalogue_that_is_of_openid_connect_is_used_by_something() {
    // Secrets, salts and certificates are rotated in tests of their own.
    let elsewhere = [
        "am.applications.oauth2.client.{identifier}.secret",
        "am.applications.oauth2.client.{identifier}.mtls.trusted.cert",
        "am.applications.oauth2.client.{identifier}.id.token.enc.public.key",
        "am.services.oauth2.provider.hash.salt.secret",
        "am.services.oauth2.tls.client.cert.authentication",
        "am.services.oauth2.mtls.client.authentication",
        "am.services.oidc.reliant.party.{identifier}.truststore",
    ];
    for spec in catalogue::all().iter().filter(|spec| spec.home == Home::Oidc) {
        let name = spec.name.replace("{identifier}", "mapped");
        let used = USES.iter().any(|one| one.labels.iter().any(|(label, _)| *label == name));
        assert!(used || elsewhere.contains(&spec.name.as_str()), "nothing rotates {}", spec.name);
    }
}

#[test]
fn a_client_secret_is_rotated_by_a_new_version() {
    let house = House::new();
    let mapped = client(json!({ "secret_label_identifier": "mapped",
        "token_endpoint_auth_method": "client_secret_jwt", "token_endpoint_auth_signing_alg": "HS256" }));
    let old = "an old secret of the mapped client, 64 bytes long or even longer";
    let with = |secret: &str| {
        let shop = client(
            json!({ "client_secret": secret, "token_endpoint_auth_method": "client_secret_jwt",
            "token_endpoint_auth_signing_alg": "HS256" }),
        );
        house.relying_party(&shop).client_assertion(ISSUER, &AssertionOptions::default()).unwrap()
    };
    let verify = |token: &str| {
        let rules = AssertionRules::new(&[ISSUER], &NoReplayCheck);
        house.provider().verify_client_assertion(&mapped, token, &rules).is_ok()
    };
    assert!(verify(&with(old)) && verify(&with(SECRET)));
    assert!(!verify(&with("a secret that the provider does not know, 64 bytes long or longer")));
    let secrets = house.folder.path().join("secrets");
    let name = "am.applications.oauth2.client.mapped.secret";
    // A third version acts, and the first goes.
    let new = "a new secret of the mapped client, 64 bytes long or even longer!";
    std::fs::write(secrets.join(format!("{name}.v3")), new).unwrap();
    std::fs::remove_file(secrets.join(format!("{name}.v1"))).unwrap();
    let before = with(old);
    drop(house.keyring.reload().unwrap());
    assert!(verify(&with(new)) && verify(&with(SECRET)) && !verify(&before));
    // The newest signs ID tokens.
    let mac = client(
        json!({ "secret_label_identifier": "mapped", "id_token_signed_response_alg": "HS256" }),
    );
    let token = id_token(&house, &mac);
    let known = |secret: &str| {
        let shop =
            client(json!({ "client_secret": secret, "id_token_signed_response_alg": "HS256" }));
        house.relying_party(&shop).verify_id_token(None, &token, &IdTokenRules::default()).is_ok()
    };
    assert!(known(new) && !known(SECRET));
}

#[test]
fn a_client_key_that_is_mapped_encrypts_as_soon_as_it_is_first() {
    let house = House::new();
    let label = "am.applications.oauth2.client.mapped.id.token.enc.public.key";
    let mapped = client(json!({ "secret_label_identifier": "mapped",
        "id_token_signed_response_alg": "ES256", "id_token_encrypted_response_alg": "RSA-OAEP-256" }));
    for (numbers, kid) in
        [(&[1][..], "enc-1"), (&[1, 2], "enc-1"), (&[2, 1], "enc-2"), (&[2], "enc-2")]
    {
        numbered(&house, label, numbers);
        assert_eq!(part(&id_token(&house, &mapped), 0)["kid"], kid);
    }
}

#[test]
fn the_salt_stays_and_with_it_every_pairwise_subject() {
    let house = House::new();
    let shop = client(
        json!({ "subject_type": "pairwise", "redirect_uris": ["https://shop.example.com"] }),
    );
    let subject = || house.provider().subject(&shop, "alice").unwrap();
    let before = subject();
    for spec in catalogue::all().iter().filter(|spec| spec.home == Home::Oidc) {
        numbered(&house, &spec.name, &[2, 1]);
        assert_eq!(subject(), before);
    }
    let salt =
        catalogue::all().iter().find(|spec| spec.name.ends_with("hash.salt.secret")).unwrap();
    assert_eq!(salt.rotation, catalogue::Rotation::None);
}
