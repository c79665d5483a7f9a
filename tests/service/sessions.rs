//! Client-side sessions over HTTP: their life, time-outs, ends that outlive the process, rights.

use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use super::running::Running;
use super::shop::{KEY, Shop};

const SESSIONS: &str = "[stores.more]\nkind = \"keystore\"\npath = \"more.jwks\"\nintegrity = \"none\"\n\n\
                        [stores.more.mappings]\n\"am.global.services.session.clientbased.encryption.AES\" = [\"k\"]\n\n\
                        [sessions]\nsigning = []\nencryption = [\"AES\"]\n\
                        absolute = \"8h\"\nidle = \"30m\"\n";

fn shop(rights: &[&str]) -> Shop {
    Shop::with_key(rights, SESSIONS, "more.jwks", "k", "aes")
}

fn post(running: &Running, what: &str, body: &Value) -> (u16, Value) {
    running.post(&format!("/v1/sessions/{what}"), KEY, body)
}

fn done(shop: &Shop, what: &str, body: &Value) -> Value {
    let (status, answer) = post(shop.running(), what, body);
    assert_eq!(status, 200, "{what} {body}: {answer}");
    answer
}

#[test]
fn a_session_is_made_opened_used_and_ends() {
    let shop = shop(&["session-seal", "session-open"]);
    let sealed = done(&shop, "seal", &json!({"claims": {"sub": "alice"}}));
    assert_eq!(sealed["ends"], json!("2027-01-15T16:00:00Z"), "{sealed}");
    assert_eq!(sealed["ends_unless_used"], json!("2027-01-15T08:30:00Z"));
    let size = sealed["token"].as_str().unwrap().len();
    assert!(sealed["cookie"]["bytes"].as_u64().unwrap() > size.try_into().unwrap());
    let token = json!({"token": sealed["token"]});
    let opened = done(&shop, "open", &token);
    assert_eq!((&opened["claims"], &opened["id"]), (&json!({"sub": "alice"}), &sealed["id"]));
    assert_eq!(opened["decrypted_by"]["alias"], json!("k"));
    shop.wait(1_700);
    let again = done(&shop, "refresh", &token);
    assert_eq!((&again["id"], &again["ends"]), (&sealed["id"], &sealed["ends"]));
    shop.wait(200);
    let (status, problem) = post(shop.running(), "open", &token);
    assert_eq!((status, &problem["code"]), (422, &json!("token_refused")), "{problem}");
    done(&shop, "open", &json!({"token": again["token"]}));
}

#[test]
fn whatever_is_wrong_with_a_session_is_told_the_same() {
    let shop = shop(&["session-seal", "session-open"]);
    let sealed = done(&shop, "seal", &json!({"claims": {}}));
    let token = sealed["token"].as_str().unwrap();
    let other_realm =
        shop.running().post("/v1/sessions/open?realm=alpha", KEY, &json!({"token": token}));
    let mut told = vec![other_realm];
    for token in ["", "a.b.c.d.e", token.get(..token.len() - 1).unwrap(), &token.replace('.', "..")]
    {
        told.push(post(shop.running(), "open", &json!({ "token": token })));
    }
    done(&shop, "end", &json!({ "token": token }));
    told.push(post(shop.running(), "open", &json!({ "token": token })));
    assert_eq!(told[0].0, 422);
    assert!(told.windows(2).all(|two| two[0] == two[1]), "{told:?}");
}

#[test]
fn an_ended_session_stays_ended_after_a_restart_and_in_every_process() {
    let shop = shop(&["session-seal", "session-open"]);
    let sealed = done(&shop, "seal", &json!({"claims": {}}));
    let other = done(&shop, "seal", &json!({"claims": {}}));
    let (token, other) = (json!({"token": sealed["token"]}), json!({"token": other["token"]}));
    let beside = shop.another();
    assert_eq!(post(&beside, "open", &token).0, 200);
    let ended = done(&shop, "end", &token);
    assert_eq!((&ended["id"], &ended["until"]), (&sealed["id"], &json!("2027-01-15T16:00:00Z")));
    for running in [shop.running(), &beside] {
        assert_eq!(post(running, "open", &token).0, 422);
        assert_eq!(post(running, "refresh", &token).0, 422);
        assert_eq!(post(running, "open", &other).0, 200);
    }
    // Ending it again does no harm.
    assert_eq!(post(&beside, "end", &token).0, 200);
    assert_eq!(post(&beside, "end", &other).0, 200);
    assert_eq!(post(shop.running(), "open", &other).0, 422);
}

/// However many were ended, one more costs a line.
#[test]
fn ending_a_session_writes_nothing_of_the_others_again() {
    let shop = shop(&["session-seal", "session-open"]);
    let file = || {
        let path = shop.path().join("state/ended-sessions");
        (std::fs::metadata(&path).unwrap().ino(), std::fs::read_to_string(path).unwrap())
    };
    let mut before = (0, String::new());
    for at in 0..5 {
        let sealed = done(&shop, "seal", &json!({"claims": {}}));
        done(&shop, "end", &json!({"token": sealed["token"]}));
        let (inode, text) = file();
        assert!(at == 0 || inode == before.0, "another file");
        assert!(text.starts_with(&before.1), "{text}");
        assert_eq!(text.lines().count(), at + 1, "{text}");
        before = (inode, text);
    }
}

#[test]
fn each_call_needs_its_right() {
    for (right, allowed) in
        [("session-seal", ["seal", "refresh"]), ("session-open", ["open", "end"])]
    {
        let shop = shop(&[right]);
        for what in ["seal", "refresh", "open", "end"] {
            let (status, _) = post(shop.running(), what, &json!({"none": 1}));
            assert_eq!(status, if allowed.contains(&what) { 400 } else { 403 }, "{right} {what}");
        }
    }
}
