//! A rotation of one label, rehearsed: stage, promote, retire, and every token at every step.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::tokens::{self, Token};
use super::{Fate, Line, Scope, stand_in, stand_in_note};
use crate::catalogue::{self, LabelUse, Rotation};
use crate::config::{Config, ValidSet};
use crate::error::Result;
use crate::keyring::Snapshot;
use crate::label::{LabelName, Realm};
use crate::ops::{KeySet, LabelKey};
use crate::stores::PasswordSource;

/// A rotation that was rehearsed.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Rehearsal {
    /// Of which label.
    #[serde(flatten)]
    pub scope: Scope,
    /// The steps, the first of them nothing: "now".
    pub steps: Vec<String>,
    /// The tokens, and what became of them.
    pub lines: Vec<Line>,
    /// How many tokens were made.
    pub tokens: usize,
    /// What breaks; empty: nothing does.
    pub breaks: Vec<String>,
    /// What one should know.
    pub notes: Vec<String>,
}

/// The alias of the fresh key.
const NEXT: &str = "NEW";

/// Rehearses the rotation of a label, in `realm` if it is given, else in every scope that maps it.
///
/// # Errors
/// [`crate::error::ErrorKind::UnknownLabel`] if nothing is mapped; [`crate::error::ErrorKind::Bug`] if a key
/// cannot be made.
pub fn rehearse(
    config: &Config,
    snapshot: &Snapshot,
    label: &LabelName,
    realm: Option<&Realm>,
) -> Result<Vec<Rehearsal>> {
    let scopes: Vec<Option<&Realm>> = match realm {
        Some(realm) => vec![Some(realm)],
        None => snapshot
            .labels()
            .into_keys()
            .filter(|(one, _)| *one == label)
            .map(|(_, realm)| realm)
            .collect(),
    };
    // Where the label is not mapped another one may stand in for it.
    let scopes = if scopes.is_empty() { vec![None] } else { scopes };
    scopes.into_iter().map(|realm| rehearse_in(config, snapshot, label, realm)).collect()
}

/// The same as one realm sees the label, or globally.
///
/// # Errors
/// As [`rehearse`].
pub fn rehearse_in(
    config: &Config,
    snapshot: &Snapshot,
    label: &LabelName,
    realm: Option<&Realm>,
) -> Result<Rehearsal> {
    let set = snapshot.keys(realm, label)?;
    let scope = Scope { label: label.clone(), realm: realm.cloned() };
    let joined = joined_by(config, label, realm);
    let global = joined.then(|| snapshot.find(None, set.label())).flatten();
    rehearse_set(config, scope, set, global.map(|set| &**set))
}

/// The set of each step, with the same algorithms and bounds as the label.
struct Stage<'s> {
    set: &'s KeySet,
    /// The uses of both sides: who makes tokens may be a peer.
    uses: Vec<LabelUse>,
}

impl Stage<'_> {
    fn with(&self, keys: Vec<LabelKey>) -> Result<KeySet> {
        let (rows, policy) = (self.set.algorithms().to_vec(), self.set.policy().clone());
        KeySet::new(self.set.label().clone(), self.uses.clone(), keys, rows, policy)
    }
}

/// A set for drills: every key acts, by itself or by a stand-in, and nothing is counted.
pub(super) struct Copy<'s> {
    stage: Stage<'s>,
    pub(super) keys: Vec<LabelKey>,
    /// The aliases that a fresh key stands in for.
    pub(super) stand_ins: Vec<usize>,
}

impl<'s> Copy<'s> {
    pub(super) fn of(set: &'s KeySet) -> Result<Self> {
        let stage = Stage { set, uses: both_sides(set.uses()) };
        let mut keys: Vec<LabelKey> =
            set.keys().iter().map(|key| stand_in::uncounted(key)).collect();
        let mut stand_ins = Vec::new();
        let acts = set.uses().iter().any(makes_tokens);
        for (index, key) in keys.iter_mut().enumerate() {
            if acts && !key.key.has_private() {
                *key = stand_in::for_absent(key)?;
                stand_ins.push(index);
            }
        }
        Ok(Self { stage, keys, stand_ins })
    }

    /// These keys in this order.
    pub(super) fn with(&self, keys: Vec<LabelKey>) -> Result<KeySet> {
        self.stage.with(keys)
    }

    /// The same keys, with one of them in front.
    pub(super) fn led_by(&self, index: usize) -> Result<KeySet> {
        let mut keys = self.keys.clone();
        if index < keys.len() {
            let key = keys.remove(index);
            keys.insert(0, key);
        }
        self.with(keys)
    }

