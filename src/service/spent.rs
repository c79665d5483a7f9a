//! Tokens that count no more before they end by themselves: those that count once and were used, sessions that were ended;
//! each in its realm. With `state_dir` a restart and every other process know.
//!
//! The file has a line for each, appended before anything is answered, and is written anew once most of it has ended.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::atomic;
use crate::clock::to_unix;
use crate::crypto::sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::label::Realm;

/// How many are remembered, in some 20 MB. A realm has as many of them as are free at most: callers of one, who choose ids
/// and keys of their tokens, take no room from the others.
const MAX_TOKENS: usize = 400_000;
/// How many are remembered before it is looked which have ended.
const FEW: usize = 1_024;
/// For how many seconds a token is remembered beyond its end: clocks may go back.
const BEYOND: u64 = 3_600;
/// How often another file may come in the place of the one that was locked.
const MAX_TRIES: usize = 8;
/// The largest file, in bytes.
const MAX_BYTES: u64 = 128 << 20;

/// Tokens of one kind.
#[derive(Debug)]
pub(crate) struct Spent {
    file: Option<PathBuf>,
    disk: Disk,
    /// Who adds has it, with the file to append to; who asks does not wait for it.
    turn: Mutex<Option<Arc<Appended>>>,
    known: Mutex<Known>,
}

/// What is safe once it is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Disk {
    /// It is on disk.
    Forced,
    /// The system has it: what is killed loses nothing, a machine without power its last seconds.
    Left,
}

/// The file, open to append to.
#[derive(Debug)]
struct Appended {
    file: File,
    /// Whether its name is on disk as well; whoever made the file may not have come to that.
    named: AtomicBool,
}

/// What stands for a token: whose it is, and what tells it from every other of that realm.
type Id = [u8; 32];
/// What an id begins with: it stands for the realm.
type Tag = [u8; 4];

#[derive(Debug, Default)]
struct Known {
    /// The end of each, in seconds since 1970.
    tokens: HashMap<Id, u64>,
    /// How many are of each realm.
    of_realm: HashMap<Tag, usize>,
    /// None of them ends before.
    first_end: u64,
    /// With how many it is looked again which have ended.
    many: usize,
    opened: Option<Opened>,
}

/// The file, and how far it was read.
#[derive(Debug)]
struct Opened {
    /// As long as it is open no other file has its inode.
    file: File,
    bytes: u64,
    lines: usize,
}

impl Spent {
    /// Those of a file of a state directory; without one they are known to this process alone, until it ends.
    pub(crate) fn of(state_dir: Option<&Path>, file: &str, disk: Disk) -> Self {
        let file = state_dir.map(|folder| folder.join(file));
        Self { file, disk, turn: Mutex::default(), known: Mutex::default() }
    }

    /// Remembers a token of a realm, by what tells it from every other one there, until its end in seconds since 1970.
    /// Whether it was not known yet.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if too many are remembered, [`ErrorKind::Io`].
    pub(crate) fn add(
        &self,
        realm: Option<&Realm>,
        token: &[u8; 32],
        end: u64,
        now: SystemTime,
    ) -> Result<bool> {
        let (id, now) = (id_in(realm, token), to_unix(now));
        // Who had it before may still wait for the disk, or in vain.
        if self.disk == Disk::Left && self.lock().tokens.contains_key(&id) {
            return Ok(false);
        }
        let Some(path) = &self.file else { return self.lock().add(id, end, now) };
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let file = locked(turn.take(), path)?;
        let added = self.append(&file.file, path, (id, end), now);
        atomic::unlock(&file.file);
        *turn = Some(Arc::clone(&file));
        // Others are not to wait for the disk.
        drop(turn);
        if added.is_ok() && self.disk == Disk::Forced {
            file.force(path).map_err(|error| atomic::failed(path, error))?;
        }
        added
    }

