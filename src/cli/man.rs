//! `man`: the manual page of the program or of one command.

use clap::CommandFactory;
use claviger::error::{Error, ErrorKind, Result};
use serde_json::json;

use super::help::with_examples;
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
    let mut program = with_examples(Cli::command());
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
    let page = unfilled(&String::from_utf8_lossy(&text));
    Ok(Outcome::new(json!({ "command": args.command, "page": page }), page))
}

/// The page with its examples as they are typed: filled, their lines would break anywhere and their words be hyphenated.
fn unfilled(page: &str) -> String {
    let mut out = String::with_capacity(page.len() + 64);
    let mut inside = false;
    for line in page.lines() {
        let is_example = line.starts_with("  ");
        if is_example != inside {
            out.push_str(if is_example { ".nf\n" } else { ".fi\n" });
            inside = is_example;
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}
