//! `--denied FILE`: ids that were logged out, a line each, with the end of their token.

use std::path::{Path, PathBuf};

use claviger::atomic::{self, Lock};
use claviger::error::{Error, ErrorKind, Result};
use claviger::profiles::DeniedIds;

use super::Context;
use super::password_input::{read_existing, read_input};

/// The largest file, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// The option.
#[derive(Debug, clap::Args)]
pub(crate) struct Denied {
    /// Refuse the ids in this file: lines of ID END, the end in RFC 3339
    #[arg(long, value_name = "FILE")]
    denied: Option<PathBuf>,
}

impl Denied {
    /// The ids; of a file that is not there none can be known, and that is an error.
    pub(crate) fn read(&self) -> Result<DeniedIds> {
        let Some(path) = &self.denied else { return Ok(DeniedIds::default()) };
        // EXPOSE: ids are no secrets.
        parse(path, read_input(path, MAX_BYTES)?.expose_secret())
    }
}

/// Adds an id; those whose tokens have ended go. Processes take turns.
pub(crate) fn add(context: &Context, path: &Path, id: &str, end: u64) -> Result<usize> {
    let mut lock = path.to_owned().into_os_string();
    lock.push(".lock");
    let _turn = Lock::take(Path::new(&lock))?;
    let known = read_existing(path, MAX_BYTES)?;
    // EXPOSE: ids are no secrets.
    let known = known.as_ref().map_or(&b""[..], |bytes| bytes.expose_secret());
    let mut list = parse(path, known)?;
    list.deny(id, end);
    list.forget_ended(context.clock.now());
    atomic::replace(path, list.to_text().as_bytes())?;
    Ok(list.len())
}

fn parse(path: &Path, bytes: &[u8]) -> Result<DeniedIds> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        Error::new(ErrorKind::Malformed, "the denylist is not text").with_file(path)
    })?;
    DeniedIds::parse(text).map_err(|error| error.with_file(path))
}
