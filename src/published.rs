//! The key set of a party or a label as an endpoint serves it: the document, its entity tag, and how long it may be
//! cached.
//!
//! A document that is cached no longer than its `max_age` is never a step behind: it ends before a staged key may act and
//! before the next step of a schedule.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;

use crate::keyring::Keyring;
use crate::label::Realm;
use crate::profiles::jwks::{Jwks, JwksHandle, Whose};
use crate::rotation::{Rotation, announce};

/// How often the journal is read again while nothing else changes.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A key set and how long it may be cached. Cheap to clone; it follows reloads.
#[derive(Clone)]
pub struct PublishedKeys(Arc<Inner>);

struct Inner {
    keyring: Keyring,
    realm: Option<Realm>,
    whose: Whose,
    handle: JwksHandle,
    seen: ArcSwapOption<Seen>,
    /// Whoever reads the journal has it.
    looking: Mutex<()>,
}

/// What is planned, as of one snapshot and one look into the journal.
#[derive(Clone, Copy)]
struct Seen {
    generation: u64,
    at: SystemTime,
    /// The next step of what the document shows; `None`: none is planned.
    next: Option<SystemTime>,
    /// For how long it may be cached whatever the configuration says.
    longest: Duration,
}

/// What an endpoint answers at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishedSet {
    /// The document and its entity tag.
    pub document: Arc<Jwks>,
    /// For `Cache-Control: max-age`, in whole seconds: at most `policy.jwks_max_age`. Say it: whoever gets none counts a
    /// time of its own, five minutes in `remote::RemoteKeys`.
    pub max_age: Duration,
}

impl Keyring {
    /// The key set that a party or a label publishes in `realm`, with how long it may be cached; `None`: the global one.
    #[must_use]
    pub fn published(&self, realm: Option<&Realm>, whose: impl Into<Whose>) -> PublishedKeys {
        let whose = whose.into();
        PublishedKeys(Arc::new(Inner {
            handle: self.jwks(realm, whose.clone()),
            keyring: self.clone(),
            realm: realm.cloned(),
            whose,
            seen: ArcSwapOption::empty(),
            looking: Mutex::default(),
        }))
    }
}

impl PublishedKeys {
    /// What is to be answered now. The journal is read for a new snapshot, once a step is past, and once a minute; while
    /// it cannot be read the document is given for what is left of that minute, for no step is taken without it.
    #[must_use]
    pub fn now(&self) -> PublishedSet {
        self.of(&self.0.keyring.pinned())
    }

    /// The same of a pinned keyring.
    pub(crate) fn of(&self, pinned: &Keyring) -> PublishedSet {
        let (snapshot, now) = (pinned.load(), pinned.clock().now());
        let document = self.0.handle.of(&snapshot);
        let Seen { next, longest, .. } = self.seen(pinned, document.generation, now);
        let max_age = announce::max_age(&snapshot.config().policy, now, next).min(longest);
        PublishedSet { document, max_age }
    }

    fn seen(&self, pinned: &Keyring, generation: u64, now: SystemTime) -> Seen {
        let known = || self.0.seen.load_full().filter(|seen| seen.holds(generation, now));
        let recent = || known().filter(|seen| seen.is_recent(now));
        if let Some(seen) = recent() {
            return *seen;
        }
        let _turn = match self.0.looking.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => {
                // Somebody looks again: what holds is good enough for the others, who wait only if nothing does.
                if let Some(seen) = known() {
                    return *seen;
                }
                self.0.looking.lock().unwrap_or_else(PoisonError::into_inner)
            }
        };
        if let Some(seen) = recent() {
            return *seen;
        }
        let (next, longest) = self.look(pinned, now);
        let seen = Seen { generation, at: now, next, longest };
        self.0.seen.store(Some(Arc::new(seen)));
        seen
    }

    fn look(&self, pinned: &Keyring, now: SystemTime) -> (Option<SystemTime>, Duration) {
        let Inner { realm, whose, .. } = &*self.0;
        let rotation = match Rotation::watching(pinned) {
            Ok(rotation) => rotation,
            Err(error) => {
                log::warn!("the next step of a key set is not known: {error}");
                return (Some(now + LOOK_AGAIN), LOOK_AGAIN);
            }
        };
        let labels = whose.labels(&pinned.load(), realm.as_ref());
        let next = labels.iter().filter_map(|one| rotation.next_step(one, realm.as_ref())).min();
        (next, rotation.known_age(Duration::MAX))
    }
}

impl Seen {
    /// Whether it is of this snapshot, and nothing that was planned is past.
    fn holds(&self, generation: u64, now: SystemTime) -> bool {
        self.generation == generation && self.next.is_none_or(|next| next > now)
    }

    /// Whether it is too early to look again. A clock that went back says nothing of that.
    fn is_recent(&self, now: SystemTime) -> bool {
        now.duration_since(self.at).is_ok_and(|age| age < LOOK_AGAIN)
    }
}

impl fmt::Debug for PublishedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishedKeys")
            .field("realm", &self.0.realm)
            .field("whose", &self.0.whose)
            .finish_non_exhaustive()
    }
}
