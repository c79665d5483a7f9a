//! A leaked key is banned wherever it is by then: behind its label, or gone from it; and when it leaked can be said later.

use std::time::{Duration, SystemTime};

use claviger::error::ErrorKind;
use claviger::jose::jws::VerifyOptions;
use claviger::journal::Action;
use claviger::journal::tombstones::Tombstones;
use claviger::rotation::{Past, Plan, Request, Step, verify_at};
use serde_json::Value;

use crate::workshop::{
    ES256, FORCE, NOW, SEAL, TAIL, Workshop, jwk, promote, retire, revoke, stage,
};

/// A workshop in which `a` signed something, and was retired since.
fn retired() -> (Workshop, String) {
    let shop = Workshop::new();
    let token = shop.rotation().keyring().label(ES256).unwrap().sign(b"by a").unwrap();
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    shop.wait(60);
    shop.apply_over(retire("a"), ES256, FORCE).unwrap();
    shop.wait(60);
    (shop, token)
}

fn leaked_at(shop: &Workshop, since: Option<SystemTime>) -> Plan {
    let step = Step::Revoke { alias: "a".parse().unwrap(), compromised_at: since, replace: None };
    shop.apply(step, ES256).unwrap()
}

fn asked(shop: &Workshop, token: &str, time: SystemTime) -> Past {
    let rotation = shop.rotation();
    let (label, options) = (ES256.parse().unwrap(), VerifyOptions::default());
    verify_at(rotation.keyring(), &label, None, token, &options, time).unwrap().outcome
}

#[test]
fn a_key_that_left_its_label_is_banned_too() {
    let (shop, token) = retired();
    let left = shop.now() - Duration::from_secs(90);
    assert_eq!(asked(&shop, &token, left), Past::ValidThen);
    let text = shop.text();
    let plan = leaked_at(&shop, None);
    assert!(plan.changes.is_empty() && !plan.is_done());
    assert!(plan.to_string().contains("\"a\" (kid a) stands behind no label"), "{plan}");
    assert_eq!(shop.text(), text, "the mapping is as it was");
    assert_eq!(asked(&shop, &token, left), Past::Suspect);

    let undone = shop.apply(Step::Undo, ES256).unwrap_err();
    assert_eq!(undone.kind(), ErrorKind::KeyRevoked, "{undone}");
    assert_eq!(shop.apply(stage("a"), ES256).unwrap_err().kind(), ErrorKind::KeyRevoked);
    // An old configuration.
    shop.edit("\"b\",", "\"a\", \"b\",");
    assert_eq!(shop.aliases(ES256), ["b"]);
    assert_eq!(shop.history().broken, None);
}

#[test]
fn a_key_that_another_label_still_has_goes_from_there() {
    let (shop, _) = retired();
    let other = "am.services.oauth2.stateless.signing.ES256";
    shop.edit(
        &format!("\"{ES256}\" = ["),
        &format!("\"{other}\" = [\"c\", \"a\"]\n\"{ES256}\" = ["),
    );
    let plan = leaked_at(&shop, None);
    assert_eq!(plan.changes.len(), 1, "{plan}");
    assert_eq!((shop.aliases(other), shop.aliases(ES256)), (vec!["c".into()], vec!["b".into()]));
    assert!(
        plan.to_string()
            .contains(&format!("label \"{other}\": breaks: what \"a\" made is refused")),
        "{plan}"
    );
}

#[test]
fn of_each_label_that_loses_the_key_it_is_told_what_breaks_there() {
    let shop = Workshop::new();
    let more = "[stores.twin]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\nrealm = \"r\"\n";
    shop.configure("", more);
    let other = "am.services.oauth2.stateless.signing.ES256";
    shop.edit(TAIL, &format!("[stores.twin.mappings]\n\"{other}\" = [\"a\", \"c\"]\n{TAIL}"));
    let plan = leaked_at(&shop, None).to_string();
    for line in [
        format!("label \"{ES256}\": breaks: what \"a\" made is refused, until "),
        format!("label \"{ES256}\": new tokens are made with \"b\"\n"),
        // Without a lifetime nobody knows until when.
        format!(
            "label \"{other}\" in realm \"r\": breaks: what \"a\" made is refused, for as long as any of it lives\n"
        ),
        format!("label \"{other}\" in realm \"r\": new tokens are made with \"c\"\n"),
    ] {
        assert!(plan.contains(&format!("\n{line}")), "{line}: {plan}");
    }
}

