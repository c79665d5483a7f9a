//! What the files of a store hold, read once: the bytes that are tagged are the bytes that are parsed.

use std::path::PathBuf;
use std::time::Duration;

use crate::crypto::{Tag, Tagger};
use crate::error::{Error, Result};
use crate::secret::SecretBytes;
use crate::stores::files::Stamp;
use crate::stores::{PasswordSource, StoreConfig, environment, files, keystore, volume};

/// The parts of a store as they were read: one file of a keystore, each file of a volume, each variable.
#[derive(Debug, Default)]
pub struct Content {
    pub(super) parts: Vec<Part>,
    pub(super) warnings: Vec<String>,
}

/// One file or variable.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) bytes: Result<SecretBytes>,
    pub(super) stamp: Option<Stamp>,
}

impl Part {
    /// What reading gave.
    pub(super) fn bytes(&self) -> Result<&SecretBytes> {
        self.bytes.as_ref().map_err(Error::repeat)
    }
}

impl Content {
    /// The tag of everything in it; what could not be read counts with its reason.
    pub(crate) fn tag(&self, tagger: &Tagger) -> Tag {
        let mut parts: Vec<&[u8]> = Vec::with_capacity(self.parts.len() * 3);
        for part in &self.parts {
            parts.push(part.name.as_bytes());
            match &part.bytes {
                // EXPOSE: into a tag under a key of this process.
                Ok(bytes) => parts.extend([&b"read"[..], bytes.expose_secret()]),
                Err(error) => parts.extend([&b"failed"[..], error.message().as_bytes()]),
            }
        }
        parts.extend(self.warnings.iter().map(String::as_bytes));
        tagger.tag(&parts)
    }

    /// What the system says of its files.
    pub(crate) fn stamps(&self) -> Vec<Stamp> {
        self.parts.iter().filter_map(|part| part.stamp).collect()
    }

    /// The first thing that could not be read.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.parts.iter().find_map(|part| part.bytes.as_ref().err())
    }
}

impl StoreConfig {
    /// Reads what the store is made of; nothing is parsed.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::StoreUnreadable`] if the file or directory is not there or not readable.
    pub(crate) fn read(&self) -> Result<Content> {
        match self {
            Self::Environment(_) => Ok(environment::read()),
            Self::Keystore(options) => Ok(keystore::read(options)),
            Self::Volume(options) => volume::read(options),
        }
    }

    /// Where changes of the store show: its file or its directory.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Environment(_) => Vec::new(),
            Self::Keystore(options) => vec![options.path.clone()],
            Self::Volume(options) => vec![options.directory.clone()],
        }
    }

    /// The passwords that opening it asks for.
    pub(crate) fn passwords(&self) -> Vec<PasswordSource> {
        let (first, second, pem) = match self {
            Self::Environment(options) => {
                (&options.key, &options.pem_password, options.format.is_pem())
            }
            Self::Keystore(options) => (&options.store_password, &options.entry_password, false),
            Self::Volume(options) => (&options.key, &options.pem_password, options.format.is_pem()),
        };
        let default = if pem && second.is_none() {
            crate::catalogue::PEM_PASSWORD.parse().ok().map(PasswordSource::Label)
        } else {
            None
        };
        first.iter().chain(second).cloned().chain(default).collect()
    }

    /// `lease`: after this time the values are read again; absent: only when something changes.
    #[must_use]
    pub const fn lease(&self) -> Option<Duration> {
        match self {
            Self::Environment(options) => options.lease,
            Self::Keystore(options) => options.lease,
            Self::Volume(options) => options.lease,
        }
    }

    /// The name of its kind in the configuration.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Environment(_) => "environment",
            Self::Keystore(_) => "keystore",
            Self::Volume(_) => "volume",
        }
    }
}

/// A password file, read once: its bytes as they stand.
pub(crate) fn read_password_file(path: &std::path::Path) -> Content {
    let taken = files::take(path, super::password::MAX_BYTES);
    Content {
        parts: vec![Part::of(path.to_string_lossy().into_owned(), taken)],
        ..Content::default()
    }
}

impl Part {
    pub(super) fn of(name: String, taken: Result<files::Taken>) -> Self {
        match taken {
            Ok(taken) => Self { name, bytes: Ok(taken.bytes), stamp: Some(taken.stamp) },
            Err(error) => Self { name, bytes: Err(error), stamp: None },
        }
    }
}
