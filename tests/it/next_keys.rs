//! The next key of a label, made in whatever store the label has, rehearsed, begun, or in the place of a leaked one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::SystemTime;

use claviger::Keyring;
use claviger::config::Config;
use claviger::error::ErrorKind;
use claviger::journal::{Action, Event, Record};
use claviger::rotation::{NextKey, Overrides, Request, Step};
use serde_json::Value;

use crate::workshop::{ES256, FORCE, NOW, SEAL, TAIL, Workshop, jwk, stage};

/// Every file under a folder, with its bytes and the time of its last change; folders with theirs.
fn everything(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let time = path.symlink_metadata().unwrap().modified().unwrap();
        if path.is_dir() {
            found.extend(everything(&path));
            found.insert(path, (Vec::new(), time));
        } else {
            found.insert(path.clone(), (std::fs::read(&path).unwrap(), time));
        }
    }
    found
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn run(shop: &Workshop, arguments: &[&str], code: i32) -> String {
    let output = shop.run(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    said(&output)
}

/// A workshop whose signing label stands in a file of this name and content.
fn in_file(name: &str, content: impl AsRef<[u8]>, aliases: &str) -> Workshop {
    let shop = Workshop::new();
    std::fs::write(shop.path().join(name), content).unwrap();
    shop.edit("path = \"keys.jwks\"", &format!("path = \"{name}\""));
    shop.edit(&format!("\"{SEAL}\" = [\"s\"]\n"), "");
    shop.edit("\"a\", # first", aliases);
    shop.edit("    \"b\", # second\n", "");
    shop
}

#[test]
fn a_key_is_added_to_a_key_set_and_every_other_byte_stays() {
    let shop = Workshop::new();
    let keys = shop.path().join("keys.jwks");
    let odd = format!(
        "{{ \"x\": [\"keys\", {{\"keys\": []}}],\n  \"keys\" : [\n    {},\n    {}\n  ] , \"y\":1 }}\n",
        jwk("a", "ec"),
        jwk("b", "ec")
    );
    for text in [std::fs::read_to_string(&keys).unwrap(), odd] {
        let shop = Workshop::new();
        let keys = shop.path().join("keys.jwks");
        if text.contains("\"y\"") {
            shop.edit(&format!("\"{SEAL}\" = [\"s\"]\n"), "");
        }
        std::fs::write(&keys, &text).unwrap();
        let told = run(&shop, &["generate", "new", "--stage", ES256], 0);
        assert!(told.contains("enters: \"new\""), "{told}");
        assert_eq!(shop.aliases(ES256), ["a", "b", "new"]);
        let after = std::fs::read_to_string(&keys).unwrap();
        let end = text.rfind(']').unwrap();
        let end = text[..end].trim_end().len();
        assert!(
            after.starts_with(&text[..end]) && after.ends_with(text[end..].trim_start()),
            "{after}"
        );
        let taken = run(&shop, &["generate", "new", "--stage", ES256], 2);
        assert!(taken.contains(&format!("claviger promote {ES256} new")), "{taken}");
        let free = run(&shop, &["generate", "new2", "--type", "ec", "--store", "keys.jwks"], 0);
        assert!(free.contains("generated: new2"), "{free}");
        let unmapped = run(&shop, &["generate", "new2", "--stage", ES256], 2);
        assert!(unmapped.contains(&format!("claviger stage {ES256} new2")), "{unmapped}");
    }
}

#[test]
fn a_single_key_becomes_a_set_of_two() {
    let shop = in_file("one.jwk", jwk("a", "ec"), "\"a\",");
    run(&shop, &["generate", "b", "--stage", ES256], 0);
    assert_eq!(shop.aliases(ES256), ["a", "b"]);
    let set: Value =
        serde_json::from_slice(&std::fs::read(shop.path().join("one.jwk")).unwrap()).unwrap();
    assert_eq!(set["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn commands_that_are_told_can_be_typed_whatever_the_alias_is() {
    let shop = Workshop::new();
    let told = run(&shop, &["generate", "the next key", "--stage", ES256], 0);
    assert!(
        told.contains(&format!("next: claviger promote {ES256} 'the next key', from")),
        "{told}"
    );
    for (step, alias, next) in [
        ("stage", "the next key", "claviger promote"),
        ("generate", "the next key", "claviger promote"),
        ("promote", "no such key at all", "claviger stage"),
    ] {
        let told = match step {
            "generate" => shop.run(&["generate", alias, "--stage", ES256]),
            step => shop.run(&[step, ES256, alias]),
        };
        let told = said(&told);
        assert!(told.contains(&format!("{next} {ES256} '{alias}'")), "{step}: {told}");
    }
    let told = said(&shop.run(&["stage", ES256, "no such key at all"]));
    assert!(told.contains("\". A new key: claviger generate"), "{told}");
}

#[test]
fn keys_of_a_pem_file_go_by_number() {
    let shop = Workshop::new();
    for name in ["1", "loose"] {
        run(&shop, &["generate", name, "--type", "ec", "--out", &format!("{name}.pem")], 0);
    }
    let pem = std::fs::read_to_string(shop.path().join("1.pem")).unwrap();
    let text = format!("# ours\n{pem}# end");
    let shop = in_file("keys.pem", &text, "\"1\",");
    let told = run(&shop, &["generate", "whatever", "--stage", ES256], 0);
    assert!(
        told.contains("enters: \"2\"") && told.contains(&format!("promote {ES256} 2")),
        "{told}"
    );
    assert_eq!(shop.aliases(ES256), ["1", "2"]);
    let after = std::fs::read_to_string(shop.path().join("keys.pem")).unwrap();
    assert!(after.starts_with(&text) && after.contains("# end\n-----BEGIN PRIVATE KEY"), "{after}");

    // A certificate of nobody has a number after the keys: it must keep it.
    let other = Workshop::new();
    run(&other, &["generate", "x", "--type", "ec", "--out", "x.pem"], 0);
    let x = std::fs::read_to_string(other.path().join("x.pem")).unwrap();
    let certificate = &x[x.find("-----BEGIN CERTIFICATE").unwrap()..];
    let keys = format!("{after}{certificate}");
    let shop = in_file("keys.pem", &keys, "\"1\",");
    let told = run(&shop, &["generate", "3", "--stage", ES256], 2);
    assert!(told.contains("other aliases"), "{told}");
    assert_eq!(std::fs::read_to_string(shop.path().join("keys.pem")).unwrap(), keys);
}

#[test]
fn java_keystores_are_refused_with_what_to_type() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("keystores");
    let shop =
        in_file("old.jceks", std::fs::read(fixtures.join("legacy.jceks")).unwrap(), "\"es256\",");
    shop.edit("integrity = \"none\"", "store_password = { file = \"pw\" }");
    std::fs::copy(fixtures.join("storepass.txt"), shop.path().join("pw")).unwrap();
    let told = run(&shop, &["generate", "new", "--stage", ES256], 2);
    for wanted in ["keytool -genkeypair", "claviger stage", "claviger import", "old.jceks"] {
        assert!(told.contains(wanted), "{told}");
    }
    let last = shop.history().records.pop().unwrap();
    assert_eq!((last.event, last.action), (Event::Refused, Action::Stage));
    let told = run(&shop, &["generate", "new", "--stage", ES256, "--json"], 2);
    assert!(told.contains("\"code\":\"store_not_written\""), "{told}");
    let told = run(&shop, &["revoke", ES256, "es256"], 1);
    assert!(told.contains(&format!("claviger revoke {ES256} es256 --replace NEW")), "{told}");
}

#[test]
fn a_dry_run_of_a_new_key_writes_nothing_at_all() {
    let shop = Workshop::new();
    std::fs::create_dir(shop.path().join("volume")).unwrap();
    std::fs::write(shop.path().join("volume/app.volume.v1"), jwk("v", "ec")).unwrap();
    shop.edit(
        "[stores.keys]\n",
        "[stores.volume]\nkind = \"volume\"\ndirectory = \"volume\"\nformat = \"jwk\"\nversion_suffix = \".v\"\n\
         permissions = \"ignore\"\n[stores.keys]\n",
    );
    shop.edit(
        TAIL,
        &format!("[labels.\"app.volume\"]\nuse = \"sign\"\nalgorithms = [\"ES256\"]\n{TAIL}"),
    );
    shop.edit("[policy]\n", "[trace]\nrecord = true\n[policy]\n");
    // One step, so that the state directory is there.
    run(&shop, &["reorder", ES256, "b", "a", "--force"], 0);
    let before = everything(shop.path());
    for arguments in [
        &["generate", "new", "--stage", ES256, "--dry-run"][..],
        &["generate", "new", "--stage", "app.volume", "--dry-run"],
        &["stage", ES256, "c", "--dry-run"],
        &["stage", "app.volume", "volume/app.volume.v1", "--dry-run"],
        &["promote", ES256, "a", "--dry-run"],
        &["reorder", ES256, "a", "b", "--dry-run"],
        &["retire", ES256, "a", "--dry-run"],
        &["revoke", ES256, "b", "--dry-run"],
        &["revoke", SEAL, "s", "--replace", "new", "--dry-run"],
        &["revoke", "app.volume", "app.volume.v1", "--replace", "new", "--dry-run"],
        &["undo", ES256, "--dry-run"],
        &["drill"],
        &["drill", ES256],
    ] {
        let output = shop.run(arguments);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {}", said(&output));
        assert_eq!(everything(shop.path()), before, "{arguments:?}");
    }
    let told = run(&shop, &["generate", "new", "--stage", ES256, "--dry-run"], 0);
    for wanted in
        ["enters: \"new\"", "is added", "next: claviger promote", "another kid", "dry run"]
    {
        assert!(told.contains(wanted), "{told}");
    }
}

#[test]
fn a_label_begins_in_the_store_that_is_named() {
    let shop = Workshop::new();
    let label = "am.services.oauth2.oidc.signing.EDDSA";
    let told = run(&shop, &["generate", "ed", "--stage", label], 2);
    assert!(
        told.contains(&format!("claviger generate NEW --stage {label} --store STORE")),
        "{told}"
    );
    let told = run(&shop, &["generate", "ed", "--stage", label, "--store", "nope"], 2);
    assert!(told.contains("\"keys\""), "{told}");
    let told = run(&shop, &["generate", "ed", "--stage", label, "--store", "keys", "--dry-run"], 0);
    assert!(told.contains("the label appears; \"ed\" acts"), "{told}");
    run(&shop, &["generate", "ed", "--stage", label, "--store", "keys"], 0);
    assert_eq!(shop.aliases(label), ["ed"]);
    assert!(
        shop.text().contains(&format!("\"{label}\" = [\"ed\"]\n")) && shop.text().ends_with(TAIL)
    );
    // A key that is there begins a label too; and a typo is no label.
    let other = "am.services.oauth2.stateless.signing.ES256";
    run(&shop, &["stage", other, "c", "--store", "keys"], 0);
    assert_eq!(shop.aliases(other), ["c"]);
    let told = run(&shop, &["promote", "am.services.oauth2.oidc.signing.ES265", "b"], 2);
    assert!(told.contains(&format!("did you mean \"{ES256}\"?")), "{told}");
}

/// Where a realm or a label has keys from around, one of its own would act at once.
#[test]
fn a_mapping_begins_with_no_key_that_nobody_knows_and_leaves_no_token_behind() {
    let shop = Workshop::new();
    let store = "[stores.alpha]\nkind = \"keystore\"\nrealm = \"alpha\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n";
    shop.configure("", store);
    shop.begin_without_keys();
    let begin = |alias: &str, more: &[&str], code: i32| {
        let begin = ["stage", ES256, alias, "--store", "alpha"];
        run(&shop, &[&begin, more].concat(), code)
    };
    let told = begin("c", &[], 1);
    assert!(told.contains("alias \"c\" would act at once, in place of \"a\""), "{told}");
    // What acts globally is known to everybody, and goes on acting.
    let told = begin("a", &["--dry-run"], 0);
    assert!(!told.contains("acts:") && !told.contains("closed:"), "{told}");
    let told = begin("c", &["--now"], 0);
    assert!(told.contains("acts: \"c\" instead of \"a\"") && told.contains("passed: "), "{told}");
    let told = run(&shop, &["undo", ES256, "--realm", "alpha"], 0);
    assert!(told.contains("acts: \"a\" instead of \"c\""), "{told}");
    shop.edit(
        &format!("[labels.\"{ES256}\"]\n"),
        &format!("[labels.\"{ES256}\"]\nvalid = \"realm-only\"\n"),
    );
    let told = begin("c", &["--now"], 1);
    assert!(told.contains("what alias \"a\" made would be refused"), "{told}");

    // The same of a label that another one stands in for.
    let shop = Workshop::new();
    let generic = "am.global.services.session.clientbased.signing";
    let own = format!("{generic}.ES256");
    shop.configure("", &format!("[labels.\"{generic}\"]\nmax_token_lifetime = \"2h\"\n"));
    shop.edit(&format!("\"{SEAL}\" = "), &format!("\"{generic}\" = [\"c\"]\n\"{SEAL}\" = "));
    let told = run(&shop, &["generate", "e", "--stage", &own, "--store", "keys", "--now"], 1);
    assert!(told.contains("what alias \"c\" made would be refused"), "{told}");
    assert!(told.contains(&format!("\"{own}\" = [\"c\"]")), "{told}");
    run(&shop, &["stage", &own, "c", "--store", "keys"], 0);
    run(&shop, &["generate", "e", "--stage", &own], 0);
    assert_eq!(shop.aliases(&own), ["c", "e"]);
}

/// Once a mapping has ended, what stands around it acts at once.
#[test]
fn a_mapping_ends_with_no_key_in_its_place_that_nobody_knows() {
    let shop = Workshop::new();
    let store = "[stores.alpha]\nkind = \"keystore\"\nrealm = \"alpha\"\npath = \"other.jwks\"\nintegrity = \"none\"\n";
    shop.configure("", store);
    let keys = std::fs::read_to_string(shop.path().join("keys.jwks")).unwrap();
    // The same keys; one of them is called otherwise.
    std::fs::write(shop.path().join("other.jwks"), keys.replace("\"kid\":\"a\"", "\"kid\":\"a2\""))
        .unwrap();
    let step = |step: Step, overrides: Overrides| {
        let store = Some("alpha".parse().unwrap());
        let realm = Some("alpha".parse().unwrap());
        let request = Request { store, realm, overrides, ..Request::new(step, ES256).unwrap() };
        shop.rotation().apply(&request)
    };
    let refused = |of: Step| {
        let error = step(of, Overrides::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAnnounced, "{error}");
        format!("{error}; {}", error.help().unwrap())
    };
    drop(shop.rotation());
    shop.wait(1_000_000);
    // What the realm is read with anyway may act again.
    step(stage("c"), NOW).unwrap();
    step(Step::Undo, Overrides::default()).unwrap();
    // The same key under another kid is unknown by it.
    let told = refused(stage("a2"));
    assert!(told.contains("alias \"a2\" would act at once, in place of \"a\""), "{told}");

    shop.edit(
        &format!("[labels.\"{ES256}\"]\n"),
        &format!("[labels.\"{ES256}\"]\nvalid = \"realm-only\"\n"),
    );
    step(stage("c"), FORCE).unwrap();
    shop.wait(1_000_000);
    let told = refused(Step::Undo);
    assert!(told.contains("alias \"a\" would act at once, in place of \"c\""), "{told}");
    assert!(
        told.contains(&format!("claviger undo {ES256} --store alpha --realm alpha --now")),
        "{told}"
    );
    let with_c = shop.text();
    let told = step(Step::Undo, NOW).unwrap().to_string();
    assert!(
        told.contains("new tokens are made with \"a\"") && told.contains("breaks: whoever"),
        "{told}"
    );
    // A list of nothing but revoked keys, as an old file may have, begins as one that is not there.
    step(stage("c"), FORCE).unwrap();
    let leaked = Step::Revoke { alias: "c".parse().unwrap(), compromised_at: None, replace: None };
    step(leaked, FORCE).unwrap();
    std::fs::write(shop.config(), with_c).unwrap();
    let told = refused(stage("d"));
    assert!(told.contains("alias \"d\" would act at once, in place of \"a\""), "{told}");
}

/// Of the labels of sessions the first that is mapped acts: one that begins before it would be known to nobody.
#[test]
fn a_label_of_sessions_begins_behind_the_one_that_acts() {
    const LABELS: &str = "am.global.services.session.clientbased";
    let shop = Workshop::new();
    let mapped =
        format!("\"{LABELS}.signing.ES256\" = [\"c\"]\n\"{LABELS}.encryption.AES\" = [\"s\"]\n");
    shop.edit(&format!("\"{SEAL}\" = "), &format!("{mapped}\"{SEAL}\" = "));
    let begin = |name: &str, more: &[&str], code: i32| {
        let label = format!("{LABELS}.signing.{name}");
        run(
            &shop,
            &[&["generate", name, "--stage", &label, "--store", "keys"], more].concat(),
            code,
        )
    };
    // As long as nobody uses them there is nobody to refuse one.
    begin("HMAC", &["--dry-run"], 0);
    let claims = serde_json::Map::new();
    let session = shop.keyring().sessions().seal(&claims).unwrap().token;
    let told = begin("HMAC", &[], 1);
    assert!(
        told.contains("alias \"HMAC\" would act for sessions at once, in place of \"c\""),
        "{told}"
    );
    begin("ES384", &[], 0);
    // What every process reads already may act.
    let listed = "[sessions]\nsigning = [\"ES256\", \"ES384\", \"HMAC\"]\n";
    shop.edit("[policy]\n", &format!("{listed}[policy]\n"));
    begin("HMAC", &["--dry-run"], 0);
    shop.edit(listed, "");
    let told = begin("HMAC", &["--now"], 0);
    assert!(told.contains("passed: alias \"HMAC\" would act for sessions"), "{told}");
    let _ = shop.keyring().sessions().open(&session).unwrap();
    // It is not the first one any more: its next key waits as every other.
    run(&shop, &["generate", "h2", "--stage", &format!("{LABELS}.signing.HMAC")], 0);
}

/// And where that label ends, the next one.
#[test]
fn a_label_of_sessions_ends_once_everybody_knows_the_next_one() {
    const LABELS: &str = "am.global.services.session.clientbased";
    let shop = Workshop::new();
    shop.edit(
        &format!("\"{SEAL}\" = "),
        &format!("\"{LABELS}.encryption.AES\" = [\"s\"]\n\"{SEAL}\" = "),
    );
    drop(shop.rotation());
    let request = |step: Step, label: &str, overrides: Overrides| {
        let store = Some("keys".parse().unwrap());
        Request {
            store,
            overrides,
            ..Request::new(step, &format!("{LABELS}.signing.{label}")).unwrap()
        }
    };
    let begin = |alias: &str, label: &str| {
        let next = NextKey { days: 30, ..NextKey::default() };
        let request = request(stage(alias), label, Overrides::default());
        shop.rotation().generate(&request, &next).unwrap();
    };
    begin("h", "HMAC");
    let keyring =
        Keyring::from_config(Config::load(&shop.config()).unwrap(), shop.clock()).unwrap();
    let _ = keyring.sessions().seal(&serde_json::Map::new()).unwrap();
    drop(keyring);
    begin("e", "ES256");
    let undo = || request(Step::Undo, "HMAC", Overrides { now: false, force: false });
    let gates = || {
        let plan = shop.rotation().plan(&undo()).unwrap();
        plan.gates
            .iter()
            .map(|gate| gate.message.clone())
            .filter(|text| text.contains("sessions"))
            .collect::<Vec<_>>()
    };
    let told = gates();
    assert!(
        told.len() == 1
            && told[0].contains(&format!(
                "alias \"e\" of label \"{LABELS}.signing.ES256\" would act for sessions"
            )),
        "{told:?}"
    );
    // Every process has loaded it: sessions are for nobody else.
    shop.wait(4_000);
    assert!(gates().is_empty(), "{:?}", gates());
}

/// A provider of SAML has one of two roles, whose labels both stand in for its own: neither keeps it from the gates.
#[cfg(feature = "saml")]
#[test]
fn a_label_for_which_several_stand_in_begins_with_a_key_that_is_known_there() {
    const ROLES: &str = "am.default.applications.federation.entity.providers.saml2";
    let own = "am.applications.federation.entity.providers.saml2.house.signing";
    let shop = Workshop::new();
    let mapped = format!("\"{ROLES}.idp.signing\" = [\"c\"]\n\"{ROLES}.sp.signing\" = [\"d\"]\n");
    let settings = format!("[labels.\"{ROLES}.idp.signing\"]\nalgorithms = [\"ES256\"]\n");
    shop.edit(&format!("\"{SEAL}\" = "), &format!("{mapped}\"{SEAL}\" = "));
    shop.edit(TAIL, &(settings.clone() + &settings.replace("idp", "sp") + TAIL));
    shop.edit(TAIL, &format!("[labels.\"{own}\"]\nalgorithms = [\"ES256\"]\n{TAIL}"));
    let begin = |alias: &str, more: &[&str], code: i32| {
        run(&shop, &[&["stage", own, alias, "--store", "keys"], more].concat(), code)
    };
    let told = begin("a", &["--dry-run"], 1);
    assert!(told.contains("alias \"a\" would act at once, in place of \"c\""), "{told}");
    assert!(told.contains("what alias \"c\" made would be refused"), "{told}");
    for known in ["c", "d"] {
        let told = begin(known, &["--dry-run"], 0);
        assert!(!told.contains("closed: "), "{told}");
    }
    begin("d", &[], 0);
}

/// Without a key to be like, the label says what its first one is; where it takes several types, which.
#[test]
fn the_first_key_of_a_label_is_of_the_type_that_the_label_takes() {
    let shop = Workshop::new();
    let begin = |alias: &str, label: &str, code: i32| {
        run(&shop, &["generate", alias, "--stage", label, "--store", "keys"], code)
    };
    for (alias, label, kind) in [
        ("state", "am.authn.trees.transientstate.encryption", "\"symmetric 256\""),
        ("token", "am.services.oauth2.stateless.token.encryption", "\"symmetric 256\""),
        ("iot", "am.services.iot.jwt.issuer.signing", "\"symmetric 512\""),
        ("thing", "am.authentication.nodes.persistentcookie.encryption", "\"RSA 3072\""),
    ] {
        begin(alias, label, 0);
        let shown = run(&shop, &["labels", label, "--json"], 0);
        assert!(shown.contains(kind), "{label}: {shown}");
    }
    let told = begin("device", "am.services.authenticatoroath.encryption", 2);
    assert!(told.contains("say which: --type rsa, --type aes\n"), "{told}");
}

/// A salt must not change; the first one changes nothing.
#[test]
fn a_label_that_must_not_rotate_begins_once() {
    const SALT: &str = "am.services.oauth2.provider.hash.salt.secret";
    let shop = Workshop::new();
    std::fs::create_dir(shop.path().join("salts")).unwrap();
    let store =
        "[stores.salts]\nkind = \"volume\"\ndirectory = \"salts\"\nversion_suffix = \".v\"\n";
    shop.configure("", store);
    let stage = |code| run(&shop, &["generate", "salt", "--stage", SALT, "--store", "salts"], code);
    stage(0);
    assert!(stage(1).contains("must not rotate"));
    // Its file is lost: another salt is a change all the same, for the journal knows of the first.
    std::fs::remove_file(shop.path().join(format!("salts/{SALT}.v1"))).unwrap();
    assert!(stage(1).contains("must not rotate"));
}

#[test]
fn the_only_key_is_revoked_with_another_in_its_place_or_by_force() {
    let shop = Workshop::new();
    let sealed = shop.keyring().label(SEAL).unwrap().encrypt(b"plaintext").unwrap();
    let told = run(&shop, &["revoke", SEAL, "s"], 1);
    assert!(told.contains(&format!("claviger revoke {SEAL} s --replace NEW")), "{told}");
    let told = run(&shop, &["revoke", SEAL, "s", "--replace", "s2", "--reason", "in a log"], 0);
    for wanted in ["acts: \"s2\" instead of \"s\"", "breaks: what \"s\" made", "made with \"s2\""] {
        assert!(told.contains(wanted), "{told}");
    }
    assert!(!told.contains("claviger promote"), "{told}");
    assert_eq!(shop.aliases(SEAL), ["s2"]);
    assert!(shop.keyring().label(SEAL).unwrap().decrypt(&sealed).is_err());
    let steps: Vec<Action> = shop
        .history()
        .records
        .iter()
        .filter(|record| record.event == Event::Done)
        .map(|record| record.action)
        .collect();
    assert_eq!(steps, [Action::Revoke], "one step: there is no moment between");

    // Where others are left they act, for they are known; the new one waits its turn.
    // One that is there is no new one.
    for taken in ["b", "a"] {
        let told = run(&shop, &["revoke", ES256, "a", "--replace", taken], 2);
        let help = format!(
            "choose another alias; or leave it out, and the next alias of the list acts: claviger revoke {ES256} a\n"
        );
        assert!(told.contains(&help), "{told}");
    }
    let told = run(&shop, &["generate", "b", "--stage", ES256, "--json"], 2);
    assert!(told.contains("\"code\":\"alias_taken\""), "{told}");
    let told = run(&shop, &["revoke", ES256, "a", "--replace", "n"], 0);
    assert!(told.contains("acts: \"b\" instead of \"a\""), "{told}");
    assert!(told.contains(&format!("claviger promote {ES256} n")), "{told}");
    assert_eq!(shop.aliases(ES256), ["b", "n"]);

    let told = run(&shop, &["revoke", SEAL, "s2", "--force", "--dry-run"], 0);
    assert!(told.contains("the label disappears"), "{told}");
    run(&shop, &["revoke", SEAL, "s2", "--force"], 0);
    assert!(
        shop.keyring().label(SEAL).is_err() && !shop.text().contains(&format!("\"{SEAL}\" = ["))
    );
    run(&shop, &["check"], 0);
    let told = run(&shop, &["generate", "s3", "--stage", SEAL, "--store", "keys"], 0);
    assert!(told.contains("\"s3\" acts"), "{told}");
}

#[test]
fn a_leaked_key_of_several_labels_leaves_none_of_them_empty() {
    let shop = Workshop::new();
    let other = "am.services.oauth2.stateless.signing.ES256";
    shop.edit("# who signs\n", &format!("\"{other}\" = [\"b\"]\n# who signs\n"));
    let told = run(&shop, &["revoke", ES256, "b"], 1);
    assert!(told.contains(&format!("only key behind label \"{other}\"")), "{told}");
    run(&shop, &["revoke", ES256, "b", "--replace", "n"], 0);
    assert_eq!(shop.aliases(other), ["n"]);
    assert_eq!(shop.aliases(ES256), ["a", "n"]);
}

#[test]
fn a_leaked_key_of_two_keystores_in_one_folder_is_replaced_in_both() {
    let shop = Workshop::new();
    std::fs::copy(shop.path().join("keys.jwks"), shop.path().join("more.jwks")).unwrap();
    shop.edit(
        "[stores.keys]\n",
        &format!(
            "[stores.more]\nkind = \"keystore\"\nrealm = \"alpha\"\npath = \"more.jwks\"\nintegrity = \"none\"\n\
             [stores.more.mappings]\n\"{ES256}\" = [\"a\"]\n[stores.keys]\n"
        ),
    );
    // Both new keys are called "n", and so are their kids.
    shop.edit("max_token_lifetime = \"2h\"", "max_token_lifetime = \"2h\"\nvalid = \"realm-only\"");
    run(&shop, &["revoke", ES256, "a", "--store", "keys", "--replace", "n"], 0);
    assert_eq!(shop.aliases(ES256), ["b", "n"]);
    let set = std::fs::read_to_string(shop.path().join("more.jwks")).unwrap();
    assert!(set.contains("\"n\"") && shop.text().contains(&format!("\"{ES256}\" = [\"n\"]")));
}

#[test]
fn the_only_file_of_a_volume_is_replaced() {
    for (suffix, file, next) in
        [(".v", "app.volume.v3", "app.volume.v4"), ("", "app.volume", "app.volume")]
    {
        let shop = Workshop::new();
        let folder = shop.path().join("volume");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(file), jwk("v", "ec")).unwrap();
        shop.edit(
            "[stores.keys]\n",
            &format!(
                "[stores.volume]\nkind = \"volume\"\ndirectory = \"volume\"\nformat = \"jwk\"\nversion_suffix = \
                 \"{suffix}\"\npermissions = \"ignore\"\n[stores.keys]\n"
            ),
        );
        shop.edit(
            TAIL,
            &format!("[labels.\"app.volume\"]\nuse = \"sign\"\nalgorithms = [\"ES256\"]\n{TAIL}"),
        );
        let old = shop.keyring().label("app.volume").unwrap().sign(b"x").unwrap();
        run(&shop, &["revoke", "app.volume", file], 1);
        run(&shop, &["revoke", "app.volume", file, "--replace", "new"], 0);
        assert_eq!(shop.aliases("app.volume"), [next]);
        assert!(shop.keyring().label("app.volume").unwrap().verify(&old).is_err());
        assert!(folder.join(format!("..retired-{file}")).exists());
    }
}

#[test]
fn a_refusal_of_a_configuration_that_does_not_load_is_recorded() {
    let shop = Workshop::new();
    let good = shop.text();
    for broken in [
        good.replace("\"b\", # second", "\"nowhere\","),
        good.replace("[policy]\n", "[policy]\nno_such_key = 1\n"),
        good.replace("[policy]\n", "[policy]\nthis is no TOML\n"),
    ] {
        std::fs::write(shop.config(), &broken).unwrap();
        for (arguments, action) in [
            (&["promote", ES256, "b", "--reason", "why not"][..], Action::Promote),
            (&["generate", "n", "--stage", ES256], Action::Stage),
            (&["rotate", "--due"], Action::Schedule),
        ] {
            let told = run(&shop, arguments, 2);
            assert!(told.contains("error"), "{told}");
            // The same refusal of what is due is recorded once a day.
            let of_action = |one: &&Record| action != Action::Schedule || one.action == action;
            let history = shop.history();
            let last = history.records.iter().rev().find(of_action).unwrap().clone();
            assert_eq!((last.event, last.action), (Event::Refused, action), "{broken}");
            assert_eq!(last.refusal.unwrap().code, "config_invalid");
        }
        assert_eq!(shop.text(), broken);
    }
    std::fs::write(shop.config(), good).unwrap();
    run(&shop, &["reorder", ES256, "b", "a", "--force"], 0);
    run(&shop, &["history", "--verify"], 0);
}
