//! `export`: the public half of an entry, or its key, into a file of its own.

use std::path::PathBuf;

use claviger::error::Result;
use claviger::key_tools::{self, OpenOptions};

use super::password_input::{EntryPassword, StorePassword, read_input};
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  claviger export es256-2026 --store keys.p12 --store-password-file secrets/storepass --format jwk --out public.jwk\n  \
    claviger export es256-2026 --private --store keys.p12 --store-password-file secrets/storepass --out key.pem"
)]
pub(crate) struct Args {
    /// The entry
    alias: String,
    /// The container: JKS, JCEKS, PKCS#12, PEM, JWK or DER
    #[arg(long, value_name = "FILE")]
    store: PathBuf,
    /// pem, jwk or der
    #[arg(long, default_value = "pem")]
    format: String,
    /// Write to this new file, mode 0600, instead of stdout; --private needs it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the private or secret key too, unencrypted
    #[arg(long, requires = "out")]
    private: bool,
    #[command(flatten)]
    password: StorePassword,
    #[command(flatten)]
    entry: EntryPassword,
}

pub(crate) fn run(_: &Context, args: &Args) -> Result<Outcome> {
    let content = read_input(&args.store, key_tools::MAX_FILE_BYTES)?;
    let (store, entry) = (args.password.read()?, args.entry.read()?);
    let options = OpenOptions {
        insist: None,
        store_password: store.as_ref(),
        entry_password: entry.as_ref(),
    };
    let change = key_tools::export(&content, &options, &args.alias, &args.format, args.private)
        .map_err(|error| error.with_file(&args.store))?;
    if let Some(out) = &args.out {
        key_tools::create_file(out, &change.content)?;
        return Outcome::of_change(&change, "exported");
    }
    // EXPOSE: without --private this is a public key or a certificate.
    let public = change.content.expose_secret();
    let mut outcome = Outcome::of_change(&change, "exported")?.with_data(public);
    if let Ok(text) = std::str::from_utf8(public) {
        outcome = outcome.with_member("content", text);
    }
    Ok(outcome)
}
