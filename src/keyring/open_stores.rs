//! Opens the stores of a configuration, each password from the label, variable or file it names.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::catalogue;
use crate::config::{Config, StoreEntry};
use crate::error::{Error, ErrorKind, Result};
use crate::label::{Alias, LabelName, StoreName};
use crate::problem::Problem;
use crate::secret::SecretBytes;
use crate::stores::{self, PasswordSource, SecretStore, StoreConfig};

/// The stores of a configuration that could be opened, in file order.
#[derive(Debug, Default)]
pub(crate) struct OpenStores {
    pub(crate) stores: Vec<(usize, Box<dyn SecretStore>)>,
    pub(crate) problems: Vec<Problem>,
    /// Labels that served as passwords of stores.
    pub(crate) password_labels: Vec<LabelName>,
}

/// Opens every store; what fails becomes a problem at the store's name.
pub(crate) fn open_all(config: &Config) -> OpenStores {
    let opener = Opener { config, states: RefCell::default(), used: RefCell::default() };
    let mut problems = Vec::new();
    for (index, entry) in config.stores.iter().enumerate() {
        if let Err(error) = opener.open(index) {
            problems.push(problem_of(entry, &error));
        }
    }
    let mut stores: Vec<_> = opener
        .states
        .into_inner()
        .into_iter()
        .filter_map(|(index, state)| match state {
            State::Open(store) => Some((index, store)),
            State::Failed | State::Opening => None,
        })
        .collect();
    stores.sort_by_key(|(index, _)| *index);
    OpenStores { stores, problems, password_labels: opener.used.into_inner() }
}

fn problem_of(entry: &StoreEntry, error: &Error) -> Problem {
    let text = format!("store \"{}\": {}", entry.name.value, error.message());
    let code = match error.kind() {
        ErrorKind::Config => "password_cycle",
        kind => kind.code(),
    };
    let problem = Problem::error(code, text).at(entry.name.location.clone());
    match error.help() {
        Some(help) => problem.with_help(help),
        None => problem,
    }
}

enum State {
    Failed,
    Open(Box<dyn SecretStore>),
    Opening,
}

struct Opener<'a> {
    config: &'a Config,
    states: RefCell<HashMap<usize, State>>,
    used: RefCell<Vec<LabelName>>,
}

impl Opener<'_> {
    fn open(&self, index: usize) -> Result<()> {
        let Some(entry) = self.config.stores.get(index) else { return Ok(()) };
        if self.states.borrow().contains_key(&index) {
            return Ok(());
        }
        self.states.borrow_mut().insert(index, State::Opening);
        let resolve = |source: &PasswordSource| self.password(index, source);
        let opened = stores::open(&entry.name.value, &entry.options, &resolve);
        let (state, result) = match opened {
            Ok(store) => (State::Open(store), Ok(())),
            // A cycle may only be one of this moment: asked again from the outside, it may open.
            Err(error) if error.kind() == ErrorKind::Config => {
                self.states.borrow_mut().remove(&index);
                return Err(error);
            }
            Err(error) => (State::Failed, Err(error)),
        };
        self.states.borrow_mut().insert(index, state);
        result
    }

    fn password(&self, asking: usize, source: &PasswordSource) -> Result<SecretBytes> {
        let PasswordSource::Label(label) = source else { return stores::password::read(source) };
        self.used.borrow_mut().push(label.clone());
        let mut waiting = Vec::new();
        for (index, entry) in self.config.stores.iter().enumerate() {
            // Passwords come from global stores, also those of a realm's stores (spec: AM does so).
            if index == asking || entry.realm.is_some() || !may_hold(entry, label) {
                continue;
            }
            match self.open(index) {
                Ok(()) => {}
                // It waits for a store that waits for this one.
                Err(error) if error.kind() == ErrorKind::Config => {
                    waiting.push(entry.name.value.clone());
                    continue;
                }
                // A store that fails to open is reported where it stands.
                Err(_) => continue,
            }
            match self.states.borrow().get(&index) {
                Some(State::Open(store)) => {
                    if let Some(found) = read_password(entry, store.as_ref(), label) {
                        return found;
                    }
                }
                Some(State::Opening) => waiting.push(entry.name.value.clone()),
                _ => {}
            }
        }
        Err(self.not_found(asking, label, &waiting))
    }

    fn not_found(&self, asking: usize, label: &LabelName, waiting: &[StoreName]) -> Error {
        let Some(first) = waiting.first() else {
            return Error::new(
                ErrorKind::UnknownLabel,
                format!("no other global store has the password label \"{label}\""),
            )
            .with_help(format!(
                "add a store that holds \"{label}\", or use {{ env = \"…\" }} or {{ file = \"…\" }}"
            ));
        };
        let own = self.config.stores.get(asking).map_or("?", |entry| entry.name.value.as_str());
        Error::new(
            ErrorKind::Config,
            format!("its password \"{label}\" is in store \"{first}\", which needs store \"{own}\" first"),
        )
        .with_help("keep passwords in a store that needs none: a plain volume or the environment")
    }
}

/// Whether a store could hold the label: it maps it, or its kind has no mappings.
fn may_hold(entry: &StoreEntry, label: &LabelName) -> bool {
    match entry.options {
        StoreConfig::Keystore(_) => mapped(entry, label).is_some(),
        StoreConfig::Environment(_) | StoreConfig::Volume(_) => true,
    }
}

fn mapped(entry: &StoreEntry, label: &LabelName) -> Option<Vec<Alias>> {
    let label = catalogue::canonical(label);
    let mapping =
        entry.mappings.iter().find(|one| catalogue::canonical(&one.label.value) == label)?;
    Some(mapping.aliases.iter().map(|one| one.alias.value.clone()).collect())
}

fn read_password(
    entry: &StoreEntry,
    store: &dyn SecretStore,
    label: &LabelName,
) -> Option<Result<SecretBytes>> {
    let aliases = mapped(entry, label).unwrap_or_default();
    let (alias, loaded) = store.load(label, &aliases).into_iter().next()?;
    Some(loaded.and_then(|loaded| {
        loaded.key.reveal(SecretBytes::from_slice).ok_or_else(|| {
            Error::new(
                ErrorKind::KeyUnfit,
                format!("alias \"{alias}\" behind \"{label}\" is a key pair, not a password"),
            )
        })
    }))
}
