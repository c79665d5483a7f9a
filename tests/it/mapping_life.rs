//! The life of a mapping: stage, promote, reorder, retire, revoke, undo; what is refused, and what is kept.

use std::time::Duration;

use claviger::Keyring;
use claviger::clock::Clock;
use claviger::error::ErrorKind;
use claviger::journal::{Action, Actor, Event};
use claviger::key_tools::{self, GenerateOptions};
use claviger::keyring;
use claviger::ops;
use claviger::problem::Severity;
use claviger::rotation::{Plan, Request, Rotation, Step};
use serde_json::Value;

use crate::workshop::{
    ES256, FORCE, NOW, SEAL, TAIL, Workshop, jwk, promote, retire, revoke, stage,
};

/// One hour of caches, one minute of watching, one minute of skew.
const ANNOUNCED: u64 = 3_600 + 60 + 60;

#[test]
fn a_key_lives_from_stage_to_retire_and_every_token_verifies_meanwhile() {
    let shop = Workshop::new();
    let keyring = shop.keyring();
    let label = keyring.label(ES256).unwrap();
    let old = label.sign(b"old").unwrap();

    let plan = shop.apply(stage("c"), ES256).unwrap();
    assert_eq!(plan.diff.labels[0].kids_enter, ["c"]);
    assert_eq!(plan.diff.labels[0].active_before, plan.diff.labels[0].active_after);
    assert_eq!(shop.aliases(ES256), ["a", "b", "c"]);

    let early = shop.apply(promote("c"), ES256).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::NotAnnounced);
    assert!(early.message().contains("in 1 h 2 min"), "{early}");
    assert!(early.help().unwrap().contains(&format!("claviger promote {ES256} c --now")));
    shop.wait(ANNOUNCED - 1);
    assert!(shop.apply(promote("c"), ES256).is_err());
    shop.wait(1);
    let plan = shop.apply(promote("c"), ES256).unwrap();
    assert_eq!(plan.diff.labels[0].active_after.as_ref().unwrap().as_str(), "c");
    keyring.reload().unwrap();
    let new = label.sign(b"new").unwrap();
    assert_eq!(label.verify(&new).unwrap().key.alias.as_str(), "c");
    assert_eq!(label.verify(&old).unwrap().key.alias.as_str(), "a");

    // The last token of `a` was made when the journal began; it lives for two hours and a minute of skew.
    let early = shop.apply(retire("a"), ES256).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::StillInUse);
    assert!(early.message().contains("another 59 min"), "{early}");
    shop.wait(2 * 3_600 + 60);
    shop.apply(retire("a"), ES256).unwrap();
    keyring.reload().unwrap();
    assert!(label.verify(&old).is_err() && label.verify(&new).is_ok());
    assert_eq!(shop.aliases(ES256), ["c", "b"]);

    let text = shop.text();
    assert!(text.ends_with(TAIL) && text.starts_with("# top\n"), "{text}");
    assert!(text.contains("# who signs") && text.contains("# newest first"), "{text}");
    assert!(text.contains("\"b\", # second") && !text.contains("# first"), "{text}");

    let history = shop.history();
    assert_eq!(history.broken, None);
    let told: Vec<(Event, Action)> =
        history.records.iter().map(|record| (record.event, record.action)).collect();
    assert_eq!(
        told,
        [
            (Event::Noticed, Action::FirstSeen),
            (Event::Begin, Action::Stage),
            (Event::Done, Action::Stage),
            (Event::Refused, Action::Promote),
            (Event::Refused, Action::Promote),
            (Event::Begin, Action::Promote),
            (Event::Done, Action::Promote),
            (Event::Refused, Action::Retire),
            (Event::Begin, Action::Retire),
            (Event::Done, Action::Retire),
        ]
    );
}

#[test]
fn steps_that_do_not_fit_are_refused_with_what_to_type_and_recorded() {
    let shop = Workshop::new();
    let before = shop.text();
    for (step, label, kind, help) in [
        (stage("a"), ES256, ErrorKind::StepRefused, "it acts"),
        (stage("b"), ES256, ErrorKind::StepRefused, "claviger promote"),
        (stage("e"), ES256, ErrorKind::UnknownAlias, "did you mean"),
        (stage("t"), ES256, ErrorKind::StepRefused, ""),
        (promote("c"), ES256, ErrorKind::UnknownAlias, "claviger stage"),
        (promote("B2"), ES256, ErrorKind::UnknownAlias, "did you mean \"b\"?"),
        (
            retire("a"),
            ES256,
            ErrorKind::StepRefused,
            "claviger promote am.services.oauth2.oidc.signing.ES256 b",
        ),
        (
            retire("s"),
            SEAL,
            ErrorKind::StepRefused,
            "claviger generate NEW --stage app.session.seal",
        ),
        (
            revoke("s"),
            SEAL,
            ErrorKind::StepRefused,
            "claviger revoke app.session.seal s --replace NEW",
        ),
        (
            Step::Reorder { aliases: vec!["b".parse().unwrap()] },
            ES256,
            ErrorKind::StepRefused,
            "claviger reorder am.services.oauth2.oidc.signing.ES256 a b",
        ),
        (Step::Undo, ES256, ErrorKind::StepRefused, "claviger history"),
        (stage("a"), "app.nothing", ErrorKind::UnknownLabel, "claviger labels"),
    ] {
        let told = format!("{step:?}");
        let error = shop.apply(step, label).unwrap_err();
        assert_eq!(error.kind(), kind, "{told}: {error}");
        assert!(error.help().unwrap_or_default().contains(help), "{told}: {:?}", error.help());
        let history = shop.history();
        let last = history.records.last().unwrap();
        assert_eq!(
            (last.event, &last.refusal.as_ref().unwrap().code[..]),
            (Event::Refused, kind.code())
        );
    }
    assert_eq!(shop.text(), before);
    // What is so already is no step.
    assert!(shop.apply(promote("a"), ES256).unwrap().is_done());
}

