//! The files of a state directory as entry points: journal, tombstones, traces and the usage of keys. Others may
//! write them, a crash cuts them short, and what was promised in them has to hold all the same.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use claviger::clock::Clock;
use claviger::drill::replay;
use claviger::journal::tombstones::{self, Tombstones};
use claviger::journal::{self, Action, Actor, Event, Journal, Record};
use claviger::keyring::Keyring;
use claviger::label::LabelName;
use claviger::trace::{self, Group, Outcome, Trace};
use claviger::usage::{Act, GCM_MESSAGES, KeyReport, Life, NEVER, UsageBook};
use claviger::{Config, json};

/// The label of everything here.
pub(crate) const LABEL: &str = "am.global.services.session.clientbased.signing.HMAC";
/// The key that the journal of [`tombstones`] revokes.
pub(crate) const REVOKED: &str = "Zm9yIGFsbCB0aGF0IHdlIGtub3cgaXQgaXMgYmFk-xx";
/// The key whose usage is kept.
pub(crate) const KEY: &str = "thumbprint";
pub(crate) const NOW: u64 = 1_800_000_000;

fn label() -> LabelName {
    LABEL.parse().expect("a label")
}

fn time(secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(secs)
}

/// In memory where there is such a folder: every input writes files.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder")
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("written");
}

/// A record that says something.
pub(crate) fn record(event: Event, action: Action) -> Record {
    let who = Actor { user: "alice".into(), ..Actor::default() };
    Record { label: Some(label()), ..Record::new(event, action, who, time(NOW)) }
}

/// A journal that revokes [`REVOKED`].
pub(crate) fn revoking() -> &'static [u8] {
    static JOURNAL: OnceLock<Vec<u8>> = OnceLock::new();
    JOURNAL.get_or_init(|| {
        let folder = folder();
        let mut begin = record(Event::Begin, Action::Revoke);
        begin.alias = Some("a".parse().expect("an alias"));
        begin.detail = Some(serde_json::json!({ "thumbprint": REVOKED }));
        let journal = Journal::of(folder.path());
        journal.append(vec![begin]).expect("appended");
        std::fs::read(journal.path()).expect("read")
    })
}

/// What is read is looked at from every side; what is appended is there, and breaks no chain that held.
pub(crate) fn journal(bytes: &[u8]) {
    let folder = folder();
    let journal = Journal::of(folder.path());
    write(journal.path(), bytes);
    let before = journal.read().expect("any bytes are a journal, whole or broken");
    for (name, keys) in before.mappings() {
        for key in keys {
            drop(before.spans(&name.label, name.realm.as_ref(), key, time(NOW)));
        }
    }
    let ends = before.max_ages(time(NOW)).count() + before.of_label(&label()).count();
    assert!(ends <= 2 * before.records.len());
    assert!(before.revocations().count() <= before.records.len());
    drop((before.unfinished(), before.head(), before.losses().count()));
    drop(journal::anchors::findings(folder.path(), &before));
    match journal.append(vec![record(Event::Noticed, Action::EditedByHand)]) {
        Ok(added) => {
            let after = journal.read().expect("read again");
            assert_eq!(after.records.last(), added.last(), "what was appended is not there");
            assert!(after.torn.is_none(), "a torn line was kept");
            if before.broken.is_none() {
                assert_eq!(after.broken, None, "appending broke the chain");
                assert_eq!(after.records.len(), before.records.len() + added.len());
            }
        }
        Err(_) => assert_eq!(std::fs::read(journal.path()).expect("read"), bytes),
    }
}

/// Whatever `revoked.json` says: what the journal revoked is refused.
pub(crate) fn revoked(bytes: &[u8]) {
    let folder = folder();
    write(&folder.path().join(tombstones::FILE_NAME), bytes);
    write(&folder.path().join(journal::FILE_NAME), revoking());
    if let Ok(stones) = Tombstones::load(folder.path()) {
        assert!(stones.find(REVOKED).is_some(), "a revocation was forgotten");
        assert!(stones.iter().all(|stone| stones.find(&stone.thumbprint) == Some(stone)));
    }
}

/// A group of uses, and how many of them end in the second minute of 1970.
pub(crate) fn group() -> Group {
    Group {
        label: Some(label()),
        realm: None,
        asked: None,
        instead: None,
        outcome: Outcome::Verified,
        kid: Some("the one that is always read".into()),
        alg: "HS256".into(),
        enc: None,
        key: KEY.into(),
    }
}

/// Bytes as a file, and as the body of a frame with a right sum: what follows them is read in any case.
pub(crate) fn traces(bytes: &[u8]) {
    let folder = folder();
    let path = folder.path().join("trace");
    let good = trace::frame(&[group()], &[[0, 100, 120, 3]]);
    let mut framed = b"CLVTRC1\n".to_vec();
    framed.extend(u32::try_from(bytes.len()).expect("short").to_le_bytes());
    framed.extend(crc32fast::hash(bytes).to_le_bytes());
    framed.extend(bytes);
    for front in [bytes, &framed] {
        write(&path, &[front, &good].concat());
        let trace = Trace::read(std::slice::from_ref(&path)).expect("one frame is whole");
        let kept = trace.groups.iter().find(|(one, _)| *one == group());
        let count = kept.and_then(|(_, tally)| tally.ends.get(&120).copied());
        assert!(count >= Some(3), "damage cost another frame");
        for (_, tally) in &trace.groups {
            let counts = tally.ends.values().chain(tally.open.values());
            assert_eq!(counts.fold(0, |sum: u64, one| sum.saturating_add(*one)), tally.count);
        }
        let keyring = keyring();
        let (config, snapshot) = (keyring.config(), keyring.snapshot());
        let replayed = replay(&trace, (&config, &snapshot), (&config, &snapshot), time(110));
        assert!(replayed.broken <= replayed.live);
    }
    write(&path, bytes);
    drop(Trace::read(std::slice::from_ref(&path)));
}

