//! The thread that follows the files of a keyring: told of changes by the system, and polling by content.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::config::Reload;
use crate::crypto::Tag;
use crate::error::{Error, ErrorKind, Result};
use crate::keyring::Inner;
use crate::keyring::arming::{Arming, Written};
use crate::keyring::load::{Due, Loader};
use crate::keyring::reload::Change;
use crate::keyring::sources::{Sources, UnitName, same};

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Signal {
    /// Something changed; without an event the system lost count.
    Changed(Option<notify::Event>),
    /// The configuration was reloaded by hand: what is watched may be something else.
    Reconsider,
    /// The keyring is gone.
    Stop,
}

/// The watching of one keyring. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watch(Sender<Signal>);

impl Watch {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the system gives no thread.
    pub(crate) fn start(keyring: Weak<Inner>) -> Result<Self> {
        let (sender, signals) = mpsc::channel();
        let follower = Follower {
            keyring,
            signals,
            sender: sender.clone(),
            arming: Arming::default(),
            written: Written::default(),
            unsettled: HashMap::new(),
            retry: FIRST_RETRY,
            next: Some(Instant::now()),
        };
        let started =
            thread::Builder::new().name("claviger-reload".into()).spawn(move || follower.run());
        started.map_err(|error| {
            Error::new(ErrorKind::Io, "the thread that watches files does not start")
                .with_source(error)
        })?;
        Ok(Self(sender))
    }

    /// Lets the thread look at the configuration again.
    pub(crate) fn reconsider(&self) {
        // A thread that ended has nothing to reconsider.
        drop(self.0.send(Signal::Reconsider));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.0.send(Signal::Stop));
    }
}

struct Follower {
    keyring: Weak<Inner>,
    signals: Receiver<Signal>,
    sender: Sender<Signal>,
    arming: Arming,
    written: Written,
    /// What changed and may change again, and since when it is as it is.
    unsettled: HashMap<UnitName, (Tag, Instant)>,
    retry: Duration,
    next: Option<Instant>,
}

impl Follower {
    fn run(mut self) {
        while self.wait() {
            // Held for one look only: the last user of the keyring ends the watching.
            let Some(keyring) = self.keyring.upgrade() else { return };
            self.look(&keyring);
        }
    }

