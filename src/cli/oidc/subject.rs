//! `oidc subject`: how a client knows a user.

use claviger::error::Result;
use serde_json::json;

use super::{ClientArgs, oidc};
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A pairwise client (subject_type = \"pairwise\") gets base64 of SHA-256 over the host of its sector, the \
    user and the salt am.services.oauth2.provider.hash.salt.secret, as Ping AM computes it; any other client the user itself.\n\
    Example:\n  claviger oidc subject alice --client shop.toml"
)]
pub(super) struct Args {
    /// The local id of the user
    user: String,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let client = args.client.read()?;
    let sector = client.sector()?;
    // The issuer has no part in it.
    let sub = oidc(context)?.provider("").subject(&client, &args.user)?;
    Ok(Outcome::new(json!({ "sub": sub, "sector": sector }), format!("{sub}\n")))
}
