//! The Rust client over the real service: every call, credentials of every kind, what is asked again.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use claviger::Keyring;
use claviger::access::Right;
use claviger::client::{
    Checks, Client, ClientError, EncryptOptions, KeyKind, SignOptions, StepOptions, Token,
    VerifyOptions,
};
use claviger::clock::Clock;
use claviger::config::Config;
use claviger::jose::Serialization;
use claviger::label::Realm;
use claviger::secret::SecretString;
use claviger::service::{Limits, Service};
use serde_json::{Map, Value, json};

use super::process::{Home, Served};
use super::running::{Running, granting};
use super::shop::{ES256, SEAL, Shop, jwk};

fn client_of(running: &Running) -> Client {
    let url = format!("http://{}", running.address);
    Client::builder(&url).bearer("the key of portal").unwrap().build().unwrap()
}

fn shop() -> (Shop, Client) {
    let folder = tempfile::tempdir().unwrap();
    let keys = format!("{{\"keys\":[{}]}}", jwk("k", "aes"));
    std::fs::write(folder.path().join("more.jwks"), keys).unwrap();
    let more = "[stores.more]\nkind = \"keystore\"\npath = \"more.jwks\"\nintegrity = \"none\"\n\n\
        [stores.more.mappings]\n\"am.global.services.session.clientbased.encryption.AES\" = [\"k\"]\n\n\
        [sessions]\nsigning = []\nencryption = [\"AES\"]\n";
    let rights: Vec<String> = Right::ALL.iter().map(ToString::to_string).collect();
    let rights: Vec<&str> = rights.iter().map(String::as_str).collect();
    let shop = Shop::in_folder(folder, &rights, more);
    let client = client_of(shop.running());
    (shop, client)
}

#[test]
fn tokens_are_signed_and_verified_alone_and_in_batches() {
    let (_shop, client) = shop();
    let label = client.label(ES256).unwrap();
    let payload = br#"{"iss":"i", "aud":"a", "sub":"alice"}"#;
    let made = label.sign(payload).unwrap();
    assert_eq!(made.alias, "a");
    let checks = Checks {
        issuer: Some("i".into()),
        audience: Some("a".into()),
        skew: 1,
        require: vec!["sub".into()],
    };
    let options = VerifyOptions { checks: Some(checks), header: true, ..VerifyOptions::default() };
    let verified = label.verify_with(&made.token, &options).unwrap();
    // Octet for octet.
    assert_eq!(verified.payload, payload);
    assert_eq!((verified.kid, verified.alg.as_str()), (made.kid, "ES256"));
    assert_eq!(verified.header.unwrap()["alg"], "ES256");

    let options = SignOptions {
        alg: Some("ES256".into()),
        typ: Some("example".into()),
        cty: Some("text/plain".into()),
        serialization: Serialization::General,
        detached: true,
        unencoded: true,
        expires: Some(1_800_000_600),
    };
    let made = label.sign_with(b"bytes", &options).unwrap();
    assert!(matches!(&made.token, Token::Json(members) if !members.contains_key("payload")));
    let detached = VerifyOptions {
        detached_payload: Some(b"bytes".to_vec()),
        typ: Some("example".into()),
        ..VerifyOptions::default()
    };
    assert_eq!(label.verify_with(&made.token, &detached).unwrap().payload, b"bytes");

    let made = label.sign_all(&[b"1", b"2"], &SignOptions::default()).unwrap();
    let mut tokens: Vec<Token> = made.into_iter().map(|one| one.unwrap().token).collect();
    tokens.insert(1, "a.b.c".into());
    let found = label.verify_all(&tokens, &VerifyOptions::default()).unwrap();
    assert_eq!(found[0].as_ref().unwrap().payload, b"1");
    assert_eq!(found[1].as_ref().unwrap_err().code, "not_verified");
    assert_eq!(found[2].as_ref().unwrap().payload, b"2");

    let signed = label.sign_raw(b"message", Some("ES256")).unwrap();
    assert_eq!(signed.signature.len(), 64);
    let found = label.verify_raw(b"message", &signed.signature, None).unwrap();
    assert_eq!((found.alias, found.kid, found.alg), (signed.alias, signed.kid, signed.alg));
    let error = label.verify_raw(b"other", &signed.signature, None).unwrap_err();
    assert_eq!(error.code(), "not_verified");
}

