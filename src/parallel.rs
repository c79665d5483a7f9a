//! Work on many things at once: no more threads than processors, results in the order of the things.

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// `work` of every item. The caller's thread works too; fewer than `worthwhile` items stay on it alone.
pub(crate) fn map<T, R>(items: &[T], worthwhile: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R>
where
    T: Sync,
    R: Send + Sync,
{
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = processors.min(items.len());
    if threads < 2 || items.len() < worthwhile {
        return items.iter().map(work).collect();
    }
    let results: Vec<OnceLock<R>> = items.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let take = || {
        while let Some((item, result)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            items.get(index).zip(results.get(index))
        } {
            // Each index is handed out once.
            let _ = result.set(work(item));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // Without another thread (EAGAIN) the work is done all the same.
            let _ = thread::Builder::new().spawn_scoped(scope, take);
        }
        take();
    });
    results.into_iter().filter_map(OnceLock::into_inner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).collect();
        let doubled = map(&items, 2, |item| item * 2);
        assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
    }
}
