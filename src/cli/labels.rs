//! `labels`: a table of what is mapped.

use std::sync::Arc;

use claviger::catalogue::{self, LabelUse};
use claviger::error::{Error, ErrorKind, Result};
use claviger::jose::jwk;
use claviger::keyring::Keyring;
use claviger::keyring::keyset::LabelKey;
use claviger::label::{LabelName, Realm};
use claviger::ops::KeySet;
use claviger::rotation::Lives;
use serde_json::{Value, json};

use super::{Context, Outcome, key_life, output};

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
    for ((label, realm), set) in snapshot.labels() {
        let other = wanted.as_ref().is_some_and(|wanted| wanted != label);
        // With --realm: what that realm sees, its own list or the global one.
        let seen = asking.is_none() || asking.as_ref() == realm || realm.is_none();
        let hidden = realm.is_none()
            && asking.is_some()
            && !snapshot.find(asking.as_ref(), label).is_some_and(|seen| Arc::ptr_eq(seen, set));
        if other || !seen || hidden {
            continue;
        }
        let gone = lives.gone(label, realm);
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
        let gone: Vec<Value> = gone.iter().map(key_life::facts_of_gone).collect();
        facts.push(describe(&lives, set, realm.as_deref(), gone));
    }
    if facts.is_empty()
        && let Some(wanted) = wanted
    {
        return Err(Error::new(
            ErrorKind::UnknownLabel,
            format!("no secret is mapped to label \"{wanted}\""),
        )
        .with_help(format!("`claviger explain {wanted}` shows which stores were asked")));
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

fn algorithms(set: &KeySet) -> Vec<&'static str> {
    use claviger::ops::Role::{Encrypt, Verify};
    let active = set.active();
    let fits = |row: &&&'static claviger::alg::Algorithm| {
        set.fits(active, row, Verify) || set.fits(active, row, Encrypt)
    };
    set.algorithms().iter().filter(fits).map(|row| row.name).collect()
}

fn table_rows(lives: &Lives, set: &KeySet, realm: Option<&str>, whole: bool) -> Vec<Vec<String>> {
    let names = algorithms(set);
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

/// A word could be guessed from what is derived from it: passwords have no kid to show.
pub(crate) fn shown_kid<'k>(set: &KeySet, key: &'k LabelKey) -> Option<&'k str> {
    (!set.uses().contains(&LabelUse::Secret)).then_some(key.kid.as_str())
}

fn describe(lives: &Lives, set: &KeySet, realm: Option<&str>, gone: Vec<Value>) -> Value {
    let aliases: Vec<Value> = set
        .keys()
        .iter()
        .map(|key| {
            let mut facts = json!({
                "alias": key.alias,
                "store": key.store,
                "realm": key.realm,
                "kid": shown_kid(set, key),
                "key": key.key.kind().to_string(),
                "expires": jwk::certificate_expiry(key),
            });
            key_life::merge(&mut facts, key_life::facts(&lives.of_key(set, key)));
            facts
        })
        .collect();
    let uses: Vec<&str> = set.uses().iter().map(|one| one.name()).collect();
    json!({
        "label": set.label(),
        "realm": realm,
        "use": uses,
        "active": set.active().alias,
        "algorithms": algorithms(set),
        "aliases": aliases,
        "gone": gone,
    })
}