/// A keyring without a label.
fn keyring() -> &'static Keyring {
    const TEXT: &str = "[stores.none]\nkind = \"environment\"\n";
    static KEYRING: OnceLock<Keyring> = OnceLock::new();
    KEYRING.get_or_init(|| {
        let config = Config::from_text(TEXT, "claviger.toml".as_ref()).expect("a configuration");
        Keyring::from_config(config, Clock::from_fn(|| time(NOW))).expect("a keyring")
    })
}

/// For strict JSON the end of a payload is that of a full parse.
pub(crate) fn life(bytes: &[u8]) {
    let found = Life::of_payload(bytes);
    let Ok(claims) = json::parse_strict_object(bytes, 64) else { return };
    let Some(serde_json::Value::Number(exp)) = claims.get("exp") else {
        return assert_eq!(found, Life::Open);
    };
    let seconds = exp.as_f64().expect("a number").max(0.0);
    let Life::Until(end) = found else { panic!("a number, and no end is seen") };
    let [end, never] = [end, NEVER].map(|secs| Duration::from_secs(secs).as_secs_f64());
    assert!(end == seconds.ceil().min(never), "{end} for {seconds}");
}

/// Bytes as a usage file, as they are and with right sums: what is allowed is written, and nothing of before is
/// less.
pub(crate) fn usage(bytes: &[u8]) {
    let mut whole = bytes.to_vec();
    for copy in whole.chunks_exact_mut(1_024).filter(|copy| copy.starts_with(b"CLVUSE1\n")) {
        let (body, sum) = copy.split_at_mut(1_020);
        sum.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    }
    for file in [bytes, &whole] {
        let folder = folder();
        write(&folder.path().join("usage"), file);
        use_key(folder.path());
    }
}

/// Signs until [`NOW`] and an hour and encrypts, where the file lets it.
pub(crate) fn use_key(state: &Path) {
    let end = NOW + 3_600;
    let book = || UsageBook::new(Some(state), GCM_MESSAGES, Clock::from_fn(|| time(NOW)));
    let report = |book: &UsageBook| book.report(&label(), None, KEY).map_err(|error| error.kind());
    let before = report(&book());
    let using = book();
    let key = using.reading().key(&label(), None, KEY);
    let signed = key.before_signing(Life::Until(end)).is_ok();
    let encrypted = key.before_encrypting(true).is_ok();
    let known = report(&using);
    drop((key, using));
    let after = report(&book());
    // Where another record is damaged nothing is told of any key, and who has a whole one goes on.
    for (report, what) in [(known, "in the process"), (after.clone(), "in the file")] {
        let Ok(report) = report else { continue };
        assert!(!signed || report.latest_exp >= Some(end), "{what}: {report:?}");
        assert!(!encrypted || report.latest_open >= Some(NOW), "{what}: {report:?}");
        assert!(!encrypted || report.messages > 0, "{what}: {report:?}");
    }
    if let Ok(before) = before {
        let after = after.expect("what could be read cannot be read any more");
        assert_not_less(&before, &after);
        assert!(after.count(Act::Signed) >= u64::from(signed));
    }
}

fn assert_not_less(before: &KeyReport, after: &KeyReport) {
    assert!(before.latest_exp <= after.latest_exp, "{before:?} then {after:?}");
    assert!(before.latest_open <= after.latest_open, "{before:?} then {after:?}");
    assert!(before.messages <= after.messages, "{before:?} then {after:?}");
    for act in Act::ALL {
        assert!(before.count(act) <= after.count(act), "{before:?} then {after:?}");
        assert!(before.last(act) <= after.last(act), "{before:?} then {after:?}");
    }
}

/// What mutation starts from: files as we write them.
#[cfg(test)]
pub(crate) fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let seed = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    match target {
        "journal" => {
            let torn = revoking().get(..revoking().len() - 40).expect("longer").to_vec();
            let twice = [revoking(), &torn].concat();
            vec![seed("revoking", revoking().to_vec()), seed("torn", torn), seed("twice", twice)]
        }
        "revoked" => {
            let folder = folder();
            write(&folder.path().join(journal::FILE_NAME), revoking());
            let stones = Tombstones::load(folder.path()).expect("read");
            let keys: Vec<_> = stones.iter().collect();
            let text = serde_json::json!({ "keys": keys }).to_string();
            vec![seed("ours", text.into_bytes()), seed("empty", br#"{"keys":[]}"#.to_vec())]
        }
        "trace" => {
            let refused = Group { label: None, outcome: Outcome::Refused, ..group() };
            let groups = [group(), refused, Group { outcome: Outcome::Dropped, ..group() }];
            let records = [[0, 7, 0, 1], [1, 8, 60, 2], [2, 9, 0, u32::MAX], [0, 9, 120, 5]];
            let frame = trace::frame(&groups, &records);
            let body = frame.get(16..).expect("longer").to_vec();
            let two = [&frame[..], &frame[..frame.len() - 9], &frame].concat();
            vec![seed("body", body), seed("frame", frame), seed("damaged", two)]
        }
        _ => {
            let folder = folder();
            (0..3).for_each(|_| use_key(folder.path()));
            let mut file = std::fs::read(folder.path().join("usage")).expect("read");
            // The file's own record and two of the key; what follows is empty.
            file.truncate(8 << 10);
            vec![seed("used", file)]
        }
    }
}
