//! Client-side sessions: parts, precedence of labels, rotation, time-outs, tampering, foreign ones, sizes.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::config::{SessionLabel, SessionOrder, SessionSettings};
use claviger::error::{Error, ErrorKind};
use claviger::jose::jwe::{self, EncryptOptions};
use claviger::jose::jws::{self, SignOptions};
use claviger::jose::nested;
use claviger::ops::KeySet;
use claviger::profiles::DeniedIds;
use claviger::profiles::session::{Sessions, TYP};
use serde_json::{Map, Value, json};

use crate::deployment::{Deployment, Mapped, START, aliases, kind_of, reason};

const SIGNING: &str = "am.global.services.session.clientbased.signing";
const ENCRYPTION: &str = "am.global.services.session.clientbased.encryption";

fn signing(name: &str) -> String {
    format!("{SIGNING}.{name}")
}

fn encryption(name: &str) -> String {
    format!("{ENCRYPTION}.{name}")
}

fn claims() -> Map<String, Value> {
    json!({ "sub": "alice", "roles": ["admin"], "name": "Alice" }).as_object().unwrap().clone()
}

/// HMAC inside AES, unless something else is said.
fn default_deployment(more: &str) -> Deployment {
    Deployment::with(
        &[(&signing("HMAC"), "hmac-1 hmac-2"), (&encryption("AES"), "aes-1 aes-2")],
        more,
    )
}

fn settings(signing: &[&str], encryption: &[&str], order: SessionOrder) -> SessionSettings {
    let pick = |all: &'static [SessionLabel], names: &[&str]| {
        names.iter().map(|name| all.iter().find(|one| one.name == *name).unwrap()).collect()
    };
    SessionSettings {
        signing: pick(SessionLabel::signing(), signing),
        encryption: pick(SessionLabel::encryption(), encryption),
        order,
        ..SessionSettings::default()
    }
}

/// Every way to put a session together, with the labels that it takes.
fn ways() -> Vec<SessionSettings> {
    let (first_sign, first_encrypt) =
        (SessionOrder::SignThenEncrypt, SessionOrder::EncryptThenSign);
    let mut ways = vec![settings(&[], &["AES"], first_sign)];
    for sign in ["HMAC", "ES256", "ES384", "ES512", "RSA"] {
        ways.push(settings(&[sign], &[], first_sign));
        for encrypt in ["AES", "RSA"] {
            ways.push(settings(&[sign], &[encrypt], first_sign));
            ways.push(settings(&[sign], &[encrypt], first_encrypt));
        }
    }
    ways
}

fn labels_of(settings: &SessionSettings) -> Vec<String> {
    settings.signing.iter().chain(&settings.encryption).map(|one| one.label.to_string()).collect()
}

fn everything() -> Vec<Mapped<'static>> {
    let all = SessionLabel::signing().iter().chain(SessionLabel::encryption());
    all.map(|one| (None, one.label.as_str(), aliases(kind_of(one.label.as_str()), &[1, 2])))
        .collect()
}

#[test]
fn a_session_comes_back_however_it_is_put_together() {
    let deployment = Deployment::new();
    deployment.configure(&everything(), "");
    let keyring = deployment.keyring();
    for way in ways() {
        let sessions = keyring.sessions().with_settings(way.clone()).unwrap();
        let sealed = sessions.seal(&claims()).unwrap();
        let session = sessions.open(&sealed.token).unwrap();
        assert_eq!(session.claims(), &claims(), "{way:?}");
        let names: Vec<&String> = session.claims().keys().collect();
        assert_eq!(names, ["sub", "roles", "name"], "in their order");
        assert_eq!(session.id(), Some(sealed.id.as_str()));
        assert_eq!(session.times(), Some(&sealed.times));
        assert_eq!(session.verified_by().is_some(), !way.signing.is_empty());
        assert_eq!(session.decrypted_by().is_some(), !way.encryption.is_empty());
        // Both layers name their kind, and the payload is not to be seen where it is encrypted.
        let (header, _) = sealed.token.split_once('.').unwrap();
        let header: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        assert_eq!(header["typ"], TYP);
        let both = !way.signing.is_empty() && !way.encryption.is_empty();
        assert_eq!(header.get("cty").is_some(), both, "{header}");
        let mut parts = sealed.token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
        let shown = parts.any(|part| String::from_utf8_lossy(&part).contains("alice"));
        assert_eq!(shown, way.encryption.is_empty());
    }
}

