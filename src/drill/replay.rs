//! Recorded traffic against a future mapping: which live tokens it refuses, and until when.
//!
//! A trace says of each use which key held, and what the token said of itself. Under another snapshot the same
//! token holds if the label still allows its algorithm and the same key is among those that are tried for its
//! kid: the very functions that verification asks answer that, so that the verdict is what would happen.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::Scope;
use super::doubts::Doubts;
use crate::alg::{Algorithm, Family, Operation, Status};
use crate::clock::{from_unix, rfc3339, to_unix};
use crate::config::{Config, SessionLabel};
use crate::crypto::Role;
use crate::jose::select;
use crate::keyring::Snapshot;
use crate::label::{Alias, LabelName};
use crate::ops::{Asked, KeySet, LabelKey};
use crate::profiles::session;
use crate::trace::{AskedAs, Damage, Group, Outcome, Tally, Trace};

/// What a future mapping does to recorded traffic.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Replay {
    /// When the mapping is put in place, in RFC 3339.
    pub at: String,
    /// Uses of tokens that are alive then.
    pub live: u64,
    /// Uses of tokens that have ended by then.
    pub ended: u64,
    /// Uses of live tokens that the mapping refuses.
    pub broken: u64,
    /// Which; most first.
    pub breaks: Vec<Broken>,
    /// From when on the mapping breaks nothing that was recorded, in RFC 3339; absent: at once, or never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safe_from: Option<String>,
    /// The first and the last use that was recorded, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<(String, String)>,
    /// Uses that were refused when they were recorded.
    pub refused: u64,
    /// Uses that were not recorded: the verdict does not cover them.
    pub dropped: u64,
    /// Places where the trace is damaged: the verdict does not cover what was recorded there.
    pub damaged: u64,
    /// The first of them.
    pub damage: Vec<Damage>,
    /// What keeps the verdict from covering everything: uses that are not in the trace, settings of which it says
    /// nothing.
    pub doubts: Vec<String>,
}

/// Whether a future mapping breaks live tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "yes, no, or not known")]
pub enum Verdict {
    /// It does.
    Breaks,
    /// It breaks none.
    Safe,
    /// None that is known; there is no record, or there are doubts.
    Unknown,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Breaks => "breaks",
            Self::Safe => "safe",
            Self::Unknown => "unknown",
        }
    }
}

impl Replay {
    /// What is said of all live tokens: one that breaks is known to, whatever else is not.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match (self.broken, &self.recorded) {
            (0, Some(_)) if self.doubts.is_empty() => Verdict::Safe,
            (0, _) => Verdict::Unknown,
            _ => Verdict::Breaks,
        }
    }
}

/// Tokens that a future mapping refuses.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Broken {
    /// Under which label.
    #[serde(flatten)]
    pub scope: Scope,
    /// The alias of their key now; absent: it is mapped no more.
    pub alias: Option<Alias>,
    /// Their kid.
    pub kid: Option<String>,
    /// Their algorithm, of a JWE with `enc`.
    pub algorithm: String,
    /// Why they are refused.
    pub why: Why,
    /// How many uses.
    pub tokens: u64,
    /// When the last of them ends, in RFC 3339; absent: nobody knows.
    pub until: Option<String>,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Why {
    /// The label no longer allows the algorithm.
    AlgorithmNotAllowed,
    /// The key is gone, or its bound keeps it from being tried.
    KeyNotTried,
    /// `[sessions]` no longer lists the label.
    LabelNotAsked,
    /// The label is no longer mapped.
    LabelNotMapped,
    /// The label is for something else.
    WrongUse,
}

impl Why {
    /// As people say it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::AlgorithmNotAllowed => "the label does not allow the algorithm",
            Self::KeyNotTried => "the key is not among those that are tried",
            Self::LabelNotAsked => "[sessions] does not list the label",
            Self::LabelNotMapped => "the label is not mapped",
            Self::WrongUse => "the label is for something else",
        }
    }
}

