//! The key sets that somebody asked for, kept for who asks next.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::call::Call;
use crate::label::Realm;
use crate::profiles::jwks::Whose;
use crate::published::{PublishedKeys, PublishedSet};

/// How many are kept. Names of labels with an identifier are without end, since they fall back to others.
const MAX_KEPT: usize = 1_000;

/// By what they show, and the realm that sees it.
#[derive(Debug, Default)]
pub(crate) struct KeySets(Mutex<HashMap<(Whose, Option<Realm>), PublishedKeys>>);

impl KeySets {
    /// The key set as the realm of a call sees it, in the snapshot of the call.
    pub(crate) fn get(&self, call: &Call<'_>, whose: Whose) -> PublishedSet {
        self.find(call, whose).of(&call.keyring)
    }

    fn find(&self, call: &Call<'_>, whose: Whose) -> PublishedKeys {
        let realm = call.snapshot.with_stores(call.asked.realm.as_ref());
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (whose, realm.cloned());
        if let Some(found) = kept.get(&name) {
            return found.clone();
        }
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        let keyring = &call.service.0.keyring;
        let fresh = keyring.published(realm, name.0.clone());
        kept.insert(name, fresh.clone());
        fresh
    }
}
