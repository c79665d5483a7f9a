//! What a step would change, reckoned aside: the new text, the new snapshot, what differs and what breaks.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::fresh::Fresh;
use super::gates::{self, Gate, Overrides, Situation};
use super::mappings::{self, Mapping};
use super::origin::Origin;
use super::request::{Request, Step, in_realm};
use super::retirement::Leaving;
use super::versions::FileChange;
use super::{Rotation, revocation, sessions, steps, wording};
use crate::catalogue;
use crate::config::{Config, UnknownKid, without_mark};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Action, MappedKey, MappingChange, MappingName};
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::keyring::{Diff, Keyring, Snapshot};
use crate::label::Alias;
use crate::problem::Severity;
use crate::usage::KeyReport;
/// What a step changes.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The step.
    pub action: Action,
    /// The command that asks for it, without overrides.
    pub command: String,
    /// The mapping that it is about.
    #[serde(flatten)]
    pub mapping: MappingName,
    /// Every mapping that changes; empty: everything is so already.
    pub changes: Vec<MappingChange>,
    /// What changes for those who use the labels.
    pub diff: Diff,
    /// What breaks, and until when; what to do next.
    pub consequences: Vec<String>,
    /// The gates that are closed.
    pub gates: Vec<Gate>,
    #[serde(skip)]
    pub(super) files: Arc<[FileChange]>,
    #[serde(skip)]
    pub(super) text: String,
    #[serde(skip)]
    idle: bool,
    #[serde(skip)]
    pub(super) revoked: Option<MappedKey>,
    #[serde(skip)]
    pub(super) leaving: Vec<Leaving>,
    #[serde(skip)]
    pub(super) origin: Origin,
}

impl Plan {
    /// Whether everything is so already.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.idle
    }

    /// The first closed gate that is not passed.
    #[must_use]
    pub fn stopped_by(&self, overrides: Overrides) -> Option<&Gate> {
        self.gates.iter().find(|gate| !overrides.pass(gate))
    }
}

impl fmt::Display for Plan {
    /// The difference and the consequences, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_done() {
            return writeln!(f, "nothing to do: it is so already");
        }
        write!(f, "{}", self.diff)?;
        // Of several mappings each line names its own, and belongs to none of the labels above.
        let indent = if self.changes.len() > 1 { "" } else { "  " };
        self.consequences.iter().try_for_each(|line| writeln!(f, "{indent}{line}"))
    }
}

/// Reckons what a request changes; nothing is written. `fresh` is what the step brings along.
pub(super) fn plan(rotation: &Rotation, request: &Request, fresh: &mut Fresh) -> Result<Plan> {
    let none = Mapping::default();
    if fresh.begins.is_none() {
        fresh.begins = rotation.beginning(request)?;
    }
    if let Some(name) = revocation::left_behind(rotation, request) {
        return revoked_only(rotation, request, &name, fresh);
    }
    let begins = fresh.begins.clone();
    let (name, mapping) = match &begins {
        Some(name) => (name, &none),
        None => mappings::target(&rotation.mappings, request)?,
    };
    let wanted = steps::wanted(rotation, request, (name, mapping), fresh)?;
    let text = wanted.text(&rotation.text)?;
    let after = load(rotation, request, &text, &wanted.files)?;
    let after_mappings = mappings::of(&after.config(), &after.snapshot());
    refuse_revoked(request, name, mapping, after_mappings.get(name))?;
    let changes = mappings::changes(&mappings::as_recorded(&rotation.mappings), &after_mappings);
    request.origin.require_all(rotation, &changes, &after)?;
    let empty = Mapping::default();
    let after_keys = &after_mappings.get(name).unwrap_or(&empty).keys;
    let renamed: Vec<(Alias, Alias)> = wanted.files.iter().flat_map(FileChange::renamed).collect();
    let command = fresh.command.clone().unwrap_or_else(|| request.command());
    let known = known(rotation, name, Edge::of(&mapping.keys, after_keys), &after)?;
    let for_sessions = sessions::acted(rotation, name, &after.snapshot());
    let config = rotation.keyring.config();
    let read_on = read_on(&after.snapshot(), name);
    let situations = known.iter().map(|Known { set, around, left_out, begins }| Situation {
        around: around.as_ref(),
        left_out,
        renamed: &renamed,
        action: request.step.action(),
        mapping: name,
        before: &mapping.keys,
        after: after_keys,
        set,
        config: &config,
        history: &rotation.history,
        now: rotation.now(),
        begins: *begins,
        for_sessions: for_sessions.as_ref(),
        command: &command,
        usage: usage(rotation, name, (&mapping.keys, after_keys), &read_on),
        read_on: &read_on,
    });
    let diff = Diff::between(&rotation.keyring.snapshot(), &after.snapshot());
    let idle = text == rotation.text && changes.is_empty() && wanted.revoked.is_none();
    // A provider has one of several roles: the one that the step fits best.
    let (situation, gates) = situations
        .map(|one| {
            let gates = if idle { Vec::new() } else { gates::closed(&one) };
            (one, gates)
        })
        .min_by_key(|(_, gates)| gates.len())
        .ok_or_else(|| Error::new(ErrorKind::Bug, "a step without a set of keys"))?;
    refuse_other_kids(&situation)?;
    let mut consequences = wording::consequences(&situation, &gates, &after);
    consequences.extend(begins.is_some().then(|| unasked(&after, name)).transpose()?.flatten());
    consequences.extend(wanted.revoked.as_ref().and_then(wording::without_tombstone));
    if changes.is_empty() {
        consequences.extend(banned(rotation, request, mapping, wanted.revoked.as_ref()));
    }
    let others = elsewhere(rotation, request, &changes, &after, Some(name))?;
    let consequences = wording::together(name, consequences, others);
    Ok(Plan {
        action: situation.action,
        command: command.clone(),
        mapping: name.clone(),
        consequences,
        leaving: rotation.leaving(&changes),
        origin: request.origin.clone(),
        changes,
        diff,
        gates,
        idle,
        files: wanted.files.into(),
        text,
        revoked: wanted.revoked,
    })
}

