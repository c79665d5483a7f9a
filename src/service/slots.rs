//! Requests that are worked on at once; how many of them may wait, for bodies and for their turn, and how many threads
//! there are for slow and for long ones. No caller takes all of any.

use std::collections::HashMap;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::StatusCode;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::Problem;
use crate::label::CallerName;

/// Threads for slow requests. The runtime has 512 at most, and stands still if all of them are blocked.
const THREADS: usize = 64;
/// Threads for long requests, of each processor: they leave half of its time to the others.
const PER_PROCESSOR: usize = 2;

/// Who a request is of; `None` on routes that are for everybody.
type Caller = Option<CallerName>;

/// As many as `max_requests` says.
#[derive(Debug)]
pub(super) struct Slots {
    free: Semaphore,
    /// How many of a caller wait.
    waiting: Mutex<HashMap<Caller, usize>>,
    slow: Threads,
    long: Threads,
    /// Steps wait for one another anyhow: here they take no thread meanwhile.
    turn: Semaphore,
}

/// Threads for requests of one kind.
#[derive(Debug)]
struct Threads {
    all: Semaphore,
    most: usize,
    /// One caller has half of them at most; so many of its requests are queued before those of another.
    of_one: Mutex<HashMap<Caller, Arc<Semaphore>>>,
}

/// That of a request, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot<'s> {
    slots: &'s Slots,
    permit: Option<SemaphorePermit<'s>>,
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiting<'s> {
    slots: &'s Slots,
    caller: &'s Caller,
}

/// A thread for a slow or a long request.
#[derive(Debug)]
pub(super) struct Thread<'s> {
    _of_one: OwnedSemaphorePermit,
    _turn: Option<SemaphorePermit<'s>>,
    _thread: SemaphorePermit<'s>,
}

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        Self {
            free: Semaphore::new(most),
            waiting: Mutex::default(),
            slow: Threads::new(THREADS),
            long: Threads::new(PER_PROCESSOR * processors()),
            turn: Semaphore::new(1),
        }
    }

    /// One for a request.
    ///
    /// # Errors
    /// 503 if all are taken.
    pub(super) fn take(&self) -> Result<Slot<'_>, Problem> {
        Ok(Slot { slots: self, permit: Some(self.permit()?) })
    }

    fn permit(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.free.try_acquire().map_err(|_| overloaded("too many requests are worked on"))
    }

    /// Lets a request that has its slot wait: of a caller as many may as slots are free besides.
    ///
    /// # Errors
    /// 503 if more of this caller wait.
    pub(super) fn wait<'s>(&'s self, caller: &'s Caller) -> Result<Waiting<'s>, Problem> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let own = waiting.get(caller).copied().unwrap_or_default();
        if own > self.free.available_permits() {
            return Err(overloaded("too many requests of this caller wait"));
        }
        waiting.insert(caller.clone(), own + 1);
        Ok(Waiting { slots: self, caller })
    }

    /// A thread for a slow request, once there is one; of those that take turns one has one.
    ///
    /// # Errors
    /// As [`Slots::wait`].
    pub(super) async fn slow<'s>(
        &'s self,
        caller: &'s Caller,
        takes_turns: bool,
    ) -> Result<Thread<'s>, Problem> {
        let _waits = self.wait(caller)?;
        let of_one = self.slow.of_one(caller).await?;
        let turn = match takes_turns {
            true => Some(self.turn.acquire().await.map_err(closed)?),
            false => None,
        };
        let thread = self.slow.all.acquire().await.map_err(closed)?;
        Ok(Thread { _of_one: of_one, _turn: turn, _thread: thread })
    }

    /// A thread for a long request, once there is one.
    ///
    /// # Errors
    /// As [`Slots::wait`].
    pub(super) async fn long<'s>(&'s self, caller: &'s Caller) -> Result<Thread<'s>, Problem> {
        let _waits = self.wait(caller)?;
        let of_one = self.long.of_one(caller).await?;
        let thread = self.long.all.acquire().await.map_err(closed)?;
        Ok(Thread { _of_one: of_one, _turn: None, _thread: thread })
    }
}

impl Threads {
    fn new(most: usize) -> Self {
        Self { all: Semaphore::new(most), most, of_one: Mutex::default() }
    }

    /// The leave of a caller to take one.
    async fn of_one(&self, caller: &Caller) -> Result<OwnedSemaphorePermit, Problem> {
        let own = {
            let mut of_one = self.of_one.lock().unwrap_or_else(PoisonError::into_inner);
            let own = of_one.entry(caller.clone());
            Arc::clone(own.or_insert_with(|| Arc::new(Semaphore::new(self.most / 2))))
        };
        own.acquire_owned().await.map_err(closed)
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// None of the semaphores is ever closed.
fn closed(_: AcquireError) -> Problem {
    overloaded("the service ends")
}

impl Slot<'_> {
    /// Gives it to others while somebody else does what the request waits for. How many wait so is for whoever lets
    /// them to bound.
    ///
    /// # Errors
    /// 503 if all are taken afterwards.
    pub(super) async fn without<T>(
        &mut self,
        awaited: impl Future<Output = T>,
    ) -> Result<T, Problem> {
        self.permit = None;
        let found = awaited.await;
        self.permit = Some(self.slots.permit()?);
        Ok(found)
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
