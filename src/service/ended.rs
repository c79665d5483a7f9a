//! Sessions that were ended before their time: kept in `state_dir`, so that a restart and every other process know.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::error::{Error, ErrorKind, Result};
use crate::profiles::{DeniedFile, DeniedIds, Denylist};

/// The file in `state_dir`.
const FILE: &str = "ended-sessions";

/// The ids of ended sessions. Without `state_dir` they are known to this process alone, until it ends.
#[derive(Clone, Debug)]
pub(crate) struct Ended(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Option<PathBuf>,
    known: ArcSwap<Known>,
    /// Whoever changes the list or reads it again has it.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// Which file was read: another one has another inode.
    mark: Option<(u64, u64, i64, i64)>,
    ids: DeniedIds,
}

impl Ended {
    /// Those of a state directory.
    pub(crate) fn of(state_dir: Option<&Path>) -> Self {
        let file = state_dir.map(|folder| folder.join(FILE));
        Self(Arc::new(Inner { file, known: ArcSwap::default(), turn: Mutex::default() }))
    }

    /// Ends a session, until its token ends by itself.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`], [`ErrorKind::Io`]: it is not ended then.
    pub(crate) fn end(&self, id: &str, until: u64, now: SystemTime) -> Result<()> {
        let _turn = self.turn();
        let ids = match &self.0.file {
            Some(file) => {
                crate::atomic::create_folder(crate::atomic::folder_of(file))?;
                DeniedFile::new(file).add(id, until, now)?
            }
            None => {
                let mut ids = self.0.known.load().ids.clone();
                ids.deny(id, until);
                ids.forget_ended(now);
                ids
            }
        };
        // Which file it was is looked at by whoever asks next.
        self.0.known.store(Arc::new(Known { mark: None, ids }));
        Ok(())
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.0.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Denylist for Ended {
    fn denies(&self, id: &str) -> Result<bool> {
        let Some(file) = &self.0.file else { return self.0.known.load().ids.denies(id) };
        let mark = mark(file)?;
        let is_read = |known: &Known| mark.is_none() || mark == known.mark;
        let known = self.0.known.load();
        if is_read(&known) {
            return known.ids.denies(id);
        }
        let _turn = self.turn();
        let known = self.0.known.load();
        if is_read(&known) {
            return known.ids.denies(id);
        }
        // A file that has come since then has another mark: it is read again.
        let fresh = Known { mark, ids: DeniedFile::new(file).read()? };
        let denied = fresh.ids.denies(id);
        self.0.known.store(Arc::new(fresh));
        denied
    }
}

/// Which file is there; `None`: none is.
fn mark(file: &Path) -> Result<Option<(u64, u64, i64, i64)>> {
    match fs::metadata(file) {
        Ok(found) => Ok(Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let text = "the list of ended sessions cannot be read";
            Err(Error::new(ErrorKind::StoreUnreadable, text).with_file(file).with_source(error))
        }
    }
}
