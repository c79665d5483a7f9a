//! What is counted, bounded and refused: the usage of keys through the library and the command line.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use claviger::Keyring;
use claviger::clock::Clock;
use claviger::error::ErrorKind;
use claviger::label::LabelName;
use claviger::usage::{
    Act, Doubt, GCM_MESSAGES, Horizon, KeyReport, KeyUsage, Life, NEVER, Terms, UsageBook, Verdict,
};

const NOW: u64 = 1_800_000_000;

fn label() -> LabelName {
    "app.tokens".parse().unwrap()
}

fn at(secs: u64) -> Clock {
    Clock::from_fn(move || UNIX_EPOCH + Duration::from_secs(secs))
}

fn book(state: &Path) -> UsageBook {
    UsageBook::new(Some(state), GCM_MESSAGES, at(NOW))
}

fn key(book: &UsageBook) -> KeyUsage {
    book.reading().key(&label(), None, "thumbprint")
}

fn report(book: &UsageBook) -> KeyReport {
    book.report(&label(), None, "thumbprint").unwrap()
}

fn time(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

#[test]
fn counts_and_times_of_all_processes_come_together() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (book(folder.path()), book(folder.path()));
    for book in [&one, &two] {
        let key = key(book);
        for _ in 0..3 {
            key.before_signing(Life::Until(NOW + 5)).unwrap();
            key.verified();
        }
        key.decrypted();
        key.before_encrypting(true).unwrap();
    }
    drop(two);
    let both = report(&one);
    let counts = Act::ALL.map(|act| both.count(act));
    assert_eq!(counts, [2, 2, 6, 6]);
    assert!(Act::ALL.iter().all(|act| both.last(*act) == Some(NOW)));
    assert_eq!((both.messages, both.message_limit), (2, GCM_MESSAGES));
    assert_eq!((both.latest_exp, both.latest_open), (Some(NOW + 5), Some(NOW)));
    drop(one);
    assert_eq!(report(&book(folder.path())), both);
}

#[test]
fn what_is_not_known_is_not_provable() {
    let folder = tempfile::tempdir().unwrap();
    let terms = |lifetime: Option<u64>| Terms {
        lifetime: lifetime.map(Duration::from_secs),
        grace: Duration::from_secs(60),
        made_elsewhere: false,
        unrecorded_until: None,
        journal_broken: false,
    };
    let doubt = |report: &KeyReport, terms: &Terms| match report.verdict(terms, time(NOW)) {
        Verdict::NotProvable(doubt) => Some(doubt.code()),
        _ => None,
    };
    let memory = UsageBook::new(None, GCM_MESSAGES, at(NOW));
    key(&memory).before_signing(Life::Until(NOW + 5)).unwrap();
    assert_eq!(report(&memory).count(Act::Signed), 1);
    assert_eq!(doubt(&report(&memory), &terms(None)), Some("no_state_dir"));

    let book = book(folder.path());
    assert_eq!(report(&book).verdict(&terms(None), time(NOW)), Verdict::Safe);
    assert_eq!(report(&book).horizon(None), Horizon::Nothing);
    let elsewhere = Terms { made_elsewhere: true, ..terms(Some(90)) };
    assert_eq!(doubt(&report(&book), &elsewhere), Some("made_elsewhere"));

    let key = key(&book);
    key.before_signing(Life::Until(NOW - 61)).unwrap();
    assert_eq!(report(&book).verdict(&terms(None), time(NOW)), Verdict::Safe);
    key.before_signing(Life::Open).unwrap();
    assert_eq!(doubt(&report(&book), &terms(None)), Some("no_lifetime"));
    let after = Verdict::SafeAfter(NOW + 90 + 60);
    book.flush().unwrap();
    assert_eq!(report(&book).verdict(&terms(Some(90)), time(NOW)), after);
    assert_eq!(report(&book).verdict(&terms(Some(90)), time(NOW + 149)), after);
    assert_eq!(report(&book).verdict(&terms(Some(90)), time(NOW + 150)), Verdict::Safe);
    key.before_signing(Life::Until(NEVER)).unwrap();
    assert_eq!(doubt(&report(&book), &terms(Some(90))), Some(Doubt::WithoutEnd.code()));
}

#[test]
fn a_process_with_an_older_configuration_makes_nothing_after_a_retirement() {
    let folder = tempfile::tempdir().unwrap();
    let (stale, steps) = (book(folder.path()), book(folder.path()));
    let key_of_stale = key(&stale);
    key_of_stale.before_signing(Life::Until(NOW - 100)).unwrap();
    let mut held = steps.hold().unwrap().unwrap();
    let found = held.reports().unwrap().of(&label(), None, "thumbprint");
    assert_eq!(found.verdict(&Terms::default(), time(NOW)), Verdict::Safe);
    held.retire([(&label(), None, "thumbprint")]).unwrap();

    let refused = key_of_stale.before_signing(Life::Until(NOW + 5)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::KeyRetired);
    assert!(refused.help().unwrap().contains("reload"));
    assert_eq!(report(&steps).latest_exp, Some(NOW - 100));
    // What has long ended harms nobody; another key of the label and a key that came back go on.
    key_of_stale.before_signing(Life::Until(NOW - 100)).unwrap();
    let other = stale.reading().key(&label(), None, "other");
    other.before_signing(Life::Until(NOW + 5)).unwrap();
    key(&stale).before_signing(Life::Until(NOW + 5)).unwrap();
}

