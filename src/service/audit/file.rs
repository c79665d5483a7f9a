//! The file of audit lines: appended to in whole lines, put aside by size and by time, opened again once it was moved.
//!
//! Processes that share it (an old one that drains, a new one that serves) take turns under a lock on the file. What a
//! crash cut short is taken away before the next line, so that each line stands whole. Crates that rotate files hide
//! failures of it, or do none of this.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;

use crate::atomic;
use crate::clock::to_unix;
use crate::config::AuditRotation;

/// A file that is open, and where it belongs.
#[derive(Debug)]
pub(super) struct AuditFile {
    path: PathBuf,
    rotation: AuditRotation,
    file: File,
    /// When the last line was written, of which period it is.
    last: Option<SystemTime>,
    /// A line may have been cut short.
    torn: bool,
}

impl AuditFile {
    /// Opens or makes it, of mode 0600. A link keeps its place: what it points to is written and put aside.
    pub(super) fn open(path: &Path, rotation: AuditRotation) -> io::Result<Self> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if let Ok(found) = std::fs::metadata(&path)
            && !found.is_file()
            && !found.file_type().is_char_device()
        {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
        }
        let file = append_to(&path)?;
        let found = file.metadata()?;
        let last = found.modified().ok().filter(|_| found.is_file() && found.len() > 0);
        Ok(Self { path, rotation, file, last, torn: true })
    }

    /// Appends whole lines, or nothing. With `room`, the disk has as many bytes more for lines that follow, or nothing
    /// is appended.
    pub(super) fn append(&mut self, lines: &[u8], now: SystemTime, room: u64) -> io::Result<()> {
        self.lock()?;
        let done = self.append_locked(lines, now, room);
        let _ = flock(&self.file, FlockOperation::Unlock);
        done
    }

    /// Until what was appended is on disk; devices have none.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.file.metadata()?.is_file() { self.file.sync_data() } else { Ok(()) }
    }

    /// Locks the file that is at the path now: somebody may have moved ours.
    fn lock(&mut self) -> io::Result<()> {
        loop {
            flock(&self.file, FlockOperation::LockExclusive)?;
            let ours = self.file.metadata()?;
            let there = std::fs::metadata(&self.path);
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
                return Ok(());
            }
            self.file = append_to(&self.path)?;
            (self.torn, self.last) = (true, None);
        }
    }

    fn append_locked(&mut self, lines: &[u8], now: SystemTime, room: u64) -> io::Result<()> {
        let found = self.file.metadata()?;
        if !found.is_file() {
            return self.file.write_all(lines);
        }
        if self.torn {
            mend(&self.file)?;
            self.torn = false;
        }
        let mut before = self.file.metadata()?.len();
        let more = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let full = before.saturating_add(more) > self.rotation.max_bytes;
        if before > 0 && (full || self.is_of_another_period(now)) {
            self.put_aside()?;
            before = 0;
        }
        let mut file = &self.file;
        let written = file.write_all(lines);
        if let Err(error) = written.and_then(|()| reserve(file, before + more, room)) {
            // A full disk: what is cut short goes again. If that fails too it is mended before the next line.
            self.torn = self.file.set_len(before).is_err();
            return Err(error);
        }
        self.last = Some(now);
        Ok(())
    }

    fn is_of_another_period(&self, now: SystemTime) -> bool {
        let (Some(every), Some(last)) = (self.rotation.every, self.last) else { return false };
        period(last, every) != period(now, every)
    }

    /// `audit.log` becomes `audit.log.1`, that becomes `audit.log.2`; the oldest goes. Then a new file is open, and
    /// locked.
    fn put_aside(&mut self) -> io::Result<()> {
        let kept = self.rotation.max_files.saturating_sub(1);
        // Those that a larger max_files left behind.
        let mut beyond = kept;
        while beyond > 0 && beyond < MOST_FILES && there_was(self.remove(beyond + 1))? {
            beyond += 1;
        }
        if kept == 0 {
            std::fs::remove_file(&self.path)?;
        }
        for number in (0..kept).rev() {
            there_was(std::fs::rename(self.numbered(number), self.numbered(number + 1)))?;
        }
        let new = append_to(&self.path)?;
        flock(&new, FlockOperation::LockExclusive)?;
        self.file = new;
        atomic::sync_folder(&self.path)
    }

    fn remove(&self, number: u32) -> io::Result<()> {
        std::fs::remove_file(self.numbered(number))
    }

    fn numbered(&self, number: u32) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// Has the disk keep `room` bytes behind the end of a file. Where file systems cannot do that, they do not.
