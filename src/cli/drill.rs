//! `drill`: a rotation rehearsed, every alias exercised, or recorded traffic against a future mapping.

use std::path::{Path, PathBuf};

use claviger::clock::parse_rfc3339;
use claviger::drill::{self, Exercise, Fate, Line, Rehearsal, Replay, Scope, Verdict};
use claviger::error::{Error, ErrorKind, Result};
use claviger::keyring::Keyring;
use claviger::label::{LabelName, Realm};
use claviger::trace::{self, Trace};
use serde_json::json;

use super::output::{escape, table};
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing real is touched: keys are fresh, files stay as they are. Exit code 1: something would break;\n\
    3: nothing that is recorded would, but the trace does not answer for everything.\n\
    Examples:\n  claviger drill am.services.oauth2.oidc.signing.ES256\n  claviger drill\n  \
    claviger drill --plan next.toml\n  \
    claviger drill --plan next.toml --trace state/trace/trace.0 --at 2026-12-01T04:00:00Z"
)]
pub(crate) struct Args {
    /// The label whose rotation is rehearsed [default: every alias of every label acts once]
    label: Option<String>,
    /// A future configuration: what it would do to the traffic that was recorded
    #[arg(long, value_name = "FILE", conflicts_with = "label")]
    plan: Option<PathBuf>,
    /// Files of recorded traffic [default: those that `[trace]` keeps]
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "plan")]
    trace: Vec<PathBuf>,
    /// When the future configuration is put in place, in RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", requires = "plan")]
    at: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let keyring = open(context, &context.config)?;
    if let Some(plan) = &args.plan {
        return replay(context, args, &keyring, plan);
    }
    let realm: Option<Realm> = context.realm.as_deref().map(str::parse).transpose()?;
    let snapshot = keyring.snapshot();
    match &args.label {
        Some(label) => {
            let label = claviger::catalogue::canonical(&label.parse::<LabelName>()?);
            let found = drill::rehearse(&keyring.config(), &snapshot, &label, realm.as_ref())?;
            Ok(tell_rehearsals(&found))
        }
        None => Ok(tell_exercises(&drill::exercise(&snapshot, realm.as_ref())?)),
    }
}

fn open(context: &Context, file: &Path) -> Result<Keyring> {
    Keyring::open_once_at(file, context.clock.clone())
}

fn tell_rehearsals(all: &[Rehearsal]) -> Outcome {
    let mut text = String::new();
    for one in all {
        text.push_str(&format!("{}\n", heading(&one.scope)));
        if !one.lines.is_empty() {
            text.push_str(&timeline(one));
        }
        one.breaks.iter().for_each(|line| text.push_str(&format!("  would break: {line}\n")));
        one.notes.iter().for_each(|line| text.push_str(&format!("  note: {line}\n")));
    }
    let tokens: usize = all.iter().map(|one| one.tokens).sum();
    let breaks: usize = all.iter().map(|one| one.breaks.len()).sum();
    let good = format!(
        "nothing breaks: {tokens} tokens, each accepted for as long as its alias is mapped"
    );
    finish(text, &good, breaks, json!({ "tokens": tokens, "labels": all }))
}

/// Steps in columns; kinds of tokens that fare alike share a line.
fn timeline(rehearsal: &Rehearsal) -> String {
    let mut head = vec!["MADE BY".to_owned(), "TOKENS".into(), "KID".into()];
    head.extend(rehearsal.steps.iter().map(|step| match step.split_once(' ') {
        Some((verb, alias)) => format!("{} {alias}", verb.to_uppercase()),
        None => step.to_uppercase(),
    }));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut rows: Vec<(Vec<String>, &Line)> = Vec::new();
    for line in &rehearsal.lines {
        let alike = |(_, other): &&mut (Vec<String>, &Line)| {
            other.made_by == line.made_by
                && other.kid == line.kid
                && other.fates == line.fates
                && family(&other.token) == family(&line.token)
        };
        if let Some((names, _)) = rows.iter_mut().rev().find(alike) {
            names.push(rest(&line.token).to_owned());
        } else {
            rows.push((vec![line.token.clone()], line));
        }
    }
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|(names, line)| {
            let kid = match line.kid {
                None => "-",
                Some(true) => "yes",
                Some(false) => "no",
            };
            let mut row = vec![line.made_by.clone(), shown(names), kid.to_owned()];
            row.extend(line.fates.iter().map(|fate| word(*fate).to_owned()));
            row
        })
        .collect();
    table(&head, &rows)
}

