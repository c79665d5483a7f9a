//! `check`: the whole configuration, every problem at once.

use claviger::error::Result;
use claviger::keyring;
use claviger::problem::Severity;
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
    let problems = keyring::check(&context.config, &context.clock)?;
    let errors = problems.iter().filter(|one| one.severity == Severity::Error).count();
    let warnings = problems.len() - errors;
    let mut shown = problems.clone();
    if context.verbosity < 0 {
        shown.retain(|one| one.severity == Severity::Error);
    }
    let text = if context.json {
        String::new()
    } else {
        render(&shown, super::output::colored_stdout(context))
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
    Ok(Outcome::new(json, summary).with_exit(u8::from(!ok)))
}
