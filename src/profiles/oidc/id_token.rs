//! ID tokens (OpenID Connect Core §2): made and checked again by the provider, checked by relying parties.

use std::time::Duration;

use serde_json::Value;

use super::Now;
use super::client::Client;
use super::hashes::HalfHash;
use super::keys::{Keys, Response, SigningLabels};
use super::layers::{Layers, MadeToken, Opened, Signing, VerifiedToken};
use super::payload::{Draft, Payload};
use super::provider::Provider;
use super::rules::{self, Claims, Untyped, text};
use crate::alg::{Algorithm, Family};
use crate::clock::to_unix;
use crate::error::{Error, ErrorKind, Result};
use crate::jose::claims::{ClaimRules, date};
use crate::jose::jws::{self, SignOptions, VerifyOptions};
use crate::profiles::{refused, refused_by};

/// Signs ID tokens of agents.
const AGENT_LABEL: &str = "am.global.services.oauth2.oidc.agent.idtoken.signing";
/// Proves that a token that comes back was made here.
const AUTHENTICITY_LABEL: &str = "am.services.oauth2.jwt.authenticity.signing";
/// The header member with the second signature of a token that is signed with a client's secret: a detached JWS
/// (RFC 7515 appendix F) over the same claims.
const AUTHENTICITY: &str = "authenticity";
/// The typ of that signature (RFC 8725 §3.11): nothing else is taken for it, nor it for anything else.
const AUTHENTICITY_TYP: &str = "authenticity+jwt";
/// The claims that are set here.
const OWN: [&str; 8] = ["iss", "aud", "azp", "iat", "exp", "at_hash", "c_hash", "s_hash"];

/// What goes into an ID token besides the caller's claims.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers build it over its default")]
pub struct IdTokenOptions<'a> {
    /// How long it lives; an hour by default.
    pub lifetime: Duration,
    /// Audiences besides the client; with any there is an `azp`.
    pub audiences: &'a [&'a str],
    /// The access token that is answered beside it, for `at_hash`.
    pub access_token: Option<&'a str>,
    /// The authorization code that is answered beside it, for `c_hash`.
    pub code: Option<&'a str>,
    /// The state of the request, for `s_hash` (FAPI 1.0 part 2 §5.1.1).
    pub state: Option<&'a str>,
}

impl Default for IdTokenOptions<'_> {
    fn default() -> Self {
        let lifetime = Duration::from_secs(3_600);
        Self { lifetime, audiences: &[], access_token: None, code: None, state: None }
    }
}

/// What an ID token must say. The default is that of a token endpoint's answer to a request without a nonce.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "callers build it over its default")]
pub struct IdTokenRules<'a> {
    /// Where it came from, which decides what it must hold.
    pub from: Endpoint,
    /// The nonce of the request.
    pub nonce: Nonce<'a>,
    /// How long ago the user may have authenticated at most.
    pub max_age: Option<Duration>,
    /// The authentication contexts of which one must have been met; empty: any.
    pub acr: &'a [&'a str],
    /// Whom it must be about.
    pub subject: Option<&'a str>,
    /// The access token that came with it.
    pub access_token: Option<&'a str>,
    /// The authorization code that came with it.
    pub code: Option<&'a str>,
    /// The state that came with it.
    pub state: Option<&'a str>,
    /// Audiences besides the client that are no reason to refuse it.
    pub trusted_audiences: &'a [&'a str],
    /// Whether it may have expired, as an `id_token_hint` may (OpenID Connect Core §3.1.2.1).
    pub expired: Expired,
}

/// Where an ID token came from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the two endpoints of OpenID Connect")]
pub enum Endpoint {
    /// Through the browser: what came with it must be bound by a hash, and there must be a nonce
    /// (OpenID Connect Core §3.2.2.11, §3.3.2.11).
    Authorization,
    /// From the provider itself: hashes are checked where they are.
    #[default]
    Token,
}

/// The nonce of a request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a request has one or has none, or nobody knows")]
pub enum Nonce<'a> {
    /// It had none, so the token must hold none.
    #[default]
    Absent,
    /// Nobody knows: a hint is not checked against a request.
    Any,
    /// It was this.
    Is(&'a str),
}

