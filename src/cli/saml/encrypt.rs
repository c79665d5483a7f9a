//! `saml encrypt`: an element encrypted in its place, for a peer or one of our labels.

use claviger::alg::Algorithm;
use claviger::error::{Error, ErrorKind, Result};
use claviger::profiles::saml::{self, Encryptable, SamlUse};
use claviger::xmlsec::enc::{EncryptOptions, Recipient};
use serde_json::json;

use super::input::of_xml;
use super::parties::{Allowed, OaepDigest, Own, Peer};
use super::sign::Shown;
use crate::cli::files::Files;
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "An assertion is signed first, then encrypted; a name or attribute is encrypted first, then what holds it is signed.\n\
    Examples:\n  claviger saml encrypt --metadata sp.xml --in signed.xml --out encrypted.xml\n  \
    claviger saml encrypt --metadata sp.xml --kind id --in response.xml\n  \
    claviger saml encrypt --role sp --content aes128-cbc --allow cbc --in signed.xml"
)]
pub(crate) struct Args {
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    peer: Peer,
    /// Which element
    #[arg(long, value_enum, default_value = "assertion")]
    kind: Kind,
    /// The content algorithm [default: the first of peer or label that is made here, else aes256-gcm]
    #[arg(long, value_name = "NAME")]
    content: Option<String>,
    /// The key transport [default: the first of peer or label that is made here, else rsa-oaep-mgf1p]
    #[arg(long, value_name = "NAME")]
    key_transport: Option<String>,
    /// The digest of OAEP
    #[arg(long, value_enum)]
    digest: Option<OaepDigest>,
    /// The digest of its mask (MGF1), of rsa-oaep alone
    #[arg(long, value_enum)]
    mgf: Option<OaepDigest>,
    /// What is said of the key that decrypts: readers such as AD FS look for it by its certificate
    #[arg(long, value_enum, default_value = "chain")]
    key_info: Shown,
    #[command(flatten)]
    allowed: Allowed,
    #[command(flatten)]
    files: Files,
}

/// `--kind`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Kind {
    Assertion,
    Attribute,
    Id,
    NewId,
}

impl From<Kind> for Encryptable {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Assertion => Self::Assertion,
            Kind::Attribute => Self::Attribute,
            Kind::Id => Self::Id,
            Kind::NewId => Self::NewId,
        }
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let policy = args.allowed.policy()?;
    let peer = args.peer.read(context)?;
    let known = peer.as_ref().map(|peer| peer.recipient(policy)).transpose()?;
    let (key, preferred) = known.unzip();
    let asked = EncryptOptions {
        content: args.content.as_deref(),
        key_transport: args.key_transport.as_deref(),
        digest: args.digest.map(Into::into),
        mgf: args.mgf.map(Into::into),
        recipient: peer.as_ref().and_then(saml::KnownPeer::entity_id),
        key_info: args.key_info.into(),
        policy,
    };
    let options = asked.or(&preferred.unwrap_or_default());
    let document = args.files.read()?;
    // EXPOSE: into the cipher.
    let plain = document.expose_secret();
    let kind = args.kind.into();
    let (xml, made) = match (&key, args.own.is_named()) {
        (Some(key), false) => saml::encrypt(Recipient::Certificate(key), plain, kind, &options),
        (None, true) => {
            let keys = args.own.keys(context, SamlUse::Encryption)?;
            saml::encrypt(Recipient::Label(&keys), plain, kind, &options)
        }
        _ => {
            return Err(Error::new(ErrorKind::Usage, "who shall read it is not said, or twice")
                .with_help(
                    "--metadata FILE or --certificate FILE for a peer; --role or --label for ours",
                ));
        }
    }
    .map_err(|error| of_xml(plain, error))?;
    let (transport, content) = (
        made.key_transport.xml_name().unwrap_or_default(),
        made.content.xml_name().unwrap_or_default(),
    );
    let unnamed = peer.map(|peer| peer.unnamed(policy, &made)).unwrap_or_default();
    let unnamed: Vec<&str> = unnamed.into_iter().filter_map(Algorithm::xml_name).collect();
    let json = json!({ "xml": xml, "key_transport": transport, "content_algorithm": content,
        "unnamed": unnamed });
    let mut notes = vec![format!("encrypted ({transport}, {content})")];
    if !unnamed.is_empty() {
        notes.push(format!(
            "the peer's metadata does not name {}: if it cannot decrypt this, `claviger saml metadata read` shows what it \
             names, and --allow switches that on",
            unnamed.join(" and ")
        ));
    }
    Ok(args.files.answer(json, &["xml"], xml.into_bytes())?.with_notes(notes))
}
