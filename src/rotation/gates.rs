//! The gates of a step: each is one function that says why the step must wait, or nothing.
//!
//! A new gate is a function here and a line in [`closed`].

use std::time::SystemTime;

use serde::Serialize;

use super::announce::{self, Announcement, Ready};
use super::life;
use super::mappings::mapped;
use super::request::in_realm;
use super::sessions::Acted;
use crate::catalogue::{self, LabelUse, Rotation as RotationMode};
use crate::clock::{rfc3339, spoken};
use crate::config::Config;
use crate::crypto::certificate;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Action, History, MappedKey, MappingName, Span, unrecorded_until};
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::label::Alias;
use crate::usage::{Act, Doubt, KeyReport, Terms};

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

/// A key acts only once everybody who checks what it makes knows it.
fn not_announced(situation: &Situation<'_>) -> Option<Gate> {
    let (old, new) = situation.change_of_active()?;
    let Situation { set, history, mapping, command, .. } = situation;
    let (alias, label) = (&new.alias, &mapping.label);
    let early = Acting::of(set).early();
    if situation.ends() && situation.find_in_set(new).is_some() {
        // It acts around the mapping already, and is read in it: whoever knows it there knows it here.
        return None;
    }
    let known = situation.known(new);
    if known.is_none() && situation.around.is_some() {
        let first = if situation.ends() {
            "put its key into this mapping as well, and promote it there first"
        } else {
            "begin with a key that is known there, then stage this one and promote it"
        };
        return not_yet(
            format!(
                "alias \"{alias}\" would act at once, in place of \"{}\", and nobody knows it",
                old.alias
            ),
            format!("{first}; or, and {early}: {command} {NOW}"),
            None,
        );
    }
    if let Some(broken) = &history.broken {
        return not_yet(
            format!(
                "nobody knows since when alias \"{alias}\" is known: the journal breaks at line {}",
                broken.line
            ),
            format!("{BROKEN}; or, and {early}: {command} {NOW}"),
            None,
        );
    }
    let Some(known) = known else {
        return not_yet(
            format!("nobody knows since when alias \"{alias}\" stands behind label \"{label}\""),
            format!(
                "add state_dir = \"state\" to [keyring], so that steps are recorded; or: {command} {NOW}"
            ),
            None,
        );
    };
    not_ready(situation, new, known)
}

/// A label that `[sessions]` asks before the one that acted acts at once, and so does the next one where it ends.
fn new_to_sessions(situation: &Situation<'_>) -> Option<Gate> {
    let Acted { label, alias, next_label, next_alias, list } = situation.for_sessions?;
    let begins = *next_label == situation.mapping.label;
    let (of, first) = if begins {
        let wait = format!(
            "list the new label last in `{list}` of [sessions] until every process has loaded its key"
        );
        (String::new(), wait)
    } else {
        (format!(" of label \"{next_label}\""), "wait until every process has loaded it".to_owned())
    };
    not_yet(
        format!(
            "alias \"{next_alias}\"{of} would act for sessions at once, in place of \"{alias}\" of label \"{label}\", \
             and nobody knows it"
        ),
        format!(
            "{first}; or, and those that have not refuse new sessions: {} {NOW}",
            situation.command
        ),
        None,
    )
}

/// A certificate that TLS shows is looked at by everybody.
fn certificate_not_valid(situation: &Situation<'_>) -> Option<Gate> {
    let Situation { set, now, mapping, command, .. } = situation;
    let (_, new) = situation.change_of_active().filter(|_| set.uses().contains(&LabelUse::Mtls))?;
    let (why, opens_at) = outdated(set, new, *now)?;
    Some(Gate {
        code: ErrorKind::CertificateNotValid.code(),
        kind: ErrorKind::CertificateNotValid,
        message: format!(
            "alias \"{}\" would stand before TLS, and {why}: peers refuse it",
            new.alias
        ),
        help: format!(
            "make another: claviger generate NEW --stage {}{}; or: {command} {FORCE}",
            mapping.label,
            in_realm(mapping.realm.as_ref())
        ),
        opens_at: opens_at.map(rfc3339),
        override_with: FORCE,
    })
}