    /// One token of each kind that the first key of `set` makes.
    pub(super) fn tokens_of(set: &KeySet) -> Result<Vec<(tokens::Kind, Token)>> {
        let kinds = tokens::kinds(set, set.active());
        kinds.into_iter().map(|kind| Ok((kind.clone(), tokens::make(set, &kind)?))).collect()
    }
}

fn rehearse_set(
    config: &Config,
    scope: Scope,
    set: &KeySet,
    global: Option<&KeySet>,
) -> Result<Rehearsal> {
    let copy = Copy::of(set)?;
    let next = stand_in::next(set.active(), NEXT)?;
    let (old, own) = (set.active().alias.clone(), own_keys(&copy.keys));
    let mut staged = copy.keys.clone();
    staged.insert(own, next.clone());
    let mut promoted = copy.keys.clone();
    promoted.insert(0, next.clone());
    let retired = without_active(set, &copy.keys, &next, own, global);
    let sets = [
        copy.with(copy.keys.clone())?,
        copy.with(staged)?,
        copy.with(promoted)?,
        copy.with(retired)?,
    ];
    let mut rehearsal = Rehearsal {
        steps: vec![
            "now".into(),
            format!("stage {NEXT}"),
            format!("promote {NEXT}"),
            format!("retire {old}"),
        ],
        lines: Vec::new(),
        tokens: 0,
        breaks: Vec::new(),
        notes: Vec::new(),
        scope,
    };
    for index in 0..copy.keys.len() {
        let name = copy.keys.get(index).map(|key| key.alias.to_string()).unwrap_or_default();
        // The active alias leaves with the last step; what the others made must hold to the end.
        let must = [true, true, true, index != 0];
        rehearsal.show(&name, &copy.led_by(index)?, &sets, must)?;
    }
    // Who has not staged the key yet does not know it: that is why a promotion waits.
    rehearsal.show(NEXT, &sets[2], &sets, [false, true, true, true])?;
    rehearsal.add_notes(config, set, &copy);
    Ok(rehearsal)
}

impl Rehearsal {
    /// Lets one alias make its tokens, and every step open them.
    fn show(
        &mut self,
        maker: &str,
        making: &KeySet,
        sets: &[KeySet; 4],
        must: [bool; 4],
    ) -> Result<()> {
        let mut lines: Vec<Line> = Vec::new();
        let mut places: HashMap<(String, Option<bool>), usize> = HashMap::new();
        for (kind, token) in Copy::tokens_of(making)? {
            let place = *places.entry((kind.name.clone(), kind.kid)).or_insert_with(|| {
                let (made_by, token) = (maker.to_owned(), kind.name.clone());
                let fates = must.map(|must| if must { Fate::Accepted } else { Fate::Refused });
                lines.push(Line {
                    made_by,
                    token,
                    kid: kind.kid,
                    tokens: 0,
                    fates: fates.to_vec(),
                });
                lines.len() - 1
            });
            let Some(line) = lines.get_mut(place) else { continue };
            line.tokens += 1;
            self.tokens += 1;
            for ((set, must), fate) in sets.iter().zip(must).zip(&mut line.fates) {
                match (tokens::opens(set, &token), must) {
                    (false, true) => *fate = Fate::Breaks,
                    // It must not: the key is in another list as well.
                    (true, false) => *fate = Fate::Accepted,
                    (true, true) | (false, false) => {}
                }
            }
        }
        for line in &lines {
            let broken =
                line.fates.iter().zip(&self.steps).find(|(fate, _)| **fate == Fate::Breaks);
            if let Some((_, step)) = broken {
                let kid = if line.kid == Some(false) { " without kid" } else { "" };
                self.breaks.push(format!(
                    "at \"{step}\": {}{kid} of alias \"{}\" is refused",
                    line.token, line.made_by
                ));
            }
        }
        self.lines.extend(lines);
        Ok(())
    }

