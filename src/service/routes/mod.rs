//! The table of routes: a file a subject, a row a route.

mod description;
mod encryption;
mod health;
mod keys;
mod oidc;
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
        encryption::routes(),
        health::routes(),
        keys::routes(),
        oidc::routes(),
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
