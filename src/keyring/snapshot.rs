//! A snapshot: everything a request needs, immutable from start to end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::catalogue;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::keyring::keyset::KeySet;
use crate::label::{LabelName, Realm};
use crate::trace::Recorder;

/// One label in the scopes that hold it.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    pub(crate) global: Option<Arc<KeySet>>,
    pub(crate) realms: HashMap<Realm, Arc<KeySet>>,
}

impl Scopes {
    fn filter_map(&self, change: impl Fn(&KeySet) -> Option<KeySet>) -> Self {
        let one = |set: &Arc<KeySet>| change(set).map(Arc::new);
        let realms = self.realms.iter();
        Self {
            global: self.global.as_ref().and_then(one),
            realms: realms.filter_map(|(realm, set)| Some((realm.clone(), one(set)?))).collect(),
        }
    }
}

/// All labels of a configuration, resolved and checked. A request takes one at its start.
#[derive(Debug)]
pub struct Snapshot {
    /// Of this snapshot alone in this process, from 1.
    id: u64,
    generation: u64,
    config: Arc<Config>,
    sets: Vec<Arc<KeySet>>,
    labels: HashMap<LabelName, Positions>,
    /// What labels of the catalogue that are not mapped fall back to, within their own algorithms.
    fallbacks: HashMap<LabelName, Positions>,
}

/// Where the scopes of a label are in `sets`.
#[derive(Debug, Default)]
struct Positions {
    global: Option<usize>,
    realms: HashMap<Realm, usize>,
}

/// Where a label stood in the snapshot that a handle used last, so that the next call needs no look-up:
/// the snapshot's id and the position, in one word. It keeps no key alive.
#[derive(Debug, Default)]
pub(crate) struct Place(AtomicU64);

