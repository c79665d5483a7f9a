//! Gates of a key that is to act: everybody who checks what it makes must know it, and take it.

use std::time::SystemTime;

use super::{BROKEN, FORCE, Gate, NOW, Situation};
use crate::catalogue::LabelUse;
use crate::clock::{rfc3339, spoken};
use crate::crypto::certificate;
use crate::error::ErrorKind;
use crate::journal::MappedKey;
use crate::keyring::keyset::KeySet;
use crate::rotation::announce::{self, Announcement, Ready};
use crate::rotation::life;
use crate::rotation::mappings::mapped;
use crate::rotation::request::in_realm;
use crate::rotation::sessions::Acted;

/// A key acts only once everybody who checks what it makes knows it.
pub(super) fn not_announced(situation: &Situation<'_>) -> Option<Gate> {
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
pub(super) fn new_to_sessions(situation: &Situation<'_>) -> Option<Gate> {
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
pub(super) fn certificate_not_valid(situation: &Situation<'_>) -> Option<Gate> {
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
pub(in crate::rotation) fn outdated(
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
pub(in crate::rotation) fn unknown_until(
    situation: &Situation<'_>,
    new: &MappedKey,
) -> Option<SystemTime> {
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

/// Whether the keys of a label only check what others make: then each does so alike, whichever stands first.
pub(in crate::rotation) fn nothing_acts(set: &KeySet) -> bool {
    let checks = |one: &LabelUse| matches!(one, LabelUse::Trust | LabelUse::Verify);
    set.uses().iter().all(checks)
}

/// What it means that a key acts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::rotation) enum Acting {
    /// Tokens are made with it, for whoever checks or opens them.
    Makes,
    /// Peers are to encrypt to it.
    Receives,
    /// It is given out, or stands before TLS.
    Serves,
}

impl Acting {
    pub(in crate::rotation) fn of(set: &KeySet) -> Self {
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
    pub(in crate::rotation) const fn early(self) -> &'static str {
        match self {
            Self::Makes => "caches that are older refuse its tokens",
            Self::Receives => {
                "processes that have not loaded it cannot open what is encrypted to it"
            }
            Self::Serves => "who has not loaded it goes on with the other one",
        }
    }
}
