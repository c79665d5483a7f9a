//! What a step is told to mean: what breaks, what comes next, and the refusals that name what would fit.

use std::sync::Arc;
use std::time::SystemTime;

use super::announce;
use super::gates::{self, Acting, Gate, LeftAlive, Situation};
use super::life;
use super::mappings::{Kind, Mapping};
use super::request::{in_realm, quoted};
use super::steps::position;
use crate::alg::{Algorithm, Operation};
use crate::catalogue::LabelUse;
use crate::clock::rfc3339;
use crate::crypto::Role;
use crate::error::{Error, ErrorKind};
use crate::journal::{Action, MappedKey, MappingName, Record};
use crate::keyring::Keyring;
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::label::Alias;

pub(super) fn consequences(
    situation: &Situation<'_>,
    gates: &[Gate],
    after: &Keyring,
) -> Vec<String> {
    let mut lines = Vec::new();
    for key in situation.gone() {
        let alias = &key.alias;
        if !gates::leaves_tokens(situation.set) {
            lines.push(format!("breaks: whoever still uses \"{alias}\" is refused"));
            continue;
        }
        lines.push(match gates::left_alive(situation, key) {
            LeftAlive::Nothing => format!("nothing that \"{alias}\" made under the label is alive"),
            LeftAlive::Unknown => {
                format!("breaks: what \"{alias}\" made is refused, for as long as any of it lives")
            }
            LeftAlive::Until(time) => {
                let time = rfc3339(time);
                format!("breaks: what \"{alias}\" made is refused, until {time} at the latest")
            }
        });
    }
    lines.extend(situation.gone().filter_map(|key| believed(situation, key)));
    if let Some((_, new)) = situation.change_of_active() {
        let acting = Acting::of(situation.set);
        let (acts, breaks) = match acting {
            Acting::Makes => {
                ("new tokens are made with", "whoever has an older key set refuses them")
            }
            Acting::Receives => ("peers are to encrypt to", acting.early()),
            Acting::Serves => ("what is used is", acting.early()),
        };
        lines.push(format!("{acts} \"{}\"", new.alias));
        if let Some(gate) = gates.iter().find(|gate| gate.kind == ErrorKind::NotAnnounced) {
            let until =
                gate.opens_at.as_ref().map_or_else(String::new, |time| format!(" until {time}"));
            lines.push(format!("breaks{until}: {breaks}"));
        } else {
            lines.extend(
                gates::unknown_until(situation, new)
                    .map(|time| format!("breaks until {}: {breaks}", rfc3339(time))),
            );
        }
    }
    lines.extend(refused_by_date(situation, after));
    lines.extend(tried_no_more(situation, after));
    lines.extend(shown_at_once(situation, after));
    lines.extend(next_step(situation, after));
    lines
}

/// What comes, or acts from then on, with a certificate that is not valid.
fn refused_by_date(situation: &Situation<'_>, after: &Keyring) -> Vec<String> {
    let snapshot = after.snapshot();
    let Ok(set) = snapshot.keys(situation.mapping.realm.as_ref(), &situation.mapping.label) else {
        return Vec::new();
    };
    let acts = situation.change_of_active().map(|(_, new)| new);
    let staged = situation.fresh().filter(|key| !acts.is_some_and(|acts| acts.is(key)));
    let outdated = acts.into_iter().chain(staged).filter_map(|key| {
        let (why, _) = gates::outdated(set, key, situation.now)?;
        Some(format!(
            "breaks: \"{}\" is refused by peers that look at its certificate: {why}",
            key.alias
        ))
    });
    outdated.collect()
}

/// For how long peers believe what is made with a leaked key: no revocation reaches what they have cached.
fn believed(situation: &Situation<'_>, key: &MappedKey) -> Option<String> {
    let Situation { config, set, history, now, action, .. } = situation;
    let signs = set.uses().contains(&LabelUse::Sign) && *action == Action::Revoke;
    let alias = &key.alias;
    if signs && key.published {
        let reload = config.keyring.reload.noticed_within().unwrap_or_default();
        let until = rfc3339(announce::forgotten(config, set, history, *now + reload, *now));
        return Some(format!(
            "until {until} whoever has an older key set believes what somebody else makes with \"{alias}\""
        ));
    }
    (signs && announce::is_in_metadata(set)).then(|| {
        format!(
            "peers believe what somebody else makes with \"{alias}\" until they have taken new metadata: tell them"
        )
    })
}

