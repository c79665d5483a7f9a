//! Damaged input of every kind: no entry point panics, hangs, grows, or takes what was forged.
//!
//! `CLAVIGER_SEED=n` chooses other mutations, `CLAVIGER_MUTATIONS=n` makes n times as many.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::entry_points::{TARGETS, run};
use crate::seeds::{Seed, foreign, own};

/// Inputs that once failed, by target; kept for ever.
const REGRESSIONS: &[(&str, &str)] = &[];

/// Mutated inputs a target, or one a seed if that is more.
const CASES: usize = 3_000;
/// One input may take so long, in a debug build on a busy machine.
const MAX_TIME: Duration = Duration::from_secs(4);
/// The address space of the process that reads: a claimed length that is believed ends it.
const MAX_MEMORY: u64 = 1 << 30;
const MAX_INPUT: usize = 64 << 10;

macro_rules! mutations {
    ($($(#[$on:meta])? $test:ident: $target:literal,)*) => {
        $($(#[$on])? #[test]
        fn $test() {
            in_a_process_of_its_own(concat!("mutation::", stringify!($test)), $target);
        })*

        #[test]
        fn every_entry_point_is_mutated() {
            let tested = [$($target),*];
            assert!(TARGETS.iter().all(|(name, _)| tested.contains(name)));
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/targets");
            assert!(TARGETS.iter().all(|(name, _)| folder.join(format!("{name}.rs")).exists()));
        }
    };
}

mutations! {
    configurations: "config",
    der_files: "der",
    jceks_keystores: "jceks",
    jks_keystores: "jks",
    journals: "journal",
    json_texts: "json",
    encrypted_tokens: "jwe",
    json_web_keys: "jwk",
    signed_tokens: "jws",
    ends_of_payloads: "life",
    names: "names",
    pem_texts: "pem",
    pkcs12_keystores: "pkcs12",
    tombstones: "revoked",
    #[cfg(feature = "saml")]
    saml_documents: "saml",
    #[cfg(feature = "saml")]
    saml_queries: "query",
    sealed_values: "sealed",
    sessions: "session",
    traces: "trace",
    usage_files: "usage",
}

#[test]
fn inputs_that_once_failed_do_not_again() {
    for (target, input) in REGRESSIONS {
        run(target, &STANDARD.decode(input).unwrap());
    }
}

/// Every target has seeds; with `CLAVIGER_WRITE_SEEDS=folder` they are written for the fuzzer.
#[test]
fn every_target_has_seeds_of_our_own() {
    let folder = std::env::var_os("CLAVIGER_WRITE_SEEDS");
    for (target, _) in TARGETS {
        let seeds = own(target);
        assert!(!seeds.is_empty(), "{target} has no seeds");
        let Some(folder) = &folder else { continue };
        let folder = Path::new(folder).join(target);
        std::fs::create_dir_all(&folder).unwrap();
        for (index, (_, bytes)) in seeds.iter().chain(&foreign(target)).enumerate() {
            std::fs::write(folder.join(format!("seed-{index}")), bytes).unwrap();
        }
    }
}

/// The same test again with bounded memory; there the variable is set.
fn in_a_process_of_its_own(test: &str, target: &str) {
    const CHILD: &str = "CLAVIGER_MUTATION_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let bound = Some(MAX_MEMORY);
        setrlimit(Resource::As, Rlimit { current: bound, maximum: bound }).unwrap();
        return mutate(target);
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{}\n{told}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

fn mutate(target: &str) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("CLAVIGER_SEED").unwrap_or(20_261_125);
    let times = usize::try_from(number("CLAVIGER_MUTATIONS").unwrap_or(1)).unwrap();
    let mut seeds = own(target);
    seeds.extend(foreign(target));
    let cases = CASES.max(seeds.len()) * times;
    println!("{target}: {cases} mutations of {} seeds, CLAVIGER_SEED={seed}", seeds.len());
    let mut random = Random(seed);
    for (name, bytes) in &seeds {
        attempt(target, name, bytes);
    }
    for case in 0..cases {
        let (name, bytes) = &seeds[case % seeds.len()];
        let mutated = mutated(bytes, &seeds, &mut random);
        attempt(target, name, &mutated);
    }
}

fn attempt(target: &str, name: &str, bytes: &[u8]) {
    let start = Instant::now();
    let survived = catch_unwind(AssertUnwindSafe(|| run(target, bytes))).is_ok();
    let shown = || STANDARD.encode(bytes);
    assert!(survived, "{target}: from seed {name}: {}", shown());
    let time = start.elapsed();
    assert!(time < MAX_TIME, "{target}: from seed {name}: took {time:?}: {}", shown());
}

/// One to four changes: flips, numbers at their edges, cuts, repeats, splices of another seed.
fn mutated(bytes: &[u8], seeds: &[Seed], random: &mut Random) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(out.len() + 1);
        let end = out.len().min(at + 1 + random.below(32));
        match random.below(9) {
            0 | 1 => flip(&mut out, at, 1 << random.below(8)),
            2 => out.truncate(at),
            3 => drop(out.drain(at..end)),
            4 => drop(out.splice(at..at, random.bytes())),
            5 => {
                let again = out[at..end].to_vec();
                drop(out.splice(at..at, again));
            }
            6 => {
                let (_, other) = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let part = other[from..other.len().min(from + 1 + random.below(256))].to_vec();
                drop(out.splice(at..end, part));
            }
            7 => {
                let edge = [&[0xff; 4][..], &[0x7f, 0xff, 0xff, 0xff], &[0; 4], &[0x80], &[0x84]];
                let edge = edge[random.below(edge.len())].to_vec();
                drop(out.splice(at..out.len().min(at + edge.len()), edge));
            }
            _ => {
                let text = [
                    &b"\"\":{"[..],
                    b"..",
                    b"[[[[",
                    b"\0",
                    b"\xef\xbb\xbf",
                    b"-1",
                    b"1e400",
                    b"\n",
                ];
                drop(out.splice(at..at, text[random.below(text.len())].to_vec()));
            }
        }
    }
    out.truncate(MAX_INPUT);
    out
}

fn flip(bytes: &mut [u8], at: usize, mask: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= mask;
    }
}

/// SplitMix64: the same mutations on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..=self.below(8)).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}
