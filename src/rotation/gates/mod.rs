//! The gates of a step: each is one function that says why the step must wait, or nothing.
//!
//! A new gate is a function in `acting`, `leaving` or here, and a line in [`closed`].

mod acting;
mod leaving;

use std::time::SystemTime;

use serde::Serialize;

use super::announce::{self, Announcement};
use super::life;
use super::mappings::mapped;
use super::sessions::Acted;
use crate::catalogue::{self, Rotation as RotationMode};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Action, History, MappedKey, MappingName, Span};
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::label::Alias;
use crate::usage::{KeyReport, Terms};

pub(super) use acting::{Acting, nothing_acts, outdated, unknown_until};
pub(super) use leaving::{LeftAlive, last_shown, leaves_tokens, left_alive, reads_on};

use acting::{certificate_not_valid, new_to_sessions, not_announced};
use leaving::still_in_use;

/// What a gate looks at.
pub(super) struct Situation<'a> {
    pub(super) action: Action,
    pub(super) mapping: &'a MappingName,
    pub(super) before: &'a [MappedKey],
    pub(super) after: &'a [MappedKey],
    pub(super) set: &'a KeySet,
    pub(super) config: &'a Config,
    pub(super) history: &'a History,
    pub(super) now: SystemTime,
    /// Files that the step gives another name: passwords have nothing else to be known by.
    pub(super) renamed: &'a [(Alias, Alias)],
    /// Whether nothing stood behind the label before, in its scope or around it.
    pub(super) begins: bool,
    /// The key that acts there while there is no mapping, until it begins or from its end on: that of the global list, or of
    /// the label that stands in.
    pub(super) around: Option<&'a MappedKey>,
    /// Those that the label was read with until then, and is not any more.
    pub(super) left_out: &'a [MappedKey],
    /// What the label is read with in this scope from then on.
    pub(super) read_on: &'a [MappedKey],
    /// What acts for sessions until then, if that is another label.
    pub(super) for_sessions: Option<&'a Acted>,
    /// The command as it was given, for help.
    pub(super) command: &'a str,
    /// What is known of the uses of the key that goes.
    pub(super) usage: Option<Result<KeyReport>>,
}

impl Situation<'_> {
    /// Whether both are the same key, whatever the step calls it.
    fn same(&self, before: &MappedKey, after: &MappedKey) -> bool {
        let moved = (before.alias.clone(), after.alias.clone());
        before.is(after) || (before.thumbprint.is_none() && self.renamed.contains(&moved))
    }

    /// The keys that the step takes away.
    pub(super) fn gone(&self) -> impl Iterator<Item = &MappedKey> {
        self.before.iter().filter(|key| !self.after.iter().any(|one| self.same(key, one)))
    }

    /// The keys that the step brings.
    pub(super) fn fresh(&self) -> impl Iterator<Item = &MappedKey> {
        self.after.iter().filter(|key| !self.before.iter().any(|one| self.same(one, key)))
    }

    /// The keys that act before and after, if they differ, or what tokens call them.
    pub(super) fn change_of_active(&self) -> Option<(&MappedKey, &MappedKey)> {
        if nothing_acts(self.set) {
            return None;
        }
        let (old, new) =
            (self.before.first().or(self.around)?, self.after.first().or(self.around)?);
        let is_called_so = self.around.is_none() || old.kid == new.kid;
        (!self.same(old, new) || !is_called_so).then_some((old, new))
    }

    /// Whether the mapping ends, so that what stands around it acts.
    fn ends(&self) -> bool {
        self.around.is_some() && self.after.is_empty()
    }

    /// A key in the list that serves before the step, under the kid that it has after it.
    fn find_in_set(&self, after: &MappedKey) -> Option<&LabelKey> {
        let is_it = |one: MappedKey| one.is(after) && one.kid == after.kid;
        self.set.keys().iter().map(|key| &**key).find(|key| is_it(mapped(self.set, key)))
    }

    /// What is known of a key that is to act; `None`: nothing.
    fn known(&self, new: &MappedKey) -> Option<Announcement> {
        let Situation { config, set, history, mapping, now, .. } = self;
        if self.around.is_some() {
            let key = self.find_in_set(new)?;
            let scope = (set.label(), key.realm.as_ref());
            return announce::announcement(config, set, history, scope, &mapped(set, key), *now);
        }
        let scope = (&mapping.label, mapping.realm.as_ref());
        announce::announcement(config, set, history, scope, self.as_before(new), *now)
    }

    /// What a verdict about a key rests on.
    fn terms(&self, key: &MappedKey, report: &KeyReport) -> Terms {
        let known = (self.history, &*self.spans(key), report);
        life::terms(self.config, (self.set, key), known, self.now)
    }

    /// The places that a key had in the mapping.
    fn spans(&self, key: &MappedKey) -> Vec<Span> {
        self.history.spans(&self.mapping.label, self.mapping.realm.as_ref(), key, self.now)
    }

    /// A key as it is mapped before the step.
    fn as_before<'k>(&'k self, after: &'k MappedKey) -> &'k MappedKey {
        self.before.iter().find(|one| self.same(one, after)).unwrap_or(after)
    }
}

