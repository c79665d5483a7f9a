//! A revocation: the key out of every mapping that has it, and what takes its place where nothing is left.

use super::fresh::Fresh;
use super::mappings::{self, Kind, Mapping};
use super::request::{Request, Step};
use super::steps::{Wanted, WantedList, listed, position, unknown_key};
use super::wording::not_listed;
use super::{Rotation, volume_steps};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{MappedKey, MappingName};
use crate::label::Alias;

/// The key out of every mapping that has it, whatever its alias there.
pub(super) fn revocation(
    rotation: &Rotation,
    request: &Request,
    (name, mapping): (&MappingName, &Mapping),
    fresh: &mut Fresh,
) -> Result<Wanted> {
    if rotation.state_dir().is_none() {
        let text = "a revocation needs a place that outlives this file";
        return Err(Error::new(ErrorKind::StepRefused, text).with_help(
            "add state_dir = \"state\" to [keyring]: journal and tombstones live there",
        ));
    }
    let Step::Revoke { alias, replace, .. } = &request.step else {
        return Err(Error::new(ErrorKind::Bug, "it is no revocation"));
    };
    let key = key_of(name, mapping, alias)?;
    let config = rotation.keyring.config();
    let mut wanted =
        Wanted { lists: Vec::new(), files: fresh.take_keystores(), revoked: Some(key.clone()) };
    for (other, mapping) in holders(rotation, name, &key) {
        let mut keys: Vec<MappedKey> =
            mapping.keys.iter().filter(|one| !one.is(&key)).cloned().collect();
        let value = fresh.take_value(other);
        if let Some(new) = fresh.alias_in(&other.store).filter(|_| is_replaced(name, other, &keys))
        {
            keys.push(unknown_key(new));
        }
        if keys.is_empty() && value.is_none() && !request.overrides.force {
            return Err(only_key(request, alias, other, mapping, replace.is_some()));
        }
        match mapping.kind {
            Kind::Fixed => {}
            Kind::Listed => wanted.lists.push(WantedList {
                mapping: other.clone(),
                aliases: listed(&keys, &mapping.left_out),
            }),
            Kind::Versioned => {
                let held = mapping.keys.iter().find(|one| one.is(&key)).unwrap_or(&key);
                let files = volume_steps::files_of(&config, other, mapping)?;
                wanted.files.push(match value {
                    Some(value) => files.replace(&held.alias, &keys, value)?,
                    None => files.put_aside(&held.alias)?,
                });
            }
        }
    }
    Ok(wanted)
}

/// The mappings in which a new key takes the place of the revoked one: that of the request, and those that would
/// be left empty.
pub(super) fn replaced(
    rotation: &Rotation,
    request: &Request,
    alias: &Alias,
) -> Result<Vec<MappingName>> {
    let (name, mapping) = mappings::target(&rotation.mappings, request)?;
    let key = key_of(name, mapping, alias)?;
    let rest = |mapping: &Mapping| {
        mapping.keys.iter().filter(|one| !one.is(&key)).cloned().collect::<Vec<_>>()
    };
    let wanted = holders(rotation, name, &key)
        .filter(|(other, mapping)| is_replaced(name, other, &rest(mapping)));
    Ok(wanted.map(|(other, _)| other.clone()).collect())
}

fn is_replaced(name: &MappingName, other: &MappingName, rest: &[MappedKey]) -> bool {
    other == name || rest.is_empty()
}

fn key_of(name: &MappingName, mapping: &Mapping, alias: &Alias) -> Result<MappedKey> {
    let at = position(mapping, alias).ok_or_else(|| not_listed(mapping, name, alias))?;
    Ok(mapping.keys.get(at).cloned().unwrap_or_else(|| unknown_key(alias)))
}

/// The mappings that have a key.
fn holders<'r>(
    rotation: &'r Rotation,
    name: &'r MappingName,
    key: &'r MappedKey,
) -> impl Iterator<Item = (&'r MappingName, &'r Mapping)> {
    let holds = move |one: &MappedKey| one.thumbprint.is_some() && one.is(key);
    rotation
        .mappings
        .iter()
        .filter(move |(other, mapping)| *other == name || mapping.keys.iter().any(holds))
}

fn only_key(
    request: &Request,
    alias: &Alias,
    other: &MappingName,
    mapping: &Mapping,
    replacing: bool,
) -> Error {
    let label = &other.label;
    let text = format!("alias \"{alias}\" is the only key behind label \"{label}\"");
    let error = Error::new(ErrorKind::StepRefused, text);
    let command = request.command();
    let stop = format!(
        "or, and nothing is made or opened under the label from then on: {command} --force"
    );
    if mapping.kind == Kind::Fixed {
        return error.with_help(format!(
            "set another value where the process is started, then revoke it again; {stop}"
        ));
    }
    if replacing {
        return error.with_help(format!(
            "stage another key of that store first: claviger generate NEW --stage {label} --store {}; {stop}",
            other.store
        ));
    }
    error.with_help(format!(
        "make the next one and let it act in the same step: {command} --replace NEW; {stop}"
    ))
}
