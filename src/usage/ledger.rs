//! The usage file: records in their places, one lock for all processes, on disk before a session ends.
//!
//! The file is made at its full size and its records are changed in place, so that a full disk does not stop
//! a process that signs. The lock is the file's own and ends with its process, however that ends.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

use super::key::BLOCK;
use super::record::{COPY_BYTES, Record, Subject};
use crate::atomic;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};

/// The name in the state directory.
const FILE: &str = "usage";
/// Where a damaged file is put: a new one takes over what is whole there.
const DAMAGED: &str = "usage.damaged";
/// And what it is called then.
const TAKEN_OVER: &str = "usage.taken-over";
/// The journal, which begins after the usage file: where it is and that is not, the usage file was lost. It stands above
/// this layer, so its name is written once more.
const JOURNAL: &str = "journal.jsonl";
/// For how long processes may go on with what they had reserved in a file that was lost.
pub(super) const RESERVED: u64 = 2 * BLOCK;
/// Both copies of a record.
const PLACE_BYTES: u64 = 2048;
/// How many places are made at a time.
const CHUNK: u64 = 64;
/// How long a process waits for another one's step.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(1);

/// The file as one process sees it.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    /// Names the reservations of this process.
    owner: u64,
    clock: Clock,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Where the records are that have been seen.
    places: HashMap<Subject, u64>,
    /// How many places have been looked at.
    seen: u64,
    /// A place whose two copies are both damaged: whatever was there is not known to be nothing.
    damaged: Option<u64>,
    /// How often the places that were looked at had been written.
    writes: u64,
}

/// The file as it was read.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) records: Vec<Record>,
    /// How often records were written, all together: it only grows; `None`: there is no file.
    pub(super) writes: Option<u64>,
}

/// The file, locked. What is put is on disk when [`Session::finish`] returns.
#[derive(Debug)]
pub(super) struct Session<'a> {
    path: &'a Path,
    open: MutexGuard<'a, Option<Open>>,
    dirty: bool,
}

impl Ledger {
    pub(super) fn new(state_dir: &Path, clock: Clock) -> Self {
        // Owners only need to differ.
        let owner = RandomState::new().hash_one(std::process::id()).max(1);
        Self { path: state_dir.join(FILE), owner, clock, open: Mutex::new(None) }
    }

    pub(super) const fn owner(&self) -> u64 {
        self.owner
    }

    /// Locks the file, making it if need be.
    pub(super) fn lock(&self) -> Result<Session<'_>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error| not_kept(&self.path, &error);
        for _ in 0..3 {
            let current = match &*open {
                Some(current) => current,
                None => open.insert(Open::new(open_file(&self.path).map_err(failed)?)),
            };
            lock_file(&current.file, &self.path)?;
            // Somebody may have removed it or put another in its place.
            if is_at(&current.file, &self.path) {
                let mut session = Session { path: &self.path, open, dirty: false };
                session.prepare(self)?;
                return Ok(session);
            }
            *open = None;
        }
        Err(Error::new(ErrorKind::UsageNotKept, "the usage file is being replaced again and again")
            .with_file(&self.path))
    }

    /// Every record, without the lock and without the right to write.
    pub(super) fn read(&self) -> Result<Contents> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let aside = self.path.with_file_name(DAMAGED);
                let kept = File::open(&aside).map_or_else(|_| Ok(Vec::new()), whole_aside);
                let records = kept.map_err(|error| unreadable(&aside, &error))?;
                return Ok(Contents { records, writes: None });
            }
            Err(error) => return Err(unreadable(&self.path, &error)),
        };
        let mut open = Open::new(file);
        let mut look = || {
            (open.seen, open.damaged, open.writes) = (0, None, 0);
            let records = open.scan().map_err(|error| unreadable(&self.path, &error))?;
            let contents = Contents { records, writes: Some(open.writes) };
            Ok(open.damaged.map_or(Ok(contents), Err))
        };
        // Without the lock a record may be seen while it is written: then a second look finds it whole.
        look()?.or_else(|_| look().and_then(|again| again.map_err(|at| damaged(&self.path, at))))
    }

    /// Until when uses may be recorded nowhere, in a file that is made now; 0 if it is the first one.
    pub(super) fn lost_until(&self) -> u64 {
        let follows = self.path.with_file_name(JOURNAL).exists();
        if follows { self.clock.coarse_secs().saturating_add(RESERVED) } else { 0 }
    }

    /// The file's own record, without the lock; an empty one without a file.
    pub(super) fn own_record(&self) -> Result<Record> {
        let Ok(file) = File::open(&self.path) else { return Ok(Record::default()) };
        match read_place(&file, 0) {
            Ok(Place::Whole { record, .. }) => Ok(*record),
            Ok(Place::Empty { .. }) => Ok(Record::default()),
            Ok(Place::Damaged) => Err(damaged(&self.path, 0)),
            Err(error) => Err(unreadable(&self.path, &error)),
        }
    }
}