#[test]
fn parts_that_are_configured_are_the_only_ones_that_are_taken() {
    let deployment = Deployment::new();
    deployment.configure(&everything(), "");
    let keyring = deployment.keyring();
    let sealed: Vec<_> = ways()
        .into_iter()
        .map(|way| {
            let sessions = keyring.sessions().with_settings(way).unwrap();
            let token = sessions.seal(&claims()).unwrap().token;
            (sessions, token)
        })
        .collect();
    for (index, (sessions, _)) in sealed.iter().enumerate() {
        for (other, (_, token)) in sealed.iter().enumerate() {
            assert_eq!(sessions.open(token).is_ok(), index == other, "{index} {other}");
        }
    }
}

#[test]
fn settings_that_protect_nothing_are_refused() {
    let deployment = default_deployment("");
    let sessions = deployment.keyring().sessions();
    for (sign, encrypt) in [(&[][..], &[][..]), (&[], &["RSA"]), (&[], &["AES", "RSA"])] {
        let given = settings(sign, encrypt, SessionOrder::SignThenEncrypt);
        let refused = sessions.clone().with_settings(given).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage);
    }
    let never =
        SessionSettings { absolute: std::time::Duration::ZERO, ..SessionSettings::default() };
    assert_eq!(sessions.with_settings(never).unwrap_err().kind(), ErrorKind::Usage);
    for (line, code) in [
        ("signing = []\nencryption = []", "unsafe_sessions"),
        ("signing = []", "unsafe_sessions"),
        ("signing = [\"HS256\"]", "unknown_value"),
        ("signing = [\"HMAC\", \"HMAC\"]", "repeated_label"),
        ("signing = \"HMAC\"", "wrong_type"),
        ("order = \"both\"", "unknown_value"),
        ("idle = \"never\"", "bad_duration"),
        ("timeout = \"1h\"", "unknown_key"),
    ] {
        let deployment = default_deployment(&format!("[sessions]\n{line}"));
        let refused = deployment.try_keyring().unwrap_err();
        assert!(refused.problems().iter().any(|one| one.code == code), "{line}: {refused:?}");
    }
}

#[test]
fn the_configuration_says_how_sessions_are_made() {
    let deployment = Deployment::new();
    let more = "[sessions]\nsigning = [\"ES256\", \"HMAC\"]\nencryption = [\"RSA\"]\norder = \"encrypt-then-sign\"\n\
                absolute = \"1h\"\nidle = \"off\"\nissuer = \"https://a\"\ncookie = \"sid\"\n";
    deployment.configure(&everything(), more);
    let keyring = deployment.keyring();
    let sealed = keyring.sessions().seal(&claims()).unwrap();
    assert_eq!((sealed.times.expires, sealed.times.idle), (START + 3_600, None));
    let session = keyring.sessions().open(&sealed.token).unwrap();
    assert_eq!(session.verified_by().unwrap().alias.as_str(), "es256-1");
    assert_eq!(session.decrypted_by().unwrap().alias.as_str(), "rsaenc-1");
    assert_eq!(sealed.size.bytes, "sid=".len() + sealed.token.len());
    // A handle follows reloads, settings included.
    let sessions = keyring.sessions();
    deployment.configure(&everything(), &more.replace("\"1h\"", "\"2h\""));
    drop(keyring.reload().unwrap());
    assert_eq!(sessions.seal(&claims()).unwrap().times.expires, START + 7_200);
}

