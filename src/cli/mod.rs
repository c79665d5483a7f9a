//! The command tree: global options, one variant and one file a command, and how answers are shown.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use claviger::clock::Clock;
use claviger::error::{Error, ErrorKind, Result};
use claviger::keyring::Keyring;

mod api_key;
mod args;
mod check;
mod claim_args;
mod commands;
mod completions;
mod decrypt;
mod delete;
mod denied_file;
mod diagnostics;
mod drill;
mod encrypt;
mod explain;
mod export;
mod files;
mod generate;
mod grants;
mod help;
mod history;
mod import;
mod init;
mod inspect;
mod jwks;
mod key_life;
mod key_status;
mod labels;
#[cfg(feature = "service")]
mod log_lines;
mod man;
mod oidc;
mod on_label;
mod output;
mod password_input;
mod promote;
mod reorder;
mod retire;
mod revoke;
mod rotate;
#[cfg(feature = "saml")]
mod saml;
mod seal;
#[cfg(feature = "service")]
mod serve;
mod session;
mod sign;
mod stage;
mod status;
mod step;
mod token;
mod token_needs;
mod undo;
mod verify;
mod verify_at;

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
    /// Make an API key for a caller of the service, and its hash
    ApiKey(api_key::Args),
    /// Check the whole configuration: every problem at once, then warnings
    Check(check::Args),
    /// Print the completions of a shell
    Completions(completions::Args),
    /// Open a value of an encrypted volume format
    Decode(seal::Args),
    /// Decrypt a JWE with every valid alias of a label
    Decrypt(decrypt::Args),
    /// Remove an entry of a PKCS#12 keystore
    Delete(delete::Args),
    /// Rehearse a rotation, or tell what a future configuration breaks
    Drill(drill::Args),
    /// Seal a value for an encrypted volume format
    Encode(seal::Args),
    /// Encrypt a JWE for the active alias of a label
    Encrypt(encrypt::Args),
    /// Show every store that was asked for a label, and why
    Explain(explain::Args),
    /// Write the public half of an entry, or with --private the key, into a file of its own
    Export(export::Args),
    /// Make a new key in a keystore, or the next key of a label, or one in a file of its own
    Generate(generate::Args),
    /// Show what callers of the service may do, label by label
    Grants(grants::Args),
    /// Show what was done to the mappings, by whom, when and why
    History(history::Args),
    /// Copy entries of a JKS, JCEKS, PKCS#12, PEM or JWK file into a PKCS#12 keystore
    Import(import::Args),
    /// Make a working starter: configuration, keystore, secrets
    Init(init::Args),
    /// Show what is inside a keystore, PEM, JWK or certificate
    Inspect(inspect::Args),
    /// Print the public key set of a label, a realm, or all
    Jwks(jwks::Args),
    /// List the labels with their aliases
    Labels(labels::Args),
    /// Print the manual page of the program or of one command
    Man(man::Args),
    /// Issue and verify tokens of OAuth 2.0 and OpenID Connect
    Oidc(oidc::Args),
    /// Let an alias act: put it at the front of its mapping
    Promote(promote::Args),
    /// Put all aliases of a mapping in a new order
    Reorder(reorder::Args),
    /// Take an alias out of its mapping, once nothing needs it
    Retire(retire::Args),
    /// Ban a leaked key for good, under any alias
    Revoke(revoke::Args),
    /// Do what schedules have due, or show the year ahead
    Rotate(rotate::Args),
    /// Sign, verify, encrypt, decrypt and publish for SAML 2.0 providers
    #[cfg(feature = "saml")]
    Saml(saml::Args),
    /// Serve labels over HTTPS until SIGTERM; SIGHUP reads everything again
    #[cfg(feature = "service")]
    Serve(serve::Args),
    /// Make, open and end client-side sessions
    Session(session::Args),
    /// Sign with the active alias of a label
    Sign(sign::Args),
    /// Add an alias at the end of a mapping: published and tried, not acting
    Stage(stage::Args),
    /// Show what would serve now, and of each key until when what it made may live
    Status(status::Args),
    /// Make and open the tokens of journeys and services
    Token(token::Args),
    /// Take the last step of a label back
    Undo(undo::Args),
    /// Verify with every valid alias of a label
    Verify(verify::Args),
}

