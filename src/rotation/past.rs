//! Whether a token was good at a time in the past: the journal knows who stood behind the label then.

use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use crate::catalogue;
use crate::config::ValidSet;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::JwkHints;
use crate::jose::jws::{self, Verified, VerifyOptions};
use crate::journal::archive::{self, Archived};
use crate::journal::{
    Action, Event, History, Journal, MappedKey, MappingChange, MappingName, Span,
};
use crate::keyring::Keyring;
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::label::{LabelName, Realm};
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

/// Checks a compact token against the keys that stood behind a label of `keyring` at `time`, whether anything does now.
///
/// # Errors
/// [`ErrorKind::Usage`] without a journal, or of a time that is still to come, [`ErrorKind::Damaged`] if its chain breaks or it begins later,
/// [`ErrorKind::UnknownLabel`] if nothing ever stood behind the label,
/// [`ErrorKind::UnknownAlias`] if the key of the token is known and not at hand any more.
pub fn verify_at(
    keyring: &Keyring,
    label: &LabelName,
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
    let now = keyring.clock().now();
    not_to_come(&history, time, now)?;
    let asked = Asked { keyring, label, realm, history: &history, time, now };
    let all = asked.everyone(state_dir)?;
    match jws::verify(&all, token, options) {
        Ok(verified) => asked.answer(verified),
        Err(_) => {
            not_at_hand(&history, &all, token)?;
            Ok(nobody(None))
        }
    }
}

/// A label in a realm, or globally.
type Scope = (LabelName, Option<Realm>);

/// What is asked, and what answers.
struct Asked<'a> {
    keyring: &'a Keyring,
    label: &'a LabelName,
    realm: Option<&'a Realm>,
    history: &'a History,
    time: SystemTime,
    now: SystemTime,
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

