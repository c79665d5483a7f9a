//! `X-Request-Id`: what a request is called in answers and audit lines, here and by whoever sent it on.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use crate::crypto::random;

/// The header, in requests and answers.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// How long an id may be.
const MAX_BYTES: usize = 64;

/// The id of one request.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        // It is well formed, or we made it.
        self.0.to_str().unwrap_or_default()
    }

    /// As an answer has it.
    pub(super) fn into_header(self) -> HeaderValue {
        self.0
    }
}

/// Makes ids that no other process makes.
#[derive(Debug)]
pub(super) struct RequestIds {
    /// Of this process: 16 digits and a hyphen.
    start: [u8; 17],
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        // Without random bytes ids repeat after a restart: a pity, nothing more.
        let process: [u8; 8] = random::bytes().unwrap_or_default();
        let mut start = [b'-'; 17];
        put_digits(process, &mut start);
        Self { start, next: AtomicU64::new(1) }
    }

    /// The one that came with a request if it is well formed (letters, digits, `-`, `_`, `.`; at most 64), else a new
    /// one.
    pub(super) fn of(&self, headers: &HeaderMap) -> RequestId {
        let mut given = headers.get_all(HEADER).iter();
        let first = given.next().filter(|value| is_well_formed(value.as_bytes()));
        RequestId(
            first.filter(|_| given.next().is_none()).cloned().unwrap_or_else(|| self.new_one()),
        )
    }

    /// `0123456789abcdef-000000000000001f`.
    fn new_one(&self) -> HeaderValue {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut text = [0; 33];
        let (start, rest) = text.split_at_mut(self.start.len());
        start.copy_from_slice(&self.start);
        put_digits(number.to_be_bytes(), rest);
        // Of digits, letters and a hyphen: a value of a header.
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("-"))
    }
}

/// Puts the 16 digits of a number at the beginning of a text that has room for them.
fn put_digits(number: [u8; 8], text: &mut [u8]) {
    if let Some(text) = text.first_chunk_mut::<16>() {
        // Two digits a byte: it fits.
        let _ = hex::encode_to_slice(number, text);
    }
}

fn is_well_formed(text: &[u8]) -> bool {
    (1..=MAX_BYTES).contains(&text.len())
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_well_formed_is_taken_and_any_other_replaced() {
        let ids = RequestIds::new();
        let of = |texts: &[&str]| {
            let mut headers = HeaderMap::new();
            for text in texts {
                headers.append(HEADER, text.parse().unwrap());
            }
            ids.of(&headers).as_str().to_owned()
        };
        let longest = "a".repeat(64);
        for good in ["7", "0af7651916cd43dd8448eb211c80319c", "a-b_c.D", &longest] {
            assert_eq!(of(&[good]), good);
        }
        let long = "a".repeat(65);
        for bad in [&[][..], &[""], &[&long], &["a b"], &["a\"b"], &["{}"], &["é"], &["a", "b"]] {
            let made = of(bad);
            assert!(is_well_formed(made.as_bytes()) && !bad.contains(&&*made), "{bad:?}");
        }
        assert_ne!(of(&[]), of(&[]));
        let fresh = || RequestIds::new().of(&HeaderMap::new()).as_str().to_owned();
        assert_ne!(fresh(), fresh());
    }
}
