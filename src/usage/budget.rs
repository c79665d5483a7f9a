//! How many messages an AES-GCM key may still encrypt under random nonces.
//!
//! With 96-bit random nonces 2^32 messages keep the chance of a repeated one below 2^-32 (NIST SP 800-38D
//! §8.3). Messages are reserved on disk before they are used, in blocks that double, so that a crash counts
//! too many and never too few; a thread takes its own from a part that it does not share.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::ledger::Ledger;
use super::record::{Reservation, Subject};
use super::{locked, slots, tried};
use crate::error::{Error, ErrorKind, Result};

/// The largest block that a process reserves, and loses if it is killed: a 4096th of 2^32, and one write for so many.
const LARGEST_BLOCK: u64 = 1 << 20;
/// The most that a thread takes at once.
const SHARE: u64 = 64;

/// The budget of one key under all its labels.
#[derive(Debug)]
pub(super) struct Budget {
    subject: Subject,
    limit: u64,
    /// Each written by the thread that has the slot.
    owned: Box<[Part]>,
    shared: Part,
    stock: Mutex<Stock>,
}

/// What a thread may use without asking.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part(AtomicU64);

/// What the process may use.
#[derive(Debug, Default)]
struct Stock {
    /// Reserved and in no part.
    left: u64,
    /// Reserved since the last settlement, used or not.
    reserved: u64,
    next_block: u64,
    /// A reservation of this process stands in the file.
    open: bool,
    /// It was told that half of the messages are used.
    told: bool,
}

/// What there was before a reservation, and how much it got.
struct Reserved {
    before: u64,
    granted: u64,
}

/// From whom a settlement takes back what was not used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Takes {
    /// From every thread: none can use the budget any more.
    Everything,
    /// From this thread and from those that ended.
    WhatIsQuiet,
}

impl Budget {
    pub(super) fn new(thumbprint: String, limit: u64) -> Self {
        Self {
            subject: Subject { thumbprint, ..Subject::default() },
            limit,
            owned: (0..slots::exclusive()).map(|_| Part::default()).collect(),
            shared: Part::default(),
            stock: Mutex::default(),
        }
    }

    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// Uses one message of the thread's own part; false if there is none.
    pub(super) fn spend_own(&self) -> bool {
        let Some(part) = self.owned.get(slots::own()) else {
            let take = |left: u64| left.checked_sub(1);
            return self.shared.0.fetch_update(Relaxed, Relaxed, take).is_ok();
        };
        let Some(left) = part.0.load(Relaxed).checked_sub(1) else { return false };
        // Nobody else writes it.
        part.0.store(left, Relaxed);
        true
    }

    /// Uses one message of what the process has reserved, or reserves more. `true` once a process: half of all
    /// messages are used.
    pub(super) fn spend(&self, ledger: Option<&Ledger>, now: u64) -> Result<bool> {
        let mut stock = locked(&self.stock);
        let mut tell = false;
        if stock.left == 0 {
            let before = self.reserve(&mut stock, ledger, now)?;
            tell = before >= self.half() && !stock.told;
            stock.told |= tell;
        }
        let share = stock.left.min(SHARE);
        stock.left -= share;
        let part = self.owned.get(slots::own()).unwrap_or(&self.shared);
        part.0.fetch_add(share.saturating_sub(1), Relaxed);
        Ok(tell)
    }

    const fn half(&self) -> u64 {
        self.limit.div_ceil(2)
    }

    /// How many of those that are wanted may be used on top of `before`. What is reserved ends at the half as
    /// well, so that it is seen when it is reached.
    fn granted(&self, wanted: u64, before: u64) -> u64 {
        let end = if before < self.half() { self.half() } else { self.limit };
        wanted.min(end.saturating_sub(before))
    }

    /// Reserves more, and says how many messages were used or reserved before.
    fn reserve(&self, stock: &mut Stock, ledger: Option<&Ledger>, now: u64) -> Result<u64> {
        let wanted = stock.next_block.clamp(1, LARGEST_BLOCK);
        let Reserved { before, granted } = match ledger {
            None => {
                let before = stock.reserved;
                Reserved { before, granted: self.granted(wanted, before) }
            }
            Some(ledger) => self.write_reservation(ledger, wanted, now)?,
        };
        stock.open |= ledger.is_some() && granted > 0;
        stock.reserved += granted;
        stock.next_block = wanted * 2;
        // At the limit what threads left behind is all there is. What living ones hold stays theirs.
        stock.left = if granted == 0 { self.collect(Takes::WhatIsQuiet) } else { granted };
        if stock.left > 0 { Ok(before) } else { Err(self.used_up()) }
    }

