//! `token`: tokens of the profiles of the table: journeys, cookies, devices, remote consent.

use std::path::PathBuf;
use std::sync::Arc;

use claviger::error::{Error, ErrorKind, Result};
use claviger::ops::{KeySet, PeerKeySet};
use claviger::profiles::journey::{Between, Expected, PROFILES, Profile, Tokens};
use serde_json::{Value, json};

use super::denied_file::Denied;
use super::files::Files;
use super::output::table;
use super::password_input::read_input;
use super::rotate::duration;
use super::session::{made_by, read_claims};
use super::verify::with_reason;
use super::{Context, Outcome, key_life};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Claims go in as a JSON object, a token comes out, and the other way round. Consent requests and \
    responses cross a border: --peer names the keys of the other side, --issuer and --audience who makes and \
    who reads them.\n\
    Examples:\n  \
    claviger token profiles\n  \
    echo '{\"otk\":\"a1\"}' | claviger token seal --profile authid --out authid.txt\n  \
    claviger token open --profile authid --in authid.txt\n  \
    echo '{\"sub\":\"alice\"}' | claviger token seal --profile persistent-cookie --identifier node1 --life 5h --out node1.txt\n  \
    claviger token seal --profile consent-request --peer service.jwks --in request.json --out request.jwt\n  \
    claviger token open --profile consent-response --peer service.jwks --issuer rcs --audience https://op.example --in response.jwt"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

/// What is done.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Open a token: its claims, if it is accepted
    Open(Open),
    /// List the profiles with their labels
    Profiles,
    /// Make a token of claims
    Seal(Seal),
}

/// Whose tokens.
#[derive(Debug, clap::Args)]
struct Of {
    /// The profile
    #[arg(long, value_name = "NAME")]
    profile: String,
    /// The identifier of the node or module, where labels have one
    #[arg(long, value_name = "ID")]
    identifier: Option<String>,
    /// The public keys of the other side: a JWK set, PEM or certificate
    #[arg(long, value_name = "FILE")]
    peer: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Seal {
    #[command(flatten)]
    of: Of,
    /// How long it lives, as 5m [default: what the profile says]
    #[arg(long, value_name = "TIME")]
    life: Option<String>,
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, clap::Args)]
struct Open {
    #[command(flatten)]
    of: Of,
    /// Who makes it, for tokens of a peer
    #[arg(long, requires = "audience")]
    issuer: Option<String>,
    /// Who reads it, for tokens of a peer
    #[arg(long, requires = "issuer")]
    audience: Option<String>,
    /// How long tokens of the profile may live, as 5m [default: what the profile says]
    #[arg(long, value_name = "TIME")]
    life: Option<String>,
    #[command(flatten)]
    denied: Denied,
    #[command(flatten)]
    files: Files,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let outcome = match &args.what {
        What::Open(args) => open(context, args),
        What::Profiles => Ok(profiles()),
        What::Seal(args) => seal(context, args),
    };
    outcome.map_err(|error| with_reason(context, error))
}

fn tokens(context: &Context, of: &Of, life: Option<&str>) -> Result<Tokens> {
    let keyring = context.open()?;
    let identifier = of.identifier.as_deref();
    let tokens = match &context.realm {
        Some(realm) => keyring.realm(realm)?.tokens(&of.profile, identifier)?,
        None => keyring.tokens(&of.profile, identifier)?,
    };
    match life {
        Some(life) => {
            let idle = tokens.profile().idle;
            tokens.with_times(duration(life)?, idle)
        }
        None => Ok(tokens),
    }
}

fn peer(
    of: &Of,
    rules: impl FnOnce() -> Result<claviger::ops::PeerRules>,
) -> Result<Option<Arc<KeySet>>> {
    let Some(path) = &of.peer else { return Ok(None) };
    let bytes = read_input(path, 1 << 20)?;
    // EXPOSE: public keys.
    let keys = PeerKeySet::from_file(bytes.expose_secret(), &rules()?);
    let keys = keys.map_err(|error| error.with_file(path))?;
    keys.keys().cloned().map(Some).map_err(|error| error.with_file(path))
}

