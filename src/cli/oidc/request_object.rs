//! `oidc request-object`: the parameters of an authorization request, signed by the client.

use std::path::PathBuf;
use std::time::Duration;

use claviger::error::Result;
use claviger::ops::PeerRules;
use claviger::profiles::oidc::{Client, RequestObjectOptions, RequestObjectRules, Untyped};

use super::{ClientArgs, IssuerArgs, LifetimeArgs, accepted, claims, issued, peer_keys};
use crate::cli::files::Files;
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    echo '{\"response_type\":\"code\",\"scope\":\"openid\"}' | claviger oidc request-object issue --issuer https://op.example --client us.toml\n  \
    claviger oidc request-object verify --issuer https://op.example --client shop.toml --in request.jwt")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make one as the client, of the parameters on the input
    Issue(IssueArgs),
    /// Open and check one as the provider
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
    /// The JWK set, certificate or PEM file of the provider, to encrypt to where that is registered
    #[arg(long, value_name = "FILE")]
    provider_jwks: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    #[command(flatten)]
    issuer: IssuerArgs,
    #[command(flatten)]
    client: ClientArgs,
    /// Refuse one without the typ oauth-authz-req+jwt
    #[arg(long)]
    require_typ: bool,
    /// How far ahead its end may be, as 10m
    #[arg(long, value_name = "TIME", value_parser = crate::cli::rotate::duration, default_value = "1h")]
    max_lifetime: Duration,
    /// Take one without an end, as OpenID Connect lets it
    #[arg(long, conflicts_with = "max_lifetime")]
    any_lifetime: bool,
    #[command(flatten)]
    files: Files,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.what {
        What::Issue(args) => issue(context, args),
        What::Verify(args) => {
            let rules = RequestObjectRules {
                untyped: if args.require_typ { Untyped::Refused } else { Untyped::Accepted },
                max_lifetime: (!args.any_lifetime).then_some(args.max_lifetime),
            };
            let client = args.client.read()?;
            let provider = args.issuer.provider(context)?;
            let found = provider.open_request_object(&client, &args.files.read_token()?, &rules)?;
            accepted(&args.files, "request object", found)
        }
    }
}

fn issue(context: &Context, args: &IssueArgs) -> Result<Outcome> {
    let client: Client = args.client.read()?;
    let keys = match (&args.provider_jwks, client.request_object().encryption) {
        (Some(path), Some(agreed)) => {
            Some(peer_keys(path, &PeerRules::encrypt(&[agreed.alg.name, agreed.enc.name])?)?)
        }
        _ => None,
    };
    let lifetime = args.lifetime.or(RequestObjectOptions::default().lifetime);
    let options = RequestObjectOptions { lifetime, provider_keys: keys.as_ref() };
    let rp = args.issuer.relying_party(context, &client)?;
    issued(&args.files, &rp.request_object(&*claims(&args.files)?, &options)?)
}
