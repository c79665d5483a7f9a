//! Callers: a name, and what proves it.

use crate::label::CallerName;

/// Somebody that the configuration knows.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct Caller {
    /// Its name.
    pub name: CallerName,
    /// What it shows.
    pub credential: Credential,
}

/// What proves who calls.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Credential {
    /// Nothing: everybody who shows no other credential.
    Anonymous,
    /// An API key of 256 random bits: the SHA-256 of its text.
    ApiKey([u8; 32]),
}
