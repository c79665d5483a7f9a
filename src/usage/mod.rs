//! What was done with each key: how often, when last, and until when anything made with it may live.
//!
//! ```text
//! sign, encrypt ─► KeyUsage ─► covered? an atomic is compared ─► made
//!                                 └─ no ─► the usage file: lock, write, fsync ─► made, or refused with the reason
//! retire ─► UsageBook::hold ─► KeyReport::verdict ─► safe, not before …, or not provable
//! ```
//!
//! A key's horizon is on disk *before* anything that outlives it leaves the process, and processes that share a
//! state directory add to one file. A running process reserves a minute ahead, so that nearly every signature
//! only compares; what it did not use it gives back when it ends. After a crash the reservation stays: the
//! horizon may be late by that minute and is never early. Without a state directory everything is counted in
//! memory and nothing can be proven.

mod budget;
mod counters;
mod expiry;
mod key;
mod ledger;
mod mark;
mod record;
mod report;
mod reports;
mod scan;
mod slots;
mod take_over;
mod waits;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::label::{LabelName, Realm};
use budget::{Budget, Takes};
use key::{KeyState, Reach};
use ledger::{Ledger, Session};
use record::{Record, Subject};

pub use counters::Act;
pub use expiry::{Life, NEVER};
pub use report::{Doubt, Horizon, KeyReport, Terms, Verdict};
pub use reports::Reports;

/// Messages that an AES-GCM key may encrypt under random nonces (NIST SP 800-38D §8.3).
pub const GCM_MESSAGES: u64 = 1 << 32;

/// For how long processes may go on with what they had reserved in a usage file that was lost, in seconds.
pub const RESERVED_SECS: u64 = ledger::RESERVED;

/// Where the log of this module goes.
const LOG: &str = "claviger::usage";
/// Seconds after which counts and last times of a running process are written.
const FLUSH_SECS: u64 = 30;
/// The same of one that looks for changes.
const BETWEEN_LOOKS_SECS: u64 = 5;

/// The usage of every key of a keyring. It outlives snapshots: a reload loses nothing. Cheap to clone.
#[derive(Clone, Debug)]
pub struct UsageBook(Arc<Book>);

/// Its last owner writes what is left.
#[derive(Debug)]
struct Book {
    core: Arc<Core>,
    /// The thread that writes now and then, while it does.
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Core {
    clock: Clock,
    ledger: Option<Ledger>,
    gcm_messages: u64,
    keys: Mutex<HashMap<Subject, Arc<KeyState>>>,
    budgets: Mutex<HashMap<String, Arc<Budget>>>,
    last_flush: AtomicU64,
    flushing: Mutex<()>,
    /// Held by everybody who writes a key, for whom the order of locks is key, then file; and alone by who
    /// holds the file and then looks at keys.
    writers: RwLock<()>,
}

impl UsageBook {
    /// A book that keeps its file in `state_dir`, or in memory alone. Nothing is read or written yet.
    /// `gcm_messages` bounds the messages of a key under random nonces.
    #[must_use]
    pub fn new(state_dir: Option<&Path>, gcm_messages: u64, clock: Clock) -> Self {
        let last_flush = AtomicU64::new(clock.coarse_secs());
        let core = Arc::new(Core {
            ledger: state_dir.map(|state_dir| Ledger::new(state_dir, clock.clone())),
            clock,
            gcm_messages,
            keys: Mutex::default(),
            budgets: Mutex::default(),
            last_flush,
            flushing: Mutex::default(),
            writers: RwLock::default(),
        });
        Self(Arc::new(Book { core, writer: Mutex::default() }))
    }

    /// Whether both are the same book.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Makes the file, if it is not there: before the journal begins, so that where a journal is a missing file is known
    /// to have been lost.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`].
    pub fn begin(&self) -> Result<()> {
        self.0.core.ledger.as_ref().map_or(Ok(()), |ledger| ledger.lock().map(drop))
    }

    /// Begins a reading of the configuration. It is called *before* the file is read: what retires a key after
    /// that keeps this reading from making anything more with it.
    #[must_use]
    pub fn reading(&self) -> Reading {
        // A file that cannot be read now refuses when something is made.
        let own = self.0.core.ledger.as_ref().and_then(|ledger| ledger.own_record().ok());
        Reading(Some((self.clone(), own.map_or(0, |own| own.fence))))
    }

    /// What is known of a key under a label: from the file, and of this process.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`] if the file cannot be read or is damaged.
    pub fn report(
        &self,
        label: &LabelName,
        realm: Option<&Realm>,
        thumbprint: &str,
    ) -> Result<KeyReport> {
        Ok(self.reports()?.of(label, realm, thumbprint))
    }

