//! The one error type: what kind of failure, where, and what to do next.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Who has to act, and on what. [`ErrorKind::code`] is stable across releases.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    // -- the operator acts --
    /// The configuration is wrong; the problems say where.
    Config,
    /// A keystore, PEM, JWK or other container is cut, altered or not of its format.
    Damaged,
    /// An AES-GCM key has encrypted as many messages as random nonces allow.
    BudgetSpent,
    /// A key that is to stand before TLS has a certificate that is not valid yet, or no more.
    CertificateNotValid,
    /// The key left its label after this process read its configuration.
    KeyRetired,
    /// A key does not fit what it is mapped to (type, curve, size, certificate).
    KeyUnfit,
    /// A revoked key: its tombstone keeps it from every label, under any alias.
    KeyRevoked,
    /// A file asks for more work, memory or depth than the stated bound.
    LimitExceeded,
    /// A store's file or directory cannot be read.
    StoreUnreadable,
    /// A container uses an algorithm or version that is not built in; the text names it.
    Unsupported,
    /// The password does not open the container or entry.
    WrongPassword,
    /// A store is read and not written from here: a keystore of Java's old formats, the environment.
    StoreNotWritten,
    // -- the caller acts --
    /// The label does not allow this algorithm, or it is switched off.
    AlgorithmNotAllowed,
    /// A keystore has an entry of the name that a new one was to have.
    AliasTaken,
    /// No such alias in the store.
    UnknownAlias,
    /// The label is neither in the catalogue nor declared, or nothing is mapped to it.
    UnknownLabel,
    /// Wrong arguments.
    Usage,
    /// The label exists but its use forbids this operation (signing with a decryption label).
    WrongUse,
    // -- a step of a rotation is refused --
    /// The catalogue says that the secret of this label must never change.
    MustNotRotate,
    /// The key has not been published long enough for everybody to know it.
    NotAnnounced,
    /// The step reaches further than whoever asks for it was granted.
    NotGranted,
    /// Tokens that only this key opens may still be alive.
    StillInUse,
    /// The step does not fit the mapping, or the configuration would not load after it.
    StepRefused,
    // -- the input is refused --
    /// The claims of a token that verified do not hold (expired, other audience).
    ClaimsRejected,
    /// A token or value is not well-formed.
    Malformed,
    /// A ciphertext did not decrypt under any valid alias.
    NotDecrypted,
    /// A signature did not verify under any valid alias.
    NotVerified,
    /// A token is not what its profile accepts: tampered, expired, foreign, or of another kind.
    TokenRefused,
    // -- the surroundings fail --
    /// Another process holds the lock.
    Busy,
    /// Reading or writing failed.
    Io,
    /// A store that lives elsewhere does not answer.
    StoreUnavailable,
    /// What is about to be made cannot be written down first.
    UsageNotKept,
    // -- we failed --
    /// An invariant of this program does not hold.
    Bug,
}

