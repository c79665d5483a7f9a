//! Everything that a keyring is made of, read once and tagged: what is compared is what is parsed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::Config;
use crate::crypto::{Tag, Tagger};
use crate::error::{Error, ErrorKind, Result};
use crate::parallel;
use crate::problem::{Problem, Severity};
use crate::secret::SecretBytes;
use crate::stores::draft::Draft;
use crate::stores::{Content, PasswordSource, Stamp, password, read_password_file};
use crate::usage::Reading;

/// The configuration, every store and every password file, as one reading found them.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) config: Arc<ParsedConfig>,
    /// One a store of the configuration, in its order.
    pub(crate) stores: Vec<Unit>,
    /// The usage of keys as this reading sees it.
    pub(crate) usage: Reading,
    passwords: HashMap<PathBuf, Unit>,
}

/// One thing that was read whole: a store or a password file.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) mark: Mark,
    content: Result<Content>,
}

/// What is remembered of something that was read: a tag under a key of this process, never a bare hash.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) tag: Tag,
    /// Whether something of it could not be read.
    pub(crate) failed: bool,
    stamps: Vec<Stamp>,
}

/// What something is called from one reading to the next.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum UnitName {
    Config,
    Password(PathBuf),
    /// By its options, so that a store that is renamed stays the same.
    Store(String),
}

/// The marks of one reading.
pub(crate) type Marks = HashMap<UnitName, Mark>;

/// A configuration file that was read: what it says, or why it says nothing.
#[derive(Debug)]
pub(crate) struct ParsedConfig {
    mark: Mark,
    file: PathBuf,
    config: Result<Arc<Config>>,
    /// Findings of form, the errors among them.
    pub(crate) problems: Vec<Problem>,
}

impl Sources {
    /// Reads everything. A configuration whose text is that of `known` is not parsed again.
    pub(crate) fn read(file: &Path, tagger: &Tagger, known: Option<&Arc<ParsedConfig>>) -> Self {
        Self::of_config(ParsedConfig::read(file, tagger, known), tagger, &[])
    }

    /// Reads what a configuration names, as these drafts change it.
    pub(crate) fn of_config(config: Arc<ParsedConfig>, tagger: &Tagger, drafts: &[&Draft]) -> Self {
        let Ok(found) = &config.config else {
            let usage = Reading::default();
            return Self { config, stores: Vec::new(), usage, passwords: HashMap::new() };
        };
        let stores = parallel::map(&found.stores, PARALLEL_STORES, |entry| {
            Unit::new(entry.options.read_with(drafts), tagger)
        });
        let passwords = found
            .stores
            .iter()
            .flat_map(|entry| entry.options.passwords())
            .filter_map(|source| match source {
                PasswordSource::File(path) => Some(path),
                PasswordSource::Env(_) | PasswordSource::Label(_) => None,
            })
            .map(|path| {
                let unit = Unit::new(Ok(read_password_file(&path)), tagger);
                (path, unit)
            })
            .collect();
        Self { config, stores, usage: Reading::default(), passwords }
    }

    /// With the usage of keys as this reading sees it.
    pub(crate) fn used_as(self, usage: Reading) -> Self {
        Self { usage, ..self }
    }

    /// The password in a file or variable.
    pub(crate) fn password(&self, source: &PasswordSource) -> Result<SecretBytes> {
        let PasswordSource::File(path) = source else { return password::read(source) };
        let unit = self.passwords.get(path);
        let unit =
            unit.ok_or_else(|| Error::new(ErrorKind::Bug, "a password file was not read"))?;
        password::of_content(path, unit.content()?)
    }

    /// What to remember of this reading.
    pub(crate) fn marks(&self) -> Marks {
        let mut marks = Marks::from([(UnitName::Config, self.config.mark.clone())]);
        if let Ok(config) = &self.config.config {
            let named = config.stores.iter().map(|entry| UnitName::store(&entry.options));
            marks.extend(named.zip(self.stores.iter().map(|unit| unit.mark.clone())));
        }
        marks.extend(
            self.passwords
                .iter()
                .map(|(path, unit)| (UnitName::Password(path.clone()), unit.mark.clone())),
        );
        marks
    }

    /// Leaves a store as it was: what was read of it now is not used.
    pub(crate) fn hold_back(&mut self, name: &UnitName, accepted: &Mark) {
        let Ok(config) = &self.config.config else { return };
        for (entry, unit) in config.stores.iter().zip(&mut self.stores) {
            if UnitName::store(&entry.options) == *name {
                let error = Error::new(ErrorKind::StoreUnreadable, "it is being written")
                    .with_help("it is read again once it is whole");
                *unit = Unit { mark: accepted.clone(), content: Err(error) };
            }
        }
    }

