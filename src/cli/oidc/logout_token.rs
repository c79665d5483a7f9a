//! `oidc logout-token`: back-channel logout tokens.

use std::path::PathBuf;

use claviger::error::Result;
use claviger::profiles::oidc::{LogoutTokenOptions, LogoutTokenRules, Untyped};

use super::{
    ClientArgs, IssuerArgs, LifetimeArgs, ProviderKeys, accepted, claims, issued, replay_file,
};
use crate::cli::files::Files;
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    echo '{\"sub\":\"alice\",\"sid\":\"s-1\"}' | claviger oidc logout-token issue --issuer https://op.example --client shop.toml\n  \
    claviger oidc logout-token verify --issuer https://op.example --client us.toml --provider-jwks op.jwks --replay used.txt --in lo.jwt")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make one of the claims on the input: sub, sid, or both
    Issue(IssueArgs),
    /// Check one as a relying party
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
struct IssueArgs {
    #[command(flatten)]
    issuer: IssuerArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    lifetime: LifetimeArgs,
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    #[command(flatten)]
    issuer: IssuerArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    provider_keys: ProviderKeys,
    /// Take one without the typ logout+jwt, as older providers make them
    #[arg(long)]
    accept_untyped: bool,
    /// Remember the ids that were used in this file, and refuse a second use
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.what {
        What::Issue(args) => {
            let options = LogoutTokenOptions {
                lifetime: args.lifetime.or(LogoutTokenOptions::default().lifetime),
            };
            let client = args.client.read()?;
            let provider = args.issuer.provider(context)?;
            let token = provider.issue_logout_token(&client, &*claims(&args.files)?, &options)?;
            issued(&args.files, &token)
        }
        What::Verify(args) => {
            let client = args.client.read()?;
            let provider_keys = args.provider_keys.read(client.id_token().signing)?;
            let replay = replay_file::guard(args.replay.as_deref(), &context.clock);
            let untyped = if args.accept_untyped { Untyped::Accepted } else { Untyped::Refused };
            let rules = LogoutTokenRules { untyped, max_lifetime: None, replay: &*replay };
            let rp = args.issuer.relying_party(context, &client)?;
            let token = args.files.read_token()?;
            let found = rp.verify_logout_token(provider_keys.as_ref(), &token, &rules)?;
            accepted(&args.files, "logout token", found)
        }
    }
}
