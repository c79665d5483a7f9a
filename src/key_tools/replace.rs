//! Writing files that hold keys: complete or not at all, readable by their owner only.

use std::path::Path;

use crate::atomic::{self, failed, folder_of};
use crate::error::Result;
use crate::secret::SecretBytes;

/// Holds the folder of a keystore for one change at a time, until it is dropped: of two processes that
/// add a key, the second reads what the first wrote.
#[derive(Debug)]
pub struct FolderLock {
    _folder: std::fs::File,
}

/// Waits for the folder of `path`.
///
/// # Errors
/// [`crate::error::ErrorKind::Io`].
pub fn lock_folder(path: &Path) -> Result<FolderLock> {
    use rustix::fs::FlockOperation;
    use rustix::io::Errno;

    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = std::fs::File::open(folder_of(&target)).map_err(|error| failed(path, error))?;
    match rustix::fs::flock(&folder, FlockOperation::LockExclusive) {
        // Some network file systems have no locks: then a change is as safe as it was without.
        Ok(()) | Err(Errno::NOLCK | Errno::NOTSUP | Errno::NOSYS) => {
            Ok(FolderLock { _folder: folder })
        }
        Err(error) => Err(failed(path, error.into())),
    }
}

/// Puts `bytes` in the place of `path` in one step; a failure leaves the old file.
///
/// # Errors
/// [`crate::error::ErrorKind::Io`].
pub fn replace_file(path: &Path, bytes: &SecretBytes) -> Result<()> {
    // EXPOSE: into the file that the operator named.
    atomic::replace(path, bytes.expose_secret())
}

/// Writes a file that must not be there yet.
///
/// # Errors
/// [`crate::error::ErrorKind::Usage`] if it is there; [`crate::error::ErrorKind::Io`].
pub fn create_file(path: &Path, bytes: &SecretBytes) -> Result<()> {
    // EXPOSE: into the file that the operator named.
    atomic::create(path, bytes.expose_secret())
}
