//! Key sets as an endpoint answers them: document, entity tag and age of one moment, and never a step behind.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use claviger::profiles::jwks::Party;
use claviger::{Config, Keyring};
use serde_json::Value;

use crate::schedule::{DAY, MONTHLY, due, shop};
use crate::workshop::{ES256, NOW, Workshop};

fn keyring(shop: &Workshop) -> Keyring {
    let text = std::fs::read_to_string(shop.config()).unwrap();
    let (config, problems) = Config::parse(&text, &shop.config());
    let config = config.unwrap_or_else(|| panic!("{problems:?}"));
    Keyring::from_config(config, shop.clock()).unwrap()
}

#[test]
fn the_age_of_a_scheduled_key_set_ends_at_its_next_step() {
    let shop = shop(MONTHLY);
    due(&shop);
    let keyring = keyring(&shop);
    let published = keyring.published(None, Party::Provider);
    let age = || published.now().max_age.as_secs();
    assert_eq!(age(), 3_600);
    let first = published.now().document;
    assert_eq!(first, keyring.jwks(None, Party::Provider).document());
    // The next key is staged ahead of its time by caches, reload and skew.
    shop.wait(29 * DAY - 3_720 - 100);
    assert_eq!(age(), 100);
    shop.wait(40);
    assert_eq!(age(), 60);
    shop.wait(60);
    due(&shop);
    // Before the reload it is still the old document, whose next step is past: no key acts before everybody has reloaded.
    assert_eq!(published.now().document.etag, first.etag);
    keyring.reload().unwrap();
    let staged = published.now();
    assert_ne!(staged.document.etag, first.etag);
    let keys: Value = serde_json::from_str(&staged.document.json).unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    assert_eq!(staged.max_age.as_secs(), 3_600);
    shop.wait(3_700);
    assert_eq!(age(), 20);
    // Another party shows nothing of it.
    let rp = keyring.published(None, Party::RelyingParty);
    assert_eq!(rp.now().max_age.as_secs(), 3_600);
}

/// A key is promoted by what the journal knows of caches: none lasts longer, though nobody did a step meanwhile.
#[test]
fn a_longer_age_is_served_once_the_journal_knows_it() {
    let shop = Workshop::new();
    drop(shop.rotation());
    let keyring = keyring(&shop);
    let published = keyring.published(None, Party::Provider);
    let age = || published.now().max_age.as_secs();
    let set = |from: &str, to: &str| {
        shop.edit(from, to);
        keyring.reload().unwrap();
    };
    assert_eq!(age(), 3_600);
    set("[policy]\n", "[policy]\njwks_max_age = \"24h\"\n");
    assert_eq!(age(), 3_600);
    let shown = shop.run(&["jwks", "--json"]);
    assert!(String::from_utf8(shown.stdout).unwrap().contains("\"max_age\":3600"));
    // A shorter one counts at once.
    set("\"24h\"", "\"30m\"");
    assert_eq!(age(), 1_800);
    set("\"30m\"", "\"24h\"");
    drop(shop.rotation());
    shop.wait(60);
    assert_eq!(age(), 86_400);
}

#[test]
fn every_answer_before_a_staged_key_acts_has_ended_by_then() {
    let shop = Workshop::new();
    shop.wait(1);
    shop.apply(claviger::rotation::Step::Stage { alias: "c".parse().unwrap() }, ES256).unwrap();
    let keyring = keyring(&shop);
    let published = keyring.published(None, Party::Provider);
    // Watched files are noticed in a minute, clocks differ by one, caches end after an hour.
    let ready = shop.now() + Duration::from_secs(3_600 + 120);
    let mut answers = 0;
    while shop.now() < ready {
        assert!(shop.now() + published.now().max_age <= ready);
        answers += 1;
        shop.wait(31);
    }
    assert!(answers > 100);
}

#[test]
fn a_journal_that_cannot_be_read_leaves_the_document_and_shortens_its_age() {
    let shop = shop(MONTHLY);
    due(&shop);
    let keyring = keyring(&shop);
    let published = keyring.published(None, Party::Provider);
    assert_eq!(published.now().max_age.as_secs(), 3_600);
    let state = shop.path().join("state");
    let kept = shop.path().join("kept");
    std::fs::rename(&state, &kept).unwrap();
    std::fs::write(&state, "no folder").unwrap();
    // What was seen holds for a minute.
    shop.wait(59);
    assert_eq!(published.now().max_age.as_secs(), 3_600);
    shop.wait(1);
    let answer = published.now();
    assert_eq!(answer.max_age.as_secs(), 60);
    assert!(answer.document.json.contains("\"kid\""));
    std::fs::remove_file(&state).unwrap();
    std::fs::rename(&kept, &state).unwrap();
    shop.wait(59);
    assert_eq!(published.now().max_age.as_secs(), 1, "a minute is a minute");
    shop.wait(1);
    assert_eq!(published.now().max_age.as_secs(), 3_600);
}

