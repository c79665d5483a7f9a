//! A journal that was read: the records, where the chain breaks, and who was mapped where at which time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde::Serialize;

use super::{
    Action, Event, GENESIS, MadeAround, MappedKey, MappingChange, MappingName, Record, chain,
};
use crate::clock::{from_unix, to_unix};
use crate::label::{LabelName, Realm, StoreName};

/// Every readable record of a journal, oldest first.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct History {
    /// The records.
    pub records: Vec<Record>,
    /// The first place where a line is not what was written, if any.
    pub broken: Option<Break>,
    /// A last line that was cut in the middle of being written, if any.
    pub torn: Option<Torn>,
    /// The hash of each record, as its line carries it.
    hashes: Vec<String>,
}

/// Where a chain breaks.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Break {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

/// A last line without an end.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Torn {
    /// The line, from 1.
    pub line: usize,
    /// How much of it is there.
    pub bytes: usize,
}

/// A time in which a key kept its place in a mapping.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Span {
    /// From when; no earlier than what was recorded before.
    pub from: SystemTime,
    /// Until when; `None`: still.
    pub until: Option<SystemTime>,
    /// Whether the key stood there until then as well, in another way: of two records of a clock that was behind the times
    /// are one.
    pub follows: bool,
    /// Whether it acted.
    pub active: bool,
    /// The key as it was mapped.
    pub key: MappedKey,
    /// Whether it stood there before the journal began: `from` is then when it was first seen.
    pub first_seen: bool,
    /// Whether what the key made until `from` is recorded nowhere: it stood there before the journal began, or its
    /// mapping was written whole by hand, and its keys may have acted elsewhere.
    pub unrecorded: bool,
}

