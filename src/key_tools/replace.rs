//! Writing files that hold keys: complete or not at all, readable by their owner only.

use std::io::Write;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

/// Puts `bytes` in the place of `path` in one step; a failure leaves the old file.
///
/// # Errors
/// [`ErrorKind::Io`].
pub fn replace_file(path: &Path, bytes: &SecretBytes) -> Result<()> {
    written(path, bytes)?.persist(path).map(drop).map_err(|error| failed(path, error.error))
}

/// Writes a file that must not be there yet.
///
/// # Errors
/// [`ErrorKind::Usage`] if it is there; [`ErrorKind::Io`].
pub fn create_file(path: &Path, bytes: &SecretBytes) -> Result<()> {
    written(path, bytes)?.persist_noclobber(path).map(drop).map_err(|error| {
        if error.error.kind() == std::io::ErrorKind::AlreadyExists {
            return Error::new(ErrorKind::Usage, "the file is already there")
                .with_file(path)
                .with_help("name another file, or move the old one away first");
        }
        failed(path, error.error)
    })
}

/// A file of mode 0600 beside `path`, on disk.
fn written(path: &Path, bytes: &SecretBytes) -> Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(path, error))?;
    // EXPOSE: into the file that the operator named.
    file.write_all(bytes.expose_secret()).map_err(|error| failed(path, error))?;
    file.as_file().sync_all().map_err(|error| failed(path, error))?;
    Ok(file)
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot be written: {error}")).with_file(path)
}