#[test]
fn plaintexts_come_back_and_are_shown_nowhere() {
    let (shop, client) = shop();
    let label = client.label(SEAL).unwrap();
    let options = EncryptOptions {
        alg: Some("A256GCMKW".into()),
        enc: Some("A256GCM".into()),
        typ: Some("example".into()),
        cty: Some("text/plain".into()),
        aad: Some(b"aad".to_vec()),
        serialization: Serialization::Flattened,
        expires: Some(1_800_000_600),
        ..EncryptOptions::default()
    };
    let made = label.encrypt_with(b"the plaintext", &options).unwrap();
    shop.done(SEAL, "stage", &json!({"alias": "t"}));
    shop.done(SEAL, "promote", &json!({"alias": "t", "now": true}));
    let again = label.rewrap(&made.token).unwrap();
    assert_eq!((again.from.alias.as_str(), again.made.alias.as_str()), ("s", "t"));
    let found = label.decrypt(again.made.token).unwrap();
    assert_eq!(found.plaintext.expose_secret(), b"the plaintext");
    assert_eq!((found.alias.as_str(), found.enc.as_str()), ("t", "A256GCM"));
    assert_eq!(found.header["typ"], "example");
    assert!(!format!("{found:?}").contains("plaintext\""), "{found:?}");

    let plain = EncryptOptions::default();
    let made = label.encrypt_all(&[b"1", b"2"], &plain).unwrap();
    let tokens: Vec<Token> = made.into_iter().map(|one| one.unwrap().token).collect();
    let again = label.rewrap_all(&tokens).unwrap();
    let mut tokens: Vec<Token> = again.into_iter().map(|one| one.unwrap().made.token).collect();
    tokens.push("a.b.c.d.e".into());
    let found = label.decrypt_all(&tokens).unwrap();
    assert_eq!(found[1].as_ref().unwrap().plaintext.expose_secret(), b"2");
    assert_eq!(found[2].as_ref().unwrap_err().code, "not_decrypted");
}

#[test]
fn a_rotation_goes_through_and_closed_gates_say_when_they_open() {
    let (shop, client) = shop();
    let label = client.label(ES256).unwrap();
    let (plain, now) =
        (StepOptions::default(), StepOptions { now: true, ..StepOptions::default() });
    let reason = StepOptions { reason: Some("yearly".into()), ..StepOptions::default() };
    assert!(label.stage("c", &reason).unwrap().done);
    let closed = label.promote("c", &plain).unwrap_err();
    let problem = closed.problem().unwrap();
    assert_eq!((problem.status, problem.code.as_str()), (409, "not_announced"));
    assert_eq!(problem.opens_at.as_deref(), Some("2027-01-15T09:00:00Z"));
    let dry = StepOptions { dry_run: true, ..StepOptions::default() };
    let told = label.promote("c", &dry).unwrap();
    assert_eq!((told.done, told.stopped_by.as_deref()), (false, Some("not_announced")));
    let done = label.promote("c", &now).unwrap();
    assert!(done.done && done.not_taken.is_none() && done.generation == 3, "{done:?}");
    assert!(label.undo(&now).unwrap().done);
    assert!(label.reorder(&["b", "a", "c"], &now).unwrap().done);
    let force = StepOptions { force: true, ..StepOptions::default() };
    assert!(label.retire("c", &force).unwrap().done);
    let kind = KeyKind {
        key_type: Some("ec".into()),
        curve: Some("P-256".into()),
        subject: Some("CN=d".into()),
        days: Some(30),
        ..KeyKind::default()
    };
    assert!(label.generate("d", &kind, &plain).unwrap().done);
    let since = Some("2027-01-15T07:00:00Z");
    assert!(label.revoke("a", since, Some("e"), &plain).unwrap().done);
    assert_eq!(shop.aliases(ES256), ["b", "d", "e"]);
    assert_eq!(label.drill().unwrap().verdict, "safe");
    let history = label.history(None).unwrap();
    assert!(history["records"].as_array().unwrap().iter().any(|one| one["reason"] == "yearly"));
    assert!(client.verify_history(None).is_ok());
    let facts = label.facts().unwrap();
    assert_eq!((facts.active.as_str(), facts.aliases.len()), ("b", 3));
    assert_eq!(facts.aliases[1].phase, "staged");
    let mut gone: Vec<&str> = facts.gone.iter().map(|one| one.phase.as_str()).collect();
    gone.sort_unstable();
    assert_eq!(gone, ["retired", "revoked"]);
}