impl Session<'_> {
    /// The record of a subject; `None` if there is none yet.
    pub(super) fn find(&mut self, subject: &Subject) -> Result<Option<Record>> {
        let path = self.path;
        let open = self.open()?;
        if !open.places.contains_key(subject) {
            open.scan().map_err(|error| not_kept(path, &error))?;
        }
        let Some(place) = open.places.get(subject).copied() else {
            return open.damaged.map_or(Ok(None), |place| Err(damaged(path, place)));
        };
        match read_place(&open.file, place).map_err(|error| not_kept(path, &error))? {
            Place::Whole { record, .. } => Ok(Some(*record)),
            Place::Damaged | Place::Empty { .. } => Err(damaged(path, place)),
        }
    }

    /// The record of a subject; one that it has from now on if it has none yet.
    pub(super) fn record(&mut self, subject: &Subject, since: u64) -> Result<Record> {
        if let Some(known) = self.find(subject)? {
            return Ok(known);
        }
        let of_file = self.find(&Subject::default())?.unwrap_or_default();
        let subject = subject.clone();
        Ok(Record { subject, since, lost_until: of_file.lost_until, ..Record::default() })
    }

    /// Writes a record over the older of its two copies. Once a session for each record.
    pub(super) fn put(&mut self, record: &Record) -> Result<()> {
        let path = self.path;
        let open = self.open()?;
        open.put(record).map_err(|error| not_kept(path, &error))?;
        self.dirty = true;
        Ok(())
    }

    /// Every record.
    pub(super) fn all(&mut self) -> Result<Vec<Record>> {
        let path = self.path;
        let open = self.open()?;
        open.seen = 0;
        open.scan().map_err(|error| not_kept(path, &error))
    }

    /// Brings what was put to disk.
    pub(super) fn finish(mut self) -> Result<()> {
        if !self.dirty {
            return Ok(());
        }
        let path = self.path;
        self.open()?.file.sync_data().map_err(|error| not_kept(path, &error))
    }

    fn open(&mut self) -> Result<&mut Open> {
        self.open.as_mut().ok_or_else(|| Error::new(ErrorKind::Bug, "a session without its file"))
    }

    /// A new file gets its places, and the record that is its own; in the place of one that was lost also what can
    /// be read of that.
    fn prepare(&mut self, ledger: &Ledger) -> Result<()> {
        let path = self.path;
        let failed = |error: std::io::Error| not_kept(path, &error);
        let open = self.open()?;
        if open.places().map_err(failed)? == 0 {
            open.grow().map_err(failed)?;
        }
        if matches!(read_place(&open.file, 0).map_err(failed)?, Place::Empty { .. }) {
            let lost_until = ledger.lost_until();
            // Higher than any number that was counted: a process that knows one stops all the same.
            let of_file = Record { lost_until, fence: lost_until, ..Record::default() };
            open.write_copy(0, 0, &of_file.encode(1)).map_err(failed)?;
            open.file.sync_all().map_err(failed)?;
            sync_folder(path).map_err(failed)?;
            if lost_until > 0 {
                open.take_over(&path.with_file_name(DAMAGED))?;
            }
        }
        Ok(())
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if let Some(open) = &*self.open {
            // Closing the file would do it too.
            flock(&open.file, FlockOperation::Unlock).unwrap_or(());
        }
    }
}

impl Open {
    fn new(file: File) -> Self {
        Self { file, places: HashMap::new(), seen: 0, damaged: None, writes: 0 }
    }

    fn places(&self) -> std::io::Result<u64> {
        Ok(self.file.metadata()?.len() / PLACE_BYTES)
    }

