//! `saml`: messages, bindings and metadata of hosted SAML 2.0 providers.

mod bindings;
mod decrypt;
mod encrypt;
mod input;
mod labels;
mod metadata;
mod parties;
mod redirect;
mod sign;
mod verify;

use claviger::error::Result;

use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A hosted provider is named by --role, its secret label --identifier if it has one, and the global --realm.\n\
    Examples:\n  claviger saml labels --role sp\n  claviger saml sign --help"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// One variant a command; its file has `Args` and `run`.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Take the message out of an ArtifactResponse (HTTP-Artifact)
    Artifact(bindings::ArtifactArgs),
    /// Decrypt assertions, names or attributes with every valid alias
    Decrypt(decrypt::Args),
    /// Encrypt an assertion, name or attribute in its place
    Encrypt(encrypt::Args),
    /// Show which labels serve a hosted provider, and what else stands behind SAML
    Labels(labels::Args),
    /// Write our metadata, or read a peer's
    Metadata(metadata::Args),
    /// Carry a message in a form (HTTP-POST)
    Post(bindings::PostArgs),
    /// Sign or verify a query of the HTTP-Redirect binding
    Redirect(redirect::Args),
    /// Sign a message, an assertion or metadata with the active alias
    Sign(sign::Args),
    /// Carry a message in an envelope (SOAP)
    Soap(bindings::SoapArgs),
    /// Verify what one of our labels or a peer signed; the signed octets come back
    Verify(verify::Args),
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.command {
        Command::Artifact(args) => bindings::artifact(args),
        Command::Decrypt(args) => decrypt::run(context, args),
        Command::Encrypt(args) => encrypt::run(context, args),
        Command::Labels(args) => labels::run(context, args),
        Command::Metadata(args) => metadata::run(context, args),
        Command::Post(args) => bindings::post(args),
        Command::Redirect(args) => redirect::run(context, args),
        Command::Sign(args) => sign::run(context, args),
        Command::Soap(args) => bindings::soap(args),
        Command::Verify(args) => verify::run(context, args),
    }
}
