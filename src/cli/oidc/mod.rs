//! `oidc`: tokens of OAuth 2.0 and OpenID Connect, made and checked by label.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claviger::alg::{Algorithm, Family};
use claviger::crypto::certificate;
use claviger::error::{Error, ErrorKind, Result};
use claviger::json;
use claviger::ops::{KeySet, PeerKeySet, PeerRules};
use claviger::profiles::oidc::{Client, Oidc, Provider, RelyingParty, TokenClaims, VerifiedToken};
use serde_json::{Value, json};

mod access_token;
mod client_assertion;
#[cfg(feature = "tls")]
mod client_certificate;
mod client_file;
mod id_token;
mod logout_token;
mod refresh_token;
mod replay_file;
mod request_object;
mod subject;
mod userinfo;

use super::files::Files;
use super::password_input::read_input;
use super::verify::with_reason;
use super::{Context, Outcome, key_life};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Claims go in as JSON, tokens come out, and the other way round. The client file is TOML or JSON: its \
    registration, by the names of OpenID Connect Dynamic Client Registration, and client_secret_file, \
    client_secret_env and jwks_file, relative to it. Exit code 1: the token is not accepted; -v says why.\n\
    Examples:\n  \
    printf 'client_id = \"shop\"\\nid_token_signed_response_alg = \"ES256\"\\n' > shop.toml\n  \
    echo '{\"sub\":\"alice\",\"nonce\":\"n-1\"}' | claviger oidc id-token issue --issuer https://op.example --client shop.toml\n  \
    claviger oidc id-token verify --issuer https://op.example --client shop.toml --nonce n-1 --in id.jwt\n  \
    claviger oidc access-token introspect --issuer https://op.example --in at.jwt\n  \
    claviger oidc subject alice --client shop.toml"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

/// One variant a kind of token; its file has `Args` and `run`.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Access tokens (RFC 9068): issue, verify, introspect
    AccessToken(access_token::Args),
    /// Client authentication with a JWT (RFC 7523): issue as a client, verify as the provider
    ClientAssertion(client_assertion::Args),
    /// Client authentication with a certificate (RFC 8705): verify as the provider
    #[cfg(feature = "tls")]
    ClientCertificate(client_certificate::Args),
    /// ID tokens: issue, and verify as the provider or as a relying party
    IdToken(id_token::Args),
    /// Back-channel logout tokens: issue as the provider, verify as a relying party
    LogoutToken(logout_token::Args),
    /// Refresh tokens: issue, verify
    RefreshToken(refresh_token::Args),
    /// Request objects (RFC 9101): issue as a client, verify as the provider
    RequestObject(request_object::Args),
    /// How a client knows a user: pairwise or public
    Subject(subject::Args),
    /// Userinfo responses: issue as the provider, verify as a relying party
    Userinfo(userinfo::Args),
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let outcome = match &args.what {
        What::AccessToken(args) => access_token::run(context, args),
        What::ClientAssertion(args) => client_assertion::run(context, args),
        #[cfg(feature = "tls")]
        What::ClientCertificate(args) => client_certificate::run(context, args),
        What::IdToken(args) => id_token::run(context, args),
        What::LogoutToken(args) => logout_token::run(context, args),
        What::RefreshToken(args) => refresh_token::run(context, args),
        What::RequestObject(args) => request_object::run(context, args),
        What::Subject(args) => subject::run(context, args),
        What::Userinfo(args) => userinfo::run(context, args),
    };
    outcome.map_err(|error| with_reason(context, error))
}

/// Who the provider is.
#[derive(Debug, clap::Args)]
struct IssuerArgs {
    /// The issuer identifier of the provider
    #[arg(long, value_name = "URL")]
    issuer: String,
}

/// Who the client is.
#[derive(Debug, clap::Args)]
struct ClientArgs {
    /// The registration of the client: a TOML or JSON file
    #[arg(long, value_name = "FILE")]
    client: PathBuf,
}

impl IssuerArgs {
    fn provider(&self, context: &Context) -> Result<Provider> {
        Ok(oidc(context)?.provider(self.issuer.as_str()))
    }

    fn relying_party(&self, context: &Context, client: &Client) -> Result<RelyingParty> {
        Ok(oidc(context)?.relying_party(client.clone(), self.issuer.as_str()))
    }
}

impl ClientArgs {
    fn read(&self) -> Result<Client> {
        client_file::read(&self.client)
    }
}

