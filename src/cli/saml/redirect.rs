//! `saml redirect`: queries of the HTTP-Redirect binding, signed and verified on their raw bytes.

use claviger::error::{Error, ErrorKind, Result};
use claviger::profiles::saml::redirect::{self, MessageKind, RedirectOptions};
use claviger::profiles::saml::{self, KnownPeer, SamlUse};
use claviger::xmlsec::{Trust, XmlLimits};
use serde_json::json;

use super::input::{NEEDS_LESS, is_query, of_limits, of_xml};
use super::parties::{Allowed, Own, Peer, unnamed, unnamed_in_json};
use super::verify::{Maker, who, with_reason};
use crate::cli::files::Files;
use crate::cli::output::escape;
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Deflate, encode and sign a message with the active alias
    Sign(SignArgs),
    /// Verify a query, or the URL that it is in; the message comes back
    Verify(VerifyArgs),
}

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  claviger saml redirect sign --role sp --to https://idp.example/sso --relay-state cart --in request.xml --out url.txt"
)]
struct SignArgs {
    #[command(flatten)]
    own: Own,
    /// The message is a response (SAMLResponse)
    #[arg(long)]
    response: bool,
    /// The RelayState
    #[arg(long, value_name = "TEXT")]
    relay_state: Option<String>,
    /// The algorithm [default: the first that the peer prefers, else the label's first that fits]
    #[arg(long, value_name = "NAME")]
    alg: Option<String>,
    /// Write an ECDSA signature in DER, as peers in Java read it (Ping AM, Shibboleth)
    #[arg(long)]
    ecdsa_der: bool,
    /// Print this URL with the query instead of the query alone
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    #[command(flatten)]
    peer: Peer,
    #[command(flatten)]
    files: Files,
}

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  claviger saml redirect verify --metadata sp.xml --in url.txt")]
struct VerifyArgs {
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    peer: Peer,
    #[command(flatten)]
    allowed: Allowed,
    #[command(flatten)]
    files: Files,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.command {
        Command::Sign(args) => sign(context, args),
        Command::Verify(args) => verify(context, args),
    }
}

fn sign(context: &Context, args: &SignArgs) -> Result<Outcome> {
    args.to.as_deref().map_or(Ok(()), require_endpoint)?;
    let peer = args.peer.read(context)?;
    let preferred =
        peer.as_ref().and_then(KnownPeer::role).map(|role| role.signing_methods.as_slice());
    let options = RedirectOptions {
        kind: if args.response { MessageKind::Response } else { MessageKind::Request },
        relay_state: args.relay_state.as_deref(),
        algorithm: args.alg.as_deref(),
        peer_algorithms: preferred.unwrap_or_default(),
        ecdsa_der: args.ecdsa_der,
    };
    let keys = args.own.keys(context, SamlUse::Signing)?;
    let message = args.files.read()?;
    // EXPOSE: what is to be signed.
    let message = message.expose_secret();
    let signed =
        redirect::sign(&keys, message, &options).map_err(|error| of_xml(message, error))?;
    let text = match &args.to {
        None => signed.query,
        Some(url) => format!("{url}{}{}", if url.contains('?') { '&' } else { '?' }, signed.query),
    };
    let algorithm = signed.algorithm.xml_name();
    let json = json!({ "query": text, "alias": signed.alias, "algorithm": algorithm,
        "unnamed": unnamed_in_json(signed.unnamed, signed.algorithm) });
    let note =
        format!("signed with alias \"{}\" ({})", signed.alias, algorithm.unwrap_or_default());
    let notes = [Some(note), unnamed(signed.unnamed, signed.algorithm, &keys)];
    let answer = args.files.answer(json, &["query"], format!("{text}\n").into_bytes())?;
    Ok(answer.with_notes(notes.into_iter().flatten()))
}

/// The query goes behind this URL as it is: nothing in it may end it, or be read as a part of the message.
fn require_endpoint(url: &str) -> Result<()> {
    let is_plain = !url.contains(|one: char| one == '#' || one.is_whitespace() || one.is_control());
    let mut names = url.split_once('?').map_or("", |(_, query)| query).split('&');
    let is_ours = |pair: &str| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        ["SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature", "SAMLEncoding"]
            .contains(&name)
    };
    if saml::is_http_url(url) && is_plain && !names.any(is_ours) {
        return Ok(());
    }
    let text = format!("\"{}\" is no URL of an endpoint", url.escape_debug());
    Err(Error::new(ErrorKind::Usage, text)
        .with_help("an http or https URL without blanks, fragment or parameters of a SAML message"))
}

fn verify(context: &Context, args: &VerifyArgs) -> Result<Outcome> {
    let policy = args.allowed.policy()?;
    let maker = Maker::named(context, &args.own, &args.peer)?;
    let text = args.files.read_token()?;
    let (query, limits) = (query_of(&text), XmlLimits::MESSAGE);
    let verified = match &maker {
        Maker::Ours(keys) => redirect::verify(query, Trust::Label(keys), &policy, &limits),
        Maker::Peer(peer) => peer.verify_redirect(query, &policy, &limits),
    }
    .map_err(|error| match error.kind() {
        ErrorKind::NotVerified if !is_query(query) => error.with_help(
            "it is no query of the redirect binding: that is what stands behind ? of the URL, or the URL itself; a \
             document is verified by `claviger saml verify`",
        ),
        ErrorKind::NotVerified if query.contains("&amp;") => {
            error.with_help("it is escaped for HTML: have & where it has &amp;")
        }
        // What the query holds.
        _ => with_reason(context, of_limits(error, NEEDS_LESS)),
    })?;
    let relay_state = verified.relay_state.as_ref();
    let with = relay_state.map_or_else(String::new, |text| format!(", RelayState \"{text}\""));
    let note = escape(&format!(
        "verified {} with {} ({}){with}",
        verified.kind.parameter(),
        who(&verified.signer),
        verified.algorithm.xml_name().unwrap_or_default(),
    ));
    let json = json!({
        "verified": true,
        "parameter": verified.kind.parameter(),
        "relay_state": verified.relay_state,
        "alias": verified.signer.alias,
        "certificate_sha256": verified.signer.certificate_sha256,
        "key_sha256": verified.signer.key_sha256,
        "algorithm": verified.algorithm.xml_name(),
        "xml": verified.message,
    });
    Ok(args.files.answer(json, &["xml"], verified.message.into_bytes())?.with_notes([note]))
}

/// What stands between `?` and `#` of a URL, or of the path and query that a log has of it; a query as it is.
fn query_of(text: &str) -> &str {
    let text = text.split_once('#').map_or(text, |(before, _)| before);
    let has_more = text.starts_with(['?', '/']) || saml::is_http_url(text);
    if has_more { text.split_once('?').map_or("", |(_, query)| query) } else { text }
}
