//! Logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.4).

use std::time::Duration;

use serde_json::{Value, json};

use super::Now;
use super::client::Client;
use super::layers::{MadeToken, Opened, Signing, VerifiedToken};
use super::payload::Draft;
use super::provider::Provider;
use super::replay::{JtiUse, ReplayGuard};
use super::rules::{self, Claims, Untyped, text};
use crate::error::{Error, ErrorKind, Result};
use crate::jose::claims::ClaimRules;
use crate::profiles::refused;

const TYP: &str = "logout+jwt";
/// The member of `events` that makes it a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// The claims that are set here.
const OWN: [&str; 5] = ["iss", "aud", "iat", "exp", "events"];

/// What goes into a logout token besides the caller's claims.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers build it over its default")]
pub struct LogoutTokenOptions {
    /// How long it lives; two minutes by default, the most that the specification advises.
    pub lifetime: Duration,
}

impl Default for LogoutTokenOptions {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(120) }
    }
}

/// What a logout token must say.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers say all of it")]
pub struct LogoutTokenRules<'a> {
    /// Whether it may come without its typ, as those of older providers do.
    pub untyped: Untyped,
    /// How far ahead `exp` may be, and how long ago the token made; `None`: however far.
    pub max_lifetime: Option<Duration>,
    /// Remembers the tokens that were seen.
    pub replay: &'a dyn ReplayGuard,
}

impl Provider {
    /// Makes a logout token for a client, by the algorithms of its ID tokens. `claims` say who is logged out: `sub`,
    /// `sid`, or both; a `jti` is drawn unless they hold one.
    ///
    /// # Errors
    /// As [`Provider::issue_id_token`].
    pub fn issue_logout_token(
        &self,
        client: &Client,
        claims: &Claims,
        options: &LogoutTokenOptions,
    ) -> Result<String> {
        Ok(self.make_logout_token(client, claims, options)?.token)
    }

    /// As [`Provider::issue_logout_token`], and by whom.
    pub(crate) fn make_logout_token(
        &self,
        client: &Client,
        claims: &Claims,
        options: &LogoutTokenOptions,
    ) -> Result<MadeToken> {
        rules::refuse_own(claims, &OWN)?;
        rules::check_given(claims, &[])?;
        let usage = |text: &'static str| Err(Error::new(ErrorKind::Usage, text));
        if let Some(why) = unnamed(claims) {
            return usage(why);
        }
        if claims.contains_key("nonce") {
            return usage("a logout token has no nonce");
        }
        let now = self.oidc().now();
        let mut draft = Draft::of(&now, claims)?;
        draft.set_text("iss", self.issuer())?;
        draft.set("events", &json!({ EVENT: {} }))?;
        draft.set_text("aud", client.id())?;
        draft.set_times(now.time, options.lifetime)?;
        draft.set_jti()?;
        let (keys, algorithm) = now.id_token_keys(client)?;
        let signing = Signing { keys: &keys, algorithm: Some(algorithm) };
        let token = now.seal_for_client(client, signing, &draft.finish()?, TYP)?;
        Ok(MadeToken::by(keys, token))
    }
}

/// Checks the claims of a logout token (§2.6).
pub(super) fn check(
    now: &Now<'_>,
    opened: &Opened,
    issuer: &str,
    client: &Client,
    rules: &LogoutTokenRules<'_>,
) -> Result<VerifiedToken> {
    opened.check_typ(Some(TYP), rules.untyped)?;
    let accepted = opened.accept(
        &ClaimRules {
            issuer: Some(issuer),
            audience: Some(client.id()),
            required: &["iss", "aud", "iat", "exp", "jti", "events"],
            ..now.claim_rules()
        },
        now.time,
    )?;
    let claims = &accepted.claims;
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(refused("events does not hold the logout event"));
    }
    if claims.contains_key("nonce") {
        return Err(refused("the token has a nonce: it is no logout token"));
    }
    if let Some(why) = unnamed(claims) {
        return Err(refused(why));
    }
    if let Some(most) = rules.max_lifetime {
        rules::check_lifetime(claims, now.time, most.saturating_add(now.skew()))?;
    }
    JtiUse::of(claims, now.skew())?.first(rules.replay)?;
    Ok(accepted)
}

/// Why claims whose types were checked do not say who is logged out (§2.4). Who asks for the sessions of nobody may get
/// those of everybody.
fn unnamed(claims: &Claims) -> Option<&'static str> {
    let (sub, sid) = (text(claims, "sub"), text(claims, "sid"));
    if sub.is_none() && sid.is_none() {
        return Some("a logout token says who is logged out: sub, sid, or both");
    }
    if sub.is_some() && !rules::is_subject(sub) {
        return Some("sub is not 1 to 255 ASCII characters");
    }
    (sid == Some("")).then_some("sid is empty")
}
