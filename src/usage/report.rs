//! What is known of a key, and whether nothing that it made can be alive any more.

use std::time::{Duration, SystemTime};

use super::counters::{Act, Tally};
use super::expiry::NEVER;
use super::record::Record;
use crate::clock::to_unix;

/// What is known of one key under one label. Times are seconds since 1970.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeyReport {
    /// Whether a state directory keeps it; without, it is of this process alone.
    pub durable: bool,
    /// Since when it is kept: what was made before is not in it.
    pub recorded_since: Option<u64>,
    /// Until when uses of it may be recorded nowhere, if it stood behind its label before: the usage file was lost.
    pub lost_until: Option<u64>,
    /// The latest `exp` of anything signed; [`NEVER`] where one lies beyond all years.
    pub latest_exp: Option<u64>,
    /// When something without an `exp` was made last.
    pub latest_open: Option<u64>,
    /// Messages encrypted under random nonces, under all labels of the key.
    pub messages: u64,
    /// How many they may become.
    pub message_limit: u64,
    tally: Tally,
}

/// Until when something may be alive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "known, unknown, or nothing")]
pub enum Horizon {
    /// Nothing was made.
    Nothing,
    /// Nothing lives at or after this second.
    Until(u64),
    /// It cannot be said.
    Unknown(Doubt),
}

/// Why a retirement cannot be proven safe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Doubt {
    /// The journal is not as it was written: since when the key stood behind its label is not known.
    JournalBroken,
    /// It may have made something before it was first seen behind its label, or before records of its uses were lost,
    /// and the label has no `max_token_lifetime`.
    MadeBefore,
    /// Others make what this key verifies or decrypts; nobody here counts it.
    MadeElsewhere,
    /// Something was made without an `exp`, and the label has no `max_token_lifetime`.
    NoLifetime,
    /// There is no state directory.
    NoStateDirectory,
    /// Something was signed whose `exp` never comes.
    WithoutEnd,
}

impl Doubt {
    /// The stable name of it in JSON.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::JournalBroken => "journal_broken",
            Self::MadeBefore => "made_before",
            Self::MadeElsewhere => "made_elsewhere",
            Self::NoLifetime => "no_lifetime",
            Self::NoStateDirectory => "no_state_dir",
            Self::WithoutEnd => "without_end",
        }
    }

    /// The reason, as a clause.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::JournalBroken => {
                "the chain of the journal breaks, so that it does not prove since when the key stood there"
            }
            Self::MadeBefore => {
                "what it made before it was first seen there, or before records of it were lost, is not known, and the \
                 label has no max_token_lifetime"
            }
            Self::MadeElsewhere => "others make what it reads, and nobody here counts that",
            Self::NoLifetime => {
                "it made something without exp, and the label has no max_token_lifetime"
            }
            Self::NoStateDirectory => "no state_dir keeps what is made",
            Self::WithoutEnd => "it signed something whose exp never comes",
        }
    }
}

/// What a verdict rests on besides the report.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "the terms of the formula")]
pub struct Terms {
    /// The label's `max_token_lifetime`.
    pub lifetime: Option<Duration>,
    /// What is added to the horizon: clock skew and the longest time that something is cached.
    pub grace: Duration,
    /// Whether others make what the label reads.
    pub made_elsewhere: bool,
    /// Whether the chain of the journal breaks, which says since when the key stood behind its label.
    pub journal_broken: bool,
    /// Of a key that stood behind the label when the journal began, when a mapping that was written whole by hand was
    /// first seen, or when records of its uses were lost: what it made until then is not in the report.
    pub unrecorded_until: Option<u64>,
}

/// Whether a key may leave its label.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "yes, not yet, or not provable")]
pub enum Verdict {
    /// It cannot be proven.
    NotProvable(Doubt),
    /// Nothing that it made is alive.
    Safe,
    /// Something may be alive until this second.
    SafeAfter(u64),
}

impl KeyReport {
    /// How often.
    #[must_use]
    pub fn count(&self, act: Act) -> u64 {
        pick(act, &self.tally.counts)
    }

    /// When last; `None`: never, as far as is known.
    #[must_use]
    pub fn last(&self, act: Act) -> Option<u64> {
        Some(pick(act, &self.tally.last)).filter(|last| *last > 0)
    }

    /// Until when something made with the key may be alive, by its `exp` or by the label's lifetime.
    #[must_use]
    pub fn horizon(&self, lifetime: Option<Duration>) -> Horizon {
        self.horizon_by(&Terms { lifetime, ..Terms::default() })
    }