/// Why whoever looks at the certificate of a key refuses it, and from when on no more; `None`: nobody does.
pub(super) fn outdated(
    set: &KeySet,
    key: &MappedKey,
    now: SystemTime,
) -> Option<(String, Option<SystemTime>)> {
    let found = set.keys().iter().find(|one| mapped(set, one).is(key))?;
    let facts = certificate::facts(found.key.chain().first()?).ok()?;
    let time = |secs: i64| life::time(u64::try_from(secs).unwrap_or(0));
    let (begin, end) = (time(facts.not_before), time(facts.not_after));
    if now < begin {
        return Some((
            format!("its certificate is not valid before {}", rfc3339(begin)),
            Some(begin),
        ));
    }
    (end < now).then(|| (format!("its certificate expired at {}", rfc3339(end)), None))
}

/// As long as somebody may not know the key.
fn not_ready(situation: &Situation<'_>, new: &MappedKey, known: Announcement) -> Option<Gate> {
    let Situation { mapping, now, command, config, set, history, .. } = situation;
    let (alias, label) = (&new.alias, &mapping.label);
    let Announcement { since, first_seen, ready } = known;
    match ready {
        Ready::At(time) if time <= *now => None,
        Ready::At(time) => {
            let left = spoken(time.duration_since(*now).unwrap_or_default());
            let seen = if first_seen { "is seen" } else { "has been known" };
            let (behind, first) = match announce::missed(config, set, history, since) {
                Some((from, until)) => (
                    format!(
                        ", and a process has not loaded it: its reloads are refused from {} until {} at least",
                        rfc3339(from),
                        rfc3339(until)
                    ),
                    "its log says why: mend that, or restart it · ",
                ),
                None => (String::new(), ""),
            };
            not_yet(
                format!(
                    "alias \"{alias}\" {seen} since {} only{behind}; everybody knows it at {}, in {left}",
                    rfc3339(since),
                    rfc3339(time)
                ),
                format!(
                    "{first}then: {command} · at once, and {}: {command} {NOW}",
                    Acting::of(situation.set).early()
                ),
                Some(time),
            )
        }
        Ready::ReloadUnknown => not_yet(
            "nobody knows when every process has loaded the key: `reload` is off".into(),
            format!(
                "set propagation = \"…\" in [labels.\"{label}\"] or [policy]; or: {command} {NOW}"
            ),
            None,
        ),
        Ready::Unpublished => not_yet(
            format!(
                "peers cannot know alias \"{alias}\" before: the key set of the label shows the active key alone"
            ),
            format!(
                "set publish = \"all\" in [labels.\"{label}\"], or propagation if peers have the key from \
                 elsewhere; or: {command} {NOW}"
            ),
            None,
        ),
    }
}

fn not_yet(message: String, help: String, opens_at: Option<SystemTime>) -> Option<Gate> {
    Some(Gate {
        code: ErrorKind::NotAnnounced.code(),
        kind: ErrorKind::NotAnnounced,
        message,
        help,
        opens_at: opens_at.map(rfc3339),
        override_with: NOW,
    })
}

/// Until when somebody may not know the key that is to act, whatever passes the gate.
pub(super) fn unknown_until(situation: &Situation<'_>, new: &MappedKey) -> Option<SystemTime> {
    let Situation { config, set, history, now, .. } = situation;
    if situation.ends() && situation.find_in_set(new).is_some() {
        return None;
    }
    let ready = situation.known(new).map(|known| known.ready);
    match ready.unwrap_or_else(|| announce::ready(config, set, history, *now, *now)) {
        Ready::At(time) => Some(time).filter(|time| time > now),
        Ready::ReloadUnknown | Ready::Unpublished => None,
    }
}

