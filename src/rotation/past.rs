//! Whether a token was good at a time in the past: the journal knows who stood behind the label then.

use std::time::SystemTime;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::formats::JwkHints;
use crate::jose::jws::{self, Verified, VerifyOptions};
use crate::journal::archive::{self, Archived};
use crate::journal::{
    Action, Event, History, Journal, MappedKey, MappingChange, MappingName, Span,
};
use crate::keyring::Keyring;
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::label::Realm;
use crate::usage::KeyUsage;

/// What became of a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "the four answers")]
pub enum Past {
    /// No key that stood behind the label at that time made it.
    Never,
    /// Its key was revoked, and somebody else may have had it at that time.
    Suspect,
    /// Its key stood behind the label then, and does no more.
    ValidThen,
    /// Its key stands behind the label still.
    ValidThenAndNow,
}

/// The answer, and what it rests on.
#[derive(Debug)]
#[non_exhaustive]
pub struct PastAnswer {
    /// What became of it.
    pub outcome: Past,
    /// The token, if any key made it.
    pub verified: Option<Verified>,
    /// When its key came to the label, and left it.
    pub from: Option<SystemTime>,
    /// See `from`.
    pub until: Option<SystemTime>,
    /// Since when somebody else may have had the key.
    pub compromised_at: Option<SystemTime>,
    /// When the key was revoked.
    pub revoked_at: Option<SystemTime>,
    /// Between these times the mapping was changed by hand, so that nobody knows whether the key stood there
    /// when it was asked for. The outcome takes the change to have been made at the end.
    pub unsure_between: Option<(SystemTime, SystemTime)>,
}

/// Checks a compact token against the keys that stood behind a label of `keyring` at `time`.
///
/// # Errors
/// [`ErrorKind::Usage`] without a journal, or of a time that is still to come, [`ErrorKind::Damaged`] if its chain breaks or it begins later,
/// [`ErrorKind::UnknownAlias`] if the key of the token is known and not at hand any more.
pub fn verify_at(
    keyring: &Keyring,
    set: &KeySet,
    realm: Option<&Realm>,
    token: &str,
    options: &VerifyOptions<'_>,
    time: SystemTime,
) -> Result<PastAnswer> {
    let config = keyring.config();
    let Some(state_dir) = config.keyring.state_dir.as_deref() else {
        return Err(Error::new(ErrorKind::Usage, "this configuration keeps no journal")
            .with_help("add state_dir = \"state\" to [keyring]: from then on it can be answered"));
    };
    let history = Journal::of(state_dir).read()?;
    if let Some(broken) = &history.broken {
        let text = format!("the journal breaks at line {}: {}", broken.line, broken.reason);
        return Err(Error::new(ErrorKind::Damaged, text)
            .with_help("nothing can be said from it; compare it with a backup"));
    }
    not_to_come(&history, time, keyring.clock().now())?;
    let archived = archive::read(state_dir, set.label())?;
    let all = everyone(set, archived)?;
    let verified = match jws::verify(&all, token, options) {
        Ok(verified) => verified,
        Err(error) => {
            not_at_hand(&history, &all, token)?;
            drop(error);
            return Ok(nobody(None));
        }
    };
    answer(&history, set, realm, verified, (time, keyring.clock().now()))
}

/// Nobody knows who will stand behind a label. A record after now is of a process whose clock is ahead: until then the
/// journal answers.
fn not_to_come(history: &History, time: SystemTime, now: SystemTime) -> Result<()> {
    let recorded = history.records.iter().map(|record| record.time).max();
    if time <= now || recorded.is_some_and(|recorded| time <= recorded) {
        return Ok(());
    }
    let (time, now) = (crate::clock::rfc3339(time), crate::clock::rfc3339(now));
    let text =
        format!("{time} is still to come: it is {now}, and the journal knows the past alone");
    Err(Error::new(ErrorKind::Usage, text)
        .with_help("ask for a time that is past, or leave the time out to ask for now"))
}

fn nobody(verified: Option<Verified>) -> PastAnswer {
    PastAnswer {
        outcome: Past::Never,
        verified,
        from: None,
        until: None,
        compromised_at: None,
        revoked_at: None,
        unsure_between: None,
    }
}

