//! `grants`: what callers of the service may do, label by label.

use claviger::access::{Access, Caller, EffectiveRights, ROOT_REALM};
use claviger::error::{Error, ErrorKind, Result};
use claviger::label::{CallerName, Realm};
use serde_json::{Value, json};

use super::{Context, Outcome, output};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A row says: with this label, seen as these realms see it, the caller has these rights. `-` stands for \
    rights to realms or to the service as a whole. With --realm what it may do there (\"/\": the root realm).\n\
    Examples:\n  claviger grants\n  claviger grants --json"
)]
pub(crate) struct Args {
    /// One caller [default: all]
    #[arg(long = "for", value_name = "CALLER")]
    caller: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let snapshot = context.open()?.snapshot();
    let access = &snapshot.config().access;
    let wanted: Option<CallerName> = args.caller.as_deref().map(str::parse).transpose()?;
    let callers = access.callers().iter();
    let callers: Vec<&Caller> =
        callers.filter(|one| wanted.as_ref().is_none_or(|wanted| one.name == *wanted)).collect();
    if let (Some(wanted), true) = (&wanted, callers.is_empty()) {
        return Err(unknown(access, wanted));
    }
    let labels = snapshot.reachable();
    let realm = context.realm.as_deref();
    if let Some(realm) = realm.filter(|realm| *realm != ROOT_REALM) {
        realm.parse::<Realm>()?;
    }
    let (mut rows, mut facts, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for caller in callers {
        let rights = access.effective(&caller.name, &labels, realm);
        rows.extend(table_rows(caller, &rights));
        notes.extend(rights.without_label.iter().map(|pattern| {
            format!("{}: \"{pattern}\" is no label that is mapped now", caller.name)
        }));
        facts.push(describe(caller, &rights)?);
    }
    if access.callers().is_empty() {
        notes.push("nobody is a caller: add [[callers]] and [[grants]]".to_owned());
    }
    let text = output::table(&["CALLER", "CREDENTIAL", "LABEL", "REALMS", "RIGHTS"], &rows);
    Ok(Outcome::new(json!({ "callers": facts }), text).with_notes(notes))
}

fn unknown(access: &Access, wanted: &CallerName) -> Error {
    let names: Vec<&str> = access.callers().iter().map(|one| one.name.as_str()).collect();
    let help = match names.as_slice() {
        [] => "add [[callers]] and [[grants]]".to_owned(),
        names => format!("the callers are {}", names.join(", ")),
    };
    Error::new(ErrorKind::Usage, format!("there is no caller \"{wanted}\"")).with_help(help)
}

/// The name and the credential stand in the first row of a caller.
fn table_rows(caller: &Caller, rights: &EffectiveRights) -> Vec<Vec<String>> {
    let labels = rights.labels.iter();
    let labels = labels.map(|one| (one.label.as_str(), one.realms.join(" "), &one.rights));
    let realms = rights.realms.iter().map(|one| ("-", one.realms.join(" "), &one.rights));
    let service = Some(&rights.service).filter(|rights| !rights.is_empty());
    let service = service.map(|rights| ("-", "-".to_owned(), rights));
    let mut rows: Vec<[String; 3]> = labels
        .chain(realms)
        .chain(service)
        .map(|(label, realms, rights)| [label.to_owned(), realms, rights.join(" ")])
        .collect();
    if rows.is_empty() {
        rows.push(["-".to_owned(), "-".to_owned(), "none".to_owned()]);
    }
    let heads = [caller.name.to_string(), shown(caller)];
    let blank = [String::new(), String::new()];
    let heads = std::iter::once(heads).chain(std::iter::repeat(blank));
    heads.zip(rows).map(|(head, row)| head.into_iter().chain(row).collect()).collect()
}

/// The beginning of a hash tells which it is.
fn shown(caller: &Caller) -> String {
    let text = caller.credential.to_string();
    let hash = text.split_once("sha256 ").and_then(|(kind, hash)| Some((kind, hash.get(..16)?)));
    hash.map_or_else(|| text.clone(), |(kind, start)| format!("{kind}sha256 {start}…"))
}

fn describe(caller: &Caller, rights: &EffectiveRights) -> Result<Value> {
    let bug = |error| Error::new(ErrorKind::Bug, "JSON encoding").with_source(error);
    let mut facts = serde_json::to_value(rights).map_err(bug)?;
    if let Some(members) = facts.as_object_mut() {
        let kind = caller.credential.kind();
        members.insert("name".to_owned(), json!(caller.name));
        members.insert(
            "credential".to_owned(),
            json!({ "kind": kind, "shown": caller.credential.to_string() }),
        );
    }
    Ok(facts)
}
