//! `undo`: takes the last step of a label back.

use claviger::error::Result;
use claviger::rotation::Step;

use super::step::{self, StepArgs};
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "The same gates hold as for any step. A revocation is never taken back.\n\
                  Example:\n  claviger undo am.services.oauth2.oidc.signing.ES256 --reason 'the wrong label'")]
pub(crate) struct Args {
    /// The label
    label: String,
    #[command(flatten)]
    step: StepArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    step::run(context, &args.step, Step::Undo, &args.label)
}
