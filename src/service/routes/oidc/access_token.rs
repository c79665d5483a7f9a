//! Access and refresh tokens of the provider.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Accepted, Issued, borrowed, callers, claims, client, lifetime, note_key};
use crate::access::Right;
use crate::alg::Algorithm;
use crate::crypto::certificate::facts;
use crate::error::{Error, ErrorKind, Result};
use crate::profiles::oidc::{
    self, AccessTokenOptions, AccessTokenRules, Binding, Provider, RefreshTokenOptions,
    TokenClaims, TokenProtection,
};
use crate::service::Problem;
use crate::service::call::Call;
use crate::service::content::decoded;
use crate::service::route::Route;

pub(super) fn routes() -> Vec<Route> {
    let (issue, open) = (Right::OidcIssue, Right::OidcOpen);
    vec![
        Route::post("/v1/oidc/access-token/issue", issue, "Make an access token", issue_access),
        Route::post("/v1/oidc/access-token/verify", open, "Check an access token", verify_access),
        Route::post(
            "/v1/oidc/access-token/introspect",
            open,
            "Say what an access or refresh token is (RFC 7662)",
            introspect,
        ),
        Route::post("/v1/oidc/refresh-token/issue", issue, "Make a refresh token", issue_refresh),
        Route::post("/v1/oidc/refresh-token/verify", open, "Check a refresh token", verify_refresh),
    ]
}

/// An access or refresh token to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AccessTokenIssueRequest")]
struct IssueRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The registration of the client.
    #[schemars(with = "Map<String, Value>")]
    client: Box<RawValue>,
    /// `sub`, `scope` and whatever else there is to say.
    #[schemars(with = "Map<String, Value>")]
    claims: Box<RawValue>,
    /// The algorithm that signs, or `encrypted`; of several the first; absent: RS256.
    #[serde(default)]
    protection: Vec<String>,
    /// How long it lives, in seconds; absent: an hour, of refresh tokens a week.
    lifetime: Option<u64>,
    /// The resource servers that an access token is for; empty: the provider itself. Refresh tokens have none.
    #[serde(default)]
    audiences: Vec<String>,
    /// The certificate that the client showed, DER in base64url: an access token is bound to it (RFC 8705 §3).
    certificate: Option<String>,
}

fn issue_access(call: &Call<'_>, body: IssueRequest) -> Result<Issued> {
    let audiences = borrowed(&body.audiences);
    let lifetime = lifetime(body.lifetime, AccessTokenOptions::default().lifetime);
    let certificate = body.certificate.as_deref().map(|text| decoded("certificate", text));
    let certificate = certificate.transpose()?;
    let certificate = certificate.as_deref();
    if let Some(der) = certificate {
        facts(der).map_err(|error| callers(error).about("\"certificate\""))?;
    }
    let options = AccessTokenOptions { lifetime, audiences: &audiences, certificate };
    let provider = provider(call, &body.issuer, &body.protection)?;
    let claims = TokenClaims::from(claims(&body.claims)?);
    let client = client(&body.client)?;
    Issued::of(call, &client, provider.make_access_token(&client, &claims, &options))
}

fn issue_refresh(call: &Call<'_>, body: IssueRequest) -> Result<Issued> {
    if body.certificate.is_some() || !body.audiences.is_empty() {
        let text = "a refresh token is for the provider alone, and bound to no certificate";
        return Err(Error::new(ErrorKind::Usage, text)
            .with_help("leave out \"audiences\" and \"certificate\""));
    }
    let lifetime = lifetime(body.lifetime, RefreshTokenOptions::default().lifetime);
    let options = RefreshTokenOptions { lifetime };
    let provider = provider(call, &body.issuer, &body.protection)?;
    let claims = TokenClaims::from(claims(&body.claims)?);
    let client = client(&body.client)?;
    Issued::of(call, &client, provider.make_refresh_token(&client, &claims, &options))
}