fn oidc(context: &Context) -> Result<Oidc> {
    let realm = context.realm.as_deref().map(str::parse).transpose()?;
    Ok(context.open()?.oidc(realm))
}

/// The keys of the provider, to check what it signed.
#[derive(Debug, clap::Args)]
struct ProviderKeys {
    /// Check as a relying party, with this JWK set, certificate or PEM file of the provider
    #[arg(long, value_name = "FILE")]
    provider_jwks: Option<PathBuf>,
}

impl ProviderKeys {
    /// Those that verify this algorithm; none are needed where the client's secret does.
    fn read(&self, algorithm: Option<&'static Algorithm>) -> Result<Option<Arc<KeySet>>> {
        let algorithm = algorithm.map_or_else(|| Algorithm::named("RS256"), Ok)?;
        if matches!(algorithm.family, Family::Hmac(_)) {
            return Ok(None);
        }
        let rules = PeerRules::verify(&[algorithm.name])?;
        self.provider_jwks.as_ref().map(|path| peer_keys(path, &rules)).transpose()
    }
}

fn peer_keys(path: &std::path::Path, rules: &PeerRules) -> Result<Arc<KeySet>> {
    let bytes = read_input(path, MAX_KEYS_BYTES)?;
    // EXPOSE: public keys.
    let keys = PeerKeySet::from_file(bytes.expose_secret(), rules)
        .map_err(|error| error.with_file(path))?;
    Ok(Arc::clone(keys.keys().map_err(|error| error.with_file(path))?))
}

/// The certificates of a file, PEM or DER, the first one being the client's.
fn certificates(path: &std::path::Path) -> Result<Vec<Vec<u8>>> {
    let bytes = read_input(path, MAX_KEYS_BYTES)?;
    // EXPOSE: certificates are public.
    certificate::read_file(bytes.expose_secret()).map_err(|error| error.with_file(path))
}

/// How long a token that is made lives.
#[derive(Debug, clap::Args)]
struct LifetimeArgs {
    /// How long it lives, as 5m or 1h
    #[arg(long, value_name = "TIME", value_parser = super::rotate::duration)]
    lifetime: Option<Duration>,
}

impl LifetimeArgs {
    fn or(&self, default: Duration) -> Duration {
        self.lifetime.unwrap_or(default)
    }
}

/// The claims on the input.
fn claims(files: &Files) -> Result<TokenClaims> {
    let input = files.read()?;
    // EXPOSE: claims become part of the token.
    json::parse_strict_object(input.expose_secret(), MAX_CLAIMS_DEPTH).map(TokenClaims::from)
}

/// The text of a file that holds a token or code.
fn token_in(path: Option<&PathBuf>) -> Result<Option<String>> {
    let Some(path) = path else { return Ok(None) };
    let bytes = read_input(path, MAX_KEYS_BYTES)?;
    // EXPOSE: it is hashed.
    let text = std::str::from_utf8(bytes.expose_secret())
        .map_err(|_| Error::new(ErrorKind::Malformed, "the file holds no token").with_file(path))?;
    Ok(Some(text.trim().to_owned()))
}

/// The answer of what made a token.
fn issued(files: &Files, token: &str) -> Result<Outcome> {
    files.answer(json!({ "token": token }), &["token"], format!("{token}\n").into_bytes())
}

/// The same of a token that only the provider opens again.
fn issued_by(provider: &Provider, files: &Files, token: &str) -> Result<Outcome> {
    let keys = provider.encrypting()?;
    let note = keys.as_deref().and_then(key_life::budget_note_of);
    Ok(issued(files, token)?.with_notes(note))
}

/// The answer of what accepted one.
fn accepted(files: &Files, what: &str, token: VerifiedToken) -> Result<Outcome> {
    let VerifiedToken { claims, key, algorithm, .. } = token;
    let note = format!("{what} accepted: alias \"{}\" ({algorithm})", key.alias);
    let claims = Value::Object(claims.into_map());
    let text = format!("{claims}\n").into_bytes();
    let json = json!({ "verified": true, "alias": key.alias, "store": key.store, "kid": key.kid,
        "algorithm": algorithm.name, "claims": claims });
    Ok(files.answer(json, &["claims"], text)?.with_notes([super::output::escape(&note)]))
}

const MAX_KEYS_BYTES: u64 = 1 << 20;
/// As deep as the default of `policy.limits.max_json_depth`.
const MAX_CLAIMS_DEPTH: usize = 16;
