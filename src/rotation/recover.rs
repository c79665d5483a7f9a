//! What a command finds before it begins: a step that a crash cut short, edits by hand, lost tombstones.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::volume_steps::recorded_files;
use super::{Rotation, mappings, noticed, versions};
use crate::clock::{from_unix, rfc3339};
use crate::error::Result;
use crate::journal::tombstones::Tombstones;
use crate::journal::{
    Action, Actor, Event, History, Journal, MappedKey, MappingChange, MappingName, Record, Refusal,
};
use crate::label::{LabelName, StoreName};
use crate::stores::StoreConfig;
use crate::usage::Reports;

impl Rotation {
    /// Brings the journal up to what is there; one without records begins with `beginning`. A preview does so in memory
    /// alone.
    pub(super) fn catch_up(&mut self, beginning: Action, write: bool) -> Result<()> {
        if self.journal.is_none() {
            self.notes.push("nothing is recorded: add state_dir = \"state\" to [keyring]".into());
            return Ok(());
        }
        if let Some(broken) = &self.history.broken {
            self.notes.push(format!(
                "the chain of the journal breaks at line {}, so that it opens no gate: {}",
                broken.line, broken.reason
            ));
        }
        if let Some(torn) = &self.history.torn {
            self.notes.push(format!(
                "line {} of the journal was cut short by a crash; it said nothing that was done",
                torn.line
            ));
        }
        if write {
            self.finish_files()?;
        }
        if write && last_max_age(&self.history).is_none() {
            self.keyring.usage().begin()?;
        }
        self.caches = last_max_age(&self.history).map(Duration::from_secs);
        let found = self.lost().into_iter().chain(self.older_usage()).chain(self.ended());
        let mut records: Vec<Record> = found.collect();
        // A file that cannot be read says so by itself.
        let longest_wait = self.keyring.usage().longest_wait().unwrap_or_default();
        records.extend(self.found_by_hand(beginning, &records, longest_wait));
        let behind = self.keyring.usage().behind().unwrap_or_default();
        if let Some(behind) = behind {
            self.notes.push(told_behind(behind, self.now()));
            records.extend(self.found_behind(behind));
        }
        if write {
            for record in records {
                self.append(record)?;
            }
            self.caches = last_max_age(&self.history).map(Duration::from_secs);
            if longest_wait > self.reload() {
                self.keyring.usage().waits_recorded(longest_wait, self.reload())?;
            }
            if let Some(behind) = behind {
                // What is not forgotten is recorded once more.
                drop(self.keyring.usage().behind_recorded(behind));
            }
            return self.restore_tombstones();
        }
        self.behind = records.first().map(|record| record.time);
        for mut record in records {
            record.seq = self.history.next_seq().ok_or_else(Journal::uncountable)?;
            self.note_made_around(&mut record, self.keyring.usage().reports().ok().as_ref());
            self.history.records.push(record);
        }
        Ok(())
    }

    /// Records that somebody named and that are not there: whoever cuts the journal leaves a record of it.
    fn lost(&mut self) -> Option<Record> {
        let head = self.history.lost_head(&self.state_dir()?)?;
        self.notes.push(format!(
            "record {} of the journal is missing: its end was cut off, or it is an older copy",
            head.seq
        ));
        let mut record = noticed(Action::Recover, &self.actor, self.now());
        record.detail = Some(head.lost());
        Some(record)
    }

    /// That somebody put an older copy of the usage file in its place. A file that cannot be read says so by itself.
    fn older_usage(&mut self) -> Option<Record> {
        let reports = self.keyring.usage().reports().ok()?;
        let record = older_usage(&self.history, &reports, &self.actor, self.now())?;
        self.notes.push(
            "the usage file is an older copy: every key that stands behind a label counts as used until now, and what \
             AES-GCM keys encrypted since is not counted"
                .into(),
        );
        Some(record)
    }

