//! What provider and client tell each other: logout tokens, request objects, client assertions, userinfo.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{
    Accepted, Issued, claims, client, lifetime, note_key, peer_keys, provider, provider_keys,
    relying_party, told,
};
use crate::access::Right;
use crate::clock::to_unix;
use crate::error::Result;
use crate::ops::PeerRules;
use crate::profiles::oidc::{
    AssertionOptions, AssertionRules, AudienceForm, JtiUse, LogoutTokenOptions, LogoutTokenRules,
    RequestObjectOptions, RequestObjectRules, TokenClaims, Typed, Untyped,
};
use crate::profiles::refused;
use crate::service::call::Call;
use crate::service::route::Route;

pub(super) fn routes() -> Vec<Route> {
    let (issue, open) = (Right::OidcIssue, Right::OidcOpen);
    let path = |name: &str| format!("/v1/oidc/{name}");
    vec![
        Route::post(path("logout-token/issue"), issue, "Make a logout token", issue_logout),
        Route::post(path("logout-token/verify"), open, "Check a logout token", verify_logout)
            .slow(),
        Route::post(path("request-object/issue"), issue, "Make a request object", issue_request),
        Route::post(path("request-object/verify"), open, "Open a request object", verify_request),
        Route::post(
            path("client-assertion/issue"),
            issue,
            "Make the assertion with which a client authenticates",
            issue_assertion,
        ),
        Route::post(
            path("client-assertion/verify"),
            open,
            "Check the assertion with which a client authenticates",
            verify_assertion,
        )
        .slow(),
        Route::post(path("userinfo/issue"), issue, "Make a userinfo response", issue_userinfo),
        Route::post(path("userinfo/open"), open, "Open a userinfo response", open_userinfo),
        Route::post(path("subject"), issue, "Say how a client knows a user", subject),
    ]
}

/// A logout token to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogoutIssueRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The registration of the client.
    #[schemars(with = "Map<String, Value>")]
    client: Box<RawValue>,
    /// The claims; those that its kind sets are set by the service.
    #[schemars(with = "Map<String, Value>")]
    claims: Box<RawValue>,
    /// How long it lives, in seconds; absent: two minutes.
    lifetime: Option<u64>,
}

fn issue_logout(call: &Call<'_>, body: LogoutIssueRequest) -> Result<Issued> {
    let lifetime = lifetime(body.lifetime, LogoutTokenOptions::default().lifetime);
    let provider = provider(call, &body.issuer);
    let options = LogoutTokenOptions { lifetime };
    let claims = TokenClaims::from(claims(&body.claims)?);
    let client = client(&body.client)?;
    Issued::of(call, &client, provider.make_logout_token(&client, &claims, &options))
}

/// A logout token that somebody shows.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogoutVerifyRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The registration of the client.
    #[schemars(with = "Map<String, Value>")]
    client: Box<RawValue>,
    /// The token.
    token: String,
    /// The provider's JWK set; not needed where the client's secret verifies.
    #[schemars(with = "Option<Map<String, Value>>")]
    provider_jwks: Option<Box<RawValue>>,
    /// Whether the token may come without the `typ` of its kind; absent: no.
    untyped: Option<bool>,
    /// How many seconds ahead `exp` may be; absent: an hour. As a token counts once, a day at most.
    max_lifetime: Option<u64>,
}

fn verify_logout(call: &Call<'_>, body: LogoutVerifyRequest) -> Result<Accepted> {
    let client = client(&body.client)?;
    let keys = provider_keys(call, body.provider_jwks.as_deref(), client.id_token().signing)?;
    let guard = |token: &JtiUse<'_>| first(call, token);
    let max_lifetime = lifetime(body.max_lifetime, Duration::from_secs(3_600));
    let rules = LogoutTokenRules {
        untyped: untyped(body.untyped, Untyped::Refused),
        max_lifetime: Some(max_lifetime),
        replay: &guard,
    };
    let party = relying_party(call, client, &body.issuer);
    let token = party.verify_logout_token(keys.as_ref(), &body.token, &rules);
    Accepted::with(call, party.client(), token)
}

