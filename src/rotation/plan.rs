//! What a step would change, reckoned aside: the new text, the new snapshot, what differs and what breaks.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::gates::{self, Gate, Overrides, Situation};
use super::mappings::{self, Kind, Mapping, Mappings};
use super::request::{Request, Step};
use super::retirement::Leaving;
use super::versions::{FileChange, Files};
use super::{Rotation, announce};
use crate::clock::rfc3339;
use crate::config::edit::{ListedAlias, set_aliases};
use crate::config::{Config, without_mark};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Action, Event, MappedKey, MappingChange, MappingName, Record};
use crate::keyring::{Diff, Keyring};
use crate::label::Alias;
use crate::problem::Severity;
use crate::secret::SecretBytes;
use crate::stores::StoreConfig;
use crate::usage::KeyReport;

/// What a step changes.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The step.
    pub action: Action,
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
        self.consequences.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// Reckons what a request changes; nothing is written. `value` is what a volume stages.
pub(super) fn plan(
    rotation: &Rotation,
    request: &Request,
    value: Option<SecretBytes>,
) -> Result<Plan> {
    let (name, mapping) = target(&rotation.mappings, request)?;
    let set = rotation.keyring.snapshot().keys(name.realm.as_ref(), &name.label)?.clone();
    let wanted = wanted(rotation, request, (name, mapping), value)?;
    let mut text = rotation.text.clone();
    for list in &wanted.lists {
        text = set_aliases(&text, &list.mapping.store, &list.mapping.label, &list.aliases)?;
    }
    let after = if text == rotation.text && wanted.files.is_empty() {
        rotation.keyring.clone()
    } else {
        load(rotation, request, &text, &wanted.files)?
    };
    let after_mappings = mappings::of(&after.config(), &after.snapshot());
    refuse_revoked(request, name, mapping, after_mappings.get(name))?;
    let changes = mappings::changes(&mappings::as_recorded(&rotation.mappings), &after_mappings);
    let empty = Mapping::default();
    let after_keys = &after_mappings.get(name).unwrap_or(&empty).keys;
    let renamed: Vec<(Alias, Alias)> = wanted.files.iter().flat_map(FileChange::renamed).collect();
    let situation = Situation {
        renamed: &renamed,
        action: request.step.action(),
        mapping: name,
        before: &mapping.keys,
        after: after_keys,
        set: &set,
        config: &rotation.keyring.config(),
        history: &rotation.history,
        now: rotation.now(),
        command: &request.command(),
        usage: usage(rotation, name, &mapping.keys, after_keys),
    };
    let diff = Diff::between(&rotation.keyring.snapshot(), &after.snapshot());
    refuse_other_kids(&situation)?;
    let idle = text == rotation.text && changes.is_empty() && wanted.revoked.is_none();
    let gates = if idle { Vec::new() } else { gates::closed(&situation) };
    Ok(Plan {
        action: situation.action,
        mapping: name.clone(),
        consequences: consequences(&situation, &gates, &after),
        leaving: rotation.leaving(&changes),
        changes,
        diff,
        gates,
        idle,
        files: wanted.files.into(),
        text,
        revoked: wanted.revoked,
    })
}

/// What is known of the uses of the key that goes.
fn usage(
    rotation: &Rotation,
    name: &MappingName,
    before: &[MappedKey],
    after: &[MappedKey],
) -> Option<Result<KeyReport>> {
    let gone = before.iter().find(|key| !after.iter().any(|one| one.is(key)))?;
    rotation.report_of(name, gone)
}

