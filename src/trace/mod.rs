//! A record of what was verified and decrypted, without any token: label, realm, kid, algorithm, the key that
//! held, the second, and the minute in which the token ends. Off unless `[trace]` says `record = true`.
//!
//! ```text
//! verify, decrypt ─► Witness ─► a bounded queue ─► now and then one thread: lock, append whole frames, rotate
//!                                 └─ full: counted, not waited for
//! Trace::read ─► groups of equal uses with their ends ─► `drill --plan`
//! ```
//!
//! No lock is held while a file is written, except by the thread that writes; a verification never waits.
//! Processes that share a state directory append whole frames to one file, under a lock.

mod format;
mod read;
mod write;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::error::Result;
use crate::label::{LabelName, Realm};

pub use format::{AskedAs, END_BUCKET_SECS, Group, Outcome, frame};
pub use read::{Damage, Tally, Trace, files};
use write::TraceFile;

/// Uses that wait to be written; more are counted and dropped.
const QUEUE: usize = 32_768;
/// As many waiting uses start a thread that writes them.
const BATCH: usize = 8_192;
/// Seconds after which fewer are written too, whether more come or not.
const FLUSH_SECS: u64 = 5;

/// Where uses go. It outlives snapshots. Cheap to clone.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    clock: Clock,
    file: TraceFile,
    queue: SyncSender<Use>,
    waiting: Mutex<Receiver<Use>>,
    waiting_count: AtomicUsize,
    dropped: AtomicU64,
    last_flush: AtomicU64,
    flushing: AtomicBool,
    /// Whether a thread waits to write what nobody else does: the last uses before nothing more is asked.
    is_due: AtomicBool,
}

/// One use of a key.
struct Use {
    question: Arc<Question>,
    outcome: Outcome,
    kid: Option<String>,
    algorithm: &'static str,
    content: Option<&'static str>,
    key: String,
    time: u64,
    end: u64,
}

/// What a caller asked for: a label, as a realm sees it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keyring asks")]
pub struct Question {
    /// The label.
    pub label: LabelName,
    /// The realm; `None`: global.
    pub realm: Option<Realm>,
    /// As what it is asked.
    pub asked: AskedAs,
    /// The label that the asker takes where that one is not mapped.
    pub instead: Option<LabelName>,
}

impl Question {
    /// A label that is asked as itself.
    #[must_use]
    pub fn of_label(label: &LabelName, realm: Option<&Realm>) -> Self {
        let (label, realm) = (label.clone(), realm.cloned());
        Self { label, realm, asked: AskedAs::Label, instead: None }
    }

    fn is_of_label(&self, label: &LabelName, realm: Option<&Realm>) -> bool {
        let Self { asked, instead, .. } = self;
        let alone = *asked == AskedAs::Label && instead.is_none();
        alone && self.label == *label && self.realm.as_ref() == realm
    }
}

/// What is known of a token that held.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the keyring fills it in")]
pub struct Held<'a> {
    /// Whether it was verified or decrypted.
    pub outcome: Outcome,
    /// The kid of its header.
    pub kid: Option<&'a str>,
    /// `alg`.
    pub algorithm: &'static str,
    /// `enc` of a JWE.
    pub content: Option<&'static str>,
    /// The thumbprint of the key that held.
    pub key: &'a str,
    /// The second in which it ends; 0: it does not say.
    pub end: u64,
}

impl Recorder {
    /// A recorder that keeps `max_files` files of `max_bytes` in `trace` under `state_dir`. Nothing is made
    /// until something is written.
    #[must_use]
    pub fn new(state_dir: &Path, max_bytes: u64, max_files: u32, clock: Clock) -> Self {
        let (queue, waiting) = sync_channel(QUEUE);
        let last_flush = AtomicU64::new(clock.coarse_secs());
        Self(Arc::new(Inner {
            clock,
            file: TraceFile::new(state_dir, max_bytes, max_files),
            queue,
            waiting: Mutex::new(waiting),
            waiting_count: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            last_flush,
            flushing: AtomicBool::new(false),
            is_due: AtomicBool::new(false),
        }))
    }

    /// A witness of what is asked of one label.
    #[must_use]
    pub fn witness(&self, label: &LabelName, realm: Option<&Realm>) -> Witness {
        Witness(Some((self.clone(), Arc::new(Question::of_label(label, realm)))))
    }

    /// Writes what waits. A process does it by itself, and when its keyring goes.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Io`]; what could not be written counts as dropped.
    pub fn flush(&self) -> Result<()> {
        self.0.flush()
    }

