//! `explain`: why a label resolves as it does, or which key a token asks for.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use claviger::Config;
use claviger::catalogue;
use claviger::error::Result;
use claviger::keyring::{self, Explanation};
use claviger::label::{LabelName, Realm};

use super::{Context, Outcome, output, token_needs};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  claviger explain am.services.oauth2.oidc.signing.ES256\n  \
    claviger --realm alpha explain am.services.oauth2.oidc.signing.ES256\n  \
    claviger explain --token session.jwe\n  \
    claviger explain app.session.seal --token session.jwe")]
pub(crate) struct Args {
    /// The label; with --token it may be left out: then every label is looked at
    #[arg(required_unless_present = "token")]
    label: Option<String>,
    /// Say which alias this token needs; nothing of it is verified; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let realm: Option<Realm> = context.realm.as_deref().map(str::parse).transpose()?;
    let label: Option<LabelName> = args.label.as_deref().map(str::parse).transpose()?;
    let label = label.map(|label| catalogue::canonical(&label));
    match (&args.token, label) {
        (Some(path), label) => token_needs::explain(context, label.as_ref(), realm.as_ref(), path),
        // A configuration that is refused is when somebody asks why.
        (None, Some(label)) => {
            let config = Arc::new(Config::load(&context.config)?);
            shown(&keyring::explain(&config, &label, realm.as_ref())?)
        }
        (None, None) => Ok(Outcome::new(serde_json::Value::Null, "")),
    }
}

fn shown(explanation: &Explanation) -> Result<Outcome> {
    let label = &explanation.label;
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
        explanation.help.as_ref().map(|help| format!("{label}: {help}\n")).unwrap_or_default();
    text.push_str(&format!("use: {}", explanation.uses.join(", ")));
    if !explanation.algorithms.is_empty() {
        text.push_str(&format!("; algorithms: {}", explanation.algorithms.join(", ")));
    }
    text.push_str("\n\n");
    text.push_str(&output::table(&["STORE", "REALM", "LABEL", "OUTCOME", "FOUND"], &rows));
    let unusable = explanation.steps.iter().any(|step| step.outcome == "unusable");
    let active = explanation.steps.iter().filter(|step| step.outcome == "active");
    let of_roles: BTreeSet<_> = active.map(|step| &step.label).collect();
    text.push_str(&match &explanation.active {
        Some(alias) => format!("\n\"{}\" acts\n", output::escape(alias.as_str())),
        None if of_roles.len() > 1 => format!(
            "\nwhat acts for {label} depends on the role: claviger saml labels --role ROLE --identifier NAME\n"
        ),
        None if unusable => format!("\nnothing acts for {label}: `claviger check` says why\n"),
        None => format!("\nnothing is mapped to {label}: map it in [stores.NAME.mappings]\n"),
    });
    Ok(Outcome::of(explanation, text)?.with_exit(u8::from(explanation.active.is_none())))
}
