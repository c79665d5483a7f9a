//! The journal: an append-only file of records in `state_dir`, each bound to the one before by a hash.
//!
//! ```text
//! {"hash":"<64 hex>","record":{…}}\n     hash = SHA-256(hash of the line before, "\n", record as it stands)
//! ```
//!
//! Nothing is ever rewritten but a torn last line, the trace of a crash in the middle of a write. The chain
//! shows every later change of a line; a tail that was cut off shows in the [`anchors`], which name records, and
//! in the configuration, which differs from the last one that is recorded.

pub mod anchors;
pub(crate) mod archive;
mod history;
mod record;
pub mod tombstones;
mod verdict;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

use crate::atomic;
use crate::crypto::sha256;
use crate::error::{Error, ErrorKind, Result};

pub use anchors::Head;
pub(crate) use history::stay;
pub use history::{Break, History, Span, Torn, unrecorded_until};
pub use record::{
    Action, Actor, ConfigHashes, Event, MadeAround, MappedKey, MappingChange, MappingName, Record,
    Refusal,
};
pub use verdict::{Verdict, verify};

/// The name of the file in `state_dir`.
pub const FILE_NAME: &str = "journal.jsonl";

/// A larger journal is not read: something else writes it.
const MAX_BYTES: u64 = 256 << 20;
/// No line is longer.
const MAX_LINE: u64 = 4 << 20;
/// Room that is kept on disk, so that what was begun can be ended on a full one.
const RESERVE: u64 = 64 << 10;
/// The hash before the first line.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A journal in a state directory. Holds nothing open; every call stands for itself.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The journal of a state directory, which need not be there yet.
    #[must_use]
    pub fn of(state_dir: &Path) -> Self {
        Self { path: state_dir.join(FILE_NAME) }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every record, and where the chain breaks, if it does. A journal that is not there is empty.
    ///
    /// # Errors
    /// [`ErrorKind::StoreUnreadable`], [`ErrorKind::LimitExceeded`].
    pub fn read(&self) -> Result<History> {
        let bytes = match File::open(&self.path) {
            Ok(file) => {
                // A writer holds its lock only while it writes: what is read is whole.
                // Where locks fail, a line in the middle of being written reads as torn.
                let _locked = flock(&file, FlockOperation::LockShared).is_ok();
                let mut bytes = Vec::new();
                let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
                read.map_err(|error| self.unreadable(&error))?;
                bytes
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(self.unreadable(&error)),
        };
        if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_BYTES) {
            let text = format!("the journal is larger than {MAX_BYTES} bytes");
            return Err(Error::new(ErrorKind::LimitExceeded, text).with_file(&self.path));
        }
        Ok(History::parse(&bytes))
    }

    /// Appends records in one write; they are on disk when this returns, numbered. A torn last line is
    /// dropped first, and that is recorded too.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]: then nothing was appended.
    pub fn append(&self, mut records: Vec<Record>) -> Result<Vec<Record>> {
        if let Some(folder) = self.path.parent() {
            atomic::create_folder(folder)?;
        }
        let fresh = !self.path.exists();
        let mut file = self.open().map_err(|error| self.unwritable(&error))?;
        let mut end = self.find_end(&mut file).map_err(|error| self.unwritable(&error))?;
        if let (Some(dropped), Some(first)) = (end.torn, records.first()) {
            let mut note =
                Record::new(Event::Noticed, Action::Recover, first.who.clone(), first.time);
            note.detail = Some(serde_json::json!({ "torn_bytes": dropped }));
            records.insert(0, note);
        }
        // What begins must be able to end: its end needs no new room.
        let begins = records.iter().any(|record| record.event == Event::Begin);
        let mut text = String::new();
        for record in &mut records {
            end.seq = end.seq.checked_add(1).ok_or_else(Self::uncountable)?;
            record.seq = end.seq;
            end.hash = push_line(&mut text, &end.hash, record)?;
        }
        let written = append_at(&mut file, &end, text.as_bytes(), begins);
        if let Err(error) = written {
            // What did not fit is taken back: the journal is as before.
            drop(file.set_len(end.offset));
            return Err(self.unwritable(&error));
        }
        if fresh {
            atomic::sync_folder(&self.path).map_err(|error| self.unwritable(&error))?;
        }
        Ok(records)
    }

    /// The file, locked against other writers.
    fn open(&self) -> std::io::Result<File> {
        let mut options = std::fs::OpenOptions::new();
        let file = atomic::open_shared(&self.path, options.read(true).write(true))?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }

    fn find_end(&self, file: &mut File) -> std::io::Result<End> {
        let length = file.metadata()?.len();
        let start = length.saturating_sub(MAX_LINE);
        file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        file.take(MAX_LINE).read_to_end(&mut tail)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let torn = tail.len() - whole;
        let offset = length - u64::try_from(torn).unwrap_or(0);
        let lines = tail.get(..whole.saturating_sub(1)).unwrap_or_default();
        let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let (seq, hash) = if whole == 0 {
            (0, GENESIS.to_owned())
        } else {
            // A damaged line stays where it is; the chain goes on from what stands there.
            history::chain_end(last).unwrap_or_else(|| (0, hex::encode(sha256(last))))
        };
        Ok(End { seq, hash, offset, torn: (torn > 0).then_some(torn) })
    }

    /// Nobody makes so many records: the number was written by hand.
    pub(crate) fn uncountable() -> Error {
        let text = "the last record of the journal has the last number that there is";
        Error::new(ErrorKind::Damaged, text).with_help(
            "somebody changed it: bring the journal back from a backup; `claviger history` shows where it breaks",
        )
    }

    fn unreadable(&self, error: &std::io::Error) -> Error {
        Error::new(ErrorKind::StoreUnreadable, format!("the journal cannot be read: {error}"))
            .with_file(&self.path)
            .with_help("`state_dir` must be readable for whoever uses the configuration")
    }

    fn unwritable(&self, error: &std::io::Error) -> Error {
        Error::new(ErrorKind::Io, format!("the journal cannot be written: {error}"))
            .with_file(&self.path)
            .with_help("nothing was changed; make `state_dir` writable, with room on its disk")
    }
}

