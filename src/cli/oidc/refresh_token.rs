//! `oidc refresh-token`: refresh tokens as JWTs.

use claviger::error::Result;
use claviger::profiles::oidc::RefreshTokenOptions;

use super::access_token::ProtectionArgs;
use super::{ClientArgs, IssuerArgs, LifetimeArgs, accepted, claims, issued_by};
use crate::cli::files::Files;
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    echo '{\"sub\":\"alice\",\"scope\":\"read\"}' | claviger oidc refresh-token issue --issuer https://op.example --client shop.toml --lifetime 30d\n  \
    claviger oidc refresh-token verify --issuer https://op.example --client shop.toml --in rt.jwt")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make one of the claims on the input: sub, scope, whatever else
    Issue(IssueArgs),
    /// Check one that this client presents
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
struct IssueArgs {
    #[command(flatten)]
    issuer: IssuerArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    protection: ProtectionArgs,
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
    protection: ProtectionArgs,
    #[command(flatten)]
    files: Files,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.what {
        What::Issue(args) => {
            let lifetime = args.lifetime.or(RefreshTokenOptions::default().lifetime);
            let client = args.client.read()?;
            let provider = args.protection.apply(args.issuer.provider(context)?)?;
            let options = RefreshTokenOptions { lifetime };
            let token = provider.issue_refresh_token(&client, &*claims(&args.files)?, &options)?;
            issued_by(&provider, &args.files, &token)
        }
        What::Verify(args) => {
            let client = args.client.read()?;
            let provider = args.protection.apply(args.issuer.provider(context)?)?;
            let found = provider.verify_refresh_token(&client, &args.files.read_token()?)?;
            accepted(&args.files, "refresh token", found)
        }
    }
}
