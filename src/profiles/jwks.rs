//! The key sets that a server publishes, as Ping AM does: one of the provider and one of the relying party, for
//! each realm.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::catalogue;
use crate::jose::jwks::{Extent, document};
use crate::keyring::{Keyring, Snapshot};
use crate::label::{LabelName, Realm};

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

/// A key set that follows reloads: rendered once a snapshot, then only handed out.
#[derive(Clone)]
pub struct JwksHandle(Arc<Inner>);

struct Inner {
    keyring: Keyring,
    realm: Option<Realm>,
    party: Party,
    last: ArcSwapOption<Jwks>,
}

impl Keyring {
    /// The key set that `party` publishes in `realm`; `None`: the global one.
    #[must_use]
    pub fn jwks(&self, realm: Option<&Realm>, party: Party) -> JwksHandle {
        let (keyring, realm) = (self.clone(), realm.cloned());
        JwksHandle(Arc::new(Inner { keyring, realm, party, last: ArcSwapOption::empty() }))
    }
}

impl JwksHandle {
    /// The document of this moment.
    #[must_use]
    pub fn document(&self) -> Arc<Jwks> {
        let Inner { keyring, realm, party, last } = &*self.0;
        let snapshot = keyring.load();
        let made = last.load();
        if let Some(made) = made.as_ref().filter(|made| made.generation == snapshot.generation()) {
            return Arc::clone(made);
        }
        let fresh = Arc::new(render(keyring, &snapshot, realm.as_ref(), *party));
        last.store(Some(Arc::clone(&fresh)));
        fresh
    }
}

impl fmt::Debug for JwksHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksHandle")
            .field("realm", &self.0.realm)
            .field("party", &self.0.party)
            .finish_non_exhaustive()
    }
}

fn render(keyring: &Keyring, snapshot: &Snapshot, realm: Option<&Realm>, party: Party) -> Jwks {
    let labels = party.labels(snapshot, realm);
    let sets = labels.iter().filter_map(|label| snapshot.find(realm, label));
    let alg = keyring.config().policy.jwks_alg;
    let json = document(sets.map(|set| &**set), Extent::Published, alg).to_string();
    let digest = crate::crypto::sha256(json.as_bytes());
    let hex = |byte: &u8| format!("{byte:02x}");
    let etag = digest.iter().take(16).map(hex).collect::<String>();
    Jwks { json, etag: format!("\"{etag}\""), generation: snapshot.generation() }
}
