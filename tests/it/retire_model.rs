//! What the gate of `retire` says against what really lives, over random lives of keystores and volumes, of
//! signatures and of what is encrypted.

use std::time::UNIX_EPOCH;

use claviger::Keyring;
use claviger::config::Config;
use claviger::rotation::{NextKey, Request, Rotation, Step};

use crate::workshop::{ES256, FORCE, SEAL, TAIL, Workshop, jwk, promote, retire, stage};

const SIGNED_FILES: &str = "app.signed";
const SEALED_FILES: &str = "app.sealed";

/// SplitMix64: the same lives on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Something that was made: by which key, and until when somebody accepts it; `None`: for ever.
struct Made {
    label: &'static str,
    key: String,
    text: String,
    until: Option<u64>,
}

struct Life {
    shop: Workshop,
    random: Random,
    lifetime: Option<u64>,
    skew: u64,
    made: Vec<Made>,
    /// Verdicts that were compared, and how many of them were "not yet" and "never by itself".
    counts: [usize; 3],
}

const LABELS: [&str; 4] = [ES256, SEAL, SIGNED_FILES, SEALED_FILES];

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let lifetime = [None, Some(90), Some(3_000)][usize::try_from(random.below(3)).unwrap()];
        let skew = 1 + random.below(60);
        let shop = Workshop::new();
        let files = shop.path().join("files");
        std::fs::create_dir(&files).unwrap();
        for (label, key_type) in [(SIGNED_FILES, "ec"), (SEALED_FILES, "aes")] {
            for version in 1..4 {
                std::fs::write(
                    files.join(format!("{label}.v{version}")),
                    jwk("x", key_type)
                        .replace("\"kid\":\"x\"", &format!("\"kid\":\"{label}.{version}\"")),
                )
                .unwrap();
            }
        }
        let mut text = shop.text();
        let settings =
            lifetime.map_or_else(String::new, |secs| format!("max_token_lifetime = \"{secs}s\"\n"));
        text = text.replace("max_token_lifetime = \"2h\"\n", &settings);
        text = text.replace(
            "algorithms = [\"A256GCMKW\", \"A256GCM\"]\n",
            &format!("algorithms = [\"A256GCMKW\", \"A256GCM\"]\n{settings}"),
        );
        text = text.replace("[policy]\n", &format!("[policy]\nclock_skew = \"{skew}s\"\n"));
        text = text.replace("= [\"s\"]", "= [\"s\", \"t\"]");
        text = text.replace(TAIL, &format!(
            "[stores.files]\nkind = \"volume\"\ndirectory = \"files\"\nformat = \"jwk\"\nversion_suffix = \".v\"\npermissions = \
             \"ignore\"\n[labels.\"{SIGNED_FILES}\"]\nuse = \"sign\"\nalgorithms = [\"ES256\"]\n{settings}[labels.\"{SEALED_FILES}\"]\n\
             use = \"encrypt\"\nalgorithms = [\"A256GCMKW\", \"A256GCM\"]\n{settings}{TAIL}"
        ));
        std::fs::write(shop.config(), text).unwrap();
        let mut life = Self { shop, random, lifetime, skew, made: Vec::new(), counts: [0; 3] };
        match life.random.below(3) {
            // The journal begins: what stands there may have made things until now.
            0 => drop(life.shop.rotation()),
            // Every mapping is written whole by hand, later.
            1 => {
                life.shop.begin_empty();
                life.shop.wait(1 + life.random.below(6_000));
                drop(life.shop.rotation());
            }
            // So are volumes here; what is in the keystore came by steps and is new.
            _ => {
                life.shop.begin_without_keys();
                life.may_have_made(&[SIGNED_FILES, SEALED_FILES]);
                return life;
            }
        }
        life.may_have_made(&LABELS);
        life
    }

    /// Nobody knows what the keys of these labels made until now.
    fn may_have_made(&mut self, labels: &[&'static str]) {
        let until = self.lifetime.map(|lifetime| self.now() + lifetime + self.skew);
        for label in labels {
            for (_, key) in self.keys(label) {
                self.made.push(Made { label, key, text: String::new(), until });
            }
        }
    }

    fn now(&self) -> u64 {
        self.shop.now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    fn keyring(&self) -> Keyring {
        let config = Config::load(&self.shop.config()).unwrap();
        Keyring::from_config(config, self.shop.clock()).unwrap()
    }

    /// The aliases of a label with their thumbprints, the active one first.
    fn keys(&self, label: &str) -> Vec<(String, String)> {
        let keys = self.keyring().label(label).unwrap().keys().unwrap();
        let keys = keys.keys().iter();
        keys.map(|key| (key.alias.to_string(), key.key.thumbprint().to_owned())).collect()
    }

    fn make(&mut self, label: &'static str) {
        let key = self.keys(label).remove(0).1;
        let handle = self.keyring().label(label).unwrap();
        let now = self.now();
        let unlimited = self.lifetime.map(|lifetime| now + lifetime + self.skew);
        let (text, until) = match label {
            SEAL | SEALED_FILES => (handle.encrypt(b"plaintext").unwrap(), unlimited),
            // Without an end and without a lifetime nobody can know: now and then.
            _ if self.random.below(8) == 0 => {
                (handle.sign(br#"{"sub":"alice"}"#).unwrap(), unlimited)
            }
            _ => {
                let exp = now + self.random.below(6_000);
                let text = handle.sign(format!("{{\"exp\":{exp}}}").as_bytes()).unwrap();
                (text, Some(exp + self.skew))
            }
        };
        self.made.push(Made { label, key, text, until });
    }

    fn step(&mut self) {
        let label = LABELS[usize::try_from(self.random.below(4)).unwrap()];
        match self.random.below(6) {
            0 | 1 => self.make(label),
            2 | 3 => self.shop.wait(1 + self.random.below(600)),
            4 if self.keys(label).len() < 4 => self.stage_new(label),
            _ => {
                let keys = self.keys(label);
                let last = &keys.last().unwrap().0;
                self.shop.apply_over(promote(last), label, FORCE).unwrap();
            }
        }
    }

    /// A key that comes by a step made nothing before.
    fn stage_new(&mut self, label: &str) {
        let there = self.keys(label);
        let is_there = |alias: &str| there.iter().any(|(one, _)| one == alias);
        match label {
            ES256 => {
                if let Some(alias) = ["c", "d"].iter().find(|alias| !is_there(alias)) {
                    self.shop.apply(stage(alias), label).unwrap();
                }
            }
            SEAL => {}
            _ => {
                let request = Request::new(stage("next"), label).unwrap();
                let next = NextKey { days: 30, ..NextKey::default() };
                self.shop.rotation().generate(&request, &next).unwrap();
            }
        }
    }

    /// Compares the verdict about every key that does not act with what lives.
    fn compare(&mut self) {
        let rotation = Rotation::preview(&self.shop.config(), self.shop.clock()).unwrap();
        let now = self.now();
        for label in LABELS {
            for (alias, key) in self.keys(label).into_iter().skip(1) {
                let plan = rotation.plan(&Request::new(retire(&alias), label).unwrap()).unwrap();
                let mut ends = self.made.iter().filter(|one| one.label == label && one.key == key);
                let ends: Option<Vec<u64>> = ends.by_ref().map(|one| one.until).collect();
                // The moment from which on nothing of it is accepted; `None`: there is none.
                let real = ends.map(|ends| ends.into_iter().max().unwrap_or(0));
                let told = match plan.gates.as_slice() {
                    [] => Some(now),
                    [gate] => gate.opens_at.as_deref().map(|at| {
                        let at = claviger::clock::parse_rfc3339(at).unwrap();
                        at.duration_since(UNIX_EPOCH).unwrap().as_secs()
                    }),
                    several => panic!("{several:?}"),
                };
                let about = format!("{label} {alias} at {now}: {:?}", plan.gates);
                match real {
                    None => assert_eq!(told, None, "{about}"),
                    Some(real) => assert_eq!(told, Some(real.max(now)), "{about}"),
                }
                self.counts[0] += 1;
                self.counts[1] += usize::from(real.is_some_and(|real| real > now));
                self.counts[2] += usize::from(real.is_none());
            }
        }
    }

    /// Retires by force and sees that exactly the tokens of that key are refused.
    fn apply_one(&mut self) {
        let label = LABELS[usize::try_from(self.random.below(4)).unwrap()];
        let keys = self.keys(label);
        let (alias, gone) = keys.last().unwrap().clone();
        let step = Step::Retire { alias: alias.parse().unwrap() };
        self.shop.apply_over(step, label, FORCE).unwrap();
        let keyring = self.keyring();
        for made in self.made.iter().filter(|one| one.label == label && !one.text.is_empty()) {
            let handle = keyring.label(label).unwrap();
            let opens = match label {
                SEAL | SEALED_FILES => handle.decrypt(&made.text).is_ok(),
                _ => handle.verify(&made.text).is_ok(),
            };
            assert_eq!(opens, made.key != gone, "{label} {alias}");
        }
    }
}

#[test]
fn the_gate_of_a_retirement_opens_the_second_the_last_token_is_dead() {
    let workers: Vec<_> = (0..2_u64)
        .map(|worker| {
            std::thread::spawn(move || {
                let mut counts = [0; 3];
                for seed in 0..12 {
                    let mut life = Life::new(worker * 1_000 + seed);
                    for _ in 0..12 {
                        for _ in 0..3 {
                            life.step();
                        }
                        life.compare();
                    }
                    life.apply_one();
                    counts = [0, 1, 2].map(|index| counts[index] + life.counts[index]);
                }
                counts
            })
        })
        .collect();
    let all = workers.into_iter().map(|worker| worker.join().unwrap());
    let counts = all.fold([0; 3], |sum, one: [usize; 3]| [0, 1, 2].map(|at| sum[at] + one[at]));
    println!(
        "{} verdicts, {} of them \"not yet\", {} \"unknown\"",
        counts[0], counts[1], counts[2]
    );
    assert!(counts[0] > 2_000 && counts[1] > 400 && counts[2] > 200, "{counts:?}");
}
