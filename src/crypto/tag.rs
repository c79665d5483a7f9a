//! Tags of content under a random key of this process: equal content is found again, and a tag that
//! leaks tells nothing about a password.

use std::fmt;

use ring::hmac;

use crate::crypto::random;
use crate::error::Result;

/// A tag: HMAC-SHA256 under the key of its [`Tagger`].
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Tag([u8; 32]);

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag")
    }
}

impl AsRef<[u8]> for Tag {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Makes tags. Those of two taggers never match.
#[derive(Clone)]
pub struct Tagger(hmac::Key);

impl Tagger {
    /// A tagger with a key of its own.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Io`] if the operating system gives no random bytes.
    pub fn new() -> Result<Self> {
        let key = random::bytes::<32>()?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// The tag of `parts`; where one ends and the next begins counts.
    #[must_use]
    pub fn tag(&self, parts: &[&[u8]]) -> Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.sign().as_ref());
        Tag(out)
    }
}

impl fmt::Debug for Tagger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tagger")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_taggers_are_told_apart() {
        let tagger = Tagger::new().unwrap();
        assert_eq!(tagger.tag(&[b"ab", b"c"]), tagger.tag(&[b"ab", b"c"]));
        assert_ne!(tagger.tag(&[b"ab", b"c"]), tagger.tag(&[b"a", b"bc"]));
        assert_ne!(tagger.tag(&[b"ab"]), Tagger::new().unwrap().tag(&[b"ab"]));
        assert_eq!(format!("{:?}", tagger.tag(&[b"ab"])), "Tag");
    }
}
