//! The key set of a provider or relying party as an endpoint serves it: the document, its entity tag, and how long it may be
//! cached.
//!
//! A document that is cached no longer than its `max_age` is never a step behind: it ends before a staged key may act and
//! before the next step of a schedule.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::error::Result;
use crate::keyring::Keyring;
use crate::label::Realm;
use crate::profiles::jwks::{Jwks, JwksHandle, Party};
use crate::rotation::{Rotation, announce};

/// How often the journal is read again while nothing else changes.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A key set and how long it may be cached. Cheap to clone; it follows reloads.
#[derive(Clone)]
pub struct PublishedKeys(Arc<Inner>);

struct Inner {
    keyring: Keyring,
    realm: Option<Realm>,
    party: Party,
    handle: JwksHandle,
    seen: Mutex<Option<Seen>>,
}

/// What is planned, as of one snapshot and one look into the journal.
#[derive(Clone, Copy)]
struct Seen {
    generation: u64,
    at: SystemTime,
    /// The next step of what the document shows; `None`: none is planned.
    next: Option<SystemTime>,
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
    /// The key set that `party` publishes in `realm`, with how long it may be cached; `None`: the global one.
    #[must_use]
    pub fn published(&self, realm: Option<&Realm>, party: Party) -> PublishedKeys {
        let handle = self.jwks(realm, party);
        let (keyring, realm, seen) = (self.clone(), realm.cloned(), Mutex::default());
        PublishedKeys(Arc::new(Inner { keyring, realm, party, handle, seen }))
    }
}

impl PublishedKeys {
    /// What is to be answered now. The journal is read for a new snapshot, once a step is past, and once a minute; a journal
    /// that cannot be read gives the document that minute, for no step is taken without it.
    #[must_use]
    pub fn now(&self) -> PublishedSet {
        let Inner { keyring, handle, .. } = &*self.0;
        let (document, now) = (handle.document(), keyring.clock().now());
        let policy = &keyring.config().policy;
        let max_age = match self.next_step(document.generation, now) {
            Ok(next) => announce::max_age(policy, now, next),
            Err(error) => {
                log::warn!("the next step of a key set is not known: {error}");
                LOOK_AGAIN.min(policy.jwks_max_age)
            }
        };
        PublishedSet { document, max_age }
    }

    fn next_step(&self, generation: u64, now: SystemTime) -> Result<Option<SystemTime>> {
        let Inner { keyring, realm, party, seen, .. } = &*self.0;
        // One looks, the others wait: they have nothing that holds.
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen.filter(|known| known.holds(generation, now)) {
            return Ok(known.next);
        }
        let rotation = Rotation::watching(keyring)?;
        let labels = party.labels(&keyring.snapshot(), realm.as_ref());
        let next = labels.iter().filter_map(|one| rotation.next_step(one, realm.as_ref())).min();
        *seen = Some(Seen { generation, at: now, next });
        Ok(next)
    }
}

impl Seen {
    fn holds(&self, generation: u64, now: SystemTime) -> bool {
        let recent = now.duration_since(self.at).is_ok_and(|age| age < LOOK_AGAIN);
        self.generation == generation && recent && self.next.is_none_or(|next| next > now)
    }
}

impl fmt::Debug for PublishedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishedKeys")
            .field("realm", &self.0.realm)
            .field("party", &self.0.party)
            .finish_non_exhaustive()
    }
}