    /// How many uses were not written: the queue was full, or the file could not be written.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    fn add(&self, one: Use) {
        let inner = &self.0;
        let now = one.time;
        // Counted before it is there to be taken: a flush meanwhile never takes more than was counted.
        let waiting = inner.waiting_count.fetch_add(1, Ordering::Relaxed) + 1;
        if inner.queue.try_send(one).is_err() {
            inner.waiting_count.fetch_sub(1, Ordering::Relaxed);
            inner.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if !inner.is_due.load(Ordering::SeqCst) {
            self.write_later();
        }
        // A clock that went back counts as well: the difference wraps.
        let idle = now.wrapping_sub(inner.last_flush.load(Ordering::Relaxed));
        if waiting < BATCH && idle <= FLUSH_SECS {
            return;
        }
        if !inner.flushing.swap(true, Ordering::Acquire) {
            let inner = Arc::clone(inner);
            let writer = std::thread::Builder::new().name("claviger-trace".into());
            let spawned = writer.spawn(move || {
                // What failed is counted, and nobody waits for it.
                drop(inner.flush());
                inner.flushing.store(false, Ordering::Release);
            });
            if spawned.is_err() {
                self.0.flushing.store(false, Ordering::Release);
            }
        }
    }
}

impl Recorder {
    /// Starts the thread that writes after a while what waits then, whether anything more comes or not.
    #[cold]
    fn write_later(&self) {
        if self.0.is_due.swap(true, Ordering::SeqCst) {
            return;
        }
        let waiting = Arc::downgrade(&self.0);
        let writer = std::thread::Builder::new().name("claviger-trace".into());
        let spawned = writer.spawn(move || {
            std::thread::sleep(Duration::from_secs(FLUSH_SECS));
            // Who drops the last recorder writes by itself.
            let Some(inner) = waiting.upgrade() else { return };
            // What comes from here on has a thread of its own.
            inner.is_due.store(false, Ordering::SeqCst);
            drop(inner.flush());
        });
        if spawned.is_err() {
            self.0.is_due.store(false, Ordering::SeqCst);
        }
    }
}

impl Inner {
    fn flush(&self) -> Result<()> {
        self.last_flush.store(self.clock.coarse_secs(), Ordering::Relaxed);
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let batch: Vec<Use> = waiting.try_iter().take(BATCH).collect();
            self.waiting_count.fetch_sub(batch.len(), Ordering::Relaxed);
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if batch.is_empty() && dropped == 0 {
                return Ok(());
            }
            let lost = dropped.saturating_add(u64::try_from(batch.len()).unwrap_or(u64::MAX));
            let frame = format::frame_of(&batch, dropped, self.clock.coarse_secs());
            if let Err(error) = self.file.append(&frame) {
                self.dropped.fetch_add(lost, Ordering::Relaxed);
                return Err(error);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // There is nobody left to tell.
        drop(self.flush());
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("file", &self.0.file).finish_non_exhaustive()
    }
}

/// Who sees what is asked of one label. The default one looks away. Cheap to clone.
#[derive(Clone, Default)]
pub struct Witness(Option<(Recorder, Arc<Question>)>);

impl Witness {
    /// Whether anything is recorded.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A token held.
    pub fn held(&self, held: &Held<'_>) {
        let Some((recorder, question)) = &self.0 else { return };
        recorder.add(Use {
            question: Arc::clone(question),
            outcome: held.outcome,
            kid: held.kid.map(str::to_owned),
            algorithm: held.algorithm,
            content: held.content,
            key: held.key.to_owned(),
            time: recorder.0.clock.coarse_secs(),
            end: held.end,
        });
    }

    /// A token was refused: nothing of what it says is kept, for anybody may have written it.
    pub fn refused(&self) {
        let nothing = Held {
            outcome: Outcome::Refused,
            kid: None,
            algorithm: "",
            content: None,
            key: "",
            end: 0,
        };
        self.held(&nothing);
    }

    /// The same recorder, for another question; `None` if it is this one already, or off.
    #[must_use]
    pub fn asked_as(&self, label: &LabelName, realm: Option<&Realm>) -> Option<Self> {
        let (recorder, question) = self.0.as_ref()?;
        (!question.is_of_label(label, realm)).then(|| recorder.witness(label, realm))
    }

    /// The same recorder, for another question; off if this one is.
    #[must_use]
    pub fn asked(&self, question: impl FnOnce() -> Question) -> Self {
        Self(self.0.as_ref().map(|(recorder, _)| (recorder.clone(), Arc::new(question()))))
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").field("on", &self.is_on()).finish()
    }
}
