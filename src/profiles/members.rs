//! A JSON object that a profile writes: its own members, then those of the caller.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::json;

/// A JSON object that is written member by member; where it moves to, it leaves nothing behind.
pub(super) struct Members(Zeroizing<Vec<u8>>);

impl Write for Members {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    /// What JSON is written with: character by character, often.
    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > self.0.capacity() - self.0.len() {
            self.move_out(bytes.len());
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Members {
    /// With room for members that stand before these.
    pub(super) fn before(others: &Map<String, Value>) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(256 + others.len() * 32)))
    }

    /// Adds a member.
    pub(super) fn add(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        self.begin(name)?;
        self.put_json(value)
    }

    /// Adds a text.
    pub(super) fn add_text(&mut self, name: &str, value: &str) -> Result<()> {
        self.begin(name)?;
        self.put_text(value)
    }

    fn begin(&mut self, name: &str) -> Result<()> {
        let between = if self.0.is_empty() { b"{" } else { b"," };
        self.put(between)?;
        self.put_text(name)?;
        self.put(b":")
    }

    /// Most texts stand in JSON as they are. It runs behind operations that leave caches cold, and is shorter than the
    /// way of serde.
    fn put_text(&mut self, text: &str) -> Result<()> {
        if !json::is_plain(text) {
            return self.put_json(text);
        }
        self.put(b"\"")?;
        self.put(text.as_bytes())?;
        self.put(b"\"")
    }

    /// Into room for so many bytes more.
    #[cold]
    fn move_out(&mut self, more: usize) {
        let capacity = (self.0.len() + more).max(self.0.capacity() * 2);
        let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
        larger.extend_from_slice(&self.0);
        self.0 = larger;
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes)
            .map_err(|error| Error::new(ErrorKind::Bug, "JSON encoding").with_source(error))
    }

    fn put_json(&mut self, value: &(impl Serialize + ?Sized)) -> Result<()> {
        serde_json::to_writer(self, value)
            .map_err(|error| Error::new(ErrorKind::Bug, "JSON encoding").with_source(error))
    }

    /// The object, these members at its end.
    pub(super) fn finish(mut self, others: &Map<String, Value>) -> Result<Zeroizing<Vec<u8>>> {
        for (name, value) in others {
            match value {
                Value::String(text) => self.add_text(name, text)?,
                other => self.add(name, other)?,
            }
        }
        let end: &[u8] = if self.0.is_empty() { b"{}" } else { b"}" };
        self.put(end)?;
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_written_is_what_serde_writes(
            members in prop::collection::vec((r#"([a-z]{1,9}|[ -~]|["\\\x00-\x1f\x7f-\xa0]|\PC){0,9}"#, r#"([ -~]|["\\\x00-\x1f]|\PC){0,90}"#), 0..9),
            number: i64,
        ) {
            let text = |text: &str| Value::from(text).to_string();
            let others: Map<String, Value> = [
                ("n".to_owned(), number.into()),
                ("l".to_owned(), vec!["\"", "\n"].into()),
                ("t".to_owned(), "\u{1}".into()),
            ]
            .into_iter()
            .collect();
            let mut all = Members::before(&others);
            let mut plain = String::from("{");
            for (name, value) in &members {
                all.add_text(name, value).unwrap();
                plain.push_str(&format!("{}:{},", text(name), text(value)));
            }
            plain.push_str(Value::Object(others.clone()).to_string().trim_start_matches('{'));
            let written = all.finish(&others).unwrap();
            prop_assert_eq!(String::from_utf8(written.to_vec()).unwrap(), plain);
        }
    }
}
