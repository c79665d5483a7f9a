//! What `status` says of keys: what each has made and read, until when that lives, and what left its label.

use std::collections::BTreeSet;

use claviger::error::{Error, ErrorKind, Result};
use claviger::keyring::Keyring;
use claviger::keyring::keyset::{KeySet, LabelKey};
use claviger::label::{LabelName, Realm};
use claviger::rotation::{GoneKey, LabelFacts, Lives};

use super::{Context, key_life, output};

/// The keys of the labels that were asked for.
#[derive(Default)]
pub(crate) struct KeyStatus {
    /// For people.
    pub(crate) table: String,
    /// For programs: one object a label and realm.
    pub(crate) facts: Vec<LabelFacts>,
    /// What the operator should see.
    pub(crate) notes: BTreeSet<String>,
    rows: Vec<Vec<String>>,
}

/// Every key, or those of one label; with `--realm` as that realm and the global scope have them.
pub(crate) fn of(
    context: &Context,
    keyring: &Keyring,
    wanted: Option<&LabelName>,
) -> Result<KeyStatus> {
    let lives = Lives::read(keyring)?;
    let mut found = KeyStatus::default();
    for ((label, realm), set) in keyring.snapshot().labels() {
        let named = wanted.is_none_or(|wanted| wanted == label);
        let of_realm = context.realm.is_none()
            || realm.is_none_or(|realm| Some(realm.as_str()) == context.realm.as_deref());
        if named && of_realm {
            found.add_label(&lives, realm, set);
        }
    }
    if let (Some(wanted), true) = (wanted, found.facts.is_empty()) {
        let realm: Option<Realm> = context.realm.as_deref().map(str::parse).transpose()?;
        return Err(not_mapped(keyring, wanted, realm.as_ref()));
    }
    if keyring.config().keyring.state_dir.is_none() {
        let text = "note: nothing is kept or provable: add state_dir = \"state\" to [keyring]";
        found.notes.insert(text.into());
    }
    let mut head = vec!["LABEL", "REALM", "ALIAS", "PHASE"];
    head.extend(key_life::HEAD);
    found.table = output::table(&head, &found.rows);
    Ok(found)
}

/// The refusal of a label that has no row: nothing is mapped to it, though another may stand in.
pub(crate) fn not_mapped(keyring: &Keyring, wanted: &LabelName, realm: Option<&Realm>) -> Error {
    let text = format!("no secret is mapped to label \"{wanted}\"");
    let error = Error::new(ErrorKind::UnknownLabel, text);
    error.with_help(match keyring.snapshot().find_along(realm, wanted) {
        Some(set) => format!("label \"{0}\" stands in for it: claviger labels {0}", set.label()),
        None => format!("`claviger explain {wanted}` shows which stores were asked"),
    })
}

impl KeyStatus {
    fn add_label(&mut self, lives: &Lives, realm: Option<&Realm>, set: &KeySet) {
        for key in set.keys() {
            self.add_key(lives, realm, set, key);
        }
        for key in &lives.gone(set.label(), realm) {
            self.add_gone(set.label(), realm, key);
        }
        self.facts.push(lives.facts(set, realm));
    }

    fn add_key(&mut self, lives: &Lives, realm: Option<&Realm>, set: &KeySet, key: &LabelKey) {
        let life = lives.of_key(set, key);
        let (label, alias) = (set.label().as_str(), key.alias.as_str());
        let cells = key_life::cells(&life);
        self.rows.push(row(label, realm, [alias, life.phase.name()], cells));
        self.notes.extend(key_life::budget_note(label, alias, &life.report));
    }

    fn add_gone(&mut self, label: &LabelName, realm: Option<&Realm>, key: &GoneKey) {
        let cells = key_life::cells_of_gone(key);
        self.rows.push(row(label.as_str(), realm, [key.alias.as_str(), key.phase.name()], cells));
    }
}

fn row(
    label: &str,
    realm: Option<&Realm>,
    alias_and_phase: [&str; 2],
    cells: [String; 5],
) -> Vec<String> {
    let mut row = vec![label.to_owned(), realm.map_or("-", Realm::as_str).to_owned()];
    row.extend(alias_and_phase.map(str::to_owned));
    row.extend(cells);
    row
}
