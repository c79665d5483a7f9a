//! `init`: a working starter.

use std::path::PathBuf;

use claviger::error::Result;
use claviger::rotation::Rotation;
use claviger::starter;
use serde_json::json;

use super::step::ActorArgs;
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  claviger init demo && claviger -c demo/claviger.toml check")]
pub(crate) struct Args {
    /// The directory; made if it is not there
    #[arg(default_value = ".")]
    directory: PathBuf,
    #[command(flatten)]
    who: ActorArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let made = starter::create(&args.directory, context.clock.now())?;
    let config = args.directory.join("claviger.toml");
    drop(Rotation::open_new(&config, context.clock.clone(), args.who.actor())?);
    let shown: Vec<String> = made.iter().map(|path| path.display().to_string()).collect();
    let mut notes: Vec<String> = shown.iter().map(|path| format!("made {path}")).collect();
    notes.push(format!("next: claviger -c {} check", config.display()));
    if cfg!(feature = "service") {
        notes.push(format!("      claviger -c {} serve", config.display()));
        let tls = args.directory.join("tls");
        let tls = tls.display();
        notes.push(format!(
            "      curl --cacert {tls}/ca.pem --cert {tls}/admin.pem --key {tls}/admin.key --json '{{\"claims\":{{}}}}' \\\n        https://localhost:8443/v1/labels/am.services.oauth2.oidc.signing.ES256/sign"
        ));
    }
    Ok(Outcome::new(json!({ "made": shown, "config": config.display().to_string() }), "")
        .with_notes(notes))
}
