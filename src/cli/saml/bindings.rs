//! `saml post`, `saml soap` and `saml artifact`: how messages are carried. They sign nothing.

use claviger::error::{Error, ErrorKind, Result};
use claviger::profiles::saml::binding;
use claviger::profiles::saml::redirect::MessageKind;
use claviger::xmlsec::XmlLimits;
use serde_json::json;

use super::input::{of_form_value, of_xml};
use crate::cli::Outcome;
use crate::cli::files::Files;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct PostArgs {
    #[command(subcommand)]
    command: PostCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PostCommand {
    /// Make the value of a form field, or with --to a page that posts it
    Wrap(WrapArgs),
    /// Read the message out of the value of a form field
    Unwrap(PostUnwrapArgs),
}

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  claviger saml post wrap --to https://sp.example/acs --response --in signed.xml --out page.html"
)]
struct WrapArgs {
    /// Where the page posts the message to
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// The message is a response (SAMLResponse)
    #[arg(long, requires = "to")]
    response: bool,
    /// The RelayState
    #[arg(long, value_name = "TEXT", requires = "to")]
    relay_state: Option<String>,
    #[command(flatten)]
    files: Files,
}

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  claviger saml post wrap --in signed.xml | claviger saml post unwrap"
)]
struct PostUnwrapArgs {
    #[command(flatten)]
    files: Files,
}

/// Arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct SoapArgs {
    #[command(subcommand)]
    command: SoapCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SoapCommand {
    /// Put a message into an envelope
    Wrap(SoapWrapArgs),
    /// Take the message out of an envelope
    Unwrap(SoapUnwrapArgs),
}

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  claviger saml soap wrap --in signed.xml --out envelope.xml")]
struct SoapWrapArgs {
    #[command(flatten)]
    files: Files,
}

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  claviger saml soap unwrap --in envelope.xml")]
struct SoapUnwrapArgs {
    #[command(flatten)]
    files: Files,
}

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A signature of the ArtifactResponse covers the message: verify it first, or else what comes out.\n\
    Examples:\n  claviger saml artifact --in artifact.xml\n  \
    claviger saml verify --metadata idp.xml --expect message --in artifact.xml | claviger saml artifact"
)]
pub(crate) struct ArtifactArgs {
    #[command(flatten)]
    files: Files,
}

pub(crate) fn artifact(args: &ArtifactArgs) -> Result<Outcome> {
    let response = text(&args.files)?;
    let message = binding::unwrap_artifact(response.as_bytes(), &XmlLimits::MESSAGE)
        .map_err(|error| of_xml(response.as_bytes(), error))?;
    answer(&args.files, "xml", message)
}

pub(crate) fn post(args: &PostArgs) -> Result<Outcome> {
    match &args.command {
        PostCommand::Wrap(args) => {
            let message = text(&args.files)?;
            // Only what can be read again is carried.
            binding::decode_post(&binding::encode_post(&message), &XmlLimits::MESSAGE)
                .map_err(|error| of_xml(message.as_bytes(), error))?;
            let Some(to) = &args.to else {
                let value = binding::encode_post(&message);
                return answer(&args.files, "value", format!("{value}\n"));
            };
            let kind = if args.response { MessageKind::Response } else { MessageKind::Request };
            let page = binding::post_form(to, kind, &message, args.relay_state.as_deref())?;
            answer(&args.files, "page", page)
        }
        PostCommand::Unwrap(args) => {
            let value = args.files.read_token()?;
            let message = binding::decode_post(&value, &XmlLimits::MESSAGE)
                .map_err(|error| of_form_value(&value, error))?;
            answer(&args.files, "xml", message)
        }
    }
}

pub(crate) fn soap(args: &SoapArgs) -> Result<Outcome> {
    match &args.command {
        SoapCommand::Wrap(args) => {
            let message = text(&args.files)?;
            let envelope =
                binding::wrap_soap(&message).map_err(|error| of_xml(message.as_bytes(), error))?;
            answer(&args.files, "xml", envelope)
        }
        SoapCommand::Unwrap(args) => {
            let envelope = text(&args.files)?;
            let message = binding::unwrap_soap(envelope.as_bytes(), &XmlLimits::MESSAGE)
                .map_err(|error| of_xml(envelope.as_bytes(), error))?;
            answer(&args.files, "xml", message)
        }
    }
}

fn text(files: &Files) -> Result<String> {
    let bytes = files.read()?;
    // EXPOSE: a message that is carried as it is.
    let text = std::str::from_utf8(bytes.expose_secret());
    text.map(str::to_owned)
        .map_err(|_| Error::new(ErrorKind::Malformed, "the message is not UTF-8"))
}

fn answer(files: &Files, member: &str, text: String) -> Result<Outcome> {
    files.answer(json!({ member: text }), &[member], text.into_bytes())
}
