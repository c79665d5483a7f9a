//! A finding about the configuration: a stable code, a place in a file, and a remedy.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Whether a problem stops the configuration from being used.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "a third severity would change every caller")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration works, but somebody should look.
    Warning,
}

/// A place in a text file. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
pub struct Location {
    /// The file as it was named.
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The byte range in the file, for drawing the caret.
    #[serde(skip)]
    pub span: std::ops::Range<usize>,
}

/// File names need not be UTF-8, JSON must be.
fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// One finding.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Problem {
    /// A stable `snake_case` name.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong: lower case, no full stop, names the thing.
    pub message: String,
    /// What to type instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Where.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
}

impl Problem {
    /// An error with this code.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            help: None,
            location: None,
        }
    }

    /// A warning with this code.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Errors first, then by place: the order in which problems are shown.
    #[must_use]
    pub fn order(&self) -> (Severity, usize, usize) {
        let place = self.location.as_ref().map_or((0, 0), |place| (place.line, place.column));
        (self.severity, place.0, place.1)
    }

    /// Adds the remedy.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }
}

/// A line of a log: `CODE: MESSAGE (FILE:LINE)`, without the place where there is none.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        match &self.location {
            Some(place) => write!(f, " ({}:{})", place.file.display(), place.line),
            None => Ok(()),
        }
    }
}
