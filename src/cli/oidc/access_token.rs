//! `oidc access-token`: access tokens as JWTs, and introspection.

use std::path::PathBuf;

use claviger::alg::Algorithm;
use claviger::crypto::certificate::thumbprint;
use claviger::error::{Error, ErrorKind, Result};
use claviger::profiles::oidc::{
    AccessTokenOptions, AccessTokenRules, Binding, Provider, TokenProtection,
};
use serde_json::json;

use super::{
    ClientArgs, IssuerArgs, LifetimeArgs, accepted, certificates, claims, client_file, issued_by,
};
use crate::cli::files::Files;
use crate::cli::output::escape;
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    echo '{\"sub\":\"alice\",\"scope\":\"read\"}' | claviger oidc access-token issue --issuer https://op.example --client shop.toml --audience https://api.example\n  \
    claviger oidc access-token verify --issuer https://op.example --audience https://api.example --scope read --in at.jwt\n  \
    claviger oidc access-token introspect --issuer https://op.example --protection ES256 --protection RS256 --in at.jwt")]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Answer as an introspection endpoint does (RFC 7662), for access and refresh tokens; exit code 1: not active,
    /// and -v says why
    Introspect(IntrospectArgs),
    /// Make one of the claims on the input: sub, scope, whatever else
    Issue(IssueArgs),
    /// Check one
    Verify(VerifyArgs),
}

/// How the tokens of the provider are protected.
#[derive(Debug, clap::Args)]
pub(super) struct ProtectionArgs {
    /// ES256, RS256, HS256, … or encrypted; may be repeated: the first acts, each still opens
    #[arg(long, value_name = "NAME", value_parser = protection, default_value = "RS256")]
    protection: Vec<TokenProtection>,
}

impl ProtectionArgs {
    pub(super) fn apply(&self, provider: Provider) -> Result<Provider> {
        provider.with_tokens(&self.protection)
    }
}

fn protection(name: &str) -> Result<TokenProtection> {
    if name == "encrypted" {
        return Ok(TokenProtection::Encrypted);
    }
    Algorithm::named(name).map(TokenProtection::Signed)
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
    /// A resource server that it is for; may be repeated [default: the issuer]
    #[arg(long, value_name = "TEXT")]
    audience: Vec<String>,
    /// The certificate that the client showed in TLS, PEM or DER: the token is bound to it (RFC 8705)
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    #[command(flatten)]
    issuer: IssuerArgs,
    #[command(flatten)]
    protection: ProtectionArgs,
    /// The resource server that it must be for [default: whoever it is for]
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
    /// The registration of the client that it must be of
    #[arg(long, value_name = "FILE")]
    client: Option<PathBuf>,
    /// A scope that it must have; may be repeated
    #[arg(long, value_name = "TEXT")]
    scope: Vec<String>,
    /// The certificate that it must be bound to, PEM or DER (RFC 8705) [default: bound tokens are refused]
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The same by its SHA-256 thumbprint in base64url
    #[arg(long, value_name = "TEXT", conflicts_with = "certificate")]
    certificate_thumbprint: Option<String>,
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, clap::Args)]
struct IntrospectArgs {
    #[command(flatten)]
    issuer: IssuerArgs,
    #[command(flatten)]
    protection: ProtectionArgs,
    #[command(flatten)]
    files: Files,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.what {
        What::Introspect(args) => introspect(context, args),
        What::Issue(args) => issue(context, args),
        What::Verify(args) => verify(context, args),
    }
}

fn issue(context: &Context, args: &IssueArgs) -> Result<Outcome> {
    let audiences: Vec<&str> = args.audience.iter().map(String::as_str).collect();
    let lifetime = args.lifetime.or(AccessTokenOptions::default().lifetime);
    let chain = args.certificate.as_deref().map(certificates).transpose()?;
    let certificate = chain.iter().flatten().next().map(Vec::as_slice);
    let options = AccessTokenOptions { lifetime, audiences: &audiences, certificate };
    let client = args.client.read()?;
    let provider = args.protection.apply(args.issuer.provider(context)?)?;
    let token = provider.issue_access_token(&client, &*claims(&args.files)?, &options)?;
    issued_by(&provider, &args.files, &token)
}

fn verify(context: &Context, args: &VerifyArgs) -> Result<Outcome> {
    let client = args.client.as_deref().map(client_file::read).transpose()?;
    let chain = args.certificate.as_deref().map(certificates).transpose()?;
    let bound_to = chain.iter().flatten().next().map(|leaf| thumbprint(leaf));
    let bound_to = bound_to.or_else(|| args.certificate_thumbprint.clone());
    let scopes: Vec<&str> = args.scope.iter().map(String::as_str).collect();
    let rules = AccessTokenRules {
        audience: args.audience.as_deref(),
        client_id: client.as_ref().map(claviger::profiles::oidc::Client::id),
        scopes: &scopes,
        binding: bound_to.as_deref().map_or(Binding::Nobody, Binding::Certificate),
    };
    let provider = args.protection.apply(args.issuer.provider(context)?)?;
    let found = provider.verify_access_token(&args.files.read_token()?, &rules)?;
    accepted(&args.files, "access token", found)
}

fn introspect(context: &Context, args: &IntrospectArgs) -> Result<Outcome> {
    let provider = args.protection.apply(args.issuer.provider(context)?)?;
    let (answer, note) = match provider.introspect_active(&args.files.read_token()?) {
        Ok(answer) => (answer, None),
        Err(error) if error.kind() == ErrorKind::TokenRefused => {
            (json!({ "active": false }), Some(not_active(context, &error)))
        }
        Err(error) => return Err(error),
    };
    let exit = u8::from(note.is_some());
    let text = format!("{answer}\n").into_bytes();
    Ok(args.files.answer(answer, &[], text)?.with_notes(note).with_exit(exit))
}

/// The operator may know why; whoever asks an endpoint is told no more than that.
fn not_active(context: &Context, error: &Error) -> String {
    let why = std::error::Error::source(error).filter(|_| context.verbosity > 0);
    let why = why.map_or_else(|| "-v says why".to_owned(), ToString::to_string);
    escape(&format!("not active: {why}"))
}