impl History {
    /// Reads lines; never fails, what is wrong is told.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let mut history = Self::default();
        let mut previous = GENESIS.to_owned();
        let mut rest = bytes;
        let mut line = 0;
        while !rest.is_empty() {
            line += 1;
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                history.torn = Some(Torn { line, bytes: rest.len() });
                break;
            };
            let (text, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            previous = history.push(line, text, &previous);
        }
        history
    }

    /// Reads one line; the hash that the next one follows comes back.
    fn push(&mut self, line: usize, text: &[u8], previous: &str) -> String {
        let Some((hash, body)) = split_line(text) else {
            self.note_break(line, "it is no record of a journal".into());
            return hex::encode(crate::crypto::sha256(text));
        };
        if chain(previous, body) != hash {
            self.note_break(
                line,
                "its hash does not fit it and the line before: one of them was changed, or lines \
                 are missing"
                    .into(),
            );
        }
        match serde_json::from_slice::<Record>(body) {
            Ok(record) => {
                if let Err(reason) = self.check_number(record.seq) {
                    self.note_break(line, reason);
                }
                self.records.push(record);
                self.hashes.push(hash.to_owned());
            }
            Err(error) => self.note_break(line, format!("its record cannot be read: {error}")),
        }
        hash.to_owned()
    }

    fn check_number(&self, seq: u64) -> Result<(), String> {
        match self.next_seq() {
            Some(due) if due == seq => Ok(()),
            Some(due) => Err(format!("record {seq} where {due} is due")),
            None => Err(format!("record {seq} after the last number that there is")),
        }
    }

    /// The number of the next record; `None` after the last number that there is, which nobody counts up to.
    #[must_use]
    pub fn next_seq(&self) -> Option<u64> {
        self.records.last().map_or(Some(1), |last| last.seq.checked_add(1))
    }

    fn note_break(&mut self, line: usize, reason: String) {
        self.broken.get_or_insert(Break { line, reason });
    }

    /// The hash of the record with this number.
    #[must_use]
    pub fn hash_of(&self, seq: u64) -> Option<&str> {
        self.hashes.get(self.place_of(seq)?).map(String::as_str)
    }

    /// The record with this number.
    #[must_use]
    pub fn record(&self, seq: u64) -> Option<&Record> {
        self.records.get(self.place_of(seq)?)
    }

    /// Records are numbered from one on; where the chain breaks they are looked for.
    fn place_of(&self, seq: u64) -> Option<usize> {
        let due = usize::try_from(seq).ok().and_then(|seq| seq.checked_sub(1));
        let is_it = |at: &usize| self.records.get(*at).is_some_and(|record| record.seq == seq);
        due.filter(is_it).or_else(|| self.records.iter().position(|record| record.seq == seq))
    }

    /// Every mapping as the last record that changed it left it.
    #[must_use]
    pub fn mappings(&self) -> BTreeMap<&MappingName, &[MappedKey]> {
        self.mappings_until(None)
    }

    /// Every mapping as it was at `time`.
    #[must_use]
    pub fn mappings_at(&self, time: SystemTime) -> BTreeMap<&MappingName, &[MappedKey]> {
        self.mappings_until(Some(time))
    }

    fn mappings_until(&self, time: Option<SystemTime>) -> BTreeMap<&MappingName, &[MappedKey]> {
        let mut mappings = BTreeMap::new();
        for record in self.records.iter().filter(|record| record.took_effect()) {
            if time.is_some_and(|time| record.time > time) {
                continue;
            }
            for change in &record.changes {
                mappings.insert(&change.mapping, change.after.as_slice());
            }
        }
        mappings.retain(|_, keys| !keys.is_empty());
        mappings
    }

    /// The places that one key had in the mappings of a label in one scope, oldest first. A record of a clock that was
    /// behind counts as of the time of those before it.
    #[must_use]
    pub fn spans(
        &self,
        label: &LabelName,
        realm: Option<&Realm>,
        key: &MappedKey,
        now: SystemTime,
    ) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        // Where it stands now: several stores may map the label, and a key may go from one to another.
        let mut places: BTreeMap<&StoreName, (bool, &MappedKey)> = BTreeMap::new();
        for (time, record) in self.in_time(now).filter(|(_, record)| record.took_effect()) {
            let mut touched = false;
            let mut whole = false;
            for change in &record.changes {
                let mapping = &change.mapping;
                if mapping.label != *label || mapping.realm.as_ref() != realm {
                    continue;
                }
                touched = true;
                let at = change.after.iter().position(|one| one.is(key));
                match at.and_then(|at| Some((at == 0, change.after.get(at)?))) {
                    Some(place) => {
                        places.insert(&mapping.store, place);
                        let stays = |old: &MappedKey| change.after.iter().any(|one| one.is(old));
                        whole |= !change.before.iter().any(stays);
                    }
                    None => drop(places.remove(&mapping.store)),
                }
            }
            if touched {
                let place = places.values().copied().max_by_key(|(active, _)| *active);
                follow(&mut spans, (record, time), place, whole);
            }
        }
        spans
    }

    /// What the records of a label's mappings in one scope say that one of their keys made around them, with the times of
    /// those records, oldest first, reckoned as in [`History::spans`].
    pub fn made_around<'h>(
        &'h self,
        (label, realm): (&'h LabelName, Option<&'h Realm>),
        key: &'h MappedKey,
        now: SystemTime,
    ) -> impl Iterator<Item = (SystemTime, MadeAround)> + 'h {
        let is_here = move |change: &&MappingChange| {
            change.mapping.label == *label
                && change.mapping.realm.as_ref() == realm
                && change.after.iter().any(|one| one.is(key))
        };
        let made = move |change: &MappingChange| {
            let of_key = key.thumbprint.as_ref().and_then(|key| change.made_around.get(key));
            of_key.copied().unwrap_or_default()
        };
        let timed = self.in_time(now).filter(|(_, record)| record.took_effect());
        timed.flat_map(move |(time, record)| {
            record.changes.iter().filter(is_here).map(move |change| (time, made(change)))
        })
    }

    /// The records of a label, and those of the whole configuration that touched it.
    pub fn of_label<'h>(&'h self, label: &'h LabelName) -> impl Iterator<Item = &'h Record> {
        self.records.iter().filter(move |record| {
            record.label.as_ref() == Some(label)
                || record.changes.iter().any(|change| change.mapping.label == *label)
        })
    }

    /// A step that was begun and neither done nor aborted: its process died.
    #[must_use]
    pub fn unfinished(&self) -> Option<&Record> {
        let last = self.records.iter().rev().find(|record| record.event == Event::Begin)?;
        let ended = self.records.iter().any(|record| record.begin == Some(last.seq));
        (!ended).then_some(last)
    }

    /// The revocations that hold: begun or done, and not aborted.
    pub fn revocations(&self) -> impl Iterator<Item = &Record> {
        let aborted = self.records.iter().filter(|record| record.event == Event::Aborted);
        let aborted: BTreeSet<u64> = aborted.filter_map(|record| record.begin).collect();
        self.records.iter().filter(move |record| {
            record.action == Action::Revoke
                && record.event == Event::Begin
                && !aborted.contains(&record.seq)
        })
    }

    /// The last revocation of a key: what it says of when the key leaked counts.
    #[must_use]
    pub fn revoked(&self, thumbprint: &str) -> Option<&Record> {
        self.revocations().filter(|record| record.thumbprint() == Some(thumbprint)).last()
    }

    /// Each time at which key sets began to be cached for this many seconds, oldest first, reckoned as in
    /// [`History::spans`].
    pub fn max_ages(&self, now: SystemTime) -> impl Iterator<Item = (SystemTime, u64)> {
        let timed = self.in_time(now);
        timed.filter_map(|(time, record)| Some((time, record.max_age_secs?)))
    }

    /// Each time at which processes began to notice changes within this many seconds, or never (0), in the same way.
    pub fn reloads(&self, now: SystemTime) -> impl Iterator<Item = (SystemTime, u64)> {
        let timed = self.in_time(now);
        timed.filter_map(|(time, record)| Some((time, record.reload_secs?)))
    }

    /// Each time at which processes were found to look for changes only after this many seconds, which no record had said.
    pub fn longer_waits(&self, now: SystemTime) -> impl Iterator<Item = (SystemTime, u64)> {
        let timed = self.in_time(now);
        timed.filter_map(|(time, record)| Some((time, record.longest_wait_secs?)))
    }

    /// From when until when processes went on with an old configuration.
    pub fn behind(&self) -> impl Iterator<Item = (SystemTime, SystemTime)> {
        let found = self.records.iter().filter_map(|record| record.behind);
        found.map(|(from, until)| (from_unix(from), from_unix(until)))
    }

    /// Each time at which tokens of a label that carry no `exp` began to live for this many seconds, in the same way.
    pub fn lifetimes<'h>(
        &'h self,
        label: &'h LabelName,
        now: SystemTime,
    ) -> impl Iterator<Item = (SystemTime, u64)> + 'h {
        let timed = self.in_time(now);
        timed.filter_map(|(time, record)| Some((time, *record.lifetimes.get(label)?)))
    }

    /// How often the usage file had been written when a record last said so, and the second of that.
    #[must_use]
    pub fn usage_writes(&self) -> Option<(u64, u64)> {
        let mut records = self.records.iter().rev();
        records.find_map(|record| Some((record.usage_writes?, to_unix(record.time))))
    }

    /// When the usage file was last found to be an older copy, reckoned as in [`History::spans`]: what was made before
    /// may be recorded nowhere.
    #[must_use]
    pub fn usage_lost(&self, now: SystemTime) -> Option<SystemTime> {
        let found = self.in_time(now).filter(|(_, record)| record.finds_older_usage());
        found.map(|(time, _)| time).last()
    }

    /// Every record with its time: records follow one another, so that one with a time before that of an earlier one
    /// is of a clock that was behind, and has the earlier one's. What lies after `now` is of a clock that was ahead,
    /// and moves no other.
    fn in_time(&self, now: SystemTime) -> impl Iterator<Item = (SystemTime, &Record)> {
        self.records.iter().scan(SystemTime::UNIX_EPOCH, move |latest, record| {
            if record.time <= now {
                *latest = record.time.max(*latest);
            }
            Some((record.time.max(*latest), record))
        })
    }
}