    fn add_notes(&mut self, config: &Config, set: &KeySet, copy: &Copy<'_>) {
        let label = &self.scope.label;
        if set.label() != label {
            self.notes.push(format!("label \"{}\" stands in for it", set.label()));
        }
        let absent = copy.stand_ins.iter().filter_map(|index| copy.keys.get(*index));
        self.notes.extend(absent.map(|key| stand_in_note(&key.alias)));
        let found = catalogue::find(label);
        let spec = found.as_ref().map(|found| found.spec);
        match spec.map(|spec| spec.rotation) {
            Some(Rotation::None) => self.breaks.push(
                "the secret of this label must not rotate: what was made with it would be lost"
                    .into(),
            ),
            Some(Rotation::ActiveOnly) => self.notes.push(
                "who uses this label asks for the active alias alone; the others wait".into(),
            ),
            Some(Rotation::TrustSet) => {
                self.notes
                    .push("every alias of this label is trusted; the order says nothing".into());
            }
            Some(Rotation::Overlap) | None => {}
        }
        if spec.is_some_and(|spec| spec.restart_needed) {
            self.notes.push(
                "who uses this label reads it at the start: restart it after \"promote\"".into(),
            );
        }
        self.notes.extend(meaning(set.uses()).map(str::to_owned));
        if self.lines.is_empty() && set.uses().iter().any(makes_tokens) {
            self.notes
                .push("no algorithm of this label fits its keys: no token can be made".into());
        }
        if set.policy().limits.max_tries < set.keys().len() + 1 {
            self.notes.push(format!(
                "tokens without kid are tried with {} keys, and with \"stage\" there are {}",
                set.policy().limits.max_tries,
                set.keys().len() + 1
            ));
        }
        for store in read_by(config, set.label()) {
            self.breaks.push(format!(
                "at \"promote {NEXT}\": store \"{store}\" opens with the active value alone: give it the new \
                 one in the same moment"
            ));
        }
    }
}

/// What a rehearsal means for a label that makes no tokens.
fn meaning(uses: &[LabelUse]) -> Option<&'static str> {
    match uses.first()? {
        LabelUse::Secret => Some(
            "a password is given out, not checked here: from \"promote\" on it is the new one, so whoever \
             checks it must take both before, and the new one alone after \"retire\"",
        ),
        LabelUse::Mtls => {
            Some("a certificate for connections: peers must trust the new one before \"promote\"")
        }
        LabelUse::Trust => Some(
            "certificates that are trusted: a peer connects as long as that of its issuer is mapped",
        ),
        _ => None,
    }
}

/// The stores whose password or sealing key this label is.
fn read_by(config: &Config, label: &LabelName) -> Vec<String> {
    let reads = |source: &PasswordSource| match source {
        PasswordSource::Label(one) => catalogue::canonical(one) == *label,
        PasswordSource::Env(_) | PasswordSource::File(_) => false,
    };
    let stores = config.stores.iter();
    stores
        .filter(|entry| entry.places.passwords.iter().any(|one| reads(&one.value)))
        .map(|entry| entry.name.value.to_string())
        .collect()
}

/// Whether the list of a realm is followed by the global one.
fn joined_by(config: &Config, label: &LabelName, realm: Option<&Realm>) -> bool {
    let valid = config.labels.get(label).map(|one| one.value.valid).unwrap_or_default();
    realm.is_some() && valid == ValidSet::Union
}

/// The keys after the active one left its own list: where the global list has it too, it stays there.
fn without_active(
    set: &KeySet,
    keys: &[LabelKey],
    next: &LabelKey,
    own: usize,
    global: Option<&KeySet>,
) -> Vec<LabelKey> {
    let mut left = vec![next.clone()];
    left.extend(keys.iter().take(own).skip(1).cloned());
    let Some(global) = global.filter(|global| !std::ptr::eq(*global, set)) else {
        left.extend(keys.iter().skip(own).cloned());
        return left;
    };
    for listed in global.keys() {
        let same = |one: &Arc<LabelKey>| one.key.thumbprint() == listed.key.thumbprint();
        let place = set.keys().iter().position(same);
        // What the realm's own list has counts once.
        let place = place.filter(|at| *at == 0 || *at >= own);
        let found = place.and_then(|at| keys.get(at));
        left.extend(found.map(|one| LabelKey {
            alias: listed.alias.clone(),
            store: listed.store.clone(),
            realm: listed.realm.clone(),
            kid: listed.kid.clone(),
            ..one.clone()
        }));
    }
    left
}

/// How many keys are of the label's own list; a realm's list is followed by the global one.
fn own_keys(keys: &[LabelKey]) -> usize {
    let own = keys.first().map(|key| (&key.realm, &key.store));
    keys.iter().take_while(|key| Some((&key.realm, &key.store)) == own).count()
}

fn makes_tokens(one: &LabelUse) -> bool {
    !matches!(one, LabelUse::Mtls | LabelUse::Secret | LabelUse::Trust)
}

/// Who makes tokens for this label, and who opens them, may be peers.
fn both_sides(uses: &[LabelUse]) -> Vec<LabelUse> {
    let mut both = uses.to_vec();
    if uses.iter().any(|one| matches!(one, LabelUse::Sign | LabelUse::Verify)) {
        both.extend([LabelUse::Sign, LabelUse::Verify]);
    }
    if uses.iter().any(|one| matches!(one, LabelUse::Decrypt | LabelUse::Encrypt)) {
        both.extend([LabelUse::Decrypt, LabelUse::Encrypt]);
    }
    both.sort_unstable();
    both.dedup();
    both
}
