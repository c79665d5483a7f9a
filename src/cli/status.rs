//! `status`: what would serve now, and where it is read from.

use claviger::error::Result;
use claviger::keyring::{Keyring, Status};

use super::{Context, Outcome, output};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  claviger status\n  claviger status --json\n\n\
    A running program tells the same of itself with Keyring::status: its `content` is equal as long as it \
    serves what lies on disk.")]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context, _args: &Args) -> Result<Outcome> {
    let status = Keyring::open_once(&context.config)?.status();
    Outcome::of(&status, text(&status))
}

fn text(status: &Status) -> String {
    let rows: Vec<Vec<String>> = status
        .stores
        .iter()
        .map(|store| {
            let files: Vec<String> =
                store.files.iter().map(|path| path.display().to_string()).collect();
            vec![
                store.name.to_string(),
                store.kind.to_owned(),
                store.realm.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
                store.aliases.to_string(),
                store.lease.map_or_else(|| "-".to_owned(), |lease| format!("{}s", lease.as_secs())),
                if files.is_empty() { "-".to_owned() } else { files.join(" ") },
            ]
        })
        .collect();
    let table = output::table(&["STORE", "KIND", "REALM", "ALIASES", "LEASE", "FILES"], &rows);
    format!("content {}\nreload  {}\n\n{table}", status.content, status.reload)
}
