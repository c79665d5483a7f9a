//! The journal: every change of a line shows, a torn line is dropped, a step that was cut short is ended.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use claviger::journal::{Action, Actor, Event, History, Journal, Record};

use crate::workshop::{ES256, NOW, SEAL, Workshop, promote, retire, revoke, stage};

fn file(shop: &Workshop) -> PathBuf {
    shop.path().join("state/journal.jsonl")
}

/// A workshop with seven records in its journal.
fn with_records() -> Workshop {
    let shop = Workshop::new();
    shop.apply(stage("c"), ES256).unwrap();
    shop.wait(10);
    shop.apply_over(promote("c"), ES256, NOW).unwrap();
    shop.wait(10);
    shop.apply(revoke("b"), ES256).unwrap();
    shop
}

#[test]
fn any_changed_byte_shows() {
    let shop = with_records();
    let whole = std::fs::read(file(&shop)).unwrap();
    assert_eq!(shop.history().records.len(), 7);
    for at in (0..whole.len()).step_by(5).chain([whole.len() - 1]) {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(file(&shop), &changed).unwrap();
        let history = shop.history();
        assert!(history.broken.is_some() || history.torn.is_some(), "byte {at}");
    }
}

#[test]
fn lines_that_are_missing_swapped_or_put_in_show_with_their_number() {
    let shop = with_records();
    let text = std::fs::read_to_string(file(&shop)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut missing = lines.clone();
    missing.remove(2);
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    let mut twice = lines.clone();
    twice.insert(2, lines[1]);
    for (changed, line) in [(missing, 3), (swapped, 3), (twice, 3)] {
        std::fs::write(file(&shop), changed.join("\n") + "\n").unwrap();
        assert_eq!(shop.history().broken.unwrap().line, line);
        let output = shop.run(&["--json", "history", "--verify"]);
        assert_eq!(output.status.code(), Some(1));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["broken"]["line"], line);
    }
    // A broken journal still takes records: what was revoked stays so.
    shop.apply(stage("d"), ES256).unwrap();
    let problems = claviger::keyring::check(&shop.config(), &shop.clock()).unwrap();
    assert!(problems.iter().any(|one| one.code == "state_altered"), "{problems:?}");
}

/// What `history --verify` says, and how it ends.
fn verified(shop: &Workshop, more: &[&str]) -> (Option<i32>, String) {
    let output = shop.run(&[&["history", "--verify"], more].concat());
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_tail_that_was_cut_off_shows_in_what_names_its_records() {
    let shop = with_records();
    let text = std::fs::read_to_string(file(&shop)).unwrap();
    let head = shop.history().head().unwrap();
    let (code, told) = verified(&shop, &["--head", &head.hash]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("record 7") && told.contains(&head.hash), "{told}");

    let cut: String = text.lines().take(5).map(|line| format!("{line}\n")).collect();
    std::fs::write(file(&shop), &cut).unwrap();
    let (code, told) = verified(&shop, &[]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("journal.head names record 7"), "{told}");
    // The tombstone of the revocation names its record too.
    assert!(told.contains("revoked.json"), "{told}");

    // A whole directory of before is told by a head that was kept elsewhere, and by nothing else.
    let old = History::head(&shop.history()).unwrap();
    std::fs::write(
        shop.path().join("state/journal.head"),
        format!("{{\"seq\":{},\"hash\":\"{}\"}}", old.seq, old.hash),
    )
    .unwrap();
    std::fs::remove_file(shop.path().join("state/revoked.json")).unwrap();
    assert_eq!(verified(&shop, &[]).0, Some(0));
    let (code, told) = verified(&shop, &["--head", &head.hash]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("no record has the hash"), "{told}");
}

#[test]
fn the_next_step_after_a_cut_leaves_a_record_of_it() {
    let shop = with_records();
    let text = std::fs::read_to_string(file(&shop)).unwrap();
    let lost = shop.history().head().unwrap();
    let cut: String = text.lines().take(3).map(|line| format!("{line}\n")).collect();
    std::fs::write(file(&shop), cut).unwrap();
    let rotation = shop.rotation();
    assert!(
        rotation.notes().iter().any(|note| note.contains("record 7")),
        "{:?}",
        rotation.notes()
    );
    drop(rotation);
    let history = shop.history();
    assert_eq!(history.losses().next(), Some((4, lost)));
    let (code, told) = verified(&shop, &[]);
    assert!(told.contains("record 4 says that record 7 was missing"), "{told}");
    // The tombstone still names a record that is not there.
    assert_eq!(code, Some(1), "{told}");
    assert!(listed(&shop).contains("record 7 was missing: the end was cut off"));
    shop.apply(stage("d"), ES256).unwrap();
    assert_eq!(shop.history().losses().count(), 1, "once is enough");
}

/// What `history` says.
fn listed(shop: &Workshop) -> String {
    String::from_utf8(shop.run(&["history"]).stdout).unwrap()
}

#[test]
fn a_receipt_names_its_record() {
    let shop = Workshop::new();
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    shop.wait(10_000);
    shop.apply(retire("a"), ES256).unwrap();
    assert_eq!(verified(&shop, &[]).0, Some(0));
    let text = std::fs::read_to_string(file(&shop)).unwrap();
    let cut: String = text.lines().take(3).map(|line| format!("{line}\n")).collect();
    std::fs::write(file(&shop), cut).unwrap();
    std::fs::remove_file(shop.path().join("state/journal.head")).unwrap();
    let (code, told) = verified(&shop, &[]);
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("receipts/") && told.contains("which the journal does not have"),
        "{told}"
    );
}

