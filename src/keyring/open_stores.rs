//! Opens the stores of a configuration, in parallel, each password from the label, variable or file it
//! names. A store whose content and passwords are as before is taken as it is.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::catalogue;
use crate::config::{Config, StoreEntry};
use crate::crypto::Tag;
use crate::error::{Error, ErrorKind, Result};
use crate::keyring::sources::{Sources, UnitName};
use crate::label::{Alias, LabelName, StoreName};
use crate::parallel;
use crate::problem::{Location, Problem};
use crate::secret::SecretBytes;
use crate::stores::{self, PasswordSource, Prepared, SecretStore, StoreConfig};

/// The stores of a configuration that could be opened, in file order.
#[derive(Debug, Default)]
pub(crate) struct OpenStores {
    pub(crate) stores: Vec<(usize, Arc<Opened>)>,
    pub(crate) problems: Vec<Problem>,
    /// Labels that served as passwords of stores.
    pub(crate) password_labels: Vec<LabelName>,
}

/// An open store, and what makes it the same store at the next reload.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Box<dyn SecretStore>,
    name: UnitName,
    content: Tag,
    /// What it asked for, and a tag of each answer.
    asked: Vec<(PasswordSource, Tag)>,
    at: Instant,
    lease: Option<Duration>,
}

impl Opened {
    /// How long its values may be used; they are fetched again after four fifths of it.
    pub(crate) const fn lease(&self) -> Option<Duration> {
        self.lease
    }

    /// When its values were read.
    pub(crate) const fn fresh(&self) -> Instant {
        self.at
    }

    /// Whether its lease asks for that now.
    pub(crate) fn is_due(&self) -> bool {
        self.lease.is_some_and(|lease| self.at.elapsed() >= lease * 4 / 5)
    }
}

/// The open stores of the last generations, by name and content.
#[derive(Debug, Default)]
pub(crate) struct StoreCache(HashMap<(UnitName, Tag), Arc<Opened>>);

impl StoreCache {
    /// Adds stores that were opened for a configuration that was refused: they need not be opened again.
    pub(crate) fn add(&mut self, opened: &OpenStores) {
        for (_, store) in &opened.stores {
            self.0.insert((store.name.clone(), store.content), Arc::clone(store));
        }
    }

    /// Keeps these stores and no other.
    pub(crate) fn replace(&mut self, opened: &OpenStores) {
        self.0.clear();
        self.add(opened);
    }

    /// Lets go of the stores without files that are due: they are asked again. Whether there are any.
    pub(crate) fn expire(&mut self, is_due: impl Fn(&Opened) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|_, opened| !(opened.store.files().is_empty() && is_due(opened)));
        self.0.len() < before
    }
}

/// What opening needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) config: &'a Config,
    pub(crate) sources: &'a Sources,
    pub(crate) cache: &'a StoreCache,
    pub(crate) prepared: &'a Arc<Prepared>,
}

/// Opens every store; what fails becomes a problem at the store's name.
pub(crate) fn open_all(opening: Opening<'_>) -> OpenStores {
    let config = opening.config;
    let opener = Opener::new(opening);
    let mut states = vec![State::Waiting; config.stores.len()];
    opener.open_in_waves(&mut states);
    let states = opener.open_the_rest(states);
    let mut found = OpenStores { password_labels: password_labels(config), ..Default::default() };
    for (index, (state, entry)) in states.into_iter().zip(&config.stores).enumerate() {
        match state {
            State::Open(store) => found.stores.push((index, store)),
            State::Failed(error) => {
                let first = problem_of(entry, &error);
                let more = unreadable(opening, index, entry).into_iter();
                let more: Vec<_> = more.filter(|one| *one != first).collect();
                found.problems.push(first);
                found.problems.extend(more);
            }
            State::Opening | State::Waiting => {}
        }
    }
    found
}

fn password_labels(config: &Config) -> Vec<LabelName> {
    let sources = config.stores.iter().flat_map(|entry| entry.options.passwords());
    sources
        .filter_map(|source| match source {
            PasswordSource::Label(label) => Some(label),
            PasswordSource::Env(_) | PasswordSource::File(_) => None,
        })
        .collect()
}

