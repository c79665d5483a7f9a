//! What two snapshots differ in, by label and realm: who acts, who is tried, what is published.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::keyring::Snapshot;
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::label::{Alias, LabelName, Realm, StoreName};

/// Everything that a change of snapshots changes. Empty: both do the same.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Diff {
    /// The labels that differ, in order of name, the global scope before the realms.
    pub labels: Vec<LabelDiff>,
}

/// What changes for one label as one realm sees it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LabelDiff {
    /// The label.
    pub label: LabelName,
    /// The realm; absent: global.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<Realm>,
    /// The alias that acts before; absent: the label appears.
    pub active_before: Option<Alias>,
    /// The alias that acts afterwards; absent: the label disappears.
    pub active_after: Option<Alias>,
    /// Keys that are tried only afterwards, in their order.
    pub enters: Vec<KeyName>,
    /// Keys that are no longer tried, in their order.
    pub leaves: Vec<KeyName>,
    /// Keys that stay, in another order among those that stay.
    pub moves: Vec<Move>,
    /// Keys that stay and are called otherwise: files of a volume change their names with a step.
    pub renamed: Vec<Renamed>,
    /// Kids that appear in the published key set of the label.
    pub kids_enter: Vec<String>,
    /// Kids that leave the published key set of the label.
    pub kids_leave: Vec<String>,
}

/// A key as people name it. The thumbprint tells two keys under one alias apart.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub struct KeyName {
    /// Its alias.
    pub alias: Alias,
    /// The store that holds it.
    pub store: StoreName,
    /// How tokens name it; absent of passwords, which could be guessed from what is derived from them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    #[serde(skip)]
    thumbprint: String,
}

/// A key that changes its place. Places count from 1; the first acts.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Move {
    /// The alias.
    pub alias: Alias,
    /// Its place before.
    pub from: usize,
    /// Its place afterwards.
    pub to: usize,
}

/// A key that gets another alias.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Renamed {
    /// Its alias before.
    pub from: Alias,
    /// Its alias afterwards.
    pub to: Alias,
}

impl Diff {
    /// What changes when `after` takes the place of `before`.
    #[must_use]
    pub fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let (known, wanted) = (before.labels(), after.labels());
        let scopes: BTreeSet<(&LabelName, Option<&Realm>)> =
            known.keys().chain(wanted.keys()).copied().collect();
        // A realm without a mapping of its own has the global one.
        let seen = |snapshot: &Snapshot, (label, realm): (&LabelName, Option<&Realm>)| {
            snapshot.find(realm, label).cloned()
        };
        let changed = |scope| {
            let (old, new) = (seen(before, scope), seen(after, scope));
            LabelDiff::between(scope, old.as_deref(), new.as_deref())
        };
        Self { labels: scopes.into_iter().filter_map(changed).collect() }
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
}

impl LabelDiff {
    fn between(
        (label, realm): (&LabelName, Option<&Realm>),
        before: Option<&KeySet>,
        after: Option<&KeySet>,
    ) -> Option<Self> {
        let (old, new) = (names(before), names(after));
        let (kids_before, kids_after) = (published(before), published(after));
        let without = |all: &[KeyName], known: &[KeyName]| -> Vec<KeyName> {
            all.iter().filter(|one| !known.iter().any(|other| other.is(one))).cloned().collect()
        };
        let kids_without = |all: &BTreeSet<String>, known: &BTreeSet<String>| -> Vec<String> {
            all.difference(known).cloned().collect()
        };
        let found = Self {
            label: label.clone(),
            realm: realm.cloned(),
            active_before: old.first().map(|one| one.alias.clone()),
            active_after: new.first().map(|one| one.alias.clone()),
            enters: without(&new, &old),
            leaves: without(&old, &new),
            moves: moves(&old, &new),
            renamed: renamed(&old, &new),
            kids_enter: kids_without(&kids_after, &kids_before),
            kids_leave: kids_without(&kids_before, &kids_after),
        };
        let same = old == new && kids_before == kids_after;
        (!same).then_some(found)
    }

    /// Whether what acts before acts afterwards, by whatever name.
    #[must_use]
    pub fn keeps_active(&self) -> bool {
        let (before, after) = (self.active_before.as_ref(), self.active_after.as_ref());
        let is_it = |one: &Renamed| Some(&one.from) == before && Some(&one.to) == after;
        before == after || self.renamed.iter().any(is_it)
    }
}

