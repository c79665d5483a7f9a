//! The mappings as they are now: every list of keys behind a label, the active one first.

use std::collections::BTreeMap;

use super::request::{Request, in_realm};
use crate::catalogue::{self, LabelUse};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{MappedKey, MappingChange, MappingName};
use crate::keyring::Snapshot;
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::label::{Alias, LabelName, Realm, StoreName};
use crate::stores::StoreConfig;

/// One mapping.
#[derive(Clone, Debug, Default)]
pub(super) struct Mapping {
    /// Its keys, in order.
    pub(super) keys: Vec<MappedKey>,
    /// Aliases that the configuration lists and the snapshot leaves out: their keys are revoked.
    pub(super) left_out: Vec<Alias>,
    /// How the store is changed.
    pub(super) kind: Kind,
}

/// How a store is changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Kind {
    /// From outside: its variables belong to the environment.
    #[default]
    Fixed,
    /// By the list in the configuration.
    Listed,
    /// By the names of its files.
    Versioned,
}

pub(super) type Mappings = BTreeMap<MappingName, Mapping>;

/// Every mapping of a configuration whose snapshot was built.
pub(super) fn of(config: &Config, snapshot: &Snapshot) -> Mappings {
    let mut mappings = Mappings::new();
    for entry in &config.stores {
        let store = &entry.name.value;
        let realm = entry.realm.as_ref();
        match entry.options {
            StoreConfig::Keystore(_) => {
                for mapping in &entry.mappings {
                    let label = catalogue::canonical(&mapping.label.value);
                    // Where a realm has no keys this is the global set, in which the store has none.
                    let set = snapshot.find(realm, &label).map(|set| &**set);
                    let mut found = Mapping { kind: Kind::Listed, ..Mapping::default() };
                    for listed in &mapping.aliases {
                        let alias = &listed.alias.value;
                        match set.and_then(|set| Some((set, key_of(set, store, alias)?))) {
                            Some((set, key)) => {
                                let own_kid = listed.kid.is_some();
                                found.keys.push(MappedKey { own_kid, ..mapped(set, key) });
                            }
                            None => found.left_out.push(alias.clone()),
                        }
                    }
                    mappings.insert(name(&label, realm, store), found);
                }
            }
            StoreConfig::Volume(_) => held(&mut mappings, snapshot, realm, store, Kind::Versioned),
            StoreConfig::Environment(_) => {
                held(&mut mappings, snapshot, realm, store, Kind::Fixed);
            }
        }
    }
    mappings
}

/// The labels that a store without mappings holds by itself.
fn held(
    mappings: &mut Mappings,
    snapshot: &Snapshot,
    realm: Option<&Realm>,
    store: &StoreName,
    kind: Kind,
) {
    for ((label, scope), set) in snapshot.labels() {
        if scope != realm {
            continue;
        }
        let keys: Vec<MappedKey> = set
            .keys()
            .iter()
            .filter(|key| key.store == *store && key.realm.as_ref() == realm)
            .map(|key| mapped(set, key))
            .collect();
        if !keys.is_empty() {
            let mapping = Mapping { keys, left_out: Vec::new(), kind };
            mappings.insert(name(label, realm, store), mapping);
        }
    }
}

/// What the journal must learn: the mappings that are not as it has them.
pub(super) fn changes(
    before: &BTreeMap<&MappingName, &[MappedKey]>,
    after: &Mappings,
) -> Vec<MappingChange> {
    let empty: &[MappedKey] = &[];
    let mut names: Vec<&MappingName> = before.keys().copied().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter_map(|name| {
            let old = before.get(name).copied().unwrap_or(empty);
            let new = after.get(name).map_or(empty, |mapping| mapping.keys.as_slice());
            (old != new).then(|| MappingChange {
                mapping: name.clone(),
                before: old.to_vec(),
                after: new.to_vec(),
                made_around: BTreeMap::new(),
            })
        })
        .collect()
}

