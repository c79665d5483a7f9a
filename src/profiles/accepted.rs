//! A token that a profile accepts: its claims, when it ends, and which keys made it.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::claims::{Claims, Head};
use super::parts::Unsealed;
use super::{Times, Typ};
use crate::ops::LabelKey;

/// A token of a profile that was opened and holds. Its texts are wiped when it goes.
#[must_use]
pub struct Accepted {
    typ: Typ,
    head: Head,
    claims: Claims,
    verified_by: Option<Arc<LabelKey>>,
    decrypted_by: Option<Arc<LabelKey>>,
}

impl Accepted {
    pub(super) fn new(typ: Typ, head: Head, claims: Claims, unsealed: Unsealed) -> Self {
        let Unsealed { verified_by, decrypted_by, .. } = unsealed;
        Self { typ, head, claims, verified_by, decrypted_by }
    }

    /// What its `typ` had to be.
    #[must_use]
    pub const fn typ(&self) -> Typ {
        self.typ
    }

    pub(super) const fn head(&self) -> &Head {
        &self.head
    }

    /// `jti`: what a denylist names. Absent of tokens that never end.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.head.id.as_deref()
    }

    /// When it was made, ends and was used. Absent of tokens that never end.
    #[must_use]
    pub const fn times(&self) -> Option<&Times> {
        self.head.times.as_ref()
    }

    /// The realm that it was made in; `None`: the global scope.
    #[must_use]
    pub fn realm(&self) -> Option<&str> {
        self.head.realm.as_deref()
    }

    /// The claims of the caller.
    #[must_use]
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims.0
    }

    pub(super) fn has_claim(&self, name: &str) -> bool {
        self.claims.0.contains_key(name)
    }

    /// The claims of the caller, to keep.
    #[must_use]
    pub fn into_claims(mut self) -> Map<String, Value> {
        std::mem::take(&mut self.claims.0)
    }

    /// The key that verified it, if it is signed.
    #[must_use]
    pub const fn verified_by(&self) -> Option<&Arc<LabelKey>> {
        self.verified_by.as_ref()
    }

    /// The key that decrypted it, if it is encrypted.
    #[must_use]
    pub const fn decrypted_by(&self) -> Option<&Arc<LabelKey>> {
        self.decrypted_by.as_ref()
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("head", &self.head)
            .field("verified_by", &self.verified_by)
            .field("decrypted_by", &self.decrypted_by)
            .finish_non_exhaustive()
    }
}
