//! Keeps the public halves of what a keyring maps, so that the past can be answered for: in the state directory,
//! beside every request.

use crate::config::Config;
use crate::error::Result;
use crate::journal::archive::{self, Durability, Seen};
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::keyring::profile::LabelProfile;
use crate::keyring::{Keyring, Snapshot};
use crate::label::LabelName;

impl LabelKey {
    /// The key as the archive knows it.
    pub(crate) fn seen<'k>(&'k self, label: &'k LabelName) -> Seen<'k> {
        Seen { label, alias: &self.alias, kid: &self.kid, key: &self.key }
    }
}

impl Keyring {
    /// Keeps the public half of every key that is mapped now; on disk when it returns.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Io`].
    pub(crate) fn archive(&self) -> Result<()> {
        keep_all(&self.config(), &self.snapshot(), Durability::Now)
    }

    /// These keys as a label has them that nothing maps any more; `None`: nobody says what it is for.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::KeyUnfit`] without keys, or if two have one kid.
    pub(crate) fn unmapped(
        &self,
        label: &LabelName,
        keys: Vec<LabelKey>,
    ) -> Result<Option<KeySet>> {
        let config = self.config();
        let profile = LabelProfile::of(&config, label, None);
        if !profile.acts() {
            return Ok(None);
        }
        let (uses, rows, policy) = (profile.uses.clone(), profile.rows(), profile.policy(&config));
        KeySet::new(label.clone(), uses, keys, rows, policy).map(Some)
    }
}

/// As [`Keyring::archive`], for who only reads: whatever cannot be kept is left for the next step of a rotation.
pub(super) fn keep_soon(config: &Config, snapshot: &Snapshot) {
    let there = config.keyring.state_dir.as_deref().is_some_and(std::path::Path::is_dir);
    if !there {
        return;
    }
    if let Err(error) = keep_all(config, snapshot, Durability::Soon) {
        log::warn!(target: LOG, "public halves of keys are not kept: {error}");
    }
}

fn keep_all(config: &Config, snapshot: &Snapshot, durability: Durability) -> Result<()> {
    let Some(state_dir) = config.keyring.state_dir.as_deref() else { return Ok(()) };
    for ((label, realm), set) in snapshot.labels() {
        // The global ones come with their own set.
        let own = set.keys().iter().filter(|key| key.realm.as_ref() == realm);
        for key in own {
            archive::keep(state_dir, key.seen(label), durability)?;
        }
    }
    Ok(())
}

/// The target of every line that is logged here.
const LOG: &str = "claviger::archive";
