//! The command tree: global options, one variant and one file a command, and how answers are shown.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use claviger::clock::Clock;
use claviger::error::{Error, ErrorKind, Result};

mod args;
mod completions;
mod delete;
mod export;
mod generate;
mod import;
mod inspect;
mod output;
mod password_input;

pub(crate) use args::{Color, GlobalArgs};
pub(crate) use output::Outcome;

/// Keys by label: sign, verify, encrypt and decrypt by what a key is for.
#[derive(Debug, Parser)]
#[command(
    name = "claviger",
    version,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done; 1 the answer is no; 2 wrong usage or configuration; \
                  3 something outside failed.\nSecrets are never arguments: name a file, an environment \
                  variable, or answer the prompt."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

/// One variant a command; its file has `Args` and `run`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Print the completions of a shell
    Completions(completions::Args),
    /// Remove an entry of a PKCS#12 keystore
    Delete(delete::Args),
    /// Write the public half of an entry, or with --private the key, into a file of its own
    Export(export::Args),
    /// Make a new key in a PKCS#12 keystore or a file of its own
    Generate(generate::Args),
    /// Copy entries of a JKS, JCEKS, PKCS#12, PEM or JWK file into a PKCS#12 keystore
    Import(import::Args),
    /// Show what is inside a keystore, PEM, JWK or certificate
    Inspect(inspect::Args),
}

impl Command {
    fn run(self, context: &Context) -> Result<Outcome> {
        match self {
            Self::Completions(args) => completions::run(context, &args),
            Self::Delete(args) => delete::run(context, &args),
            Self::Export(args) => export::run(context, &args),
            Self::Generate(args) => generate::run(context, &args),
            Self::Import(args) => import::run(context, &args),
            Self::Inspect(args) => inspect::run(context, &args),
        }
    }
}

/// What every command may need besides its own arguments.
#[derive(Debug)]
#[expect(dead_code, reason = "the commands on labels read the rest")]
pub(crate) struct Context {
    /// The configuration file.
    pub(crate) config: PathBuf,
    /// The realm asked for; `None` is the root realm.
    pub(crate) realm: Option<String>,
    /// Whether stdout carries one JSON object.
    pub(crate) json: bool,
    /// Whether stderr is coloured.
    pub(crate) color: Color,
    /// How much is said: negative is quiet.
    pub(crate) verbosity: i16,
    /// The present.
    pub(crate) clock: Clock,
}

/// Parses `arguments`, runs the command and shows its answer.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    let wants_json = arguments
        .iter()
        .take_while(|argument| *argument != "--")
        .any(|argument| argument == "--json");
    match Cli::try_parse_from(arguments) {
        Ok(cli) => {
            let context = cli.global.into_context(Clock::system());
            output::show(&context, cli.command.run(&context))
        }
        Err(error) if wants_json && error.use_stderr() => output::show_json_error(&usage(&error)),
        Err(error) => {
            drop(error.print());
            ExitCode::from(if error.use_stderr() { ErrorKind::Usage.exit_code() } else { 0 })
        }
    }
}

/// Clap's first paragraph without its `error: `, and its usage lines as help.
fn usage(error: &clap::Error) -> Error {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n").map(str::trim);
    let first = paragraphs.next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    let rest: Vec<&str> = paragraphs.filter(|paragraph| !paragraph.is_empty()).collect();
    let error = Error::new(ErrorKind::Usage, message);
    if rest.is_empty() { error } else { error.with_help(rest.join("; ")) }
}
