//! Who names records of the journal from outside: a tail that was cut off shows there.
//!
//! The chain itself shows every change but one: a journal that ends early is a shorter journal. So its last
//! record is named in a file beside it, as tombstones and receipts name theirs. Whoever cuts all of them alike,
//! or brings a whole old directory back, is found with a head that was kept elsewhere: every step prints it.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::tombstones::Tombstones;
use super::{History, Record};
use crate::atomic;
use crate::error::{Error, ErrorKind, Result};

/// The name of the file in `state_dir`.
pub const FILE_NAME: &str = "journal.head";
/// The folder of receipts in `state_dir`.
pub const RECEIPTS: &str = "receipts";
/// The member of a record's detail that says which record was missing.
const LOST: &str = "lost_head";

/// A record by number and hash. The hash is over everything before it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "what a record is named by")]
pub struct Head {
    /// Its number.
    pub seq: u64,
    /// The hash of its line, 64 hex digits.
    pub hash: String,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}, head {}", self.seq, self.hash)
    }
}

impl Head {
    /// Names it beside the journal, for the next reader.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub(crate) fn save(&self, state_dir: &Path) -> Result<()> {
        let text = serde_json::to_string(self)
            .map_err(|error| Error::new(ErrorKind::Bug, "JSON encoding").with_source(error))?;
        atomic::replace(&state_dir.join(FILE_NAME), format!("{text}\n").as_bytes())
    }

    /// What was named last; `None`: nothing was, or the file is not what was written.
    #[must_use]
    pub fn load(state_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(state_dir.join(FILE_NAME)).ok()?).ok()
    }

    /// The detail of a record that notes that this one is missing.
    pub(crate) fn lost(&self) -> serde_json::Value {
        serde_json::json!({ LOST: self })
    }
}

/// The head that a record notes as missing.
fn lost_by(record: &Record) -> Option<Head> {
    serde_json::from_value(record.detail.as_ref()?.get(LOST)?.clone()).ok()
}

impl History {
    /// Its last record.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        let seq = self.records.last()?.seq;
        Some(Head { seq, hash: self.hash_of(seq)?.to_owned() })
    }

    /// The number of the record with this hash, if it is in the journal.
    #[must_use]
    pub fn find_hash(&self, hash: &str) -> Option<u64> {
        self.records.iter().map(|record| record.seq).find(|seq| self.hash_of(*seq) == Some(hash))
    }

    /// The record that is named beside the journal and is not in it, unless that is noted already.
    #[must_use]
    pub fn lost_head(&self, state_dir: &Path) -> Option<Head> {
        let head = Head::load(state_dir)?;
        let known = self.hash_of(head.seq) == Some(head.hash.as_str())
            || self.records.iter().any(|record| lost_by(record).as_ref() == Some(&head));
        (!known).then_some(head)
    }

    /// The records that were found missing, and the number of the record that says so.
    pub fn losses(&self) -> impl Iterator<Item = (u64, Head)> {
        self.records.iter().filter_map(|record| Some((record.seq, lost_by(record)?)))
    }
}

/// What in a state directory names records that the journal does not have, in words.
///
/// # Errors
/// [`ErrorKind::StoreUnreadable`], [`ErrorKind::Damaged`] for the tombstones.
pub fn findings(state_dir: &Path, history: &History) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if let Some(head) = history.lost_head(state_dir) {
        found.push(format!(
            "{FILE_NAME} names record {}, which the journal does not have: its end was cut off, or one of \
             the files is of another time",
            head.seq
        ));
    }
    found.extend(Tombstones::of(state_dir, history)?.findings);
    found.extend(receipts(state_dir, history));
    Ok(found)
}

/// Receipts whose record is not in the journal.
fn receipts(state_dir: &Path, history: &History) -> Vec<String> {
    #[derive(Deserialize)]
    struct Named {
        journal_seq: Option<u64>,
        journal_hash: Option<String>,
    }
    let entries = std::fs::read_dir(state_dir.join(RECEIPTS)).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let missing = |path: &std::path::PathBuf| {
        let named: Option<Named> =
            std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let Some(Named { journal_seq: Some(seq), journal_hash: Some(hash) }) = named else {
            return Some(format!("{} is no receipt any more", path.display()));
        };
        (history.hash_of(seq) != Some(hash.as_str())).then(|| {
            format!("{} names record {seq}, which the journal does not have", path.display())
        })
    };
    paths.iter().filter_map(missing).collect()
}
