//! A snapshot: everything a request needs, immutable from start to end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::keyring::keyset::KeySet;
use crate::label::{LabelName, Realm};

/// One label in the scopes that hold it.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    pub(crate) global: Option<Arc<KeySet>>,
    pub(crate) realms: HashMap<Realm, Arc<KeySet>>,
}

/// All labels of a configuration, resolved and checked. A request takes one at its start.
#[derive(Debug)]
pub struct Snapshot {
    generation: u64,
    labels: HashMap<LabelName, Scopes>,
    fallbacks: HashMap<LabelName, Vec<LabelName>>,
}

impl Snapshot {
    pub(crate) const fn new(
        generation: u64,
        labels: HashMap<LabelName, Scopes>,
        fallbacks: HashMap<LabelName, Vec<LabelName>>,
    ) -> Self {
        Self { generation, labels, fallbacks }
    }

    /// Counts the snapshots of a keyring, from 1.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// What stands behind a label as `realm` sees it: the realm's keys, else the global ones.
    #[must_use]
    pub fn find(&self, realm: Option<&Realm>, label: &LabelName) -> Option<&Arc<KeySet>> {
        let scopes = self.labels.get(label)?;
        realm.and_then(|realm| scopes.realms.get(realm)).or(scopes.global.as_ref())
    }

    /// As [`Snapshot::find`], then along the fallbacks of the catalogue.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`] if nothing is mapped.
    pub fn keys(&self, realm: Option<&Realm>, label: &LabelName) -> Result<&Arc<KeySet>> {
        let mut found = self.find(realm, label);
        if found.is_none() {
            let fallbacks = self.fallbacks.get(label).map_or(&[][..], Vec::as_slice);
            found = fallbacks.iter().find_map(|fallback| self.find(realm, fallback));
        }
        found.ok_or_else(|| {
            let scope = realm.map_or_else(String::new, |realm| format!(" in realm \"{realm}\""));
            let text = format!("no secret is mapped to label \"{label}\"{scope}");
            Error::new(ErrorKind::UnknownLabel, text)
                .with_help(format!("`claviger explain {label}` shows which stores were asked"))
        })
    }

    /// Every label with its key sets: `None` for the global scope, then the realms, in order of name.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<(&LabelName, Option<&Realm>), &Arc<KeySet>> {
        let mut all = BTreeMap::new();
        for (label, scopes) in &self.labels {
            all.extend(scopes.global.iter().map(|set| ((label, None), set)));
            all.extend(scopes.realms.iter().map(|(realm, set)| ((label, Some(realm)), set)));
        }
        all
    }
}
