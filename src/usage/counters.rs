//! Counts and last times of one key, in memory: a part for each core, so that two never fight over a line.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the four operations of a label")]
pub enum Act {
    /// Decrypted or unwrapped.
    Decrypted,
    /// Encrypted or sealed.
    Encrypted,
    /// Signed.
    Signed,
    /// Verified.
    Verified,
}

impl Act {
    /// Every act, in the order in which they are counted.
    pub const ALL: [Self; 4] = [Self::Decrypted, Self::Encrypted, Self::Signed, Self::Verified];
}

/// How often each [`Act`] was done, and the last second at which it was (0: never).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally {
    pub(super) counts: [u64; 4],
    pub(super) last: [u64; 4],
}

/// The parts. What they hold never gets less.
#[derive(Debug)]
pub(super) struct Counters(Box<[Part]>);

/// Of two cache lines: neighbours are fetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part {
    decrypted: Counted,
    encrypted: Counted,
    signed: Counted,
    verified: Counted,
}

#[derive(Debug, Default)]
struct Counted {
    count: AtomicU64,
    last: AtomicU64,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self((0..parts()).map(|_| Part::default()).collect())
    }

    /// Counts one act at `now`. A clock that goes back takes nothing away.
    pub(super) fn count(&self, act: Act, now: u64) {
        let Some(part) = self.0.get(own_part() % self.0.len()) else { return };
        let cell = part.cell(act);
        cell.count.fetch_add(1, Ordering::Relaxed);
        if cell.last.load(Ordering::Relaxed) < now {
            cell.last.fetch_max(now, Ordering::Relaxed);
        }
    }

    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for part in &self.0 {
            for ((act, count), last) in
                Act::ALL.into_iter().zip(&mut tally.counts).zip(&mut tally.last)
            {
                let cell = part.cell(act);
                *count += cell.count.load(Ordering::Relaxed);
                *last = cell.last.load(Ordering::Relaxed).max(*last);
            }
        }
        tally
    }
}

impl Part {
    const fn cell(&self, act: Act) -> &Counted {
        match act {
            Act::Decrypted => &self.decrypted,
            Act::Encrypted => &self.encrypted,
            Act::Signed => &self.signed,
            Act::Verified => &self.verified,
        }
    }
}

/// How many parts anything that is counted has: a power of two, at most eight.
pub(super) fn parts() -> usize {
    static PARTS: AtomicUsize = AtomicUsize::new(0);
    let known = PARTS.load(Ordering::Relaxed);
    if known > 0 {
        return known;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let parts = cores.next_power_of_two().min(8);
    PARTS.store(parts, Ordering::Relaxed);
    parts
}

/// The part of this thread; threads take turns.
pub(super) fn own_part() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let own = OWN.get();
    if own != usize::MAX {
        return own;
    }
    let own = NEXT.fetch_add(1, Ordering::Relaxed) % 4096;
    OWN.set(own);
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_between_threads_and_the_clock_may_go_back() {
        let counters = Counters::new();
        std::thread::scope(|scope| {
            for start in 0..4_u64 {
                let counters = &counters;
                scope.spawn(move || {
                    for step in 0..10_000 {
                        counters.count(Act::Signed, 20_000 + start - step);
                    }
                });
            }
        });
        counters.count(Act::Verified, 5);
        let tally = counters.tally();
        assert_eq!(tally.counts, [0, 0, 40_000, 1]);
        assert_eq!(tally.last, [0, 0, 20_003, 5]);
    }
}
