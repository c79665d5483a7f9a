//! Who asks for a step, and how far it may reach: whoever is at this machine may what its files allow, anybody else what
//! was granted.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::Rotation;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{MappedKey, MappingChange, MappingName};
use crate::keyring::{Keyring, Snapshot};

/// Who asks for a step.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Origin {
    /// Somebody elsewhere. It reaches the mappings for which this is true: those that it changes, and those behind which
    /// a key stands or stood that it brings along. It names no file of this machine, and where it names no realm it
    /// means the global scope.
    Elsewhere(Arc<dyn Fn(&MappingName) -> bool + Send + Sync>),
    /// Somebody at this machine.
    #[default]
    Here,
}

impl Origin {
    pub(super) const fn is_here(&self) -> bool {
        matches!(self, Self::Here)
    }

    pub(super) fn reaches(&self, name: &MappingName) -> bool {
        match self {
            Self::Elsewhere(reaches) => reaches(name),
            Self::Here => true,
        }
    }

    /// # Errors
    /// [`ErrorKind::NotGranted`], which does not say which mapping it is.
    pub(super) fn require(&self, name: &MappingName) -> Result<()> {
        if self.reaches(name) {
            return Ok(());
        }
        let text =
            "the step reaches other labels or realms, for which the caller has no such right";
        Err(Error::new(ErrorKind::NotGranted, text).with_help(
            "its key stands or stood behind them too; whoever has the right to all of them can take it",
        ))
    }

    /// Refuses changes that reach too far.
    ///
    /// # Errors
    /// As [`Origin::require`].
    pub(super) fn require_all(
        &self,
        rotation: &Rotation,
        changes: &[MappingChange],
        after: &Keyring,
    ) -> Result<()> {
        if self.is_here() {
            return Ok(());
        }
        let after = after.snapshot();
        for change in changes {
            self.require(&change.mapping)?;
            let is_new = |key: &&MappedKey| !change.before.iter().any(|one| one.is(key));
            let entering = change.after.iter().filter(is_new);
            for thumbprint in entering.filter_map(|key| thumbprint(&after, &change.mapping, key)) {
                let places = places(rotation, &thumbprint);
                // It comes back to where it stood.
                if !places.contains(&change.mapping) {
                    places.iter().try_for_each(|place| self.require(place))?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_here() { "Here" } else { "Elsewhere" })
    }
}

/// Of the key itself: what is recorded of passwords has none.
fn thumbprint(snapshot: &Snapshot, name: &MappingName, key: &MappedKey) -> Option<String> {
    let set = snapshot.find(name.realm.as_ref(), &name.label)?;
    let is_it = |one: &&Arc<_>| is_at(one, name) && one.alias == key.alias;
    set.keys().iter().find(is_it).map(|one| one.key.thumbprint().to_owned())
}

fn is_at(key: &crate::keyring::keyset::LabelKey, name: &MappingName) -> bool {
    key.store == name.store && key.realm == name.realm
}

/// Every mapping behind which a key stands, or stood as far as the journal goes.
fn places(rotation: &Rotation, thumbprint: &str) -> BTreeSet<MappingName> {
    let snapshot = rotation.keyring.snapshot();
    let stand = snapshot.labels().into_iter().flat_map(|((label, _), set)| {
        let keys = set.keys().iter().filter(|key| key.key.thumbprint() == thumbprint);
        keys.map(|key| {
            let (label, store) = (label.clone(), key.store.clone());
            MappingName { label, realm: key.realm.clone(), store }
        })
    });
    let is_it = |key: &MappedKey| key.thumbprint.as_deref() == Some(thumbprint);
    let records = rotation.history.records.iter().filter(|record| record.took_effect());
    let changes = records.flat_map(|record| &record.changes);
    let stood = changes.filter(|change| change.before.iter().chain(&change.after).any(is_it));
    stand.chain(stood.map(|change| change.mapping.clone())).collect()
}
