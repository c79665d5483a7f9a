//! `explain`: why a label resolves as it does, or which key a token asks for.

use std::path::PathBuf;

use claviger::error::Result;
use claviger::jose::jws;
use claviger::keyring::Keyring;
use claviger::label::{LabelName, Realm};
use serde_json::json;

use super::password_input::read_input;
use super::{Context, Outcome, output};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  claviger explain am.services.oauth2.oidc.signing.ES256\n  \
    claviger explain app.session.seal --token session.txt")]
pub(crate) struct Args {
    /// The label
    label: String,
    /// Say which alias this token needs; nothing of it is verified
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let keyring = Keyring::open_once(&context.config)?;
    let label: LabelName = args.label.parse()?;
    let realm: Option<Realm> = context.realm.as_deref().map(str::parse).transpose()?;
    if let Some(path) = &args.token {
        return explain_token(&keyring, &label, realm.as_ref(), path);
    }
    let explanation = keyring.explain(&label, realm.as_ref())?;
    let rows: Vec<Vec<String>> = explanation
        .steps
        .iter()
        .map(|step| {
            vec![
                step.store.clone(),
                step.realm.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
                step.label.to_string(),
                step.outcome.to_owned(),
                step.detail.clone(),
            ]
        })
        .collect();
    let mut text =
        explanation.help.as_ref().map(|help| format!("{label}: {help}\n\n")).unwrap_or_default();
    text.push_str(&output::table(&["STORE", "REALM", "LABEL", "OUTCOME", "FOUND"], &rows));
    let found = explanation.active.is_some();
    text.push_str(&explanation.active.as_ref().map_or_else(
        || format!("\nnothing is mapped to {label}: map it in [stores.NAME.mappings]\n"),
        |alias| format!("\n\"{}\" acts\n", output::escape(alias.as_str())),
    ));
    Ok(Outcome::of(&explanation, text)?.with_exit(u8::from(!found)))
}

fn explain_token(
    keyring: &Keyring,
    label: &LabelName,
    realm: Option<&Realm>,
    path: &std::path::Path,
) -> Result<Outcome> {
    let snapshot = keyring.snapshot();
    let set = snapshot.keys(realm, label)?;
    let token = read_input(path, 1 << 20)?;
    // EXPOSE: only the header is read, and shown.
    let token = String::from_utf8_lossy(token.expose_secret()).trim().to_owned();
    let header = jws::unverified_header(set, &token)?;
    let text = |name: &str| header.get(name).and_then(serde_json::Value::as_str);
    let (alg, kid) = (text("alg"), text("kid"));
    let allowed = alg.is_some_and(|alg| set.algorithms().iter().any(|row| row.name == alg));
    let key = kid.and_then(|kid| set.named(kid));
    let says = match (&key, kid) {
        (Some(key), _) => {
            format!("its kid names alias \"{}\" of store \"{}\"", key.alias, key.store)
        }
        (None, Some(_)) => "its kid names no alias: every valid one is tried".to_owned(),
        (None, None) => "it has no kid: every valid alias is tried".to_owned(),
    };
    let algorithm = alg.unwrap_or("none").escape_debug().to_string();
    let verdict = if allowed { "allowed" } else { "not allowed" };
    let data = format!("unverified: {says}; its algorithm {algorithm} is {verdict} for {label}\n");
    let json = json!({
        "verified": false,
        "alg": alg,
        "algorithm_allowed": allowed,
        "kid": kid,
        "alias": key.map(|key| &key.alias),
        "store": key.map(|key| &key.store),
    });
    Ok(Outcome::new(json, output::escape(&data)))
}