#[test]
fn a_clock_that_jumps_lowers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut latest = 0;
    for now in [NOW, NOW + 3_600, NOW - 3_600, NOW + 34_560_000, 0, 2_147_483_648, 4_294_967_296] {
        let book = UsageBook::new(Some(folder.path()), GCM_MESSAGES, at(now));
        let key = key(&book);
        key.before_signing(Life::Until(now + 10)).unwrap();
        key.before_signing(Life::Open).unwrap();
        key.verified();
        latest = latest.max(now);
        drop((key, book));
        let after = report(&self::book(folder.path()));
        assert_eq!((after.latest_exp, after.latest_open), (Some(latest + 10), Some(latest)));
        assert_eq!(after.last(Act::Verified), Some(latest));
    }
}

#[test]
fn a_key_stops_encrypting_at_its_last_message_and_goes_on_decrypting() {
    let folder = tempfile::tempdir().unwrap();
    let open = || UsageBook::new(Some(folder.path()), 10, at(NOW));
    for (process, expected) in [(0, 4), (1, 8), (2, 10)] {
        let book = open();
        // The nonces of a key are one set, whatever its labels.
        let other: LabelName = "app.other".parse().unwrap();
        let keys = [key(&book), book.reading().key(&other, None, "thumbprint")];
        for index in 0..4 {
            let spent = keys[index % 2].before_encrypting(true);
            if process * 4 + index < 10 {
                spent.unwrap();
                continue;
            }
            let error = spent.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BudgetSpent);
            assert!(error.message().contains("10 messages"));
            keys[0].decrypted();
            keys[0].before_encrypting(false).unwrap();
        }
        assert_eq!(report(&book).messages, u64::try_from(expected).unwrap());
        assert_eq!(report(&book).is_half_spent(), expected >= 5);
    }
    assert_eq!(report(&open()).messages, 10);
}

#[test]
fn nothing_is_made_where_nothing_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let book = book(&file.join("state"));
    let key = book.reading().key(&label(), None, "thumbprint");
    let error = key.before_signing(Life::Until(NOW + 5)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UsageNotKept);
    assert!(error.help().unwrap().starts_with("nothing was made"));
    assert!(key.before_encrypting(true).is_err());
    // Reading goes on.
    key.verified();
    key.decrypted();
    drop((key, book));
    assert_eq!(std::fs::read(&file).unwrap(), b"in the way");
}

/// Whoever signs, wraps or seals with a label's key writes it down first: the primitives that do it are named
/// in one file.
#[test]
fn only_one_place_makes_anything_with_a_key() {
    const MAKING: [&str; 7] = [
        "sign::sign(",
        "sign_into(",
        "sign_digest_into(",
        "cipher::establish(",
        "cipher::seal_direct(",
        "seal_with(",
        "sealed::encode(",
    ];
    /// The joint, the primitives, and values sealed under a key file of the command line.
    const MAY: [&str; 4] = ["keyring/acting.rs", "crypto/", "stores/mod.rs", "formats/sealed.rs"];
    /// Wraps for the certificates of peers as well; a label's key it gets from the joint alone.
    const FOR_PEERS: &str = "xmlsec/enc/encrypt.rs";
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut joint) = (vec![root.clone()], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let used = MAKING.iter().filter(|call| text.contains(*call));
            if MAY.iter().any(|may| name.starts_with(may)) {
                joint += usize::from(name == "keyring/acting.rs") * used.count();
                continue;
            }
            if name == FOR_PEERS {
                assert!(text.contains("set.recipient()") && !text.contains(".active()"), "{name}");
                continue;
            }
            let used: Vec<_> = used.collect();
            assert!(used.is_empty(), "{name} uses {used:?} past keyring/acting.rs");
        }
    }
    assert_eq!(joint, 5, "the joint itself uses them");
}

