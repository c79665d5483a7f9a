//! Bytes and text that are wiped when dropped, never shown, and compared in constant time.

use std::fmt;
use std::io::{self, Read};

use aws_lc_rs::constant_time;
use zeroize::{Zeroize, Zeroizing};

/// Secret bytes: zeroized on drop, redacted in `Debug`, no `Clone`, no `PartialEq`.
pub struct SecretBytes(Box<[u8]>);

impl SecretBytes {
    /// Takes ownership; a spare capacity of `bytes` is wiped too.
    #[must_use]
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        if bytes.capacity() == bytes.len() {
            return Self(bytes.into_boxed_slice());
        }
        let bytes = Zeroizing::new(bytes);
        Self::from_slice(&bytes)
    }

    /// Copies; wiping the original stays with the caller.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Self {
        Self(Box::from(bytes))
    }

    /// Reads to the end; a buffer that has become too small is wiped, not left behind.
    ///
    /// # Errors
    /// Those of the source.
    pub fn read_from(mut source: impl Read) -> io::Result<Self> {
        let mut bytes = Zeroizing::new(vec![0; 8 << 10]);
        let mut len = 0;
        while let Some(room) = bytes.get_mut(len..).filter(|room| !room.is_empty()) {
            match source.read(room) {
                Ok(0) => break,
                Ok(count) => len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if len == bytes.len() {
                bytes = Zeroizing::new([bytes.as_slice(), &vec![0; len]].concat());
            }
        }
        Ok(Self::from_slice(bytes.get(..len).unwrap_or_default()))
    }

    /// The bytes. Each use says why under an `EXPOSE` comment.
    #[must_use]
    pub const fn expose_secret(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Equality that takes the same time wherever the bytes differ; lengths are not hidden.
    #[must_use]
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.0, other).is_ok()
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes([redacted])")
    }
}

/// Secret UTF-8 text (a password), with the guarantees of [`SecretBytes`].
pub struct SecretString(Box<str>);

impl SecretString {
    /// Takes ownership.
    #[must_use]
    pub fn from_string(text: String) -> Self {
        if text.capacity() == text.len() {
            return Self(text.into_boxed_str());
        }
        let text = Zeroizing::new(text);
        Self(Box::from(text.as_str()))
    }

    /// Reads UTF-8 bytes; `None` if they are not UTF-8.
    #[must_use]
    pub fn from_utf8(bytes: &SecretBytes) -> Option<Self> {
        // EXPOSE: copied into another zeroizing owner.
        std::str::from_utf8(bytes.expose_secret()).ok().map(|text| Self(Box::from(text)))
    }

    /// The text. Each use says why under an `EXPOSE` comment.
    #[must_use]
    pub const fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl Drop for SecretString {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretString([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", SecretBytes::from_slice(b"hunter2")), "SecretBytes([redacted])");
        assert_eq!(
            format!("{:?}", SecretString::from_string("hunter2".into())),
            "SecretString([redacted])"
        );
    }

    #[test]
    fn reading_goes_to_the_end_whatever_the_length() {
        for length in [0, 1, (8 << 10) - 1, 8 << 10, (8 << 10) + 1, 100_000] {
            let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
            assert_eq!(SecretBytes::read_from(bytes.as_slice()).unwrap().expose_secret(), bytes);
        }
    }

    #[test]
    fn ct_eq_compares_content_and_length() {
        let secret = SecretBytes::from_slice(b"abc");
        assert!(secret.ct_eq(b"abc"));
        assert!(!secret.ct_eq(b"abd"));
        assert!(!secret.ct_eq(b"ab"));
    }
}