/// The mapping that a request is about.
pub(super) fn target<'m>(
    mappings: &'m Mappings,
    request: &Request,
) -> Result<(&'m MappingName, &'m Mapping)> {
    let label = &request.label;
    let of_label: Vec<_> = mappings.iter().filter(|(name, _)| name.label == *label).collect();
    let mut fitting = of_label.clone();
    fitting.retain(|(name, _)| request.store.as_ref().is_none_or(|store| name.store == *store));
    let in_scope = |realm: &Option<_>| {
        let mut found = fitting.clone();
        found.retain(|(name, _)| name.realm == *realm);
        found
    };
    let found = match (&request.realm, in_scope(&request.realm)) {
        // Where there is only one, nobody needs to say which.
        (None, found) if found.is_empty() => fitting.clone(),
        (_, found) => found,
    };
    let places = |all: &[(&MappingName, &Mapping)]| {
        let place = |name: &MappingName| match &name.realm {
            Some(realm) => format!("\"{}\" (--realm {realm})", name.store),
            None => format!("\"{}\"", name.store),
        };
        all.iter().map(|(name, _)| place(name)).collect::<Vec<_>>().join(", ")
    };
    match found.as_slice() {
        [] if of_label.is_empty() => {
            let text = format!("no store maps label \"{label}\"");
            Err(Error::new(ErrorKind::UnknownLabel, text).with_help(format!(
                "`claviger labels` lists what is mapped; begin with a line \"{label}\" = [\"ALIAS\"] under \
                 the mappings of a store"
            )))
        }
        [] => {
            let text = format!(
                "label \"{label}\" is not mapped there, but in store {}",
                places(&of_label)
            );
            Err(Error::new(ErrorKind::UnknownLabel, text))
        }
        [(name, mapping)] if mapping.kind == Kind::Fixed => {
            let text = format!(
                "store \"{}\" is the environment, which only its owner changes",
                name.store
            );
            Err(Error::new(ErrorKind::StepRefused, text)
                .with_help("set the variable where the process is started"))
        }
        [one] => Ok(*one),
        several => {
            let text =
                format!("label \"{label}\" is mapped in several stores: {}", places(several));
            Err(Error::new(ErrorKind::StepRefused, text)
                .with_help("say which: --store NAME or --realm R"))
        }
    }
}

/// What the configuration is to list.
struct Wanted {
    lists: Vec<WantedList>,
    files: Vec<FileChange>,
    revoked: Option<MappedKey>,
}

struct WantedList {
    mapping: MappingName,
    aliases: Vec<ListedAlias>,
}

fn wanted(
    rotation: &Rotation,
    request: &Request,
    (name, mapping): (&MappingName, &Mapping),
    value: Option<SecretBytes>,
) -> Result<Wanted> {
    if mapping.kind == Kind::Versioned && !matches!(request.step, Step::Revoke { .. }) {
        let change = versioned(rotation, request, (name, mapping), value)?;
        return Ok(Wanted {
            lists: Vec::new(),
            files: change.into_iter().collect(),
            revoked: None,
        });
    }
    let refuse = |text: String| Error::new(ErrorKind::StepRefused, text);
    let mut keys = mapping.keys.clone();
    let mut left_out = mapping.left_out.clone();
    let at = |alias: &Alias| position(mapping, alias);
    match &request.step {
        Step::Stage { alias } => {
            if lists(mapping, alias) {
                let text =
                    format!("alias \"{alias}\" already stands behind label \"{}\"", name.label);
                return Err(refuse(text));
            }
            keys.push(unknown_key(alias));
        }
        Step::Promote { alias } => {
            let at = at(alias).ok_or_else(|| not_listed(mapping, name, alias))?;
            let key = keys.remove(at);
            keys.insert(0, key);
        }
        Step::Reorder { aliases } => keys = reordered(mapping, name, aliases)?,
        Step::Retire { alias } => {
            if let Some(at) = left_out.iter().position(|one| same(one, alias)) {
                left_out.remove(at);
            } else {
                let at = at(alias).ok_or_else(|| not_listed(mapping, name, alias))?;
                if at == 0 {
                    return Err(is_active(mapping, name, alias));
                }
                keys.remove(at);
            }
        }
        Step::Revoke { alias, .. } => return revocation(rotation, name, mapping, alias),
        Step::Undo => keys = undone(rotation, name, mapping)?,
    }
    let aliases = listed(&keys, &left_out);
    let lists = vec![WantedList { mapping: name.clone(), aliases }];
    Ok(Wanted { lists, files: Vec::new(), revoked: None })
}