#[test]
fn a_dry_run_changes_nothing_at_all() {
    let shop = Workshop::new();
    let rotation = Rotation::preview(&shop.config(), shop.clock()).unwrap();
    let plan = rotation.plan(&Request::new(promote("b"), ES256).unwrap()).unwrap();
    assert_eq!(plan.gates[0].code, "not_announced");
    assert!(plan.to_string().contains("acts: \"b\" instead of \"a\""), "{plan}");
    assert!(!shop.path().join("state").exists());
    let output = shop.run(&["--json", "promote", ES256, "b", "--dry-run"]);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["plan"]["diff"]["labels"][0]["active_after"], "b");
    assert_eq!(told["plan"]["gates"][0]["override_with"], "--now");
    let names: Vec<_> = std::fs::read_dir(shop.path()).unwrap().collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn the_commands_say_who_and_why_and_exit_1_when_refused() {
    let shop = Workshop::new();
    let output = shop.run(&["--json", "promote", ES256, "b"]);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["error"]["code"], "not_announced");
    let output = shop.run(&["promote", ES256, "b", "--now", "--as", "alice", "--reason", "a test"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(shop.aliases(ES256), ["b", "a"]);
    let history = shop.history();
    let last = history.records.last().unwrap();
    assert_eq!(last.who.name.as_deref(), Some("alice"));
    assert_eq!(last.reason.as_deref(), Some("a test"));
    assert_eq!(last.overridden, ["not_announced"]);
    let config = last.config.as_ref().unwrap();
    assert_ne!(config.before, config.after);
    let output = shop.run(&["history", "--label", ES256, "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["records"].as_array().unwrap().len(), 4, "{told}");
    let output = shop.run(&["history", "--verify"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn undo_takes_the_last_step_back_and_never_a_revocation() {
    let shop = Workshop::new();
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    // `a` acted when the journal began: everybody knows it.
    shop.apply(Step::Undo, ES256).unwrap();
    assert_eq!(shop.aliases(ES256), ["a", "b"]);
    shop.apply(stage("c"), ES256).unwrap();
    // What never acted may go at once.
    shop.apply(Step::Undo, ES256).unwrap();
    assert_eq!(shop.aliases(ES256), ["a", "b"]);
    shop.apply_over(retire("b"), ES256, FORCE).unwrap();
    shop.apply(Step::Undo, ES256).unwrap();
    assert_eq!(shop.aliases(ES256), ["a", "b"]);
    shop.apply(revoke("b"), ES256).unwrap();
    let error = shop.apply(Step::Undo, ES256).unwrap_err();
    assert!(error.message().contains("never taken back"), "{error}");
}

#[test]
fn an_undone_retirement_keeps_the_kid_that_the_mapping_gave() {
    let shop = Workshop::new();
    shop.edit("\"b\", # second", "{ alias = \"b\", kid = \"own\" },");
    shop.apply_over(retire("b"), ES256, FORCE).unwrap();
    shop.apply(Step::Undo, ES256).unwrap();
    let keys = shop.keyring().label(ES256).unwrap().keys().unwrap();
    assert_eq!(keys.named("own").unwrap().alias.as_str(), "b");
}

#[test]
fn edits_by_hand_are_noticed_and_start_the_clock() {
    let shop = Workshop::new();
    shop.apply(stage("c"), ES256).unwrap();
    shop.edit("\"b\", # second", "\"b\", \"d\",");
    shop.wait(ANNOUNCED);
    let rotation = shop.rotation();
    assert!(
        rotation.notes().iter().any(|note| note.contains("edited by hand")),
        "{:?}",
        rotation.notes()
    );
    drop(rotation);
    let history = shop.history();
    let last = history.records.last().unwrap();
    assert_eq!((last.event, last.action), (Event::Noticed, Action::EditedByHand));
    assert_eq!(last.changes[0].after.len(), 4);
    // `d` was seen only now; `c` has waited long enough.
    assert_eq!(shop.apply(promote("d"), ES256).unwrap_err().kind(), ErrorKind::NotAnnounced);
    shop.apply(promote("c"), ES256).unwrap();
}

/// Another key under the alias of the one that was there, as a keystore that is replaced has it.
#[test]
fn another_key_under_the_same_alias_is_told_as_that() {
    let shop = Workshop::new();
    shop.apply(stage("c"), ES256).unwrap();
    let file = shop.path().join("keys.jwks");
    let mut keys: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    keys["keys"][1] = serde_json::from_str(&jwk("b", "ec")).unwrap();
    std::fs::write(&file, keys.to_string()).unwrap();
    let notes = shop.rotation().notes();
    let told = "[\"a\", \"b\", \"c\"] → [\"a\", \"b\", \"c\"], \"b\" is another key";
    assert!(notes.iter().any(|note| note.ends_with(told)), "{notes:?}");
    shop.edit("\"b\", # second", "{ alias = \"b\", kid = \"own\" },");
    let notes = shop.rotation().notes();
    assert!(notes.iter().any(|note| note.ends_with(", the kid of \"b\" is own")), "{notes:?}");
    let history = String::from_utf8(shop.run(&["history"]).stdout).unwrap();
    assert!(
        history.contains("; \"b\" is another key") && history.contains("; the kid of \"b\" is own"),
        "{history}"
    );
}

#[test]
fn lowering_the_cache_time_does_not_shorten_what_was_served() {
    let shop = Workshop::new();
    shop.configure("jwks_max_age = \"1d\"", "");
    drop(shop.rotation());
    shop.wait(10);
    shop.configure("jwks_max_age = \"1m\"", "");
    shop.apply(stage("c"), ES256).unwrap();
    shop.wait(3_600);
    assert_eq!(shop.apply(promote("c"), ES256).unwrap_err().kind(), ErrorKind::NotAnnounced);
    shop.wait(86_400 - 3_600 + 120);
    shop.apply(promote("c"), ES256).unwrap();
}

#[test]
fn how_long_a_key_is_announced_follows_label_and_policy() {
    for (policy, label, seconds) in [
        ("propagation = \"5m\"", "", 300),
        ("", "[labels.\"app.x\"]\nuse = \"secret\"", ANNOUNCED),
        ("clock_skew = \"5m\"\njwks_max_age = \"10m\"", "", 600 + 60 + 300),
    ] {
        let shop = Workshop::new();
        shop.configure(policy, label);
        shop.apply(stage("c"), ES256).unwrap();
        shop.wait(seconds - 1);
        assert!(shop.apply(promote("c"), ES256).is_err(), "{policy}");
        shop.wait(1);
        shop.apply(promote("c"), ES256).unwrap();
    }
    // Nobody outside checks what is sealed: the processes must have loaded the key, no more.
    let shop = Workshop::new();
    shop.apply(stage("t"), SEAL).unwrap();
    shop.wait(120);
    shop.apply(promote("t"), SEAL).unwrap();
    // Nobody knows when processes that never reload have it.
    let shop = Workshop::new();
    shop.edit("state_dir", "reload = \"off\"\nstate_dir");
    shop.apply(stage("c"), ES256).unwrap();
    shop.wait(100 * 86_400);
    let error = shop.apply(promote("c"), ES256).unwrap_err();
    assert!(error.help().unwrap().contains("propagation"), "{error}");
}

#[test]
fn cached_key_sets_end_before_a_staged_key_may_act() {
    use claviger::rotation::announce;
    let shop = Workshop::new();
    let label = ES256.parse().unwrap();
    shop.wait(1);
    let mut rotation = shop.rotation();
    rotation.apply(&Request::new(stage("c"), ES256).unwrap()).unwrap();
    let policy = rotation.keyring().config().policy.clone();
    let ready = shop.now() + Duration::from_secs(ANNOUNCED);
    let mut fetched = Vec::new();
    while shop.now() < ready {
        let age = announce::max_age(&policy, shop.now(), rotation.next_step(&label, None));
        fetched.push(shop.now() + age);
        shop.wait(97);
    }
    assert!(fetched.len() > 30 && fetched.iter().all(|expires| *expires <= ready));
    let output = shop.run(&["--json", "jwks"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["max_age"].as_u64().unwrap() <= 3_600, "{told}");
    let document = shop.keyring().jwks(None, claviger::profiles::jwks::Party::All).document();
    assert_eq!(told["etag"], document.etag, "{told}");
}

#[test]
fn a_clock_that_was_behind_or_ahead_opens_and_closes_no_gate() {
    let shop = Workshop::new();
    drop(shop.rotation());
    shop.back(100_000);
    shop.apply(stage("c"), ES256).unwrap();
    shop.wait(100_000);
    let early = shop.apply(promote("c"), ES256).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::NotAnnounced);
    assert!(early.message().contains("since 2027-01-15T08:00:00Z"), "{early}");
    // A step of a clock that was ahead keeps nobody waiting for what came after it.
    shop.wait(1_000_000);
    shop.apply(retire("c"), ES256).unwrap();
    shop.back(1_000_000 - 60);
    shop.apply(stage("d"), ES256).unwrap();
    shop.wait(2 * 3_600);
    shop.apply(promote("d"), ES256).unwrap();
}

#[test]
fn a_revoked_key_never_comes_back_under_any_name() {
    let shop = Workshop::new();
    let old_text = shop.text();
    let keyring = shop.keyring();
    let label = keyring.label(ES256).unwrap();
    let token = label.sign(b"by a").unwrap();
    let plan = shop.apply(revoke("a"), ES256).unwrap();
    assert!(plan.to_string().contains("breaks"), "{plan}");
    keyring.reload().unwrap();
    assert!(label.verify(&token).is_err());

    // The old configuration: the label goes on without it, `check` says so.
    std::fs::write(shop.config(), &old_text).unwrap();
    keyring.reload().unwrap();
    assert_eq!(shop.aliases(ES256), ["b"]);
    assert!(label.verify(&token).is_err() && keyring.label(SEAL).is_ok());
    let problems = keyring::check(&shop.config(), &shop.clock()).unwrap();
    let found = problems.iter().find(|one| one.code == "revoked_key").unwrap();
    assert_eq!(found.severity, Severity::Error);
    assert!(found.location.is_some() && found.help.as_ref().unwrap().contains("claviger retire"));
    shop.apply(retire("a"), ES256).unwrap();
    assert!(!shop.text().contains("\"a\""));

    // Another alias, another store.
    let keys = std::fs::read_to_string(shop.path().join("keys.jwks")).unwrap();
    std::fs::write(shop.path().join("old.jwks"), keys.replace("\"kid\":\"a\"", "\"kid\":\"z\""))
        .unwrap();
    assert!(
        std::fs::read_to_string(shop.path().join("old.jwks")).unwrap().contains("\"kid\":\"z\"")
    );
    shop.configure("", "[stores.old]\nkind = \"keystore\"\npath = \"old.jwks\"\nintegrity = \"none\"\nrealm = \"r\"\n");
    let mapping = format!("[stores.old.mappings]\n\"{ES256}\" = [\"z\", \"c\"]\n[stores.keys]");
    shop.edit("[stores.keys]", &mapping);
    let keys = shop.keyring().realm("r").unwrap().label(ES256).unwrap().keys().unwrap();
    assert_eq!(keys.active().alias.as_str(), "c");
    let error = shop.apply(stage("a"), ES256).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StepRefused, "it is listed already: {error}");
}

#[test]
fn a_revocation_takes_the_key_out_of_every_mapping() {
    let shop = Workshop::new();
    let more = "[stores.twin]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\nrealm = \"r\"\n";
    shop.configure("", more);
    shop.edit(TAIL, &format!("[stores.twin.mappings]\n\"{ES256}\" = [\"c\", \"a\"]\n{TAIL}"));
    let mut rotation = shop.rotation();
    let request = Request::new(revoke("a"), ES256).unwrap();
    let plan = rotation.apply(&request).unwrap();
    assert_eq!(plan.changes.len(), 2);
    drop(rotation);
    assert!(!shop.text().contains("\"a\""), "{}", shop.text());
}

#[test]
fn tampering_with_the_tombstones_is_told_and_does_not_help() {
    let shop = Workshop::new();
    let old_text = shop.text();
    shop.apply(revoke("a"), ES256).unwrap();
    std::fs::write(shop.config(), &old_text).unwrap();
    let codes = || -> Vec<&'static str> {
        let problems = keyring::check(&shop.config(), &shop.clock()).unwrap();
        problems.iter().map(|one| one.code).collect()
    };
    assert!(!codes().contains(&"state_altered"));
    let stones = shop.path().join("state/revoked.json");
    let saved = std::fs::read(&stones).unwrap();
    std::fs::write(&stones, "{\"keys\":[]}").unwrap();
    assert!(codes().contains(&"state_altered") && codes().contains(&"revoked_key"));
    std::fs::remove_file(&stones).unwrap();
    assert!(codes().contains(&"state_altered") && codes().contains(&"revoked_key"));
    // The next command writes them again.
    drop(shop.rotation());
    assert_eq!(std::fs::read(&stones).unwrap(), saved);
    // The journal without the revocation: the file alone refuses the key.
    let journal = shop.path().join("state/journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, text.lines().next().unwrap().to_owned() + "\n").unwrap();
    assert!(codes().contains(&"state_altered") && codes().contains(&"revoked_key"));
    std::fs::write(&stones, "nonsense").unwrap();
    assert!(codes().contains(&"state_unreadable"));
}

/// Who took it out by hand is found by the step that puts it back, in the same moment.
#[test]
fn a_key_that_was_out_of_its_mapping_has_been_known_since_it_came_back() {
    let shop = Workshop::new();
    drop(shop.rotation());
    shop.wait(100_000);
    shop.edit("\"b\", # second", "");
    shop.apply(stage("b"), ES256).unwrap();
    let early = shop.apply(promote("b"), ES256).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::NotAnnounced, "{early}");
}

#[test]
fn a_journal_that_breaks_opens_no_gate() {
    let shop = Workshop::new();
    shop.begin_without_keys();
    shop.apply(stage("c"), ES256).unwrap();
    let journal = shop.path().join("state/journal.jsonl");
    // As if every key had been known for a year.
    let text = std::fs::read_to_string(&journal).unwrap();
    std::fs::write(&journal, text.replace("2027-01-15T", "2026-01-15T")).unwrap();
    let refused = shop.apply(promote("c"), ES256).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotAnnounced);
    assert!(refused.message().contains("the journal breaks at line 1"), "{refused}");
    let refused = shop.apply(retire("b"), ES256).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StillInUse);
    assert!(refused.message().contains("the chain of the journal breaks"), "{refused}");
    let told = shop.run(&["stage", ES256, "d", "--dry-run"]);
    assert!(String::from_utf8(told.stderr).unwrap().contains("so that it opens no gate"));
    let status: Value = serde_json::from_slice(&shop.run(&["status", "--json"]).stdout).unwrap();
    let aliases = &status["keys"].as_array().unwrap().iter().find(|one| one["label"] == ES256);
    assert_eq!(aliases.unwrap()["aliases"][0]["not_provable_because"], "journal_broken");
    // What is forced leaves no receipt.
    shop.apply_over(retire("b"), ES256, FORCE).unwrap();
    assert!(!shop.path().join("state/receipts").exists());
    // Put aside, a new one begins, and every wait with it.
    std::fs::rename(&journal, journal.with_extension("broken")).unwrap();
    let refused = shop.apply(promote("c"), ES256).unwrap_err();
    assert!(refused.message().contains("is seen since 2027-01-15T08:00:00Z"), "{refused}");
    shop.wait(ANNOUNCED);
    shop.apply(promote("c"), ES256).unwrap();
}

#[test]
fn undo_says_that_a_label_was_edited_by_hand_since_its_last_step() {
    let shop = Workshop::new();
    let plan = shop.apply(stage("c"), ES256).unwrap();
    assert!(!plan.to_string().contains("breaks"), "{plan}");
    shop.edit("\"b\"", "\"d\"");
    let refused = shop.apply(Step::Undo, ES256).unwrap_err();
    assert!(refused.message().contains("was changed since its last step"), "{refused}");
    shop.edit("\"d\"", "\"b\"");
    shop.apply(stage("d"), ES256).unwrap();
    // What was only staged made nothing.
    let plan = shop.apply(Step::Undo, ES256).unwrap();
    assert!(
        plan.to_string().contains("nothing that \"d\" made under the label is alive"),
        "{plan}"
    );
    assert!(!plan.to_string().contains("breaks"), "{plan}");
}

#[test]
fn processes_that_looked_less_often_are_waited_for() {
    let shop = Workshop::new();
    shop.edit("state_dir", "reload = \"2h\"\nstate_dir");
    drop(shop.rotation());
    shop.wait(10);
    shop.edit("reload = \"2h\"", "reload = \"30s\"");
    shop.apply(stage("c"), ES256).unwrap();
    let refused = shop.apply(promote("c"), ES256).unwrap_err();
    assert!(refused.message().contains("2027-01-15T11:01:10Z"), "{refused}");
    // Two hours later everybody looks every half minute.
    shop.wait(7_200);
    shop.apply(stage("d"), ES256).unwrap();
    let refused = shop.apply(promote("d"), ES256).unwrap_err();
    assert!(refused.message().contains("2027-01-15T11:01:40Z"), "{refused}");
}

#[test]
fn a_process_that_was_told_between_two_steps_to_look_less_often_is_waited_for() {
    let shop = Workshop::new();
    shop.edit("state_dir", "reload = \"30s\"\nstate_dir");
    drop(shop.rotation());
    shop.edit("reload = \"30s\"", "reload = \"3h\"");
    let keyring = shop.keyring();
    keyring.follow().unwrap();
    let said = || keyring.usage().longest_wait().unwrap() == Duration::from_secs(10_800);
    let patience = std::time::Instant::now() + Duration::from_secs(20);
    while !said() {
        assert!(std::time::Instant::now() < patience, "nobody said how long it waits");
        std::thread::sleep(Duration::from_millis(5));
    }
    // It looks once more at once, and may say so again.
    std::thread::sleep(Duration::from_millis(500));
    // Nothing is recorded of it, and now it is as it was. The process looks again in three hours.
    shop.edit("reload = \"3h\"", "reload = \"30s\"");
    shop.apply(stage("c"), ES256).unwrap();
    let refused = shop.apply(promote("c"), ES256).unwrap_err();
    assert!(refused.message().contains("in 4 h 1 min"), "{refused}");
    // Who sees a key that is staged three hours later looks every half minute.
    shop.wait(10_800);
    shop.apply(stage("d"), ES256).unwrap();
    let refused = shop.apply(promote("d"), ES256).unwrap_err();
    assert!(refused.message().contains("in 1 h 1 min"), "{refused}");
}

#[test]
fn a_hand_edit_under_a_clock_that_was_behind_shortens_no_wait() {
    let shop = Workshop::new();
    shop.configure("jwks_max_age = \"5m\"", "");
    shop.begin_empty();
    shop.back(100_000);
    drop(shop.rotation());
    shop.wait(100_010);
    // The mapping was written whole by hand: its keys may have made something until the record before at least.
    let refused = shop.apply(retire("b"), ES256).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StillInUse);
    assert!(refused.message().contains("2027-01-15T10:01:00Z"), "{refused}");
    // Until then key sets were cached for an hour.
    shop.apply(stage("c"), ES256).unwrap();
    let refused = shop.apply(promote("c"), ES256).unwrap_err();
    assert!(refused.message().contains("2027-01-15T09:02:00Z"), "{refused}");
}

#[test]
fn without_a_state_directory_steps_say_what_to_add() {
    let shop = Workshop::new();
    shop.edit("state_dir = \"state\"\n", "");
    let error = shop.apply(revoke("a"), ES256).unwrap_err();
    assert!(error.help().unwrap().contains("state_dir"), "{error}");
    let error = shop.apply(promote("b"), ES256).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAnnounced);
    assert!(error.help().unwrap().contains("state_dir"), "{error}");
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    assert_eq!(shop.aliases(ES256), ["b", "a"]);
    let error = shop.apply(Step::Undo, ES256).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StepRefused);
    assert!(error.help().unwrap().contains("state_dir = \"state\" to [keyring]"), "{error}");
}

