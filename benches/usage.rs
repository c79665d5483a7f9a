//! What counting and proving cost: operations with a state directory against the same ones without, in turns,
//! in thread CPU time. Input: claims of 200 bytes, flat and nested; keys of 256 bits.
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

const ROUNDS: usize = 400;
const BATCH: u32 = 250;
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
    fn of(book: Option<&UsageBook>) -> Self {
        let label: LabelName = "app.tokens".parse().unwrap();
        let usage = |name| {
            book.map_or_else(KeyUsage::default, |book| book.reading().key(&label, None, name))
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

/// Nanoseconds a call, the median of the rounds, of each variant; the variants take turns. Where the stack stands
/// decides over some 10 ns, so each round has it elsewhere.
fn measure(variants: &[&dyn Fn()]) -> Vec<f64> {
    let mut times = vec![Vec::with_capacity(ROUNDS); variants.len()];
    for round in 0..ROUNDS {
        for (variant, times) in variants.iter().zip(&mut times) {
            deeper(round % PLACES, &mut || {
                let start = thread_time();
                for _ in 0..BATCH {
                    variant();
                }
                times.push((thread_time() - start).as_secs_f64() * 1e9 / f64::from(BATCH));
            });
        }
    }
    times
        .into_iter()
        .map(|mut times| {
            times.sort_by(f64::total_cmp);
            times.get(ROUNDS / 2).copied().unwrap_or_default()
        })
        .collect()
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

fn report(name: &str, variants: [&dyn Fn(); 3]) {
    let times = measure(&variants);
    let [bare, memory, durable] = times.as_slice() else { return };
    println!(
        "{name:28} {bare:9.1} ns   in memory {:+6.1} ns   with state_dir {:+6.1} ns",
        memory - bare,
        durable - bare
    );
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let state: &Path = folder.path();
    let memory = UsageBook::new(None, GCM_MESSAGES, Clock::system());
    let durable = UsageBook::new(Some(state), GCM_MESSAGES, Clock::system());
    let sets = [Sets::of(None), Sets::of(Some(&memory)), Sets::of(Some(&durable))];
    let [bare, in_memory, with_state] = &sets;
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
    report(
        "sign/HS256/flat claims",
        [&|| sign(bare, FLAT), &|| sign(in_memory, FLAT), &|| sign(with_state, FLAT)],
    );
    report(
        "sign/HS256/nested claims",
        [&|| sign(bare, NESTED), &|| sign(in_memory, NESTED), &|| sign(with_state, NESTED)],
    );
    report("verify/HS256", [&|| verify(bare), &|| verify(in_memory), &|| verify(with_state)]);
    report(
        "encrypt/A256GCMKW/A256GCM",
        [&|| encrypt(bare), &|| encrypt(in_memory), &|| encrypt(with_state)],
    );
    report(
        "decrypt/A256GCMKW/A256GCM",
        [&|| decrypt(bare), &|| decrypt(in_memory), &|| decrypt(with_state)],
    );

    let label: LabelName = "app.tokens".parse().unwrap();
    let key = |book: &UsageBook| book.reading().key(&label, None, "alone");
    let (none, memory_key, durable_key) = (KeyUsage::default(), key(&memory), key(&durable));
    let layer = |key: &KeyUsage, payload: &[u8]| {
        key.before_signing_payload(std::hint::black_box(payload), Life::Open).unwrap();
    };
    report(
        "layer/sign/flat claims",
        [&|| layer(&none, FLAT), &|| layer(&memory_key, FLAT), &|| layer(&durable_key, FLAT)],
    );
    report(
        "layer/sign/nested claims",
        [&|| layer(&none, NESTED), &|| layer(&memory_key, NESTED), &|| layer(&durable_key, NESTED)],
    );
    let seal =
        |key: &KeyUsage, random: bool| key.before_encrypting(std::hint::black_box(random)).unwrap();
    report(
        "layer/encrypt/random nonce",
        [&|| seal(&none, true), &|| seal(&memory_key, true), &|| seal(&durable_key, true)],
    );
    report(
        "layer/encrypt",
        [&|| seal(&none, false), &|| seal(&memory_key, false), &|| seal(&durable_key, false)],
    );
    report(
        "layer/verify",
        [&|| none.verified(), &|| memory_key.verified(), &|| durable_key.verified()],
    );
}
