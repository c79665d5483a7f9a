//! A revocation: the key out of every mapping that has it, and what takes its place where nothing is left.

use std::sync::Arc;
use std::time::SystemTime;

use super::fresh::Fresh;
use super::mappings::{self, Kind, Mapping};
use super::request::{Request, Step, in_realm};
use super::steps::{Wanted, WantedList, listed, position, same, unknown_key};
use super::wording::never_there;
use super::{Rotation, volume_steps};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{MappedKey, MappingName};
use crate::keyring::keyset::LabelKey;
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
    let Step::Revoke { alias, replace, compromised_at } = &request.step else {
        return Err(Error::new(ErrorKind::Bug, "it is no revocation"));
    };
    let leaked = Leaked::find(rotation, request, (name, mapping), alias)?;
    let key = leaked.key.clone();
    let config = rotation.keyring.config();
    let mut wanted = Wanted {
        lists: Vec::new(),
        files: fresh.take_keystores(),
        revoked: Some(key.clone()).filter(|_| !leaked.is_said(rotation, *compromised_at)),
    };
    for (other, mapping) in leaked.holders(rotation, name) {
        let mut keys: Vec<MappedKey> =
            mapping.keys.iter().filter(|one| !one.is(&key)).cloned().collect();
        let value = fresh.take_value(other);
        if let Some(new) = fresh.alias_in(&other.store).filter(|_| is_replaced(name, other, &keys))
        {
            keys.push(unknown_key(new));
        }
        if keys.is_empty() && value.is_none() && !request.overrides.force {
            let instead = acts_instead(rotation, other, &key);
            return Err(only_key(
                request,
                &key.alias,
                (other, mapping),
                replace.is_some(),
                instead,
            ));
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
    let leaked = Leaked::find(rotation, request, (name, mapping), alias)?;
    let rest = |mapping: &Mapping| {
        mapping.keys.iter().filter(|one| !one.is(&leaked.key)).cloned().collect::<Vec<_>>()
    };
    let wanted = leaked
        .holders(rotation, name)
        .filter(|(other, mapping)| is_replaced(name, other, &rest(mapping)));
    let wanted: Vec<MappingName> = wanted.map(|(other, _)| other.clone()).collect();
    if wanted.is_empty() {
        let alias = &leaked.key.alias;
        let text = format!("alias \"{alias}\" leaves no place behind label \"{}\"", name.label);
        return Err(Error::new(ErrorKind::StepRefused, text)
            .with_help("revoke it without --replace: the keys that act stay as they are"));
    }
    Ok(wanted)
}

/// The mapping in which a key that is to be revoked stood, of a label that nothing maps any more.
pub(super) fn left_behind(rotation: &Rotation, request: &Request) -> Option<MappingName> {
    let (Step::Revoke { .. }, label) = (&request.step, &request.label) else { return None };
    if rotation.mappings.keys().any(|name| name.label == *label) {
        return None;
    }
    let stores = request.store.as_ref();
    let fits = |name: &&MappingName| {
        name.label == *label
            && name.realm == request.realm
            && stores.is_none_or(|store| name.store == *store)
    };
    let records = rotation.history.records.iter().rev().filter(|record| record.took_effect());
    let mut names = records.flat_map(|record| &record.changes).map(|change| &change.mapping);
    names.find(fits).cloned()
}

fn is_replaced(name: &MappingName, other: &MappingName, rest: &[MappedKey]) -> bool {
    other == name || rest.is_empty()
}

/// The key that a revocation is about.
struct Leaked {
    key: MappedKey,
    /// Whether it stands behind the label; else the journal has it of a time when it did.
    is_there: bool,
}

impl Leaked {
    /// Where who asks may reach every mapping that has it.
    fn find(
        rotation: &Rotation,
        request: &Request,
        (name, mapping): (&MappingName, &Mapping),
        alias: &Alias,
    ) -> Result<Self> {
        let leaked = Self::named(rotation, name, mapping, alias)?;
        let mut holders = leaked.holders(rotation, name);
        holders.try_for_each(|(holder, _)| request.origin.require(holder))?;
        drop(holders);
        Ok(leaked)
    }

    fn named(
        rotation: &Rotation,
        name: &MappingName,
        mapping: &Mapping,
        alias: &Alias,
    ) -> Result<Self> {
        if let Some(key) = position(mapping, alias).and_then(|at| mapping.keys.get(at)) {
            return Ok(Self { key: key.clone(), is_there: true });
        }
        let left = left(rotation, name, mapping);
        // Several may have had one alias, one after the other: the last one is meant, or the one whose kid it is.
        let by = |fits: &dyn Fn(&MappedKey) -> bool| left.iter().find(|key| fits(key));
        let named = by(&|key| key.alias == *alias).or_else(|| by(&|key| same(&key.alias, alias)));
        let is_kid = |key: &MappedKey| key.kid == alias.as_str();
        if let Some(key) = mapping.keys.iter().find(|key| named.is_none() && is_kid(key)) {
            return Ok(Self { key: key.clone(), is_there: true });
        }
        match named.or_else(|| by(&is_kid)) {
            Some(key) => Ok(Self { key: (*key).clone(), is_there: false }),
            None => Err(never_there(mapping, name, alias, &left)),
        }
    }

    /// The mappings that have the key.
    fn holders<'r>(
        &'r self,
        rotation: &'r Rotation,
        name: &'r MappingName,
    ) -> impl Iterator<Item = (&'r MappingName, &'r Mapping)> {
        let holds = move |one: &MappedKey| one.thumbprint.is_some() && one.is(&self.key);
        rotation.mappings.iter().filter(move |(other, mapping)| {
            (self.is_there && *other == name) || mapping.keys.iter().any(holds)
        })
    }

    /// Whether the key was revoked before, and nothing new is said of when it leaked.
    fn is_said(&self, rotation: &Rotation, compromised_at: Option<SystemTime>) -> bool {
        let said = self.key.thumbprint.as_deref().and_then(|key| rotation.history.revoked(key));
        said.is_some_and(|said| compromised_at.is_none() || compromised_at == said.compromised_at)
    }
}

