//! JOSE over the keys of a label: JWS, JWE, JWK and JWT claims, strict before anything is computed.
//!
//! A token never chooses: `alg` and `enc` select among what the label allows, `kid` among its keys. What
//! is wrong with a token is one error to the outside; the reason is the error's source, for logs.

pub mod claims;
mod handle;
mod header;
pub mod jwe;
pub mod jwk;
pub mod jws;
pub mod nested;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::{Error, ErrorKind};

/// How a token is written (RFC 7515 §7, RFC 7516 §7).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the RFCs define these three")]
pub enum Serialization {
    /// Parts between dots.
    #[default]
    Compact,
    /// JSON with one signature or recipient.
    Flattened,
    /// JSON with a list of signatures or recipients.
    General,
}

/// Strict base64url: no padding, no other characters, no spare bits (RFC 7515 §2).
fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The one error of a token that is not accepted; `reason` is for operators.
fn not_verified(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::NotVerified, "the token does not verify").with_source(reason.into())
}

/// The one error of a token that does not decrypt; `reason` is for operators.
fn not_decrypted(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::NotDecrypted, "the token does not decrypt").with_source(reason.into())
}
