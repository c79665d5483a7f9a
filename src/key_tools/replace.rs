//! Writing files that hold keys: complete or not at all, readable by their owner only.

use std::io::Write;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
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
/// [`ErrorKind::Io`].
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
/// [`ErrorKind::Io`].
pub fn replace_file(path: &Path, bytes: &SecretBytes) -> Result<()> {
    // A link keeps its place: what it points to is replaced.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let file = written(&target, bytes)?;
    if let Ok(facts) = std::fs::metadata(&target) {
        file.as_file().set_permissions(facts.permissions()).map_err(|error| failed(path, error))?;
    }
    file.persist(&target).map_err(|error| failed(path, error.error))?;
    sync_folder(&target)
}

/// Writes a file that must not be there yet.
///
/// # Errors
/// [`ErrorKind::Usage`] if it is there; [`ErrorKind::Io`].
pub fn create_file(path: &Path, bytes: &SecretBytes) -> Result<()> {
    let placed = written(path, bytes)?.persist_noclobber(path).map(drop).map_err(|error| {
        if error.error.kind() == std::io::ErrorKind::AlreadyExists {
            return Error::new(ErrorKind::Usage, "the file is already there")
                .with_file(path)
                .with_help("name another file, or move the old one away first");
        }
        failed(path, error.error)
    });
    placed.and_then(|()| sync_folder(path))
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or_else(|| Path::new("."))
}

/// The new name survives a crash only once its folder is on disk.
fn sync_folder(path: &Path) -> Result<()> {
    let folder = std::fs::File::open(folder_of(path)).map_err(|error| failed(path, error))?;
    folder.sync_all().map_err(|error| failed(path, error))
}

/// A file of mode 0600 beside `path`, on disk.
fn written(path: &Path, bytes: &SecretBytes) -> Result<tempfile::NamedTempFile> {
    let mut file =
        tempfile::NamedTempFile::new_in(folder_of(path)).map_err(|error| failed(path, error))?;
    // EXPOSE: into the file that the operator named.
    file.write_all(bytes.expose_secret()).map_err(|error| failed(path, error))?;
    file.as_file().sync_all().map_err(|error| failed(path, error))?;
    Ok(file)
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot be written: {error}")).with_file(path)
}