#[test]
fn labels_that_must_not_rotate_do_not_without_force() {
    let fixed = claviger::catalogue::all()
        .iter()
        .find(|spec| spec.rotation == claviger::catalogue::Rotation::None)
        .unwrap();
    let shop = Workshop::new();
    std::fs::write(
        shop.path().join("salts.jwks"),
        format!("{{\"keys\":[{},{}]}}", jwk("one", "hmac"), jwk("two", "hmac")),
    )
    .unwrap();
    let more = "[stores.salts]\nkind = \"keystore\"\npath = \"salts.jwks\"\nintegrity = \"none\"\n";
    shop.configure("", more);
    shop.edit(TAIL, &format!("[stores.salts.mappings]\n\"{}\" = [\"one\"]\n{TAIL}", fixed.name));
    let error = shop.apply(stage("two"), &fixed.name).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MustNotRotate);
    shop.apply_over(stage("two"), &fixed.name, FORCE).unwrap();
    assert_eq!(shop.history().records.last().unwrap().overridden, ["must_not_rotate"]);
}

#[test]
fn realms_and_stores_choose_the_mapping() {
    let shop = Workshop::new();
    let more = "[stores.twin]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\nrealm = \"r\"\n";
    shop.configure("", more);
    shop.edit(TAIL, &format!("[stores.twin.mappings]\n\"{ES256}\" = [\"c\"]\n{TAIL}"));
    let mut request = Request::new(stage("d"), ES256).unwrap();
    request.realm = Some("r".parse().unwrap());
    let plan = shop.rotation().apply(&request).unwrap();
    assert_eq!(plan.mapping.store.as_str(), "twin");
    assert_eq!(shop.aliases(ES256), ["a", "b"]);
    request.realm = Some("other".parse().unwrap());
    let error = shop.rotation().apply(&request).unwrap_err();
    assert!(error.message().contains("--realm r"), "{error}");
    request.realm = None;
    request.store = Some("twin".parse().unwrap());
    request.step = Step::Undo;
    shop.rotation().apply(&request).unwrap();
    assert!(shop.text().contains("= [\"c\"]"));
}