    /// Adds to the file, which is locked.
    fn append(&self, mut file: &File, path: &Path, (id, end): (Id, u64), now: u64) -> Result<bool> {
        let failed = |error| atomic::failed(path, error);
        let there = file.metadata().map_err(failed)?;
        let mut known = self.lock();
        let torn = known.look(path, &there, now).map_err(failed)?;
        if !known.add(id, end, now)? {
            return Ok(false);
        }
        let text = format!("{}{}", if torn { "\n" } else { "" }, record(&id, end));
        if let Err(error) = file.write_all(text.as_bytes()) {
            known.forget(|one, _| *one != id);
            return Err(failed(error));
        }
        let lines = known.opened.as_ref().map_or(0, |opened| opened.lines);
        if lines > 2 * known.tokens.len() + FEW {
            let text: String = known.tokens.iter().map(|(id, end)| record(id, *end)).collect();
            if let Err(error) = atomic::replace(path, text.as_bytes()) {
                log::warn!("the tokens that have ended stay in their file: {error}");
            }
        }
        Ok(true)
    }

    /// Whether a token of a realm is known.
    ///
    /// # Errors
    /// [`ErrorKind::StoreUnreadable`]: then nobody can tell.
    pub(crate) fn has(
        &self,
        realm: Option<&Realm>,
        token: &[u8; 32],
        now: SystemTime,
    ) -> Result<bool> {
        let (id, now) = (id_in(realm, token), to_unix(now));
        let unreadable = |path: &Path, error: io::Error| {
            let text = "the file of ended tokens cannot be read";
            Error::new(ErrorKind::StoreUnreadable, text).with_file(path).with_source(error)
        };
        let there = match self.file.as_ref().map(|path| (path, fs::metadata(path))) {
            None => None,
            Some((path, Ok(there))) => Some((path, there)),
            Some((_, Err(error))) if error.kind() == io::ErrorKind::NotFound => None,
            Some((path, Err(error))) => return Err(unreadable(path, error)),
        };
        let mut known = self.lock();
        if let Some((path, there)) = there {
            known.look(path, &there, now).map_err(|error| unreadable(path, error))?;
        }
        Ok(known.tokens.contains_key(&id))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Reads what has come to the file that is there since it was read; whether it ends in the midst of a line. Without its
    /// lock that is what is being written.
    fn look(&mut self, path: &Path, there: &Metadata, now: u64) -> io::Result<bool> {
        let known = self.opened.as_ref().map(|opened| opened.has_read(there)).transpose()?;
        if known == Some(true) {
            return Ok(false);
        }
        let mut opened = match self.opened.take() {
            Some(opened) if opened.is_at(path)? => opened,
            _ => Opened { file: File::open(path)?, bytes: 0, lines: 0 },
        };
        let torn = self.catch_up(&mut opened)?;
        self.opened = Some(opened);
        self.tidy(now);
        Ok(torn)
    }

    /// Takes what was appended since, by whomever; whether the file ends in the midst of a line.
    fn catch_up(&mut self, opened: &mut Opened) -> io::Result<bool> {
        opened.file.seek(SeekFrom::Start(opened.bytes))?;
        let mut rest = Vec::new();
        (&opened.file).take(MAX_BYTES + 1).read_to_end(&mut rest)?;
        if u64::try_from(rest.len()).is_ok_and(|bytes| bytes > MAX_BYTES) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (lines, tail) = rest.split_at(whole);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            opened.lines += 1;
            // What was cut off in its midst was not accepted.
            if let Some((id, end)) = parsed(line) {
                self.insert(id, end);
            }
        }
        opened.bytes += u64::try_from(whole).unwrap_or_default();
        Ok(!tail.is_empty())
    }

    /// Remembers one; whether it was not yet.
    fn add(&mut self, id: Id, end: u64, now: u64) -> Result<bool> {
        if self.tokens.contains_key(&id) {
            return Ok(false);
        }
        self.tidy(now);
        if !self.has_room(&id) && self.first_end <= now {
            self.forget(|_, end| end > now);
        }
        if !self.has_room(&id) {
            return Err(Error::new(ErrorKind::Busy, "too many tokens are remembered")
                .with_help("send it again once some of them have ended"));
        }
        self.insert(id, end);
        Ok(true)
    }