    /// What is known of every key, with one reading of the file.
    ///
    /// # Errors
    /// As [`UsageBook::report`].
    pub fn reports(&self) -> Result<Reports> {
        let contents = self.0.core.ledger.as_ref().map(Ledger::read).transpose()?;
        let writes = contents.as_ref().and_then(|contents| contents.writes);
        let records = contents.map(|contents| by_subject(contents.records));
        Ok(Reports { book: self.clone(), records, writes })
    }

    /// Writes counts, last times and exact horizons, and gives back what was reserved ahead. A process does it
    /// by itself when its keyring goes; one that will be quiet may do it before.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`].
    pub fn flush(&self) -> Result<()> {
        self.0.core.flush(Some(Takes::WhatIsQuiet))
    }

    /// Writes what was counted since, as a process does by itself while its keys are used: what was used last before nobody
    /// asks for anything more is known to others too.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`].
    pub(crate) fn write(&self) -> Result<()> {
        let core = &*self.0.core;
        let (now, last) = (core.clock.coarse_secs(), core.last_flush.load(Ordering::Relaxed));
        // A process that looks all the time writes now and then.
        if now.wrapping_sub(last) < BETWEEN_LOOKS_SECS {
            return Ok(());
        }
        core.last_flush.store(now, Ordering::Relaxed);
        core.flush(None)
    }

    /// Stops every process that shares the state directory from making anything beyond what is written,
    /// until it is dropped. `None` without a state directory.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`].
    pub fn hold(&self) -> Result<Option<Held<'_>>> {
        let core = &*self.0.core;
        let Some(ledger) = &core.ledger else { return Ok(None) };
        let alone = core.writers.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Some(Held { book: self, session: ledger.lock()?, _alone: alone }))
    }
}

/// The book as one reading of the configuration sees it. The default one counts nothing.
#[derive(Clone, Debug, Default)]
pub struct Reading(Option<(UsageBook, u64)>);

impl Reading {
    /// Whether any key was ever retired.
    #[must_use]
    pub fn follows_a_retirement(&self) -> bool {
        self.0.as_ref().is_some_and(|(_, retirement)| *retirement > 0)
    }

    /// What is known of every key; `None` of the reading of nobody's book.
    ///
    /// # Errors
    /// As [`UsageBook::report`].
    pub fn reports(&self) -> Result<Option<Reports>> {
        self.0.as_ref().map(|(book, _)| book.reports()).transpose()
    }

    /// The usage of one key under one label that says of nothing how long it lives.
    #[must_use]
    pub fn key(&self, label: &LabelName, realm: Option<&Realm>, thumbprint: &str) -> KeyUsage {
        self.key_for(label, realm, thumbprint, None)
    }

    /// The same; what carries no end lives for `lifetime`, whatever the label says later.
    #[must_use]
    pub fn key_for(
        &self,
        label: &LabelName,
        realm: Option<&Realm>,
        thumbprint: &str,
        lifetime: Option<Duration>,
    ) -> KeyUsage {
        let Some((UsageBook(book), retirement)) = &self.0 else { return KeyUsage::default() };
        let subject = subject(label, realm, thumbprint);
        let durable = book.core.ledger.is_some();
        let state = locked(&book.core.keys)
            .entry(subject.clone())
            .or_insert_with(|| Arc::new(KeyState::new(subject, durable)))
            .clone();
        let budget = book.core.budget(thumbprint);
        let (book, retirement) = (book.clone(), *retirement);
        let lifetime = lifetime.map(|lifetime| lifetime.as_secs());
        KeyUsage(Some(Arc::new(Handle { book, state, budget, retirement, lifetime })))
    }
}

/// The usage file, held: what it says stays true.
#[derive(Debug)]
pub struct Held<'a> {
    book: &'a UsageBook,
    session: Session<'a>,
    _alone: RwLockWriteGuard<'a, ()>,
}

impl Held<'_> {
    /// What is known of every key.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`].
    pub fn reports(&mut self) -> Result<Reports> {
        let records = Some(by_subject(self.session.all()?));
        Ok(Reports { book: self.book.clone(), records, writes: None })
    }

    /// Writes that these keys left their labels: processes whose configuration is older make nothing more with
    /// them. Called once the new configuration is in place, before a receipt is written.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`].
    pub fn retire<'k>(
        mut self,
        keys: impl IntoIterator<Item = (&'k LabelName, Option<&'k Realm>, &'k str)>,
    ) -> Result<()> {
        let mut of_file = self.session.find(&Subject::default())?.unwrap_or_default();
        of_file.fence = of_file.fence.checked_add(1).ok_or_else(|| {
            Error::new(ErrorKind::UsageNotKept, "the usage file counts no further retirement")
        })?;
        for (label, realm, thumbprint) in keys {
            let subject = subject(label, realm, thumbprint);
            let mut record = self.session.record(&subject, self.book.0.core.clock.coarse_secs())?;
            record.fence = of_file.fence;
            self.session.put(&record)?;
        }
        self.session.put(&of_file)?;
        self.session.finish()
    }
}

