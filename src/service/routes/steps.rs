//! Steps of a rotation: each is planned, gated, done and recorded as on the command line, under the caller's name.

use std::sync::Arc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::access::Right;
use crate::clock::parse_rfc3339;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Actor, MappingName};
use crate::rotation::{NextKey, Origin, Overrides, Report, Request, Rotation, Step};
use crate::service::Problem;
use crate::service::call::Call;
use crate::service::route::{Change, Route};

/// How long the certificate of a new key is valid where nobody says, as on the command line.
const VALID_DAYS: u32 = 825;

pub(super) fn routes() -> Vec<Route> {
    let path = |name: &str| format!("/v1/labels/{{label}}/{name}");
    vec![
        Route::change(
            path("generate"),
            Right::Generate,
            "Make the next key and stage it",
            generate,
        ),
        Route::change(path("promote"), Right::Promote, "Let a staged alias act", promote),
        Route::change(path("reorder"), Right::Reorder, "Put all aliases in a new order", reorder),
        Route::change(path("retire"), Right::Retire, "Take an alias out of its mapping", retire),
        Route::change(path("revoke"), Right::Revoke, "Ban a key for good", revoke),
        Route::change(
            path("stage"),
            Right::Stage,
            "Add an alias, to be published and tried",
            stage,
        ),
        Route::change(path("undo"), Right::Undo, "Take the last step back", undo),
    ]
}

/// A step about one alias.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AliasStep {
    /// The alias.
    alias: String,
    /// The store, where several map the label.
    store: Option<String>,
    /// Why, for the journal.
    #[schemars(length(max = 1000))]
    reason: Option<String>,
    /// Tells what would change and what it breaks; changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// Lets a key act before everybody knows it.
    #[serde(default)]
    now: bool,
    /// Goes past every gate.
    #[serde(default)]
    force: bool,
}

impl AliasStep {
    fn take(
        self,
        call: &Call<'_>,
        step: fn(crate::label::Alias) -> Step,
    ) -> Result<Stepped, Problem> {
        let step = step(self.alias.parse()?);
        let Self { store, reason, dry_run, now, force, .. } = self;
        let how = How { store, reason, dry_run, overrides: Overrides { now, force } };
        take(call, step, how, None)
    }
}

/// A new order.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReorderStep {
    /// Every alias of the mapping, once; the first acts.
    aliases: Vec<String>,
    /// The store, where several map the label.
    store: Option<String>,
    /// Why, for the journal.
    #[schemars(length(max = 1000))]
    reason: Option<String>,
    /// Tells what would change and what it breaks; changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// Lets a key act before everybody knows it.
    #[serde(default)]
    now: bool,
    /// Goes past every gate.
    #[serde(default)]
    force: bool,
}

/// A key to be banned: under any alias, in any store. It cannot be undone.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RevokeStep {
    /// The alias of the key, or its kid.
    alias: String,
    /// Since when somebody else may have had the key, in RFC 3339.
    compromised_at: Option<String>,
    /// The alias of a new key, made as the banned one is; it needs the right `generate` as well.
    replace: Option<String>,
    /// The store, where several map the label.
    store: Option<String>,
    /// Why, for the journal.
    #[schemars(length(max = 1000))]
    reason: Option<String>,
    /// Tells what would change and what it breaks; changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// Goes past every gate.
    #[serde(default)]
    force: bool,
}

/// The last step, to be taken back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UndoStep {
    /// The store, where several map the label.
    store: Option<String>,
    /// Why, for the journal.
    #[schemars(length(max = 1000))]
    reason: Option<String>,
    /// Tells what would change and what it breaks; changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// Lets a key act before everybody knows it.
    #[serde(default)]
    now: bool,
    /// Goes past every gate.
    #[serde(default)]
    force: bool,
}

/// A new key, staged at once; where nothing else is said it is as the active key is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GenerateStep {
    /// Its alias.
    alias: String,
    /// rsa, ec, ed25519, ed448, x25519, x448, aes, hmac or password.
    #[serde(rename = "type")]
    key_type: Option<String>,
    /// The size of an RSA or symmetric key.
    bits: Option<usize>,
    /// The curve of an EC key.
    curve: Option<String>,
    /// The subject of its self-signed certificate.
    subject: Option<String>,
    /// How many days that certificate is valid; absent: 825.
    #[schemars(range(min = 1, max = 36_500))]
    days: Option<u32>,
    /// The store, where several map the label.
    store: Option<String>,
    /// Why, for the journal.
    #[schemars(length(max = 1000))]
    reason: Option<String>,
    /// Tells what would change, with a key that is thrown away; changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// Goes past every gate.
    #[serde(default)]
    force: bool,
}