impl fmt::Display for Diff {
    /// One paragraph a label; nothing for an empty difference.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.labels.iter().try_for_each(|label| write!(f, "{label}"))
    }
}

impl fmt::Display for LabelDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "label \"{}\"", self.label)?;
        if let Some(realm) = &self.realm {
            write!(f, " in realm \"{realm}\"")?;
        }
        writeln!(f)?;
        match (&self.active_before, &self.active_after) {
            (Some(before), Some(after)) if !self.keeps_active() => {
                writeln!(f, "  acts: \"{after}\" instead of \"{before}\"")?;
            }
            (None, Some(after)) => writeln!(f, "  the label appears; \"{after}\" acts")?,
            (Some(_), None) => writeln!(f, "  the label disappears")?,
            _ => {}
        }
        for Renamed { from, to } in &self.renamed {
            writeln!(f, "  renamed: \"{from}\" is \"{to}\" from now on")?;
        }
        for key in &self.enters {
            writeln!(f, "  enters: {key}")?;
        }
        for key in &self.leaves {
            writeln!(f, "  leaves: {key}")?;
        }
        for one in &self.moves {
            writeln!(f, "  moves: \"{}\" from place {} to {}", one.alias, one.from, one.to)?;
        }
        for kid in &self.kids_enter {
            writeln!(f, "  key set: kid {kid} is added")?;
        }
        for kid in &self.kids_leave {
            writeln!(f, "  key set: kid {kid} is gone")?;
        }
        Ok(())
    }
}

impl KeyName {
    /// Whether both are one key of one store under one kid: the files of a volume change their names.
    fn is(&self, other: &Self) -> bool {
        self.store == other.store && self.kid == other.kid && self.thumbprint == other.thumbprint
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.alias)?;
        self.kid.iter().try_for_each(|kid| write!(f, " (kid {kid})"))
    }
}

fn names(set: Option<&KeySet>) -> Vec<KeyName> {
    let name = |set: &KeySet, key: &LabelKey| KeyName {
        alias: key.alias.clone(),
        store: key.store.clone(),
        kid: set.shown_kid(key).map(str::to_owned),
        thumbprint: key.key.thumbprint().to_owned(),
    };
    set.map_or_else(Vec::new, |set| set.keys().iter().map(|key| name(set, key)).collect())
}

fn published(set: Option<&KeySet>) -> BTreeSet<String> {
    let keys = set.map_or(&[][..], KeySet::published);
    let public = keys.iter().filter(|key| key.key.public_parameters().is_some());
    public.map(|key| key.kid.clone()).collect()
}

/// The keys of both lists that have another alias, in their order.
fn renamed(before: &[KeyName], after: &[KeyName]) -> Vec<Renamed> {
    let found = after.iter().filter_map(|name| {
        let was = before.iter().find(|one| one.is(name))?;
        Some(Renamed { from: was.alias.clone(), to: name.alias.clone() })
    });
    found.filter(|one| one.from != one.to).collect()
}

