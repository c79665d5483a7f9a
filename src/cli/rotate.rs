//! `rotate`: the steps that schedules ask for, done or told ahead.

use std::time::Duration;

use claviger::error::{Error, ErrorKind, Result};
use claviger::journal::Action;
use claviger::rotation::{Rotation, Run, RunOutcome, Scheduled};
use serde_json::json;

use super::output::{escape, table};
use super::step::WhoArgs;
use super::{Context, Outcome};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Schedules are in the configuration: [rotation.\"LABEL\"] period = \"90d\", alias = \"es256-{date}\". Each step \
    passes the same gates as by hand; what waits is done by a later run. Exit code 1: a step could not be done. In a \
    crontab: 17 * * * * claviger -c FILE --quiet rotate --due\n\
    Examples:\n  claviger rotate --due\n  claviger rotate --due --dry-run\n  claviger rotate --plan 365d"
)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["due", "plan"]))]
pub(crate) struct Args {
    /// Do what is due
    #[arg(long)]
    due: bool,
    /// With --due: say what is due; change nothing
    #[arg(long, requires = "due")]
    dry_run: bool,
    /// The steps of the time ahead, as 365d or 12h
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "365d")]
    plan: Option<String>,
    #[command(flatten)]
    who: WhoArgs,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let clock = context.clock.clone();
    if let Some(plan) = &args.plan {
        let rotation = Rotation::preview(&context.config, clock)?;
        require_schedules(&rotation)?;
        let end = context.clock.now() + duration(plan)?;
        let steps = rotation.ahead_by_gates(end);
        let mut notes = notes(&rotation);
        for step in &steps {
            notes.extend(step.waits.as_deref().map(|why| escape(&waiting(step, why))));
        }
        let json = json!({ "steps": steps, "notes": rotation.notes() });
        return Ok(Outcome::new(json, steps_table(&steps)).with_notes(notes));
    }
    if args.dry_run {
        let rotation = Rotation::preview(&context.config, clock)?;
        require_schedules(&rotation)?;
        let steps = rotation.due();
        let mut notes = notes(&rotation);
        let mut told = rotation.notes();
        for step in &steps {
            let why = rotation.waits_for(step).unwrap_or_else(|error| Some(error.message().into()));
            if let Some(why) = why {
                let line = waiting(step, &why);
                notes.push(escape(&line));
                told.push(line);
            }
        }
        notes.push("nothing was changed: this was a dry run".into());
        let json = json!({ "dry_run": true, "due": steps, "notes": told });
        return Ok(Outcome::new(json, steps_table(&steps)).with_notes(notes));
    }
    let mut rotation = Rotation::open_for(&context.config, clock, args.who.actor(), None)?;
    require_schedules(&rotation)?;
    let runs = rotation.run_due()?;
    Ok(tell(&rotation, &runs))
}

fn require_schedules(rotation: &Rotation) -> Result<()> {
    if !rotation.keyring().config().rotation.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Usage, "no label has a schedule").with_help(
        "add [rotation.\"LABEL\"] with period = \"90d\" and alias = \"es256-{date}\" to the configuration",
    ))
}

/// `365d`, as in the configuration.
pub(super) fn duration(text: &str) -> Result<Duration> {
    let wrong = || {
        Error::new(ErrorKind::Usage, format!("\"{}\" is no time ahead", text.escape_debug()))
            .with_help("write a number and s, m, h or d: 365d")
    };
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    // A hundred years are enough.
    let all = number.checked_mul(seconds).filter(|all| *all <= 36_525 * 86_400);
    all.map(Duration::from_secs).ok_or_else(wrong)
}

fn tell(rotation: &Rotation, runs: &[Run]) -> Outcome {
    let mut text = String::new();
    for run in runs {
        let word = match run.outcome {
            RunOutcome::Done => "done",
            RunOutcome::Failed => "failed",
            RunOutcome::Waiting => "waiting",
        };
        let reason = run.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        text.push_str(&format!("{word}: {}{reason}\n", sentence(&run.step)));
    }
    if runs.is_empty() {
        text.push_str("nothing is due\n");
    }
    let next = rotation.next_ahead();
    if let Some(next) = &next {
        let at = next.at.as_deref().unwrap_or_default();
        text.push_str(&format!("next: {}, at {at}\n", sentence(next)));
    }
    let failed = runs.iter().any(|run| run.outcome == RunOutcome::Failed);
    let json = json!({ "runs": runs, "next": next, "notes": rotation.notes() });
    Outcome::new(json, escape(&text)).with_notes(notes(rotation)).with_exit(u8::from(failed))
}

/// Why a step waits.
fn waiting(step: &Scheduled, why: &str) -> String {
    format!("waiting: {}: {why}", sentence(step))
}

fn sentence(step: &Scheduled) -> String {
    let realm = &step.mapping.realm;
    let realm = realm.as_ref().map_or_else(String::new, |realm| format!(" --realm {realm}"));
    let word = match step.action {
        // The key does not exist before.
        Action::Stage => format!("generate {} --stage {}", step.alias, step.mapping.label),
        action => format!("{} {} {}", action.name(), step.mapping.label, step.alias),
    };
    format!("{word}{realm}")
}

fn steps_table(steps: &[Scheduled]) -> String {
    let rows: Vec<Vec<String>> = steps
        .iter()
        .map(|step| {
            vec![
                step.at.clone().unwrap_or_else(|| "not known".into()),
                step.action.name().to_owned(),
                step.alias.to_string(),
                step.mapping.label.to_string(),
                step.mapping.realm.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
                step.mapping.store.to_string(),
            ]
        })
        .collect();
    table(&["AT", "STEP", "ALIAS", "LABEL", "REALM", "STORE"], &rows)
}

fn notes(rotation: &Rotation) -> Vec<String> {
    rotation.notes().iter().map(|note| escape(&format!("note: {note}"))).collect()
}