/// A request object to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RequestObjectIssueRequest")]
struct ObjectIssueRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The registration of the client.
    #[schemars(with = "Map<String, Value>")]
    client: Box<RawValue>,
    /// The parameters of the request; the claims that its kind sets are set by the service.
    #[schemars(with = "Map<String, Value>")]
    claims: Box<RawValue>,
    /// How long it lives, in seconds; absent: five minutes.
    lifetime: Option<u64>,
    /// The provider's JWK set, to encrypt to where that was agreed on.
    #[schemars(with = "Option<Map<String, Value>>")]
    provider_jwks: Option<Box<RawValue>>,
}

fn issue_request(call: &Call<'_>, body: ObjectIssueRequest) -> Result<Issued> {
    let client = client(&body.client)?;
    let keys = match (&body.provider_jwks, client.request_object().encryption) {
        (Some(jwks), Some(agreed)) => {
            let rules = PeerRules::encrypt(&[agreed.alg.name, agreed.enc.name])?;
            Some(peer_keys(call, "provider_jwks", jwks, rules)?)
        }
        _ => None,
    };
    let lifetime = lifetime(body.lifetime, RequestObjectOptions::default().lifetime);
    let options = RequestObjectOptions { lifetime, provider_keys: keys.as_ref() };
    let party = relying_party(call, client, &body.issuer);
    let made = party.make_request_object(&TokenClaims::from(claims(&body.claims)?), &options);
    Issued::of(call, party.client(), made)
}

/// A request object that a client shows.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RequestObjectVerifyRequest")]
struct ObjectVerifyRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The registration of the client.
    #[schemars(with = "Map<String, Value>")]
    client: Box<RawValue>,
    /// The token.
    token: String,
    /// Whether the token may come without the `typ` of its kind; absent: yes.
    untyped: Option<bool>,
    /// How many seconds ahead `exp` may be; absent: an hour.
    max_lifetime: Option<u64>,
}

fn verify_request(call: &Call<'_>, body: ObjectVerifyRequest) -> Result<Accepted> {
    let max_lifetime = lifetime(body.max_lifetime, Duration::from_secs(3_600));
    let untyped = untyped(body.untyped, Untyped::Accepted);
    let rules = RequestObjectRules { untyped, max_lifetime: Some(max_lifetime) };
    let (provider, client) = (provider(call, &body.issuer), client(&body.client)?);
    let token = provider.open_request_object(&client, &body.token, &rules);
    Accepted::with(call, &client, token)
}

/// An assertion to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AssertionRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The registration of the client.
    #[schemars(with = "Map<String, Value>")]
    client: Box<RawValue>,
    /// Its audience; absent: the issuer identifier.
    audience: Option<String>,
    /// How long it lives, in seconds; absent: a minute.
    lifetime: Option<u64>,
    /// Gives it the `typ` of its kind.
    #[serde(default)]
    typed: bool,
}

fn issue_assertion(call: &Call<'_>, body: AssertionRequest) -> Result<Issued> {
    let lifetime = lifetime(body.lifetime, AssertionOptions::default().lifetime);
    let typed = if body.typed { Typed::Own } else { Typed::Plain };
    let party = relying_party(call, client(&body.client)?, &body.issuer);
    let audience = body.audience.as_deref().unwrap_or(&body.issuer);
    let made = party.make_client_assertion(audience, &AssertionOptions { lifetime, typed });
    Issued::of(call, party.client(), made)
}

/// An assertion that a client shows.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AssertionVerifyRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The registration of the client.
    #[schemars(with = "Map<String, Value>")]
    client: Box<RawValue>,
    /// The token.
    token: String,
    /// Whether the token may come without the `typ` of its kind; absent: yes.
    untyped: Option<bool>,
    /// What `aud` may be besides the issuer identifier.
    #[serde(default)]
    audiences: Vec<String>,
    /// Whether `aud` may be a list.
    #[serde(default)]
    audience_list: bool,
    /// How many seconds ahead `exp` may be; absent: ten minutes. As an assertion counts once, a day at most.
    max_lifetime: Option<u64>,
}