#[test]
fn while_one_reads_the_journal_the_others_have_what_holds() {
    let shop = shop(MONTHLY);
    due(&shop);
    let keyring = keyring(&shop);
    let published = keyring.published(None, Party::Provider);
    let known = published.now();
    // A journal that is read for as long as we like.
    let journal = shop.path().join("state/journal.jsonl");
    let content = std::fs::read(&journal).unwrap();
    std::fs::remove_file(&journal).unwrap();
    assert!(Command::new("mkfifo").arg(&journal).status().unwrap().success());
    shop.wait(60);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| published.now());
        // It opens for writing once somebody reads.
        let mut options = std::fs::OpenOptions::new();
        options.write(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
        let until = Instant::now() + Duration::from_secs(60);
        let mut pipe = loop {
            match options.open(&journal) {
                Ok(pipe) => break pipe,
                Err(error) => assert!(Instant::now() < until && !reader.is_finished(), "{error}"),
            }
        };
        let (sender, answers) = std::sync::mpsc::channel();
        let others: Vec<_> = (0..4)
            .map(|_| {
                let (published, sender) = (published.clone(), sender.clone());
                std::thread::spawn(move || sender.send(published.now()).unwrap())
            })
            .collect();
        let answered = (0..4).map(|_| answers.recv_timeout(Duration::from_secs(60)));
        let answered: Vec<_> = answered.collect();
        let reads_on = !reader.is_finished();
        pipe.write_all(&content).unwrap();
        drop(pipe);
        assert!(reads_on, "nothing was read");
        for other in answered {
            let other = other.unwrap();
            assert_eq!((other.document, other.max_age), (known.document.clone(), known.max_age));
        }
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(reader.join().unwrap().max_age, known.max_age);
    });
}

#[test]
fn a_label_has_a_key_set_of_its_own_that_ends_with_its_own_steps() {
    let shop = Workshop::new();
    shop.wait(1);
    shop.apply(claviger::rotation::Step::Stage { alias: "c".parse().unwrap() }, ES256).unwrap();
    let keyring = keyring(&shop);
    let label: claviger::label::LabelName = ES256.parse().unwrap();
    let own = keyring.published(None, label.clone());
    let kids = |published: &claviger::published::PublishedKeys| {
        let document = published.now().document;
        let keys: Value = serde_json::from_str(&document.json).unwrap();
        let kids = keys["keys"].as_array().unwrap().iter();
        kids.map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mapped = keyring.label(ES256).unwrap().keys().unwrap();
    let mapped: Vec<_> = mapped.keys().iter().map(|key| key.kid.clone()).collect();
    assert!(mapped.len() > 1 && kids(&own) == mapped, "{mapped:?}");
    assert_eq!(own.now().max_age.as_secs(), 3_600);
    shop.wait(1_000);
    // Watched files are noticed in a minute, clocks differ by one, caches end after an hour.
    assert_eq!(own.now().max_age.as_secs(), 3_600 + 120 - 1_000);
    let nobody: claviger::label::LabelName = "app.nobody".parse().unwrap();
    assert!(kids(&keyring.published(None, nobody)).is_empty());
}

#[test]
fn a_pinned_keyring_stays_as_it_was() {
    let shop = Workshop::new();
    let keyring = keyring(&shop);
    let (living, pinned) = (keyring.label(ES256).unwrap(), keyring.pinned());
    let old = pinned.label(ES256).unwrap();
    let kid = |label: &claviger::ops::Label| label.keys().unwrap().active().kid.clone();
    let before = kid(&old);
    let aliases = ["b", "a"].map(|alias| alias.parse().unwrap()).to_vec();
    shop.apply_over(claviger::rotation::Step::Reorder { aliases }, ES256, NOW).unwrap();
    // Told to the pinned one, the living one reloads.
    pinned.reload().unwrap();
    assert_ne!(kid(&living), before);
    assert_eq!((kid(&old), pinned.snapshot().generation()), (before, 1));
    assert_eq!(keyring.snapshot().generation(), 2);
    assert_eq!(kid(&keyring.pinned().label(ES256).unwrap()), kid(&living));
}