fn reserve(file: &File, end: u64, room: u64) -> io::Result<()> {
    if room == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::KEEP_SIZE, end, room) {
        Err(Errno::NOSPC) => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    }
}

/// As many as the configuration may ask for.
const MOST_FILES: u32 = 1_000;

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// Whether there was something to do it with.
fn there_was(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn period(time: SystemTime, every: Duration) -> u64 {
    to_unix(time) / every.as_secs().max(1)
}

/// What our lines begin with.
const BEGINNING: &[u8] = b"{\"time\":\"";

/// Whether a file may be one of audit lines: there is none, nothing is in it, or it begins as they do.
pub(super) fn may_be_ours(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return true };
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return true;
    }
    let mut beginning = [0; BEGINNING.len()];
    let read = file.read_at(&mut beginning, 0).unwrap_or_default();
    beginning.get(..read).is_some_and(|read| BEGINNING.starts_with(read))
}

/// Takes away what was cut short of a line of ours. What somebody else wrote is ended where it stands.
fn mend(file: &File) -> io::Result<()> {
    let len = file.metadata()?.len();
    let mut whole = len;
    let mut block = [0; 4_096];
    // Back to the end of the last whole line.
    while whole > 0 {
        let start = whole.saturating_sub(4_096);
        let size = usize::try_from(whole - start).unwrap_or_default();
        let block = block.get_mut(..size).unwrap_or_default();
        file.read_exact_at(block, start)?;
        if let Some(at) = memchr::memrchr(b'\n', block) {
            whole = start + u64::try_from(at).unwrap_or_default() + 1;
            break;
        }
        whole = start;
    }
    if whole == len {
        return Ok(());
    }
    let rest = usize::try_from(len - whole).unwrap_or(usize::MAX).min(BEGINNING.len());
    let mut beginning = vec![0; rest];
    file.read_exact_at(&mut beginning, whole)?;
    if BEGINNING.starts_with(&beginning) {
        log::warn!("{} bytes of an audit line that was cut short are taken away", len - whole);
        return file.set_len(whole);
    }
    (&*file).write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use std::time::UNIX_EPOCH;

    use super::*;

    fn at(secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(secs)
    }

    fn rotation(max_bytes: u64, every: Option<u64>, max_files: u32) -> AuditRotation {
        AuditRotation { max_bytes, every: every.map(Duration::from_secs), max_files }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|one| one.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_put_aside_by_size_and_a_bounded_number_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut file = AuditFile::open(&path, rotation(10, None, 3)).unwrap();
        for line in ["1234\n", "5678\n", "9abc\n", "def0\n", "large and alone\n", "end\n"] {
            file.append(line.as_bytes(), at(0), 0).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(names(folder.path()), ["a.log", "a.log.1", "a.log.2"]);
        assert_eq!((read("a.log"), read("a.log.1")), ("end\n".into(), "large and alone\n".into()));
        assert_eq!(read("a.log.2"), "9abc\ndef0\n");
        for name in names(folder.path()) {
            let mode = std::fs::metadata(folder.path().join(&name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "{name}");
        }
        // Fewer are to be kept from now on.
        let mut file = AuditFile::open(&path, rotation(5, None, 2)).unwrap();
        file.append(b"more\n", at(0), 0).unwrap();
        assert_eq!(names(folder.path()), ["a.log", "a.log.1"]);
        let mut file = AuditFile::open(&path, rotation(5, None, 1)).unwrap();
        file.append(b"last\n", at(0), 0).unwrap();
        assert_eq!(read("a.log"), "last\n");
    }

    #[test]
    fn files_are_put_aside_by_time_whoever_wrote_the_last_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let bounds = rotation(1 << 20, Some(86_400), 9);
        let mut file = AuditFile::open(&path, bounds).unwrap();
        for secs in [86_400, 2 * 86_400 - 1, 2 * 86_400, 2 * 86_400 + 1] {
            file.append(format!("{secs}\n").as_bytes(), at(secs), 0).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("a.log"), read("a.log.1")), {
            ("172800\n172801\n".into(), "86400\n172799\n".into())
        });
        // After a restart the file says itself of which period it is.
        let yesterday = at(5 * 86_400 - 10);
        File::options().write(true).open(&path).unwrap().set_modified(yesterday).unwrap();
        let mut file = AuditFile::open(&path, bounds).unwrap();
        file.append(b"same\n", at(5 * 86_400 - 1), 0).unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        file.append(b"next\n", at(5 * 86_400), 0).unwrap();
        assert_eq!(names(folder.path()).len(), 3);
    }

    #[test]
    fn a_file_that_was_moved_or_removed_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut file = AuditFile::open(&path, AuditRotation::default()).unwrap();
        file.append(b"one\n", at(0), 0).unwrap();
        let moved = folder.path().join("moved");
        std::fs::rename(&path, &moved).unwrap();
        file.append(b"two\n", at(0), 0).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.append(b"three\n", at(0), 0).unwrap();
        assert_eq!(std::fs::read(&moved).unwrap(), b"one\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"three\n");
        // copytruncate of logrotate.
        std::fs::write(&path, "").unwrap();
        file.append(b"four\n", at(0), 0).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"four\n");
    }

    #[test]
    fn what_a_crash_cut_short_goes_and_what_others_wrote_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let long = format!("{{\"time\":\"{}", "x".repeat(10_000));
        for (left, expected) in [
            ("", "new\n"),
            ("{\"time\":\"a\"}\n", "{\"time\":\"a\"}\nnew\n"),
            ("{\"time\":\"a\"}\n{\"ti", "{\"time\":\"a\"}\nnew\n"),
            (long.as_str(), "new\n"),
            ("not ours", "not ours\nnew\n"),
        ] {
            std::fs::write(&path, left).unwrap();
            let mut file = AuditFile::open(&path, AuditRotation::default()).unwrap();
            file.append(b"new\n", at(0), 0).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        }
    }

    #[test]
    fn failures_are_told_and_devices_are_written_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        assert!(AuditFile::open(folder.path(), AuditRotation::default()).is_err());
        assert!(AuditFile::open(&folder.path().join("no/a"), AuditRotation::default()).is_err());
        let bounds = rotation(3, Some(1), 1);
        let mut full = AuditFile::open(Path::new("/dev/full"), bounds).unwrap();
        let error = full.append(b"line\n", at(0), 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        // What cannot be put aside is no line that was written.
        let path = folder.path().join("a.log");
        std::fs::create_dir_all(folder.path().join("a.log.1/in the way")).unwrap();
        let mut file = AuditFile::open(&path, rotation(5, None, 2)).unwrap();
        file.append(b"one\n", at(0), 0).unwrap();
        assert!(file.append(b"two\n", at(0), 0).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n");
    }

    #[test]
    fn processes_that_share_a_file_put_it_aside_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let bounds = rotation(1_000, None, 1_000);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    let mut file = AuditFile::open(path, bounds).unwrap();
                    for line in 0..500 {
                        let text = format!("{{\"time\":\"{writer} {line:3}\"}}\n");
                        file.append(text.as_bytes(), at(0), 0).unwrap();
                    }
                });
            }
        });
        let mut lines = 0;
        for name in names(folder.path()) {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            assert!(text.len() <= 1_000 && text.ends_with('\n'));
            assert!(text.lines().all(|line| line.starts_with("{\"time\":\"") && line.len() == 16));
            lines += text.lines().count();
        }
        assert_eq!(lines, 2_000);
        // None was put aside with less than it could hold.
        assert_eq!(names(folder.path()).len(), 2_000_usize.div_ceil(1_000 / 17));
    }
}
