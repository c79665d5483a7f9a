//! Retiring by proof: refused until nothing is alive, a receipt after it, and answers for the past.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use claviger::Keyring;
use claviger::config::Config;
use claviger::error::ErrorKind;
use claviger::jose::jws::VerifyOptions;
use claviger::journal::{Action, Event};
use claviger::ops::LabelKey;
use claviger::rotation::{Lives, Past, Phase, Request, Step, verify_at};
use serde_json::Value;

use crate::workshop::{ES256, FORCE, NOW, SEAL, TAIL, Workshop, promote, retire, revoke, stage};

fn keyring(shop: &Workshop) -> Keyring {
    Keyring::from_config(Config::load(&shop.config()).unwrap(), shop.clock()).unwrap()
}

fn secs(shop: &Workshop) -> u64 {
    shop.now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn sign(shop: &Workshop, lives: u64) -> String {
    let payload = format!(r#"{{"exp":{}}}"#, secs(shop) + lives);
    keyring(shop).label(ES256).unwrap().sign(payload.as_bytes()).unwrap()
}

/// A workshop whose first record is older than anything, and whose label has no lifetime of its own.
fn shop() -> Workshop {
    let shop = Workshop::new();
    shop.edit("max_token_lifetime = \"2h\"\n", "");
    shop.begin_without_keys();
    shop
}

fn receipts(shop: &Workshop) -> Vec<Value> {
    let Ok(entries) = std::fs::read_dir(shop.path().join("state/receipts")) else {
        return Vec::new();
    };
    entries
        .map(|entry| {
            serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap()
        })
        .collect()
}

#[test]
fn a_key_goes_the_second_its_last_token_is_dead_and_a_receipt_says_so() {
    let shop = shop();
    sign(&shop, 3 * 3_600);
    sign(&shop, 10);
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    sign(&shop, 9 * 3_600);

    let early = shop.apply(retire("a"), ES256).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::StillInUse);
    assert!(early.message().contains("another 3 h 1 min"), "{early}");
    assert!(early.message().contains("(2 made, the last at 2027-01-15T08:00:00Z)"), "{early}");
    assert!(early.help().unwrap().contains(&format!("claviger retire {ES256} a --force")));
    shop.wait(3 * 3_600 + 59);
    assert!(shop.apply(retire("a"), ES256).is_err());
    assert!(receipts(&shop).is_empty());
    shop.wait(1);
    shop.apply(retire("a"), ES256).unwrap();

    let [receipt] = &receipts(&shop)[..] else { panic!("one receipt") };
    for (name, value) in [
        ("label", ES256),
        ("alias", "a"),
        ("last_signed", "2027-01-15T08:00:00Z"),
        ("recorded_since", "2027-01-15T08:00:00Z"),
        ("horizon", "2027-01-15T11:00:00Z"),
        ("safe_after", "2027-01-15T11:01:00Z"),
        ("retired_at", "2027-01-15T11:01:00Z"),
    ] {
        assert_eq!(receipt[name], value, "{receipt}");
    }
    assert_eq!(receipt["signed"], 2);
    let history = shop.history();
    let seq = receipt["journal_seq"].as_u64().unwrap();
    assert_eq!(history.hash_of(seq), receipt["journal_hash"].as_str());
    let detail = history.record(seq).unwrap().detail.as_ref().unwrap();
    assert_eq!(detail["receipt"]["thumbprint"], receipt["thumbprint"]);
}

#[test]
fn a_forced_retirement_is_recorded_and_has_no_receipt() {
    let shop = shop();
    sign(&shop, 3_600);
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    shop.apply_over(retire("a"), ES256, FORCE).unwrap();
    assert!(receipts(&shop).is_empty());
    let history = shop.history();
    assert_eq!(history.records.last().unwrap().overridden, ["still_in_use"]);
}

#[test]
fn what_a_key_may_have_made_before_the_journal_is_no_proof_either() {
    // `a` and `b` stand there when the journal begins; things of the label live for two hours.
    let shop = Workshop::new();
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    shop.apply_over(retire("a"), ES256, FORCE).unwrap();
    assert_eq!(shop.history().records.last().unwrap().overridden, ["still_in_use"]);
    assert!(receipts(&shop).is_empty(), "{:?}", receipts(&shop));
}

#[test]
fn what_stood_below_when_the_journal_began_may_have_acted_before() {
    let shop = Workshop::new();
    drop(shop.rotation());
    let early = shop.apply(retire("b"), ES256).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::StillInUse);
    assert!(early.message().contains("until 2027-01-15T10:01:00Z"), "{early}");
    // What came later did not.
    shop.apply(stage("c"), ES256).unwrap();
    shop.apply(retire("c"), ES256).unwrap();
    shop.wait(2 * 3_600 + 60);
    shop.apply(retire("b"), ES256).unwrap();
    assert_eq!(receipts(&shop).len(), 2);
}

