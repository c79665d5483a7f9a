//! Patterns of names in grants: a name, a beginning followed by `*`, or `*` alone.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// A pattern of labels or realms.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern {
    text: String,
    /// Whether what stands in `text` is only the beginning.
    open: bool,
}

impl Pattern {
    /// Whether `name` is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if self.open { name.starts_with(&self.text) } else { name == self.text }
    }

    /// Whether some name is meant that begins with `start`.
    #[must_use]
    pub fn meets(&self, start: &str) -> bool {
        self.text.starts_with(start) || (self.open && start.starts_with(&self.text))
    }

    /// Whether every name that `other` means is meant.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if self.open { other.text.starts_with(&self.text) } else { self == other }
    }

    /// The name that is meant, or the beginning of those that are.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether more than one name may be meant.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (start, open) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
        if start.contains('*') || (start.is_empty() && !open) {
            let text = format!("\"{}\" is no pattern", text.escape_debug());
            return Err(Error::new(ErrorKind::Usage, text).with_help(
                "write a name, or its beginning and one * at the end: \"am.services.*\"",
            ));
        }
        Ok(Self { text: start.to_owned(), open })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.open { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_at_the_end_alone() {
        let matches = |pattern: &str, name| pattern.parse::<Pattern>().unwrap().matches(name);
        assert!(matches("am.services.*", "am.services.oauth2"));
        assert!(!matches("am.services.*", "am.services"));
        assert!(!matches("am.services", "am.services.oauth2"));
        assert!(matches("*", "anything"));
        for bad in ["", "a*b", "**", "*a"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
        }
    }
}