/// Replays a trace against `future`, put in place at `at`. `now` names aliases; what was made under it lives as long as it
/// says, or `future` if that is longer.
#[must_use]
pub fn replay(
    trace: &Trace,
    now: (&Config, &Snapshot),
    future: (&Config, &Snapshot),
    at: SystemTime,
) -> Replay {
    let ((config, _), (next, _)) = (now, future);
    let mut found = Replay {
        at: rfc3339(at),
        live: 0,
        ended: 0,
        broken: 0,
        breaks: Vec::new(),
        safe_from: None,
        recorded: trace.span.map(|(first, last)| (text_of(first.into()), text_of(last.into()))),
        refused: 0,
        dropped: trace.dropped,
        damaged: trace.damaged,
        damage: trace.damage.clone(),
        doubts: Vec::new(),
    };
    let (mut doubts, mut unknown) = (Doubts::default(), 0);
    let second = to_unix(at);
    let skew = config.policy.clock_skew.max(next.policy.clock_skew);
    let mut last = Some(0);
    for (group, tally) in &trace.groups {
        let Some((label, role)) = group.label.as_ref().zip(role_of(group.outcome)) else {
            if group.outcome == Outcome::Refused {
                found.refused += tally.count;
            } else {
                unknown += tally.count;
            }
            continue;
        };
        if group.asked == Some(AskedAs::Other) {
            unknown += tally.count;
            continue;
        }
        let asks = |(config, snapshot)| asked(label, group, role, config, snapshot);
        let (sets_now, sets_next) = (asks(now), asks(future));
        let (set_now, holds) = (first(&sets_now), holds(group, role, (&sets_now, &sets_next)));
        let set_next = holds.ok().or_else(|| first(&sets_next));
        // What a label that stands in for another makes lives as long as it says.
        let lifetime = |config: &Config, set: Option<&KeySet>| {
            config.labels.get(set.map_or(label, KeySet::label))?.value.max_token_lifetime
        };
        let lifetime = lifetime(config, set_now).max(lifetime(next, set_next));
        let living = Living::of(tally, lifetime, skew, second);
        found.live += living.count;
        found.ended += tally.count - living.count;
        if living.count == 0 {
            continue;
        }
        let Err(why) = holds else {
            if let (Some(now), Some(next)) = (set_now, set_next) {
                doubts.of_label(label, group.asked, (now.policy(), next.policy()));
            }
            continue;
        };
        found.broken += living.count;
        last = last.zip(living.until).map(|(last, until): (u64, u64)| last.max(until));
        found.breaks.push(Broken {
            scope: Scope { label: label.clone(), realm: group.realm.clone() },
            alias: alias_of(&sets_now, group),
            kid: group.kid.clone(),
            algorithm: match &group.enc {
                Some(enc) => format!("{} {enc}", group.alg),
                None => group.alg.clone(),
            },
            why: why_of(group, role, next).unwrap_or(why),
            tokens: living.count,
            until: living.until.map(text_of),
        });
    }
    found.doubts = missing(trace, unknown).chain(doubts.told(config, next)).collect();
    found.breaks.sort_by_key(|one| std::cmp::Reverse(one.tokens));
    found.safe_from = last.filter(|last| *last > 0).map(text_of);
    found
}

/// Uses that the verdict does not cover; `unknown`: of words of a later version.
fn missing(trace: &Trace, unknown: u64) -> impl Iterator<Item = String> {
    let told = |count: u64, one: &str, more: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {more}")),
    };
    [
        told(trace.dropped, "use was not recorded", "uses were not recorded"),
        told(
            trace.damaged,
            "place of the trace cannot be read",
            "places of the trace cannot be read",
        ),
        told(
            unknown,
            "use is of a kind that this version does not know",
            "uses are of a kind that this version does not know",
        ),
    ]
    .into_iter()
    .flatten()
}

/// The sets that are asked for the tokens of a group, as profiles and handles ask them.
fn asked<'s>(
    label: &'s LabelName,
    group: &'s Group,
    role: Role,
    config: &'s Config,
    snapshot: &'s Snapshot,
) -> Vec<Asked<'s>> {
    let realm = group.realm.as_ref();
    if group.asked == Some(AskedAs::Session) {
        return session::asked(listed(config, role), snapshot, realm).unwrap_or_default();
    }
    let found = match &group.instead {
        Some(instead) => snapshot.find(realm, label).or_else(|| snapshot.find(realm, instead)),
        None => snapshot.keys(realm, label).ok(),
    };
    found.into_iter().map(|set| Asked::label(set, label, realm)).collect()
}

/// The labels of sessions of this part.
fn listed(config: &Config, role: Role) -> &[&'static SessionLabel] {
    match role {
        Role::Sign | Role::Verify => &config.sessions.signing,
        Role::Decrypt | Role::Encrypt => &config.sessions.encryption,
    }
}

fn first<'s>(sets: &[Asked<'s>]) -> Option<&'s KeySet> {
    sets.first().map(Asked::set)
}

