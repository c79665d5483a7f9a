//! What a key made under another name: behind a label, or in a realm, out of whose mapping somebody took it by hand, while
//! it stands here. So a label or a realm gets another name, and what the key made under the old one is brought to this one.
//! A step asks before whether anything is alive; an edit does not.

use std::collections::BTreeSet;

use super::around::{Known, Scope};
use super::life::unrecorded;
use crate::catalogue;
use crate::journal::{Action, MadeAround, MappedKey, MappingChange};
use crate::keyring::keyset::KeySet;
use crate::label::{LabelName, Realm};

impl Known<'_> {
    /// Until when what a key made in those scopes lives.
    pub(super) fn made_before_moved(&self, scope: Scope<'_>, key: &MappedKey) -> MadeAround {
        let scopes = self.scopes_left(scope, key);
        scopes.iter().fold(MadeAround::default(), |made, (label, realm)| {
            let Some(thumbprint) = key.thumbprint.as_deref() else { return made };
            let report = self.reports.of(label, realm.as_ref(), thumbprint);
            let spans = self.history.spans(label, realm.as_ref(), key, self.now);
            let before = unrecorded(self.history, &spans, &report, self.now);
            made.max(MadeAround {
                exp: report.latest_exp.unwrap_or(0),
                open: report.latest_open.max(before).unwrap_or(0),
            })
        })
    }

    /// The labels and realms from which a key that stands here was taken by hand, and that are not read with it any more.
    pub(super) fn scopes_left(
        &self,
        own: Scope<'_>,
        key: &MappedKey,
    ) -> BTreeSet<(LabelName, Option<Realm>)> {
        let Some(thumbprint) = key.thumbprint.as_deref() else { return BTreeSet::new() };
        let has = |set: &KeySet, realm: Option<Option<&Realm>>| {
            let mut keys = set.keys().iter();
            keys.any(|one| {
                one.key.thumbprint() == thumbprint
                    && realm.is_none_or(|of| one.realm.as_ref() == of)
            })
        };
        if !self.snapshot.find(own.1, own.0).is_some_and(|set| has(set, Some(own.1))) {
            return BTreeSet::new();
        }
        let is_read = |(label, realm): &(LabelName, Option<Realm>)| {
            let along = self.snapshot.find_along(realm.as_ref(), label);
            let fallback = self.snapshot.find_fallback(realm.as_ref(), label);
            along.into_iter().chain(fallback).any(|set| has(set, None))
        };
        let changes = self.history.records.iter().flat_map(|record| &record.changes);
        let stood = changes
            .filter(|change| change.before.iter().chain(&change.after).any(|one| one.is(key)));
        let stood = stood.map(|change| (&change.mapping.label, change.mapping.realm.as_ref()));
        let used = self.reports.scopes_along(own, thumbprint, |_, _| true);
        let scopes = stood.chain(used).filter(|scope| *scope != own && may_be_one(scope.0, own.0));
        let mut scopes: BTreeSet<_> =
            scopes.map(|(label, realm)| (label.clone(), realm.cloned())).collect();
        scopes.retain(|scope| {
            !is_read(scope) && self.left_by_hand((&scope.0, scope.1.as_ref()), key)
        });
        scopes
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