#[test]
fn the_label_of_an_algorithm_comes_before_the_deprecated_one() {
    let (es256, rsa) = (signing("ES256"), signing("RSA"));
    let deployment =
        Deployment::with(&[(SIGNING, "rsasig-1 es256-1"), (ENCRYPTION, "rsaenc-1")], "");
    let keyring = deployment.keyring();
    let all = keyring.sessions();
    // Nothing else is mapped: the deprecated ones stand in, within the algorithms of what was asked for.
    let old = all.seal(&claims()).unwrap().token;
    let session = all.open(&old).unwrap();
    assert_eq!(session.verified_by().unwrap().alias.as_str(), "rsasig-1");
    assert_eq!(session.decrypted_by().unwrap().alias.as_str(), "rsaenc-1");
    let only_es256 = settings(&["ES256"], &["RSA"], SessionOrder::SignThenEncrypt);
    let only_es256 = all.clone().with_settings(only_es256).unwrap();
    // The active key of the deprecated label is an RSA key: it makes no ES256.
    assert_eq!(only_es256.seal(&claims()).unwrap_err().kind(), ErrorKind::AlgorithmNotAllowed);
    assert!(reason(only_es256.open(&old)).contains("algorithm"));
    // Mapped, they come first; what was made before opens for as long as the deprecated ones are mapped.
    let aes = encryption("AES");
    let specific =
        [(es256.as_str(), "es256-2"), (rsa.as_str(), "rsasig-2"), (aes.as_str(), "aes-1")];
    let mut mapped = vec![(SIGNING, "rsasig-1 es256-1"), (ENCRYPTION, "rsaenc-1")];
    mapped.extend(specific);
    let rewrite = |mapped: &[(&str, &str)]| {
        let mapped: Vec<Mapped<'_>> = mapped
            .iter()
            .map(|(label, names)| (None, *label, names.split(' ').map(str::to_owned).collect()))
            .collect();
        deployment.configure(&mapped, "");
        drop(keyring.reload().unwrap());
    };
    rewrite(&mapped);
    let new = all.seal(&claims()).unwrap().token;
    let session = all.open(&new).unwrap();
    assert_eq!(session.verified_by().unwrap().alias.as_str(), "es256-2");
    assert_eq!(session.decrypted_by().unwrap().alias.as_str(), "aes-1");
    drop(all.open(&old).unwrap());
    rewrite(&specific);
    drop(all.open(&new).unwrap());
    assert!(!reason(all.open(&old)).is_empty());
}

#[test]
fn a_label_that_is_not_mapped_is_no_reason_to_leave_a_part_out() {
    let deployment = Deployment::with(&[(&signing("HMAC"), "hmac-1")], "");
    let sessions = deployment.keyring().sessions();
    for refused in [sessions.seal(&claims()).unwrap_err(), sessions.open("a.b.c").unwrap_err()] {
        assert_eq!(refused.kind(), ErrorKind::UnknownLabel);
        assert!(refused.message().contains(&encryption("AES")), "{refused}");
    }
}

#[test]
fn a_rotation_of_any_label_breaks_no_live_session() {
    for way in ways() {
        for rotated in labels_of(&way) {
            let deployment = Deployment::new();
            let kind = kind_of(&rotated);
            let mapped = |numbers: &[u32]| -> Vec<(String, Vec<String>)> {
                let names = |label: &String| {
                    let numbers = if *label == rotated { numbers } else { &[3] };
                    (label.clone(), aliases(kind_of(label), numbers))
                };
                labels_of(&way).iter().map(names).collect()
            };
            let write = |numbers: &[u32]| {
                let mapped = mapped(numbers);
                let mapped: Vec<Mapped<'_>> = mapped
                    .iter()
                    .map(|(label, names)| (None, label.as_str(), names.clone()))
                    .collect();
                deployment.configure(&mapped, "");
            };
            write(&[1]);
            let keyring = deployment.keyring();
            let sessions = keyring.sessions().with_settings(way.clone()).unwrap();
            let old = sessions.seal(&claims()).unwrap().token;
            let mut live = vec![old.clone()];
            // Staged, promoted, and one more staged.
            for numbers in [&[1, 2][..], &[2, 1], &[2, 1, 3]] {
                write(numbers);
                drop(keyring.reload().unwrap());
                live.push(sessions.seal(&claims()).unwrap().token);
                for token in &live {
                    let session = sessions.open(token).unwrap();
                    drop(sessions.open(&sessions.refresh(&session).unwrap().token).unwrap());
                }
            }
            // Retired: what its key made is refused, and nothing else.
            write(&[2]);
            drop(keyring.reload().unwrap());
            let opened: Vec<bool> = live.iter().map(|token| sessions.open(token).is_ok()).collect();
            assert_eq!(opened, [false, false, true, true], "{rotated} {kind}");
        }
    }
}

