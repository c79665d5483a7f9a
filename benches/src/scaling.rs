//! Whether two cores do twice the work of one through one shared keyring.
//!
//! Fixed input: HS256 and ES256, a payload of 300 bytes, one label shared by all threads. Two ratios: by the
//! clock on the wall, which needs two idle cores, and by CPU time, which shows contention on any machine.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::fixture::{CLAIMS, label, material, row};
use crate::harness::{cpu_ns, median, ns, print_row, ratio, setting};
use claviger::ops::Label;

/// Prints the tables.
pub fn run() {
    let head = ["1 thread, op/s", "2 threads, op/s", "by the clock", "by CPU time"];
    print_row("operation", &head.map(str::to_owned));
    for name in ["HS256", "ES256"] {
        let folder = tempfile::tempdir().expect("a directory");
        let (_, key) = material(row(name), None);
        let label = label(folder.path(), &[key], &[row(name)], 16);
        let token = label.sign(CLAIMS.as_bytes()).expect("signed");
        scale(&format!("sign {name}"), &label, |label| {
            drop(black_box(label.sign(CLAIMS.as_bytes()).expect("signed")));
        });
        scale(&format!("verify {name}"), &label, |label| {
            drop(black_box(label.verify(&token).expect("verified")));
        });
    }
}

fn scale(name: &str, label: &Label, work: impl Fn(&Label) + Sync) {
    let (mut one, mut two, mut wall, mut cpu) = (vec![], vec![], vec![], vec![]);
    for _ in 0..setting("ROUNDS", 15) {
        let (alone, both) = (window(1, label, &work), window(2, label, &work));
        one.push(alone.0);
        two.push(both.0);
        wall.push(both.0 / alone.0);
        cpu.push(2.0 * both.1 / alone.1);
    }
    let cells = [ns(median(one)), ns(median(two)), ratio(median(wall)), ratio(median(cpu))];
    print_row(name, &cells);
}

/// Operations a second by the clock, and a second of CPU time, of this many threads together.
fn window(threads: usize, label: &Label, work: &(impl Fn(&Label) + Sync)) -> (f64, f64) {
    let stop = AtomicBool::new(false);
    let length = Duration::from_millis(setting("SLICE_MS", 200) as u64);
    thread::scope(|scope| {
        let started = Instant::now();
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let start = cpu_ns();
                    let mut count = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        for _ in 0..16 {
                            work(label);
                        }
                        count += 16;
                    }
                    (count as f64, (cpu_ns() - start) / 1e9)
                })
            })
            .collect();
        thread::sleep(length);
        stop.store(true, Ordering::Relaxed);
        let results: Vec<(f64, f64)> =
            workers.into_iter().map(|worker| worker.join().expect("a worker")).collect();
        let seconds = started.elapsed().as_secs_f64();
        let count: f64 = results.iter().map(|(count, _)| count).sum();
        let cpu: f64 = results.iter().map(|(_, cpu)| cpu).sum();
        (count / seconds, count / cpu)
    })
}
