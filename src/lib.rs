//! A label names a purpose; an ordered list of aliases stands behind it; the first alias acts, every
//! alias still verifies and decrypts.

pub mod alg;
pub mod catalogue;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod error;
pub mod formats;
pub mod jose;
pub mod json;
pub mod key_tools;
pub mod keyring;
pub mod label;
pub mod ops;
pub mod problem;
pub mod secret;
pub mod starter;
pub mod stores;