fn verify_assertion(call: &Call<'_>, body: AssertionVerifyRequest) -> Result<Accepted> {
    let guard = |token: &JtiUse<'_>| first(call, token);
    let mut audiences = vec![body.issuer.as_str()];
    audiences.extend(body.audiences.iter().map(String::as_str));
    let usual = AssertionRules::new(&audiences, &guard);
    let rules = AssertionRules {
        form: if body.audience_list { AudienceForm::List } else { AudienceForm::One },
        max_lifetime: lifetime(body.max_lifetime, usual.max_lifetime),
        untyped: untyped(body.untyped, usual.untyped),
        ..usual
    };
    let (provider, client) = (provider(call, &body.issuer), client(&body.client)?);
    let token = provider.verify_client_assertion(&client, &body.token, &rules);
    Accepted::with(call, &client, token)
}

/// What a body says of tokens without the `typ` of their kind.
fn untyped(said: Option<bool>, usual: Untyped) -> Untyped {
    match said {
        Some(true) => Untyped::Accepted,
        Some(false) => Untyped::Refused,
        None => usual,
    }
}

/// How many seconds ahead a token that counts once may end, so that what fills the memory is gone some day: who may open
/// tokens writes the registration that they are believed by.
const MAX_AHEAD: u64 = 86_400;

fn first(call: &Call<'_>, token: &JtiUse<'_>) -> Result<bool> {
    let service = &call.service.0;
    let (now, end) = (service.clock.now(), to_unix(token.until).saturating_add(1));
    if end > to_unix(now).saturating_add(MAX_AHEAD) {
        return Err(refused("exp is too far ahead"));
    }
    service.used_tokens.add(call.asked.realm.as_ref(), &token.digest(), end, now)
}

/// A userinfo response to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UserinfoIssueRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The registration of the client.
    #[schemars(with = "Map<String, Value>")]
    client: Box<RawValue>,
    /// The claims; those that its kind sets are set by the service.
    #[schemars(with = "Map<String, Value>")]
    claims: Box<RawValue>,
}

fn issue_userinfo(call: &Call<'_>, body: UserinfoIssueRequest) -> Result<Issued> {
    let (provider, client) = (provider(call, &body.issuer), client(&body.client)?);
    let claims = TokenClaims::from(claims(&body.claims)?);
    Issued::of(call, &client, provider.make_userinfo(&client, &claims))
}

/// A userinfo response that came from a provider.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UserinfoRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The registration of the client.
    #[schemars(with = "Map<String, Value>")]
    client: Box<RawValue>,
    /// The response.
    token: String,
    /// The `sub` of the ID token: the response must be about nobody else.
    subject: String,
    /// The provider's JWK set; not needed where the client's secret verifies.
    #[schemars(with = "Option<Map<String, Value>>")]
    provider_jwks: Option<Box<RawValue>>,
}

/// What a userinfo response says.
#[derive(JsonSchema, Serialize)]
struct Userinfo {
    /// Its claims.
    claims: Map<String, Value>,
}

fn open_userinfo(call: &Call<'_>, body: UserinfoRequest) -> Result<Userinfo> {
    let client = client(&body.client)?;
    let keys = match client.userinfo().signing {
        Some(algorithm) => provider_keys(call, body.provider_jwks.as_deref(), Some(algorithm))?,
        None => None,
    };
    let party = relying_party(call, client, &body.issuer);
    let found = party.verify_userinfo(keys.as_ref(), &body.token, &body.subject);
    let found = found.map_err(|error| told(call, party.client(), error))?;
    note_key(call, &found);
    Ok(Userinfo { claims: found.claims.into_map() })
}

/// A user, and a client.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SubjectRequest {
    /// The issuer identifier of the provider.
    issuer: String,
    /// The registration of the client.
    #[schemars(with = "Map<String, Value>")]
    client: Box<RawValue>,
    /// The local id of the user.
    account: String,
}

/// How a client knows a user.
#[derive(JsonSchema, Serialize)]
struct Subject {
    /// The `sub` of tokens for this client.
    sub: String,
}

fn subject(call: &Call<'_>, body: SubjectRequest) -> Result<Subject> {
    let (provider, client) = (provider(call, &body.issuer), client(&body.client)?);
    Ok(Subject { sub: provider.subject(&client, &body.account)? })
}
