//! `Idempotency-Key`: a request that changes something is done once, however often it is sent
//! (draft-ietf-httpapi-idempotency-key-header-07).

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::{HeaderMap, StatusCode};

use super::Problem;
use super::answer::Answer;
use crate::label::CallerName;

/// For how long an answer is kept.
const LIFE: Duration = Duration::from_secs(24 * 3_600);
/// How many answers are kept for one caller.
const MAX_ANSWERS: usize = 64;
/// How long a key may be.
const MAX_KEY_BYTES: usize = 255;
/// Which keys [`key`] takes, for the OpenAPI document.
pub(crate) const PATTERN: &str = r#"^("[!#-+.-:<-\[\]-~-]{1,255}"|[!#-+.-:<-\[\]-~-]{1,255})$"#;

/// The answers of the last day, by caller and key.
#[derive(Debug, Default)]
pub(crate) struct Answers(Mutex<HashMap<CallerName, VecDeque<Entry>>>);

#[derive(Debug)]
struct Entry {
    key: String,
    /// Of the whole request.
    fingerprint: [u8; 32],
    since: Instant,
    /// Absent: it is being worked on.
    answer: Option<Answer>,
}

impl Answers {
    /// Does what `act` does, or answers what it answered before under the same key. Failures of the service are
    /// forgotten, so that the request can be sent again.
    ///
    /// # Errors
    /// Those of `act`; 409 while the first request is worked on, 422 for another request under the same key, 503 if
    /// too many are worked on.
    pub(crate) fn once(
        &self,
        caller: &CallerName,
        key: &str,
        fingerprint: [u8; 32],
        act: impl FnOnce() -> Result<Answer, Problem>,
    ) -> Result<Answer, Problem> {
        if let Some(answer) = self.begin(caller, key, fingerprint)? {
            return Ok(answer);
        }
        let mut begun = Begun { answers: self, caller, key, answer: None };
        let answer = act().unwrap_or_else(Answer::from);
        begun.answer = (!answer.status.is_server_error()).then(|| answer.clone());
        drop(begun);
        Ok(answer)
    }

    /// The answer that is known; `None`: the request is now being worked on.
    fn begin(
        &self,
        caller: &CallerName,
        key: &str,
        fingerprint: [u8; 32],
    ) -> Result<Option<Answer>, Problem> {
        let mut callers = self.lock();
        let entries = callers.entry(caller.clone()).or_default();
        entries.retain(|entry| entry.answer.is_none() || entry.since.elapsed() < LIFE);
        if let Some(entry) = entries.iter().find(|entry| entry.key == key) {
            return match &entry.answer {
                _ if entry.fingerprint != fingerprint => Err(reused()),
                None => Err(in_flight()),
                Some(answer) => Ok(Some(answer.clone())),
            };
        }
        if entries.len() >= MAX_ANSWERS {
            let oldest = entries.iter().position(|entry| entry.answer.is_some());
            drop(entries.remove(oldest.ok_or_else(busy)?));
        }
        let (key, since) = (key.to_owned(), Instant::now());
        entries.push_back(Entry { key, fingerprint, since, answer: None });
        Ok(None)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CallerName, VecDeque<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is worked on; when it goes, its answer is kept, or it is as if it had never been sent.
struct Begun<'a> {
    answers: &'a Answers,
    caller: &'a CallerName,
    key: &'a str,
    answer: Option<Answer>,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        let mut callers = self.answers.lock();
        let Some(entries) = callers.get_mut(self.caller) else { return };
        match self.answer.take() {
            None => entries.retain(|entry| entry.key != self.key),
            answer => {
                if let Some(entry) = entries.iter_mut().find(|entry| entry.key == self.key) {
                    entry.answer = answer;
                }
            }
        }
    }
}

/// The key of a request: a string in quotation marks (RFC 9651 §3.3.3), or without them.
///
/// # Errors
/// 400 for a header that is no key.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut all = headers.get_all("idempotency-key").iter();
    let Some(value) = all.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| all.next().is_none());
    let bare = text
        .map(|text| text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text));
    let fits = |key: &&str| {
        !key.is_empty()
            && key.len() <= MAX_KEY_BYTES
            && key.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\,;".contains(&byte))
    };
    bare.filter(fits).map(Some).ok_or_else(|| {
        let text = "Idempotency-Key is no key";
        Problem::new(StatusCode::BAD_REQUEST, "malformed", text)
            .with_help("send one of 1 to 255 characters, such as a UUID, in quotation marks")
    })
}

