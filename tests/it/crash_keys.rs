//! Killed while keys are made: the files are those of before or of after, every configuration opens, the chain
//! holds, and no receipt is older than the last live token.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use claviger::Keyring;
use claviger::clock::{Clock, parse_rfc3339};
use claviger::journal::{Action, Actor, Event, Journal};
use claviger::rotation::Rotation;
use serde_json::Value;

use crate::workshop::{ES256, FORCE, TAIL, Workshop, jwk, retire};

const TOKENS: &str = "app.tokens";

/// A fixed sequence of delays: Knuth's multiplicative generator.
struct Delays(u64);

impl Delays {
    fn next(&mut self, below: Duration) -> Duration {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let micros = u64::try_from(below.as_micros()).unwrap().max(1);
        Duration::from_micros((self.0 >> 33) % micros)
    }
}

/// Runs a command and kills it somewhere in the time that it usually takes; whether it came to its end.
fn killed_somewhere(shop: &Workshop, arguments: &[&str], delay: Duration) -> bool {
    let mut command = shop.command(arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap().success()
}

/// How long a command takes here and now.
fn usual(shop: &Workshop, arguments: &[&str]) -> Duration {
    let start = std::time::Instant::now();
    let output = shop.run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    start.elapsed()
}

/// What must hold whenever a process has died: everything opens, and the chain holds.
fn assert_whole(shop: &Workshop, told: &str) {
    let opened = Keyring::open_once(&shop.config());
    assert!(opened.is_ok(), "{told}: {:?}\n{}", opened.unwrap_err().problems(), shop.text());
    let history = Journal::of(&shop.path().join("state")).read().unwrap();
    assert_eq!(history.broken, None, "{told}");
    assert_eq!(history.lost_head(&shop.path().join("state")), None, "{told}");
}

/// The next command ends what was cut short, and leaves nothing aside.
fn assert_mended(shop: &Workshop, told: &str) {
    let clock = Clock::system();
    drop(Rotation::open(&shop.config(), clock, Actor::of_this_process(None)).unwrap());
    let history = shop.history();
    assert!(history.unfinished().is_none() && history.broken.is_none(), "{told}");
}

fn kids(path: &Path) -> Vec<String> {
    let set: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let keys = set["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn killed_while_a_key_is_made_keystore_and_configuration_are_old_or_new() {
    let shop = Workshop::new();
    let keys = shop.path().join("keys.jwks");
    let took = usual(&shop, &["generate", "n", "--stage", ES256]);
    shop.apply_over(retire("n"), ES256, FORCE).unwrap();
    let old = shop.text();
    let mut delays = Delays(0x9E37_79B9_7F4A_7C15);
    let (mut killed, mut made) = (0, 0);
    for round in 0..150 {
        let alias = format!("n{round}");
        let before = kids(&keys);
        let delay = delays.next(took + took / 4);
        let ended = killed_somewhere(&shop, &["generate", &alias, "--stage", ES256], delay);
        killed += usize::from(!ended);
        let told = format!("round {round}");
        let (after, text) = (kids(&keys), shop.text());
        let grown = [before.as_slice(), std::slice::from_ref(&alias)].concat();
        assert!(after == before || after == grown, "{told}: {after:?}");
        assert!(
            text == old
                || text
                    == old.replace(
                        "    \"b\", # second\n",
                        &format!("    \"b\", # second\n    \"{alias}\",\n")
                    ),
            "{told}: {text}"
        );
        assert!(text == old || after == grown, "{told}: a key is listed that is not there");
        assert!(!ended || text != old, "{told}");
        assert_whole(&shop, &told);
        assert_mended(&shop, &told);
        if text != old {
            made += 1;
            shop.apply_over(retire(&alias), ES256, FORCE).unwrap();
            assert_eq!(shop.text(), old, "{told}");
        }
    }
    assert!(killed > 30 && made > 5, "{killed} of 150 were killed, {made} made their key");
    assert!(shop.text().ends_with(TAIL));
}

/// A volume of JWKs with one version of a label.
fn with_volume() -> Workshop {
    let shop = Workshop::new();
    let folder = shop.path().join("files");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(format!("{TOKENS}.v1")), jwk("v", "ec")).unwrap();
    shop.configure(
        "",
        &format!(
            "[stores.files]\nkind = \"volume\"\ndirectory = \"files\"\nformat = \"jwk\"\nversion_suffix = \".v\"\n\
             permissions = \"ignore\"\n[labels.\"{TOKENS}\"]\nuse = \"sign\"\nalgorithms = [\"ES256\"]\n"
        ),
    );
    shop
}

fn files(shop: &Workshop) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(shop.path().join("files")).unwrap();
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        (!name.starts_with("..")).then(|| (name, std::fs::read(entry.path()).unwrap()))
    };
    entries.filter_map(file).collect()
}

