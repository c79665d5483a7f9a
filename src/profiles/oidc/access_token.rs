//! Access tokens as JWTs (RFC 9068).

use std::error::Error as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::layers::{MadeToken, VerifiedToken};
use super::payload::Draft;
use super::provider::Provider;
use super::rules::{self, Claims, text};
use crate::crypto::certificate::thumbprint;
use crate::error::{Error, ErrorKind, Result};
use crate::jose::claims::ClaimRules;
use crate::profiles::refused;

/// RFC 9068 §2.1.
const TYP: &str = "at+jwt";
/// The claims that are set here.
const OWN: [&str; 5] = ["iss", "aud", "client_id", "iat", "exp"];
/// RFC 9068 §2.2.
const REQUIRED: [&str; 7] = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"];

/// What goes into an access token besides the caller's claims.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers build it over its default")]
pub struct AccessTokenOptions<'a> {
    /// How long it lives; an hour by default.
    pub lifetime: Duration,
    /// The resource servers that it is for; empty: the provider itself, for its own endpoints.
    pub audiences: &'a [&'a str],
    /// The certificate that the client showed, in DER: the token is bound to it (RFC 8705 §3). A client that is
    /// registered with `tls_client_certificate_bound_access_tokens` needs one.
    pub certificate: Option<&'a [u8]>,
}

impl Default for AccessTokenOptions<'_> {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(3_600), audiences: &[], certificate: None }
    }
}

/// What an access token must say.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "callers build it over its default")]
pub struct AccessTokenRules<'a> {
    /// The resource server that it must be for; `None`: whoever it is for, as an introspection asks.
    pub audience: Option<&'a str>,
    /// The client that it must be of.
    pub client_id: Option<&'a str>,
    /// The scopes that it must have.
    pub scopes: &'a [&'a str],
    /// Whom it is bound to.
    pub binding: Binding<'a>,
}

/// Whom an access token is bound to (`cnf`, RFC 7800 §3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 8705 has this one way")]
pub enum Binding<'a> {
    /// The client's certificate, by its SHA-256 thumbprint in base64url (RFC 8705 §3.1).
    Certificate(&'a str),
    /// Nobody: a token that is bound is refused.
    #[default]
    Nobody,
    /// Whoever gets the claims checks it.
    Unchecked,
}

impl Provider {
    /// Makes an access token for a client. `claims` say whom it is about (`sub`), its `scope` and whatever else there
    /// is to say; a `jti` is drawn unless they hold one.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for claims that are set here, are missing or of a wrong type, and without the certificate
    /// that the token must be bound to;
    /// [`ErrorKind::UnknownLabel`], [`ErrorKind::AlgorithmNotAllowed`].
    pub fn issue_access_token(
        &self,
        client: &Client,
        claims: &Claims,
        options: &AccessTokenOptions<'_>,
    ) -> Result<String> {
        Ok(self.make_access_token(client, claims, options)?.token)
    }

    /// As [`Provider::issue_access_token`], and by whom.
    pub(crate) fn make_access_token(
        &self,
        client: &Client,
        claims: &Claims,
        options: &AccessTokenOptions<'_>,
    ) -> Result<MadeToken> {
        rules::refuse_own(claims, &OWN)?;
        rules::check_given(claims, &["sub"])?;
        let now = self.oidc().now();
        let mut draft = Draft::of(&now, claims)?;
        draft.set_text("iss", self.issuer())?;
        draft.set_text("client_id", client.id())?;
        let own = [self.issuer()];
        draft.set_audience(if options.audiences.is_empty() { &own } else { options.audiences })?;
        draft.set_times(now.time, options.lifetime)?;
        draft.set_jti()?;
        bind(&mut draft, claims, client, options.certificate)?;
        self.protect(&now, &draft.finish()?, TYP)
    }

    /// Checks an access token of this provider.
    ///
    /// # Errors
    /// [`ErrorKind::TokenRefused`]; those of [`Provider::issue_access_token`] for the keys.
    pub fn verify_access_token(
        &self,
        token: &str,
        rules: &AccessTokenRules<'_>,
    ) -> Result<VerifiedToken> {
        let now = self.oidc().now();
        let accepted = self.unprotect(
            &now,
            token,
            TYP,
            &ClaimRules {
                issuer: Some(self.issuer()),
                audience: rules.audience,
                required: &REQUIRED,
                ..now.claim_rules()
            },
        )?;
        let claims = &accepted.claims;
        if rules.client_id.is_some() && text(claims, "client_id") != rules.client_id {
            return Err(refused("the token is of another client"));
        }
        let granted = text(claims, "scope").unwrap_or_default();
        if rules.scopes.iter().any(|scope| !granted.split(' ').any(|one| one == *scope)) {
            return Err(refused("the token lacks a scope"));
        }
        check_binding(claims, rules.binding)?;
        Ok(accepted)
    }