/// "JWS" of "JWS ES256".
fn family(token: &str) -> &str {
    token.split_once(' ').map_or(token, |(family, _)| family)
}

fn rest(token: &str) -> &str {
    token.split_once(' ').map_or(token, |(_, rest)| rest)
}

/// A few names, and how many more.
fn shown(names: &[String]) -> String {
    const FEW: usize = 3;
    let first: Vec<&str> = names.iter().take(FEW).map(String::as_str).collect();
    match names.len().checked_sub(FEW) {
        None | Some(0) => first.join(", "),
        Some(more) => format!("{} and {more} more", first.join(", ")),
    }
}

const fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Accepted => "accepted",
        Fate::Breaks => "BREAKS",
        Fate::Refused => "refused",
    }
}

fn tell_exercises(all: &[Exercise]) -> Outcome {
    let head = ["LABEL", "REALM", "ALIAS", "TOKENS", "OPENED", "RESULT"];
    let mut shown = None;
    let mut rows = Vec::new();
    for one in all {
        let first = shown.replace(&one.scope) != Some(&one.scope);
        let result = match (one.breaks.as_slice(), one.tokens) {
            ([], 0) => "nothing to make",
            ([], _) if one.stand_in => "holds, with a stand-in",
            ([], _) => "holds",
            _ => "BREAKS",
        };
        rows.push(vec![
            if first { one.scope.label.to_string() } else { String::new() },
            one.scope.realm.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            one.alias.to_string(),
            one.tokens.to_string(),
            one.opened.to_string(),
            result.to_owned(),
        ]);
    }
    let mut text = table(&head, &rows);
    for one in all {
        for line in &one.breaks {
            let heading = heading(&one.scope);
            text.push_str(&format!("would break: {heading}, alias \"{}\": {line}\n", one.alias));
        }
    }
    let mut labels: Vec<&Scope> = all.iter().map(|one| &one.scope).collect();
    labels.dedup();
    let tokens: usize = all.iter().map(|one| one.tokens).sum();
    let breaks: usize = all.iter().map(|one| one.breaks.len()).sum();
    let good = format!(
        "nothing breaks: {} labels, {} aliases, {tokens} tokens, whichever alias acts",
        labels.len(),
        all.len()
    );
    finish(text, &good, breaks, json!({ "tokens": tokens, "aliases": all }))
}

fn replay(context: &Context, args: &Args, keyring: &Keyring, plan: &Path) -> Result<Outcome> {
    let future = open(context, plan).map_err(|error| {
        if !error.problems().is_empty() {
            return error;
        }
        let now = context.config.display();
        error.with_help(format!(
            "--plan names a future configuration: copy {now}, edit the copy, and name it"
        ))
    })?;
    let at = match &args.at {
        None => context.clock.now(),
        Some(text) => parse_rfc3339(text).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("\"{}\" is no time", text.escape_debug()))
                .with_help("write it as 2026-12-01T04:00:00Z")
        })?,
    };
    let trace = recorded(args, keyring)?;
    let (now, next) = (keyring.config(), future.config());
    let (present, future) = (keyring.snapshot(), future.snapshot());
    let found = drill::replay(&trace, (&now, &present), (&next, &future), at);
    Ok(tell_replay(&found))
}