/// The same mappings as the journal writes them.
pub(super) fn as_recorded(mappings: &Mappings) -> BTreeMap<&MappingName, &[MappedKey]> {
    mappings
        .iter()
        .filter(|(_, mapping)| !mapping.keys.is_empty())
        .map(|(name, mapping)| (name, mapping.keys.as_slice()))
        .collect()
}

fn key_of<'s>(set: &'s KeySet, store: &StoreName, alias: &Alias) -> Option<&'s LabelKey> {
    set.keys().iter().map(|key| &**key).find(|key| key.store == *store && key.alias == *alias)
}

pub(super) fn mapped(set: &KeySet, key: &LabelKey) -> MappedKey {
    // A password could be guessed from what is derived from it.
    let derived = !set.uses().contains(&LabelUse::Secret);
    let published = key.key.public_parameters().is_some()
        && set.published().iter().any(|one| one.kid == key.kid);
    MappedKey {
        alias: key.alias.clone(),
        kid: if derived { key.kid.clone() } else { String::new() },
        own_kid: false,
        thumbprint: derived.then(|| key.key.thumbprint().to_owned()),
        published,
    }
}

fn name(label: &LabelName, realm: Option<&Realm>, store: &StoreName) -> MappingName {
    MappingName { label: label.clone(), realm: realm.cloned(), store: store.clone() }
}

/// What to do about a label that nothing maps: it is another one, or it begins.
fn beginning(mappings: &Mappings, label: &LabelName) -> String {
    let near = mappings
        .keys()
        .map(|name| (strsim::damerau_levenshtein(name.label.as_str(), label.as_str()), name))
        .filter(|(distance, _)| *distance <= 2.max(label.as_str().len() / 8))
        .min_by_key(|(distance, _)| *distance);
    match near.filter(|_| catalogue::find(label).is_none()) {
        Some((_, name)) => format!("did you mean \"{}\"?", name.label),
        None => format!(
            "`claviger labels` lists what is mapped; begin with a new key: claviger generate NEW --stage {label} --store \
             STORE · with one that the store has: claviger stage {label} ALIAS --store STORE"
        ),
    }
}

/// A store that the configuration does not have, or not for who asks.
pub(super) fn unknown_store(config: &Config, request: &Request, store: &StoreName) -> Error {
    let error = Error::new(ErrorKind::Usage, format!("there is no store \"{store}\""));
    if !request.origin.is_here() {
        return error.with_help("leave it out where one store maps the label");
    }
    let names = config.stores.iter().map(|entry| format!("\"{}\"", entry.name.value));
    let names = names.collect::<Vec<_>>().join(", ");
    error.with_help(format!("the stores are {names}"))
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
    if !request.origin.is_here() {
        fitting.retain(|(name, _)| name.realm == request.realm);
    }
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
        // Whether it is mapped elsewhere is not told.
        [] if !request.origin.is_here() => {
            let scope = request.realm.as_ref().map(|realm| format!(" in realm \"{realm}\""));
            let text = format!("no store maps label \"{label}\"{}", scope.unwrap_or_default());
            Err(Error::new(ErrorKind::UnknownLabel, text))
        }
        [] if of_label.is_empty() => {
            let text = format!("no store maps label \"{label}\"");
            Err(Error::new(ErrorKind::UnknownLabel, text).with_help(beginning(mappings, label)))
        }
        [] => {
            let text = format!(
                "label \"{label}\" is not mapped there, but in store {}",
                places(&of_label)
            );
            Err(Error::new(ErrorKind::UnknownLabel, text)
                .with_help("leave --store and --realm out, or name one of these"))
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
            let realms = several.iter().map(|(name, _)| in_realm(name.realm.as_ref()));
            let realms = realms.collect::<Vec<_>>().join(", or");
            Err(Error::new(ErrorKind::StepRefused, text).with_help(format!("say which:{realms}")))
        }
    }
}
