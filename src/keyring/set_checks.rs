//! What is checked of all labels together: whether a kid names one published key, and whether sessions have their parts.

use std::collections::{BTreeSet, HashMap};

use crate::catalogue;
use crate::config::{Config, SessionLabel};
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::keyring::snapshot::Snapshot;
use crate::label::{LabelName, Realm};
use crate::problem::Problem;

/// Every finding about a snapshot, each once.
pub(crate) fn check(config: &Config, snapshot: &Snapshot) -> Vec<Problem> {
    let mapped = snapshot.labels();
    let names: BTreeSet<&LabelName> = mapped.keys().map(|(label, _)| *label).collect();
    // What is wrong globally is so in every realm.
    let realms: BTreeSet<Option<&Realm>> =
        mapped.keys().map(|(_, realm)| *realm).chain([None]).collect();
    let mut found: Vec<Problem> = Vec::new();
    for realm in realms {
        let sets = || names.iter().filter_map(|label| snapshot.find(realm, label));
        let is_of_rp = |set: &&KeySet| {
            catalogue::find(set.label()).is_some_and(|found| found.spec.section == "oidc-rp")
        };
        let (rp, provider): (Vec<&KeySet>, Vec<&KeySet>) =
            sets().map(|set| &**set).partition(is_of_rp);
        let new = shared_kids(&provider).into_iter().chain(shared_kids(&rp));
        for problem in new.chain(half_sessions(config, snapshot, realm)) {
            if !found.contains(&problem) {
                found.push(problem);
            }
        }
    }
    found
}

/// Kids that name two keys of one document: readers take the first, or none (RFC 7517 §4.5).
fn shared_kids(sets: &[&KeySet]) -> Vec<Problem> {
    let mut first: HashMap<&str, (&KeySet, &LabelKey)> = HashMap::new();
    let mut found = Vec::new();
    for set in sets {
        for key in set.published().iter().filter(|key| key.key.public_parameters().is_some()) {
            let (other_set, other) = *first.entry(&key.kid).or_insert((set, key));
            if other.key.thumbprint() != key.key.thumbprint() {
                let text = format!(
                    "kid \"{}\" names two published keys: alias \"{}\" of label \"{}\" and alias \"{}\" of label \"{}\"",
                    key.kid,
                    other.alias,
                    other_set.label(),
                    key.alias,
                    set.label()
                );
                found.push(Problem::warning("kid_shared", text).with_help(
                    "peers take either of them: give one another kid, { alias = \"…\", kid = \"…\" }",
                ));
            }
        }
    }
    found
}

/// Sessions of which one part alone is mapped: none can be made.
fn half_sessions(config: &Config, snapshot: &Snapshot, realm: Option<&Realm>) -> Option<Problem> {
    let settings = &config.sessions;
    let is_mapped = |one: &&SessionLabel| {
        let found = snapshot.find(realm, &one.label);
        found.or_else(|| snapshot.find_along(realm, &one.label)).is_some()
    };
    let (signing, encryption) = (&settings.signing, &settings.encryption);
    let asked = !signing.is_empty() && !encryption.is_empty();
    let (signs, encrypts) = (signing.iter().any(is_mapped), encryption.iter().any(is_mapped));
    if !asked || signs == encrypts {
        return None;
    }
    let (part, labels, without) = if signs {
        ("encrypts", encryption, "encryption = []")
    } else {
        ("signs", signing, "signing = [] and encryption = [\"AES\"]")
    };
    let names: Vec<&str> = labels.iter().map(|one| one.label.as_str()).collect();
    let text =
        format!("sessions are signed and encrypted, and no label that {part} them is mapped");
    let help = format!("map one of {}, or write {without} under [sessions]", names.join(", "));
    Some(Problem::warning("session_part_unmapped", text).with_help(help))
}
