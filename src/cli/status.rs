//! `status`: what would serve now, where it is read from, and what its keys have made.

use claviger::catalogue;
use claviger::error::Result;
use claviger::keyring::Status;
use claviger::label::LabelName;

use super::{Context, Outcome, key_status, output};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  claviger status\n  claviger status --json\n  \
    claviger status am.services.oauth2.oidc.signing.ES256\n\n\
    MADE is signed and encrypted, READ is verified and decrypted; until HORIZON something that the key made \
    may be alive.\n\
    A running program tells the same of itself with Keyring::status: its `content` is equal as long as it \
    serves what lies on disk.")]
pub(crate) struct Args {
    /// The keys of one label alone
    label: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let keyring = context.open()?;
    let label: Option<LabelName> = args.label.as_deref().map(str::parse).transpose()?;
    let label = label.map(|label| catalogue::canonical(&label));
    let keys = key_status::of(context, &keyring, label.as_ref())?;
    let status = keyring.status();
    let data = match label {
        Some(_) => keys.table,
        None => format!("{}\n{}", text(&status), keys.table),
    };
    Ok(Outcome::of(&status, data)?
        .with_member("keys", serde_json::to_value(&keys.facts).unwrap_or_default())
        .with_notes(keys.notes))
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
