//! Reading: labels and their keys, why a label resolves as it does, what was done, how the keyring is.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::access::Right;
use crate::clock::parse_rfc3339;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{self, Break, Journal, Record, Torn, Verdict};
use crate::keyring::{Explanation, Status};
use crate::rotation::{LabelFacts, Lives};
use crate::service::call::Call;
use crate::service::route::Route;

pub(super) fn routes() -> Vec<Route> {
    let (read, label) = (Right::Read, |name: &str| format!("/v1/labels/{{label}}{name}"));
    vec![
        Route::get("/v1/labels", read, "The labels that the caller may read", labels).slow(),
        Route::get(label(""), read, "A label with its keys", one).slow(),
        Route::get(label("/explain"), read, "Why a label resolves as it does", explain).slow(),
        Route::get(label("/history"), read, "What was done to the mappings of a label", history)
            .with_query(&[("since", "Leaves out what was done before this time, in RFC 3339")])
            .slow(),
        Route::get("/v1/history/verify", read, "Whether the journal is whole", verify)
            .with_query(&[(
                "head",
                "A head of the journal that was kept elsewhere: it must be there",
            )])
            .slow(),
        Route::get("/v1/status", Right::Metrics, "Which snapshot serves, and since when", status),
    ]
}

/// The labels of a realm that the caller may read.
#[derive(JsonSchema, Serialize)]
struct Labels {
    /// In order of their names.
    labels: Vec<LabelFacts>,
    /// What could not be read.
    notes: Vec<String>,
}

fn labels(call: &Call<'_>) -> Result<Labels> {
    let realm = call.asked.realm.as_ref();
    let (lives, notes) = lives(call);
    let seen = call.snapshot.labels_seen_by(realm);
    let seen = seen.into_iter().filter(|(label, ..)| call.may(Right::Read, label));
    let labels = seen.map(|(_, of, set)| lives.facts(set, of)).collect();
    Ok(Labels { labels, notes })
}

fn one(call: &Call<'_>) -> Result<LabelFacts> {
    let set = call.snapshot.keys(call.asked.realm.as_ref(), call.label()?)?;
    Ok(lives(call).0.facts(set, set.active().realm.as_ref()))
}

/// What is known of the keys; where the state directory cannot be read the labels are shown all the same.
fn lives(call: &Call<'_>) -> (Lives, Vec<String>) {
    let keyring = &call.keyring;
    match Lives::read(keyring) {
        Ok(lives) => (lives, Vec::new()),
        Err(error) => {
            log::warn!("what is known of the keys cannot be read: {error}");
            (Lives::unread(keyring), vec!["what is known of the keys cannot be read".into()])
        }
    }
}

/// Which stores were asked, and what each answered.
#[derive(JsonSchema, Serialize)]
#[serde(transparent)]
struct Explained(#[schemars(with = "Map<String, Value>")] Explanation);

fn explain(call: &Call<'_>) -> Result<Explained> {
    let realm = &call.asked.realm;
    let mut found = call.keyring.explain(call.label()?, realm.as_ref())?;
    // Stores of other realms are not asked, and not for this one to know of.
    found.steps.retain(|step| step.realm.is_none() || step.realm == *realm);
    Ok(Explained(found.without_files()))
}

/// Records of the journal.
#[derive(JsonSchema, Serialize)]
struct Records {
    /// In their order.
    #[schemars(with = "Vec<Map<String, Value>>")]
    records: Vec<Record>,
    /// Where the chain breaks; absent: it holds.
    #[schemars(with = "Option<Map<String, Value>>")]
    broken: Option<Break>,
    /// What a crash cut short.
    #[schemars(with = "Option<Map<String, Value>>")]
    torn: Option<Torn>,
}

fn history(call: &Call<'_>) -> Result<Records> {
    let since = match call.asked.query.get("since") {
        None => None,
        Some(text) => Some(parse_rfc3339(text).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("\"{}\" is no time", text.escape_debug()))
                .with_help("write it as 2026-11-20T08:00:00Z")
        })?),
    };
    let (_, history) = journal(call)?;
    let label = call.label()?;
    let records =
        history.of_label(label).filter(|record| since.is_none_or(|since| record.time >= since));
    let records = records.filter_map(|record| record.told_of(label, call.asked.realm.as_ref()));
    Ok(Records { records: records.collect(), broken: history.broken.clone(), torn: history.torn })
}

/// Whether nothing of the journal is missing or altered.
#[derive(JsonSchema, Serialize)]
#[serde(transparent)]
#[schemars(rename = "JournalVerdict")]
struct Verified(#[schemars(with = "Map<String, Value>")] Verdict);

fn verify(call: &Call<'_>) -> Result<Verified> {
    let (state_dir, history) = journal(call)?;
    let kept = call.asked.query.get("head");
    let mut verdict = journal::verify(&state_dir, &history, kept)?;
    // The last is of the caller's own head. The others name files, and labels of anybody.
    let own = kept.filter(|_| verdict.kept_head_is_record.is_none());
    let others = verdict.missing.len().saturating_sub(usize::from(own.is_some()));
    for found in verdict.missing.iter_mut().take(others) {
        log::warn!("the journal is not whole: {found}");
        "the log of the service says what is missing".clone_into(found);
    }
    Ok(Verified(verdict))
}

fn journal(call: &Call<'_>) -> Result<(std::path::PathBuf, journal::History)> {
    let state_dir = call.snapshot.config().keyring.state_dir.clone().ok_or_else(|| {
        Error::new(ErrorKind::Usage, "the service keeps no journal")
            .with_help("an administrator adds state_dir to [keyring]")
    })?;
    let history = Journal::of(&state_dir).read()?;
    Ok((state_dir, history))
}

/// The keyring at this moment.
#[derive(JsonSchema, Serialize)]
#[serde(transparent)]
struct StatusNow(#[schemars(with = "Map<String, Value>")] Status);

fn status(call: &Call<'_>) -> Result<StatusNow> {
    Ok(StatusNow(call.service.0.keyring.status()))
}
