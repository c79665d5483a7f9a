//! What is known of each key of a label: its phase, what it made, and until when that lives.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::announce;
use super::around::Known;
use super::gates::leaves_tokens;
use super::mappings::mapped;
use super::recover;
use crate::catalogue::LabelUse;
use crate::clock::{later, to_unix};
use crate::config::Config;
use crate::error::Result;
use crate::journal::{Actor, History, Journal, MappedKey, Span, unrecorded_until};
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::keyring::{Keyring, Snapshot};
use crate::label::{Alias, LabelName, Realm};
use crate::usage::{Act, Doubt, Horizon, KeyReport, RESERVED_SECS, Reports, Terms};

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Phase {
    /// It acts, in the scope of its mapping.
    Active,
    /// It left its mapping.
    Retired,
    /// It acted once; what it made may be alive.
    Retiring,
    /// It was banned for good.
    Revoked,
    /// It was added and has not acted yet.
    Staged,
    /// It is tried, and nobody recorded whether it ever acted.
    Valid,
}

impl Phase {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Retiring => "retiring",
            Self::Revoked => "revoked",
            Self::Staged => "staged",
            Self::Valid => "valid",
        }
    }
}

/// What is known of a key under a label.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeyLife {
    /// Where it is.
    pub phase: Phase,
    /// What was done with it.
    pub report: KeyReport,
    /// Until when something that it made may be alive, and when it may go: horizon and clock skew.
    pub horizon: Horizon,
    /// When it may be retired; `None`: at once.
    pub safe_after: std::result::Result<Option<SystemTime>, Doubt>,
}

/// A key that left its label.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GoneKey {
    /// The alias that it had.
    pub alias: Alias,
    /// [`Phase::Retired`] or [`Phase::Revoked`].
    pub phase: Phase,
    /// When it left.
    pub since: SystemTime,
    /// What was done with it.
    pub report: KeyReport,
}

/// Journal and usage, read once.
#[derive(Debug)]
pub struct Lives {
    config: Arc<Config>,
    snapshot: Arc<Snapshot>,
    history: History,
    /// Absent: it could not be read.
    reports: Option<Reports>,
    now: SystemTime,
}

impl Lives {
    /// Reads what the state directory of a keyring has. Without one nothing is known but the present.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`], [`crate::error::ErrorKind::StoreUnreadable`].
    pub fn read(keyring: &Keyring) -> Result<Self> {
        let config = keyring.config();
        let journal = config.keyring.state_dir.as_deref().map(Journal::of);
        let mut history = journal.map(|journal| journal.read()).transpose()?.unwrap_or_default();
        let reports = keyring.usage().reports()?;
        let now = keyring.clock().now();
        // The next step records it.
        let actor = Actor::of_this_process(None);
        history.records.extend(recover::older_usage(&history, &reports, &actor, now));
        let reports = Some(reports);
        Ok(Self { config, snapshot: keyring.snapshot(), history, reports, now })
    }

    /// Nothing but the present: for who shows the rest even where the state directory cannot be read.
    #[must_use]
    pub fn unread(keyring: &Keyring) -> Self {
        let (config, snapshot) = (keyring.config(), keyring.snapshot());
        let now = keyring.clock().now();
        Self { config, snapshot, history: History::default(), reports: None, now }
    }

    fn report(&self, label: &LabelName, realm: Option<&Realm>, key: &MappedKey) -> KeyReport {
        let Some(reports) = &self.reports else { return KeyReport::default() };
        let Self { config, snapshot, history, now, .. } = self;
        Known { reports, snapshot, config, history, now: *now }.report((label, realm), key)
    }

    /// One key of a set.
    #[must_use]
    pub fn of_key(&self, set: &KeySet, key: &LabelKey) -> KeyLife {
        let (label, realm) = (set.label(), key.realm.as_ref());
        let mapped = mapped(set, key);
        let report = self.report(label, realm, &mapped);
        let spans = self.history.spans(label, realm, &mapped, self.now);
        let known = (&self.history, &*spans, &report);
        let terms = terms(&self.config, (set, &mapped), known, self.now);
        let (horizon, safe_after) = if leaves_tokens(set) {
            (report.horizon_by(&terms), report.safe_after(&terms).map(|after| after.map(time)))
        } else {
            // Nothing of it is opened later: it goes when somebody takes it out.
            (Horizon::Nothing, Ok(None))
        };
        KeyLife { phase: self.phase(set, key, &spans, &report), horizon, safe_after, report }
    }

    fn phase(&self, set: &KeySet, key: &LabelKey, spans: &[Span], report: &KeyReport) -> Phase {
        // What a realm reads with besides its own keys acts elsewhere.
        let own = self.snapshot.find(key.realm.as_ref(), set.label());
        if own.map_or(set, |own| own).active().kid == key.kid {
            return Phase::Active;
        }
        let made = report.count(Act::Signed).max(report.count(Act::Encrypted)) > 0;
        if made || spans.iter().any(|span| span.active) {
            return Phase::Retiring;
        }
        match spans.first() {
            Some(span) if !span.unrecorded => Phase::Staged,
            _ => Phase::Valid,
        }
    }