impl ErrorKind {
    /// Every kind, for tables and tests.
    pub const ALL: &'static [Self] = &[
        Self::Config,
        Self::Damaged,
        Self::BudgetSpent,
        Self::CertificateNotValid,
        Self::KeyRetired,
        Self::KeyUnfit,
        Self::KeyRevoked,
        Self::LimitExceeded,
        Self::StoreUnreadable,
        Self::Unsupported,
        Self::WrongPassword,
        Self::StoreNotWritten,
        Self::AlgorithmNotAllowed,
        Self::AliasTaken,
        Self::UnknownAlias,
        Self::UnknownLabel,
        Self::Usage,
        Self::WrongUse,
        Self::MustNotRotate,
        Self::NotAnnounced,
        Self::NotGranted,
        Self::StillInUse,
        Self::StepRefused,
        Self::ClaimsRejected,
        Self::Malformed,
        Self::NotDecrypted,
        Self::NotVerified,
        Self::TokenRefused,
        Self::Busy,
        Self::Io,
        Self::StoreUnavailable,
        Self::UsageNotKept,
        Self::Bug,
    ];

    /// The stable `snake_case` name used in JSON, logs and tests.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::AliasTaken => "alias_taken",
            Self::BudgetSpent => "key_budget_spent",
            Self::Bug => "bug",
            Self::Busy => "busy",
            Self::CertificateNotValid => "certificate_not_valid",
            Self::ClaimsRejected => "claims_rejected",
            Self::Config => "config_invalid",
            Self::Damaged => "damaged",
            Self::Io => "io_failed",
            Self::KeyRetired => "key_retired",
            Self::KeyRevoked => "key_revoked",
            Self::KeyUnfit => "key_unfit",
            Self::LimitExceeded => "limit_exceeded",
            Self::Malformed => "malformed",
            Self::MustNotRotate => "must_not_rotate",
            Self::NotAnnounced => "not_announced",
            Self::NotDecrypted => "not_decrypted",
            Self::NotGranted => "forbidden",
            Self::NotVerified => "not_verified",
            Self::StepRefused => "step_refused",
            Self::StillInUse => "still_in_use",
            Self::StoreNotWritten => "store_not_written",
            Self::StoreUnavailable => "store_unavailable",
            Self::StoreUnreadable => "store_unreadable",
            Self::TokenRefused => "token_refused",
            Self::UnknownAlias => "unknown_alias",
            Self::UnknownLabel => "unknown_label",
            Self::Unsupported => "unsupported",
            Self::Usage => "usage",
            Self::UsageNotKept => "usage_not_kept",
            Self::WrongPassword => "wrong_password",
            Self::WrongUse => "wrong_use",
        }
    }

    /// The exit code of the command line: 1 the answer is no, 2 wrong usage or configuration,
    /// 3 something outside failed.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::CertificateNotValid
            | Self::ClaimsRejected
            | Self::KeyRevoked
            | Self::Malformed
            | Self::MustNotRotate
            | Self::NotAnnounced
            | Self::NotDecrypted
            | Self::NotGranted
            | Self::NotVerified
            | Self::StepRefused
            | Self::StillInUse
            | Self::TokenRefused => 1,
            Self::Bug
            | Self::Busy
            | Self::Io
            | Self::StoreUnavailable
            | Self::StoreUnreadable
            | Self::UsageNotKept => 3,
            _ => 2,
        }
    }
}

/// A failure: its kind, one lower-case sentence, and where it helps a next step.
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
    help: Option<Cow<'static, str>>,
    file: Option<PathBuf>,
    problems: Vec<crate::problem::Problem>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` is lower case, has no full stop and holds no secret.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            help: None,
            file: None,
            problems: Vec::new(),
            source: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the file that the error is about.
    #[must_use]
    pub fn with_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Adds the foreign error underneath.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// An [`ErrorKind::Config`] error that carries every problem found.
    #[must_use]
    pub fn from_problems(
        message: impl Into<Cow<'static, str>>,
        problems: Vec<crate::problem::Problem>,
    ) -> Self {
        Self { problems, ..Self::new(ErrorKind::Config, message) }
    }

    /// The same error again, without its source: for failures that are kept and reported more than once.
    #[must_use]
    pub(crate) fn repeat(&self) -> Self {
        Self {
            kind: self.kind,
            message: self.message.clone(),
            help: self.help.clone(),
            file: self.file.clone(),
            problems: self.problems.clone(),
            source: None,
        }
    }

    /// The same error about `subject`: "subject: message".
    #[must_use]
    pub(crate) fn about(self, subject: impl fmt::Display) -> Self {
        let message = format!("{subject}: {}", self.message).into();
        Self { message, ..self }
    }

    /// The same failure as somebody else has to act on it.
    #[must_use]
    pub(crate) fn of_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// What kind of failure.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence, without help or source.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do next, if known.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The file that the error is about.
    #[must_use]
    pub fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }

    /// The problems of a configuration, empty for other kinds.
    #[must_use]
    pub fn problems(&self) -> &[crate::problem::Problem] {
        &self.problems
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("help", &self.help)
            .field("file", &self.file)
            .field("problems", &self.problems)
            .field("source", &self.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| {
            let source: &(dyn StdError + 'static) = source;
            source
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        let codes: HashSet<_> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        assert!(codes.iter().all(|code| code.chars().all(|c| c.is_ascii_lowercase() || c == '_')));
    }
}