/// The keys of both lists whose order among themselves differs: what enters or leaves moves nobody.
fn moves(before: &[KeyName], after: &[KeyName]) -> Vec<Move> {
    let kept = |all: &[KeyName], other: &[KeyName]| -> Vec<(usize, KeyName)> {
        let numbered = all.iter().cloned().enumerate();
        numbered.filter(|(_, name)| other.iter().any(|one| one.is(name))).collect()
    };
    let (old, new) = (kept(before, after), kept(after, before));
    new.iter()
        .enumerate()
        .filter_map(|(rank, (to, name))| {
            let was = old.iter().position(|(_, one)| one.is(name))?;
            let (from, _) = old.get(was)?;
            (was != rank).then(|| Move { alias: name.alias.clone(), from: from + 1, to: to + 1 })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::*;
    use crate::alg::{Algorithm, Curve};
    use crate::catalogue::{LabelUse, Publish};
    use crate::config::Config;
    use crate::crypto::Key;
    use crate::crypto::generate::{KeySpec, generate};
    use crate::formats::JwkHints;
    use crate::keyring::keyset::KeySetPolicy;
    use crate::keyring::snapshot::Scopes;

    fn key(alias: &str) -> LabelKey {
        let made = generate(KeySpec::Curve(Curve::P256)).unwrap();
        let key = Key::from_private(&made, Vec::new()).unwrap();
        LabelKey {
            alias: alias.parse().unwrap(),
            store: "store".parse().unwrap(),
            realm: None,
            kid: key.thumbprint().to_owned(),
            key,
            hints: JwkHints::default(),
            usage: crate::usage::KeyUsage::default(),
        }
    }

    fn snapshot(keys: &[&LabelKey], publish: Publish) -> Snapshot {
        let mut labels = HashMap::new();
        if !keys.is_empty() {
            let set = KeySet::new(
                "app.tokens".parse().unwrap(),
                vec![LabelUse::Sign, LabelUse::Verify],
                keys.iter().map(|key| (*key).clone()).collect(),
                vec![Algorithm::find("ES256").unwrap()],
                KeySetPolicy { publish, ..KeySetPolicy::default() },
            );
            let global = Some(Arc::new(set.unwrap()));
            labels.insert("app.tokens".parse().unwrap(), Scopes { global, realms: HashMap::new() });
        }
        let (config, _) = Config::parse("", "claviger.toml".as_ref());
        Snapshot::new(1, labels, Arc::new(config.unwrap()))
    }

    fn diff(before: &[&LabelKey], after: &[&LabelKey], publish: Publish) -> Option<LabelDiff> {
        Diff::between(&snapshot(before, publish), &snapshot(after, publish)).labels.pop()
    }

    #[test]
    fn each_step_of_a_rotation_differs_as_it_should() {
        let (a, b) = (key("a"), key("b"));
        assert_eq!(diff(&[&a, &b], &[&a, &b], Publish::All), None);
        let staged = diff(&[&a], &[&a, &b], Publish::All).unwrap();
        assert_eq!(staged.active_before, staged.active_after);
        assert_eq!((staged.enters.len(), staged.leaves.len(), staged.moves.len()), (1, 0, 0));
        assert_eq!(staged.kids_enter, vec![b.kid.clone()]);
        let promoted = diff(&[&a, &b], &[&b, &a], Publish::All).unwrap();
        assert_eq!(promoted.active_after.as_ref().unwrap().as_str(), "b");
        assert!(promoted.enters.is_empty() && promoted.leaves.is_empty());
        assert_eq!(promoted.moves.len(), 2);
        assert!(promoted.kids_enter.is_empty() && promoted.kids_leave.is_empty());
        let retired = diff(&[&b, &a], &[&b], Publish::All).unwrap();
        assert_eq!(retired.kids_leave, vec![a.kid.clone()]);
        assert!(retired.to_string().contains("leaves: \"a\""), "{retired}");
    }

    #[test]
    fn a_key_that_gets_another_name_is_no_other_key() {
        let (a, b) = (key("a.v1"), key("a.v2"));
        let a3 = LabelKey { alias: "a.v3".parse().unwrap(), ..a.clone() };
        let told = diff(&[&a], &[&a3, &b], Publish::All).unwrap();
        assert_eq!((told.enters.len(), told.moves.len(), told.renamed.len()), (1, 0, 1));
        let text = told.to_string();
        assert!(text.contains("  renamed: \"a.v1\" is \"a.v3\" from now on\n"), "{text}");
        assert!(!text.contains("acts"), "{text}");
        let acts = diff(&[&a, &b], &[&b, &a3], Publish::All).unwrap().to_string();
        assert!(acts.contains("acts: \"a.v2\" instead of \"a.v1\""), "{acts}");
    }

    #[test]
    fn publication_follows_the_setting_of_the_label() {
        let (a, b) = (key("a"), key("b"));
        let active = diff(&[&a, &b], &[&b, &a], Publish::Active).unwrap();
        assert_eq!(
            (active.kids_enter, active.kids_leave),
            (vec![b.kid.clone()], vec![a.kid.clone()])
        );
        let none = diff(&[&a], &[&a, &b], Publish::None).unwrap();
        assert!(none.kids_enter.is_empty());
    }

    #[test]
    fn labels_appear_and_disappear_and_a_new_key_under_an_old_alias_is_told() {
        let (a, other) = (key("a"), key("a"));
        let appears = diff(&[], &[&a], Publish::All).unwrap();
        assert_eq!((appears.active_before, appears.enters.len()), (None, 1));
        let gone = diff(&[&a], &[], Publish::All).unwrap();
        assert_eq!((gone.active_after, gone.leaves.len()), (None, 1));
        let replaced = diff(&[&a], &[&other], Publish::All).unwrap();
        assert_eq!((replaced.enters.len(), replaced.leaves.len()), (1, 1));
    }
}
