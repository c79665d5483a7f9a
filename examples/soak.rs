//! Signs and verifies on all processors while three kinds of store rotate every 200 ms. Whatever a mapped
//! alias made has to verify, nothing may verify once its removal was acknowledged, memory stays flat. The
//! history goes to stdout, one JSON object a line: what each reader saw, in its order.
//!
//! `cargo run --release --example soak -- 60 > history.jsonl` (seconds; default 10)

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example")]

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use claviger::alg::Curve;
use claviger::crypto::generate::{KeySpec, generate};
use claviger::formats::{Entry, Material, pem, pkcs12};
use claviger::jose::jws::{self, SignOptions};
use claviger::keyring::ReloadEvent;
use claviger::secret::SecretString;
use claviger::{Keyring, Label};
use serde_json::json;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// The labels, by what holds them: a keystore, a volume of MAC keys, a volume of PEM files.
const LABELS: [&str; 3] = [
    "am.services.oauth2.oidc.signing.ES256",
    "am.services.iot.jwt.issuer.signing",
    "am.services.oauth2.stateless.signing.ES256",
];
const EVERY: Duration = Duration::from_millis(200);
/// Aliases a label keeps.
const KEPT: u64 = 3;
const PASSWORD: &str = "a-password-of-the-soak";

/// A label and an alias of it.
type Made = (usize, String);

#[derive(Default)]
struct Shared {
    tokens: Mutex<VecDeque<(Made, String)>>,
    /// Aliases whose removal began, and those whose removal was acknowledged.
    leaving: Mutex<HashSet<Made>>,
    gone: Mutex<HashSet<Made>>,
    history: Mutex<Vec<(String, u64, usize, String)>>,
    counts: [AtomicU64; 3],
    stop: AtomicBool,
}

