//! Files that are complete or not there: written aside and renamed into place, under locks between processes.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{ErrorKind as IoKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};

use crate::error::{Error, ErrorKind, Result};

/// Files being written start with it: volumes skip the names that start with two dots.
const ASIDE: &str = "..claviger-aside-";

/// How long a process waits for another one's lock.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// Puts `bytes` in the place of `path` in one step; a failure leaves the old file. Mode and owner stay, and what is new
/// belongs, if root makes it, to whom the folder belongs; a link keeps its place: what it points to is replaced. When this
/// returns the change is on disk.
///
/// # Errors
/// [`ErrorKind::Io`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let target = target_of(path).map_err(|error| failed(path, error))?;
    sweep(folder_of(&target));
    let file = written(&target, bytes).map_err(|error| failed(path, error))?;
    match std::fs::metadata(&target) {
        Ok(old) => {
            keep_owner_and_mode(file.as_file(), &old).map_err(|error| failed(path, error))?
        }
        Err(_) => give_to_owner_of(folder_of(&target), file.as_file()),
    }
    file.persist(&target).map_err(|error| failed(path, error.error))?;
    sync_folder(&target).map_err(|error| failed(path, error))
}

/// Writes a file of mode 0600 that must not be there yet.
///
/// # Errors
/// [`ErrorKind::Usage`] if it is there; [`ErrorKind::Io`].
pub fn create(path: &Path, bytes: &[u8]) -> Result<()> {
    create_as(path, bytes, |_| Ok(()))
}

/// As [`create`], for whoever reads `like`: with its mode and owner, as far as they can be given. Without it the file
/// belongs, if root makes it, to whom the folder belongs.
///
/// # Errors
/// As [`create`].
pub(crate) fn create_beside(path: &Path, bytes: &[u8], like: Option<&Metadata>) -> Result<()> {
    create_as(path, bytes, |file| {
        let Some(like) = like else {
            give_to_owner_of(folder_of(path), file);
            return Ok(());
        };
        drop(fchown(file, Some(like.uid()), Some(like.gid())));
        file.set_permissions(Permissions::from_mode(like.mode() & 0o777))
    })
}

fn create_as(
    path: &Path,
    bytes: &[u8],
    finish: impl FnOnce(&File) -> std::io::Result<()>,
) -> Result<()> {
    let file = written(path, bytes).map_err(|error| failed(path, error))?;
    finish(file.as_file()).map_err(|error| failed(path, error))?;
    file.persist_noclobber(path).map_err(|error| {
        if error.error.kind() == IoKind::AlreadyExists {
            return Error::new(ErrorKind::Usage, "the file is already there")
                .with_file(path)
                .with_help("name another file, or move the old one away first");
        }
        failed(path, error.error)
    })?;
    sync_folder(path).map_err(|error| failed(path, error))
}

/// Gives a file another name in its folder, in one step; an existing file of that name is not replaced.
///
/// # Errors
/// [`ErrorKind::Io`].
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
        .map_err(|error| failed(from, error.into()))?;
    sync_folder(to).map_err(|error| failed(to, error))
}

/// Whether new files can be made in a folder: one is made and removed.
///
/// # Errors
/// [`ErrorKind::Io`].
pub(crate) fn takes_files(folder: &Path) -> Result<()> {
    locked_aside(folder).map(drop).map_err(|error| failed(folder, error))
}

/// Whether a file could be replaced, or made, as far as it is told without trying: its folder takes files, and its owner can
/// be kept.
pub(crate) fn may_replace(path: &Path) -> bool {
    let Ok(target) = target_of(path) else { return false };
    let user = rustix::process::geteuid();
    let is_kept = |file: Metadata| user.is_root() || file.uid() == user.as_raw();
    may_write(folder_of(&target)) && std::fs::metadata(&target).map_or(true, is_kept)
}

/// Whether this process may write to a file, or make files in a folder; of one that is not there, in the first above it
/// that is.
pub(crate) fn may_write(path: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    let access = if path.is_dir() { Access::WRITE_OK | Access::EXEC_OK } else { Access::WRITE_OK };
    match accessat(CWD, path, access, AtFlags::EACCESS) {
        Err(rustix::io::Errno::NOENT) if path != folder_of(path) => may_write(folder_of(path)),
        tried => tried.is_ok(),
    }
}

