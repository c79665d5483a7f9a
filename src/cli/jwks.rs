//! `jwks`: the public key set of a label, of the provider, of the relying party, or all.

use claviger::catalogue;
use claviger::error::Result;
use claviger::jose::jwks::{Extent, document};
use claviger::label::{LabelName, Realm};
use claviger::profiles::jwks::Party;
use claviger::rotation::Rotation;

use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --json the set has a member `max_age`: the seconds for which it may be cached.\nExamples:\n  claviger jwks > jwks.json\n  claviger --realm alpha jwks --provider\n  claviger jwks am.services.oauth2.oidc.signing.ES256"
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
    let snapshot = keyring.snapshot();
    let realm: Option<Realm> = context.realm.as_deref().map(str::parse).transpose()?;
    let alg = keyring.config().policy.jwks_alg;
    let (labels, mut jwks) = if let Some(label) = &args.label {
        let label: LabelName = catalogue::canonical(&label.parse()?);
        let sets = [&**snapshot.keys(realm.as_ref(), &label)?];
        let jwks = document(sets, Extent::Everything, alg);
        (vec![label], jwks)
    } else {
        let party = match (args.provider, args.rp) {
            (true, _) => Party::Provider,
            (_, true) => Party::RelyingParty,
            _ => Party::All,
        };
        let labels = party.labels(&snapshot, realm.as_ref());
        let sets = labels.iter().filter_map(|label| snapshot.find(realm.as_ref(), label));
        let jwks = document(sets.map(|set| &**set), Extent::Published, alg);
        (labels, jwks)
    };
    let text = serde_json::to_string_pretty(&jwks).unwrap_or_default();
    if let Some(members) = jwks.as_object_mut() {
        members.insert("max_age".into(), max_age(context, &labels, realm.as_ref())?.into());
    }
    Ok(Outcome::new(jwks, format!("{text}\n")))
}

/// How many seconds the key set may be cached: never past the time at which a staged key may act.
fn max_age(context: &Context, labels: &[LabelName], realm: Option<&Realm>) -> Result<u64> {
    let rotation = Rotation::preview(&context.config, context.clock.clone())?;
    Ok(rotation.max_age(labels, realm).as_secs())
}
