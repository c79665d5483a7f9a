//! `delete`: removes an entry of a PKCS#12 keystore.

use std::path::PathBuf;

use claviger::error::Result;
use claviger::key_tools;

use super::password_input::{StorePassword, read_input};
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  claviger delete es256-2026 --store keys.p12 --store-password-file secrets/storepass"
)]
pub(crate) struct Args {
    /// The entry
    alias: String,
    /// The PKCS#12 keystore
    #[arg(long, value_name = "FILE")]
    store: PathBuf,
    #[command(flatten)]
    password: StorePassword,
}

pub(crate) fn run(_: &Context, args: &Args) -> Result<Outcome> {
    let password = args.password.require()?;
    let _lock = key_tools::lock_folder(&args.store)?;
    let content = read_input(&args.store, key_tools::MAX_FILE_BYTES)?;
    let change = key_tools::delete(&content, &password, &args.alias)
        .map_err(|error| error.with_file(&args.store))?;
    key_tools::replace_file(&args.store, &change.content)?;
    Outcome::of_change(&change, "deleted")
}