    /// Looks at the places that have not been seen. Places fill in order and never change their subject. What
    /// was cut short while it was written for the first time is the last of them: with something behind it, it is
    /// a record that was lost.
    fn scan(&mut self) -> std::io::Result<Vec<Record>> {
        let places = self.places()?;
        let mut found = Vec::new();
        let mut torn = None;
        let mut free = None;
        for place in self.seen..places {
            match read_place(&self.file, place)? {
                Place::Whole { record, number, .. } => {
                    self.writes = self.writes.saturating_add(number);
                    self.places.insert(record.subject.clone(), place);
                    found.push(*record);
                }
                Place::Empty { is_torn } => {
                    free = free.or(Some(place));
                    torn = torn.or_else(|| is_torn.then_some(place));
                    continue;
                }
                Place::Damaged => self.damaged = Some(place),
            }
            self.damaged = self.damaged.or(torn);
        }
        if self.is_cut_short(places)? {
            self.damaged = self.damaged.or(Some(places));
        }
        self.seen = free.unwrap_or(places);
        Ok(found)
    }

    /// Whether the file ends in the middle of a record: it was cut.
    fn is_cut_short(&self, places: u64) -> std::io::Result<bool> {
        let start = places * PLACE_BYTES;
        let length = usize::try_from(self.file.metadata()?.len().saturating_sub(start));
        let mut rest = vec![0; length.unwrap_or(0).min(COPY_BYTES * 2)];
        match self.file.read_exact_at(&mut rest, start) {
            // Another process makes room meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            read => read.map(|()| rest.iter().any(|byte| *byte != 0)),
        }
    }

    fn put(&mut self, record: &Record) -> std::io::Result<()> {
        let place = match self.places.get(&record.subject) {
            Some(place) => *place,
            None => self.seen,
        };
        if place >= self.places()? {
            self.grow()?;
        }
        let (number, copy) = match read_place(&self.file, place)? {
            // Nobody counts so far: the number was not written by us, and a smaller one would be the older copy.
            Place::Whole { number: u64::MAX, .. } => {
                return Err(std::io::Error::other("a record has the last number that there is"));
            }
            Place::Whole { number, copy, .. } => (number + 1, 1 - copy),
            Place::Damaged | Place::Empty { .. } => (1, 0),
        };
        self.write_copy(place, copy, &record.encode(number))?;
        if self.places.insert(record.subject.clone(), place).is_none() {
            self.seen = place + 1;
        }
        Ok(())
    }

    /// Takes over every whole record of a file that was put aside. Once: what it lacks is known of no later loss.
    fn take_over(&mut self, aside: &Path) -> Result<()> {
        let failed = |error: std::io::Error| not_kept(aside, &error);
        if !aside.exists() {
            return Ok(());
        }
        // Who was writing to it when it was put aside ends first.
        let file = File::open(aside).map_err(failed)?;
        lock_file(&file, aside)?;
        self.scan().map_err(failed)?;
        for record in whole_aside(file).map_err(failed)? {
            self.put(&record).map_err(failed)?;
        }
        self.file.sync_all().map_err(failed)?;
        std::fs::rename(aside, aside.with_file_name(TAKEN_OVER)).map_err(failed)
    }

    fn write_copy(&self, place: u64, copy: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all_at(bytes, place * PLACE_BYTES + copy * PLACE_BYTES / 2)
    }

    /// Makes room on the disk for more places.
    fn grow(&self) -> std::io::Result<()> {
        let (start, length) = (self.places()? * PLACE_BYTES, CHUNK * PLACE_BYTES);
        match fallocate(&self.file, FallocateFlags::empty(), start, length) {
            Ok(()) => {}
            // Not every file system can: then by writing.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                let zeros = vec![0; usize::try_from(length).unwrap_or(0)];
                self.file.write_all_at(&zeros, start)?;
            }
            Err(error) => return Err(error.into()),
        }
        self.file.sync_all()
    }
}

enum Place {
    Damaged,
    /// Nothing stands there, or the beginning of a first write.
    Empty {
        is_torn: bool,
    },
    Whole {
        record: Box<Record>,
        number: u64,
        copy: u64,
    },
}

