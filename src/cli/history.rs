//! `history`: what was done to the mappings, by whom, when and why.

use std::path::Path;
use std::time::Duration;

use claviger::catalogue;
use claviger::clock::{from_unix, parse_rfc3339, rfc3339, spoken};
use claviger::config::Config;
use claviger::error::{Error, ErrorKind, Result};
use claviger::journal::{self, Action, History, Journal, MappedKey, MappingChange, Record};
use claviger::label::{LabelName, Realm};
use serde_json::json;

use super::output::{self, escape};
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  claviger history\n  claviger history --label app.session.seal --since 2026-11-01T00:00:00Z\n  \
                  claviger history --verify"
)]
pub(crate) struct Args {
    /// Records of one label; with --realm those that a realm sees, its own and the global ones
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// Records from this time on, in RFC 3339
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Check the chain, and what names its records from outside; exit code 1 if something is missing
    #[arg(long)]
    verify: bool,
    /// With --verify: a head that a step printed and somebody kept; exit code 1 if it is not in the journal
    #[arg(long, value_name = "HASH", requires = "verify")]
    head: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    // What happened can be told of a configuration that does not load as well.
    let text = Config::read_text(&context.config)?;
    let Some(state_dir) = &Config::state_dir_of(&text, &context.config) else {
        return Err(Error::new(ErrorKind::Usage, "this configuration keeps no journal")
            .with_file(&context.config)
            .with_help("add state_dir = \"state\" to [keyring]"));
    };
    let journal = Journal::of(state_dir);
    let history = journal.read()?;
    if args.verify {
        return verify(state_dir, &journal, &history, args.head.as_deref());
    }
    let label: Option<LabelName> = args.label.as_deref().map(str::parse).transpose()?;
    let label = label.map(|label| catalogue::canonical(&label));
    let since = match &args.since {
        None => None,
        Some(text) => Some(parse_rfc3339(text).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("\"{}\" is no time", text.escape_debug()))
                .with_help("write it as 2026-11-20T08:00:00Z")
        })?),
    };
    let records: Vec<&Record> = match &label {
        Some(label) => {
            let found: Vec<&Record> = history.of_label(label).collect();
            if found.is_empty() {
                require_known(context, &text, &history, label)?;
            }
            found
        }
        None => history.records.iter().collect(),
    };
    let realm: Option<Realm> = context.realm.as_deref().map(str::parse).transpose()?;
    let shown = |one: &&Record| {
        since.is_none_or(|since| one.time >= since)
            && (realm.is_none() || one.concerns(label.as_ref(), realm.as_ref()))
    };
    let records: Vec<&Record> = records.into_iter().filter(shown).collect();
    let rows: Vec<Vec<String>> = records.iter().map(|record| row(&history, record)).collect();
    let head = ["SEQ", "TIME", "WHO", "EVENT", "ACTION", "LABEL", "REALM", "ALIASES", "WHY"];
    let json = json!({ "records": records, "broken": history.broken, "torn": history.torn });
    let notes = trouble(&history).into_iter().map(|text| format!("warning: {text}"));
    Ok(Outcome::new(json, output::table(&head, &rows)).with_notes(notes))
}

/// Refuses a label of which no record is, if nothing else knows it either: a slip is not one of which nothing was done.
fn require_known(
    context: &Context,
    text: &str,
    history: &History,
    label: &LabelName,
) -> Result<()> {
    // Of what cannot be read nobody can tell which labels it has.
    let (Some(config), _) = Config::parse(text, &context.config) else { return Ok(()) };
    if history.broken.is_some() {
        return Ok(());
    }
    if catalogue::find(label).is_some() || config.labels_named().any(|named| named == label) {
        return Ok(());
    }
    let asked = history.records.iter().filter_map(|record| record.label.as_ref());
    let changed = history.records.iter().flat_map(|record| &record.changes);
    let recorded = asked.chain(changed.map(|change| &change.mapping.label));
    let own = recorded.chain(config.labels_named()).map(LabelName::as_str);
    let fixed = catalogue::all().iter().map(|spec| spec.name.as_str());
    let near =
        catalogue::nearest_of(label.as_str(), own.chain(fixed.filter(|name| !name.contains('{'))));
    let text = format!("neither the journal nor the configuration knows label \"{label}\"");
    Err(Error::new(ErrorKind::UnknownLabel, text).with_help(match near {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "`claviger history` without --label shows everything".to_owned(),
    }))
}

fn verify(
    state_dir: &Path,
    journal: &Journal,
    history: &History,
    kept: Option<&str>,
) -> Result<Outcome> {
    let verdict = journal::verify(state_dir, history, kept)?;
    let trouble = trouble(history);
    let mut text = format!("{}: {} records", journal.path().display(), history.records.len());
    if trouble.is_empty() && verdict.missing.is_empty() {
        text.push_str(", the chain holds");
    }
    // What the chain shows is not said twice.
    let shown = |one: &&String| !one.starts_with("the journal is not what was written");
    let missing = verdict.missing.iter().filter(shown);
    trouble.iter().chain(missing).for_each(|one| text.push_str(&format!("\n{one}")));
    for (seq, lost) in history.losses() {
        text.push_str(&format!("\nrecord {seq} says that record {} was missing then", lost.seq));
    }
    if let Some(seq) = verdict.kept_head_is_record {
        text.push_str(&format!("\nthe head that was kept is record {seq}"));
    }
    text.extend(verdict.head.as_ref().map(|head| format!("\n{head}")));
    let exit = u8::from(!verdict.ok);
    Ok(Outcome::of(&verdict, escape(&format!("{text}\n")))?.with_exit(exit))
}

