//! Schedules: which step of which mapping is due, and the time ahead. Nothing here goes past a gate.
//!
//! ```text
//! acts since ─ period ─► promote      and before it, by what must pass until everybody knows it, and some: stage
//! acted until ─ overlap, or what its tokens live ─► retire
//! ```
//!
//! Everything is reckoned from the journal, not from a clock that was kept: a run that was missed is made up
//! for once, in the order stage, promote, retire, and a run that comes twice finds nothing to do.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::mappings::{self, Kind, Mapping};
use super::refusals::SCHEDULED;
use super::request::{Request, Step};
use super::{NextKey, Origin, Overrides, Plan, Ready, Rotation, announce, life};
use crate::clock::{parse_rfc3339, rfc3339};
use crate::config::{Config, Schedule};
use crate::error::{Error, ErrorKind, Result};
use crate::journal::{Action, MappedKey, MappingName, Span, unrecorded_until};
use crate::label::{Alias, LabelName, Realm};

/// A step that a schedule asks for.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Scheduled {
    /// Of which mapping.
    #[serde(flatten)]
    pub mapping: MappingName,
    /// Stage, promote or retire.
    pub action: Action,
    /// Which alias.
    pub alias: Alias,
    /// When, in RFC 3339; absent: nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What its gate says, where that opens later than the schedule wants, or nobody knows when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    #[serde(skip)]
    time: Option<SystemTime>,
}

/// What a run did about a step that is due.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Run {
    /// The step.
    #[serde(flatten)]
    pub step: Scheduled,
    /// How it ended.
    pub outcome: RunOutcome,
    /// Why it waits or failed, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a step that is due ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "done, or not yet, or not at all")]
pub enum RunOutcome {
    /// It is done.
    Done,
    /// It cannot be done.
    Failed,
    /// A gate is closed; a later run does it.
    Waiting,
}

/// More steps than one mapping can have due at once, unless something is wrong.
const MOST_STEPS: usize = 64;
/// Who runs schedules daily is in time.
const DAY: Duration = Duration::from_secs(86_400);
/// More rotations than anybody wants to see ahead.
const MOST_AHEAD: usize = 10_000;
/// Among so many rotations of a mapping is the next step.
const FEW: usize = 2;

impl Rotation {
    /// Does what is due, mapping by mapping, through every gate. One mapping that fails keeps none of the
    /// others back.
    ///
    /// # Errors
    /// [`ErrorKind::Bug`] without a lock.
    pub fn run_due(&mut self) -> Result<Vec<Run>> {
        if self.lock.is_none() {
            return Err(Error::new(ErrorKind::Bug, "a preview changes nothing"));
        }
        let mut runs = Vec::new();
        for name in self.scheduled_mappings() {
            let mut tried: Vec<(Action, Alias)> = Vec::new();
            for _ in 0..MOST_STEPS {
                let due = self.due_of(&name);
                let next = due.into_iter().find(|step| {
                    !tried
                        .iter()
                        .any(|(action, alias)| *action == step.action && *alias == step.alias)
                });
                let Some(step) = next else { break };
                tried.push((step.action, step.alias.clone()));
                runs.push(self.run(step));
            }
        }
        Ok(runs)
    }

    /// What is due now, in the order in which it is done.
    #[must_use]
    pub fn due(&self) -> Vec<Scheduled> {
        self.scheduled_mappings().iter().flat_map(|name| self.due_of(name)).collect()
    }

    /// Every step of every schedule until `end`, in the order of time, as if each run came at its moment.
    #[must_use]
    pub fn ahead(&self, end: SystemTime) -> Vec<Scheduled> {
        let names = self.scheduled_mappings();
        let mut steps: Vec<Scheduled> = names
            .iter()
            .filter_map(|name| self.standing(name))
            .flat_map(|one| one.ahead(end))
            .collect();
        // Nobody knows when: last.
        steps.sort_by_key(|step| (step.time.is_none(), step.time));
        steps
    }

    /// As [`Rotation::ahead`]; keys that acted until now leave when their gate opens, as far as that is known already.
    #[must_use]
    pub fn ahead_by_gates(&self, end: SystemTime) -> Vec<Scheduled> {
        let mut steps = self.ahead(end);
        steps.iter_mut().for_each(|step| self.wait_for_gate(step));
        steps.retain(|step| step.time.is_none_or(|time| time <= end));
        steps.sort_by_key(|step| (step.time.is_none(), step.time));
        steps
    }

