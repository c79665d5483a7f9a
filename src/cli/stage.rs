//! `stage`: adds an alias at the end of a mapping.

use claviger::error::Result;
use claviger::rotation::Step;

use super::step::{self, StepArgs};
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The alias is published and tried from then on; it acts once it is promoted.\n\
                  Examples:\n  claviger generate aes-2 --type aes --store keystores/default.p12 --store-password-file secrets/storepass\n  \
                  claviger stage app.session.seal aes-2 --dry-run\n  \
                  claviger stage app.session.seal aes-2 --reason 'the yearly change'"
)]
pub(crate) struct Args {
    /// The label
    label: String,
    /// The alias, which must be in the store
    alias: String,
    #[command(flatten)]
    step: StepArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let alias = args.alias.parse()?;
    step::run(context, &args.step, Step::Stage { alias }, &args.label)
}