/// What a step does to the files of a volume; `None`: nothing is left to do.
fn versioned(
    rotation: &Rotation,
    request: &Request,
    (name, mapping): (&MappingName, &Mapping),
    value: Option<SecretBytes>,
) -> Result<Option<FileChange>> {
    let config = rotation.keyring.config();
    let files = files_of(&config, name, mapping)?;
    let place =
        |alias: &Alias| position(mapping, alias).ok_or_else(|| not_listed(mapping, name, alias));
    match &request.step {
        Step::Stage { alias } => {
            let value = value.map_or_else(|| read_value(alias), Ok)?;
            files.stage(value).map(Some)
        }
        Step::Promote { alias } => match place(alias)? {
            0 => Ok(None),
            _ => files.promote(alias).map(Some),
        },
        Step::Retire { alias } if mapping.left_out.contains(alias) => {
            files.put_aside(alias).map(Some)
        }
        Step::Retire { alias } => match place(alias)? {
            0 => Err(is_active(mapping, name, alias)),
            _ => files.put_aside(alias).map(Some),
        },
        Step::Undo => {
            let last = last_step(rotation, name, mapping)?;
            let recorded = last.detail.as_ref().and_then(|detail| detail.get("files")).cloned();
            let recorded = recorded.and_then(|files| serde_json::from_value(files).ok());
            let recorded: Vec<(String, String)> = recorded.unwrap_or_default();
            files.undo(&recorded).map(Some)
        }
        Step::Reorder { .. } | Step::Revoke { .. } => {
            let text =
                format!("the files of store \"{}\" are put in order one at a time", name.store);
            Err(Error::new(ErrorKind::StepRefused, text)
                .with_help(format!("claviger promote {} ALIAS", name.label)))
        }
    }
}

fn files_of<'f>(
    config: &'f Config,
    name: &'f MappingName,
    mapping: &'f Mapping,
) -> Result<Files<'f>> {
    let entry = config.stores.iter().find(|entry| entry.name.value == name.store);
    match entry.map(|entry| &entry.options) {
        Some(StoreConfig::Volume(options)) => Ok(Files {
            store: &name.store,
            options,
            keys: &mapping.keys,
            left_out: &mapping.left_out,
        }),
        _ => Err(Error::new(ErrorKind::Bug, "a mapping of versions without a volume")),
    }
}

/// The value that a volume is to hold: what is named is the file that has it.
fn read_value(file: &Alias) -> Result<SecretBytes> {
    let bytes = std::fs::read(file.as_str()).map_err(|error| {
        Error::new(ErrorKind::Usage, format!("cannot read {file}: {error}")).with_help(
            "a volume stages a value: name the file that holds it, in the store's format; or make a key: \
             claviger generate NEW --stage LABEL",
        )
    })?;
    Ok(SecretBytes::from_vec(bytes))
}

