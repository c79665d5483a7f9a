//! What a caller may do in effect: its grants together, for each label that there is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::access::{Access, Grant, Pattern, Right, Scope};
use crate::label::{CallerName, LabelName};

/// Everything that a caller may do.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EffectiveRights {
    /// Rights to labels, in order of the labels.
    pub labels: Vec<LabelRights>,
    /// Rights to realms as a whole.
    pub realms: Vec<RealmRights>,
    /// Rights to the service.
    pub service: Vec<&'static str>,
    /// Patterns of its grants that no label is.
    pub without_label: Vec<String>,
}

/// What may be done with a label.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LabelRights {
    /// The label.
    pub label: LabelName,
    /// As which realms see it: `/`, realms, or beginnings of realms.
    pub realms: Vec<String>,
    /// The rights, in the same realms.
    pub rights: Vec<&'static str>,
}

/// What may be done in a realm.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RealmRights {
    /// `/`, realms, or beginnings of realms.
    pub realms: Vec<String>,
    /// The rights, in the same realms.
    pub rights: Vec<&'static str>,
}

impl Access {
    /// What a caller may do with `labels`, those that there are. Where a realm is asked for (`/` the root realm),
    /// what it may do there.
    #[must_use]
    pub fn effective(
        &self,
        caller: &CallerName,
        labels: &BTreeSet<LabelName>,
        realm: Option<&str>,
    ) -> EffectiveRights {
        let grants: Vec<&Grant> = self.grants_of(caller).collect();
        let of_label = |label: &LabelName| {
            let for_it =
                |grant: &&&Grant| grant.labels.iter().any(|one| one.matches(label.as_str()));
            let grants = grants.iter().filter(for_it).copied();
            grouped(grants, Scope::Label, realm)
                .into_iter()
                .map(|(realms, rights)| LabelRights { label: label.clone(), realms, rights })
                .collect::<Vec<_>>()
        };
        let patterns = grants.iter().flat_map(|grant| &grant.labels);
        let unmet = |pattern: &&Pattern| !labels.iter().any(|one| pattern.matches(one.as_str()));
        let without_label: BTreeSet<String> =
            patterns.filter(unmet).map(ToString::to_string).collect();
        let all = grants.iter().flat_map(|grant| &grant.rights).copied();
        let service: BTreeSet<Right> = all.filter(|one| one.scope() == Scope::Service).collect();
        EffectiveRights {
            labels: labels.iter().flat_map(of_label).collect(),
            realms: grouped(grants.iter().copied(), Scope::Realm, realm)
                .into_iter()
                .map(|(realms, rights)| RealmRights { realms, rights })
                .collect(),
            service: service.into_iter().map(Right::name).collect(),
            without_label: without_label.into_iter().collect(),
        }
    }
}

/// The rights of one scope, those that hold in the same realms together.
fn grouped<'g>(
    grants: impl Iterator<Item = &'g Grant>,
    scope: Scope,
    asked: Option<&str>,
) -> Vec<(Vec<String>, Vec<&'static str>)> {
    let mut realms_of: BTreeMap<Right, Vec<&Pattern>> = BTreeMap::new();
    for grant in grants {
        let realms = grant.realms.iter().filter(|one| asked.is_none_or(|realm| one.matches(realm)));
        let realms: Vec<&Pattern> = realms.collect();
        for right in grant.rights.iter().filter(|right| right.scope() == scope) {
            realms_of.entry(*right).or_default().extend(&realms);
        }
    }
    let mut groups: BTreeMap<Vec<String>, Vec<&'static str>> = BTreeMap::new();
    for (right, realms) in realms_of {
        // What a wider pattern says already is not said again.
        let wider = |one: &&Pattern| {
            realms.iter().any(|other| *other != *one && other.is_open() && other.covers(one))
        };
        let widest: BTreeSet<String> =
            realms.iter().filter(|one| !wider(one)).map(ToString::to_string).collect();
        if !widest.is_empty() {
            groups.entry(widest.into_iter().collect()).or_default().push(right.name());
        }
    }
    groups.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(rights: &[Right], labels: &[&str], realms: &[&str]) -> Grant {
        let patterns = |all: &[&str]| all.iter().map(|one| one.parse().unwrap()).collect();
        Grant {
            callers: vec!["portal".parse().unwrap()],
            rights: rights.to_vec(),
            labels: patterns(labels),
            realms: patterns(realms),
        }
    }

    #[test]
    fn grants_add_up_and_wider_ones_swallow_narrower_ones() {
        let grants = vec![
            grant(&[Right::Sign, Right::Verify], &["app.*"], &["/", "alpha"]),
            grant(&[Right::Verify, Right::Keys], &["app.seal", "old.*"], &["*"]),
            grant(&[Right::Reload], &[], &["/"]),
        ];
        let access = Access::new(Vec::new(), grants);
        let labels = ["app.other", "app.seal", "x.y"].map(|one| one.parse().unwrap()).into();
        let portal = "portal".parse().unwrap();
        let found = access.effective(&portal, &labels, None);
        let row = |label: &str, realms: &[&str], rights: &[&'static str]| LabelRights {
            label: label.parse().unwrap(),
            realms: realms.iter().map(ToString::to_string).collect(),
            rights: rights.to_vec(),
        };
        let expected = [
            row("app.other", &["/", "alpha"], &["sign", "verify"]),
            row("app.seal", &["*"], &["verify"]),
            row("app.seal", &["/", "alpha"], &["sign"]),
        ];
        assert_eq!(found.labels, expected);
        assert_eq!(found.realms, [RealmRights { realms: vec!["*".into()], rights: vec!["keys"] }]);
        assert_eq!(found.service, ["reload"]);
        assert_eq!(found.without_label, ["old.*"]);
        let beta = access.effective(&portal, &labels, Some("beta"));
        assert_eq!(beta.labels, [row("app.seal", &["*"], &["verify"])]);
        // It says what `allows` does.
        for right in Right::ALL {
            for label in &labels {
                for realm in [None, Some("alpha"), Some("beta")] {
                    let shown = access.effective(&portal, &labels, Some(realm.unwrap_or("/")));
                    let told = match right.scope() {
                        Scope::Label => shown
                            .labels
                            .iter()
                            .any(|one| one.label == *label && one.rights.contains(&right.name())),
                        Scope::Realm => {
                            shown.realms.iter().any(|one| one.rights.contains(&right.name()))
                        }
                        Scope::Service => shown.service.contains(&right.name()),
                    };
                    let realm = realm.map(|realm| realm.parse().unwrap());
                    let allowed = access.allows(&portal, *right, Some(label), realm.as_ref());
                    assert_eq!(told, allowed, "{right} {label} {realm:?}");
                }
            }
        }
    }
}
