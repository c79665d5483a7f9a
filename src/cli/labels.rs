//! `labels`: a table of what is mapped.

use std::sync::Arc;

use claviger::catalogue;
use claviger::error::{Error, ErrorKind, Result};
use claviger::jose::jwk;
use claviger::keyring::Keyring;
use claviger::label::{LabelName, Realm};
use claviger::ops::KeySet;
use serde_json::{Value, json};

use super::{Context, Outcome, output};

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
    let keyring = Keyring::open_once(&context.config)?;
    let snapshot = keyring.snapshot();
    let wanted: Option<LabelName> = args.label.as_deref().map(str::parse).transpose()?;
    let asking: Option<Realm> = context.realm.as_deref().map(str::parse).transpose()?;
    let wanted = wanted.map(|label| catalogue::canonical(&label));
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
        let realm = realm.map(ToString::to_string);
        rows.extend(table_rows(set, realm.as_deref(), wanted.is_some()));
        facts.push(describe(set, realm.as_deref()));
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
    let head = ["LABEL", "REALM", "STORE", "ALIAS", "PHASE", "KEY", "ALGORITHMS", "EXPIRES"];
    let text = output::table(&head, &rows);
    Ok(Outcome::new(json!({ "labels": facts }), text))
}

fn algorithms(set: &KeySet) -> Vec<&'static str> {
    use claviger::ops::Role::{Encrypt, Verify};
    let active = set.active();
    let fits = |row: &&&'static claviger::alg::Algorithm| {
        set.fits(active, row, Verify) || set.fits(active, row, Encrypt)
    };
    set.algorithms().iter().filter(fits).map(|row| row.name).collect()
}

fn table_rows(set: &KeySet, realm: Option<&str>, whole: bool) -> Vec<Vec<String>> {
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
            vec![
                if first { set.label().to_string() } else { String::new() },
                realm.unwrap_or("-").to_owned(),
                key.store.to_string(),
                key.alias.to_string(),
                if first { "active" } else { "valid" }.to_owned(),
                key.key.kind().to_string(),
                if first { shown.clone() } else { String::new() },
                jwk::certificate_expiry(key)
                    .map_or_else(|| "-".to_owned(), |text| text.chars().take(10).collect()),
            ]
        })
        .collect()
}

fn describe(set: &KeySet, realm: Option<&str>) -> Value {
    let aliases: Vec<Value> = set
        .keys()
        .iter()
        .enumerate()
        .map(|(index, key)| {
            json!({
                "alias": key.alias,
                "store": key.store,
                "realm": key.realm,
                "kid": key.kid,
                "phase": if index == 0 { "active" } else { "valid" },
                "key": key.key.kind().to_string(),
                "expires": jwk::certificate_expiry(key),
            })
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
    })
}
