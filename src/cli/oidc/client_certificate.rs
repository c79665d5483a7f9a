//! `oidc client-certificate`: `tls_client_auth` and `self_signed_tls_client_auth`.

use std::path::PathBuf;

use claviger::crypto::certificate;
use claviger::error::Result;
use serde_json::json;

use super::{ClientArgs, certificates, oidc};
use crate::cli::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With token_endpoint_auth_method = \"tls_client_auth\" the certificate leads to one of the label \
    am.services.oauth2.tls.client.cert.authentication and has the registered subject: exactly one of tls_client_auth_subject_dn, \
    tls_client_auth_san_dns, _san_email, _san_ip and _san_uri. With \"self_signed_tls_client_auth\" it is one of the label \
    am.applications.oauth2.client.{identifier}.mtls.trusted.cert, else one of x5c in the client's jwks. That the client has the \
    key is for the TLS handshake to prove.\n\
    Examples:\n  \
    claviger oidc client-certificate verify --client shop.toml --certificate shop.pem\n  \
    claviger oidc access-token issue --issuer https://op.example --client shop.toml --certificate shop.pem --in claims.json"
)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Check one as the provider; exit code 1: it does not say who the client is
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// The certificate that the client showed, PEM or DER; what it showed beside it follows in the PEM
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let What::Verify(args) = &args.what;
    let client = args.client.read()?;
    let chain = certificates(&args.certificate)?;
    // The issuer has no part in it.
    oidc(context)?.provider("").verify_client_certificate(&client, &chain)?;
    let leaf = chain.first().map_or(&[][..], Vec::as_slice);
    let (thumbprint, subject) = (certificate::thumbprint(leaf), certificate::facts(leaf)?.subject);
    let text = format!("{thumbprint}\n");
    let note = format!("client certificate accepted: {subject}");
    let json = json!({ "verified": true, "subject": subject, "x5t#S256": thumbprint });
    Ok(Outcome::new(json, text).with_notes([crate::cli::output::escape(&note)]))
}
