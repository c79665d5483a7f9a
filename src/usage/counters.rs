//! Counts and last times of one key, in memory: a part for each thread, so that two never fight over a line.

use std::sync::atomic::{AtomicU64, Ordering};

use super::slots;

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

/// What they hold never gets less.
#[derive(Debug)]
pub(super) struct Counters {
    /// Each written by the thread that has the slot.
    owned: Box<[Part]>,
    shared: Part,
}

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
        let owned = (0..slots::exclusive()).map(|_| Part::default()).collect();
        Self { owned, shared: Part::default() }
    }

    /// Counts one act at `now`. A clock that goes back takes nothing away.
    pub(super) fn count(&self, act: Act, now: u64) {
        match self.owned.get(slots::own()) {
            Some(part) => part.cell(act).count_alone(now),
            None => self.shared.cell(act).count(now),
        }
    }

    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for part in self.owned.iter().chain([&self.shared]) {
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

impl Counted {
    fn count(&self, now: u64) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.last.load(Ordering::Relaxed) < now {
            self.last.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// The same where no other thread writes.
    fn count_alone(&self, now: u64) {
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if self.last.load(Ordering::Relaxed) < now {
            self.last.store(now, Ordering::Relaxed);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_between_threads_and_the_clock_may_go_back() {
        let counters = Counters::new();
        std::thread::scope(|scope| {
            for start in 0..24_u64 {
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
        assert_eq!(tally.counts, [0, 0, 240_000, 1]);
        assert_eq!(tally.last, [0, 0, 20_023, 5]);
    }

    #[test]
    fn nothing_is_lost_where_threads_come_and_go_and_hand_their_parts_on() {
        let counters = Counters::new();
        for _ in 0..200 {
            std::thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| (0..50).for_each(|now| counters.count(Act::Verified, now)));
                }
            });
        }
        assert_eq!(counters.tally().counts, [0, 0, 0, 60_000]);
    }
}