/// What is in the files that were named, else in those that the configuration keeps.
fn recorded(args: &Args, keyring: &Keyring) -> Result<Trace> {
    if !args.trace.is_empty() {
        return Trace::read(&args.trace);
    }
    let config = keyring.config();
    let max_files = config.trace.max_files;
    let kept = config.keyring.state_dir.as_deref();
    match kept.filter(|dir| !trace::files(dir, max_files).is_empty()) {
        Some(dir) => Trace::kept(dir, max_files),
        None => Err(Error::new(ErrorKind::Usage, "there is no recorded traffic").with_help(
            "record some: [trace] record = true, with state_dir in [keyring]; or name files: --trace FILE",
        )),
    }
}

fn tell_replay(found: &Replay) -> Outcome {
    let mut text = String::new();
    if !found.breaks.is_empty() {
        let head = ["LABEL", "REALM", "ALIAS", "KID", "ALGORITHM", "TOKENS", "UNTIL", "WHY"];
        let rows: Vec<Vec<String>> = found
            .breaks
            .iter()
            .map(|one| {
                let or = |text: Option<String>, none: &str| text.unwrap_or_else(|| none.to_owned());
                vec![
                    one.scope.label.to_string(),
                    or(one.scope.realm.as_ref().map(ToString::to_string), "-"),
                    or(one.alias.as_ref().map(ToString::to_string), "(not mapped)"),
                    or(one.kid.clone(), "-"),
                    one.algorithm.clone(),
                    one.tokens.to_string(),
                    or(one.until.clone(), "for ever"),
                    one.why.text().to_owned(),
                ]
            })
            .collect();
        text.push_str(&table(&head, &rows));
    }
    text.push_str(&match &found.recorded {
        Some(_) => {
            format!("{} of {} live tokens break at {}\n", found.broken, found.live, found.at)
        }
        None => "nothing is proven: the trace has no record that can be read\n".to_owned(),
    });
    if let Some(safe) = &found.safe_from {
        text.push_str(&format!("none of them lives at {safe}\n"));
    }
    if found.recorded.is_some() && !found.doubts.is_empty() {
        text.push_str(&format!("more may break: {}\n", found.doubts.join("; ")));
    }
    let mut notes = Vec::new();
    if let Some((first, last)) = &found.recorded {
        notes.push(format!("recorded from {first} to {last}; a token counts once a use"));
    }
    notes.extend(found.damage.iter().map(|one| {
        format!(
            "warning: {} cannot be read from byte {} to {}: what was recorded there is unknown, in {} records at most",
            one.file.display(),
            one.from,
            one.from + one.bytes,
            one.most_records()
        )
    }));
    match found.damaged.saturating_sub(found.damage.len().try_into().unwrap_or(0)) {
        0 => {}
        more => notes.push(format!("warning: nor can {more} more places of the trace")),
    }
    let verdict = found.verdict();
    let exit = match verdict {
        Verdict::Safe => 0,
        Verdict::Breaks => 1,
        // What was to be proven could not be.
        Verdict::Unknown => 3,
    };
    let json = json!({ "verdict": verdict.name(), "replay": found });
    Outcome::new(json, escape(&text)).with_notes(notes).with_exit(exit)
}

/// The verdict, and the exit code that goes with it.
fn finish(mut text: String, good: &str, breaks: usize, mut json: serde_json::Value) -> Outcome {
    let broken = u8::from(breaks > 0);
    let verdict = if broken == 0 { "safe" } else { "breaks" };
    if let Some(members) = json.as_object_mut() {
        members.insert("verdict".into(), verdict.into());
    }
    text.push_str(&match breaks {
        0 => format!("{good}\n"),
        _ => format!("{breaks} would break\n"),
    });
    Outcome::new(json, escape(&text)).with_exit(broken)
}

fn heading(scope: &Scope) -> String {
    match &scope.realm {
        Some(realm) => format!("label \"{}\" in realm \"{realm}\"", scope.label),
        None => format!("label \"{}\"", scope.label),
    }
}
