//! The table of routes: a file a subject, a row a route.

mod description;
mod drill;
mod encryption;
mod health;
mod keys;
mod oidc;
mod reading;
#[cfg(feature = "saml")]
mod saml;
mod service;
mod sessions;
mod signing;
mod steps;
mod tokens;

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::call::Call;
use super::route::Route;
use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::ops::{KeySet, PeerKeySet, PeerRules};

/// Every route.
pub(crate) fn all() -> Vec<Route> {
    [
        description::routes(),
        drill::routes(),
        encryption::routes(),
        health::routes(),
        keys::routes(),
        oidc::routes(),
        reading::routes(),
        #[cfg(feature = "saml")]
        saml::routes(),
        service::routes(),
        sessions::routes(),
        signing::routes(),
        steps::routes(),
        tokens::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The keys of somebody else, in a JWK set that is a member of a body.
fn peer_keys(
    call: &Call<'_>,
    member: &str,
    jwks: &RawValue,
    rules: PeerRules,
) -> Result<Arc<KeySet>> {
    let rules = rules.under(&call.snapshot.config().policy);
    let set = PeerKeySet::from_jwks(jwks.get().as_bytes(), &rules);
    let keys = set.and_then(|set| set.keys().cloned());
    keys.map_err(|error| callers(error).about(format_args!("\"{member}\"")))
}

/// The claims of a body. A reader may believe the other one of a member that is there twice (RFC 7519 §4).
fn claims(given: &RawValue) -> Result<Map<String, Value>> {
    let claims = json::parse_strict_object(given.get().as_bytes(), MAX_DEPTH);
    claims.map_err(|error| error.about("\"claims\""))
}

/// What came in a body is the caller's to mend, whatever is wrong with it.
fn callers(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Damaged | ErrorKind::KeyUnfit | ErrorKind::Unsupported => {
            error.of_kind(ErrorKind::Malformed)
        }
        _ => error,
    }
}

/// Deeper than any configuration lets a profile go, whose own bound is the one that is told.
const MAX_DEPTH: usize = 100;