#[test]
fn what_is_proposed_names_the_configuration_where_the_command_did() {
    let shop = Workshop::new();
    let run = |line: &str| {
        let mut command = shop.command(&[]);
        command.env_remove("CLAVIGER_CONFIG").args(line.split_whitespace());
        let output = command.output().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), told)
    };
    std::fs::rename(shop.config(), shop.path().join("other.toml")).unwrap();
    let (code, told) = run(&format!("-c other.toml retire {ES256} a"));
    let proposed = format!("claviger -c other.toml promote {ES256} b\n");
    assert!(code == 1 && told.contains(&proposed), "{told}");
    let (code, told) = run(&format!("-c other.toml promote {ES256} b"));
    let (_, proposed) =
        told.split_once("at once, and caches that are older refuse its tokens: claviger ").unwrap();
    assert_eq!(code, 1);
    assert_eq!(run(proposed.lines().next().unwrap()).0, 0, "{told}");
    let (code, told) = run(&format!("-c other.toml stage {ES256} c"));
    assert!(
        code == 0 && told.contains(&format!("next: claviger -c other.toml promote {ES256} c, ")),
        "{told}"
    );
    // Programs are told the same, and facts stay as they are.
    let json = |line: &str| serde_json::from_str::<Value>(&run(line).1).unwrap();
    let told = json(&format!("--json -c other.toml promote {ES256} c"));
    let then = format!("then: claviger -c other.toml promote {ES256} c · at once, ");
    assert!(told["error"]["help"].as_str().unwrap().starts_with(&then), "{told}");
    let why = "claviger check was red";
    let mut command =
        shop.command(&["--json", "-c", "other.toml", "reorder", ES256, "a", "c", "b"]);
    command.env_remove("CLAVIGER_CONFIG").args(["--force", "--reason", why]);
    let done: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let reorder = format!("claviger -c other.toml reorder {ES256} a c b");
    assert_eq!(done["plan"]["command"], reorder.as_str(), "{done}");
    let told = json(&format!("--json -c other.toml promote {ES256} c --dry-run"));
    assert!(told["plan"]["gates"][0]["help"].as_str().unwrap().starts_with(&then), "{told}");
    let told = json("--json -c other.toml history");
    assert!(told.to_string().contains(&format!("\"{why}\"")), "{told}");
    // Where it is found without being named, no command has to name it.
    std::fs::rename(shop.path().join("other.toml"), shop.config()).unwrap();
    let (_, told) = run(&format!("retire {ES256} a"));
    assert!(told.contains(&format!("claviger promote {ES256} c\n")), "{told}");
}