/// Everything that a store reads and cannot: opening it stops at the first.
fn unreadable(opening: Opening<'_>, index: usize, entry: &StoreEntry) -> Vec<Problem> {
    let outside = |source: &PasswordSource| !matches!(source, PasswordSource::Label(_));
    let passwords = entry.options.passwords();
    let passwords = passwords.iter().filter(|source| outside(source));
    let mut errors: Vec<Error> =
        passwords.filter_map(|source| opening.sources.password(source).err()).collect();
    let content = opening.sources.stores.get(index).map(|unit| unit.content());
    match content {
        Some(Err(error)) => errors.push(error),
        // Each file of a volume is reported where its label is loaded.
        Some(Ok(content)) if matches!(entry.options, StoreConfig::Keystore(_)) => {
            errors.extend(content.failure().map(Error::repeat));
        }
        _ => {}
    }
    errors.iter().map(|error| problem_of(entry, error)).collect()
}

fn problem_of(entry: &StoreEntry, error: &Error) -> Problem {
    let text = format!("store \"{}\": {}", entry.name.value, error.message());
    let code = match error.kind() {
        ErrorKind::Config => "password_cycle",
        kind => kind.code(),
    };
    let problem = Problem::error(code, text).at(place_of(entry, error).clone());
    match error.help() {
        Some(help) => problem.with_help(help),
        None => problem,
    }
}

/// The password that failed, else the path or directory.
fn place_of<'e>(entry: &'e StoreEntry, error: &Error) -> &'e Location {
    let blamed = |source: &PasswordSource| match (source, error.kind()) {
        (_, ErrorKind::WrongPassword) => true,
        (PasswordSource::Label(_), kind) => {
            matches!(kind, ErrorKind::Config | ErrorKind::KeyUnfit | ErrorKind::UnknownLabel)
        }
        (PasswordSource::Env(name), _) => error.message().contains(&format!("\"{name}\"")),
        (PasswordSource::File(path), _) => match error.file() {
            Some(file) => file == path,
            None => error.message().contains(&path.display().to_string()),
        },
    };
    let mut passwords = entry.places.passwords.iter();
    let password = passwords.find(|password| blamed(&password.value));
    password.map_or(&entry.places.content, |password| &password.location)
}

#[derive(Clone)]
enum State {
    Failed(Arc<Error>),
    Open(Arc<Opened>),
    Opening,
    Waiting,
}

type Shared = Arc<OnceLock<Result<Arc<Opened>>>>;

struct Opener<'a> {
    opening: Opening<'a>,
    /// One a store.
    names: Vec<UnitName>,
    /// The aliases that any mapping of a store names.
    mapped: HashMap<UnitName, Vec<Alias>>,
    /// Stores of equal options, which are opened once.
    same: Mutex<HashMap<UnitName, Shared>>,
}

impl<'a> Opener<'a> {
    fn new(opening: Opening<'a>) -> Self {
        let stores = &opening.config.stores;
        let names: Vec<UnitName> =
            stores.iter().map(|entry| UnitName::store(&entry.options)).collect();
        let mut mapped: HashMap<UnitName, Vec<Alias>> = HashMap::new();
        for (name, entry) in names.iter().zip(stores) {
            let aliases = entry.mappings.iter().flat_map(|mapping| &mapping.aliases);
            let aliases = aliases.map(|one| one.alias.value.clone());
            mapped.entry(name.clone()).or_default().extend(aliases);
        }
        Self { opening, names, mapped, same: Mutex::default() }
    }

    /// Opens, again and again, every store whose passwords can only be in stores that are done.
    fn open_in_waves(&self, states: &mut [State]) {
        let stores = &self.opening.config.stores;
        let waits_for: Vec<Vec<usize>> = (0..stores.len()).map(|index| self.asks(index)).collect();
        loop {
            let waiting = |index: &usize| matches!(states.get(*index), Some(State::Waiting));
            let ready: Vec<usize> = (0..stores.len())
                .filter(waiting)
                .filter(|index| waits_for.get(*index).is_some_and(|all| !all.iter().any(waiting)))
                .collect();
            if ready.is_empty() {
                return;
            }
            let known = &*states;
            let state_of = |index: usize| known.get(index).cloned().unwrap_or(State::Waiting);
            let opened = parallel::map(&ready, 2, |index| {
                self.open_shared(*index, &|source| self.password(*index, source, &state_of))
            });
            for (index, result) in ready.into_iter().zip(opened) {
                if let Some(state) = states.get_mut(index) {
                    *state = State::of(result);
                }
            }
        }
    }