    /// What an introspection endpoint answers (RFC 7662 §2.2): the claims of a live access or refresh token of this
    /// provider, which of the two it is, and of anything else only that it is not active. Whether a token was revoked is
    /// the caller's to know, by its `jti`.
    ///
    /// # Errors
    /// Those of [`Provider::verify_access_token`] that are not about the token.
    pub fn introspect(&self, token: &str) -> Result<Value> {
        Ok(introspection(self.find_active(token)?.ok()))
    }

    /// The same for operators: the error of a token that is not active has why as its source. Whoever shows the token
    /// must not learn it.
    ///
    /// # Errors
    /// [`ErrorKind::TokenRefused`] of a token that is not active; those of [`Provider::introspect`].
    pub fn introspect_active(&self, token: &str) -> Result<Value> {
        self.find_active(token)?.map(|found| introspection(Some(found)))
    }

    /// A live access or refresh token of this provider, or why it is neither.
    ///
    /// # Errors
    /// Those of [`Provider::introspect`].
    pub(crate) fn find_active(&self, token: &str) -> Result<Result<ActiveToken>> {
        let rules = AccessTokenRules { binding: Binding::Unchecked, ..Default::default() };
        let access = match verdict(self.verify_access_token(token, &rules))? {
            Ok(token) => return Ok(Ok(ActiveToken { token, token_use: "access_token" })),
            Err(error) => error,
        };
        let refresh = match verdict(self.verify_any_refresh_token(token))? {
            Ok(token) => return Ok(Ok(ActiveToken { token, token_use: "refresh_token" })),
            Err(error) => error,
        };
        let why = |error: &Error| error.source().map(ToString::to_string).unwrap_or_default();
        let (access, refresh) = (why(&access), why(&refresh));
        Ok(Err(refused(if access == refresh {
            access
        } else {
            format!("as an access token: {access}; as a refresh token: {refresh}")
        })))
    }
}

/// What is said of the token, apart from failures that are no verdict on it.
fn verdict(found: Result<VerifiedToken>) -> Result<Result<VerifiedToken>> {
    match found {
        Err(error) if error.kind() != ErrorKind::TokenRefused => Err(error),
        found => Ok(found),
    }
}

/// A token that counts, and what as.
pub(crate) struct ActiveToken {
    pub(crate) token: VerifiedToken,
    /// As `token_type_hint` has it (RFC 7662 §2.1).
    token_use: &'static str,
}

/// What an introspection endpoint answers. A resource server that is shown a refresh token must see that it is one.
pub(crate) fn introspection(found: Option<ActiveToken>) -> Value {
    let Some(ActiveToken { token, token_use }) = found else { return json!({ "active": false }) };
    let mut answer = token.claims.into_map();
    answer.remove("token_type");
    if token_use == "access_token" {
        answer.insert("token_type".into(), "Bearer".into());
    }
    answer.insert("token_use".into(), token_use.into());
    answer.insert("active".into(), true.into());
    Value::Object(answer)
}

/// Sets `cnf` for a certificate. A caller's own `cnf` of another kind stays where there is none.
fn bind(
    draft: &mut Draft<'_>,
    claims: &Claims,
    client: &Client,
    certificate: Option<&[u8]>,
) -> Result<()> {
    if let Some(certificate) = certificate {
        rules::refuse_own(claims, &["cnf"])?;
        draft.set("cnf", &json!({ "x5t#S256": thumbprint(certificate) }))?;
    } else if client.binds_tokens() {
        let id = client.id().escape_debug();
        let text = format!("access tokens of client \"{id}\" are bound to its certificate");
        return Err(Error::new(ErrorKind::Usage, text)
            .with_help("give the certificate that it showed in TLS"));
    }
    Ok(())
}

fn check_binding(claims: &Claims, binding: Binding<'_>) -> Result<()> {
    let bound = claims.get("cnf");
    let holds = match binding {
        Binding::Certificate(thumbprint) => {
            let found = bound.and_then(|cnf| cnf.get("x5t#S256")).and_then(Value::as_str);
            found == Some(thumbprint)
        }
        Binding::Nobody => bound.is_none(),
        Binding::Unchecked => true,
    };
    if holds { Ok(()) } else { Err(refused("the token is bound to another certificate or key")) }
}