    /// Renames what a crash left half renamed in a volume.
    fn finish_files(&mut self) -> Result<()> {
        let Some(begun) = self.history.unfinished() else { return Ok(()) };
        let recorded = recorded_files(begun);
        if recorded.is_empty() {
            return Ok(());
        }
        let touched =
            |store: &StoreName| begun.changes.iter().any(|change| change.mapping.store == *store);
        for entry in &self.keyring.config().stores {
            if let StoreConfig::Volume(options) = &entry.options
                && touched(&entry.name.value)
            {
                versions::finish(&options.directory, &recorded)?;
            }
        }
        self.reopened()
    }

    /// The end of a step whose process died: done, or as if it had never been.
    fn ended(&mut self) -> Option<Record> {
        let begun = self.history.unfinished()?;
        let is_after =
            begun.changes.iter().all(|change| self.is_now(&change.mapping, &change.after));
        let is_before =
            begun.changes.iter().all(|change| self.is_now(&change.mapping, &change.before));
        let (event, how) = match (is_after, is_before) {
            (true, _) => (Event::Done, "it had been done"),
            (false, true) => (Event::Aborted, "nothing had been changed"),
            (false, false) => (Event::Aborted, "the mapping was edited since"),
        };
        let mut record =
            Record { event, begin: Some(begun.seq), time: self.now(), ..begun.clone() };
        record.who = self.actor.clone();
        if event == Event::Aborted {
            let message = format!("its process died; {how}");
            record.refusal = Some(Refusal { code: "interrupted".into(), message });
        }
        self.notes.push(format!(
            "step {} ({}) was cut short by a crash: {how}",
            begun.seq,
            begun.action.name()
        ));
        Some(record)
    }

    /// Whether the mappings are as a step found them.
    pub(super) fn is_as_before(&self, changes: &[MappingChange]) -> bool {
        changes.iter().all(|change| self.is_now(&change.mapping, &change.before))
    }

    fn is_now(&self, name: &MappingName, keys: &[MappedKey]) -> bool {
        self.mappings.get(name).map_or(&[][..], |mapping| &mapping.keys) == keys
    }

    /// What the mappings, or the times for which key sets are cached, after which changes are noticed and for which
    /// tokens live, have become without a step.
    fn found_by_hand(
        &mut self,
        beginning: Action,
        ended: &[Record],
        longest_wait: Duration,
    ) -> Option<Record> {
        // Refusals of a configuration that did not load may stand before.
        let first = last_max_age(&self.history).is_none();
        let mut known = self.history.mappings();
        for change in ended.iter().filter(|one| one.took_effect()).flat_map(|one| &one.changes) {
            known.insert(&change.mapping, &change.after);
        }
        let changes = mappings::changes(&known, &self.mappings);
        let max_age = self.keyring.config().policy.jwks_max_age.as_secs();
        let same_age = last_max_age(&self.history) == Some(max_age);
        let reload = self.reload().as_secs();
        let same_reload = last_reload(&self.history) == Some(reload);
        let known = last_reload(&self.history).unwrap_or(0).max(reload);
        let longer_wait = Some(longest_wait.as_secs()).filter(|wait| *wait > known);
        let lifetimes = self.new_lifetimes();
        let same_times = same_age && same_reload && longer_wait.is_none() && lifetimes.is_empty();
        if changes.is_empty() && same_times {
            return None;
        }
        let action = if first { beginning } else { Action::EditedByHand };
        if !first {
            self.edited.clone_from(&changes);
        }
        let mut record = noticed(action, &self.actor, self.now());
        record.changes = changes;
        record.max_age_secs = (!same_age).then_some(max_age);
        record.reload_secs = (!same_reload).then_some(reload);
        record.longest_wait_secs = longer_wait;
        record.lifetimes = lifetimes;
        record.config = Some(self.hashes(&self.text));
        Some(record)
    }

    /// That a process went on with an old configuration, unless the last record of that says so already.
    fn found_behind(&self, behind: (u64, u64)) -> Option<Record> {
        let known = self.history.records.iter().rev().find_map(|record| record.behind);
        let mut record = noticed(Action::Behind, &self.actor, self.now());
        record.behind = Some(behind).filter(|_| known != Some(behind));
        record.behind.is_some().then_some(record)
    }

