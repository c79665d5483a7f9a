//! `promote`: puts an alias at the front of its mapping.

use claviger::error::Result;
use claviger::rotation::Step;

use super::step::{self, StepArgs};
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Refused until everybody can know the key: longest cached key set, reload and clock skew, or \
                  `propagation` of the label.\n\
                  Examples:\n  claviger promote am.services.oauth2.oidc.signing.ES256 es256-2027 --now --dry-run\n  \
                  claviger promote app.session.seal aes-2 --now --reason 'nobody uses it yet'"
)]
pub(crate) struct Args {
    /// The label
    label: String,
    /// The alias that is to act
    alias: String,
    #[command(flatten)]
    step: StepArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let alias = args.alias.parse()?;
    step::run(context, &args.step, Step::Promote { alias }, &args.label)
}
