//! `X-Request-Id`: what a request is called in answers and audit lines, here and by whoever sent it on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::HeaderMap;
use hyper::header::HeaderName;

use crate::crypto::random;

/// The header, in requests and answers.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// How long an id may be.
const MAX_BYTES: usize = 64;

/// Makes ids that no other process makes.
#[derive(Debug)]
pub(super) struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        // Without random bytes ids repeat after a restart: a pity, nothing more.
        let process = u64::from_be_bytes(random::bytes().unwrap_or_default());
        Self { process, next: AtomicU64::new(1) }
    }

    /// The one that came with a request if it is well formed (letters, digits, `-`, `_`, `.`; at most 64), else a new
    /// one.
    pub(super) fn of(&self, headers: &HeaderMap) -> Arc<str> {
        let mut given = headers.get_all(HEADER).iter();
        let first = given.next().and_then(|value| value.to_str().ok());
        match first.filter(|text| given.next().is_none() && is_well_formed(text)) {
            Some(text) => text.into(),
            None => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                format!("{:016x}-{number:x}", self.process).into()
            }
        }
    }
}

fn is_well_formed(text: &str) -> bool {
    (1..=MAX_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
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
            ids.of(&headers)
        };
        let longest = "a".repeat(64);
        for good in ["7", "0af7651916cd43dd8448eb211c80319c", "a-b_c.D", &longest] {
            assert_eq!(&*of(&[good]), good);
        }
        let long = "a".repeat(65);
        for bad in [&[][..], &[""], &[&long], &["a b"], &["a\"b"], &["{}"], &["é"], &["a", "b"]] {
            let made = of(bad);
            assert!(is_well_formed(&made) && !bad.contains(&&*made), "{bad:?}");
        }
        assert_ne!(of(&[]), of(&[]));
        assert_ne!(
            RequestIds::new().of(&HeaderMap::new()),
            RequestIds::new().of(&HeaderMap::new())
        );
    }
}
