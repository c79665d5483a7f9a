//! `encode` and `decode`: values of the `encrypted-*` volume formats.

use std::path::PathBuf;
use std::sync::Arc;

use claviger::catalogue::LabelUse;
use claviger::error::{Error, ErrorKind, Result};
use claviger::ops::KeySet;
use claviger::stores::{PasswordSource, seal, unseal};
use serde_json::json;

use super::files::Files;
use super::on_label::keys;
use super::{Context, Outcome, key_life};

/// Arguments of both.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  printf %s hunter2 | claviger encode --key-file seal.key > sealed\n  \
    claviger decode --key-file seal.key --in sealed"
)]
#[command(group = clap::ArgGroup::new("key").required(true).args(["key_file", "key_env", "label"]))]
pub(crate) struct Args {
    /// The file with the sealing key: text, or base64 of 32 bytes
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The environment variable with the sealing key
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
    /// The label whose active alias is the sealing key
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    files: Files,
}

impl Args {
    fn source(&self) -> Option<PasswordSource> {
        let file = self.key_file.clone().map(PasswordSource::File);
        file.or_else(|| self.key_env.clone().map(PasswordSource::Env))
    }
}

pub(crate) fn encode(context: &Context, args: &Args) -> Result<Outcome> {
    let input = args.files.read()?;
    let mut note = None;
    let sealed = match (args.source(), &args.label) {
        (None, Some(label)) => {
            let set = sealing_keys(context, label)?;
            let sealed = set.active().seal(&input)?;
            note = key_life::budget_note_of(&set);
            sealed
        }
        (source, _) => seal(source.as_ref(), &input)?,
    };
    let outcome = args.files.answer(json!({ "value": sealed }), &["value"], sealed.into_bytes())?;
    Ok(outcome.with_notes(note))
}

pub(crate) fn decode(context: &Context, args: &Args) -> Result<Outcome> {
    let text = args.files.read_token()?;
    let plain = match (args.source(), &args.label) {
        (None, Some(label)) => sealing_keys(context, label)?.unseal(&text)?,
        (source, _) => unseal(source.as_ref(), &text)?,
    };
    // EXPOSE: what the operator asked for.
    let bytes = plain.expose_secret();
    args.files.answer(
        json!({ "value": std::str::from_utf8(bytes).ok() }),
        &["value"],
        bytes.to_vec(),
    )
}

/// The keys of a label that may seal: a key that signs does not encrypt (NIST SP 800-57 part 1 §5.2).
fn sealing_keys(context: &Context, label: &str) -> Result<Arc<KeySet>> {
    let set = keys(context, label)?;
    let may =
        |one: &LabelUse| matches!(one, LabelUse::Decrypt | LabelUse::Encrypt | LabelUse::Secret);
    if set.uses().iter().any(may) {
        return Ok(set);
    }
    let text = format!("label \"{label}\" is not to encrypt: it seals nothing");
    Err(Error::new(ErrorKind::WrongUse, text))
}
