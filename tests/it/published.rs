//! Key sets as an endpoint answers them: document, entity tag and age of one moment, and never a step behind.

use std::time::Duration;

use claviger::profiles::jwks::Party;
use claviger::{Config, Keyring};
use serde_json::Value;

use crate::schedule::{DAY, MONTHLY, due, shop};
use crate::workshop::{ES256, Workshop};

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
    assert_eq!(published.now().max_age.as_secs(), 3_600);
}
