//! `session`: client-side sessions as `[sessions]` says: made, opened, looked at, used again, ended.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use claviger::clock::{rfc3339, spoken, to_unix};
use claviger::error::{Error, ErrorKind, Result};
use claviger::json;
use claviger::profiles::session::{CookieSize, Sealed, Sessions};
use claviger::profiles::{Accepted, Times};
use serde_json::{Map, Value, json};

use super::denied_file::{self, Denied};
use super::files::Files;
use super::verify::with_reason;
use super::{Context, Outcome, key_life};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Claims go in as a JSON object, the cookie's value comes out, and the other way round. [sessions] of the \
    configuration says which labels sign and encrypt, and when sessions end.\n\
    Examples:\n  \
    echo '{\"sub\":\"alice\"}' | claviger session seal --out cookie.txt\n  \
    claviger session open --in cookie.txt\n  \
    claviger session refresh --in cookie.txt --out next.txt\n  \
    claviger session info --in cookie.txt\n  \
    claviger session logout --denied logged-out.txt --in cookie.txt"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

/// What is done.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show what a session is, ended or not; exit code 1 if it is not accepted
    Info(Open),
    /// Put a session's id on a denylist until its absolute end
    Logout(Logout),
    /// Open a session: its claims, if it is accepted
    Open(Open),
    /// The same session, used now: a new idle time-out, the same id and absolute end
    Refresh(Open),
    /// Make a session of claims
    Seal(Seal),
}

#[derive(Debug, clap::Args)]
struct Seal {
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, clap::Args)]
struct Open {
    #[command(flatten)]
    denied: Denied,
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, clap::Args)]
struct Logout {
    /// The file; it is made if it is not there
    #[arg(long, value_name = "FILE")]
    denied: PathBuf,
    #[command(flatten)]
    files: Files,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let keyring = context.open()?;
    let sessions = match &context.realm {
        Some(realm) => keyring.realm(realm)?.sessions(),
        None => keyring.sessions(),
    };
    let outcome = match &args.what {
        What::Info(args) => info(context, &guarded(sessions, args)?, args),
        What::Logout(args) => logout(context, &sessions, args),
        What::Open(args) => open(&guarded(sessions, args)?, args),
        What::Refresh(args) => refresh(&guarded(sessions, args)?, args),
        What::Seal(args) => seal(context, &sessions, args),
    };
    outcome.map_err(|error| with_reason(context, error))
}

fn guarded(sessions: Sessions, args: &Open) -> Result<Sessions> {
    Ok(sessions.with_denylist(args.denied.read()?))
}

fn seal(context: &Context, sessions: &Sessions, args: &Seal) -> Result<Outcome> {
    let claims = read_claims(context, &args.files)?;
    sealed(sessions, &args.files, &sessions.seal(&claims)?)
}

/// A JSON object of the input, as strictly as tokens are read.
pub(crate) fn read_claims(context: &Context, files: &Files) -> Result<Map<String, Value>> {
    let input = files.read()?;
    let limits = claviger::Config::load(&context.config)?.policy.limits;
    // EXPOSE: claims become part of the token.
    json::parse_strict_object(input.expose_secret(), limits.max_json_depth).map_err(|error| {
        let text = format!("the claims are no JSON object: {}", error.message());
        Error::new(ErrorKind::Malformed, text).with_help("write {\"sub\":\"alice\"}")
    })
}

fn sealed(sessions: &Sessions, files: &Files, sealed: &Sealed) -> Result<Outcome> {
    let size = &sealed.size;
    let mut json = facts(sessions, &sealed.times);
    json.insert("token".into(), sealed.token.clone().into());
    json.insert("id".into(), sealed.id.clone().into());
    json.insert("cookie".into(), cookie(size));
    let mut notes = vec![format!("session {}: {size}", sealed.id)];
    if size.is_too_large() {
        notes.push(format!(
            "warning: browsers may drop a cookie of more than {} bytes",
            CookieSize::LIMIT
        ));
        notes.extend(size.advice.iter().map(|advice| format!("help: {advice}")));
    }
    notes.extend(key_life::budget_note_of_parts(&sessions.acting()?));
    let data = format!("{}\n", sealed.token).into_bytes();
    Ok(files.answer(json.into(), &["token"], data)?.with_notes(notes))
}

fn cookie(size: &CookieSize) -> Value {
    json!({ "bytes": size.bytes, "limit": CookieSize::LIMIT, "claims_bytes": size.claims_bytes,
        "advice": size.advice })
}

/// When it was made, used and ends.
fn facts(sessions: &Sessions, times: &Times) -> Map<String, Value> {
    let (idle_end, end) = sessions.ends(times);
    let members = [
        ("issued", Some(times.issued)),
        ("seen", Some(times.seen)),
        ("ends_unless_used", idle_end),
        ("ends", Some(end)),
    ];
    members.into_iter().map(|(name, time)| (name.to_owned(), time.map(shown).into())).collect()
}

