//! The keyring: configuration and stores resolved into snapshots that requests read without a lock.

pub(crate) mod acts;
mod checks;
mod demo_keys;
mod diff;
mod explain;
pub mod keyset;
mod kid;
mod open_stores;
mod profile;
mod resolve;
pub(crate) mod snapshot;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::label::{LabelName, Realm};
use crate::problem::{Problem, Severity};

pub use diff::{Diff, KeyName, LabelDiff, Move};
pub use explain::{Explanation, Step};
pub use snapshot::Snapshot;

/// All labels of a configuration. Cheap to clone; every clone sees a reload.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

struct Inner {
    clock: Clock,
    config: ArcSwap<Config>,
    snapshot: ArcSwap<Snapshot>,
    warnings: ArcSwap<Vec<Problem>>,
}

impl Keyring {
    /// Reads a configuration file, opens its stores and checks every label.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Config`] with every problem found.
    pub fn open(path: &Path) -> Result<Self> {
        Self::from_config(Config::load(path)?, Clock::system())
    }

    /// As [`Keyring::open`], of a configuration that was read, with a clock of the caller's.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Config`] with every problem found.
    pub fn from_config(config: Config, clock: Clock) -> Result<Self> {
        let (snapshot, warnings) = build(&config, 1, &clock)?;
        Ok(Self(Arc::new(Inner {
            clock,
            config: ArcSwap::from_pointee(config),
            snapshot: ArcSwap::from_pointee(snapshot),
            warnings: ArcSwap::from_pointee(warnings),
        })))
    }

    /// What a request works with from start to end.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshot.load_full()
    }

    /// As [`Keyring::snapshot`], for the length of one call: without touching a counter that threads share.
    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.0.snapshot.load()
    }

    /// The findings of the last load that did not stop it.
    #[must_use]
    pub fn warnings(&self) -> Arc<Vec<Problem>> {
        self.0.warnings.load_full()
    }

    /// The configuration behind the snapshot.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.0.config.load_full()
    }

    /// The clock that tokens are checked against.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Asks every store for a label and tells what each answered.
    #[must_use]
    pub fn explain(&self, label: &LabelName, realm: Option<&Realm>) -> Explanation {
        explain::explain(&self.config(), label, realm)
    }

    /// Reads configuration and stores again and swaps the snapshot whole; what is wrong leaves the old one.
    ///
    /// # Errors
    /// As [`Keyring::open`]; the old snapshot stays.
    pub fn reload(&self) -> Result<()> {
        let config = Config::load(&self.config().file)?;
        let generation = self.snapshot().generation() + 1;
        let (snapshot, warnings) = build(&config, generation, &self.0.clock)?;
        self.0.config.store(Arc::new(config));
        self.0.warnings.store(Arc::new(warnings));
        self.0.snapshot.store(Arc::new(snapshot));
        Ok(())
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("generation", &self.snapshot().generation())
            .finish_non_exhaustive()
    }
}

fn build(config: &Config, generation: u64, clock: &Clock) -> Result<(Snapshot, Vec<Problem>)> {
    let resolve::Resolved { snapshot, problems } =
        resolve::resolve(config, generation, clock.now());
    match snapshot {
        Some(snapshot) => Ok((snapshot, problems)),
        None => Err(refused(&config.file, problems)),
    }
}

fn refused(file: &Path, problems: Vec<Problem>) -> Error {
    let errors = problems.iter().filter(|one| one.severity == Severity::Error).count();
    let plural = if errors == 1 { "" } else { "s" };
    Error::from_problems(format!("{} has {errors} error{plural}", file.display()), problems)
        .with_file(file)
        .with_help("`claviger check` shows them all")
}

/// Everything that is wrong with a configuration, its stores and its labels: form, then content.
///
/// # Errors
/// Only if the file itself cannot be read.
pub fn check(path: &Path, clock: &Clock) -> Result<Vec<Problem>> {
    let text = Config::read_text(path)?;
    let (config, mut problems) = Config::parse(&text, path);
    if let Some(config) = config {
        let known = problems.clone();
        let found = resolve::resolve(&config, 1, clock.now()).problems;
        problems.extend(found.into_iter().filter(|problem| !known.contains(problem)));
    }
    problems.sort_by_key(|problem| {
        let place = problem.location.as_ref();
        (problem.severity, place.map(|place| (place.line, place.column)))
    });
    Ok(problems)
}
