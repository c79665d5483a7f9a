//! Realm then global, stores in order: a configuration and its open stores become a snapshot, or
//! every problem.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use crate::catalogue;
use crate::config::{Config, Mapping, StoreEntry, ValidSet};
use crate::error::{Error, ErrorKind};
use crate::journal::tombstones::Tombstones;
use crate::keyring::checks::{self, Checked};
use crate::keyring::held;
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::keyring::kid::kid_of;
use crate::keyring::open_stores::{OpenStores, Opened};
use crate::keyring::profile::LabelProfile;
use crate::keyring::revoked;
use crate::keyring::set_checks;
use crate::keyring::snapshot::{Scopes, Snapshot};
use crate::label::{Alias, LabelName, Realm, StoreName};
use crate::parallel;
use crate::problem::{Location, Problem, Severity};
use crate::stores::{Loaded, SecretStore, StoreConfig};
use crate::usage::{KeyUsage, Reading};

/// What came of resolving a configuration.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// Absent if any problem is an error.
    pub(crate) snapshot: Option<Snapshot>,
    /// Every finding, errors and warnings.
    pub(crate) problems: Vec<Problem>,
}

/// Loads and checks every label of stores that are open. Never stops at the first problem.
pub(crate) fn resolve(
    config: &Arc<Config>,
    opened: &OpenStores,
    usage: &Reading,
    generation: u64,
    now: SystemTime,
) -> Resolved {
    let OpenStores { stores, problems, password_labels } = opened;
    prepare_keys(config, stores);
    let mut problems = problems.clone();
    problems.extend(config.warnings.iter().cloned());
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    let tombstones = revoked::load(config, &mut problems);
    let mut resolver = Resolver {
        config,
        usage,
        now,
        tombstones,
        problems,
        lists: BTreeMap::new(),
        equal_kids: HashSet::new(),
        served: HashMap::new(),
    };
    for (index, opened) in stores {
        let Some(entry) = config.stores.get(*index) else { continue };
        resolver.load_store(*index, entry, opened.store.as_ref(), password_labels);
    }
    resolver.check_unused(stores, failed);
    resolver.check_reuse();
    resolver.check_settings(failed);
    let snapshot = resolver.build(generation);
    let mut problems = resolver.problems;
    problems.extend(snapshot.iter().flat_map(|snapshot| set_checks::check(config, snapshot)));
    let refused = problems.iter().any(|problem| problem.severity == Severity::Error);
    Resolved { snapshot: (!refused).then_some(snapshot).flatten(), problems }
}

/// Parses and proves every key that a mapping names, on all processors; the stores keep them for the
/// orderly walk that follows.
fn prepare_keys(config: &Config, stores: &[(usize, Arc<Opened>)]) {
    let mut work: Vec<(&Opened, &LabelName, &Alias)> = Vec::new();
    for (index, opened) in stores {
        let mappings = config.stores.get(*index).map_or(&[][..], |entry| entry.mappings.as_slice());
        for mapping in mappings {
            let aliases = mapping.aliases.iter().map(|one| &one.alias.value);
            work.extend(aliases.map(|alias| (&**opened, &mapping.label.value, alias)));
        }
    }
    parallel::map(&work, PARALLEL_KEYS, |(opened, label, alias)| {
        // What fails here fails again, and is reported, in its place.
        drop(opened.store.load(label, std::slice::from_ref(*alias)));
    });
}

/// A key on its way into a set, and where its alias stands.
struct Placed {
    key: LabelKey,
    location: Location,
}

/// One label in one scope.
#[derive(Default)]
struct List {
    keys: Vec<Placed>,
    mapping: Option<(usize, Mapping)>,
    store: usize,
}

type Scope = Option<Realm>;

struct Resolver<'a> {
    config: &'a Arc<Config>,
    usage: &'a Reading,
    now: SystemTime,
    tombstones: Tombstones,
    problems: Vec<Problem>,
    lists: BTreeMap<(LabelName, Scope), List>,
    /// Labels of which a list has one kid twice: it was told.
    equal_kids: HashSet<LabelName>,
    /// Aliases that a mapping used, by store.
    served: HashMap<usize, HashSet<Alias>>,
}