#[test]
fn a_key_that_peers_may_encrypt_to_before_every_process_has_it_is_told() {
    let shop = Workshop::new();
    let opens = "app.open";
    let configure = |publish: &str| {
        let more = format!(
            "[labels.\"app.open\"]\nuse = \"decrypt\"\nalgorithms = [\"ECDH-ES+A256KW\", \"A256GCM\"]\n\
             publish = \"{publish}\"\n"
        );
        shop.configure("", &more);
        shop.edit(
            "[stores.keys.mappings]\n",
            &format!("[stores.keys.mappings]\n\"{opens}\" = [\"c\"]\n"),
        );
        shop.rotation().plan(&Request::new(stage("d"), opens).unwrap()).unwrap().to_string()
    };
    let until = claviger::clock::rfc3339(shop.now() + Duration::from_secs(120));
    let told = format!(
        "breaks until {until}: the key set shows it at once, and processes that have not loaded it cannot open what is \
         encrypted to it\n"
    );
    assert!(configure("all").contains(&told), "{}", configure("all"));
    for publish in ["active", "none"] {
        assert!(!configure(publish).contains("breaks"), "{}", configure(publish));
    }
}

#[test]
fn what_it_means_that_a_key_acts_is_told_by_what_the_label_does() {
    let shop = Workshop::new();
    let opens = "app.open";
    let more = "[stores.words]\nkind = \"volume\"\ndirectory = \"words\"\nversion_suffix = \".v\"\n\
                [labels.\"app.word\"]\nuse = \"secret\"\n\
                [labels.\"app.open\"]\nuse = \"decrypt\"\nalgorithms = [\"ECDH-ES+A256KW\", \"A256GCM\"]\n";
    shop.configure("", more);
    shop.edit(
        "[stores.keys.mappings]\n",
        &format!("[stores.keys.mappings]\n\"{opens}\" = [\"c\", \"d\"]\n"),
    );
    std::fs::create_dir(shop.path().join("words")).unwrap();
    for version in ["app.word.v1", "app.word.v2"] {
        std::fs::write(shop.path().join("words").join(version), version).unwrap();
    }
    for (label, alias, told) in [
        (
            ES256,
            "b",
            [
                "new tokens are made with \"b\"",
                "refuses them",
                "caches that are older refuse its tokens: claviger",
            ],
        ),
        (
            opens,
            "d",
            [
                "peers are to encrypt to \"d\"",
                "cannot open what is encrypted to it",
                "encrypted to it: claviger",
            ],
        ),
        (
            "app.word",
            "app.word.v1",
            [
                "what is used is \"app.word.v3\"",
                "goes on with the other one",
                "goes on with the other one: claviger",
            ],
        ),
    ] {
        let plan = shop.rotation().plan(&Request::new(promote(alias), label).unwrap()).unwrap();
        let text = format!("{plan}{}", plan.gates[0].help);
        for words in told {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}

/// Trusted certificates, and keys that only verify, check what others make: the order changes nothing for anybody.
#[test]
fn where_nothing_acts_a_new_order_waits_for_nobody() {
    let options = |alias| GenerateOptions {
        alias,
        key_type: "ec",
        bits: None,
        curve: None,
        subject: None,
        days: 30,
        now: Workshop::new().now(),
    };
    let certificate = |alias| {
        let made = key_tools::generate_file("pem", &options(alias)).unwrap();
        let text = String::from_utf8(made.content.expose_secret().to_vec()).unwrap();
        text.split_at(text.find("-----BEGIN CERTIFICATE").unwrap()).1.to_owned()
    };
    for uses in ["use = \"trust\"", "use = \"verify\"\nalgorithms = [\"ES256\"]"] {
        let shop = Workshop::new();
        std::fs::write(shop.path().join("peers.pem"), certificate("one") + &certificate("two"))
            .unwrap();
        shop.edit(TAIL, &format!(
            "[stores.peers]\nkind = \"keystore\"\npath = \"peers.pem\"\n[stores.peers.mappings]\n\"app.peer\" = [\"1\"]\n\
             [labels.\"app.peer\"]\n{uses}\n{TAIL}"
        ));
        let told = shop.apply(stage("2"), "app.peer").unwrap().to_string();
        assert!(told.contains("enters: \"2\"") && !told.contains("promote"), "{told}");
        let told = shop.apply(promote("2"), "app.peer").unwrap().to_string();
        assert!(!told.contains("breaks") && !told.contains("what is used"), "{told}");
        assert_eq!(shop.aliases("app.peer"), ["2", "1"]);
        shop.apply(Step::Undo, "app.peer").unwrap();
    }
}

#[test]
fn what_a_refusal_in_a_realm_names_is_typed_as_it_stands() {
    let shop = Workshop::new();
    let more = "[stores.twin]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\nrealm = \"r\"\n";
    shop.configure("", more);
    shop.edit(TAIL, &format!("[stores.twin.mappings]\n\"{ES256}\" = [\"c\", \"d\"]\n{TAIL}"));
    let run = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = shop.run(&words);
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), told)
    };
    let refused = |line: &str, help: &str| {
        let (code, told) = run(line);
        assert!(code != 0 && told.contains(help), "{line}: {told}");
    };
    refused(
        &format!("retire {ES256} c --realm r"),
        &format!("let another act first: claviger promote {ES256} d --realm r\n"),
    );
    refused(
        &format!("stage {ES256} d --realm r"),
        &format!("let it act: claviger promote {ES256} d --realm r\n"),
    );
    refused(
        &format!("reorder {ES256} d --realm r"),
        &format!("in the order that you want: claviger reorder {ES256} c d --realm r\n"),
    );
    refused(
        &format!("promote {ES256} else --realm r"),
        &format!("a new one is staged first: claviger stage {ES256} else --realm r\n"),
    );
    assert_eq!(run(&format!("promote {ES256} d --realm r --now")).0, 0);
    // The old configuration comes back with a key that was revoked.
    let text = shop.text();
    assert_eq!(run(&format!("revoke {ES256} d --realm r")).0, 0);
    refused(
        &format!("undo {ES256} --realm r"),
        &format!("generate NEW --stage {ES256} --realm r\n"),
    );
    refused(
        &format!("stage {ES256} d --realm r"),
        &format!("generate NEW --stage {ES256} --realm r; "),
    );
    std::fs::write(shop.config(), text).unwrap();
    refused("check", &format!("take it out: claviger retire {ES256} \"d\" --realm r; "));
    refused(
        &format!("stage {ES256} d --realm r"),
        &format!("take it out: claviger retire {ES256} d --realm r\n"),
    );
    assert_eq!(run(&format!("retire {ES256} d --realm r")).0, 0);
    // Where only realms map it, and several.
    let two = shop.text().replace("[stores.keys]\n", "[stores.keys]\nrealm = \"s\"\n");
    std::fs::write(shop.config(), two).unwrap();
    refused(&format!("undo {ES256}"), "say which: --realm r, or --realm s\n");
}

