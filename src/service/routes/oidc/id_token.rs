//! ID tokens: issued by the provider, verified by it or by a client.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{
    Accepted, Issued, borrowed, claims, client, lifetime, provider, provider_keys, relying_party,
};
use crate::access::Right;
use crate::error::{Error, ErrorKind, Result};
use crate::profiles::oidc::{Endpoint, Expired, IdTokenOptions, IdTokenRules, Nonce, TokenClaims};
use crate::service::call::Call;
use crate::service::route::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/oidc/id-token/issue", Right::OidcIssue, "Make an ID token", issue),
        Route::post("/v1/oidc/id-token/verify", Right::OidcOpen, "Check an ID token", verify),
    ]
}

/// An ID token to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "IdTokenIssueRequest")]
struct IssueRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The registration of the client.
    #[schemars(with = "Map<String, Value>")]
    client: Box<RawValue>,
    /// `sub` and whatever else there is to say; issuer, audience, times and hashes are set by the service.
    #[schemars(with = "Map<String, Value>")]
    claims: Box<RawValue>,
    /// How long it lives, in seconds; absent: an hour.
    lifetime: Option<u64>,
    /// Audiences besides the client.
    #[serde(default)]
    audiences: Vec<String>,
    /// The access token beside it, for `at_hash`.
    access_token: Option<String>,
    /// The authorization code beside it, for `c_hash`.
    code: Option<String>,
    /// The state beside it, for `s_hash`.
    state: Option<String>,
}

fn issue(call: &Call<'_>, body: IssueRequest) -> Result<Issued> {
    let audiences = borrowed(&body.audiences);
    let options = IdTokenOptions {
        lifetime: lifetime(body.lifetime, IdTokenOptions::default().lifetime),
        audiences: &audiences,
        access_token: body.access_token.as_deref(),
        code: body.code.as_deref(),
        state: body.state.as_deref(),
    };
    let (provider, client) = (provider(call, &body.issuer), client(&body.client)?);
    let claims = TokenClaims::from(claims(&body.claims)?);
    Issued::of(call, &client, provider.make_id_token(&client, &claims, &options))
}

/// An ID token that somebody shows.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "IdTokenVerifyRequest")]
struct VerifyRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The registration of the client.
    #[schemars(with = "Map<String, Value>")]
    client: Box<RawValue>,
    /// The token.
    token: String,
    /// Checks as the client that it is for, not as the provider that made it.
    #[serde(default)]
    as_client: bool,
    /// As the client: the provider's JWK set; not needed where the client's secret verifies.
    #[schemars(with = "Option<Map<String, Value>>")]
    provider_jwks: Option<Box<RawValue>>,
    /// The nonce of the request.
    nonce: Option<String>,
    /// As the client: takes any nonce, or none. The provider always does.
    #[serde(default)]
    any_nonce: bool,
    /// How many seconds ago the user may have authenticated.
    max_age: Option<u64>,
    /// Authentication contexts of which one is enough.
    #[serde(default)]
    acr: Vec<String>,
    /// Whom it must be about.
    subject: Option<String>,
    /// Audiences besides the client that are no reason to refuse it.
    #[serde(default)]
    trusted_audiences: Vec<String>,
    /// It came through the browser: nonce and hashes must be there.
    #[serde(default)]
    front_channel: bool,
    /// Takes one that has expired, as an `id_token_hint` may.
    #[serde(default)]
    accept_expired: bool,
    /// The access token that came with it.
    access_token: Option<String>,
    /// The authorization code that came with it.
    code: Option<String>,
    /// The state that came with it.
    state: Option<String>,
}

fn verify(call: &Call<'_>, body: VerifyRequest) -> Result<Accepted> {
    let (acr, trusted) = (borrowed(&body.acr), borrowed(&body.trusted_audiences));
    let rules = IdTokenRules {
        from: if body.front_channel { Endpoint::Authorization } else { Endpoint::Token },
        nonce: match &body.nonce {
            Some(nonce) => Nonce::Is(nonce),
            None if body.any_nonce || !body.as_client => Nonce::Any,
            None => Nonce::Absent,
        },
        max_age: body.max_age.map(Duration::from_secs),
        acr: &acr,
        subject: body.subject.as_deref(),
        access_token: body.access_token.as_deref(),
        code: body.code.as_deref(),
        state: body.state.as_deref(),
        trusted_audiences: &trusted,
        expired: if body.accept_expired { Expired::Accepted } else { Expired::Refused },
    };
    let client = client(&body.client)?;
    if !body.as_client {
        if body.provider_jwks.is_some() {
            let text = "the provider verifies with its own keys";
            return Err(Error::new(ErrorKind::Usage, text)
                .with_help("leave out \"provider_jwks\", or set \"as_client\""));
        }
        let provider = provider(call, &body.issuer);
        let token = provider.verify_id_token(&client, &body.token, &rules);
        return Accepted::with(call, &client, token);
    }
    let keys = provider_keys(call, body.provider_jwks.as_deref(), client.id_token().signing)?;
    let party = relying_party(call, client, &body.issuer);
    let token = party.verify_id_token(keys.as_ref(), &body.token, &rules);
    Accepted::with(call, party.client(), token)
}