#[test]
fn a_session_ends_with_the_second_of_its_time_outs() {
    let deployment = default_deployment("[sessions]\nabsolute = \"100s\"\nidle = \"10s\"\n");
    let sessions = deployment.keyring().sessions();
    let sealed = sessions.seal(&claims()).unwrap();
    deployment.set(START + 9);
    let session = sessions.open(&sealed.token).unwrap();
    assert_eq!(sessions.ends(session.times().unwrap()), (Some(START + 10), START + 100));
    let refreshed = sessions.refresh(&session).unwrap();
    assert_eq!((refreshed.id.as_str(), refreshed.times.issued), (sealed.id.as_str(), START));
    assert_eq!((refreshed.times.seen, refreshed.times.expires), (START + 9, START + 100));
    deployment.set(START + 10);
    assert!(reason(sessions.open(&sealed.token)).contains("used"));
    assert!(reason(sessions.refresh(&session)).contains("used"));
    deployment.set(START + 18);
    let mut last = refreshed.token;
    // However often it is used, the absolute end stays.
    for second in (18..100).step_by(9) {
        deployment.set(START + second);
        let again = sessions.refresh(&sessions.open(&last).unwrap()).unwrap();
        assert_eq!(again.times.expires, START + 100);
        last = again.token;
    }
    deployment.set(START + 99);
    drop(sessions.open(&last).unwrap());
    deployment.set(START + 100);
    assert!(reason(sessions.open(&last)).contains("expired"));
    // An operator may look at it.
    assert_eq!(sessions.open_at_any_time(&last).unwrap().claims(), &claims());
    // Clocks of a cluster differ by up to a minute, and no more.
    deployment.set(START + 35);
    assert!(reason(sessions.open(&last)).contains("future"));
}

#[test]
fn shorter_time_outs_count_at_once_and_longer_ones_put_nothing_off() {
    let deployment = default_deployment("[sessions]\nabsolute = \"100s\"\nidle = \"off\"\n");
    let keyring = deployment.keyring();
    let sessions = keyring.sessions();
    let sealed = sessions.seal(&claims()).unwrap();
    let with = |absolute: u64, idle: Option<u64>| {
        let seconds = std::time::Duration::from_secs;
        let given = SessionSettings {
            absolute: seconds(absolute),
            idle: idle.map(seconds),
            ..SessionSettings::default()
        };
        sessions.clone().with_settings(given).unwrap()
    };
    deployment.set(START + 50);
    assert!(reason(with(50, None).open(&sealed.token)).contains("expired"));
    assert!(reason(with(100, Some(60)).open(&sealed.token)).contains("idle"));
    deployment.set(START + 100);
    assert!(reason(with(1_000, None).open(&sealed.token)).contains("expired"));
}