#[test]
fn what_is_there_is_read_with_its_types() {
    let (shop, client) = shop();
    let label = client.label(ES256).unwrap();
    let all = client.labels(None).unwrap();
    assert!(all.labels.iter().any(|one| one.label == SEAL && one.active == "s"), "{all:?}");
    assert_eq!(label.explain().unwrap()["active"], "a");
    assert_eq!(client.status().unwrap().generation, 1);
    assert!(client.status().unwrap().refused.is_none());
    let ready = client.readiness().unwrap();
    assert!(ready.ready && ready.reasons.is_empty());
    assert_eq!(client.reload().unwrap().generation, 2);
    let jwks = label.jwks(None).unwrap().unwrap();
    let document: Value = serde_json::from_str(&jwks.json).unwrap();
    assert_eq!(document["keys"].as_array().unwrap().len(), 2);
    assert!(jwks.max_age.as_secs() > 0);
    assert!(label.jwks(Some(&jwks.etag)).unwrap().is_none(), "it is there already");
    assert!(client.provider_jwks(None, None).unwrap().is_some());
    assert!(client.every_jwks(None, None).unwrap().is_some());
    // A realm without keys of its own sees those of all.
    let realm: Realm = "alpha".parse().unwrap();
    assert!(client.labels(Some(&realm)).is_ok());
    assert_eq!(label.clone().in_realm("alpha").unwrap().sign(b"x").unwrap().alias, "a");

    let sessions = client.sessions();
    let claims: Map<String, Value> = [("sub".to_owned(), json!("alice"))].into_iter().collect();
    let sealed = sessions.seal(&claims).unwrap();
    assert!(sealed.cookie.bytes <= sealed.cookie.limit);
    let again = sessions.refresh(&sealed.token).unwrap();
    let opened = sessions.open(&again.token).unwrap();
    assert_eq!((opened.claims, opened.id.as_deref()), (claims, Some(sealed.id.as_str())));
    assert_eq!(opened.decrypted_by.unwrap().alias, "k");
    let elsewhere = client.sessions().in_realm("alpha").unwrap();
    assert_eq!(elsewhere.open(&again.token).unwrap_err().code(), "token_refused");
    assert_eq!(sessions.end(&again.token).unwrap().id, sealed.id);
    assert_eq!(sessions.open(&again.token).unwrap_err().code(), "token_refused");

    let body = json!({"text": "x"});
    let made: Value = client.post(&format!("/v1/labels/{ES256}/sign"), None, &body).unwrap();
    assert_eq!(made["alias"], "a");

    shop.write("nonsense");
    assert_eq!(client.reload().unwrap_err().code(), "config_invalid");
    let not_ready = client.readiness().unwrap();
    assert_eq!((not_ready.ready, not_ready.reasons), (false, vec!["reload_refused".to_owned()]));
    assert_eq!(client.status().unwrap().refused.unwrap().code, "config_invalid");
}

