//! `history`: what was done to the mappings, by whom, when and why.

use claviger::clock::{parse_rfc3339, rfc3339};
use claviger::config::Config;
use claviger::error::{Error, ErrorKind, Result};
use claviger::journal::{History, Journal, MappedKey, Record};
use claviger::label::LabelName;
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
    /// Records of one label
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// Records from this time on, in RFC 3339
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Check the chain; exit code 1 if it breaks
    #[arg(long)]
    verify: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = Config::load(&context.config)?;
    let Some(state_dir) = &config.keyring.state_dir else {
        return Err(Error::new(ErrorKind::Usage, "this configuration keeps no journal")
            .with_file(&context.config)
            .with_help("add state_dir = \"state\" to [keyring]"));
    };
    let journal = Journal::of(state_dir);
    let history = journal.read()?;
    if args.verify {
        return verify(&journal, &history);
    }
    let label: Option<LabelName> = args.label.as_deref().map(str::parse).transpose()?;
    let label = label.map(|label| claviger::catalogue::canonical(&label));
    let since = match &args.since {
        None => None,
        Some(text) => Some(parse_rfc3339(text).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("\"{}\" is no time", text.escape_debug()))
                .with_help("write it as 2026-11-20T08:00:00Z")
        })?),
    };
    let records: Vec<&Record> = match &label {
        Some(label) => history.of_label(label).collect(),
        None => history.records.iter().collect(),
    };
    let records: Vec<&Record> =
        records.into_iter().filter(|one| since.is_none_or(|since| one.time >= since)).collect();
    let rows: Vec<Vec<String>> = records.iter().map(|record| row(record)).collect();
    let head = ["SEQ", "TIME", "WHO", "EVENT", "ACTION", "LABEL", "ALIASES", "WHY"];
    let json = json!({ "records": records, "broken": history.broken, "torn": history.torn });
    let notes = trouble(&history).into_iter().map(|text| format!("warning: {text}"));
    Ok(Outcome::new(json, output::table(&head, &rows)).with_notes(notes))
}

fn verify(journal: &Journal, history: &History) -> Result<Outcome> {
    let whole = history.broken.is_none();
    let json = json!({
        "ok": whole,
        "records": history.records.len(),
        "broken": history.broken,
        "torn": history.torn,
    });
    let mut text = format!("{}: {} records", journal.path().display(), history.records.len());
    let trouble = trouble(history);
    if trouble.is_empty() {
        text.push_str(", the chain holds");
    }
    trouble.iter().for_each(|one| text.push_str(&format!("\n{one}")));
    Ok(Outcome::new(json, escape(&format!("{text}\n"))).with_exit(u8::from(!whole)))
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

fn row(record: &Record) -> Vec<String> {
    let who = record.who.name.as_deref().unwrap_or(&record.who.user);
    let refused =
        record.refusal.as_ref().map(|refusal| format!("{}: {}", refusal.code, refusal.message));
    let passed = (!record.overridden.is_empty() && record.refusal.is_none())
        .then(|| format!("passed: {}", record.overridden.join(", ")));
    let why: Vec<String> = record.reason.iter().cloned().chain(refused).chain(passed).collect();
    let labels: Vec<&LabelName> = record.changes.iter().map(|one| &one.mapping.label).collect();
    let label = match (&record.label, labels.as_slice()) {
        (Some(label), _) => label.to_string(),
        (None, [one]) => one.to_string(),
        (None, []) => String::new(),
        (None, several) => format!("{} labels", several.len()),
    };
    vec![
        record.seq.to_string(),
        rfc3339(record.time),
        who.to_owned(),
        word(&record.event),
        word(&record.action),
        label,
        aliases(record),
        why.join("; "),
    ]
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
