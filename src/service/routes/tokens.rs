//! Tokens of journeys and services: a row of the table of profiles each.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::sessions::{MadeBy, note_acting, shown};
use super::{claims, peer_keys};
use crate::access::Right;
use crate::error::{Error, ErrorKind, Result};
use crate::profiles::journey::{Between, Expected, Tokens};
use crate::service::call::Call;
use crate::service::route::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/v1/tokens/{profile}/seal",
            Right::TokenIssue,
            "Make a token of a profile",
            seal,
        ),
        Route::post(
            "/v1/tokens/{profile}/open",
            Right::TokenOpen,
            "Open a token of a profile",
            open,
        ),
    ]
}

/// A token to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TokenSealRequest")]
struct SealRequest {
    /// Its claims; those that the profile sets are set by the service.
    #[schemars(with = "Map<String, Value>")]
    claims: Box<RawValue>,
    /// The identifier of the node or module, where labels have one.
    identifier: Option<String>,
    /// How long it lives, in seconds; absent: what the profile says.
    life: Option<u64>,
    /// The public keys of the other side, a JWK set; for profiles between peers.
    #[schemars(with = "Option<Map<String, Value>>")]
    peer: Option<Box<RawValue>>,
}

/// A token.
#[derive(JsonSchema, Serialize)]
struct SealedToken {
    /// The token.
    token: String,
}

fn seal(call: &Call<'_>, body: SealRequest) -> Result<SealedToken> {
    let mut tokens = tokens(call, body.identifier.as_deref(), body.life)?;
    let profile = tokens.profile();
    if let Some(peer) = &body.peer {
        tokens.require_peers()?;
        tokens = tokens.with_peer(peer_keys(call, "peer", peer, profile.peer_encrypts()?)?)?;
    }
    let token = tokens.seal(&claims(&body.claims)?)?;
    note_acting(call, || tokens.acting());
    Ok(SealedToken { token })
}

/// A token that somebody shows.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TokenOpenRequest")]
struct OpenRequest {
    /// The token.
    token: String,
    /// The identifier of the node or module, where labels have one.
    identifier: Option<String>,
    /// How long tokens of the profile may live, in seconds; absent: what the profile says.
    life: Option<u64>,
    /// The public keys of the other side, a JWK set; for profiles between peers.
    #[schemars(with = "Option<Map<String, Value>>")]
    peer: Option<Box<RawValue>>,
    /// Who makes it; for profiles between peers.
    issuer: Option<String>,
    /// Who reads it; for profiles between peers.
    audience: Option<String>,
}

/// A token that is accepted.
#[derive(JsonSchema, Serialize)]
struct OpenedToken {
    /// Its claims.
    claims: Map<String, Value>,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The realm that it was made in; absent: the root realm.
    #[serde(skip_serializing_if = "Option::is_none")]
    realm: Option<String>,
    /// When it was made, in RFC 3339; absent of tokens that never end.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<String>,
    /// When it ends, in RFC 3339; absent of tokens that never end.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(flatten)]
    keys: MadeBy,
}

fn open(call: &Call<'_>, body: OpenRequest) -> Result<OpenedToken> {
    let mut tokens = tokens(call, body.identifier.as_deref(), body.life)?;
    let profile = tokens.profile();
    if let Some(peer) = &body.peer {
        tokens.require_peers()?;
        tokens = tokens.with_peer(peer_keys(call, "peer", peer, profile.peer_signs()?)?)?;
    }
    match (body.issuer, body.audience) {
        (Some(issuer), Some(audience)) => {
            tokens = tokens.expecting(Expected { issuer, audience })?
        }
        (None, None) if profile.between == Between::Ourselves => {}
        _ => {
            let text =
                "who makes and who reads the token goes together, and tokens of peers need it";
            return Err(
                Error::new(ErrorKind::Usage, text).with_help("send \"issuer\" and \"audience\"")
            );
        }
    }
    let opened = tokens.open(&body.token)?;
    let times = opened.times();
    Ok(OpenedToken {
        id: opened.id().map(str::to_owned),
        realm: opened.realm().map(str::to_owned),
        issued: times.map(|times| shown(times.issued)),
        expires: times.map(|times| shown(times.expires)),
        keys: MadeBy::of(call, &opened),
        claims: opened.into_claims(),
    })
}

/// The tokens of the profile of the path in the realm of a call.
fn tokens(call: &Call<'_>, identifier: Option<&str>, life: Option<u64>) -> Result<Tokens> {
    let keyring = &call.keyring;
    let name = call.asked.parts.get("profile").unwrap_or_default();
    let tokens = match &call.asked.realm {
        Some(realm) => keyring.realm(realm.as_str())?.tokens(name, identifier)?,
        None => keyring.tokens(name, identifier)?,
    };
    match life {
        Some(life) => {
            let idle = tokens.profile().idle;
            tokens.with_times(Duration::from_secs(life), idle)
        }
        None => Ok(tokens),
    }
}
