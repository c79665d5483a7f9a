//! A JSON object that a profile writes: its own members, then those of the caller.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};

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

    pub(super) fn add(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        let between = if self.0.is_empty() { b"{" } else { b"," };
        self.put(between)?;
        self.put_json(name)?;
        self.put(b":")?;
        self.put_json(value)
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
            self.add(name, value)?;
        }
        let end: &[u8] = if self.0.is_empty() { b"{}" } else { b"}" };
        self.put(end)?;
        Ok(self.0)
    }
}
