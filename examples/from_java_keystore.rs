//! Uses the keys of an old Java keystore (JCEKS) by label: an EC pair and an HMAC key.
//!
//! `cargo run --example from_java_keystore`

#![expect(clippy::print_stdout, reason = "an example")]

use std::path::Path;

use claviger::clock::Clock;
use claviger::{Config, Keyring};

const CONFIG: &str = r#"
[stores.java]
kind = "keystore"
path = "legacy.jceks"
store_password = { file = "storepass.txt" }

[stores.java.mappings]
"am.services.oauth2.oidc.signing.ES256" = ["es256"]
"am.services.oauth2.jwt.authenticity.signing" = ["hmac"]
"#;

fn main() -> Result<(), claviger::Error> {
    let (config, problems) = Config::parse(CONFIG, Path::new("keystores/claviger.toml"));
    assert!(problems.is_empty(), "{problems:?}");
    let Some(config) = config else { return Ok(()) };
    let keyring = Keyring::from_config(config, Clock::system())?;
    for warning in keyring.warnings().iter() {
        println!("warning: {}", warning.message);
    }
    for label in
        ["am.services.oauth2.oidc.signing.ES256", "am.services.oauth2.jwt.authenticity.signing"]
    {
        let label = keyring.label(label)?;
        let token = label.sign(b"hello from Java's keys")?;
        println!("{} {token}", label.name());
        assert_eq!(label.verify(&token)?.payload, b"hello from Java's keys");
    }
    Ok(())
}
