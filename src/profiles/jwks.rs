//! The key sets that a server publishes, as Ping AM does: one of the provider and one of the relying party, for
//! each realm; and those of single labels.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::catalogue;
use crate::jose::jwks::{Extent, document};
use crate::keyring::{Keyring, Snapshot};
use crate::label::{LabelName, Realm};
use crate::ops::KeySet;

/// Whose keys are published.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "Ping AM publishes these two; both together is everything"
)]
pub enum Party {
    /// Every label that publishes something.
    All,
    /// The authorization server: `…/connect/jwk_uri`. All but the labels of the relying party.
    Provider,
    /// The client of another provider: `…/connect/rp/jwk_uri`. The labels of the section `oidc-rp`.
    RelyingParty,
}

impl Party {
    /// Whether the label belongs to it.
    #[must_use]
    pub fn has(self, label: &LabelName) -> bool {
        let of_rp = || catalogue::find(label).is_some_and(|found| found.spec.section == "oidc-rp");
        match self {
            Self::All => true,
            Self::Provider => !of_rp(),
            Self::RelyingParty => of_rp(),
        }
    }

    /// The labels that it publishes as `realm` sees them (its own mappings, and global ones), in order of name.
    #[must_use]
    pub fn labels(self, snapshot: &Snapshot, realm: Option<&Realm>) -> Vec<LabelName> {
        let mut names: Vec<&LabelName> =
            snapshot.labels().into_keys().map(|(label, _)| label).collect();
        names.dedup();
        let shows = |label: &LabelName| {
            snapshot.find(realm, label).is_some_and(|set| !set.published().is_empty())
        };
        names.into_iter().filter(|label| self.has(label) && shows(label)).cloned().collect()
    }
}

/// Whose keys a key set shows.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "one label, or those of a party")]
pub enum Whose {
    /// What one label publishes; nothing once no key stands behind it.
    Label(LabelName),
    /// Every label of a party.
    Party(Party),
}

impl From<LabelName> for Whose {
    fn from(label: LabelName) -> Self {
        Self::Label(label)
    }
}

impl From<Party> for Whose {
    fn from(party: Party) -> Self {
        Self::Party(party)
    }
}

impl Whose {
    /// The labels, as [`Party::labels`] has them.
    pub(crate) fn labels(&self, snapshot: &Snapshot, realm: Option<&Realm>) -> Vec<LabelName> {
        match self {
            Self::Label(label) => vec![label.clone()],
            Self::Party(party) => party.labels(snapshot, realm),
        }
    }
}

/// A key set, ready to be served as `application/jwk-set+json`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Jwks {
    /// The document.
    pub json: String,
    /// A strong entity tag, with its quotation marks (RFC 9110 §8.8.3).
    pub etag: String,
    /// The snapshot that it is of.
    pub generation: u64,
}

impl Jwks {
    /// One without keys.
    #[cfg(feature = "service")]
    pub(crate) fn empty(snapshot: &Snapshot) -> Self {
        Self::of(std::iter::empty(), snapshot)
    }

    fn of<'s>(sets: impl Iterator<Item = &'s KeySet>, snapshot: &Snapshot) -> Self {
        let alg = snapshot.config().policy.jwks_alg;
        let json = document(sets, Extent::Published, alg).to_string();
        let digest = crate::crypto::sha256(json.as_bytes());
        let (half, _) = digest.split_at(16);
        Self { json, etag: format!("\"{}\"", hex::encode(half)), generation: snapshot.generation() }
    }
}

/// A key set that follows reloads: rendered once a snapshot, then only handed out.
#[derive(Clone)]
pub struct JwksHandle(Arc<Inner>);

struct Inner {
    keyring: Keyring,
    realm: Option<Realm>,
    whose: Whose,
    last: ArcSwapOption<Jwks>,
}

impl Keyring {
    /// The key set that a party or a label publishes in `realm`; `None`: the global one.
    #[must_use]
    pub fn jwks(&self, realm: Option<&Realm>, whose: impl Into<Whose>) -> JwksHandle {
        let (keyring, realm, whose) = (self.clone(), realm.cloned(), whose.into());
        JwksHandle(Arc::new(Inner { keyring, realm, whose, last: ArcSwapOption::empty() }))
    }
}

impl JwksHandle {
    /// The document of this moment.
    #[must_use]
    pub fn document(&self) -> Arc<Jwks> {
        self.of(&self.0.keyring.load())
    }

    /// That of a snapshot.
    pub(crate) fn of(&self, snapshot: &Snapshot) -> Arc<Jwks> {
        let Inner { realm, whose, last, .. } = &*self.0;
        let made = last.load();
        if let Some(made) = made.as_ref().filter(|made| made.generation == snapshot.generation()) {
            return Arc::clone(made);
        }
        let fresh = Arc::new(render(snapshot, realm.as_ref(), whose));
        last.store(Some(Arc::clone(&fresh)));
        fresh
    }
}

impl fmt::Debug for JwksHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksHandle")
            .field("realm", &self.0.realm)
            .field("whose", &self.0.whose)
            .finish_non_exhaustive()
    }
}

fn render(snapshot: &Snapshot, realm: Option<&Realm>, whose: &Whose) -> Jwks {
    let labels = whose.labels(snapshot, realm);
    let sets = labels.iter().filter_map(|label| snapshot.find_along(realm, label));
    Jwks::of(sets.map(|set| &**set), snapshot)
}
