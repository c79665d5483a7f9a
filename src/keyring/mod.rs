//! The keyring: configuration and stores resolved into snapshots that requests read without a lock.

pub(crate) mod acting;
pub(crate) mod acts;
mod archive;
mod arming;
mod budgets;
mod checks;
mod demo_keys;
mod diff;
mod explain;
mod held;
pub mod keyset;
mod kid;
mod load;
mod open_stores;
pub(crate) mod peer;
mod profile;
mod reload;
mod resolve;
mod revoked;
pub(crate) mod seen;
mod set_checks;
pub(crate) mod snapshot;
mod sources;
mod status;
mod watch;
mod watch_points;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::{ArcSwap, Guard};

use crate::clock::Clock;
use crate::config::{Config, Reload};
use crate::error::Result;
use crate::keyring::load::{Built, Loader};
use crate::keyring::reload::Listeners;
use crate::keyring::sources::Sources;
use crate::keyring::status::Board;
use crate::keyring::watch::Watch;
use crate::label::{LabelName, Realm};
use crate::problem::{Problem, Severity};
use crate::stores::draft::Draft;
use crate::trace::Recorder;
use crate::usage::UsageBook;

pub use diff::{Diff, KeyName, LabelDiff, Move, Renamed};
pub use explain::{Explanation, Step, explain};
pub use reload::ReloadEvent;
pub(crate) use snapshot::Place;
pub use snapshot::Snapshot;
pub use status::{Refusal, Status, StoreStatus};

/// All labels of a configuration. Cheap to clone; every clone sees a reload, unless it is [`Keyring::pinned`].
#[derive(Clone)]
pub struct Keyring {
    inner: Arc<Inner>,
    /// The one snapshot that it sees.
    pinned: Option<Arc<Snapshot>>,
}

struct Inner {
    clock: Clock,
    usage: ArcSwap<UsageBook>,
    recorder: Option<Recorder>,
    snapshot: ArcSwap<Snapshot>,
    warnings: ArcSwap<Vec<Problem>>,
    /// One reload at a time.
    loader: Mutex<Loader>,
    board: Board,
    listeners: Listeners,
    /// Whether the files are to be followed, if the configuration wants it.
    follows: AtomicBool,
    watch: OnceLock<Watch>,
}

impl Keyring {
    /// Reads a configuration file, opens its stores and checks every label; then follows its files as
    /// `reload` in it says, until the last clone is dropped.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Config`] with every problem found; [`crate::error::ErrorKind::Io`] if the
    /// system gives no thread to follow the files; [`crate::error::ErrorKind::StoreUnreadable`] if a file
    /// is being written for two seconds.
    pub fn open(path: &Path) -> Result<Self> {
        let clock = Clock::system();
        let loader = Loader::new(path, clock.clone())?;
        let sources = loader.read_first()?;
        let keyring = Self::start(loader, &sources, clock)?;
        archive::keep_soon(&keyring.config(), &keyring.snapshot());
        keyring.follow()?;
        Ok(keyring)
    }

    /// As [`Keyring::open`], for programs that are done soon: no thread is started, and only
    /// [`Keyring::reload`] reads again.
    ///
    /// # Errors
    /// As [`Keyring::open`]; it starts no thread.
    pub fn open_once(path: &Path) -> Result<Self> {
        Self::open_once_at(path, Clock::system())
    }

    /// As [`Keyring::open_once`], with a clock of the caller's.
    ///
    /// # Errors
    /// As [`Keyring::open_once`].
    pub fn open_once_at(path: &Path, clock: Clock) -> Result<Self> {
        let loader = Loader::new(path, clock.clone())?;
        let sources = loader.read_first()?;
        Self::start(loader, &sources, clock)
    }

    /// As [`Keyring::open_once`], of a configuration that was read, with a clock of the caller's.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Config`] with every problem found.
    pub fn from_config(config: Config, clock: Clock) -> Result<Self> {
        let loader = Loader::new(&config.file, clock.clone())?;
        let sources = loader.read_given(Arc::new(config));
        Self::start(loader, &sources, clock)
    }

    /// As [`Keyring::from_config`], with stores as these drafts change them: what a step would lead to.
    pub(crate) fn drafted(config: Config, clock: Clock, drafts: &[&Draft]) -> Result<Self> {
        let loader = Loader::new(&config.file, clock.clone())?;
        let sources = loader.read_drafted(Arc::new(config), drafts);
        Self::start(loader, &sources, clock)
    }

    fn start(mut loader: Loader, sources: &Sources, clock: Clock) -> Result<Self> {
        let Built { config, snapshot, warnings, stores, paths } =
            loader.build(sources, 1, clock.now())?;
        let status = Status::new(&snapshot, &config, &stores, paths, clock.now());
        let usage = ArcSwap::from_pointee(loader.book(&config));
        let recorder = loader.recorder(&config).cloned();
        let inner = Arc::new(Inner {
            clock,
            usage,
            recorder,
            snapshot: ArcSwap::from_pointee(snapshot),
            warnings: ArcSwap::from_pointee(warnings),
            loader: Mutex::new(loader),
            board: Board::new(status),
            listeners: Listeners::default(),
            follows: AtomicBool::new(false),
            watch: OnceLock::new(),
        });
        Ok(Self { inner, pinned: None })
    }

