//! The files of a trace under a state directory: appended under a lock, rotated by size.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::atomic;
use crate::error::{Error, ErrorKind, Result};

/// Where one state directory keeps its trace.
#[derive(Debug)]
pub(super) struct TraceFile {
    folder: PathBuf,
    max_bytes: u64,
    max_files: u32,
}

impl TraceFile {
    pub(super) fn new(state_dir: &Path, max_bytes: u64, max_files: u32) -> Self {
        Self { folder: folder_of(state_dir), max_bytes, max_files: max_files.max(1) }
    }

    /// Appends one frame, whole; the file before it is put aside when it is full.
    pub(super) fn append(&self, frame: &[u8]) -> Result<()> {
        self.try_append(frame).map_err(|error| {
            Error::new(ErrorKind::Io, format!("the trace cannot be written: {error}"))
                .with_file(&self.folder)
        })
    }

    fn try_append(&self, frame: &[u8]) -> std::io::Result<()> {
        atomic::make_folder(&self.folder)?;
        // Of processes that share the directory one writes at a time; it ends with its process.
        let lock = private(&self.folder.join(LOCK))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        let mut file = private(&path_of(&self.folder, 0))?;
        let mut length = file.metadata()?.len();
        let more = u64::try_from(frame.len()).unwrap_or(u64::MAX);
        if length > 0 && length.saturating_add(more) > self.max_bytes {
            self.rotate()?;
            file = private(&path_of(&self.folder, 0))?;
            length = 0;
        }
        let written = file.write_all(frame);
        if written.is_err() {
            // A full disk: what is cut short goes again, so that the next frame follows a whole one.
            file.set_len(length)?;
        }
        written
    }

    /// 0 becomes 1, 1 becomes 2; the oldest goes.
    fn rotate(&self) -> std::io::Result<()> {
        let oldest = self.max_files - 1;
        for number in (0..=oldest).rev() {
            let path = path_of(&self.folder, number);
            let moved = if number == oldest {
                std::fs::remove_file(&path)
            } else {
                std::fs::rename(&path, path_of(&self.folder, number + 1))
            };
            match moved {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// While it is held nobody writes into the folder; `None`: nobody can, or it cannot be held, and what is being written
/// is read as far as it is there.
pub(super) fn hold(folder: &Path) -> Option<File> {
    let path = folder.join(LOCK);
    let lock = File::open(path.is_file().then_some(path)?).ok()?;
    flock(&lock, FlockOperation::LockShared).ok()?;
    Some(lock)
}

const LOCK: &str = "lock";

pub(super) fn folder_of(state_dir: &Path) -> PathBuf {
    state_dir.join("trace")
}

/// `trace.0` is written; higher numbers are older.
pub(super) fn path_of(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("trace.{number}"))
}

fn private(path: &Path) -> std::io::Result<File> {
    atomic::open_shared(path, OpenOptions::new().append(true))
}