    /// Forgets those that ended long ago, now and then.
    fn tidy(&mut self, now: u64) {
        if self.tokens.len() >= self.many.max(FEW) {
            self.forget(|_, end| end.saturating_add(BEYOND) > now);
            self.many = 2 * self.tokens.len();
        }
    }

    fn has_room(&self, id: &Id) -> bool {
        let taken = self.of_realm.get(&tag(id)).copied().unwrap_or_default();
        taken < MAX_TOKENS.saturating_sub(self.tokens.len())
    }

    fn insert(&mut self, id: Id, end: u64) {
        if self.tokens.insert(id, end).is_none() {
            *self.of_realm.entry(tag(&id)).or_default() += 1;
        }
        self.first_end = self.first_end.min(end);
    }

    /// Keeps those of which this is true.
    fn forget(&mut self, stays: impl Fn(&Id, u64) -> bool) {
        self.tokens.retain(|id, end| stays(id, *end));
        self.of_realm.clear();
        self.first_end = u64::MAX;
        for (id, end) in &self.tokens {
            *self.of_realm.entry(tag(id)).or_default() += 1;
            self.first_end = self.first_end.min(*end);
        }
    }
}

/// Who makes tokens of one realm is not to touch those of another.
fn id_in(realm: Option<&Realm>, token: &[u8; 32]) -> Id {
    let mut id = *token;
    let realm = realm.map_or([0; 32], |realm| sha256(realm.as_str().as_bytes()));
    for (byte, of_realm) in id.iter_mut().zip(tag(&realm)) {
        *byte = of_realm;
    }
    id
}

const fn tag(id: &Id) -> Tag {
    let [a, b, c, d, ..] = *id;
    [a, b, c, d]
}

impl Appended {
    /// Waits until the disk has what was written to it.
    fn force(&self, path: &Path) -> io::Result<()> {
        self.file.sync_data()?;
        if !self.named.load(Ordering::Acquire) {
            atomic::sync_folder(path)?;
            self.named.store(true, Ordering::Release);
        }
        Ok(())
    }
}

impl Opened {
    /// Whether there is nothing in the file that is there besides what was read.
    fn has_read(&self, there: &Metadata) -> io::Result<bool> {
        Ok(is_one(&self.file, there)? && there.len() == self.bytes)
    }

    /// Whether it is the file of this name, with all that was read of it.
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let there = fs::metadata(path)?;
        Ok(is_one(&self.file, &there)? && there.len() >= self.bytes)
    }
}

/// Whether an open file is the one that is there.
fn is_one(file: &File, there: &Metadata) -> io::Result<bool> {
    let own = file.metadata()?;
    Ok((there.dev(), there.ino()) == (own.dev(), own.ino()))
}

/// The file of this name, to append to, locked: processes take turns. `before` is what it was the last time.
fn locked(before: Option<Arc<Appended>>, path: &Path) -> Result<Arc<Appended>> {
    let failed = |error| atomic::failed(path, error);
    atomic::create_folder(atomic::folder_of(path))?;
    let mut before = before;
    for _ in 0..MAX_TRIES {
        let open = || {
            let file = atomic::open_shared(path, OpenOptions::new().append(true))?;
            Ok(Arc::new(Appended { file, named: AtomicBool::new(false) }))
        };
        let file = before.take().map_or_else(open, Ok).map_err(failed)?;
        if !atomic::locked(&file.file).map_err(failed)? {
            break;
        }
        // Whoever had it before may have put another one in its place.
        if fs::metadata(path).is_ok_and(|there| is_one(&file.file, &there).unwrap_or(false)) {
            return Ok(file);
        }
    }
    let text = "another process keeps the file of used and ended tokens";
    Err(Error::new(ErrorKind::Busy, text).with_file(path).with_help("send it again"))
}

fn record(id: &Id, end: u64) -> String {
    format!("{} {end}\n", hex::encode(id))
}

