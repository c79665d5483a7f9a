//! The usage of one key under one label: what is counted, and what is written before a token may leave.

use std::sync::{Mutex, MutexGuard};

use super::counters::{Act, Counters, Tally};
use super::expiry::{Life, NEVER};
use super::ledger::{Ledger, Session};
use super::mark::Mark;
use super::record::{Record, Subject};
use super::{locked, tried};
use crate::error::{Error, ErrorKind, Result};

/// How far beyond what is needed a running process reserves, in seconds.
pub(super) const BLOCK: u64 = 60;

#[derive(Debug)]
pub(super) struct KeyState {
    pub(super) subject: Subject,
    counters: Counters,
    /// The latest `exp`.
    exp: Mark,
    /// The latest making of something without an `exp`.
    open: Mark,
    written: Mutex<Written>,
}

/// What the file knows of this process.
#[derive(Debug, Default)]
struct Written {
    tally: Tally,
    /// The first write of a process is exact: most processes sign once and end.
    once: bool,
    /// A reservation of this process stands in the file.
    reserved: bool,
}

/// How far something that is made reaches: marks that must be durable first; 0 needs none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// Its end, if that is known.
    exp: u64,
    /// When it is made, if it carries no end.
    open: u64,
}

impl Reach {
    /// Something that carries no end ends after the `lifetime` under which it is made, and later if the label says more
    /// by then.
    #[inline(always)]
    pub(super) fn of(life: Life, lifetime: Option<u64>, now: u64) -> Self {
        match life {
            Life::Until(exp) => Self { exp, open: 0 },
            Life::Open => {
                let end = lifetime.map_or(0, |lifetime| now.saturating_add(lifetime).min(NEVER));
                Self { exp: end, open: now }
            }
        }
    }

    /// The same at the end of its block of time, both marks at once: they are written together.
    fn ahead(self) -> Self {
        let first = if self.open > 0 { self.open } else { self.exp };
        let more = BLOCK - first % BLOCK;
        let beyond = |mark: u64| if mark > 0 { mark.saturating_add(more) } else { 0 };
        Self { exp: beyond(self.exp), open: beyond(self.open) }
    }
}

impl KeyState {
    /// With `durable` nothing is covered before it is written; without, everything is.
    pub(super) fn new(subject: Subject, durable: bool) -> Self {
        let bound = if durable { 0 } else { u64::MAX };
        Self {
            subject,
            counters: Counters::new(),
            exp: Mark::new(bound),
            open: Mark::new(bound),
            written: Mutex::default(),
        }
    }

    pub(super) fn count(&self, act: Act, now: u64) {
        self.counters.count(act, now);
    }

    /// Whether something that ends then may be made now without writing first.
    #[inline(always)]
    pub(super) fn cover_end(&self, exp: u64) -> bool {
        self.exp.cover(exp)
    }

    /// As [`KeyState::cover_end`], of something that reaches so far.
    pub(super) fn cover(&self, reach: Reach) -> bool {
        (reach.exp == 0 || self.cover_end(reach.exp))
            && (reach.open == 0 || self.open.cover(reach.open))
    }