#[test]
fn every_changed_character_is_noticed() {
    let deployment = Deployment::new();
    deployment.configure(&everything(), "");
    let keyring = deployment.keyring();
    for way in [
        settings(&["HMAC"], &["AES"], SessionOrder::SignThenEncrypt),
        settings(&["ES256"], &["AES"], SessionOrder::EncryptThenSign),
        settings(&[], &["AES"], SessionOrder::SignThenEncrypt),
        settings(&["HMAC"], &[], SessionOrder::SignThenEncrypt),
    ] {
        let sessions = keyring.sessions().with_settings(way).unwrap();
        let token = sessions.seal(&claims()).unwrap().token;
        let other = sessions.seal(&claims()).unwrap().token;
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            reason(sessions.open(&String::from_utf8(bytes).unwrap()));
            reason(sessions.open(&token[..at]));
        }
        // A part of one in the place of the same part of another: headers alone are equal.
        let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
        for index in 0..parts(&token).len() {
            let mut mixed = parts(&token);
            mixed[index].clone_from(&parts(&other)[index]);
            if mixed != parts(&token) {
                reason(sessions.open(&mixed.join(".")));
            }
        }
        for wrong in
            ["", ".", "....", "a.b.c", "a.b.c.d.e", &format!("{token}."), &format!(" {token}")]
        {
            reason(sessions.open(wrong));
        }
    }
}

#[test]
fn a_session_of_another_realm_or_deployment_is_foreign() {
    let deployment = default_deployment("");
    let keyring = deployment.keyring();
    let realm = |name: &str| keyring.realm(name).unwrap().sessions();
    let all = [keyring.sessions(), realm("alpha"), realm("beta"), realm("alpha/beta")];
    let tokens: Vec<String> = all.iter().map(|one| one.seal(&claims()).unwrap().token).collect();
    for (index, sessions) in all.iter().enumerate() {
        for (other, token) in tokens.iter().enumerate() {
            if index == other {
                let session = sessions.open(token).unwrap();
                assert_eq!(session.realm().is_some(), index > 0);
            } else {
                assert!(reason(sessions.open(token)).contains("realm"));
                assert!(reason(sessions.open_at_any_time(token)).contains("realm"));
            }
        }
    }
    // What one realm opened is not refreshed as a session of another one.
    let opened = all[1].open(&tokens[1]).unwrap();
    assert!(reason(all[2].refresh(&opened)).contains("realm"));
    assert!(reason(all[2].check(&opened)).contains("realm"));
    // The same keys in another deployment, which says who it is.
    let named = default_deployment("[sessions]\nissuer = \"https://b\"\n");
    let theirs = named.keyring().sessions();
    assert!(reason(theirs.open(&tokens[0])).contains("deployment"));
    let token = theirs.seal(&claims()).unwrap().token;
    assert!(reason(keyring.sessions().open(&token)).contains("deployment"));
    // Other keys.
    let labels = [(signing("HMAC"), "hmac-3"), (encryption("AES"), "aes-3")];
    let labels: Vec<(&str, &str)> =
        labels.iter().map(|(label, name)| (label.as_str(), *name)).collect();
    let other = Deployment::with(&labels, "").keyring().sessions();
    reason(other.open(&tokens[0]));
}

#[test]
fn whoever_is_logged_out_stays_out() {
    let deployment = default_deployment("");
    let keyring = deployment.keyring();
    let sessions = keyring.sessions();
    let sealed = sessions.seal(&claims()).unwrap();
    let other = sessions.seal(&claims()).unwrap();
    let mut list = DeniedIds::default();
    list.deny(&sealed.id, sealed.times.expires);
    let id = sealed.id.clone();
    let by_list = sessions.clone().with_denylist(list.clone());
    let by_closure = sessions.clone().with_denylist(move |asked: &str| asked == id);
    for guarded in [&by_list, &by_closure] {
        assert!(reason(guarded.open(&sealed.token)).contains("logged out"));
        drop(guarded.open(&other.token).unwrap());
        // What was opened before the logout is not refreshed after it, and a refreshed one has the same id.
        let before = sessions.open(&sealed.token).unwrap();
        assert!(reason(guarded.refresh(&before)).contains("logged out"));
        let refreshed = sessions.refresh(&before).unwrap();
        assert!(reason(guarded.open(&refreshed.token)).contains("logged out"));
    }
    // The entry may go when the session has ended anyway.
    deployment.set(sealed.times.expires);
    list.forget_ended(keyring.clock().now());
    assert!(list.is_empty());
    assert!(reason(sessions.open(&sealed.token)).contains("expired"));
}