fn seal(context: &Context, args: &Seal) -> Result<Outcome> {
    let mut tokens = tokens(context, &args.of, args.life.as_deref())?;
    let profile = tokens.profile();
    if let Some(keys) = peer(&args.of, || profile.peer_encrypts())? {
        tokens = tokens.with_peer(keys)?;
    }
    let token = tokens.seal(&read_claims(context, &args.files)?);
    let token = token.map_err(|error| needs_peer(error, &tokens))?;
    let json = json!({ "token": token, "profile": profile.name });
    let outcome = args.files.answer(json, &["token"], format!("{token}\n").into_bytes())?;
    Ok(outcome.with_notes(key_life::budget_note_of_parts(&tokens.acting()?)))
}

fn open(context: &Context, args: &Open) -> Result<Outcome> {
    let mut tokens =
        tokens(context, &args.of, args.life.as_deref())?.with_denylist(args.denied.read()?);
    let profile = tokens.profile();
    if let Some(keys) = peer(&args.of, || profile.peer_signs())? {
        tokens = tokens.with_peer(keys)?;
    }
    match (&args.issuer, &args.audience) {
        (Some(issuer), Some(audience)) => {
            let (issuer, audience) = (issuer.clone(), audience.clone());
            tokens = tokens.expecting(Expected { issuer, audience })?;
        }
        _ if profile.between == Between::Peers => {
            let text = format!("profile \"{}\" needs --issuer and --audience", profile.name);
            return Err(Error::new(ErrorKind::Usage, text)
                .with_help("name who makes the token, and who reads it"));
        }
        _ => {}
    }
    let opened = tokens.open(&args.files.read_token()?);
    let opened = opened.map_err(|error| needs_peer(error, &tokens))?;
    let times =
        opened.times().map(|times| json!({ "issued": times.issued, "expires": times.expires }));
    let json = json!({ "profile": profile.name, "id": opened.id(), "realm": opened.realm(),
        "times": times, "claims": opened.claims() });
    let data = format!("{}\n", Value::Object(opened.claims().clone())).into_bytes();
    let note = format!("{} token {}", profile.name, made_by(&opened));
    Ok(args.files.answer(json, &["claims"], data)?.with_notes([note]))
}

/// Labels of ours that cannot do the part of the other side.
fn needs_peer(error: Error, tokens: &Tokens) -> Error {
    let alone = tokens.profile().between == Between::Peers && tokens.peer().is_none();
    if error.kind() != ErrorKind::WrongUse || !alone {
        return error;
    }
    error.with_help("the other side does this: name its public keys with --peer FILE")
}

fn profiles() -> Outcome {
    let labels = |row: &Profile| row.labels().collect::<Vec<_>>();
    let life = |row: &Profile| row.life.map_or_else(|| "-".to_owned(), claviger::clock::spoken);
    let json: Vec<Value> = PROFILES
        .iter()
        .map(|row| {
            json!({ "name": row.name, "help": row.help, "typ": row.typ.name(), "parts": row.parts.name(),
                "life_seconds": row.life.map(|life| life.as_secs()),
                "idle_seconds": row.idle.map(|idle| idle.as_secs()),
                "required_claims": row.required, "labels": labels(row) })
        })
        .collect();
    let mut rows = Vec::new();
    for row in PROFILES {
        for (index, label) in labels(row).into_iter().enumerate() {
            let first = |text: String| if index == 0 { text } else { String::new() };
            rows.push(vec![
                first(row.name.into()),
                first(row.parts.name().into()),
                first(life(row)),
                label.to_owned(),
            ]);
        }
    }
    Outcome::new(json!({ "profiles": json }), table(&["PROFILE", "PARTS", "LIFE", "LABELS"], &rows))
}
