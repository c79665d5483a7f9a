//! What counting and proving cost: operations with a state directory against the same ones without, in turns,
//! in thread CPU time. Input: claims of 200 bytes, flat and nested; keys of 256 bits. Where keys lie in memory, and where
//! the stack stands, decides over some 10 ns of an operation: both are varied, and another set of keys that nobody counts
//! shows what is left of that.
//!
//! `cargo bench --bench usage`

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::path::Path;
use std::time::Duration;

use claviger::alg::Algorithm;
use claviger::catalogue::LabelUse;
use claviger::clock::Clock;
use claviger::crypto::{Key, OctType};
use claviger::formats::JwkHints;
use claviger::jose::jwe::{self, EncryptOptions};
use claviger::jose::jws::{self, SignOptions, VerifyOptions};
use claviger::label::LabelName;
use claviger::ops::{KeySet, KeySetPolicy, LabelKey};
use claviger::secret::SecretBytes;
use claviger::usage::{GCM_MESSAGES, KeyUsage, Life, UsageBook};
use rustix::time::{ClockId, clock_gettime};

/// Sets of keys, each elsewhere in memory.
const HOUSES: usize = 40;
/// Of each of them.
const ROUNDS: usize = 40;
const BATCH: u32 = 100;
/// On the stack; no power of two.
const PLACES: usize = 97;

const FLAT: &[u8] = br#"{"iss":"https://login.example.com/oauth2","sub":"5a3c9b1e-alice","aud":"api","iat":1800000000,"exp":4102444800,"jti":"k7Qw0hXq2m","scope":"openid profile email","auth_time":1799999990,"acr":"1"}"#;
const NESTED: &[u8] = br#"{"iss":"https://login.example.com/oauth2","sub":"5a3c9b1e-alice","aud":"api","iat":1800000000,"exp":4102444800,"cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},"realm_access":{"roles":["a"]}}"#;

fn set(usage: KeyUsage, oct: OctType, uses: &[LabelUse], rows: &[&str]) -> KeySet {
    let key = Key::from_secret(SecretBytes::from_slice(&[7; 32]), oct).unwrap();
    let key = LabelKey {
        alias: "key".parse().unwrap(),
        store: "store".parse().unwrap(),
        realm: None,
        kid: "kid".into(),
        key,
        hints: JwkHints::default(),
        usage,
    };
    let rows = rows.iter().map(|name| Algorithm::find(name).unwrap()).collect();
    let label = "app.tokens".parse().unwrap();
    KeySet::new(label, uses.to_vec(), vec![key], rows, KeySetPolicy::default()).unwrap()
}

struct Sets {
    signing: KeySet,
    sealing: KeySet,
}

