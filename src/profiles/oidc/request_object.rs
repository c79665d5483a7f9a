//! Request objects (RFC 9101): the parameters of an authorization request, signed by the client.

use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::layers::{Layers, MadeToken, Signing, VerifiedToken};
use super::payload::Draft;
use super::provider::Provider;
use super::relying_party::{RelyingParty, SIGNING_LABEL};
use super::rules::{self, Claims, Untyped, text};
use crate::alg::Family;
use crate::error::Result;
use crate::jose::claims::ClaimRules;
use crate::ops::KeySet;
use crate::profiles::refused;

/// RFC 9101 §10.8.
const TYP: &str = "oauth-authz-req+jwt";
/// The claims that are set here.
const OWN: [&str; 5] = ["iss", "aud", "client_id", "iat", "exp"];
/// What stands beside a request object and never inside (RFC 9101 §4).
const OUTSIDE: [&str; 2] = ["request", "request_uri"];

/// What goes into a request object besides the caller's parameters.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers build it over its default")]
pub struct RequestObjectOptions<'a> {
    /// How long it lives; five minutes by default.
    pub lifetime: Duration,
    /// The provider's keys, to encrypt to where that was agreed on.
    pub provider_keys: Option<&'a Arc<KeySet>>,
}

impl Default for RequestObjectOptions<'_> {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(300), provider_keys: None }
    }
}

/// What a request object must say.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers build it over its default")]
pub struct RequestObjectRules {
    /// Whether it may come without its typ, as those of OpenID Connect do.
    pub untyped: Untyped,
    /// Whether `exp` must be there, and how far ahead it may be; `None`: it may be absent, as OpenID Connect lets it.
    pub max_lifetime: Option<Duration>,
}

impl Default for RequestObjectRules {
    /// An hour at most (FAPI 1.0 part 2 §5.2.2), with or without typ.
    fn default() -> Self {
        Self { untyped: Untyped::Accepted, max_lifetime: Some(Duration::from_secs(3_600)) }
    }
}

impl Provider {
    /// Opens a request object of a client: decrypts it with the label `am.services.oauth2.oidc.decryption.*` of the
    /// registered algorithm, or with the client's secret, and checks the client's signature. The claims that come back
    /// are the request; parameters outside do not count (RFC 9101 §6.3).
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::TokenRefused`]; [`crate::error::ErrorKind::Usage`] for a client without the secret or the keys that its
    /// algorithms need; [`crate::error::ErrorKind::UnknownLabel`].
    pub fn open_request_object(
        &self,
        client: &Client,
        token: &str,
        rules: &RequestObjectRules,
    ) -> Result<VerifiedToken> {
        let now = self.oidc().now();
        let agreed = client.request_object();
        let keys = match agreed.signing.map(|algorithm| algorithm.family) {
            Some(Family::Hmac(_)) => now.secret_for_signing(client)?,
            _ => now.public_keys_of(client)?,
        };
        let decryption = agreed.encryption.map(|one| now.request_decryption(client, one));
        let decryption = decryption.transpose()?;
        let signing = Signing { keys: &keys, algorithm: agreed.signing };
        let encryption = decryption.as_ref().zip(agreed.encryption);
        let opened = Layers { signing, encryption }.open(token)?;
        opened.check_typ(Some(TYP), rules.untyped)?;
        let required: &[&str] =
            if rules.max_lifetime.is_some() { &["iss", "aud", "exp"] } else { &["iss", "aud"] };
        let accepted = opened.accept(
            &ClaimRules {
                issuer: Some(client.id()),
                audience: Some(self.issuer()),
                required,
                ..now.claim_rules()
            },
            now.time,
        )?;
        check_parameters(&accepted.claims, client)?;
        if let Some(most) = rules.max_lifetime {
            let most = most.saturating_add(now.skew());
            rules::check_lifetime(&accepted.claims, now.time, most)?;
        }
        Ok(accepted)
    }
}

/// RFC 9101 §4, §5 and §10.8: of this client, of no other kind, and whole.
fn check_parameters(claims: &Claims, client: &Client) -> Result<()> {
    if claims.contains_key("client_id") && text(claims, "client_id") != Some(client.id()) {
        return Err(refused("client_id is not the client"));
    }
    if OUTSIDE.iter().any(|name| claims.contains_key(*name)) {
        return Err(refused("a request object holds another one"));
    }
    if is_about(claims, client) {
        return Err(refused("the token has the client as its subject: it is an assertion"));
    }
    Ok(())
}

/// An assertion of the client has itself as its subject; a request object must not be taken from one, nor for one.
fn is_about(claims: &Claims, client: &Client) -> bool {
    text(claims, "sub") == Some(client.id())
}

impl RelyingParty {
    /// Makes a request object of these parameters: signed by `am.services.oauth2.oidc.rp.jwt.authenticity.signing`, or
    /// with the client's secret where an HMAC was agreed on, and encrypted to the provider as registered.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Usage`] for parameters that are set here or that stand outside, and without the provider's keys;
    /// [`crate::error::ErrorKind::UnknownLabel`], [`crate::error::ErrorKind::AlgorithmNotAllowed`].
    pub fn request_object(
        &self,
        parameters: &Claims,
        options: &RequestObjectOptions<'_>,
    ) -> Result<String> {
        Ok(self.make_request_object(parameters, options)?.token)
    }

    /// As [`RelyingParty::request_object`], and by whom.
    pub(crate) fn make_request_object(
        &self,
        parameters: &Claims,
        options: &RequestObjectOptions<'_>,
    ) -> Result<MadeToken> {
        rules::refuse_own(parameters, &OWN)?;
        rules::refuse_own(parameters, &OUTSIDE)?;
        rules::check_given(parameters, &[])?;
        let (now, client) = (self.oidc().now(), self.client());
        if is_about(parameters, client) {
            let text = "a request object does not have the client as its subject: assertions do";
            return Err(rules::usage(text));
        }
        let mut draft = Draft::of(&now, parameters)?;
        draft.set_text("iss", client.id())?;
        draft.set_text("client_id", client.id())?;
        draft.set_text("aud", self.issuer())?;
        draft.set_times(now.time, options.lifetime)?;
        let agreed = client.request_object();
        let keys = match agreed.signing.map(|algorithm| algorithm.family) {
            Some(Family::Hmac(_)) => now.secret_for_signing(client)?,
            _ => now.label(SIGNING_LABEL)?,
        };
        let to =
            agreed.encryption.map(|one| now.request_encryption(client, one, options.provider_keys));
        let to = to.transpose()?;
        let signing = Signing { keys: &keys, algorithm: agreed.signing };
        let layers = Layers { signing, encryption: to.as_ref().zip(agreed.encryption) };
        let token = layers.seal(&draft.finish()?, TYP, Claims::new())?;
        Ok(MadeToken::by(keys, token))
    }
}
