//! The public halves of keys that stand or stood behind a label, in `state_dir/archive`: to answer for the past,
//! never to act.
//!
//! They are kept as soon as a key is seen: a key that is taken out by hand is gone when that is noticed.

use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::crypto::Key;
use crate::error::{Error, ErrorKind, Result};
use crate::label::{Alias, LabelName};

const FOLDER: &str = "archive";
/// A larger file is none of ours.
const MAX_BYTES: u64 = 64 << 10;

/// The file of one key under one label.
#[derive(Deserialize, Serialize)]
struct File {
    label: LabelName,
    alias: Alias,
    kid: String,
    thumbprint: String,
    /// SubjectPublicKeyInfo in DER.
    spki_base64: String,
}

/// A key that stands behind a label.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'k> {
    pub(crate) label: &'k LabelName,
    pub(crate) alias: &'k Alias,
    pub(crate) kid: &'k str,
    pub(crate) key: &'k Key,
}

/// A public half that was kept.
#[derive(Debug)]
pub(crate) struct Archived {
    pub(crate) alias: Alias,
    pub(crate) kid: String,
    pub(crate) key: Key,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Durability {
    /// It is on disk before its key may leave.
    Now,
    /// Whenever the system writes it: what is lost is written again the next time its key is seen.
    Soon,
}

/// Keeps the public half of a key; of a symmetric key nothing. What is kept already is left alone.
///
/// # Errors
/// [`ErrorKind::Io`].
pub(crate) fn keep(state_dir: &Path, seen: Seen<'_>, durability: Durability) -> Result<()> {
    let Some(spki) = seen.key.spki() else { return Ok(()) };
    let thumbprint = seen.key.thumbprint();
    let file = File {
        label: seen.label.clone(),
        alias: seen.alias.clone(),
        kid: seen.kid.to_owned(),
        thumbprint: thumbprint.to_owned(),
        spki_base64: STANDARD.encode(spki),
    };
    let text = serde_json::to_string_pretty(&file)
        .map_err(|error| Error::new(ErrorKind::Bug, "the archive").with_source(error))?;
    let folder = state_dir.join(FOLDER);
    let path = folder.join(format!("{}.{thumbprint}.json", seen.label));
    if std::fs::read(&path).is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    atomic::create_folder(&folder)?;
    match durability {
        Durability::Now => atomic::replace(&path, text.as_bytes()),
        Durability::Soon => write_soon(&folder, &path, text.as_bytes()),
    }
}

fn write_soon(folder: &Path, path: &Path, text: &[u8]) -> Result<()> {
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(text)?;
        atomic::give_to_owner_of(folder, file.as_file());
        file.persist(path).map_err(|error| error.error)
    });
    written.map(drop).map_err(|error| atomic::failed(path, error))
}

/// The archived keys of a label.
///
/// # Errors
/// [`ErrorKind::StoreUnreadable`], [`ErrorKind::Damaged`].
pub(crate) fn read(state_dir: &Path, label: &LabelName) -> Result<Vec<Archived>> {
    let folder = state_dir.join(FOLDER);
    let unreadable = |path: &Path, error: &std::io::Error| {
        Error::new(ErrorKind::StoreUnreadable, format!("cannot be read: {error}")).with_file(path)
    };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&folder, &error)),
    };
    let prefix = format!("{label}.");
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(&folder, &error))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // A thumbprint has no dot: longer labels do not fit.
        let rest = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".json"));
        if rest.is_some_and(|rest| !rest.contains('.')) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let mut keys = Vec::new();
    for path in paths {
        let facts = std::fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        // A power cut may leave an empty file of what was to be written soon.
        if facts.len() == 0 {
            continue;
        }
        let damaged = || {
            Error::new(ErrorKind::Damaged, "it is no archived key")
                .with_file(&path)
                .with_help("bring it back from a backup, or remove it: then its tokens are unknown")
        };
        if facts.len() > MAX_BYTES {
            return Err(damaged());
        }
        let bytes = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?;
        keys.push(parse(&bytes).ok_or_else(damaged)?);
    }
    Ok(keys)
}

/// The key of a file, if it is the one that the file says.
fn parse(bytes: &[u8]) -> Option<Archived> {
    let file: File = serde_json::from_slice(bytes).ok()?;
    let key = Key::from_public(&STANDARD.decode(file.spki_base64).ok()?).ok()?;
    (key.thumbprint() == file.thumbprint).then_some(Archived {
        alias: file.alias,
        kid: file.kid,
        key,
    })
}
