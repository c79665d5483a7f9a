//! How `labels` and `status` show what is known of a key: phase, uses, horizon.

use std::sync::Arc;

use claviger::clock::{from_unix, rfc3339};
use claviger::ops::KeySet;
use claviger::profiles::Parts;
use claviger::rotation::{GoneKey, KeyLife};
use claviger::usage::{Act, Horizon, KeyReport};

/// The heads of [`cells`].
pub(crate) const HEAD: [&str; 5] = ["MADE", "LAST MADE", "READ", "LAST READ", "HORIZON"];

/// Made is signed and encrypted, read is verified and decrypted.
pub(crate) fn cells(life: &KeyLife) -> [String; 5] {
    let [made, last_made, read, last_read] = uses(&life.report);
    [made, last_made, read, last_read, horizon(life)]
}

/// The same of a key that left its label.
pub(crate) fn cells_of_gone(gone: &GoneKey) -> [String; 5] {
    let [made, last_made, read, last_read] = uses(&gone.report);
    [made, last_made, read, last_read, format!("left {}", rfc3339(gone.since))]
}

/// A line for a key that has used half of its messages, or all.
pub(crate) fn budget_note(label: &str, alias: &str, report: &KeyReport) -> Option<String> {
    let warning = report.budget_warning()?;
    Some(format!("warning: alias \"{alias}\" of label \"{label}\" {warning}"))
}

/// The same for the key that has just acted.
pub(crate) fn budget_note_of(set: &KeySet) -> Option<String> {
    let active = set.active();
    let report = active.usage.report().ok().flatten()?;
    budget_note(set.label().as_str(), active.alias.as_str(), &report)
}

/// The same for what encrypted a token of a profile.
pub(crate) fn budget_note_of_parts(keys: &Parts<Arc<KeySet>>) -> Option<String> {
    keys.encryption().and_then(|set| budget_note_of(set))
}

fn uses(report: &KeyReport) -> [String; 4] {
    let both = |one, other| {
        let last = report.last(one).max(report.last(other)).map(from_unix);
        let count = report.count(one).saturating_add(report.count(other));
        (count.to_string(), last.map_or_else(|| "-".to_owned(), rfc3339))
    };
    let (made, last_made) = both(Act::Signed, Act::Encrypted);
    let (read, last_read) = both(Act::Verified, Act::Decrypted);
    [made, last_made, read, last_read]
}

fn horizon(life: &KeyLife) -> String {
    match (life.horizon, life.safe_after) {
        (Horizon::Unknown(doubt), _) | (_, Err(doubt)) => {
            format!("unknown, not provable: {}", doubt.reason())
        }
        (Horizon::Nothing, _) => "-".to_owned(),
        (Horizon::Until(end), _) => rfc3339(from_unix(end)),
    }
}
