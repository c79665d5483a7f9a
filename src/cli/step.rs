//! What the steps of a rotation share: options, the dry run, and how the answer is told.

use claviger::error::Result;
use claviger::journal::Actor;
use claviger::rotation::{NextKey, Overrides, Plan, Request, Rotation, Step};

use super::commands::as_typed;
use super::output::escape;
use super::{Context, Outcome};

/// Options of every step.
#[derive(Debug, clap::Args)]
pub(crate) struct StepArgs {
    /// The store, where several map the label
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    #[command(flatten)]
    who: WhoArgs,
    /// Show what would change and what it breaks; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Let a key act before everybody knows it
    #[arg(long)]
    now: bool,
    /// Go past every gate
    #[arg(long)]
    force: bool,
}

/// Who does a step, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct WhoArgs {
    /// Why, for the journal
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    who: ActorArgs,
}

/// Who writes into the journal.
#[derive(Debug, clap::Args)]
pub(crate) struct ActorArgs {
    /// Who, for the journal [default: the user]
    #[arg(long = "as", value_name = "NAME", env = "CLAVIGER_ACTOR", hide_env_values = true)]
    actor: Option<String>,
}

impl WhoArgs {
    /// The actor of this process.
    pub(crate) fn actor(&self) -> Actor {
        self.who.actor()
    }
}

impl ActorArgs {
    /// The actor of this process.
    pub(crate) fn actor(&self) -> Actor {
        Actor::of_this_process(self.actor.clone())
    }
}

/// Does a step, or shows what it would do.
pub(crate) fn run(context: &Context, args: &StepArgs, step: Step, label: &str) -> Result<Outcome> {
    run_with(context, args, step, label, None)
}

/// As [`run`], with a new key that the step asks for.
pub(crate) fn run_with(
    context: &Context,
    args: &StepArgs,
    step: Step,
    label: &str,
    next: Option<&NextKey<'_>>,
) -> Result<Outcome> {
    let mut request = Request::new(step, label)?;
    request.realm = context.realm.as_deref().map(str::parse).transpose()?;
    request.store = args.store.as_deref().map(str::parse).transpose()?;
    request.reason.clone_from(&args.who.reason);
    request.overrides = Overrides { now: args.now, force: args.force };
    if args.dry_run {
        return preview(context, &request, next);
    }
    apply(context, &args.who, &request, next)
}

/// Shows what a step would do.
pub(crate) fn preview(
    context: &Context,
    request: &Request,
    next: Option<&NextKey<'_>>,
) -> Result<Outcome> {
    let rotation = Rotation::preview(&context.config, context.clock.clone())?;
    let plan = match next {
        Some(next) => rotation.plan_generated(request, next)?,
        None => rotation.plan(request)?,
    };
    let mut outcome = tell_preview(context, &rotation, plan, request.overrides)?;
    if next.is_some() {
        outcome = outcome.with_notes([
            "the key of this dry run was thrown away: the real one has another kid".to_owned(),
        ]);
    }
    Ok(outcome)
}

/// Does a step.
pub(crate) fn apply(
    context: &Context,
    who: &WhoArgs,
    request: &Request,
    next: Option<&NextKey<'_>>,
) -> Result<Outcome> {
    let clock = context.clock.clone();
    let mut rotation = Rotation::open_for(&context.config, clock, who.actor(), Some(request))?;
    let plan = match next {
        Some(next) => rotation.generate(request, next)?,
        None => rotation.apply(request)?,
    };
    tell_done(context, &rotation, plan)
}

/// The answer of a step that was done.
fn tell_done(context: &Context, rotation: &Rotation, plan: Plan) -> Result<Outcome> {
    let done = if plan.is_done() { "nothing to do" } else { "done" };
    let mut notes = notes_of(rotation);
    notes.extend(passed(&plan));
    notes.push(escape(&format!("{done}: {}", plan.command)));
    notes.extend(rotation.history().head().map(|head| format!("journal: {head}")));
    let text = as_typed(context.named.as_deref(), &escape(&plan.to_string()));
    Ok(Outcome::of(&rotation.report_done(plan), text)?.with_notes(notes))
}

fn tell_preview(
    context: &Context,
    rotation: &Rotation,
    plan: Plan,
    overrides: Overrides,
) -> Result<Outcome> {
    let mut text = plan.to_string();
    for gate in &plan.gates {
        let state = if overrides.pass(gate) { "passed" } else { "closed" };
        text.push_str(&format!("{state}: {}\n  help: {}\n", gate.message, gate.help));
    }
    let report = rotation.report_preview(plan, overrides);
    let mut notes: Vec<String> = report.notes.iter().map(|note| escaped(note)).collect();
    notes.push("nothing was changed: this was a dry run".into());
    let stopped = report.stopped_by.is_some();
    let text = as_typed(context.named.as_deref(), &escape(&text));
    Ok(Outcome::of(&report, text)?.with_notes(notes).with_exit(u8::from(stopped)))
}

fn notes_of(rotation: &Rotation) -> Vec<String> {
    rotation.notes().iter().map(|note| escaped(note)).collect()
}

fn escaped(note: &str) -> String {
    escape(&format!("note: {note}"))
}

/// The gates that were closed and passed.
fn passed(plan: &Plan) -> Vec<String> {
    plan.gates.iter().map(|gate| escape(&format!("passed: {}", gate.message))).collect()
}
