//! A keystore file: PKCS#12, JKS, JCEKS, PEM or a JWK set, told apart by content.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::crypto::Key;
use crate::error::{Error, ErrorKind, Result};
use crate::formats::{self, Entry, JwkHints, Limits, Passwords};
use crate::label::{Alias, LabelName};
use crate::secret::SecretString;
use crate::stores::content::{Content, Part};
use crate::stores::files::take_guarded;
use crate::stores::prepared::Prepared;
use crate::stores::{KeystoreOptions, Loaded, PasswordSource, Resolve, SecretStore};

/// A keystore that was opened: its entries become keys when a label first asks.
#[derive(Debug)]
pub(super) struct KeystoreStore {
    path: PathBuf,
    ignores_case: bool,
    slots: Vec<Slot>,
    by_alias: HashMap<String, usize>,
    warnings: Vec<String>,
    prepared: Arc<Prepared>,
}

#[derive(Debug)]
struct Slot {
    alias: String,
    state: Mutex<State>,
}

/// What is kept of an entry.
#[derive(Debug)]
enum State {
    /// No mapping named it when the keyring was built: nothing.
    Forgotten,
    /// The key, or why there is none.
    Loaded(Result<(Key, JwkHints)>),
    /// What the container holds; nobody has asked yet.
    Unread(Box<Entry>),
}

/// Reads the file.
pub(super) fn read(options: &KeystoreOptions) -> Content {
    let taken = take_guarded(&options.path, Limits::default().max_bytes);
    let part = Part::of(options.path.to_string_lossy().into_owned(), taken);
    Content { parts: vec![part], warnings: Vec::new() }
}

impl KeystoreStore {
    pub(super) fn open(
        options: &KeystoreOptions,
        content: &Content,
        prepared: &Arc<Prepared>,
        resolve: Resolve<'_>,
    ) -> Result<Self> {
        let password = |source: &Option<PasswordSource>| -> Result<Option<SecretString>> {
            let Some(source) = source else { return Ok(None) };
            let bytes = resolve(source)?;
            SecretString::from_utf8(&bytes)
                .map(Some)
                .ok_or_else(|| Error::new(ErrorKind::KeyUnfit, "the password is not UTF-8"))
        };
        let store = password(&options.store_password)?;
        let entry = password(&options.entry_password)?;
        let part = content.parts.first();
        let bytes = part.ok_or_else(|| Error::new(ErrorKind::Bug, "a keystore without a file"))?;
        let passwords = Passwords { store: store.as_ref(), entry: entry.as_ref() };
        let container = formats::open(
            // EXPOSE: parsed into owners that wipe themselves.
            bytes.bytes()?.expose_secret(),
            options.container_type,
            &passwords,
            &Limits::default(),
            options.require_integrity,
        )
        .map_err(|error| match error.kind() {
            ErrorKind::WrongPassword if store.is_none() && entry.is_none() => {
                error.with_help(NO_PASSWORD)
            }
            _ => error,
        })
        .map_err(|error| error.about(options.path.display()).with_file(&options.path))?;
        let ignores_case = container.container_type.ignores_alias_case();
        let slots: Vec<Slot> = container.entries.into_iter().map(Slot::new).collect();
        let mut by_alias = HashMap::with_capacity(slots.len());
        for (index, slot) in slots.iter().enumerate() {
            by_alias.entry(folded(&slot.alias, ignores_case)).or_insert(index);
        }
        Ok(Self {
            path: options.path.clone(),
            ignores_case,
            slots,
            by_alias,
            warnings: container.warnings,
            prepared: Arc::clone(prepared),
        })
    }

    fn slot(&self, alias: &Alias) -> Option<&Slot> {
        let index = self.by_alias.get(&folded(alias.as_str(), self.ignores_case))?;
        self.slots.get(*index)
    }

    fn load_one(&self, alias: &Alias) -> Result<Loaded> {
        let slot = self.slot(alias).ok_or_else(|| self.unknown(alias))?;
        let (key, hints) = slot.load(&self.prepared)?;
        Ok(Loaded { alias: alias.clone(), key, hints })
    }

    fn unknown(&self, alias: &Alias) -> Error {
        let names: Vec<&str> = self.slots.iter().map(|slot| slot.alias.as_str()).collect();
        let typed = alias.as_str().to_lowercase();
        let near = names
            .iter()
            .map(|name| (strsim::damerau_levenshtein(&name.to_lowercase(), &typed), *name))
            .min()
            .filter(|(distance, name)| *distance <= 2.max(name.len() / 4));
        let error = Error::new(ErrorKind::UnknownAlias, format!("alias \"{alias}\" is not there"));
        if let Some((_, near)) = near {
            return error.with_help(format!("did you mean \"{}\"?", near.escape_debug()));
        }
        let shown: Vec<String> =
            names.iter().take(8).map(|name| format!("\"{}\"", name.escape_debug())).collect();
        error.with_help(format!("{} has {}", self.path.display(), shown.join(", ")))
    }
}

impl Slot {
    fn new(entry: Entry) -> Self {
        let alias = entry.alias.clone();
        Self { alias, state: Mutex::new(State::Unread(Box::new(entry))) }
    }

    /// The key, prepared the first time; what it was made of is wiped then.
    fn load(&self, prepared: &Prepared) -> Result<(Key, JwkHints)> {
        let mut state = self.lock();
        if let State::Unread(entry) = &*state {
            let key = prepared.key_of(entry);
            *state = State::Loaded(key.map(|key| (key, entry.hints.clone())));
        }
        match &*state {
            State::Loaded(Ok(loaded)) => Ok(loaded.clone()),
            State::Loaded(Err(error)) => Err(error.repeat()),
            State::Forgotten | State::Unread(_) => {
                Err(Error::new(ErrorKind::Bug, "an entry was asked for after it was forgotten"))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SecretStore for KeystoreStore {
    fn load(&self, _label: &LabelName, aliases: &[Alias]) -> Vec<(Alias, Result<Loaded>)> {
        aliases.iter().map(|alias| (alias.clone(), self.load_one(alias))).collect()
    }

    fn aliases(&self) -> Vec<Alias> {
        self.slots.iter().filter_map(|slot| slot.alias.parse().ok()).collect()
    }

    fn labels(&self) -> Vec<LabelName> {
        Vec::new()
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }

    fn forget(&self, keep: &[Alias]) {
        let index = |alias: &Alias| self.by_alias.get(&folded(alias.as_str(), self.ignores_case));
        let kept: HashSet<usize> = keep.iter().filter_map(index).copied().collect();
        for (_, slot) in self.slots.iter().enumerate().filter(|(index, _)| !kept.contains(index)) {
            *slot.lock() = State::Forgotten;
        }
    }

    fn still_holds(&self, aliases: &[Alias]) -> bool {
        let there = |slot: &Slot| !matches!(*slot.lock(), State::Forgotten);
        aliases.iter().filter_map(|alias| self.slot(alias)).all(there)
    }
}

fn folded(alias: &str, ignores_case: bool) -> String {
    if ignores_case { alias.to_lowercase() } else { alias.to_owned() }
}

const NO_PASSWORD: &str = "the store names no password: store_password = { file = \"…\" }, \
                           { env = \"…\" } or { label = \"…\" }";
