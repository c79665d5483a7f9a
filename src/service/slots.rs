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
    /// Steps wait for one another anyhow: here they take no thread meanwhile. One of each caller waits for its turn, and
    /// the others of that caller for that one.
    turn: Threads,
}

/// Threads for requests of one kind.
#[derive(Debug)]
struct Threads {
    all: Semaphore,
    /// One caller has so many of them at most; as many of its requests are queued before those of another.
    most_of_one: usize,
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
    _turn: Option<(OwnedSemaphorePermit, SemaphorePermit<'s>)>,
    _thread: SemaphorePermit<'s>,
}

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        Self {
            free: Semaphore::new(most),
            waiting: Mutex::default(),
            slow: Threads::half_each(THREADS),
            long: Threads::half_each(PER_PROCESSOR * processors()),
            turn: Threads::new(1, 1),
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
            true => {
                let own = self.turn.of_one(caller).await?;
                Some((own, self.turn.all.acquire().await.map_err(closed)?))
            }
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
    fn new(most: usize, most_of_one: usize) -> Self {
        Self { all: Semaphore::new(most), most_of_one, of_one: Mutex::default() }
    }

    fn half_each(most: usize) -> Self {
        Self::new(most, most / 2)
    }

    /// The leave of a caller to take one.
    async fn of_one(&self, caller: &Caller) -> Result<OwnedSemaphorePermit, Problem> {
        let own = {
            let mut of_one = self.of_one.lock().unwrap_or_else(PoisonError::into_inner);
            let own = of_one.entry(caller.clone());
            Arc::clone(own.or_insert_with(|| Arc::new(Semaphore::new(self.most_of_one))))
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

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Whoever stages key after key, each of which takes seconds to be made, does not keep another from revoking one.
    #[test]
    fn a_step_waits_for_one_of_each_other_caller_however_many_those_have_sent() {
        let slots = Slots::new(1 << 10);
        let caller = |name: &str| Some(name.parse::<CallerName>().unwrap());
        let (busy, other) = (caller("busy"), caller("other"));
        let mut cx = Context::from_waker(Waker::noop());
        let mut steps: Vec<_> = (0..40).map(|_| Box::pin(slots.slow(&busy, true))).collect();
        let mut began: Vec<_> = steps.iter_mut().map(|one| one.as_mut().poll(&mut cx)).collect();
        assert!(matches!(began[0], Poll::Ready(Ok(_))));
        assert!(began[1..].iter().all(Poll::is_pending));
        let mut revokes = Box::pin(slots.slow(&other, true));
        assert!(revokes.as_mut().poll(&mut cx).is_pending());
        // The one that runs ends, and all others are asked first.
        began.clear();
        drop(steps.remove(0));
        assert!(steps.iter_mut().all(|one| one.as_mut().poll(&mut cx).is_pending()));
        let revoked = revokes.as_mut().poll(&mut cx);
        assert!(matches!(revoked, Poll::Ready(Ok(_))));
        drop(revoked);
        let next: Vec<_> = steps.iter_mut().map(|one| one.as_mut().poll(&mut cx)).collect();
        assert_eq!(next.iter().filter(|one| one.is_ready()).count(), 1);
    }
}
