//! Steps of a rotation over HTTP: gates, dry runs, the journal, `Idempotency-Key`.

use claviger::journal::Event;
use serde_json::{Value, json};

use super::running::Running;
use super::shop::{ES256, KEY, SEAL, Shop};

const STEPS: [&str; 7] = ["stage", "generate", "promote", "reorder", "retire", "revoke", "undo"];

#[test]
fn a_key_goes_through_its_life_and_each_step_serves_when_it_is_answered() {
    let shop = Shop::new(&[&STEPS[..], &["sign", "verify"]].concat());
    let old = shop.done(ES256, "sign", &json!({"claims": {}}))["token"].clone();
    let staged = shop.done(ES256, "stage", &json!({"alias": "c", "reason": "yearly"}));
    assert_eq!((&staged["done"], &staged["generation"]), (&json!(true), &json!(2)), "{staged}");
    assert_eq!(staged["plan"]["diff"]["labels"][0]["enters"][0]["alias"], json!("c"));
    assert_eq!(shop.aliases(ES256), ["a", "b", "c"]);
    // Nobody can know it yet.
    let closed = shop.refused(ES256, "promote", &json!({"alias": "c"}), (409, "not_announced"));
    assert_eq!(closed["opens_at"], json!("2027-01-15T09:00:00Z"), "{closed}");
    shop.wait(3_600);
    let promoted = shop.done(ES256, "promote", &json!({"alias": "c"}));
    assert_eq!(promoted["generation"], json!(3));
    let new = shop.done(ES256, "sign", &json!({"claims": {}}));
    assert_eq!(new["alias"], json!("c"));
    shop.done(ES256, "verify", &json!({"token": old}));
    let closed = shop.refused(ES256, "retire", &json!({"alias": "a"}), (409, "still_in_use"));
    assert!(closed["opens_at"].is_string(), "{closed}");
    shop.done(ES256, "retire", &json!({"alias": "a", "force": true, "reason": "a drill"}));
    shop.refused(ES256, "verify", &json!({"token": old}), (422, "not_verified"));
    shop.done(ES256, "undo", &json!({"now": true}));
    shop.done(ES256, "verify", &json!({"token": old}));
    shop.done(ES256, "reorder", &json!({"aliases": ["b", "c", "a"], "now": true}));
    assert_eq!(shop.aliases(ES256), ["b", "c", "a"]);
    shop.done(ES256, "revoke", &json!({"alias": "a", "compromised_at": "2027-01-15T08:30:00Z"}));
    shop.refused(ES256, "stage", &json!({"alias": "a"}), (409, "key_revoked"));
    let again = shop.done(ES256, "promote", &json!({"alias": "b"}));
    assert_eq!((&again["done"], &again["dry_run"]), (&json!(false), &json!(false)), "{again}");

    let history = shop.history();
    let by_portal = |event| {
        let ours = |record: &&claviger::journal::Record| {
            record.event == event && record.who.name.as_deref() == Some("portal")
        };
        history.records.iter().filter(ours).count()
    };
    assert_eq!((by_portal(Event::Done), by_portal(Event::Refused)), (6, 3));
    assert!(history.broken.is_none());
    let reasons: Vec<&str> =
        history.records.iter().filter_map(|record| record.reason.as_deref()).collect();
    assert!(reasons.contains(&"yearly") && reasons.contains(&"a drill"), "{reasons:?}");
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let shop = Shop::new(&STEPS);
    shop.done(ES256, "stage", &json!({"alias": "c"}));
    let facts = || (shop.text(), shop.aliases(ES256), shop.history().records.len());
    let before = facts();
    let told = shop.done(SEAL, "stage", &json!({"alias": "t", "dry_run": true}));
    assert_eq!((&told["done"], &told["dry_run"]), (&json!(false), &json!(true)), "{told}");
    assert!(told["plan"]["command"].as_str().unwrap().starts_with("claviger stage"), "{told}");
    let stops = |body| shop.done(ES256, "promote", &body)["stopped_by"].clone();
    assert_eq!(stops(json!({"alias": "c", "dry_run": true})), json!("not_announced"));
    assert_eq!(stops(json!({"alias": "c", "dry_run": true, "now": true})), json!(null));
    let key = json!({"alias": "fresh", "dry_run": true});
    assert_eq!(shop.done(ES256, "generate", &key)["plan"]["action"], json!("stage"));
    assert_eq!(facts(), before);
}

