//! `reorder`: all aliases of a mapping in a new order.

use claviger::error::Result;
use claviger::label::Alias;
use claviger::rotation::Step;

use super::step::{self, StepArgs};
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  claviger reorder am.services.oauth2.oidc.signing.ES256 es256-2 es256-1 --now --dry-run"
)]
pub(crate) struct Args {
    /// The label
    label: String,
    /// Every alias of the mapping; the first acts
    #[arg(required = true)]
    aliases: Vec<String>,
    #[command(flatten)]
    step: StepArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let aliases: Vec<Alias> = args.aliases.iter().map(|one| one.parse()).collect::<Result<_>>()?;
    step::run(context, &args.step, Step::Reorder { aliases }, &args.label)
}
