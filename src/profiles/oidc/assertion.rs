//! Client authentication with JWTs: `private_key_jwt` and `client_secret_jwt` (RFC 7523, OpenID Connect Core §9).

use std::time::Duration;

use super::Now;
use super::client::{Client, JwtMethod};
use super::keys::Keys;
use super::layers::{Layers, MadeToken, Signing, VerifiedToken};
use super::payload::Draft;
use super::provider::Provider;
use super::relying_party::RelyingParty;
use super::replay::{JtiUse, ReplayGuard};
use super::rules::{self, Claims, Untyped, text};
use crate::error::{Error, ErrorKind, Result};
use crate::jose::claims::ClaimRules;
use crate::profiles::refused;

/// The typ of draft-ietf-oauth-rfc7523bis §4; most clients write none.
const TYP: &str = "client-authentication+jwt";

/// What goes into a client assertion.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers build it over its default")]
pub struct AssertionOptions {
    /// How long it lives; a minute by default: it is used at once.
    pub lifetime: Duration,
    /// Whether it bears the typ `client-authentication+jwt`, as providers that follow the draft ask.
    pub typed: Typed,
}

impl Default for AssertionOptions {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(60), typed: Typed::default() }
    }
}

/// Whether a token that is made bears the typ of its kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum Typed {
    /// Plain `JWT`, which every provider takes.
    #[default]
    Plain,
    /// The typ of its kind.
    Own,
}

/// What a client assertion must say.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers say all of it")]
pub struct AssertionRules<'a> {
    /// What `aud` may be, each exactly: the issuer identifier, and of clients of old the URL of the token endpoint.
    pub audiences: &'a [&'a str],
    /// How `aud` may be written.
    pub form: AudienceForm,
    /// How far ahead `exp` may be.
    pub max_lifetime: Duration,
    /// Whether it may come without its typ.
    pub untyped: Untyped,
    /// Remembers the assertions that were seen.
    pub replay: &'a dyn ReplayGuard,
}

impl<'a> AssertionRules<'a> {
    /// Those for a provider whose clients send `audience`: one string, ten minutes ahead at most, with or without typ.
    #[must_use]
    pub fn new(audiences: &'a [&'a str], replay: &'a dyn ReplayGuard) -> Self {
        let max_lifetime = Duration::from_secs(600);
        let (form, untyped) = (AudienceForm::One, Untyped::Accepted);
        Self { audiences, form, max_lifetime, untyped, replay }
    }
}

/// How the audience of an assertion may be written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "JWT has these two")]
pub enum AudienceForm {
    /// A string too, or a list of which one is accepted: an assertion for several servers can be used by each of them
    /// at the others.
    List,
    /// A string and no list (draft-ietf-oauth-rfc7523bis §4).
    #[default]
    One,
}

impl Provider {
    /// Checks the assertion with which a client authenticates, by its registered method and algorithm. Its `jti` must
    /// be new to `replay`, which is asked last.
    ///
    /// # Errors
    /// [`ErrorKind::TokenRefused`]; [`ErrorKind::Usage`] for a client that is not registered to authenticate so or lacks
    /// secret and keys.
    pub fn verify_client_assertion(
        &self,
        client: &Client,
        token: &str,
        rules: &AssertionRules<'_>,
    ) -> Result<VerifiedToken> {
        let now = self.oidc().now();
        let keys = now.authentication_keys_of(client)?;
        let signing = Signing { keys: &keys, algorithm: client.authentication().algorithm };
        let opened = Layers { signing, encryption: None }.open(token)?;
        opened.check_typ(Some(TYP), rules.untyped)?;
        let accepted = opened.accept(
            &ClaimRules {
                issuer: Some(client.id()),
                required: &["iss", "sub", "aud", "exp", "jti"],
                ..now.claim_rules()
            },
            now.time,
        )?;
        let claims = &accepted.claims;
        // RFC 7523 §3: both are the client.
        if text(claims, "sub") != Some(client.id()) {
            return Err(refused("sub is not the client"));
        }
        check_audience(claims, rules)?;
        let most = rules.max_lifetime.saturating_add(now.skew());
        rules::check_lifetime(claims, now.time, most)?;
        JtiUse::of(claims, now.skew())?.first(rules.replay)?;
        Ok(accepted)
    }
}

impl RelyingParty {
    /// Makes an assertion that authenticates this client at the provider: `audience` is the provider's issuer
    /// identifier, or what else it asks for. With `client_secret_jwt` the client's secret signs, otherwise the label
    /// `am.services.oauth2.oidc.rp.jwt.authenticity.signing`; by the registered algorithm, else the first that fits.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`], [`ErrorKind::UnknownLabel`], [`ErrorKind::AlgorithmNotAllowed`].
    pub fn client_assertion(&self, audience: &str, options: &AssertionOptions) -> Result<String> {
        Ok(self.make_client_assertion(audience, options)?.token)
    }

    /// As [`RelyingParty::client_assertion`], and by whom.
    pub(crate) fn make_client_assertion(
        &self,
        audience: &str,
        options: &AssertionOptions,
    ) -> Result<MadeToken> {
        let (now, client) = (self.oidc().now(), self.client());
        let registered = client.authentication();
        let keys = match registered.method {
            Some(JwtMethod::ClientSecret) => now.secret_for_signing(client)?,
            Some(JwtMethod::PrivateKey) | None => now.label(super::relying_party::SIGNING_LABEL)?,
        };
        let given = Claims::new();
        let mut draft = Draft::of(&now, &given)?;
        draft.set_text("iss", client.id())?;
        draft.set_text("sub", client.id())?;
        draft.set_text("aud", audience)?;
        draft.set_times(now.time, options.lifetime)?;
        draft.set_jti()?;
        let typ = match options.typed {
            Typed::Own => TYP,
            Typed::Plain => "JWT",
        };
        let signing = Signing { keys: &keys, algorithm: registered.algorithm };
        let layers = Layers { signing, encryption: None };
        let token = layers.seal(&draft.finish()?, typ, Claims::new())?;
        Ok(MadeToken::by(keys, token))
    }
}

impl Now<'_> {
    /// The keys that a client's registered method is checked with.
    fn authentication_keys_of(&self, client: &Client) -> Result<Keys> {
        match client.authentication().method {
            Some(JwtMethod::ClientSecret) => self.secret_for_signing(client),
            Some(JwtMethod::PrivateKey) => self.public_keys_of(client),
            None => {
                let id = client.id().escape_debug();
                let text = format!("client \"{id}\" is not registered to authenticate with a JWT");
                Err(Error::new(ErrorKind::Usage, text).with_help(
                    "register token_endpoint_auth_method private_key_jwt or client_secret_jwt",
                ))
            }
        }
    }
}

fn check_audience(claims: &Claims, rules: &AssertionRules<'_>) -> Result<()> {
    if rules.form == AudienceForm::One && text(claims, "aud").is_none() {
        return Err(refused("aud is a list"));
    }
    if rules::audiences(claims.get("aud")).any(|one| rules.audiences.contains(&one)) {
        return Ok(());
    }
    Err(refused("the token is for another audience"))
}
