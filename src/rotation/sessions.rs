//! Sessions: of the labels that `[sessions]` lists the first that is mapped acts, so that a label which begins may act in
//! the place of another.

use super::Rotation;
use super::announce::{self, Ready};
use super::mappings::mapped;
use crate::config::SessionLabel;
use crate::journal::MappingName;
use crate::keyring::Snapshot;
use crate::keyring::keyset::KeySet;
use crate::label::{Alias, LabelName};
use crate::usage::Act;

/// What acts for sessions until a step, and what from then on.
#[derive(Debug)]
pub(super) struct Acted {
    pub(super) label: LabelName,
    pub(super) alias: Alias,
    /// The label that acts from then on: that of the step, which begins, or where that ends another one.
    pub(super) next_label: LabelName,
    pub(super) next_alias: Alias,
    /// The key of `[sessions]` that lists both labels.
    pub(super) list: &'static str,
}

/// What acts for sessions until a step lets another label do so, with a key that not everybody knows yet; `None` as well
/// where nobody uses sessions.
pub(super) fn acted(rotation: &Rotation, name: &MappingName, after: &Snapshot) -> Option<Acted> {
    let (config, before) = (rotation.keyring.config(), rotation.keyring.snapshot());
    let lists =
        [("signing", &config.sessions.signing), ("encryption", &config.sessions.encryption)];
    let is_listed = |labels: &[&SessionLabel]| labels.iter().any(|one| one.label == name.label);
    let (list, labels) = lists.into_iter().find(|(_, labels)| is_listed(labels))?;
    let (acted, acts) = (acting(labels, &before)?, acting(labels, after)?);
    // Within a label the order of its aliases says it.
    if acts.label() == acted.label() {
        return None;
    }
    let labels = || labels.iter().map(|one| &one.label);
    let opening = labels().filter_map(|label| before.find(None, label));
    let opening = opening.chain(labels().filter_map(|label| before.find_fallback(None, label)));
    let is_known = opening.into_iter().any(|set| is_known(rotation, set, acts));
    let is_used = || {
        let Ok(reports) = rotation.keyring.usage().reports() else { return true };
        let (label, realm) = (acted.label(), acted.active().realm.as_ref());
        let thumbprint = acted.active().key.thumbprint();
        let report = reports.of(label, realm, thumbprint);
        !report.durable || report.count(Act::Signed).max(report.count(Act::Encrypted)) > 0
    };
    (!is_known && is_used()).then(|| Acted {
        label: acted.label().clone(),
        alias: acted.active().alias.clone(),
        next_label: acts.label().clone(),
        next_alias: acts.active().alias.clone(),
        list,
    })
}

/// The first of these labels that is mapped, else the first that another one stands in for.
fn acting<'s>(labels: &[&SessionLabel], snapshot: &'s Snapshot) -> Option<&'s KeySet> {
    let labels = || labels.iter().map(|one| &one.label);
    let own = || labels().find_map(|label| snapshot.find(None, label));
    let fallen = || labels().filter_map(|label| snapshot.find_along(None, label));
    own().or_else(|| fallen().find(|set| set.can_act())).map(|set| &**set)
}

/// Whether everybody knows what acts now from a set that opens sessions already.
fn is_known(rotation: &Rotation, set: &KeySet, acts: &KeySet) -> bool {
    let key = acts.active().key.thumbprint();
    let Some(key) = set.keys().iter().find(|one| one.key.thumbprint() == key) else {
        return false;
    };
    let (config, now) = (rotation.keyring.config(), rotation.now());
    let scope = (set.label(), key.realm.as_ref());
    let key = mapped(set, key);
    let known = announce::announcement(&config, set, &rotation.history, scope, &key, now);
    known.is_some_and(|known| matches!(known.ready, Ready::At(time) if time <= now))
}
