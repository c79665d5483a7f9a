//! What the configuration is to list, and the files of volumes to be named, after a step.

use super::fresh::Fresh;
use super::mappings::{Kind, Mapping};
use super::request::{Request, Step, in_realm, quoted};
pub(super) use super::revocation::replaced;
use super::revocation::revocation;
use super::versions::FileChange;
use super::wording::{is_active, not_listed, stands_already};
use super::{Rotation, volume_steps};
use crate::config::edit::{ListedAlias, lists_label, set_aliases};
use crate::config::lines::{add_mapping, remove_mapping};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Action, Event, MappedKey, MappingName, Record};
use crate::label::Alias;

/// What the configuration is to list.
pub(super) struct Wanted {
    pub(super) lists: Vec<WantedList>,
    pub(super) files: Vec<FileChange>,
    pub(super) revoked: Option<MappedKey>,
}

impl Wanted {
    /// The text that lists it.
    pub(super) fn text(&self, text: &str) -> Result<String> {
        let mut text = text.to_owned();
        for WantedList { mapping: MappingName { label, store, .. }, aliases } in &self.lists {
            text = match aliases.as_slice() {
                [] => remove_mapping(&text, store, label)?,
                [one] if !lists_label(&text, store, label) => {
                    add_mapping(&text, store, label, &one.alias)?
                }
                aliases => set_aliases(&text, store, label, aliases)?,
            };
        }
        Ok(text)
    }
}

pub(super) struct WantedList {
    pub(super) mapping: MappingName,
    pub(super) aliases: Vec<ListedAlias>,
}

pub(super) fn wanted(
    rotation: &Rotation,
    request: &Request,
    (name, mapping): (&MappingName, &Mapping),
    fresh: &mut Fresh,
) -> Result<Wanted> {
    if fresh.begins.is_some() {
        return begun(rotation, request, name, fresh);
    }
    if mapping.kind == Kind::Versioned && !matches!(request.step, Step::Revoke { .. }) {
        let value = fresh.take_value(name);
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
                return Err(refuse(text).with_help(stands_already(mapping, name, alias)));
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
        Step::Revoke { .. } => return revocation(rotation, request, (name, mapping), fresh),
        Step::Undo => keys = undone(rotation, name, mapping)?,
    }
    let aliases = listed(&keys, &left_out);
    let lists = vec![WantedList { mapping: name.clone(), aliases }];
    Ok(Wanted { lists, files: fresh.take_keystores(), revoked: None })
}

/// A mapping that is not there yet.
fn begun(
    rotation: &Rotation,
    request: &Request,
    name: &MappingName,
    fresh: &mut Fresh,
) -> Result<Wanted> {
    let config = rotation.keyring.config();
    let none = Mapping::default();
    if let Ok(files) = volume_steps::files_of(&config, name, &none) {
        let value = match (fresh.take_value(name), request.step.alias()) {
            (Some(value), _) => value,
            (None, Some(file)) => volume_steps::read_value(request, file)?,
            (None, None) => return Err(Error::new(ErrorKind::Bug, "nothing begins")),
        };
        let file = files.first(name, value);
        return Ok(Wanted { lists: Vec::new(), files: vec![file], revoked: None });
    }
    let keys: Vec<MappedKey> = request.step.alias().map(unknown_key).into_iter().collect();
    let lists = vec![WantedList { mapping: name.clone(), aliases: listed(&keys, &[]) }];
    Ok(Wanted { lists, files: fresh.take_keystores(), revoked: None })
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
    if rotation.state_dir().is_none() {
        let text = "no step can be taken back: none was recorded".to_owned();
        let help = "add state_dir = \"state\" to [keyring]: the steps from then on are recorded";
        return Err(refuse(text).with_help(help));
    }
    let realm = in_realm(name.realm.as_ref());
    let touches = |record: &&Record| record.changes.iter().any(|change| change.mapping == *name);
    let last = rotation
        .history
        .records
        .iter()
        .rev()
        .find(|record| record.took_effect() && touches(record));
    let by_hand = last.is_some_and(|record| record.action == Action::EditedByHand);
    let Some(last) = last.filter(|record| by_hand || record.event == Event::Done) else {
        let text = format!("there is no step of label \"{}\" to take back", name.label);
        return Err(
            refuse(text).with_help(format!("`claviger history --label {}` lists them", name.label))
        );
    };
    if last.action == Action::Revoke {
        let text = "a revocation is never taken back: the key is known to somebody else".to_owned();
        return Err(refuse(text).with_help(format!(
            "make a new key: claviger generate NEW --stage {}{realm}",
            name.label
        )));
    }
    let change = last.changes.iter().find(|change| change.mapping == *name);
    match change {
        Some(change) if change.after == mapping.keys && !by_hand => Ok(last),
        _ => {
            let text = format!("label \"{}\" was changed since its last step", name.label);
            Err(refuse(text).with_help(format!(
                "say what you want: claviger reorder {} ALIAS …{realm}; `claviger history --label {}` has what was done",
                name.label, name.label
            )))
        }
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
    Err(Error::new(ErrorKind::StepRefused, text).with_help(format!(
        "type them in the order that you want: claviger reorder {}{}{}",
        name.label,
        mapping.keys.iter().map(|key| quoted(&key.alias)).collect::<String>(),
        in_realm(name.realm.as_ref())
    )))
}

pub(super) fn listed(keys: &[MappedKey], left_out: &[Alias]) -> Vec<ListedAlias> {
    let known = keys.iter().map(|key| ListedAlias {
        alias: key.alias.clone(),
        kid: key.own_kid.then(|| key.kid.clone()),
    });
    let rest = left_out.iter().map(|alias| ListedAlias { alias: alias.clone(), kid: None });
    known.chain(rest).collect()
}

pub(super) fn unknown_key(alias: &Alias) -> MappedKey {
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

pub(super) fn same(one: &Alias, other: &Alias) -> bool {
    one.as_str().to_lowercase() == other.as_str().to_lowercase()
}
