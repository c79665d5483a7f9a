//! A time that only grows, exact in memory and durable ahead of it.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// `exact` never passes `durable`: who wants to go beyond writes first.
///
/// The two are read and written in one total order. A thread raises `exact`, then looks at `durable` again;
/// who takes back what is durable lowers `durable`, then reads `exact`. So either the first one sees that it
/// must write, or the second one sees what was raised.
#[derive(Debug)]
pub(super) struct Mark {
    exact: AtomicU64,
    durable: AtomicU64,
}

impl Mark {
    /// A mark that nothing stands behind yet: 0 is covered, which is never.
    pub(super) const fn new(durable: u64) -> Self {
        Self { exact: AtomicU64::new(0), durable: AtomicU64::new(durable) }
    }

    /// Raises the mark to `value` if that is durable already; `false`: write first.
    pub(super) fn cover(&self, value: u64) -> bool {
        if value > self.durable.load(SeqCst) {
            return false;
        }
        if value > self.exact.load(SeqCst) {
            self.exact.fetch_max(value, SeqCst);
        }
        value <= self.durable.load(SeqCst)
    }

    pub(super) fn exact(&self) -> u64 {
        self.exact.load(SeqCst)
    }

    /// Everything up to `durable` is on disk.
    pub(super) fn set_durable(&self, durable: u64) {
        self.durable.store(durable, SeqCst);
    }

    /// Makes everybody write first, until [`Mark::set_durable`].
    pub(super) fn suspend(&self) {
        self.durable.store(0, SeqCst);
    }
}