impl Asked<'_> {
    fn answer(&self, verified: Verified) -> Result<PastAnswer> {
        let Self { history, time, now, .. } = *self;
        let key = mapped_key(&verified.key);
        let scopes = self.scopes_then();
        let spans = scopes.iter().map(|(label, realm)| (label, realm.as_ref()));
        let spans: Vec<Span> =
            spans.flat_map(|(label, realm)| history.spans(label, realm, &key, now)).collect();
        let unsure_between = self.changed_by_hand(&key);
        let thumbprint = key.thumbprint.as_deref();
        let revocation = thumbprint.and_then(|key| history.revoked(key));
        let revoked_at = history
            .revocations()
            .find(|record| thumbprint.is_some() && record.thumbprint() == thumbprint)
            .map(|record| record.time);
        let compromised_at = revocation.and_then(|record| record.compromised_at);
        let Some(span) = spans.iter().find(|span| holds(span, time)) else {
            if let Some(first) = spans.iter().find(|span| span.first_seen && time < span.from) {
                let text =
                    format!("the journal begins later, on {}", crate::clock::rfc3339(first.from));
                return Err(Error::new(ErrorKind::Damaged, text)
                    .with_help("what was mapped before is not recorded"));
            }
            let answer = nobody(Some(verified));
            return Ok(PastAnswer { unsure_between, revoked_at, compromised_at, ..answer });
        };
        let is_there = self.is_there(&verified.key);
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

    /// Whether the label is read with a key now.
    fn is_there(&self, key: &LabelKey) -> bool {
        let snapshot = self.keyring.snapshot();
        let keys = snapshot.keys(self.realm, self.label).map(|set| set.keys());
        keys.is_ok_and(|keys| keys.iter().any(|one| one.key.thumbprint() == key.key.thumbprint()))
    }

    /// Where keys stood that the label was read with at the time; if nothing did, wherever any may have stood. Whether a realm
    /// reads the global list as well is taken as it is now: no journal says what it was.
    fn scopes_then(&self) -> Vec<Scope> {
        let then = self.history.mappings_at(self.time);
        let is_mapped = |(label, realm): &Scope| {
            then.keys().any(|name| name.label == *label && name.realm == *realm)
        };
        let read = |label: &LabelName| {
            let mut found = self.scopes_of(label);
            found.retain(is_mapped);
            if self.is_realm_only(label) {
                found.truncate(1);
            }
            found
        };
        let own = read(self.label);
        if !own.is_empty() {
            return own;
        }
        let fallen: Vec<Scope> =
            catalogue::fallbacks_of(self.label).iter().flat_map(read).collect();
        if fallen.is_empty() { self.scopes() } else { fallen }
    }

    /// Where keys may ever have stood that the label was read with.
    fn scopes(&self) -> Vec<Scope> {
        self.labels().iter().flat_map(|label| self.scopes_of(label)).collect()
    }

    /// The label, and those that stand in for it where it is not mapped.
    fn labels(&self) -> Vec<LabelName> {
        let fallbacks = catalogue::fallbacks_of(self.label);
        std::iter::once(self.label.clone()).chain(fallbacks).collect()
    }

    /// A label in the realm, and globally.
    fn scopes_of(&self, label: &LabelName) -> Vec<Scope> {
        let realm = self.realm.map(|realm| (label.clone(), Some(realm.clone())));
        realm.into_iter().chain([(label.clone(), None)]).collect()
    }

    fn is_realm_only(&self, label: &LabelName) -> bool {
        let config = self.keyring.config();
        let valid = config.labels.get(label).map(|one| one.value.valid);
        valid == Some(ValidSet::RealmOnly)
    }

    /// The time in which an edit by hand moved a key in or out, or let a mapping begin or end, so that the label was read with
    /// other keys, if what is asked for lies in it: from the record before, when the mapping was still as it was known, to
    /// the one that found it.
    fn changed_by_hand(&self, key: &MappedKey) -> Option<(SystemTime, SystemTime)> {
        let scopes = self.scopes();
        let here = |name: &MappingName| {
            scopes.iter().any(|(label, realm)| name.label == *label && name.realm == *realm)
        };
        let has = |keys: &[MappedKey]| keys.iter().any(|one| one.is(key));
        self.history.records.windows(2).find_map(|pair| {
            let [before, found] = pair else { return None };
            let by_hand = (found.event, found.action) == (Event::Noticed, Action::EditedByHand);
            let within = by_hand && before.time <= self.time && self.time < found.time;
            let moved = |MappingChange { mapping, before, after, .. }: &MappingChange| {
                let is_edge = before.is_empty() != after.is_empty();
                here(mapping) && (is_edge || has(before) != has(after))
            };
            (within && found.changes.iter().any(moved)).then_some((before.time, found.time))
        })
    }

    /// The keys of today and those of the archive in one set.
    fn everyone(&self, state_dir: &Path) -> Result<KeySet> {
        let snapshot = self.keyring.snapshot();
        let today = snapshot.keys(self.realm, self.label);
        // Asking for the past is no use of a key.
        let uncounted =
            |key: &LabelKey| LabelKey { usage: KeyUsage::default(), ..LabelKey::clone(key) };
        let mut keys: Vec<LabelKey> =
            today.iter().flat_map(|set| set.keys()).map(|key| uncounted(key)).collect();
        for label in self.labels() {
            for archived in archive::read(state_dir, &label)? {
                add(&mut keys, as_label_key(archived)?);
            }
        }
        let set = match today {
            Ok(set) => set.clone(),
            Err(unknown) => {
                if self.history.of_label(self.label).all(|record| record.changes.is_empty()) {
                    return Err(unknown);
                }
                if keys.is_empty() {
                    let text = format!("no key of label \"{}\" is at hand any more", self.label);
                    return Err(Error::new(ErrorKind::UnknownAlias, text).with_help(NOT_KEPT));
                }
                let set = self.keyring.unmapped(self.label, keys.clone())?;
                std::sync::Arc::new(set.ok_or(unknown)?)
            }
        };
        let mut policy = set.policy().clone();
        policy.limits.max_tries = keys.len();
        let (uses, rows) = (set.uses().to_vec(), set.algorithms().to_vec());
        KeySet::new(set.label().clone(), uses, keys, rows, policy)
    }
}

/// Adds a key that was kept, unless it is there.
fn add(keys: &mut Vec<LabelKey>, mut key: LabelKey) {
    if keys.iter().any(|one| one.key.thumbprint() == key.key.thumbprint()) {
        return;
    }
    // Two keys may have had one kid, one after the other.
    if keys.iter().any(|one| one.kid == key.kid) {
        key.kid = format!("{} (archived {})", key.kid, key.key.thumbprint());
    }
    keys.push(key);
}

fn holds(span: &Span, time: SystemTime) -> bool {
    span.from <= time && span.until.is_none_or(|until| time < until)
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
    Err(Error::new(ErrorKind::UnknownAlias, text).with_help(NOT_KEPT))
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

const NOT_KEPT: &str =
    "of a symmetric key nothing may be kept: put its keystore back, and stage it, to ask again";