#[test]
fn what_came_with_a_mapping_that_was_written_whole_may_have_acted_elsewhere() {
    for lifetime in ["2h", ""] {
        let shop = Workshop::new();
        if lifetime.is_empty() {
            shop.edit("max_token_lifetime = \"2h\"\n", "");
        }
        shop.begin_empty();
        shop.wait(1_000);
        drop(shop.rotation());
        assert_eq!(shop.history().records[1].action, Action::EditedByHand);
        let refused = shop.apply(retire("b"), ES256).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StillInUse);
        let shown = shop.run(&["status", ES256, "--json"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        let shown = &shown["keys"][0]["aliases"][1];
        assert_eq!(shown["phase"], "valid");
        // What an alias brings that is written below others by hand, or comes by a step, is the next key.
        shop.edit("\"b\", # second", "\"b\", \"c\",");
        shop.apply(stage("d"), ES256).unwrap();
        shop.apply(retire("c"), ES256).unwrap();
        shop.apply(retire("d"), ES256).unwrap();
        shop.wait(2 * 3_600 + 59);
        let refused = shop.apply(retire("b"), ES256).unwrap_err();
        shop.wait(1);
        if lifetime.is_empty() {
            assert!(refused.message().contains("before it was first seen there"), "{refused}");
            assert_eq!(shown["not_provable_because"], "made_before");
            assert!(shop.apply(retire("b"), ES256).is_err());
        } else {
            // Two hours and a minute of skew from when it was first seen.
            assert!(refused.message().contains("until 2027-01-15T10:17:40Z"), "{refused}");
            shop.apply(retire("b"), ES256).unwrap();
        }
    }
}

/// Such as those of a starter, in whose place somebody puts keys that have long been in use.
#[test]
fn what_came_by_hand_in_the_place_of_all_keys_may_have_acted_elsewhere() {
    let shop = Workshop::new();
    shop.begin_without_keys();
    shop.wait(1_000);
    shop.edit("\"a\", # first", "\"c\",");
    shop.edit("\"b\", # second", "\"d\",");
    for _ in 0..2 {
        assert_eq!(shop.apply(retire("d"), ES256).unwrap_err().kind(), ErrorKind::StillInUse);
        shop.wait(2 * 3_600 + 59);
    }
    shop.wait(1);
    shop.apply(retire("d"), ES256).unwrap();
    // Where one stays, what comes beside it is the next key.
    shop.edit("\"c\",", "\"c\", \"a\",");
    shop.apply(retire("a"), ES256).unwrap();
}

#[test]
fn a_key_keeps_what_is_known_of_it_on_its_way_from_one_store_to_another() {
    // From `keys` to a store whose name stands before and to one whose name stands behind.
    for store in ["ahead", "later"] {
        let shop = shop();
        sign(&shop, 3_600);
        let copy = shop.path().join("copy.jwks");
        std::fs::copy(shop.path().join("keys.jwks"), copy).unwrap();
        let listed = "\"am.services.oauth2.oidc.signing.ES256\" = [\n    # newest first\n    \"a\", # first\n    \
                      \"b\", # second\n]\n";
        shop.edit(listed, "");
        shop.edit(TAIL, &format!(
            "[stores.{store}]\nkind = \"keystore\"\npath = \"copy.jwks\"\nintegrity = \"none\"\n\
             [stores.{store}.mappings]\n{listed}{TAIL}"
        ));
        shop.wait(10);
        drop(shop.rotation());
        let history = shop.history();
        let moved = history.records.iter().filter(|one| one.action == Action::EditedByHand);
        assert_eq!(moved.map(|one| one.changes.len()).collect::<Vec<_>>(), [2]);
        let keyring = keyring(&shop);
        let set = keyring.label(ES256).unwrap().keys().unwrap();
        let gone = Lives::read(&keyring).unwrap().gone(set.label(), None);
        assert!(gone.is_empty(), "{store}: {gone:?}");
        // `b` came by a step and made nothing since.
        shop.apply(retire("b"), ES256).unwrap();
    }
}

#[test]
fn what_was_refused_before_the_journal_began_hides_nothing_of_it() {
    let shop = Workshop::new();
    // The first command of all meets a configuration that does not load.
    shop.edit("[policy]\n", "[policy]\nnonsense = 1\n");
    assert_eq!(shop.run(&["promote", ES256, "b", "--now"]).status.code(), Some(2));
    shop.edit("nonsense = 1\n", "");
    let rotation = shop.rotation();
    let records = &rotation.history().records;
    let events: Vec<_> = records.iter().map(|record| (record.event, record.action)).collect();
    assert_eq!(events, [(Event::Refused, Action::Promote), (Event::Noticed, Action::FirstSeen)]);
    assert!(rotation.notes().is_empty(), "{:?}", rotation.notes());
    drop(rotation);
    assert_eq!(shop.apply(retire("b"), ES256).unwrap_err().kind(), ErrorKind::StillInUse);
}

#[test]
fn what_stood_there_when_the_journal_began_is_not_provable_without_a_lifetime() {
    let shop = Workshop::new();
    shop.edit("max_token_lifetime = \"2h\"\n", "");
    drop(shop.rotation());
    let told = |arguments: &[&str]| -> Value {
        let output = shop.run(&[arguments, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let aliases = |alias: usize| told(&["status", ES256])["keys"][0]["aliases"][alias].clone();
    assert_eq!(aliases(1)["phase"], "valid");
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    shop.wait(10_000_000);
    for (place, alias) in [(1, "a"), (0, "b")] {
        assert_eq!(aliases(place)["alias"], alias);
        assert_eq!(aliases(place)["not_provable_because"], "made_before");
    }
    let refused = shop.apply(retire("a"), ES256).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StillInUse);
    assert!(refused.message().contains("before it was first seen there"), "{refused}");
    let schedule = format!(
        "[rotation.\"{ES256}\"]\nperiod = \"900d\"\noverlap = \"1s\"\nalias = \"k-{{date}}\"\n"
    );
    shop.edit(TAIL, &format!("{schedule}{TAIL}"));
    let rotation = shop.rotation();
    let due = rotation.due();
    let why = rotation.waits_for(&due[0]).unwrap().unwrap();
    assert!(due.len() == 1 && why == refused.message(), "{due:?}: {why}");
    drop(rotation);
    assert!(refused.help().unwrap().contains("set max_token_lifetime"), "{refused:?}");
    shop.edit(
        &format!("[labels.\"{ES256}\"]\n"),
        &format!("[labels.\"{ES256}\"]\nmax_token_lifetime = \"1h\"\n"),
    );
    assert_eq!(aliases(1)["safe_after"], "2027-01-15T09:01:00Z");
    shop.apply(retire("a"), ES256).unwrap();
    assert_eq!(receipts(&shop)[0]["horizon"], "2027-01-15T09:00:00Z");
}

/// What peers encrypt to, who have the key from nowhere that this configuration knows of.
#[test]
fn a_key_that_peers_have_by_hand_was_encrypted_to_as_long_as_it_acted() {
    let shop = Workshop::new();
    let (public, shared) = ("app.open", "app.shared");
    let configure = |more: &str| {
        let label = |name: &str, alg: &str| {
            format!(
                "[labels.\"{name}\"]\nuse = \"decrypt\"\nalgorithms = [\"{alg}\", \"A256GCM\"]\n{more}"
            )
        };
        shop.configure("", &(label(public, "ECDH-ES+A256KW") + &label(shared, "A256KW")));
        let mappings = format!("\"{public}\" = [\"c\", \"d\"]\n\"{shared}\" = [\"s\", \"t\"]\n");
        shop.edit(&format!("\"{SEAL}\" = [\"s\"]\n"), &mappings);
        shop.edit(&format!("[labels.\"{SEAL}\"]\nuse"), "[labels.\"app.other\"]\nuse");
    };
    for (more, waits) in [
        ("", None),
        ("max_token_lifetime = \"1h\"\n", Some(3_600 + 60)),
        ("max_token_lifetime = \"1h\"\npropagation = \"2h\"\n", Some(3 * 3_600 + 60)),
    ] {
        configure(more);
        drop(shop.rotation());
        shop.wait(1_000_000);
        for (label, old, new) in [(public, "c", "d"), (shared, "s", "t")] {
            shop.apply(promote(new), label).unwrap();
            let refused = shop.apply(retire(old), label).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::StillInUse, "{label}: {more}");
        }
        let Some(waits) = waits else { continue };
        shop.wait(waits - 1);
        for (label, old) in [(public, "c"), (shared, "s")] {
            let refused = shop.apply(retire(old), label).unwrap_err();
            assert!(
                refused.message().ends_with("(peers may have encrypted them to it)"),
                "{refused}"
            );
        }
        shop.wait(1);
        for (label, old) in [(public, "c"), (shared, "s")] {
            let told = shop.apply(retire(old), label).unwrap().to_string();
            assert!(told.contains("nothing that") && !told.contains("breaks"), "{told}");
            assert!(receipts(&shop).is_empty());
        }
    }
}

/// Another system signs with the private half, whose tokens are to verify here: of those nobody here knows anything.
#[test]
fn a_key_that_others_sign_with_is_never_proven_and_waits_for_no_promotion() {
    let shop = shop();
    let file = shop.path().join("keys.jwks");
    let mut keys: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let theirs = keys["keys"].as_array_mut().unwrap().iter_mut().find(|key| key["kid"] == "c");
    theirs.unwrap().as_object_mut().unwrap().remove("d");
    std::fs::write(&file, keys.to_string()).unwrap();
    shop.edit(
        TAIL,
        &format!("[rotation.\"{ES256}\"]\nperiod = \"10d\"\noverlap = \"1d\"\nalias = \"k-{{date}}\"\n{TAIL}"),
    );
    let told = shop.apply(stage("c"), ES256).unwrap().to_string();
    assert!(told.contains("enters: \"c\"") && !told.contains("claviger promote"), "{told}");
    shop.apply(retire("b"), ES256).unwrap();
    let proven = receipts(&shop).len();
    shop.wait(10 * 86_400);
    let lives = Lives::read(&keyring(&shop)).unwrap();
    let keyring = keyring(&shop);
    let set = keyring.label(ES256).unwrap().keys().unwrap();
    assert!(lives.of_key(&set, &set.keys()[1]).safe_after.is_err());
    // The schedule makes a key of its own and leaves this one alone.
    let due: Vec<(Action, String)> =
        shop.rotation().due().iter().map(|step| (step.action, step.alias.to_string())).collect();
    assert!(due.len() == 1 && due[0].0 == Action::Stage, "{due:?}");
    let refused = shop.apply(retire("c"), ES256).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StillInUse);
    assert!(refused.message().contains("unknown, not provable: others make"), "{refused}");
    let told = shop.apply_over(retire("c"), ES256, FORCE).unwrap().to_string();
    assert!(told.contains("breaks: what \"c\" made is refused"), "{told}");
    assert_eq!(receipts(&shop).len(), proven);
}

#[test]
fn what_carries_no_end_and_has_no_lifetime_is_not_provable() {
    let shop = shop();
    keyring(&shop).label(ES256).unwrap().sign(b"no claims").unwrap();
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    shop.wait(10_000_000);
    let refused = shop.apply(retire("a"), ES256).unwrap_err();
    assert!(refused.message().contains("unknown, not provable"), "{refused}");
    shop.edit(
        &format!("[labels.\"{ES256}\"]\n"),
        &format!("[labels.\"{ES256}\"]\nmax_token_lifetime = \"1h\"\n"),
    );
    shop.apply(retire("a"), ES256).unwrap();
    assert_eq!(receipts(&shop).len(), 1);
}

#[test]
fn a_process_that_missed_a_retirement_lets_nothing_out() {
    let shop = shop();
    let late = keyring(&shop);
    let label = late.label(ES256).unwrap();
    let claims = |lives: u64| format!(r#"{{"exp":{}}}"#, secs(&shop) + lives);
    label.sign(claims(10).as_bytes()).unwrap();
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    shop.wait(1_000);
    shop.apply(retire("a"), ES256).unwrap();
    let refused = label.sign(claims(10).as_bytes()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::KeyRetired);
    late.reload().unwrap();
    let token = label.sign(claims(10).as_bytes()).unwrap();
    assert_eq!(label.verify(&token).unwrap().key.alias.as_str(), "b");
}

#[test]
fn what_was_made_under_a_longer_lifetime_lives_for_that() {
    let shop = Workshop::new();
    shop.begin_without_keys();
    keyring(&shop).label(ES256).unwrap().sign(b"without an end").unwrap();
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    shop.wait(60);
    shop.edit("max_token_lifetime = \"2h\"", "max_token_lifetime = \"30s\"");
    shop.wait(60);
    let refused = shop.apply(retire("a"), ES256).unwrap_err();
    assert!(refused.message().contains("2027-01-15T10:01:00Z"), "{refused}");
    shop.wait(7_140);
    shop.apply(retire("a"), ES256).unwrap();
}

/// Nobody does a step while it counts.
#[test]
fn a_longer_lifetime_counts_though_no_step_saw_it() {
    let shop = Workshop::new();
    shop.edit(
        "algorithms = [\"A256GCMKW\", \"A256GCM\"]\n",
        "algorithms = [\"A256GCMKW\", \"A256GCM\"]\nmax_token_lifetime = \"2h\"\n",
    );
    shop.begin_without_keys();
    shop.edit("max_token_lifetime = \"2h\"", "max_token_lifetime = \"48h\"");
    shop.edit("max_token_lifetime = \"2h\"", "max_token_lifetime = \"24h\"");
    let running = keyring(&shop);
    running.label(ES256).unwrap().sign(b"without an end").unwrap();
    running.label(SEAL).unwrap().encrypt(b"for a day").unwrap();
    drop(running);
    shop.edit("max_token_lifetime = \"48h\"", "max_token_lifetime = \"2h\"");
    shop.edit("max_token_lifetime = \"24h\"", "max_token_lifetime = \"2h\"");
    keyring(&shop).label(ES256).unwrap().sign(b"for two hours").unwrap();
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    shop.apply(stage("t"), SEAL).unwrap();
    shop.apply_over(promote("t"), SEAL, NOW).unwrap();
    shop.wait(3 * 3_600);
    let refused = shop.apply(retire("a"), ES256).unwrap_err();
    assert!(refused.message().contains("2027-01-17T08:01:00Z"), "{refused}");
    let refused = shop.apply(retire("s"), SEAL).unwrap_err();
    assert!(refused.message().contains("2027-01-16T08:01:00Z"), "{refused}");
    shop.wait(45 * 3_600 + 60);
    shop.apply(retire("a"), ES256).unwrap();
    shop.apply(retire("s"), SEAL).unwrap();
}

#[test]
fn nothing_is_proven_before_the_journal_begins() {
    let shop = Workshop::new();
    let safe_after = || {
        let keyring = keyring(&shop);
        let lives = Lives::read(&keyring).unwrap();
        let set = keyring.label(ES256).unwrap().keys().unwrap();
        lives.of_key(&set, &set.keys()[1]).safe_after.unwrap()
    };
    // Nobody recorded what "b" made elsewhere: as the first step will have it.
    let told = Some(shop.now() + Duration::from_secs(7_200 + 60));
    assert_eq!(safe_after(), told);
    drop(shop.rotation());
    assert_eq!(safe_after(), told);
}

#[test]
fn what_a_lost_record_of_uses_held_is_never_taken_for_nothing() {
    let shop = Workshop::new();
    shop.begin_without_keys();
    sign(&shop, 600);
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    sign(&shop, 600);
    shop.apply(stage("c"), ES256).unwrap();
    shop.apply_over(promote("c"), ES256, NOW).unwrap();
    let usage = shop.path().join("state/usage");
    let mut file = std::fs::read(&usage).unwrap();
    let now = shop.now();
    shop.wait(1_000);
    let waits = |alias: &str| {
        let refused = shop.apply(retire(alias), ES256).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StillInUse);
        refused.message().to_owned()
    };
    // The whole file is gone: two hours from now on, and what processes had reserved.
    std::fs::remove_file(&usage).unwrap();
    let until = now + Duration::from_secs(1_000 + 120 + 7_200 + 60);
    let told = claviger::clock::rfc3339(until);
    assert!(waits("a").contains(&told) && waits("b").contains(&told), "{}", waits("a"));

    // One record is damaged. Nothing is said of any key, and then of those alone that have a whole one.
    let history = shop.history();
    let keys = history.mappings();
    let of_b = keys.values().copied().flatten().find(|key| key.alias.as_str() == "b").unwrap();
    let name = of_b.thumbprint.clone().unwrap();
    for at in 0..file.len() - name.len() {
        if file[at..].starts_with(name.as_bytes()) {
            file[at] ^= 1;
        }
    }
    std::fs::write(&usage, &file).unwrap();
    assert!(waits("a").contains("is damaged"));
    let check = String::from_utf8(shop.run(&["check"]).stdout).unwrap();
    let usage = usage.canonicalize().unwrap();
    let aside = format!("{}.damaged", usage.display());
    assert!(
        check.contains(&format!("mv {} {aside}: the next use makes", usage.display())),
        "{check}"
    );
    std::fs::rename(&usage, aside).unwrap();
    assert!(waits("b").contains(&told), "{}", waits("b"));
    shop.apply(retire("a"), ES256).unwrap();
    assert!(shop.path().join("state/receipts").exists());
    // A key that comes later has lost nothing.
    shop.wait(121);
    shop.apply(stage("d"), ES256).unwrap();
    shop.apply(retire("d"), ES256).unwrap();
    shop.wait(7_259);
    shop.apply(retire("b"), ES256).unwrap();
}

#[test]
fn the_phases_of_a_key_are_told() {
    let shop = shop();
    let phases = || {
        let keyring = keyring(&shop);
        let lives = Lives::read(&keyring).unwrap();
        let set = keyring.label(ES256).unwrap().keys().unwrap();
        let here =
            set.keys().iter().map(|key| (key.alias.to_string(), lives.of_key(&set, key).phase));
        let gone = lives.gone(set.label(), None);
        let gone = gone.iter().map(|key| (key.alias.to_string(), key.phase));
        here.chain(gone).collect::<Vec<_>>()
    };
    let told = |expected: &[(&str, Phase)]| {
        let found = phases();
        let found: Vec<_> = found.iter().map(|(alias, phase)| (alias.as_str(), *phase)).collect();
        assert_eq!(found, expected);
    };
    told(&[("a", Phase::Active), ("b", Phase::Staged)]);
    shop.apply(stage("c"), ES256).unwrap();
    told(&[("a", Phase::Active), ("b", Phase::Staged), ("c", Phase::Staged)]);
    shop.apply_over(promote("c"), ES256, NOW).unwrap();
    told(&[("c", Phase::Active), ("a", Phase::Retiring), ("b", Phase::Staged)]);
    shop.wait(5);
    shop.apply(retire("a"), ES256).unwrap();
    shop.wait(5);
    let revoke = Step::Revoke { alias: "b".parse().unwrap(), compromised_at: None, replace: None };
    shop.apply(revoke, ES256).unwrap();
    told(&[("c", Phase::Active), ("b", Phase::Revoked), ("a", Phase::Retired)]);

    let shown = shop.run(&["status", ES256, "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["keys"][0]["aliases"][0]["phase"], "active");
    assert_eq!(shown["keys"][0]["gone"][0]["phase"], "revoked");
    let shown = shop.run(&["labels", ES256]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("retired") && text.contains("LAST MADE"), "{text}");
}

#[test]
fn a_realm_shows_the_phase_that_a_key_has_in_its_own_mapping() {
    let shop = Workshop::new();
    let realm = |aliases: &str| {
        format!(
            "[stores.alpha]\nkind = \"keystore\"\nrealm = \"alpha\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\
             [stores.alpha.mappings]\n\"{ES256}\" = [{aliases}]\n"
        )
    };
    let phases = || {
        let keyring = keyring(&shop);
        let lives = Lives::read(&keyring).unwrap();
        let alpha = keyring.realm("alpha").unwrap().label(ES256).unwrap().keys().unwrap();
        let phase = |key: &LabelKey| (key.alias.to_string(), lives.of_key(&alpha, key).phase);
        alpha.keys().iter().map(|key| phase(key)).collect::<Vec<_>>()
    };
    shop.configure("", &realm("\"c\", \"d\""));
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    let of = |alias: &str, phase| (alias.to_owned(), phase);
    assert_eq!(
        phases(),
        [
            of("c", Phase::Active),
            of("d", Phase::Valid),
            of("b", Phase::Active),
            of("a", Phase::Retiring)
        ]
    );
    // A key of both stands where it acts for the realm; what follows it globally acts nowhere.
    shop.configure("", &realm("\"d\", \"a\""));
    drop(shop.rotation());
    assert_eq!(
        phases(),
        [of("d", Phase::Active), of("a", Phase::Staged), of("b", Phase::Retiring)]
    );
}

#[test]
fn the_journal_answers_for_the_past() {
    let shop = Workshop::new();
    drop(shop.rotation());
    let start = shop.now();
    let by_a = sign(&shop, 60);
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    let by_b = sign(&shop, 60);
    shop.wait(1_000);
    shop.apply(stage("c"), ES256).unwrap();
    shop.apply_over(retire("a"), ES256, FORCE).unwrap();
    let gone = shop.now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let ask = |token: &str, time: SystemTime| {
        let keyring = keyring(&shop);
        verify_at(&keyring, &ES256.parse().unwrap(), None, token, &VerifyOptions::default(), time)
            .map(|answer| answer.outcome)
    };
    assert_eq!(ask(&by_a, at(10)).unwrap(), Past::ValidThen);
    assert_eq!(ask(&by_a, gone).unwrap(), Past::Never);
    assert_eq!(ask(&by_b, at(10)).unwrap(), Past::ValidThenAndNow);
    assert_eq!(ask("a.b.c", at(10)).unwrap(), Past::Never);
    // Before the journal nobody knows.
    assert_eq!(ask(&by_b, start - Duration::from_secs(9)).unwrap_err().kind(), ErrorKind::Damaged);

    let leaked = Some(at(500));
    let revoke =
        Step::Revoke { alias: "b".parse().unwrap(), compromised_at: leaked, replace: None };
    shop.wait(10);
    shop.apply(revoke, ES256).unwrap();
    assert_eq!(ask(&by_b, at(499)).unwrap(), Past::ValidThen);
    assert_eq!(ask(&by_b, at(500)).unwrap(), Past::Suspect);
    assert_eq!(ask(&by_b, shop.now()).unwrap(), Past::Never);

    let file = shop.path().join("token");
    std::fs::write(&file, &by_b).unwrap();
    let file = file.to_str().unwrap();
    for (time, code, outcome) in [
        ("2027-01-15T08:00:10Z", 0, "valid-then"),
        ("2027-01-15T08:10:00Z", 1, "suspect"),
        ("2027-01-15T08:16:50Z", 1, "never"),
    ] {
        let arguments = ["verify", "--label", ES256, "--in", file, "--at", time, "--json"];
        let output = shop.run(&arguments);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["outcome"], outcome, "{answer}");
    }
    // What is to come nobody knows: neither whether the key will be mapped, nor whether it leaks.
    let output =
        shop.run(&["verify", "--label", ES256, "--in", file, "--at", "2999-01-01T00:00:00Z"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("2999-01-01T00:00:00Z is still to come: it is 2"), "{told}");
    let refused = ask(&by_b, shop.now() + Duration::from_secs(1)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    let now = claviger::clock::rfc3339(shop.now());
    assert!(refused.message().contains(&format!("it is {now}")), "{refused}");
}

/// The answer for now is that of a verification now, and for then that of one then.
#[test]
fn the_past_is_answered_for_as_the_label_was_read() {
    let shop = shop();
    let twin = "[stores.twin]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\nrealm = \"r\"\n";
    shop.edit(TAIL, &format!("{twin}{TAIL}"));
    let valid = |only: bool| {
        let (from, to) =
            if only { ("", "valid = \"realm-only\"\n") } else { ("valid = \"realm-only\"\n", "") };
        let table = format!("[labels.\"{ES256}\"]\n");
        shop.edit(&format!("{table}{from}"), &format!("{table}{to}"));
    };
    let realm = "r".parse().unwrap();
    let ask = |token: &str, time: SystemTime| {
        let keyring = keyring(&shop);
        let options = VerifyOptions::default();
        verify_at(&keyring, &ES256.parse().unwrap(), Some(&realm), token, &options, time).unwrap()
    };
    let by_a = sign(&shop, 60);
    let before = shop.now();
    assert_eq!(ask(&by_a, before).outcome, Past::ValidThenAndNow);
    shop.wait(1_000);
    valid(true);
    let begin = Request {
        store: Some("twin".parse().unwrap()),
        overrides: FORCE,
        ..Request::new(stage("c"), ES256).unwrap()
    };
    shop.rotation().apply(&begin).unwrap();
    // The realm is read with its own list alone, and was read with the global one.
    assert_eq!(ask(&by_a, shop.now()).outcome, Past::Never);
    assert_eq!(ask(&by_a, before).outcome, Past::ValidThen);
    valid(false);
    assert_eq!(ask(&by_a, shop.now()).outcome, Past::ValidThenAndNow);

    // A label is read with what stands in for it.
    let generic = "am.global.services.session.clientbased.signing";
    let own = format!("{generic}.ES256");
    let in_keys = |step: Step, label: &str| {
        let store = Some("keys".parse().unwrap());
        let request = Request { store, overrides: FORCE, ..Request::new(step, label).unwrap() };
        shop.rotation().apply(&request).unwrap()
    };
    in_keys(stage("c"), generic);
    let by_c = keyring(&shop).label(&own).unwrap().sign(b"{}").unwrap();
    let then = shop.now();
    shop.wait(1_000);
    in_keys(stage("d"), &own);
    let ask = |time: SystemTime| {
        let options = VerifyOptions::default();
        verify_at(&keyring(&shop), &own.parse().unwrap(), None, &by_c, &options, time)
            .unwrap()
            .outcome
    };
    assert_eq!((ask(then), ask(shop.now())), (Past::ValidThen, Past::Never));
}

#[test]
fn what_became_of_a_token_is_answered_though_nothing_stands_behind_its_label() {
    let shop = shop();
    let by_a = sign(&shop, 60);
    let then = shop.now();
    shop.wait(1_000);
    shop.apply_over(revoke("b"), ES256, FORCE).unwrap();
    let leaked = Step::Revoke {
        alias: "a".parse().unwrap(),
        compromised_at: Some(shop.now()),
        replace: None,
    };
    shop.apply_over(leaked, ES256, FORCE).unwrap();
    assert!(keyring(&shop).label(ES256).is_err());
    let ask = |label: &str, time: SystemTime| {
        let options = VerifyOptions::default();
        verify_at(&keyring(&shop), &label.parse().unwrap(), None, &by_a, &options, time)
    };
    assert_eq!(ask(ES256, then).unwrap().outcome, Past::ValidThen);
    assert_eq!(ask(ES256, shop.now()).unwrap().outcome, Past::Never);
    for unknown in ["am.services.oauth2.stateless.signing.ES256", "app.nothing"] {
        assert_eq!(ask(unknown, then).unwrap_err().kind(), ErrorKind::UnknownLabel);
    }
    let file = shop.path().join("token");
    std::fs::write(&file, &by_a).unwrap();
    let at = claviger::clock::rfc3339(then);
    let arguments = ["verify", "--label", ES256, "--in", file.to_str().unwrap(), "--at", &at];
    let output = shop.run(&arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "valid then: the key of alias \"a\" is gone since\n"
    );
}

#[test]
fn what_was_edited_by_hand_is_answered_for_as_far_as_it_is_known() {
    let shop = shop();
    let by_a = sign(&shop, 60);
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    let known = shop.now();
    shop.wait(1_000);
    // Somebody takes the alias out with an editor, its key out of the store, and nobody asks claviger.
    shop.edit("\"a\", # first", "");
    let keys = std::fs::read_to_string(shop.path().join("keys.jwks")).unwrap();
    let mut set: Value = serde_json::from_str(&keys).unwrap();
    set["keys"].as_array_mut().unwrap().retain(|key| key["kid"] != "a");
    std::fs::write(shop.path().join("keys.jwks"), set.to_string()).unwrap();
    shop.wait(1_000);
    let found = shop.now();
    shop.apply(stage("c"), ES256).unwrap();
    shop.wait(10);
    let ask = |time: SystemTime| {
        let keyring = keyring(&shop);
        verify_at(&keyring, &ES256.parse().unwrap(), None, &by_a, &VerifyOptions::default(), time)
            .unwrap()
    };
    let second = Duration::from_secs(1);
    for (time, outcome, unsure) in [
        (known, Past::ValidThen, true),
        (found - second, Past::ValidThen, true),
        (found, Past::Never, false),
    ] {
        let answer = ask(time);
        let between = unsure.then_some((known, found));
        assert_eq!((answer.outcome, answer.unsure_between), (outcome, between), "{time:?}");
    }
    let file = shop.path().join("token");
    std::fs::write(&file, &by_a).unwrap();
    let at = claviger::clock::rfc3339(known + second);
    let arguments = ["verify", "--label", ES256, "--in", file.to_str().unwrap(), "--at", &at];
    let told = String::from_utf8(shop.run(&arguments).stdout).unwrap();
    assert!(told.contains("changed outside of claviger between"), "{told}");
    let told = String::from_utf8(shop.run(&["history"]).stdout).unwrap();
    assert!(
        told.contains("edited-by-hand") && told.contains("outside of claviger between"),
        "{told}"
    );
}

#[test]
fn a_keyring_that_follows_its_files_keeps_the_public_halves_of_what_it_served() {
    let shop = shop();
    std::fs::create_dir_all(shop.path().join("state")).unwrap();
    let keyring = Keyring::open(&shop.config()).unwrap();
    let archived = |alias: &str| {
        let key = keyring
            .snapshot()
            .keys(None, &ES256.parse().unwrap())
            .unwrap()
            .keys()
            .iter()
            .find(|key| key.alias.as_str() == alias)
            .map(|key| key.key.thumbprint().to_owned());
        let folder = shop.path().join("state/archive");
        key.is_some_and(|thumbprint| folder.join(format!("{ES256}.{thumbprint}.json")).exists())
    };
    assert!(archived("a") && archived("b") && !archived("c"));
    shop.edit("\"a\", # first", "\"a\", \"c\",");
    keyring.reload().unwrap();
    assert!(archived("c"));
}

#[test]
fn an_older_copy_of_the_usage_file_is_seen_by_what_the_journal_knows() {
    let shop = Workshop::new();
    shop.begin_without_keys();
    let usage = shop.path().join("state/usage");
    let older = std::fs::read(&usage).unwrap();
    sign(&shop, 600);
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    // The same file again is no older one.
    std::fs::write(&usage, std::fs::read(&usage).unwrap()).unwrap();
    assert!(shop.rotation().notes().is_empty(), "{:?}", shop.rotation().notes());

    std::fs::write(&usage, &older).unwrap();
    // Two hours from now on, and what processes had reserved: before a step has recorded it, and after.
    let until = shop.now() + Duration::from_secs(120 + 7_200 + 60);
    let safe_after = || {
        let keyring = keyring(&shop);
        let lives = Lives::read(&keyring).unwrap();
        let set = keyring.label(ES256).unwrap().keys().unwrap();
        lives.of_key(&set, &set.keys()[1]).safe_after.unwrap()
    };
    assert_eq!(safe_after(), Some(until));
    let check = || String::from_utf8(shop.run(&["check"]).stdout).unwrap();
    assert!(check().contains("state: the usage file is an older copy"), "{}", check());
    let refused = shop.apply(retire("a"), ES256).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StillInUse);
    assert!(refused.message().contains(&claviger::clock::rfc3339(until)), "{refused}");
    assert!(!check().contains("older copy"), "{}", check());
    assert_eq!(safe_after(), Some(until));
    let found = |history: &claviger::journal::History| {
        let recovered = history.records.iter().filter(|one| one.action == Action::Recover);
        recovered.filter(|one| one.detail.as_ref().unwrap().get("older_usage").is_some()).count()
    };
    // It is found once, and of a key that comes later nothing was lost.
    assert_eq!(found(&shop.history()), 1);
    shop.wait(121);
    shop.apply(stage("c"), ES256).unwrap();
    shop.apply(retire("c"), ES256).unwrap();
    shop.wait(7_259);
    shop.apply(retire("a"), ES256).unwrap();
    assert_eq!(found(&shop.history()), 1);
    // Another one is found as well.
    std::fs::write(&usage, &older).unwrap();
    let rotation = shop.rotation();
    assert!(rotation.notes()[0].starts_with("the usage file is an older copy: "));
    assert_eq!((found(rotation.history()), shop.history().broken), (2, None));
}

#[test]
fn what_was_made_in_a_realm_lives_where_it_is_read_when_its_mapping_is_gone() {
    let shop = Workshop::new();
    shop.begin_without_keys();
    let global = shop.text();
    let more = "[stores.twin]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\nrealm = \"r\"\n";
    shop.edit(TAIL, &format!("{more}[stores.twin.mappings]\n\"{ES256}\" = [\"a\"]\n{TAIL}"));
    let payload = format!(r#"{{"exp":{}}}"#, secs(&shop) + 9_000);
    let in_realm = |keyring: &Keyring| keyring.realm("r").unwrap().label(ES256).unwrap();
    let late = keyring(&shop);
    let token = in_realm(&late).sign(payload.as_bytes()).unwrap();
    // Its mapping goes by hand: the realm has the global keys, and reads with them what it made.
    std::fs::write(shop.config(), &global).unwrap();
    assert!(in_realm(&keyring(&shop)).verify(&token).is_ok());
    shop.apply_over(promote("b"), ES256, NOW).unwrap();
    let until = claviger::clock::rfc3339(shop.now() + Duration::from_secs(9_000 + 60));
    let refused = shop.apply(retire("a"), ES256).unwrap_err();
    assert!(refused.message().contains(&until), "{refused}");
    shop.wait(9_060);
    shop.apply(retire("a"), ES256).unwrap();
    assert_eq!(receipts(&shop).len(), 1);
    // Who has not read that the mapping is gone makes nothing more that nobody reads.
    let later = format!(r#"{{"exp":{}}}"#, secs(&shop) + 9_000);
    let refused = in_realm(&late).sign(later.as_bytes()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::KeyRetired, "{refused}");
}

#[test]
fn what_was_made_under_a_label_lives_where_it_is_read_when_its_mapping_is_gone() {
    let shop = Workshop::new();
    shop.begin_without_keys();
    let generic = "am.global.services.session.clientbased.signing";
    let own = format!("{generic}.ES256");
    let mapped =
        |lines: &str| format!("[stores.keys.mappings]\n\"{generic}\" = [\"d\", \"c\"]\n{lines}");
    let text = shop.text();
    let write = |lines: &str| {
        let text = text.replace("[stores.keys.mappings]\n", &mapped(lines));
        std::fs::write(shop.config(), text).unwrap();
    };
    write(&format!("\"{own}\" = [\"c\"]\n"));
    let payload = format!(r#"{{"exp":{}}}"#, secs(&shop) + 9_000);
    let token = keyring(&shop).label(&own).unwrap().sign(payload.as_bytes()).unwrap();
    write("");
    assert!(keyring(&shop).label(&own).unwrap().verify(&token).is_ok());
    shop.edit(TAIL, &format!("[labels.\"{generic}\"]\nmax_token_lifetime = \"1s\"\n{TAIL}"));
    drop(shop.rotation());
    shop.wait(120);
    let until = claviger::clock::rfc3339(shop.now() + Duration::from_secs(9_000 - 120 + 60));
    let refused = shop.apply(retire("c"), generic).unwrap_err();
    assert!(refused.message().contains(&until), "{refused}");
}

#[test]
fn a_process_that_runs_keeps_its_uses_where_a_state_directory_is_named_later() {
    for before in ["", "state_dir = \"elsewhere\"\n"] {
        let shop = Workshop::new();
        shop.edit("state_dir = \"state\"\n", before);
        let keyring = Keyring::open_once_at(&shop.config(), shop.clock()).unwrap();
        let label = keyring.label(ES256).unwrap();
        let sign = |lives: u64| {
            label.sign(format!(r#"{{"exp":{}}}"#, secs(&shop) + lives).as_bytes()).unwrap()
        };
        let long = sign(6 * 3_600);
        let seal = keyring.label(SEAL).unwrap();
        (0..3).for_each(|_| drop(seal.encrypt(b"x").unwrap()));
        // Where steps were refused for want of a state directory, or it moves.
        let (from, to) = match before {
            "" => ("[keyring]\n", "[keyring]\nstate_dir = \"state\"\n"),
            _ => ("\"elsewhere\"", "\"state\""),
        };
        shop.edit(from, to);
        drop(shop.rotation());
        keyring.reload().unwrap();
        drop(seal.encrypt(b"x").unwrap());
        let set = keyring.snapshot().keys(None, &SEAL.parse().unwrap()).unwrap().clone();
        let thumbprint = set.active().key.thumbprint();
        let report = keyring.usage().report(&SEAL.parse().unwrap(), None, thumbprint).unwrap();
        assert!((4..10).contains(&report.messages), "{before}: {report:?}");
        shop.wait(3 * 3_600);
        let late = sign(3_600);
        shop.apply_over(promote("b"), ES256, NOW).unwrap();
        keyring.reload().unwrap();
        for alive in [&late, &long] {
            let refused = shop.apply(retire("a"), ES256).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::StillInUse, "{before}: {refused}");
            drop(label.verify(alive).unwrap());
            shop.wait(3_600 + 60);
        }
        shop.wait(3 * 3_600);
        shop.apply(retire("a"), ES256).unwrap();
        assert_eq!(receipts(&shop).len(), 1);
    }
}

#[test]
fn a_state_directory_that_takes_nothing_stops_no_process_that_runs() {
    let shop = Workshop::new();
    let keyring = Keyring::open_once_at(&shop.config(), shop.clock()).unwrap();
    let label = keyring.label(ES256).unwrap();
    label.sign(b"{}").unwrap();
    std::fs::write(shop.path().join("file"), "").unwrap();
    shop.edit("\"state\"", "\"file/state\"");
    assert!(keyring.reload().is_err());
    label.sign(b"{}").unwrap();
    shop.edit("\"file/state\"", "\"state\"");
    keyring.reload().unwrap();
    assert!(keyring.usage().reports().unwrap().writes().is_some());
}

#[test]
fn a_key_that_only_verifies_is_of_others_and_its_retirement_is_never_proven() {
    let shop = Workshop::new();
    let peer = "app.peer";
    shop.configure("", &format!("[labels.\"{peer}\"]\nuse = \"verify\"\nalgorithms = [\"ES256\"]\nmax_token_lifetime = \"1h\"\n"));
    shop.edit(
        "[stores.keys.mappings]\n",
        &format!("[stores.keys.mappings]\n\"{peer}\" = [\"b\"]\n"),
    );
    drop(shop.rotation());
    shop.apply(stage("a"), peer).unwrap();
    // Somebody else has the private half, whom nobody here counts.
    let token = sign(&shop, 3_600);
    let label = keyring(&shop).label(peer).unwrap();
    assert_eq!(label.verify(&token).unwrap().key.alias.as_str(), "a");
    for wait in [0, 100_000] {
        shop.wait(wait);
        let plan = shop.rotation().plan(&Request::new(retire("a"), peer).unwrap()).unwrap();
        let gate = &plan.gates[0];
        assert_eq!((gate.code, gate.opens_at.as_deref()), ("still_in_use", None), "{plan}");
        assert!(gate.message.contains("others make what it reads"), "{}", gate.message);
        assert!(plan.to_string().contains("is refused, for as long as any of it lives"), "{plan}");
        assert!(shop.apply(retire("a"), peer).is_err());
    }
    shop.apply_over(retire("a"), peer, FORCE).unwrap();
    assert!(receipts(&shop).is_empty());
}
