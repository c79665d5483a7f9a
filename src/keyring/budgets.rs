//! What `check` says of the uses of keys: that they cannot be read, or are those of an older time, and which keys have
//! used half of the messages that random nonces allow, or all.

use crate::config::Config;
use crate::error::Error;
use crate::journal::Journal;
use crate::keyring::keyset::LabelKey;
use crate::keyring::snapshot::Snapshot;
use crate::label::LabelName;
use crate::problem::{Location, Problem};
use crate::usage::{Reading, Reports};

/// A warning for each alias of such a key, where it is mapped; or an error if nobody can read what was used:
/// then nothing is made.
pub(crate) fn check(config: &Config, snapshot: Option<&Snapshot>, usage: &Reading) -> Vec<Problem> {
    let reports = match usage.reports() {
        Ok(Some(reports)) => reports,
        Ok(None) => return Vec::new(),
        Err(error) => return vec![unread(&error)],
    };
    let mut found: Vec<Problem> = older_copy(config, &reports).into_iter().collect();
    let Some(snapshot) = snapshot else { return found };
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

/// That the usage file was written less often than the journal knows. A journal that cannot be read is told elsewhere.
fn older_copy(config: &Config, reports: &Reports) -> Option<Problem> {
    let state_dir = config.keyring.state_dir.as_deref()?;
    let history = Journal::of(state_dir).read().ok()?;
    history.usage_writes().filter(|known| reports.is_older_than(*known))?;
    let text = format!("{}: the usage file is an older copy", state_dir.display());
    Some(Problem::warning("state_altered", text).with_help(
        "what was made since is recorded nowhere: every key counts as used until the next step of a rotation, which \
         records it; let new AES-GCM keys act",
    ))
}

fn unread(error: &Error) -> Problem {
    let place = error.file().map(|file| format!("{}: ", file.display())).unwrap_or_default();
    let text = format!("{place}{}; until then nothing is made", error.message());
    let problem = Problem::error(error.kind().code(), text);
    match error.help() {
        Some(help) => problem.with_help(help),
        None => problem,
    }
}

fn place<'c>(config: &'c Config, label: &LabelName, key: &LabelKey) -> Option<&'c Location> {
    let store = config.stores.iter().find(|store| store.name.value == key.store)?;
    let mapping = store.mappings.iter().find(|mapping| mapping.label.value == *label)?;
    let alias = mapping.aliases.iter().find(|one| one.alias.value == key.alias)?;
    Some(&alias.alias.location)
}