fn parsed(line: &[u8]) -> Option<(Id, u64)> {
    let (digits, end) = std::str::from_utf8(line).ok()?.trim_end().split_once(' ')?;
    let mut id = [0; 32];
    hex::decode_to_slice(digits, &mut id).ok()?;
    Some((id, end.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const FILE: &str = "spent";

    fn of(folder: Option<&Path>) -> Spent {
        Spent::of(folder, FILE, Disk::Left)
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn first(spent: &Spent, token: &str, end: u64, now: u64) -> bool {
        spent.add(None, &sha256(token.as_bytes()), end, at(now)).unwrap()
    }

    #[test]
    fn a_token_counts_once_whoever_saw_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let (one, other) = (of(Some(&state)), of(Some(&state)));
        assert!(first(&one, "a", 100, 0) && !first(&one, "a", 100, 0));
        assert!(!first(&other, "a", 100, 0) && first(&other, "b", 100, 0));
        assert!(!first(&one, "b", 100, 0));
        // A restart; a clock that went back after the token had ended.
        let again = of(Some(&state));
        assert!(!first(&again, "a", 100, 101) && !first(&again, "b", 100, 0));
        assert!(first(&again, "c", 100, 0) && !first(&one, "c", 100, 0));
        let mode = fs::metadata(state.join(FILE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_known_but_not_on_disk_is_not_told_as_if_it_were() {
        let folder = tempfile::tempdir().unwrap();
        // Nothing there is ever forced to disk.
        std::os::unix::fs::symlink("/dev/null", folder.path().join(FILE)).unwrap();
        let add = |disk: Disk| {
            let spent = Spent::of(Some(folder.path()), FILE, disk);
            [(); 2].map(|()| spent.add(None, &sha256(b"a"), 100, at(0)).ok())
        };
        assert_eq!(add(Disk::Left), [Some(true), Some(false)]);
        assert_eq!(add(Disk::Forced), [None, None]);
    }

    #[test]
    fn what_is_in_a_file_whose_name_is_not_on_disk_is_not_told_as_if_it_were() {
        let file = tempfile::tempfile().unwrap();
        // A folder whose files can be forced to disk, and which itself cannot.
        let (folder, name) = (Path::new("/proc/self/fd"), file.as_raw_fd().to_string());
        // As the one who made it, and as one who finds it made.
        for token in [b"a", b"b"] {
            let spent = Spent::of(Some(folder), &name, Disk::Forced);
            let added = [(); 2].map(|()| spent.add(None, &sha256(token), 100, at(0)).ok());
            assert_eq!(added, [None, None]);
        }
        let line = record(&id_in(None, &sha256(b"a")), 100).len();
        assert_eq!(usize::try_from(file.metadata().unwrap().len()).unwrap(), 2 * line);
    }

    #[test]
    fn what_a_kill_left_of_a_line_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let one = of(Some(folder.path()));
        assert!(first(&one, "a", 100, 0));
        let file = folder.path().join(FILE);
        let text = fs::read(&file).unwrap();
        for cut in 1..text.len() {
            let half = text.get(..cut).unwrap();
            fs::write(&file, [&text, half].concat()).unwrap();
            let again = of(Some(folder.path()));
            assert!(!first(&again, "a", 100, 0) && first(&again, "b", 100, 0), "{cut}");
            let third = of(Some(folder.path()));
            assert!(!first(&third, "a", 100, 0) && !first(&third, "b", 100, 0), "{cut}");
        }
        fs::write(&file, b"no line\n\xff\xff\n").unwrap();
        assert!(first(&of(Some(folder.path())), "a", 100, 0));
    }

    #[test]
    fn memory_and_file_have_what_lives_and_processes_see_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (of(Some(folder.path())), of(Some(folder.path())));
        let many = u64::try_from(FEW).unwrap() * 4;
        for n in 0..many {
            assert!(first(&one, &format!("old-{n}"), 10, 0));
        }
        assert!(!first(&other, "old-0", 10, 0));
        for n in 0..many {
            assert!(first(&one, &format!("new-{n}"), 10_000, 5_000));
        }
        let lines = fs::read_to_string(folder.path().join(FILE)).unwrap().lines().count();
        assert!(lines < FEW * 8, "{lines}");
        let known = one.known.lock().unwrap().tokens.len();
        assert!(known <= FEW * 5, "{known}");
        for n in 0..many {
            assert!(!first(&other, &format!("new-{n}"), 10_000, 5_000), "{n}");
        }
    }

    #[test]
    fn each_realm_has_its_own_and_who_only_asks_sees_what_others_added() {
        let folder = tempfile::tempdir().unwrap();
        let (one, asks) = (of(Some(folder.path())), of(Some(folder.path())));
        let [alpha, beta] = ["alpha", "beta"].map(|realm| Some(realm.parse::<Realm>().unwrap()));
        let token = sha256(b"a");
        assert!(!asks.has(None, &token, at(0)).unwrap());
        for realm in [None, alpha.as_ref()] {
            assert!(one.add(realm, &token, 100, at(0)).unwrap());
            assert!(
                asks.has(realm, &token, at(0)).unwrap() && one.has(realm, &token, at(0)).unwrap()
            );
        }
        assert!(!asks.has(beta.as_ref(), &token, at(0)).unwrap());
        // Who has asked may add, and sees a file that was put in the place of the old one.
        assert!(asks.add(beta.as_ref(), &token, 100, at(0)).unwrap());
        assert!(!one.add(beta.as_ref(), &token, 100, at(0)).unwrap());
        let text = format!("{}{}", record(&id_in(None, &sha256(b"b")), 100), "cut off");
        fs::write(folder.path().join("aside"), text).unwrap();
        fs::rename(folder.path().join("aside"), folder.path().join(FILE)).unwrap();
        assert!(
            asks.has(None, &sha256(b"b"), at(0)).unwrap() && asks.has(None, &token, at(0)).unwrap()
        );
        assert!(of(Some(folder.path())).has(None, &sha256(b"b"), at(0)).unwrap());
        // A file that cannot be read tells nothing, and nobody takes that for a no.
        fs::remove_file(folder.path().join(FILE)).unwrap();
        fs::create_dir(folder.path().join(FILE)).unwrap();
        let error = of(Some(folder.path())).has(None, &token, at(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StoreUnreadable);
    }

    #[test]
    fn who_only_asks_does_not_wait_for_who_adds() {
        let folder = tempfile::tempdir().unwrap();
        let spent = of(Some(folder.path()));
        assert!(first(&spent, "a", 100, 0));
        let other = File::open(folder.path().join(FILE)).unwrap();
        assert!(atomic::locked(&other).unwrap());
        std::thread::scope(|scope| {
            let adds = scope.spawn(|| first(&spent, "b", 100, 0));
            while spent.turn.try_lock().is_ok() {
                std::thread::yield_now();
            }
            // The other one waits for a file that is locked.
            assert!(spent.has(None, &sha256(b"a"), at(0)).unwrap());
            assert!(!spent.has(None, &sha256(b"b"), at(0)).unwrap());
            atomic::unlock(&other);
            assert!(adds.join().unwrap());
        });
        assert!(spent.has(None, &sha256(b"b"), at(0)).unwrap());
    }

    #[test]
    fn too_many_that_live_are_refused_and_those_that_ended_make_room() {
        let spent = of(None);
        let id = |realm: u8, n: usize| {
            let mut id = [realm; 32];
            id.split_at_mut(4).1.split_at_mut(8).0.copy_from_slice(&n.to_le_bytes());
            id
        };
        let mut known = spent.known.lock().unwrap();
        let fill = |known: &mut Known, realm: u8, end: u64| {
            (0..MAX_TOKENS).position(|n| known.add(id(realm, n), end, 0).is_err()).unwrap()
        };
        // Who comes first leaves as much to the others, and they to those after them.
        assert_eq!([fill(&mut known, 1, 100), fill(&mut known, 2, 200)], [200_000, 100_000]);
        assert!(known.add(id(3, 0), 100, 0).unwrap());
        assert_eq!(known.add(id(1, MAX_TOKENS), 100, 0).unwrap_err().kind(), ErrorKind::Busy);
        assert!(!known.add(id(1, 0), 100, 0).unwrap());
        assert!(known.add(id(1, MAX_TOKENS), 200, 100).unwrap());
        assert_eq!(known.tokens.len(), 100_001);
    }
}