impl Command {
    fn run(self, context: &Context) -> Result<Outcome> {
        match self {
            Self::ApiKey(args) => api_key::run(context, &args),
            Self::Check(args) => check::run(context, &args),
            Self::Completions(args) => completions::run(context, &args),
            Self::Decode(args) => seal::decode(context, &args),
            Self::Decrypt(args) => decrypt::run(context, &args),
            Self::Delete(args) => delete::run(context, &args),
            Self::Drill(args) => drill::run(context, &args),
            Self::Encode(args) => seal::encode(context, &args),
            Self::Encrypt(args) => encrypt::run(context, &args),
            Self::Explain(args) => explain::run(context, &args),
            Self::Export(args) => export::run(context, &args),
            Self::Generate(args) => generate::run(context, &args),
            Self::Grants(args) => grants::run(context, &args),
            Self::History(args) => history::run(context, &args),
            Self::Import(args) => import::run(context, &args),
            Self::Init(args) => init::run(context, &args),
            Self::Inspect(args) => inspect::run(context, &args),
            Self::Jwks(args) => jwks::run(context, &args),
            Self::Labels(args) => labels::run(context, &args),
            Self::Man(args) => man::run(context, &args),
            Self::Oidc(args) => oidc::run(context, &args),
            Self::Promote(args) => promote::run(context, &args),
            Self::Reorder(args) => reorder::run(context, &args),
            Self::Retire(args) => retire::run(context, &args),
            Self::Revoke(args) => revoke::run(context, &args),
            Self::Rotate(args) => rotate::run(context, &args),
            #[cfg(feature = "saml")]
            Self::Saml(args) => saml::run(context, &args),
            #[cfg(feature = "service")]
            Self::Serve(args) => serve::run(context, &args),
            Self::Session(args) => session::run(context, &args),
            Self::Sign(args) => sign::run(context, &args),
            Self::Stage(args) => stage::run(context, &args),
            Self::Status(args) => status::run(context, &args),
            Self::Token(args) => token::run(context, &args),
            Self::Undo(args) => undo::run(context, &args),
            Self::Verify(args) => verify::run(context, &args),
        }
    }
}

/// What every command may need besides its own arguments.
#[derive(Debug)]
pub(crate) struct Context {
    /// The configuration file.
    pub(crate) config: PathBuf,
    /// How `-c` named it, as a shell takes it; `None`: it needs no naming.
    pub(crate) named: Option<String>,
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
    /// What the system did not let us harden.
    pub(crate) unhardened: Vec<String>,
}

impl Context {
    /// The keyring of the configuration; `-v` shows what its load warns of.
    pub(crate) fn open(&self) -> Result<Keyring> {
        let keyring = Keyring::open_once(&self.config)?;
        output::warnings(self, &keyring.warnings());
        Ok(keyring)
    }
}

/// Parses `arguments`, runs the command and shows its answer; `refused` is what the system did not let us
/// harden, shown with `-v`.
pub(crate) fn run(arguments: Vec<OsString>, refused: Vec<String>) -> ExitCode {
    let wants_json = arguments
        .iter()
        .take_while(|argument| *argument != "--")
        .any(|argument| argument == "--json");
    match parse(arguments) {
        Ok(cli) => {
            let context = cli.global.into_context(Clock::system(), refused);
            output::verbose(&context, &context.unhardened);
            output::show(&context, cli.command.run(&context))
        }
        Err(error) if wants_json && error.use_stderr() => {
            output::show_json_error(None, &usage(&error))
        }
        Err(error) => {
            drop(error.print());
            ExitCode::from(if error.use_stderr() { ErrorKind::Usage.exit_code() } else { 0 })
        }
    }
}

fn parse(arguments: Vec<OsString>) -> clap::error::Result<Cli> {
    let mut command = help::with_examples(Cli::command());
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
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
