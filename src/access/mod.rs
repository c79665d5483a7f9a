//! Who may do what to which labels: callers, rights and grants; default deny.
//!
//! Nothing here knows HTTP. The configuration builds an [`Access`], a snapshot carries it, and the service asks it
//! before it looks at anything else.

mod caller;
mod pattern;
mod right;

pub use caller::{Caller, Credential};
pub use pattern::Pattern;
pub use right::{Right, Scope};

use crate::crypto::sha256;
use crate::label::{CallerName, LabelName, Realm};
use crate::secret::SecretBytes;

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
}

impl Access {
    /// Of these callers and grants.
    #[must_use]
    pub const fn new(callers: Vec<Caller>, grants: Vec<Grant>) -> Self {
        Self { callers, grants }
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
        let shown = SecretBytes::from_slice(&sha256(key.as_bytes()));
        let is_it = |caller: &&Caller| match &caller.credential {
            Credential::ApiKey(hash) => shown.ct_eq(hash),
            Credential::Anonymous => false,
        };
        self.callers.iter().find(is_it).map(|caller| &caller.name)
    }

    /// The caller that everybody is who shows no credential.
    #[must_use]
    pub fn anonymous(&self) -> Option<&CallerName> {
        let is_it = |caller: &&Caller| caller.credential == Credential::Anonymous;
        self.callers.iter().find(is_it).map(|caller| &caller.name)
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
        let mut grants = self.grants.iter().filter(|grant| grant.callers.contains(caller));
        grants.any(|grant| grant.gives(right, label, realm))
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
