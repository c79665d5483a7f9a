//! Rules between the parts of a configuration that need no store: labels, scopes, algorithms.

use std::collections::HashMap;

use crate::alg::{Algorithm, Operation};
use crate::catalogue::{self, LabelScope, LabelUse};
use crate::config::reader::Source;
use crate::config::{Config, LabelSettings, Mapping, Placed, StoreEntry};
use crate::label::LabelName;
use crate::problem::{Location, Problem};

pub(super) fn check(source: &Source<'_>, config: &Config) {
    let mut first: HashMap<(LabelName, Option<&str>), &Location> = HashMap::new();
    for store in &config.stores {
        for mapping in &store.mappings {
            let label = catalogue::canonical(&mapping.label.value);
            let scope = store.realm.as_ref().map(crate::label::Realm::as_str);
            if let Some(before) = first.insert((label, scope), &mapping.label.location) {
                twice(source, store, mapping, before);
            }
            check_mapping(source, config, store, mapping);
        }
    }
    for (label, settings) in &config.labels {
        check_label(source, label, settings);
    }
}

fn twice(source: &Source<'_>, store: &StoreEntry, mapping: &Mapping, before: &Location) {
    let scope = store
        .realm
        .as_ref()
        .map_or_else(|| "globally".to_owned(), |realm| format!("in realm \"{realm}\""));
    let text = format!(
        "label \"{}\" is mapped twice {scope}; the first is in line {}",
        mapping.label.value, before.line
    );
    let help = "map it once; to rotate, list several aliases in one mapping";
    source.error_with("duplicate_mapping", text, help, mapping.label.location.span.clone());
}

fn check_mapping(source: &Source<'_>, config: &Config, store: &StoreEntry, mapping: &Mapping) {
    let label = &mapping.label.value;
    let span = mapping.label.location.span.clone();
    let found = catalogue::find(label);
    let Some(found) = found else {
        if !config.labels.contains_key(label) {
            let text = format!("label \"{label}\" is not in the catalogue and not declared");
            let help = catalogue::nearest(label.as_str()).map_or_else(
                || format!("declare it: [labels.\"{label}\"] with use and algorithms"),
                |near| {
                    format!(
                        "did you mean \"{near}\"? For a label of your own add [labels.\"{label}\"]"
                    )
                },
            );
            source.error_with("unknown_label", text, help, span);
        }
        return;
    };
    let spec = found.spec;
    if spec.scope == LabelScope::GlobalOnly && store.realm.is_some() {
        let text = format!("label \"{label}\" is global; a realm never asks for it");
        source.error_with("label_scope", text, "map it in a store without `realm`", span.clone());
    }
    if spec.scope == LabelScope::Realm && store.realm.is_none() {
        let text = format!("label \"{label}\" belongs to one realm, and here every realm sees it");
        let problem = Problem::warning("label_scope", text);
        let help = "meant so? else map it in a store with `realm`";
        source.report(problem.with_help(help), span.clone());
    }
    if spec.deprecated {
        let text = format!("label \"{label}\" is deprecated");
        let help = format!("map {} instead", spec.replaced_by.join(", "));
        source.report(Problem::warning("deprecated_label", text).with_help(help), span.clone());
    }
    if let Some(rows) = &mapping.algorithms {
        let place = Placed { value: (), location: mapping.label.location.clone() };
        check_rows(source, label, rows, &spec.uses, &place);
    }
}

fn check_label(source: &Source<'_>, label: &LabelName, settings: &Placed<LabelSettings>) {
    let inner = &settings.value;
    let span = settings.location.span.clone();
    let found = catalogue::find(label);
    let uses = match (&found, &inner.uses) {
        (Some(_), Some(_)) => {
            let text = format!("label \"{label}\" is of the catalogue: its use is fixed");
            source.error_with("use_not_allowed", text, "take `use` out", span);
            return;
        }
        (Some(found), None) => found.spec.uses.clone(),
        (None, None) => {
            let text = format!("[labels.\"{label}\"] needs `use`");
            let help =
                "add use = \"sign\", \"encrypt\", \"mac\", \"secret\", \"mtls\" or \"trust\"";
            source.error_with("missing_key", text, help, span);
            return;
        }
        (None, Some(uses)) => uses.clone(),
    };
    let acts =
        uses.iter().any(|one| !matches!(one, LabelUse::Secret | LabelUse::Mtls | LabelUse::Trust));
    if found.is_none() && acts && inner.algorithms.is_none() {
        let text = format!("[labels.\"{label}\"] needs `algorithms`");
        let help = "add algorithms = [\"ES256\"], or what this label is to use";
        source.error_with("missing_key", text, help, span);
        return;
    }
    if let Some(rows) = &inner.algorithms {
        let place = Placed { value: (), location: settings.location.clone() };
        check_rows(source, label, rows, &uses, &place);
    }
}

/// Each row must belong to a use of the label.
fn check_rows(
    source: &Source<'_>,
    label: &LabelName,
    rows: &[&'static Algorithm],
    uses: &[LabelUse],
    place: &Placed<()>,
) {
    let signs =
        uses.iter().any(|one| matches!(one, LabelUse::Sign | LabelUse::Verify | LabelUse::Mac));
    let encrypts = uses.iter().any(|one| matches!(one, LabelUse::Encrypt | LabelUse::Decrypt));
    for row in rows {
        let fits = match row.operation {
            Operation::Sign => signs,
            Operation::KeyManagement | Operation::Content => encrypts,
        };
        if fits {
            continue;
        }
        let words: Vec<&str> = uses.iter().map(|one| one.name()).collect();
        let text = format!("label \"{label}\" is for {}, and {row} is not", words.join(" and "));
        let help = "take the algorithm out, or use another label";
        source.error_with("algorithm_not_for_use", text, help, place.location.span.clone());
    }
}