/// Whether a token may have expired.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum Expired {
    /// Its `exp` must be there and does not count.
    Accepted,
    /// It must live.
    #[default]
    Refused,
}

impl Provider {
    /// Makes an ID token for a client: by its registered algorithms, RS256 where it registered none. `claims` say whom
    /// it is about (`sub`) and whatever else there is to say; issuer, audience, times and hashes are set here. What is
    /// signed with the client's secret bears a second signature by `am.services.oauth2.jwt.authenticity.signing`, for
    /// the client could have made the first.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for claims that are set here, are missing or of a wrong type, and for a client without the
    /// secret or the keys that its algorithms need; [`ErrorKind::UnknownLabel`], [`ErrorKind::AlgorithmNotAllowed`].
    pub fn issue_id_token(
        &self,
        client: &Client,
        claims: &Claims,
        options: &IdTokenOptions<'_>,
    ) -> Result<String> {
        Ok(self.make_id_token(client, claims, options)?.token)
    }

    /// As [`Provider::issue_id_token`], and by whom.
    pub(crate) fn make_id_token(
        &self,
        client: &Client,
        claims: &Claims,
        options: &IdTokenOptions<'_>,
    ) -> Result<MadeToken> {
        rules::refuse_own(claims, &OWN)?;
        rules::check_given(claims, &["sub"])?;
        if !rules::is_subject(text(claims, "sub")) {
            return Err(Error::new(ErrorKind::Usage, "sub is not 1 to 255 ASCII characters"));
        }
        if claims.keys().any(|name| name == "events") {
            return Err(Error::new(ErrorKind::Usage, "an ID token has no events"));
        }
        let now = self.oidc().now();
        let mut draft = Draft::of(&now, claims)?;
        draft.set_text("iss", self.issuer())?;
        if options.audiences.is_empty() {
            draft.set_text("aud", client.id())?;
        } else {
            draft.set_audience(&[&[client.id()], options.audiences].concat())?;
            draft.set_text("azp", client.id())?;
        }
        draft.set_times(now.time, options.lifetime)?;
        let (keys, algorithm) = now.id_token_keys(client)?;
        for (name, value) in hashed(options.access_token, options.code, options.state) {
            if let Some(hash) = value.and_then(|value| HalfHash::of(algorithm, value)) {
                draft.set_text(name, hash.as_str())?;
            }
        }
        let signing = Signing { keys: &keys, algorithm: Some(algorithm) };
        let token = now.seal_for_client(client, signing, &draft.finish()?, "JWT")?;
        Ok(MadeToken::by(keys, token))
    }

    /// Checks an ID token of this provider that comes back, as an `id_token_hint` does: decrypted, as OpenID Connect Core
    /// §3.1.2.1 asks of the client. One that was signed with a client's secret must bear the second signature.
    ///
    /// # Errors
    /// [`ErrorKind::TokenRefused`]; those of [`Provider::issue_id_token`] for the keys.
    pub fn verify_id_token(
        &self,
        client: &Client,
        token: &str,
        rules: &IdTokenRules<'_>,
    ) -> Result<VerifiedToken> {
        let now = self.oidc().now();
        let (keys, algorithm) = now.id_token_keys(client)?;
        let signing = Signing { keys: &keys, algorithm: Some(algorithm) };
        let opened = Layers { signing, encryption: None }.open(token)?;
        if keys.shared {
            now.check_authenticity(&opened)?;
        }
        check(&now, &opened, self.issuer(), client, rules)
    }
}