    /// The keyring of this moment, for a request of several steps: the snapshot, the configuration and every label and
    /// profile that it gives stay as they are now, whatever is reloaded meanwhile. What a reload takes away is kept
    /// for as long as anything of it is held. [`Keyring::status`] and [`Keyring::reload`] are those of the living one.
    #[must_use]
    pub fn pinned(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), pinned: Some(self.snapshot()) }
    }

    /// Follows the files from now on, as `reload` in the configuration says: `watch` is told of changes by
    /// the system and compares by content every 30 seconds, a time polls, `off` reads again only when a
    /// lease asks for it. Called twice it does nothing more.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Io`] if the system gives no thread.
    pub fn follow(&self) -> Result<()> {
        self.inner.follows.store(true, Ordering::Relaxed);
        let idle = self.inner.snapshot.load().config().keyring.reload == Reload::Off
            && self.status().stores.iter().all(|store| store.lease.is_none());
        if !idle && self.inner.watch.get().is_none() {
            // Of two that come here at once one is dropped, and its thread ends.
            drop(self.inner.watch.set(Watch::start(Arc::downgrade(&self.inner))?));
        }
        Ok(())
    }

    /// Calls `listener` after every reload, good or refused, by hand or by itself. It is called on the
    /// thread that reloaded, after the swap; a listener that holds the keyring keeps it for ever.
    pub fn on_reload(&self, listener: impl Fn(&ReloadEvent<'_>) + Send + Sync + 'static) {
        self.inner.listeners.add(Arc::new(listener));
    }

    /// What serves, since when, and what was refused since.
    #[must_use]
    pub fn status(&self) -> Status {
        self.inner.board.read()
    }

    /// What a request works with from start to end.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.pinned.as_ref().map_or_else(|| self.inner.snapshot.load_full(), Arc::clone)
    }

    /// As [`Keyring::snapshot`], for the length of one call: without touching a counter that threads share.
    pub(crate) fn load(&self) -> Guard<Arc<Snapshot>> {
        match &self.pinned {
            Some(pinned) => Guard::from_inner(Arc::clone(pinned)),
            None => self.inner.snapshot.load(),
        }
    }

    /// The findings of the last load that did not stop it.
    #[must_use]
    pub fn warnings(&self) -> Arc<Vec<Problem>> {
        self.inner.warnings.load_full()
    }

    /// The configuration behind the snapshot.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(self.load().config())
    }

    /// The clock that tokens are checked against.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// What was done with each key, here and by every process that shares `state_dir`. A reload that names another
    /// directory begins there, and takes along until when what this process made lives.
    #[must_use]
    pub fn usage(&self) -> UsageBook {
        UsageBook::clone(&self.inner.usage.load())
    }

    /// Who records what is checked, if `[trace]` wanted it at the start; another directory counts from the
    /// next start on.
    #[must_use]
    pub fn recorder(&self) -> Option<&Recorder> {
        self.inner.recorder.as_ref()
    }

    /// Asks every store for a label and tells what each answered. It reads and opens them for that.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Io`] if the operating system gives no random bytes.
    pub fn explain(&self, label: &LabelName, realm: Option<&Realm>) -> Result<Explanation> {
        explain(&self.config(), label, realm)
    }

    /// Reads configuration and stores again and swaps the snapshot whole; the answer is what that changed.
    /// Unchanged files are neither parsed nor derived from again.
    ///
    /// # Errors
    /// As [`Keyring::open`], and [`crate::error::ErrorKind::StoreUnreadable`] while a file is being
    /// written; the old snapshot stays.
    pub fn reload(&self) -> Result<Diff> {
        let diff = self.inner.reload_now()?;
        // The new configuration may ask for what the old one did not.
        if self.inner.follows.load(Ordering::Relaxed) {
            self.follow()?;
        }
        Ok(diff)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A thread that writes is waited for: the process may end next.
        if let Some(recorder) = &self.recorder {
            drop(recorder.flush());
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("generation", &self.snapshot().generation())
            .finish_non_exhaustive()
    }
}

/// Everything that is wrong with a configuration, its stores and its labels: form, then content.
///
/// # Errors
/// Only if the file itself cannot be read, or is being written all the time.
pub fn check(path: &Path, clock: &Clock) -> Result<Vec<Problem>> {
    let loader = Loader::new(path, clock.clone())?;
    let sources = loader.read_first()?;
    let mut problems = sources.config.problems.clone();
    match sources.config.config() {
        Ok(config) => {
            // The content repeats some findings of the form in its own words.
            let place = |problem: &Problem| {
                let place = problem.location.as_ref();
                (problem.code, place.map(|place| (place.line, place.column)))
            };
            let known: HashSet<_> = problems.iter().map(place).collect();
            let stores = loader.open_stores(config, &sources);
            let found = resolve::resolve(config, &stores, &sources.usage, 1, clock.now());
            let new = found.problems.into_iter().filter(|problem| !known.contains(&place(problem)));
            problems.extend(new);
            problems.extend(budgets::check(config, found.snapshot.as_ref(), &sources.usage));
        }
        // The file cannot be read; else its problems of form say it all.
        Err(error) if problems.is_empty() => return Err(error),
        Err(_) => {}
    }
    // At run time the label goes on without the key; whoever checks wants to know before.
    for problem in problems.iter_mut().filter(|one| one.code == revoked::REVOKED_KEY) {
        problem.severity = Severity::Error;
    }
    problems.sort_by_key(Problem::order);
    Ok(problems)
}