fn claviger(config: &Path, arguments: &[&str], input: &str) -> std::process::Output {
    use std::io::Write;
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_claviger"))
        .arg("-c")
        .arg(config)
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A configuration with one HMAC key, and the label that it signs for.
fn configured(folder: &Path, state_dir: &Path) -> std::path::PathBuf {
    let jwk = r#"{"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}"#;
    let secrets = folder.join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    std::fs::write(secrets.join("app.tokens"), jwk).unwrap();
    let config = folder.join("claviger.toml");
    let text = format!(
        "[keyring]\nstate_dir = {:?}\n[stores.keys]\nkind = \"volume\"\ndirectory = \"secrets\"\n\
         format = \"jwk\"\npermissions = \"ignore\"\n\
         [labels.\"app.tokens\"]\nuse = \"sign\"\nalgorithms = [\"HS256\"]\n",
        state_dir.to_str().unwrap()
    );
    std::fs::write(&config, text).unwrap();
    config
}

fn report_of_config(config: &Path) -> KeyReport {
    let keyring = Keyring::open_once(config).unwrap();
    let set = keyring.label("app.tokens").unwrap().keys().unwrap();
    keyring.usage().report(&label(), None, set.active().key.thumbprint()).unwrap()
}

#[test]
fn one_command_after_the_other_adds_to_the_same_record() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path(), Path::new("state"));
    for exp in [NOW + 7, NOW + 500, NOW + 90] {
        let payload = format!(r#"{{"exp":{exp}}}"#);
        let made = claviger(&config, &["sign", "--label", "app.tokens"], &payload);
        assert_eq!(made.status.code(), Some(0), "{made:?}");
        let token = String::from_utf8(made.stdout).unwrap();
        let read = claviger(&config, &["verify", "--label", "app.tokens"], &token);
        assert_eq!(read.status.code(), Some(0), "{read:?}");
    }
    let report = report_of_config(&config);
    // A command reserves nothing ahead.
    assert_eq!((report.latest_exp, report.latest_open), (Some(NOW + 500), None));
    assert_eq!((report.count(Act::Signed), report.count(Act::Verified)), (3, 3));
    let refused = claviger(&config, &["verify", "--label", "app.tokens"], "a.b.c");
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(report_of_config(&config).count(Act::Verified), 3);
}

#[test]
fn a_usage_file_that_cannot_be_written_stops_signing_and_not_verifying() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path(), Path::new("state"));
    std::fs::create_dir_all(folder.path().join("state/usage")).unwrap();
    let made = claviger(&config, &["sign", "--label", "app.tokens", "--json"], "{}");
    assert_eq!(made.status.code(), Some(3), "{made:?}");
    let answer: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(answer["error"]["code"], "usage_not_kept");
    assert!(answer["error"]["help"].as_str().unwrap().contains("state_dir"));
    let token = "eyJhbGciOiJIUzI1NiJ9.e30.AAAA";
    let read = claviger(&config, &["verify", "--label", "app.tokens"], token);
    assert_eq!(read.status.code(), Some(1), "{read:?}");
}

/// A file system of one megabyte, filled to the last byte: who has signed before signs on, since records
/// are changed in place; who has not makes nothing and says why; with room again everything works.
#[test]
fn a_full_disk_stops_no_one_who_signed_before_and_lets_out_nothing_unwritten() {
    let unshare = ["--mount", "--map-root-user", "true"];
    let possible = std::process::Command::new("unshare").args(unshare).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "no mount namespace under CI");
        return println!("a file system of its own cannot be mounted here");
    }
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let config = configured(folder.path(), &small.join("state"));
    let script = r#"
        set -e
        mount -t tmpfs -o size=1m none "$SMALL"
        sign() { printf '{"exp":%s}' "$1" | "$CLAVIGER" -c "$CONFIG" sign --label app.tokens --json; }
        sign 1800000001 > /dev/null
        dd if=/dev/zero of="$SMALL/fill" bs=4k 2> /dev/null || true
        dd if=/dev/zero of="$SMALL/rest" bs=1 2> /dev/null || true
        sign 1900000001 > /dev/null && echo "signs on"
        mv "$SMALL/state" "$SMALL/old"
        sign 1900000002 || echo "exit $?"
        rm "$SMALL/fill"
        sign 1900000003 > /dev/null && echo "signs again"
    "#;
    let output = std::process::Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script])
        .env("SMALL", &small)
        .env("CONFIG", &config)
        .env("CLAVIGER", env!("CARGO_BIN_EXE_claviger"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [on, refused, exit, again] = lines.as_slice() else { panic!("{text} {:?}", output.stderr) };
    assert_eq!((*on, *exit, *again), ("signs on", "exit 3", "signs again"));
    let refused: serde_json::Value = serde_json::from_str(refused).unwrap();
    assert_eq!(refused["error"]["code"], "usage_not_kept");
    assert!(refused["error"]["help"].as_str().unwrap().contains("make room"), "{refused}");
}

#[test]
fn what_was_used_last_before_nobody_asks_for_more_is_known_to_others() {
    let shop = crate::workshop::Workshop::new();
    shop.edit("state_dir", "reload = \"1s\"\nstate_dir");
    let keyring = Keyring::open(&shop.config()).unwrap();
    let label = keyring.label(crate::workshop::ES256).unwrap();
    let token = label.sign(b"{\"exp\":4000000000}").unwrap();
    drop(label.verify(&token).unwrap());
    let set =
        keyring.snapshot().keys(None, &crate::workshop::ES256.parse().unwrap()).unwrap().clone();
    let verified = || {
        let other = Keyring::open_once(&shop.config()).unwrap();
        let thumbprint = set.active().key.thumbprint();
        let report = other.usage().report(set.label(), None, thumbprint).unwrap();
        report.count(Act::Verified)
    };
    // The process lives on, and nobody asks it for anything.
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while verified() == 0 {
        assert!(
            std::time::Instant::now() < patience,
            "whoever looks takes the key for one that nobody uses"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(keyring);
}
