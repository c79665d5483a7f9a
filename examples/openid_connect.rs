//! A provider issues an ID token beside an access token, and a relying party checks both by the key set that the provider
//! publishes; the provider's key rotates, and what was issued before still holds.
//!
//! `cargo run --example openid_connect`

#![expect(clippy::print_stdout, clippy::indexing_slicing, reason = "an example")]

use claviger::clock::Clock;
use claviger::ops::{PeerKeySet, PeerRules};
use claviger::profiles::jwks::Party;
use claviger::profiles::oidc::{Client, IdTokenOptions, IdTokenRules, Nonce};
use claviger::{Config, Keyring, starter};
use serde_json::json;

const ISSUER: &str = "https://op.example.com";
const REGISTRATION: &[u8] = br#"{"client_id":"shop","id_token_signed_response_alg":"ES256"}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    starter::create(folder.path(), Clock::system().now())?;
    let file = folder.path().join("claviger.toml");
    let keyring = Keyring::from_config(Config::load(&file)?, Clock::system())?;

    // The provider. What it sets (iss, aud, iat, exp, at_hash) is not the caller's.
    let provider = keyring.oidc(None).provider(ISSUER);
    let shop = Client::from_json(REGISTRATION)?;
    let user = json!({ "sub": "alice", "nonce": "n-0S6", "acr": "urn:example:loa:2" });
    let user = user.as_object().ok_or("an object")?;
    let access_token = "2YotnFZFEjr1zCsicMWpAA";
    let options = IdTokenOptions { access_token: Some(access_token), ..IdTokenOptions::default() };
    let id_token = provider.issue_id_token(&shop, user, &options)?;

    // The next key acts; the one before is still published.
    let text = std::fs::read_to_string(&file)?;
    let reordered = text.replace(r#"["es256-1", "es256-2"]"#, r#"["es256-2", "es256-1"]"#);
    std::fs::write(&file, reordered)?;
    keyring.reload()?;
    let later = provider.issue_id_token(&shop, user, &options)?;
    let published = keyring.jwks(None, Party::Provider).document();

    // The relying party: the registration says which algorithm, and no token does.
    let keys = PeerKeySet::from_jwks(published.json.as_bytes(), &PeerRules::verify(&["ES256"])?)?;
    let rp = keyring.oidc(None).relying_party(shop, ISSUER);
    let rules = IdTokenRules {
        nonce: Nonce::Is("n-0S6"),
        access_token: Some(access_token),
        ..IdTokenRules::default()
    };
    for token in [&id_token, &later] {
        let found = rp.verify_id_token(Some(keys.keys()?), token, &rules)?;
        println!("{} by the key {}", found.claims["sub"], found.key.kid);
    }
    let stolen = IdTokenRules { access_token: Some("another"), ..rules };
    let refused = rp.verify_id_token(Some(keys.keys()?), &id_token, &stolen);
    println!("{}", refused.err().ok_or("another access token was taken")?);
    Ok(())
}
