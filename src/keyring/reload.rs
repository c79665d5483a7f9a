//! One reload after the other: a good one is swapped in whole, a bad one leaves what serves; both are told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::keyring::load::{Built, Due, Loader};
use crate::keyring::sources::{Sources, UnitName};
use crate::keyring::status::{Refusal, Status};
use crate::keyring::{Diff, Inner, archive};
use crate::problem::Problem;

/// What came of a reload.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReloadEvent<'a> {
    /// It was refused; the snapshot before it serves on.
    Refused {
        /// The generation that serves on.
        generation: u64,
        /// Why, with every problem.
        error: &'a Error,
    },
    /// It serves.
    Taken {
        /// The generation that serves now.
        generation: u64,
        /// What changed.
        diff: &'a Diff,
    },
}

type Callback = Arc<dyn Fn(&ReloadEvent<'_>) + Send + Sync>;

/// Whom to tell.
#[derive(Default)]
pub(crate) struct Listeners(Mutex<Vec<Callback>>);

impl Listeners {
    pub(crate) fn add(&self, callback: Callback) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(callback);
    }

    fn tell(&self, event: &ReloadEvent<'_>) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for callback in all {
            // A listener that panics must not end the watching.
            if catch_unwind(AssertUnwindSafe(|| callback(event))).is_err() {
                log::error!(target: LOG, "a listener of reloads panicked");
            }
        }
    }
}

/// A reload that was taken.
#[derive(Debug)]
pub(crate) struct Change {
    generation: u64,
    diff: Diff,
    /// Findings that the load before did not have.
    warnings: Vec<Problem>,
}

impl Inner {
    /// Reloads because somebody asks for it.
    pub(crate) fn reload_now(&self) -> Result<Diff> {
        let result = {
            let mut loader = self.loader.lock().unwrap_or_else(PoisonError::into_inner);
            loader.expire(Due::All);
            let sources = loader.read_settled();
            sources.and_then(|sources| self.take(&mut loader, &sources))
        };
        if let Some(watch) = self.watch.get() {
            watch.reconsider();
        }
        self.tell(result.as_ref());
        result.map(|change| change.diff)
    }

    /// Notes which stores were read a moment ago and are what serves: their leases begin anew.
    pub(crate) fn note_fresh(&self, sources: &Sources, loader: &Loader) {
        let Ok(config) = sources.config.config() else { return };
        let mut board = self.board.lock();
        for (entry, unit) in config.stores.iter().zip(&sources.stores) {
            let accepted = loader.accepted.get(&UnitName::store(&entry.options));
            let same = accepted.is_some_and(|accepted| accepted.tag == unit.mark.tag);
            let on_board = board.stores.iter_mut().find(|one| one.name == entry.name.value);
            if let Some(store) = on_board.filter(|one| same && !one.files.is_empty()) {
                store.fresh = Instant::now();
            }
        }
    }

    /// Builds the next snapshot of `sources` and swaps it in; an error leaves what serves.
    pub(crate) fn take(&self, loader: &mut Loader, sources: &Sources) -> Result<Change> {
        let before = self.snapshot.load_full();
        let Built { config, snapshot, warnings, stores, paths } =
            loader.build(sources, before.generation() + 1, self.clock.now())?;
        let generation = snapshot.generation();
        let diff = Diff::between(&before, &snapshot);
        if self.follows.load(Ordering::Relaxed) && !diff.labels.is_empty() {
            archive::keep_soon(&config, &snapshot);
        }
        let status = Status::new(&snapshot, &config, &stores, paths, self.clock.now());
        let known = self.warnings.swap(Arc::new(warnings.clone()));
        // The same finding may have moved to another line.
        let same = |one: &Problem, other: &Problem| {
            (one.code, &one.message) == (other.code, &other.message)
        };
        let new = warnings.into_iter().filter(|one| !known.iter().any(|other| same(one, other)));
        let warnings = new.collect();
        let book = loader.book(&config);
        let book_before = self.usage.swap(Arc::new(book.clone()));
        self.snapshot.store(Arc::new(snapshot));
        if !book.is(&book_before) {
            // What was made until the swap. The file was written a moment ago.
            drop(book.take_over_marks(&book_before));
        }
        let mut board = self.board.lock();
        *board = Status { watching: board.watching, ..status };
        Ok(Change { generation, diff, warnings })
    }

    /// Tells log, status and listeners what came of a reload. Nothing is locked meanwhile.
    pub(crate) fn tell(&self, result: std::result::Result<&Change, &Error>) {
        match result {
            Ok(Change { generation, diff, warnings }) => {
                let generation = *generation;
                let labels = match diff.labels.len() {
                    1 => "1 label".to_owned(),
                    many => format!("{many} labels"),
                };
                log::info!(target: LOG, "generation {generation} serves: {labels} changed");
                for problem in warnings {
                    log::warn!(target: LOG, "{problem}");
                }
                self.listeners.tell(&ReloadEvent::Taken { generation, diff });
            }
            Err(error) => {
                let generation = self.snapshot.load().generation();
                self.note_refusal(error);
                log::warn!(target: LOG, "reload refused, generation {generation} serves on: {error}");
                for problem in error.problems() {
                    log::warn!(target: LOG, "{problem}");
                }
                self.listeners.tell(&ReloadEvent::Refused { generation, error });
            }
        }
    }

    fn note_refusal(&self, error: &Error) {
        let mut board = self.board.lock();
        let since = board.refused.as_ref().map_or_else(|| self.clock.now(), |known| known.since);
        board.refused = Some(Refusal::new(error, since));
    }
}

/// The target of every line that is logged here.
const LOG: &str = "claviger::reload";