    /// Opens stores that wait for each other, one by one: one may find its password before the circle closes.
    fn open_the_rest(&self, states: Vec<State>) -> Vec<State> {
        let states = RefCell::new(states);
        let mut failed = Vec::new();
        for index in 0..self.opening.config.stores.len() {
            let blocked = RefCell::default();
            if let Err(error) = self.open_in_turn(index, &states, &blocked) {
                failed.push((index, error));
            }
        }
        // Only now: while one of a circle is asked, the others wait and have not failed.
        for (index, error) in failed {
            set(&states, index, State::Failed(Arc::new(error)));
        }
        states.into_inner()
    }

    /// `blocked`: stores that were found to wait since the last one opened. They are not asked again: that
    /// would take every path through the circle.
    fn open_in_turn(
        &self,
        index: usize,
        states: &RefCell<Vec<State>>,
        blocked: &RefCell<HashSet<usize>>,
    ) -> Result<()> {
        if blocked.borrow().contains(&index) {
            return Err(Error::new(ErrorKind::Config, "it waits for another store"));
        }
        if !matches!(states.borrow().get(index), Some(State::Waiting)) {
            return Ok(());
        }
        set(states, index, State::Opening);
        let state_of = |other: usize| {
            // A circle may only be one of this moment: what waits is asked again from the outside.
            let opened = self.open_in_turn(other, states, blocked);
            match states.borrow().get(other) {
                Some(state) if opened.is_ok() => state.clone(),
                _ => State::Opening,
            }
        };
        match self.open_one(index, &|source| self.password(index, source, &state_of)) {
            Err(error) if error.kind() == ErrorKind::Config => {
                set(states, index, State::Waiting);
                blocked.borrow_mut().insert(index);
                Err(error)
            }
            result => {
                blocked.borrow_mut().clear();
                set(states, index, State::of(result));
                Ok(())
            }
        }
    }

    fn open_shared(&self, index: usize, resolve: stores::Resolve<'_>) -> Result<Arc<Opened>> {
        let name = self.names.get(index).ok_or_else(gone)?.clone();
        let shared = {
            let mut same = self.same.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(same.entry(name).or_default())
        };
        let opened = shared.get_or_init(|| self.open_one(index, resolve));
        opened.as_ref().map(Arc::clone).map_err(Error::repeat)
    }

    fn open_one(&self, index: usize, resolve: stores::Resolve<'_>) -> Result<Arc<Opened>> {
        let Opening { config, sources, cache, prepared } = self.opening;
        let (entry, unit) =
            config.stores.get(index).zip(sources.stores.get(index)).ok_or_else(gone)?;
        let name = self.names.get(index).ok_or_else(gone)?;
        let mapped = self.mapped.get(name).map_or(&[][..], Vec::as_slice);
        let tag_of = |answer: &Result<SecretBytes>| match answer {
            // EXPOSE: into a tag under a key of this process.
            Ok(password) => prepared.tagger().tag(&[b"password", password.expose_secret()]),
            Err(error) => prepared.tagger().tag(&[b"none", error.kind().code().as_bytes()]),
        };
        if let Some(known) = cache.0.get(&(name.clone(), unit.mark.tag))
            && known.store.still_holds(mapped)
            && known.asked.iter().all(|(source, tag)| tag_of(&resolve(source)) == *tag)
        {
            return Ok(Arc::clone(known));
        }
        let asked = RefCell::new(Vec::new());
        let record = |source: &PasswordSource| {
            let answer = resolve(source);
            asked.borrow_mut().push((source.clone(), tag_of(&answer)));
            answer
        };
        let store = stores::open_content(&entry.options, unit.content()?, prepared, &record)?;
        let lease = store.lease().into_iter().chain(entry.options.lease()).min();
        let (content, asked) = (unit.mark.tag, asked.into_inner());
        let name = name.clone();
        Ok(Arc::new(Opened { store, name, content, asked, at: Instant::now(), lease }))
    }

