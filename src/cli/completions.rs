//! `completions`: what a shell completes.

use clap::CommandFactory;
use claviger::error::Result;
use serde_json::json;

use super::{Cli, Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  claviger completions bash > claviger.bash")]
pub(crate) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub(crate) fn run(_: &Context, args: &Args) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "claviger", &mut script);
    let text = String::from_utf8_lossy(&script).into_owned();
    Ok(Outcome::new(json!({ "shell": args.shell.to_string(), "script": text }), text))
}
