//! Why a call came to nothing: what the service refused, by its stable code, or that there was no answer.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Why a call came to nothing. Holds no credential, no token and no payload.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The service refused, or failed and said so.
    Refused(Problem),
    /// What the client was given is of no use.
    Setup(String),
    /// The service was not reached, or the answer did not come to its end. Whether it did what it was asked is not known.
    Unanswered(String),
    /// Something answered that is not the service, or is of another version.
    Unexpected(String),
}

impl ClientError {
    pub(super) fn setup(error: &Error) -> Self {
        Self::Setup(error.message().to_owned())
    }

    /// The stable code: of the service, or `setup`, `unanswered`, `unexpected`.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(problem) => &problem.code,
            Self::Setup(_) => "setup",
            Self::Unanswered(_) => "unanswered",
            Self::Unexpected(_) => "unexpected",
        }
    }

    /// What the service said.
    #[must_use]
    pub const fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            Self::Setup(_) | Self::Unanswered(_) | Self::Unexpected(_) => None,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(problem) => problem.fmt(f),
            Self::Setup(text) | Self::Unanswered(text) | Self::Unexpected(text) => {
                f.write_str(text)
            }
        }
    }
}

impl std::error::Error for ClientError {}

/// What the service refuses, and why (RFC 9457).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// Stable, `snake_case`: `not_verified`, `forbidden`, `not_announced`, …
    pub code: String,
    /// One sentence on this very request.
    pub detail: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<Box<str>>,
    /// When the same request would be granted, in RFC 3339; absent: nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Box<str>>,
    /// Seconds after which to try again, from `Retry-After`.
    #[serde(skip)]
    pub retry_after: Option<u64>,
    /// How log and audit lines of the service name the request, from `X-Request-Id`; absent of an item of a batch.
    #[serde(skip)]
    pub request_id: Option<Box<str>>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, status {}", self.detail, self.code, self.status)?;
        match &self.request_id {
            Some(id) => write!(f, ", request {id})")?,
            None => f.write_str(")")?,
        }
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}
