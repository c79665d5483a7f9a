//! `jwks`: the public key set of a label, of the provider, of the relying party, or all.

use claviger::catalogue;
use claviger::error::Result;
use claviger::jose::jwks::{Extent, document};
use claviger::json;
use claviger::label::{LabelName, Realm};
use claviger::profiles::jwks::{Jwks, Party};
use claviger::rotation::Rotation;

use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --json the set has members `max_age`, the seconds for which it may be cached, and `etag`.\nExamples:\n  claviger jwks > jwks.json\n  claviger --realm alpha jwks --provider\n  claviger jwks am.services.oauth2.oidc.signing.ES256"
)]
pub(crate) struct Args {
    /// One label: all its public keys, whatever its publish setting [default: what every label publishes]
    label: Option<String>,
    /// What an authorization server publishes: all but the labels of the relying party
    #[arg(long, conflicts_with_all = ["label", "rp"])]
    provider: bool,
    /// What a client of another provider publishes: the labels of the relying party
    #[arg(long, conflicts_with = "label")]
    rp: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let keyring = context.open()?;
    let realm: Option<Realm> = context.realm.as_deref().map(str::parse).transpose()?;
    let (text, max_age, etag) = match &args.label {
        Some(label) => {
            let label: LabelName = catalogue::canonical(&label.parse()?);
            let (snapshot, alg) = (keyring.snapshot(), keyring.config().policy.jwks_alg);
            let sets = [&**snapshot.keys(realm.as_ref(), &label)?];
            let text = document(sets, Extent::Everything, alg).to_string();
            let rotation = Rotation::watching(&keyring)?;
            (text, rotation.max_age([&label], realm.as_ref()), None)
        }
        None => {
            let published = keyring.published(realm.as_ref(), args.party()).now();
            let Jwks { json, etag, .. } = &*published.document;
            (json.clone(), published.max_age, Some(etag.clone()))
        }
    };
    let mut jwks = json::parse_strict_object(text.as_bytes(), MAX_DEPTH)?;
    let shown = serde_json::to_string_pretty(&jwks).unwrap_or_default();
    jwks.insert("max_age".into(), max_age.as_secs().into());
    jwks.extend(etag.map(|etag| ("etag".to_owned(), etag.into())));
    Ok(Outcome::new(jwks.into(), format!("{shown}\n")))
}

impl Args {
    const fn party(&self) -> Party {
        match (self.provider, self.rp) {
            (true, _) => Party::Provider,
            (_, true) => Party::RelyingParty,
            _ => Party::All,
        }
    }
}

/// A key set is four levels.
const MAX_DEPTH: usize = 8;
