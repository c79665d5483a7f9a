//! Refresh tokens as JWTs of a kind of their own, for the provider alone.

use std::time::Duration;

use super::client::Client;
use super::layers::{MadeToken, VerifiedToken};
use super::payload::Draft;
use super::provider::Provider;
use super::rules::{self, Claims, text};
use crate::error::Result;
use crate::jose::claims::ClaimRules;
use crate::profiles::refused;

/// No standard names one: a typ of ours, so that neither it nor an access token is taken for the other.
const TYP: &str = "rt+jwt";
/// The claims that are set here.
const OWN: [&str; 5] = ["iss", "aud", "client_id", "iat", "exp"];
const REQUIRED: [&str; 7] = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"];

/// What goes into a refresh token besides the caller's claims.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers build it over its default")]
pub struct RefreshTokenOptions {
    /// How long it lives; a week by default, as in Ping AM.
    pub lifetime: Duration,
}

impl Default for RefreshTokenOptions {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(7 * 24 * 3_600) }
    }
}

impl Provider {
    /// Makes a refresh token for a client. `claims` say whom it is about (`sub`), what was granted (`scope`), and
    /// whatever the provider wants to see again; a `jti` is drawn unless they hold one.
    ///
    /// # Errors
    /// As [`Provider::issue_access_token`].
    pub fn issue_refresh_token(
        &self,
        client: &Client,
        claims: &Claims,
        options: &RefreshTokenOptions,
    ) -> Result<String> {
        Ok(self.make_refresh_token(client, claims, options)?.token)
    }

    /// As [`Provider::issue_refresh_token`], and by whom.
    pub(crate) fn make_refresh_token(
        &self,
        client: &Client,
        claims: &Claims,
        options: &RefreshTokenOptions,
    ) -> Result<MadeToken> {
        rules::refuse_own(claims, &OWN)?;
        rules::check_given(claims, &["sub"])?;
        let now = self.oidc().now();
        let mut draft = Draft::of(&now, claims)?;
        draft.set_text("iss", self.issuer())?;
        draft.set_text("client_id", client.id())?;
        draft.set_text("aud", self.issuer())?;
        draft.set_times(now.time, options.lifetime)?;
        draft.set_jti()?;
        self.protect(&now, &draft.finish()?, TYP)
    }

    /// Checks a refresh token that this client presents.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::TokenRefused`]; those of [`Provider::issue_refresh_token`] for the keys.
    pub fn verify_refresh_token(&self, client: &Client, token: &str) -> Result<VerifiedToken> {
        let accepted = self.verify_any_refresh_token(token)?;
        if text(&accepted.claims, "client_id") != Some(client.id()) {
            return Err(refused("the token is of another client"));
        }
        Ok(accepted)
    }

    /// The same, whichever client it is of.
    pub(super) fn verify_any_refresh_token(&self, token: &str) -> Result<VerifiedToken> {
        let now = self.oidc().now();
        self.unprotect(
            &now,
            token,
            TYP,
            &ClaimRules {
                issuer: Some(self.issuer()),
                audience: Some(self.issuer()),
                required: &REQUIRED,
                ..now.claim_rules()
            },
        )
    }
}
