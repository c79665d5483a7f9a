//! Rotates a signing key by reordering two aliases in the TOML; the old and the new token both verify.
//!
//! `cargo run --example rotate`

#![expect(clippy::print_stdout, reason = "an example")]

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use claviger::{Keyring, starter};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    starter::create(folder.path(), now)?;
    let config = folder.path().join("claviger.toml");

    let keyring = Keyring::open(&config)?;
    let id_tokens = keyring.label("am.services.oauth2.oidc.signing.ES256")?;
    let old = id_tokens.sign(b"before")?;

    swap(&config, r#"["es256-1", "es256-2"]"#, r#"["es256-2", "es256-1"]"#)?;
    keyring.reload()?;
    let new = id_tokens.sign(b"after")?;
    for token in [&old, &new] {
        println!("verified with alias {}", id_tokens.verify(token)?.key.alias);
    }

    swap(&config, r#"["es256-2", "es256-1"]"#, r#"["es256-2"]"#)?;
    keyring.reload()?;
    assert!(id_tokens.verify(&old).is_err(), "a removed alias verifies nothing");
    assert!(id_tokens.verify(&new).is_ok());
    Ok(())
}

fn swap(path: &Path, from: &str, to: &str) -> std::io::Result<()> {
    std::fs::write(path, std::fs::read_to_string(path)?.replace(from, to))
}
