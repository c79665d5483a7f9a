//! The life of a mapping: stage, promote, reorder, retire, revoke, undo; each step reckoned aside, gated,
//! written in one piece and recorded.
//!
//! ```text
//! Rotation::open   take the lock, end what a crash left, note what was edited by hand
//!   plan           new text ─► new snapshot, checked whole ─► what differs, which gates are closed
//!   apply          journal: begin ─► configuration replaced ─► tombstone ─► journal: done
//! ```
//!
//! Killed at any point, the configuration is the old one or the new one, and the journal's next reader knows
//! which: the mappings are as `begin` says they were before, or as it says they are after.

pub mod announce;
mod around;
mod facts;
mod fresh;
mod gates;
mod life;
mod like;
mod mappings;
mod moved;
mod next_key;
mod origin;
mod past;
mod plan;
mod recover;
mod refusals;
mod report;
mod request;
mod retirement;
mod revocation;
mod schedule;
mod sessions;
mod steps;
mod validity;
mod versions;
mod volume_steps;
mod wording;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::atomic::{self, Lock};
use crate::clock::Clock;
use crate::config::{Config, without_mark};
use crate::crypto::sha256;
use crate::error::{Error, ErrorKind, Result};
pub use crate::journal;
use crate::journal::tombstones::Tombstones;
use crate::journal::{
    Action, Actor, ConfigHashes, Event, History, Journal, MappingChange, Record, Refusal,
};
use crate::keyring::Keyring;
use crate::label::{LabelName, Realm};
use crate::usage::Reports;

pub use announce::{Announcement, Ready};
use around::Known;
pub use facts::{AliasFacts, GoneFacts, LabelFacts, LifeFacts, UseFacts, fitting};
use fresh::Fresh;
pub use gates::{Gate, Overrides};
pub use life::{GoneKey, KeyLife, Lives, Phase};
pub use next_key::NextKey;
pub use origin::Origin;
pub use past::{Past, PastAnswer, verify_at};
pub use plan::Plan;
pub use report::Report;
pub use request::{Request, Step};
pub use retirement::Receipt;
pub use schedule::{Run, RunOutcome, Scheduled};
pub use validity::{EncryptTo, Validity};
use versions::FileChange;

/// A configuration whose mappings are about to change. Holds the lock from [`Rotation::open`] until it is
/// dropped.
#[derive(Debug)]
pub struct Rotation {
    file: PathBuf,
    clock: Clock,
    actor: Actor,
    /// The exact text that every step is reckoned from.
    text: String,
    keyring: Keyring,
    mappings: mappings::Mappings,
    journal: Option<Journal>,
    history: History,
    notes: Vec<String>,
    /// What was edited by hand.
    edited: Vec<MappingChange>,
    /// When it was seen that what stands there is not as the journal has it; it was only looked at.
    behind: Option<SystemTime>,
    /// For how long the journal says that key sets are cached; `None`: it does not.
    caches: Option<Duration>,
    lock: Option<Lock>,
}

impl Rotation {
    /// Opens a configuration to change it: takes the lock, ends in the journal what a crash left open, and
    /// notes there what was edited by hand.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it does not load; [`ErrorKind::Busy`], [`ErrorKind::Io`] for the lock and
    /// the journal.
    pub fn open(file: &Path, clock: Clock, actor: Actor) -> Result<Self> {
        Self::begin_with(Action::FirstSeen, file, &clock, &actor)
    }

    /// As [`Rotation::open`], of a configuration whose keys were all made just now: its journal begins with that, so
    /// that nothing is unknown of them. Where a journal is already, it is [`Rotation::open`].
    ///
    /// # Errors
    /// As [`Rotation::open`].
    pub fn open_new(file: &Path, clock: Clock, actor: Actor) -> Result<Self> {
        Self::begin_with(Action::Init, file, &clock, &actor)
    }