#[test]
fn a_denylist_that_does_not_answer_lets_nobody_in() {
    struct Down;
    impl claviger::profiles::Denylist for Down {
        fn denies(&self, _: &str) -> Result<bool, Error> {
            Err(Error::new(ErrorKind::StoreUnavailable, "no answer"))
        }
    }
    let sessions = default_deployment("").keyring().sessions();
    let token = sessions.seal(&claims()).unwrap().token;
    let refused = sessions.with_denylist(Down).open(&token).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StoreUnavailable);
}

/// Whoever has the keys of a deployment and makes tokens that are none of ours.
struct Forger {
    sessions: Sessions,
    mac: Arc<KeySet>,
    seal: Arc<KeySet>,
}

impl Forger {
    fn new() -> Self {
        let keyring = default_deployment("").keyring();
        let keys = |label: &str| keyring.label(label).unwrap().keys().unwrap();
        let (mac, seal) = (keys(&signing("HMAC")), keys(&encryption("AES")));
        Self { sessions: keyring.sessions(), mac, seal }
    }

    fn claims() -> Value {
        json!({ "jti": "x", "iat": START, "exp": START + 60, "idle": 60, "seen": START })
    }

    fn typed(typ: &'static str) -> SignOptions {
        SignOptions { typ: Some(typ.into()), ..SignOptions::default() }
    }

    fn sealed(typ: Option<&'static str>) -> EncryptOptions {
        EncryptOptions { typ: typ.map(Into::into), ..EncryptOptions::default() }
    }

    fn make(&self, payload: &str, sign: &SignOptions, encrypt: &EncryptOptions) -> String {
        nested::seal(&self.mac, &self.seal, payload.as_bytes(), sign, encrypt).unwrap()
    }

    fn session(&self, payload: &str) -> String {
        self.make(payload, &Self::typed(TYP), &Self::sealed(Some(TYP)))
    }
}

#[test]
fn other_tokens_of_the_same_labels_are_no_sessions() {
    let forger = Forger::new();
    let text = Forger::claims().to_string();
    drop(forger.sessions.open(&forger.session(&text)).unwrap());
    let spelt = Forger::typed("application/SESSION+jwt");
    let spelt = forger.make(&text, &spelt, &Forger::sealed(Some(TYP)));
    drop(forger.sessions.open(&spelt).unwrap());
    for (inner, outer) in [
        (SignOptions::default(), Some(TYP)),
        (Forger::typed("JWT"), Some(TYP)),
        (Forger::typed("at+jwt"), Some(TYP)),
        (Forger::typed(TYP), None),
        (Forger::typed(TYP), Some("JWT")),
    ] {
        let token = forger.make(&text, &inner, &Forger::sealed(outer));
        assert!(reason(forger.sessions.open(&token)).contains("typ"));
    }
    // A layer less, a layer more, and something else inside (attacks.md J28).
    let typed = Forger::sealed(Some(TYP));
    let inner = jws::sign(&forger.mac, text.as_bytes(), &Forger::typed(TYP)).unwrap();
    let bare = jwe::encrypt(&forger.seal, text.as_bytes(), &typed).unwrap();
    let twice = jwe::encrypt(&forger.seal, forger.session(&text).as_bytes(), &typed).unwrap();
    let unsigned = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"none\",\"typ\":\"{TYP}\"}}")),
        URL_SAFE_NO_PAD.encode(&text)
    );
    let wrapped = jwe::encrypt(&forger.seal, unsigned.as_bytes(), &typed).unwrap();
    for token in [inner, bare, twice, unsigned, wrapped] {
        reason(forger.sessions.open(&token));
    }
}