/// The usage of one key under one label; every use of the key passes here first. Cheap to clone. The default
/// one counts nothing: for keys of nobody's keyring.
#[derive(Clone, Default)]
pub struct KeyUsage(Option<Arc<Handle>>);

struct Handle {
    book: Arc<Book>,
    state: Arc<KeyState>,
    budget: Arc<Budget>,
    retirement: u64,
    /// For how many seconds things live that carry no end, if the label says so.
    lifetime: Option<u64>,
}

impl KeyUsage {
    /// Something of this life is about to be signed, or handed out once signed. When this returns its horizon is durable.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UsageNotKept`] if it cannot be written,
    /// [`crate::error::ErrorKind::KeyRetired`] if the key left the label meanwhile: then nothing may be made, nor handed out.
    pub fn before_signing(&self, life: Life) -> Result<()> {
        self.before(Act::Signed, life, false)
    }

    /// As [`KeyUsage::before_signing`], of a payload whose `exp` says how long it lives; `otherwise` counts if it has
    /// none.
    ///
    /// # Errors
    /// As [`KeyUsage::before_signing`].
    pub fn before_signing_payload(&self, payload: &[u8], otherwise: Life) -> Result<()> {
        let Some(handle) = self.0.as_deref() else { return Ok(()) };
        let life = match Life::of_payload(payload) {
            Life::Open => otherwise,
            known => known,
        };
        handle.before(Act::Signed, life, false)
    }

    /// Something is about to be encrypted; its end is the label's `max_token_lifetime` from now. With
    /// `random_nonce` the key itself is used with AES-GCM and a nonce that is drawn.
    ///
    /// # Errors
    /// As [`KeyUsage::before_signing`], and [`crate::error::ErrorKind::BudgetSpent`].
    pub fn before_encrypting(&self, random_nonce: bool) -> Result<()> {
        self.before(Act::Encrypted, Life::Open, random_nonce)
    }

    /// As [`KeyUsage::before_encrypting`], of something whose end is known.
    ///
    /// # Errors
    /// As [`KeyUsage::before_encrypting`].
    pub fn before_encrypting_for(&self, life: Life, random_nonce: bool) -> Result<()> {
        self.before(Act::Encrypted, life, random_nonce)
    }

    /// Whether anybody counts: it is a key of a keyring.
    pub(crate) const fn is_counted(&self) -> bool {
        self.0.is_some()
    }

    /// The key verified something.
    pub fn verified(&self) {
        self.count(Act::Verified);
    }

    /// The key decrypted something.
    pub fn decrypted(&self) {
        self.count(Act::Decrypted);
    }

    #[inline]
    fn before(&self, act: Act, life: Life, random_nonce: bool) -> Result<()> {
        self.0.as_deref().map_or(Ok(()), |handle| handle.before(act, life, random_nonce))
    }

    /// What is known of the key under its label; `None` of a key that nobody counts.
    ///
    /// # Errors
    /// As [`UsageBook::report`].
    pub fn report(&self) -> Result<Option<KeyReport>> {
        let Some(handle) = self.0.as_deref() else { return Ok(None) };
        let reports = UsageBook(Arc::clone(&handle.book)).reports()?;
        Ok(Some(reports.of_subject(&handle.state.subject)))
    }

    fn count(&self, act: Act) {
        if let Some(handle) = self.0.as_deref() {
            handle.count(act, handle.book.core.clock.coarse_secs());
        }
    }
}

impl fmt::Debug for KeyUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyUsage").field("counted", &self.is_counted()).finish()
    }
}

impl Handle {
    // What is rare is out of line: the stack that it takes would be paid for each time.
    #[inline(always)]
    fn before(&self, act: Act, life: Life, random_nonce: bool) -> Result<()> {
        let now = self.book.core.clock.coarse_secs();
        match life {
            // Nearly every payload says when it ends: one mark.
            Life::Until(exp) if self.state.cover_end(exp) => {}
            _ => self.reach(life, now)?,
        }
        if random_nonce && !self.budget.spend_own() {
            self.spend(now)?;
        }
        self.count(act, now);
        Ok(())
    }

    #[inline(always)]
    fn count(&self, act: Act, now: u64) {
        self.state.count(act, now);
        self.book.write_now_and_then(now);
    }

