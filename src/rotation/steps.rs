//! What the configuration is to list, and the files of volumes to be named, after a step.

use super::mappings::{Kind, Mapping};
use super::request::{Request, Step};
use super::versions::FileChange;
use super::wording::{is_active, names, not_listed};
use super::{Rotation, volume_steps};
use crate::config::edit::ListedAlias;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Action, Event, MappedKey, MappingName, Record};
use crate::label::Alias;
use crate::secret::SecretBytes;

/// What the configuration is to list.
pub(super) struct Wanted {
    pub(super) lists: Vec<WantedList>,
    pub(super) files: Vec<FileChange>,
    pub(super) revoked: Option<MappedKey>,
}

pub(super) struct WantedList {
    pub(super) mapping: MappingName,
    pub(super) aliases: Vec<ListedAlias>,
}

pub(super) fn wanted(
    rotation: &Rotation,
    request: &Request,
    (name, mapping): (&MappingName, &Mapping),
    value: Option<SecretBytes>,
) -> Result<Wanted> {
    if mapping.kind == Kind::Versioned && !matches!(request.step, Step::Revoke { .. }) {
        let change = volume_steps::versioned(rotation, request, (name, mapping), value)?;
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
                files
                    .push(volume_steps::files_of(&config, other, mapping)?.put_aside(&held.alias)?);
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
pub(super) fn last_step<'r>(
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

pub(super) fn reordered(
    mapping: &Mapping,
    name: &MappingName,
    aliases: &[Alias],
) -> Result<Vec<MappedKey>> {
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
pub(super) fn position(mapping: &Mapping, alias: &Alias) -> Option<usize> {
    let exact = mapping.keys.iter().position(|key| key.alias == *alias);
    exact.or_else(|| mapping.keys.iter().position(|key| same(&key.alias, alias)))
}

fn lists(mapping: &Mapping, alias: &Alias) -> bool {
    position(mapping, alias).is_some() || mapping.left_out.iter().any(|one| same(one, alias))
}

fn same(one: &Alias, other: &Alias) -> bool {
    one.as_str().to_lowercase() == other.as_str().to_lowercase()
}