/// Makes a folder that only its owner may enter, with those above it. What root makes belongs to whom the one above
/// belongs.
///
/// # Errors
/// [`ErrorKind::Io`].
pub fn create_folder(path: &Path) -> Result<()> {
    make_folder(path).map_err(|error| {
        Error::new(ErrorKind::Io, format!("the folder cannot be made: {error}")).with_file(path)
    })
}

/// As [`create_folder`].
pub(crate) fn make_folder(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = folder_of(path);
    make_folder(above)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    // Whom the folder above belongs to may put a link in its place: what that leads to is not given away.
    let made = OpenOptions::new().read(true).custom_flags(DIRECTORY_ITSELF).open(path)?;
    give_to_owner_of(above, &made);
    sync_folder(path)
}

/// A folder, and no link to one.
const DIRECTORY_ITSELF: i32 = OFlags::NOFOLLOW.union(OFlags::DIRECTORY).bits().cast_signed();

/// Opens a file that processes share; one that is not there is made with mode 0600. What root makes belongs to whom its
/// folder belongs.
pub(crate) fn open_shared(path: &Path, options: &OpenOptions) -> std::io::Result<File> {
    let mut options = options.clone();
    options.custom_flags(flags_of_link(path)?.bits().cast_signed());
    match options.open(path) {
        Err(error) if error.kind() == IoKind::NotFound => {}
        opened => return opened,
    }
    let made = options.clone().mode(0o600).create_new(true).open(path);
    if let Ok(file) = &made {
        give_to_owner_of(folder_of(path), file);
    }
    match made {
        // Somebody else made it meanwhile, or a link leads to where it is not yet.
        Err(error) if error.kind() == IoKind::AlreadyExists => {
            options.mode(0o600).create(true).open(path)
        }
        made => made,
    }
}

/// A lock between processes, held until it is dropped; it ends with its process, however that ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "dropping it is its use")] File);

impl Lock {
    /// Takes the lock that `path` stands for; waits a minute at most for who has it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the file cannot be made, [`ErrorKind::Busy`] if another process keeps it.
    pub fn take(path: &Path) -> Result<Self> {
        let mut file = open_lock(path).map_err(|error| failed(path, error))?;
        if !locked(&file).map_err(|error| failed(path, error))? {
            return Err(busy(path, &mut file));
        }
        // Who has it, for those who wait too long. Without it the lock is as good.
        drop(file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())));
        Ok(Self(file))
    }
}

/// Locks a file itself, which ends when it is closed at the latest; waits a minute at most for who has it, and `false` says
/// that it was in vain.
pub(crate) fn locked(file: &File) -> std::io::Result<bool> {
    let mut waited = Duration::ZERO;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if waited >= PATIENCE {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
        waited += PAUSE;
    }
}

/// Ends the lock of a file that stays open.
#[cfg(feature = "service")]
pub(crate) fn unlock(file: &File) {
    // What cannot be unlocked is no lock.
    let _unlocked = flock(file, FlockOperation::Unlock);
}

fn open_lock(path: &Path) -> std::io::Result<File> {
    open_shared(path, OpenOptions::new().read(true).write(true))
}

fn busy(path: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    // A lock file holds a process number at most.
    drop(file.take(32).read_to_string(&mut text));
    let owner = text.trim();
    let who = if owner.is_empty() { String::new() } else { format!(" (process {owner})") };
    Error::new(ErrorKind::Busy, format!("another process{who} is changing the configuration"))
        .with_file(path)
        .with_help("wait for it, or find out why it hangs")
}

pub(crate) fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or_else(|| Path::new("."))
}

/// A new name survives a crash only once its folder is on disk.
pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// A file of mode 0600 beside `path`, on disk. Its lock says that somebody is still writing it.
fn written(path: &Path, bytes: &[u8]) -> std::io::Result<tempfile::NamedTempFile> {
    let file = locked_aside(folder_of(path))?;
    file.as_file().write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn locked_aside(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    loop {
        // Its errors name the file aside, of which nobody knows.
        let file = tempfile::Builder::new()
            .prefix(ASIDE)
            .tempfile_in(folder)
            .map_err(|error| std::io::Error::from(error.kind()))?;
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        // Between its making and its lock another process may have swept it away.
        if locked && file.as_file().metadata()?.nlink() > 0 {
            return Ok(file);
        }
    }
}

/// Removes what writers left that were killed: files aside that nobody locks.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(ASIDE) {
            continue;
        }
        let path: PathBuf = entry.path();
        let Ok(file) = File::open(&path) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // What cannot be removed now can be removed next time.
            drop(std::fs::remove_file(&path));
        }
    }
}

