//! `man`: the manual page of the program or of one command.

use clap::CommandFactory;
use claviger::error::{Error, ErrorKind, Result};
use serde_json::json;

use super::{Cli, Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  claviger man > claviger.1\n  claviger man sign > claviger-sign.1"
)]
pub(crate) struct Args {
    /// The command [default: the program, with the list of commands]
    command: Option<String>,
}

pub(crate) fn run(_: &Context, args: &Args) -> Result<Outcome> {
    let mut program = Cli::command();
    program.build();
    let page = match &args.command {
        None => program,
        Some(name) => program.find_subcommand(name).cloned().ok_or_else(|| {
            let text = format!("there is no command \"{}\"", name.escape_debug());
            Error::new(ErrorKind::Usage, text).with_help("`claviger --help` lists the commands")
        })?,
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut text)
        .map_err(|error| Error::new(ErrorKind::Bug, "the manual page").with_source(error))?;
    let shown = String::from_utf8_lossy(&text).into_owned();
    Ok(Outcome::new(json!({ "command": args.command, "page": shown }), text))
}
