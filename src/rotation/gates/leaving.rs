//! The gate of a key that goes: nothing may be alive that it alone verifies or opens.

use std::time::SystemTime;

use super::{BROKEN, FORCE, Gate, Situation};
use crate::catalogue::{self, LabelUse, Rotation as RotationMode};
use crate::clock::{rfc3339, spoken};
use crate::config::Config;
use crate::error::ErrorKind;
use crate::journal::{History, MappedKey, Span, unrecorded_until};
use crate::keyring::keyset::KeySet;
use crate::rotation::announce;
use crate::rotation::life;
use crate::usage::{Act, Doubt, KeyReport, Terms};

/// A key goes only once nothing is alive that it alone opens.
pub(super) fn still_in_use(situation: &Situation<'_>) -> Option<Gate> {
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
pub(in crate::rotation) fn reads_on(read_on: &[MappedKey], gone: &MappedKey) -> bool {
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
    let peers = match last_encrypted_to(situation, gone) {
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
    let whose = match last {
        Some(last) => {
            let made = report.count(Act::Signed).saturating_add(report.count(Act::Encrypted));
            format!("{made} made, the last at {}", rfc3339(life::time(last)))
        }
        // `status` shows that it made nothing here.
        None if own == Some(safe) => {
            "made behind another label, in another realm, under another name, or before the journal began".to_owned()
        }
        None => "peers may have encrypted them to it".to_owned(),
    };
    in_use(
        format!(
            "tokens of alias \"{alias}\" may live until {}, for another {} ({whose})",
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

/// When peers could last have encrypted to a key, which the key set may show still.
fn last_encrypted_to(situation: &Situation<'_>, key: &MappedKey) -> LastUse {
    let Situation { set, history, config, now, .. } = situation;
    if set.uses().contains(&LabelUse::Decrypt) && key.published {
        return LastUse::StillPublished;
    }
    let last = last_shown(config, set, history, &situation.spans(key), *now);
    last.map_or(LastUse::Never, LastUse::At)
}

/// When peers could last have encrypted to a key that had these places: one that the key set of the label showed, or SAML
/// metadata, which show the active one, or one that they have by hand, while it acted.
pub(in crate::rotation) fn last_shown(
    config: &Config,
    set: &KeySet,
    history: &History,
    spans: &[Span],
    now: SystemTime,
) -> Option<SystemTime> {
    if !set.uses().contains(&LabelUse::Decrypt) {
        return None;
    }
    let last = |fits: &dyn Fn(&Span) -> bool| {
        let ends = spans.iter().filter(|span| fits(span)).map(|span| span.until.unwrap_or(now));
        ends.max()
    };
    let in_metadata = announce::is_in_metadata(set);
    let shown = last(&|span| span.key.published || (in_metadata && span.active));
    let shown = shown.map(|end| announce::forgotten(config, set, history, end, now));
    // What the label opens and does not make comes from peers, whatever they have its keys from.
    let opens_only = !set.uses().contains(&LabelUse::Encrypt);
    let by_hand = last(&|span| opens_only && span.active);
    let by_hand = by_hand.map(|end| end + announce::told_by_hand(config, set));
    shown.max(by_hand)
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
    let shown = match last_encrypted_to(situation, key) {
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

/// Whether there is something of the label, made here or by others, that must be opened later.
pub(in crate::rotation) fn leaves_tokens(set: &KeySet) -> bool {
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
pub(in crate::rotation) enum LeftAlive {
    Nothing,
    Unknown,
    Until(SystemTime),
}

/// Whether what a key made is alive, and until when, as far as its uses and the label say.
pub(in crate::rotation) fn left_alive(situation: &Situation<'_>, key: &MappedKey) -> LeftAlive {
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
