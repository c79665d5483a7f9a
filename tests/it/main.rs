//! The integration tests: one binary, one module a subject.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::as_conversions,
    reason = "tests"
)]

mod budgets;
mod canary;
mod catalogue;
mod cli;
mod client_certificates;
mod config;
mod crash;
mod crash_keys;
mod crypto;
mod deployment;
mod docs;
mod drill;
mod entry_points;
mod extremes;
mod foreign_files;
mod fully_specified;
mod hardening;
mod horizon;
mod hostile_files;
mod interop;
mod java_keystores;
mod jose;
mod jose_attacks;
mod jose_kids;
mod jose_vectors;
mod journal;
mod journeys;
mod jwk_files;
mod jwks;
mod jwks_readers;
mod key_tools;
mod key_tools_peers;
mod keystores;
mod layers;
mod made_around;
mod mapping_life;
mod mutation;
mod next_keys;
mod oidc_cli;
mod oidc_flows;
mod oidc_help;
mod oidc_house;
mod oidc_id_tokens;
mod oidc_kinds;
mod oidc_peers;
mod oidc_requests;
mod oidc_rotation;
mod oidc_server;
mod oidc_tokens;
mod oidc_vectors;
mod peer_keys;
mod pem;
mod promise;
mod published;
mod read_only;
mod reload;
mod reload_habits;
mod reload_life;
mod reload_refused;
mod reload_writers;
#[cfg(feature = "http")]
mod remote_keys;
mod replay;
mod replay_doubts;
mod replay_profiles;
mod resolution;
mod retire_model;
mod retirement;
mod revocation;
mod rotation;
#[cfg(feature = "saml")]
mod saml;
#[cfg(feature = "saml")]
mod saml_cli;
#[cfg(feature = "saml")]
mod saml_gates;
#[cfg(feature = "saml")]
mod saml_house;
#[cfg(feature = "saml")]
mod saml_idp_peer;
#[cfg(feature = "saml")]
mod saml_interop;
#[cfg(feature = "saml")]
mod saml_peer_metadata;
#[cfg(feature = "saml")]
mod saml_sp_peer;
#[cfg(feature = "saml")]
mod saml_xmlsec1;
mod schedule;
mod scope_model;
mod seeds;
mod session;
mod session_cli;
mod session_peers;
mod set_checks;
mod stores;
mod support;
#[cfg(feature = "tls")]
mod tls;
mod token_kinds;
mod usage;
mod versions;
mod volumes;
mod wiping;
mod workshop;
mod wycheproof;
#[cfg(feature = "saml")]
mod xml_attacks;
mod xml_hostile;
mod xml_hostile_encryption;
mod xml_hostile_keys;
mod xml_vectors;
#[cfg(feature = "saml")]
mod xmlsec;
