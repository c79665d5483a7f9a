//! The keys that were revoked: refused from then on under any alias, in any store, from any old file.
//!
//! Two witnesses must agree: the revocations in the journal, and `revoked.json`, which names their records.
//! A key that either of them names is refused; where they differ, somebody changed a file, and that is told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{History, Journal, Record};
use crate::atomic;
use crate::error::{Error, ErrorKind, Result};
use crate::label::{Alias, LabelName};

/// The name of the file in `state_dir`.
pub const FILE_NAME: &str = "revoked.json";

/// One revoked key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Tombstone {
    /// The key's thumbprint.
    pub thumbprint: String,
    /// The alias that it had.
    pub alias: Alias,
    /// The label of which it was revoked.
    pub label: LabelName,
    /// When.
    #[serde(with = "crate::clock::rfc3339_text")]
    pub revoked_at: SystemTime,
    /// Since when somebody else may have had it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::clock::rfc3339_text::optional"
    )]
    pub compromised_at: Option<SystemTime>,
    /// The record of the journal that says so, and its hash.
    pub record: u64,
    /// See `record`.
    pub hash: String,
}

/// Every revoked key of a state directory.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Tombstones {
    keys: BTreeMap<String, Tombstone>,
    /// Where file and journal differ, in words.
    pub findings: Vec<String>,
}

#[derive(Default, Deserialize, Serialize)]
struct Content {
    keys: Vec<Tombstone>,
}

impl Tombstones {
    /// Reads both witnesses. A state directory that is not there has no tombstones.
    ///
    /// # Errors
    /// [`ErrorKind::StoreUnreadable`], [`ErrorKind::Damaged`] if `revoked.json` cannot be read,
    /// [`ErrorKind::LimitExceeded`].
    pub fn load(state_dir: &Path) -> Result<Self> {
        Self::of(state_dir, &Journal::of(state_dir).read()?)
    }

    /// As [`Tombstones::load`], of a journal that was read.
    ///
    /// # Errors
    /// As [`Tombstones::load`].
    pub fn of(state_dir: &Path, history: &History) -> Result<Self> {
        let mut tombstones = Self::default();
        for stone in read_file(state_dir)?.unwrap_or_default().keys {
            if history.hash_of(stone.record) != Some(stone.hash.as_str()) {
                tombstones.findings.push(format!(
                    "{FILE_NAME} has alias \"{}\" of label \"{}\" revoked by record {} of the journal, \
                     and the journal does not: one of the files was changed",
                    stone.alias, stone.label, stone.record
                ));
            }
            tombstones.keys.insert(stone.thumbprint.clone(), stone);
        }
        let mut said: BTreeMap<String, Tombstone> = BTreeMap::new();
        for stone in history.revocations().filter_map(|record| stone_of(record, history)) {
            // Of when the key leaked the last word counts; it is refused since the first.
            let first = said.get(&stone.thumbprint).map_or(stone.revoked_at, |one| one.revoked_at);
            said.insert(stone.thumbprint.clone(), Tombstone { revoked_at: first, ..stone });
        }
        for stone in said.into_values() {
            let saved = tombstones.keys.get(&stone.thumbprint);
            if saved.is_none_or(|saved| saved.record < stone.record) {
                tombstones.findings.push(format!(
                    "the journal has alias \"{}\" of label \"{}\" revoked by record {}, and {FILE_NAME} \
                     does not: the next step of a rotation writes it again",
                    stone.alias, stone.label, stone.record
                ));
                tombstones.keys.insert(stone.thumbprint.clone(), stone);
            }
        }
        if let Some(broken) = &history.broken {
            tombstones.findings.push(format!(
                "the journal is not what was written: line {}: {}",
                broken.line, broken.reason
            ));
        }
        Ok(tombstones)
    }

    /// The tombstone of a key.
    #[must_use]
    pub fn find(&self, thumbprint: &str) -> Option<&Tombstone> {
        self.keys.get(thumbprint)
    }

    /// All of them, by thumbprint.
    pub fn iter(&self) -> impl Iterator<Item = &Tombstone> {
        self.keys.values()
    }

    /// Writes every tombstone that either witness has.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub(crate) fn save(&self, state_dir: &Path) -> Result<()> {
        let content = Content { keys: self.keys.values().cloned().collect() };
        let mut text = serde_json::to_string_pretty(&content)
            .map_err(|error| Error::new(ErrorKind::Bug, "JSON encoding").with_source(error))?;
        text.push('\n');
        atomic::replace(&path(state_dir), text.as_bytes())
    }

    /// Whether the file lacks one that the journal has.
    pub(crate) fn is_saved(&self, state_dir: &Path) -> bool {
        let saved = read_file(state_dir).ok().flatten().unwrap_or_default();
        self.keys.values().all(|stone| saved.keys.contains(stone))
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE_NAME)
}

fn read_file(state_dir: &Path) -> Result<Option<Content>> {
    let path = path(state_dir);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let text = format!("the tombstones cannot be read: {error}");
            return Err(Error::new(ErrorKind::StoreUnreadable, text)
                .with_file(path)
                .with_help("`state_dir` must be readable for whoever uses the configuration"));
        }
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Error::new(ErrorKind::Damaged, format!("the tombstones cannot be read: {error}"))
            .with_file(path)
            .with_help(
                "restore the file; or move it away: the journal still refuses the revoked keys",
            )
    })
}

fn stone_of(record: &Record, history: &History) -> Option<Tombstone> {
    let alias = record.alias.clone()?;
    let thumbprint = record.thumbprint()?.to_owned();
    Some(Tombstone {
        thumbprint,
        alias,
        label: record.label.clone()?,
        revoked_at: record.time,
        compromised_at: record.compromised_at,
        record: record.seq,
        hash: history.hash_of(record.seq)?.to_owned(),
    })
}