/// The bits of a [`Place`] that hold the position.
const POSITION_BITS: u32 = 24;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Snapshot {
    pub(crate) fn new(
        generation: u64,
        labels: HashMap<LabelName, Scopes>,
        config: Arc<Config>,
    ) -> Self {
        let mut sets = Vec::new();
        let fallbacks = placed(&mut sets, fallbacks(&labels));
        let labels = placed(&mut sets, labels);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Self { id, generation, config, sets, labels, fallbacks }
    }

    /// The same snapshot, whose sets record what is checked with them.
    pub(crate) fn recorded(mut self, recorder: &Recorder) -> Self {
        for (label, positions) in self.labels.iter().chain(&self.fallbacks) {
            let global = positions.global.iter().map(|position| (None, position));
            let realms = positions.realms.iter().map(|(realm, position)| (Some(realm), position));
            for (realm, position) in global.chain(realms) {
                if let Some(set) = self.sets.get_mut(*position) {
                    let witness = recorder.witness(label, realm);
                    *set = Arc::new(KeySet::clone(set).seen_by(witness));
                }
            }
        }
        self
    }

    /// Of this snapshot alone in this process.
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// Counts the snapshots of a keyring, from 1.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The configuration that it is of.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// What stands behind a label as `realm` sees it: the realm's keys, else the global ones.
    #[must_use]
    pub fn find(&self, realm: Option<&Realm>, label: &LabelName) -> Option<&Arc<KeySet>> {
        self.find_named(realm, label.as_str())
    }

    /// As [`Snapshot::find`], by a name that may be none.
    pub(crate) fn find_named(&self, realm: Option<&Realm>, label: &str) -> Option<&Arc<KeySet>> {
        let position = self.labels.get(label)?.find(realm)?;
        self.sets.get(position)
    }

    /// As [`Snapshot::find`] in the global scope, through a `place`: a look-up only the first time.
    pub(crate) fn find_at(&self, place: &Place, label: &str) -> Option<&Arc<KeySet>> {
        self.found_at(place, || self.labels.get(label)?.find(None))
    }

    /// What stands at a `place`; where nothing of this snapshot is known of it, it becomes what `find` finds.
    fn found_at(
        &self,
        place: &Place,
        find: impl FnOnce() -> Option<usize>,
    ) -> Option<&Arc<KeySet>> {
        let known = place.position_in(self.id);
        if let Some(set) = known.and_then(|position| self.sets.get(position)) {
            return Some(set);
        }
        let position = find()?;
        place.keep(self.id, position);
        self.sets.get(position)
    }

    /// As [`Snapshot::find`], then along the fallbacks of the catalogue, as [`Snapshot::keys`] does.
    #[must_use]
    pub fn find_along(&self, realm: Option<&Realm>, label: &LabelName) -> Option<&Arc<KeySet>> {
        self.sets.get(self.position(realm, label)?)
    }

    /// What a label falls back to, within its own algorithms, whether it is mapped or not: what was made
    /// before it was. Labels with an identifier are not asked: nobody else's tokens are theirs.
    #[must_use]
    pub fn find_fallback(&self, realm: Option<&Realm>, label: &LabelName) -> Option<&Arc<KeySet>> {
        self.sets.get(self.fallbacks.get(label)?.find(realm)?)
    }

    /// As [`Snapshot::find`], then along the fallbacks of the catalogue. A label that falls back keeps its
    /// own algorithms: `….signing.ES256` on the keys of `….signing` still makes ES256 alone.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`] if nothing is mapped.
    pub fn keys(&self, realm: Option<&Realm>, label: &LabelName) -> Result<&Arc<KeySet>> {
        self.keys_at(&Place::default(), realm, label)
    }

    /// As [`Snapshot::keys`], through the `place` of a handle: a look-up only the first time.
    pub(crate) fn keys_at(
        &self,
        place: &Place,
        realm: Option<&Realm>,
        label: &LabelName,
    ) -> Result<&Arc<KeySet>> {
        let set = self.found_at(place, || self.position(realm, label));
        set.ok_or_else(|| self.not_mapped(realm, label))
    }

    #[cold]
    fn not_mapped(&self, realm: Option<&Realm>, label: &LabelName) -> Error {
        let scope = realm.map_or_else(String::new, |realm| format!(" in realm \"{realm}\""));
        let text = format!("no secret is mapped to label \"{label}\"{scope}");
        let roles = catalogue::fallbacks_of(label);
        let mut roles = roles.iter().filter(|role| self.find(realm, role).is_some());
        if let (Some(one), Some(other)) = (roles.next(), roles.next()) {
            let help = format!(
                "it falls to the label of a role, \"{one}\" or \"{other}\": ask for one of those, or as the provider, with its role"
            );
            return Error::new(ErrorKind::UnknownLabel, text).with_help(help);
        }
        let mut mapped: Vec<&str> = self.labels.keys().map(LabelName::as_str).collect();
        mapped.sort_unstable();
        // A name of the catalogue is no slip: it is only not mapped.
        let near = if catalogue::find(label).is_some() {
            None
        } else {
            catalogue::nearest_of(label.as_str(), mapped.into_iter())
                .or_else(|| catalogue::nearest(label.as_str()))
        };
        let guess = near.map_or_else(String::new, |near| format!("did you mean \"{near}\"? "));
        // What is told of a name that was mistyped is the right one.
        let make = if near.is_some() {
            String::new()
        } else {
            format!("`claviger generate ALIAS --stage {label} --store STORE` makes and maps one; ")
        };
        let help = format!("{guess}{make}`claviger explain {label}` shows which stores were asked");
        Error::new(ErrorKind::UnknownLabel, text).with_help(help)
    }

    /// The labels as a realm sees them, in order of name: its own list of each, else the global one; `None`: the
    /// global scope.
    #[must_use]
    pub fn labels_seen_by(
        &self,
        realm: Option<&Realm>,
    ) -> Vec<(&LabelName, Option<&Realm>, &Arc<KeySet>)> {
        let all = self.labels().into_iter().map(|((label, of), set)| (label, of, set));
        let seen = |label: &LabelName, of: Option<&Realm>, set: &Arc<KeySet>| match of {
            Some(of) => realm == Some(of),
            None => self.find(realm, label).is_some_and(|found| Arc::ptr_eq(found, set)),
        };
        all.filter(|(label, of, set)| seen(label, *of, set)).collect()
    }

    /// Every label with its key sets: `None` for the global scope, then the realms, in order of name.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<(&LabelName, Option<&Realm>), &Arc<KeySet>> {
        let mut all = BTreeMap::new();
        for (label, positions) in &self.labels {
            let global = positions.global.iter().map(|position| (None, position));
            let realms = positions.realms.iter().map(|(realm, position)| (Some(realm), position));
            for (realm, position) in global.chain(realms) {
                all.extend(self.sets.get(*position).map(|set| ((label, realm), set)));
            }
        }
        all
    }

    /// The labels that an operation finds in some realm: those of [`Snapshot::labels`], and of the catalogue those
    /// that fall back to one of them.
    #[must_use]
    pub fn reachable(&self) -> BTreeSet<LabelName> {
        self.labels.keys().chain(self.fallbacks.keys()).cloned().collect()
    }

    /// Under which name uses of a label are counted: its own if that is written out here, else that of the label that
    /// stands in for it, since names with an identifier are without end; `None` if nothing does.
    #[cfg(feature = "service")]
    pub(crate) fn counted_as<'s>(
        &'s self,
        realm: Option<&Realm>,
        label: &'s LabelName,
    ) -> Option<&'s LabelName> {
        let set = self.find_along(realm, label)?;
        let own = self.labels.contains_key(label) || self.fallbacks.contains_key(label);
        Some(if own { label } else { set.label() })
    }

    /// The realm, if any store is its own: all others see the same, and their names are without end.
    #[cfg(feature = "service")]
    pub(crate) fn with_stores<'r>(&self, realm: Option<&'r Realm>) -> Option<&'r Realm> {
        realm
            .filter(|realm| self.config.stores.iter().any(|one| one.realm.as_ref() == Some(*realm)))
    }

    /// Its own position, else along its fallbacks.
    fn position(&self, realm: Option<&Realm>, label: &LabelName) -> Option<usize> {
        let of = |labels: &HashMap<LabelName, Positions>, label: &LabelName| {
            labels.get(label)?.find(realm)
        };
        of(&self.labels, label).or_else(|| of(&self.fallbacks, label)).or_else(|| {
            let of_pattern = catalogue::fallbacks_of(label);
            let mut found = of_pattern.iter().filter_map(|fallback| of(&self.labels, fallback));
            // Several are of several roles, and a label does not say of which one is asked.
            found.next().filter(|_| found.next().is_none())
        })
    }
}