/// A key goes only once nothing is alive that it alone opens.
fn still_in_use(situation: &Situation<'_>) -> Option<Gate> {
    if !leaves_tokens(situation.set) || is_past_by_kind(&situation.mapping.label) {
        return None;
    }
    if let Some(key) = situation.left_out.first() {
        return read_no_more(situation, key);
    }
    let gone = situation.gone().find(|key| !reads_on(situation.read_on, key))?;
    match &situation.usage {
        Some(Ok(report)) if report.durable => not_proven(situation, gone, report),
        Some(Err(error)) => in_use(
            format!("nobody knows what alias \"{}\" made: {}", gone.alias, error.message()),
            format!("mend it; or, and what is alive is refused: {} {FORCE}", situation.command),
            None,
        ),
        _ => not_past(situation, gone),
    }
}

/// Whether the key that goes is read all the same: the global list has it too, and the realm reads that, or it stands
/// behind the label that stands in.
pub(super) fn reads_on(read_on: &[MappedKey], gone: &MappedKey) -> bool {
    gone.thumbprint.is_some() && read_on.iter().any(|one| one.is(gone) && one.kid == gone.kid)
}

/// With a mapping of its own a label is no longer read with the keys of the one that stood in, nor, with
/// `valid = "realm-only"`, a realm with the global ones.
fn read_no_more(situation: &Situation<'_>, key: &MappedKey) -> Option<Gate> {
    let (alias, command) = (&key.alias, situation.command);
    let all = situation.set.keys().iter().map(|key| format!("\"{}\"", key.alias));
    let all = all.collect::<Vec<_>>().join(", ");
    in_use(
        format!(
            "what alias \"{alias}\" made would be refused: with a mapping of its own the label is read with that alone"
        ),
        format!(
            "begin with all that are read now, in the configuration: \"{}\" = [{all}]; or, and what is alive is \
             refused: {command} {FORCE}",
            situation.mapping.label
        ),
        None,
    )
}

fn in_use(message: String, help: String, opens_at: Option<SystemTime>) -> Option<Gate> {
    Some(Gate {
        code: ErrorKind::StillInUse.code(),
        kind: ErrorKind::StillInUse,
        message,
        help,
        opens_at: opens_at.map(rfc3339),
        override_with: FORCE,
    })
}

/// By what was written down of every use, before it happened.
fn not_proven(situation: &Situation<'_>, gone: &MappedKey, report: &KeyReport) -> Option<Gate> {
    let Situation { now, command, .. } = situation;
    let (alias, label) = (&gone.alias, &situation.mapping.label);
    // What peers encrypt is not counted here; it is reckoned below. What they sign nobody reckons.
    let made_elsewhere = life::is_of_others(situation.set, gone);
    let terms = Terms { made_elsewhere, ..situation.terms(gone, report) };
    let own = match report.safe_after(&terms) {
        Ok(after) => after.map(life::time),
        Err(doubt) => {
            return in_use(
                format!(
                    "whether anything of alias \"{alias}\" is alive is unknown, not provable: {}",
                    doubt.reason()
                ),
                match doubt {
                    Doubt::MadeBefore | Doubt::NoLifetime => format!(
                        "set max_token_lifetime = \"…\" in [labels.\"{label}\"]; or, and what is alive is refused: \
                         {command} {FORCE}"
                    ),
                    Doubt::JournalBroken => {
                        format!("{BROKEN}; or, and what is alive is refused: {command} {FORCE}")
                    }
                    _ => format!("what is alive is refused then: {command} {FORCE}"),
                },
                None,
            );
        }
    };
    let peers = match last_shown(situation, gone) {
        LastUse::At(time) => Some(time),
        LastUse::StillPublished => return still_published(situation, gone),
        LastUse::Never | LastUse::Unknown => None,
    };
    let reckoned = match (peers, terms.lifetime) {
        (Some(shown), None) => return no_lifetime(situation, gone, shown),
        (shown, lifetime) => {
            shown.zip(lifetime).map(|(last, lifetime)| last + lifetime + terms.grace)
        }
    };
    let safe = own.max(reckoned).filter(|safe| safe > now)?;
    let last = report.last(Act::Signed).max(report.last(Act::Encrypted));
    let last = last.map_or_else(String::new, |last| {
        let made = report.count(Act::Signed).saturating_add(report.count(Act::Encrypted));
        format!(" ({made} made, the last at {})", rfc3339(life::time(last)))
    });
    in_use(
        format!(
            "tokens of alias \"{alias}\" may live until {}, for another {}{last}",
            rfc3339(safe),
            spoken(safe.duration_since(*now).unwrap_or_default())
        ),
        format!("then: {command} · at once, and they are refused from then on: {command} {FORCE}"),
        Some(safe),
    )
}