    /// Waits until there is something to look at; false: it is over.
    fn wait(&mut self) -> bool {
        let mut deadline = self.next;
        let mut quiet_until: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let until = quiet_until.into_iter().chain(deadline).min();
            let signal = match until {
                None => self.signals.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(until) => self.signals.recv_timeout(until.saturating_duration_since(now)),
            };
            match signal {
                Ok(Signal::Changed(event)) => {
                    if event.as_ref().is_some_and(|event| !self.arming.concerns(event)) {
                        continue;
                    }
                    self.written.note(event.as_ref());
                    // Changes come in bursts: wait for the end of this one, but not for ever.
                    if quiet_until.is_none() {
                        deadline = Some(now + LONGEST_BURST);
                    }
                    quiet_until = Some(now + QUIET);
                }
                Ok(Signal::Reconsider) | Err(RecvTimeoutError::Timeout) => return true,
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Sets the watches, reads everything, and takes what changed and is whole.
    fn look(&mut self, keyring: &Inner) {
        let refused = keyring.board.lock().refused.as_ref().map(|refused| refused.since);
        let result = {
            let mut loader = keyring.loader.lock().unwrap_or_else(PoisonError::into_inner);
            // Watches first: what changes after the reading is reported.
            let watching = self.arm(keyring, &loader);
            keyring.board.lock().watching = watching;
            let result = self.read_and_take(keyring, &mut loader);
            refused.iter().for_each(|since| say_behind(keyring, *since));
            self.next = self.next_look(keyring, &loader, watching);
            result
        };
        if let Some(result) = result {
            // The configuration may name other files now.
            self.next = Some(Instant::now());
            keyring.tell(result.as_ref());
        } else {
            self.say_how_long(keyring);
        }
        // What cannot be written now is written with the next use, or the next look.
        drop(keyring.usage.load().write());
    }

    /// Says how long this process waits, before it does: the gates of rotation rest on it.
    fn say_how_long(&mut self, keyring: &Inner) {
        let reload = keyring.snapshot.load().config().keyring.reload;
        let Some(wait) = reload.noticed_within() else { return };
        let soon = match keyring.usage.load().waits(wait) {
            Ok(false) => return,
            // What was changed until it was said is known before it waits.
            Ok(true) => Duration::ZERO,
            Err(error) => {
                log::debug!(target: "claviger::reload", "looks every {LAST_RETRY:?}: {error}");
                LAST_RETRY
            }
        };
        let soon = Instant::now() + soon;
        self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
    }

    fn arm(&mut self, keyring: &Inner, loader: &Loader) -> bool {
        if keyring.snapshot.load().config().keyring.reload != Reload::Watch {
            self.arming.disarm();
            return false;
        }
        self.arming.arm(&loader.paths(), &self.sender)
    }

    /// `None`: nothing changed that is whole, or it was refused already.
    fn read_and_take(&mut self, keyring: &Inner, loader: &mut Loader) -> Option<Result<Change>> {
        let snapshot = keyring.snapshot.load_full();
        let config = snapshot.config();
        let leases_only = config.keyring.reload == Reload::Off;
        let remote_due = loader.expire(Due::Leases);
        if leases_only && !keyring.board.read().stores.iter().any(|store| store.lease.is_some()) {
            return None;
        }
        let mut sources = loader.read();
        keyring.note_fresh(&sources, loader);
        let marks = sources.marks();
        if same(&marks, &loader.accepted) && !remote_due {
            self.settle();
            loader.refused = None;
            let mut board = keyring.board.lock();
            board.waiting.clear();
            // What was wrong was taken back.
            if board.refused.take().is_some() {
                log::info!(target: "claviger::reload", "the files are again what serves");
            }
            return None;
        }
        let whole = self.hold_back_unsettled(&mut sources, loader);
        keyring.board.lock().waiting = self.waiting(&sources);
        if !whole {
            return None;
        }
        let marks = sources.marks();
        let known = same(&marks, &loader.accepted)
            || loader.refused.as_ref().is_some_and(|refused| same(&marks, refused));
        if known && !remote_due {
            return None;
        }
        Some(keyring.take(loader, &sources))
    }

    /// Leaves stores that are being written as they were; false if it is the configuration or a password.
    fn hold_back_unsettled(&mut self, sources: &mut Sources, loader: &Loader) -> bool {
        let marks = sources.marks();
        let renamed = self.written.only_renames();
        let now = Instant::now();
        self.unsettled.retain(|name, _| marks.contains_key(name));
        let mut whole = true;
        for (name, mark) in &marks {
            let accepted = loader.accepted.get(name);
            if accepted.is_some_and(|accepted| accepted.tag == mark.tag) {
                self.unsettled.remove(name);
                continue;
            }
            let known = self.unsettled.entry(name.clone()).or_insert((mark.tag, now));
            if known.0 != mark.tag {
                *known = (mark.tag, now);
            }
            let patience = if renamed && !mark.failed { Duration::ZERO } else { SETTLE };
            if now.duration_since(known.1) >= patience {
                continue;
            }
            match accepted {
                Some(accepted) if matches!(name, UnitName::Store(_)) => {
                    sources.hold_back(name, accepted);
                }
                _ => whole = false,
            }
        }
        whole
    }

    fn waiting(&self, sources: &Sources) -> Vec<String> {
        let now = Instant::now();
        let waits = |since: &Instant| now.duration_since(*since) < SETTLE;
        let mut names: Vec<String> = self
            .unsettled
            .iter()
            .filter(|(_, (_, since))| waits(since))
            .map(|(name, _)| sources.shown(name))
            .collect();
        names.sort();
        names
    }

    fn settle(&mut self) {
        self.unsettled.clear();
        self.written = Written::default();
        self.retry = FIRST_RETRY;
    }

    /// When to look again if nothing is reported.
    fn next_look(&mut self, keyring: &Inner, loader: &Loader, watching: bool) -> Option<Instant> {
        let now = Instant::now();
        let settling = self.unsettled.values().map(|(_, since)| *since + SETTLE);
        let settling = settling.filter(|at| *at > now).min();
        if settling.is_none() {
            self.written = Written::default();
        }
        let period = match keyring.snapshot.load().config().keyring.reload {
            Reload::Off => None,
            Reload::Poll(period) => Some(period),
            Reload::Watch if watching => Some(SAFETY_NET),
            // Without the system's help.
            Reload::Watch => Some(BLIND),
        };
        let retry = (loader.refused.is_some() || !self.unsettled.is_empty()).then(|| {
            let wait = self.retry;
            self.retry = (wait * 2).min(LAST_RETRY);
            wait
        });
        let regular = period.into_iter().chain(retry).min().map(|wait| now + wait);
        let lease = keyring.board.lock().next_lease().map(|at| at.max(now + FIRST_RETRY));
        settling.into_iter().chain(regular).chain(lease).min()
    }
}

/// Says that this process did not load what was changed since `since`: the gates of rotation rest on it.
fn say_behind(keyring: &Inner, since: SystemTime) {
    if let Err(error) = keyring.usage.load().stays_behind(since, keyring.clock.now()) {
        log::debug!(target: "claviger::reload", "nobody is told that reloads are refused: {error}");
    }
}

/// A burst of changes has ended when nothing happened for this long.
const QUIET: Duration = Duration::from_millis(20);
/// A longer burst is looked at in between.
const LONGEST_BURST: Duration = Duration::from_millis(200);
/// How long what was not renamed into place has to stay as it is.
const SETTLE: Duration = Duration::from_millis(400);
/// How often everything is compared by content although the system reports changes.
const SAFETY_NET: Duration = Duration::from_secs(30);
/// The same where it does not.
const BLIND: Duration = Duration::from_secs(2);
/// How soon what failed is tried again: then after twice the time, and so on.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);
