//! Tokens that are refused before their end: ids that somebody logged out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::{parse_rfc3339, rfc3339, to_unix};
use crate::error::{Error, ErrorKind, Result};

/// Knows which ids are refused. A closure over an id is one; so is a [`DeniedIds`].
///
/// It is asked once for each token that is otherwise accepted. An entry may be forgotten once the token's
/// absolute end has passed: from then on the token is refused anyway.
pub trait Denylist: Send + Sync {
    /// Whether the token of this id is refused.
    ///
    /// # Errors
    /// If nobody can tell: then the token is not accepted, and the error goes to the caller.
    fn denies(&self, id: &str) -> Result<bool>;
}

impl<F: Fn(&str) -> bool + Send + Sync> Denylist for F {
    fn denies(&self, id: &str) -> Result<bool> {
        Ok(self(id))
    }
}

/// A denylist in memory, and as text: a line for each id, `ID END` with the end in RFC 3339. Ids of other people,
/// who may write anything into them, are percent-encoded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DeniedIds(HashMap<String, u64>);

impl DeniedIds {
    /// Refuses an id until its absolute end, in seconds since 1970; of two ends the later counts.
    pub fn deny(&mut self, id: &str, end: u64) {
        let known = self.0.entry(word(id).into_owned()).or_default();
        *known = end.max(*known);
    }

    /// Forgets the ids whose tokens have ended.
    pub fn forget_ended(&mut self, now: SystemTime) {
        let now = to_unix(now);
        self.0.retain(|_, end| *end > now);
    }

    /// How many ids.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the text form. Empty lines and lines that begin with `#` are left out; an id without an end is
    /// refused for ever.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] naming the line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut list = Self::default();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_ascii_whitespace();
            let (id, end) = (words.next().unwrap_or_default(), words.next());
            let end = match end {
                None => Some(u64::MAX),
                Some(end) => parse_rfc3339(end).map(seconds_up),
            };
            let is_word = id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
            let (true, Some(end), None) = (is_word, end, words.next()) else {
                let text = format!("line {} of the denylist is no id and its end", index + 1);
                return Err(Error::new(ErrorKind::Malformed, text)
                    .with_help("write the id, a space and the end: \"x1 2026-11-25T08:00:00Z\""));
            };
            let known = list.0.entry(id.to_owned()).or_default();
            *known = end.max(*known);
        }
        Ok(list)
    }

    /// The text form, in order of ids.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines: Vec<(&String, &u64)> = self.0.iter().collect();
        lines.sort_unstable();
        let mut text = String::new();
        for (id, end) in lines {
            let time = UNIX_EPOCH.checked_add(Duration::from_secs(*end));
            let end = time.filter(|_| *end < super::times::NEVER).map(rfc3339).unwrap_or_default();
            let space = if end.is_empty() { "" } else { " " };
            text.push_str(&format!("{id}{space}{end}\n"));
        }
        text
    }
}

impl Denylist for DeniedIds {
    fn denies(&self, id: &str) -> Result<bool> {
        Ok(self.0.contains_key(&*word(id)))
    }
}

/// An id as a word of the text form: what is no visible ASCII character, `%` and `#` are percent-encoded.
fn word(id: &str) -> Cow<'_, str> {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"%#".contains(byte);
    if id.as_bytes().iter().all(plain) && !id.is_empty() {
        return id.into();
    }
    let mut text = String::from("%");
    for byte in id.as_bytes() {
        if plain(byte) {
            text.push(char::from(*byte))
        } else {
            text.push_str(&format!("%{byte:02X}"))
        }
    }
    text.into()
}

/// Whole seconds, rounded up: an entry is kept until its token has ended.
fn seconds_up(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs().saturating_add(u64::from(since.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_comes_back_and_ended_entries_are_forgotten() {
        let mut list = DeniedIds::default();
        list.deny("b", 2_000);
        list.deny("a", 1_000);
        list.deny("a", 500);
        list.deny("never", u64::MAX);
        let text = list.to_text();
        assert_eq!(text, "a 1970-01-01T00:16:40Z\nb 1970-01-01T00:33:20Z\nnever\n");
        assert_eq!(DeniedIds::parse(&format!("# logged out\n\n{text}")).unwrap(), list);
        list.forget_ended(UNIX_EPOCH + Duration::from_secs(999));
        assert!(list.denies("a").unwrap() && list.len() == 3);
        list.forget_ended(UNIX_EPOCH + Duration::from_secs(1_000));
        let denied = |id: &str| list.denies(id).unwrap();
        assert!(!denied("a") && denied("b") && denied("never"));
        // Ids of other people cannot add lines, nor hide as comments.
        let ids = ["", "#a", "a b", "a\nb 2030-01-01T00:00:00Z", "%", "%23a", "ä", "% 0A"];
        let mut list = DeniedIds::default();
        ids.into_iter().for_each(|id| list.deny(id, 2_000));
        assert_eq!((list.len(), list.to_text().lines().count()), (ids.len(), ids.len()));
        let read = DeniedIds::parse(&list.to_text()).unwrap();
        assert!(read == list && ids.into_iter().all(|id| read.denies(id).unwrap()));
        assert!(!read.denies("b").unwrap());
        for bad in ["a\u{b}", "ä", "a#b", "a tomorrow", "a 1970-01-01T00:16:40Z more"] {
            assert_eq!(DeniedIds::parse(bad).unwrap_err().kind(), ErrorKind::Malformed);
        }
    }
}
