//! `oidc client-assertion`: `private_key_jwt` and `client_secret_jwt`.

use std::path::PathBuf;
use std::time::Duration;

use claviger::error::Result;
use claviger::profiles::oidc::{AssertionOptions, AssertionRules, AudienceForm, Typed, Untyped};
use serde_json::json;

use super::{ClientArgs, IssuerArgs, LifetimeArgs, accepted, replay_file};
use crate::cli::files::Files;
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    claviger oidc client-assertion issue --issuer https://op.example --client us.toml\n  \
    claviger oidc client-assertion verify --issuer https://op.example --client shop.toml --replay used.txt --in assertion.jwt")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make one as the client
    Issue(IssueArgs),
    /// Check one as the provider
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
    /// Whom it is for [default: the issuer]
    #[arg(long, value_name = "URL")]
    audience: Option<String>,
    /// Give it the typ client-authentication+jwt
    #[arg(long)]
    typed: bool,
    /// Write to this new file, mode 0600, instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    #[command(flatten)]
    issuer: IssuerArgs,
    #[command(flatten)]
    client: ClientArgs,
    /// Another audience that is taken, exactly, besides the issuer; may be repeated
    #[arg(long, value_name = "URL")]
    audience: Vec<String>,
    /// Take a list as aud, too
    #[arg(long)]
    audience_list: bool,
    /// How far ahead its end may be, as 5m
    #[arg(long, value_name = "TIME", value_parser = crate::cli::rotate::duration, default_value = "10m")]
    max_lifetime: Duration,
    /// Refuse one without the typ client-authentication+jwt
    #[arg(long)]
    require_typ: bool,
    /// Remember the ids that were used in this file, and refuse a second use
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.what {
        What::Issue(args) => {
            let lifetime = args.lifetime.or(AssertionOptions::default().lifetime);
            let typed = if args.typed { Typed::Own } else { Typed::Plain };
            let rp = args.issuer.relying_party(context, &args.client.read()?)?;
            let audience = args.audience.as_deref().unwrap_or_else(|| rp.issuer());
            let token = rp.client_assertion(audience, &AssertionOptions { lifetime, typed })?;
            let json = json!({ "token": token });
            Files::write(args.out.as_deref(), json, &["token"], format!("{token}\n").into_bytes())
        }
        What::Verify(args) => {
            let replay = replay_file::guard(args.replay.as_deref(), &context.clock);
            let provider = args.issuer.provider(context)?;
            let mut audiences = vec![provider.issuer()];
            audiences.extend(args.audience.iter().map(String::as_str));
            let rules = AssertionRules {
                audiences: &audiences,
                form: if args.audience_list { AudienceForm::List } else { AudienceForm::One },
                max_lifetime: args.max_lifetime,
                untyped: if args.require_typ { Untyped::Refused } else { Untyped::Accepted },
                replay: &*replay,
            };
            let client = args.client.read()?;
            let token = args.files.read_token()?;
            let found = provider.verify_client_assertion(&client, &token, &rules)?;
            accepted(&args.files, "client assertion", found)
        }
    }
}
