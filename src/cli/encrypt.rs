//! `encrypt`: a JWE for the active alias.

use claviger::error::Result;
use claviger::jose::jwe::{self, EncryptOptions};
use serde_json::json;

use super::files::Files;
use super::on_label::{Form, keys};
use super::{Context, Outcome, key_life};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  claviger encrypt --label app.session.seal --in session.json --out session.jwe"
)]
pub(crate) struct Args {
    /// The label
    #[arg(long)]
    label: String,
    /// The key management algorithm [default: the label's first that fits]
    #[arg(long, value_name = "NAME")]
    alg: Option<String>,
    /// The content encryption [default: the label's first that fits]
    #[arg(long, value_name = "NAME")]
    enc: Option<String>,
    /// The typ header
    #[arg(long)]
    typ: Option<String>,
    /// The cty header
    #[arg(long)]
    cty: Option<String>,
    /// How the token is written: parts between dots, JSON, or JSON with a list
    #[arg(long, value_enum, default_value = "compact")]
    form: Form,
    /// Compress first; the label must allow it
    #[arg(long)]
    zip: bool,
    #[command(flatten)]
    files: Files,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let set = keys(context, &args.label)?;
    let input = args.files.read()?;
    let options = EncryptOptions {
        algorithm: args.alg.clone().map(Into::into),
        content: args.enc.clone().map(Into::into),
        typ: args.typ.clone().map(Into::into),
        cty: args.cty.clone().map(Into::into),
        zip: args.zip,
        serialization: args.form.into(),
        ..EncryptOptions::default()
    };
    // EXPOSE: into the cipher.
    let token = jwe::encrypt(&set, input.expose_secret(), &options)?;
    let active = set.active();
    let json = json!({ "token": token, "alias": active.alias, "kid": active.kid });
    let outcome = args.files.answer(json, &["token"], format!("{token}\n").into_bytes())?;
    Ok(outcome.with_notes(key_life::budget_note_of(&set)))
}
