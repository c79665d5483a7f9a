//! From sources to a snapshot: what is as it was before is neither parsed nor derived again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::config::{Config, TraceSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::keyring::Snapshot;
use crate::keyring::open_stores::{OpenStores, Opening, StoreCache, open_all};
use crate::keyring::resolve::{self, Resolved};
use crate::keyring::sources::{
    Marks, ParsedConfig, Sources, refused, rewritten, same, written_since,
};
use crate::problem::Problem;
use crate::stores::Prepared;
use crate::stores::draft::Draft;
use crate::trace::Recorder;
use crate::usage::UsageBook;

/// Builds the snapshots of one keyring, one after the other.
#[derive(Debug)]
pub(crate) struct Loader {
    file: PathBuf,
    clock: Clock,
    /// By the state directory that a configuration names: each has one as long as the keyring lives.
    books: Mutex<HashMap<Option<PathBuf>, UsageBook>>,
    /// That of the snapshot that serves.
    book: Option<UsageBook>,
    /// Who records what is checked; begins with the first configuration that wants it.
    recorder: OnceLock<Recorder>,
    prepared: Arc<Prepared>,
    cache: StoreCache,
    parsed: Option<Arc<ParsedConfig>>,
    paths: Vec<PathBuf>,
    /// What the present snapshot was made of.
    pub(crate) accepted: Marks,
    /// What was refused last; read again, it is not tried again.
    pub(crate) refused: Option<Marks>,
}

/// A snapshot that may be taken, and what it was made of.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) config: Arc<Config>,
    pub(crate) snapshot: Snapshot,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) stores: OpenStores,
    pub(crate) paths: Vec<PathBuf>,
}

impl Loader {
    /// A loader of this configuration file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the operating system gives no random bytes.
    pub(crate) fn new(file: &Path, clock: Clock) -> Result<Self> {
        Ok(Self {
            file: file.to_owned(),
            clock,
            books: Mutex::default(),
            book: None,
            recorder: OnceLock::new(),
            prepared: Arc::new(Prepared::new()?),
            cache: StoreCache::default(),
            parsed: None,
            paths: vec![file.to_owned()],
            accepted: Marks::new(),
            refused: None,
        })
    }

    /// Reads everything once, as it is now.
    pub(crate) fn read(&self) -> Sources {
        let serves = |book: &UsageBook| self.book.as_ref().is_some_and(|served| served.is(book));
        let usage = self.book.as_ref().map(UsageBook::reading);
        let mut sources = self.read_files(self.parsed.as_ref());
        for _ in 0..READ_TRIES {
            let Ok(config) = sources.config.config() else { break };
            let book = self.book(config);
            if serves(&book) {
                break;
            }
            // Only now is known where retirements are written down: the file once more.
            let usage = book.reading();
            if !usage.follows_a_retirement() {
                return sources.used_as(usage);
            }
            let again = self.read_files(Some(&sources.config));
            let is_its = |config: &Arc<Config>| self.book(config).is(&book);
            if again.config.config().is_ok_and(is_its) {
                return again.used_as(usage);
            }
            sources = again;
        }
        let named = sources.config.config().ok().map(|config| self.book(config));
        match (named.filter(|book| !serves(book)), usage) {
            // It names another one each time that it is read.
            (Some(book), _) => sources.used_as(book.reading()),
            (None, Some(usage)) => sources.used_as(usage),
            (None, None) => sources,
        }
    }

    fn read_files(&self, known: Option<&Arc<ParsedConfig>>) -> Sources {
        Sources::read(&self.file, self.prepared.tagger(), known)
    }

