//! What is checked of a label whose store has no mappings: its files or variables are the labels.

use crate::catalogue::{self, LabelScope};
use crate::config::{Config, StoreEntry};
use crate::label::LabelName;
use crate::problem::Problem;

/// Every finding about `label` as `entry` holds it. `used`: a store takes its password from it.
pub(crate) fn check(
    config: &Config,
    entry: &StoreEntry,
    label: &LabelName,
    used: bool,
) -> Vec<Problem> {
    let mut found = Vec::new();
    let about = |text: String| format!("store \"{}\": label \"{label}\" {text}", entry.name.value);
    let Some(row) = catalogue::find(label) else {
        if !used && !config.labels.contains_key(label) {
            let text =
                about("is not in the catalogue, not declared, and no store asks for it".into());
            let help = catalogue::nearest(label.as_str()).map_or_else(
                || format!("declare it: [labels.\"{label}\"] with its use, or take it out"),
                |near| format!("did you mean \"{near}\"?"),
            );
            found.push(Problem::warning("unknown_label", text).with_help(help));
        }
        return found;
    };
    if row.spec.scope == LabelScope::GlobalOnly && entry.realm.is_some() {
        let text = about("is global; a realm never asks for it".into());
        found.push(
            Problem::error("label_scope", text).with_help("put it into a store without `realm`"),
        );
    }
    if row.spec.deprecated {
        let help = format!("use {} instead", row.spec.replaced_by.join(", "));
        found.push(
            Problem::warning("deprecated_label", about("is deprecated".into())).with_help(help),
        );
    }
    found
}
