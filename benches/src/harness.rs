//! How the measurements are made: thread CPU time, interleaved rounds, medians, one table; and pairs, where the
//! difference of two cases is small beside both.
//!
//! `ROUNDS` and `SLICE_MS` in the environment change how long each case runs (15 rounds of 10 ms; pairs twice that).

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
    let counts: Vec<usize> = cases.iter_mut().map(|case| count_of(case, slice)).collect();
    let mut samples = vec![Vec::new(); cases.len()];
    for _ in 0..setting("ROUNDS", 15) {
        for (index, case) in cases.iter_mut().enumerate() {
            // Not counted: after another process caches and branch predictors are somebody else's for a millisecond.
            (case.batch)(counts[index].div_ceil(4));
            samples[index].push((case.batch)(counts[index]) / counts[index] as f64);
        }
    }
    samples.into_iter().map(median).collect()
}

/// What two cases cost, and how much more the first.
pub struct Paired {
    /// Nanoseconds of CPU time a call of the first case: the median.
    pub first: f64,
    /// The same of the second case.
    pub second: f64,
    /// The median of the differences, first less second.
    pub over: f64,
    /// Half the width of the interval in which that median lies with a probability of 95 %.
    pub spread: f64,
}

impl Paired {
    /// Both, how much more the first, and how sure that is.
    #[must_use]
    pub fn cells(&self) -> [String; 4] {
        let Self { first, second, over, spread } = *self;
        [ns(first), ns(second), ns(over), format!("±{spread:.0}")]
    }
}

/// Runs two cases side by side, a few calls of each in turns (first, second, second, first …), so that whatever
/// slows the machine for longer than that slows both: their difference is then truthful where it is a hundredth of
/// either.
pub fn paired(first: &mut Case<'_>, second: &mut Case<'_>) -> Paired {
    let count = count_of(first, PAIR_NS).max(count_of(second, PAIR_NS));
    let budget = 2.0 * (setting("ROUNDS", 15) * setting("SLICE_MS", 10)) as f64 * 1e6;
    let (mut ours, mut bare, mut over) = (Vec::new(), Vec::new(), Vec::new());
    let mut spent = 0.0;
    while spent < budget || over.len() < LEAST_PAIRS {
        let turn = |case: &mut Case<'_>| (case.batch)(count) / count as f64;
        let (one, two) = if over.len() % 2 == 0 {
            let one = turn(first);
            (one, turn(second))
        } else {
            let two = turn(second);
            (turn(first), two)
        };
        spent += (one + two) * count as f64;
        ours.push(one);
        bare.push(two);
        over.push(one - two);
    }
    let spread = spread(&mut over);
    Paired { first: median(ours), second: median(bare), over: median(over), spread }
}

/// Half the width of the interval in which the median lies with a probability of 95 %: between the samples
/// 0.98 √n places before and behind the middle one.
fn spread(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    let away = (0.98 * (samples.len() as f64).sqrt()).ceil() as usize;
    let middle = samples.len() / 2;
    let at = |index: usize| samples.get(index).copied().unwrap_or(f64::NAN);
    (at(middle + away) - at(middle.saturating_sub(away))) / 2.0
}

/// How many calls take about this long.
fn count_of(case: &mut Case<'_>, nanoseconds: f64) -> usize {
    let mut count = 1;
    loop {
        let took = (case.batch)(count);
        if took > nanoseconds / 4.0 || count >= 1 << 24 {
            return ((count as f64 * nanoseconds / took).ceil() as usize).max(1);
        }
        count *= 4;
    }
}

/// A turn of a pair is so long: far longer than the clock takes to read, far shorter than other programs run at a time.
const PAIR_NS: f64 = 50_000.0;
/// Of private RSA operations, which differ by more from each other than a profile costs, fewer pairs say little.
const LEAST_PAIRS: usize = 2_000;

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