    fn begin_with(beginning: Action, file: &Path, clock: &Clock, actor: &Actor) -> Result<Self> {
        // What an editor is writing may not say yet where the lock is.
        let read = || Self::read(file, clock.clone(), actor.clone());
        let mut state_dir = match Config::load(file) {
            Ok(config) => config.keyring.state_dir,
            Err(_) => read()?.state_dir(),
        };
        for _ in 0..READ_TRIES {
            let lock = take_lock(file, state_dir.as_deref())?;
            // Read again: what was there before the lock may be old.
            let mut rotation = read()?;
            if rotation.state_dir() == state_dir {
                rotation.lock = Some(lock);
                rotation.catch_up(beginning, true)?;
                rotation.note_unarchived();
                return Ok(rotation);
            }
            state_dir = rotation.state_dir();
        }
        Err(edited_meanwhile(file))
    }

    /// As [`Rotation::open`], for a step, or `None` for what schedules have due: that the configuration does not
    /// load is a refusal too, and recorded if it can be told where.
    ///
    /// # Errors
    /// As [`Rotation::open`].
    pub fn open_for(
        file: &Path,
        clock: Clock,
        actor: Actor,
        request: Option<&Request>,
    ) -> Result<Self> {
        let now = clock.now();
        Self::open(file, clock, actor.clone()).inspect_err(|error| {
            let record = match request {
                Some(request) => record_of(request, Event::Refused, actor, now),
                None => Record::new(Event::Refused, Action::Schedule, actor, now),
            };
            record_unopened(file, Record { refusal: Some(refusal(error)), ..record });
        })
    }

    /// Opens a configuration to look at it: for `--dry-run`. Nothing is written, nothing is locked.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it does not load; [`ErrorKind::StoreUnreadable`] for the journal.
    pub fn preview(file: &Path, clock: Clock) -> Result<Self> {
        let mut rotation = Self::read(file, clock, Actor::of_this_process(None))?;
        rotation.catch_up(Action::FirstSeen, false)?;
        Ok(rotation)
    }

    /// Looks at a keyring that is open, as it serves now: for what is planned. Nothing is written, locked or loaded
    /// again.
    ///
    /// # Errors
    /// [`ErrorKind::StoreUnreadable`] for the configuration file or the journal.
    pub fn watching(keyring: &Keyring) -> Result<Self> {
        let (config, clock) = (keyring.config(), keyring.clock().clone());
        let text = Config::read_unaltered(&config.file)?;
        let actor = Actor::of_this_process(None);
        let mut rotation = Self::of(keyring.clone(), text, clock, actor)?;
        rotation.catch_up(Action::FirstSeen, false)?;
        Ok(rotation)
    }

    fn read(file: &Path, clock: Clock, actor: Actor) -> Result<Self> {
        for _ in 0..READ_TRIES {
            let text = Config::read_unaltered(file)?;
            let keyring = Keyring::open_once_at(file, clock.clone())?;
            // Every step is reckoned from the text that the keyring was opened with.
            if Config::read_unaltered(file)? == text {
                return Self::of(keyring, text, clock, actor);
            }
        }
        Err(edited_meanwhile(file))
    }

    fn of(keyring: Keyring, text: String, clock: Clock, actor: Actor) -> Result<Self> {
        let config = keyring.config();
        let journal = config.keyring.state_dir.as_deref().map(Journal::of);
        let history = journal.as_ref().map(Journal::read).transpose()?.unwrap_or_default();
        let mappings = mappings::of(&config, &keyring.snapshot());
        Ok(Self {
            file: config.file.clone(),
            clock,
            actor,
            text,
            keyring,
            mappings,
            journal,
            history,
            notes: Vec::new(),
            edited: Vec::new(),
            behind: None,
            caches: None,
            lock: None,
        })
    }