/// By the time at which the key last acted, where its uses are not kept.
fn not_past(situation: &Situation<'_>, gone: &MappedKey) -> Option<Gate> {
    let Situation { config, mapping, now, command, .. } = situation;
    let (alias, label) = (&gone.alias, &mapping.label);
    let gate = in_use;
    let last = match last_use(situation, gone) {
        LastUse::At(time) => time,
        LastUse::Never => return None,
        LastUse::StillPublished => return still_published(situation, gone),
        LastUse::Unknown => {
            return gate(
                format!("nobody knows when alias \"{alias}\" last acted for label \"{label}\""),
                format!(
                    "add state_dir = \"state\" to [keyring], so that steps are recorded; or: {command} {FORCE}"
                ),
                None,
            );
        }
    };
    let lifetime = config.labels.get(label).and_then(|one| one.value.max_token_lifetime);
    let Some(lifetime) = lifetime else { return no_lifetime(situation, gone, last) };
    let safe = last + lifetime + config.policy.clock_skew;
    if safe <= *now {
        return None;
    }
    gate(
        format!(
            "tokens of alias \"{alias}\" may live until {}, for another {}",
            rfc3339(safe),
            spoken(safe.duration_since(*now).unwrap_or_default())
        ),
        format!("then: {command} · at once, and they are refused from then on: {command} {FORCE}"),
        Some(safe),
    )
}

fn still_published(situation: &Situation<'_>, gone: &MappedKey) -> Option<Gate> {
    in_use(
        format!(
            "peers may still encrypt to alias \"{}\": the key set of the label shows it",
            gone.alias
        ),
        format!(
            "set publish = \"active\" in [labels.\"{}\"] and wait for caches and tokens; or: {} {FORCE}",
            situation.mapping.label, situation.command
        ),
        None,
    )
}

fn no_lifetime(situation: &Situation<'_>, gone: &MappedKey, last: SystemTime) -> Option<Gate> {
    let (alias, last_at) = (&gone.alias, rfc3339(last));
    let made = if last > situation.now {
        format!("peers may encrypt to alias \"{alias}\" until {last_at}")
    } else {
        format!("alias \"{alias}\" acted until {last_at}")
    };
    in_use(
        format!("{made}, and nobody knows how long that lives"),
        format!(
            "set max_token_lifetime = \"…\" in [labels.\"{}\"]; or: {} {FORCE}",
            situation.mapping.label, situation.command
        ),
        None,
    )
}

/// When peers could last have encrypted to a key: one that the key set of the label showed, or SAML metadata, which show
/// the active one, or one that they have by hand, while it acted.
fn last_shown(situation: &Situation<'_>, key: &MappedKey) -> LastUse {
    let Situation { set, history, config, now, .. } = situation;
    if !set.uses().contains(&LabelUse::Decrypt) {
        return LastUse::Never;
    }
    if key.published {
        return LastUse::StillPublished;
    }
    let spans = situation.spans(key);
    let last = |fits: &dyn Fn(&Span) -> bool| {
        let ends = spans.iter().filter(|span| fits(span)).map(|span| span.until.unwrap_or(*now));
        ends.max()
    };
    let in_metadata = announce::is_in_metadata(set);
    let shown = last(&|span| span.key.published || (in_metadata && span.active));
    let shown = shown.map(|end| announce::forgotten(config, set, history, end, *now));
    // What the label opens and does not make comes from peers, whatever they have its keys from.
    let opens_only = !set.uses().contains(&LabelUse::Encrypt);
    let by_hand = last(&|span| opens_only && span.active);
    let by_hand = by_hand.map(|end| end + announce::told_by_hand(config, set));
    shown.max(by_hand).map_or(LastUse::Never, LastUse::At)
}

