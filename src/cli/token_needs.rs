//! `explain --token`: which alias of which label a token needs, by its header alone.

use std::path::Path;
use std::sync::Arc;

use claviger::alg::{Algorithm, Operation};
use claviger::error::{Error, ErrorKind, Result};
use claviger::jose::jws;
use claviger::keyring::Snapshot;
use claviger::label::{LabelName, Realm};
use claviger::ops::{KeySet, Role};
use serde_json::{Map, Value, json};

use super::password_input::read_input;
use super::{Context, Outcome, output};

pub(crate) fn explain(
    context: &Context,
    label: Option<&LabelName>,
    realm: Option<&Realm>,
    path: &Path,
) -> Result<Outcome> {
    let keyring = context.open()?;
    let snapshot = keyring.snapshot();
    let sets = match label {
        Some(label) => vec![Arc::clone(snapshot.keys(realm, label)?)],
        None => visible(&snapshot, realm),
    };
    let first = sets.first().ok_or_else(|| {
        Error::new(ErrorKind::UnknownLabel, "no label is mapped")
            .with_help("map one in [stores.NAME.mappings]")
    })?;
    let bytes = read_input(path, 1 << 20)?;
    // EXPOSE: only headers are read, and shown.
    let token = String::from_utf8_lossy(bytes.expose_secret()).trim().to_owned();
    let needs: Vec<Need> = headers(first, &token)
        .map_err(|error| error.with_file(path))?
        .iter()
        .map(Need::of)
        .collect();
    let mut matches = Vec::new();
    for need in &needs {
        let found: Vec<Match> = sets.iter().filter_map(|set| need.look_in(set)).collect();
        // A kid that names an alias says more than an algorithm that many labels allow.
        let named = found.iter().any(|one| one.named);
        matches.extend(found.into_iter().filter(|one| one.named || !named));
    }
    Ok(shown(&needs, &matches, label))
}

/// The labels that a realm sees, in order of name.
fn visible(snapshot: &Snapshot, realm: Option<&Realm>) -> Vec<Arc<KeySet>> {
    let mut names: Vec<&LabelName> =
        snapshot.labels().into_keys().map(|(label, _)| label).collect();
    names.dedup();
    names.into_iter().filter_map(|label| snapshot.find(realm, label)).map(Arc::clone).collect()
}

/// The headers of a token: one, or one a signature or recipient (RFC 7515 §7.2, RFC 7516 §7.2).
fn headers(set: &KeySet, token: &str) -> Result<Vec<Map<String, Value>>> {
    if !token.starts_with('{') {
        return Ok(vec![jws::unverified_header(set, token)?]);
    }
    let malformed = || Error::new(ErrorKind::Malformed, "this is no JWS or JWE");
    let token: Map<String, Value> = serde_json::from_str(token).map_err(|_| malformed())?;
    let parts =
        ["signatures", "recipients"].into_iter().find_map(|name| token.get(name)?.as_array());
    let whole = [Value::Object(token.clone())];
    let mut found = Vec::new();
    for part in parts.map_or(&whole[..], Vec::as_slice) {
        let mut header = Map::new();
        for holder in [part, &whole[0]] {
            for name in ["header", "unprotected"] {
                let open = holder.get(name).and_then(Value::as_object);
                header.extend(
                    open.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())),
                );
            }
            if let Some(protected) = holder.get("protected").and_then(Value::as_str) {
                header.extend(jws::unverified_header(set, protected)?);
            }
        }
        found.push(header);
    }
    Ok(found)
}

/// What one header asks for.
struct Need {
    alg: Option<String>,
    kid: Option<String>,
}

struct Match {
    named: bool,
    allowed: bool,
    json: Value,
    text: String,
}

impl Need {
    fn of(header: &Map<String, Value>) -> Self {
        let text = |name: &str| header.get(name).and_then(Value::as_str).map(str::to_owned);
        Self { alg: text("alg"), kid: text("kid") }
    }

    /// What the keys of a label have to do with it: its kid names one, or its algorithm is theirs.
    fn look_in(&self, set: &KeySet) -> Option<Match> {
        let row = self.alg.as_deref().and_then(Algorithm::find);
        let allowed = row.is_some_and(|row| set.algorithms().contains(&row));
        let named = self.kid.as_deref().and_then(|kid| set.named(kid));
        let tried: Vec<_> = match (named, row.filter(|_| allowed)) {
            (Some(key), _) => vec![key],
            (None, Some(row)) => {
                let role =
                    if row.operation == Operation::Sign { Role::Verify } else { Role::Decrypt };
                set.candidates(self.kid.as_deref(), row, role).collect()
            }
            (None, None) => Vec::new(),
        };
        let first = tried.first()?;
        let names: Vec<String> = tried.iter().map(|key| format!("\"{}\"", key.alias)).collect();
        let verdict = if allowed { "" } else { ", but the label does not allow its algorithm" };
        let text = format!(
            "{}: {} {} of store \"{}\"{verdict}",
            set.label(),
            if named.is_some() { "its kid names alias" } else { "tries" },
            names.join(", "),
            first.store,
        );
        let aliases: Vec<&str> = tried.iter().map(|key| key.alias.as_str()).collect();
        let json = json!({
            "label": set.label(),
            "realm": first.realm,
            "store": first.store,
            "alias": named.map(|key| &key.alias),
            "active": std::ptr::eq(*first, set.active()),
            "tried": aliases,
            "algorithm_allowed": allowed,
        });
        Some(Match { named: named.is_some(), allowed, json, text })
    }
}

fn shown(needs: &[Need], matches: &[Match], label: Option<&LabelName>) -> Outcome {
    let need = needs.first();
    let (alg, kid) =
        (need.and_then(|one| one.alg.as_deref()), need.and_then(|one| one.kid.as_deref()));
    let first = matches.first();
    let member = |name: &str| first.and_then(|one| one.json.get(name)).cloned().unwrap_or_default();
    let mut text = format!("unverified: its algorithm is {}; ", alg.unwrap_or("not named"));
    text.push_str(&match kid {
        Some(kid) => format!("its kid is {kid}\n"),
        None => "it has no kid\n".to_owned(),
    });
    for one in matches {
        text.push_str(&format!("{}\n", one.text));
    }
    if matches.is_empty() {
        let place =
            label.map_or_else(|| "any label".to_owned(), |label| format!("label \"{label}\""));
        text.push_str(&format!("no key of {place} is for it\n"));
    }
    let list: Vec<&Value> = matches.iter().map(|one| &one.json).collect();
    let json = json!({
        "verified": false,
        "alg": alg,
        "kid": kid,
        "label": member("label"),
        "store": member("store"),
        "alias": member("alias"),
        "algorithm_allowed": first.is_some_and(|one| one.allowed),
        "matches": list,
    });
    Outcome::new(json, output::escape(&text)).with_exit(u8::from(matches.is_empty()))
}