fn main() -> Outcome {
    let seconds = std::env::args().nth(1).map_or(Ok(10), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let mut rotation = Rotation { root: folder.path(), number: [0; 3], keys: Vec::new() };
    (0..LABELS.len()).try_for_each(|label| rotation.advance(label).map(drop))?;
    let keyring = Keyring::open(&folder.path().join("claviger.toml"))?;
    let shared = Arc::new(Shared::default());
    let (acknowledge, acknowledged) = mpsc::channel();
    let told = Arc::clone(&shared);
    keyring.on_reload(move |event| {
        let ReloadEvent::Taken { diff, .. } = event else { return };
        for label in &diff.labels {
            let Some(at) = LABELS.iter().position(|name| *name == label.label.as_str()) else {
                continue;
            };
            let leaves = label.leaves.iter().map(|key| (at, key.alias.to_string()));
            lock(&told.gone).extend(leaves);
        }
        // Once the rotation is over nobody waits for it.
        acknowledge.send(()).unwrap_or(());
    });
    let readers = std::thread::available_parallelism()?.get();
    let begun = Instant::now();
    let mut resident = Vec::new();
    let result = std::thread::scope(|scope| -> Outcome {
        let workers: Vec<_> = (0..readers)
            .map(|number| {
                let (keyring, shared) = (&keyring, &*shared);
                scope.spawn(move || {
                    work(keyring, shared, &format!("reader-{number}"))
                        .map_err(|error| error.to_string())
                })
            })
            .collect();
        let mut round = 0;
        while begun.elapsed() < Duration::from_secs(seconds)
            && !workers.iter().any(|one| one.is_finished())
        {
            std::thread::sleep(EVERY);
            let label = round % LABELS.len();
            if let Some(alias) = rotation.alias(label, KEPT - 1) {
                lock(&shared.leaving).insert((label, alias));
            }
            rotation.advance(label)?;
            let newest = rotation.alias(label, 0).ok_or("no such label")?;
            let handle = keyring.label(LABELS.get(label).ok_or("no such label")?)?;
            while handle.keys()?.active().alias.as_str() != newest {
                acknowledged.recv_timeout(Duration::from_secs(30))?;
            }
            note(&keyring, &shared, "writer")?;
            resident.push(resident_kib()?);
            round += 1;
        }
        shared.stop.store(true, Relaxed);
        for worker in workers {
            worker.join().map_err(|_| "a reader panicked")??;
        }
        Ok(())
    });
    shared.stop.store(true, Relaxed);
    result?;
    let [signed, verified, refused] = &shared.counts;
    check(&lock(&shared.history))?;
    let early = resident.get(resident.len() / 4).copied().unwrap_or(0);
    let late = resident.last().copied().unwrap_or(0);
    eprintln!(
        "{signed:?} signed, {verified:?} verified, {refused:?} refused after removal; {} rotations, generation {}; {early} KiB, then {late} KiB",
        resident.len(),
        keyring.status().generation
    );
    assert!(refused.load(Relaxed) > 0, "no token outlived its alias");
    assert!(late < early + early / 4 + 8_192, "memory grows: {resident:?}");
    Ok(())
}

/// Signs, verifies what was made lately by anybody, and holds each answer against what is mapped.
fn work(keyring: &Keyring, shared: &Shared, name: &str) -> Outcome {
    let labels: Vec<Label> =
        LABELS.iter().map(|label| keyring.label(label)).collect::<Result<_, _>>()?;
    let mut turn: usize = name.len();
    while !shared.stop.load(Relaxed) {
        turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        for (at, label) in labels.iter().enumerate() {
            let keys = label.keys()?;
            let token = jws::sign(&keys, b"payload", &SignOptions::default())?;
            let made = (at, keys.active().alias.to_string());
            let [signed, ..] = &shared.counts;
            signed.fetch_add(1, Relaxed);
            judge(&labels, shared, &made, &token)?;
            // Every sixteenth, so that they are of several rotations.
            if turn >> 60 == 0 {
                let mut tokens = lock(&shared.tokens);
                tokens.push_back((made, token));
                if tokens.len() > 4_000 {
                    tokens.pop_front();
                }
            }
            let any = {
                let tokens = lock(&shared.tokens);
                tokens.get((turn >> 33) % tokens.len().max(1)).cloned()
            };
            if let Some((made, token)) = any {
                judge(&labels, shared, &made, &token)?;
            }
        }
        note(keyring, shared, name)?;
    }
    Ok(())
}

fn judge(labels: &[Label], shared: &Shared, made: &Made, token: &str) -> Outcome {
    let gone_before = lock(&shared.gone).contains(made);
    let Some(label) = labels.get(made.0) else { return Ok(()) };
    let verifies = label.verify(token).is_ok();
    let leaving_after = lock(&shared.leaving).contains(made);
    let [_, verified, refused] = &shared.counts;
    match verifies {
        true if gone_before => {
            Err(format!("{made:?} verifies after its removal was acknowledged"))?
        }
        false if !leaving_after => Err(format!("{made:?} is mapped and does not verify"))?,
        true => verified.fetch_add(1, Relaxed),
        false => refused.fetch_add(1, Relaxed),
    };
    Ok(())
}

/// Writes down what one snapshot shows to one reader, if that is new to it.
fn note(keyring: &Keyring, shared: &Shared, reader: &str) -> Outcome {
    let snapshot = keyring.snapshot();
    for (at, label) in LABELS.iter().enumerate() {
        let kid = snapshot.keys(None, &label.parse()?)?.active().kid.clone();
        let seen = (reader.to_owned(), snapshot.generation(), at, kid);
        let mut history = lock(&shared.history);
        if history.iter().rev().find(|one| one.0 == reader && one.2 == at) != Some(&seen) {
            println!(
                "{}",
                json!({ "reader": reader, "generation": seen.1, "label": label, "kid": seen.3 })
            );
            history.push(seen);
        }
    }
    Ok(())
}

/// No reader goes back, and a generation has one active kid a label.
fn check(history: &[(String, u64, usize, String)]) -> Outcome {
    let mut last: HashMap<&str, u64> = HashMap::new();
    let mut kids: HashMap<(u64, usize), &str> = HashMap::new();
    for (reader, generation, label, kid) in history {
        let before = last.insert(reader, *generation).unwrap_or(0);
        if before > *generation || *kids.entry((*generation, *label)).or_insert(kid) != kid {
            Err(format!(
                "{reader} saw generation {generation} after {before}, or another kid in it"
            ))?;
        }
    }
    Ok(())
}

/// Makes the next key of a label and takes the oldest away.
struct Rotation<'r> {
    root: &'r Path,
    number: [u64; 3],
    keys: Vec<Entry>,
}