impl Sets {
    fn of(book: Option<&UsageBook>, house: usize) -> Self {
        let label: LabelName = "app.tokens".parse().unwrap();
        let usage = |name: &str| {
            let name = format!("{name}{house}");
            book.map_or_else(KeyUsage::default, |book| book.reading().key(&label, None, &name))
        };
        let (sign, seal) =
            ([LabelUse::Sign, LabelUse::Verify], [LabelUse::Encrypt, LabelUse::Decrypt]);
        Self {
            signing: set(usage("s"), OctType::Hmac, &sign, &["HS256"]),
            sealing: set(usage("e"), OctType::Aes, &seal, &["A256GCMKW", "A256GCM"]),
        }
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Nanoseconds a call in each round, of each variant.
type Times = [Vec<f64>; 4];

/// Adds rounds in which the variants take turns.
fn measure(variants: [&dyn Fn(); 4], times: &mut Times) {
    for round in 0..ROUNDS {
        for (variant, times) in variants.iter().zip(times.iter_mut()) {
            deeper(round % PLACES, &mut || {
                // What the one before it left in the caches is its own affair.
                variant();
                let start = thread_time();
                for _ in 0..BATCH {
                    variant();
                }
                times.push((thread_time() - start).as_secs_f64() * 1e9 / f64::from(BATCH));
            });
        }
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Does it some frames further down the stack.
#[inline(never)]
fn deeper(frames: usize, act: &mut dyn FnMut()) {
    let room = std::hint::black_box([0_u8; 16]);
    match frames.checked_sub(1) {
        Some(frames) => deeper(frames, act),
        None => act(),
    }
    std::hint::black_box(room);
}

/// What was measured, by name.
#[derive(Default)]
struct Report(Vec<(&'static str, Times)>);

impl Report {
    /// Variants: nobody counts; nobody counts, with other keys; in memory; with a state directory.
    fn add(&mut self, name: &'static str, variants: [&dyn Fn(); 4]) {
        let known = self.0.iter().position(|(known, _)| *known == name);
        let at = known.unwrap_or_else(|| {
            self.0.push((name, Times::default()));
            self.0.len() - 1
        });
        if let Some((_, times)) = self.0.get_mut(at) {
            measure(variants, times);
        }
    }

    fn print(&mut self) {
        for (name, times) in &mut self.0 {
            let [bare, other, memory, durable] = times.each_mut().map(|times| median(times));
            println!(
                "{name:28} {bare:9.1} ns   other keys {:+6.1} ns   in memory {:+6.1} ns   with state_dir {:+6.1} ns",
                other - bare,
                memory - bare,
                durable - bare
            );
        }
    }
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let state: &Path = folder.path();
    let memory = UsageBook::new(None, GCM_MESSAGES, Clock::system());
    let durable = UsageBook::new(Some(state), GCM_MESSAGES, Clock::system());
    let mut report = Report::default();
    let mut kept = Vec::new();
    for house in 0..HOUSES {
        // What is allocated next lies elsewhere in its lines and pages.
        kept.push(vec![0_u8; 16 + house * 1_808 % 8_192]);
        add_house(&mut report, house, [None, None, Some(&memory), Some(&durable)]);
    }
    report.print();
}

fn add_house(report: &mut Report, house: usize, books: [Option<&UsageBook>; 4]) {
    let sets = books.map(|book| Sets::of(book, house));
    let [bare, other, in_memory, with_state] = &sets;
    let token = jws::sign(&bare.signing, FLAT, &SignOptions::default()).unwrap();
    let sealed = jwe::encrypt(&bare.sealing, FLAT, &EncryptOptions::default()).unwrap();

    let sign = |sets: &Sets, payload: &[u8]| {
        std::hint::black_box(jws::sign(&sets.signing, payload, &SignOptions::default()).unwrap());
    };
    let verify = |sets: &Sets| {
        let options = VerifyOptions::default();
        drop(std::hint::black_box(jws::verify(&sets.signing, &token, &options).unwrap()));
    };
    let encrypt = |sets: &Sets| {
        let options = EncryptOptions::default();
        std::hint::black_box(jwe::encrypt(&sets.sealing, FLAT, &options).unwrap());
    };
    let decrypt = |sets: &Sets| {
        drop(std::hint::black_box(jwe::decrypt(&sets.sealing, &sealed).unwrap()));
    };
    let mut of_sets = |name, act: &dyn Fn(&Sets)| {
        let variants: [&dyn Fn(); 4] =
            [&|| act(bare), &|| act(other), &|| act(in_memory), &|| act(with_state)];
        report.add(name, variants);
    };
    of_sets("sign/HS256/flat claims", &|sets| sign(sets, FLAT));
    of_sets("sign/HS256/nested claims", &|sets| sign(sets, NESTED));
    of_sets("verify/HS256", &verify);
    of_sets("encrypt/A256GCMKW/A256GCM", &encrypt);
    of_sets("decrypt/A256GCMKW/A256GCM", &decrypt);

    let label: LabelName = "app.tokens".parse().unwrap();
    let [none, none_other, in_memory, with_state] = books.map(|book| {
        let name = format!("alone{house}");
        book.map_or_else(KeyUsage::default, |book| book.reading().key(&label, None, &name))
    });
    let mut of_layer = |name, act: &dyn Fn(&KeyUsage)| {
        let variants: [&dyn Fn(); 4] =
            [&|| act(&none), &|| act(&none_other), &|| act(&in_memory), &|| act(&with_state)];
        report.add(name, variants);
    };
    let signs = |key: &KeyUsage, payload: &[u8]| {
        key.before_signing_payload(std::hint::black_box(payload), Life::Open).unwrap();
    };
    let seals =
        |key: &KeyUsage, random: bool| key.before_encrypting(std::hint::black_box(random)).unwrap();
    of_layer("layer/sign/flat claims", &|key| signs(key, FLAT));
    of_layer("layer/sign/nested claims", &|key| signs(key, NESTED));
    of_layer("layer/encrypt/random nonce", &|key| seals(key, true));
    of_layer("layer/encrypt", &|key| seals(key, false));
    of_layer("layer/verify", &KeyUsage::verified);
}
