//! Rules between the parts of a configuration that need no store: labels, scopes, algorithms.

use std::collections::{BTreeSet, HashMap};

use crate::alg::{Algorithm, Family, Operation};
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
        let declared = config.labels.get(label).and_then(|settings| settings.value.uses.as_ref());
        if let (Some(rows), Some(uses)) = (&mapping.algorithms, declared) {
            check_rows(source, label, rows, &uses.value);
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
        check_rows(source, label, rows, &spec.uses);
    }
}

fn check_label(source: &Source<'_>, label: &LabelName, settings: &Placed<LabelSettings>) {
    let inner = &settings.value;
    let span = settings.location.span.clone();
    let found = catalogue::find(label);
    let uses: &[LabelUse] = match (&found, &inner.uses) {
        (Some(found), Some(uses)) => {
            let text = format!("label \"{label}\" is of the catalogue: its use is fixed");
            let span = uses.location.span.clone();
            source.error_with("use_not_allowed", text, "take `use` out", span);
            &found.spec.uses
        }
        (Some(found), None) => &found.spec.uses,
        (None, None) => {
            let text = format!("[labels.\"{label}\"] needs `use`");
            let help = catalogue::nearest(label.as_str()).map_or_else(
                || "add use = \"sign\", \"encrypt\", \"mac\", \"secret\", \"mtls\" or \"trust\"".to_owned(),
                |near| format!("did you mean \"{near}\"? A label of your own needs use = \"sign\" or another"),
            );
            source.error_with("missing_key", text, help, span);
            return;
        }
        (None, Some(uses)) => {
            check_uses(source, label, uses);
            &uses.value
        }
    };
    let acts =
        uses.iter().any(|one| !matches!(one, LabelUse::Secret | LabelUse::Mtls | LabelUse::Trust));
    match &inner.algorithms {
        Some(rows) => check_rows(source, label, rows, uses),
        None if found.is_none() && acts => {
            let text = format!("[labels.\"{label}\"] needs `algorithms`");
            let help = "add algorithms = [\"ES256\"], or what this label is to use";
            source.error_with("missing_key", text, help, span);
        }
        None => {}
    }
}

/// A label is for one thing: a key that signs does not decrypt (NIST SP 800-57 part 1 §5.2).
fn check_uses(source: &Source<'_>, label: &LabelName, uses: &Placed<Vec<LabelUse>>) {
    let family = |one: &LabelUse| match one {
        LabelUse::Decrypt | LabelUse::Encrypt => "encrypt",
        LabelUse::Sign | LabelUse::Verify => "sign",
        other => other.name(),
    };
    let families: BTreeSet<&str> = uses.value.iter().map(family).collect();
    if families.len() < 2 {
        return;
    }
    let words: Vec<&str> = families.into_iter().collect();
    let text = format!("label \"{label}\" cannot be for {} at once", words.join(" and "));
    let help = "declare one label a use, each with keys of its own";
    source.error_with("uses_conflict", text, help, uses.location.span.clone());
}

/// Each row must belong to a use of the label.
fn check_rows(
    source: &Source<'_>,
    label: &LabelName,
    rows: &[Placed<&'static Algorithm>],
    uses: &[LabelUse],
) {
    for row in rows {
        if uses.is_empty() || uses.iter().any(|one| serves(*one, row.value)) {
            continue;
        }
        let words: Vec<&str> = uses.iter().map(|one| one.name()).collect();
        let text =
            format!("label \"{label}\" is for {}, and {} is not", words.join(" and "), row.value);
        let help = "take the algorithm out, or use another label";
        source.error_with("algorithm_not_for_use", text, help, row.location.span.clone());
    }
}

fn serves(one: LabelUse, row: &Algorithm) -> bool {
    match (one, row.operation) {
        (LabelUse::Sign | LabelUse::Verify, Operation::Sign | Operation::XmlSign) => true,
        // What is called a MAC has no private half.
        (LabelUse::Mac, Operation::Sign) => matches!(row.family, Family::Hmac(_)),
        (LabelUse::Encrypt | LabelUse::Decrypt, operation) => {
            !matches!(operation, Operation::Sign | Operation::XmlSign)
        }
        _ => false,
    }
}
