//! The figures of the service in the OpenMetrics text format: requests here, keys and reloads in `keyring`.

mod audit;
mod certificate;
mod keyring;

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Audit;
use super::places::Places;
use super::readiness::Readiness;
use super::route::Route;
use super::seen::Seen;
use crate::keyring::{Keyring, ReloadEvent};
use crate::tls::FileIdentity;

/// What [`Metrics::render`] writes.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the buckets of seconds: from one HMAC to a step of a rotation.
const BUCKETS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 1.0, 2.5, 10.0];

/// Counters of the whole life of the process.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    /// The name of each route and the seconds that it took, in the order of the table.
    routes: Vec<(Arc<str>, Histogram)>,
    /// Requests that are worked on.
    working: Gauge,
    /// What listeners show.
    certificate: certificate::Shown,
    /// What a series says that has no label, or no realm.
    without: Arc<str>,
}

/// One series of requests. Labels are those that are mapped, so that their number is bounded.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Request {
    route: Arc<str>,
    label: Arc<str>,
    realm: Arc<str>,
    /// `ok`, or the code of the problem.
    outcome: &'static str,
    /// Of HTTP.
    status: u16,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RouteName {
    route: Arc<str>,
}

impl Metrics {
    /// Of a service over `keyring` with these routes.
    pub(super) fn new(
        keyring: &Keyring,
        routes: &[Route],
        places: &Places,
        readiness: &Arc<Readiness>,
        audit: Option<&Arc<Audit>>,
    ) -> Self {
        let mut registry = Registry::with_prefix("claviger");
        let requests = Family::default();
        let help = "Requests by route, label, realm, outcome and status";
        registry.register("requests", help, Family::clone(&requests));
        let seconds = Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let help = "From the end of a request's headers to its answer";
        registry.register_with_unit(
            "request_duration",
            help,
            Unit::Seconds,
            Family::clone(&seconds),
        );
        let of_route = |route: &Route| {
            let name = RouteName { route: Arc::clone(&route.name) };
            (Arc::clone(&route.name), seconds.get_or_create_owned(&name))
        };
        let routes = routes.iter().map(of_route).collect();
        let working = Gauge::default();
        registry.register("requests_in_flight", "Requests that are worked on", working.clone());
        registry.register("connections", "Connections that are open", places.open.clone());
        let help = "Connections that were closed to make room for others";
        registry.register("connections_given_up", help, places.given_up.clone());
        register_reloads(&mut registry, keyring);
        let figures = keyring::Figures::new(keyring.clone(), Arc::clone(readiness));
        registry.register_collector(Box::new(figures));
        if let Some(audit) = audit {
            registry.register_collector(Box::new(audit::Figures::new(Arc::downgrade(audit))));
        }
        let certificate = certificate::Shown::default();
        registry.register_collector(Box::new(certificate::Figures(Arc::clone(&certificate))));
        Self { registry, requests, routes, working, certificate, without: Arc::from("") }
    }

    /// Tells from now on when this certificate ends.
    pub(super) fn show(&self, identity: Arc<FileIdentity>) {
        // One process has one: what it listens with is that of its start.
        let _ = self.certificate.set(identity);
    }

    /// Counts a request until what comes back is dropped.
    pub(super) fn working(&self) -> impl Drop + use<> {
        struct Working(Gauge);
        impl Drop for Working {
            fn drop(&mut self) {
                self.0.dec();
            }
        }
        self.working.inc();
        Working(self.working.clone())
    }

    /// Counts what came of one: `ok` or the code of a problem, and from the end of its headers to the answer.
    pub(super) fn record(
        &self,
        seen: &Seen,
        outcome: &'static str,
        status: StatusCode,
        took: Duration,
    ) {
        let found = seen.route.and_then(|at| self.routes.get(at));
        if let Some((_, seconds)) = found {
            seconds.observe(took.as_secs_f64());
        }
        let asked = seen.asked.as_deref();
        let without = || Arc::clone(&self.without);
        let label = || asked.and_then(|asked| asked.counted_label.as_ref());
        let realm = || asked.and_then(|asked| asked.counted_realm.as_ref());
        let series = || Request {
            route: found.map_or_else(|| Arc::from("none"), |(name, _)| Arc::clone(name)),
            label: label().map_or_else(without, Arc::from),
            realm: realm().map_or_else(without, Arc::from),
            outcome,
            status: status.as_u16(),
        };
        let counter = || self.requests.get_or_create_owned(&series());
        match asked.filter(|_| outcome == "ok" && status == StatusCode::OK) {
            Some(asked) => asked.answered.get_or_init(counter).inc(),
            None => counter().inc(),
        };
    }

    /// Everything, as text.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            log::error!("the figures cannot be written: {error}");
        }
        text
    }
}

fn register_reloads(registry: &mut Registry, keyring: &Keyring) {
    let (taken, refused) = (Counter::<u64>::default(), Counter::<u64>::default());
    registry.register("reloads_taken", "Snapshots that replaced another", taken.clone());
    let help = "Reloads that were refused; the snapshot before them serves on";
    registry.register("reloads_refused", help, refused.clone());
    keyring.on_reload(move |event| match event {
        ReloadEvent::Taken { .. } => drop(taken.inc()),
        ReloadEvent::Refused { .. } => drop(refused.inc()),
    });
}
