//! `revoke`: bans a key for good, under any alias, in any store.

use claviger::clock::parse_rfc3339;
use claviger::error::{Error, ErrorKind, Result};
use claviger::rotation::{NextKey, Step};

use super::step::{self, StepArgs};
use super::{Context, Outcome};

/// How long the certificate of a replacement is valid, as with `generate`.
const VALID_DAYS: u32 = 825;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Takes the key out of every mapping and keeps a tombstone in `state_dir`: it is refused from \
                  then on, also from an old configuration or keystore. Cannot be undone.\n\
                  Examples:\n  claviger revoke am.services.oauth2.oidc.signing.ES256 es256-2 \
                  --compromised-at 2026-11-20T08:00:00Z --reason 'laptop stolen'\n  \
                  claviger revoke am.services.oauth2.oidc.signing.RSA rsa-1 --replace rsa-2 --reason 'seen in a log'"
)]
pub(crate) struct Args {
    /// The label
    label: String,
    /// The alias of the key, or its kid
    alias: String,
    /// Since when somebody else may have had the key, in RFC 3339
    #[arg(long, value_name = "TIME")]
    compromised_at: Option<String>,
    #[command(flatten)]
    step: StepArgs,
    /// Make a key under this alias, as the leaked one is, at the end of the label's list: it acts at once where
    /// nothing else is left
    #[arg(long, value_name = "NEW")]
    replace: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let alias = args.alias.parse()?;
    let compromised_at = args.compromised_at.as_deref().map(time).transpose()?;
    if compromised_at.is_some_and(|time| time > context.clock.now()) {
        let text = "--compromised-at is in the future: what is made until then would count as good";
        return Err(Error::new(ErrorKind::Usage, text)
            .with_help("name the earliest time at which somebody else may have had the key"));
    }
    let replace = args.replace.as_deref().map(str::parse).transpose()?;
    let next = replace.is_some().then_some(NextKey { days: VALID_DAYS, ..NextKey::default() });
    let step = Step::Revoke { alias, compromised_at, replace };
    step::run_with(context, &args.step, step, &args.label, next.as_ref())
}

fn time(text: &str) -> Result<std::time::SystemTime> {
    parse_rfc3339(text).ok_or_else(|| {
        Error::new(ErrorKind::Usage, format!("\"{}\" is no time", text.escape_debug()))
            .with_help("write it as 2026-11-20T08:00:00Z")
    })
}
