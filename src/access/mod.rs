//! Who may do what to which labels: callers, rights and grants; default deny.
//!
//! Nothing here knows HTTP. The configuration builds an [`Access`], a snapshot carries it, and the service asks it
//! before it looks at anything else. What is asked on each request is indexed once, when the configuration is read.

mod api_key;
mod caller;
mod effective;
mod index;
mod pattern;
mod right;

pub use crate::crypto::DistinguishedName;
pub use api_key::ApiKey;
pub use caller::{Caller, CertificateName, Credential, KeySetUrl, TokenKeys, TokenRule};
pub use effective::{EffectiveRights, LabelRights, RealmRights};
pub use pattern::Pattern;
pub use right::{Right, Scope};

use crate::label::{CallerName, LabelName, Realm};
use index::Index;

/// What grants call the root realm, where no realm is named.
pub const ROOT_REALM: &str = "/";

/// Gives callers rights to labels in realms.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct Grant {
    /// Who.
    pub callers: Vec<CallerName>,
    /// May do what.
    pub rights: Vec<Right>,
    /// To which labels; counts for rights to labels only.
    pub labels: Vec<Pattern>,
    /// As which realms see them; [`ROOT_REALM`] for the root realm.
    pub realms: Vec<Pattern>,
}

impl Grant {
    /// Whether it gives a right to any label.
    fn gives_some(&self, right: Right, realm: Option<&Realm>) -> bool {
        let realm = realm.map_or(ROOT_REALM, Realm::as_str);
        self.rights.contains(&right)
            && !self.labels.is_empty()
            && self.realms.iter().any(|pattern| pattern.matches(realm))
    }

    fn gives(&self, right: Right, label: Option<&LabelName>, realm: Option<&Realm>) -> bool {
        let realm = realm.map_or(ROOT_REALM, Realm::as_str);
        let any = |patterns: &[Pattern], name| patterns.iter().any(|one| one.matches(name));
        self.rights.contains(&right)
            && match right.scope() {
                Scope::Label => {
                    label.is_some_and(|label| any(&self.labels, label.as_str()))
                        && any(&self.realms, realm)
                }
                Scope::Realm => any(&self.realms, realm),
                Scope::Service => true,
            }
    }
}

/// All callers and grants of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Access {
    callers: Vec<Caller>,
    grants: Vec<Grant>,
    index: Index,
}

impl Access {
    /// Of these callers and grants.
    #[must_use]
    pub fn new(callers: Vec<Caller>, grants: Vec<Grant>) -> Self {
        let index = Index::new(&callers, &grants);
        Self { callers, grants, index }
    }

    /// The callers, in file order.
    #[must_use]
    pub fn callers(&self) -> &[Caller] {
        &self.callers
    }

    /// The grants, in file order.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// The caller of an API key; compared in constant time.
    #[must_use]
    pub fn by_api_key(&self, key: &str) -> Option<&CallerName> {
        self.index.by_api_key(key).and_then(|at| self.name(at))
    }

    /// The callers of a certificate of which all these are true; more than one if the certificate says so.
    #[must_use]
    pub fn by_certificate(&self, names: &[CertificateName]) -> Vec<&CallerName> {
        let mut found: Vec<usize> =
            names.iter().filter_map(|name| self.index.by_certificate(name)).collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().filter_map(|at| self.name(at)).collect()
    }

    /// The callers whose tokens are of this issuer and subject, each with what else its tokens must say.
    pub fn by_token(
        &self,
        issuer: &str,
        subject: &str,
    ) -> impl Iterator<Item = (&CallerName, &TokenRule)> {
        self.index.by_token(issuer, subject).iter().filter_map(|at| {
            let caller = self.callers.get(*at)?;
            let Credential::Token(rule) = &caller.credential else { return None };
            Some((&caller.name, rule))
        })
    }

    /// The caller that everybody is who shows no credential.
    #[must_use]
    pub fn anonymous(&self) -> Option<&CallerName> {
        self.index.anonymous().and_then(|at| self.name(at))
    }

    /// Whether `caller` may. A right to labels without a label is never given.
    #[must_use]
    pub fn allows(
        &self,
        caller: &CallerName,
        right: Right,
        label: Option<&LabelName>,
        realm: Option<&Realm>,
    ) -> bool {
        self.grants_of(caller).any(|grant| grant.gives(right, label, realm))
    }

    /// Whether `caller` has a right to any label at all in this realm.
    #[must_use]
    pub fn allows_some(&self, caller: &CallerName, right: Right, realm: Option<&Realm>) -> bool {
        self.grants_of(caller).any(|grant| grant.gives_some(right, realm))
    }

    /// The grants of a caller, in file order.
    pub fn grants_of(&self, caller: &CallerName) -> impl Iterator<Item = &Grant> {
        self.index.grants_of(caller).iter().filter_map(|at| self.grants.get(*at))
    }

    fn name(&self, at: usize) -> Option<&CallerName> {
        self.callers.get(at).map(|caller| &caller.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_allowed_but_what_is_granted() {
        let portal: CallerName = "portal".parse().unwrap();
        let grant = Grant {
            callers: vec![portal.clone()],
            rights: vec![Right::Sign, Right::SessionOpen],
            labels: vec!["app.*".parse().unwrap()],
            realms: vec!["alpha".parse().unwrap()],
        };
        let access = Access::new(Vec::new(), vec![grant]);
        let (label, alpha): (LabelName, Realm) =
            ("app.seal".parse().unwrap(), "alpha".parse().unwrap());
        assert!(access.allows(&portal, Right::Sign, Some(&label), Some(&alpha)));
        assert!(access.allows(&portal, Right::SessionOpen, None, Some(&alpha)));
        for (right, label, realm) in [
            (Right::Sign, Some(&label), None),
            (Right::Sign, None, Some(&alpha)),
            (Right::Verify, Some(&label), Some(&alpha)),
            (Right::SessionOpen, None, None),
        ] {
            assert!(!access.allows(&portal, right, label, realm), "{right}");
        }
        assert!(!access.allows(&"other".parse().unwrap(), Right::Sign, Some(&label), Some(&alpha)));
        assert!(!Access::default().allows(&portal, Right::Sign, Some(&label), Some(&alpha)));
    }
}
