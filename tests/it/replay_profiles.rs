//! Replays of what profiles opened: sessions, and tokens that several labels stand behind, against what really
//! happens to them under another configuration.

use claviger::Keyring;
use claviger::drill::{self, Replay, Verdict, Why};
use claviger::label::Realm;
use claviger::trace::{self, Outcome, Trace};
use serde_json::{Map, Value, json};

use crate::deployment::{Deployment, Mapped, START};

const SIGNING: &str = "am.global.services.session.clientbased.signing";
const ES256: &str = "am.global.services.session.clientbased.signing.ES256";
const ES384: &str = "am.global.services.session.clientbased.signing.ES384";
const HMAC: &str = "am.global.services.session.clientbased.signing.HMAC";
const AES: &str = "am.global.services.session.clientbased.encryption.AES";
const RECORDING: &str = "[keyring]\nstate_dir = \"state\"\n[trace]\nrecord = true\n";

/// Realm, label, aliases.
type Mapping<'m> = (Option<&'m str>, &'m str, &'m str);

fn configure(deployment: &Deployment, mappings: &[Mapping<'_>], more: &str) {
    let mapped: Vec<Mapped<'_>> = mappings
        .iter()
        .map(|(realm, label, all)| (*realm, *label, all.split(' ').map(str::to_owned).collect()))
        .collect();
    deployment.configure(&mapped, &format!("{RECORDING}{more}"));
}

fn deployed(mappings: &[Mapping<'_>], more: &str) -> (Deployment, Keyring) {
    let deployment = Deployment::new();
    configure(&deployment, mappings, more);
    let keyring = deployment.keyring();
    (deployment, keyring)
}

fn claims() -> Map<String, Value> {
    json!({ "sub": "alice" }).as_object().unwrap().clone()
}

/// What another configuration does to what was recorded, now.
fn replayed(
    deployment: &Deployment,
    now: &Keyring,
    mappings: &[Mapping<'_>],
    more: &str,
) -> (Replay, Keyring) {
    now.recorder().unwrap().flush().unwrap();
    let trace = Trace::kept(&deployment.folder.path().join("state"), 4).unwrap();
    configure(deployment, mappings, more);
    let next = deployment.keyring();
    let (config, future) = (now.config(), next.config());
    let at = now.clock().now();
    let found = drill::replay(&trace, (&config, &now.snapshot()), (&future, &next.snapshot()), at);
    (found, next)
}

#[test]
fn a_session_whose_key_moves_to_another_label_of_sessions_holds() {
    for (before, after) in [
        // From the deprecated label, to which ES256 falls back, to its own.
        (vec![(SIGNING, "es256-1")], vec![(ES256, "es256-1")]),
        (vec![(SIGNING, "es256-1")], vec![(ES256, "es256-2 es256-1")]),
        // The new label has another key, and the deprecated one stays.
        (vec![(SIGNING, "es256-1")], vec![(ES256, "es256-2"), (SIGNING, "es256-1")]),
        (vec![(ES256, "es256-1")], vec![(SIGNING, "es256-1"), (HMAC, "hmac-1")]),
        // And it does not where no label of sessions has it.
        (vec![(SIGNING, "es256-1")], vec![(ES256, "es256-2")]),
        (vec![(SIGNING, "es256-1")], vec![(HMAC, "hmac-1")]),
        // Nor where its algorithm is not that of the label.
        (vec![(SIGNING, "es256-1")], vec![(HMAC, "hmac-1"), (SIGNING, "rsasig-1")]),
    ] {
        let mapped = |all: &[(&'static str, &'static str)]| -> Vec<Mapping<'static>> {
            let all = all.iter().map(|(label, aliases)| (None, *label, *aliases));
            all.chain([(None, AES, "aes-1")]).collect()
        };
        let (deployment, now) = deployed(&mapped(&before), "");
        let session = now.sessions().seal(&claims()).unwrap().token;
        let _ = now.sessions().open(&session).unwrap();
        let (found, next) = replayed(&deployment, &now, &mapped(&after), "");
        let opens = next.sessions().open(&session).is_ok();
        let expected = if opens { Verdict::Safe } else { Verdict::Breaks };
        assert_eq!((found.verdict(), found.live), (expected, 2), "{after:?}: {found:?}");
    }
}

#[test]
fn what_a_realm_opened_with_global_keys_breaks_with_keys_of_its_own_alone() {
    const SIGNING: &str = "am.default.authentication.modules.persistentcookie.signing";
    const ENCRYPTION: &str = "am.default.authentication.modules.persistentcookie.encryption";
    let key = |label, number| format!("{}-{number}", crate::deployment::kind_of(label));
    let [one, two, seals] = [key(SIGNING, 1), key(SIGNING, 2), key(ENCRYPTION, 1)];
    let before: &[Mapping<'_>] = &[(None, SIGNING, &one), (None, ENCRYPTION, &seals)];
    let alone = format!("[labels.\"{SIGNING}\"]\nvalid = \"realm-only\"\n");
    for (more, holds) in [("", true), (&*alone, false)] {
        let (deployment, now) = deployed(before, more);
        let alpha = |keyring: &Keyring| {
            keyring.realm("alpha").unwrap().tokens("persistent-cookie-module", None).unwrap()
        };
        let token = alpha(&now).seal(&claims()).unwrap();
        let _ = alpha(&now).open(&token).unwrap();
        let after: Vec<Mapping<'_>> =
            before.iter().copied().chain([(Some("alpha"), SIGNING, two.as_str())]).collect();
        let (found, next) = replayed(&deployment, &now, &after, more);
        assert_eq!(alpha(&next).open(&token).is_ok(), holds);
        assert_eq!(found.verdict() == Verdict::Safe, holds, "{found:?}");
        let realms: Vec<Option<&str>> =
            found.breaks.iter().map(|one| one.scope.realm.as_ref().map(Realm::as_str)).collect();
        assert_eq!(realms, if holds { vec![] } else { vec![Some("alpha")] });
    }
}

#[test]
fn a_label_that_is_asked_first_and_knows_the_kid_is_asked_alone() {
    // Two stores call different keys alike.
    let kid = |alias: &str| format!("[{{ alias = \"{alias}\", kid = \"k\" }}]");
    let text = |before: &str| {
        format!(
            "{RECORDING}[stores.a]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\
             [stores.a.mappings]\n\"{SIGNING}\" = {}\n\"{AES}\" = [\"aes-1\"]\n{before}",
            kid("es256-1")
        )
    };
    let deployment = Deployment::new();
    std::fs::write(deployment.file(), text("")).unwrap();
    let now = deployment.keyring();
    let session = now.sessions().seal(&claims()).unwrap().token;
    let _ = now.sessions().open(&session).unwrap();
    now.recorder().unwrap().flush().unwrap();
    let trace = Trace::kept(&deployment.folder.path().join("state"), 4).unwrap();
    std::fs::write(deployment.file(), text(&format!("\"{ES256}\" = {}\n", kid("es256-2"))))
        .unwrap();
    let next = deployment.keyring();
    assert!(next.sessions().open(&session).is_err());
    let (config, future) = (now.config(), next.config());
    let at = now.clock().now();
    let found = drill::replay(&trace, (&config, &now.snapshot()), (&future, &next.snapshot()), at);
    assert_eq!((found.verdict(), found.broken), (Verdict::Breaks, 1), "{found:?}");
}

#[test]
fn sessions_that_have_ended_keep_no_key() {
    let mapped: &[Mapping<'_>] = &[(None, HMAC, "hmac-1"), (None, AES, "aes-1")];
    for order in ["sign-then-encrypt", "encrypt-then-sign"] {
        let settings = format!("[sessions]\norder = \"{order}\"\nabsolute = \"1h\"\n");
        let (deployment, now) = deployed(mapped, &settings);
        let session = now.sessions().seal(&claims()).unwrap().token;
        let _ = now.sessions().open(&session).unwrap();
        let after: &[Mapping<'_>] = &[(None, HMAC, "hmac-2"), (None, AES, "aes-2")];
        let (found, _) = replayed(&deployment, &now, after, &settings);
        assert_eq!((found.broken, found.ended), (2, 0), "{order}: {found:?}");
        let end = claviger::clock::parse_rfc3339(found.safe_from.as_deref().unwrap()).unwrap();
        deployment.set(claviger::clock::to_unix(end));
        now.sessions().open(&session).unwrap_err();
        let (found, _) = replayed(&deployment, &now, after, &settings);
        assert_eq!((found.broken, found.live), (0, 0), "{order}: {found:?}");
        assert!(claviger::clock::to_unix(end) <= START + 3_600 + 120, "{order}: {found:?}");
    }
}

#[test]
fn a_session_of_another_realm_or_deployment_keeps_no_key() {
    let mapped: &[Mapping<'_>] = &[(None, HMAC, "hmac-1"), (None, AES, "aes-1")];
    let after: &[Mapping<'_>] = &[(None, HMAC, "hmac-2"), (None, AES, "aes-2")];
    for order in ["sign-then-encrypt", "encrypt-then-sign"] {
        let settings = format!("[sessions]\norder = \"{order}\"\n");
        let (deployment, now) = deployed(mapped, &settings);
        let alpha: Realm = "alpha".parse().unwrap();
        let foreign = now.sessions_in(Some(&alpha)).seal(&claims()).unwrap().token;
        now.sessions().open(&foreign).unwrap_err();
        let (found, _) = replayed(&deployment, &now, after, &settings);
        assert_eq!((found.live, found.broken), (0, 0), "{order}: {found:?}");
        let _ = now.sessions_in(Some(&alpha)).open(&foreign).unwrap();
        let (found, _) = replayed(&deployment, &now, after, &settings);
        assert_eq!((found.live, found.broken), (2, 2), "{order}: {found:?}");
    }
}

#[test]
fn a_label_that_sessions_no_longer_ask_breaks_sessions_and_nothing_else() {
    let mapped: &[Mapping<'_>] =
        &[(None, HMAC, "hmac-1"), (None, ES384, "es384-1"), (None, AES, "aes-1")];
    let without = "[sessions]\nsigning = [\"ES384\"]\n";
    // What the label itself verified is no session.
    let (deployment, now) = deployed(mapped, "");
    let label = now.label(HMAC).unwrap();
    let _ = label.verify(&label.sign(br#"{"exp":4102444800}"#).unwrap()).unwrap();
    let (found, _) = replayed(&deployment, &now, mapped, without);
    assert_eq!((found.verdict(), found.live), (Verdict::Safe, 1), "{found:?}");

    let (deployment, now) = deployed(mapped, "");
    let session = now.sessions().seal(&claims()).unwrap().token;
    let _ = now.sessions().open(&session).unwrap();
    let (found, next) = replayed(&deployment, &now, mapped, without);
    next.sessions().open(&session).unwrap_err();
    assert_eq!((found.verdict(), found.broken), (Verdict::Breaks, 1), "{found:?}");
    assert_eq!(found.breaks[0].why, Why::LabelNotAsked);
    assert_eq!(found.breaks[0].scope.label.as_str(), HMAC);
}

#[test]
fn a_token_of_a_profile_is_judged_by_the_label_and_the_realm_that_were_asked() {
    const DEFAULT: &str = "am.default.authentication.modules.persistentcookie";
    const OWN: &str = "am.authentication.modules.persistentcookie.node";
    let name = |of: &str, end: &str| format!("{of}.{end}");
    let [signing, encryption] = ["signing", "encryption"].map(|end| name(DEFAULT, end));
    let [own_signing, own_encryption] = ["signing", "encryption"].map(|end| name(OWN, end));
    let kinds = [&signing, &encryption].map(|label| crate::deployment::kind_of(label));
    let one = |kind: usize, number: u32| format!("{}-{number}", kinds[kind]);
    let keys = [one(0, 1), one(0, 2), one(1, 1), one(1, 2)];
    let before: &[Mapping<'_>] = &[(None, &signing, &keys[0]), (None, &encryption, &keys[2])];
    for (own, holds) in [
        // As long as the node has no label of its own the default stands in.
        (vec![], true),
        (vec![(None, own_signing.as_str(), keys[0].as_str())], true),
        (vec![(None, own_signing.as_str(), keys[1].as_str())], false),
        (vec![(None, own_encryption.as_str(), keys[3].as_str())], false),
        (vec![(Some("alpha"), own_signing.as_str(), keys[1].as_str())], false),
        (vec![(Some("beta"), own_signing.as_str(), keys[1].as_str())], true),
    ] {
        let (deployment, now) = deployed(before, "");
        let tokens = |keyring: &Keyring| {
            let alpha = keyring.realm("alpha").unwrap();
            alpha.tokens("persistent-cookie-module", Some("node")).unwrap()
        };
        let token = tokens(&now).seal(&claims()).unwrap();
        let _ = tokens(&now).open(&token).unwrap();
        let after: Vec<Mapping<'_>> = before.iter().copied().chain(own.clone()).collect();
        let (found, next) = replayed(&deployment, &now, &after, "");
        assert_eq!(tokens(&next).open(&token).is_ok(), holds, "{own:?}");
        let expected = if holds { Verdict::Safe } else { Verdict::Breaks };
        assert_eq!((found.verdict(), found.live), (expected, 2), "{own:?}: {found:?}");
    }
}

/// A provider that has no label of its own signs with that of its role, and with its own from when on that is mapped.
#[cfg(feature = "saml")]
#[test]
fn messages_of_a_saml_provider_are_judged_by_the_labels_that_it_asks() {
    use claviger::profiles::saml::redirect::RedirectOptions;
    use claviger::profiles::saml::{SamlRole, SamlScope};

    const IDP: &str = "am.default.applications.federation.entity.providers.saml2.idp.signing";
    const SP: &str = "am.default.applications.federation.entity.providers.saml2.sp.signing";
    const OWN: &str = "am.applications.federation.entity.providers.saml2.house.signing";
    let message =
        b"<samlp:LogoutRequest xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" ID=\"_r\"/>";
    let (role, identifier) = (SamlRole::Idp, Some("house".to_owned()));
    let before: &[Mapping<'_>] = &[(None, IDP, "rsasig-1"), (None, SP, "rsasig-3")];
    for (own, holds) in [
        (vec![], true),
        (vec![(None, OWN, "rsasig-2 rsasig-1")], true),
        (vec![(None, OWN, "rsasig-2")], false),
    ] {
        let (deployment, now) = deployed(before, "");
        let scope = SamlScope { realm: None, role, identifier: identifier.clone() };
        let provider = |keyring: &Keyring| keyring.saml(scope.clone()).unwrap();
        let query = provider(&now).sign_redirect(message, &RedirectOptions::default()).unwrap();
        let _ = provider(&now).verify_redirect(&query).unwrap();
        let after: Vec<Mapping<'_>> = before.iter().copied().chain(own.clone()).collect();
        let (found, next) = replayed(&deployment, &now, &after, "");
        assert_eq!(provider(&next).verify_redirect(&query).is_ok(), holds, "{own:?}");
        let expected = if holds { Verdict::Safe } else { Verdict::Breaks };
        assert_eq!((found.verdict(), found.live), (expected, 1), "{own:?}: {found:?}");
    }
}

#[test]
fn a_use_of_which_a_trace_does_not_say_how_it_was_asked_is_doubted() {
    // As earlier versions wrote them.
    let mapped: &[Mapping<'_>] =
        &[(None, HMAC, "hmac-1"), (None, ES384, "es384-1"), (None, AES, "aes-1")];
    let (deployment, now) = deployed(mapped, "");
    let session = now.sessions().seal(&claims()).unwrap().token;
    let _ = now.sessions().open(&session).unwrap();
    now.recorder().unwrap().flush().unwrap();
    let state = deployment.folder.path().join("state");
    let kept = Trace::kept(&state, 4).unwrap();
    let verified = kept.groups.iter().find(|(group, _)| group.outcome == Outcome::Verified);
    let mut group = verified.unwrap().0.clone();
    group.asked = None;
    let text = serde_json::to_string(&group).unwrap();
    assert!(!text.contains("asked"), "{text}");
    let time = u32::try_from(START).unwrap();
    let frame = trace::frame(&[group], &[[0, time, time + 600, 1]]);
    let path = trace::files(&state, 4).pop().unwrap();
    std::fs::write(&path, frame).unwrap();
    let (found, _) = replayed(&deployment, &now, mapped, "[sessions]\nsigning = [\"ES384\"]\n");
    assert_eq!(found.verdict(), Verdict::Unknown, "{found:?}");
    assert_eq!(found.doubts, ["`signing` of [sessions] no longer has \"HMAC\""]);
}