macro_rules! change {
    ($($body:ident: $alias:expr;)*) => {
        $(impl Change for $body {
            fn is_dry_run(&self) -> bool {
                self.dry_run
            }

            fn alias(&self) -> Option<&str> {
                let alias: fn(&Self) -> Option<&String> = $alias;
                alias(self).map(String::as_str)
            }
        })*
    };
}

change! {
    AliasStep: |step| Some(&step.alias);
    GenerateStep: |step| Some(&step.alias);
    ReorderStep: |step| step.aliases.first();
    RevokeStep: |step| Some(&step.alias);
    UndoStep: |_| None;
}

/// What came of a step.
#[derive(JsonSchema, Serialize)]
struct Stepped {
    #[serde(flatten)]
    #[schemars(with = "StepReport")]
    report: Report,
    /// The generation of the keyring that serves now.
    generation: u64,
    /// Why the step does not serve yet, though it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_taken: Option<Problem>,
}

/// The form of a [`Report`].
#[derive(JsonSchema)]
#[expect(dead_code, reason = "its form, for the schema")]
struct StepReport {
    /// Whether something was changed: not in a dry run, and not if everything was so already.
    done: bool,
    /// Whether it was a dry run.
    dry_run: bool,
    /// The closed gate that would stop it; only of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_by: Option<String>,
    /// What changed, or would: the step, its mappings, the difference, the consequences and the closed gates.
    plan: Map<String, Value>,
    /// The end of the journal after it: its number and hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<Map<String, Value>>,
    /// What the operator should know besides.
    notes: Vec<String>,
}

fn stage(call: &Call<'_>, body: AliasStep) -> Result<Stepped, Problem> {
    body.take(call, |alias| Step::Stage { alias })
}

fn promote(call: &Call<'_>, body: AliasStep) -> Result<Stepped, Problem> {
    body.take(call, |alias| Step::Promote { alias })
}

fn retire(call: &Call<'_>, body: AliasStep) -> Result<Stepped, Problem> {
    body.take(call, |alias| Step::Retire { alias })
}

fn reorder(call: &Call<'_>, body: ReorderStep) -> Result<Stepped, Problem> {
    let aliases = body.aliases.iter().map(|alias| alias.parse()).collect::<Result<_>>()?;
    let ReorderStep { store, reason, dry_run, now, force, .. } = body;
    let how = How { store, reason, dry_run, overrides: Overrides { now, force } };
    take(call, Step::Reorder { aliases }, how, None)
}

fn revoke(call: &Call<'_>, body: RevokeStep) -> Result<Stepped, Problem> {
    let compromised_at = body.compromised_at.as_deref().map(time).transpose()?;
    if compromised_at.is_some_and(|time| time > call.service.0.clock.now()) {
        let text =
            "\"compromised_at\" is in the future: what is made until then would count as good";
        return Err(Error::new(ErrorKind::Usage, text)
            .with_help("name the earliest time at which somebody else may have had the key")
            .into());
    }
    if body.replace.is_some() && !call.may(Right::Generate, call.label()?) {
        return Err(Problem::forbidden(Right::Generate, true));
    }
    let replace = body.replace.as_deref().map(str::parse).transpose()?;
    let next = replace.is_some().then_some(NextKey { days: VALID_DAYS, ..NextKey::default() });
    let step = Step::Revoke { alias: body.alias.parse()?, compromised_at, replace };
    let RevokeStep { store, reason, dry_run, force, .. } = body;
    let how = How { store, reason, dry_run, overrides: Overrides { now: false, force } };
    take(call, step, how, next.as_ref())
}

fn undo(call: &Call<'_>, body: UndoStep) -> Result<Stepped, Problem> {
    let UndoStep { store, reason, dry_run, now, force } = body;
    let how = How { store, reason, dry_run, overrides: Overrides { now, force } };
    take(call, Step::Undo, how, None)
}

fn generate(call: &Call<'_>, body: GenerateStep) -> Result<Stepped, Problem> {
    let next = NextKey {
        key_type: body.key_type.as_deref(),
        bits: body.bits,
        curve: body.curve.as_deref(),
        subject: body.subject.as_deref(),
        days: body.days.unwrap_or(VALID_DAYS),
    };
    let overrides = Overrides { now: false, force: body.force };
    let (store, reason, dry_run) = (body.store.clone(), body.reason.clone(), body.dry_run);
    let step = Step::Stage { alias: body.alias.parse()? };
    take(call, step, How { store, reason, dry_run, overrides }, Some(&next))
}

