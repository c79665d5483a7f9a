//! What one line of the journal says: who did what to which mapping, when, why, and how it ended.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::label::{Alias, LabelName, Realm, StoreName};

/// The member of [`Record::detail`] that says so.
const OLDER_USAGE: &str = "older_usage";

/// One record. Fields that say nothing are left out of the line.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "other modules write records")]
pub struct Record {
    /// Counts the records of a journal from 1; set when it is appended.
    pub seq: u64,
    /// When.
    #[serde(with = "crate::clock::rfc3339_text")]
    pub time: SystemTime,
    /// What became of it.
    pub event: Event,
    /// What was done, or tried.
    pub action: Action,
    /// Who.
    pub who: Actor,
    /// The record that announced this one: of [`Event::Done`] and [`Event::Aborted`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<u64>,
    /// The label that was asked for; absent where the whole configuration is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelName>,
    /// The realm of the mapping that was asked for; absent: global, or not told, as by earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<Realm>,
    /// The alias that the step is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<Alias>,
    /// The mappings before and after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<MappingChange>,
    /// Why, in the words of who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Codes of the gates that were closed and overridden.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<String>,
    /// Why it was refused or aborted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// Of a revocation: since when somebody else may have had the key.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::clock::rfc3339_text::optional"
    )]
    pub compromised_at: Option<SystemTime>,
    /// SHA-256 of the configuration file before and after, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigHashes>,
    /// The longest time that key sets are cached from now on, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_secs: Option<u64>,
    /// How late processes may notice a change from now on, in seconds; 0: they never do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload_secs: Option<u64>,
    /// For how many seconds processes were found to wait before they look for changes, longer than any record said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_wait_secs: Option<u64>,
    /// From when until when a process was found to have gone on with an old configuration, in seconds since 1970: what was
    /// changed then it did not load.
    #[serde(rename = "behind_unix_secs", default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<(u64, u64)>,
    /// How long tokens without an `exp` live from now on, in seconds, of labels for which that changed; 0: nobody says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lifetimes: BTreeMap<LabelName, u64>,
    /// How often the usage file had been written: one that was written less often is an older copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_writes: Option<u64>,
    /// What only this action knows: a receipt, a count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
}

impl Record {
    /// A record with nothing but the facts that every one has.
    #[must_use]
    pub const fn new(event: Event, action: Action, who: Actor, time: SystemTime) -> Self {
        Self {
            seq: 0,
            time,
            event,
            action,
            who,
            begin: None,
            label: None,
            realm: None,
            alias: None,
            changes: Vec::new(),
            reason: None,
            overridden: Vec::new(),
            refusal: None,
            compromised_at: None,
            config: None,
            max_age_secs: None,
            reload_secs: None,
            longest_wait_secs: None,
            behind: None,
            lifetimes: BTreeMap::new(),
            usage_writes: None,
            detail: None,
        }
    }

    /// Whether it is about a label, or any, as a realm sees it: about its own mapping or the global one. What changed says
    /// that; where nothing did, what was asked for.
    #[must_use]
    pub fn concerns(&self, label: Option<&LabelName>, realm: Option<&Realm>) -> bool {
        if self.changes.is_empty() {
            (label.is_none() || self.label.as_ref() == label)
                && (self.realm.is_none() || self.realm.as_ref() == realm)
        } else {
            self.changes.iter().any(|change| change.concerns(label, realm))
        }
    }

    /// What it says of a label as a realm sees it. Of a step that reached further the rest is left out, and for which
    /// label it was asked.
    #[must_use]
    pub fn told_of(&self, label: &LabelName, realm: Option<&Realm>) -> Option<Self> {
        if !self.concerns(Some(label), realm) {
            return None;
        }
        let mut told = self.clone();
        told.changes.retain(|change| change.concerns(Some(label), realm));
        told.lifetimes.retain(|one, _| one == label);
        if told.changes.len() < self.changes.len() {
            told.detail = None;
        }
        let elsewhere = self.realm.is_some() && self.realm.as_ref() != realm;
        if elsewhere || self.label.as_ref() != Some(label) {
            (told.label, told.realm, told.alias) = (None, None, None);
        }
        Some(told)
    }

    /// That the usage file was found to have been written less often than `known`: it is an older copy.
    pub(crate) fn older_usage(known: u64) -> serde_json::Value {
        serde_json::json!({ OLDER_USAGE: known })
    }

    pub(super) fn finds_older_usage(&self) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.get(OLDER_USAGE).is_some())
    }

    /// Whether the mappings are as `changes` says from this record on.
    #[must_use]
    pub const fn took_effect(&self) -> bool {
        matches!(self.event, Event::Done | Event::Noticed)
    }

    /// Of a revocation: the thumbprint of the key that it is about.
    #[must_use]
    pub fn thumbprint(&self) -> Option<&str> {
        self.detail.as_ref()?.get("thumbprint")?.as_str()
    }
}

/// What became of a step.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// It was interrupted, or failed, and left everything as it was.
    Aborted,
    /// It is about to be done.
    Begin,
    /// It is done.
    Done,
    /// Somebody did it otherwise, and it was found.
    Noticed,
    /// It was refused.
    Refused,
    /// A word of a later version.
    #[serde(other)]
    Other,
}

