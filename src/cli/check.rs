//! `check`: the whole configuration, every problem at once.

use claviger::error::Result;
use claviger::keyring;
use claviger::problem::{Problem, Severity};
use serde_json::json;

use super::diagnostics::render;
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  claviger check\n  claviger -c demo/claviger.toml check --json"
)]
pub(crate) struct Args {
    /// Let warnings count as errors
    #[arg(long)]
    strict: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let mut problems = keyring::check(&context.config, &context.clock)?;
    let loads = !problems.iter().any(|one| one.severity == Severity::Error);
    problems.extend(of_service(context, loads));
    problems.sort_by_key(Problem::order);
    let errors = problems.iter().filter(|one| one.severity == Severity::Error).count();
    let warnings = problems.len() - errors;
    let mut shown = problems.clone();
    if context.verbosity < 0 {
        shown.retain(|one| one.severity == Severity::Error);
    }
    let text = if context.json {
        String::new()
    } else {
        render(&shown, context.named.as_deref(), super::output::colored_stdout(context))
    };
    let count = |number: usize, word: &str| {
        format!("{number} {word}{}", if number == 1 { "" } else { "s" })
    };
    let summary = format!(
        "{text}{}: {}, {}\n",
        context.config.display(),
        count(errors, "error"),
        count(warnings, "warning")
    );
    let ok = errors == 0 && (!args.strict || warnings == 0);
    let json = json!({ "ok": ok, "errors": errors, "warnings": warnings, "problems": problems });
    Ok(Outcome::new(json, summary).with_exit(u8::from(!ok)).with_notes(callers(context)))
}

/// Where to read what callers may do; a configuration with mistakes has said enough.
fn callers(context: &Context) -> Option<String> {
    let config = claviger::Config::load(&context.config).ok()?;
    let count = config.access.callers().len();
    let word = if count == 1 { "caller" } else { "callers" };
    (count > 0).then(|| format!("{count} {word}: `claviger grants` shows what each may do"))
}

/// What is wrong with certificates and audit file of `[service]`, as far as the file can be read, and `loads`.
#[cfg(feature = "service")]
fn of_service(context: &Context, loads: bool) -> Vec<Problem> {
    use claviger::config::{ClientCa, ServerCertificate};
    let Ok(text) = claviger::Config::read_text(&context.config) else { return Vec::new() };
    let (Some(config), _) = claviger::Config::parse(&text, &context.config) else {
        return Vec::new();
    };
    let mut problems = claviger::service::check(&config, &context.clock);
    let labels = matches!(config.service.certificate, Some(ServerCertificate::Label(_)))
        || matches!(config.service.client_ca, Some(ClientCa::Label(_)));
    let is_error = |one: &Problem| one.severity == Severity::Error;
    if loads && labels && !problems.iter().any(is_error) {
        let keyring = keyring::Keyring::open_once(&context.config);
        problems.extend(keyring.iter().flat_map(claviger::service::check_labels));
    }
    problems
}

#[cfg(not(feature = "service"))]
const fn of_service(_: &Context, _: bool) -> Vec<Problem> {
    Vec::new()
}
