//! What `check` says of keys that have used half of the messages that random nonces allow, or all.

use crate::config::Config;
use crate::keyring::keyset::LabelKey;
use crate::keyring::snapshot::Snapshot;
use crate::label::LabelName;
use crate::problem::{Location, Problem};
use crate::usage::Reading;

/// A warning for each alias of such a key, where it is mapped. What cannot be read is refused when something
/// is made.
pub(crate) fn check(config: &Config, snapshot: &Snapshot, usage: &Reading) -> Vec<Problem> {
    let Ok(Some(reports)) = usage.reports() else { return Vec::new() };
    let mut found = Vec::new();
    for ((label, realm), set) in snapshot.labels() {
        for key in set.keys().iter().filter(|key| key.realm.as_ref() == realm) {
            let report = reports.of(label, realm, key.key.thumbprint());
            let Some(warning) = report.budget_warning() else { continue };
            let text = format!("label \"{label}\", alias \"{}\": it {warning}", key.alias);
            let problem = Problem::warning("key_budget", text).with_help(
                "`claviger generate --stage LABEL`, then `claviger promote`: the old key still decrypts",
            );
            found.push(match place(config, label, key) {
                Some(place) => problem.at(place.clone()),
                None => problem,
            });
        }
    }
    found
}

fn place<'c>(config: &'c Config, label: &LabelName, key: &LabelKey) -> Option<&'c Location> {
    let store = config.stores.iter().find(|store| store.name.value == key.store)?;
    let mapping = store.mappings.iter().find(|mapping| mapping.label.value == *label)?;
    let alias = mapping.aliases.iter().find(|one| one.alias.value == key.alias)?;
    Some(&alias.alias.location)
}