#[test]
fn a_torn_last_line_is_dropped_and_recorded() {
    let shop = with_records();
    let whole = std::fs::read(file(&shop)).unwrap();
    for cut in [1, 40, 100] {
        std::fs::write(file(&shop), &whole[..whole.len() - cut]).unwrap();
        assert_eq!(shop.history().torn.unwrap().line, 7);
    }
    let rotation = shop.rotation();
    assert!(rotation.notes().iter().any(|note| note.contains("line 7")), "{:?}", rotation.notes());
    drop(rotation);
    let history = shop.history();
    assert_eq!((history.broken, history.torn), (None, None));
    let dropped = history.records.iter().find(|record| record.action == Action::Recover).unwrap();
    assert!(dropped.detail.as_ref().unwrap()["torn_bytes"].as_u64().unwrap() > 100);
    assert!(listed(&shop).contains("bytes of a last line that a crash cut short were dropped"));
    // The step whose end was torn had been done.
    let ended = history.records.iter().rfind(|record| record.action == Action::Revoke).unwrap();
    assert_eq!((ended.event, ended.begin), (Event::Done, Some(6)));
}

#[test]
fn a_step_that_was_cut_short_is_ended_by_the_next_command() {
    for done in [true, false] {
        let shop = Workshop::new();
        drop(shop.rotation());
        let before = shop.text();
        shop.apply(stage("c"), ES256).unwrap();
        let text = std::fs::read_to_string(file(&shop)).unwrap();
        let kept: Vec<&str> = text.lines().take(2).collect();
        std::fs::write(file(&shop), kept.join("\n") + "\n").unwrap();
        if !done {
            std::fs::write(shop.config(), &before).unwrap();
        }
        assert_eq!(shop.history().unfinished().unwrap().seq, 2);
        drop(shop.rotation());
        let history = shop.history();
        assert!(history.unfinished().is_none() && history.broken.is_none());
        let last = history.records.last().unwrap();
        let expected = if done { Event::Done } else { Event::Aborted };
        assert_eq!((last.event, last.action, last.begin), (expected, Action::Stage, Some(2)));
    }
}

#[test]
fn a_revocation_that_was_cut_short_holds() {
    let shop = Workshop::new();
    drop(shop.rotation());
    let before = shop.text();
    shop.apply(revoke("b"), ES256).unwrap();
    let text = std::fs::read_to_string(file(&shop)).unwrap();
    let kept: Vec<&str> = text.lines().take(2).collect();
    std::fs::write(file(&shop), kept.join("\n") + "\n").unwrap();
    std::fs::write(shop.config(), &before).unwrap();
    std::fs::remove_file(shop.path().join("state/revoked.json")).unwrap();
    assert_eq!(shop.aliases(ES256), ["a"]);
    drop(shop.rotation());
    assert!(shop.path().join("state/revoked.json").exists());
    assert_eq!(shop.history().records.last().unwrap().event, Event::Done);
    assert_eq!(shop.aliases(ES256), ["a"]);
}

#[test]
fn the_past_is_known() {
    let shop = with_records();
    let history = shop.history();
    let at = |seconds: u64| {
        let time = UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds);
        let mappings = history.mappings_at(time);
        let found = mappings.iter().find(|(name, _)| name.label.as_str() == ES256);
        found.map_or_else(Vec::new, |(_, keys)| {
            keys.iter().map(|key| key.alias.to_string()).collect()
        })
    };
    assert_eq!(at(5), ["a", "b", "c"]);
    assert_eq!(at(15), ["c", "a", "b"]);
    assert_eq!(at(25), ["c", "a"]);
    let key = history.records[1].changes[0].after[2].clone();
    let spans = history.spans(
        &ES256.parse().unwrap(),
        None,
        &key,
        UNIX_EPOCH + Duration::from_secs(1_800_000_100),
    );
    let lived: Vec<(bool, bool)> =
        spans.iter().map(|span| (span.active, span.until.is_none())).collect();
    assert_eq!(lived, [(false, false), (true, true)]);
}