#[test]
fn killed_while_a_version_is_made_the_volume_is_old_or_new() {
    let mut shop = with_volume();
    let took = usual(&shop, &["generate", "n", "--stage", TOKENS]);
    let mut delays = Delays(7);
    let mut killed = 0;
    for round in 0..150 {
        if round % 10 == 0 {
            shop = with_volume();
        }
        let before = files(&shop);
        let delay = delays.next(took + took / 4);
        let ended = killed_somewhere(&shop, &["generate", "n", "--stage", TOKENS], delay);
        killed += usize::from(!ended);
        let told = format!("round {round}");
        assert_whole(&shop, &told);
        assert_mended(&shop, &told);
        let after = files(&shop);
        // The active version may have moved up for the new one: by content, all are there, and one more at most.
        let old: Vec<_> = before.values().collect();
        let new: Vec<_> = after.values().filter(|value| !old.contains(value)).collect();
        assert!(old.iter().all(|value| after.values().any(|one| one == *value)), "{told}");
        assert!(new.len() <= 1 && new.iter().all(|value| value.len() > 50), "{told}: {new:?}");
        assert!(!ended || new.len() == 1, "{told}");
        assert_eq!(shop.aliases(TOKENS).len(), after.len(), "{told}");
    }
    assert!(killed > 30, "{killed} of 150 were killed before their end");
}

fn seconds() -> u64 {
    Clock::system().now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token that lives for so many seconds, and who made it: its alias and its end.
fn token(shop: &Workshop, label: &str, lives: u64) -> (String, u64) {
    let exp = seconds() + lives;
    let keyring = Keyring::open_once(&shop.config()).unwrap();
    let handle = keyring.label(label).unwrap();
    let alias = handle.keys().unwrap().active().key.thumbprint().to_owned();
    drop(handle.sign(format!("{{\"exp\":{exp}}}").as_bytes()).unwrap());
    (alias, exp)
}

/// Keystore and volume that rotate every second.
fn restless(round: u64) -> Workshop {
    let shop = with_volume();
    let quick = "period = \"2s\"\npropagation = \"1s\"\noverlap = \"1s\"\n";
    let text = shop.text().replace(
        TAIL,
        &format!(
            "[rotation.\"{ES256}\"]\n{quick}alias = \"r{round}-{{date}}\"\n[rotation.\"{TOKENS}\"]\n{quick}alias = \
             \"t-{{date}}\"\n{TAIL}"
        ),
    );
    let text = text.replace("[policy]\n", "[policy]\npropagation = \"1s\"\nclock_skew = \"1s\"\n");
    let text = text.replace("max_token_lifetime = \"2h\"\n", "");
    std::fs::write(shop.config(), text).unwrap();
    shop
}

/// The receipts, each later than every token of its key.
fn receipts(shop: &Workshop, tokens: &[(String, u64)]) -> usize {
    let folder = shop.path().join("state/receipts");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let receipt: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let retired = parse_rfc3339(receipt["retired_at"].as_str().unwrap()).unwrap();
        let retired = retired.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let made = tokens.iter().filter(|(key, _)| receipt["thumbprint"] == key.as_str());
        for (_, exp) in made {
            assert!(*exp <= retired, "a token lived until {exp}: {receipt}");
        }
        count += 1;
    }
    count
}

#[test]
fn killed_while_schedules_run_everything_is_whole_and_no_receipt_comes_too_soon() {
    let mut delays = Delays(11);
    let shop = restless(0);
    let mut tokens: Vec<(String, u64)> = Vec::new();
    let took = usual(&shop, &["rotate", "--due"]);
    let (mut rounds, mut killed) = (0_u64, 0);
    // Several rotations of both, however fast this machine is: time has to pass for them.
    let start = std::time::Instant::now();
    while receipts(&shop, &tokens) < 3 || rounds < 150 {
        assert!(start.elapsed() < Duration::from_secs(600), "{rounds} rounds: {}", shop.text());
        for label in [ES256, TOKENS] {
            tokens.push(token(&shop, label, rounds % 3));
        }
        // A run with something to do takes longer than one without.
        let ended = killed_somewhere(&shop, &["rotate", "--due"], delays.next(took * 4));
        killed += usize::from(!ended);
        let told = format!("round {rounds}");
        assert!(shop.text().starts_with("# top\n") && shop.text().ends_with(TAIL), "{told}");
        assert!(shop.text().contains("# who signs") && shop.text().contains("# newest first"));
        assert_whole(&shop, &told);
        rounds += 1;
    }
    assert_mended(&shop, "at the end");
    let records = shop.history().records;
    let done = |action| {
        let steps = records.iter().filter(|one| one.event == Event::Done && one.action == action);
        steps.count()
    };
    let steps = [Action::Stage, Action::Promote, Action::Retire].map(done);
    println!("{killed} of {rounds} killed; staged, promoted, retired: {steps:?}");
    assert!(killed > 30 && steps.iter().all(|count| *count > 2), "{killed} {steps:?}");
}
