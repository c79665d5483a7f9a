//! Audit lines: what there is one for, what stands in it and never does, and what happens when it cannot be written.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::LONG;
use crate::shop::{ES256, KEY, SEAL, Shop};

/// Lines of a file as they come: those of uses are written beside their answers.
pub(crate) struct Lines {
    path: PathBuf,
    read: usize,
}

impl Lines {
    pub(crate) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), read: 0 }
    }

    /// The next so many, and that there are no more.
    pub(crate) fn next(&mut self, many: usize) -> Vec<Value> {
        let until = Instant::now() + LONG;
        loop {
            let text = std::fs::read_to_string(&self.path).unwrap_or_default();
            let lines: Vec<&str> = text.split_inclusive('\n').skip(self.read).collect();
            if lines.len() >= many && lines.iter().all(|line| line.ends_with('\n')) {
                assert_eq!(lines.len(), many, "{lines:?}");
                self.read += many;
                return lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
            }
            assert!(Instant::now() < until, "{many} lines are awaited: {lines:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

const ALL: [&str; 14] = [
    "sign", "verify", "encrypt", "decrypt", "read", "keys", "metrics", "stage", "promote",
    "reorder", "retire", "revoke", "undo", "reload",
];

fn shop(rights: &[&str], audit: &str) -> (Shop, Lines) {
    let folder = tempfile::tempdir().unwrap();
    let lines = Lines::of(&folder.path().join("audit.log"));
    let more = format!("[service]\nplain_http = true\n[service.audit]\n{audit}\n");
    (Shop::in_folder(folder, rights, &more), lines)
}

const FULL: &str = "to = \"audit.log\"\nuses = \"full\"";
const FILE: &str = "to = \"audit.log\"";

/// A line without what differs from run to run.
fn settled(mut line: Value) -> Value {
    let members = line.as_object_mut().unwrap();
    let time = members.remove("time").unwrap();
    assert!(time.as_str().unwrap().starts_with("2027-01-15T"), "{time}");
    if let Some(peer) = members.remove("peer") {
        assert!(peer.as_str().unwrap().starts_with("127.0.0.1:"), "{peer}");
    }
    if let Some(micros) = members.remove("micros") {
        assert!(micros.as_u64().unwrap() < 60_000_000);
    }
    line
}

const PORTAL: &str = r#"{"name":"portal","kind":"api-key"}"#;

fn portal() -> Value {
    serde_json::from_str(PORTAL).unwrap()
}

#[test]
fn a_use_has_a_line_with_the_key_that_served_and_its_outcome() {
    let (shop, mut lines) = shop(&["sign", "verify", "encrypt", "decrypt"], FULL);
    let path = format!("/v1/labels/{ES256}/sign?realm=alpha");
    let id = [("x-request-id", "trace-7")];
    let (status, made) = shop.running().post_with(&path, KEY, &id, r#"{"claims":{"sub":"alice"}}"#);
    assert_eq!(status, 200, "{made}");
    let line = settled(lines.next(1).remove(0));
    assert_eq!(
        line,
        json!({ "event": "use", "request_id": "trace-7", "caller": portal(),
            "route": "POST /v1/labels/{label}/sign", "right": "sign", "label": ES256, "realm": "alpha",
            "alias": "a", "kid": made["kid"], "status": 200, "outcome": "ok" })
    );
    // What does not verify is a use as well.
    let items =
        json!([{ "token": made["token"] }, { "token": "a.b.c" }, { "token": made["token"] }]);
    shop.refused(ES256, "verify", &json!({ "token": "a.b.c" }), (422, "not_verified"));
    shop.done(ES256, "verify/batch", &json!({ "items": items }));
    shop.refused("app.unmapped", "sign", &json!({ "claims": {} }), (404, "unknown_label"));
    let found: Vec<Value> = lines.next(3).into_iter().map(settled).collect();
    let facts = |line: &Value| {
        ["event", "label", "alias", "items", "items_refused", "status", "outcome"]
            .map(|name| line[name].clone())
    };
    assert_eq!(
        facts(&found[0]).to_vec(),
        vec![
            json!("use"),
            json!(ES256),
            Value::Null,
            Value::Null,
            Value::Null,
            json!(422),
            json!("not_verified")
        ]
    );
    assert_eq!(
        facts(&found[1]).to_vec(),
        vec![json!("use"), json!(ES256), json!("a"), json!(3), json!(1), json!(200), json!("ok")]
    );
    // A label that nobody mapped is what the caller made up.
    assert_eq!(
        facts(&found[2]).to_vec(),
        vec![
            json!("use"),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
            json!(404),
            json!("unknown_label")
        ]
    );
}

#[test]
fn what_is_refused_has_a_line_whatever_is_said_of_uses() {
    let (shop, mut lines) = shop(&["sign", "promote"], FILE);
    let path = format!("/v1/labels/{ES256}");
    shop.done(ES256, "sign", &json!({ "claims": {} }));
    let bodies = json!({ "claims": {} }).to_string();
    let post =
        |what: &str, key| shop.running().post_with(&format!("{path}/{what}"), key, &[], &bodies).0;
    assert_eq!(post("sign", None), 401);
    assert_eq!(post("sign?realm=beta", Some("no such key")), 401);
    assert_eq!(post("verify?realm=beta", KEY), 403);
    assert_eq!(shop.running().get("/metrics", KEY).0, 403);
    assert_eq!(shop.running().get("/no/such/path", KEY).0, 404);
    assert_eq!(shop.running().get("/healthz", None).0, 200);
    let found: Vec<Value> = lines.next(4).into_iter().map(settled).collect();
    let facts = |line: &Value| {
        ["event", "caller", "right", "label", "realm", "status", "outcome"]
            .map(|name| line[name].clone())
    };
    let nobody =
        [json!("refused"), Value::Null, json!("sign"), json!(ES256), Value::Null, json!(401)];
    for line in &found[..2] {
        assert_eq!(facts(line)[..6], nobody);
        assert_eq!(line["outcome"], "unauthenticated");
    }
    assert_eq!(
        facts(&found[2]).to_vec(),
        vec![
            json!("refused"),
            portal(),
            json!("verify"),
            json!(ES256),
            json!("beta"),
            json!(403),
            json!("forbidden")
        ]
    );
    assert_eq!(found[3]["route"], "GET /metrics");
    // Each has an id of its own.
    let ids: std::collections::BTreeSet<&str> =
        found.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn a_change_has_a_line_before_and_one_after_that_names_its_record() {
    let (shop, mut lines) = shop(&ALL, FILE);
    shop.done(ES256, "stage", &json!({ "alias": "c" }));
    let found: Vec<Value> = lines.next(3).into_iter().map(settled).collect();
    let head = shop.history().head().unwrap();
    let common = |line: &Value| {
        let same = json!({ "event": "change", "request_id": line["request_id"], "caller": portal(),
            "route": "POST /v1/labels/{label}/stage", "right": "stage", "label": ES256, "alias": "c" });
        same.as_object().unwrap().clone()
    };
    let mut begin = common(&found[0]);
    begin.insert("phase".into(), "begin".into());
    assert_eq!(found[0], Value::from(begin));
    assert_eq!(found[1]["event"], "reload");
    assert_eq!((&found[1]["outcome"], &found[1]["generation"]), (&json!("ok"), &json!(2)));
    let mut end = common(&found[0]);
    let more = json!({ "phase": "end", "status": 200, "outcome": "ok",
        "journal": { "seq": head.seq, "hash": head.hash } });
    end.extend(more.as_object().unwrap().clone());
    assert_eq!(found[2], Value::from(end));

    // Not to be done now: it was begun, and came to nothing.
    shop.refused(ES256, "promote", &json!({ "alias": "c" }), (409, "not_announced"));
    let found = lines.next(2);
    assert_eq!((&found[0]["phase"], &found[1]["phase"]), (&json!("begin"), &json!("end")));
    assert_eq!(
        (&found[1]["outcome"], &found[1]["journal"]),
        (&json!("not_announced"), &Value::Null)
    );

    // Told only, or of the wrong form: nothing was to be changed.
    shop.done(ES256, "promote", &json!({ "alias": "c", "now": true, "dry_run": true }));
    shop.refused(ES256, "promote", &json!({ "alias": 7 }), (400, "malformed"));
    assert_eq!(lines.next(0).len(), 0);

    for body in [json!({ "alias": "c", "now": true }), json!({ "alias": "c", "now": true })] {
        let path = format!("/v1/labels/{ES256}/promote");
        let header = [("idempotency-key", "k1")];
        assert_eq!(shop.running().post_with(&path, KEY, &header, &body.to_string()).0, 200);
    }
    let promoted = shop.history().head().unwrap();
    assert!(promoted.seq > head.seq);
    assert_eq!(lines.next(3)[2]["journal"], json!({ "seq": promoted.seq, "hash": promoted.hash }));

    assert_eq!(shop.running().post("/v1/reload", KEY, &json!({})).0, 200);
    let events: Vec<Value> = lines.next(3).into_iter().map(|line| line["event"].clone()).collect();
    assert_eq!(events, ["change", "reload", "change"]);
    shop.write(&shop.text().replace("max_token_lifetime", "max_token_lifetim"));
    assert_eq!(shop.running().post("/v1/reload", KEY, &json!({})).0, 409);
    let found = lines.next(3);
    assert_eq!(
        (&found[1]["event"], &found[1]["outcome"]),
        (&json!("reload"), &json!("config_invalid"))
    );
    assert_eq!((&found[2]["event"], &found[2]["status"]), (&json!("change"), &json!(409)));
}

#[test]
fn dry_runs_and_repetitions_are_uses() {
    let (shop, mut lines) = shop(&["promote", "read", "keys"], FULL);
    shop.done(ES256, "promote", &json!({ "alias": "b", "now": true, "dry_run": true }));
    let path = format!("/v1/labels/{ES256}/promote");
    for _ in 0..2 {
        let body = json!({ "alias": "b", "now": true }).to_string();
        let header = [("idempotency-key", "k1")];
        assert_eq!(shop.running().post_with(&path, KEY, &header, &body).0, 200);
    }
    // Published keys are read all the time.
    assert_eq!(shop.running().get("/v1/jwks.json", KEY).0, 200);
    assert_eq!(shop.running().get("/v1/labels", KEY).0, 200);
    let found = lines.next(6);
    let events: Vec<&Value> = found.iter().map(|line| &line["event"]).collect();
    assert_eq!(events, ["use", "change", "reload", "change", "use", "use"]);
    assert_eq!((&found[0]["dry_run"], &found[0]["alias"]), (&json!(true), &json!("b")));
    assert_eq!((&found[4]["repeated"], &found[4]["dry_run"]), (&json!(true), &Value::Null));
    assert_eq!(found[5]["right"], "read");
}

#[test]
fn no_line_has_a_token_a_key_a_payload_or_a_query() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let more = format!("[service]\nplain_http = true\n[service.audit]\n{FULL}\n");
    let shop = Shop::in_folder(folder, &ALL, &more);
    let canary = "CANARYcanary0123456789";
    let signed = shop.done(ES256, "sign", &json!({ "claims": { "sub": canary } }));
    let token = signed["token"].as_str().unwrap().to_owned();
    shop.done(ES256, "verify", &json!({ "token": token }));
    let sealed = shop.done(SEAL, "encrypt", &json!({ "text": canary }));
    shop.done(SEAL, "decrypt", &json!({ "token": sealed["token"], "as": "text" }));
    shop.done(ES256, "sign/batch", &json!({ "items": [{ "text": canary }] }));
    shop.refused(ES256, "verify", &json!({ "token": canary }), (422, "not_verified"));
    shop.refused(
        ES256,
        "promote",
        &json!({ "alias": "a", "reason": canary, canary: 1 }),
        (400, "malformed"),
    );
    shop.done(ES256, "stage", &json!({ "alias": "c", "reason": canary }));
    let running = shop.running();
    let header = |name: &'static str| [(name, canary)];
    for (path, key, headers) in [
        (format!("/v1/labels/{canary}/sign"), KEY, vec![]),
        (format!("/v1/labels/{canary}/sign"), Some(canary), vec![]),
        (format!("/v1/labels/{ES256}/sign?realm={canary}"), Some(canary), vec![]),
        (format!("/v1/labels/{ES256}/sign?realm=a&{canary}={canary}"), KEY, vec![]),
        (format!("/v1/labels/{ES256}/sign?realm=a&realm={canary}"), KEY, vec![]),
        (format!("/v1/labels/{ES256}/{canary}"), KEY, vec![]),
        (format!("/v1/labels/{ES256}/sign"), Some(canary), vec![]),
        (format!("/v1/labels/{ES256}/sign"), None, header("cookie").to_vec()),
        (format!("/v1/labels/{ES256}/stage"), KEY, header("idempotency-key").to_vec()),
        // An id is for records; one that is none is no way in.
        (
            format!("/v1/labels/{ES256}/sign"),
            KEY,
            vec![("x-request-id", "no id: CANARYcanary0123456789")],
        ),
        (format!("/v1/sessions/open?realm={canary}"), None, vec![]),
    ] {
        running.post_with(&path, key, &headers, &json!({ "claims": { "x": canary } }).to_string());
    }
    let secrets = [canary, &token, "the key of portal", sealed["token"].as_str().unwrap()];
    let until = Instant::now() + LONG;
    // The last of them is refused, and its line is written before its answer.
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.lines().count() > 15 && Instant::now() < until, "{text}");
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} in {text}");
        let head: String = secret.chars().take(16).collect();
        assert!(!text.contains(&head), "{head} in {text}");
    }
}

#[test]
fn uses_are_sampled_at_random() {
    let audit = "to = \"audit.log\"\nuses = \"sampled\"\nsample_one_in = 4";
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let more = format!("[service]\nplain_http = true\n[service.audit]\n{audit}\n");
    let shop = Shop::in_folder(folder, &["sign"], &more);
    for _ in 0..200 {
        shop.done(ES256, "sign", &json!({ "claims": {} }));
    }
    // The line of a refusal comes after all that were before it in the queue.
    shop.refused(ES256, "verify", &json!({}), (403, "forbidden"));
    let text = std::fs::read_to_string(log).unwrap();
    let uses = text.lines().filter(|line| line.contains("\"event\":\"use\"")).count();
    // 50 are expected; beyond these bounds once in 10^7 runs.
    assert!((18..90).contains(&uses), "{uses}");
}

#[test]
fn a_full_disk_stops_changes_and_refusals_and_lets_uses_go_on() {
    let (shop, _) = shop(&ALL, "to = \"/dev/full\"\nuses = \"full\"");
    let problem =
        shop.refused(ES256, "stage", &json!({ "alias": "c" }), (503, "audit_unavailable"));
    assert!(problem["detail"].as_str().unwrap().starts_with("nothing is changed"), "{problem}");
    assert!(shop.history().head().is_none());
    assert_eq!(shop.aliases(ES256), ["a", "b"]);
    assert_eq!(shop.running().post("/v1/reload", KEY, &json!({})).0, 503);
    // A key that was not looked at is none that was done.
    let header = [("idempotency-key", "k1")];
    let path = format!("/v1/labels/{ES256}/stage");
    for _ in 0..2 {
        let (status, problem) =
            shop.running().post_with(&path, KEY, &header, &json!({ "alias": "c" }).to_string());
        assert_eq!((status, &problem["code"]), (503, &json!("audit_unavailable")));
    }
    shop.done(ES256, "stage", &json!({ "alias": "c", "dry_run": true }));
    let (status, problem) =
        shop.running().post(&format!("/v1/labels/{ES256}/sign"), None, &json!({}));
    assert_eq!((status, &problem["code"]), (503, &json!("audit_unavailable")));
    shop.done(ES256, "sign", &json!({ "claims": {} }));
    assert_eq!(shop.running().get("/readyz", None).0, 200);
    let figures = shop.running().get("/metrics", KEY).1;
    assert!(figures.contains("claviger_audit_is_failing 1\n"), "{figures}");
    assert!(figures.contains("claviger_audit_lines_total{outcome=\"written\"} 0\n"), "{figures}");
    assert!(!figures.contains("claviger_audit_lines_total{outcome=\"lost\"} 0\n"), "{figures}");
    assert!(figures.contains("outcome=\"audit_unavailable\""), "{figures}");
}

#[test]
fn with_the_other_policy_a_full_disk_stops_uses_alone() {
    let modes = "on_failure = { changes = \"open\", refusals = \"open\", uses = \"closed\" }";
    let (shop, _) = shop(&ALL, &format!("to = \"/dev/full\"\nuses = \"full\"\n{modes}"));
    shop.done(ES256, "stage", &json!({ "alias": "c" }));
    assert_eq!(shop.aliases(ES256), ["a", "b", "c"]);
    let sign = format!("/v1/labels/{ES256}/sign");
    assert_eq!(shop.running().post(&sign, None, &json!({})).0, 401);
    let problem = shop.refused(ES256, "sign", &json!({ "claims": {} }), (503, "audit_unavailable"));
    assert!(problem.get("token").is_none(), "{problem}");
    let (status, ready) = shop.running().get("/readyz", None);
    assert_eq!(status, 503);
    assert!(ready.contains("audit_unavailable"), "{ready}");
}

#[test]
fn a_change_that_is_refused_for_want_of_its_line_says_that_nothing_was_changed() {
    let (shop, _) =
        shop(&ALL, "to = \"/dev/full\"\nuses = \"full\"\non_failure = { uses = \"closed\" }");
    let body = json!({ "alias": "c" });
    let problem = shop.refused(ES256, "stage", &body, (503, "audit_unavailable"));
    assert!(problem["detail"].as_str().unwrap().starts_with("nothing is changed"), "{problem}");
}

#[test]
fn the_answer_says_what_the_request_is_called() {
    let shop = Shop::new(&["sign"]);
    let asked = |id: &str| {
        let headers = if id.is_empty() { vec![] } else { vec![("x-request-id", id)] };
        shop.running().fetch("/healthz", None, &headers).header("x-request-id").to_owned()
    };
    assert_eq!(asked("0af76519-16cd"), "0af76519-16cd");
    let (one, other) = (asked(""), asked("not {well} formed"));
    assert!(!one.is_empty() && !other.is_empty() && one != other && other != "not {well} formed");
    let got = shop.running().fetch("/no/such/path", None, &[("x-request-id", "lost")]);
    assert_eq!((got.status, got.header("x-request-id")), (404, "lost"));
}

#[test]
fn a_session_has_a_line_with_the_key_that_made_it_or_let_it_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = Lines::of(&folder.path().join("audit.log"));
    let more = format!(
        "[stores.more]\nkind = \"keystore\"\npath = \"more.jwks\"\nintegrity = \"none\"\n\n\
         [stores.more.mappings]\n\"am.global.services.session.clientbased.encryption.AES\" = [\"k\"]\n\n\
         [sessions]\nsigning = []\nencryption = [\"AES\"]\n\
         [service]\nplain_http = true\n[service.audit]\n{FULL}\n"
    );
    let shop = Shop::with_key_in(
        folder,
        &["session-seal", "session-open"],
        &more,
        "more.jwks",
        "k",
        "aes",
    );
    let post = |what: &str, body: &Value| {
        shop.running().post(&format!("/v1/sessions/{what}"), KEY, body).1
    };
    let sealed = post("seal", &json!({ "claims": { "sub": "alice" } }));
    let opened = post("open", &json!({ "token": sealed["token"] }));
    assert_eq!(opened["decrypted_by"]["alias"], "k", "{opened}");
    post("open", &json!({ "token": "x" }));
    let found = lines.next(3);
    let facts = |line: &Value| ["right", "alias", "outcome"].map(|name| line[name].clone());
    assert_eq!(facts(&found[0]), [json!("session-seal"), json!("k"), json!("ok")]);
    assert_eq!(facts(&found[1]), [json!("session-open"), json!("k"), json!("ok")]);
    assert_eq!(found[1]["kid"], opened["decrypted_by"]["kid"]);
    assert_eq!(facts(&found[2]), [json!("session-open"), Value::Null, json!("token_refused")]);
}
