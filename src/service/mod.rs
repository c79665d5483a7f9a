//! The HTTPS service: every label operation, profile and rotation step for whoever cannot link Rust.
//!
//! ```text
//! listen ─► connection (TLS, limits) ─► dispatch: route ─► caller ─► right ─► body ─► handler ─► answer or problem
//! ```
//!
//! A request takes one [`Snapshot`](crate::keyring::Snapshot) at its start: callers, grants, labels and keys are of
//! one moment. Handlers are plain functions that take no lock and know nothing of HTTP but their body; one row of
//! [`routes`] says path, right and body, and the grants, the limits and the OpenAPI document follow from it.

#![expect(dead_code, reason = "the rooms are there before what fills them")]

mod answer;
mod bearer;
mod body;
mod call;
mod connection;
mod content;
mod dispatch;
mod identity;
mod issuers;
mod metrics;
mod operation;
mod problem;
mod route;
mod routes;
mod schedule;
mod seen;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::keyring::Keyring;
use metrics::Metrics;
use schedule::Lateness;

pub use connection::serve;
pub use problem::Problem;

/// Bounds on what one caller can cost.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct Limits {
    /// Bytes of a body; default 1 MiB.
    pub max_body_bytes: usize,
    /// Items of a batch; default 1,000.
    pub max_batch_items: usize,
    /// Requests that are worked on at once; default 1,024.
    pub max_requests: usize,
    /// From the first byte of a request to the end of its headers; default 10 s.
    pub header_timeout: Duration,
    /// For its body; default 10 s.
    pub body_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 1 << 20,
            max_batch_items: 1_000,
            max_requests: 1_024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
        }
    }
}

/// The service over a keyring. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    keyring: Keyring,
    clock: Clock,
    limits: Limits,
    routes: dispatch::Table,
    issuers: issuers::Issuers,
    metrics: Metrics,
    lateness: Lateness,
    slots: tokio::sync::Semaphore,
}

impl Service {
    /// The service of a keyring, which it follows.
    #[must_use]
    pub fn new(keyring: Keyring, clock: Clock, limits: Limits) -> Self {
        let slots = tokio::sync::Semaphore::new(limits.max_requests);
        let routes = dispatch::Table::new();
        Self(Arc::new(Inner {
            issuers: issuers::Issuers::default(),
            metrics: Metrics::new(&keyring, routes.routes()),
            lateness: Lateness::default(),
            keyring,
            clock,
            limits,
            routes,
            slots,
        }))
    }

    /// The keyring.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}
