//! Traces: what is recorded and what never is; and the verdicts of replays and rehearsals against what really
//! happens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use claviger::Keyring;
use claviger::alg::{Algorithm, Operation};
use claviger::clock::Clock;
use claviger::config::Config;
use claviger::drill::{self, Fate, Line};
use claviger::jose::jwe::{self, EncryptOptions};
use claviger::jose::jws::{self, SignOptions, VerifyOptions};
use claviger::label::{LabelName, Realm};
use claviger::ops::{self, KeySet, LabelKey, Role};
use claviger::trace::{self, END_BUCKET_SECS, Group, Outcome, Trace};
use claviger::usage::KeyUsage;
use serde_json::Value;

use crate::workshop::{ES256, SEAL, Workshop, jwk};

/// Switches recording on.
fn record(shop: &Workshop) {
    shop.configure("", "[trace]\nrecord = true\n");
}

fn keyring(shop: &Workshop) -> Keyring {
    Keyring::from_config(Config::load(&shop.config()).unwrap(), shop.clock()).unwrap()
}

fn read(shop: &Workshop) -> Trace {
    Trace::read(&trace::files(&shop.path().join("state"), 4)).unwrap()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn uses_are_recorded_and_tokens_are_not() {
    let shop = Workshop::new();
    record(&shop);
    let keyring = keyring(&shop);
    let (signing, sealing) = (keyring.label(ES256).unwrap(), keyring.label(SEAL).unwrap());
    let now = seconds(shop.now());
    let token = signing
        .sign(format!(r#"{{"sub":"alice-canary","exp":{}}}"#, now + 100).as_bytes())
        .unwrap();
    let sealed = sealing.encrypt(b"bob-canary").unwrap();
    for _ in 0..3 {
        let _ = signing.verify(&token).unwrap();
    }
    let _ = sealing.decrypt(&sealed).unwrap();
    signing.verify(&format!("{token}x")).unwrap_err();
    // The label as a realm that maps nothing sees it: recorded as it was asked.
    let _ = keyring.realm("alpha").unwrap().label(ES256).unwrap().verify(&token).unwrap();
    keyring.recorder().unwrap().flush().unwrap();

    let trace = read(&shop);
    let found: Vec<(&Group, u64)> =
        trace.groups.iter().map(|(group, tally)| (group, tally.count)).collect();
    assert_eq!(found.iter().map(|(_, count)| count).sum::<u64>(), 6, "{found:?}");
    let of = |outcome: Outcome, realm: Option<&str>| {
        let mut all = found.iter().filter(|(group, _)| {
            group.outcome == outcome && group.realm.as_ref().map(Realm::as_str) == realm
        });
        let one = all.next().unwrap();
        assert!(all.next().is_none());
        *one
    };
    let (verified, count) = of(Outcome::Verified, None);
    assert_eq!((verified.alg.as_str(), verified.kid.as_deref(), count), ("ES256", Some("a"), 3));
    assert_eq!(verified.key.len(), 43);
    assert_eq!(of(Outcome::Verified, Some("alpha")).1, 1);
    assert_eq!(of(Outcome::Decrypted, None).0.enc.as_deref(), Some("A256GCM"));
    let (refused, _) = of(Outcome::Refused, None);
    assert_eq!((refused.kid.as_deref(), refused.key.as_str()), (None, ""));
    // The end is rounded up to a minute, so that tokens are not told apart.
    let (_, tally) = trace.groups.iter().find(|(group, _)| group == verified).unwrap();
    let end = (now + 100).div_ceil(END_BUCKET_SECS) * END_BUCKET_SECS;
    assert_eq!(
        tally.ends.iter().map(|(end, count)| (u64::from(*end), *count)).collect::<Vec<_>>(),
        [(end, 3)]
    );

    let file = shop.path().join("state/trace/trace.0");
    let bytes = std::fs::read(&file).unwrap();
    for secret in ["canary", &token, &sealed, token.rsplit('.').next().unwrap()] {
        assert!(
            memchr::memmem::find(&bytes, secret.as_bytes()).is_none(),
            "{secret} is in the trace"
        );
    }
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn without_a_word_in_the_configuration_nothing_is_recorded() {
    let shop = Workshop::new();
    let keyring = keyring(&shop);
    let label = keyring.label(ES256).unwrap();
    let _ = label.verify(&label.sign(b"x").unwrap()).unwrap();
    drop((label, keyring));
    assert!(!shop.path().join("state/trace").exists());
    shop.edit("state_dir = \"state\"\n", "");
    std::fs::write(shop.config(), shop.text() + "[trace]\nrecord = true\n").unwrap();
    let output = shop.run(&["check", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("trace_without_state_dir") && text.contains("state_dir = "), "{text}");
}

#[test]
fn processes_share_one_trace_and_each_use_is_in_it() {
    let shop = Workshop::new();
    record(&shop);
    let token = shop.keyring().label(ES256).unwrap().sign(b"x").unwrap();
    std::fs::write(shop.path().join("token"), &token).unwrap();
    let mut running: Vec<_> = (0..12)
        .map(|_| {
            let mut command = shop.command(&["verify", "--label", ES256, "--in", "token"]);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            command.spawn().unwrap()
        })
        .collect();
    for process in &mut running {
        assert!(process.wait().unwrap().success());
    }
    let trace = read(&shop);
    assert_eq!((trace.damaged, trace.groups.len(), trace.groups[0].1.count), (0, 1, 12));
}

#[test]
fn files_are_bounded_and_damage_costs_one_frame() {
    let shop = Workshop::new();
    shop.configure("", "[trace]\nrecord = true\nmax_bytes = 65536\nmax_files = 3\n");
    let keyring = keyring(&shop);
    let label = keyring.label(ES256).unwrap();
    let token = label.sign(b"x").unwrap();
    let recorder = keyring.recorder().unwrap();
    let write = || {
        // Each second is a record of its own.
        for _ in 0..20 {
            shop.wait(1);
            let _ = label.verify(&token).unwrap();
        }
        recorder.flush().unwrap();
    };
    let folder = shop.path().join("state/trace");
    let mut rounds = 0;
    while !folder.join("trace.2").exists()
        || folder.join("trace.0").metadata().unwrap().len() < 4_000
    {
        write();
        rounds += 1;
        assert!(rounds < 2_000);
    }
    for round in 0..150 {
        write();
        let sizes: Vec<u64> = (0..4)
            .filter_map(|number| folder.join(format!("trace.{number}")).metadata().ok())
            .map(|facts| facts.len())
            .collect();
        assert!(sizes.len() <= 3 && sizes.iter().all(|size| *size <= 65_536), "{round}: {sizes:?}");
    }
    let whole = read(&shop);
    assert_eq!(whole.damaged, 0);
    let total = whole.groups[0].1.count;

    // A torn end, as of a crash, and a flipped bit in the middle.
    let path = folder.join("trace.1");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes.truncate(bytes.len() - 7);
    std::fs::write(&path, &bytes).unwrap();
    let hurt = read(&shop);
    // Two frames are lost, each of the uses of at most twenty seconds.
    let lost = total - hurt.groups[0].1.count;
    assert!(hurt.damaged == 2 && (2..=40).contains(&lost), "{} places, {lost} uses", hurt.damaged);
    // Where is told: the frame around the middle, and the end.
    let [first, last] = hurt.damage.as_slice() else { panic!("{:?}", hurt.damage) };
    let (middle, end) = (u64::try_from(middle).unwrap(), u64::try_from(bytes.len()).unwrap());
    assert!(first.from <= middle && middle < first.from + first.bytes, "{first:?} at {middle}");
    assert!(last.from > middle && last.from + last.bytes == end, "{last:?} at {end}");
    assert!(bytes[usize::try_from(first.from + first.bytes).unwrap()..].starts_with(b"CLVTRC1\n"));
    assert!((&first.file, first.most_records() >= 1) == (&path, true), "{first:?}");
    std::fs::copy(shop.config(), shop.path().join("next.toml")).unwrap();
    let output = shop.run(&["drill", "--plan", "next.toml"]);
    let words = String::from_utf8(output.stderr).unwrap();
    let told = format!(
        "trace.1 cannot be read from byte {} to {}: what",
        first.from,
        first.from + first.bytes
    );
    assert!(words.contains(&told), "{words}");
    // What is no trace at all is refused.
    std::fs::write(&path, b"something else").unwrap();
    assert!(Trace::read(&[path]).is_err());
}

#[test]
fn a_trace_that_cannot_be_written_stops_nothing_and_is_counted() {
    let shop = Workshop::new();
    record(&shop);
    let keyring = keyring(&shop);
    let label = keyring.label(ES256).unwrap();
    let token = label.sign(b"x").unwrap();
    let in_the_way = shop.path().join("state/trace");
    std::fs::write(&in_the_way, b"").unwrap();
    let recorder = keyring.recorder().unwrap();
    for _ in 0..5 {
        let _ = label.verify(&token).unwrap();
    }
    assert!(recorder.flush().is_err());
    assert_eq!(recorder.dropped(), 5);
    std::fs::remove_file(&in_the_way).unwrap();
    let _ = label.verify(&token).unwrap();
    recorder.flush().unwrap();
    let trace = read(&shop);
    assert_eq!(
        (trace.dropped, trace.groups.iter().map(|(_, tally)| tally.count).sum::<u64>()),
        (5, 1)
    );
    // A verdict does not cover them.
    std::fs::copy(shop.config(), shop.path().join("next.toml")).unwrap();
    let output = shop.run(&["drill", "--plan", "next.toml"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.code() == Some(3)
            && text.contains("more may break: 5 uses were not recorded"),
        "{text}"
    );
}

#[test]
fn a_future_mapping_is_told_what_it_breaks_and_until_when() {
    let shop = Workshop::new();
    record(&shop);
    let old = shop.text();
    let token = |payload: &str| {
        let label = shop.keyring().label(ES256).unwrap();
        std::fs::write(shop.path().join("token"), label.sign(payload.as_bytes()).unwrap()).unwrap();
        let output = shop.run(&["verify", "--label", ES256, "--in", "token"]);
        assert!(output.status.success());
    };
    token(r#"{"exp":4102444800}"#);
    token(r#"{"exp":4102444800}"#);
    token(r#"{"exp":1000000000}"#);
    let plan = |text: &str| std::fs::write(shop.path().join("next.toml"), text).unwrap();
    let run = |more: &[&str]| {
        let output = shop.run(&[&["drill", "--plan", "next.toml"], more].concat());
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    // Reordered: the old alias still verifies.
    plan(&old.replace("\"a\", # first\n    \"b\", # second", "\"b\", \"a\""));
    let (code, text) = run(&[]);
    assert!(code == 0 && text.starts_with("0 of 2 live tokens break at "), "{text}");
    // Gone: what it made breaks, until the last of it has ended.
    plan(&old.replace("\"a\", # first\n    \"b\", # second", "\"b\""));
    let (code, text) = run(&["--trace", "state/trace/trace.0"]);
    assert_eq!(code, 1, "{text}");
    let line = text.lines().nth(1).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(&words[..6], [ES256, "-", "a", "a", "ES256", "2"], "{text}");
    assert!(
        text.contains("2 of 2 live tokens break")
            && text.contains("none of them lives at 2100-01-01T00:01:00Z"),
        "{text}"
    );
    let (code, text) = run(&["--at", "2100-01-01T00:01:00Z"]);
    assert!(code == 0 && text.starts_with("0 of 0 live tokens break at 2100"), "{text}");
    let (_, text) = run(&["--json"]);
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["verdict"], "breaks");
    assert_eq!((&found["replay"]["broken"], &found["replay"]["ended"]), (&2.into(), &1.into()));
    assert_eq!(found["replay"]["breaks"][0]["why"], "key-not-tried");
    // Nothing recorded, nothing said.
    let (code, _) = run(&["--trace", "next.toml"]);
    assert_eq!(code, 3);
    let trace = shop.path().join("state/trace/trace.0");
    let whole = std::fs::read(&trace).unwrap();
    for length in [0, 5, 40] {
        std::fs::write(shop.path().join("cut"), &whole[..length]).unwrap();
        let (code, text) = run(&["--trace", "cut"]);
        assert_eq!(code, 3, "{length}: {text}");
        assert!(text.starts_with("nothing is proven: "), "{length}: {text}");
        let (_, text) = run(&["--trace", "cut", "--json"]);
        let found: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(found["verdict"], "unknown");
        let damage = &found["replay"]["damage"];
        assert_eq!(damage.as_array().unwrap().len(), usize::from(length > 0), "{length}: {text}");
    }
    // A torn last record is normal: what stands before it counts.
    std::fs::write(shop.path().join("cut"), &whole[..whole.len() - 7]).unwrap();
    let (code, text) = run(&["--trace", "cut"]);
    assert!(code == 1 && text.contains(" live tokens break"), "{text}");
    // What was made lives as long as it was to, whatever the future says of its own tokens.
    std::fs::remove_dir_all(shop.path().join("state/trace")).unwrap();
    token("no end");
    plan(&old.replace("\"a\", # first\n    \"b\", # second", "\"b\"").replace("\"2h\"", "\"1s\""));
    let in_an_hour = claviger::clock::rfc3339(Clock::system().now() + Duration::from_secs(3_600));
    let (code, text) = run(&["--at", &in_an_hour]);
    assert!(code == 1 && text.contains("1 of 1 live tokens break"), "{text}");
}

/// A small generator: the same run every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

const GENERIC: &str = "am.global.services.session.clientbased.signing";
/// What is asked for: two of them fall back to `GENERIC`.
const ASKED: [&str; 5] = [
    "app.sign",
    "app.seal",
    GENERIC,
    "am.global.services.session.clientbased.signing.ES256",
    "am.global.services.session.clientbased.signing.HMAC",
];
const REALMS: [Option<&str>; 3] = [None, Some("alpha"), Some("beta")];
const START: u64 = 1_800_000_000;

/// Keys for every random configuration, made once.
fn pool(folder: &Path) {
    let keys: Vec<String> = ["e1", "e2", "e3", "h1", "h2", "h3", "w1", "w2", "w3", "w4"]
        .iter()
        .map(|alias| {
            jwk(
                alias,
                match &alias[..1] {
                    "e" => "ec",
                    "h" => "hmac",
                    _ => "aes",
                },
            )
        })
        .collect();
    std::fs::write(folder.join("keys.jwks"), format!("{{\"keys\":[{}]}}", keys.join(","))).unwrap();
}

/// Some of `aliases` in any order, some under a kid of its own that another may have elsewhere.
fn list(dice: &mut Dice, aliases: &[&str]) -> String {
    let mut left = aliases.to_vec();
    let items: Vec<String> = (0..=dice.roll(3))
        .map(|_| {
            let alias = left.remove(dice.roll(left.len()));
            match dice.roll(4) {
                0 => format!("{{ alias = \"{alias}\", kid = \"k{}\" }}", dice.roll(3)),
                _ => format!("\"{alias}\""),
            }
        })
        .collect();
    format!("[{}]", items.join(", "))
}

/// A volume with version files of some labels.
#[derive(Default)]
struct RandomVolume {
    /// The lines that name it.
    text: String,
    /// The keystore of the same scope, and the labels that this one must leave to the volume.
    beside: &'static str,
    labels: Vec<&'static str>,
}

/// `keys` are those of [`pool`].
fn random_volume(dice: &mut Dice, folder: &Path, keys: &Value) -> RandomVolume {
    let volume = folder.join("volume");
    std::fs::create_dir(&volume).unwrap();
    let mut labels = Vec::new();
    for (label, aliases) in [
        ("app.sign", &["e1", "e2", "h1", "h2"][..]),
        ("app.seal", &["w1", "w2", "w3"]),
        (GENERIC, &["e3", "h3"]),
    ] {
        let mut left = aliases.to_vec();
        let versions = dice.roll(3);
        labels.extend((versions > 0).then_some(label));
        // Any numbers: the highest acts.
        for _ in 0..versions {
            let alias = left.remove(dice.roll(left.len()));
            let jwk =
                keys["keys"].as_array().unwrap().iter().find(|jwk| jwk["kid"] == alias).unwrap();
            let version = 1 + dice.roll(9);
            std::fs::write(volume.join(format!("{label}.v{version}")), jwk.to_string()).unwrap();
        }
    }
    let (beside, realm) = dice.pick(&[("g", ""), ("r", "realm = \"alpha\"\n")]);
    let text = format!(
        "[stores.v]\nkind = \"volume\"\n{realm}directory = \"volume\"\nformat = \"jwk\"\nversion_suffix = \".v\"\n\
         permissions = \"ignore\"\n"
    );
    RandomVolume { text, beside, labels }
}

/// Keystores alone, or a volume that is asked before or after them.
fn random_config(dice: &mut Dice, folder: &Path, keys: &Value) -> String {
    let mut text = format!(
        "[keyring]\nstate_dir = \"state\"\n[policy]\nclock_skew = \"{}s\"\n[trace]\nrecord = true\n",
        dice.pick(&[1, 60, 300])
    );
    let volume = match dice.roll(2) {
        0 => random_volume(dice, folder, keys),
        _ => RandomVolume::default(),
    };
    let first = dice.roll(2) == 0;
    if first {
        text.push_str(&volume.text);
    }
    for (store, realm) in [("g", ""), ("r", "realm = \"alpha\"\n"), ("b", "realm = \"beta\"\n")] {
        let mut mappings = String::new();
        for (label, aliases) in [
            ("app.sign", &["e1", "e2", "e3", "h1", "h2", "h3"][..]),
            ("app.seal", &["w1", "w2", "w3"]),
            (GENERIC, &["e1", "e2", "e3", "h1", "h2", "h3"]),
        ] {
            // The old session label is global.
            let elsewhere = label == GENERIC && store != "g";
            // A scope maps a label once.
            let taken = volume.beside == store && volume.labels.contains(&label);
            if elsewhere || taken || dice.roll(4) == 0 {
                continue;
            }
            mappings.push_str(&format!("\"{label}\" = {}\n", list(dice, aliases)));
        }
        if store == "g" && mappings.is_empty() && volume.beside != "g" {
            mappings = "\"app.seal\" = [\"w1\"]\n".into();
        }
        text.push_str(&format!(
            "[stores.{store}]\nkind = \"keystore\"\n{realm}path = \"keys.jwks\"\nintegrity = \"none\"\n\
             [stores.{store}.mappings]\n{mappings}"
        ));
    }
    if !first {
        text.push_str(&volume.text);
    }
    for (label, uses) in
        [("app.sign", "use = \"sign\"\n"), ("app.seal", "use = \"encrypt\"\n"), (GENERIC, "")]
    {
        let rows = match label {
            "app.sign" => {
                dice.pick(&["[\"ES256\", \"HS256\"]", "[\"HS512\", \"HS256\", \"ES256\"]"])
            }
            "app.seal" => dice.pick(&[
                "[\"A256KW\", \"A256GCM\"]",
                "[\"A256GCMKW\", \"A256KW\", \"A128GCM\", \"A256GCM\"]",
            ]),
            _ => "[\"ES256\", \"HS256\", \"HS384\", \"HS512\"]",
        };
        text.push_str(&format!("[labels.\"{label}\"]\n{uses}algorithms = {rows}\n"));
        text.push_str(dice.pick(&["", "valid = \"realm-only\"\n"]));
        text.push_str(dice.pick(&["", "unknown_kid = \"reject\"\n"]));
        text.push_str(dice.pick(&["", "", "max_tries = 1\n", "max_tries = 2\n"]));
        text.push_str(dice.pick(&["", "max_token_lifetime = \"2h\"\n"]));
    }
    text
}

/// A configuration, its traffic, and what was recorded of it.
struct World {
    keyring: Keyring,
    tokens: Vec<Sent>,
    trace: Trace,
}

impl World {
    fn has_volume_keys(&self) -> bool {
        let snapshot = self.keyring.snapshot();
        snapshot
            .labels()
            .into_values()
            .any(|set| set.keys().iter().any(|key| key.store.as_str() == "v"))
    }
}

/// What is verified or decrypted.
enum Token {
    Jose(String),
    /// A bare signature of `RAW`.
    Raw(Vec<u8>),
}

const RAW: &[u8] = b"a file";

/// A token that a label accepted.
struct Sent {
    label: &'static str,
    realm: Option<&'static str>,
    token: Token,
    /// When it ends; `None`: it does not say.
    exp: Option<u64>,
}

fn opens(keyring: &Keyring, label: &str, realm: Option<&str>, token: &Token) -> bool {
    let found = match realm {
        Some(realm) => keyring.realm(realm).unwrap().label(label),
        None => keyring.label(label),
    };
    found.is_ok_and(|found| match token {
        Token::Jose(text) if text.matches('.').count() == 2 => found.verify(text).is_ok(),
        Token::Jose(text) => found.decrypt(text).is_ok(),
        Token::Raw(bytes) => ops::verify_raw(&found.keys().unwrap(), RAW, bytes, None).is_ok(),
    })
}

/// Tokens of each alias of a set, under some of its algorithms, with kid and without.
fn traffic(dice: &mut Dice, set: &KeySet) -> Vec<(Token, Option<u64>)> {
    let mut tokens = Vec::new();
    for key in set.keys() {
        let key = LabelKey { usage: KeyUsage::default(), ..LabelKey::clone(key) };
        let rows: Vec<&'static Algorithm> = set.algorithms().to_vec();
        let alone = KeySet::new(
            set.label().clone(),
            set.uses().to_vec(),
            vec![key],
            rows,
            set.policy().clone(),
        )
        .unwrap();
        let exp =
            (dice.roll(4) > 0).then(|| START + 600 * u64::try_from(dice.roll(40)).unwrap() + 1);
        let payload = exp.map_or_else(|| "{}".to_owned(), |exp| format!("{{\"exp\":{exp}}}"));
        let without_kid = dice.roll(3) == 0;
        let fitting = |operation, role| {
            let fits = |row: &&&'static Algorithm| {
                row.operation == operation && alone.fits(alone.active(), row, role)
            };
            alone
                .algorithms()
                .iter()
                .filter(fits)
                .map(|row| row.name.to_owned())
                .collect::<Vec<_>>()
        };
        let signing = fitting(Operation::Sign, Role::Sign);
        if !signing.is_empty() {
            let algorithm = Some(signing[dice.roll(signing.len())].clone().into());
            let options = SignOptions { algorithm, without_kid, ..SignOptions::default() };
            let token = jws::sign(&alone, payload.as_bytes(), &options).unwrap();
            tokens.push((Token::Jose(token), exp));
            let row = &signing[dice.roll(signing.len())];
            let (signature, _) = ops::sign_raw(&alone, RAW, Some(row)).unwrap();
            // Nobody knows when a bare signature ends.
            tokens.push((Token::Raw(signature), None));
        }
        let wrapping = fitting(Operation::KeyManagement, Role::Encrypt);
        if !wrapping.is_empty() {
            let contents: Vec<&str> = alone
                .algorithms()
                .iter()
                .filter(|row| row.operation == Operation::Content)
                .map(|row| row.name)
                .collect();
            let options = EncryptOptions {
                algorithm: Some(wrapping[dice.roll(wrapping.len())].clone().into()),
                content: Some(dice.pick(&contents).to_owned().into()),
                without_kid,
                ..EncryptOptions::default()
            };
            let token = jwe::encrypt(&alone, payload.as_bytes(), &options).unwrap();
            tokens.push((Token::Jose(token), exp));
        }
    }
    tokens
}

fn world(dice: &mut Dice, pool: &Path, keys: &Value, number: usize) -> Option<World> {
    let folder = pool.join(number.to_string());
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(pool.join("keys.jwks"), folder.join("keys.jwks")).unwrap();
    let file = folder.join("claviger.toml");
    let clock = Clock::from_fn(|| UNIX_EPOCH + Duration::from_secs(START));
    let config = Config::from_text(&random_config(dice, &folder, keys), &file).unwrap();
    // Two keys under one kid: such a configuration is never in place.
    let keyring = Keyring::from_config(config, clock).ok()?;
    let mut tokens = Vec::new();
    for label in ASKED {
        for realm in REALMS {
            let (name, scope): (LabelName, Option<Realm>) =
                (label.parse().unwrap(), realm.map(|realm| realm.parse().unwrap()));
            let Ok(set) = keyring.snapshot().keys(scope.as_ref(), &name).cloned() else { continue };
            for (token, exp) in traffic(dice, &set) {
                if opens(&keyring, label, realm, &token) {
                    tokens.push(Sent { label, realm, token, exp });
                }
            }
        }
    }
    keyring.recorder().unwrap().flush().unwrap();
    let files: Vec<PathBuf> = trace::files(&folder.join("state"), 4);
    // A configuration without traffic leaves no trace.
    let trace = Trace::read(&files).unwrap();
    Some(World { keyring, tokens, trace })
}

/// The model: when a token ends, by its own word or by the longer one of both configurations, of the label that the
/// keys stand behind.
fn lives(sent: &Sent, keyrings: [&Keyring; 2], at: u64) -> bool {
    let configs = keyrings.map(Keyring::config);
    let skew = configs.each_ref().map(|config| config.policy.clock_skew.as_secs());
    let skew = skew.into_iter().max().unwrap();
    let label: LabelName = sent.label.parse().unwrap();
    let realm: Option<Realm> = sent.realm.map(|realm| realm.parse().unwrap());
    let lifetimes = keyrings.map(|keyring| {
        let set = keyring.snapshot().keys(realm.as_ref(), &label).ok().cloned();
        let name = set.as_ref().map_or(&label, |set| set.label());
        keyring.config().labels.get(name)?.value.max_token_lifetime
    });
    let lifetime = lifetimes.into_iter().flatten().max();
    match (sent.exp, lifetime) {
        (Some(exp), _) => exp.div_ceil(END_BUCKET_SECS) * END_BUCKET_SECS + skew > at,
        (None, Some(lifetime)) => START + lifetime.as_secs() + skew > at,
        (None, None) => true,
    }
}

#[test]
fn the_verdict_of_a_replay_is_what_happens_for_ten_thousand_pairs() {
    const WORLDS: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    pool(folder.path());
    let keys = std::fs::read(folder.path().join("keys.jwks")).unwrap();
    let keys: Value = serde_json::from_slice(&keys).unwrap();
    let mut dice = Dice(20_261_125);
    let mut worlds = Vec::new();
    let mut number = 0;
    while worlds.len() < WORLDS {
        worlds.extend(world(&mut dice, folder.path(), &keys, number));
        number += 1;
        assert!(number < 10 * WORLDS);
    }
    // Those in which a volume holds a key that acts or is tried.
    let with_volumes = worlds.iter().filter(|world| world.has_volume_keys()).count();
    assert!(with_volumes > 20, "{with_volumes}");
    let (mut pairs, mut safe, mut broken, mut live) = (0, 0, 0, 0_u64);
    for before in &worlds {
        for after in &worlds {
            // Traffic against the new configuration is recorded as well, and not read.
            let at = START + 300 * u64::try_from(dice.roll(160)).unwrap();
            let keyrings = [&before.keyring, &after.keyring];
            let (now, config) = (before.keyring.config(), after.keyring.config());
            let mut real: BTreeMap<(&str, Option<&str>), u64> = BTreeMap::new();
            let mut living = 0;
            for sent in before.tokens.iter().filter(|sent| lives(sent, keyrings, at)) {
                living += 1;
                if !opens(&after.keyring, sent.label, sent.realm, &sent.token) {
                    *real.entry((sent.label, sent.realm)).or_default() += 1;
                }
            }
            let time = UNIX_EPOCH + Duration::from_secs(at);
            let future = (&*config, &*after.keyring.snapshot());
            let present = (&*now, &*before.keyring.snapshot());
            let found = drill::replay(&before.trace, present, future, time);
            let mut told: BTreeMap<(&str, Option<&str>), u64> = BTreeMap::new();
            for one in &found.breaks {
                let realm = one.scope.realm.as_ref().map(Realm::as_str);
                *told.entry((one.scope.label.as_str(), realm)).or_default() += one.tokens;
            }
            assert_eq!((found.live, &told), (living, &real), "{:?}", found);
            assert_eq!(found.broken, real.values().sum::<u64>());
            pairs += 1;
            live += living;
            if found.broken == 0 { safe += 1 } else { broken += 1 }
        }
    }
    println!(
        "{pairs} pairs, {live} live tokens, {safe} safe, {broken} broken, of {number} configurations, {with_volumes} \
         with volumes"
    );
    assert!(pairs >= 10_000 && safe > 300 && broken > 3_000, "{safe} safe, {broken} broken");
}

/// What is rehearsed: a label, the keys that its lists are of, and those that may come next.
struct Rehearsed {
    label: &'static str,
    settings: &'static str,
    aliases: &'static [&'static str],
    next: &'static [&'static str],
    /// What the lines of its tokens begin with.
    tokens: &'static str,
}

const REHEARSED: [Rehearsed; 2] = [
    Rehearsed {
        label: "app.sign",
        settings: "use = \"sign\"\nalgorithms = [\"ES256\", \"HS256\"]\n",
        aliases: &["e1", "e2", "h1", "h2"],
        next: &["e3", "h3"],
        tokens: "JWS ",
    },
    Rehearsed {
        label: "app.seal",
        settings: "use = \"encrypt\"\nalgorithms = [\"A256KW\", \"A256GCMKW\", \"A128GCM\", \"A256GCM\"]\n",
        aliases: &["w1", "w2", "w3"],
        next: &["w4"],
        tokens: "JWE ",
    },
];

impl Rehearsed {
    /// Two lists of the label: the realm's and the global one.
    fn config(&self, lists: &[Vec<&str>; 2], settings: &str) -> String {
        let mut text = String::from("[keyring]\nreload = \"off\"\n");
        let label = self.label;
        for (store, realm, list) in [("r", "realm = \"alpha\"\n", &lists[0]), ("g", "", &lists[1])]
        {
            if !list.is_empty() {
                text.push_str(&format!(
                    "[stores.{store}]\nkind = \"keystore\"\n{realm}path = \"keys.jwks\"\nintegrity = \"none\"\n\
                     [stores.{store}.mappings]\n\"{label}\" = {list:?}\n"
                ));
            }
        }
        text + &format!("[labels.\"{label}\"]\n{}{settings}", self.settings)
    }

    fn view(&self, keyring: &Keyring, realm: Option<&Realm>) -> KeySet {
        let set = keyring.snapshot().keys(realm, &self.label.parse().unwrap()).unwrap().clone();
        KeySet::clone(&set)
    }

    /// A token of the kind that a line names, made with this key.
    fn token(&self, line: &Line, key: &LabelKey, like: &KeySet) -> String {
        let key = LabelKey { usage: KeyUsage::default(), ..LabelKey::clone(key) };
        let (label, rows) = (self.label.parse().unwrap(), like.algorithms().to_vec());
        let alone =
            KeySet::new(label, like.uses().to_vec(), vec![key], rows, like.policy().clone())
                .unwrap();
        let without_kid = line.kid == Some(false);
        let names = line.token.trim_start_matches(self.tokens).split(' ');
        let mut names = names.map(|name| name.to_owned().into());
        let (algorithm, content) = (names.next(), names.next());
        if content.is_none() {
            let options = SignOptions { algorithm, without_kid, ..SignOptions::default() };
            return jws::sign(&alone, b"{}", &options).unwrap();
        }
        let options =
            EncryptOptions { algorithm, content, without_kid, ..EncryptOptions::default() };
        jwe::encrypt(&alone, b"{}", &options).unwrap()
    }

    fn accepts(&self, set: &KeySet, token: &str) -> bool {
        if self.tokens == "JWS " {
            jws::verify(set, token, &VerifyOptions::default()).is_ok()
        } else {
            jwe::decrypt(set, token).is_ok()
        }
    }
}

/// The rehearsal of one scope, and the keyrings that its steps really lead to.
fn rehearse_for_real(dice: &mut Dice, folder: &Path, what: &Rehearsed) -> (usize, usize) {
    let some = |dice: &mut Dice, least: usize| {
        let mut left = what.aliases.to_vec();
        (0..least + dice.roll(3)).map(|_| left.remove(dice.roll(left.len()))).collect::<Vec<_>>()
    };
    let lists = [some(dice, 1), some(dice, 0)];
    let settings = [
        dice.pick(&["", "valid = \"realm-only\"\n"]),
        dice.pick(&["", "unknown_kid = \"reject\"\n"]),
        dice.pick(&["", "", "max_tries = 1\n", "max_tries = 2\n", "max_tries = 3\n"]),
    ]
    .concat();
    let load = |lists: &[Vec<&str>; 2]| {
        let file = folder.join("claviger.toml");
        let config = Config::from_text(&what.config(lists, &settings), &file).unwrap();
        Keyring::from_config(config, Clock::system()).unwrap()
    };
    // The realm's list rotates, or the global one where it has keys.
    let turns = if lists[1].is_empty() { 0 } else { dice.roll(2) };
    let realm: Option<Realm> = (turns == 0).then(|| "alpha".parse().unwrap());
    let kind = lists[turns][0].chars().next().unwrap();
    let real_next = what.next.iter().find(|next| next.starts_with(kind)).unwrap();
    let step = |change: &dyn Fn(&mut Vec<&str>)| {
        let mut lists = lists.clone();
        change(&mut lists[turns]);
        load(&lists)
    };
    let now = load(&lists);
    let steps = [
        what.view(&now, realm.as_ref()),
        what.view(&step(&|list| list.push(real_next)), realm.as_ref()),
        what.view(&step(&|list| list.insert(0, real_next)), realm.as_ref()),
        what.view(&step(&|list| list[0] = real_next), realm.as_ref()),
    ];
    let label: LabelName = what.label.parse().unwrap();
    let found = drill::rehearse(&now.config(), &now.snapshot(), &label, realm.as_ref());
    let found = found.unwrap().into_iter().find(|one| one.scope.realm == realm).unwrap();
    let mut told_breaks = 0;
    let mut compared = 0;
    for line in found.lines.iter().filter(|line| line.token.starts_with(what.tokens)) {
        let alias = if line.made_by == "NEW" { real_next } else { line.made_by.as_str() };
        let mut makers = steps.iter().flat_map(KeySet::keys);
        let key = makers.find(|key| key.alias.as_str() == alias).unwrap();
        let token = what.token(line, key, &steps[0]);
        for (set, fate) in steps.iter().zip(&line.fates) {
            let really = what.accepts(set, &token);
            assert_eq!(really, *fate == Fate::Accepted, "{lists:?} {settings} {realm:?}: {line:?}");
            told_breaks += usize::from(*fate == Fate::Breaks);
            compared += 1;
        }
    }
    (compared, told_breaks)
}

#[test]
fn a_rehearsal_says_what_every_step_really_does() {
    let folder = tempfile::tempdir().unwrap();
    pool(folder.path());
    let mut dice = Dice(7);
    for what in &REHEARSED {
        let (mut compared, mut breaks) = (0, 0);
        for _ in 0..250 {
            let (more, broken) = rehearse_for_real(&mut dice, folder.path(), what);
            compared += more;
            breaks += broken;
        }
        println!("{}: {compared} fates compared, {breaks} of them breaks", what.label);
        assert!(compared > 5_000 && breaks > 100, "{} {compared} {breaks}", what.label);
    }
}

#[test]
fn the_last_uses_before_nothing_more_is_asked_are_written_too() {
    let shop = Workshop::new();
    shop.configure("", "[trace]\nrecord = true\n");
    let keyring = Keyring::open_once(&shop.config()).unwrap();
    let label = keyring.label(ES256).unwrap();
    let token = label.sign(b"{\"exp\":4000000000}").unwrap();
    drop(label.verify(&token).unwrap());
    // Nobody asks for anything more, and the process lives on.
    let trace = shop.path().join("state/trace/trace.0");
    let patience = std::time::Instant::now() + Duration::from_secs(40);
    while !trace.exists() {
        assert!(std::time::Instant::now() < patience, "a replay would not know of it");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(keyring);
}
