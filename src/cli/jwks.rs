//! `jwks`: the public key set of a label, a realm, or all.

use claviger::catalogue;
use claviger::error::Result;
use claviger::jose::jwk;
use claviger::keyring::Keyring;
use claviger::label::{LabelName, Realm};

use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  claviger jwks > jwks.json\n  claviger --realm alpha jwks\n  claviger jwks am.services.oauth2.oidc.signing.ES256"
)]
pub(crate) struct Args {
    /// One label: all its public keys, whatever its publish setting [default: what every label publishes]
    label: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let keyring = Keyring::open_once(&context.config)?;
    let snapshot = keyring.snapshot();
    let realm: Option<Realm> = context.realm.as_deref().map(str::parse).transpose()?;
    let jwks = if let Some(label) = &args.label {
        let label = catalogue::canonical(&label.parse()?);
        jwk::set([&**snapshot.keys(realm.as_ref(), &label)?], true)
    } else {
        let mut names: Vec<&LabelName> =
            snapshot.labels().into_keys().map(|(label, _)| label).collect();
        names.dedup();
        let sets = names.into_iter().filter_map(|label| snapshot.find(realm.as_ref(), label));
        jwk::set(sets.map(|set| &**set), false)
    };
    let text = serde_json::to_string_pretty(&jwks).unwrap_or_default();
    Ok(Outcome::new(jwks, format!("{text}\n")))
}
