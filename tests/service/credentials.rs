//! Who calls: certificates, tokens and API keys over real handshakes, what is refused, and what waits for nobody.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, UNIX_EPOCH};

use claviger::clock::Clock;
use claviger::jose::jws::{self, SignOptions};
use claviger::service::Limits;
use serde_json::{Value, json};

use super::door::{Client, Door, Holder, Issuer, Pair, clock_ahead, ec, issue, signed};
use crate::process::LONG;

const LABEL: &str = "am.services.oauth2.oidc.signing.ES256";
const ISSUER_LABEL: &str = "am.services.oauth2.oidc.signing.ES384";
const KEY: &str = "the key of batch";

/// Callers that may verify, each in a realm of its own name alone: the realm that lets in says who it was.
fn access(callers: &[(&str, String)]) -> String {
    let one = |(name, credential): &(&str, String)| {
        format!(
            "[[callers]]\nname = '{name}'\n{credential}\n\
             [[grants]]\ncallers = ['{name}']\nrights = ['verify']\nlabels = ['{LABEL}']\nrealms = ['{name}']\n"
        )
    };
    callers.iter().map(one).collect()
}

pub(crate) fn api_key(key: &str) -> String {
    format!("api_key_sha256 = '{}'", hex(&openssl::sha::sha256(key.as_bytes())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn token_of(issuer: &str, audience: &str, subject: &str, keys: &str) -> String {
    format!(
        "token = {{ issuer = '{issuer}', audience = '{audience}', subject = '{subject}', {keys} }}"
    )
}

/// The caller that a request is of, or the code of its refusal.
fn who(client: &Client, bearers: &[&str], names: &[&str]) -> Result<String, String> {
    let body = json!({ "token": "a.b.c" });
    let mut found = Vec::new();
    for name in names {
        let path = format!("/v1/labels/{LABEL}/verify?realm={name}");
        let (status, problem) = client.post(&path, bearers, &body);
        match status {
            422 => found.push(*name),
            403 => {}
            _ => return Err(format!("{status} {}", problem["code"].as_str().unwrap())),
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    Ok(found.concat())
}

fn is(name: &str) -> Result<String, String> {
    Ok(name.to_owned())
}

fn no(code: &str) -> Result<String, String> {
    Err(code.to_owned())
}

fn portal<'a>() -> Holder<'a> {
    Holder {
        subject: &[("C", "DE"), ("O", "Example, Inc."), ("CN", "portal")],
        ..Holder::default()
    }
}

#[test]
fn a_certificate_is_known_by_its_subject_a_name_or_its_hash() {
    let uri = "spiffe://example.org/ns/prod/sa/portal";
    let door = Door::new("", Clock::system());
    let make = |holder| issue(holder, Some(&door.ca));
    let pinned = make(Holder { subject: &[("CN", "pinned")], ..Holder::default() });
    let hash = hex(&openssl::sha::sha256(&pinned.1.to_der().unwrap()));
    door.reload(&access(&[
        ("uri", format!("certificate = {{ san_uri = '{uri}' }}")),
        ("dns", "certificate = { san_dns = 'Portal.example.org' }".into()),
        ("subject", r"certificate = { subject = 'CN=portal, O=Example\, Inc., C=DE' }".into()),
        ("hash", format!("certificate = {{ sha256 = '{hash}' }}")),
        ("anybody", "anonymous = true".into()),
    ]));
    let names = ["uri", "dns", "subject", "hash", "anybody"];
    let ask = |pair: Option<&Pair>| who(&door.client(pair), &[], &names);
    let with = |dns: &'static [&str], uris: &'static [&str]| {
        make(Holder { subject: &[("CN", "x")], dns, uris, ..Holder::default() })
    };
    assert_eq!(ask(Some(&with(&[], &["spiffe://example.org/ns/prod/sa/portal"]))), is("uri"));
    assert_eq!(ask(Some(&with(&["portal.EXAMPLE.org"], &[]))), is("dns"));
    assert_eq!(ask(Some(&make(portal()))), is("subject"));
    assert_eq!(ask(Some(&make(Holder { printable: true, ..portal() }))), is("subject"));
    assert_eq!(ask(Some(&pinned)), is("hash"));
    // Names of nobody: a part of a name, another order of the subject, a comma that stands within a value.
    for holder in [
        Holder { uris: &["spiffe://example.org/ns/prod/sa/portal/x"], ..portal() },
        Holder { dns: &["a.portal.example.org", "*.example.org"], ..portal() },
    ] {
        let other = Holder { subject: &[("CN", "portal")], ..holder };
        assert_eq!(ask(Some(&make(other))), is("anybody"));
    }
    for subject in [
        &[("CN", "portal"), ("O", "Example, Inc."), ("C", "DE")][..],
        &[("C", "DE"), ("O", "Example, Inc."), ("CN", "Portal")],
        &[("CN", "portal,O=Example\\, Inc.,C=DE")],
    ] {
        assert_eq!(ask(Some(&make(Holder { subject, ..Holder::default() }))), is("anybody"));
    }
    // One certificate, two callers.
    let both = Holder { uris: &["spiffe://example.org/ns/prod/sa/portal"], ..portal() };
    assert_eq!(ask(Some(&make(both))), no("401 conflicting_credentials"));
    assert_eq!(ask(None), is("anybody"));
    // The same names from an authority that nobody trusts do not even shake hands.
    let stranger = issue(portal(), None);
    assert!(!door.client(Some(&stranger)).connects());
    assert!(door.client(None).connects());
}

#[test]
fn a_certificate_and_a_bearer_must_be_of_one_caller() {
    let door = Door::new(
        &access(&[
            ("portal", r"certificate = { subject = 'CN=portal,O=Example\, Inc.,C=DE' }".into()),
            ("batch", api_key(KEY)),
            ("anybody", "anonymous = true".into()),
        ]),
        Clock::system(),
    );
    let names = ["portal", "batch", "anybody"];
    let (portal, bare) = (door.client(Some(&issue(portal(), Some(&door.ca)))), door.client(None));
    let of_nobody = Holder { subject: &[("CN", "nobody")], ..Holder::default() };
    let of_nobody = door.client(Some(&issue(of_nobody, Some(&door.ca))));
    assert_eq!(who(&portal, &[], &names), is("portal"));
    assert_eq!(who(&bare, &[KEY], &names), is("batch"));
    assert_eq!(who(&of_nobody, &[KEY], &names), is("batch"));
    assert_eq!(who(&portal, &[KEY], &names), no("401 conflicting_credentials"));
    // A bearer that is wrong is not as good as none, with a certificate and without.
    for bad in ["", "another key", "a.b.c", "the key of batch "] {
        for client in [&portal, &bare, &of_nobody] {
            if bad.trim() != KEY {
                assert_eq!(who(client, &[bad], &names), no("401 unauthenticated"), "{bad:?}");
            }
        }
    }
    assert_eq!(who(&bare, &[KEY, KEY], &names), no("401 unauthenticated"));
    assert_eq!(who(&bare, &[], &names), is("anybody"));
}

fn claims(door: &Door) -> Value {
    let now = door.keyring.clock().now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({ "iss": "https://ci.example", "aud": "claviger", "sub": "deploy", "iat": now, "exp": now + 600 })
}

/// The same with other members; `null` takes one away.
fn with(claims: &Value, changes: Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

#[test]
fn a_token_is_let_in_for_its_signature_its_claims_and_its_kind() {
    let issuer = Issuer::new("one", false);
    let keys = format!("jwks_url = '{}', algorithms = ['ES256']", issuer.url);
    let door = Door::new(
        &access(&[
            ("ci", token_of("https://ci.example", "claviger", "deploy", &keys)),
            ("other", token_of("https://ci.example", "claviger", "test", &keys)),
            ("second", token_of("https://ci.example", "another", "deploy", &keys)),
            ("batch", api_key(KEY)),
        ]),
        Clock::system(),
    );
    let names = ["ci", "other", "second", "batch"];
    let client = door.client(None);
    let good = claims(&door);
    let header = json!({ "alg": "ES256", "kid": "one" });
    let ask = |token: &str| who(&client, &[token], &names);
    let of = |header: &Value, claims: &Value| ask(&issuer.token("one", header, claims));
    assert_eq!(of(&header, &good), is("ci"));
    assert_eq!(of(&json!({ "alg": "ES256" }), &good), is("ci"));
    for typ in ["JWT", "at+jwt", "application/at+jwt"] {
        assert_eq!(of(&json!({ "alg": "ES256", "kid": "one", "typ": typ }), &good), is("ci"));
    }
    assert_eq!(of(&header, &with(&good, json!({ "aud": ["x", "claviger"] }))), is("ci"));
    assert_eq!(of(&header, &with(&good, json!({ "sub": "test" }))), is("other"));
    assert_eq!(of(&header, &with(&good, json!({ "aud": "another" }))), is("second"));
    let both = with(&good, json!({ "aud": ["another", "claviger"] }));
    assert_eq!(of(&header, &both), no("401 conflicting_credentials"));
    let now = good["iat"].as_u64().unwrap();
    for (what, changes) in [
        ("issuer", json!({ "iss": "https://ci.example/" })),
        ("audience", json!({ "aud": "Claviger" })),
        ("subject", json!({ "sub": "deploy2" })),
        ("no subject", json!({ "sub": null })),
        ("no audience", json!({ "aud": null })),
        ("a subject that is no text", json!({ "sub": 5 })),
        ("no end", json!({ "exp": null })),
        ("an end that is no number", json!({ "exp": (now + 600).to_string() })),
        ("over", json!({ "exp": now - 61 })),
        ("not yet", json!({ "nbf": now + 300 })),
        ("of the future", json!({ "iat": now + 300 })),
    ] {
        assert_eq!(of(&header, &with(&good, changes)), no("401 unauthenticated"), "{what}");
    }
    for header in [
        json!({ "alg": "none" }),
        json!({ "alg": "HS256", "kid": "one" }),
        json!({ "alg": "ES384", "kid": "one" }),
        json!({ "alg": "ES256", "kid": "one", "typ": "logout+jwt" }),
        json!({ "alg": "ES256", "kid": "one", "typ": "dpop+jwt" }),
        json!({ "alg": "ES256", "kid": "one", "crit": ["exp"], "exp": 1 }),
        json!({ "alg": "ES256", "kid": "two" }),
    ] {
        assert_eq!(of(&header, &good), no("401 unauthenticated"), "{header}");
    }
    // Another key under the same kid, and one that the token itself brings.
    let stranger = ec().ec_key().unwrap();
    assert_eq!(ask(&signed(&stranger, &header, &good)), no("401 unauthenticated"));
    let token = issuer.token("one", &header, &good);
    let (start, signature) = token.rsplit_once('.').unwrap();
    assert_eq!(ask(&format!("{start}.")), no("401 unauthenticated"));
    assert_eq!(ask(&format!("{token}.{signature}")), no("401 unauthenticated"));
    assert_eq!(ask(&token), is("ci"));
    // The set was fetched for the first token; the kid that is not there waits for the end of the cool-down.
    assert_eq!(issuer.requests.load(Ordering::SeqCst), 1);
}

#[test]
fn the_keys_of_a_label_let_tokens_in_as_long_as_it_has_them() {
    let token_of = |realm: &str| {
        let keys = format!("label = '{ISSUER_LABEL}'{realm}");
        token_of("https://ci.example", "claviger", "deploy", &keys)
    };
    let door = Door::new(&access(&[("ci", token_of(""))]), Clock::system());
    let client = door.client(None);
    let sign = |label: &str| {
        let keys = door.keyring.label(label).unwrap().keys().unwrap();
        jws::sign(&keys, claims(&door).to_string().as_bytes(), &SignOptions::default()).unwrap()
    };
    let token = sign(ISSUER_LABEL);
    assert_eq!(who(&client, &[&token], &["ci"]), is("ci"));
    assert_eq!(who(&client, &[&sign(LABEL)], &["ci"]), no("401 unauthenticated"));
    // What a reload takes away is gone with the next request of the same connection.
    door.reload(&access(&[("batch", api_key(KEY))]));
    assert_eq!(who(&client, &[&token], &["batch"]), no("401 unauthenticated"));
    assert_eq!(who(&client, &[KEY], &["batch"]), is("batch"));
    door.reload(&access(&[("batch", api_key("the next key"))]));
    assert_eq!(who(&client, &[KEY], &["batch"]), no("401 unauthenticated"));
    assert_eq!(who(&client, &["the next key"], &["batch"]), is("batch"));
}

#[test]
fn a_token_of_an_alias_that_is_taken_out_is_refused_by_the_next_request() {
    let token_of =
        token_of("https://ci.example", "claviger", "deploy", &format!("label = '{LABEL}'"));
    let access = access(&[("ci", token_of)]);
    let door = Door::new(&access, Clock::system());
    let client = door.client(None);
    let sign = || {
        let keys = door.keyring.label(LABEL).unwrap().keys().unwrap();
        jws::sign(&keys, claims(&door).to_string().as_bytes(), &SignOptions::default()).unwrap()
    };
    let old = sign();
    assert_eq!(who(&client, &[&old], &["ci"]), is("ci"));
    door.reload_with(&access, "['es256-b', 'es256-a']");
    let new = sign();
    assert_eq!(who(&client, &[&old], &["ci"]), is("ci"));
    assert_eq!(who(&client, &[&new], &["ci"]), is("ci"));
    door.reload_with(&access, "['es256-b']");
    assert_eq!(who(&client, &[&old], &["ci"]), no("401 unauthenticated"));
    assert_eq!(who(&client, &[&new], &["ci"]), is("ci"));
}

#[test]
fn key_sets_outlive_reloads_and_new_keys_are_found() {
    let (later, clock) = clock_ahead();
    let issuer = Issuer::new("one", false);
    let keys = format!("jwks_url = '{}'", issuer.url);
    let text = access(&[("ci", token_of("https://ci.example", "claviger", "deploy", &keys))]);
    let door = Door::new(&text, clock);
    let client = door.client(None);
    let good = claims(&door);
    let ask = |kid: &str| {
        let token = issuer.token(kid, &json!({ "alg": "ES256", "kid": kid }), &good);
        who(&client, &[&token], &["ci"])
    };
    assert_eq!(ask("one"), is("ci"));
    for _ in 0..5 {
        door.reload(&text);
        assert_eq!(ask("one"), is("ci"));
    }
    assert_eq!(issuer.requests.load(Ordering::SeqCst), 1);
    issuer.add("two");
    assert_eq!(ask("two"), no("401 unauthenticated"));
    later.store(31, Ordering::SeqCst);
    assert_eq!(ask("two"), is("ci"));
    assert_eq!(issuer.requests.load(Ordering::SeqCst), 2);
}

#[test]
fn an_issuer_that_does_not_answer_stops_nobody_else() {
    let issuer = Issuer::new("one", true);
    let keys = format!("jwks_url = '{}'", issuer.url);
    let door = Door::new(
        &access(&[
            ("ci", token_of("https://ci.example", "claviger", "deploy", &keys)),
            ("batch", api_key(KEY)),
        ]),
        Clock::system(),
    );
    let token = issuer.token("one", &json!({ "alg": "ES256", "kid": "one" }), &claims(&door));
    std::thread::scope(|scope| {
        let waiting: Vec<_> =
            (0..8).map(|_| scope.spawn(|| who(&door.client(None), &[&token], &["ci"]))).collect();
        while issuer.requests.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        // The one thread of the service is free, and nobody who waits has an answer yet.
        assert_eq!(who(&door.client(None), &[KEY], &["batch"]), is("batch"));
        assert!(waiting.iter().all(|one| !one.is_finished()));
        issuer.go.send(()).unwrap();
        for one in waiting {
            assert_eq!(one.join().unwrap(), is("ci"));
        }
    });
    assert_eq!(issuer.requests.load(Ordering::SeqCst), 1);
}

#[test]
fn issuers_that_do_not_answer_take_no_slot_from_others() {
    let dead: Vec<Issuer> = (0..3).map(|_| Issuer::new("one", true)).collect();
    let healthy = Issuer::new("one", false);
    let rule = |at: usize, issuer: &Issuer| {
        let keys = format!("jwks_url = '{}'", issuer.url);
        token_of(&format!("https://{at}.example"), "claviger", "deploy", &keys)
    };
    let mut callers = vec![("batch", api_key(KEY)), ("ci", rule(3, &healthy))];
    let names = ["zero", "one", "two"];
    callers.extend(
        names.iter().zip(&dead).enumerate().map(|(at, (name, one))| (*name, rule(at, one))),
    );
    // Fewer than one of them could take.
    let limits = Limits { max_requests: 4, ..Limits::default() };
    let door = Door::with_limits(&access(&callers), Clock::system(), limits);
    let token = |at: usize, issuer: &Issuer| {
        let mut claims = claims(&door);
        claims["iss"] = json!(format!("https://{at}.example"));
        issuer.token("one", &json!({ "alg": "ES256", "kid": "one" }), &claims)
    };
    std::thread::scope(|scope| {
        let mut waiting = Vec::new();
        for (at, (name, issuer)) in names.iter().zip(&dead).enumerate() {
            let token = token(at, issuer);
            for _ in 0..6 {
                let (door, token) = (&door, token.clone());
                waiting.push(scope.spawn(move || {
                    // One request is enough, whose realm is its caller's.
                    let path = format!("/v1/labels/{LABEL}/verify?realm={name}");
                    door.client(None).post(&path, &[&token], &json!({ "token": "a.b.c" })).0
                }));
            }
        }
        let until = Instant::now() + LONG;
        while dead.iter().any(|one| one.requests.load(Ordering::SeqCst) == 0) {
            assert!(Instant::now() < until, "others hold all slots");
            std::thread::sleep(Duration::from_millis(5));
        }
        let healthy = token(3, &healthy);
        for _ in 0..10 {
            assert_eq!(who(&door.client(None), &[KEY], &["batch"]), is("batch"));
            assert_eq!(who(&door.client(None), &[&healthy], &["ci"]), is("ci"));
        }
        assert!(waiting.iter().all(|one| !one.is_finished()));
        dead.iter().for_each(|one| one.go.send(()).unwrap());
        for one in waiting {
            assert_eq!(one.join().unwrap(), 422);
        }
    });
}

#[test]
fn a_certificate_that_ends_ends_its_connection_s_rights() {
    let (later, clock) = clock_ahead();
    let door = Door::new(
        &access(&[(
            "portal",
            r"certificate = { subject = 'CN=portal,O=Example\, Inc.,C=DE' }".into(),
        )]),
        clock,
    );
    let client = door.client(Some(&issue(portal(), Some(&door.ca))));
    assert_eq!(who(&client, &[], &["portal"]), is("portal"));
    later.store(31 * 86_400, Ordering::SeqCst);
    assert_eq!(who(&client, &[], &["portal"]), no("401 unauthenticated"));
}
