//! Requests that are worked on at once, and how many of them may wait for the bodies of one caller.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hyper::StatusCode;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Problem;
use crate::label::CallerName;

/// As many as `max_requests` says.
#[derive(Debug)]
pub(super) struct Slots {
    free: Semaphore,
    /// How many of a caller wait for a body that did not come with its head: few do, and none is kept for the others.
    waiting: Mutex<HashMap<CallerName, usize>>,
}

/// A body that is waited for.
#[derive(Debug)]
pub(super) struct Waiting<'s> {
    slots: &'s Slots,
    caller: &'s CallerName,
}

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        Self { free: Semaphore::new(most), waiting: Mutex::default() }
    }

    /// One, until it is dropped.
    ///
    /// # Errors
    /// 503 if all are taken.
    pub(super) fn take(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.free.try_acquire().map_err(|_| overloaded("too many requests are worked on"))
    }

    /// Lets a request of a caller, which has its slot, wait for its body: as many as slots are free besides.
    ///
    /// # Errors
    /// 503 if more of this caller wait.
    pub(super) fn wait<'s>(&'s self, caller: &'s CallerName) -> Result<Waiting<'s>, Problem> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let own = waiting.get(caller).copied().unwrap_or_default();
        if own > self.free.available_permits() {
            return Err(overloaded("too many requests of this caller wait for their bodies"));
        }
        waiting.insert(caller.clone(), own + 1);
        Ok(Waiting { slots: self, caller })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.slots.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.get_mut(self.caller) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(waiting.remove(self.caller)),
        }
    }
}

fn overloaded(text: &'static str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", text).with_retry_after(1)
}