/// A key that keeps its place under another name must keep its kid: live tokens carry it.
fn refuse_other_kids(situation: &Situation<'_>) -> Result<()> {
    for key in situation.before {
        let twin = situation.after.iter().find(|one| one.is(key) && one.kid != key.kid);
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

/// The key out of every mapping that has it, whatever its alias there.
fn revocation(
    rotation: &Rotation,
    name: &MappingName,
    mapping: &Mapping,
    alias: &Alias,
) -> Result<Wanted> {
    if rotation.state_dir().is_none() {
        let text = "a revocation needs a place that outlives this file";
        return Err(Error::new(ErrorKind::StepRefused, text).with_help(
            "add state_dir = \"state\" to [keyring]: journal and tombstones live there",
        ));
    }
    let at = position(mapping, alias).ok_or_else(|| not_listed(mapping, name, alias))?;
    let key = mapping.keys.get(at).cloned().unwrap_or_else(|| unknown_key(alias));
    let config = rotation.keyring.config();
    let (mut lists, mut files) = (Vec::new(), Vec::new());
    for (other, mapping) in &rotation.mappings {
        let holds = |one: &MappedKey| one.thumbprint.is_some() && one.is(&key);
        if other != name && !mapping.keys.iter().any(holds) {
            continue;
        }
        let keys: Vec<MappedKey> =
            mapping.keys.iter().filter(|one| !one.is(&key)).cloned().collect();
        if keys.is_empty() {
            let text =
                format!("alias \"{alias}\" is the only key behind label \"{}\"", other.label);
            return Err(Error::new(ErrorKind::StepRefused, text).with_help(format!(
                "make the next one first: claviger generate NEW --stage {}; then revoke",
                other.label
            )));
        }
        match mapping.kind {
            Kind::Fixed => continue,
            Kind::Listed => {}
            Kind::Versioned => {
                let held = mapping.keys.iter().find(|one| one.is(&key)).unwrap_or(&key);
                files.push(files_of(&config, other, mapping)?.put_aside(&held.alias)?);
                continue;
            }
        }
        let aliases = listed(&keys, &mapping.left_out);
        lists.push(WantedList { mapping: other.clone(), aliases });
    }
    Ok(Wanted { lists, files, revoked: Some(key) })
}

/// The list of a mapping before its last step.
fn undone(rotation: &Rotation, name: &MappingName, mapping: &Mapping) -> Result<Vec<MappedKey>> {
    let last = last_step(rotation, name, mapping)?;
    let change = last.changes.iter().find(|change| change.mapping == *name);
    Ok(change.map(|change| change.before.clone()).unwrap_or_default())
}

/// The last step of a mapping, if it can be taken back.
fn last_step<'r>(
    rotation: &'r Rotation,
    name: &MappingName,
    mapping: &Mapping,
) -> Result<&'r Record> {
    let refuse = |text: String| Error::new(ErrorKind::StepRefused, text);
    let touches = |record: &&Record| record.changes.iter().any(|change| change.mapping == *name);
    let last = rotation
        .history
        .records
        .iter()
        .rev()
        .find(|record| record.took_effect() && touches(record));
    let Some(last) = last.filter(|record| record.event == Event::Done) else {
        let text = format!("there is no step of label \"{}\" to take back", name.label);
        return Err(
            refuse(text).with_help(format!("`claviger history --label {}` lists them", name.label))
        );
    };
    if last.action == Action::Revoke {
        let text = "a revocation is never taken back: the key is known to somebody else".to_owned();
        return Err(refuse(text)
            .with_help(format!("make a new key: claviger generate NEW --stage {}", name.label)));
    }
    let change = last.changes.iter().find(|change| change.mapping == *name);
    match change {
        Some(change) if change.after == mapping.keys => Ok(last),
        _ => Err(refuse(format!("label \"{}\" was changed since its last step", name.label))),
    }
}

fn reordered(mapping: &Mapping, name: &MappingName, aliases: &[Alias]) -> Result<Vec<MappedKey>> {
    let mut keys = Vec::new();
    for alias in aliases {
        let at = position(mapping, alias).ok_or_else(|| not_listed(mapping, name, alias))?;
        keys.extend(mapping.keys.get(at).cloned());
    }
    let mut once = keys.iter().map(|key| key.alias.as_str()).collect::<Vec<_>>();
    once.sort_unstable();
    once.dedup();
    if once.len() == keys.len() && keys.len() == mapping.keys.len() {
        return Ok(keys);
    }
    let text = format!("a new order names every alias of label \"{}\" once", name.label);
    Err(Error::new(ErrorKind::StepRefused, text).with_help(format!("they are {}", names(mapping))))
}

/// The configuration after the step, loaded and checked whole.
fn load(
    rotation: &Rotation,
    request: &Request,
    text: &str,
    files: &[FileChange],
) -> Result<Keyring> {
    let mut trials = Vec::new();
    let loaded = Config::from_text(without_mark(text), &rotation.file).and_then(|mut config| {
        for change in files {
            let trial = change.on_trial()?;
            let stores = config.stores.iter_mut().filter(|one| one.name.value == change.store);
            for entry in stores {
                if let StoreConfig::Volume(options) = &mut entry.options {
                    trial.path().clone_into(&mut options.directory);
                }
            }
            trials.push(trial);
        }
        Keyring::from_config(config, rotation.clock.clone())
    });
    loaded.map_err(|error| {
        if error.kind() != ErrorKind::Config {
            return error;
        }
        // The usual case: the alias to stage is not in the store.
        let unknown = error.problems().iter().find(|one| one.code == "alias_not_found");
        if let (Step::Stage { .. }, Some(problem)) = (&request.step, unknown) {
            let refused = Error::new(ErrorKind::UnknownAlias, problem.message.clone());
            let help = problem.help.clone().unwrap_or_default();
            return refused.with_help(format!(
                "{help} A new key: claviger generate NEW --stage {}",
                request.label
            ));
        }
        let text = "the configuration would not load after this step";
        let errors = error.problems().iter().filter(|one| one.severity == Severity::Error);
        Error::from_problems(text, errors.cloned().collect()).of_kind(ErrorKind::StepRefused)
    })
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
                "make a new key: claviger generate NEW --stage {}; `claviger history --label {}` has the reason",
                name.label, request.label
            )))
        }
    }
}