/// The set that would open a token of this group: as `jose` and `ops` decide it.
fn holds<'s>(
    group: &Group,
    role: Role,
    (now, future): (&[Asked<'_>], &[Asked<'s>]),
) -> Result<&'s KeySet, Why> {
    let listed_now = first(now).map(KeySet::algorithms).unwrap_or_default();
    match future {
        [] => Err(Why::LabelNotMapped),
        [one] => opens(one.set(), listed_now, group, role).map(|()| one.set()),
        several => {
            let kid = group.kid.as_deref();
            let asked = select::asked(several, &group.alg, kid, operation_of(role));
            let mut sets = asked.map(Asked::set).peekable();
            let otherwise = match sets.peek() {
                None => Why::AlgorithmNotAllowed,
                Some(_) => Why::KeyNotTried,
            };
            let found = sets.find(|set| opens(set, listed_now, group, role).is_ok());
            found.ok_or(otherwise)
        }
    }
}

fn opens(
    set: &KeySet,
    listed_now: &[&'static Algorithm],
    group: &Group,
    role: Role,
) -> Result<(), Why> {
    set.require_use(role).map_err(|_| Why::WrongUse)?;
    let algorithm = allowed(set, &group.alg, operation_of(role), listed_now)?;
    if let Some(enc) = &group.enc {
        allowed(set, enc, Operation::Content, listed_now)?;
    }
    let held = |key: &LabelKey| key.key.thumbprint() == group.key;
    let found = if set.algorithms().contains(&algorithm) {
        set.candidates(group.kid.as_deref(), algorithm, role).any(|key| held(key))
    } else {
        set.keys().iter().any(|key| held(key))
    };
    if found { Ok(()) } else { Err(Why::KeyNotTried) }
}

/// Why a session breaks whose label is asked no more.
fn why_of(group: &Group, role: Role, next: &Config) -> Option<Why> {
    let label = group.label.as_ref().filter(|_| group.asked == Some(AskedAs::Session))?;
    let is_listed = listed(next, role).iter().any(|one| one.label == *label);
    (!is_listed).then_some(Why::LabelNotAsked)
}

/// The row, if the label lists it, or if it is one of XML that needs no listing: a key transport beside any
/// OAEP, or what is off and is no label's today either, so that a switch of the peer let it.
fn allowed(
    set: &KeySet,
    name: &str,
    operation: Operation,
    listed_now: &[&'static Algorithm],
) -> Result<&'static Algorithm, Why> {
    if let Some(row) = set.find_allowed(name, operation) {
        return Ok(row);
    }
    let oaep = |row: &&Algorithm| matches!(row.family, Family::RsaOaep(_) | Family::RsaOaepNamed);
    let of_xml = |row: &&'static Algorithm| {
        let transport = row.family == Family::RsaOaepNamed;
        let switched = row.status == Status::Off && !listed_now.contains(row);
        (transport && set.algorithms().iter().any(oaep)) || (switched && row.xml_uri.is_some())
    };
    Algorithm::find(name).filter(of_xml).ok_or(Why::AlgorithmNotAllowed)
}

const fn role_of(outcome: Outcome) -> Option<Role> {
    match outcome {
        Outcome::Decrypted => Some(Role::Decrypt),
        Outcome::Verified => Some(Role::Verify),
        _ => None,
    }
}

const fn operation_of(role: Role) -> Operation {
    match role {
        Role::Sign | Role::Verify => Operation::Sign,
        Role::Decrypt | Role::Encrypt => Operation::KeyManagement,
    }
}

/// The alias of the key that held, as it is now.
fn alias_of(now: &[Asked<'_>], group: &Group) -> Option<Alias> {
    let mut keys = now.iter().flat_map(|one| one.set().keys());
    let key = keys.find(|key| key.key.thumbprint() == group.key)?;
    Some(key.alias.clone())
}

/// What of a group is alive at a time.
struct Living {
    count: u64,
    /// The last end; `None`: nobody knows.
    until: Option<u64>,
}

impl Living {
    /// A token lives until its end, clocks that differ included; without one for `lifetime` after its use, and
    /// without that for ever.
    fn of(tally: &Tally, lifetime: Option<Duration>, skew: Duration, at: u64) -> Self {
        let mut living = Self { count: 0, until: Some(0) };
        living.add(&tally.ends, skew, at);
        match lifetime {
            Some(lifetime) => living.add(&tally.open, lifetime + skew, at),
            None if tally.open.is_empty() => {}
            None => {
                living.count += tally.open.values().sum::<u64>();
                living.until = None;
            }
        }
        living
    }

    fn add(&mut self, times: &HashMap<u32, u64>, more: Duration, at: u64) {
        for (time, count) in times {
            let end = u64::from(*time).saturating_add(more.as_secs());
            if end > at {
                self.count += count;
                self.until = self.until.map(|until| until.max(end));
            }
        }
    }
}

fn text_of(seconds: u64) -> String {
    rfc3339(from_unix(seconds))
}
