//! `saml decrypt`: the elements inside encrypted ones, with every valid alias.

use claviger::error::Result;
use claviger::profiles::saml::{self, SamlUse};
use serde_json::{Value, json};

use super::encrypt::Kind;
use super::input::of_xml;
use super::parties::{Allowed, Own};
use super::verify::with_reason;
use crate::cli::files::Files;
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Decrypted is not verified: everybody can encrypt to a certificate. Verify what comes out.\n\
    Examples:\n  claviger saml decrypt --role sp --in encrypted.xml --out assertion.xml\n  \
    claviger saml decrypt --role sp --in encrypted.xml | claviger saml verify --metadata idp.xml"
)]
pub(crate) struct Args {
    #[command(flatten)]
    own: Own,
    /// Which elements
    #[arg(long, value_enum, default_value = "assertion")]
    kind: Kind,
    #[command(flatten)]
    allowed: Allowed,
    #[command(flatten)]
    files: Files,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let policy = args.allowed.policy()?;
    let keys = args.own.keys(context, SamlUse::Encryption)?;
    let document = args.files.read()?;
    // EXPOSE: what is encrypted in it is no secret yet.
    let document = document.expose_secret();
    let found = saml::decrypt(&keys, document, args.kind.into(), &policy)
        .map_err(|error| with_reason(context, of_xml(document, error)))?;
    let mut data = Vec::new();
    let mut notes = Vec::new();
    let mut elements: Vec<Value> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    for one in &found {
        // EXPOSE: what the operator asked for.
        let plain = one.xml.expose_secret();
        let (transport, content) = (one.key_transport.xml_name(), one.content.xml_name());
        if !data.is_empty() {
            data.push(b'\n');
        }
        data.extend_from_slice(plain);
        texts.push(String::from_utf8_lossy(plain).into_owned());
        elements.push(
            json!({ "alias": one.alias, "key_transport": transport, "content_algorithm": content }),
        );
        notes.push(format!(
            "decrypted with alias \"{}\" ({}, {})",
            one.alias,
            transport.unwrap_or_default(),
            content.unwrap_or_default()
        ));
    }
    let json = json!({ "elements": elements, "xml": texts });
    Ok(args.files.answer(json, &["xml"], data)?.with_notes(notes))
}