#[test]
fn a_new_key_is_made_as_the_active_one_is_and_replaces_a_leaked_one() {
    let shop = Shop::new(&[&STEPS[..], &["encrypt", "decrypt", "rewrap"]].concat());
    shop.done(SEAL, "generate", &json!({"alias": "u"}));
    assert_eq!(shop.aliases(SEAL), ["s", "u"]);
    let old = shop.done(SEAL, "encrypt", &json!({"text": "the plaintext"}))["token"].clone();
    shop.done(SEAL, "promote", &json!({"alias": "u", "now": true}));
    let again = shop.done(SEAL, "rewrap", &json!({ "token": old }));
    assert_eq!((&again["from"]["alias"], &again["alias"]), (&json!("s"), &json!("u")), "{again}");
    shop.done(SEAL, "revoke", &json!({"alias": "s", "replace": "v"}));
    assert_eq!(shop.aliases(SEAL), ["u", "v"]);
    shop.refused(SEAL, "decrypt", &json!({"token": old, "as": "text"}), (422, "not_decrypted"));
    let opened = shop.done(SEAL, "decrypt", &json!({"token": again["token"], "as": "text"}));
    assert_eq!(opened["text"], json!("the plaintext"));
}

#[test]
fn steps_that_do_not_fit_are_refused_with_a_code() {
    let shop = Shop::new(&STEPS);
    for (what, body, expected) in [
        ("stage", json!({"alias": "nobody"}), (404, "unknown_alias")),
        ("stage", json!({"alias": ""}), (400, "usage")),
        ("stage", json!({"alias": "c", "dryrun": true}), (400, "malformed")),
        ("stage", json!({"alias": "c", "store": "other"}), (400, "usage")),
        ("promote", json!({}), (400, "malformed")),
        ("promote", json!({"alias": "c"}), (404, "unknown_alias")),
        ("reorder", json!({"aliases": ["a"]}), (409, "step_refused")),
        ("undo", json!({}), (409, "step_refused")),
        ("stage", json!({"alias": "c", "reason": "x".repeat(1_001)}), (400, "usage")),
        ("revoke", json!({"alias": "a", "compromised_at": "tomorrow"}), (400, "usage")),
        ("revoke", json!({"alias": "a", "compromised_at": "2037-01-01T00:00:00Z"}), (400, "usage")),
    ] {
        shop.refused(ES256, what, &body, expected);
    }
    assert_eq!(shop.aliases(ES256), ["a", "b"]);
}

#[test]
fn a_configuration_that_does_not_load_is_nothing_that_the_service_failed_at() {
    let shop = Shop::new(&STEPS);
    let text = shop.text();
    shop.write(&format!("{text}\nnonsense = \n"));
    for dry_run in [false, true] {
        let body = json!({"alias": "c", "dry_run": dry_run});
        let problem = shop.refused(ES256, "stage", &body, (409, "config_invalid"));
        assert!(problem["help"].to_string().contains("claviger check"), "{problem}");
    }
    shop.write(&text);
    shop.done(ES256, "stage", &json!({"alias": "c"}));
}

#[test]
fn every_refusal_is_recorded_whatever_reason_the_caller_gives() {
    let shop = Shop::new(&STEPS);
    let recorded = || {
        let all = shop.history().records;
        all.iter().filter(|record| record.event == Event::Refused).count()
    };
    for count in 1..=3 {
        let body = json!({"alias": "nobody", "reason": "scheduled"});
        shop.refused(ES256, "promote", &body, (404, "unknown_alias"));
        assert_eq!(recorded(), count);
    }
}

/// Nothing of the service fails by that: whoever asks learns what to ask for instead.
#[test]
fn a_key_that_cannot_be_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("files")).unwrap();
    let files =
        "[stores.files]\nkind = \"volume\"\ndirectory = \"files\"\nversion_suffix = \".v\"\n";
    let shop = Shop::in_folder(folder, &STEPS, files);
    for dry_run in [true, false] {
        let refused = |mut body: Value, expected: (u16, &str), why: &[&str]| {
            body["alias"] = json!("fresh");
            body["dry_run"] = json!(dry_run);
            let problem = shop.refused(ES256, "generate", &body, expected);
            let text = problem.to_string();
            assert!(why.iter().all(|part| text.contains(part)), "{body}: {text}");
        };
        for days in [0, 36_501, u32::MAX] {
            refused(json!({ "days": days }), (400, "usage"), &["1 to 36500 days"]);
        }
        let curve = json!({"curve": "P-384"});
        let why = ["would not load", "EC P-384 does none of ES256", "right type, curve and size"];
        refused(curve, (409, "step_refused"), &why);
        let plain = json!({"store": "files"});
        let why = ["not written as plain", "set format"];
        refused(plain, (409, "unsupported"), &why);
    }
    assert_eq!(shop.aliases(ES256), ["a", "b"]);
}

