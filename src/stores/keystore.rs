//! A keystore file: PKCS#12, JKS, JCEKS, PEM or a JWK set, told apart by content.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::crypto::Key;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::{self, Container, Limits, Passwords};
use crate::label::{Alias, LabelName, StoreName};
use crate::secret::SecretString;
use crate::stores::convert::key_of;
use crate::stores::files::read_guarded;
use crate::stores::{KeystoreOptions, Loaded, Resolve, SecretStore};

/// A keystore that was opened: its entries become keys when a label first asks.
#[derive(Debug)]
pub(super) struct KeystoreStore {
    name: StoreName,
    path: PathBuf,
    container: Container,
    keys: Vec<OnceLock<Key>>,
}

impl KeystoreStore {
    pub(super) fn open(
        name: &StoreName,
        options: &KeystoreOptions,
        resolve: Resolve<'_>,
    ) -> Result<Self> {
        let password = |source: &Option<super::PasswordSource>| -> Result<Option<SecretString>> {
            let Some(source) = source else { return Ok(None) };
            let bytes = resolve(source)?;
            SecretString::from_utf8(&bytes)
                .map(Some)
                .ok_or_else(|| Error::new(ErrorKind::KeyUnfit, "the password is not UTF-8"))
        };
        let store = password(&options.store_password)?;
        let entry = password(&options.entry_password)?;
        let limits = Limits::default();
        let bytes = read_guarded(&options.path, limits.max_bytes)?;
        let passwords = Passwords { store: store.as_ref(), entry: entry.as_ref() };
        let container = formats::open(
            &bytes,
            options.container_type,
            &passwords,
            &limits,
            options.require_integrity,
        )
        .map_err(|error| error.about(options.path.display()).with_file(&options.path))?;
        let keys = container.entries.iter().map(|_| OnceLock::new()).collect();
        Ok(Self { name: name.clone(), path: options.path.clone(), container, keys })
    }

    fn load_one(&self, alias: &Alias) -> Result<Loaded> {
        let ignores_case = self.container.container_type.ignores_alias_case();
        let position = self
            .container
            .entries
            .iter()
            .position(|entry| {
                if ignores_case {
                    entry.alias.to_lowercase() == alias.as_str().to_lowercase()
                } else {
                    entry.alias == alias.as_str()
                }
            })
            .ok_or_else(|| self.unknown(alias))?;
        let (entry, slot) = self
            .container
            .entries
            .get(position)
            .zip(self.keys.get(position))
            .ok_or_else(|| Error::new(ErrorKind::Bug, "an entry without a slot"))?;
        let key = match slot.get() {
            Some(key) => key.clone(),
            None => slot
                .get_or_init({
                    let made = key_of(entry)?;
                    move || made
                })
                .clone(),
        };
        Ok(Loaded { alias: alias.clone(), key, hints: entry.hints.clone() })
    }

    fn unknown(&self, alias: &Alias) -> Error {
        let names: Vec<&str> =
            self.container.entries.iter().map(|entry| entry.alias.as_str()).collect();
        let typed = alias.as_str().to_lowercase();
        let near = names
            .iter()
            .map(|name| (strsim::damerau_levenshtein(&name.to_lowercase(), &typed), *name))
            .min()
            .filter(|(distance, name)| *distance <= 2.max(name.len() / 4));
        let text = format!("alias \"{alias}\" is not in store \"{}\"", self.name);
        let error = Error::new(ErrorKind::UnknownAlias, text);
        if let Some((_, near)) = near {
            return error.with_help(format!("did you mean \"{}\"?", near.escape_debug()));
        }
        let shown: Vec<String> =
            names.iter().take(8).map(|name| format!("\"{}\"", name.escape_debug())).collect();
        error.with_help(format!("{} has {}", self.path.display(), shown.join(", ")))
    }
}

impl SecretStore for KeystoreStore {
    fn load(&self, _label: &LabelName, aliases: &[Alias]) -> Vec<(Alias, Result<Loaded>)> {
        aliases.iter().map(|alias| (alias.clone(), self.load_one(alias))).collect()
    }

    fn aliases(&self) -> Vec<Alias> {
        self.container.entries.iter().filter_map(|entry| entry.alias.parse().ok()).collect()
    }

    fn labels(&self) -> Vec<LabelName> {
        Vec::new()
    }

    fn warnings(&self) -> Vec<String> {
        self.container.warnings.clone()
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }
}