    /// What the operator should know: edits by hand that were found, steps that a crash cut short.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes_for(&Origin::Here)
    }

    /// Those that are for who asks: nobody elsewhere is told of mappings that it does not reach.
    fn notes_for(&self, origin: &Origin) -> Vec<String> {
        let edited = self.edited.iter().filter(|change| origin.reaches(&change.mapping));
        let edited: Vec<&MappingChange> = edited.collect();
        let told = (!edited.is_empty()).then(|| recover::edited_by_hand(&edited));
        self.notes.iter().cloned().chain(told).collect()
    }

    /// Whether the journal has yet to learn what stands there, by the next command that changes something: it was not begun,
    /// mappings were edited by hand, or a step was cut short.
    #[must_use]
    pub const fn is_behind(&self) -> bool {
        self.behind.is_some()
    }

    /// The journal as far as it goes.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// The keyring as the configuration stands.
    #[must_use]
    pub const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// What a request would change; nothing is written.
    ///
    /// # Errors
    /// [`ErrorKind::StepRefused`] if the step does not fit the mapping or the configuration would not load
    /// after it, [`ErrorKind::UnknownAlias`], [`ErrorKind::UnknownLabel`], [`ErrorKind::KeyRevoked`];
    /// [`ErrorKind::NotGranted`] if it reaches further than its origin may.
    pub fn plan(&self, request: &Request) -> Result<Plan> {
        plan::plan(self, request, &mut Fresh::default())
    }

    /// Does what a request asks for, if every gate is open or passed. Refusals are recorded as well.
    ///
    /// # Errors
    /// Those of [`Rotation::plan`]; [`ErrorKind::NotAnnounced`], [`ErrorKind::StillInUse`],
    /// [`ErrorKind::MustNotRotate`] for a closed gate; [`ErrorKind::Io`]; [`ErrorKind::Bug`] without a lock.
    pub fn apply(&mut self, request: &Request) -> Result<Plan> {
        self.apply_with(request, Fresh::default())
    }

    /// As [`Rotation::apply`]; `fresh` is what the step brings along.
    fn apply_with(&mut self, request: &Request, mut fresh: Fresh) -> Result<Plan> {
        if self.lock.is_none() {
            return Err(Error::new(ErrorKind::Bug, "a preview changes nothing"));
        }
        let plan = plan::plan(self, request, &mut fresh).and_then(|plan| {
            match plan.stopped_by(request.overrides) {
                Some(gate) => Err(gate.refusal()),
                None => Ok(plan),
            }
        });
        let plan = match plan {
            Ok(plan) => plan,
            Err(error) => {
                self.record_refusal(request, &error)?;
                return Err(error);
            }
        };
        if !plan.is_done() {
            self.carry_out(request, &plan)?;
        }
        Ok(plan)
    }

    fn carry_out(&mut self, request: &Request, plan: &Plan) -> Result<()> {
        let mut begin = self.record(Event::Begin, request);
        begin.changes.clone_from(&plan.changes);
        begin.config = Some(self.hashes(&plan.text));
        begin.overridden = plan.gates.iter().map(|gate| gate.code.to_owned()).collect();
        let mut detail = serde_json::Map::new();
        if let Some(key) = &plan.revoked {
            begin.alias = Some(key.alias.clone());
            detail
                .extend(key.thumbprint.iter().map(|one| ("thumbprint".into(), one.clone().into())));
        }
        let files: Vec<_> = plan.files.iter().flat_map(FileChange::names).collect();
        if !files.is_empty() {
            detail.insert("files".into(), serde_json::json!(files));
        }
        begin.detail = (!detail.is_empty()).then_some(detail.into());
        // Tombstones, receipts and the head of the journal are written once the step is done: too late to refuse it.
        self.state_dir().map_or(Ok(()), |folder| atomic::takes_files(&folder))?;
        self.takes_receipt(plan)?;
        let begun = self.append(begin.clone())?;
        let clock = self.clock.clone();
        // What a step brings is known from its end on, however long it took.
        let end = |event| {
            let time = clock.now();
            Record { seq: 0, event, begin: begun, time, ..begin.clone() }
        };
        let book = self.keyring.usage();
        let replaced = self.hold(&book, request, plan).and_then(|held| {
            plan.files.iter().try_for_each(FileChange::write_keystore)?;
            self.replace(&plan.text)?;
            Ok(held)
        });
        let held = match replaced {
            Ok(held) => held,
            // It was replaced, and then something failed: the next command ends the step.
            Err(error) if plan.text != self.text && self.is_there(&plan.text) => return Err(error),
            Err(error) => {
                // What the configuration does not name does no harm either, if this fails.
                drop(plan.files.iter().try_for_each(FileChange::restore_keystore));
                let aborted = Record { refusal: Some(refusal(&error)), ..end(Event::Aborted) };
                // If this fails too, the next command finds the step unfinished and says so.
                drop(self.append(aborted));
                return Err(error);
            }
        };
        if let Err(error) = plan.files.iter().try_for_each(FileChange::carry_out) {
            // Where some of it is done the next command ends it.
            if self.reopened().is_ok() && self.is_as_before(&plan.changes) {
                drop(self.append(Record { refusal: Some(refusal(&error)), ..end(Event::Aborted) }));
            }
            return Err(error);
        }
        if plan.revoked.is_some() {
            self.save_tombstones()?;
        }
        let receipt = self.end_making(held, plan);
        let mut done = end(Event::Done);
        if let Some(receipt) = &receipt {
            let detail = done.detail.get_or_insert_with(|| serde_json::json!({}));
            if let Some(members) = detail.as_object_mut() {
                members.insert("receipt".into(), serde_json::json!(receipt));
            }
        }
        let seq = self.append(done)?;
        if let Some(receipt) = receipt {
            self.file_receipt(receipt, seq)?;
        }
        self.text.clone_from(&plan.text);
        self.reopened()?;
        self.note_unarchived();
        Ok(())
    }

    /// Loads what is there now: keys and files may have changed under the same text.
    fn reopened(&mut self) -> Result<()> {
        let config = Config::from_text(without_mark(&self.text), &self.file)?;
        self.keyring = Keyring::from_config(config, self.clock.clone())?;
        self.mappings = mappings::of(&self.keyring.config(), &self.keyring.snapshot());
        Ok(())
    }

    /// Whether the configuration file has this text.
    fn is_there(&self, text: &str) -> bool {
        Config::read_unaltered(&self.file).is_ok_and(|found| found == text)
    }

    /// Replaces the configuration, if it is still what the step was reckoned from.
    fn replace(&self, text: &str) -> Result<()> {
        if text == self.text {
            return Ok(());
        }
        if Config::read_unaltered(&self.file)? != self.text {
            return Err(edited_meanwhile(&self.file));
        }
        atomic::replace(&self.file, text.as_bytes())
    }

    fn record_refusal(&mut self, request: &Request, error: &Error) -> Result<()> {
        let mut record = self.record(Event::Refused, request);
        record.refusal = Some(refusal(error));
        // Somebody elsewhere is no schedule, whatever reason it gives.
        if request.origin.is_here() && refusals::is_repeated(&self.history, &record) {
            return Ok(());
        }
        self.append(record).map(drop)
    }

    /// A record of a request with nothing of its outcome.
    fn record(&self, event: Event, request: &Request) -> Record {
        let mut record = record_of(request, event, self.actor.clone(), self.now());
        if let Ok((name, _)) = mappings::target(&self.mappings, request) {
            record.realm.clone_from(&name.realm);
        }
        record
    }

    /// Appends a record, where there is a journal; its number comes back.
    fn append(&mut self, mut record: Record) -> Result<Option<u64>> {
        let Some(journal) = &self.journal else { return Ok(None) };
        let ends = record.event != Event::Begin;
        if record.took_effect() {
            let reports = self.keyring.usage().reports().ok();
            record.usage_writes = reports.as_ref().and_then(Reports::writes);
            self.note_made_around(&mut record, reports.as_ref());
        }
        let appended = journal.append(vec![record])?;
        let last = appended.last().map(|record| record.seq);
        self.history = journal.read()?;
        if let (true, Some(head), Some(state_dir)) = (ends, self.history.head(), self.state_dir()) {
            // One that is a few records behind is in the chain as well.
            drop(head.save(&state_dir));
        }
        Ok(last)
    }

    /// Writes into a record what the keys of its mappings made around them.
    fn note_made_around(&self, record: &mut Record, reports: Option<&Reports>) {
        let Some(reports) = reports else { return };
        self.knowing(reports, |known| known.write_down(&mut record.changes));
    }

    /// Asks what is known of uses by what these reports say.
    fn knowing<T>(&self, reports: &Reports, ask: impl FnOnce(Known<'_>) -> T) -> T {
        let (snapshot, config) = (self.keyring.snapshot(), self.keyring.config());
        let (history, now) = (&self.history, self.now());
        ask(Known { reports, snapshot: &snapshot, config: &config, history, now })
    }

    fn save_tombstones(&self) -> Result<()> {
        let Some(state_dir) = self.state_dir() else { return Ok(()) };
        Tombstones::of(&state_dir, &self.history)?.save(&state_dir).map_err(|error| {
            error.with_help(
                "the key is refused all the same: the journal has it; the next step of a rotation writes this file",
            )
        })
    }

    fn hashes(&self, after: &str) -> ConfigHashes {
        let hash = |text: &str| hex::encode(sha256(text.as_bytes()));
        ConfigHashes { before: hash(&self.text), after: hash(after) }
    }

    fn state_dir(&self) -> Option<PathBuf> {
        self.keyring.config().keyring.state_dir.clone()
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// The next time at which something of what a label publishes may change: when a staged key may act, or
    /// the next step of a schedule. A key of which the journal does not know yet may act at no time: its wait begins
    /// with the record of it.
    /// A key set that is cached no longer than until then is never a step behind.
    #[must_use]
    pub fn next_step(&self, label: &LabelName, realm: Option<&Realm>) -> Option<SystemTime> {
        let snapshot = self.keyring.snapshot();
        let set = snapshot.find(realm, label)?;
        let config = self.keyring.config();
        let now = self.now();
        let waiting = self.mappings.iter().filter(|(name, _)| {
            name.label == *label && (name.realm.is_none() || name.realm.as_ref() == realm)
        });
        waiting
            .flat_map(|(name, mapping)| mapping.keys.iter().skip(1).map(move |key| (name, key)))
            .filter(|(_, key)| !life::is_of_others(set, key))
            .filter_map(|(name, key)| {
                let scope = (&name.label, name.realm.as_ref());
                let known = announce::announcement(&config, set, &self.history, scope, key, now)?;
                let is_recorded = self.behind.is_none_or(|seen| known.since < seen);
                match known.ready {
                    Ready::At(time) if is_recorded => Some(time),
                    _ => None,
                }
            })
            .chain(self.next_scheduled(label, realm))
            .filter(|time| *time > now)
            .min()
    }
}

/// One lock for a state directory; without one, beside the configuration.
fn take_lock(file: &Path, state_dir: Option<&Path>) -> Result<Lock> {
    if let Some(state_dir) = state_dir {
        atomic::create_folder(state_dir)?;
        return Lock::take(&state_dir.join("lock"));
    }
    let mut name = file.as_os_str().to_owned();
    name.push(".lock");
    Lock::take(Path::new(&name))
}

fn edited_meanwhile(file: &Path) -> Error {
    let text = "the configuration was edited while the step was reckoned";
    let error = Error::new(ErrorKind::StepRefused, text).with_file(file);
    error.with_help("nothing was changed; try again")
}

/// A record of a request with nothing of its outcome.
fn record_of(request: &Request, event: Event, actor: Actor, now: SystemTime) -> Record {
    let mut record = Record::new(event, request.step.action(), actor, now);
    record.label = Some(request.label.clone());
    record.realm.clone_from(&request.realm);
    record.alias = request.step.alias().cloned();
    record.reason.clone_from(&request.reason);
    if let Step::Revoke { compromised_at, .. } = &request.step {
        record.compromised_at = *compromised_at;
    }
    record
}

/// Records a refusal of a configuration that does not load, as far as it says where the journal is.
fn record_unopened(file: &Path, record: Record) {
    let Ok(text) = Config::read_text(file) else { return };
    if let Some(state_dir) = Config::state_dir_of(&text, file) {
        let journal = Journal::of(&state_dir);
        if journal.read().is_ok_and(|history| refusals::is_repeated(&history, &record)) {
            return;
        }
        // The error itself is told; what stops this one is told by the next command.
        drop(journal.append(vec![record]));
    }
}

fn refusal(error: &Error) -> Refusal {
    Refusal { code: error.kind().code().to_owned(), message: error.message().to_owned() }
}

/// The first record of a journal, or of an edit by hand.
fn noticed(action: Action, actor: &Actor, now: SystemTime) -> Record {
    Record::new(Event::Noticed, action, actor.clone(), now)
}

/// How often a configuration is read that is edited meanwhile.
const READ_TRIES: usize = 3;
