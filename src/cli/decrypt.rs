//! `decrypt`: a JWE with every valid alias.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::error::Result;
use claviger::jose::jwe;
use serde_json::json;

use super::files::Files;
use super::on_label::keys;
use super::verify::with_reason;
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  claviger decrypt --label app.session.seal --in session.jwe")]
pub(crate) struct Args {
    /// The label
    #[arg(long)]
    label: String,
    #[command(flatten)]
    files: Files,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let set = keys(context, &args.label)?;
    let token = args.files.read_token()?;
    let opened = if token.starts_with('{') {
        jwe::decrypt_json(&set, &token)
    } else {
        jwe::decrypt(&set, &token)
    };
    let opened = opened.map_err(|error| with_reason(context, error))?;
    let key = &opened.key;
    // EXPOSE: what the operator asked for.
    let plaintext = opened.plaintext.expose_secret();
    let json = json!({
        "alias": key.alias,
        "store": key.store,
        "kid": key.kid,
        "algorithm": opened.algorithm.name,
        "content_algorithm": opened.content.name,
        "header": opened.header(),
        "plaintext": std::str::from_utf8(plaintext).ok(),
        "plaintext_base64url": URL_SAFE_NO_PAD.encode(plaintext),
    });
    let note = format!(
        "decrypted with alias \"{}\" ({}, {})",
        key.alias, opened.algorithm, opened.content
    );
    Ok(args
        .files
        .answer(json, &["plaintext", "plaintext_base64url"], plaintext.to_vec())?
        .with_notes([note]))
}