#[test]
fn when_it_leaked_is_said_again_and_the_last_word_counts() {
    let (shop, token) = retired();
    let signed = shop.now() - Duration::from_secs(110);
    let first = shop.now();
    leaked_at(&shop, Some(first));
    assert_eq!(asked(&shop, &token, signed), Past::ValidThen);
    shop.wait(60);
    // Nothing new is nothing to do.
    assert!(leaked_at(&shop, Some(first)).is_done() && leaked_at(&shop, None).is_done());
    let earlier = signed - Duration::from_secs(5);
    let plan = leaked_at(&shop, Some(earlier));
    assert!(plan.to_string().contains("was revoked already"), "{plan}");
    assert_eq!(asked(&shop, &token, signed), Past::Suspect);

    let history = shop.history();
    let revocations = history.revocations().filter(|one| one.action == Action::Revoke);
    assert_eq!(revocations.count(), 2);
    let stones = || Tombstones::load(&shop.path().join("state")).unwrap();
    let saved = stones();
    let stone = saved.iter().next().unwrap();
    assert_eq!((stone.compromised_at, stone.revoked_at), (Some(earlier), first));
    assert!(saved.findings.is_empty(), "{:?}", saved.findings);
    // The journal alone says the same.
    std::fs::remove_file(shop.path().join("state/revoked.json")).unwrap();
    assert_eq!(stones().iter().next().unwrap(), stone);
    drop(shop.rotation());
    assert!(stones().findings.is_empty());
}

#[test]
fn what_never_stood_there_is_refused_and_no_other_alias_is_praised_for_it() {
    let (shop, _) = retired();
    let refused = shop.apply(revoke("zz"), ES256).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::UnknownAlias);
    let help = refused.help().unwrap();
    assert!(help.contains("\"b\"") && help.contains("that left it are \"a\""), "{help}");
    assert!(!help.contains("claviger stage"), "a leaked key is never staged: {help}");
    // Nothing needs a new key where the leaked one is gone.
    let told = shop.run(&["revoke", ES256, "a", "--replace", "n", "--json"]);
    let answer: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((told.status.code(), &answer["error"]["code"]), (Some(1), &"step_refused".into()));
    assert!(answer["error"]["help"].as_str().unwrap().contains("without --replace"), "{answer}");
    let request = Request::new(revoke("a"), ES256).unwrap();
    let dry = shop.run(&["revoke", ES256, "a", "--dry-run"]);
    let done = shop.rotation().apply(&request).unwrap().to_string();
    assert_eq!(String::from_utf8(dry.stdout).unwrap(), done);
}

/// A key whose kid is made of it.
fn nameless() -> String {
    let mut key: Value = serde_json::from_str(&jwk("x", "hmac")).unwrap();
    key.as_object_mut().unwrap().remove("kid").unwrap();
    key.to_string()
}