/// The keys that stood behind a mapping and do no more, the last one first; an alias may have had several.
fn left<'r>(rotation: &'r Rotation, name: &MappingName, mapping: &Mapping) -> Vec<&'r MappedKey> {
    let records = rotation.history.records.iter().rev().filter(|record| record.took_effect());
    let changes = records.flat_map(|record| &record.changes).filter(|one| one.mapping == *name);
    let mut left: Vec<&MappedKey> = Vec::new();
    for key in changes.flat_map(|change| change.after.iter().chain(&change.before)) {
        let known =
            left.iter().any(|one| one.is(key)) || mapping.keys.iter().any(|one| one.is(key));
        if key.thumbprint.is_some() && !known {
            left.push(key);
        }
    }
    left
}

/// What acts in the scope of a mapping once that has ended with this key; `None`: nothing.
fn acts_instead(rotation: &Rotation, name: &MappingName, leaked: &MappedKey) -> Option<Alias> {
    let snapshot = rotation.keyring.snapshot();
    let (label, realm) = (&name.label, name.realm.as_ref());
    let global = realm.and_then(|_| snapshot.find(None, label));
    let set = global.or_else(|| snapshot.find_fallback(realm, label))?;
    let stays = |key: &&Arc<LabelKey>| Some(key.key.thumbprint()) != leaked.thumbprint.as_deref();
    set.keys().iter().find(stays).map(|key| key.alias.clone())
}

fn only_key(
    request: &Request,
    alias: &Alias,
    (other, mapping): (&MappingName, &Mapping),
    replacing: bool,
    instead: Option<Alias>,
) -> Error {
    let label = &other.label;
    let text = format!("alias \"{alias}\" is the only key behind label \"{label}\"");
    let error = Error::new(ErrorKind::StepRefused, text);
    let command = request.command();
    let then = match instead {
        Some(instead) => format!("\"{instead}\", which stands around the mapping, acts"),
        None => "nothing is made or opened under the label".to_owned(),
    };
    let stop = format!("or, and {then} from then on: {command} --force");
    if mapping.kind == Kind::Fixed {
        return error.with_help(format!(
            "set another value where the process is started, then revoke it again; {stop}"
        ));
    }
    if replacing {
        return error.with_help(format!(
            "stage another key of that store first: claviger generate NEW --stage {label} --store {}{}; {stop}",
            other.store,
            in_realm(other.realm.as_ref())
        ));
    }
    error.with_help(format!(
        "make the next one and let it act in the same step: {command} --replace NEW; {stop}"
    ))
}
