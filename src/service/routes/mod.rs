//! The table of routes: a file a subject, a row a route.

mod encryption;
mod health;
mod signing;

use super::route::Route;

/// Every route.
pub(crate) fn all() -> Vec<Route> {
    [encryption::routes(), health::routes(), signing::routes()].into_iter().flatten().collect()
}