/// The options of the client are those of the document, all of them.
#[test]
fn no_documented_option_is_missing() {
    let (shop, _client) = shop();
    let document: Value =
        serde_json::from_str(&shop.running().get("/openapi.json", None).1).unwrap();
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let text = || Some("x".to_owned());
    let sign = SignOptions {
        alg: text(),
        typ: text(),
        cty: text(),
        expires: Some(1),
        ..SignOptions::default()
    };
    let encrypt = EncryptOptions {
        alg: text(),
        enc: text(),
        typ: text(),
        cty: text(),
        apu: Some(vec![]),
        apv: Some(vec![]),
        aad: Some(vec![]),
        expires: Some(1),
        ..EncryptOptions::default()
    };
    let checks = Checks { issuer: text(), audience: text(), ..Checks::default() };
    let step = StepOptions { store: text(), reason: text(), now: true, ..StepOptions::default() };
    let input = ["claims", "payload", "text"];
    for (schema, given, besides) in [
        ("SignRequest", json!(sign), &input[..]),
        ("EncryptRequest", json!(encrypt), &input),
        ("Checks", json!(checks), &[]),
        ("AliasStep", json!(step), &["alias"]),
        ("UndoStep", json!(step), &[]),
    ] {
        let mut given = names(&given);
        given.extend(besides.iter().map(|name| (*name).to_owned()));
        assert_eq!(given, names(&document["components"]["schemas"][schema]["properties"]));
    }
}

#[test]
fn refusals_have_codes_and_nothing_is_guessed() {
    let (shop, client) = shop();
    let label = client.label("am.services.oauth2.oidc.signing.ES384").unwrap();
    let error = label.sign(b"x").unwrap_err();
    assert_eq!((error.code(), error.problem().unwrap().status), ("unknown_label", 404));
    assert!(error.to_string().contains("unknown_label, status 404"), "{error}");
    // By which the log of the service names it.
    let id = error.problem().unwrap().request_id.as_deref().unwrap();
    assert!(id.contains('-') && error.to_string().contains(id), "{error}");
    let url = format!("http://{}", shop.running().address);
    let stranger = Client::builder(&url).bearer("the key of a stranger").unwrap().build().unwrap();
    let error = stranger.status().unwrap_err();
    assert_eq!(error.code(), "unauthenticated");
    assert!(!format!("{error} {error:?} {stranger:?}").contains("stranger\""), "{error:?}");
    assert!(matches!(client.label("a..b"), Err(ClientError::Setup(_))));
    // One whose credential changes, as tokens do.
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let changing = Client::builder(&url).bearer_from(move || {
        let names = ["stranger", "portal"];
        let name = names[counted.fetch_add(1, Ordering::SeqCst).min(1)];
        SecretString::from_string(format!("the key of {name}"))
    });
    let changing = changing.build().unwrap();
    assert_eq!(changing.status().unwrap_err().code(), "unauthenticated");
    assert_eq!(changing.status().unwrap().generation, 1);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let nobody = Client::builder("http://127.0.0.1:1").build().unwrap();
    assert_eq!(nobody.readiness().unwrap_err().code(), "unanswered");
    let page: Result<Value, _> = client.post("/healthz", None, &json!({}));
    assert_eq!(page.unwrap_err().code(), "method_not_allowed");
}

#[test]
fn a_client_certificate_and_a_unix_socket_prove_and_reach() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::starter(folder.path());
    let read = |name: &str| std::fs::read(folder.path().join("tls").join(name)).unwrap();
    let url = format!("https://localhost:{}", served.port());
    let trusting = || Client::builder(&url).roots_pem(&read("ca.pem")).unwrap();
    let admin = trusting().certificate_pem(&read("admin.pem"), &read("admin.key")).unwrap();
    let label = admin.build().unwrap().label(ES256).unwrap();
    let made = label.sign(b"x").unwrap();
    assert_eq!(label.verify(&made.token).unwrap().payload, b"x");
    let nobody = trusting().build().unwrap();
    assert_eq!(nobody.status().unwrap_err().code(), "unauthenticated");
    // Who is not who it should be is told nothing.
    let mistaken =
        Client::builder(&url).roots_pem(&std::fs::read("keystores/openssl.pem").unwrap());
    let error = mistaken.unwrap().build().unwrap().readiness().unwrap_err();
    assert_eq!(error.code(), "unanswered");

    let home = Home::new(
        "listen = [\"unix:c.sock\"]\nplain_http = true\n[policy.limits]\nmax_token_bytes = 1000000\n",
    );
    let _served = home.serve();
    let socket = format!("unix:{}", home.path("c.sock").display());
    let label = Client::builder(&socket).build().unwrap().label(ES256).unwrap();
    for _ in 0..3 {
        assert_eq!(label.sign(b"x").unwrap().alias, "es256-a");
    }
    let large = vec![b'x'; 300_000];
    assert!(label.sign(&large).is_ok(), "more than a buffer");
}

