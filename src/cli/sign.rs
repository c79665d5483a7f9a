//! `sign`: a JWS, or with `--raw` a bare signature, with the active alias.

use claviger::alg::Hash;
use claviger::error::Result;
use claviger::jose::jws::{self, SignOptions};
use claviger::ops::{self, GivenDigest};
use serde_json::json;

use super::files::Files;
use super::on_label::{Form, hash, keys};
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  echo '{\"sub\":\"alice\"}' | claviger sign --label am.services.oauth2.oidc.signing.ES256\n  \
    claviger sign --label am.services.oauth2.oidc.signing.EDDSA --raw --in release.tar --out release.sig\n  \
    openssl dgst -sha256 -binary release.tar | claviger sign --label am.services.oauth2.oidc.signing.ES256 --raw --digest SHA-256"
)]
pub(crate) struct Args {
    /// The label
    #[arg(long)]
    label: String,
    /// The algorithm [default: the label's first that fits its active alias]
    #[arg(long, value_name = "NAME")]
    alg: Option<String>,
    /// The typ header
    #[arg(long)]
    typ: Option<String>,
    /// How the token is written: parts between dots, JSON, or JSON with a list
    #[arg(long, value_enum, default_value = "compact")]
    form: Form,
    /// Leave the payload out of the token
    #[arg(long)]
    detached: bool,
    /// Sign the payload as it is, b64=false (RFC 7797)
    #[arg(long, requires = "detached")]
    unencoded: bool,
    /// Write the bare signature, not a token
    #[arg(long, conflicts_with_all = ["typ", "detached", "form"])]
    raw: bool,
    /// The input is a digest of the message, made already: SHA-256, SHA-384 or SHA-512
    #[arg(long, value_name = "HASH", value_parser = hash, requires = "raw")]
    digest: Option<Hash>,
    #[command(flatten)]
    files: Files,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let set = keys(context, &args.label)?;
    let input = args.files.read()?;
    // EXPOSE: what is to be signed; it becomes part of the token.
    let payload = input.expose_secret();
    let active = set.active();
    if args.raw {
        let alg = args.alg.as_deref();
        let (signature, algorithm) = match args.digest {
            Some(hash) => ops::sign_digest(&set, &GivenDigest::new(hash, payload)?, alg),
            None => ops::sign_raw(&set, payload, alg),
        }?;
        let hex = hex::encode(&signature);
        let json = json!({ "signature_hex": hex, "alias": active.alias, "kid": active.kid,
            "algorithm": algorithm.name });
        return args.files.answer(json, &["signature_hex"], signature);
    }
    let options = SignOptions {
        algorithm: args.alg.clone().map(Into::into),
        typ: args.typ.clone().map(Into::into),
        serialization: args.form.into(),
        detached: args.detached,
        unencoded: args.unencoded,
        ..SignOptions::default()
    };
    let token = jws::sign(&set, payload, &options)?;
    let json = json!({ "token": token, "alias": active.alias, "kid": active.kid });
    args.files.answer(json, &["token"], format!("{token}\n").into_bytes())
}
