//! `labels`: a table of what is mapped.

use claviger::catalogue;
use claviger::error::Result;
use claviger::jose::jwk;
use claviger::keyring::Keyring;
use claviger::label::{LabelName, Realm};
use claviger::ops::KeySet;
use claviger::rotation::{Lives, fitting};
use serde_json::json;

use super::{Context, Outcome, key_life, key_status, output};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  claviger labels\n  claviger labels am.services.oauth2.oidc.signing.ES256 --json"
)]
pub(crate) struct Args {
    /// One label, with every alias
    label: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let keyring = context.open()?;
    let snapshot = keyring.snapshot();
    let wanted: Option<LabelName> = args.label.as_deref().map(str::parse).transpose()?;
    let asking: Option<Realm> = context.realm.as_deref().map(str::parse).transpose()?;
    let wanted = wanted.map(|label| catalogue::canonical(&label));
    let (lives, mut notes) = lives(&keyring);
    let mut rows = Vec::new();
    let mut facts = Vec::new();
    // With --realm: what that realm sees, its own list or the global one.
    let seen = match &asking {
        Some(realm) => snapshot.labels_seen_by(Some(realm)),
        None => snapshot.labels().into_iter().map(|((label, of), set)| (label, of, set)).collect(),
    };
    for (label, realm, set) in seen {
        if wanted.as_ref().is_some_and(|wanted| wanted != label) {
            continue;
        }
        let (of, gone) = (realm, lives.gone(label, realm));
        let realm = realm.map(ToString::to_string);
        rows.extend(table_rows(&lives, set, realm.as_deref(), wanted.is_some()));
        for key in gone.iter().filter(|_| wanted.is_some()) {
            let mut row = vec![String::new(); 8];
            for (cell, text) in row.iter_mut().skip(3).zip([key.alias.as_str(), key.phase.name()]) {
                text.clone_into(cell);
            }
            row.extend(key_life::cells_of_gone(key));
            rows.push(row);
        }
        notes.extend(set.keys().iter().filter_map(|key| {
            let report = lives.of_key(set, key).report;
            key_life::budget_note(label.as_str(), key.alias.as_str(), &report)
        }));
        facts.push(lives.facts(set, of));
    }
    if facts.is_empty()
        && let Some(wanted) = wanted
    {
        return Err(key_status::not_mapped(&keyring, &wanted, asking.as_ref()));
    }
    let mut head =
        vec!["LABEL", "REALM", "STORE", "ALIAS", "PHASE", "KEY", "ALGORITHMS", "EXPIRES"];
    head.extend(key_life::HEAD);
    let text = output::table(&head, &rows);
    Ok(Outcome::new(json!({ "labels": facts }), text).with_notes(notes))
}

/// What is known of the keys; where the state directory cannot be read the labels are shown all the same.
fn lives(keyring: &Keyring) -> (Lives, Vec<String>) {
    match Lives::read(keyring) {
        Ok(lives) => (lives, Vec::new()),
        Err(error) => (Lives::unread(keyring), vec![format!("warning: {}", error.message())]),
    }
}

fn table_rows(lives: &Lives, set: &KeySet, realm: Option<&str>, whole: bool) -> Vec<Vec<String>> {
    let names: Vec<&str> = fitting(set).into_iter().map(|row| row.name).collect();
    let shown = if whole || names.len() <= 3 {
        names.join(" ")
    } else {
        let first: Vec<&str> = names.iter().take(3).copied().collect();
        format!("{} +{}", first.join(" "), names.len() - 3)
    };
    set.keys()
        .iter()
        .enumerate()
        .map(|(index, key)| {
            let first = index == 0;
            let life = lives.of_key(set, key);
            let mut row = vec![
                if first { set.label().to_string() } else { String::new() },
                realm.unwrap_or("-").to_owned(),
                key.store.to_string(),
                key.alias.to_string(),
                life.phase.name().to_owned(),
                key.key.kind().to_string(),
                if first { shown.clone() } else { String::new() },
                jwk::certificate_expiry(key)
                    .map_or_else(|| "-".to_owned(), |text| text.chars().take(10).collect()),
            ];
            row.extend(key_life::cells(&life));
            row
        })
        .collect()
}
