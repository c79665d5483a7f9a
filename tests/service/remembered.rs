//! Requests of one connection with heads that were let in before: who asks, for what, and until when, is as for the first.

use std::sync::atomic::Ordering;

use claviger::clock::Clock;
use claviger::jose::jws::{self, SignOptions};
use serde_json::{Value, json};

use super::credentials::api_key;
use super::door::{Client, Door, clock_ahead};

const LABELS: [&str; 2] =
    ["am.services.oauth2.oidc.signing.ES256", "am.services.oauth2.oidc.signing.ES384"];

/// Callers by API key, each with what it may do with which label.
fn access(callers: &[(&str, &str, &str)]) -> String {
    let one = |(name, right, label): &(&str, &str, &str)| {
        let key = api_key(name);
        format!(
            "[[callers]]\nname = '{name}'\n{key}\n\
             [[grants]]\ncallers = ['{name}']\nrights = ['{right}']\nlabels = ['{label}']\nrealms = ['/', 'alpha']\n"
        )
    };
    callers.iter().map(one).collect()
}

/// Status and code, or alias, of the answer to a signature.
fn sign(client: &Client, keys: &[&str], label: &str, query: &str) -> (u16, Value) {
    let path = format!("/v1/labels/{label}/sign{query}");
    let (status, answer) = client.post(&path, keys, &json!({ "claims": {} }));
    let what = if status == 200 { &answer["alias"] } else { &answer["code"] };
    (status, what.clone())
}

#[test]
fn heads_are_told_apart_however_often_they_come() {
    let [one, other] = LABELS;
    let door = Door::new(
        &access(&[("both", "sign", "*"), ("one", "sign", one), ("reader", "verify", "*")]),
        Clock::system(),
    );
    let client = door.client(None);
    let refused = |status: u16, code: &str| (status, json!(code));
    let made = |alias: &str| (200, json!(alias));
    // Credentials, label and query, and what comes of them.
    type Case<'a> = (&'a [&'a str], &'a str, &'a str, (u16, Value));
    let cases: &[Case<'_>] = &[
        (&["both"], one, "", made("es256-a")),
        (&["both"], other, "", made("es384")),
        (&["one"], one, "", made("es256-a")),
        (&["one"], other, "", refused(403, "forbidden")),
        (&["one"], one, "?realm=beta", refused(403, "forbidden")),
        (&["one"], one, "?realm=alpha", made("es256-a")),
        (&["reader"], one, "", refused(403, "forbidden")),
        (&["bot"], one, "", refused(401, "unauthenticated")),
        (&["both", "both"], one, "", refused(401, "unauthenticated")),
        (&[], one, "", refused(401, "unauthenticated")),
        (&["both"], one, "?realm=", refused(400, "usage")),
        (&["both"], one, "?kid=1", refused(400, "malformed")),
        (&["both"], "am.services.oauth2.oidc.signing.ES257", "", refused(404, "unknown_label")),
    ];
    for round in 0..4 {
        for (keys, label, query, expected) in cases {
            // Twice each: the second time it was there before.
            for _ in 0..2 {
                let got = sign(&client, keys, label, query);
                assert_eq!(got, *expected, "{round}: {keys:?} {label} {query}");
            }
        }
    }
}

#[test]
fn what_a_reload_takes_away_is_gone_from_heads_that_were_let_in() {
    let [label, _] = LABELS;
    let door = Door::new(&access(&[("both", "sign", "*")]), Clock::system());
    let client = door.client(None);
    let ask = || sign(&client, &["both"], label, "");
    for _ in 0..3 {
        assert_eq!(ask(), (200, json!("es256-a")));
    }
    door.reload_with(&access(&[("both", "sign", "*")]), "['es256-b', 'es256-a']");
    assert_eq!([ask(), ask()], [(200, json!("es256-b")), (200, json!("es256-b"))]);
    door.reload(&access(&[("both", "verify", "*")]));
    assert_eq!([ask(), ask()], [(403, json!("forbidden")), (403, json!("forbidden"))]);
    door.reload(&access(&[("other", "sign", "*")]));
    assert_eq!(ask(), (401, json!("unauthenticated")));
    door.reload(&access(&[("both", "sign", "*")]));
    assert_eq!(ask(), (200, json!("es256-a")));
}

#[test]
fn a_token_that_was_let_in_is_over_when_its_time_is() {
    let (later, clock) = clock_ahead();
    let [label, keys] = LABELS;
    let access = format!(
        "[[callers]]\nname = 'ci'\n\
         token = {{ issuer = 'https://ci.example', audience = 'claviger', subject = 'deploy', label = '{keys}' }}\n\
         [[grants]]\ncallers = ['ci']\nrights = ['sign']\nlabels = ['*']\n"
    );
    let door = Door::new(&access, clock.clone());
    let now = claviger::clock::to_unix(clock.now());
    let claims = json!({ "iss": "https://ci.example", "aud": "claviger", "sub": "deploy", "exp": now + 600 });
    let keys = door.keyring.label(keys).unwrap().keys().unwrap();
    let token = jws::sign(&keys, claims.to_string().as_bytes(), &SignOptions::default()).unwrap();
    let client = door.client(None);
    let ask = || sign(&client, &[&token], label, "").0;
    assert_eq!([ask(), ask(), ask()], [200; 3]);
    later.store(700, Ordering::SeqCst);
    assert_eq!([ask(), ask()], [401; 2]);
}
