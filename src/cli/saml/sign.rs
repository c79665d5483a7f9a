//! `saml sign`: an enveloped signature with the active alias, where the schema wants it.

use claviger::error::{Error, ErrorKind, Result};
use claviger::profiles::saml::{self, METADATA_LABEL, SamlUse, Signing};
use claviger::xmlsec::dsig::{KeyInfo, SignOptions};
use serde_json::json;

use super::input::of_xml;
use super::parties::{Digest, Own, Peer, unnamed, unnamed_in_json};
use crate::cli::files::Files;
use crate::cli::on_label::keys;
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Metadata is signed with am.services.saml2.metadata.signing.RSA, unless a provider or a label is named.\n\
    Examples:\n  claviger saml sign --role idp --in response.xml --out message.xml\n  \
    claviger saml sign --role idp --what assertion --metadata sp.xml --in response.xml --out signed.xml\n  \
    claviger saml sign --what metadata --in idp.xml"
)]
pub(crate) struct Args {
    #[command(flatten)]
    own: Own,
    /// What is signed: the document element, the assertion in it, or metadata
    #[arg(long, value_enum, default_value = "message")]
    what: What,
    /// The ID of the assertion, where there are several
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// The algorithm [default: the first that the peer prefers, else the label's first that fits]
    #[arg(long, value_name = "NAME")]
    alg: Option<String>,
    /// The digest [default: the first that the peer prefers, else that of the algorithm]
    #[arg(long, value_enum)]
    digest: Option<Digest>,
    /// Prefixes that values use, as xs in xsi:type="xs:string"
    #[arg(long, value_name = "PREFIXES", default_value = "")]
    prefixes: String,
    /// What the signature says of its key
    #[arg(long, value_enum, default_value = "chain")]
    key_info: Shown,
    #[command(flatten)]
    peer: Peer,
    #[command(flatten)]
    files: Files,
}

/// `--what`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum What {
    Message,
    Assertion,
    Metadata,
}

/// `--key-info`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Shown {
    // Every certificate of it.
    Chain,
    // Its own certificate.
    Leaf,
    // None.
    None,
}

impl From<Shown> for KeyInfo {
    fn from(shown: Shown) -> Self {
        match shown {
            Shown::Chain => Self::Chain,
            Shown::Leaf => Self::Leaf,
            Shown::None => Self::None,
        }
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    if args.id.is_some() && args.what != What::Assertion {
        return Err(Error::new(ErrorKind::Usage, "--id chooses an assertion")
            .with_help("say --what assertion as well; other documents are signed as a whole"));
    }
    let set = if args.what == What::Metadata && !args.own.is_named() {
        keys(context, METADATA_LABEL)?
    } else {
        args.own.keys(context, SamlUse::Signing)?
    };
    let peer = args.peer.read(context)?;
    let role = peer.as_ref().and_then(saml::KnownPeer::role);
    let options = SignOptions {
        algorithm: args.alg.as_deref(),
        peer_algorithms: role.map(|role| role.signing_methods.as_slice()).unwrap_or_default(),
        digest: args.digest.map(Into::into),
        peer_digests: role.map(|role| role.digest_methods.as_slice()).unwrap_or_default(),
        prefix_list: &args.prefixes,
        key_info: args.key_info.into(),
        after: None,
    };
    let what = match args.what {
        What::Assertion => Signing::Assertion(args.id.as_deref()),
        What::Message => Signing::Message,
        What::Metadata => Signing::Metadata,
    };
    let document = args.files.read()?;
    // EXPOSE: what is to be signed.
    let document = document.expose_secret();
    let signed =
        saml::sign(&set, document, what, &options).map_err(|error| of_xml(document, error))?;
    let note = format!(
        "signed \"{}\" with alias \"{}\" ({})",
        signed.id,
        signed.alias,
        signed.algorithm.xml_name().unwrap_or_default()
    );
    let json = json!({ "xml": signed.xml, "id": signed.id, "alias": signed.alias,
        "algorithm": signed.algorithm.xml_name(), "unnamed": unnamed_in_json(signed.unnamed, signed.algorithm) });
    let notes = [Some(note), unnamed(signed.unnamed, signed.algorithm, &set)];
    Ok(args
        .files
        .answer(json, &["xml"], signed.xml.into_bytes())?
        .with_notes(notes.into_iter().flatten()))
}