#[test]
fn each_step_has_a_right_of_its_own() {
    for granted in STEPS {
        let shop = Shop::new(&[granted]);
        for what in STEPS {
            let (status, answer) = shop.post(ES256, what, &json!({"none": 1}));
            let allowed = what == granted;
            assert_eq!(status, if allowed { 400 } else { 403 }, "{granted} {what}: {answer}");
        }
    }
}

#[test]
fn who_may_revoke_makes_no_key_in_passing() {
    let shop = Shop::new(&["revoke"]);
    let body = json!({"alias": "s", "replace": "v"});
    let problem = shop.refused(SEAL, "revoke", &body, (403, "forbidden"));
    assert!(problem["detail"].as_str().unwrap().contains("\"generate\""), "{problem}");
    assert_eq!(shop.aliases(SEAL), ["s"]);
    assert!(shop.history().head().is_none());
}

#[test]
fn the_same_request_is_done_once() {
    let shop = Shop::new(&STEPS);
    let send = |what: &str, key: &str, body: Value| {
        let path = format!("/v1/labels/{ES256}/{what}");
        shop.running().post_with(&path, KEY, &[("idempotency-key", key)], &body.to_string())
    };
    let stage = json!({"alias": "c"});
    let (status, first) = send("stage", "\"k1\"", stage.clone());
    assert_eq!((status, &first["done"]), (200, &json!(true)), "{first}");
    assert_eq!(send("stage", "\"k1\"", stage.clone()), (200, first));
    // Under another key the same is asked anew: it is mapped already.
    assert_eq!(send("stage", "\"k2\"", stage.clone()).0, 409);
    for (what, body) in [("stage", json!({"alias": "b"})), ("retire", stage.clone())] {
        let (status, problem) = send(what, "\"k1\"", body);
        assert_eq!((status, &problem["code"]), (422, &json!("idempotency_key_reused")));
    }
    // A refusal is an answer too.
    let promote = json!({"alias": "c"});
    assert_eq!(send("promote", "k3", promote.clone()).0, 409);
    shop.wait(3_600);
    assert_eq!(send("promote", "k3", promote.clone()).0, 409);
    assert_eq!(send("promote", "k4", promote).0, 200);
    assert_eq!(send("stage", "a b", stage).0, 400);
}

/// Answers under an `Idempotency-Key` do not outlive their process: what is sent again after a restart is carried out.
#[test]
fn what_is_sent_again_after_a_restart_finds_its_work_done() {
    let shop = Shop::new(&["stage", "generate", "promote", "reorder", "retire", "revoke"]);
    for (what, body, again) in [
        ("stage", json!({"alias": "c"}), 409),
        ("generate", json!({"alias": "g"}), 409),
        ("promote", json!({"alias": "c", "force": true}), 200),
        ("reorder", json!({"aliases": ["a", "b", "c", "g"], "force": true}), 200),
        ("retire", json!({"alias": "b", "force": true}), 404),
        ("revoke", json!({"alias": "c", "force": true}), 200),
    ] {
        let ask = |running: &Running| {
            let headers = [("idempotency-key", what)];
            let path = format!("/v1/labels/{ES256}/{what}");
            running.post_with(&path, KEY, &headers, &body.to_string())
        };
        let first = ask(shop.running());
        assert_eq!((first.0, &first.1["done"]), (200, &json!(true)), "{what}: {}", first.1);
        assert_eq!(ask(shop.running()), first);
        let (text, restarted) = (shop.text(), shop.another());
        let (status, answer) = ask(&restarted);
        assert_eq!((status, shop.text()), (again, text), "{what}: {answer}");
        assert_ne!(answer["done"], json!(true), "{what}: {answer}");
    }
}