impl Now<'_> {
    /// What signs tokens of OpenID Connect for a client, and what checks them here.
    pub(super) fn id_token_keys(&self, client: &Client) -> Result<(Keys, &'static Algorithm)> {
        let algorithm = id_token_algorithm(client)?;
        let keys = if client.is_agent() {
            self.label(AGENT_LABEL)?
        } else {
            self.signing(client, algorithm)?
        };
        Ok((keys, algorithm))
    }

    /// The client's secret for an HMAC, else the label of the algorithm.
    pub(super) fn signing(&self, client: &Client, algorithm: &Algorithm) -> Result<Keys> {
        match algorithm.family {
            Family::Hmac(_) => self.secret_for_signing(client),
            _ => self.named(SigningLabels::Oidc.of(algorithm)?),
        }
    }

    /// Signs claims for a client and encrypts them as it registered.
    pub(super) fn seal_for_client(
        &self,
        client: &Client,
        signing: Signing<'_>,
        payload: &Payload,
        typ: &'static str,
    ) -> Result<String> {
        let extra =
            if signing.keys.shared { self.authenticity(&payload.json)? } else { Claims::new() };
        let agreed = client.id_token().encryption;
        let keys = agreed
            .map(|one| self.encryption_keys_of(client, one, Response::IdToken))
            .transpose()?;
        let encryption = keys.as_ref().zip(agreed);
        Layers { signing, encryption }.seal(payload, typ, extra)
    }

    /// The second signature over claims, as a header member.
    fn authenticity(&self, payload: &[u8]) -> Result<Claims> {
        let typ = Some(AUTHENTICITY_TYP.into());
        let options = SignOptions { typ, detached: true, ..SignOptions::default() };
        let signature = jws::sign(&self.label(AUTHENTICITY_LABEL)?.set, payload, &options)?;
        Ok(Claims::from_iter([(AUTHENTICITY.to_owned(), signature.into())]))
    }

    /// Checks the second signature.
    fn check_authenticity(&self, opened: &Opened) -> Result<()> {
        let header = opened.header();
        let signature = header.get(AUTHENTICITY).and_then(Value::as_str);
        let signature =
            signature.ok_or_else(|| refused("it is signed with the client's secret alone"))?;
        let detached_payload = Some(opened.payload.as_slice());
        let options = VerifyOptions { detached_payload, typ: Some(AUTHENTICITY_TYP) };
        let keys = self.label(AUTHENTICITY_LABEL)?;
        jws::verify(&keys.set, signature, &options).map(drop).map_err(refused_by)
    }
}

/// RS256 where a client registered nothing (OpenID Connect Registration §2).
pub(super) fn id_token_algorithm(client: &Client) -> Result<&'static Algorithm> {
    client.id_token().signing.map_or_else(|| Algorithm::named("RS256"), Ok)
}

/// Checks the claims of an ID token (OpenID Connect Core §3.1.3.7).
pub(super) fn check(
    now: &Now<'_>,
    opened: &Opened,
    issuer: &str,
    client: &Client,
    rules: &IdTokenRules<'_>,
) -> Result<VerifiedToken> {
    // There is no typ for ID tokens; what has one of its own is something else.
    opened.check_typ(None, Untyped::Accepted)?;
    let accepted = opened.accept(
        &ClaimRules {
            issuer: Some(issuer),
            audience: Some(client.id()),
            required: &["iss", "sub", "aud", "exp", "iat"],
            accept_expired: rules.expired == Expired::Accepted,
            ..now.claim_rules()
        },
        now.time,
    )?;
    let found = Found::of(&accepted.claims);
    if !rules::is_subject(found.sub) {
        return Err(refused("sub is not 1 to 255 ASCII characters"));
    }
    if rules.subject.is_some() && found.sub != rules.subject {
        return Err(refused("the token is about another subject"));
    }
    // An ID token and a logout token differ by this claim alone where neither has a typ (Back-Channel Logout §2.4).
    if found.has_events {
        return Err(refused("the token has events: it is no ID token"));
    }
    found.check_parties(client.id(), rules.trusted_audiences)?;
    found.check_nonce(rules)?;
    found.check_authentication(&accepted.claims, rules, to_unix(now.time), now.skew())?;
    found.check_hashes(accepted.algorithm, rules)?;
    Ok(accepted)
}

/// The claims that an ID token is judged by, found in one pass. Texts are as [`text`] has them: absent if they are
/// something else.
#[derive(Default)]
struct Found<'c> {
    acr: Option<&'c str>,
    at_hash: Option<&'c str>,
    aud: Option<&'c Value>,
    azp: Option<&'c str>,
    c_hash: Option<&'c str>,
    has_events: bool,
    nonce: Option<&'c str>,
    s_hash: Option<&'c str>,
    sub: Option<&'c str>,
}

