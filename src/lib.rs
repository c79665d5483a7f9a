//! **claviger**, the bearer of the keys: an application asks for an operation by *label* and never holds
//! a key.
//!
//! A label names a purpose; an ordered list of aliases stands behind it; **the first alias acts, every
//! alias still verifies and decrypts**. Rotation is reordering, retirement is removal.
//!
//! ```text
//! claviger.toml ─► config ─► stores ─► Snapshot ─► label API ─► jose ─► your code, the command line
//!                               ▲          │  (one Arc, swapped whole)
//!          keystores, volumes ──┘          └─► check, explain, labels
//! ```
//!
//! Data flows one way. A request takes one [`keyring::Snapshot`] and uses it to the end; a reload builds
//! the next one aside, checks it whole and swaps it.
//!
//! ```
//! use claviger::Keyring;
//!
//! # fn main() -> Result<(), claviger::Error> {
//! let keyring = Keyring::open("keystores/claviger.toml".as_ref())?;
//! let id_tokens = keyring.label("am.services.oauth2.oidc.signing.ES256")?;
//!
//! let token = id_tokens.sign(br#"{"sub":"alice"}"#)?;
//! let verified = id_tokens.verify(&token)?;
//!
//! assert_eq!(verified.payload, br#"{"sub":"alice"}"#);
//! assert_eq!(verified.key.alias.as_str(), "es256-a");
//! # Ok(())
//! # }
//! ```
//!
//! # Nouns
//!
//! Ping AM's words: a *store* holds secrets under *aliases*; a *mapping* gives a *label* its ordered
//! aliases; stores belong to a *realm* or to all. The *active* alias is the first; the *valid* ones are
//! all of them.
//!
//! # Modules
//!
//! | module | holds |
//! | --- | --- |
//! | [`keyring`] | configuration and stores resolved into snapshots; `check`, `explain` |
//! | [`ops`] | handles on labels; bare signatures |
//! | [`jose`] | JWS, JWE, JWK sets, JWT claims, nested tokens |
//! | [`profiles`] | what a product means by a token: labels, algorithms and claim rules |
//! | [`published`] | a key set as an endpoint serves it: document, entity tag, how long it may be cached |
//! | `xmlsec` | XML signatures and encryption (feature `saml`) |
//! | `remote` | key sets of others, fetched and kept (feature `http`) |
//! | `tls` | identities and trust anchors for rustls (feature `tls`) |
//! | `service` | all of it over HTTPS (feature `service`) |
//! | `client` | that service from Rust (feature `client`) |
//! | [`access`] | who may do what to which labels |
//! | [`config`], [`catalogue`], [`label`], [`alg`] | what may be configured: tables and names |
//! | [`stores`], [`formats`] | where secrets lie, and the containers they come in |
//! | [`usage`] | what was done with each key, and until when anything that it made lives |
//! | [`trace`], [`drill`] | what was verified, without tokens; rehearsals, and what a future mapping breaks |
//! | [`crypto`] | keys, and what is done with them |
//! | [`rotation`], [`journal`] | the life of a mapping: stage, promote, retire, revoke, and the record of it |
//! | [`key_tools`], [`starter`], [`atomic`] | what the command line does with files of keys |
//!
//! # Features
//!
//! `cli` (default) builds the program. `compat` (default) builds OpenSSL for Ed448, X448 and RSA1_5;
//! without it those are refused by name. `saml` (default) adds `xmlsec` and `profiles::saml`, `service` (default) the
//! HTTPS service, `client` (default) a client of it, `otel` spans of its requests. `tls` and `http`
//! (default) are for rustls and for key sets that are fetched. None changes what anything else does.
//!
//! # What it does not do
//!
//! It has no `none` algorithm, follows no `jku` or `x5u`, gives out no private key, and verifies no
//! certificate chain when it verifies a JOSE signature.

pub mod access;
pub mod alg;
pub mod atomic;
#[cfg(any(feature = "saml", feature = "service"))]
mod blocks;
#[cfg(feature = "http")]
mod cache_control;
pub mod catalogue;
#[cfg(feature = "client")]
pub mod client;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod drill;
mod encoding;
pub mod error;
pub mod formats;
pub mod jose;
pub mod journal;
pub mod json;
pub mod key_tools;
pub mod keyring;
pub mod label;
pub mod ops;
mod parallel;
pub mod problem;
pub mod profiles;
pub mod published;
mod recent;
#[cfg(feature = "http")]
pub mod remote;
pub mod rotation;
pub mod secret;
#[cfg(feature = "service")]
pub mod service;
pub mod starter;
pub mod stores;
#[cfg(feature = "tls")]
pub mod tls;
pub mod trace;
pub mod usage;
#[cfg(feature = "saml")]
pub mod xmlsec;

pub use config::Config;
pub use error::{Error, ErrorKind};
pub use keyring::Keyring;
pub use label::{Alias, LabelName};
pub use ops::Label;

/// The program of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
