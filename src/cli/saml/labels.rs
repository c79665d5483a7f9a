//! `saml labels`: which label serves a hosted provider for each purpose, and the labels behind SAML as a whole.

use claviger::error::Result;
use claviger::keyring::Keyring;
use claviger::label::LabelName;
use claviger::profiles::saml::{METADATA_LABEL, STORAGE_LABEL, SamlUse};
use serde_json::{Value, json};

use super::parties::Provider;
use crate::cli::output::table;
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The identifier's own label comes first, then that of the role, each in the realm and then globally. The password of \
    basic-auth is given to programs alone (SamlEntity::basic_auth), the mtls certificate to TLS. Storage is a JWE: \
    claviger encrypt --label am.global.services.saml2.client.storage.jwt.encryption\n\
    Examples:\n  claviger saml labels --role sp\n  claviger --realm alpha saml labels --role idp --identifier shop --json"
)]
pub(crate) struct Args {
    #[command(flatten)]
    provider: Provider,
}

const PURPOSES: [(&str, SamlUse); 4] = [
    ("signing", SamlUse::Signing),
    ("encryption", SamlUse::Encryption),
    ("mtls", SamlUse::Mtls),
    ("basic-auth", SamlUse::BasicAuth),
];

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let (keyring, entity) = args.provider.entity(context)?;
    let mut found = Vec::new();
    for (purpose, usage) in PURPOSES {
        let asked = entity.scope().labels(usage)?;
        let keys = entity.keys_if_mapped(usage)?;
        let label = keys.as_ref().map(|keys| keys.label().clone());
        found.push((purpose, asked, label, keys.map(|keys| aliases(&keys)).unwrap_or_default()));
    }
    for (purpose, name) in [("metadata", METADATA_LABEL), ("storage", STORAGE_LABEL)] {
        let label: LabelName = name.parse()?;
        let aliases = of_label(&keyring, context, &label)?;
        let served = (!aliases.is_empty()).then(|| label.clone());
        found.push((purpose, vec![label], served, aliases));
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|(purpose, asked, label, aliases)| {
            let asked = asked.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
            let shown = label.as_ref().map_or_else(
                || if asked.is_empty() { "-".into() } else { format!("not mapped: {asked}") },
                ToString::to_string,
            );
            vec![(*purpose).to_owned(), aliases.join(" "), shown]
        })
        .collect();
    let facts: Vec<Value> = found
        .iter()
        .map(|(purpose, asked, label, aliases)| {
            json!({ "purpose": purpose, "asked": asked, "label": label, "aliases": aliases })
        })
        .collect();
    Ok(Outcome::new(json!({ "purposes": facts }), table(&["PURPOSE", "ALIASES", "LABEL"], &rows)))
}

fn of_label(keyring: &Keyring, context: &Context, label: &LabelName) -> Result<Vec<String>> {
    let realm = context.realm.as_deref().map(str::parse).transpose()?;
    Ok(keyring.snapshot().find(realm.as_ref(), label).map(|keys| aliases(keys)).unwrap_or_default())
}

fn aliases(keys: &claviger::ops::KeySet) -> Vec<String> {
    keys.keys().iter().map(|key| key.alias.to_string()).collect()
}