impl Rotation<'_> {
    /// The alias that is `age` rotations old.
    fn alias(&self, label: usize, age: u64) -> Option<String> {
        let number = self.number.get(label)?.checked_sub(age).filter(|number| *number > 0)?;
        Some(if label == 0 {
            format!("k{number}")
        } else {
            format!("{}.v{number}", LABELS.get(label)?)
        })
    }

    fn advance(&mut self, label: usize) -> Outcome {
        let number = self.number.get_mut(label).ok_or("no such label")?;
        *number += 1;
        let number = *number;
        if label == 0 {
            self.keys.push(Entry::new(
                format!("k{number}"),
                Material::PrivateKey(generate(KeySpec::Curve(Curve::P256))?),
            ));
            if self.keys.len() > 4 {
                self.keys.remove(0);
            }
            let password = SecretString::from_string(PASSWORD.into());
            self.replace("keys.p12", &pkcs12::write(&self.keys, &password)?)?;
            return self.configure(number);
        }
        let folder = if label == 1 { "macs" } else { "pem" };
        let name = LABELS.get(label).ok_or("no such label")?;
        let text = if label == 1 {
            base64(generate(KeySpec::Oct { bytes: 32 })?.expose_secret())
        } else {
            let entry =
                Entry::new("k", Material::PrivateKey(generate(KeySpec::Curve(Curve::P256))?));
            pem::write(&[entry], false)?.expose_secret().to_owned()
        };
        // One directory a generation, swapped by its link as Kubernetes does: nobody sees a half change.
        let (next, old) = (format!("..{number}"), format!("..{}", number - 1));
        let root = self.root.join(folder);
        std::fs::create_dir_all(root.join(&next))?;
        for kept in (number + 1).saturating_sub(KEPT).max(1)..number {
            let file = format!("{name}.v{kept}");
            std::fs::copy(root.join(&old).join(&file), root.join(&next).join(&file))?;
        }
        std::fs::write(root.join(&next).join(format!("{name}.v{number}")), text)?;
        std::os::unix::fs::symlink(&next, root.join("..data_tmp"))?;
        std::fs::rename(root.join("..data_tmp"), root.join("..data"))?;
        drop(std::fs::remove_dir_all(root.join(old)));
        Ok(())
    }

    fn configure(&self, number: u64) -> Outcome {
        let mapped: Vec<String> = ((number + 1).saturating_sub(KEPT).max(1)..=number)
            .rev()
            .map(|one| format!("\"k{one}\""))
            .collect();
        let text = format!(
            "[stores.keys]\nkind = \"keystore\"\npath = \"keys.p12\"\nstore_password = {{ file = \"password\" }}\n\
             [stores.keys.mappings]\n\"{}\" = [{}]\n\
             [stores.macs]\nkind = \"volume\"\ndirectory = \"macs\"\nformat = \"base64\"\nversion_suffix = \".v\"\n\
             [stores.pem]\nkind = \"volume\"\ndirectory = \"pem\"\nformat = \"pem\"\nversion_suffix = \".v\"\n",
            LABELS[0],
            mapped.join(", ")
        );
        self.replace("password", PASSWORD.as_bytes())?;
        self.replace("claviger.toml", text.as_bytes())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Outcome {
        let path = self.root.join(name);
        if std::fs::read(&path).is_ok_and(|now| now == bytes) {
            return Ok(());
        }
        std::fs::write(self.root.join("aside"), bytes)?;
        Ok(std::fs::rename(self.root.join("aside"), path)?)
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn resident_kib() -> Outcome<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    Ok(pages.split(' ').nth(1).ok_or("no resident pages")?.parse::<usize>()? * 4)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