/// The places that a key has had without a break until now, the last one first; none of a key that is gone.
pub(crate) fn stay(spans: &[Span]) -> impl Iterator<Item = &Span> {
    let mut joined = spans.last().is_some_and(|span| span.until.is_none());
    spans.iter().rev().take_while(move |span| std::mem::replace(&mut joined, span.follows))
}

/// Until when nothing is recorded of what a key made.
#[must_use]
pub fn unrecorded_until(spans: &[Span]) -> Option<SystemTime> {
    spans.iter().filter(|span| span.unrecorded).map(|span| span.from).max()
}

/// Continues the spans of a key: `place` is whether it acts, and how it is mapped; `None`: it is gone. `whole`: nothing
/// that stood in its mapping before is left.
fn follow(
    spans: &mut Vec<Span>,
    (record, time): (&Record, SystemTime),
    place: Option<(bool, &MappedKey)>,
    whole: bool,
) {
    let last = spans.last_mut().filter(|span| span.until.is_none());
    if let (Some(span), Some((active, key))) = (&last, place)
        && span.active == active
        && span.key.kid == key.kid
        && span.key.published == key.published
    {
        return;
    }
    let stood_here = last.is_some();
    if let Some(span) = last {
        span.until = Some(time);
    }
    if let Some((active, key)) = place {
        let first_seen = record.action == Action::FirstSeen;
        let by_hand = record.action == Action::EditedByHand && whole && !stood_here;
        spans.push(Span {
            from: time,
            until: None,
            follows: stood_here,
            active,
            key: key.clone(),
            first_seen,
            unrecorded: first_seen || by_hand,
        });
    }
}

/// `{"hash":"…","record":…}` taken apart; the record as it stands.
fn split_line(text: &[u8]) -> Option<(&str, &[u8])> {
    let rest = text.strip_prefix(b"{\"hash\":\"")?;
    let (hash, rest) = rest.split_at_checked(64)?;
    let body = rest.strip_prefix(b"\",\"record\":")?.strip_suffix(b"}")?;
    let hash = std::str::from_utf8(hash).ok()?;
    let plain = hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    plain.then_some((hash, body))
}

/// Number and hash of a line that the next one follows.
pub(super) fn chain_end(line: &[u8]) -> Option<(u64, String)> {
    #[derive(serde::Deserialize)]
    struct Numbered {
        seq: u64,
    }
    let (hash, body) = split_line(line)?;
    let Numbered { seq } = serde_json::from_slice(body).ok()?;
    Some((seq, hash.to_owned()))
}
