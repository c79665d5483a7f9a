//! Places for connections. Who comes when all are taken gets that of the connection that has been silent the longest, so
//! that nobody keeps others out by holding them and saying nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::activity::Activity;

/// How many of the longest silent are found at once: all are looked at for that.
const AT_ONCE: usize = 256;
/// How long a connection has to make room before the next one is asked. Requests that are answered meanwhile make room
/// as well.
const PAUSE: Duration = Duration::from_millis(20);
/// How often the log says that there is no room.
const SELDOM: Duration = Duration::from_secs(60);

/// So many as `max_connections` says, for all listeners together.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    free: Arc<Semaphore>,
    taken: Mutex<Taken>,
    /// How many are taken.
    pub(super) open: Gauge,
    /// How many connections were closed for others.
    pub(super) given_up: Counter,
}

#[derive(Debug, Default)]
struct Taken {
    by: HashMap<u64, Arc<Activity>>,
    next: u64,
    /// Those that were silent the longest when it was looked last, and since when; the longest comes last. All others
    /// came or spoke later.
    longest: Vec<(u64, u64)>,
    told: Option<Instant>,
}

/// A place; it is free again once this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            free: Arc::new(Semaphore::new(most)),
            taken: Mutex::default(),
            open: Gauge::default(),
            given_up: Counter::default(),
        }
    }

    /// A place for a connection; if all are taken, once one is free.
    pub(super) async fn take(self: &Arc<Self>, activity: &Arc<Activity>) -> Option<Place> {
        loop {
            let free = || Arc::clone(&self.free);
            let permit = match free().try_acquire_owned() {
                Ok(permit) => permit,
                Err(_) => {
                    self.make_room();
                    let Ok(permit) = timeout(PAUSE, free().acquire_owned()).await else { continue };
                    permit.ok()?
                }
            };
            let mut taken = self.lock();
            let number = taken.next;
            taken.next += 1;
            taken.by.insert(number, Arc::clone(activity));
            self.open.inc();
            return Some(Place { places: Arc::clone(self), number, _permit: permit });
        }
    }

    /// Has the longest silent connection end; none while all are being answered.
    pub(super) fn make_room(&self) {
        let mut taken = self.lock();
        let Some(longest) = taken.longest() else { return };
        longest.give_up();
        self.given_up.inc();
        if taken.told.is_none_or(|told| told.elapsed() >= SELDOM) {
            taken.told = Some(Instant::now());
            let most = self.most;
            log::warn!(
                "there is no room for more connections (max_connections is {most}): the longest silent ones are closed"
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn longest(&mut self) -> Option<&Activity> {
        let number = loop {
            if self.longest.is_empty() {
                self.look();
            }
            let (since, number) = self.longest.pop()?;
            // Who has spoken since then, or is gone, is none of them any more.
            if self.by.get(&number).is_some_and(|one| one.silent_since() == Some(since)) {
                break number;
            }
        };
        self.by.get(&number).map(AsRef::as_ref)
    }

    fn look(&mut self) {
        let silent =
            self.by.iter().filter_map(|(number, one)| Some((one.silent_since()?, *number)));
        self.longest = silent.collect();
        if self.longest.len() > AT_ONCE {
            self.longest.select_nth_unstable(AT_ONCE);
            self.longest.truncate(AT_ONCE);
        }
        self.longest.sort_unstable_by(|one, other| other.cmp(one));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().by.remove(&self.number);
        self.places.open.dec();
    }
}
