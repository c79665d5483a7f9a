//! Environment variables as one global store: dots become `_`, letters upper case (Ping AM's rule).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::label::{Alias, LabelName};
use crate::secret::SecretBytes;
use crate::stores::content::{Content, Part};
use crate::stores::prepared::Prepared;
use crate::stores::value::{Value, ValueReader};
use crate::stores::{EnvironmentOptions, Loaded, Resolve, SecretStore};

/// The environment of the process as it was read. What no label asked for is forgotten.
#[derive(Debug)]
pub(super) struct EnvironmentStore {
    reader: ValueReader,
    prepared: Arc<Prepared>,
    variables: Mutex<HashMap<String, Variable>>,
}

#[derive(Debug)]
enum Variable {
    Loaded(Result<Arc<Value>>),
    Unread(SecretBytes),
}

/// Reads every variable that a label could name.
pub(super) fn read() -> Content {
    let named = |name: &String| {
        let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        !name.is_empty() && name.bytes().all(plain)
    };
    let mut parts: Vec<Part> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| named(name))
        .map(|(name, value)| {
            let bytes = Ok(SecretBytes::from_vec(value.into_encoded_bytes()));
            Part { name, bytes, stamp: None }
        })
        .collect();
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    Content { parts, warnings: Vec::new() }
}

impl EnvironmentStore {
    pub(super) fn open(
        options: &EnvironmentOptions,
        content: &Content,
        prepared: &Arc<Prepared>,
        resolve: Resolve<'_>,
    ) -> Result<Self> {
        let EnvironmentOptions { format, key, pem_password, .. } = options;
        let (key, pem_password) = (key.as_ref(), pem_password.as_ref());
        let reader = ValueReader::new(*format, key, pem_password, prepared.tagger(), resolve)?;
        // EXPOSE: into owners that wipe themselves.
        let copy = |part: &Part| {
            let bytes = SecretBytes::from_slice(part.bytes.as_ref().ok()?.expose_secret());
            Some((part.name.clone(), Variable::Unread(bytes)))
        };
        let variables = Mutex::new(content.parts.iter().filter_map(copy).collect());
        Ok(Self { reader, prepared: Arc::clone(prepared), variables })
    }

    fn value(&self, variable: &str) -> Option<Result<Arc<Value>>> {
        let mut variables = self.variables.lock().unwrap_or_else(PoisonError::into_inner);
        let found = variables.get_mut(variable)?;
        if let Variable::Unread(bytes) = found {
            *found = Variable::Loaded(self.reader.read_once(bytes, &self.prepared));
        }
        match found {
            Variable::Loaded(loaded) => {
                Some(loaded.as_ref().map(Arc::clone).map_err(Error::repeat))
            }
            Variable::Unread(_) => None,
        }
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
        let Some(value) = self.value(&variable) else { return Vec::new() };
        let Ok(alias) = variable.parse::<Alias>() else { return Vec::new() };
        let loaded = value.map(|value| value.as_alias(&alias));
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

    fn forget(&self, _keep: &[Alias]) {
        let mut variables = self.variables.lock().unwrap_or_else(PoisonError::into_inner);
        variables.retain(|_, variable| matches!(variable, Variable::Loaded(_)));
    }

    /// Any label may ask for a variable: it is opened again, and finds its values prepared.
    fn still_holds(&self, _aliases: &[Alias]) -> bool {
        false
    }
}
