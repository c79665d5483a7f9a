//! JSON Web Signature (RFC 7515) over the keys of a label; RFC 7797 for detached payloads.

mod json_form;
mod signing;
mod verifying;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::header::Header;
use super::{Serialization, same_type};
use crate::alg::Algorithm;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{Asked, KeySet, LabelKey};

pub use signing::sign;
pub(crate) use signing::sign_known;
pub(crate) use verifying::verify_unseen;
pub use verifying::{verify, verify_json};

/// How a token is signed. The default: compact, the label's preferred algorithm, with a kid.
#[derive(Clone, Debug, Default)]
pub struct SignOptions {
    /// The algorithm, by its JOSE name; absent: the label's first that fits its active key.
    pub algorithm: Option<Cow<'static, str>>,
    /// `typ`.
    pub typ: Option<Cow<'static, str>>,
    /// `cty`.
    pub cty: Option<Cow<'static, str>>,
    /// More protected members; `alg`, `kid`, `crit` and `b64` are not taken from here.
    pub extra: Map<String, Value>,
    /// How it is written.
    pub serialization: Serialization,
    /// Leaves the payload out of the token (RFC 7515 appendix F).
    pub detached: bool,
    /// Signs the payload as it is, `b64=false` (RFC 7797); only detached.
    pub unencoded: bool,
    /// Leaves `kid` out.
    pub without_kid: bool,
    /// When a token ends whose payload has no `exp`, in seconds since 1970: the key stays for as long. Absent:
    /// for the label's `max_token_lifetime` from now. It does not stand in the token.
    pub expires: Option<u64>,
}

/// How a token is checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifyOptions<'a> {
    /// The payload of a token that does not carry it.
    pub detached_payload: Option<&'a [u8]>,
    /// The `typ` that the token must have in its protected header, compared without case and without `application/`.
    pub typ: Option<&'a str>,
}

/// A token whose signature holds.
#[derive(Clone)]
#[must_use]
#[non_exhaustive]
pub struct Verified {
    /// What was signed.
    pub payload: Vec<u8>,
    /// The key that verified.
    pub key: Arc<LabelKey>,
    /// The algorithm.
    pub algorithm: &'static Algorithm,
    header: Header,
}

impl Verified {
    /// Whether its `typ` is this one, compared as [`VerifyOptions::typ`] is.
    #[must_use]
    pub fn is_of_type(&self, typ: &str) -> bool {
        matches!(self.header.typ(), Ok(Some(found)) if same_type(found, typ))
    }

    /// Whether its header has a `typ`, protected or not.
    #[must_use]
    pub fn has_typ(&self) -> bool {
        self.header.contains("typ")
    }

    /// It held for who asked; the claims that it carries, or that are inside of that, say when it ends.
    pub(crate) fn is_seen_by(&self, asked: Asked<'_>, claims: &[u8]) {
        if asked.is_seen() {
            let kid = self.header.text("kid").unwrap_or(None);
            asked.verified(kid, &self.key, self.algorithm, claims);
        }
    }

    /// The header of the signature that held, protected and unprotected members together.
    #[must_use]
    pub fn header(&self) -> Map<String, Value> {
        self.header.members()
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("payload", &self.payload)
            .field("key", &self.key)
            .field("algorithm", &self.algorithm.name)
            .finish_non_exhaustive()
    }
}

/// The header of a token that nobody has checked: for `explain`, never for a decision.
///
/// # Errors
/// [`ErrorKind::Malformed`] if there is none.
pub fn unverified_header(set: &KeySet, token: &str) -> Result<Map<String, Value>> {
    let malformed = || Error::new(ErrorKind::Malformed, "this is no compact JWS or JWE");
    let first = token.trim().split('.').next().ok_or_else(malformed)?;
    Header::protected(first, set).map(|header| header.members()).map_err(|_| malformed())
}