    /// The stores that may hold a password of this one.
    fn asks(&self, index: usize) -> Vec<usize> {
        let stores = &self.opening.config.stores;
        let Some(entry) = stores.get(index) else { return Vec::new() };
        let passwords = entry.options.passwords();
        let asked = |(other, holder): &(usize, &StoreEntry)| {
            let holds = |source: &PasswordSource| match source {
                PasswordSource::Label(label) => may_hold(holder, label),
                PasswordSource::Env(_) | PasswordSource::File(_) => false,
            };
            *other != index && holder.realm.is_none() && passwords.iter().any(holds)
        };
        stores.iter().enumerate().filter(asked).map(|(other, _)| other).collect()
    }

    fn password(
        &self,
        asking: usize,
        source: &PasswordSource,
        state_of: &dyn Fn(usize) -> State,
    ) -> Result<SecretBytes> {
        let PasswordSource::Label(label) = source else {
            return self.opening.sources.password(source);
        };
        let mut waiting = Vec::new();
        let mut others = Vec::new();
        for (index, entry) in self.opening.config.stores.iter().enumerate() {
            // Passwords come from global stores, also those of a realm's stores (spec: AM does so).
            if index == asking && mapped(entry, label).is_some() {
                waiting.push(entry.name.value.clone());
            }
            if index == asking || entry.realm.is_some() || !may_hold(entry, label) {
                continue;
            }
            match state_of(index) {
                State::Open(opened) => {
                    if let Some(found) = read_password(entry, opened.store.as_ref(), label) {
                        return found;
                    }
                    others.extend(opened.store.labels());
                }
                // A store that fails to open is reported where it stands.
                State::Failed(_) => {}
                // It waits for a store that waits for this one.
                State::Opening | State::Waiting => waiting.push(entry.name.value.clone()),
            }
        }
        Err(self.not_found(asking, label, &waiting, others))
    }

    /// `others`: labels that stores without mappings hold.
    fn not_found(
        &self,
        asking: usize,
        label: &LabelName,
        waiting: &[StoreName],
        mut others: Vec<LabelName>,
    ) -> Error {
        let Some(first) = waiting.first() else {
            let global = self.opening.config.stores.iter().filter(|entry| entry.realm.is_none());
            let mapped = global.flat_map(|entry| &entry.mappings);
            others.extend(mapped.map(|mapping| mapping.label.value.clone()));
            let error = Error::new(
                ErrorKind::UnknownLabel,
                format!("no other global store has the password label \"{label}\""),
            );
            return error.with_help(match nearest(label, &others) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!(
                    "add a store that holds \"{label}\", or use {{ env = \"…\" }} or {{ file = \"…\" }}"
                ),
            });
        };
        let own = self.opening.config.stores.get(asking);
        let own = own.map_or("?", |entry| entry.name.value.as_str());
        if first.as_str() == own {
            let text = format!("its password \"{label}\" is in itself");
            return Error::new(ErrorKind::Config, text).with_help(CYCLE_HELP);
        }
        Error::new(
            ErrorKind::Config,
            format!("its password \"{label}\" is in store \"{first}\", which needs store \"{own}\" first"),
        )
        .with_help(CYCLE_HELP)
    }
}

/// The name that was meant, if one is near.
fn nearest<'n>(typed: &LabelName, names: &'n [LabelName]) -> Option<&'n LabelName> {
    let distance = |name: &LabelName| strsim::damerau_levenshtein(name.as_str(), typed.as_str());
    let near = names.iter().min_by_key(|name| distance(name))?;
    (distance(near) <= 2.max(typed.as_str().len() / 4)).then_some(near)
}

const CYCLE_HELP: &str =
    "keep passwords in a store that needs none: a plain volume or the environment";

impl State {
    fn of(result: Result<Arc<Opened>>) -> Self {
        match result {
            Ok(opened) => Self::Open(opened),
            Err(error) => Self::Failed(Arc::new(error)),
        }
    }
}

fn set(states: &RefCell<Vec<State>>, index: usize, state: State) {
    if let Some(slot) = states.borrow_mut().get_mut(index) {
        *slot = state;
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Bug, "a store that the configuration does not have")
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
