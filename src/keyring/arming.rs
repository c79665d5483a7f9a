//! Tells the system which directories to report on, and reads from its reports what may be half-written.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::keyring::watch::Signal;
use crate::keyring::watch_points::WatchPoints;

/// The watches that are set. Without the system's help (too many instances or watches) there are none.
#[derive(Debug, Default)]
pub(crate) struct Arming {
    watcher: Option<RecommendedWatcher>,
    /// Each watched directory, and which one it was then.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    points: WatchPoints,
}

impl Arming {
    /// Watches what these paths depend on, and nothing else; whether every watch is set. Called again
    /// after every change: a directory that was replaced is another one.
    pub(crate) fn arm(&mut self, paths: &[PathBuf], signals: &Sender<Signal>) -> bool {
        if self.watcher.is_none() {
            self.watched.clear();
            let sender = signals.clone();
            let report = move |event: notify::Result<Event>| {
                if event.as_ref().map_or(true, matters) {
                    // Nobody listens any more: the keyring is gone.
                    drop(sender.send(Signal::Changed(event.ok())));
                }
            };
            self.watcher = notify::recommended_watcher(report).ok();
        }
        let Some(watcher) = &mut self.watcher else { return false };
        self.points = WatchPoints::of(paths);
        let wanted = &self.points.directories;
        self.watched.retain(|directory, known| {
            let stays = wanted.contains(directory) && identity(directory) == Some(*known);
            if !stays {
                // It may be gone already, and its watch with it.
                drop(watcher.unwatch(directory));
            }
            stays
        });
        let mut whole = true;
        for directory in wanted {
            if self.watched.contains_key(directory) {
                continue;
            }
            let Some(identity) = identity(directory) else { continue };
            match watcher.watch(directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(directory.clone(), identity);
                }
                Err(_) => whole = false,
            }
        }
        whole
    }

    /// Whether a report is about something that is watched for.
    pub(crate) fn concerns(&self, event: &Event) -> bool {
        event.need_rescan() || event.paths.iter().any(|path| self.points.matter(path))
    }

    /// Lets go of every watch.
    pub(crate) fn disarm(&mut self) {
        *self = Self::default();
    }
}

/// What was written to and not replaced since, as far as the reports tell.
#[derive(Debug, Default)]
pub(crate) struct Written {
    files: HashSet<PathBuf>,
    /// The reports do not tell enough: a queue that ran over, a new directory.
    unsure: bool,
    told: bool,
}

impl Written {
    pub(crate) fn note(&mut self, event: Option<&Event>) {
        self.told = true;
        let Some(event) = event.filter(|event| !event.need_rescan()) else {
            self.unsure = true;
            return;
        };
        for path in &event.paths {
            match event.kind {
                // What is renamed into place was written elsewhere, and what is gone is not written.
                EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => {
                    self.files.remove(path);
                }
                EventKind::Create(CreateKind::Folder) => self.unsure |= !is_generation(path),
                _ => {
                    self.files.insert(path.clone());
                }
            }
        }
    }

    /// Whether everything that changed was renamed into place whole.
    pub(crate) fn only_renames(&self) -> bool {
        self.told && !self.unsure && self.files.is_empty()
    }
}

/// Opening and reading are no changes, and renames are told from both ends already.
fn matters(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => false,
        _ => true,
    }
}

/// A directory of a Kubernetes volume is filled before the link to it is swapped.
fn is_generation(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".."))
}

fn identity(directory: &Path) -> Option<(u64, u64)> {
    let facts = directory.metadata().ok()?;
    Some((facts.dev(), facts.ino()))
}