/// Whether keys stand in a mapping on both sides of a step; what is revoked may stand there and counts for nothing.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Edge {
    Begins,
    Ends,
    Stays,
}

impl Edge {
    const fn of(before: &[MappedKey], after: &[MappedKey]) -> Self {
        match (before.is_empty(), after.is_empty()) {
            (true, false) => Self::Begins,
            (false, true) => Self::Ends,
            _ => Self::Stays,
        }
    }
}

/// What is known of a label before a step.
struct Known {
    set: Arc<KeySet>,
    /// What acts until a mapping of its own begins, or from its end on.
    around: Option<MappedKey>,
    /// What is read no more once it does.
    left_out: Vec<MappedKey>,
    /// Whether nothing stood behind the label, in its scope or around it.
    begins: bool,
}

/// The keys behind a label, of its own or from around; several where the labels of several roles may stand in. A mapping
/// that begins or ends is known on one side alone.
fn known(
    rotation: &Rotation,
    name: &MappingName,
    edge: Edge,
    after: &Keyring,
) -> Result<Vec<Known>> {
    let MappingName { label, realm, .. } = name;
    let realm = realm.as_ref();
    let (before, after) = (rotation.keyring.snapshot(), after.snapshot());
    let sets = match before.keys(realm, label) {
        Ok(set) => vec![set],
        Err(_) => {
            let roles = catalogue::fallbacks_of(label);
            roles.iter().filter_map(|role| before.find(realm, role)).collect()
        }
    };
    if sets.is_empty() {
        let (set, around) = (after.keys(realm, label)?.clone(), None);
        return Ok(vec![Known { set, around, left_out: Vec::new(), begins: true }]);
    }
    let own = (edge == Edge::Begins).then(|| after.keys(realm, label)).transpose()?;
    let stays = |key: &MappedKey| match own {
        Some(own) => own.keys().iter().any(|one| reads(own, &mappings::mapped(own, one), key)),
        None => true,
    };
    let known = sets.into_iter().map(|set| {
        let mapped = |key: &LabelKey| mappings::mapped(set, key);
        Known {
            around: match edge {
                Edge::Begins => Some(mapped(set.active())),
                Edge::Ends => acting(&after, name),
                Edge::Stays => None,
            },
            left_out: set.keys().iter().map(|key| mapped(key)).filter(|key| !stays(key)).collect(),
            set: Arc::clone(set),
            begins: false,
        }
    });
    Ok(known.collect())
}

/// Whether a key of a set opens what names it as it was mapped elsewhere.
fn reads(own: &KeySet, one: &MappedKey, key: &MappedKey) -> bool {
    one.is(key) && (one.kid == key.kid || own.policy().unknown_kid != UnknownKid::Reject)
}