impl Positions {
    /// The realm's own, else the global one.
    fn find(&self, realm: Option<&Realm>) -> Option<usize> {
        realm.and_then(|realm| self.realms.get(realm).copied()).or(self.global)
    }
}

/// Puts the sets of `labels` into `sets`.
fn placed(
    sets: &mut Vec<Arc<KeySet>>,
    labels: HashMap<LabelName, Scopes>,
) -> HashMap<LabelName, Positions> {
    let mut add = |set| {
        sets.push(set);
        sets.len() - 1
    };
    labels
        .into_iter()
        .map(|(label, scopes)| {
            let global = scopes.global.map(&mut add);
            let realms = scopes.realms.into_iter();
            let realms = realms.map(|(realm, set)| (realm, add(set))).collect();
            (label, Positions { global, realms })
        })
        .collect()
}

impl Place {
    pub(crate) const fn unknown() -> Self {
        Self(AtomicU64::new(0))
    }

    fn position_in(&self, id: u64) -> Option<usize> {
        let word = self.0.load(Ordering::Relaxed);
        let position = word & ((1 << POSITION_BITS) - 1);
        if word >> POSITION_BITS == id { usize::try_from(position).ok() } else { None }
    }

    /// Ids or positions too large for their bits are looked up each time.
    fn keep(&self, id: u64, position: usize) {
        let fits = id < 1 << (64 - POSITION_BITS) && position < 1 << POSITION_BITS;
        if let Ok(position) = u64::try_from(position)
            && fits
        {
            self.0.store(id << POSITION_BITS | position, Ordering::Relaxed);
        }
    }
}

/// The fallbacks of the labels that are written out in the catalogue; those of patterns are looked up.
fn fallbacks(labels: &HashMap<LabelName, Scopes>) -> HashMap<LabelName, Scopes> {
    let mut found = HashMap::new();
    for spec in catalogue::all() {
        let Ok(label) = spec.name.parse::<LabelName>() else { continue };
        let fallback = spec.fallback.iter().find_map(|name| labels.get(name.as_str()));
        if let Some(scopes) = fallback {
            let rows = spec.rows();
            found.insert(label, scopes.filter_map(|set| set.narrowed(&rows).ok()));
        }
    }
    found
}