    /// The keys that left a label in one scope, the last one first.
    #[must_use]
    pub fn gone(&self, label: &LabelName, realm: Option<&Realm>) -> Vec<GoneKey> {
        let mut seen: Vec<&MappedKey> = Vec::new();
        let records = self.history.records.iter().filter(|record| record.took_effect());
        for change in records.flat_map(|record| &record.changes) {
            let here = change.mapping.label == *label && change.mapping.realm.as_ref() == realm;
            for key in change.before.iter().chain(&change.after).filter(|_| here) {
                if !seen.iter().any(|one| one.is(key)) {
                    seen.push(key);
                }
            }
        }
        let mut gone: Vec<GoneKey> =
            seen.into_iter().filter_map(|key| self.gone_key(label, realm, key)).collect();
        gone.sort_by_key(|key| std::cmp::Reverse(key.since));
        gone
    }

    fn gone_key(
        &self,
        label: &LabelName,
        realm: Option<&Realm>,
        key: &MappedKey,
    ) -> Option<GoneKey> {
        let since = self.history.spans(label, realm, key, self.now).last()?.until?;
        let thumbprint = key.thumbprint.as_deref();
        let revoked = thumbprint.is_some_and(|key| self.history.revoked(key).is_some());
        let phase = if revoked { Phase::Revoked } else { Phase::Retired };
        let report = self.report(label, realm, key);
        Some(GoneKey { alias: key.alias.clone(), phase, since, report })
    }
}

/// Tells of a label and a realm whether they read, without a mapping of their own, with the keys of this scope.
pub(super) fn reads_here<'s>(
    snapshot: &'s Snapshot,
    (label, realm): (&'s LabelName, Option<&'s Realm>),
    thumbprint: &'s str,
) -> impl Fn(&LabelName, Option<&Realm>) -> bool + 's {
    let is_here = move |set: &Arc<KeySet>| {
        let mut keys = set.keys().iter();
        set.label() == label
            && keys.any(|key| key.key.thumbprint() == thumbprint && key.realm.as_ref() == realm)
    };
    move |label, realm| {
        snapshot.find_along(realm, label).is_some_and(is_here)
            || snapshot.find_fallback(realm, label).is_some_and(is_here)
    }
}

/// What a verdict about a key of this set, which had these places and uses in one scope, rests on.
pub(super) fn terms(
    config: &Config,
    (set, key): (&KeySet, &MappedKey),
    (history, spans, report): (&History, &[Span], &KeyReport),
    now: SystemTime,
) -> Terms {
    // The journal has not seen it yet: the next step does, and counts it as one that stood there before.
    let unseen = spans.is_empty().then(|| to_unix(now));
    let before = unrecorded(history, spans, report, now).max(unseen);
    Terms {
        lifetime: lifetime(config, set.label(), history, report.latest_open.max(before), now),
        grace: config.policy.clock_skew,
        made_elsewhere: made_elsewhere(set) || is_of_others(set, key),
        journal_broken: history.broken.is_some(),
        unrecorded_until: before.filter(|_| leaves_tokens(set)),
    }
}

/// How long what was last made at `last` lives, in seconds since 1970, if it carries no end and the label says so: what was
/// made under a longer lifetime lives for that.
pub(super) fn lifetime(
    config: &Config,
    label: &LabelName,
    history: &History,
    last: Option<u64>,
    now: SystemTime,
) -> Option<Duration> {
    let own = config.labels.get(label)?.value.max_token_lifetime?;
    let Some(last) = last.map(time) else { return Some(own) };
    let end = announce::longest(later(last, own), history.lifetimes(label, now), last);
    Some(end.duration_since(last).unwrap_or(own))
}

/// Until when nothing is recorded of what a key made that had these places and uses in one scope, in seconds since 1970.
pub(super) fn unrecorded(
    history: &History,
    spans: &[Span],
    report: &KeyReport,
    now: SystemTime,
) -> Option<u64> {
    // Of a key that came later nothing was lost; a clock that was ahead proves no such thing.
    let is_later = |until: u64| {
        let first = spans.iter().map(|span| span.from).min();
        first.is_none_or(|first| to_unix(first) >= until && first <= now)
    };
    let older = history.usage_lost(now).map(|time| to_unix(time).saturating_add(RESERVED_SECS));
    let lost = report.lost_until.max(older).filter(|until| !is_later(*until));
    unrecorded_until(spans).map(to_unix).max(lost)
}

/// Whether others make what the label reads: it only reads, or others may encrypt to what it publishes.
fn made_elsewhere(set: &KeySet) -> bool {
    let has = |one| set.uses().contains(&one);
    let makes = has(LabelUse::Sign) || has(LabelUse::Mac) || has(LabelUse::Encrypt);
    let public = set.keys().iter().any(|key| key.key.public_parameters().is_some());
    !makes || (has(LabelUse::Decrypt) && public && !set.published().is_empty())
}

/// Whether others make what the label reads with a key: the label only verifies, or acts with private keys, of which this
/// one is the public half.
pub(super) fn is_of_others(set: &KeySet, key: &MappedKey) -> bool {
    let has = |one| set.uses().contains(&one);
    let makes = [LabelUse::Decrypt, LabelUse::Encrypt, LabelUse::Mac, LabelUse::Sign];
    if has(LabelUse::Verify) && !makes.into_iter().any(has) {
        return true;
    }
    let acts_with_private =
        |one: &LabelUse| matches!(one, LabelUse::Decrypt | LabelUse::Mtls | LabelUse::Sign);
    let is_it = |one: &&Arc<LabelKey>| Some(one.key.thumbprint()) == key.thumbprint.as_deref();
    set.uses().iter().any(acts_with_private)
        && set.keys().iter().find(is_it).is_some_and(|one| !one.key.has_private())
}

pub(super) fn time(secs: u64) -> SystemTime {
    crate::clock::from_unix(secs)
}