/// The key that acts in the scope of a mapping.
fn acting(
    snapshot: &Snapshot,
    MappingName { label, realm, .. }: &MappingName,
) -> Option<MappedKey> {
    let set = snapshot.keys(realm.as_ref(), label).ok()?;
    Some(mappings::mapped(set, set.active()))
}

/// What a step means for other mappings than its own: a key that is revoked leaves all that have it.
fn elsewhere(
    rotation: &Rotation,
    request: &Request,
    changes: &[MappingChange],
    after: &Keyring,
    own: Option<&MappingName>,
) -> Result<Vec<String>> {
    let snapshot = rotation.keyring.snapshot();
    let mut lines = Vec::new();
    for change in changes.iter().filter(|change| Some(&change.mapping) != own) {
        let MappingChange { mapping, before, after: keys, .. } = change;
        let set = snapshot.keys(mapping.realm.as_ref(), &mapping.label)?;
        let around = match Edge::of(before, keys) {
            Edge::Ends => acting(&after.snapshot(), mapping),
            _ => None,
        };
        let read_on = read_on(&after.snapshot(), mapping);
        let situation = Situation {
            around: around.as_ref(),
            left_out: &[],
            renamed: &[],
            action: request.step.action(),
            mapping,
            before,
            after: keys,
            set,
            config: &rotation.keyring.config(),
            history: &rotation.history,
            now: rotation.now(),
            begins: false,
            for_sessions: None,
            command: &request.command(),
            usage: usage(rotation, mapping, (before, keys), &read_on),
            read_on: &read_on,
        };
        let told = wording::consequences(&situation, &[], after);
        lines.extend(told.iter().map(|line| wording::about(mapping, line)));
    }
    Ok(lines)
}

/// What a revocation says of a key that no mapping has.
fn banned(
    rotation: &Rotation,
    request: &Request,
    mapping: &Mapping,
    revoked: Option<&MappedKey>,
) -> Option<String> {
    let Step::Revoke { compromised_at, .. } = &request.step else { return None };
    let key = revoked.filter(|key| !mapping.keys.iter().any(|one| one.is(key)))?;
    let before = key.thumbprint.as_deref().and_then(|key| rotation.history.revoked(key));
    Some(wording::banned(key, before, *compromised_at))
}

/// A revocation under a label behind which nothing stands any more: there is no gate, and other labels may have the key.
fn revoked_only(
    rotation: &Rotation,
    request: &Request,
    name: &MappingName,
    fresh: &mut Fresh,
) -> Result<Plan> {
    let none = Mapping::default();
    let wanted = steps::wanted(rotation, request, (name, &none), fresh)?;
    let text = wanted.text(&rotation.text)?;
    let after = load(rotation, request, &text, &wanted.files)?;
    let after_mappings = mappings::of(&after.config(), &after.snapshot());
    let changes = mappings::changes(&mappings::as_recorded(&rotation.mappings), &after_mappings);
    request.origin.require_all(rotation, &changes, &after)?;
    let consequences = if changes.is_empty() {
        banned(rotation, request, &none, wanted.revoked.as_ref()).into_iter().collect()
    } else {
        elsewhere(rotation, request, &changes, &after, None)?
    };
    Ok(Plan {
        action: request.step.action(),
        command: request.command(),
        mapping: name.clone(),
        diff: Diff::between(&rotation.keyring.snapshot(), &after.snapshot()),
        idle: changes.is_empty() && wanted.revoked.is_none(),
        leaving: rotation.leaving(&changes),
        origin: request.origin.clone(),
        changes,
        consequences,
        gates: Vec::new(),
        files: wanted.files.into(),
        text,
        revoked: wanted.revoked,
    })
}

/// What the label is read with in the scope of a mapping.
fn read_on(after: &Snapshot, MappingName { label, realm, .. }: &MappingName) -> Vec<MappedKey> {
    let Some(set) = after.find_along(realm.as_ref(), label) else { return Vec::new() };
    set.keys().iter().map(|key| mappings::mapped(set, key)).collect()
}

/// What is known of the uses of the key that goes.
fn usage(
    rotation: &Rotation,
    name: &MappingName,
    (before, after): (&[MappedKey], &[MappedKey]),
    read_on: &[MappedKey],
) -> Option<Result<KeyReport>> {
    let mut gone = before.iter().filter(|key| !after.iter().any(|one| one.is(key)));
    rotation.report_of(name, gone.find(|key| !gates::reads_on(read_on, key))?)
}

