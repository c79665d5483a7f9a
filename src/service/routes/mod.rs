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

use super::route::Route;

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