    /// The book of a configuration: it is kept in its state directory.
    pub(crate) fn book(&self, config: &Config) -> UsageBook {
        let state_dir = config.keyring.state_dir.as_ref();
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let limit = config.policy.gcm_messages;
            UsageBook::new(state_dir.map(PathBuf::as_path), limit, self.clock.clone())
        };
        books.entry(state_dir.cloned()).or_insert_with(new).clone()
    }

    /// Who records what is checked, if this configuration wants it.
    pub(crate) fn recorder(&self, config: &Config) -> Option<&Recorder> {
        let state_dir = config.keyring.state_dir.as_deref().filter(|_| config.trace.record)?;
        Some(self.recorder.get_or_init(|| {
            let TraceSettings { max_bytes, max_files, .. } = config.trace;
            Recorder::new(state_dir, max_bytes, max_files, self.clock.clone())
        }))
    }

    /// Reads what this configuration names, whatever the file says.
    pub(crate) fn read_given(&self, config: Arc<Config>) -> Sources {
        self.read_drafted(config, &[])
    }

    /// As [`Loader::read_given`], with stores as these drafts change them.
    pub(crate) fn read_drafted(&self, config: Arc<Config>, drafts: &[&Draft]) -> Sources {
        let tagger = self.prepared.tagger();
        let usage = self.book(&config).reading();
        Sources::of_config(ParsedConfig::given(config, tagger), tagger, drafts).used_as(usage)
    }

    /// Reads everything until nothing that was written in place changes any more.
    ///
    /// # Errors
    /// [`ErrorKind::StoreUnreadable`] if writing does not end.
    pub(crate) fn read_settled(&self) -> Result<Sources> {
        self.read_until(|marks| !rewritten(&self.accepted, marks))
    }

    /// As [`Loader::read_settled`], where nothing was accepted before: what was written a moment ago may
    /// not be whole. Files are dated by the clock of the system, whatever the keyring goes by.
    ///
    /// # Errors
    /// As [`Loader::read_settled`].
    pub(crate) fn read_first(&self) -> Result<Sources> {
        let recent = Clock::system().now().checked_sub(SETTLE_PAUSE);
        self.read_until(|marks| !written_since(marks, recent))
    }

    fn read_until(&self, is_settled: impl Fn(&Marks) -> bool) -> Result<Sources> {
        let mut sources = self.read();
        let mut marks = sources.marks();
        for _ in 0..SETTLE_TRIES {
            if is_settled(&marks) {
                return Ok(sources);
            }
            thread::sleep(SETTLE_PAUSE);
            let again = self.read();
            let found = again.marks();
            if same(&marks, &found) {
                return Ok(again);
            }
            (sources, marks) = (again, found);
        }
        Err(Error::new(ErrorKind::StoreUnreadable, "a file is being written all the time")
            .with_help("write a new file beside the old one and rename it into place"))
    }

    /// Builds the next snapshot, or says what is wrong; what was accepted before stays.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with every problem found.
    pub(crate) fn build(
        &mut self,
        sources: &Sources,
        generation: u64,
        now: SystemTime,
    ) -> Result<Built> {
        let built = self.try_build(sources, generation, now);
        let built = built.and_then(|built| {
            self.keep_in(self.book(&built.config))?;
            Ok(built)
        });
        match &built {
            Ok(_) => {
                self.accepted = sources.marks();
                self.refused = None;
            }
            Err(_) => self.refused = Some(sources.marks()),
        }
        self.parsed = Some(Arc::clone(&sources.config));
        // Those of a configuration that cannot be read are not known: the last ones are watched on.
        if sources.config.config().is_ok() {
            self.paths = sources.paths();
        }
        built
    }

    /// Keeps what is made from now on in this book, if another state directory is named: what this process made until now
    /// may be alive, and is known there.
    fn keep_in(&mut self, book: UsageBook) -> Result<()> {
        if let Some(before) = self.book.as_ref().filter(|before| !before.is(&book)) {
            book.take_over(before)?;
        }
        self.book = Some(book);
        Ok(())
    }

    fn try_build(&mut self, sources: &Sources, generation: u64, now: SystemTime) -> Result<Built> {
        let config = sources.config.checked()?;
        let stores = self.open_stores(config, sources);
        let Resolved { snapshot, problems } =
            resolve::resolve(config, &stores, &sources.usage, generation, now);
        let Some(snapshot) = snapshot else {
            self.cache.add(&stores);
            return Err(refused(&config.file, problems));
        };
        self.cache.replace(&stores);
        forget_unmapped(config, &stores);
        self.prepared.sweep();
        let snapshot = match self.recorder(config) {
            Some(recorder) => snapshot.recorded(recorder),
            None => snapshot,
        };
        let paths = sources.paths();
        Ok(Built { config: Arc::clone(config), snapshot, warnings: problems, stores, paths })
    }

    /// Opens the stores as they were read.
    pub(crate) fn open_stores(&self, config: &Config, sources: &Sources) -> OpenStores {
        let (cache, prepared) = (&self.cache, &self.prepared);
        open_all(Opening { config, sources, cache, prepared })
    }

    /// Reads and opens the stores of this configuration.
    pub(crate) fn open_now(&self, config: &Arc<Config>) -> OpenStores {
        self.open_stores(config, &self.read_given(Arc::clone(config)))
    }

    /// The files and directories that the last configuration names, even one that was refused.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.paths.clone()
    }

    /// Lets the stores without files be asked again: all of them, or those whose lease is due. Whether
    /// there are any.
    pub(crate) fn expire(&mut self, due: Due) -> bool {
        self.cache.expire(|opened| match due {
            Due::All => true,
            Due::Leases => opened.is_due(),
        })
    }
}

/// Which stores that live elsewhere are asked again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Due {
    All,
    Leases,
}

/// Wipes what the stores hold beyond the mapped aliases. One store may serve several entries.
fn forget_unmapped(config: &Config, stores: &OpenStores) {
    for (_, opened) in &stores.stores {
        let same = stores.stores.iter().filter(|(_, other)| Arc::ptr_eq(opened, other));
        let entries = same.filter_map(|(index, _)| config.stores.get(*index));
        let mapped = entries.flat_map(|entry| &entry.mappings).flat_map(|mapping| &mapping.aliases);
        let keep: Vec<_> = mapped.map(|one| one.alias.value.clone()).collect();
        opened.store.forget(&keep);
    }
}

