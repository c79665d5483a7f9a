//! How many messages an AES-GCM key may still encrypt under random nonces.
//!
//! With 96-bit random nonces 2^32 messages keep the chance of a repeated one below 2^-32 (NIST SP 800-38D
//! §8.3). Messages are reserved on disk before they are used, in blocks that double, so that a crash counts
//! too many and never too few; a thread takes its own from a part that it does not share.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::counters::{own_part, parts};
use super::ledger::Ledger;
use super::record::{Record, Reservation, Subject};
use super::{locked, tried};
use crate::error::{Error, ErrorKind, Result};

/// The largest block that a process reserves.
const LARGEST_BLOCK: u64 = 1 << 18;
/// The most that a thread takes at once.
const SHARE: u64 = 64;

/// The budget of one key under all its labels.
#[derive(Debug)]
pub(super) struct Budget {
    subject: Subject,
    limit: u64,
    parts: Box<[Part]>,
    stock: Mutex<Stock>,
}

/// What the threads of a core may use without asking.
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
}

impl Budget {
    pub(super) fn new(thumbprint: String, limit: u64) -> Self {
        Self {
            subject: Subject { thumbprint, ..Subject::default() },
            limit,
            parts: (0..parts()).map(|_| Part::default()).collect(),
            stock: Mutex::default(),
        }
    }

    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// Uses one message of the thread's own part; false if there is none.
    pub(super) fn spend_own(&self) -> bool {
        let take = |left: u64| left.checked_sub(1);
        self.own().is_none_or(|part| {
            part.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
        })
    }

    fn own(&self) -> Option<&Part> {
        self.parts.get(own_part() % self.parts.len())
    }

    /// Uses one message of what the process has reserved, or reserves more.
    pub(super) fn spend(&self, ledger: Option<&Ledger>, now: u64) -> Result<()> {
        let Some(part) = self.own() else { return Ok(()) };
        let mut stock = locked(&self.stock);
        if stock.left == 0 {
            self.reserve(&mut stock, ledger, now)?;
        }
        let share = stock.left.min(SHARE);
        stock.left -= share;
        part.0.fetch_add(share.saturating_sub(1), Ordering::SeqCst);
        Ok(())
    }

    fn reserve(&self, stock: &mut Stock, ledger: Option<&Ledger>, now: u64) -> Result<()> {
        let wanted = stock.next_block.clamp(1, LARGEST_BLOCK);
        let granted = match ledger {
            None => wanted.min(self.limit.saturating_sub(stock.reserved)),
            Some(ledger) => self.write_reservation(ledger, wanted, now)?,
        };
        stock.open |= ledger.is_some() && granted > 0;
        stock.reserved += granted;
        stock.next_block = wanted * 2;
        // At the limit what other threads hold is all there is.
        stock.left = if granted == 0 { self.collect() } else { granted };
        if stock.left > 0 { Ok(()) } else { Err(self.used_up()) }
    }

    fn write_reservation(&self, ledger: &Ledger, wanted: u64, now: u64) -> Result<u64> {
        let mut session = ledger.lock()?;
        let mut record = session.find(&self.subject)?.unwrap_or_else(|| Record {
            subject: self.subject.clone(),
            since: now,
            ..Record::default()
        });
        let granted = wanted.min(self.limit.saturating_sub(record.messages()));
        if granted == 0 {
            return Ok(0);
        }
        let owner = ledger.owner();
        let before = record.take_reservation(owner).map_or(0, |one| one.messages);
        let messages = before + granted;
        record.put_reservation(Reservation { owner, messages, ..Reservation::default() });
        session.put(&record)?;
        session.finish()?;
        Ok(granted)
    }

    /// Takes back what the parts hold.
    fn collect(&self) -> u64 {
        self.parts.iter().map(|part| part.0.swap(0, Ordering::SeqCst)).sum()
    }

    /// Writes what was really used in place of what was reserved.
    pub(super) fn settle(&self, ledger: &Ledger) -> Result<()> {
        let Some(mut stock) = tried(&self.stock) else { return Ok(()) };
        if !stock.open {
            return Ok(());
        }
        stock.left += self.collect();
        let mut session = ledger.lock()?;
        let Some(mut record) = session.find(&self.subject)? else { return Ok(()) };
        let used = stock.reserved - stock.left;
        // Whatever comes of the write, nothing of this reservation is used from here on.
        *stock = Stock { next_block: stock.next_block, ..Stock::default() };
        // Where the reservation is gone it was counted whole: nothing of it comes back.
        if record.take_reservation(ledger.owner()).is_none() {
            return Ok(());
        }
        record.spent = record.spent.saturating_add(used);
        session.put(&record)?;
        session.finish()
    }

    /// The messages used, given what the file counts: reservations of this process that were not used yet do
    /// not count.
    pub(super) fn used(&self, in_file: Option<u64>) -> u64 {
        let stock = locked(&self.stock);
        let held: u64 = self.parts.iter().map(|part| part.0.load(Ordering::SeqCst)).sum();
        in_file.unwrap_or(stock.reserved).saturating_sub(stock.left + held)
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

    fn use_one(budget: &Budget, ledger: Option<&Ledger>) -> Result<()> {
        if budget.spend_own() { Ok(()) } else { budget.spend(ledger, 1) }
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
        let ledgers = [Ledger::new(folder.path()), Ledger::new(folder.path())];
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
        let messages = || Ledger::new(folder.path()).read().unwrap()[1].messages();
        for (crash, expected) in [(false, 100), (true, 227)] {
            let ledger = Ledger::new(folder.path());
            let budget = Budget::new("k".into(), 1 << 32);
            for _ in 0..100 {
                use_one(&budget, Some(&ledger)).unwrap();
            }
            if !crash {
                budget.settle(&ledger).unwrap();
            }
            assert_eq!(messages(), expected);
        }
        let ledger = Ledger::new(folder.path());
        Budget::new("k".into(), 1 << 32).settle(&ledger).unwrap();
        assert_eq!(messages(), 227);
    }

    #[test]
    fn without_a_file_the_limit_holds_as_well() {
        assert_eq!(spend_all(&Budget::new("k".into(), 1000), None), 1000);
    }
}
