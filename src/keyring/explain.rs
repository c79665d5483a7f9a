//! Why a label resolves as it does: every store that was asked, in order.

use std::sync::Arc;

use serde::Serialize;

use crate::catalogue;
use crate::clock::Clock;
use crate::config::{Config, StoreEntry, ValidSet};
use crate::error::{Error, Result};
use crate::keyring::load::Loader;
use crate::keyring::profile::LabelProfile;
use crate::label::{Alias, LabelName, Realm};
use crate::stores::{Loaded, SecretStore, StoreConfig, variable_of};

/// What was found for a label.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The label that was asked for.
    pub label: LabelName,
    /// The realm that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<Realm>,
    /// What the catalogue says the label is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Its uses.
    #[serde(rename = "use")]
    pub uses: Vec<&'static str>,
    /// The algorithms that its tokens may use, in order of preference.
    pub algorithms: Vec<&'static str>,
    /// Every store, in the order in which it was asked; then the fallbacks.
    pub steps: Vec<Step>,
    /// The alias that acts, if any; none where it depends on the role which of several fallbacks counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<Alias>,
}

/// One store that was asked for one label.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// The label: a fallback differs from the one asked for.
    pub label: LabelName,
    /// The store.
    pub store: String,
    /// Its realm; absent: global.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<Realm>,
    /// `active`, `valid`, `skipped`, `unusable` (mapped, and what it maps to is not there or does not fit) or
    /// `not here`.
    pub outcome: &'static str,
    /// What was found, or why it was skipped.
    pub detail: String,
    /// The same without files; absent: it names none.
    #[serde(skip)]
    without_files: Option<String>,
}

impl Explanation {
    /// The same without the names of files and folders: for who is not at this machine.
    #[must_use]
    pub fn without_files(mut self) -> Self {
        for step in &mut self.steps {
            if let Some(detail) = step.without_files.take() {
                step.detail = detail;
            }
        }
        self
    }
}

/// Asks every store for a label, realm first, then global, then the fallbacks. It reads and opens them for
/// that. The configuration may be one that is refused: what stands in the way is told.
///
/// # Errors
/// [`crate::error::ErrorKind::Io`] if the operating system gives no random bytes.
pub fn explain(
    config: &Arc<Config>,
    label: &LabelName,
    realm: Option<&Realm>,
) -> Result<Explanation> {
    let opened = Loader::new(&config.file, Clock::system())?.open_now(config);
    let label = catalogue::canonical(label);
    let profile = LabelProfile::of(config, &label, None);
    let mut asking = Asking {
        realm,
        only_realm: profile.valid == ValidSet::RealmOnly,
        steps: Vec::new(),
        active: None,
    };
    let fallbacks = catalogue::fallbacks_of(&label);
    let of_roles = fallbacks.len() > 1;
    let mut acting = Vec::new();
    for asked in std::iter::once(label.clone()).chain(fallbacks) {
        for of_realm in [true, false] {
            for (index, entry) in config.stores.iter().enumerate() {
                if entry.realm.is_some() == of_realm {
                    let store = opened.stores.iter().find(|(position, _)| *position == index);
                    asking.ask(entry, store.map(|(_, opened)| opened.store.as_ref()), &asked);
                }
            }
        }
        acting.extend(asking.active.take());
        // Mapped is mapped: a fallback never stands in for an alias that is broken. Those of roles are none of each
        // other's.
        let is_mapped = |step: &Step| ["active", "unusable"].contains(&step.outcome);
        if asking.steps.iter().any(is_mapped) && !(of_roles && asked != label) {
            break;
        }
    }
    // Several act for several roles, and none for whoever does not say which.
    let active = acting.pop().filter(|_| acting.is_empty());
    Ok(Explanation {
        help: catalogue::find(&label).map(|found| found.spec.help.clone()),
        realm: realm.cloned(),
        uses: profile.uses.iter().map(|one| one.name()).collect(),
        algorithms: profile.rows().into_iter().map(|row| row.name).collect(),
        label,
        steps: asking.steps,
        active,
    })
}

/// The question, and the answers so far.
struct Asking<'a> {
    realm: Option<&'a Realm>,
    only_realm: bool,
    steps: Vec<Step>,
    active: Option<Alias>,
}

impl Asking<'_> {
    fn ask(&mut self, entry: &StoreEntry, store: Option<&dyn SecretStore>, label: &LabelName) {
        let of_realm =
            self.steps.iter().any(|step| step.realm.is_some() && step.outcome == "active");
        let plain = |outcome, detail: &str| (outcome, detail.to_owned(), None);
        let (outcome, detail, without_files) =
            if entry.realm.is_some() && entry.realm.as_ref() != self.realm {
                plain("skipped", "it belongs to another realm")
            } else if entry.realm.is_none() && of_realm && self.only_realm {
                plain("skipped", "valid = \"realm-only\": the realm's list alone counts")
            } else if let Some(store) = store {
                self.look(entry, store, label)
            } else {
                plain("skipped", "it could not be opened: `claviger check` says why")
            };
        self.steps.push(Step {
            label: label.clone(),
            store: entry.name.value.to_string(),
            realm: entry.realm.clone(),
            outcome,
            detail,
            without_files,
        });
    }

    fn look(
        &mut self,
        entry: &StoreEntry,
        store: &dyn SecretStore,
        label: &LabelName,
    ) -> (&'static str, String, Option<String>) {
        let mapping =
            entry.mappings.iter().find(|one| catalogue::canonical(&one.label.value) == *label);
        let aliases: Vec<Alias> = mapping
            .map(|one| one.aliases.iter().map(|alias| alias.alias.value.clone()).collect())
            .unwrap_or_default();
        let loaded = store.load(label, &aliases);
        let Some((first, state)) = loaded.first() else {
            let (detail, without_files) = absence(entry, label);
            return ("not here", detail, without_files);
        };
        let outcome = match (state, &self.active) {
            (Err(_), None) => "unusable",
            (_, Some(_)) => "valid",
            (Ok(_), None) => {
                self.active = Some(first.clone());
                "active"
            }
        };
        let found = |why: fn(&Error) -> String| -> String {
            let one = |(alias, result): &(Alias, Result<Loaded>)| match result {
                Ok(loaded) => format!("\"{alias}\" ({})", loaded.key.kind()),
                Err(error) => format!("\"{alias}\" unusable: {}", why(error)),
            };
            loaded.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let without_files = found(|error| match error.file() {
            Some(_) => error.kind().code().to_owned(),
            None => error.message().to_owned(),
        });
        (outcome, found(|error| error.message().to_owned()), Some(without_files))
    }
}

/// Why a store has nothing for a label.
fn absence(entry: &StoreEntry, label: &LabelName) -> (String, Option<String>) {
    match &entry.options {
        StoreConfig::Environment(_) => {
            (format!("the variable {} is not set", variable_of(label)), None)
        }
        StoreConfig::Keystore(_) => ("no mapping for it".into(), None),
        StoreConfig::Volume(options) => {
            let text = format!("no file {label}{}", options.extension);
            (format!("{text} in {}", options.directory.display()), Some(text))
        }
    }
}
