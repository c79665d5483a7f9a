//! The other side: a client of somebody else's provider.

use std::sync::Arc;

use super::client::Client;
use super::id_token::{self, IdTokenRules};
use super::keys::{Keys, Response, required};
use super::layers::{Layers, Opened, Signing, VerifiedToken};
use super::logout_token::{self, LogoutTokenRules};
use super::registration::Encryption;
use super::{Now, Oidc};
use crate::alg::{Algorithm, Family};
use crate::error::Result;
use crate::ops::KeySet;

/// Signs request objects and client assertions.
pub(super) const SIGNING_LABEL: &str = "am.services.oauth2.oidc.rp.jwt.authenticity.signing";
/// Decrypts ID tokens and userinfo.
const DECRYPTION_LABEL: &str = "am.services.oauth2.oidc.rp.idtoken.encryption";

/// A relying party: a client as it is registered at a provider. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RelyingParty {
    oidc: Oidc,
    client: Client,
    issuer: String,
}

impl RelyingParty {
    pub(super) const fn new(oidc: Oidc, client: Client, issuer: String) -> Self {
        Self { oidc, client, issuer }
    }

    /// The client that it is.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The provider's issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) const fn oidc(&self) -> &Oidc {
        &self.oidc
    }

    /// Checks an ID token of the provider: decrypts it as registered, with the label
    /// `am.services.oauth2.oidc.rp.idtoken.encryption` or the client's secret, and verifies it with the provider's keys, or
    /// with the client's secret where an HMAC was agreed on.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::TokenRefused`]; [`crate::error::ErrorKind::Usage`] without the keys or the secret that the registered algorithms
    /// need; [`crate::error::ErrorKind::UnknownLabel`].
    pub fn verify_id_token(
        &self,
        provider_keys: Option<&Arc<KeySet>>,
        token: &str,
        rules: &IdTokenRules<'_>,
    ) -> Result<VerifiedToken> {
        let now = self.oidc.now();
        let opened = self.open(&now, provider_keys, token)?;
        id_token::check(&now, &opened, &self.issuer, &self.client, rules)
    }

    /// Checks a logout token of the provider, by the algorithms of ID tokens.
    ///
    /// # Errors
    /// As [`RelyingParty::verify_id_token`].
    pub fn verify_logout_token(
        &self,
        provider_keys: Option<&Arc<KeySet>>,
        token: &str,
        rules: &LogoutTokenRules<'_>,
    ) -> Result<VerifiedToken> {
        let now = self.oidc.now();
        let opened = self.open(&now, provider_keys, token)?;
        logout_token::check(&now, &opened, &self.issuer, &self.client, rules)
    }

    /// Opens what the provider made as it makes ID tokens.
    fn open(
        &self,
        now: &Now<'_>,
        provider_keys: Option<&Arc<KeySet>>,
        token: &str,
    ) -> Result<Opened> {
        let algorithm = Some(id_token::id_token_algorithm(&self.client)?);
        let keys = self.verification(now, provider_keys, algorithm)?;
        let agreed = self.client.id_token().encryption;
        let decryption =
            agreed.map(|one| self.decryption(now, one, Response::IdToken)).transpose()?;
        let signing = Signing { keys: &keys, algorithm };
        Layers { signing, encryption: decryption.as_ref().zip(agreed) }.open(token)
    }

    pub(super) fn decryption(
        &self,
        now: &Now<'_>,
        agreed: Encryption,
        response: Response,
    ) -> Result<Keys> {
        now.response_decryption(&self.client, agreed, response, DECRYPTION_LABEL)
    }

    /// What verifies the provider's signatures of this algorithm.
    pub(super) fn verification(
        &self,
        now: &Now<'_>,
        provider_keys: Option<&Arc<KeySet>>,
        algorithm: Option<&Algorithm>,
    ) -> Result<Keys> {
        match algorithm.map(|algorithm| algorithm.family) {
            Some(Family::Hmac(_)) => now.secret_for_signing(&self.client),
            _ => required(provider_keys),
        }
    }
}