    /// Every file and directory that it depends on, sorted.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.config.file.clone()];
        if let Ok(config) = &self.config.config {
            paths.extend(config.stores.iter().flat_map(|entry| entry.options.paths()));
        }
        paths.extend(self.passwords.keys().cloned());
        paths.sort();
        paths.dedup();
        paths
    }

    /// What people call it.
    pub(crate) fn shown(&self, name: &UnitName) -> String {
        match name {
            UnitName::Config => self.config.file.display().to_string(),
            UnitName::Password(path) => path.display().to_string(),
            UnitName::Store(_) => {
                let config = self.config.config.as_ref().ok();
                let entries = config.map_or(&[][..], |config| config.stores.as_slice());
                let entry = entries.iter().find(|one| UnitName::store(&one.options) == *name);
                entry.map_or_else(String::new, |one| format!("store \"{}\"", one.name.value))
            }
        }
    }
}

impl Unit {
    fn new(content: Result<Content>, tagger: &Tagger) -> Self {
        let mark = match &content {
            Ok(content) => Mark {
                tag: content.tag(tagger),
                failed: content.failure().is_some(),
                stamps: content.stamps(),
            },
            Err(error) => {
                let tag = tagger.tag(&[b"failed", error.message().as_bytes()]);
                Mark { tag, failed: true, stamps: Vec::new() }
            }
        };
        Self { mark, content }
    }

    /// What was read.
    pub(crate) fn content(&self) -> Result<&Content> {
        self.content.as_ref().map_err(Error::repeat)
    }
}

impl Mark {
    /// Whether a file of `before` was written in place: it may not be whole yet.
    fn rewrites(&self, before: &Self) -> bool {
        self.tag != before.tag
            && self.stamps.iter().any(|now| before.stamps.iter().any(|old| now.rewrites(old)))
    }
}

impl UnitName {
    pub(crate) fn store(options: &crate::stores::StoreConfig) -> Self {
        Self::Store(format!("{options:?}"))
    }
}

/// Whether any file of `before` was written in place since.
pub(crate) fn rewritten(before: &Marks, after: &Marks) -> bool {
    after.iter().any(|(name, mark)| before.get(name).is_some_and(|old| mark.rewrites(old)))
}

/// Whether any file was written after `time`.
pub(crate) fn written_since(marks: &Marks, time: Option<SystemTime>) -> bool {
    let written = |stamp: &Stamp| time.is_some_and(|time| stamp.is_newer(time));
    marks.values().flat_map(|mark| &mark.stamps).any(written)
}

/// Whether two readings found the same.
pub(crate) fn same(a: &Marks, b: &Marks) -> bool {
    a.len() == b.len()
        && a.iter().all(|(name, mark)| b.get(name).is_some_and(|other| other.tag == mark.tag))
}

impl ParsedConfig {
    fn read(file: &Path, tagger: &Tagger, known: Option<&Arc<Self>>) -> Arc<Self> {
        let stamp = std::fs::metadata(file).ok().map(|facts| Stamp::of_metadata(&facts));
        let text = Config::read_text(file);
        let (state, bytes) = match &text {
            Ok(text) => (&b"read"[..], text.as_bytes()),
            Err(error) => (&b"failed"[..], error.message().as_bytes()),
        };
        let mark = Mark {
            tag: tagger.tag(&[state, bytes]),
            failed: text.is_err(),
            stamps: stamp.into_iter().collect(),
        };
        if let Some(known) = known.filter(|known| known.mark.tag == mark.tag) {
            return Arc::new(Self {
                mark,
                file: file.to_owned(),
                config: known.config.as_ref().map(Arc::clone).map_err(Error::repeat),
                problems: known.problems.clone(),
            });
        }
        let (config, problems) = match text {
            Err(error) => (Err(error), Vec::new()),
            Ok(text) => {
                let (config, problems) = Config::parse(&text, file);
                let missing = || Error::from_problems("it is no TOML", problems.clone());
                (config.map(Arc::new).ok_or_else(missing), problems)
            }
        };
        Arc::new(Self { mark, file: file.to_owned(), config, problems })
    }

    /// A configuration that the caller made or read.
    pub(crate) fn given(config: Arc<Config>, tagger: &Tagger) -> Arc<Self> {
        Arc::new(Self {
            mark: Mark { tag: tagger.tag(&[b"given"]), failed: false, stamps: Vec::new() },
            file: config.file.clone(),
            problems: config.warnings.clone(),
            config: Ok(config),
        })
    }

    /// The configuration, even one with errors of form.
    ///
    /// # Errors
    /// If the file cannot be read or is no TOML.
    pub(crate) fn config(&self) -> Result<&Arc<Config>> {
        self.config.as_ref().map_err(Error::repeat)
    }

    /// The configuration if its form is right.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with every problem of form.
    pub(crate) fn checked(&self) -> Result<&Arc<Config>> {
        if self.problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(refused(&self.file, self.problems.clone()));
        }
        self.config()
    }
}

/// The error of a configuration with these problems.
pub(crate) fn refused(file: &Path, problems: Vec<Problem>) -> Error {
    let errors = problems.iter().filter(|one| one.severity == Severity::Error).count();
    let plural = if errors == 1 { "" } else { "s" };
    Error::from_problems(format!("{} has {errors} error{plural}", file.display()), problems)
        .with_file(file)
        .with_help("`claviger check` shows them all")
}

/// Fewer stores are read on one thread.
const PARALLEL_STORES: usize = 4;
