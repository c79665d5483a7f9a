//! The table of routes: a file a subject, a row a route.

mod health;
mod labels;

use super::route::Route;

/// Every route.
pub(crate) fn all() -> Vec<Route> {
    [health::routes(), labels::routes()].into_iter().flatten().collect()
}
