//! Times and numbers that no clock and no counter reaches, in files and tokens of others: refused or bounded.

use std::path::Path;

use claviger::crypto::sha256;
use claviger::error::ErrorKind;
use claviger::journal::{Actor, Journal};
use claviger::rotation::{Request, Rotation};

use crate::workshop::{ES256, NOW, Workshop, promote, retire, stage};

/// The last second of the year 9999; no text has a later one.
const LAST: &str = "9999-12-31T23:59:59Z";

/// Changes one record of the journal and every hash that follows from it, as whoever may write the file can.
fn forge(shop: &Workshop, change: impl Fn(&mut serde_json::Value)) {
    let path = shop.path().join("state/journal.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let last = text.lines().count() - 1;
    let mut previous = "0".repeat(64);
    let mut forged = String::new();
    for (index, line) in text.lines().enumerate() {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        if index == last {
            change(&mut line["record"]);
        }
        let body = line["record"].to_string();
        let bytes = sha256(&[previous.as_bytes(), b"\n", body.as_bytes()].concat());
        previous = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        forged.push_str(&format!("{{\"hash\":\"{previous}\",\"record\":{body}}}\n"));
    }
    std::fs::write(path, forged).unwrap();
}

/// Runs commands that read the state directory: none may panic (101).
fn look_around(shop: &Workshop) {
    let commands: &[&[&str]] = &[
        &["labels"],
        &["--json", "labels"],
        &["status"],
        &["history"],
        &["history", "--verify"],
        &["explain", ES256],
        &["jwks"],
        &["promote", "b", ES256, "--dry-run"],
        &["retire", "b", ES256, "--dry-run"],
        &["rotate", "--due", "--dry-run"],
    ];
    for command in commands {
        let output = shop.run(command);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code().is_some_and(|code| code <= 3), "{command:?}: {told}");
    }
}

#[test]
fn a_journal_whose_last_number_is_the_last_there_is_takes_no_record() {
    let shop = Workshop::new();
    shop.apply(stage("c"), ES256).unwrap();
    forge(&shop, |record| record["seq"] = u64::MAX.into());
    let history = Journal::of(&shop.path().join("state")).read().unwrap();
    assert!(history.broken.is_some() && history.next_seq().is_none(), "{history:?}");
    look_around(&shop);
    let before = std::fs::read(shop.path().join("state/journal.jsonl")).unwrap();
    let refused = Rotation::open(&shop.config(), shop.clock(), Actor::of_this_process(None));
    let refused = refused.and_then(|mut it| it.apply(&Request::new(stage("d"), ES256)?));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Damaged);
    assert_eq!(std::fs::read(shop.path().join("state/journal.jsonl")).unwrap(), before);
    assert_eq!(shop.aliases(ES256), ["a", "b", "c"], "the step was done");
}

#[test]
fn a_journal_from_the_end_of_time_is_read() {
    let shop = Workshop::new();
    shop.apply(stage("c"), ES256).unwrap();
    // In UTC this is in the year 10000.
    forge(&shop, |record| {
        record["time"] = "9999-12-31T23:59:59-23:00".into();
        record["max_age_secs"] = u64::MAX.into();
    });
    assert!(shop.history().broken.is_none());
    look_around(&shop);
    let told = shop.run(&["history"]);
    assert!(String::from_utf8_lossy(&told.stdout).contains(LAST), "{told:?}");
}

#[test]
fn a_token_that_ends_with_the_year_9999_is_told_of() {
    let shop = Workshop::new();
    let keyring = shop.keyring();
    let sign = |exp: u64| {
        keyring.label(ES256).unwrap().sign(format!("{{\"exp\":{exp}}}").as_bytes()).unwrap();
        keyring.usage().flush().unwrap();
    };
    sign(253_402_300_799);
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    look_around(&shop);
    let refused = shop.apply(retire("a"), ES256).unwrap_err();
    assert!(refused.message().contains(LAST), "{refused}");
}

/// Sets numbers of every record of the usage file, checksums included.
fn forge_usage(state: &Path, change: impl Fn(&mut Vec<u64>, &mut u64)) {
    let path = state.join("usage");
    let mut file = std::fs::read(&path).unwrap();
    for copy in file.chunks_mut(1024).filter(|copy| copy.starts_with(b"CLVUSE1\n")) {
        let word = |at: usize| u64::from_le_bytes(copy[at..at + 8].try_into().unwrap());
        let mut number = word(8);
        let mut at = 16;
        for _ in 0..3 {
            at += 2 + usize::from(u16::from_le_bytes([copy[at], copy[at + 1]]));
        }
        let mut numbers: Vec<u64> = (0..13).map(|index| word(at + index * 8)).collect();
        change(&mut numbers, &mut number);
        copy[8..16].copy_from_slice(&number.to_le_bytes());
        for (index, value) in numbers.iter().enumerate() {
            copy[at + index * 8..at + index * 8 + 8].copy_from_slice(&value.to_le_bytes());
        }
        let sum = crc32fast::hash(&copy[..1020]);
        copy[1020..].copy_from_slice(&sum.to_le_bytes());
    }
    std::fs::write(path, file).unwrap();
}

fn used() -> Workshop {
    let shop = Workshop::new();
    drop(shop.rotation());
    let keyring = shop.keyring();
    keyring.label(ES256).unwrap().sign(br#"{"exp":1800000100}"#).unwrap();
    keyring.usage().flush().unwrap();
    drop(keyring);
    shop
}

#[test]
fn a_usage_file_full_of_the_largest_numbers_is_read() {
    for value in [u64::MAX, u64::MAX >> 1, 253_402_300_799] {
        let shop = used();
        forge_usage(&shop.path().join("state"), |numbers, _| numbers.fill(value));
        look_around(&shop);
        shop.apply_over(promote("b"), ES256, NOW).unwrap();
        assert!(shop.apply(retire("a"), ES256).is_err());
    }
}

#[test]
fn a_record_with_the_last_number_is_not_written_as_an_older_one() {
    let shop = used();
    let state = shop.path().join("state");
    forge_usage(&state, |_, number| *number = u64::MAX);
    let before = std::fs::read(state.join("usage")).unwrap();
    let keyring = shop.keyring();
    let made = keyring.label(ES256).unwrap().sign(br#"{"exp":1900000000}"#);
    assert_eq!(made.unwrap_err().kind(), ErrorKind::UsageNotKept);
    assert_eq!(std::fs::read(state.join("usage")).unwrap(), before);
}