impl Resolver<'_> {
    fn load_store(
        &mut self,
        index: usize,
        entry: &StoreEntry,
        store: &dyn SecretStore,
        password_labels: &[LabelName],
    ) {
        for warning in store.warnings() {
            let text = format!("store \"{}\": {warning}", entry.name.value);
            self.problems.push(
                Problem::warning("store_warning", text)
                    .with_help("the store works; see to it when you can")
                    .at(entry.name.location.clone()),
            );
        }
        for mapping in &entry.mappings {
            let label = catalogue::canonical(&mapping.label.value);
            let aliases: Vec<Alias> =
                mapping.aliases.iter().map(|one| one.alias.value.clone()).collect();
            self.served.entry(index).or_default().extend(aliases.iter().cloned());
            let loaded = store.load(&label, &aliases);
            let places = mapping
                .aliases
                .iter()
                .map(|one| (one.alias.location.clone(), one.kid.clone()))
                .collect::<Vec<_>>();
            self.add(index, entry, &label, Some(mapping), loaded, &places);
        }
        if matches!(entry.options, StoreConfig::Keystore(_)) {
            return;
        }
        let held = match entry.options {
            StoreConfig::Environment(_) => self.known_labels(password_labels),
            _ => store.labels(),
        };
        for label in held {
            let loaded = store.load(&label, &[]);
            if loaded.is_empty() {
                continue;
            }
            let label = catalogue::canonical(&label);
            let used = password_labels.contains(&label);
            let found = held::check(self.config, entry, &label, used);
            self.problems.extend(found.into_iter().map(|one| one.at(entry.name.location.clone())));
            let places = vec![(entry.name.location.clone(), None); loaded.len()];
            self.add(index, entry, &label, None, loaded, &places);
        }
    }

    /// The labels to ask of a store that cannot list its own: the environment.
    fn known_labels(&self, password_labels: &[LabelName]) -> Vec<LabelName> {
        let fixed = catalogue::all().iter().filter_map(|spec| spec.name.parse().ok());
        let declared = self.config.labels.keys().cloned();
        let mapped = self.config.stores.iter().flat_map(|entry| &entry.mappings);
        let mapped = mapped.map(|mapping| mapping.label.value.clone());
        let all: HashSet<LabelName> =
            fixed.chain(declared).chain(mapped).chain(password_labels.iter().cloned()).collect();
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort();
        all
    }

    fn add(
        &mut self,
        index: usize,
        entry: &StoreEntry,
        label: &LabelName,
        mapping: Option<&Mapping>,
        loaded: Vec<(Alias, Result<Loaded, Error>)>,
        places: &[(Location, Option<String>)],
    ) {
        let scope = entry.realm.clone();
        if let Some(first) = self.lists.get(&(label.clone(), scope.clone())) {
            let other = self.config.stores.get(first.store);
            let other = other.map_or("?", |entry| entry.name.value.as_str());
            let place = mapping.map_or(&entry.name.location, |mapping| &mapping.label.location);
            let text = format!(
                "label \"{label}\" is in store \"{}\" and already in store \"{other}\" of the same scope",
                entry.name.value
            );
            self.problems.push(
                Problem::error("duplicate_mapping", text).at(place.clone()).with_help(
                    "keep it in one of them; to rotate, list several aliases in one mapping",
                ),
            );
            return;
        }
        let profile = LabelProfile::of(self.config, label, mapping);
        let mut keys = Vec::new();
        for (position, (alias, result)) in loaded.into_iter().enumerate() {
            let (location, explicit_kid) = places
                .get(position)
                .cloned()
                .unwrap_or_else(|| (entry.name.location.clone(), None));
            match result {
                Err(error) => self.problems.push(alias_problem(
                    label,
                    &alias,
                    &entry.name.value,
                    &error,
                    location,
                )),
                Ok(loaded) => {
                    if let Some(stone) = self.tombstones.find(loaded.key.thumbprint()) {
                        let scope = (label, entry.realm.as_ref());
                        self.problems.push(revoked::problem(scope, &alias, stone).at(location));
                        continue;
                    }
                    let checked = Checked { label, alias: &alias, active: keys.is_empty() };
                    // What a label without `use` wants nobody knows: that it is unknown is told already.
                    let own = self.config.labels.get(label);
                    if catalogue::find(label).is_some()
                        || own.is_some_and(|own| own.value.uses.is_some())
                    {
                        let found =
                            checks::check(self.config, &profile, &checked, &loaded.key, self.now);
                        self.problems.extend(found.into_iter().map(|one| one.at(location.clone())));
                    }
                    let mode = profile.kid_mode;
                    let kid = explicit_kid
                        .or_else(|| loaded.hints.kid.clone())
                        .unwrap_or_else(|| kid_of(mode, &alias, &loaded.key, &profile.uses));
                    // Of passwords nothing is written down: what is derived from one tells it.
                    let usage = if profile.acts() {
                        let lifetime = own.and_then(|own| own.value.max_token_lifetime);
                        let (realm, key) = (scope.as_ref(), loaded.key.thumbprint());
                        self.usage.key_for(label, realm, key, lifetime)
                    } else {
                        KeyUsage::default()
                    };
                    let key = LabelKey {
                        alias,
                        store: entry.name.value.clone(),
                        realm: scope.clone(),
                        kid,
                        key: loaded.key,
                        hints: loaded.hints,
                        usage,
                    };
                    keys.push(Placed { key, location });
                }
            }
        }
        self.report_equal_kids(label, &keys);
        let mapping = mapping.map(|mapping| (index, mapping.clone()));
        self.lists.insert((label.clone(), scope), List { keys, mapping, store: index });
    }

    fn report_equal_kids(&mut self, label: &LabelName, keys: &[Placed]) {
        let mut first: HashMap<&str, &Placed> = HashMap::with_capacity(keys.len());
        for placed in keys {
            let twin = *first.entry(&placed.key.kid).or_insert(placed);
            if std::ptr::eq(twin, placed) {
                continue;
            }
            self.equal_kids.insert(label.clone());
            let (a, b) = (&twin.key.alias, &placed.key.alias);
            let same = twin.key.key.thumbprint() == placed.key.key.thumbprint();
            let (what, help) = if same {
                ("are the same key", "remove one of them")
            } else {
                ("have the same kid", "give one of them its own: { alias = \"…\", kid = \"…\" }")
            };
            let text = format!("label \"{label}\": aliases \"{a}\" and \"{b}\" {what}");
            self.problems.push(
                Problem::error("duplicate_kid", text).at(placed.location.clone()).with_help(help),
            );
        }
    }

    /// Warns of aliases that no mapping names. Only where every store opened: else half is missing.
    fn check_unused(&mut self, stores: &[(usize, Arc<Opened>)], failed: bool) {
        if failed {
            return;
        }
        for (index, opened) in stores {
            let Some(entry) = self.config.stores.get(*index) else { continue };
            let store = &opened.store;
            let StoreConfig::Keystore(options) = &entry.options else { continue };
            let fold = |alias: &Alias| alias.as_str().to_lowercase();
            // One file may serve several realms, a store each.
            let same_file = |index: &usize| {
                let other = self.config.stores.get(*index).map(|other| &other.options);
                matches!(other, Some(StoreConfig::Keystore(other)) if other.path == options.path)
            };
            let of_file = self.served.iter().filter(|(index, _)| same_file(index));
            let served: HashSet<String> =
                of_file.flat_map(|(_, aliases)| aliases).map(fold).collect();
            let unused: Vec<String> = store
                .aliases()
                .iter()
                .filter(|alias| !served.contains(&fold(alias)))
                .map(|alias| format!("\"{}\"", alias.as_str().escape_debug()))
                .collect();
            if unused.is_empty() {
                continue;
            }
            let shown: Vec<String> = unused.iter().take(8).cloned().collect();
            let more = unused.len().saturating_sub(shown.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let text = format!(
                "store \"{}\": no mapping uses {}{more}",
                entry.name.value,
                shown.join(", ")
            );
            self.problems.push(
                Problem::warning("unused_alias", text).at(entry.name.location.clone()).with_help(
                    format!(
                        "map it, or take it out: claviger delete ALIAS --store {}",
                        options.path.display()
                    ),
                ),
            );
        }
    }

    /// Warns of one key behind labels of two uses: what decrypts should not sign (NIST SP 800-57 §5.2).
    fn check_reuse(&mut self) {
        let mut seen: HashMap<String, (bool, &LabelName)> = HashMap::new();
        let mut found = Vec::new();
        for ((label, _), list) in &self.lists {
            let profile = LabelProfile::of(self.config, label, None);
            let Some(encrypts) = profile.encrypts() else { continue };
            for placed in &list.keys {
                let thumbprint = placed.key.key.thumbprint().to_owned();
                let (before, other) = *seen.entry(thumbprint).or_insert((encrypts, label));
                if before != encrypts {
                    let text = format!(
                        "alias \"{}\" serves \"{label}\" and \"{other}\": one key signs and encrypts",
                        placed.key.alias
                    );
                    found.push(
                        Problem::warning("key_in_two_uses", text)
                            .at(placed.location.clone())
                            .with_help(
                                "give each use a key of its own: claviger generate ALIAS --store …",
                            ),
                    );
                }
            }
        }
        self.problems.extend(found);
    }

    /// Warns of `[labels."…"]` for a label that no store has. Only where every store opened.
    fn check_settings(&mut self, failed: bool) {
        if failed {
            return;
        }
        let have: HashSet<&LabelName> = self.lists.keys().map(|(label, _)| label).collect();
        for (label, settings) in &self.config.labels {
            if !have.contains(label) {
                let text = format!("label \"{label}\" has settings, and no store has it");
                self.problems.push(
                    Problem::warning("unmapped_label", text)
                        .at(settings.location.clone())
                        .with_help("map it in [stores.NAME.mappings], or take the settings out"),
                );
            }
        }
    }

    fn build(&mut self, generation: u64) -> Option<Snapshot> {
        let mut labels: HashMap<LabelName, Scopes> = HashMap::new();
        let lists = std::mem::take(&mut self.lists);
        for ((label, scope), list) in &lists {
            let mut keys: Vec<LabelKey> = list.keys.iter().map(|one| one.key.clone()).collect();
            if keys.is_empty() {
                continue;
            }
            let mapping = list.mapping.as_ref().map(|(_, mapping)| mapping);
            let profile = LabelProfile::of(self.config, label, mapping);
            let global = lists.get(&(label.clone(), None)).filter(|_| scope.is_some());
            if let Some(global) = global {
                self.note_shadow(label, scope.as_ref(), list);
                if profile.valid == ValidSet::Union {
                    // A key that is in both lists counts once; two keys with one kid are an error below.
                    let known: HashSet<String> =
                        keys.iter().map(|key| key.key.thumbprint().to_owned()).collect();
                    let more = global.keys.iter().map(|one| &one.key);
                    keys.extend(more.filter(|key| !known.contains(key.key.thumbprint())).cloned());
                }
            }
            match KeySet::new(
                label.clone(),
                profile.uses.clone(),
                keys,
                profile.rows(),
                profile.policy(self.config),
            ) {
                Ok(set) => {
                    let scopes = labels.entry(label.clone()).or_default();
                    match scope {
                        None => scopes.global = Some(Arc::new(set)),
                        Some(realm) => {
                            scopes.realms.insert(realm.clone(), Arc::new(set));
                        }
                    }
                }
                Err(_) if self.equal_kids.contains(label) => {}
                Err(error) => {
                    let place = list.keys.first().map(|one| one.location.clone());
                    let problem = Problem::error("duplicate_kid", error.message().to_owned())
                        .with_help("give one of them its own: { alias = \"…\", kid = \"…\" }");
                    self.problems.push(match place {
                        Some(place) => problem.at(place),
                        None => problem,
                    });
                }
            }
        }
        Some(Snapshot::new(generation, labels, Arc::clone(self.config)))
    }

    fn note_shadow(&mut self, label: &LabelName, scope: Option<&Realm>, list: &List) {
        let (Some(realm), Some(first)) = (scope, list.keys.first()) else { return };
        let text = format!("label \"{label}\": realm \"{realm}\" shadows the global mapping");
        let help = if LabelProfile::of(self.config, label, None).valid == ValidSet::RealmOnly {
            "meant so? in this realm the realm's list alone counts"
        } else {
            "meant so? in this realm the realm's first alias acts; the global ones still verify and decrypt"
        };
        self.problems.push(
            Problem::warning("shadowed_mapping", text).at(first.location.clone()).with_help(help),
        );
    }
}

fn alias_problem(
    label: &LabelName,
    alias: &Alias,
    store: &StoreName,
    error: &Error,
    location: Location,
) -> Problem {
    let code = match error.kind() {
        ErrorKind::UnknownAlias => "alias_not_found",
        ErrorKind::KeyUnfit if error.message().contains("certificate") => "certificate_mismatch",
        kind => kind.code(),
    };
    let text = if error.kind() == ErrorKind::UnknownAlias {
        format!("label \"{label}\": alias \"{alias}\" is not in store \"{store}\"")
    } else {
        format!("label \"{label}\", alias \"{alias}\": {}", error.message())
    };
    let problem = Problem::error(code, text).at(location);
    match error.help() {
        Some(help) => problem.with_help(help),
        None => problem,
    }
}

/// Fewer keys are prepared on one thread.
const PARALLEL_KEYS: usize = 16;
