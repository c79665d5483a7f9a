//! `inspect`: what is inside a container.

use std::path::PathBuf;

use claviger::error::{ErrorKind, Result};
use claviger::key_tools::{self, EntryDescription, Inspection, OpenOptions};
use claviger::secret::SecretBytes;

use super::password_input::{EntryPassword, StorePassword, prompt, read_input};
use super::{Context, Outcome, output};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  claviger inspect keystore.jceks --store-password-file .storepass \
                  --entry-password-file .keypass\n  claviger inspect --json key.pem\n  cat wrap.jwk | claviger inspect -"
)]
pub(crate) struct Args {
    /// The file; `-` reads stdin
    file: PathBuf,
    /// Insist on this type (pkcs12, jks, jceks, pem, jwk, jwks, der) instead of telling by the content
    #[arg(long = "type", value_name = "TYPE")]
    insist: Option<String>,
    #[command(flatten)]
    store: StorePassword,
    #[command(flatten)]
    entry: EntryPassword,
}

pub(crate) fn run(_: &Context, args: &Args) -> Result<Outcome> {
    let bytes = read_input(&args.file, key_tools::MAX_FILE_BYTES)?;
    let facts = with_passwords(&bytes, args).map_err(|error| error.with_file(&args.file))?;
    let mut notes: Vec<String> =
        facts.warnings.iter().map(|text| format!("warning: {}", output::escape(text))).collect();
    let shut = ErrorKind::WrongPassword.code();
    let is_shut =
        |entry: &EntryDescription| entry.error.as_ref().is_some_and(|error| error.code == shut);
    if facts.entries.iter().any(is_shut) {
        notes.push(
            "help: name the password of the entries: --entry-password-file or --entry-password-env"
                .into(),
        );
    }
    Ok(Outcome::of(&facts, describe(&facts))?.with_notes(notes))
}

/// A password that was not named is asked for once it turns out to be needed.
fn with_passwords(bytes: &SecretBytes, args: &Args) -> Result<Inspection> {
    let store = args.store.read()?;
    let entry = args.entry.read()?;
    let insist = args.insist.as_deref();
    let open = |store| {
        let options = OpenOptions { insist, store_password: store, entry_password: entry.as_ref() };
        key_tools::inspect(bytes, &options)
    };
    match open(store.as_ref()) {
        Err(error) if error.kind() == ErrorKind::WrongPassword && store.is_none() => {
            let typed = prompt("store password")?;
            let Some(typed) = typed else {
                return Err(error.with_help(
                    "name the password: --store-password-file or --store-password-env",
                ));
            };
            open(Some(&typed))
        }
        other => other,
    }
}

fn describe(facts: &Inspection) -> String {
    let mut rows = Vec::new();
    for entry in &facts.entries {
        let size = entry.curve.map_or_else(
            || entry.bits.map(|bits| bits.to_string()).unwrap_or_default(),
            str::to_owned,
        );
        let leaf = entry.certificates.first();
        rows.push(vec![
            entry.alias.clone(),
            entry.kind.to_owned(),
            entry.algorithm.clone().unwrap_or_default(),
            size,
            leaf.map(|leaf| leaf.not_after.clone()).unwrap_or_default(),
            entry.error.as_ref().map_or_else(
                || leaf.map(|leaf| leaf.subject.clone()).unwrap_or_default(),
                |error| format!("{}: {}", error.code, error.message),
            ),
        ]);
    }
    let head = ["ALIAS", "KIND", "ALGORITHM", "SIZE", "EXPIRES", "SUBJECT OR PROBLEM"];
    let entries = if rows.len() == 1 { "entry" } else { "entries" };
    let table = output::table(&head, &rows);
    format!("{} with {} {entries}\n{table}", facts.container, rows.len())
}