/// When a key last made something that it alone opens.
enum LastUse {
    At(SystemTime),
    Never,
    StillPublished,
    Unknown,
}

fn last_use(situation: &Situation<'_>, key: &MappedKey) -> LastUse {
    let spans = situation.spans(key);
    let end = |span: &Span| span.until.unwrap_or(situation.now);
    let acted = spans.iter().filter(|span| span.active).map(end).max();
    let shown = match last_shown(situation, key) {
        LastUse::StillPublished => return LastUse::StillPublished,
        LastUse::At(time) => Some(time),
        LastUse::Never | LastUse::Unknown => None,
    };
    match (acted, shown) {
        (None, None) if spans.is_empty() => LastUse::Unknown,
        (None, None) => unrecorded_until(&spans).map_or(LastUse::Never, LastUse::At),
        (one, other) => one.max(other).map_or(LastUse::Never, LastUse::At),
    }
}

/// What it means that a key acts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Acting {
    /// Tokens are made with it, for whoever checks or opens them.
    Makes,
    /// Peers are to encrypt to it.
    Receives,
    /// It is given out, stands before TLS, or is trusted.
    Serves,
}

impl Acting {
    pub(super) fn of(set: &KeySet) -> Self {
        let has = |one| set.uses().contains(&one);
        if has(LabelUse::Sign) || has(LabelUse::Mac) || has(LabelUse::Encrypt) {
            Self::Makes
        } else if has(LabelUse::Decrypt) {
            Self::Receives
        } else {
            Self::Serves
        }
    }

    /// Who goes wrong where it acts before everybody knows it.
    pub(super) const fn early(self) -> &'static str {
        match self {
            Self::Makes => "caches that are older refuse its tokens",
            Self::Receives => {
                "processes that have not loaded it cannot open what is encrypted to it"
            }
            Self::Serves => "who has not loaded it goes on with the other one",
        }
    }
}

/// Whether there is something of the label, made here or by others, that must be opened later.
pub(super) fn leaves_tokens(set: &KeySet) -> bool {
    let reads = |one: &LabelUse| {
        matches!(
            one,
            LabelUse::Decrypt
                | LabelUse::Encrypt
                | LabelUse::Mac
                | LabelUse::Sign
                | LabelUse::Verify
        )
    };
    set.uses().iter().any(reads)
}

/// Of labels that only ever use the active key, the others open nothing.
fn is_past_by_kind(label: &crate::label::LabelName) -> bool {
    catalogue::find(label).is_some_and(|found| found.spec.rotation == RotationMode::ActiveOnly)
}

/// What of all that a key made is alive when it goes.
pub(super) enum LeftAlive {
    Nothing,
    Unknown,
    Until(SystemTime),
}

/// Whether what a key made is alive, and until when, as far as its uses and the label say.
pub(super) fn left_alive(situation: &Situation<'_>, key: &MappedKey) -> LeftAlive {
    if life::is_of_others(situation.set, key) {
        return LeftAlive::Unknown;
    }
    if let Some(Ok(report)) = &situation.usage
        && report.durable
        && let Ok(after) = report.safe_after(&situation.terms(key, report))
    {
        let alive = after.map(life::time).filter(|after| *after > situation.now);
        return alive.map_or(LeftAlive::Nothing, LeftAlive::Until);
    }
    let settings = situation.config.labels.get(&situation.mapping.label);
    let lifetime = settings.and_then(|settings| settings.value.max_token_lifetime);
    let last = match last_use(situation, key) {
        LastUse::At(time) => time,
        LastUse::Never => return LeftAlive::Unknown,
        LastUse::StillPublished | LastUse::Unknown => situation.now,
    };
    match lifetime.map(|lifetime| last + lifetime + situation.config.policy.clock_skew) {
        None => LeftAlive::Unknown,
        Some(until) if until <= situation.now => LeftAlive::Nothing,
        Some(until) => LeftAlive::Until(until),
    }
}
