//! The examples of OpenID Connect Core that are signed with published keys.

use claviger::ops::PeerRules;
use claviger::profiles::oidc::{
    Client, Endpoint, IdTokenRules, Nonce, RequestObjectRules, Untyped,
};
use serde_json::{Value, json};

use crate::oidc_house::{House, peer, reason};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/oidc/core.json")).unwrap()
}

#[test]
fn the_id_tokens_of_the_specification_verify_with_what_came_beside_them() {
    let (house, all) = (House::new(), vectors());
    let text = |name: &str| all[name].as_str().unwrap();
    house.set(all["now"].as_u64().unwrap());
    let metadata = json!({ "client_id": text("client_id") }).to_string();
    let client = Client::from_json(metadata.as_bytes()).unwrap();
    let rp = house.keyring.oidc(None).relying_party(client, text("issuer"));
    let keys = peer(&all["provider_jwks"], &PeerRules::verify(&["RS256"]).unwrap());
    let rules = IdTokenRules {
        from: Endpoint::Authorization,
        nonce: Nonce::Is(text("nonce")),
        subject: Some(text("sub")),
        ..IdTokenRules::default()
    };
    let with_token = IdTokenRules { access_token: Some(text("access_token")), ..rules };
    let with_code = IdTokenRules { code: Some(text("code")), ..rules };
    let verify = |name: &str, rules: &IdTokenRules<'_>| {
        rp.verify_id_token(Some(&keys), text(name), rules).map(|found| found.claims)
    };
    assert_eq!(verify("id_token", &rules).unwrap()["name"], "Jane Doe");
    assert!(verify("id_token_with_at_hash", &with_token).is_ok());
    assert!(verify("id_token_with_c_hash", &with_code).is_ok());
    // What came beside must be bound, and to this token.
    assert!(reason(&verify("id_token", &with_token).unwrap_err()).contains("at_hash is missing"));
    assert!(reason(&verify("id_token_with_at_hash", &with_code).unwrap_err()).contains("c_hash"));
    let other = IdTokenRules { access_token: Some("other"), ..rules };
    assert!(
        reason(&verify("id_token_with_at_hash", &other).unwrap_err()).contains("something else")
    );
    house.set(1_311_281_970 + 60);
    assert!(reason(&verify("id_token", &rules).unwrap_err()).contains("expired"));
}

#[test]
fn the_request_object_of_the_specification_opens_where_it_may_live_for_ever() {
    let (house, all) = (House::new(), vectors());
    let text = |name: &str| all[name].as_str().unwrap();
    let metadata = json!({ "client_id": text("client_id"), "request_object_signing_alg": "RS256",
        "jwks": all["client_jwks"] });
    let client = Client::from_json(metadata.to_string().as_bytes()).unwrap();
    let provider = house.keyring.oidc(None).provider(text("issuer"));
    let lax = RequestObjectRules { untyped: Untyped::Accepted, max_lifetime: None };
    let found = provider.open_request_object(&client, text("request_object"), &lax).unwrap();
    assert_eq!(found.claims["redirect_uri"], "https://client.example.org/cb");
    assert_eq!(
        found.claims["claims"]["id_token"]["acr"]["values"][0],
        "urn:mace:incommon:iap:silver"
    );
    let strict = RequestObjectRules::default();
    let error = provider.open_request_object(&client, text("request_object"), &strict).unwrap_err();
    assert!(reason(&error).contains("exp"));
}