fn shown(seconds: u64) -> String {
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    time.map_or_else(|| seconds.to_string(), rfc3339)
}

fn open(sessions: &Sessions, args: &Open) -> Result<Outcome> {
    let session = sessions.open(&args.files.read_token()?)?;
    let mut json = opened(sessions, &session);
    json.insert("claims".into(), session.claims().clone().into());
    let data = format!("{}\n", Value::Object(session.claims().clone())).into_bytes();
    let note = format!("session {} {}", session.id().unwrap_or_default(), made_by(&session));
    Ok(args.files.answer(json.into(), &["claims"], data)?.with_notes([note]))
}

fn refresh(sessions: &Sessions, args: &Open) -> Result<Outcome> {
    let session = sessions.open(&args.files.read_token()?)?;
    sealed(sessions, &args.files, &sessions.refresh(&session)?)
}

fn info(context: &Context, sessions: &Sessions, args: &Open) -> Result<Outcome> {
    let token = args.files.read_token()?;
    let session = sessions.open_at_any_time(&token)?;
    let refused = match sessions.check(&session) {
        Ok(()) => None,
        // Whoever looks at a session with its keys may know.
        Err(error) if error.kind() == ErrorKind::TokenRefused => {
            Some(std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default())
        }
        Err(error) => return Err(error),
    };
    let mut json = opened(sessions, &session);
    json.insert("accepted".into(), refused.is_none().into());
    json.insert("refused".into(), refused.clone().into());
    json.insert("token_bytes".into(), token.len().into());
    let verdict =
        refused.as_ref().map_or_else(|| "accepted".to_owned(), |why| format!("refused: {why}"));
    let mut lines = vec![
        format!("session {}: {verdict}", session.id().unwrap_or_default()),
        format!("  {}", made_by(&session)),
        format!("  realm: {}", session.realm().unwrap_or("-")),
    ];
    if let Some(times) = session.times() {
        let (idle_end, end) = sessions.ends(times);
        lines.push(format!("  made: {}, used: {}", shown(times.issued), shown(times.seen)));
        lines.extend(idle_end.map(|end| format!("  unless it is used: {}", until(context, end))));
        lines.push(format!("  at the latest: {}", until(context, end)));
    }
    lines.push(format!("  {} bytes, claims: {}", token.len(), names(&session)));
    let exit = u8::from(refused.is_some());
    let data = format!("{}\n", super::output::escape(&lines.join("\n"))).into_bytes();
    Ok(args.files.answer(json.into(), &[], data)?.with_exit(exit))
}

/// When it ends, and how long that is from now.
fn until(context: &Context, end: u64) -> String {
    let now = to_unix(context.clock.now());
    let shown = shown(end);
    match end.checked_sub(now) {
        Some(left) if left > 0 => {
            format!("ends {shown}, in {}", spoken(Duration::from_secs(left)))
        }
        _ => format!("ended {shown}"),
    }
}

fn names(session: &Accepted) -> String {
    let names: Vec<&str> = session.claims().keys().map(String::as_str).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn opened(sessions: &Sessions, session: &Accepted) -> Map<String, Value> {
    let mut json = session.times().map(|times| facts(sessions, times)).unwrap_or_default();
    json.insert("id".into(), session.id().into());
    json.insert("realm".into(), session.realm().into());
    let alias = |key: Option<&std::sync::Arc<claviger::ops::LabelKey>>| {
        key.map(|key| json!({ "alias": key.alias, "store": key.store, "kid": key.kid }))
    };
    json.insert("verified_by".into(), alias(session.verified_by()).into());
    json.insert("decrypted_by".into(), alias(session.decrypted_by()).into());
    json
}

/// Which aliases opened it.
pub(crate) fn made_by(token: &Accepted) -> String {
    let verified = token.verified_by().map(|key| format!("verified with alias \"{}\"", key.alias));
    let decrypted =
        token.decrypted_by().map(|key| format!("decrypted with alias \"{}\"", key.alias));
    let both: Vec<String> = verified.into_iter().chain(decrypted).collect();
    both.join(", ")
}

fn logout(context: &Context, sessions: &Sessions, args: &Logout) -> Result<Outcome> {
    let session = sessions.open_at_any_time(&args.files.read_token()?)?;
    let (Some(id), Some(times)) = (session.id(), session.times()) else {
        return Err(Error::new(ErrorKind::Malformed, "the session has no id"));
    };
    // A shorter configuration may be taken back: the claim counts.
    let count = denied_file::add(context, &args.denied, id, times.expires)?;
    let json = json!({ "id": id, "until": shown(times.expires), "denied": count });
    let note = format!("session {id} is refused until {}", shown(times.expires));
    Ok(Outcome::new(json, "").with_notes([note]))
}
