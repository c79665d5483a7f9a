//! What a request asks for and as whom, once it was let in; and the last of these on a connection.
//!
//! Clients ask for the same over and over, with other bodies. What a connection was let in for is let in again without
//! reading path, credential, grants and figures anew, as long as the snapshot is the same. What time decides, whether a
//! certificate still holds and how often a caller may ask, is asked each time; tokens are never taken as read.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hyper::Method;
use hyper::header::{AUTHORIZATION, ORIGIN};
use hyper::http::request::Parts;
use prometheus_client::metrics::counter::Counter;

use super::call::Members;
use crate::keyring::{Place, Snapshot};
use crate::label::{CallerName, LabelName, Realm};
use crate::recent::Recent;
use crate::secret::SecretBytes;

/// Of a request that was let in.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The place of its route in the table.
    pub(crate) route: usize,
    /// Who calls; `None` on routes that are for everybody.
    pub(crate) caller: Option<CallerName>,
    /// `realm` of the query; absent: the root realm.
    pub(crate) realm: Option<Realm>,
    /// `{label}` of the path, in its canonical spelling.
    pub(crate) label: Option<LabelName>,
    /// Other parts of the path.
    pub(crate) parts: Members,
    /// The query, decoded; each name once.
    pub(crate) query: Members,
    /// A label that is mapped, as its uses are counted: others are inventions of the caller.
    pub(super) counted_label: Option<LabelName>,
    /// As which realm, if any store is its own.
    pub(super) counted_realm: Option<Realm>,
    /// Where the keys of the label stood last.
    pub(crate) place: Place,
    /// The figure of those that are answered with 200.
    pub(super) answered: OnceLock<Counter>,
}

/// How many of a connection are known at once.
const MOST: usize = 4;
/// How long path and credential of one may be: connections are many.
const MAX_BYTES: usize = 1 << 10;

/// The last of a connection. Its requests may run at once (HTTP/2).
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Recent<Entry, MOST>>);

#[derive(Debug)]
struct Entry {
    snapshot: u64,
    method: Method,
    /// Path and query, as they came.
    target: Box<str>,
    /// `Authorization`, if there was one.
    credential: Option<SecretBytes>,
    asked: Arc<Asked>,
}

impl Memory {
    /// What the same head was let in as by the same snapshot.
    pub(super) fn find(&self, snapshot: &Snapshot, head: &Parts) -> Option<Arc<Asked>> {
        let (target, credential) = known_by(head)?;
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = remembered.iter().find(|entry| {
            entry.snapshot == snapshot.id()
                && entry.method == head.method
                && *entry.target == *target
                && match (&entry.credential, credential) {
                    (Some(known), Some(shown)) => known.ct_eq(shown),
                    (None, None) => true,
                    _ => false,
                }
        })?;
        Some(Arc::clone(&found.asked))
    }

    /// Keeps what a head was let in as, in the place of the oldest.
    pub(super) fn keep(&self, snapshot: &Snapshot, head: &Parts, asked: &Arc<Asked>) {
        let Some((target, credential)) = known_by(head) else { return };
        let entry = Entry {
            snapshot: snapshot.id(),
            method: head.method.clone(),
            target: target.into(),
            credential: credential.map(SecretBytes::from_slice),
            asked: Arc::clone(asked),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keep(entry);
    }
}

/// Path with query, and the one header that says who calls; `None` of a head that is not to be kept, or that a web page
/// may have sent: such a one is looked at each time.
fn known_by(head: &Parts) -> Option<(&str, Option<&[u8]>)> {
    let target = head.uri.path_and_query()?.as_str();
    let mut credentials = head.headers.get_all(AUTHORIZATION).iter();
    let credential = credentials.next().map(|value| value.as_bytes());
    let fits = target.len() + credential.map_or(0, <[u8]>::len) <= MAX_BYTES;
    let of_page = credential.is_none() && head.headers.contains_key(ORIGIN);
    (fits && !of_page && credentials.next().is_none()).then_some((target, credential))
}