    /// As [`KeyReport::horizon`], with what the key may have made before there were records.
    #[must_use]
    pub fn horizon_by(&self, terms: &Terms) -> Horizon {
        if !self.durable {
            return Horizon::Unknown(Doubt::NoStateDirectory);
        }
        if terms.journal_broken {
            return Horizon::Unknown(Doubt::JournalBroken);
        }
        let open = match (self.latest_open, terms.unrecorded_until, terms.lifetime) {
            (None, None, _) => None,
            (Some(_), _, None) => return Horizon::Unknown(Doubt::NoLifetime),
            (None, Some(_), None) if terms.made_elsewhere => {
                return Horizon::Unknown(Doubt::MadeElsewhere);
            }
            (None, Some(_), None) => return Horizon::Unknown(Doubt::MadeBefore),
            (open, before, Some(lifetime)) => {
                open.max(before).map(|last| last.saturating_add(lifetime.as_secs()))
            }
        };
        match self.latest_exp.max(open) {
            None => Horizon::Nothing,
            Some(end) if end >= NEVER => Horizon::Unknown(Doubt::WithoutEnd),
            Some(end) => Horizon::Until(end),
        }
    }

    /// When the key may leave its label: horizon and grace. `None`: at once.
    ///
    /// # Errors
    /// The reason why it is not known.
    pub fn safe_after(&self, terms: &Terms) -> Result<Option<u64>, Doubt> {
        match self.horizon_by(terms) {
            Horizon::Unknown(doubt) => Err(doubt),
            _ if terms.made_elsewhere => Err(Doubt::MadeElsewhere),
            Horizon::Nothing => Ok(None),
            Horizon::Until(end) => Ok(Some(end.saturating_add(terms.grace.as_secs()))),
        }
    }

    /// Whether the key may leave its label now.
    #[must_use]
    pub fn verdict(&self, terms: &Terms, now: SystemTime) -> Verdict {
        let now = to_unix(now);
        match self.safe_after(terms) {
            Err(doubt) => Verdict::NotProvable(doubt),
            Ok(Some(after)) if now < after => Verdict::SafeAfter(after),
            Ok(_) => Verdict::Safe,
        }
    }

    /// Whether half of the messages are used: time to put a new key first.
    #[must_use]
    pub const fn is_half_spent(&self) -> bool {
        self.messages >= self.message_limit.div_ceil(2)
    }

    /// What to say of a key that has used half of its messages, or all.
    #[must_use]
    pub fn budget_warning(&self) -> Option<String> {
        let (used, limit) = (self.messages, self.message_limit);
        // Of a report that could not be read nothing is known.
        let part = match (limit > 0 && self.is_half_spent(), used >= limit) {
            (false, _) => return None,
            (true, false) => "more than half",
            (true, true) => "all",
        };
        Some(format!(
            "has used {part} of the {limit} messages that random nonces allow ({used}): put a new key first"
        ))
    }

    pub(super) fn new(durable: bool, messages: u64, message_limit: u64) -> Self {
        Self { durable, messages, message_limit, ..Self::default() }
    }

    /// Adds what the file says, without the reservation of `except`.
    pub(super) fn add_record(&mut self, record: &Record, except: Option<u64>) {
        self.recorded_since = Some(record.since);
        self.add(Tally { counts: record.counts, last: record.last });
        self.reach(record.exp, record.open);
        let reservations = record.reservations.iter();
        for one in reservations.filter(|one| Some(one.owner) != except) {
            self.reach(one.exp, one.open);
        }
    }

    pub(super) fn add_memory(&mut self, (tally, exp, open): (Tally, u64, u64)) {
        self.add(tally);
        self.reach(exp, open);
    }

    fn add(&mut self, more: Tally) {
        for (count, more) in self.tally.counts.iter_mut().zip(more.counts) {
            *count = count.saturating_add(more);
        }
        for (last, more) in self.tally.last.iter_mut().zip(more.last) {
            *last = more.max(*last);
        }
    }

    /// Lives as long as what ends at `exp`, and what carries no end and was made at `open`; 0: nothing.
    pub(crate) fn reach(&mut self, exp: u64, open: u64) {
        self.latest_exp = self.latest_exp.max(Some(exp).filter(|exp| *exp > 0));
        self.latest_open = self.latest_open.max(Some(open).filter(|open| *open > 0));
    }
}

fn pick(act: Act, of: &[u64; 4]) -> u64 {
    Act::ALL.iter().zip(of).find(|(one, _)| **one == act).map_or(0, |(_, value)| *value)
}
