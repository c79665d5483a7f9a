//! What is wrong with a request, as the caller sees it: problem details (RFC 9457) with the codes of errors.

use std::borrow::Cow;
use std::error::Error as _;
use std::num::NonZeroU32;

use hyper::StatusCode;
use serde::Serialize;

use super::request_id::RequestId;
use crate::access::{Right, Scope};
use crate::error::{Error, ErrorKind};
use crate::label::LabelName;
use crate::problem::Severity;

/// A refusal. `type` is `about:blank`; `code` tells programs which it is.
#[derive(Clone, Debug, schemars::JsonSchema, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// Stable, `snake_case`.
    pub code: &'static str,
    /// One sentence on this very request.
    pub detail: Cow<'static, str>,
    /// What to do next. A command of the command line is the route of that name as well, with its options as members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<Cow<'static, str>>,
    /// When the same request would be granted, in RFC 3339; absent: nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Box<str>>,
    /// Seconds after which to try again.
    #[serde(skip)]
    pub(crate) retry_after: Option<NonZeroU32>,
    /// The methods that the path has (RFC 9110 §15.5.6).
    #[serde(skip)]
    pub(crate) allow: Option<Box<str>>,
    /// Of a 401: the request showed a credential, which proves nobody.
    #[serde(skip)]
    pub(crate) shown: bool,
    /// What is wrong with a token, for the log alone: whoever shows it has one answer.
    #[serde(skip)]
    pub(crate) why: Option<Box<str>>,
}

impl Problem {
    /// A refusal with its status.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (status, detail) = (status.as_u16(), detail.into());
        Self {
            status,
            code,
            detail,
            help: None,
            opens_at: None,
            retry_after: None,
            allow: None,
            shown: false,
            why: None,
        }
    }

    /// Tells operators, with `-v`, what nobody else is told.
    pub(crate) fn log(&self, id: &RequestId) {
        if let Some(why) = &self.why {
            log::debug!("request {}: {}: {why}", id.as_str(), self.code);
        }
    }

    pub(crate) fn with_help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = NonZeroU32::new(u32::try_from(seconds).unwrap_or(u32::MAX));
        self
    }

    /// Nobody who may call.
    pub(crate) fn unauthenticated() -> Self {
        let text = "the request shows no credential of a caller";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", text).with_help(
            "show a client certificate, or `Authorization: Bearer` with an API key or a token",
        )
    }

    /// The same of a request that shows a credential in `Authorization`.
    pub(crate) fn of_shown(self) -> Self {
        Self { shown: true, ..self }
    }

    /// Somebody who may not do this; on a route of all labels, to none of them.
    pub(crate) fn forbidden(right: Right, is_of_label: bool) -> Self {
        let whose = match right.scope() {
            Scope::Label if is_of_label => " for this label in this realm",
            Scope::Label => " for any label in this realm",
            Scope::Realm => " in this realm",
            Scope::Service => "",
        };
        let text = format!("the caller has no right \"{right}\"{whose}");
        Self::new(StatusCode::FORBIDDEN, "forbidden", text).with_help(
            "an administrator sees the caller's rights with `claviger grants --for CALLER`",
        )
    }

    /// Of configuration and stores that were read again. Nothing of the service fails if they are refused: what served
    /// before serves on, and somebody has to change them first.
    pub(crate) fn of_files(error: Error) -> Self {
        if error.kind() != ErrorKind::Config {
            return error.into();
        }
        log::warn!("{}: {}", error.kind().code(), in_full(&error));
        let text = "the configuration was refused, and what served before serves on";
        Self::new(StatusCode::CONFLICT, error.kind().code(), text)
            .with_help("`claviger check` and the log of the service say why")
    }

    /// Of a step that is not taken. What a store does not hold is for the caller to ask for otherwise. Why the
    /// configuration would not load is told of this label; what is wrong with others is for who may read them.
    pub(crate) fn of_step(error: Error, label: &LabelName) -> Self {
        if error.kind() == ErrorKind::Unsupported {
            let text = error.message().to_owned();
            let told = Self::new(StatusCode::CONFLICT, error.kind().code(), text);
            return Self { help: error.help().map(|help| help.to_owned().into()), ..told };
        }
        let mut errors = error.problems().iter().filter(|one| one.severity == Severity::Error);
        let about = [':', ','].map(|end| format!("label \"{label}\"{end}"));
        let own = errors.find(|one| about.iter().any(|about| one.message.starts_with(about)));
        let why = own.map(|one| (one.message.clone(), one.help.clone()));
        if error.kind() != ErrorKind::StepRefused || error.problems().is_empty() {
            return error.into();
        }
        log::info!("{}: {}", error.kind().code(), in_full(&error));
        let told = Self::from(error);
        match why {
            None => told.with_help("the log of the service says why"),
            Some((why, help)) => {
                let detail = format!("{}: {why}", told.detail).into();
                Self { detail, help: help.map(Into::into).or(told.help), ..told }
            }
        }
    }

    /// The status as HTTP has it.
    pub(crate) fn http_status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The HTTP status of each kind of error.
