//! Pairwise subjects (OpenID Connect Core §8.1), by Ping AM's formula.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::client::Client;
use super::provider::Provider;
use crate::crypto::sha256;
use crate::error::Result;
use crate::secret::SecretBytes;

/// Never rotates: another salt gives every user another id.
const SALT_LABEL: &str = "am.services.oauth2.provider.hash.salt.secret";

impl Provider {
    /// How a client knows the user with this local id: as it is, or for a pairwise client as the digest of sector, id
    /// and salt, base64 as Ping AM writes it. The active alias of `am.services.oauth2.provider.hash.salt.secret` is the
    /// salt; that label refuses to rotate.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] if the client has no sector, [`crate::error::ErrorKind::UnknownLabel`].
    pub fn subject(&self, client: &Client, account: &str) -> Result<String> {
        let Some(sector) = client.sector()? else { return Ok(account.to_owned()) };
        self.oidc().handle(SALT_LABEL)?.reveal(|salt| {
            // EXPOSE: into the digest; the copy is wiped here.
            let all = SecretBytes::from_vec([sector.as_bytes(), account.as_bytes(), salt].concat());
            STANDARD.encode(sha256(all.expose_secret()))
        })
    }
}
