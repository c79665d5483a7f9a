//! Whether a rotation is late, reckoned now and then: whoever asks for readiness asks often.

use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;

use crate::clock::{Clock, parse_rfc3339, rfc3339};
use crate::keyring::Keyring;
use crate::rotation::{Rotation, Scheduled};

/// A step that is due waits for the next `rotate --due`, which may come once a day.
const LATE_AFTER: Duration = Duration::from_secs(86_400);
/// How long an answer holds: reckoning it reads the journal.
const FRESH_FOR: Duration = Duration::from_secs(30);

/// What was reckoned last.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    last: ArcSwapOption<Reckoned>,
    /// Whoever reckons has it.
    reckoning: Mutex<()>,
}

#[derive(Clone, Copy, Debug)]
struct Reckoned {
    at: SystemTime,
    late: bool,
    /// Since when nobody has written down what stands there, as `rotate --due` does whenever it runs. Until then nothing is
    /// known to be due.
    behind_since: Option<SystemTime>,
}

impl Lateness {
    /// Whether a step of any schedule should have been done a day ago, or nobody does them. Configurations without
    /// `[rotation]` are never late; of one that does not load the status tells. One reckons; whoever asks meanwhile gets
    /// the answer before.
    pub(super) fn is_late(&self, keyring: &Keyring, clock: &Clock) -> bool {
        if keyring.config().rotation.is_empty() {
            return false;
        }
        let now = clock.now();
        let last = self.last.load();
        let age = |one: &Reckoned| now.duration_since(one.at);
        if let Some(known) = last.as_ref().filter(|one| age(one).is_ok_and(|age| age < FRESH_FOR)) {
            return known.late;
        }
        let _turn = match self.reckoning.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return last.as_ref().is_some_and(|known| known.late),
        };
        let behind_since = last.as_ref().and_then(|known| known.behind_since);
        let reckoned = match Rotation::watching(keyring) {
            Ok(rotation) => {
                let behind_since = rotation.is_behind().then(|| behind_since.unwrap_or(now));
                let late = is_late(&rotation, now) || is_unattended(behind_since, now);
                Reckoned { at: now, late, behind_since }
            }
            Err(error) => {
                log::warn!("whether a rotation is late is not known: {error}");
                Reckoned { at: now, late: false, behind_since }
            }
        };
        self.last.store(Some(Arc::new(reckoned)));
        reckoned.late
    }
}

fn is_unattended(behind_since: Option<SystemTime>, now: SystemTime) -> bool {
    let since =
        behind_since.filter(|since| now.duration_since(*since).is_ok_and(|by| by > LATE_AFTER));
    if let Some(since) = since {
        log::warn!("`claviger rotate --due` has not run since {}", rfc3339(since));
    }
    since.is_some()
}

fn is_late(rotation: &Rotation, now: SystemTime) -> bool {
    let due = rotation.due();
    let time = |step: &Scheduled| step.at.as_deref().and_then(parse_rfc3339);
    let late = due.iter().filter_map(|step| Some((step, time(step)?)));
    let mut late =
        late.filter(|(_, time)| now.duration_since(*time).is_ok_and(|by| by > LATE_AFTER));
    let Some((step, time)) = late.next() else { return false };
    log::warn!("label \"{}\": a step has been due since {}", step.mapping.label, rfc3339(time));
    true
}
