//! `oidc userinfo`: userinfo responses that are JWTs.

use claviger::error::Result;
use serde_json::{Value, json};

use super::{ClientArgs, IssuerArgs, ProviderKeys, claims, issued};
use crate::cli::files::Files;
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Signed, encrypted or both, by userinfo_signed_response_alg and userinfo_encrypted_response_alg of the client.\n\
    Examples:\n  \
    echo '{\"sub\":\"alice\",\"email\":\"alice@example.com\"}' | claviger oidc userinfo issue --issuer https://op.example --client shop.toml\n  \
    claviger oidc userinfo verify --issuer https://op.example --client us.toml --provider-jwks op.jwks --subject alice --in userinfo.jwt"
)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make one of the claims on the input
    Issue(IssueArgs),
    /// Open one as a relying party
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
struct IssueArgs {
    #[command(flatten)]
    issuer: IssuerArgs,
    #[command(flatten)]
    client: ClientArgs,
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
    /// The sub of the ID token, which it must be about
    #[arg(long, value_name = "TEXT")]
    subject: String,
    #[command(flatten)]
    files: Files,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.what {
        What::Issue(args) => {
            let client = args.client.read()?;
            let provider = args.issuer.provider(context)?;
            issued(&args.files, &provider.issue_userinfo(&client, &*claims(&args.files)?)?)
        }
        What::Verify(args) => {
            let client = args.client.read()?;
            let provider_keys = args.provider_keys.read(client.userinfo().signing)?;
            let rp = args.issuer.relying_party(context, &client)?;
            let token = args.files.read_token()?;
            let claims = rp.open_userinfo(provider_keys.as_ref(), &token, &args.subject)?;
            let claims = Value::Object(claims);
            let text = format!("{claims}\n").into_bytes();
            args.files.answer(json!({ "verified": true, "claims": claims }), &["claims"], text)
        }
    }
}
