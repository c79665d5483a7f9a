//! The public halves of keys that left a label, in `state_dir/archive`: to answer for the past, never to act.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::crypto::Key;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::JwkHints;
use crate::keyring::keyset::LabelKey;
use crate::label::{Alias, LabelName, StoreName};
use crate::usage::KeyUsage;

const FOLDER: &str = "archive";
/// A larger file is none of ours.
const MAX_BYTES: u64 = 64 << 10;

/// The file of one key under one label.
#[derive(Deserialize, Serialize)]
struct Archived {
    label: LabelName,
    alias: Alias,
    kid: String,
    thumbprint: String,
    /// SubjectPublicKeyInfo in DER.
    spki_base64: String,
}

/// Keeps the public half of a key; of a symmetric key nothing.
///
/// # Errors
/// [`ErrorKind::Io`].
pub(super) fn keep(state_dir: &Path, label: &LabelName, key: &LabelKey) -> Result<()> {
    let Some(spki) = key.key.spki() else { return Ok(()) };
    let thumbprint = key.key.thumbprint();
    let archived = Archived {
        label: label.clone(),
        alias: key.alias.clone(),
        kid: key.kid.clone(),
        thumbprint: thumbprint.to_owned(),
        spki_base64: STANDARD.encode(spki),
    };
    let folder = state_dir.join(FOLDER);
    atomic::create_folder(&folder)?;
    let text = serde_json::to_string_pretty(&archived)
        .map_err(|error| Error::new(ErrorKind::Bug, "the archive").with_source(error))?;
    atomic::replace(&folder.join(format!("{label}.{thumbprint}.json")), text.as_bytes())
}

/// The archived keys of a label.
///
/// # Errors
/// [`ErrorKind::StoreUnreadable`], [`ErrorKind::Damaged`].
pub(super) fn read(state_dir: &Path, label: &LabelName) -> Result<Vec<LabelKey>> {
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
fn parse(bytes: &[u8]) -> Option<LabelKey> {
    let archived: Archived = serde_json::from_slice(bytes).ok()?;
    let key = Key::from_public(&STANDARD.decode(archived.spki_base64).ok()?).ok()?;
    let store: StoreName = FOLDER.parse().ok()?;
    (key.thumbprint() == archived.thumbprint).then(|| LabelKey {
        alias: archived.alias,
        store,
        realm: None,
        kid: archived.kid,
        key,
        hints: JwkHints::default(),
        usage: KeyUsage::default(),
    })
}
