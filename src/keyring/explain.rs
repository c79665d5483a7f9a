//! Why a label resolves as it does: every store that was asked, in order.

use std::sync::Arc;

use serde::Serialize;

use crate::catalogue;
use crate::config::{Config, StoreEntry};
use crate::error::Result;
use crate::keyring::load::Loader;
use crate::label::{Alias, LabelName, Realm};
use crate::stores::{StoreConfig, variable_of};

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
    /// Every store, in the order in which it was asked; then the fallbacks.
    pub steps: Vec<Step>,
    /// The alias that acts, if any.
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
    /// `active`, `valid`, `skipped` or `not here`.
    pub outcome: &'static str,
    /// What was found, or why it was skipped.
    pub detail: String,
}

/// Asks every store for a label, realm first, then global, then the fallbacks.
pub(crate) fn explain(
    config: &Arc<Config>,
    label: &LabelName,
    realm: Option<&Realm>,
) -> Result<Explanation> {
    let opened = Loader::new(&config.file)?.open_now(config);
    let label = catalogue::canonical(label);
    let mut explanation = Explanation {
        help: catalogue::find(&label).map(|found| found.spec.help.clone()),
        realm: realm.cloned(),
        label: label.clone(),
        steps: Vec::new(),
        active: None,
    };
    let mut labels = vec![label.clone()];
    labels.extend(catalogue::fallbacks_of(&label));
    for asked in labels {
        for of_realm in [true, false] {
            for (index, entry) in config.stores.iter().enumerate() {
                if entry.realm.is_some() != of_realm {
                    continue;
                }
                let store = opened.stores.iter().find(|(position, _)| *position == index);
                let mut step = Step {
                    label: asked.clone(),
                    store: entry.name.value.to_string(),
                    realm: entry.realm.clone(),
                    outcome: "skipped",
                    detail: String::new(),
                };
                match store {
                    _ if of_realm && entry.realm.as_ref() != realm => {
                        step.detail = "it belongs to another realm".into();
                    }
                    None => {
                        step.detail = "it could not be opened: `claviger check` says why".into()
                    }
                    Some((_, opened)) => {
                        ask(entry, opened.store.as_ref(), &asked, &mut step, &mut explanation)
                    }
                }
                explanation.steps.push(step);
            }
        }
        if explanation.active.is_some() {
            break;
        }
    }
    Ok(explanation)
}

fn ask(
    entry: &StoreEntry,
    store: &dyn crate::stores::SecretStore,
    label: &LabelName,
    step: &mut Step,
    explanation: &mut Explanation,
) {
    let mapping =
        entry.mappings.iter().find(|one| catalogue::canonical(&one.label.value) == *label);
    let aliases: Vec<Alias> = mapping
        .map(|one| one.aliases.iter().map(|alias| alias.alias.value.clone()).collect())
        .unwrap_or_default();
    let loaded = store.load(label, &aliases);
    if loaded.is_empty() {
        step.outcome = "not here";
        step.detail = match &entry.options {
            StoreConfig::Environment(_) => {
                format!("the variable {} is not set", variable_of(label))
            }
            StoreConfig::Keystore(_) => "no mapping for it".into(),
            StoreConfig::Volume(options) => {
                format!("no file {label}{} in {}", options.extension, options.directory.display())
            }
        };
        return;
    }
    let found: Vec<String> = loaded
        .iter()
        .map(|(alias, result)| match result {
            Ok(loaded) => format!("\"{alias}\" ({})", loaded.key.kind()),
            Err(error) => format!("\"{alias}\" unusable: {}", error.message()),
        })
        .collect();
    step.detail = found.join(", ");
    let first = loaded.into_iter().find(|(_, result)| result.is_ok());
    step.outcome = match (first, &explanation.active) {
        (None, _) => "skipped",
        (Some(_), Some(_)) => "valid",
        (Some((alias, _)), None) => {
            explanation.active = Some(alias);
            "active"
        }
    };
}