#[test]
fn records_of_several_writers_make_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::of(folder.path());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let journal = journal.clone();
            scope.spawn(move || {
                for _ in 0..25 {
                    let who = Actor { name: Some(format!("writer {writer}")), ..Actor::default() };
                    let record = Record::new(Event::Refused, Action::Stage, who, UNIX_EPOCH);
                    journal.append(vec![record.clone(), record]).unwrap();
                }
            });
        }
    });
    let history = journal.read().unwrap();
    assert_eq!((history.broken, history.records.len()), (None, 200));
}

#[test]
fn a_refusal_says_its_realm_and_one_of_an_earlier_version_none() {
    let shop = Workshop::new();
    shop.apply(stage("c"), ES256).unwrap();
    let mut refused = Record::new(Event::Refused, Action::Stage, Actor::default(), UNIX_EPOCH);
    refused.label = Some(ES256.parse().unwrap());
    let of_alpha = Record { realm: Some("alpha".parse().unwrap()), ..refused.clone() };
    assert!(!serde_json::to_string(&refused).unwrap().contains("realm"));
    let journal = Journal::of(&shop.path().join("state"));
    journal.append(vec![refused, of_alpha]).unwrap();
    assert_eq!(shop.run(&["history", "--verify"]).status.code(), Some(0));
    let shown = |more: &[&str]| {
        let output = shop.run(&[&["--json", "history", "--label", ES256], more].concat());
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let records = told["records"].as_array().unwrap().clone();
        records.into_iter().filter(|one| one["event"] == "refused").collect::<Vec<_>>()
    };
    assert_eq!((shown(&[]).len(), shown(&["--realm", "alpha"]).len()), (2, 2));
    let beta = shown(&["--realm", "beta"]);
    assert_eq!((beta.len(), &beta[0]["realm"]), (1, &serde_json::Value::Null));
}

#[test]
fn a_label_that_nobody_knows_is_told_and_one_of_which_nothing_was_done_is_no_error() {
    let shop = Workshop::new();
    shop.configure("", "[labels.\"app.own\"]\nuse = \"secret\"\n");
    // A label that only a refused step names, then one that left the configuration.
    shop.apply(stage("c"), "app.once").unwrap_err();
    let ask = |label: &str| {
        let output = shop.run(&["--json", "history", "--label", label]);
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), told)
    };
    for (label, few) in
        [(SEAL, 1), ("app.once", 1), ("app.own", 0), ("am.services.oauth2.oidc.signing.ES512", 0)]
    {
        let (code, told) = ask(label);
        assert_eq!((code, told["records"].as_array().unwrap().len()), (Some(0), few), "{told}");
    }
    for (label, help) in [
        ("app.session.saal", "did you mean \"app.session.seal\"?"),
        ("app.onne", "did you mean \"app.once\"?"),
        ("app.ovn", "did you mean \"app.own\"?"),
        (
            "am.services.oauth2.oidc.signing.ES521",
            "did you mean \"am.services.oauth2.oidc.signing.ES512\"?",
        ),
        ("nothing.like.it", "`claviger history` without --label shows everything"),
    ] {
        let (code, told) = ask(label);
        let error = &told["error"];
        assert_eq!((code, &error["code"]), (Some(2), &"unknown_label".into()), "{told}");
        assert_eq!(error["help"], help);
    }
    // Of what cannot be read nobody can tell.
    let (text, journal) = (shop.text(), std::fs::read_to_string(file(&shop)).unwrap());
    std::fs::write(shop.config(), format!("{text}\n[labels\n")).unwrap();
    assert_eq!(ask("app.session.saal").0, Some(0));
    std::fs::write(shop.config(), text).unwrap();
    std::fs::write(file(&shop), journal.replacen("2027", "2028", 1)).unwrap();
    let (code, told) = ask("app.session.saal");
    assert!(code == Some(0) && told["broken"].is_object(), "{told}");
}

#[test]
fn a_long_history_is_shown_about_as_soon_as_it_is_read() {
    let shop = with_records();
    let text = std::fs::read_to_string(file(&shop)).unwrap();
    let (_, record) = text.lines().last().unwrap().split_once("\"record\":").unwrap();
    let mut record: serde_json::Value =
        serde_json::from_str(record.strip_suffix('}').unwrap()).unwrap();
    let lines: Vec<String> = (1..=60_000)
        .map(|seq| {
            record["seq"] = seq.into();
            format!("{{\"hash\":\"{:064}\",\"record\":{record}}}\n", 0)
        })
        .collect();
    std::fs::write(file(&shop), lines.concat()).unwrap();
    let begun = std::time::Instant::now();
    let history = shop.history();
    let read = begun.elapsed();
    let begun = std::time::Instant::now();
    for record in &history.records {
        assert_eq!(history.record(record.seq), Some(record));
    }
    assert!(begun.elapsed() < read, "{:?} beside {read:?}", begun.elapsed());
}
