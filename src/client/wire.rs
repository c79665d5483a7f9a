//! How bytes, tokens and batches stand in JSON.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{ClientError, Problem, Result};
use crate::secret::SecretBytes;

/// A token: the compact form is text, a JSON form is an object.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(clippy::exhaustive_enums, reason = "RFC 7515 §7 and RFC 7516 §7 have no other")]
pub enum Token {
    /// Parts between dots.
    Compact(String),
    /// Flattened or general.
    Json(Map<String, Value>),
}

impl From<&str> for Token {
    fn from(text: &str) -> Self {
        Self::Compact(text.to_owned())
    }
}

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self::Compact(text)
    }
}

impl From<&Self> for Token {
    fn from(token: &Self) -> Self {
        token.clone()
    }
}

/// As it is sent: the compact form as it is, a JSON form as JSON.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compact(text) => f.write_str(text),
            Self::Json(members) => {
                f.write_str(&serde_json::to_string(members).map_err(|_| fmt::Error)?)
            }
        }
    }
}

/// Who has it may use it: only `Display` shows it.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compact(_) => "Compact([redacted])",
            Self::Json(_) => "Json([redacted])",
        })
    }
}

/// Several items of one operation.
#[derive(Serialize)]
pub(super) struct Batch<T> {
    pub(super) items: Vec<T>,
}

#[derive(Deserialize)]
struct Results<'b> {
    #[serde(borrow)]
    results: Vec<&'b RawValue>,
}

#[derive(Deserialize)]
struct RefusedItem {
    problem: Problem,
}

/// An answer.
pub(super) fn read<A: DeserializeOwned>(body: &SecretBytes) -> Result<A> {
    // EXPOSE: to the parser, which copies what the caller asked for.
    parse(body.expose_secret())
}

/// An answer that borrows from its bytes.
pub(super) fn parse<'b, A: Deserialize<'b>>(bytes: &'b [u8]) -> Result<A> {
    serde_json::from_slice(bytes).map_err(|error| {
        // Where, not what: an answer may be a plaintext.
        let place = format!("line {} column {}", error.line(), error.column());
        ClientError::Unexpected(format!("the answer is not of the documented form, at {place}"))
    })
}

/// The results of a batch of `count` items, in their order.
pub(super) fn results<T>(
    body: &SecretBytes,
    count: usize,
    read: impl Fn(&[u8]) -> Result<T>,
) -> Result<Vec<Result<T, Problem>>> {
    // EXPOSE: to the parser, which borrows.
    let found: Results<'_> = parse(body.expose_secret())?;
    if found.results.len() != count {
        let text = "the answer has another number of results than items were sent";
        return Err(ClientError::Unexpected(text.to_owned()));
    }
    let one = |item: &&RawValue| {
        let bytes = item.get().as_bytes();
        match serde_json::from_slice::<RefusedItem>(bytes) {
            Ok(refused) => Ok(Err(refused.problem)),
            Err(_) => read(bytes).map(Ok),
        }
    };
    found.results.iter().map(one).collect()
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn decoded(text: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| ClientError::Unexpected("the answer is not base64url".to_owned()))
}