#[test]
fn a_session_has_its_claims_once_and_of_the_right_type() {
    let forger = Forger::new();
    for (name, value) in [
        ("jti", None),
        ("jti", Some(json!(7))),
        ("jti", Some(json!(""))),
        ("jti", Some(json!("a".repeat(257)))),
        ("iat", None),
        ("exp", None),
        ("exp", Some(json!("9999999999"))),
        ("exp", Some(json!(1e300))),
        ("exp", Some(json!(START - 1))),
        ("idle", None),
        ("idle", Some(json!(-1))),
        ("seen", None),
        ("seen", Some(json!(START - 1))),
        ("realm", Some(json!("alpha"))),
        ("realm", Some(json!(null))),
        ("iss", Some(json!("https://b"))),
        ("nbf", Some(json!(START + 5))),
    ] {
        let mut changed = Forger::claims();
        let members = changed.as_object_mut().unwrap();
        members.remove(name);
        members.extend(value.map(|value| (name.to_owned(), value)));
        reason(forger.sessions.open(&forger.session(&changed.to_string())));
    }
    let text = Forger::claims().to_string();
    for twisted in [
        "[]".to_owned(),
        "null".into(),
        String::new(),
        text.replacen('{', "{\"exp\":9999999999,", 1),
        text.replacen('{', "{\"\\u0065xp\":9999999999,", 1),
        format!("{text}{text}"),
        text.replacen('{', &format!("{{\"a\":{}1{},", "[".repeat(17), "]".repeat(17)), 1),
    ] {
        reason(forger.sessions.open(&forger.session(&twisted)));
    }
}

#[test]
fn claims_are_compressed_on_request_and_within_a_bound() {
    let zip = format!("[labels.\"{}\"]\nzip = true\n", encryption("AES"));
    let deployment = default_deployment(&format!("{zip}[sessions]\nzip = true\n"));
    let keyring = deployment.keyring();
    let sessions = keyring.sessions();
    let large = json!({ "groups": vec!["cn=everybody,ou=groups,dc=example,dc=com"; 100] });
    let large = large.as_object().unwrap();
    let sealed = sessions.seal(large).unwrap();
    assert!(!sealed.size.is_too_large() && sealed.size.claims_bytes > 4_096, "{}", sealed.size);
    assert_eq!(sessions.open(&sealed.token).unwrap().claims(), large);
    // More than anybody inflates is not made, and a bomb is refused.
    let bomb = json!({ "a": "a".repeat(256_000) });
    let alone = SessionSettings {
        signing: Vec::new(),
        encryption: vec![&SessionLabel::encryption()[0]],
        ..sessions.settings()
    };
    let alone = sessions.clone().with_settings(alone).unwrap();
    let refused = alone.seal(bomb.as_object().unwrap()).unwrap_err();
    assert!(refused.kind() == ErrorKind::Usage && refused.help().unwrap().contains("inflated"));
    let wider = format!("{zip}[policy.limits]\nmax_inflated_bytes = 16777216\n");
    let wider = default_deployment(&wider).keyring();
    let seal = wider.label(&encryption("AES")).unwrap().keys().unwrap();
    let options = EncryptOptions { typ: Some(TYP.into()), zip: true, ..EncryptOptions::default() };
    let bomb = jwe::encrypt(&seal, &vec![b' '; 10 << 20], &options).unwrap();
    assert!(reason(sessions.open(&bomb)).contains("inflate"));
    // Off by default, both ways.
    let plain = default_deployment("").keyring().sessions();
    assert!(reason(plain.open(&sealed.token)).contains("zip"));
    // What is inside must be of a size that is opened, however well it compresses.
    let long = json!({ "a": "a".repeat(60_000) });
    let refused = sessions.seal(long.as_object().unwrap()).unwrap_err();
    assert!(refused.kind() == ErrorKind::Usage && refused.help().unwrap().contains("max_token"));
    let asked = default_deployment("[sessions]\nzip = true\n").try_keyring().unwrap_err();
    assert!(asked.problems().iter().any(|one| one.code == "zip_not_allowed"), "{asked:?}");
}

