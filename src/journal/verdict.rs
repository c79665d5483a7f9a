//! Whether a journal is whole: its chain, what names its records from outside, and a head that somebody kept.

use std::path::Path;

use serde::Serialize;

use super::History;
use super::anchors::{self, Head};
use super::history::{Break, Torn};
use crate::error::Result;

/// What was found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// Whether nothing is missing or altered.
    pub ok: bool,
    /// How many records there are.
    pub records: usize,
    /// Where the chain breaks.
    pub broken: Option<Break>,
    /// What a crash cut short.
    pub torn: Option<Torn>,
    /// What is named from outside and is not there.
    pub missing: Vec<String>,
    /// The end.
    pub head: Option<Head>,
    /// The number of the record whose hash somebody kept.
    pub kept_head_is_record: Option<u64>,
}

/// Checks a journal; `kept` is the hash of a head that a step printed and somebody kept.
///
/// # Errors
/// Those of [`anchors::findings`].
pub fn verify(state_dir: &Path, history: &History, kept: Option<&str>) -> Result<Verdict> {
    let mut missing = anchors::findings(state_dir, history)?;
    let found = kept.map(|hash| (hash, history.find_hash(hash)));
    if let Some((hash, None)) = found {
        missing.push(format!(
            "no record has the hash {}: the end of the journal was cut off, it is an older copy, or another journal",
            hash.escape_debug()
        ));
    }
    Ok(Verdict {
        ok: history.broken.is_none() && missing.is_empty(),
        records: history.records.len(),
        broken: history.broken.clone(),
        torn: history.torn.clone(),
        missing,
        head: history.head(),
        kept_head_is_record: found.and_then(|(_, seq)| seq),
    })
}