fn reused() -> Problem {
    let text = "another request was sent with this Idempotency-Key";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", text)
        .with_help("send a new request with a new key")
}

fn in_flight() -> Problem {
    let text = "the request with this Idempotency-Key is being worked on";
    Problem::new(StatusCode::CONFLICT, "request_in_flight", text).with_retry_after(1)
}

fn busy() -> Problem {
    let text = "too many requests of this caller are being worked on";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", text).with_retry_after(1)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn name(text: &str) -> CallerName {
        text.parse().unwrap()
    }

    fn said(text: &str) -> Result<Answer, Problem> {
        Ok(Answer::of("text/plain", text.to_owned()))
    }

    fn body(answer: Result<Answer, Problem>) -> Vec<u8> {
        answer.unwrap().body.to_vec()
    }

    #[test]
    fn what_was_done_is_done_once_for_each_caller() {
        let (answers, count) = (Answers::default(), Cell::new(0));
        let once = |caller: &str, key: &str, fingerprint: u8| {
            answers.once(&name(caller), key, [fingerprint; 32], || {
                count.set(count.get() + 1);
                said(&count.get().to_string())
            })
        };
        assert_eq!(body(once("a", "k", 1)), b"1");
        assert_eq!(body(once("a", "k", 1)), b"1");
        assert_eq!(body(once("b", "k", 1)), b"2");
        assert_eq!(body(once("a", "l", 1)), b"3");
        let other = once("a", "k", 2).unwrap_err();
        assert_eq!((other.status, other.code), (422, "idempotency_key_reused"));
    }

    #[test]
    fn a_refusal_is_kept_and_a_failure_is_not() {
        let answers = Answers::default();
        let fails = |status: StatusCode| move || Err(Problem::new(status, "x", "x"));
        for (status, again) in [(StatusCode::CONFLICT, 409), (StatusCode::SERVICE_UNAVAILABLE, 200)]
        {
            let key = status.as_str();
            let first = answers.once(&name("a"), key, [0; 32], fails(status)).unwrap();
            assert_eq!(first.status, status);
            let second = answers.once(&name("a"), key, [0; 32], || said("")).unwrap();
            assert_eq!(second.status.as_u16(), again);
        }
    }

    #[test]
    fn a_second_request_waits_for_the_first_and_a_panic_leaves_nothing() {
        let answers = Answers::default();
        let caller = name("a");
        answers
            .once(&caller, "k", [0; 32], || {
                let second = answers.once(&caller, "k", [0; 32], || said("")).unwrap_err();
                assert_eq!((second.status, second.code), (409, "request_in_flight"));
                said("")
            })
            .unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            answers.once(&caller, "l", [0; 32], || panic!("on purpose"))
        }));
        assert!(panicked.is_err());
        assert_eq!(body(answers.once(&caller, "l", [0; 32], || said("ok"))), b"ok");
    }

    #[test]
    fn no_caller_fills_the_memory() {
        let answers = Answers::default();
        for n in 0..MAX_ANSWERS * 2 {
            answers.once(&name("a"), &n.to_string(), [0; 32], || said("")).unwrap();
        }
        assert_eq!(answers.lock()[&name("a")].len(), MAX_ANSWERS);
        assert!(answers.begin(&name("a"), "127", [0; 32]).unwrap().is_some());
    }

    #[test]
    fn keys_are_short_and_plain() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", text.parse().unwrap());
            key(&headers).map(|key| key.map(str::to_owned))
        };
        assert_eq!(read("\"8e03978e\"").unwrap().as_deref(), Some("8e03978e"));
        assert_eq!(read("8e03978e").unwrap().as_deref(), Some("8e03978e"));
        assert!(key(&HeaderMap::new()).unwrap().is_none());
        for bad in ["", "\"\"", "a b", "\"a", "a\", \"b", "é", &"a".repeat(256)] {
            assert_eq!(read(bad).unwrap_err().status, 400, "{bad}");
        }
    }
}
