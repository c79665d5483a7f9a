//! What a key made in another scope that is read here now: of a realm or a label that had a mapping of its own with the key and
//! has none any more, or out of whose mapping somebody took the key by hand, while it stands here. So a label or a realm gets
//! another name, and what the key made under the old one is brought to this one. A step asks before whether anything is
//! alive; an edit does not.

use std::collections::BTreeSet;

use super::around::{Known, Scope};
use super::gates::last_shown;
use super::life::{reads_here, unrecorded};
use crate::catalogue;
use crate::clock::to_unix;
use crate::journal::{Action, MadeAround, MappedKey, MappingChange};
use crate::keyring::keyset::KeySet;
use crate::label::{LabelName, Realm};

impl Known<'_> {
    /// Until when what a key made in those scopes lives, or peers made for it there.
    pub(super) fn made_elsewhere(&self, own: Scope<'_>, key: &MappedKey) -> MadeAround {
        let Some((set, thumbprint)) = self.set_with(own, key) else { return MadeAround::default() };
        let scopes = self.scopes_brought(own, key);
        scopes.iter().fold(MadeAround::default(), |made, (label, realm)| {
            let report = self.reports.of(label, realm.as_ref(), thumbprint);
            let spans = self.history.spans(label, realm.as_ref(), key, self.now);
            let before = unrecorded(self.history, &spans, &report, self.now);
            let shown = last_shown(self.config, set, self.history, &spans, self.now);
            made.max(MadeAround {
                exp: report.latest_exp.unwrap_or(0),
                open: report.latest_open.max(before).max(shown.map(to_unix)).unwrap_or(0),
            })
        })
    }

    /// The labels and realms of which what a key made is read where it stands.
    pub(super) fn scopes_brought(
        &self,
        own: Scope<'_>,
        key: &MappedKey,
    ) -> BTreeSet<(LabelName, Option<Realm>)> {
        let Some((_, thumbprint)) = self.set_with(own, key) else { return BTreeSet::new() };
        let changes = self.history.records.iter().flat_map(|record| &record.changes);
        let stood = changes
            .filter(|change| change.before.iter().chain(&change.after).any(|one| one.is(key)));
        let stood = stood.map(|change| (&change.mapping.label, change.mapping.realm.as_ref()));
        let used = self.reports.scopes_of(thumbprint);
        let scopes = stood.chain(used).filter(|scope| *scope != own);
        let mut scopes: BTreeSet<_> =
            scopes.map(|(label, realm)| (label.clone(), realm.cloned())).collect();
        let reads = reads_here(self.snapshot, own, thumbprint);
        scopes.retain(|(label, realm)| {
            let scope = (label, realm.as_ref());
            reads(label, realm.as_ref())
                || (may_be_one(label, own.0)
                    && !self.is_read(scope, thumbprint)
                    && self.left_by_hand(scope, key))
        });
        scopes
    }

    /// The set of a scope, and what names a key that stands in it there.
    fn set_with<'k>(
        &self,
        (label, realm): Scope<'_>,
        key: &'k MappedKey,
    ) -> Option<(&KeySet, &'k str)> {
        let (set, thumbprint) = (self.snapshot.find(realm, label)?, key.thumbprint.as_deref()?);
        let mut keys = set.keys().iter();
        keys.any(|one| one.key.thumbprint() == thumbprint && one.realm.as_ref() == realm)
            .then_some((&**set, thumbprint))
    }

    /// Whether a label is read with a key, from wherever it has its keys.
    fn is_read(&self, (label, realm): Scope<'_>, thumbprint: &str) -> bool {
        let along = self.snapshot.find_along(realm, label);
        let fallback = self.snapshot.find_fallback(realm, label);
        let mut keys = along.into_iter().chain(fallback).flat_map(|set| set.keys());
        keys.any(|one| one.key.thumbprint() == thumbprint)
    }

    /// Whether the last that is known of a key in a scope is no step that took it out.
    fn left_by_hand(&self, (label, realm): Scope<'_>, key: &MappedKey) -> bool {
        let left = |change: &MappingChange| {
            change.mapping.label == *label
                && change.mapping.realm.as_ref() == realm
                && change.before.iter().any(|one| one.is(key))
                && !change.after.iter().any(|one| one.is(key))
        };
        let records = self.history.records.iter().rev().filter(|record| record.took_effect());
        let mut left = records.filter(|record| record.changes.iter().any(left));
        left.next().is_none_or(|record| record.action == Action::EditedByHand)
    }
}

/// Whether one label may be the other under a new name. Those of different parts of the catalogue are asked for by parts of
/// a product that know nothing of one another.
fn may_be_one(one: &LabelName, other: &LabelName) -> bool {
    let section = |label| catalogue::find(label).map(|found| found.spec.section.as_str());
    match (section(one), section(other)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}
