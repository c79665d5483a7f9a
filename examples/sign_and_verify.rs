//! Signs a token by label and verifies it, over the fixtures of `keystores/`.
//!
//! `cargo run --example sign_and_verify`

#![expect(clippy::print_stdout, clippy::indexing_slicing, reason = "an example")]

use std::time::{Duration, UNIX_EPOCH};

use claviger::Keyring;
use claviger::jose::claims::{self, ClaimRules};

fn main() -> Result<(), claviger::Error> {
    let keyring = Keyring::open("keystores/claviger.toml".as_ref())?;
    let id_tokens = keyring.label("am.services.oauth2.oidc.signing.ES256")?;

    let token = id_tokens.sign(br#"{"sub":"alice","aud":"shop","exp":4102444800}"#)?;
    println!("{token}");

    let verified = id_tokens.verify(&token)?;
    let rules = ClaimRules { audience: Some("shop"), ..ClaimRules::default() };
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let claims = claims::check(&verified.payload, &rules, now)?;
    println!("alias {} says that the subject is {}", verified.key.alias, claims["sub"]);
    assert_eq!(claims["sub"], "alice");
    Ok(())
}