/// Where the next line goes, and what it follows.
struct End {
    seq: u64,
    hash: String,
    offset: u64,
    torn: Option<usize>,
}

fn append_at(file: &mut File, end: &End, text: &[u8], begins: bool) -> std::io::Result<()> {
    if end.torn.is_some() {
        file.set_len(end.offset)?;
    }
    file.seek(SeekFrom::Start(end.offset))?;
    file.write_all(text)?;
    if begins {
        let past = end.offset + u64::try_from(text.len()).unwrap_or(0);
        // Not every file system can keep room.
        let kept = fallocate(&*file, FallocateFlags::KEEP_SIZE, past, RESERVE);
        if let Err(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT | rustix::io::Errno::FBIG) =
            kept
        {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
    }
    file.sync_all()
}

/// Adds the line of a record; its hash comes back.
fn push_line(text: &mut String, previous: &str, record: &Record) -> Result<String> {
    let body = serde_json::to_string(record)
        .map_err(|error| Error::new(ErrorKind::Bug, "JSON encoding").with_source(error))?;
    if u64::try_from(body.len()).is_ok_and(|len| len > MAX_LINE / 2) {
        let text = "the step changes more mappings than one record holds";
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    }
    let hash = chain(previous, body.as_bytes());
    text.push_str(&format!("{{\"hash\":\"{hash}\",\"record\":{body}}}\n"));
    Ok(hash)
}

/// The hash of a line: over the hash before and the record as it stands.
fn chain(previous: &str, record: &[u8]) -> String {
    hex::encode(sha256(&[previous.as_bytes(), b"\n", record].concat()))
}