/// The newer whole copy. The second copy is only ever written beside a whole first one: a damaged first copy
/// alone is a first write that was cut short, before anything was made.
fn read_place(file: &File, place: u64) -> std::io::Result<Place> {
    let mut bytes = [0; COPY_BYTES * 2];
    match file.read_exact_at(&mut bytes, place * PLACE_BYTES) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Ok(Place::Empty { is_torn: false });
        }
        result => result?,
    }
    let (first, second) = bytes.split_at(COPY_BYTES);
    let whole =
        |copy| move |(number, record)| Place::Whole { record: Box::new(record), number, copy };
    Ok(match (Record::decode(first), Record::decode(second)) {
        (Some(one), Some(two)) if one.0 > two.0 => whole(0)(one),
        (_, Some(two)) => whole(1)(two),
        (Some(one), None) => whole(0)(one),
        (None, None) if second.iter().all(|byte| *byte == 0) => {
            Place::Empty { is_torn: first.iter().any(|byte| *byte != 0) }
        }
        (None, None) => Place::Damaged,
    })
}

/// What a new file is to take over of one that was put aside: its whole records, its own apart.
fn whole_aside(file: File) -> std::io::Result<Vec<Record>> {
    let mut records = Open::new(file).scan()?;
    records.retain(|record| record.subject != Subject::default());
    Ok(records)
}

fn open_file(path: &Path) -> std::io::Result<File> {
    atomic::make_folder(atomic::folder_of(path))?;
    atomic::open_shared(path, OpenOptions::new().read(true).write(true))
}

fn is_at(file: &File, path: &Path) -> bool {
    let facts = |facts: std::fs::Metadata| (facts.dev(), facts.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(own), Ok(there)) => facts(own) == facts(there),
        _ => false,
    }
}

fn lock_file(file: &File, path: &Path) -> Result<()> {
    let mut waited = Duration::ZERO;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(not_kept(path, &error.into())),
        }
        if waited >= PATIENCE {
            return Err(Error::new(
                ErrorKind::UsageNotKept,
                "another process keeps the usage file locked",
            )
            .with_file(path)
            .with_help("nothing was made; find the process that hangs: `fuser` names it"));
        }
        std::thread::sleep(PAUSE);
        waited += PAUSE;
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

fn not_kept(path: &Path, error: &std::io::Error) -> Error {
    let help = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "nothing was made; make room where `state_dir` is"
        }
        std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => {
            "nothing was made; let this process write to `state_dir`, or take the key out of [keyring]"
        }
        _ => "nothing was made; see to the file system of `state_dir`",
    };
    let text = format!("the usage of keys cannot be kept: {error}");
    Error::new(ErrorKind::UsageNotKept, text).with_file(path).with_help(help)
}