    /// Moves the retirement of a key that acted until now to when its gate opens.
    fn wait_for_gate(&self, step: &mut Scheduled) {
        let acted =
            |mapping: &Mapping| mapping.keys.iter().skip(1).any(|key| key.alias == step.alias);
        if step.action != Action::Retire || !self.mappings.get(&step.mapping).is_some_and(acted) {
            return;
        }
        // What cannot be reckoned is told by the run.
        let Ok(plan) = self.plan(&step.request()) else { return };
        let Some(gate) = plan.stopped_by(Overrides::default()) else { return };
        let opens = gate.opens_at.as_deref().and_then(parse_rfc3339);
        if step.time.zip(opens).is_some_and(|(time, opens)| opens <= time) {
            return;
        }
        (step.time, step.at) = (opens, opens.map(rfc3339));
        step.waits = Some(gate.message.clone());
    }

    /// The next step of any schedule after now.
    #[must_use]
    pub fn next_ahead(&self) -> Option<Scheduled> {
        let now = self.now();
        let names = self.scheduled_mappings();
        let standings = names.iter().filter_map(|name| self.standing(name));
        // The step after the next one of a mapping may be the first that is not due yet.
        let mut steps: Vec<Scheduled> =
            standings.flat_map(|one| one.rotations(None, FEW)).collect();
        steps.iter_mut().for_each(|step| self.wait_for_gate(step));
        let steps = steps.into_iter();
        steps.filter(|step| step.time.is_some_and(|time| time > now)).min_by_key(|step| step.time)
    }

    /// The next scheduled step of a label as a realm sees it.
    pub(super) fn next_scheduled(
        &self,
        label: &LabelName,
        realm: Option<&Realm>,
    ) -> Option<SystemTime> {
        let sees = |name: &&MappingName| {
            name.label == *label && (name.realm.is_none() || name.realm.as_ref() == realm)
        };
        let now = self.now();
        let names = self.scheduled_mappings();
        let standings = names.iter().filter(sees).filter_map(|name| self.standing(name));
        standings.flat_map(|one| one.next_times()).filter(|time| *time > now).min()
    }

    fn run(&mut self, step: Scheduled) -> Run {
        let (outcome, reason) = match self.try_run(&step) {
            Ok(None) => (RunOutcome::Done, None),
            Ok(Some(why)) => (RunOutcome::Waiting, Some(why)),
            Err(error) => {
                let help = error.help().map_or_else(String::new, |help| format!("; {help}"));
                (RunOutcome::Failed, Some(format!("{}{help}", error.message())))
            }
        };
        Run { step, outcome, reason }
    }

    /// Does one step; why it waits comes back.
    fn try_run(&mut self, step: &Scheduled) -> Result<Option<String>> {
        let mut request = step.request();
        if step.action == Action::Stage {
            return self.make_next(&mut request).map(|_| None);
        }
        // A gate that is closed is no refusal worth a record at every run.
        if let Some(why) = self.waits_for(step)? {
            return Ok(Some(why));
        }
        self.apply(&request).map(|_| None)
    }

    /// Why a step that is due would wait; `None`: it would not, or it makes a key.
    ///
    /// # Errors
    /// Those of [`Rotation::plan`].
    pub fn waits_for(&self, step: &Scheduled) -> Result<Option<String>> {
        if step.action == Action::Stage {
            return Ok(None);
        }
        let plan = self.plan(&step.request())?;
        Ok(plan.stopped_by(Overrides::default()).map(|gate| gate.message.clone()))
    }

    /// Makes and stages the next key; a name that the store has already gets a number.
    fn make_next(&mut self, request: &mut Request) -> Result<Plan> {
        let config = self.keyring.config();
        let placed = config.rotation.get(&request.label);
        let schedule = &placed.ok_or_else(|| Error::new(ErrorKind::Bug, "no schedule"))?.value;
        let base = schedule.alias.at(self.now())?;
        let next = NextKey {
            key_type: schedule.key_type,
            bits: schedule.bits,
            curve: schedule.curve.map(crate::alg::Curve::name),
            subject: None,
            days: schedule.days,
        };
        let (name, _) = mappings::target(&self.mappings, request)?;
        // A store that cannot be read says so when the key is made, and then it is recorded.
        let alias = self.free_alias(name, base.clone()).unwrap_or(base);
        request.step = Step::Stage { alias };
        self.generate(request, &next)
    }

    /// The mappings that a schedule is for.
    fn scheduled_mappings(&self) -> Vec<MappingName> {
        let config = self.keyring.config();
        let wanted = |name: &&MappingName| {
            config.rotation.get(&name.label).is_some_and(|placed| {
                placed.value.realm.is_none() || placed.value.realm == name.realm
            })
        };
        let changed = self.mappings.iter().filter(|(_, mapping)| mapping.kind != Kind::Fixed);
        changed.map(|(name, _)| name).filter(wanted).cloned().collect()
    }

