//! `delete`: removes an entry of a PKCS#12 keystore.

use std::path::{Path, PathBuf};

use claviger::config::Config;
use claviger::error::{Error, ErrorKind, Result};
use claviger::key_tools;

use super::commands::word;
use super::password_input::{StorePassword, read_input};
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "What stands behind a label of the configuration is not deleted.\n\
    Example:\n  claviger delete es256-2026 --store keys.p12 --store-password-file secrets/storepass")]
pub(crate) struct Args {
    /// The entry
    alias: String,
    /// The PKCS#12 keystore
    #[arg(long, value_name = "FILE")]
    store: PathBuf,
    /// Delete it also where it stands behind a label
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    password: StorePassword,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    if !args.force {
        refuse_mapped(&context.config, args)?;
    }
    let password = args.password.require()?;
    let _lock = key_tools::lock_folder(&args.store)?;
    let content = read_input(&args.store, key_tools::MAX_FILE_BYTES)?;
    let change = key_tools::delete(&content, &password, &args.alias)
        .map_err(|error| error.with_file(&args.store))?;
    key_tools::replace_file(&args.store, &change.content)?;
    Outcome::of_change(&change, "deleted")
}

/// A key that is gone brings nothing back: not what it made, nor a configuration that names it. One that cannot be read
/// names nothing.
fn refuse_mapped(config: &Path, args: &Args) -> Result<()> {
    let Ok(config) = Config::load(config) else { return Ok(()) };
    // Java compares the aliases of PKCS#12 without case.
    let wanted = args.alias.to_lowercase();
    let mapped = config.mapped_from(&args.store);
    let found = mapped.filter(|(_, alias, _)| alias.as_str().to_lowercase() == wanted);
    let found: Vec<_> = found.collect();
    let Some((label, alias, realm)) = found.first() else { return Ok(()) };
    let realm = realm.map_or_else(String::new, |realm| format!(" --realm {realm}"));
    let more = match found.len() {
        1 => String::new(),
        many => format!(" and {} more", many - 1),
    };
    let text = format!(
        "alias \"{alias}\" stands behind label \"{label}\"{more}: once it is deleted the configuration does not load, and \
         what it made is refused for ever"
    );
    Err(Error::new(ErrorKind::StillInUse, text).with_help(format!(
        "take it out first: claviger retire {label} {}{realm}; or delete it all the same: --force",
        word(alias.as_str())
    )))
}