/// Keys that stay, and are too far down the list for what names no key.
fn tried_no_more(situation: &Situation<'_>, after: &Keyring) -> Vec<String> {
    let Situation { set: before, mapping, .. } = situation;
    let snapshot = after.snapshot();
    let Ok(after) = snapshot.keys(mapping.realm.as_ref(), &mapping.label) else {
        return Vec::new();
    };
    let tries = after.policy().limits.max_tries;
    let stays = |key: &&Arc<LabelKey>| after.keys().iter().any(|one| is_same(one, key));
    let falls = |key: &&Arc<LabelKey>| {
        let mut rows = before.algorithms().iter();
        rows.any(|row| reaches(before, row, key) && !reaches(after, row, key))
    };
    let fallen = before.keys().iter().filter(stays).filter(falls).map(|key| {
        let alias = &key.alias;
        format!(
            "breaks: what \"{alias}\" made without a kid is refused, for max_tries lets {} be tried",
            if tries == 1 { "1 key".to_owned() } else { format!("{tries} keys") }
        )
    });
    fallen.collect()
}

/// Whether a key is tried for what names none.
fn reaches(set: &KeySet, row: &'static Algorithm, key: &LabelKey) -> bool {
    let role = match row.operation {
        Operation::Sign => Role::Verify,
        _ => Role::Decrypt,
    };
    set.candidates(None, row, role).any(|one| is_same(one, key))
}

fn is_same(one: &LabelKey, other: &LabelKey) -> bool {
    one.key.thumbprint() == other.key.thumbprint()
}

/// Peers may encrypt to a key as soon as one process shows it, and another may not have loaded it yet.
fn shown_at_once(situation: &Situation<'_>, after: &Keyring) -> Option<String> {
    let receives = situation.set.uses().contains(&LabelUse::Decrypt);
    situation.fresh().find(|key| receives && key.published)?;
    let until = known_at(situation, after);
    let until = until.map_or_else(String::new, |time| format!(" until {}", rfc3339(time)));
    let early = Acting::Receives.early();
    Some(format!("breaks{until}: the key set shows it at once, and {early}"))
}

/// A consequence, where a step changes several mappings.
pub(super) fn about(name: &MappingName, line: &str) -> String {
    match &name.realm {
        Some(realm) => format!("label \"{}\" in realm \"{realm}\": {line}", name.label),
        None => format!("label \"{}\": {line}", name.label),
    }
}

/// Those of a step for its own mapping and for others, which are named by then.
pub(super) fn together(name: &MappingName, own: Vec<String>, others: Vec<String>) -> Vec<String> {
    if others.is_empty() {
        return own;
    }
    own.iter().map(|line| about(name, line)).chain(others).collect()
}

/// When everybody knows a key that comes now.
fn known_at(situation: &Situation<'_>, after: &Keyring) -> Option<SystemTime> {
    let config = after.config();
    match announce::ready(&config, situation.set, situation.history, situation.now, situation.now) {
        announce::Ready::At(time) => Some(time),
        announce::Ready::ReloadUnknown | announce::Ready::Unpublished => None,
    }
}

/// When a key that was staged may act.
fn next_step(situation: &Situation<'_>, after: &Keyring) -> Option<String> {
    let name = situation.mapping;
    let waits = |key: &&MappedKey| situation.after.first().is_none_or(|active| !active.is(key));
    let staged = situation.fresh().find(waits)?;
    let snapshot = after.snapshot();
    let set = snapshot.keys(name.realm.as_ref(), &name.label).ok()?;
    if gates::nothing_acts(set) || life::is_of_others(set, staged) {
        return None;
    }
    let time = known_at(situation, after)?;
    Some(format!(
        "next: claviger promote {}{}{}, from {} on",
        name.label,
        quoted(&staged.alias),
        in_realm(name.realm.as_ref()),
        rfc3339(time)
    ))
}