    fn write_reservation(&self, ledger: &Ledger, wanted: u64, now: u64) -> Result<Reserved> {
        let mut session = ledger.lock()?;
        let mut record = session.record(&self.subject, now)?;
        let before = record.messages();
        let granted = self.granted(wanted, before);
        if granted == 0 {
            return Ok(Reserved { before, granted });
        }
        let owner = ledger.owner();
        let own = record.take_reservation(owner).map_or(0, |one| one.messages);
        let messages = own + granted;
        record.put_reservation(Reservation { owner, messages, ..Reservation::default() });
        session.put(&record)?;
        session.finish()?;
        Ok(Reserved { before, granted })
    }

    /// Takes back what the parts hold.
    fn collect(&self, takes: Takes) -> u64 {
        let mut taken = self.shared.0.swap(0, Relaxed);
        let mut take = |part: &Part| taken += part.0.swap(0, Relaxed);
        match takes {
            Takes::Everything => self.owned.iter().for_each(take),
            Takes::WhatIsQuiet => {
                slots::each_quiet(|own| self.owned.get(own).into_iter().for_each(&mut take))
            }
        }
        taken
    }

    /// What the parts hold. It gets less meanwhile, where threads use it, and never more under the lock.
    fn held(&self) -> u64 {
        self.owned.iter().chain([&self.shared]).map(|part| part.0.load(Relaxed)).sum()
    }

    /// Writes what was really used in place of what was reserved. What threads hold on to stays reserved.
    pub(super) fn settle(&self, ledger: &Ledger, takes: Takes) -> Result<()> {
        let Some(mut stock) = tried(&self.stock) else { return Ok(()) };
        if !stock.open {
            return Ok(());
        }
        stock.left += self.collect(takes);
        let held = self.held();
        let mut session = ledger.lock()?;
        let Some(mut record) = session.find(&self.subject)? else { return Ok(()) };
        let used = stock.reserved.saturating_sub(stock.left + held);
        // Whatever comes of the write, nothing that is given back is used from here on: should it fail, the next
        // settlement counts it as used.
        stock.left = 0;
        // Where the reservation is gone it was counted whole: nothing of it comes back.
        if record.take_reservation(ledger.owner()).is_some() {
            record.spent = record.spent.saturating_add(used);
            if held > 0 {
                let owner = ledger.owner();
                record.put_reservation(Reservation { owner, messages: held, ..Default::default() });
            }
            session.put(&record)?;
            session.finish()?;
        }
        (stock.reserved, stock.open) = (held, held > 0);
        Ok(())
    }

    /// The messages used, given what the file counts: reservations of this process that were not used yet do
    /// not count.
    pub(super) fn used(&self, in_file: Option<u64>) -> u64 {
        let stock = locked(&self.stock);
        in_file.unwrap_or(stock.reserved).saturating_sub(stock.left + self.held())
    }

    pub(super) const fn subject(&self) -> &Subject {
        &self.subject
    }

    fn used_up(&self) -> Error {
        let text = format!("the key has encrypted {} messages under random nonces", self.limit);
        Error::new(ErrorKind::BudgetSpent, text).with_help(
            "a nonce might repeat: put a new key first (`claviger promote`); this one still decrypts",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn ledger_in(folder: &std::path::Path) -> Ledger {
        Ledger::new(folder, Clock::system())
    }

    fn use_one(budget: &Budget, ledger: Option<&Ledger>) -> Result<()> {
        if budget.spend_own() { Ok(()) } else { budget.spend(ledger, 1).map(drop) }
    }

    fn spend_all(budget: &Budget, ledger: Option<&Ledger>) -> u64 {
        let mut spent = 0;
        loop {
            match use_one(budget, ledger) {
                Ok(()) => spent += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::BudgetSpent);
                    return spent;
                }
            }
        }
    }

