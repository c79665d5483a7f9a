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

# The service: claviger serve. `claviger init` made a private authority for it, certificates are valid for 180 days.
[service]
listen = ["127.0.0.1:8443"]
certificate = { chain = "tls/server.pem", key = "tls/server.key" }
client_ca = { file = "tls/ca.pem" }

# One JSON line for every change and every refusal, and for uses if asked for.
[service.audit]
to = "audit.log"
uses = "none"

# Who calls, and what each may do; nobody may do anything else. claviger grants --for admin
[[callers]]
name = "admin"
certificate = { subject = "CN=admin" }

[[grants]]
callers = ["admin"]
rights = [
    "decrypt", "drill", "encrypt", "generate", "keys", "metrics", "oidc-issue", "oidc-open",
    "promote", "read", "reload", "reorder", "retire", "revoke", "rewrap", "saml-open",
    "saml-sign", "session-open", "session-seal", "sign", "stage", "token-issue", "token-open",
    "undo", "verify",
]
labels = ["*"]
realms = ["*"]
"#;

/// Every file; of certificates and keys in the order in which they are made.
const MADE: [&str; 9] = [
    "claviger.toml",
    "keystores/default.p12",
    "secrets/storepass",
    "tls/ca.pem",
    "tls/ca.key",
    "tls/server.pem",
    "tls/server.key",
    "tls/admin.pem",
    "tls/admin.key",
];

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
    let made = MADE.map(|name| directory.join(name));
    if let Some(there) = made.iter().find(|path| path.symlink_metadata().is_ok()) {
        let text = format!("{} is already there: nothing was changed", there.display());
        return Err(Error::new(ErrorKind::Usage, text).with_help("name an empty or new directory"));
    }
    for part in ["", "keystores", "secrets", "state", "tls"] {
        let path = directory.join(part);
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(if part.is_empty() { 0o755 } else { 0o700 });
        builder.create(&path).map_err(|error| {
            Error::new(ErrorKind::Io, format!("{} cannot be made: {error}", path.display()))
        })?;
    }
    let password = SecretString::from_string(URL_SAFE_NO_PAD.encode(random::bytes::<24>()?));
    let [config, keystore, storepass, tls @ ..] = &made;
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
    for (issued, paths) in key_tools::private_authority(now)?.iter().zip(tls.chunks(2)) {
        if let [certificate, key] = paths {
            key_tools::create_file(certificate, &issued.certificate)?;
            key_tools::create_file(key, &issued.key)?;
        }
    }
    // The configuration last: with it the starter is whole.
    key_tools::create_file(config, &SecretBytes::from_slice(CONFIG.as_bytes()))?;
    Ok(made.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::access::Right;

    #[test]
    fn the_administrator_may_do_everything() {
        let config = Config::from_text(CONFIG, Path::new("claviger.toml")).unwrap();
        let [grant] = config.access.grants() else { panic!("one grant") };
        assert_eq!(grant.rights, Right::ALL);
    }
}
