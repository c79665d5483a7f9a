//! `Ed25519` and `Ed448` (RFC 9864): taken where a label allows `EdDSA`, made where somebody names them.

use std::path::Path;
use std::process::Command;

use claviger::alg::Algorithm;
use claviger::catalogue::LabelUse;
use claviger::error::ErrorKind;
use claviger::jose::jws::{self, SignOptions, VerifyOptions};
use claviger::ops::{KeySet, KeySetPolicy};
use claviger::profiles::oidc::{IdTokenOptions, IdTokenRules};
use serde_json::{Value, json};

use crate::interop::peers;
use crate::oidc_house::{House, ISSUER, NOW, claims, client, part, peer, private, public};
use crate::oidc_peers::exchange;
use crate::workshop::jwk;

/// A label with one key that allows these algorithms.
fn label(key: &str, algorithms: &[&str]) -> KeySet {
    let rows = algorithms.iter().map(|name| Algorithm::named(name).unwrap()).collect();
    let uses = vec![LabelUse::Sign, LabelUse::Verify];
    KeySet::from_jwks(
        "app.ed".parse().unwrap(),
        uses,
        key.as_bytes(),
        rows,
        KeySetPolicy::default(),
    )
    .unwrap()
}

fn sign(set: &KeySet, algorithm: Option<&str>) -> claviger::error::Result<String> {
    let algorithm = algorithm.map(|name| name.to_owned().into());
    jws::sign(set, b"{}", &SignOptions { algorithm, ..SignOptions::default() })
}

#[test]
fn a_label_that_allows_eddsa_takes_both_names_and_signs_with_what_it_names() {
    let key = jwk("k", "ed25519");
    let (whole, exact) = (label(&key, &["EdDSA"]), label(&key, &["Ed25519"]));
    let verifies =
        |set: &KeySet, token: &str| jws::verify(set, token, &VerifyOptions::default()).is_ok();
    let (old, new) = (sign(&whole, None).unwrap(), sign(&exact, None).unwrap());
    assert_eq!(
        (&part(&old, 0)["alg"], &part(&new, 0)["alg"]),
        (&json!("EdDSA"), &json!("Ed25519"))
    );
    assert_eq!(
        sign(&whole, Some("Ed25519")).map(|token| part(&token, 0)["alg"].clone()).unwrap(),
        "Ed25519"
    );
    assert!(verifies(&whole, &old) && verifies(&whole, &new) && verifies(&exact, &new));
    // What names the curve allows no other name.
    assert!(!verifies(&exact, &old));
    assert_eq!(sign(&exact, Some("EdDSA")).unwrap_err().kind(), ErrorKind::AlgorithmNotAllowed);
    // The name of the other curve, and names that are none.
    for wrong in ["Ed448", "ED25519", "ES256", "none"] {
        assert!(sign(&whole, Some(wrong)).is_err(), "{wrong}");
        assert!(!verifies(&whole, &renamed(&new, wrong)), "{wrong}");
    }
    // A label without EdDSA takes neither.
    assert!(!verifies(&label(&jwk("e", "ec"), &["ES256"]), &new));
}

/// The token with another `alg` in its header.
fn renamed(token: &str, algorithm: &str) -> String {
    use base64::Engine;
    let mut header = part(token, 0);
    header["alg"] = algorithm.into();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header.to_string());
    format!("{header}.{}", token.split_once('.').unwrap().1)
}

#[cfg(feature = "compat")]
#[test]
fn ed448_has_its_own_name_too() {
    let (key, other) = (jwk("k", "ed448"), jwk("k", "ed25519"));
    let token = sign(&label(&key, &["Ed448"]), None).unwrap();
    assert_eq!(part(&token, 0)["alg"], "Ed448");
    let whole = label(&key, &["EdDSA"]);
    assert!(jws::verify(&whole, &token, &VerifyOptions::default()).is_ok());
    assert!(jws::verify(&label(&other, &["EdDSA"]), &token, &VerifyOptions::default()).is_err());
    assert!(sign(&whole, Some("Ed25519")).is_err());
}

#[test]
fn a_client_that_registers_ed25519_gets_it_and_jose_reads_and_makes_it() {
    let Some(folder) = peers() else { return };
    let house = House::new();
    let shop = client(json!({ "id_token_signed_response_alg": "Ed25519" }));
    let given = claims(json!({ "sub": "alice", "nonce": "n-1" }));
    let token = house.provider().issue_id_token(&shop, &given, &IdTokenOptions::default()).unwrap();
    assert_eq!(part(&token, 0)["alg"], "Ed25519");
    let bare = |mut jwk: Value| {
        jwk.as_object_mut().unwrap().remove("alg");
        jwk
    };
    let task = json!({ "id": "ed", "alg": "Ed25519", "token": token, "issuer": ISSUER, "audience": "shop", "now": NOW,
        "typ": "JWT", "secret": "", "signs": bare(private("ed-1")), "verifies": bare(public("ed-1")),
        "claims": { "iss": ISSUER, "sub": "bob", "aud": "shop", "iat": NOW, "exp": NOW + 60 } });
    let mut node = Command::new("node");
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/oidc_peer.mjs"))
        .arg(&folder);
    let answer = exchange(node, &[task]).remove(0);
    assert_eq!(answer["claims"]["sub"], "alice", "{answer}");
    let made = answer["made"].as_str().unwrap();
    assert_eq!(part(made, 0)["alg"], "Ed25519");
    let keys = house.published(&["EdDSA"]);
    let verify = |client: &claviger::profiles::oidc::Client| {
        house.relying_party(client).verify_id_token(Some(&keys), made, &IdTokenRules::default())
    };
    drop(verify(&shop).unwrap());
    // EdDSA is both names; one name is not the other.
    drop(verify(&client(json!({ "id_token_signed_response_alg": "EdDSA" }))).unwrap());
    assert!(verify(&client(json!({ "id_token_signed_response_alg": "ES256" }))).is_err());
    let exact = peer(
        &json!({ "keys": [public("ed-1")] }),
        &claviger::ops::PeerRules::verify(&["Ed25519"]).unwrap(),
    );
    let found =
        house.relying_party(&shop).verify_id_token(Some(&exact), made, &IdTokenRules::default());
    assert_eq!(found.unwrap().claims["sub"], "bob");
}