fn time(text: &str) -> Result<std::time::SystemTime> {
    parse_rfc3339(text).ok_or_else(|| {
        Error::new(ErrorKind::Usage, format!("\"{}\" is no time", text.escape_debug()))
            .with_help("write it as 2026-11-20T08:00:00Z")
    })
}

/// Why a step is taken. The journal keeps it for good, also of a step that is refused, and is read again and again.
fn reason(text: String) -> Result<String> {
    if text.chars().count() <= MAX_REASON {
        return Ok(text);
    }
    let text = format!("the reason is longer than {MAX_REASON} characters");
    Err(Error::new(ErrorKind::Usage, text).with_help("name a ticket that has the rest"))
}

const MAX_REASON: usize = 1_000;

/// What every step has.
struct How {
    store: Option<String>,
    reason: Option<String>,
    dry_run: bool,
    overrides: Overrides,
}

/// Takes a step of the label of the path, or tells what it would do.
fn take(
    call: &Call<'_>,
    step: Step,
    how: How,
    next: Option<&NextKey<'_>>,
) -> Result<Stepped, Problem> {
    let mut request = Request::new(step, call.label()?.as_str())?;
    request.realm.clone_from(&call.asked.realm);
    request.store = how.store.as_deref().map(str::parse).transpose()?;
    request.reason = how.reason.map(reason).transpose()?;
    request.overrides = how.overrides;
    request.origin = origin(call, &request.step);
    let service = &call.service.0;
    let (config, clock) = (call.snapshot.config(), service.clock.clone());
    if how.dry_run {
        let rotation = Rotation::preview(&config.file, clock).map_err(Problem::of_files)?;
        let plan = match next {
            Some(next) => rotation.plan_generated(&request, next),
            None => rotation.plan(&request),
        };
        let plan = plan.map_err(|error| Problem::of_step(error, &request.label))?;
        let report = rotation.report_preview(plan, request.overrides);
        return Ok(Stepped { report, generation: call.snapshot.generation(), not_taken: None });
    }
    let actor = Actor::of_this_process(call.asked.caller.as_ref().map(ToString::to_string));
    let rotation = Rotation::open_for(&config.file, clock, actor, Some(&request));
    let mut rotation = rotation.map_err(Problem::of_files)?;
    let plan = match next {
        Some(next) => rotation.generate(&request, next),
        None => rotation.apply(&request),
    };
    let plan = plan.map_err(|error| refusal(&rotation, &request, error))?;
    let report = rotation.report_done(plan);
    call.note(|noted| noted.journal = report.head.clone().flatten());
    // The step is done whatever comes of this: a failure must not look like one of the step.
    let not_taken = service.keyring.reload().err().map(Problem::of_files);
    let generation = service.keyring.snapshot().generation();
    Ok(Stepped { report, generation, not_taken })
}

/// The caller, who reaches what it has the right of the route to; where a key is made as well, also that to make one.
fn origin(call: &Call<'_>, step: &Step) -> Origin {
    let makes = matches!(step, Step::Revoke { replace: Some(_), .. });
    let rights = call.request.route.right.into_iter().chain(makes.then_some(Right::Generate));
    let rights: Vec<Right> = rights.collect();
    let (snapshot, caller) = (Arc::clone(&call.snapshot), call.asked.caller.clone());
    Origin::Elsewhere(Arc::new(move |name: &MappingName| {
        let access = &snapshot.config().access;
        let may = |caller, right: &Right| {
            access.allows(caller, *right, Some(&name.label), name.realm.as_ref())
        };
        caller.as_ref().is_some_and(|caller| rights.iter().all(|right| may(caller, right)))
    }))
}

/// A refusal; that of a gate says when it opens.
fn refusal(rotation: &Rotation, request: &Request, error: Error) -> Problem {
    let kind = error.kind();
    let mut problem = Problem::of_step(error, &request.label);
    if problem.http_status() == StatusCode::CONFLICT
        && let Ok(plan) = rotation.plan(request)
        && let Some(gate) = plan.stopped_by(request.overrides)
        && gate.code == kind.code()
    {
        problem.opens_at = gate.opens_at.as_deref().map(Into::into);
    }
    problem
}