fn trouble(history: &History) -> Vec<String> {
    let broken = history
        .broken
        .as_ref()
        .map(|broken| format!("the chain breaks at line {}: {}", broken.line, broken.reason));
    let torn = history
        .torn
        .as_ref()
        .map(|torn| format!("line {} was cut short by a crash; the next step drops it", torn.line));
    broken.into_iter().chain(torn).collect()
}

fn row(history: &History, record: &Record) -> Vec<String> {
    let who = record.who.name.as_deref().unwrap_or(&record.who.user);
    let refused =
        record.refusal.as_ref().map(|refusal| format!("{}: {}", refusal.code, refusal.message));
    let passed = (!record.overridden.is_empty() && record.refusal.is_none())
        .then(|| format!("passed: {}", record.overridden.join(", ")));
    let why: Vec<String> = record
        .reason
        .iter()
        .cloned()
        .chain(refused)
        .chain(passed)
        .chain(by_hand(history, record))
        .chain(recovered(record))
        .chain(behind(record))
        .chain(times(record))
        .collect();
    let labels: Vec<&LabelName> = record.changes.iter().map(|one| &one.mapping.label).collect();
    let label = match (&record.label, labels.as_slice()) {
        (Some(label), _) => label.to_string(),
        (None, [one]) => one.to_string(),
        (None, []) => String::new(),
        (None, several) => format!("{} labels", several.len()),
    };
    let realm = match record.changes.as_slice() {
        [one] => one.mapping.realm.as_ref(),
        _ => record.realm.as_ref(),
    };
    vec![
        record.seq.to_string(),
        rfc3339(record.time),
        who.to_owned(),
        word(&record.event),
        word(&record.action),
        label,
        realm.map(ToString::to_string).unwrap_or_default(),
        aliases(record),
        why.join("; "),
    ]
}

/// Between which times an edit by hand was made.
fn by_hand(history: &History, record: &Record) -> Option<String> {
    if record.action != Action::EditedByHand || record.changes.is_empty() {
        return None;
    }
    let before = history.record(record.seq.checked_sub(1)?)?;
    let (from, until) = (rfc3339(before.time), rfc3339(record.time));
    let more = record.changes.iter().flat_map(MappingChange::behind_the_names);
    let more = more.map(|one| format!("; {one}")).collect::<String>();
    Some(format!("changed outside of claviger between {from} and {until}{more}"))
}

/// What was lost, of a record that found it.
fn recovered(record: &Record) -> Option<String> {
    let detail = record.detail.as_ref().filter(|_| record.action == Action::Recover)?;
    let torn = detail
        .get("torn_bytes")
        .map(|bytes| format!("{bytes} bytes of a last line that a crash cut short were dropped"));
    let lost = detail.get("lost_head").and_then(|head| head.get("seq"));
    let lost = lost.map(|seq| {
        format!("record {seq} was missing: the end was cut off, or it is an older copy")
    });
    let older = detail.get("older_usage").map(|_| "the usage file was an older copy".to_owned());
    torn.or(lost).or(older)
}

/// That a process did not load what was changed.
fn behind(record: &Record) -> Option<String> {
    let (from, until) = record.behind?;
    let (from, until) = (rfc3339(from_unix(from)), rfc3339(from_unix(until)));
    Some(format!("a process took no change from {from} until {until}: its reloads were refused"))
}

/// What else was changed in the configuration that gates rest on.
fn times(record: &Record) -> Vec<String> {
    if record.action != Action::EditedByHand {
        return Vec::new();
    }
    let told = |secs: Option<u64>, what: &dyn Fn(String) -> String| {
        secs.map(|secs| what(spoken(Duration::from_secs(secs))))
    };
    let lifetimes = record.lifetimes.iter().map(|(label, secs)| match secs {
        0 => format!("max_token_lifetime of {label} is taken out"),
        secs => format!("max_token_lifetime of {label} is {}", spoken(Duration::from_secs(*secs))),
    });
    [
        told(record.max_age_secs, &|age| format!("key sets are cached for {age}")),
        told(record.reload_secs.filter(|secs| *secs > 0), &|wait| {
            format!("changes are noticed within {wait}")
        }),
        record
            .reload_secs
            .filter(|secs| *secs == 0)
            .map(|_| "changes are not noticed any more: reload is off".to_owned()),
        told(record.longest_wait_secs, &|wait| {
            format!("processes were told meanwhile to look for changes every {wait}")
        }),
    ]
    .into_iter()
    .flatten()
    .chain(lifetimes)
    .collect()
}

fn aliases(record: &Record) -> String {
    let list = |keys: &[MappedKey]| {
        let names: Vec<&str> = keys.iter().map(|key| key.alias.as_str()).collect();
        if names.is_empty() { "-".to_owned() } else { names.join(",") }
    };
    match record.changes.as_slice() {
        [one] => format!("{} → {}", list(&one.before), list(&one.after)),
        _ => record.alias.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

/// The word of a record in its file.
fn word(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_value(value).ok();
    text.and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
}
