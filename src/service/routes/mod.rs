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

use super::route::Route;
use crate::error::Result;
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

/// The keys of somebody else, in a JWK set of a body.
fn peer_keys(jwks: &RawValue, rules: &PeerRules) -> Result<Arc<KeySet>> {
    PeerKeySet::from_jwks(jwks.get().as_bytes(), rules)?.keys().cloned()
}
