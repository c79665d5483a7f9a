//! `import`: entries of another container into a PKCS#12 keystore.

use std::path::PathBuf;

use claviger::error::Result;
use claviger::key_tools::{self, OpenOptions};

use super::password_input::{
    EntryPassword, SourcePassword, StorePassword, read_existing, read_input,
};
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  claviger import keystore.jceks --source-password-file .storepass --entry-password-file .keypass \
    --store keys.p12 --store-password-file secrets/storepass\n  \
    claviger import key.pem --as es256-old --store keys.p12 --store-password-env PW"
)]
pub(crate) struct Args {
    /// The file to import: JKS, JCEKS, PKCS#12, PEM, JWK or DER; `-` reads stdin
    file: PathBuf,
    /// The PKCS#12 keystore; made if it is not there
    #[arg(long, value_name = "FILE")]
    store: PathBuf,
    /// Import this entry; may be repeated [default: all]
    #[arg(long)]
    alias: Vec<String>,
    /// The new alias of the one entry
    #[arg(long = "as", value_name = "ALIAS")]
    rename: Option<String>,
    #[command(flatten)]
    password: StorePassword,
    #[command(flatten)]
    source: SourcePassword,
    #[command(flatten)]
    entry: EntryPassword,
}

pub(crate) fn run(_: &Context, args: &Args) -> Result<Outcome> {
    let content = read_input(&args.file, key_tools::MAX_FILE_BYTES)?;
    let (source, entry) = (args.source.read()?, args.entry.read()?);
    let password = args.password.require()?;
    let _lock = key_tools::lock_folder(&args.store)?;
    let target = read_existing(&args.store, key_tools::MAX_FILE_BYTES)?;
    let options = OpenOptions {
        insist: None,
        store_password: source.as_ref(),
        entry_password: entry.as_ref(),
    };
    let rename = args.rename.as_deref();
    let change =
        key_tools::import(&content, &options, &args.alias, rename, target.as_ref(), &password)?;
    if target.is_some() {
        key_tools::replace_file(&args.store, &change.content)?;
    } else {
        key_tools::create_file(&args.store, &change.content)?;
    }
    Outcome::of_change(&change, "imported")
}
