//! Which part of everything that is counted belongs to this thread alone: it adds there without a locked
//! instruction. Threads that came when every part was taken share one more.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A thread that has not asked yet.
const UNKNOWN: usize = usize::MAX;
/// A thread that has no part of its own.
const SHARED: usize = usize::MAX - 1;

/// A bit for each part that a thread has.
static TAKEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OWN: Cell<usize> = const { Cell::new(UNKNOWN) };
    static CLAIM: Claim = const { Claim };
}

/// Gives the part back when its thread ends; what is done after that goes to the shared part.
struct Claim;

impl Drop for Claim {
    fn drop(&mut self) {
        release(OWN.replace(SHARED));
    }
}

/// How many parts threads can have for themselves, at most eight.
pub(super) fn exclusive() -> usize {
    static EXCLUSIVE: AtomicUsize = AtomicUsize::new(0);
    let known = EXCLUSIVE.load(Ordering::Relaxed);
    if known > 0 {
        return known;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let parts = cores.clamp(2, 8);
    EXCLUSIVE.store(parts, Ordering::Relaxed);
    parts
}

/// The part that nobody but this thread writes, as long as it lives; beyond [`exclusive`] if it has none.
pub(super) fn own() -> usize {
    match OWN.get() {
        UNKNOWN => claim(),
        own => own,
    }
}

/// Does something to every part that no other thread has, while none can get it.
pub(super) fn each_quiet(mut act: impl FnMut(usize)) {
    let own = own();
    for part in 0..exclusive() {
        if part == own {
            act(part);
        } else if take(part) {
            act(part);
            release(part);
        }
    }
}

#[cold]
fn claim() -> usize {
    // A thread that is ending gets none: nobody would give it back.
    let guarded = CLAIM.try_with(|_| ()).is_ok();
    let part = (0..exclusive()).find(|part| guarded && take(*part)).unwrap_or(SHARED);
    OWN.set(part);
    part
}

/// What the last owner wrote is seen by the next one.
fn take(part: usize) -> bool {
    TAKEN.fetch_or(1 << part, Ordering::Acquire) & (1 << part) == 0
}

fn release(part: usize) {
    if part < exclusive() {
        TAKEN.fetch_and(!(1 << part), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn no_two_living_threads_have_the_same_part() {
        let threads = exclusive() + 3;
        for _ in 0..50 {
            let barrier = Barrier::new(threads);
            let mut parts: Vec<usize> = std::thread::scope(|scope| {
                let workers: Vec<_> = (0..threads)
                    .map(|_| {
                        scope.spawn(|| {
                            let own = own();
                            each_quiet(|part| assert!(part == own || part < exclusive()));
                            barrier.wait();
                            assert_eq!(own, super::own());
                            own
                        })
                    })
                    .collect();
                workers.into_iter().map(|worker| worker.join().unwrap()).collect()
            });
            parts.retain(|part| *part < exclusive());
            let found = parts.len();
            parts.sort_unstable();
            parts.dedup();
            assert_eq!(parts.len(), found);
        }
    }

    #[test]
    fn a_thread_that_ends_gives_its_part_back_and_has_none_after_that() {
        /// Asks when the locals of its thread are destroyed, in whatever order.
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                let own = own();
                let first = OWN.get();
                assert!(own == SHARED || CLAIM.try_with(|_| ()).is_ok(), "{own} {first}");
            }
        }
        thread_local! {
            static BEFORE: Late = const { Late };
            static AFTER: Late = const { Late };
        }
        for _ in 0..500 {
            let thread = std::thread::spawn(|| {
                BEFORE.with(|_| ());
                own();
                AFTER.with(|_| ());
            });
            thread.join().unwrap();
        }
        // Other tests of this process may hold some; five hundred threads have not used them all up.
        let mut quiet = 0;
        for _ in 0..1_000 {
            each_quiet(|_| quiet += 1);
            if quiet > 0 {
                return;
            }
            std::thread::yield_now();
        }
        panic!("no part is free");
    }
}
