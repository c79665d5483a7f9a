//! `retire`: takes an alias out of its mapping.

use claviger::error::Result;
use claviger::rotation::Step;

use super::step::{self, StepArgs};
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Refused while anything may be alive that only this key verifies or decrypts. The key stays \
                  in its store.\n\
                  Examples:\n  claviger retire app.session.seal aes-1 --force --dry-run\n  \
                  claviger retire app.session.seal aes-1 --force --reason 'its sessions are over'"
)]
pub(crate) struct Args {
    /// The label
    label: String,
    /// The alias; not the one that acts
    alias: String,
    #[command(flatten)]
    step: StepArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let alias = args.alias.parse()?;
    step::run(context, &args.step, Step::Retire { alias }, &args.label)
}
