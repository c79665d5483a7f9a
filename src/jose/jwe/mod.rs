//! JSON Web Encryption (RFC 7516) over the keys of a label.

mod decrypting;
mod encrypting;
mod parts;
mod rewrapping;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::header::Header;
use super::{Serialization, same_type};
use crate::alg::Algorithm;
use crate::ops::{Asked, LabelKey};
use crate::secret::SecretBytes;

pub(crate) use decrypting::decrypt_unseen;
pub use decrypting::{decrypt, decrypt_json};
pub use encrypting::encrypt;
pub use rewrapping::{RewrapOptions, Rewrapped, rewrap, rewrap_json};

/// How a token is encrypted. The default: compact, the label's preferred algorithms, with a kid.
#[derive(Clone, Debug, Default)]
pub struct EncryptOptions {
    /// `alg`; absent: the label's first that fits its active key.
    pub algorithm: Option<Cow<'static, str>>,
    /// `enc`; absent: the label's first that fits.
    pub content: Option<Cow<'static, str>>,
    /// `typ`.
    pub typ: Option<Cow<'static, str>>,
    /// `cty`.
    pub cty: Option<Cow<'static, str>>,
    /// `apu`, decoded (RFC 7518 §4.6.1.2).
    pub apu: Option<Vec<u8>>,
    /// `apv`, decoded.
    pub apv: Option<Vec<u8>>,
    /// Additional authenticated data; JSON serializations only.
    pub aad: Option<Vec<u8>>,
    /// Compresses before encrypting; the label must allow `zip`.
    pub zip: bool,
    /// How it is written.
    pub serialization: Serialization,
    /// Leaves `kid` out.
    pub without_kid: bool,
    /// When the token ends, in seconds since 1970: the key stays for as long. Absent: for the label's
    /// `max_token_lifetime` from now. It does not stand in the token.
    pub expires: Option<u64>,
}

/// A token that decrypted.
#[must_use]
#[non_exhaustive]
pub struct Decrypted {
    /// The plaintext.
    pub plaintext: SecretBytes,
    /// The key that decrypted.
    pub key: Arc<LabelKey>,
    /// `alg`.
    pub algorithm: &'static Algorithm,
    /// `enc`.
    pub content: &'static Algorithm,
    header: Header,
}

impl Decrypted {
    /// Whether its `typ` is this one, compared as [`super::jws::VerifyOptions::typ`] is.
    #[must_use]
    pub fn is_of_type(&self, typ: &str) -> bool {
        matches!(self.header.typ(), Ok(Some(found)) if same_type(found, typ))
    }

    /// Whether its header has a `typ`, protected or not.
    #[must_use]
    pub fn has_typ(&self) -> bool {
        self.header.contains("typ")
    }

    /// It opened for who asked; the claims that it carries, or that are inside of that, say when it ends.
    pub(crate) fn is_seen_by(&self, asked: Asked<'_>, claims: &[u8]) {
        if asked.is_seen() {
            let kid = self.header.text("kid").unwrap_or(None);
            asked.decrypted(kid, &self.key, (self.algorithm, self.content), claims);
        }
    }

    /// The header of the recipient that held, all members together.
    #[must_use]
    pub fn header(&self) -> Map<String, Value> {
        self.header.members()
    }
}

impl fmt::Debug for Decrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decrypted")
            .field("key", &self.key)
            .field("algorithm", &self.algorithm.name)
            .field("content", &self.content.name)
            .finish_non_exhaustive()
    }
}
