//! Keys that were made for a step and are not written yet: a plan reckons with them, and may throw them away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::versions::FileChange;
use crate::error::Result;
use crate::journal::MappingName;
use crate::key_tools::{self, FolderLock};
use crate::label::{Alias, StoreName};
use crate::secret::SecretBytes;

/// What a step brings along.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    keystores: BTreeMap<PathBuf, (SecretBytes, SecretBytes)>,
    values: BTreeMap<MappingName, SecretBytes>,
    aliases: BTreeMap<StoreName, Alias>,
    /// The command that asks for the step, where it is not that of the request.
    pub(super) command: Option<String>,
    /// A mapping that the step begins.
    pub(super) begins: Option<MappingName>,
    /// Nobody else changes the keystores until it is dropped; one for each folder.
    locks: Vec<(PathBuf, FolderLock)>,
}

impl Fresh {
    /// Nothing, but a command of its own.
    pub(super) fn for_command(command: String) -> Self {
        Self { command: Some(command), ..Self::default() }
    }

    /// A keystore with one more key under `alias`.
    pub(super) fn add_keystore(
        &mut self,
        path: &Path,
        (before, after): (SecretBytes, SecretBytes),
    ) {
        self.keystores.insert(path.to_owned(), (before, after));
    }

    /// Holds the folder of a keystore, once: a second lock of the same folder would wait for the first.
    pub(super) fn lock_folder_of(&mut self, path: &Path) -> Result<()> {
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folder = target.parent().unwrap_or(&target).to_owned();
        if !self.locks.iter().any(|(held, _)| *held == folder) {
            self.locks.push((folder, key_tools::lock_folder(path)?));
        }
        Ok(())
    }

    /// What the new key of a store is called.
    pub(super) fn name(&mut self, store: &StoreName, alias: Alias) {
        self.aliases.insert(store.clone(), alias);
    }

    /// A value for a volume.
    pub(super) fn add_value(&mut self, mapping: &MappingName, value: SecretBytes) {
        self.values.insert(mapping.clone(), value);
    }

    /// What the new key of a store is called, if it has one.
    pub(super) fn alias_in(&self, store: &StoreName) -> Option<&Alias> {
        self.aliases.get(store)
    }

    /// The value of a mapping in a volume, to be put there.
    pub(super) fn take_value(&mut self, mapping: &MappingName) -> Option<SecretBytes> {
        self.values.remove(mapping)
    }

    /// The keystores, to be written; the locks stay with who holds this.
    pub(super) fn take_keystores(&mut self) -> Vec<FileChange> {
        std::mem::take(&mut self.keystores)
            .into_iter()
            .map(|(path, (before, after))| FileChange::of_keystore(&path, before, after))
            .collect()
    }

    /// Whether the file of a keystore was changed already.
    pub(super) fn has_keystore(&self, path: &Path) -> bool {
        self.keystores.contains_key(path)
    }
}