/// A request that has the only place until it is dropped.
fn occupied(running: &Running) -> TcpStream {
    let mut slow = TcpStream::connect(running.address).unwrap();
    let head = format!("POST /v1/labels/{ES256}/sign HTTP/1.1\r\nhost: x\r\n");
    let rest = "authorization: Bearer the key of portal\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    slow.write_all((head + rest).as_bytes()).unwrap();
    let mut goes_on = [0; 12];
    slow.read_exact(&mut goes_on).unwrap();
    assert_eq!(&goes_on, b"HTTP/1.1 100");
    slow
}

#[test]
fn only_what_says_when_to_come_back_is_asked_again() {
    let clock = Clock::system();
    let mut config = Config::load("keystores/claviger.toml".as_ref()).unwrap();
    config.access = granting(&[Right::Sign, Right::Metrics]);
    let keyring = Keyring::from_config(config, clock.clone()).unwrap();
    let limits = Limits { max_requests: 1, ..Limits::default() };
    let running = Running::of(Service::new(keyring, clock, limits));
    let builder = || {
        let builder = Client::builder(&format!("http://{}", running.address));
        builder.bearer("the key of portal").unwrap()
    };
    let hasty = builder().retries(0).build().unwrap().label(ES256).unwrap();
    let patient = builder().retries(100).build().unwrap().label(ES256).unwrap();
    let mut refused = 0;
    let overloaded = || {
        let figures = running.get("/metrics", Some("the key of portal")).1;
        let line = figures.lines().find(|line| line.contains(r#"outcome="overloaded""#));
        line.map_or(0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    };
    // Until it has been seen that the patient one was refused too, and came back.
    for _ in 0..20 {
        let holder = occupied(&running);
        let waiting = {
            let patient = patient.clone();
            std::thread::spawn(move || patient.sign(b"x"))
        };
        for _ in 0..50 {
            let error = hasty.sign(b"x").unwrap_err();
            refused += 1;
            assert_eq!(error.code(), "overloaded");
            assert_eq!(error.problem().unwrap().retry_after, Some(1));
        }
        drop(holder);
        assert!(waiting.join().unwrap().is_ok());
        if overloaded() > refused {
            return;
        }
    }
    panic!("the patient client was never refused");
}

#[test]
fn a_caller_that_asks_too_often_is_told_when_to_come_back_and_does() {
    let more = "[service]\nplain_http = true\n[service.rate_limits]\n\
                caller = { per_second = 1, burst = 2 }\n";
    let shop = Shop::with(&["sign"], more);
    let builder = || {
        let builder = Client::builder(&format!("http://{}", shop.running().address));
        builder.bearer("the key of portal").unwrap()
    };
    let hasty = builder().retries(0).build().unwrap().label(ES256).unwrap();
    let error = (0..100).find_map(|_| hasty.sign(b"x").err()).unwrap();
    assert_eq!(error.code(), "rate_limited");
    assert_eq!(error.problem().unwrap().status, 429);
    assert!(error.problem().unwrap().retry_after.is_some(), "{error}");
    // One that does not wait so long is told the same.
    let brief =
        builder().patience(std::time::Duration::ZERO).build().unwrap().label(ES256).unwrap();
    let error = (0..100).find_map(|_| brief.sign(b"x").err()).unwrap();
    assert_eq!(error.code(), "rate_limited");
    let patient = builder().retries(10).build().unwrap().label(ES256).unwrap();
    for _ in 0..3 {
        assert_eq!(patient.sign(b"x").unwrap().alias, "a");
    }
}