#[test]
fn nothing_that_is_derived_from_a_password_is_shown() {
    let shop = Workshop::new();
    std::fs::create_dir(shop.path().join("words")).unwrap();
    std::fs::write(shop.path().join("words/app.word"), "open sesame").unwrap();
    let more = "[stores.words]\nkind = \"volume\"\ndirectory = \"words\"\n[labels.\"app.word\"]\nuse = \"secret\"\n";
    shop.configure("", more);
    drop(shop.rotation());
    let shown = |arguments: &[&str]| {
        let output = shop.run(arguments);
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let facts: Value = serde_json::from_str(&shown(&["labels", "app.word", "--json"])).unwrap();
    let alias = &facts["labels"][0]["aliases"][0];
    assert_eq!((&alias["alias"], &alias["kid"]), (&"app.word".into(), &Value::Null));
    let keys = shop.keyring().label("app.word").unwrap().keys().unwrap();
    let (kid, thumbprint) = (keys.active().kid.clone(), keys.active().key.thumbprint().to_owned());
    for arguments in [
        &["labels", "app.word", "--json"][..],
        &["labels", "app.word"],
        &["status", "--json"],
        &["history", "--json"],
    ] {
        let text = shown(arguments);
        assert!(!text.contains(&thumbprint), "{arguments:?}: {text}");
        assert!(kid == "app.word" || !text.contains(&kid), "{arguments:?}: {text}");
    }
    // The kid of a key is shown.
    assert!(shown(&["labels", ES256, "--json"]).contains("\"kid\":\"a\""));
}

/// Signatures that carry no kid are tried with so many keys and no more: a rehearsal shows it, and so does the step.
#[test]
fn a_step_tells_whose_tokens_without_kid_are_tried_no_more() {
    let shop = Workshop::new();
    shop.edit("max_token_lifetime = \"2h\"\n", "max_token_lifetime = \"2h\"\nmax_tries = 2\n");
    let label = shop.keyring().label(ES256).unwrap();
    let (signature, _) = ops::sign_raw(&label.keys().unwrap(), b"bytes", None).unwrap();
    let verifies = |shop: &Workshop| {
        let keys = shop.keyring().label(ES256).unwrap().keys().unwrap();
        ops::verify_raw(&keys, b"bytes", &signature, None).is_ok()
    };
    let told = |plan: &Plan| plan.consequences.iter().any(|line| line.contains("without a kid"));
    assert!(!told(&shop.apply(stage("c"), ES256).unwrap()) && verifies(&shop));
    assert!(!told(&shop.apply_over(promote("b"), ES256, NOW).unwrap()) && verifies(&shop));
    let plan = shop.apply_over(promote("c"), ES256, NOW).unwrap();
    assert!(!verifies(&shop));
    let line =
        "breaks: what \"a\" made without a kid is refused, for max_tries lets 2 keys be tried";
    assert!(plan.consequences.iter().any(|one| one == line), "{:?}", plan.consequences);
    // And once it is in reach again nothing is told.
    let order = ["a", "c", "b"].map(|alias| alias.parse().unwrap()).to_vec();
    let plan = shop.apply_over(Step::Reorder { aliases: order }, ES256, NOW).unwrap();
    assert!(verifies(&shop));
    let line = line.replace("\"a\"", "\"b\"");
    assert!(plan.consequences.contains(&line), "{:?}", plan.consequences);
}

#[test]
fn a_step_that_takes_long_counts_from_its_end() {
    let shop = Workshop::new();
    shop.configure("propagation = \"1h\"\n", "");
    drop(shop.rotation());
    let (config, clock) = (shop.config(), shop.clock());
    // The machine sleeps for two hours before the configuration is replaced.
    let slow = Clock::from_fn(move || {
        let is_replaced = std::fs::read_to_string(&config).unwrap().contains("\"c\"");
        clock.now() + Duration::from_secs(if is_replaced { 7_200 } else { 0 })
    });
    let request = Request::new(stage("c"), ES256).unwrap();
    let actor = Actor::of_this_process(None);
    Rotation::open(&shop.config(), slow, actor).unwrap().apply(&request).unwrap();
    shop.wait(7_200 + 3_599);
    let early = shop.apply(promote("c"), ES256).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::NotAnnounced, "{early}");
    shop.wait(1);
    shop.apply(promote("c"), ES256).unwrap();
}

