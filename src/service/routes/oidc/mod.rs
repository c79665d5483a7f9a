//! Tokens of OAuth 2.0 and OpenID Connect, as the provider and as a client.
//!
//! Each body has the issuer identifier of the provider and the registration of the client, by the names of OpenID
//! Connect Dynamic Client Registration, with `client_secret` and `jwks` where its algorithms need them.

mod access_token;
mod id_token;
mod messages;

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{callers, claims, peer_keys};
use crate::alg::{Algorithm, Family};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{KeySet, PeerRules};
use crate::profiles::oidc::{Client, MadeToken, Provider, RelyingParty, VerifiedToken};
use crate::service::call::Call;
use crate::service::route::Route;

pub(super) fn routes() -> Vec<Route> {
    [access_token::routes(), id_token::routes(), messages::routes()].into_iter().flatten().collect()
}

/// A token.
#[derive(JsonSchema, Serialize)]
struct Issued {
    /// The token.
    token: String,
}

/// A token that is accepted.
#[derive(JsonSchema, Serialize)]
struct Accepted {
    /// Its claims.
    claims: Map<String, Value>,
    /// The alias that verified it, or decrypted it where encryption is its only protection.
    alias: String,
    /// The kid of that key.
    kid: String,
    /// The algorithm.
    alg: &'static str,
}

impl Issued {
    fn of(call: &Call<'_>, client: &Client, made: Result<MadeToken>) -> Result<Self> {
        let made = made.map_err(|error| told(call, client, error))?;
        call.note_key_of(made.keys.active());
        Ok(Self { token: made.token })
    }
}

/// Tells records which key of ours let a token in.
fn note_key(call: &Call<'_>, token: &VerifiedToken) {
    for key in std::iter::once(&token.key).chain(&token.decrypted_by) {
        call.note_key_of(key);
    }
}

impl Accepted {
    fn of(call: &Call<'_>, token: VerifiedToken) -> Self {
        note_key(call, &token);
        Self {
            alias: token.key.alias.to_string(),
            kid: token.key.kid.clone(),
            alg: token.algorithm.name,
            claims: token.claims.into_map(),
        }
    }

    /// The same of a token for whose keys the registration of a client counts.
    fn with(call: &Call<'_>, client: &Client, token: Result<VerifiedToken>) -> Result<Self> {
        Ok(Self::of(call, token.map_err(|error| told(call, client, error))?))
    }
}

/// Keys and secrets of a registration in a body are the caller's to mend; those of a label, which a client may have
/// in their place, the operator's.
fn told(call: &Call<'_>, client: &Client, error: Error) -> Error {
    let realm = call.asked.realm.as_ref();
    let has_label = client.identifier().is_some_and(|identifier| {
        ["secret", "jwt.public.key", "id.token.enc.public.key"].iter().any(|what| {
            let label = format!("am.applications.oauth2.client.{identifier}.{what}");
            call.snapshot.find_named(realm, &label).is_some()
        })
    });
    if has_label { error } else { callers(error) }
}

/// The provider of this issuer identifier in the realm of a call.
fn provider(call: &Call<'_>, issuer: &str) -> Provider {
    call.keyring.oidc(call.asked.realm.clone()).provider(issuer)
}

/// This client of the provider.
fn relying_party(call: &Call<'_>, client: Client, issuer: &str) -> RelyingParty {
    call.keyring.oidc(call.asked.realm.clone()).relying_party(client, issuer)
}

/// A registration.
fn client(registration: &RawValue) -> Result<Client> {
    let client = Client::from_json(registration.get().as_bytes());
    client.map_err(|error| match error.kind() {
        ErrorKind::Usage => error,
        _ => callers(error).about("\"client\""),
    })
}

/// The provider's keys that verify what a client registered; none are needed where the client's secret does.
fn provider_keys(
    call: &Call<'_>,
    jwks: Option<&RawValue>,
    algorithm: Option<&'static Algorithm>,
) -> Result<Option<Arc<KeySet>>> {
    let algorithm = algorithm.map_or_else(|| Algorithm::named("RS256"), Ok)?;
    match jwks {
        Some(jwks) if !matches!(algorithm.family, Family::Hmac(_)) => {
            let rules = PeerRules::verify(&[algorithm.name])?;
            peer_keys(call, "provider_jwks", jwks, rules).map(Some)
        }
        _ => Ok(None),
    }
}

/// Seconds of a body, or what is usual.
fn lifetime(seconds: Option<u64>, usual: Duration) -> Duration {
    seconds.map_or(usual, Duration::from_secs)
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}