    /// Makes durable how far something of this life reaches, if it is not yet.
    #[inline(never)]
    fn reach(&self, life: Life, now: u64) -> Result<()> {
        let reach = Reach::of(life, self.lifetime, now);
        if self.state.cover(reach) { Ok(()) } else { self.extend(reach, now) }
    }

    #[cold]
    #[inline(never)]
    fn extend(&self, reach: Reach, now: u64) -> Result<()> {
        let core = &*self.book.core;
        let Some(ledger) = &core.ledger else { return Ok(()) };
        let _writer = core.writer();
        self.state.extend(ledger, reach, now, self.retirement)
    }

    #[cold]
    #[inline(never)]
    fn spend(&self, now: u64) -> Result<()> {
        let core = &*self.book.core;
        let _writer = core.writer();
        if self.budget.spend(core.ledger.as_ref(), now)? {
            self.warn_of_half();
        }
        Ok(())
    }

    #[cold]
    fn warn_of_half(&self) {
        let label = self.state.subject.label.as_ref().map_or("", LabelName::as_str);
        log::warn!(
            target: LOG,
            "label \"{label}\": half of the {} messages that random nonces allow its active key are used: put a \
             new key first (`claviger promote`)",
            self.budget.limit()
        );
    }
}

impl Book {
    /// Every half minute of traffic a thread is started that writes what was counted: nobody who verifies
    /// waits for a disk.
    fn write_now_and_then(&self, now: u64) {
        let last = self.core.last_flush.load(Ordering::Relaxed);
        // A clock that went back counts as well: the difference wraps.
        if now.wrapping_sub(last) > FLUSH_SECS && self.core.ledger.is_some() {
            self.start_writer(last, now);
        }
    }

    #[cold]
    fn start_writer(&self, last: u64, now: u64) {
        let order = Ordering::Relaxed;
        if self.core.last_flush.compare_exchange(last, now, order, order).is_err() {
            return;
        }
        let Some(mut writer) = tried(&self.writer) else { return };
        if writer.as_ref().is_some_and(|writer| !writer.is_finished()) {
            return;
        }
        let core = Arc::clone(&self.core);
        // What is not written now is written with the next counts.
        let thread = std::thread::Builder::new().name("claviger-usage".into());
        *writer = thread.spawn(move || drop(core.flush(None))).ok();
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        if let Some(writer) = locked(&self.writer).take() {
            drop(writer.join());
        }
        // Reservations that cannot be given back stay: late by a minute, never early.
        drop(self.core.flush(Some(Takes::Everything)));
    }
}

impl Core {
    fn writer(&self) -> RwLockReadGuard<'_, ()> {
        self.writers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn budget(&self, thumbprint: &str) -> Arc<Budget> {
        let mut budgets = locked(&self.budgets);
        if let Some(known) = budgets.get(thumbprint) {
            return known.clone();
        }
        let budget = Arc::new(Budget::new(thumbprint.to_owned(), self.gcm_messages));
        budgets.insert(thumbprint.to_owned(), budget.clone());
        budget
    }

    /// Writes what was counted; with `takes` what was reserved is given back too.
    fn flush(&self, takes: Option<Takes>) -> Result<()> {
        let Some(ledger) = &self.ledger else { return Ok(()) };
        let keys: Vec<Arc<KeyState>> = locked(&self.keys).values().cloned().collect();
        let _writer = self.writer();
        // One at a time: two that hold keys and wait for the other's would wait for ever.
        let one_at_a_time = locked(&self.flushing);
        let pending: Vec<_> = keys.iter().filter_map(|key| key.pending(takes.is_some())).collect();
        if !pending.is_empty() {
            let now = self.clock.coarse_secs();
            let mut session = ledger.lock()?;
            let mut flushed = Vec::new();
            for key in pending {
                flushed.push(key.put(ledger, &mut session, now)?);
            }
            session.finish()?;
            flushed.into_iter().for_each(key::Flushed::settle);
        }
        drop(one_at_a_time);
        if let Some(takes) = takes {
            let budgets: Vec<Arc<Budget>> = locked(&self.budgets).values().cloned().collect();
            budgets.iter().try_for_each(|budget| budget.settle(ledger, takes))?;
        }
        Ok(())
    }
}

fn by_subject(records: Vec<Record>) -> HashMap<Subject, Record> {
    records.into_iter().map(|record| (record.subject.clone(), record)).collect()
}

fn subject(label: &LabelName, realm: Option<&Realm>, thumbprint: &str) -> Subject {
    Subject { label: Some(label.clone()), realm: realm.cloned(), thumbprint: thumbprint.to_owned() }
}

/// A lock whose holder panicked holds sound data: every change below is one assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tried<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