    fn due_of(&self, name: &MappingName) -> Vec<Scheduled> {
        let now = self.now();
        self.standing(name).map(|standing| standing.due(now)).unwrap_or_default()
    }

    /// How a mapping stands: reckoned from the journal.
    fn standing(&self, name: &MappingName) -> Option<Standing> {
        let mapping: &Mapping = self.mappings.get(name)?;
        let config = self.keyring.config();
        let schedule = config.rotation.get(&name.label)?.value.clone();
        let snapshot = self.keyring.snapshot();
        let set = snapshot.find(name.realm.as_ref(), &name.label)?;
        let active = mapping.keys.first()?;
        let now = self.now();
        let realm = name.realm.as_ref();
        let spans = |key: &MappedKey| self.history.spans(&name.label, realm, key, now);
        let lead = match announce::ready(&config, set, &self.history, now, now) {
            Ready::At(time) => time.duration_since(now).ok(),
            Ready::ReloadUnknown | Ready::Unpublished => None,
        };
        let lead = schedule.propagation.max(lead);
        let keep = kept(&config, &name.label, &schedule);
        let mut standing = Standing {
            name: name.clone(),
            active: active.alias.clone(),
            active_since: active_since(&spans(active)).unwrap_or(now),
            staged: None,
            retiring: Vec::new(),
            lead: lead.unwrap_or_default(),
            keep,
            schedule,
            now,
        };
        // What others sign with is not for this schedule to change.
        let own = mapping.keys.iter().skip(1).filter(|key| !life::is_of_others(set, key));
        for key in own {
            let spans = spans(key);
            let scope = (&name.label, name.realm.as_ref());
            match acted_until(&spans) {
                Some(end) => standing.retiring.push((key.alias.clone(), end)),
                None if standing.staged.is_none() => {
                    let known =
                        announce::announcement(&config, set, &self.history, scope, key, self.now());
                    let ready = known.and_then(|known| match known.ready {
                        Ready::At(time) => Some(time),
                        Ready::ReloadUnknown | Ready::Unpublished => None,
                    });
                    standing.staged = Some((key.alias.clone(), ready.unwrap_or(now)));
                }
                None => {}
            }
        }
        Some(standing)
    }
}

impl Scheduled {
    fn new(mapping: &MappingName, action: Action, alias: Alias, time: Option<SystemTime>) -> Self {
        Self { mapping: mapping.clone(), action, alias, at: time.map(rfc3339), waits: None, time }
    }

    /// When; `None`: nobody knows.
    #[must_use]
    pub const fn time(&self) -> Option<SystemTime> {
        self.time
    }

    fn request(&self) -> Request {
        let alias = self.alias.clone();
        let step = match self.action {
            Action::Promote => Step::Promote { alias },
            Action::Retire => Step::Retire { alias },
            _ => Step::Stage { alias },
        };
        Request {
            step,
            label: self.mapping.label.clone(),
            realm: self.mapping.realm.clone(),
            store: Some(self.mapping.store.clone()),
            reason: Some(SCHEDULED.into()),
            overrides: Overrides::default(),
            origin: Origin::Here,
        }
    }
}

/// How a mapping stands at one moment.
struct Standing {
    name: MappingName,
    schedule: Schedule,
    now: SystemTime,
    active: Alias,
    active_since: SystemTime,
    /// The key that is to act next, and from when on it may.
    staged: Option<(Alias, SystemTime)>,
    /// Keys that acted, and until when.
    retiring: Vec<(Alias, SystemTime)>,
    /// How long a key must be known before it acts.
    lead: Duration,
    /// How long a key stays after it acted; `None`: nobody knows.
    keep: Option<Duration>,
}

impl Standing {
    /// When the next key is to act, gates aside.
    fn promote_at(&self) -> SystemTime {
        self.active_since + self.schedule.period
    }

    fn stage_at(&self) -> SystemTime {
        self.stage_before(self.promote_at())
    }

    /// When to stage a key that is to act at `at`: so early that a daily run is not too late.
    fn stage_before(&self, at: SystemTime) -> SystemTime {
        let slack = (self.schedule.period.saturating_sub(self.lead) / 4).min(DAY);
        at.checked_sub(self.lead + slack).unwrap_or(at)
    }

    fn step(&self, action: Action, alias: &Alias, time: Option<SystemTime>) -> Scheduled {
        Scheduled::new(&self.name, action, alias.clone(), time)
    }