/// A file that changed hands would lock out who reads it: whoever cannot keep the owner may not replace it.
fn keep_owner_and_mode(file: &File, old: &Metadata) -> std::io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid())).map_err(|error| {
            std::io::Error::new(error.kind(), format!("its owner cannot be kept: {error}"))
        })?;
    }
    file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    file.sync_all()
}

/// Where a link leads, which keeps its place; whatever else is there stands for itself.
fn target_of(path: &Path) -> std::io::Result<PathBuf> {
    let leads = flags_of_link(path)?.is_empty();
    let target = if leads { path.canonicalize().ok() } else { None };
    Ok(target.unwrap_or_else(|| path.to_owned()))
}

/// How a file is opened that may be a link. Root follows no link of somebody else: who may write to a folder that is shared
/// could have any file of the system written to by the next step that root takes there.
fn flags_of_link(path: &Path) -> std::io::Result<OFlags> {
    if !rustix::process::geteuid().is_root() {
        return Ok(OFlags::empty());
    }
    match path.symlink_metadata() {
        Ok(link) if link.is_symlink() && link.uid() == 0 => Ok(OFlags::empty()),
        Ok(link) if link.is_symlink() => {
            let text = "it is a link of another user, which root does not follow: put the file itself there";
            Err(std::io::Error::new(IoKind::PermissionDenied, text))
        }
        _ => Ok(OFlags::NOFOLLOW),
    }
}

/// What root makes belongs to whom the folder belongs: a service that shares it would be locked out by who went there as
/// root. Where that cannot be it stays root's.
pub(crate) fn give_to_owner_of(folder: &Path, file: &File) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    if let Ok(of_folder) = std::fs::metadata(folder) {
        drop(fchown(file, Some(of_folder.uid()), Some(of_folder.gid())));
    }
}

pub(crate) fn failed(path: &Path, error: std::io::Error) -> Error {
    let help = match error.kind() {
        IoKind::StorageFull | IoKind::QuotaExceeded | IoKind::FileTooLarge => {
            "nothing was changed; make room and try again"
        }
        IoKind::ReadOnlyFilesystem => {
            "the file system is read-only: change what it was mounted from (a Secret, an image)"
        }
        _ => "nothing was changed; check who may write there",
    };
    Error::new(ErrorKind::Io, format!("cannot be written: {error}"))
        .with_file(path)
        .with_help(help)
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_aside_of_killed_writers_are_swept_and_those_of_living_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.toml");
        let stale = folder.path().join(format!("{ASIDE}stale"));
        std::fs::write(&stale, "half").unwrap();
        let living = written(&target, b"living").unwrap();
        replace(&target, b"whole").unwrap();
        assert!(!stale.exists() && living.path().exists());
        assert_eq!(std::fs::read(&target).unwrap(), b"whole");
    }

    #[test]
    fn modes_and_links_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        replace(&link, b"new").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert_eq!(create(&file, b"x").unwrap_err().kind(), ErrorKind::Usage);
    }

    /// Needs root, who alone may give files away.
    #[test]
    fn root_follows_no_link_of_another_user() {
        if !rustix::process::geteuid().is_root() {
            println!("not root: links of other users are not tried");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (system, link) = (folder.path().join("system"), folder.path().join("link"));
        std::fs::write(&system, "untouched").unwrap();
        std::os::unix::fs::symlink("system", &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
        assert_eq!(replace(&link, b"spoilt").unwrap_err().kind(), ErrorKind::Io);
        assert!(!may_replace(&link));
        let error = open_shared(&link, OpenOptions::new().append(true)).unwrap_err();
        assert_eq!(error.kind(), IoKind::PermissionDenied);
        // Nor where the link leads nowhere yet.
        std::fs::remove_file(&system).unwrap();
        assert!(open_shared(&link, OpenOptions::new().append(true)).is_err());
        std::os::unix::fs::lchown(&link, Some(0), None).unwrap();
        drop(open_shared(&link, OpenOptions::new().append(true)).unwrap());
        assert!(system.exists() && may_replace(&link));
    }

    #[test]
    fn a_lock_is_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Lock::take(&path).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || {
            let lock = Lock::take(&path);
            sender.send(()).unwrap();
            lock.is_ok()
        });
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
        drop(first);
        assert!(waiting.join().unwrap());
    }
}
