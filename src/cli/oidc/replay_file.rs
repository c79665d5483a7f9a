//! Ids of tokens that were used, in a file: the memory of a command line.

use std::path::{Path, PathBuf};

use claviger::atomic::{self, Lock};
use claviger::clock::{Clock, to_unix};
use claviger::error::{Error, ErrorKind, Result};
use claviger::profiles::oidc::{JtiUse, NoReplayCheck, ReplayGuard};
use claviger::profiles::{DeniedIds, Denylist as _};

use crate::cli::password_input::read_existing;

/// The largest file, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// A file with a line for each token that was used and still lives. Processes take turns.
#[derive(Debug)]
pub(super) struct ReplayFile {
    path: PathBuf,
    clock: Clock,
}

impl ReplayFile {
    pub(super) fn new(path: &Path, clock: &Clock) -> Self {
        Self { path: path.to_owned(), clock: clock.clone() }
    }
}

impl ReplayGuard for ReplayFile {
    fn is_first(&self, token: &JtiUse<'_>) -> Result<bool> {
        let mut lock = self.path.clone().into_os_string();
        lock.push(".lock");
        let _turn = Lock::take(Path::new(&lock))?;
        let known = read_existing(&self.path, MAX_BYTES)?;
        // EXPOSE: digests of public ids.
        let known = known.as_ref().map_or(&b""[..], |bytes| bytes.expose_secret());
        let text = std::str::from_utf8(known).map_err(|_| {
            Error::new(ErrorKind::Malformed, "the file is not text").with_file(&self.path)
        })?;
        let mut used = DeniedIds::parse(text).map_err(|error| error.with_file(&self.path))?;
        used.forget_ended(self.clock.now());
        // A line has no room for what an issuer may put into an id.
        let id = hex::encode(token.digest());
        let first = !used.denies(&id)?;
        used.deny(&id, to_unix(token.until));
        atomic::replace(&self.path, used.to_text().as_bytes())?;
        Ok(first)
    }
}

/// The file that was named, or none.
pub(super) fn guard(path: Option<&Path>, clock: &Clock) -> Box<dyn ReplayGuard> {
    match path {
        Some(path) => Box::new(ReplayFile::new(path, clock)),
        None => Box::new(NoReplayCheck),
    }
}
