//! What a keyring says of itself: which snapshot serves, since when, and what was refused since.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use time::format_description::well_known::Rfc3339;

use crate::clock::date_of;
use crate::config::{Config, Reload};
use crate::crypto::sha256;
use crate::error::Error;
use crate::keyring::Snapshot;
use crate::keyring::open_stores::OpenStores;
use crate::label::{Realm, StoreName};
use crate::problem::Problem;

/// The state of a keyring at one moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Counts the snapshots, from 1.
    pub generation: u64,
    /// When the snapshot that serves was taken.
    #[serde(serialize_with = "as_rfc3339")]
    pub loaded_at: SystemTime,
    /// Of labels, aliases, kids and algorithms: equal in every process that serves the same. Hex; what a
    /// password is does not count.
    pub content: String,
    /// `watch`, `poll` or `off`, as the configuration says.
    pub reload: &'static str,
    /// Whether the system tells of changes; where it does not, files are only polled.
    pub watching: bool,
    /// The files and directories that are read.
    pub files: Vec<PathBuf>,
    /// Every store, in file order.
    pub stores: Vec<StoreStatus>,
    /// What is being written, and is not taken before it is whole.
    pub waiting: Vec<String>,
    /// The refusal since the snapshot was taken; absent: what lies on disk is what serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
}

impl Status {
    /// Whether everything on disk is served and every lease is kept.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.refused.is_none() && self.stores.iter().all(|store| !store.stale)
    }
}

/// One store of the snapshot that serves.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct StoreStatus {
    /// Its name.
    pub name: StoreName,
    /// Its kind.
    pub kind: &'static str,
    /// Its realm; absent: global.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<Realm>,
    /// Where it is read from; empty for the environment.
    pub files: Vec<PathBuf>,
    /// How many aliases it holds, mapped or not.
    pub aliases: usize,
    /// How long its values hold, in seconds; absent: until they change.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_seconds")]
    pub lease: Option<Duration>,
    /// Whether its lease ran out because it could not be read; the last good values serve.
    pub stale: bool,
    #[serde(skip)]
    pub(crate) fresh: Instant,
}

/// A reload that was refused.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Refusal {
    /// When this began.
    #[serde(serialize_with = "as_rfc3339")]
    pub since: SystemTime,
    /// The stable code of the error.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Every finding, with its place.
    pub problems: Vec<Problem>,
}

impl Refusal {
    pub(crate) fn new(error: &Error, since: SystemTime) -> Self {
        Self {
            since,
            code: error.kind().code(),
            message: error.message().to_owned(),
            problems: error.problems().to_vec(),
        }
    }
}

/// Where the status is kept up to date; it is locked for moments only, never while files are read.
#[derive(Debug)]
pub(crate) struct Board(Mutex<Status>);

impl Board {
    pub(crate) fn new(status: Status) -> Self {
        Self(Mutex::new(status))
    }

    pub(crate) fn read(&self) -> Status {
        let mut status = self.lock().clone();
        for store in &mut status.stores {
            store.stale = store.lease.is_some_and(|lease| store.fresh.elapsed() > lease);
        }
        status
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Status {
    /// When the first lease has to be renewed: after four fifths of it.
    pub(crate) fn next_lease(&self) -> Option<Instant> {
        let due = |store: &StoreStatus| store.lease.map(|lease| store.fresh + lease * 4 / 5);
        self.stores.iter().filter_map(due).min()
    }

    pub(crate) fn new(
        snapshot: &Snapshot,
        config: &Config,
        stores: &OpenStores,
        files: Vec<PathBuf>,
        loaded_at: SystemTime,
    ) -> Self {
        let reload = match config.keyring.reload {
            Reload::Off => "off",
            Reload::Poll(_) => "poll",
            Reload::Watch => "watch",
        };
        let stores = stores.stores.iter().filter_map(|(index, opened)| {
            let entry = config.stores.get(*index)?;
            Some(StoreStatus {
                name: entry.name.value.clone(),
                kind: entry.options.kind(),
                realm: entry.realm.clone(),
                files: opened.store.files(),
                aliases: opened.store.aliases().len(),
                lease: opened.lease(),
                stale: false,
                fresh: opened.fresh(),
            })
        });
        Self {
            generation: snapshot.generation(),
            loaded_at,
            content: content_of(snapshot),
            reload,
            watching: false,
            files,
            stores: stores.collect(),
            waiting: Vec::new(),
            refused: None,
        }
    }
}

/// SHA-256 over the public facts of a snapshot.
fn content_of(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let mut add = |word: &str| {
        text.push_str(word);
        text.push('\0');
    };
    for ((label, realm), set) in snapshot.labels() {
        add(label.as_str());
        add(realm.map_or("", Realm::as_str));
        // The kid of a password would tell whether a guess is right.
        for key in set.keys() {
            add(key.alias.as_str());
            add(set.shown_kid(key).unwrap_or_default());
        }
        set.algorithms().iter().for_each(|row| add(row.name));
        add("\n");
    }
    let digest = sha256(text.as_bytes());
    hex::encode(digest.split_at(16).0)
}

fn as_rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let text = date_of(*time).format(&Rfc3339);
    serializer.serialize_str(&text.map_err(S::Error::custom)?)
}

fn as_seconds<S: Serializer>(lease: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(lease.map_or(0, |lease| lease.as_secs()))
}
