//! `oidc id-token`: ID tokens, and what a verifier asks of them.

use std::path::PathBuf;
use std::time::Duration;

use claviger::error::Result;
use claviger::profiles::oidc::{Endpoint, Expired, IdTokenOptions, IdTokenRules, Nonce};

use super::{
    ClientArgs, IssuerArgs, LifetimeArgs, ProviderKeys, accepted, claims, issued, token_in,
};
use crate::cli::files::Files;
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    echo '{\"sub\":\"alice\",\"nonce\":\"n-1\",\"acr\":\"silver\"}' | claviger oidc id-token issue --issuer https://op.example --client shop.toml\n  \
    claviger oidc id-token verify --issuer https://op.example --client shop.toml --accept-expired --in hint.jwt\n  \
    claviger oidc id-token verify --issuer https://op.example --client us.toml --provider-jwks op.jwks --nonce n-1 --in id.jwt")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make one of the claims on the input; iss, aud, iat, exp and hashes are set here
    Issue(IssueArgs),
    /// Check one: as the provider that made it, or with --provider-jwks or --relying-party as the client
    Verify(VerifyArgs),
}

/// What came beside an ID token.
#[derive(Debug, clap::Args)]
struct BesideArgs {
    /// The access token beside it, for at_hash, in a file
    #[arg(long, value_name = "FILE")]
    access_token_file: Option<PathBuf>,
    /// The authorization code beside it, for c_hash, in a file
    #[arg(long, value_name = "FILE")]
    code_file: Option<PathBuf>,
    /// The state beside it, for s_hash
    #[arg(long, value_name = "TEXT")]
    state: Option<String>,
}

#[derive(Debug, clap::Args)]
struct IssueArgs {
    #[command(flatten)]
    issuer: IssuerArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    lifetime: LifetimeArgs,
    /// An audience besides the client; may be repeated
    #[arg(long, value_name = "TEXT")]
    audience: Vec<String>,
    #[command(flatten)]
    beside: BesideArgs,
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
    /// Check as the relying party, whose secret verifies: no key set is needed for HS256
    #[arg(long)]
    relying_party: bool,
    /// The nonce of the request
    #[arg(long, value_name = "TEXT")]
    nonce: Option<String>,
    /// Take any nonce, or none: the provider itself always does
    #[arg(long, conflicts_with = "nonce")]
    any_nonce: bool,
    /// How long ago the user may have authenticated, as 5m
    #[arg(long, value_name = "TIME", value_parser = crate::cli::rotate::duration)]
    max_age: Option<Duration>,
    /// An authentication context that is enough; may be repeated
    #[arg(long, value_name = "TEXT")]
    acr: Vec<String>,
    /// Whom it must be about
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// An audience besides the client that is no reason to refuse it; may be repeated
    #[arg(long, value_name = "TEXT")]
    trust_audience: Vec<String>,
    /// It came through the browser: the nonce and the hashes of what came beside it must be there
    #[arg(long)]
    front_channel: bool,
    /// Take one that has expired, as an id_token_hint may
    #[arg(long)]
    accept_expired: bool,
    #[command(flatten)]
    beside: BesideArgs,
    #[command(flatten)]
    files: Files,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.what {
        What::Issue(args) => issue(context, args),
        What::Verify(args) => verify(context, args),
    }
}

fn issue(context: &Context, args: &IssueArgs) -> Result<Outcome> {
    let client = args.client.read()?;
    let access_token = token_in(args.beside.access_token_file.as_ref())?;
    let code = token_in(args.beside.code_file.as_ref())?;
    let audiences: Vec<&str> = args.audience.iter().map(String::as_str).collect();
    let options = IdTokenOptions {
        lifetime: args.lifetime.or(IdTokenOptions::default().lifetime),
        audiences: &audiences,
        access_token: access_token.as_deref(),
        code: code.as_deref(),
        state: args.beside.state.as_deref(),
    };
    let provider = args.issuer.provider(context)?;
    issued(&args.files, &provider.issue_id_token(&client, &*claims(&args.files)?, &options)?)
}

fn verify(context: &Context, args: &VerifyArgs) -> Result<Outcome> {
    let client = args.client.read()?;
    let provider_keys = args.provider_keys.read(client.id_token().signing)?;
    let as_client = args.relying_party || args.provider_keys.provider_jwks.is_some();
    let access_token = token_in(args.beside.access_token_file.as_ref())?;
    let code = token_in(args.beside.code_file.as_ref())?;
    let acr: Vec<&str> = args.acr.iter().map(String::as_str).collect();
    let trusted: Vec<&str> = args.trust_audience.iter().map(String::as_str).collect();
    let rules = IdTokenRules {
        from: if args.front_channel { Endpoint::Authorization } else { Endpoint::Token },
        nonce: match &args.nonce {
            Some(nonce) => Nonce::Is(nonce),
            None if args.any_nonce || !as_client => Nonce::Any,
            None => Nonce::Absent,
        },
        max_age: args.max_age,
        acr: &acr,
        subject: args.subject.as_deref(),
        access_token: access_token.as_deref(),
        code: code.as_deref(),
        state: args.beside.state.as_deref(),
        trusted_audiences: &trusted,
        expired: if args.accept_expired { Expired::Accepted } else { Expired::Refused },
    };
    let token = args.files.read_token()?;
    let found = if as_client {
        let rp = args.issuer.relying_party(context, &client)?;
        rp.verify_id_token(provider_keys.as_ref(), &token, &rules)?
    } else {
        args.issuer.provider(context)?.verify_id_token(&client, &token, &rules)?
    };
    accepted(&args.files, "ID token", found)
}