fn consequences(situation: &Situation<'_>, gates: &[Gate], after: &Keyring) -> Vec<String> {
    let mut lines = Vec::new();
    for key in situation.gone() {
        let until = gates::lives_until(situation, key).map_or_else(
            || "for as long as any of it lives".to_owned(),
            |time| format!("until {} at the latest", rfc3339(time)),
        );
        lines.push(format!("breaks: what \"{}\" made is refused, {until}", key.alias));
    }
    if let Some((_, new)) = situation.change_of_active() {
        lines.push(format!("new tokens are made with \"{}\"", new.alias));
        if let Some(gate) = gates.iter().find(|gate| gate.kind == ErrorKind::NotAnnounced) {
            let until =
                gate.opens_at.as_ref().map_or_else(String::new, |time| format!(" until {time}"));
            lines.push(format!("breaks{until}: whoever has an older key set refuses them"));
        }
    }
    lines.extend(next_step(situation, after));
    lines
}

/// When a key that was staged may act.
fn next_step(situation: &Situation<'_>, after: &Keyring) -> Option<String> {
    let name = situation.mapping;
    let staged = situation.fresh().next()?;
    let config = after.config();
    let ready = announce::ready(&config, situation.set, situation.history, situation.now);
    let announce::Ready::At(time) = ready else { return None };
    let realm = name.realm.as_ref().map_or_else(String::new, |realm| format!(" --realm {realm}"));
    Some(format!(
        "next: claviger promote {} {}{realm}, from {} on",
        name.label,
        staged.alias,
        rfc3339(time)
    ))
}

fn listed(keys: &[MappedKey], left_out: &[Alias]) -> Vec<ListedAlias> {
    let known = keys.iter().map(|key| ListedAlias {
        alias: key.alias.clone(),
        kid: key.own_kid.then(|| key.kid.clone()),
    });
    let rest = left_out.iter().map(|alias| ListedAlias { alias: alias.clone(), kid: None });
    known.chain(rest).collect()
}

fn unknown_key(alias: &Alias) -> MappedKey {
    let kid = String::new();
    MappedKey { alias: alias.clone(), kid, own_kid: false, thumbprint: None, published: false }
}

/// The place of an alias; Java's formats compare without case.
fn position(mapping: &Mapping, alias: &Alias) -> Option<usize> {
    let exact = mapping.keys.iter().position(|key| key.alias == *alias);
    exact.or_else(|| mapping.keys.iter().position(|key| same(&key.alias, alias)))
}

fn lists(mapping: &Mapping, alias: &Alias) -> bool {
    position(mapping, alias).is_some() || mapping.left_out.iter().any(|one| same(one, alias))
}

fn same(one: &Alias, other: &Alias) -> bool {
    one.as_str().to_lowercase() == other.as_str().to_lowercase()
}

fn not_listed(mapping: &Mapping, name: &MappingName, alias: &Alias) -> Error {
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
            format!(
                "its aliases are {}; a new one is staged first: claviger stage {} {alias}",
                names(mapping),
                name.label
            )
        },
        |(_, key)| format!("did you mean \"{}\"?", key.alias),
    ))
}

fn names(mapping: &Mapping) -> String {
    let quoted = mapping.keys.iter().map(|key| format!("\"{}\"", key.alias));
    quoted.collect::<Vec<_>>().join(", ")
}

fn is_active(mapping: &Mapping, name: &MappingName, alias: &Alias) -> Error {
    let text = format!("alias \"{alias}\" is the one that acts");
    Error::new(ErrorKind::StepRefused, text).with_help(next_help(mapping, name))
}

fn next_help(mapping: &Mapping, name: &MappingName) -> String {
    mapping.keys.get(1).map_or_else(
        || format!("make the next one first: claviger generate NEW --stage {}", name.label),
        |next| format!("let another act first: claviger promote {} {}", name.label, next.alias),
    )
}
