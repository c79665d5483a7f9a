//! `--denied FILE`: ids that were logged out, a line each, with the end of their token.

use std::path::{Path, PathBuf};

use claviger::error::Result;
use claviger::profiles::{DeniedFile, DeniedIds};

use super::Context;

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
        self.denied
            .as_deref()
            .map_or_else(|| Ok(DeniedIds::default()), |path| DeniedFile::new(path).read())
    }
}

/// Adds an id; those whose tokens have ended go. Processes take turns.
pub(crate) fn add(context: &Context, path: &Path, id: &str, end: u64) -> Result<usize> {
    Ok(DeniedFile::new(path).add(id, end, context.clock.now())?.len())
}
