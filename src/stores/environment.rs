//! Environment variables as one global store: dots become `_`, letters upper case (Ping AM's rule).

use std::path::PathBuf;

use crate::error::Result;
use crate::label::{Alias, LabelName};
use crate::secret::SecretBytes;
use crate::stores::value::ValueReader;
use crate::stores::{EnvironmentOptions, Loaded, Resolve, SecretStore};

/// The environment of the process.
#[derive(Debug)]
pub(super) struct EnvironmentStore {
    reader: ValueReader,
}

impl EnvironmentStore {
    pub(super) fn open(options: &EnvironmentOptions, resolve: Resolve<'_>) -> Result<Self> {
        let EnvironmentOptions { format, key, pem_password } = options;
        let reader = ValueReader::new(*format, key.as_ref(), pem_password.as_ref(), resolve)?;
        Ok(Self { reader })
    }
}

/// The variable of a label.
#[must_use]
pub fn variable_of(label: &LabelName) -> String {
    label.as_str().replace('.', "_").to_ascii_uppercase()
}

impl SecretStore for EnvironmentStore {
    fn load(&self, label: &LabelName, _aliases: &[Alias]) -> Vec<(Alias, Result<Loaded>)> {
        let variable = variable_of(label);
        let Some(value) = std::env::var_os(&variable) else { return Vec::new() };
        let Ok(alias) = variable.parse::<Alias>() else { return Vec::new() };
        let bytes = SecretBytes::from_vec(value.into_encoded_bytes());
        let loaded = self.reader.read(bytes).map(|value| Loaded {
            alias: alias.clone(),
            key: value.key,
            hints: value.hints,
        });
        vec![(alias, loaded)]
    }

    fn aliases(&self) -> Vec<Alias> {
        Vec::new()
    }

    fn labels(&self) -> Vec<LabelName> {
        Vec::new()
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}
