//! How the measurements are made: thread CPU time, interleaved rounds, medians, one table.
//!
//! `ROUNDS` and `SLICE_MS` in the environment change how long each case runs (15 rounds of 10 ms).

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

/// One thing to measure.
pub struct Case<'a> {
    /// Runs it so many times, and says how many nanoseconds of CPU time that took.
    batch: Box<dyn FnMut(usize) -> f64 + 'a>,
}

impl<'a> Case<'a> {
    /// What `run` gives back is kept from the optimizer.
    pub fn new<T>(mut run: impl FnMut() -> T + 'a) -> Self {
        let batch = move |count| {
            let start = cpu_ns();
            for _ in 0..count {
                drop(black_box(run()));
            }
            cpu_ns() - start
        };
        Self { batch: Box::new(batch) }
    }

    /// Somebody else runs it and measures: another process.
    pub fn elsewhere(batch: impl FnMut(usize) -> f64 + 'a) -> Self {
        Self { batch: Box::new(batch) }
    }
}

/// CPU time of this thread, in nanoseconds: what other programs do does not count.
#[must_use]
pub fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// A number from the environment.
#[must_use]
pub fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Nanoseconds of CPU time a call, for each case: medians over rounds in which the cases take turns.
pub fn measure(cases: &mut [Case<'_>]) -> Vec<f64> {
    let slice = setting("SLICE_MS", 10) as f64 * 1e6;
    let mut counts = Vec::new();
    for case in cases.iter_mut() {
        let mut count = 1;
        loop {
            let took = (case.batch)(count);
            if took > slice / 4.0 || count >= 1 << 24 {
                counts.push(((count as f64 * slice / took).ceil() as usize).max(1));
                break;
            }
            count *= 4;
        }
    }
    let mut samples = vec![Vec::new(); cases.len()];
    for _ in 0..setting("ROUNDS", 15) {
        for (index, case) in cases.iter_mut().enumerate() {
            samples[index].push((case.batch)(counts[index]) / counts[index] as f64);
        }
    }
    samples.into_iter().map(median).collect()
}

/// The middle of the samples.
#[must_use]
pub fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints a row of a table whose first column is text.
pub fn print_row(name: &str, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|cell| format!(" {cell:>15}")).collect();
    println!("{name:<28}{}", cells.concat());
}

/// Nanoseconds, without decimals.
#[must_use]
pub fn ns(value: f64) -> String {
    format!("{value:.0}")
}

/// A ratio, with two decimals.
#[must_use]
pub fn ratio(value: f64) -> String {
    format!("{value:.2}")
}
