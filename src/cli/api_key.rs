//! `api-key`: a new key for a caller, and its hash.

use claviger::access::ApiKey;
use claviger::error::Result;
use serde_json::json;

use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The key has 256 random bits and is shown this once: the configuration keeps its hash alone.\n\
    The caller sends it as `Authorization: Bearer KEY`.\n\
    Examples:\n  claviger api-key\n  claviger api-key --json"
)]
pub(crate) struct Args {}

pub(crate) fn run(_context: &Context, _args: &Args) -> Result<Outcome> {
    let made = ApiKey::generate()?;
    // EXPOSE: the answer; the outcome wipes it.
    let key = made.key.expose_secret();
    let text = format!("key             {key}\napi_key_sha256  {}\n", made.sha256);
    let json = json!({ "key": key, "api_key_sha256": made.sha256 });
    let note = "give the key to the caller; write the hash under its name in [[callers]]";
    Ok(Outcome::new(json, text).with_notes([note.to_owned()]))
}