fn damaged(path: &Path, place: u64) -> Error {
    let text = format!("record {place} of the usage file is damaged: what it held is not known");
    let file = path.display();
    Error::new(ErrorKind::UsageNotKept, text).with_file(path).with_help(format!(
        "mv {file} {file}.damaged: the next use makes a new file and takes over every record that is whole; a key \
         whose record is lost counts as used until then. A backup knows nothing of what was made since"
    ))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let text = format!("the usage of keys cannot be read: {error}");
    Error::new(ErrorKind::UsageNotKept, text)
        .with_file(path)
        .with_help(format!("let this process read it; ls -l {} says who may", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(thumbprint: &str, exp: u64) -> Record {
        let subject = Subject { thumbprint: thumbprint.into(), ..Subject::default() };
        Record { subject, exp, ..Record::default() }
    }

    fn ledger_in(folder: &Path) -> Ledger {
        Ledger::new(folder, Clock::from_fn(|| crate::clock::from_unix(1_000)))
    }

    fn put(ledger: &Ledger, record: &Record) {
        let mut session = ledger.lock().unwrap();
        session.find(&record.subject).unwrap();
        session.put(record).unwrap();
        session.finish().unwrap();
    }

    #[test]
    fn two_processes_see_each_others_records_in_the_same_places() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (ledger_in(folder.path()), ledger_in(folder.path()));
        assert_ne!(one.owner(), two.owner());
        for index in 0..70 {
            put(if index % 2 == 0 { &one } else { &two }, &record(&format!("k{index}"), index));
        }
        put(&one, &record("k1", 500));
        let read = ledger_in(folder.path()).read().unwrap();
        assert_eq!(read.records.len(), 71);
        assert_eq!(read.writes, Some(72));
        let mut session = two.lock().unwrap();
        assert_eq!(session.find(&record("k1", 0).subject).unwrap().unwrap().exp, 500);
        assert_eq!(session.all().unwrap().len(), 71);
    }

    #[test]
    fn a_torn_write_leaves_the_older_copy_and_two_damaged_copies_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger_in(folder.path());
        for exp in 1..=3 {
            put(&ledger, &record("k", exp));
        }
        let path = folder.path().join(FILE);
        let spoil = |copy: u64| {
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.write_all_at(b"torn", PLACE_BYTES + copy * 1024 + 700).unwrap();
        };
        spoil(0);
        assert_eq!(ledger.read().unwrap().records.pop().unwrap().exp, 2);
        put(&ledger, &record("k", 7));
        assert_eq!(ledger.read().unwrap().records.pop().unwrap().exp, 7);
        spoil(0);
        spoil(1);
        assert_eq!(ledger.read().unwrap_err().kind(), ErrorKind::UsageNotKept);
        let error = ledger_in(folder.path()).lock().unwrap().find(&record("k", 0).subject);
        assert!(error.unwrap_err().message().contains("damaged"));
    }

    #[test]
    fn a_lost_record_hides_no_other_and_a_cut_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let ledger = ledger_in(folder.path());
        for key in ["one", "two", "three"] {
            put(&ledger, &record(key, 7));
        }
        let whole = std::fs::read(&path).unwrap();
        let read = |file: &[u8]| {
            std::fs::write(&path, file).unwrap();
            ledger_in(folder.path()).read().map(|read| read.records.len())
        };
        let place = usize::try_from(PLACE_BYTES).unwrap();
        // The only copy of the second key: it stands before the third.
        let mut spoiled = whole.clone();
        spoiled[place * 2 + 600] ^= 1;
        assert_eq!(read(&spoiled).unwrap_err().kind(), ErrorKind::UsageNotKept);
        // The same of the last one is a first write that was cut short.
        let mut torn = whole.clone();
        torn[place * 3 + 600] ^= 1;
        assert_eq!(read(&torn).unwrap(), 3);
        // A place that a crash left empty.
        let mut hole = whole.clone();
        hole[place * 2..place * 3].fill(0);
        assert_eq!(read(&hole).unwrap(), 3);
        put(&ledger_in(folder.path()), &record("two", 9));
        assert_eq!(ledger_in(folder.path()).read().unwrap().records.len(), 4);
        assert_eq!(read(&whole[..place * 4]).unwrap(), 4);
        assert_eq!(read(&whole[..place * 3 + 500]).unwrap_err().kind(), ErrorKind::UsageNotKept);
    }

    #[test]
    fn a_file_that_was_replaced_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger_in(folder.path());
        put(&ledger, &record("k", 1));
        std::fs::remove_file(folder.path().join(FILE)).unwrap();
        put(&ledger, &record("k", 2));
        assert_eq!(ledger_in(folder.path()).read().unwrap().records.pop().unwrap().exp, 2);
    }

    #[test]
    fn a_new_file_takes_over_what_is_whole_and_knows_what_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        for key in ["one", "two", "three"] {
            put(&ledger_in(folder.path()), &record(key, 7));
        }
        std::fs::write(folder.path().join(JOURNAL), "").unwrap();
        let mut spoiled = std::fs::read(&path).unwrap();
        spoiled[usize::try_from(PLACE_BYTES).unwrap() * 2 + 600] ^= 1;
        std::fs::write(folder.path().join(DAMAGED), spoiled).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lost_until = |key: &str| {
            let ledger = ledger_in(folder.path());
            let mut session = ledger.lock().unwrap();
            let found = session.record(&record(key, 0).subject, 1).unwrap();
            (found.exp, found.lost_until)
        };
        assert_eq!(
            [lost_until("one"), lost_until("two"), lost_until("three")],
            [(7, 0), (0, 1_000 + RESERVED), (7, 0)]
        );
        // It is done once: what was taken over knows nothing of a later loss.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(lost_until("one"), (0, 1_000 + RESERVED));
    }
}
