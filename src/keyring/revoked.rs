//! Revoked keys are left out of every label, whatever the configuration or an old file says.
//!
//! One of them does not stop the others: at run time the key is left out with a warning, and the next alias
//! acts; `check` calls it an error.

use crate::clock::rfc3339;
use crate::config::Config;
use crate::journal::tombstones::{Tombstone, Tombstones};
use crate::label::{Alias, LabelName, Realm};
use crate::problem::Problem;

/// The code of the finding.
pub(super) const REVOKED_KEY: &str = "revoked_key";

/// The tombstones of a configuration; what is wrong with them becomes problems. Tombstones that cannot be
/// read stop the load: a revoked key might act.
pub(super) fn load(config: &Config, problems: &mut Vec<Problem>) -> Tombstones {
    let Some(state_dir) = &config.keyring.state_dir else { return Tombstones::default() };
    let tombstones = match Tombstones::load(state_dir) {
        Ok(tombstones) => tombstones,
        Err(error) => {
            let place = error.file().unwrap_or(state_dir).display();
            let text = format!("{place}: {}", error.message());
            let problem = Problem::error("state_unreadable", text);
            problems.push(match error.help() {
                Some(help) => problem.with_help(help),
                None => problem,
            });
            return Tombstones::default();
        }
    };
    problems.extend(tombstones.findings.iter().map(|finding| {
        Problem::warning("state_altered", format!("{}: {finding}", state_dir.display())).with_help(
            "`claviger history --verify` shows where; compare with a backup of the state directory",
        )
    }));
    tombstones
}

pub(super) fn problem(
    (label, realm): (&LabelName, Option<&Realm>),
    alias: &Alias,
    stone: &Tombstone,
) -> Problem {
    let text = format!(
        "label \"{label}\": the key of alias \"{alias}\" was revoked on {} and is left out",
        rfc3339(stone.revoked_at)
    );
    let realm = realm.map_or_else(String::new, |realm| format!(" --realm {realm}"));
    let help = format!(
        "take it out: claviger retire {label} \"{alias}\"{realm}; make a new key in its place"
    );
    Problem::warning(REVOKED_KEY, text).with_help(help)
}
