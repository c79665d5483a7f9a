//! `saml verify`: whose signature holds, and the octets that it is over.

use std::sync::Arc;

use claviger::error::{Error, ErrorKind, Result};
use claviger::ops::KeySet;
use claviger::profiles::saml::{self, Expect, KnownPeer, SamlUse};
use claviger::xmlsec::dsig::VerifiedElement;
use claviger::xmlsec::{Signer, Trust, XmlLimits};
use serde_json::{Value, json};

use super::input::of_xml;
use super::parties::{Allowed, Own, Peer};
use crate::cli::files::Files;
use crate::cli::output::escape;
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What comes out is the very octets that were signed: believe them and nothing else of the document. \
    With --metadata only what names no other entity as its Issuer counts, and a service provider makes neither assertions \
    nor a Response.\n\
    Examples:\n  claviger saml verify --metadata idp.xml --in signed.xml --out believed.xml\n  \
    claviger saml verify --role idp --in signed.xml\n  \
    claviger saml verify --metadata idp.xml --allow sha1 --expect message --in message.xml"
)]
pub(crate) struct Args {
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    peer: Peer,
    /// What must be signed: whatever is of the message and its assertions, the assertion, or the message
    #[arg(long, value_enum, default_value = "any")]
    expect: What,
    /// The ID of the assertion, where there are several
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    allowed: Allowed,
    #[command(flatten)]
    files: Files,
}

/// `--expect`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum What {
    Any,
    Assertion,
    Message,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    if args.id.is_some() && args.expect != What::Assertion {
        return Err(Error::new(ErrorKind::Usage, "--id chooses an assertion")
            .with_help("say --expect assertion as well"));
    }
    let expect = match args.expect {
        What::Any => Expect::Any,
        What::Assertion => Expect::Assertion(args.id.as_deref()),
        What::Message => Expect::Message,
    };
    let policy = args.allowed.policy()?;
    let maker = Maker::named(context, &args.own, &args.peer)?;
    let document = args.files.read()?;
    // EXPOSE: public by nature.
    let (document, limits) = (document.expose_secret(), XmlLimits::METADATA);
    let found = match &maker {
        Maker::Ours(keys) => saml::verify(document, expect, Trust::Label(keys), &policy, &limits),
        Maker::Peer(peer) => peer.verify(document, expect, &policy, &limits),
    }
    .map_err(|error| with_reason(context, of_xml(document, error)))?;
    let notes: Vec<String> = found.iter().map(sentence).collect();
    let elements: Vec<Value> = found.iter().map(facts).collect();
    let octets: Vec<&[u8]> = found.iter().map(|one| one.octets.as_slice()).collect();
    let texts: Vec<_> = octets.iter().map(|one| String::from_utf8_lossy(one)).collect();
    // The document element holds the assertions inside it; several assertions stand one after the other.
    let root = found.first().is_some_and(|one| one.local_name != "Assertion");
    let shown = if root { octets.get(..1).unwrap_or_default() } else { &octets };
    let json = json!({ "verified": true, "elements": elements, "octets": texts });
    Ok(args.files.answer(json, &["octets"], shown.join(&b'\n'))?.with_notes(notes))
}

/// Whose signature counts.
pub(super) enum Maker {
    Ours(Arc<KeySet>),
    Peer(KnownPeer),
}

impl Maker {
    /// The one of both that is named.
    pub(super) fn named(context: &Context, own: &Own, peer: &Peer) -> Result<Self> {
        match (own.is_named(), peer.read(context)?) {
            (true, None) => own.keys(context, SamlUse::Signing).map(Self::Ours),
            (false, Some(known)) => Ok(Self::Peer(known)),
            (true, Some(_)) => Err(Error::new(ErrorKind::Usage, "a provider of ours and a peer are both named")
                .with_help("name whose signature it is: --metadata or --certificate for a peer, else --role or --label")),
            (false, None) => Err(Error::new(ErrorKind::Usage, "whose signature counts is not said")
                .with_help("--metadata FILE or --certificate FILE for a peer; --role or --label for ours")),
        }
    }
}

/// With `-v` the operator is told why.
pub(super) fn with_reason(context: &Context, error: Error) -> Error {
    if !matches!(error.kind(), ErrorKind::NotDecrypted | ErrorKind::NotVerified) {
        return error;
    }
    let reason = std::error::Error::source(&error).map(ToString::to_string);
    match reason {
        Some(reason) if context.verbosity > 0 => error.with_help(reason),
        _ => error.with_help("-v says why"),
    }
}

fn sentence(one: &VerifiedElement) -> String {
    let id = if one.id.is_empty() { String::new() } else { format!(" \"{}\"", one.id) };
    escape(&format!(
        "verified {}{id} with {} ({}, {})",
        one.local_name,
        who(&one.signer),
        one.algorithm.xml_name().unwrap_or_default(),
        one.digest.name(),
    ))
}

/// The alias of ours, or the fingerprint of a peer's certificate or key.
pub(super) fn who(signer: &Signer) -> String {
    match (&signer.alias, &signer.certificate_sha256, &signer.key_sha256) {
        (Some(alias), ..) => format!("alias \"{alias}\""),
        (None, Some(sha256), _) => format!("certificate {sha256}"),
        (None, None, Some(sha256)) => format!("key {sha256}"),
        (None, None, None) => "a key without certificate".into(),
    }
}

fn facts(one: &VerifiedElement) -> Value {
    json!({
        "id": one.id,
        "namespace": one.namespace,
        "name": one.local_name,
        "alias": one.signer.alias,
        "certificate_sha256": one.signer.certificate_sha256,
        "key_sha256": one.signer.key_sha256,
        "algorithm": one.algorithm.xml_name(),
        "digest": one.digest.name(),
    })
}