fn answer(
    history: &History,
    set: &KeySet,
    realm: Option<&Realm>,
    verified: Verified,
    (time, now): (SystemTime, SystemTime),
) -> Result<PastAnswer> {
    let key = mapped_key(&verified.key);
    let mut spans = history.spans(set.label(), realm, &key, now);
    if realm.is_some() {
        // A realm tries the global keys too.
        spans.extend(history.spans(set.label(), None, &key, now));
    }
    let unsure_between = changed_by_hand(history, set, realm, &key, time);
    let Some(span) = spans.iter().find(|span| holds(span, time)) else {
        if let Some(first) = spans.iter().find(|span| span.first_seen && time < span.from) {
            let text =
                format!("the journal begins later, on {}", crate::clock::rfc3339(first.from));
            return Err(Error::new(ErrorKind::Damaged, text)
                .with_help("what was mapped before is not recorded"));
        }
        return Ok(PastAnswer { unsure_between, ..nobody(Some(verified)) });
    };
    let thumbprint = key.thumbprint.as_deref();
    let revocation = thumbprint.and_then(|key| history.revoked(key));
    let revoked_at = history
        .revocations()
        .find(|record| thumbprint.is_some() && record.thumbprint() == thumbprint)
        .map(|record| record.time);
    let is_there = spans.iter().any(|span| span.until.is_none());
    let compromised_at = revocation.and_then(|record| record.compromised_at);
    let outcome = match (revocation, compromised_at) {
        // Nobody said since when: at no time it is known to have been in good hands.
        (Some(_), None) => Past::Suspect,
        (Some(_), Some(since)) if time >= since => Past::Suspect,
        (None, _) if is_there => Past::ValidThenAndNow,
        _ => Past::ValidThen,
    };
    Ok(PastAnswer {
        outcome,
        from: Some(span.from),
        until: spans.iter().filter_map(|span| span.until).max().filter(|_| !is_there),
        compromised_at,
        revoked_at,
        unsure_between,
        verified: Some(verified),
    })
}

/// The time in which an edit by hand moved a key in or out, if `time` lies in it: from the record before, when
/// the mapping was still as it was known, to the one that found it.
fn changed_by_hand(
    history: &History,
    set: &KeySet,
    realm: Option<&Realm>,
    key: &MappedKey,
    time: SystemTime,
) -> Option<(SystemTime, SystemTime)> {
    let here = |name: &MappingName| {
        name.label == *set.label() && (name.realm.is_none() || name.realm.as_ref() == realm)
    };
    let has = |keys: &[MappedKey]| keys.iter().any(|one| one.is(key));
    history.records.windows(2).find_map(|pair| {
        let [before, found] = pair else { return None };
        let by_hand = (found.event, found.action) == (Event::Noticed, Action::EditedByHand);
        let within = by_hand && before.time <= time && time < found.time;
        let moved = |change: &MappingChange| {
            here(&change.mapping) && has(&change.before) != has(&change.after)
        };
        (within && found.changes.iter().any(moved)).then_some((before.time, found.time))
    })
}

fn holds(span: &Span, time: SystemTime) -> bool {
    span.from <= time && span.until.is_none_or(|until| time < until)
}

/// The keys of today and those of the archive in one set.
fn everyone(set: &KeySet, archived: Vec<Archived>) -> Result<KeySet> {
    // Asking for the past is no use of a key.
    let usage = KeyUsage::default;
    let keys = set.keys().iter();
    let mut keys: Vec<LabelKey> =
        keys.map(|key| LabelKey { usage: usage(), ..LabelKey::clone(key) }).collect();
    for mut key in archived.into_iter().map(as_label_key).collect::<Result<Vec<_>>>()? {
        let same = |one: &LabelKey| one.key.thumbprint() == key.key.thumbprint();
        if keys.iter().any(same) {
            continue;
        }
        // Two keys may have had one kid, one after the other.
        if keys.iter().any(|one| one.kid == key.kid) {
            key.kid = format!("{} (archived {})", key.kid, key.key.thumbprint());
        }
        keys.push(key);
    }
    let mut policy = set.policy().clone();
    policy.limits.max_tries = keys.len();
    KeySet::new(set.label().clone(), set.uses().to_vec(), keys, set.algorithms().to_vec(), policy)
}

fn as_label_key(archived: Archived) -> Result<LabelKey> {
    let Archived { alias, kid, key } = archived;
    let store = "archive".parse()?;
    let hints = JwkHints::default();
    Ok(LabelKey { alias, store, realm: None, kid, key, hints, usage: KeyUsage::default() })
}

/// If the token names a key that the journal knows and nobody has any more, nothing can be said.
fn not_at_hand(history: &History, all: &KeySet, token: &str) -> Result<()> {
    let Ok(header) = jws::unverified_header(all, token) else { return Ok(()) };
    let Some(kid) = header.get("kid").and_then(serde_json::Value::as_str) else { return Ok(()) };
    let records = history.of_label(all.label()).filter(|record| record.took_effect());
    let known = records
        .flat_map(|record| &record.changes)
        .filter(|change| change.mapping.label == *all.label())
        .flat_map(|change| change.before.iter().chain(&change.after))
        .find(|key| key.kid == kid);
    let Some(known) = known else { return Ok(()) };
    let here =
        |one: &std::sync::Arc<LabelKey>| Some(one.key.thumbprint()) == known.thumbprint.as_deref();
    if all.keys().iter().any(here) {
        return Ok(());
    }
    let text = format!("the key of alias \"{}\" is not at hand any more", known.alias);
    Err(Error::new(ErrorKind::UnknownAlias, text).with_help(
        "of a symmetric key nothing may be kept: put its keystore back, and stage it, to ask again",
    ))
}

fn mapped_key(key: &LabelKey) -> MappedKey {
    MappedKey {
        alias: key.alias.clone(),
        kid: key.kid.clone(),
        own_kid: false,
        thumbprint: Some(key.key.thumbprint().to_owned()),
        published: false,
    }
}
