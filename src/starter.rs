//! The starter directory of `claviger init`: a configuration that works at once, with fresh keys.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::crypto::random;
use crate::error::{Error, ErrorKind, Result};
use crate::key_tools::{self, GenerateOptions};
use crate::secret::{SecretBytes, SecretString};

/// Alias, type and size of each key.
const KEYS: [(&str, &str, Option<usize>); 8] = [
    ("es256-1", "ec", None),
    ("es256-2", "ec", None),
    ("ed25519-1", "ed25519", None),
    ("rsa-1", "rsa", Some(3072)),
    ("hmac-1", "hmac", Some(512)),
    ("aes-1", "aes", Some(256)),
    ("session-hmac-1", "hmac", Some(512)),
    ("session-aes-1", "aes", Some(256)),
];

const CONFIG: &str = r#"# claviger: labels name purposes, aliases stand behind them.
# The first alias acts, every alias still verifies and decrypts. To rotate, reorder.

[keyring]
state_dir = "state"

# Stores are asked in file order. Passwords come from a store that needs none.
[stores.passwords]
kind = "volume"
directory = "secrets"

[stores.default-keystore]
kind = "keystore"
path = "keystores/default.p12"
store_password = { label = "storepass" }

[stores.default-keystore.mappings]
"am.services.oauth2.oidc.signing.ES256" = ["es256-1", "es256-2"]
"am.services.oauth2.oidc.signing.EDDSA" = ["ed25519-1"]
"am.services.oauth2.oidc.signing.RSA" = ["rsa-1"]
"am.services.oauth2.jwt.authenticity.signing" = ["hmac-1"]
"am.authn.authid.signing.HMAC" = ["hmac-1"]
"am.global.services.session.clientbased.signing.HMAC" = ["session-hmac-1"]
"am.global.services.session.clientbased.encryption.AES" = ["session-aes-1"]
"app.session.seal" = ["aes-1"]

# A label of your own.
[labels."app.session.seal"]
use = "encrypt"
algorithms = ["A256GCMKW", "A256GCM"]
max_token_lifetime = "12h"

# Client-side sessions: claviger session --help.
[sessions]
absolute = "2h"
idle = "30m"
"#;

/// The text of the starter's configuration.
#[must_use]
pub const fn config() -> &'static str {
    CONFIG
}

/// Makes the starter in `directory`; what it made comes back. Refuses a directory with anything of a
/// starter in it.
///
/// # Errors
/// [`ErrorKind::Usage`] if something is there already, [`ErrorKind::Io`].
pub fn create(directory: &Path, now: SystemTime) -> Result<Vec<PathBuf>> {
    let made = ["claviger.toml", "keystores/default.p12", "secrets/storepass"]
        .map(|name| directory.join(name));
    if let Some(there) = made.iter().find(|path| path.symlink_metadata().is_ok()) {
        let text = format!("{} is already there: nothing was changed", there.display());
        return Err(Error::new(ErrorKind::Usage, text).with_help("name an empty or new directory"));
    }
    for part in ["", "keystores", "secrets", "state"] {
        let path = directory.join(part);
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(if part.is_empty() { 0o755 } else { 0o700 });
        builder.create(&path).map_err(|error| {
            Error::new(ErrorKind::Io, format!("{} cannot be made: {error}", path.display()))
        })?;
    }
    let password = SecretString::from_string(URL_SAFE_NO_PAD.encode(random::bytes::<24>()?));
    let [config, keystore, storepass] = &made;
    let mut store: Option<SecretBytes> = None;
    for (alias, key_type, bits) in KEYS {
        let options =
            GenerateOptions { alias, key_type, bits, curve: None, subject: None, days: 825, now };
        store = Some(key_tools::generate_into(store.as_ref(), &password, &options)?.content);
    }
    if let Some(store) = &store {
        key_tools::create_file(keystore, store)?;
    }
    // EXPOSE: into the file that the configuration names.
    let password = SecretBytes::from_slice(password.expose_secret().as_bytes());
    key_tools::create_file(storepass, &password)?;
    // The configuration last: with it the starter is whole.
    key_tools::create_file(config, &SecretBytes::from_slice(CONFIG.as_bytes()))?;
    Ok(made.to_vec())
}
