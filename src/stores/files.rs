//! Files as stores may read them: regular, of bounded size, opened without blocking, read while nobody
//! writes them.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};

use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

/// What the system says of a file; it differs after a replacement and after most writes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    mode: u32,
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        file.metadata().map(|facts| Self::of_metadata(&facts))
    }

    pub(crate) fn of_metadata(facts: &std::fs::Metadata) -> Self {
        Self {
            device: facts.dev(),
            inode: facts.ino(),
            bytes: facts.len(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
            mode: facts.permissions().mode(),
        }
    }

    /// Whether this is the file of `other`, written in place since.
    pub(crate) fn rewrites(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode) && self != other
    }

    /// Whether its content was written after `time`. Times before 1970 count as old.
    pub(crate) fn is_newer(&self, time: SystemTime) -> bool {
        let (seconds, nanos) = self.modified;
        let modified = u64::try_from(seconds).ok().zip(u64::try_from(nanos).ok());
        let modified = modified.and_then(|(seconds, nanos)| {
            let age = Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos))?;
            UNIX_EPOCH.checked_add(age)
        });
        modified.is_some_and(|modified| modified > time)
    }

    pub(super) const fn mode(&self) -> u32 {
        self.mode
    }
}

/// A file that was read whole.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) bytes: SecretBytes,
    pub(super) stamp: Stamp,
}

/// Reads a whole file of at most `max` bytes. FIFOs, devices and directories are refused (attacks.md K09).
pub(super) fn take(path: &Path, max: usize) -> Result<Taken> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    let file = opened.map_err(|error| unreadable(path, &error.to_string()))?;
    take_open(File::from(file), path, max)
}

/// As [`take`]; a file that everybody may write is refused.
pub(super) fn take_guarded(path: &Path, max: usize) -> Result<Taken> {
    let taken = take(path, max)?;
    if taken.stamp.mode() & 0o002 != 0 {
        let text = format!("everybody may write {}", path.display());
        return Err(Error::new(ErrorKind::StoreUnreadable, text)
            .with_file(path)
            .with_help(format!("chmod o-w {}", path.display())));
    }
    Ok(taken)
}

/// As [`take`], of a file that is open. A file that changes while it is read is read again.
pub(super) fn take_open(mut file: File, path: &Path, max: usize) -> Result<Taken> {
    let failed = |error: std::io::Error| unreadable(path, &error.to_string());
    for _ in 0..TRIES {
        let before = Stamp::of(&file).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(unreadable(path, "it is no regular file"));
        }
        let bytes = read_bounded(&mut file, path, max, before.bytes)?;
        if Stamp::of(&file).map_err(failed)? == before {
            return Ok(Taken { bytes, stamp: before });
        }
        file.rewind().map_err(failed)?;
    }
    Err(unreadable(path, "it is being written"))
}

fn read_bounded(file: &mut File, path: &Path, max: usize, expected: u64) -> Result<SecretBytes> {
    let bound = u64::try_from(max).unwrap_or(u64::MAX);
    // One byte more than expected, so that the end is seen without growing.
    let room = usize::try_from(expected.min(bound)).unwrap_or(0).saturating_add(1);
    let mut bytes = Vec::with_capacity(room);
    let read = file.take(bound.saturating_add(1)).read_to_end(&mut bytes);
    let bytes = SecretBytes::from_vec(bytes);
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

/// How often a file is read that changes meanwhile.
const TRIES: usize = 3;