pub(super) fn not_listed(mapping: &Mapping, name: &MappingName, alias: &Alias) -> Error {
    let text = format!("alias \"{alias}\" does not stand behind label \"{}\"", name.label);
    let typed = alias.as_str().to_lowercase();
    let near = mapping
        .keys
        .iter()
        .map(|key| (strsim::damerau_levenshtein(&key.alias.as_str().to_lowercase(), &typed), key))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance < typed.chars().count())
        .filter(|(distance, key)| *distance <= 2.max(key.alias.as_str().len() / 4));
    Error::new(ErrorKind::UnknownAlias, text).with_help(near.map_or_else(
        || {
            // A volume takes the value of a file, and knows no other aliases.
            let new = match mapping.kind {
                Kind::Versioned => format!("claviger generate NEW --stage {}", name.label),
                Kind::Fixed | Kind::Listed => {
                    format!("claviger stage {}{}", name.label, quoted(alias))
                }
            };
            let realm = in_realm(name.realm.as_ref());
            format!("its aliases are {}; a new one is staged first: {new}{realm}", names(mapping))
        },
        |(_, key)| {
            let label = &name.label;
            format!("did you mean \"{}\"? `claviger labels {label}` shows them all", key.alias)
        },
    ))
}

/// An alias that is to be revoked, and that the label never had. No other one is proposed: it would be banned for good.
pub(super) fn never_there(
    mapping: &Mapping,
    name: &MappingName,
    alias: &Alias,
    left: &[&MappedKey],
) -> Error {
    let label = &name.label;
    let text = format!("alias \"{alias}\" never stood behind label \"{label}\"");
    let mut help = format!("its aliases are {}", names(mapping));
    if !left.is_empty() {
        let left = left.iter().map(|key| format!("\"{}\"", key.alias));
        help.push_str(&format!("; those that left it are {}", left.collect::<Vec<_>>().join(", ")));
    }
    help.push_str("; `claviger labels` lists every label with its aliases");
    Error::new(ErrorKind::UnknownAlias, text).with_help(help)
}

/// What becomes of a key that is revoked and stands behind no label.
pub(super) fn banned(key: &MappedKey, before: Option<&Record>, at: Option<SystemTime>) -> String {
    let (alias, kid) = (&key.alias, &key.kid);
    match (before, at) {
        (Some(_), Some(at)) => format!(
            "\"{alias}\" (kid {kid}) was revoked already: somebody else may have had it since {}",
            rfc3339(at)
        ),
        _ => format!("\"{alias}\" (kid {kid}) stands behind no label now, and never will again"),
    }
}

/// That a password leaves nothing by which it would be known again.
pub(super) fn without_tombstone(key: &MappedKey) -> Option<String> {
    let alias = &key.alias;
    key.thumbprint.is_none().then(|| {
        format!(
            "no tombstone refuses \"{alias}\": a password could be guessed from one; see that nobody brings its value back"
        )
    })
}

pub(super) fn names(mapping: &Mapping) -> String {
    let quoted = mapping.keys.iter().map(|key| format!("\"{}\"", key.alias));
    quoted.collect::<Vec<_>>().join(", ")
}

/// What to do about an alias that is to be staged and stands there.
pub(super) fn stands_already(mapping: &Mapping, name: &MappingName, alias: &Alias) -> String {
    let label = &name.label;
    let place = quoted(alias) + &in_realm(name.realm.as_ref());
    match position(mapping, alias) {
        Some(0) => format!("it acts; `claviger labels {label}` shows the others"),
        Some(_) => format!("let it act: claviger promote {label}{place}"),
        None => format!("its key is revoked; take it out: claviger retire {label}{place}"),
    }
}

pub(super) fn is_active(mapping: &Mapping, name: &MappingName, alias: &Alias) -> Error {
    let text = format!("alias \"{alias}\" is the one that acts");
    Error::new(ErrorKind::StepRefused, text).with_help(next_help(mapping, name))
}

fn next_help(mapping: &Mapping, name: &MappingName) -> String {
    let (label, realm) = (&name.label, in_realm(name.realm.as_ref()));
    mapping.keys.get(1).map_or_else(
        || format!("make the next one first: claviger generate NEW --stage {label}{realm}"),
        |next| {
            let alias = quoted(&next.alias);
            format!("let another act first: claviger promote {label}{alias}{realm}")
        },
    )
}