    #[test]
    fn exactly_the_limit_is_spent_by_two_processes_with_threads() {
        let folder = tempfile::tempdir().unwrap();
        let ledgers = [ledger_in(folder.path()), ledger_in(folder.path())];
        let budgets = [(); 2].map(|()| Budget::new("k".into(), 20_000));
        let spent: u64 = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|index| {
                    let (ledger, budget) = (&ledgers[index / 2], &budgets[index / 2]);
                    scope.spawn(move || spend_all(budget, Some(ledger)))
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        // A thread may stop while another process still holds some.
        let rest: u64 = (0..2).map(|at| spend_all(&budgets[at], Some(&ledgers[at]))).sum();
        assert_eq!(spent + rest, 20_000);
    }

    #[test]
    fn settling_gives_back_what_was_not_used_and_a_crash_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let messages = || ledger_in(folder.path()).read().unwrap().records[1].messages();
        for (crash, expected) in [(false, 100), (true, 227)] {
            let ledger = ledger_in(folder.path());
            let budget = Budget::new("k".into(), 1 << 32);
            for _ in 0..100 {
                use_one(&budget, Some(&ledger)).unwrap();
            }
            if !crash {
                budget.settle(&ledger, Takes::WhatIsQuiet).unwrap();
            }
            assert_eq!(messages(), expected);
        }
        let ledger = ledger_in(folder.path());
        Budget::new("k".into(), 1 << 32).settle(&ledger, Takes::WhatIsQuiet).unwrap();
        assert_eq!(messages(), 227);
    }

    #[test]
    fn half_is_told_when_it_is_used_and_once_a_process() {
        let folder = tempfile::tempdir().unwrap();
        let mut told = Vec::new();
        for process in 0..3 {
            let ledger = ledger_in(folder.path());
            for kept in [Some(&ledger), None] {
                let budget = Budget::new("k".into(), 1001);
                for message in 0..330 {
                    if !budget.spend_own() && budget.spend(kept, 1).unwrap() {
                        told.push((process, kept.is_some(), message));
                    }
                }
                if let Some(ledger) = kept {
                    budget.settle(ledger, Takes::Everything).unwrap();
                }
            }
        }
        // 330 of the first process, and of the second one the first 171 fill the half of 501.
        assert_eq!(told, [(1, true, 171), (2, true, 0)]);
        let alone = Budget::new("k".into(), 1001);
        let told: Vec<i32> =
            (0..1001).filter(|_| !alone.spend_own() && alone.spend(None, 1).unwrap()).collect();
        assert_eq!(told, [501]);
    }

    #[test]
    fn what_a_living_thread_holds_stays_reserved_and_what_it_used_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger_in(folder.path());
        let messages = || ledger.read().unwrap().records[1].messages();
        let budget = Budget::new("k".into(), 1 << 32);
        let (go, wait) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                (0..70).for_each(|_| use_one(&budget, Some(&ledger)).unwrap());
                go.wait();
                wait.wait();
                (0..10).for_each(|_| use_one(&budget, Some(&ledger)).unwrap());
            });
            go.wait();
            budget.settle(&ledger, Takes::WhatIsQuiet).unwrap();
            assert!((70..=70 + SHARE).contains(&messages()), "{}", messages());
            assert_eq!(budget.used(Some(messages())), 70);
            wait.wait();
        });
        assert!(messages() >= 80);
        assert_eq!(budget.used(Some(messages())), 80);
        (0..20).for_each(|_| use_one(&budget, Some(&ledger)).unwrap());
        budget.settle(&ledger, Takes::Everything).unwrap();
        assert_eq!(messages(), 100);
    }

    /// A settlement that could not be written must not let the messages of its reservation be forgotten.
    #[test]
    fn a_settlement_that_fails_gives_nothing_back() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger_in(folder.path());
        let budget = Budget::new("k".into(), 1 << 32);
        (0..100).for_each(|_| use_one(&budget, Some(&ledger)).unwrap());
        // Both copies damaged: nothing can be read, so that nothing can be settled.
        let path = folder.path().join("usage");
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged[2048..4096].fill(7);
        std::fs::write(&path, damaged).unwrap();
        assert!(budget.settle(&ledger, Takes::WhatIsQuiet).is_err());
        std::fs::write(&path, whole).unwrap();
        (0..100).for_each(|_| use_one(&budget, Some(&ledger)).unwrap());
        budget.settle(&ledger, Takes::Everything).unwrap();
        assert!(ledger.read().unwrap().records[1].messages() >= 200);
    }

    #[test]
    fn without_a_file_the_limit_holds_as_well() {
        assert_eq!(spend_all(&Budget::new("k".into(), 1000), None), 1000);
    }
}
