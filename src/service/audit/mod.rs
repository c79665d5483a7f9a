//! Audit lines: who changed what, who was refused, who used which label; one JSON object a line.
//!
//! ```text
//! change   ─► line "begin", on disk ─► the change ─► line "end" with its outcome and its record of the journal
//! refusal  ─► line ─► the answer
//! use      ─► the answer; its line goes to the queue (on_failure.uses = "closed": line ─► the answer)
//! ```

mod file;
mod line;
mod writer;

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use tokio::runtime::Handle;

use super::Problem;
use super::answer::Answer;
use super::call::Call;
use super::identity::Peer;
use super::route::Route;
use super::seen::Seen;
use crate::access::Right;
use crate::atomic::folder_of;
use crate::clock::Clock;
use crate::config::{
    AuditFailure, AuditSettings, AuditTarget, AuditedUses, Config, FailureMode, Placed,
};
use crate::error::{Error, Result};
use crate::keyring::{ReloadEvent, Snapshot};
use line::{Event, Line, Phase, Shown, Who};
use writer::{Care, Unwritten, Writer};

/// Where audit lines are handed over; see `[service.audit]`.
#[derive(Debug)]
pub struct Audit {
    writer: Writer,
    uses: AuditedUses,
    on_failure: AuditFailure,
    clock: Clock,
    /// Chooses uses that nobody can foresee.
    dice: RandomState,
    throws: AtomicU64,
}

impl Audit {
    /// Opens what lines are written to.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::error::ErrorKind::Io) if the file cannot be opened.
    pub fn open(settings: &AuditSettings, clock: Clock) -> Result<Self> {
        Ok(Self {
            writer: Writer::start(&settings.to, clock.clone())?,
            uses: settings.uses,
            on_failure: settings.on_failure,
            clock,
            dice: RandomState::new(),
            throws: AtomicU64::new(0),
        })
    }

    /// The one of `[service.audit]`, if it is there.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a file that is something else's; as [`Audit::open`].
    pub fn of(config: &Config, clock: Clock) -> Result<Option<Self>> {
        let Some(settings) = &config.service.audit else { return Ok(None) };
        if let AuditTarget::File { path, .. } = &settings.to
            && let Some(problem) = misplaced(config, path)
        {
            let text = "[service.audit] cannot be served".to_owned();
            return Err(Error::from_problems(text, vec![problem]).with_file(&config.file));
        }
        Self::open(settings, clock).map(Some)
    }

    /// Lines that were written since the start.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.writer.figures.written()
    }

    /// Lines that could not be written.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.writer.figures.lost()
    }

    /// Whether the last lines could not be written.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.writer.figures.is_failing()
    }

    /// Whether no use is answered for want of its line.
    pub(super) fn stops_uses(&self) -> bool {
        self.is_failing()
            && self.uses == AuditedUses::Full
            && self.on_failure.uses == FailureMode::Closed
    }

    /// Writes that a change is about to be carried out, on a thread that may wait.
    ///
    /// # Errors
    /// 503 if it cannot be written and changes are closed then: nothing may be changed.
    pub(super) fn begin(&self, call: &Call<'_>) -> Result<(), Problem> {
        let noted = call.noted.borrow();
        let line = Line {
            phase: Some(Phase::Begin),
            request_id: Some(call.request.id.as_str()),
            caller: call.asked.caller.as_ref().map(|name| who(&call.snapshot, name)),
            peer: Some(Shown(&call.request.peer.address)),
            route: Some(&call.request.route.name),
            right: call.request.route.right,
            label: call.asked.label.as_ref(),
            realm: call.asked.realm.as_ref(),
            alias: noted.alias.as_deref(),
            ..Line::new(self.clock.now(), Event::Change)
        };
        let written = Handle::current().block_on(self.writer.put(line.written(), Care::WithRoom));
        match (written, self.on_failure.changes) {
            (Err(Unwritten), FailureMode::Closed) => Err(unavailable("nothing is changed")),
            _ => Ok(()),
        }
    }

    /// Writes what came of a request, if there is a line for it; its answer is given out afterwards.
    ///
    /// # Errors
    /// As the request has them; 503 in the place of its answer if the line cannot be written and its kind is closed.
    pub(super) async fn settle(
        &self,
        request: &Settled<'_>,
        answer: Result<Answer, Problem>,
    ) -> Result<Answer, Problem> {
        let (status, outcome) = match &answer {
            Ok(answer) => (answer.status, answer.outcome),
            Err(problem) => (problem.http_status(), problem.code),
        };
        let Some(snapshot) = &request.seen.snapshot else { return answer };
        let Some(event) = self.event_of(request, status) else { return answer };
        let line = self.line_of(request, snapshot, event, (status, outcome)).written();
        match event {
            // What is done is done, and the journal has it: the answer tells the truth.
            Event::Change => drop(self.writer.put(line, Care::OnDisk).await),
            Event::Refused if self.on_failure.refusals == FailureMode::Closed => {
                let written = self.writer.put(line, Care::Written).await;
                written.map_err(|Unwritten| unavailable("the request is refused"))?;
            }
            Event::Use if self.on_failure.uses == FailureMode::Closed => {
                let written = self.writer.put(line, Care::Written).await;
                // A change that was refused for want of its first line says so itself.
                if written.is_err() && outcome != UNAVAILABLE {
                    return Err(unavailable("no answer is given out"));
                }
            }
            _ => self.writer.offer(line),
        }
        answer
    }

    /// Writes that the keyring was read again.
    pub(super) fn reloaded(&self, event: &ReloadEvent<'_>) {
        let (generation, outcome) = match event {
            ReloadEvent::Taken { generation, .. } => (*generation, "ok"),
            ReloadEvent::Refused { generation, error } => (*generation, error.kind().code()),
        };
        let line = Line {
            generation: Some(generation),
            outcome: Some(outcome),
            ..Line::new(self.clock.now(), Event::Reload)
        };
        self.writer.offer(line.written());
    }

    /// For what there is a line.
    fn event_of(&self, request: &Settled<'_>, status: StatusCode) -> Option<Event> {
        let right = request.route?.right?;
        if request.seen.noted.began {
            return Some(Event::Change);
        }
        match status {
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::CONFLICT
            | StatusCode::TOO_MANY_REQUESTS => Some(Event::Refused),
            _ => (is_use(right) && self.chooses()).then_some(Event::Use),
        }
    }

    /// Whether there is a line for a use.
    fn chooses(&self) -> bool {
        match self.uses {
            AuditedUses::Full => true,
            AuditedUses::None => false,
            AuditedUses::Sampled { one_in } => {
                let throw = self.throws.fetch_add(1, Ordering::Relaxed);
                self.dice.hash_one(throw).is_multiple_of(u64::from(one_in.max(1)))
            }
        }
    }

    fn line_of<'l>(
        &self,
        request: &'l Settled<'_>,
        snapshot: &Snapshot,
        event: Event,
        (status, outcome): (StatusCode, &'l str),
    ) -> Line<'l> {
        let (seen, noted) = (request.seen, &request.seen.noted);
        let changes = request.route.and_then(|route| route.right).is_some_and(Right::changes);
        let (caller, asked, realm) = (seen.caller(), seen.label(), seen.realm());
        let label = match caller {
            Some(_) => asked.filter(|label| snapshot.find_along(realm, label).is_some()),
            // Not even the identifier in it.
            None => asked.filter(|label| snapshot.counted_as(realm, label) == Some(*label)),
        };
        Line {
            phase: (event == Event::Change).then_some(Phase::End),
            request_id: Some(request.id),
            caller: caller.map(|name| who(snapshot, name)),
            peer: Some(Shown(&request.peer.address)),
            route: request.route.map(|route| &*route.name),
            right: request.route.and_then(|route| route.right),
            label,
            // Who is nobody may write there what it likes.
            realm: realm.filter(|_| caller.is_some()),
            alias: noted.alias.as_deref(),
            kid: noted.kid.as_deref(),
            items: noted.items,
            items_refused: noted.items_refused,
            dry_run: noted.dry_run,
            repeated: changes && event == Event::Use && !noted.dry_run && status == StatusCode::OK,
            status: Some(status.as_u16()),
            outcome: Some(outcome),
            micros: Some(request.took),
            journal: noted.journal.as_ref(),
            ..Line::new(self.clock.now(), event)
        }
    }
}