#[test]
fn a_process_whose_reloads_are_refused_is_waited_for() {
    let shop = Workshop::new();
    shop.edit("state_dir", "reload = \"1s\"\nstate_dir");
    shop.apply(stage("c"), ES256).unwrap();
    // The same keys and state, and a store that it alone has.
    let own = shop.path().join("own.toml");
    let (text, store) = (shop.text(), shop.path().join("own"));
    let more = "[stores.own]\nkind = \"volume\"\ndirectory = \"own\"\n";
    std::fs::create_dir(&store).unwrap();
    std::fs::write(&own, text.replace("[stores.keys]", &format!("{more}[stores.keys]"))).unwrap();
    let process = Keyring::open_once_at(&own, shop.clock()).unwrap();
    process.follow().unwrap();
    let until = |what: &str, holds: &dyn Fn() -> bool| {
        let patience = std::time::Instant::now() + Duration::from_secs(30);
        while !holds() {
            assert!(std::time::Instant::now() < patience, "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let secs = |time: std::time::SystemTime| claviger::clock::to_unix(time);
    let said = |from: u64| {
        let said = move |(_, until): (u64, u64)| until >= from;
        until("it is not said", &|| process.usage().behind().unwrap().is_some_and(said));
    };
    shop.wait(7_200);
    std::fs::rename(&store, shop.path().join("away")).unwrap();
    said(secs(shop.now()));
    // What came before it knows; what comes now it does not, however long that is ago.
    let plan = shop.apply(stage("d"), ES256).unwrap();
    assert!(!plan.gates.iter().any(|gate| gate.opens_at.is_some()));
    assert!(
        shop.rotation().plan(&Request::new(promote("c"), ES256).unwrap()).unwrap().gates.is_empty()
    );
    shop.wait(7_200);
    said(secs(shop.now()));
    let refused = shop.apply(promote("d"), ES256).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotAnnounced);
    assert!(refused.message().contains("a process has not loaded it"), "{refused}");
    assert!(shop.rotation().history().records.iter().any(|one| one.behind.is_some()));
    let patient = shop.apply(promote("c"), ES256).unwrap();
    assert!(patient.gates.is_empty());
    // It takes it: from then on caches and the clock are waited for.
    std::fs::rename(shop.path().join("away"), &store).unwrap();
    until("it is refused still", &|| process.status().refused.is_none());
    process.reload().unwrap();
    shop.wait(3_600 + 1 + 60 - 1);
    shop.apply(promote("d"), ES256).unwrap_err();
    shop.wait(3);
    shop.apply(promote("d"), ES256).unwrap();
    // Of the next key nothing was missed.
    shop.apply_over(retire("b"), ES256, FORCE).unwrap();
    shop.apply(stage("b"), ES256).unwrap();
    let refused = shop.apply(promote("b"), ES256).unwrap_err();
    assert!(!refused.message().contains("process"), "{refused}");
}

#[test]
fn a_key_that_was_away_under_a_clock_that_was_behind_is_announced_anew() {
    let shop = Workshop::new();
    drop(shop.rotation());
    shop.wait(2 * ANNOUNCED);
    shop.apply(stage("c"), ES256).unwrap();
    // Both steps are dated before the last one, and count as of its time.
    shop.back(ANNOUNCED);
    shop.apply_over(retire("b"), ES256, FORCE).unwrap();
    shop.wait(60);
    shop.apply(stage("b"), ES256).unwrap();
    shop.wait(ANNOUNCED);
    let refused = shop.apply(promote("b"), ES256).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotAnnounced);
}

#[test]
fn a_certificate_that_is_not_valid_is_told_and_never_stands_before_tls_unasked() {
    let shop = Workshop::new();
    let mtls = "am.services.oauth2.mtls.client.authentication";
    let keys = "[stores.keys.mappings]\n";
    shop.edit(keys, &format!("{keys}\"{mtls}\" = [\"a\"]\n"));
    let plan = |step: Step| shop.rotation().plan(&Request::new(step, mtls).unwrap()).unwrap();
    assert!(!plan(stage("b")).to_string().contains("certificate"));
    shop.apply(stage("b"), mtls).unwrap();
    let of_certificate = |step: Step| {
        let plan = plan(step);
        let told =
            "breaks: \"b\" is refused by peers that look at its certificate: its certificate ";
        assert!(plan.to_string().contains(told), "{plan}");
        let gate = plan.gates.iter().find(|gate| gate.code == "certificate_not_valid");
        gate.cloned().unwrap()
    };
    // Certificates of thirty days.
    shop.wait(31 * 86_400);
    let gate = of_certificate(promote("b"));
    assert_eq!((gate.opens_at, gate.override_with), (None, "--force"));
    assert!(gate.message.contains("expired at 2027-02-14"), "{}", gate.message);
    let refused = shop.apply(promote("b"), mtls).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::CertificateNotValid);
    shop.apply_over(promote("b"), mtls, FORCE).unwrap();
    shop.apply_over(promote("a"), mtls, FORCE).unwrap();
    shop.back(32 * 86_400);
    assert_eq!(of_certificate(promote("b")).opens_at.as_deref(), Some("2027-01-15T08:00:00Z"));
    // What signs is not stopped: who verifies a token looks at its key.
    let plan = shop.rotation().plan(&Request::new(promote("b"), ES256).unwrap()).unwrap();
    assert!(plan.gates.iter().all(|gate| gate.code == "not_announced"), "{plan}");
}