/// How long a file that is written in place has to stay as it is.
const SETTLE_PAUSE: Duration = Duration::from_millis(50);
/// How often a configuration is read that names another state directory each time.
const READ_TRIES: usize = 3;
/// How often that is tried: two seconds.
const SETTLE_TRIES: usize = 40;

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::formats::{Entry, Material, pkcs12};
    use crate::secret::{SecretBytes, SecretString};
    use crate::stores::Loaded;

    const TEXT: &str = "[stores.one]\nkind = 'keystore'\npath = 'keys.p12'\nstore_password = { file = 'pw' }\n\
        [stores.one.mappings]\n'am.services.iot.jwt.issuer.signing' = ['k']\n\
        [stores.two]\nkind = 'keystore'\nrealm = 'r'\npath = 'keys.p12'\nstore_password = { file = 'pw' }\n\
        [stores.two.mappings]\n'am.services.iot.jwt.issuer.signing' = ['k']\n\
        [stores.volume]\nkind = 'volume'\ndirectory = 'volume'\n";

    fn files() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let secret = |alias: &str, byte| {
            let bytes = SecretBytes::from_slice(&[byte; 32]);
            let key_type = crate::formats::SecretKeyType::Hmac;
            Entry::new(alias, Material::SecretKey { key_type, bytes })
        };
        let password = SecretString::from_string("pw".into());
        let store = pkcs12::write(&[secret("k", 1), secret("other", 2)], &password).unwrap();
        std::fs::create_dir(folder.path().join("volume")).unwrap();
        for (name, bytes) in [
            ("claviger.toml", TEXT.as_bytes()),
            ("keys.p12", &store),
            ("pw", b"pw"),
            ("volume/a.b", b"first"),
            ("volume/c.d", b"second"),
        ] {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    fn build(loader: &mut Loader) -> Built {
        let sources = loader.read();
        loader.build(&sources, 1, UNIX_EPOCH).unwrap()
    }

    fn loaded(opened: &OpenStores, store: usize, label: &str, alias: &str) -> Loaded {
        let (label, alias) = (label.parse().unwrap(), alias.parse().unwrap());
        opened.stores[store].1.store.load(&label, &[alias]).remove(0).1.unwrap()
    }

    #[test]
    fn what_is_unchanged_is_the_same_store_and_the_same_key() {
        let folder = files();
        let mut loader =
            Loader::new(&folder.path().join("claviger.toml"), Clock::system()).unwrap();
        let first = build(&mut loader).stores;
        assert!(
            Arc::ptr_eq(&first.stores[0].1, &first.stores[1].1),
            "one file and password: one store"
        );
        std::fs::write(folder.path().join("volume/a.b"), b"third").unwrap();
        let second = build(&mut loader).stores;
        assert!(
            Arc::ptr_eq(&first.stores[0].1, &second.stores[0].1),
            "the keystore was opened again"
        );
        assert!(!Arc::ptr_eq(&first.stores[2].1, &second.stores[2].1));
        let key = |opened, label| loaded(opened, 2, label, label).key;
        assert!(
            key(&first, "c.d").is_same(&key(&second, "c.d")),
            "an unchanged file was read again"
        );
        assert!(!key(&first, "a.b").is_same(&key(&second, "a.b")));
    }

    #[test]
    fn a_new_password_opens_the_store_again_and_a_bad_one_is_refused_once() {
        let folder = files();
        let mut loader =
            Loader::new(&folder.path().join("claviger.toml"), Clock::system()).unwrap();
        let first = build(&mut loader).stores;
        std::fs::write(folder.path().join("pw"), b"no").unwrap();
        let sources = loader.read();
        assert!(loader.build(&sources, 2, UNIX_EPOCH).is_err());
        assert!(same(loader.refused.as_ref().unwrap(), &loader.read().marks()));
        std::fs::write(folder.path().join("pw"), b"pw\n").unwrap();
        let second = build(&mut loader).stores;
        assert!(Arc::ptr_eq(&first.stores[0].1, &second.stores[0].1));
    }

    #[test]
    fn aliases_that_nobody_maps_are_not_kept() {
        let folder = files();
        let path = folder.path().join("claviger.toml");
        let mut loader = Loader::new(&path, Clock::system()).unwrap();
        let first = build(&mut loader).stores;
        let other = ["other".parse().unwrap()];
        assert!(!first.stores[0].1.store.still_holds(&other));
        // A mapping that names one opens the store again.
        let text = TEXT.replace("['k']\n[stores.two]", "['k', 'other']\n[stores.two]");
        std::fs::write(&path, text.as_bytes()).unwrap();
        let second = build(&mut loader).stores;
        assert!(second.stores[0].1.store.still_holds(&other));
        std::fs::write(&path, TEXT).unwrap();
        let third = build(&mut loader).stores;
        assert!(Arc::ptr_eq(&second.stores[0].1, &third.stores[0].1));
        assert!(!third.stores[0].1.store.still_holds(&other), "its key is kept");
    }
}