/// An access token that somebody shows.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AccessTokenVerifyRequest")]
struct VerifyRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The token.
    token: String,
    /// The algorithms that sign, or `encrypted`; absent: RS256.
    #[serde(default)]
    protection: Vec<String>,
    /// The resource server that it must be for; absent: any.
    audience: Option<String>,
    /// The client that it must be of; absent: any.
    client_id: Option<String>,
    /// The scopes that it must have.
    #[serde(default)]
    scopes: Vec<String>,
    /// The SHA-256 of the certificate that it must be bound to, in base64url (RFC 8705 §3.1); absent: it must be bound
    /// to nobody.
    certificate_thumbprint: Option<String>,
}

fn verify_access(call: &Call<'_>, body: VerifyRequest) -> Result<Accepted> {
    let scopes = borrowed(&body.scopes);
    let certificate = body.certificate_thumbprint.as_deref();
    let rules = AccessTokenRules {
        audience: body.audience.as_deref(),
        client_id: body.client_id.as_deref(),
        scopes: &scopes,
        binding: certificate.map_or(Binding::Nobody, Binding::Certificate),
    };
    let provider = provider(call, &body.issuer, &body.protection)?;
    Ok(Accepted::of(call, provider.verify_access_token(&body.token, &rules)?))
}

/// A token that somebody asks about.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IntrospectRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The token.
    token: String,
    /// The algorithms that sign, or `encrypted`; absent: RS256.
    #[serde(default)]
    protection: Vec<String>,
}

/// What a token is (RFC 7662 §2.2).
#[derive(JsonSchema, Serialize)]
#[serde(transparent)]
struct Introspected(#[schemars(with = "Introspection")] Value);

/// What a token is (RFC 7662 §2.2).
#[derive(JsonSchema)]
#[expect(dead_code, reason = "its form, for the schema")]
struct Introspection {
    /// Whether it counts; nothing else is said of one that does not.
    active: bool,
    /// What it counts as: `access_token`, or `refresh_token`, which is for the provider alone.
    #[schemars(skip_serializing_if = "Option::is_none")]
    token_use: Option<String>,
    /// `Bearer` of an access token.
    #[schemars(skip_serializing_if = "Option::is_none")]
    token_type: Option<String>,
    /// What it says.
    #[serde(flatten)]
    claims: Map<String, Value>,
}

fn introspect(call: &Call<'_>, body: IntrospectRequest) -> Result<Introspected> {
    let found = provider(call, &body.issuer, &body.protection)?.find_active(&body.token)?;
    // Whoever asks is told no more than that the token does not count.
    let found = found.map_err(|why| Problem::from(why).log(call.request.id)).ok();
    if let Some(found) = &found {
        note_key(call, &found.token);
    }
    Ok(Introspected(oidc::introspection(found)))
}

/// A refresh token that a client shows.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The registration of the client.
    #[schemars(with = "Map<String, Value>")]
    client: Box<RawValue>,
    /// The token.
    token: String,
    /// The algorithms that sign, or `encrypted`; absent: RS256.
    #[serde(default)]
    protection: Vec<String>,
}

fn verify_refresh(call: &Call<'_>, body: RefreshRequest) -> Result<Accepted> {
    let provider = provider(call, &body.issuer, &body.protection)?;
    Ok(Accepted::of(call, provider.verify_refresh_token(&client(&body.client)?, &body.token)?))
}

/// The provider with its protections.
fn provider(call: &Call<'_>, issuer: &str, protection: &[String]) -> Result<Provider> {
    let provider = super::provider(call, issuer);
    if protection.is_empty() {
        return Ok(provider);
    }
    let one = |name: &String| match name.as_str() {
        "encrypted" => Ok(TokenProtection::Encrypted),
        name => Algorithm::named(name).map(TokenProtection::Signed),
    };
    provider.with_tokens(&protection.iter().map(one).collect::<Result<Vec<_>>>()?)
}