impl<'c> Found<'c> {
    fn of(claims: &'c Claims) -> Self {
        let mut found = Self::default();
        for (name, value) in claims {
            let place = match name.as_str() {
                "acr" => &mut found.acr,
                "at_hash" => &mut found.at_hash,
                "azp" => &mut found.azp,
                "c_hash" => &mut found.c_hash,
                "nonce" => &mut found.nonce,
                "s_hash" => &mut found.s_hash,
                "sub" => &mut found.sub,
                "aud" => {
                    found.aud = Some(value);
                    continue;
                }
                "events" => {
                    found.has_events = true;
                    continue;
                }
                _ => continue,
            };
            *place = value.as_str();
        }
        found
    }

    /// Who else may use it (§3.1.3.7, 3 to 5).
    fn check_parties(&self, client: &str, trusted: &[&str]) -> Result<()> {
        let audiences = rules::audiences(self.aud);
        if audiences.clone().any(|one| one != client && !trusted.contains(&one)) {
            return Err(refused("the token has another audience besides, which is not trusted"));
        }
        match self.azp {
            None if audiences.count() > 1 => {
                Err(refused("azp is missing beside several audiences"))
            }
            Some(azp) if azp != client => Err(refused("the token is for another authorized party")),
            _ => Ok(()),
        }
    }

    fn check_nonce(&self, rules: &IdTokenRules<'_>) -> Result<()> {
        match (rules.nonce, self.nonce) {
            (Nonce::Any, _) => Ok(()),
            (Nonce::Absent, None) if rules.from == Endpoint::Token => Ok(()),
            (Nonce::Absent, None) => Err(refused("nonce is missing")),
            (Nonce::Absent, Some(_)) => {
                Err(refused("the token has a nonce that the request had not"))
            }
            (Nonce::Is(expected), found) if found == Some(expected) => Ok(()),
            (Nonce::Is(_), _) => Err(refused("the nonce is not that of the request")),
        }
    }

    fn check_authentication(
        &self,
        claims: &Claims,
        rules: &IdTokenRules<'_>,
        now: u64,
        skew: Duration,
    ) -> Result<()> {
        if !rules.acr.is_empty() && !self.acr.is_some_and(|acr| rules.acr.contains(&acr)) {
            return Err(refused("acr is none of those that were asked for"));
        }
        let Some(max_age) = rules.max_age else { return Ok(()) };
        let auth_time = date(claims, "auth_time")
            .map_err(refused_by)?
            .ok_or_else(|| refused("auth_time is missing"))?;
        let (now, skew) = (Duration::from_secs(now).as_secs_f64(), skew.as_secs_f64());
        if auth_time + max_age.as_secs_f64() + skew < now {
            return Err(refused("the user authenticated too long ago"));
        }
        if auth_time > now + skew {
            return Err(refused("auth_time is in the future"));
        }
        Ok(())
    }

    fn check_hashes(&self, algorithm: &Algorithm, rules: &IdTokenRules<'_>) -> Result<()> {
        let found = [self.at_hash, self.c_hash, self.s_hash];
        let values = hashed(rules.access_token, rules.code, rules.state);
        for ((name, value), found) in values.into_iter().zip(found) {
            let Some(value) = value else { continue };
            match found {
                None if rules.from == Endpoint::Token => {}
                None => return Err(refused(format!("{name} is missing"))),
                Some(found) => {
                    let hash = HalfHash::of(algorithm, value);
                    if hash.as_ref().map(HalfHash::as_str) != Some(found) {
                        return Err(refused(format!("{name} is of something else")));
                    }
                }
            }
        }
        Ok(())
    }
}

/// What is hashed into which claim.
fn hashed<'a>(
    access_token: Option<&'a str>,
    code: Option<&'a str>,
    state: Option<&'a str>,
) -> [(&'static str, Option<&'a str>); 3] {
    [("at_hash", access_token), ("c_hash", code), ("s_hash", state)]
}
