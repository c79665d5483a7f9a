//! The service, over real sockets: one binary, one module a subject.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod audit;
mod audit_process;
mod audit_profiles;
mod batches;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod client_peers;
mod credentials;
mod dashboards;
mod description;
mod digests;
mod door;
mod encryption;
mod faults;
mod grants_cli;
mod keys;
mod label_certificates;
mod labels;
mod lifecycle;
mod limits;
mod listening;
mod load;
mod matrix;
mod mounted;
mod oidc;
mod one_snapshot;
#[cfg(feature = "otel")]
mod otel;
mod places;
mod process;
mod python_client;
mod rate_limits;
mod reach;
mod reading;
mod refusals;
mod reload;
mod remembered;
mod running;
mod saml;
mod schemathesis;
mod sessions;
mod shop;
mod signing;
mod starter;
mod steps;
mod tls_client;
mod tokens;
mod watching;