/// A request that was worked on.
pub(super) struct Settled<'a> {
    pub(super) id: &'a str,
    pub(super) peer: &'a Peer,
    pub(super) route: Option<&'a Route>,
    pub(super) seen: &'a Seen,
    pub(super) took: Duration,
}

/// Whether a right is to do something with labels: published keys and figures are read all the time.
const fn is_use(right: Right) -> bool {
    !matches!(right, Right::Keys | Right::Metrics)
}

fn who<'a>(snapshot: &Snapshot, name: &'a crate::label::CallerName) -> Who<'a> {
    let callers = snapshot.config().access.callers();
    let found = callers.iter().find(|caller| caller.name == *name);
    Who { name, kind: found.map(|caller| caller.credential.kind()) }
}

/// What is wrong with where lines are to go.
pub(super) fn check(config: &Config) -> Option<crate::problem::Problem> {
    let AuditTarget::File { path, .. } = &config.service.audit.as_ref()?.to else { return None };
    let (folder, file) = (folder_of(&path.value), path.value.display());
    let problem = if !folder.is_dir() {
        let text = format!("there is no folder {} for the audit file", folder.display());
        let help = format!("mkdir -p -m 700 {}", folder.display());
        crate::problem::Problem::error("missing_folder", text).with_help(help)
    } else if path.value.is_dir() {
        let help = format!("name a file in it: to = \"{file}/audit.log\"");
        crate::problem::Problem::error("no_file", format!("{file} is a folder")).with_help(help)
    } else {
        return misplaced(config, path);
    };
    Some(problem.at(path.location.clone()))
}

/// What is wrong with a file that lines would spoil: a keystore, the journal, a volume, whose files are its secrets.
fn misplaced(config: &Config, path: &Placed<PathBuf>) -> Option<crate::problem::Problem> {
    let is_there = |folder: &Path| {
        let place = |folder: &Path| folder.canonicalize().ok();
        place(folder).is_some_and(|folder| place(folder_of(&path.value)) == Some(folder))
    };
    let volume = config.stores.iter().find(|store| store.volume().is_some_and(is_there));
    let text = if let Some(store) = volume {
        format!("the audit file would be a secret of store \"{}\"", store.name.value)
    } else if file::may_be_ours(&path.value) {
        return None;
    } else {
        format!("{} holds something else than audit lines", path.value.display())
    };
    let help = "name a file of its own, in a folder without keys: to = \"audit.log\"";
    let problem = crate::problem::Problem::error("not_for_audit_lines", text).with_help(help);
    Some(problem.at(path.location.clone()))
}

fn unavailable(so: &'static str) -> Problem {
    let text = format!("{so}: its audit line cannot be written");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, text)
        .with_help("the log of the service says why; `on_failure` of [service.audit] is the rule")
        .with_retry_after(1)
}

/// The code of what is refused for want of its line.
const UNAVAILABLE: &str = "audit_unavailable";