#[test]
fn a_cookie_that_browsers_may_drop_is_reported_with_what_helps() {
    let deployment = Deployment::new();
    deployment.configure(&everything(), "");
    let sessions = deployment.keyring().sessions();
    let of = |bytes: usize| json!({ "a": "a".repeat(bytes) }).as_object().unwrap().clone();
    let rsa = settings(&["RSA"], &["RSA"], SessionOrder::SignThenEncrypt);
    let rsa = sessions.clone().with_settings(rsa).unwrap();
    let small = rsa.seal(&of(10)).unwrap();
    assert!(!small.size.is_too_large() && small.size.advice.is_empty());
    let large = rsa.seal(&of(3_000)).unwrap();
    assert!(large.size.is_too_large() && large.size.bytes == large.token.len() + "session=".len());
    let advice = large.size.advice.join("\n");
    for word in ["fewer claims", "zip", "ES256", "AES"] {
        assert!(advice.contains(word), "{advice}");
    }
    // What the advice promises is what it saves, but for the length of kids and algorithms.
    let saved = |text: &str| {
        let line = large.size.advice.iter().find(|line| line.contains(text)).unwrap();
        line.split(": ").last().unwrap().split(' ').next().unwrap().parse::<usize>().unwrap()
    };
    let signed_otherwise = settings(&["ES256"], &["RSA"], SessionOrder::SignThenEncrypt);
    let signed_otherwise = sessions.clone().with_settings(signed_otherwise).unwrap();
    let encrypted_otherwise = settings(&["RSA"], &["AES"], SessionOrder::SignThenEncrypt);
    let encrypted_otherwise = sessions.with_settings(encrypted_otherwise).unwrap();
    for (other, text) in [(signed_otherwise, "sign with"), (encrypted_otherwise, "encrypt with")] {
        let less = large.token.len() - other.seal(&of(3_000)).unwrap().token.len();
        assert!(less.abs_diff(saved(text)) < 60, "{text}: {less} {}", saved(text));
    }
    // More than anybody opens is not made.
    let refused = rsa.seal(&of(60_000)).unwrap_err();
    assert!(
        refused.kind() == ErrorKind::Usage && refused.help().unwrap().contains("max_token_bytes")
    );
}

#[test]
fn claims_of_the_session_are_not_those_of_the_caller() {
    let sessions: Sessions = default_deployment("").keyring().sessions();
    for name in ["jti", "iat", "exp", "idle", "seen", "realm", "iss", "nbf"] {
        let claims = Map::from_iter([(name.to_owned(), json!(1))]);
        let refused = sessions.seal(&claims).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage, "{name}");
        assert!(refused.message().contains(name));
    }
    let ids: std::collections::HashSet<String> =
        (0..1_000).map(|_| sessions.seal(&Map::new()).unwrap().id).collect();
    assert_eq!(ids.len(), 1_000);
}

#[test]
fn a_reload_that_changes_settings_and_labels_together_is_seen_whole() {
    let deployment = Deployment::new();
    let (mac, aes, rsa) = (signing("HMAC"), encryption("AES"), encryption("RSA"));
    let write = |label: &str, name: &str| {
        let mapped = [
            (None, mac.as_str(), aliases("hmac", &[1])),
            (None, label, aliases(kind_of(label), &[1])),
        ];
        deployment.configure(&mapped, &format!("[sessions]\nencryption = [\"{name}\"]\n"));
    };
    write(&aes, "AES");
    let keyring = deployment.keyring();
    let sessions = keyring.sessions();
    let over = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        let maker = scope.spawn(|| {
            let mut made = 0_u32;
            while !over.load(relaxed) {
                let sealed = sessions.seal(&Map::new());
                assert!(sealed.is_ok(), "after {made}: {sealed:?}");
                made += 1;
            }
            made
        });
        for round in 0..100 {
            if round % 2 == 0 {
                write(&rsa, "RSA")
            } else {
                write(&aes, "AES")
            }
            drop(keyring.reload().unwrap());
        }
        over.store(true, relaxed);
        assert!(maker.join().unwrap() > 10);
    });
}
