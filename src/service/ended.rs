//! Sessions that were ended before their time: kept in `state_dir`, so that a restart and every other process know.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

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
    known: Mutex<Known>,
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
        Self(Arc::new(Inner { file, known: Mutex::default() }))
    }

    /// Ends a session, until its token ends by itself.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`], [`ErrorKind::Io`]: it is not ended then.
    pub(crate) fn end(&self, id: &str, until: u64, now: SystemTime) -> Result<()> {
        let mut known = self.lock();
        match &self.0.file {
            Some(file) => {
                if let Some(folder) = file.parent() {
                    crate::atomic::create_folder(folder)?;
                }
                known.ids = DeniedFile::new(file).add(id, until, now)?;
                known.mark = None;
            }
            None => {
                known.ids.deny(id, until);
                known.ids.forget_ended(now);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Denylist for Ended {
    fn denies(&self, id: &str) -> Result<bool> {
        let mut known = self.lock();
        if let Some(file) = &self.0.file {
            let mark = mark(file)?;
            if mark.is_some() && mark != known.mark {
                known.ids = DeniedFile::new(file).read()?;
            }
            known.mark = mark;
        }
        known.ids.denies(id)
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
