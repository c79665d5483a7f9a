//! The HTTPS service: every label operation, profile and rotation step for whoever cannot link Rust.
//!
//! ```text
//! listen ─► connection (TLS, limits) ─► dispatch: route ─► caller ─► right ─► body ─► handler ─► answer or problem
//! ```
//!
//! A request takes one [`Snapshot`](crate::keyring::Snapshot) at its start: callers, grants, labels and keys are of
//! one moment. Handlers are plain functions that take no lock and know nothing of HTTP but their body; one row of
//! `routes` says path, right and body, and the grants, the limits and the OpenAPI document follow from it.

mod activity;
mod answer;
mod asked;
mod audit;
mod bearer;
mod body;
mod call;
mod connection;
mod content;
mod dispatch;
mod ended;
mod idempotency;
mod identity;
mod issuers;
mod lifecycle;
mod listen;
mod memory;
mod metrics;
mod openapi;
mod operation;
#[cfg(feature = "otel")]
mod otlp;
mod page;
mod places;
mod problem;
mod published;
mod rates;
mod readiness;
mod request_id;
mod route;
mod routes;
mod schedule;
mod seen;
mod signal;
mod slots;
mod span;
mod spent;
mod systemd;
mod tls;
mod unread;

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::clock::Clock;
use crate::config::Config;
use crate::keyring::Keyring;
use metrics::Metrics;
use readiness::Readiness;
use spent::{Disk, Spent};

pub use crate::config::ServiceLimits as Limits;
pub use audit::Audit;
pub use connection::serve;
pub use lifecycle::run;
pub use listen::{Inherited, Listener};
#[cfg(feature = "otel")]
pub use otlp::Exporting;
pub use problem::Problem;
pub use route::{RouteFacts, route_table};
pub use tls::{ServerTls, Tls};

/// The file in `state_dir` of the tokens that count once and were used.
const USED_TOKENS: &str = "used-tokens";

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
    readiness: Arc<Readiness>,
    /// Written when somebody asks for it.
    description: OnceLock<Description>,
    slots: slots::Slots,
    unread: unread::Unread,
    places: Arc<places::Places>,
    answers: idempotency::Answers,
    ended_sessions: Arc<Spent>,
    published: published::KeySets,
    used_tokens: Spent,
    request_ids: request_id::RequestIds,
    rates: rates::Rates,
    audit: Option<Arc<Audit>>,
}

impl Service {
    /// The service of a keyring, which it follows; without audit lines.
    #[must_use]
    pub fn new(keyring: Keyring, clock: Clock, limits: Limits) -> Self {
        Self::audited(keyring, clock, limits, None)
    }

    /// The same with audit lines.
    #[must_use]
    pub fn audited(keyring: Keyring, clock: Clock, limits: Limits, audit: Option<Audit>) -> Self {
        let audit = audit.map(Arc::new);
        if let Some(audit) = audit.as_ref().map(Arc::downgrade) {
            keyring.on_reload(move |event| {
                if let Some(audit) = audit.upgrade() {
                    audit.reloaded(event);
                }
            });
        }
        let slots = slots::Slots::new(limits.max_requests);
        let unread = unread::Unread::new(limits.max_body_bytes);
        let places = Arc::new(places::Places::new(limits.max_connections));
        let config = keyring.config();
        let state_dir = config.keyring.state_dir.as_deref();
        let routes = dispatch::Table::new();
        let readiness = Arc::new(Readiness::of(keyring.clone(), clock.clone(), audit.clone()));
        Self(Arc::new(Inner {
            issuers: issuers::Issuers::default(),
            metrics: Metrics::new(&keyring, routes.routes(), &places, &readiness, audit.as_ref()),
            readiness,
            description: OnceLock::new(),
            keyring,
            clock,
            limits,
            routes,
            slots,
            unread,
            places,
            answers: idempotency::Answers::default(),
            ended_sessions: Arc::new(Spent::of(state_dir, ended::FILE, Disk::Forced)),
            published: published::KeySets::default(),
            used_tokens: Spent::of(state_dir, USED_TOKENS, Disk::Left),
            request_ids: request_id::RequestIds::new(),
            rates: rates::Rates::new(),
            audit,
        }))
    }

    /// Has the figures tell when the certificate of `tls` ends; [`run`] does it.
    pub fn show_certificate_of(&self, tls: &Tls) {
        if let Some(identity) = tls.identity() {
            self.0.metrics.show(Arc::clone(identity));
        }
    }

    /// The keyring.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }
}

/// What is wrong with the files that `[service]` names: for `claviger check`. Labels are looked at by who has a keyring.
#[must_use]
pub fn check(config: &Config, clock: &Clock) -> Vec<crate::problem::Problem> {
    let mut problems = tls::check(config, clock);
    problems.extend(audit::check(config));
    problems
}

/// What is wrong with the labels that `[service]` names for its certificates, as they stand behind a keyring: what
/// [`check`] cannot see.
#[must_use]
pub fn check_labels(keyring: &Keyring) -> Vec<crate::problem::Problem> {
    tls::check_labels(keyring)
}

/// What the service says of itself.
struct Description {
    /// The OpenAPI document.
    json: Bytes,
    /// The same for people.
    page: Bytes,
}

impl Service {
    fn description(&self) -> &Description {
        self.0.description.get_or_init(|| {
            let document = openapi::document(self.0.routes.routes());
            Description { json: document.to_string().into(), page: page::html(&document).into() }
        })
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}