    /// Writes that something that reaches so far is about to be made. `fence` is the last retirement that the
    /// caller's configuration knew of.
    pub(super) fn extend(&self, ledger: &Ledger, reach: Reach, now: u64, fence: u64) -> Result<()> {
        let mut written = locked(&self.written);
        // Another thread may have written it meanwhile.
        if self.cover(reach) {
            return Ok(());
        }
        let mut session = ledger.lock()?;
        let mut record = session.record(&self.subject, now)?;
        if record.fence > fence {
            return Err(retired(&self.subject));
        }
        let tally = self.fold(&mut record, &written);
        let mut ours = record.take_reservation(ledger.owner()).unwrap_or_default();
        ours.owner = ledger.owner();
        if written.once {
            let ahead = reach.ahead();
            ours.exp = ours.exp.max(ahead.exp);
            ours.open = ours.open.max(ahead.open);
        } else {
            record.exp = record.exp.max(reach.exp);
            record.open = record.open.max(reach.open);
        }
        let reserved = ours.exp > record.exp || ours.open > record.open;
        if reserved {
            record.put_reservation(ours);
        }
        session.put(&record)?;
        session.finish()?;
        *written = Written { tally, once: true, reserved };
        self.exp.set_durable(record.exp.max(ours.exp));
        self.open.set_durable(record.open.max(ours.open));
        if self.cover(reach) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Bug, "a mark does not cover what was written"))
    }

    /// What a flush has to write, if anything; nobody else writes this key until it has. It is asked for before
    /// the file is locked, in the order of [`KeyState::extend`].
    pub(super) fn pending(&self, release: bool) -> Option<Pending<'_>> {
        // Who holds it is about to write; what is given back has to wait for that.
        let written = if release { locked(&self.written) } else { tried(&self.written)? };
        let release = release && written.reserved;
        let dirty = release || self.counters.tally() != written.tally;
        dirty.then_some(Pending { state: self, written, release })
    }

    /// What happened in this process that the file may not know: counts, last times, `exp` and open mark.
    pub(super) fn in_memory(&self) -> (Tally, u64, u64) {
        let written = locked(&self.written);
        let mut tally = self.counters.tally();
        for (count, known) in tally.counts.iter_mut().zip(written.tally.counts) {
            *count -= known;
        }
        (tally, self.exp.exact(), self.open.exact())
    }

    /// What was counted since the last write, and the exact marks.
    fn fold(&self, record: &mut Record, written: &Written) -> Tally {
        let tally = self.counters.tally();
        let counts = tally.counts.iter().zip(written.tally.counts);
        for (known, (count, before)) in record.counts.iter_mut().zip(counts) {
            *known = known.saturating_add(count - before);
        }
        for (known, last) in record.last.iter_mut().zip(tally.last) {
            *known = last.max(*known);
        }
        record.exp = record.exp.max(self.exp.exact());
        record.open = record.open.max(self.open.exact());
        tally
    }
}

/// A key that is about to be flushed.
#[derive(Debug)]
pub(super) struct Pending<'a> {
    state: &'a KeyState,
    written: MutexGuard<'a, Written>,
    release: bool,
}

impl<'a> Pending<'a> {
    /// Adds what the file does not know yet to the key's record. With `release` the reservation is given back
    /// too, and the record says the exact truth of this process.
    pub(super) fn put(
        mut self,
        ledger: &Ledger,
        session: &mut Session<'_>,
        now: u64,
    ) -> Result<Flushed<'a>> {
        let state = self.state;
        if self.release {
            // From here on whoever signs writes first, and waits for us to do so.
            state.exp.suspend();
            state.open.suspend();
        }
        let mut record = session.record(&state.subject, now)?;
        self.written.tally = state.fold(&mut record, &self.written);
        if self.release {
            record.take_reservation(ledger.owner());
            self.written.reserved = false;
        }
        session.put(&record)?;
        let bounds = self.release.then_some((record.exp, record.open));
        Ok(Flushed { state, bounds })
    }
}

/// A key whose record was put.
#[derive(Debug)]
pub(super) struct Flushed<'a> {
    state: &'a KeyState,
    bounds: Option<(u64, u64)>,
}

impl Flushed<'_> {
    /// Once the session is on disk: up to what the record says nobody needs to write. Without this call every
    /// making writes first, which is right where it is not known what reached the disk.
    pub(super) fn settle(self) {
        if let Some((exp, open)) = self.bounds {
            self.state.exp.set_durable(exp);
            self.state.open.set_durable(open);
        }
    }
}

fn retired(subject: &Subject) -> Error {
    let label =
        subject.label.as_ref().map_or_else(String::new, |label| format!(" of label \"{label}\""));
    Error::new(ErrorKind::KeyRetired, format!("the active key{label} was retired meanwhile"))
        .with_help("this process works with an old configuration: reload it")
}