/// A key that keeps its place under another name must keep its kid: live tokens carry it.
fn refuse_other_kids(situation: &Situation<'_>) -> Result<()> {
    for key in situation.before {
        let twin = situation.after.iter().find(|one| one.is(key) && one.kid != key.kid);
        if let Some(twin) = twin.filter(|_| situation.renamed.is_empty()) {
            let text = format!(
                "aliases \"{}\" and \"{}\" are the same key under two kids, {} and {}",
                key.alias, twin.alias, key.kid, twin.kid
            );
            return Err(Error::new(ErrorKind::StepRefused, text).with_help(
                "leave one of them alone in the list: a key that is renewed is another key",
            ));
        }
        if let Some(twin) = twin {
            let text = format!(
                "the kid of \"{}\" would change with the name of its file, from {} to {}",
                key.alias, key.kid, twin.kid
            );
            return Err(Error::new(ErrorKind::StepRefused, text).with_help(format!(
                "set kid = \"rfc7638\" in [labels.\"{}\"], or keep the keys as JWKs with a kid of their own",
                situation.mapping.label
            )));
        }
    }
    Ok(())
}

/// The configuration after the step, loaded and checked whole.
fn load(
    rotation: &Rotation,
    request: &Request,
    text: &str,
    files: &[FileChange],
) -> Result<Keyring> {
    if text == rotation.text && files.is_empty() {
        return Ok(rotation.keyring.clone());
    }
    let drafts: Vec<_> = files.iter().map(|change| &change.draft).collect();
    let loaded = Config::from_text(without_mark(text), &rotation.file)
        .and_then(|config| Keyring::drafted(config, rotation.clock.clone(), &drafts));
    loaded.map_err(|error| {
        if error.kind() != ErrorKind::Config {
            return error;
        }
        // The usual case: the alias to stage is not in the store.
        let unknown = error.problems().iter().find(|one| one.code == "alias_not_found");
        if let (Step::Stage { .. }, Some(problem)) = (&request.step, unknown) {
            let refused = Error::new(ErrorKind::UnknownAlias, problem.message.clone());
            let realm = in_realm(request.realm.as_ref());
            let new = format!("A new key: claviger generate NEW --stage {}{realm}", request.label);
            // It tells what else the store has.
            let help = problem.help.clone().filter(|_| request.origin.is_here());
            return refused.with_help(match help {
                Some(help) if help.ends_with('"') => format!("{help}. {new}"),
                Some(help) => format!("{help} {new}"),
                None => new,
            });
        }
        let text = "the configuration would not load after this step";
        let errors = error.problems().iter().filter(|one| one.severity == Severity::Error);
        Error::from_problems(text, errors.cloned().collect()).of_kind(ErrorKind::StepRefused)
    })
}

/// What is said of a label that begins and that nobody asks for. One that is spelled as no other begins nothing.
fn unasked(after: &Keyring, name: &MappingName) -> Result<Option<String>> {
    let label = &name.label;
    let place = format!("label \"{label}\" is not in the catalogue");
    let warnings = after.warnings();
    let mut unknown = warnings.iter().filter(|one| one.code == "unknown_label");
    let Some(problem) = unknown.find(|one| one.message.contains(&place)) else { return Ok(None) };
    match catalogue::nearest(label.as_str()) {
        Some(near) => {
            let refused = Error::new(ErrorKind::StepRefused, problem.message.clone());
            Err(refused.with_help(format!(
                "did you mean \"{near}\"? For a label of your own add [labels.\"{label}\"] first"
            )))
        }
        None => Ok(Some(format!(
            "nobody asks for the label yet: declare it, [labels.\"{label}\"], or take a password from it"
        ))),
    }
}

/// A staged key that has a tombstone would be left out at load.
fn refuse_revoked(
    request: &Request,
    name: &MappingName,
    before: &Mapping,
    after: Option<&Mapping>,
) -> Result<()> {
    let left_out = after.map_or(&[][..], |after| after.left_out.as_slice());
    match left_out.iter().find(|alias| !before.left_out.contains(alias)) {
        None => Ok(()),
        Some(alias) => {
            let text = format!("the key of alias \"{alias}\" was revoked: it never comes back");
            Err(Error::new(ErrorKind::KeyRevoked, text).with_help(format!(
                "make a new key: claviger generate NEW --stage {}{}; `claviger history --label {}` has the reason",
                name.label,
                in_realm(name.realm.as_ref()),
                request.label
            )))
        }
    }
}