/// A gate that is closed.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Gate {
    /// A stable `snake_case` name.
    pub code: &'static str,
    /// Why it is closed.
    pub message: String,
    /// What to do.
    pub help: String,
    /// When it opens by itself, in RFC 3339; absent: nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<String>,
    /// The option that goes past it: `--now` or `--force`.
    pub override_with: &'static str,
    #[serde(skip)]
    pub(super) kind: ErrorKind,
}

/// Which closed gates are passed; the journal records it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the two options of every step")]
pub struct Overrides {
    /// `--now`: the key acts before everybody knows it.
    pub now: bool,
    /// `--force`: whatever is closed.
    pub force: bool,
}

impl Overrides {
    /// Whether a gate is passed.
    #[must_use]
    pub fn pass(self, gate: &Gate) -> bool {
        self.force || (self.now && gate.override_with == NOW)
    }
}

impl Gate {
    /// The refusal that it stands for.
    pub(super) fn refusal(&self) -> Error {
        Error::new(self.kind, self.message.clone()).with_help(self.help.clone())
    }
}

/// What helps where a journal proves nothing.
const BROKEN: &str = "`claviger history --verify` says more; bring the journal back from a backup, or put it aside: a \
                      new one begins then, and every wait with it";
const NOW: &str = "--now";
const FORCE: &str = "--force";

/// Every gate that is closed.
pub(super) fn closed(situation: &Situation<'_>) -> Vec<Gate> {
    // A leaked key waits for nothing.
    if situation.action == Action::Revoke {
        return must_not_rotate(situation).into_iter().collect();
    }
    let gates =
        [must_not_rotate, not_announced, new_to_sessions, certificate_not_valid, still_in_use];
    gates.iter().filter_map(|gate| gate(situation)).collect()
}

/// Secrets that must never change: salts, and what old data hangs on.
fn must_not_rotate(situation: &Situation<'_>) -> Option<Gate> {
    let label = &situation.mapping.label;
    let mode = catalogue::find(label)?.spec.rotation;
    // Of the first secret nothing was made, unless the journal knows of one before.
    let had_keys = || {
        let records = situation.history.of_label(label);
        records.flat_map(|record| &record.changes).any(|change| {
            change.mapping.label == *label && !(change.before.is_empty() && change.after.is_empty())
        })
    };
    let is_first = situation.begins && !had_keys();
    (mode == RotationMode::None && !is_first).then(|| Gate {
        code: ErrorKind::MustNotRotate.code(),
        kind: ErrorKind::MustNotRotate,
        message: format!(
            "label \"{label}\" must not rotate: what was made with its secret would be lost"
        ),
        help: format!("leave it; if you know better: {} {FORCE}", situation.command),
        opens_at: None,
        override_with: FORCE,
    })
}