/// What was done, or tried.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// A process was found to have gone on with an old configuration: the new one was refused there.
    Behind,
    /// The mappings were edited by hand, or the keys behind them were replaced.
    EditedByHand,
    /// The journal begins: the mappings as they were found.
    FirstSeen,
    /// The journal begins with the keys that were made for it: none of them had made anything.
    Init,
    /// An alias went to the front.
    Promote,
    /// A torn last line was dropped, or records were found missing.
    Recover,
    /// Aliases changed places.
    Reorder,
    /// An alias was taken out.
    Retire,
    /// A key was banned for good.
    Revoke,
    /// The steps that schedules have due.
    Schedule,
    /// An alias was added at the end.
    Stage,
    /// The last step of a label was taken back.
    Undo,
    /// A word of a later version.
    #[serde(other)]
    Other,
}

impl Action {
    /// The word of commands and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::EditedByHand => "edited-by-hand",
            Self::FirstSeen => "first-seen",
            Self::Init => "init",
            Self::Other => "other",
            Self::Promote => "promote",
            Self::Recover => "recover",
            Self::Reorder => "reorder",
            Self::Retire => "retire",
            Self::Revoke => "revoke",
            Self::Schedule => "schedule",
            Self::Stage => "stage",
            Self::Undo => "undo",
        }
    }
}

/// Who did it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "programs name their own actors")]
pub struct Actor {
    /// The name given with `--as` or `$CLAVIGER_ACTOR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The user of the process.
    pub user: String,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// The program and its version.
    pub program: String,
}

impl Actor {
    /// This process; `name` is who stands behind it, if somebody said so.
    #[must_use]
    pub fn of_this_process(name: Option<String>) -> Self {
        let uid = rustix::process::getuid().as_raw();
        let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
        let user = user.map_or_else(|_| format!("uid {uid}"), |user| format!("{user} (uid {uid})"));
        Self {
            name,
            user,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid: std::process::id(),
            program: concat!("claviger ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// One mapping before and after.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "other modules write records")]
pub struct MappingChange {
    /// Which mapping.
    #[serde(flatten)]
    pub mapping: MappingName,
    /// Its keys before, the active one first.
    pub before: Vec<MappedKey>,
    /// Its keys after.
    pub after: Vec<MappedKey>,
    /// Until when what some of these made around the mapping lives, by thumbprint: the mapping began with them, and its
    /// scope reads that.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub made_around: BTreeMap<String, MadeAround>,
}

impl MappingChange {
    /// What the names of the keys before and after do not show, a clause each.
    #[must_use]
    pub fn behind_the_names(&self) -> Vec<String> {
        let told = |new: &MappedKey| {
            let alias = &new.alias;
            if let Some(old) = self.before.iter().find(|old| old.is(new)) {
                let kid =
                    (old.kid != new.kid).then(|| format!("the kid of \"{alias}\" is {}", new.kid));
                let shown = (old.published != new.published).then(|| match new.published {
                    true => format!("key sets show \"{alias}\""),
                    false => format!("key sets do not show \"{alias}\""),
                });
                return kid.into_iter().chain(shown).collect::<Vec<_>>();
            }
            let is_another = self.before.iter().any(|old| old.alias == *alias);
            is_another.then(|| format!("\"{alias}\" is another key")).into_iter().collect()
        };
        self.after.iter().flat_map(told).collect()
    }
}

/// What a key made elsewhere that is read in a mapping: seconds since 1970; 0: nothing.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "other modules write records")]
pub struct MadeAround {
    /// The latest `exp` of all.
    pub exp: u64,
    /// When something was last made that carries none.
    pub open: u64,
}

impl MadeAround {
    /// What lives as long as either.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { exp: self.exp.max(other.exp), open: self.open.max(other.open) }
    }
}

impl MappingChange {
    fn concerns(&self, label: Option<&LabelName>, realm: Option<&Realm>) -> bool {
        let mapping = &self.mapping;
        label.is_none_or(|label| mapping.label == *label)
            && (mapping.realm.is_none() || mapping.realm.as_ref() == realm)
    }
}

/// A mapping: a label in a store.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "other modules write records")]
pub struct MappingName {
    /// The label.
    pub label: LabelName,
    /// The realm of the store; absent: global.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub realm: Option<Realm>,
    /// The store.
    pub store: StoreName,
}

/// A key in its mapping.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "other modules write records")]
pub struct MappedKey {
    /// Its alias.
    pub alias: Alias,
    /// How tokens name it; empty for passwords.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kid: String,
    /// Whether the mapping gives it this kid: `{ alias = "…", kid = "…" }`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_kid: bool,
    /// RFC 7638 thumbprint, or what stands for it. Absent for passwords: a word could be guessed from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbprint: Option<String>,
    /// Whether the key set of the label shows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub published: bool,
}

impl MappedKey {
    /// Whether both are the same key: by thumbprint, where there is none by alias.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (&self.thumbprint, &other.thumbprint) {
            (Some(one), Some(another)) => one == another,
            _ => self.alias == other.alias,
        }
    }
}

/// Why something was not done.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "other modules write records")]
pub struct Refusal {
    /// A stable `snake_case` name.
    pub code: String,
    /// The sentence.
    pub message: String,
}

/// SHA-256 of the configuration file in hex.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "other modules write records")]
pub struct ConfigHashes {
    /// Before the step.
    pub before: String,
    /// After it.
    pub after: String,
}