pub(crate) const fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::AlgorithmNotAllowed
        | ErrorKind::Malformed
        | ErrorKind::Usage
        | ErrorKind::WrongUse => StatusCode::BAD_REQUEST,
        ErrorKind::UnknownAlias | ErrorKind::UnknownLabel => StatusCode::NOT_FOUND,
        ErrorKind::AliasTaken
        | ErrorKind::BudgetSpent
        | ErrorKind::CertificateNotValid
        | ErrorKind::KeyRetired
        | ErrorKind::KeyRevoked
        | ErrorKind::MustNotRotate
        | ErrorKind::NotAnnounced
        | ErrorKind::StepRefused
        | ErrorKind::StillInUse
        | ErrorKind::StoreNotWritten => StatusCode::CONFLICT,
        ErrorKind::LimitExceeded => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::NotGranted => StatusCode::FORBIDDEN,
        ErrorKind::ClaimsRejected
        | ErrorKind::NotDecrypted
        | ErrorKind::NotVerified
        | ErrorKind::TokenRefused => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Busy
        | ErrorKind::StoreUnavailable
        | ErrorKind::StoreUnreadable
        | ErrorKind::UsageNotKept => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = status_of(error.kind());
        if !status.is_server_error() {
            let mut problem = Self::new(status, error.kind().code(), error.message().to_owned());
            if log::log_enabled!(log::Level::Debug) {
                problem.why = error.source().map(|why| why.to_string().into());
            }
            // What is mapped beside it is for who may read that.
            if error.kind() == ErrorKind::UnknownLabel {
                return problem.with_help(
                    "GET /v1/labels lists what the caller may read, GET /v1/labels/{label}/explain which stores were asked",
                );
            }
            return Self { help: error.help().map(|help| help.to_owned().into()), ..problem };
        }
        // Paths and reasons of the surroundings are for operators.
        log::error!("{}: {}", error.kind().code(), in_full(&error));
        let problem =
            Self::new(status, error.kind().code(), "the service failed; its log says why");
        if status == StatusCode::SERVICE_UNAVAILABLE {
            problem.with_retry_after(1)
        } else {
            problem
        }
    }
}

/// An error with its file, its problems and what lies underneath, in one line.
fn in_full(error: &Error) -> String {
    let mut text = error.to_string();
    if let Some(file) = error.file() {
        text.push_str(&format!(" ({})", file.display()));
    }
    for problem in error.problems().iter().filter(|one| one.severity == Severity::Error) {
        text.push_str(&format!("; {}: {}", problem.code, problem.message));
    }
    let mut source = error.source();
    while let Some(one) = source {
        text.push_str(&format!(": {one}"));
        source = one.source();
    }
    text
}