#[test]
fn a_key_whose_alias_another_has_now_is_named_by_its_kid() {
    let shop = Workshop::new();
    let files = shop.path().join("files");
    std::fs::create_dir(&files).unwrap();
    for version in ["app.files.v1", "app.files.v2"] {
        std::fs::write(files.join(version), nameless()).unwrap();
    }
    let more = "[stores.files]\nkind = \"volume\"\ndirectory = \"files\"\nformat = \"jwk\"\nversion_suffix = \".v\"\n\
                permissions = \"ignore\"\n[labels.\"app.files\"]\nuse = \"mac\"\nalgorithms = [\"HS256\"]";
    shop.configure("", more);
    let kid = |place: usize| {
        shop.keyring().label("app.files").unwrap().keys().unwrap().keys()[place].kid.clone()
    };
    let old = kid(1);
    shop.apply_over(retire("app.files.v1"), "app.files", FORCE).unwrap();
    std::fs::write(shop.path().join("new"), nameless()).unwrap();
    let told = shop.run(&["stage", "app.files", "new"]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    let new = kid(1);
    assert_eq!(shop.aliases("app.files"), ["app.files.v2", "app.files.v1"]);

    let plan = shop.apply(revoke(&old), "app.files").unwrap();
    assert!(plan.to_string().contains("\"app.files.v1\""), "{plan}");
    assert_eq!(kid(1), new, "the one that has the alias now stays");
    let stones = Tombstones::load(&shop.path().join("state")).unwrap();
    let aliases: Vec<_> = stones.iter().map(|stone| stone.alias.to_string()).collect();
    assert_eq!(aliases, ["app.files.v1"]);
    let back = files.join("..retired-app.files.v1");
    std::fs::rename(back, files.join("app.files.v9")).unwrap();
    assert_eq!(shop.aliases("app.files"), ["app.files.v2", "app.files.v1"]);
}

/// What is known of a leaked key may be a token, which carries the kid.
#[test]
fn a_key_that_stands_behind_its_label_is_named_by_its_kid_too() {
    let shop = Workshop::new();
    shop.edit("\"b\", # second", "{ alias = \"b\", kid = \"seen-in-a-token\" },");
    let told = shop.run(&["revoke", ES256, "seen-in-a-token"]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    assert_eq!(shop.aliases(ES256), ["a"]);
    let stones = Tombstones::load(&shop.path().join("state")).unwrap();
    assert_eq!(stones.iter().map(|stone| stone.alias.as_str()).collect::<Vec<_>>(), ["b"]);
    let kid = shop.keyring().label(SEAL).unwrap().keys().unwrap().keys()[0].kid.clone();
    let refused = shop.apply(revoke(&kid), SEAL).unwrap_err();
    assert!(refused.message().contains("alias \"s\" is the only key"), "{refused}");
}

#[test]
fn a_label_that_has_nothing_left_tells_when_its_key_leaked() {
    let shop = Workshop::new();
    let token = shop.rotation().keyring().label(ES256).unwrap().sign(b"by a").unwrap();
    shop.wait(60);
    shop.apply(revoke("b"), ES256).unwrap();
    shop.apply_over(revoke("a"), ES256, FORCE).unwrap();
    assert!(!shop.text().contains(&format!("\"{ES256}\" = ")), "{}", shop.text());
    let since = shop.now() - Duration::from_secs(5);
    let plan = leaked_at(&shop, Some(since));
    assert!(plan.to_string().contains("was revoked already"), "{plan}");
    assert!(leaked_at(&shop, None).is_done());
    assert_eq!(shop.apply(revoke("zz"), ES256).unwrap_err().kind(), ErrorKind::UnknownAlias);
    let told = shop.run(&["revoke", ES256, "a", "--replace", "n"]);
    assert_eq!(told.status.code(), Some(2), "nothing says where it would be made: {told:?}");

    shop.apply(stage("c"), ES256).unwrap_err();
    let request = Request {
        store: Some("keys".parse().unwrap()),
        ..Request::new(stage("c"), ES256).unwrap()
    };
    shop.rotation().apply(&request).unwrap();
    assert_eq!(asked(&shop, &token, since - Duration::from_secs(1)), Past::ValidThen);
    assert_eq!(asked(&shop, &token, since), Past::Suspect);
    assert_eq!(shop.history().broken, None);
}

/// Where nothing is left of a mapping, what stands around it acts, and that is said.
#[test]
fn who_leaves_a_realm_with_nothing_of_its_own_is_told_what_acts_there() {
    let shop = Workshop::new();
    let store = "[stores.alpha]\nkind = \"keystore\"\nrealm = \"alpha\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\
                 [stores.alpha.mappings]\n\"am.services.oauth2.oidc.signing.ES256\" = [\"c\"]\n";
    shop.configure("", store);
    let realm = Some("alpha".parse().unwrap());
    let request = Request { realm, ..Request::new(revoke("c"), ES256).unwrap() };
    let refused = shop.rotation().apply(&request).unwrap_err();
    let told = refused.help().unwrap();
    assert!(
        told.contains("or, and \"a\", which stands around the mapping, acts from then on: "),
        "{told}"
    );
    let overrides = FORCE;
    let told = shop.rotation().apply(&Request { overrides, ..request }).unwrap().to_string();
    assert!(told.contains("new tokens are made with \"a\""), "{told}");
    assert!(!told.contains("refuses them"), "{told}");
}

/// A password leaves nothing by which it would be known again.
#[test]
fn a_password_that_is_revoked_has_no_tombstone_and_that_is_said() {
    let shop = Workshop::new();
    shop.configure(
        "",
        "[stores.words]\nkind = \"volume\"\ndirectory = \"words\"\nversion_suffix = \".v\"\n\
         [labels.\"app.word\"]\nuse = \"secret\"\n",
    );
    std::fs::create_dir(shop.path().join("words")).unwrap();
    for version in ["app.word.v1", "app.word.v2"] {
        std::fs::write(shop.path().join("words").join(version), version).unwrap();
    }
    let told = shop.apply(revoke("app.word.v2"), "app.word").unwrap().to_string();
    assert!(told.contains("no tombstone refuses \"app.word.v2\""), "{told}");
    assert!(!shop.apply(revoke("b"), ES256).unwrap().to_string().contains("no tombstone"));
}

#[test]
fn it_is_told_how_long_peers_believe_a_leaked_key_and_what_became_of_its_tokens() {
    let shop = Workshop::new();
    let token = shop.rotation().keyring().label(ES256).unwrap().sign(b"by a").unwrap();
    shop.wait(60);
    let told = shop.apply(revoke("a"), ES256).unwrap().to_string();
    // A minute until every process shows it no more, and an hour of caches.
    let line = "until 2027-01-15T09:02:00Z whoever has an older key set believes what somebody else makes with \"a\"";
    assert!(told.contains(line), "{told}");
    shop.wait(60);
    std::fs::write(shop.path().join("token"), &token).unwrap();
    let at = claviger::clock::rfc3339(shop.now());
    let rotation = shop.rotation();
    let options = VerifyOptions::default();
    let answer =
        verify_at(rotation.keyring(), &ES256.parse().unwrap(), None, &token, &options, shop.now());
    let answer = answer.unwrap();
    assert_eq!((answer.outcome, answer.from), (Past::Never, None), "{at}");
    assert_eq!(answer.revoked_at, Some(shop.now() - Duration::from_secs(60)));
    assert_eq!(answer.verified.unwrap().key.alias.as_str(), "a");
}

#[test]
fn what_a_refused_replacement_proposes_can_be_typed() {
    let shop = Workshop::new();
    let replace = |alias: &str, name: &str| {
        let run = shop.run(&["revoke", ES256, alias, "--replace", name]);
        assert_eq!(run.status.code(), Some(2), "{run:?}");
        String::from_utf8(run.stderr).unwrap()
    };
    let told = replace("a", "a");
    assert!(told.contains("leave it out, and the next alias of the list acts"), "{told}");
    shop.apply(revoke("a"), ES256).unwrap();
    let told = replace("b", "b");
    assert!(told.contains("choose another alias") && !told.contains("leave it out"), "{told}");
}

#[test]
fn one_key_under_two_kids_is_told_as_that() {
    let shop = Workshop::new();
    let path = shop.path().join("keys.jwks");
    let mut keys: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut twin = keys["keys"][0].clone();
    twin["kid"] = "twin".into();
    keys["keys"].as_array_mut().unwrap().push(twin);
    std::fs::write(&path, keys.to_string()).unwrap();
    let refused = shop.apply(stage("twin"), ES256).unwrap_err();
    assert!(refused.message().contains("\"a\" and \"twin\" are the same key"), "{refused}");
    assert!(!refused.message().contains("name of its file"), "{refused}");
}
