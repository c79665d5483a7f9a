//! A denylist in a file that processes share.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::DeniedIds;
use crate::atomic::{self, Lock};
use crate::error::{Error, ErrorKind, Result};

/// The largest file, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// A file with the text form of [`DeniedIds`].
#[derive(Clone, Debug)]
pub struct DeniedFile(PathBuf);

impl DeniedFile {
    /// At a path; it need not be there yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The ids; of a file that is not there none can be known, and that is an error.
    ///
    /// # Errors
    /// [`ErrorKind::StoreUnreadable`], [`ErrorKind::LimitExceeded`] above 64 MiB, [`ErrorKind::Malformed`].
    pub fn read(&self) -> Result<DeniedIds> {
        let path = &self.0;
        let unreadable = |error: std::io::Error| {
            let text = format!("the denylist cannot be read: {error}");
            let unread = Error::new(ErrorKind::StoreUnreadable, text).with_file(path);
            if error.kind() == std::io::ErrorKind::NotFound {
                return unread.with_help(
                    "what was logged out is not known without it; an empty file denies nothing",
                );
            }
            unread
        };
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(unreadable)?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_BYTES) {
            let text = "the denylist is larger than 64 MiB";
            return Err(Error::new(ErrorKind::LimitExceeded, text).with_file(path));
        }
        let text = String::from_utf8(bytes).map_err(|_| {
            Error::new(ErrorKind::Malformed, "the denylist is not text").with_file(path)
        })?;
        DeniedIds::parse(&text).map_err(|error| error.with_file(path))
    }

    /// Adds an id until its absolute end, in seconds since 1970; those whose tokens have ended go. Processes take
    /// turns. The answer is what the file holds now.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`], [`ErrorKind::Io`], and those of [`DeniedFile::read`].
    pub fn add(&self, id: &str, end: u64, now: SystemTime) -> Result<DeniedIds> {
        let mut lock = self.0.clone().into_os_string();
        lock.push(".lock");
        let _turn = Lock::take(Path::new(&lock))?;
        let mut list = if self.0.exists() { self.read()? } else { DeniedIds::default() };
        list.deny(id, end);
        list.forget_ended(now);
        atomic::replace(&self.0, list.to_text().as_bytes())?;
        Ok(list)
    }
}
