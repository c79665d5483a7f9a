//! Which labels stand behind a profile: an ordered list, of which the first that is mapped acts.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::keyring::Snapshot;
use crate::label::{LabelName, Realm};
use crate::ops::{Asked, KeySet};

/// An ordered list of labels, each asked in the realm and then globally.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Choice(Vec<LabelName>);

impl Choice {
    /// Labels of the catalogue in the order in which they are asked; `{identifier}` in a name is replaced.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if a name is no label, or the identifier cannot stand in one.
    pub fn new(names: &[&str], identifier: Option<&str>) -> Result<Self> {
        let filled = |name: &&str| match identifier {
            Some(identifier) => name.replace("{identifier}", identifier).parse(),
            None => name.parse(),
        };
        names.iter().map(filled).collect::<Result<_>>().map(Self)
    }

    /// The labels in order.
    #[must_use]
    pub fn labels(&self) -> &[LabelName] {
        &self.0
    }

    /// The keys that act: those of the first label that is mapped; if none is, of the first that the catalogue
    /// lets fall back to a mapped one whose active key does the algorithms of the first.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`] if nothing is mapped to any of them.
    pub fn acting<'s>(
        &self,
        snapshot: &'s Snapshot,
        realm: Option<&Realm>,
    ) -> Result<&'s Arc<KeySet>> {
        acting(self.0.iter(), snapshot, realm)
    }

    /// The keys that open: those of every label that is mapped, in order, and of the deprecated labels that
    /// these supersede; if there are none, of the label that [`Choice::acting`] falls back to.
    ///
    /// # Errors
    /// As [`Choice::acting`].
    pub fn opening<'s>(
        &'s self,
        snapshot: &'s Snapshot,
        realm: Option<&'s Realm>,
    ) -> Result<Vec<&'s KeySet>> {
        Ok(self.asked(snapshot, realm)?.iter().map(Asked::set).collect())
    }

    /// As [`Choice::opening`], each with the label of these that it stands behind.
    pub(super) fn asked<'s>(
        &'s self,
        snapshot: &'s Snapshot,
        realm: Option<&'s Realm>,
    ) -> Result<Vec<Asked<'s>>> {
        opening(self.0.iter(), snapshot, realm)
    }
}

/// As [`Choice::acting`], of labels that somebody else keeps.
pub(super) fn acting<'s, 'l>(
    labels: impl Iterator<Item = &'l LabelName> + Clone,
    snapshot: &'s Snapshot,
    realm: Option<&Realm>,
) -> Result<&'s Arc<KeySet>> {
    let mapped = labels.clone().find_map(|label| snapshot.find(realm, label));
    let fallen = || labels.clone().filter_map(|label| snapshot.find_along(realm, label));
    let acts = || fallen().find(|set| set.can_act()).or_else(|| fallen().next());
    mapped.or_else(acts).ok_or_else(|| not_mapped(labels.clone(), realm))
}

/// As [`Choice::opening`], of labels that somebody else keeps.
pub(super) fn opening<'s>(
    labels: impl Iterator<Item = &'s LabelName> + Clone,
    snapshot: &'s Snapshot,
    realm: Option<&'s Realm>,
) -> Result<Vec<Asked<'s>>> {
    let found = |find: fn(&'s Snapshot, Option<&Realm>, &LabelName) -> Option<&'s Arc<KeySet>>| {
        let all = labels.clone();
        all.filter_map(move |label| Some(Asked::label(find(snapshot, realm, label)?, label, realm)))
    };
    let sets: Vec<Asked<'s>> =
        found(Snapshot::find).chain(found(Snapshot::find_fallback)).collect();
    if !sets.is_empty() {
        return Ok(sets);
    }
    let stands_in = acting(labels.clone(), snapshot, realm)?;
    let same = |asked: &Asked<'_>| std::ptr::eq(asked.set(), &**stands_in);
    Ok(found(Snapshot::find_along).find(same).into_iter().collect())
}

#[cold]
fn not_mapped<'l>(labels: impl Iterator<Item = &'l LabelName>, realm: Option<&Realm>) -> Error {
    let names: Vec<String> = labels.map(|label| format!("\"{label}\"")).collect();
    let scope = realm.map_or_else(String::new, |realm| format!(" in realm \"{realm}\""));
    let text = format!("no secret is mapped to {}{scope}", names.join(" or "));
    Error::new(ErrorKind::UnknownLabel, text)
        .with_help(
            "`claviger generate ALIAS --stage LABEL --store STORE` makes and maps one; `claviger explain LABEL` shows \
             which stores were asked",
        )
}
