//! `verify`: a JWS, its claims if asked, or with `--raw` a bare signature.

use std::path::PathBuf;

use claviger::alg::Hash;
use claviger::error::{Error, ErrorKind, Result};
use claviger::jose::jws::{self, VerifyOptions};
use claviger::ops::{self, GivenDigest, KeySet};
use serde_json::json;

use super::claim_args::ClaimArgs;
use super::files::Files;
use super::on_label::{hash, keys};
use super::password_input::read_input;
use super::{Context, Outcome, verify_at};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  claviger verify --label am.services.oauth2.oidc.signing.ES256 --in token.txt\n  \
    claviger verify --label am.services.oauth2.oidc.signing.ES256 --claims --audience api --skew 30 --in token.txt\n  \
    claviger verify --label am.services.oauth2.oidc.signing.EDDSA --raw --signature release.sig --in release.tar"
)]
pub(crate) struct Args {
    /// The label
    #[arg(long)]
    label: String,
    #[command(flatten)]
    claims: ClaimArgs,
    /// The typ that the token must have
    #[arg(long)]
    typ: Option<String>,
    /// The payload of a token that does not carry it
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
    /// The algorithm of a bare signature [default: every one the label allows]
    #[arg(long, value_name = "NAME", requires = "raw")]
    alg: Option<String>,
    /// Check a bare signature of the input
    #[arg(long, requires = "signature", conflicts_with_all = ["claims", "typ", "payload"])]
    raw: bool,
    /// The input is a digest of the message, made already: SHA-256, SHA-384 or SHA-512
    #[arg(long, value_name = "HASH", value_parser = hash, requires = "raw")]
    digest: Option<Hash>,
    /// Whether it was valid at this time, in RFC 3339: the journal knows
    #[arg(long, value_name = "TIME", conflicts_with = "raw")]
    at: Option<String>,
    /// The bare signature
    #[arg(long, value_name = "FILE", requires = "raw")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    if args.raw {
        return verify_raw(&*keys(context, &args.label)?, args);
    }
    let token = args.files.read_token()?;
    let detached = args.payload.as_ref().map(|path| read_input(path, 16 << 20)).transpose()?;
    let options = VerifyOptions {
        // EXPOSE: the payload is what the token is about.
        detached_payload: detached.as_ref().map(|bytes| bytes.expose_secret()),
        typ: args.typ.as_deref(),
    };
    if let Some(at) = &args.at {
        return verify_at::run(context, &args.label, (&token, &options), at, &args.claims);
    }
    let set = keys(context, &args.label)?;
    let verified = if token.starts_with('{') {
        jws::verify_json(&set, &token, &options)
    } else {
        jws::verify(&set, &token, &options)
    }
    .map_err(|error| with_reason(context, error))?;
    let claims = args.claims.check(&set.policy().limits, &verified, context.clock.now())?;
    let key = &verified.key;
    let json = json!({
        "verified": true,
        "alias": key.alias,
        "store": key.store,
        "kid": key.kid,
        "algorithm": verified.algorithm.name,
        "header": verified.header(),
        "payload": std::str::from_utf8(&verified.payload).ok(),
        "claims": claims,
    });
    let note = format!("verified with alias \"{}\" ({})", key.alias, verified.algorithm);
    Ok(args.files.answer(json, &["payload"], verified.payload)?.with_notes([note]))
}

fn verify_raw(set: &KeySet, args: &Args) -> Result<Outcome> {
    let path =
        args.signature.as_ref().ok_or_else(|| Error::new(ErrorKind::Usage, "no signature"))?;
    let signature = read_input(path, 1 << 20)?;
    let message = args.files.read()?;
    // EXPOSE: public by nature.
    let (message, signature) = (message.expose_secret(), signature.expose_secret());
    let alg = args.alg.as_deref();
    let (key, algorithm) = match args.digest {
        Some(hash) => ops::verify_digest(set, &GivenDigest::new(hash, message)?, signature, alg),
        None => ops::verify_raw(set, message, signature, alg),
    }?;
    let json = json!({ "verified": true, "alias": key.alias, "store": key.store, "kid": key.kid,
        "algorithm": algorithm.name });
    let note = format!("verified with alias \"{}\" ({algorithm})", key.alias);
    Ok(Outcome::new(json, "").with_notes([note]))
}

/// The operator at the command line may know why: with `-v`, and never in a service.
pub(crate) fn with_reason(context: &Context, error: Error) -> Error {
    let of_a_token = [ErrorKind::NotDecrypted, ErrorKind::NotVerified, ErrorKind::TokenRefused];
    if !of_a_token.contains(&error.kind()) {
        return error;
    }
    let reason = std::error::Error::source(&error).map(ToString::to_string);
    match reason {
        Some(reason) if context.verbosity > 0 => error.with_help(reason),
        _ if error.kind() == ErrorKind::TokenRefused => error.with_help("-v says why"),
        _ => error.with_help(
            "-v says why; `claviger explain LABEL --token FILE` says which key it needs",
        ),
    }
}
