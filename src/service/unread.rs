//! Answers that are made and not read yet: so many bytes of them, of one caller half at most. Who lets them stand, over
//! connections and streams that it opens for that, would otherwise take the memory of all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hyper::StatusCode;

use super::Problem;
use super::answer::Answer;
use crate::label::CallerName;

/// How many of the largest bodies. The longest answer is as long as some of them.
const LARGEST_BODIES: usize = 256;
/// A shorter one is not counted: streams and connections, which have a bound, need as much themselves.
const SHORT: usize = 1 << 10;

/// Who an answer is for.
type Caller = Option<CallerName>;

/// Those of all callers.
#[derive(Debug)]
pub(super) struct Unread {
    most: usize,
    bytes: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    of_one: HashMap<Caller, usize>,
}

/// The body of one; it is counted until the last of it is gone.
struct Body {
    bytes: Bytes,
    caller: Caller,
    held: Arc<Mutex<Held>>,
}

impl Unread {
    /// Where bodies of requests have `max_body_bytes` at most.
    pub(super) fn new(max_body_bytes: usize) -> Self {
        Self { most: max_body_bytes.saturating_mul(LARGEST_BODIES), bytes: Arc::default() }
    }

    /// Counts an answer until it is read.
    ///
    /// # Errors
    /// 503 if too much is not read yet.
    pub(super) fn count(&self, caller: &Caller, answer: Answer) -> Result<Answer, Problem> {
        let bytes = answer.body.len();
        if bytes <= SHORT {
            return Ok(answer);
        }
        let mut held = lock(&self.bytes);
        let own = held.of_one.get(caller).copied().unwrap_or_default() + bytes;
        let all = held.all + bytes;
        if own > self.most / 2 || all > self.most {
            let text = "too many answers wait to be read";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", text)
                .with_retry_after(1));
        }
        held.all = all;
        held.of_one.insert(caller.clone(), own);
        drop(held);
        let (caller, held) = (caller.clone(), Arc::clone(&self.bytes));
        let body = Bytes::from_owner(Body { bytes: answer.body, caller, held });
        Ok(Answer { body, ..answer })
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        held.all -= self.bytes.len();
        match held.of_one.get_mut(&self.caller) {
            Some(own) if *own > self.bytes.len() => *own -= self.bytes.len(),
            _ => drop(held.of_one.remove(&self.caller)),
        }
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn answer(bytes: usize) -> Answer {
        Answer::of("text/plain", vec![b'x'; bytes])
    }

    #[test]
    fn one_caller_has_half_and_what_is_read_counts_no_more() {
        let unread = Unread::new(16 << 10);
        let caller = |name: &str| Some(name.parse::<CallerName>().unwrap());
        let (portal, batch, ci) = (caller("portal"), caller("batch"), caller("ci"));
        let large = 1 << 20;
        let first = unread.count(&portal, answer(large)).unwrap();
        let second = unread.count(&portal, answer(large)).unwrap();
        let refused = unread.count(&portal, answer(2 * SHORT)).unwrap_err();
        assert_eq!((refused.status, refused.retry_after.map_or(0, NonZeroU32::get)), (503, 1));
        // What is short, and what is another's.
        assert!(unread.count(&portal, answer(SHORT)).is_ok());
        let others = [(); 2].map(|()| unread.count(&batch, answer(large)).unwrap());
        assert!(unread.count(&ci, answer(2 * SHORT)).is_err());
        // A part of it is still to be written.
        let tail = first.body.slice(large - 1..);
        drop(first);
        assert!(unread.count(&portal, answer(large)).is_err());
        drop(tail);
        let third = unread.count(&portal, answer(large)).unwrap();
        assert_eq!(third.body.len(), large);
        drop((second, third, others));
        let held = lock(&unread.bytes);
        assert!(held.all == 0 && held.of_one.is_empty());
    }
}
