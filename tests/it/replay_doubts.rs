//! What a trace does not answer keeps a replay from saying that nothing breaks.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use claviger::label::LabelName;
use claviger::trace::{self, Group, Outcome, Trace};
use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::workshop::{ES256, SEAL, Workshop};

/// A configuration with a trace, and `next.toml` as it is.
fn recording(more: &str) -> Workshop {
    let shop = Workshop::new();
    shop.configure("", &format!("{more}\n[trace]\nrecord = true\n"));
    std::fs::copy(shop.config(), shop.path().join("next.toml")).unwrap();
    shop
}

fn verdict(output: &Output) -> (i32, Value) {
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code().unwrap(), found)
}

fn use_once(shop: &Workshop) {
    let keyring = shop.keyring();
    let label = keyring.label(ES256).unwrap();
    let _ = label.verify(&label.sign(br#"{"exp":4102444800}"#).unwrap()).unwrap();
}

#[test]
fn a_trace_with_holes_proves_nothing_and_still_says_what_breaks() {
    let shop = recording("");
    use_once(&shop);
    let drill = |more: &[&str]| shop.run(&[&["drill", "--plan", "next.toml"], more].concat());
    let (code, found) = verdict(&drill(&["--json"]));
    assert_eq!((code, &found["verdict"]), (0, &"safe".into()), "{found}");
    assert_eq!(found["replay"]["doubts"], Value::Array(Vec::new()));

    let path = shop.path().join("state/trace/trace.0");
    let whole = std::fs::read(&path).unwrap();
    // A frame that a crash cut short, a use that was not written, a word of a later version.
    let named = |outcome: &str| {
        let label: LabelName = ES256.parse().unwrap();
        let group = Group {
            label: Some(label),
            realm: None,
            asked: None,
            instead: None,
            outcome: Outcome::Verified,
            kid: None,
            alg: "ES256".into(),
            enc: None,
            key: "k".into(),
        };
        let text = serde_json::to_string(&group).unwrap().replace("verified", outcome);
        let group: Group = serde_json::from_str(&text).unwrap();
        trace::frame(&[group], &[[0, 1_800_000_000, 0, 7]])
    };
    let holes = [
        (whole[..whole.len() - 7].to_vec(), "1 place of the trace cannot be read"),
        (named("dropped"), "7 uses were not recorded"),
        (named("outlived"), "7 uses are of a kind that this version does not know"),
    ];
    for (hole, doubt) in holes {
        std::fs::write(&path, [&whole[..], &hole[..]].concat()).unwrap();
        let output = drill(&[]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(text.starts_with("0 of 1 live tokens break at "), "{text}");
        assert!(text.contains(&format!("more may break: {doubt}\n")), "{text}");
        let (code, found) = verdict(&drill(&["--json"]));
        assert_eq!((code, &found["verdict"]), (3, &"unknown".into()), "{found}");
        assert_eq!(found["replay"]["doubts"], serde_json::json!([doubt]));
    }
    // What breaks for certain breaks.
    let gone = shop.text().replace("\"a\", # first", "");
    std::fs::write(shop.path().join("next.toml"), gone).unwrap();
    let output = drill(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("1 of 1 live tokens break") && text.contains("more may break: "),
        "{text}"
    );
}

#[test]
fn settings_of_which_a_trace_says_nothing_are_told() {
    const SESSIONS: &str = "[sessions]\nabsolute = \"2h\"\nidle = \"30m\"\n";
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.current_dir(folder.path()).env_remove("CLAVIGER_CONFIG").args(arguments);
        command.output().unwrap()
    };
    assert!(run(&["init", "."]).status.success());
    let config = folder.path().join("claviger.toml");
    let text = std::fs::read_to_string(&config).unwrap() + "[trace]\nrecord = true\n";
    let text = text
        .replace("[labels.\"app.session.seal\"]\n", "[labels.\"app.session.seal\"]\nzip = true\n");
    std::fs::write(&config, &text).unwrap();
    std::fs::write(folder.path().join("claims"), br#"{"sub":"alice"}"#).unwrap();
    assert!(run(&["session", "seal", "--in", "claims", "--out", "cookie"]).status.success());
    assert!(run(&["session", "open", "--in", "cookie"]).status.success());
    assert!(run(&["encrypt", "--label", SEAL, "--in", "claims", "--out", "jwe"]).status.success());
    assert!(run(&["decrypt", "--label", SEAL, "--in", "jwe"]).status.success());

    let plan = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        std::fs::write(folder.path().join("next.toml"), text.replacen(from, to, 1)).unwrap();
        let (code, found) = verdict(&run(&["drill", "--plan", "next.toml", "--json"]));
        let opens = run(&["-c", "next.toml", "session", "open", "--in", "cookie"]);
        (code, found["replay"]["doubts"].clone(), opens.status.success())
    };
    let sessions = |more: &str| plan(SESSIONS, &format!("[sessions]\n{more}\n"));
    for (more, doubt) in [
        ("order = \"encrypt-then-sign\"", "`order` of [sessions] is another"),
        ("issuer = \"https://a.example\"", "`issuer` of [sessions] is another"),
        ("idle = \"1s\"", "`idle` of [sessions] is shorter"),
        ("absolute = \"1s\"\nidle = \"off\"", "`absolute` of [sessions] is shorter"),
    ] {
        let (code, doubts, opens) = sessions(more);
        // A session that was made just now is not too old yet.
        assert!(!opens || doubt.ends_with("shorter"), "{more}: the session is accepted");
        assert_eq!((code, doubts), (3, serde_json::json!([doubt])), "{more}");
    }
    // Which labels open sessions a trace does say.
    for more in ["signing = [\"ES256\"]", "encryption = []"] {
        let (code, doubts, opens) = sessions(more);
        assert_eq!((code, doubts, opens), (1, serde_json::json!([]), false), "{more}");
    }
    for (from, to, doubt) in [
        ("zip = true\n", "", format!("label \"{SEAL}\" no longer allows zip")),
        (
            "[sessions]",
            "[policy.limits]\nmax_token_bytes = 1024\n[sessions]",
            "`max_token_bytes` of [policy.limits] is lower".into(),
        ),
    ] {
        let (code, doubts, _) = plan(from, to);
        assert_eq!((code, doubts), (3, serde_json::json!([doubt])), "{to}");
    }
    // What lets more pass is no doubt.
    for more in [
        "absolute = \"9h\"\nidle = \"off\"",
        "idle = \"1h\"\ncookie = \"s\"",
        "signing = [\"HMAC\"]",
    ] {
        let (code, doubts, opens) = sessions(more);
        assert_eq!((code, doubts, opens), (0, serde_json::json!([]), true), "{more}");
    }
}

fn append(path: &Path) -> File {
    OpenOptions::new().append(true).open(path).unwrap()
}

#[test]
fn a_frame_that_is_being_written_is_waited_for() {
    let shop = recording("");
    use_once(&shop);
    let folder = shop.path().join("state/trace");
    let path = folder.join("trace.0");
    let frame = std::fs::read(&path).unwrap();
    let lock = append(&folder.join("lock"));
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    append(&path).write_all(&frame[..20]).unwrap();
    let state = shop.path().join("state");
    let reader = std::thread::spawn(move || Trace::kept(&state, 4).unwrap());
    std::thread::sleep(Duration::from_millis(50));
    append(&path).write_all(&frame[20..]).unwrap();
    // As a writer does that finds it full.
    std::fs::rename(&path, folder.join("trace.1")).unwrap();
    std::fs::write(&path, &frame).unwrap();
    drop(lock);
    let trace = reader.join().unwrap();
    let uses: u64 = trace.groups.iter().map(|(_, tally)| tally.count).sum();
    assert_eq!((trace.damaged, uses), (0, 3));
}
