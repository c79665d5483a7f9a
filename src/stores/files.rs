//! Files as stores may read them: regular, of bounded size, opened without blocking.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::error::{Error, ErrorKind, Result};

/// Reads a whole file of at most `max` bytes. FIFOs, devices and directories are refused (attacks.md K09).
pub(super) fn read_small(path: &Path, max: usize) -> Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let file = opened.map_err(|error| unreadable(path, &error.to_string()))?;
    read_open(File::from(file), path, max)
}

/// As [`read_small`]; a file that everybody may write is refused.
pub(super) fn read_guarded(path: &Path, max: usize) -> Result<Vec<u8>> {
    let mode = std::fs::metadata(path).map_err(|error| unreadable(path, &error.to_string()))?;
    if mode.is_file() && mode.permissions().mode() & 0o002 != 0 {
        let text = format!("everybody may write {}", path.display());
        return Err(Error::new(ErrorKind::StoreUnreadable, text)
            .with_file(path)
            .with_help(format!("chmod o-w {}", path.display())));
    }
    read_small(path, max)
}

/// As [`read_small`], of a file that is open.
pub(super) fn read_open(file: File, path: &Path, max: usize) -> Result<Vec<u8>> {
    let facts = file.metadata().map_err(|error| unreadable(path, &error.to_string()))?;
    if !facts.is_file() {
        return Err(unreadable(path, "it is no regular file"));
    }
    let bound = u64::try_from(max).unwrap_or(u64::MAX);
    let mut bytes = Vec::with_capacity(usize::try_from(facts.len().min(bound)).unwrap_or(0));
    let read = file.take(bound.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(path, &error.to_string()))?;
    if bytes.len() > max {
        let text = format!("{} is larger than the bound of {max} bytes", path.display());
        return Err(Error::new(ErrorKind::LimitExceeded, text).with_file(path));
    }
    Ok(bytes)
}

/// The error of a file that cannot be read.
pub(super) fn unreadable(path: &Path, why: &str) -> Error {
    let text = format!("cannot read {}: {why}", path.display());
    Error::new(ErrorKind::StoreUnreadable, text)
        .with_file(path)
        .with_help("check the path and who may read it")
}