    /// In a safe order: the next key is known before it acts, and acts before the old one goes.
    fn due(&self, now: SystemTime) -> Vec<Scheduled> {
        let mut due = Vec::new();
        match &self.staged {
            None if self.stage_at() <= now => {
                let alias = self.schedule.alias.at(now).ok();
                due.extend(
                    alias.map(|alias| self.step(Action::Stage, &alias, Some(self.stage_at()))),
                );
            }
            Some((alias, _)) if self.promote_at() <= now => {
                due.push(self.step(Action::Promote, alias, Some(self.promote_at())));
            }
            _ => {}
        }
        // Where nobody knows how long, the gate says what to set.
        let keep = self.keep.unwrap_or_default();
        let over = self.retiring.iter().filter(|(_, until)| *until + keep <= now);
        due.extend(
            over.map(|(alias, until)| self.step(Action::Retire, alias, Some(*until + keep))),
        );
        due
    }

    /// The times of the next steps.
    fn next_times(&self) -> Vec<SystemTime> {
        let staging = self.staged.is_none().then(|| self.stage_at());
        let acting = self.staged.as_ref().map(|(_, ready)| self.promote_at().max(*ready));
        let keep = self.keep;
        let leaving = self.retiring.iter().filter_map(|(_, until)| Some(*until + keep?));
        staging.into_iter().chain(acting).chain(leaving).collect()
    }

    /// Every step until `end`.
    fn ahead(self, end: SystemTime) -> Vec<Scheduled> {
        self.rotations(Some(end), MOST_AHEAD)
    }

    /// The steps of at most so many rotations, until `end` if it is given.
    fn rotations(self, end: Option<SystemTime>, most: usize) -> Vec<Scheduled> {
        let mut steps = Vec::new();
        for (alias, until) in &self.retiring {
            let at = self.keep.map(|keep| (*until + keep).max(self.now));
            steps.push(self.step(Action::Retire, alias, at));
        }
        let (mut active, mut since) = (self.active.clone(), self.active_since);
        let mut staged = self.staged.clone();
        let mut names = Names::default();
        names.taken.insert(active.clone());
        names.taken.extend(staged.iter().map(|(alias, _)| alias.clone()));
        names.taken.extend(self.retiring.iter().map(|(alias, _)| alias.clone()));
        for _ in 0..most {
            let wanted = since + self.schedule.period;
            let (alias, ready) = match staged.take() {
                Some(one) => one,
                None => {
                    let at = self.stage_before(wanted).max(self.now);
                    let base = self.schedule.alias.at(at).ok();
                    let Some(alias) = base.and_then(|base| names.next(base)) else { break };
                    steps.push(self.step(Action::Stage, &alias, Some(at)));
                    (alias, at + self.lead)
                }
            };
            let at = wanted.max(ready).max(self.now);
            steps.push(self.step(Action::Promote, &alias, Some(at)));
            let leaves = self.keep.map(|keep| at + keep);
            steps.push(self.step(Action::Retire, &active, leaves));
            (active, since) = (alias, at);
            if end.is_some_and(|end| at > end) {
                break;
            }
        }
        steps.retain(|step| step.time.is_none_or(|time| end.is_none_or(|end| time <= end)));
        // What never leaves is told once, of the first.
        let mut unknown = 0;
        steps.retain(|step| step.time.is_some() || std::mem::replace(&mut unknown, 1) == 0);
        steps
    }
}

/// The names of keys that are yet to be made.
#[derive(Default)]
struct Names {
    taken: HashSet<Alias>,
    /// The last number behind each name.
    numbers: HashMap<Alias, u32>,
}

impl Names {
    /// This name, with a number if it is taken.
    fn next(&mut self, base: Alias) -> Option<Alias> {
        if self.taken.insert(base.clone()) {
            return Some(base);
        }
        let number = self.numbers.entry(base.clone()).or_insert(1);
        loop {
            *number = number.checked_add(1)?;
            let alias: Alias = format!("{base}-{number}").parse().ok()?;
            if self.taken.insert(alias.clone()) {
                return Some(alias);
            }
        }
    }
}

/// Since when the active key has acted without a break.
fn active_since(spans: &[Span]) -> Option<SystemTime> {
    let mut start: Option<&Span> = None;
    for span in spans.iter().rev() {
        let joined = start.map_or_else(|| span.until.is_none(), |next| next.follows);
        if !span.active || !joined {
            break;
        }
        start = Some(span);
    }
    start.map(|span| span.from)
}

/// Until when a key that stands below the active one acted; `None`: it never did.
fn acted_until(spans: &[Span]) -> Option<SystemTime> {
    let acted = spans.iter().filter(|span| span.active).filter_map(|span| span.until).max();
    acted.or_else(|| unrecorded_until(spans))
}

/// How long an alias stays after it acted.
fn kept(config: &Config, label: &LabelName, schedule: &Schedule) -> Option<Duration> {
    let lifetime = config.labels.get(label).and_then(|one| one.value.max_token_lifetime);
    let lives = lifetime.map(|lifetime| lifetime + config.policy.clock_skew);
    schedule.overlap.max(lives)
}