    /// How late a process that has the configuration notices a change; zero: it never does.
    fn reload(&self) -> Duration {
        self.keyring.config().keyring.reload.noticed_within().unwrap_or_default()
    }

    /// The lifetimes of labels that are not as the journal has them.
    fn new_lifetimes(&self) -> BTreeMap<LabelName, u64> {
        let records = self.history.records.iter();
        let known: BTreeMap<&LabelName, u64> = records
            .flat_map(|record| &record.lifetimes)
            .map(|(label, secs)| (label, *secs))
            .collect();
        let config = self.keyring.config();
        let of_label = |label: &LabelName| {
            let lifetime = config.labels.get(label)?.value.max_token_lifetime;
            lifetime.map(|lifetime| lifetime.as_secs())
        };
        let labels: BTreeSet<&LabelName> =
            config.labels.keys().chain(known.keys().copied()).collect();
        labels
            .into_iter()
            .map(|label| (label, of_label(label).unwrap_or(0)))
            .filter(|(label, secs)| known.get(label).copied().unwrap_or(0) != *secs)
            .map(|(label, secs)| (label.clone(), secs))
            .collect()
    }

    /// Writes the tombstones again that the journal has and the file lacks.
    fn restore_tombstones(&mut self) -> Result<()> {
        let Some(state_dir) = self.state_dir() else { return Ok(()) };
        let tombstones = Tombstones::of(&state_dir, &self.history)?;
        if !tombstones.is_saved(&state_dir) {
            tombstones.save(&state_dir)?;
            self.notes.push("tombstones of revoked keys were missing and are written again".into());
        }
        Ok(())
    }
}

/// A record of a usage file that was written less often than the journal knows.
pub(super) fn older_usage(
    history: &History,
    reports: &Reports,
    actor: &Actor,
    now: SystemTime,
) -> Option<Record> {
    let known = history.usage_writes().filter(|known| reports.is_older_than(*known))?;
    let mut record = noticed(Action::Recover, actor, now);
    record.detail = Some(Record::older_usage(known.0));
    record.usage_writes = reports.writes();
    Some(record)
}

fn last_max_age(history: &History) -> Option<u64> {
    history.records.iter().rev().find_map(|record| record.max_age_secs)
}

fn last_reload(history: &History) -> Option<u64> {
    history.records.iter().rev().find_map(|record| record.reload_secs)
}

/// What is told of a process that does not load what is there, or did not.
fn told_behind((from, until): (u64, u64), now: SystemTime) -> String {
    let is_recent = now.duration_since(from_unix(until)).unwrap_or_default() < STILL;
    let (goes, are) = if is_recent { ("goes", "are") } else { ("went", "were") };
    let (from, until) = (rfc3339(from_unix(from)), rfc3339(from_unix(until)));
    format!(
        "a process {goes} on with an old configuration and its keys, from {from} until {until} at least: its reloads {are} \
         refused, and its log says why"
    )
}

/// A process that says no more that its reloads are refused takes them, or is gone.
const STILL: Duration = Duration::from_secs(90);

/// What is told of edits by hand.
pub(super) fn edited_by_hand(changes: &[&MappingChange]) -> String {
    let list = |keys: &[MappedKey]| {
        let names = keys.iter().map(|key| format!("\"{}\"", key.alias));
        format!("[{}]", names.collect::<Vec<_>>().join(", "))
    };
    let one = |change: &MappingChange| {
        let lists = [list(&change.before), list(&change.after)].join(" → ");
        let more = change.behind_the_names();
        let more = more.iter().map(|one| format!(", {one}")).collect::<String>();
        format!("{} {lists}{more}", change.mapping.label)
    };
    let mut lines: Vec<String> = changes.iter().take(5).copied().map(one).collect();
    if changes.len() > lines.len() {
        lines.push(format!("and {} more", changes.len() - lines.len()));
    }
    format!("edited by hand, and recorded now: {}", lines.join("; "))
}
