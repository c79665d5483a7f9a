//! A mapping that begins with the keys that acted around it, or elsewhere until it was renamed by hand: what they made there
//! is needed until it ends, and no longer.

use claviger::Keyring;
use claviger::config::Config;
use claviger::error::{Error, ErrorKind};
use claviger::jose::jws::{SignOptions, VerifyOptions, sign, verify};
use claviger::label::{LabelName, Realm};
use claviger::rotation::{Overrides, Past, Plan, Request, Step, verify_at};

use crate::workshop::{ES256, FORCE, NOW, Workshop, promote, retire, stage};

const GENERIC: &str = "am.global.services.session.clientbased.signing";
const OWN: &str = "am.global.services.session.clientbased.signing.ES256";
/// How long it takes until key sets are fetched again and every process has read a change.
const KNOWN: u64 = 3_720;

struct House {
    shop: Workshop,
    realm: Option<Realm>,
    store: &'static str,
}

impl House {
    /// A store of the global scope and one of the realm `r`, which holds the same keys.
    fn new(labels: &str, mappings: &str, realm: Option<&str>) -> Self {
        let shop = Workshop::new();
        let text = format!(
            "[keyring]\nstate_dir = \"state\"\n\
             [stores.keys]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\
             [stores.own]\nkind = \"keystore\"\nrealm = \"r\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\
             {labels}[stores.keys.mappings]\n"
        );
        // The journal begins before there is a key: what each made is recorded.
        std::fs::write(shop.config(), &text).unwrap();
        drop(shop.rotation());
        std::fs::write(shop.config(), format!("{text}{mappings}")).unwrap();
        drop(shop.rotation());
        shop.wait(100_000);
        let store = if realm.is_some() { "own" } else { "keys" };
        Self { shop, realm: realm.map(|realm| realm.parse().unwrap()), store }
    }

    fn keyring(&self) -> Keyring {
        Keyring::from_config(Config::load(&self.shop.config()).unwrap(), self.shop.clock()).unwrap()
    }

    fn made(&self, label: &str, realm: Option<&Realm>, seconds: u64) -> String {
        let now = self.shop.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let (keyring, label) = (self.keyring(), label.parse::<LabelName>().unwrap());
        let set = keyring.snapshot().keys(realm, &label).unwrap().clone();
        let claims = format!("{{\"exp\":{}}}", now + seconds);
        sign(&set, claims.as_bytes(), &SignOptions::default()).unwrap()
    }

    fn is_taken(&self, label: &str, token: &str) -> bool {
        let (keyring, label) = (self.keyring(), label.parse::<LabelName>().unwrap());
        let set = keyring.snapshot().keys(self.realm.as_ref(), &label).unwrap().clone();
        verify(&set, token, &VerifyOptions::default()).is_ok()
    }

    fn apply(&self, step: Step, label: &str, overrides: Overrides) -> Result<Plan, Error> {
        let (store, realm) = (Some(self.store.parse().unwrap()), self.realm.clone());
        let request = Request { store, realm, overrides, ..Request::new(step, label).unwrap() };
        self.shop.rotation().apply(&request)
    }

    fn refused(&self, alias: &str, label: &str) -> String {
        let error = self.apply(retire(alias), label, Overrides::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StillInUse, "{error}");
        error.message().to_owned()
    }
}

fn what_was_made_around_is_needed(house: &House, label: &str, around: &str) {
    let none = Overrides::default();
    let token = house.made(label, house.realm.as_ref(), 10_000);
    house.apply(stage("a"), label, none).unwrap();
    house.apply(stage("b"), label, none).unwrap();
    // The time of a process that has not read the new mapping yet.
    house.shop.wait(60);
    let late = house.made(around, None, 10_000);
    house.shop.wait(KNOWN);
    house.apply(promote("b"), label, none).unwrap();
    let until = "tokens of alias \"a\" may live until ";
    let told = house.refused("a", label);
    assert!(told.starts_with(until), "{told}");
    assert!(house.is_taken(label, &token) && house.is_taken(label, &late));
    // What is made around it from now on is nobody's here.
    house.made(around, None, 1_000_000);
    assert!(house.refused("a", label).starts_with(until));
    house.shop.wait(10_000 - KNOWN);
    house.refused("a", label);
    house.shop.wait(200);
    house.apply(retire("a"), label, none).unwrap();
    assert!(!house.is_taken(label, &token));
}

#[test]
fn a_label_that_begins_with_the_keys_of_the_one_that_stood_in_needs_what_they_made() {
    let labels = format!("[labels.\"{GENERIC}\"]\nmax_token_lifetime = \"1h\"\n");
    let house = House::new(&labels, &format!("\"{GENERIC}\" = [\"a\"]\n"), None);
    what_was_made_around_is_needed(&house, OWN, GENERIC);
}

#[test]
fn a_realm_that_begins_with_the_global_keys_needs_what_they_made() {
    let labels =
        format!("[labels.\"{ES256}\"]\nmax_token_lifetime = \"1h\"\nvalid = \"realm-only\"\n");
    let house = House::new(&labels, &format!("\"{ES256}\" = [\"a\"]\n"), Some("r"));
    what_was_made_around_is_needed(&house, ES256, ES256);
}

/// A mapping that has just begun: who has not read it goes on making tokens around it.
#[test]
fn as_long_as_somebody_may_not_have_read_a_new_mapping_all_that_is_made_around_it_counts() {
    let labels =
        format!("[labels.\"{ES256}\"]\nmax_token_lifetime = \"1h\"\nvalid = \"realm-only\"\n");
    let house = House::new(&labels, &format!("\"{ES256}\" = [\"a\"]\n"), Some("r"));
    house.apply(stage("a"), ES256, Overrides::default()).unwrap();
    house.apply(stage("b"), ES256, Overrides::default()).unwrap();
    house.apply(promote("b"), ES256, NOW).unwrap();
    assert!(house.made(ES256, None, 10_000).contains('.'));
    house.refused("a", ES256);
}

/// Nobody knows when a mapping was taken out by hand, and with which keys its label was read meanwhile.
#[test]
fn what_was_made_around_a_mapping_that_ended_by_hand_is_told_to_be_unsure() {
    let house = House::new("", &format!("\"{GENERIC}\" = [\"a\"]\n\"{OWN}\" = [\"b\"]\n"), None);
    let (begun, own) = (house.shop.text(), format!("\"{OWN}\" = [\"b\"]\n"));
    std::fs::write(house.shop.config(), begun.replace(&own, "")).unwrap();
    let (then, token) = (house.shop.now(), house.made(OWN, None, 10_000));
    house.shop.wait(100);
    drop(house.shop.rotation());
    let label = OWN.parse().unwrap();
    let ask = |time| {
        verify_at(&house.keyring(), &label, None, &token, &VerifyOptions::default(), time).unwrap()
    };
    assert!(ask(then).unsure_between.is_some());
    let now = ask(house.shop.now());
    assert_eq!((now.outcome, now.unsure_between), (Past::ValidThenAndNow, None));
}

/// A realm that reads the global list too loses nothing with a copy of a key of that, which is what keeps it then.
#[test]
fn a_copy_that_is_read_elsewhere_may_go_at_once_and_the_other_counts_what_it_made() {
    let labels = format!("[labels.\"{ES256}\"]\nmax_token_lifetime = \"1h\"\n");
    let mappings =
        format!("\"{ES256}\" = [\"b\", \"a\"]\n[stores.own.mappings]\n\"{ES256}\" = [\"a\"]\n");
    let mut house = House::new(&labels, &mappings, Some("r"));
    let token = house.made(ES256, house.realm.as_ref(), 10_000);
    house.apply(stage("c"), ES256, Overrides::default()).unwrap();
    house.shop.wait(KNOWN);
    house.apply(promote("c"), ES256, Overrides::default()).unwrap();
    house.apply(retire("a"), ES256, Overrides::default()).unwrap();
    assert!(house.is_taken(ES256, &token));
    // The receipt would say that nothing of it is alive.
    assert!(!house.shop.path().join("state/receipts").exists());
    house.realm = None;
    house.store = "keys";
    house.refused("a", ES256);
    house.shop.wait(10_000);
    house.apply(retire("a"), ES256, Overrides::default()).unwrap();
}

const TOKENS: &str = "app.tokens";
const BADGES: &str = "app.badges";

/// A label of one's own, or a realm, is renamed by hand, in one edit or in two; then the next key acts in the place of the old
/// one, which needs what it made under the old name.
fn what_was_made_under_another_name_is_needed(realm: bool, edits: usize) {
    let of = |label: &str| {
        format!(
            "[labels.\"{label}\"]\nuse = \"sign\"\nalgorithms = [\"ES256\"]\nmax_token_lifetime = \"1h\"\n"
        )
    };
    let labels = of(TOKENS) + &of(BADGES);
    let store = if realm { "own" } else { "keys" };
    let map = |label: &str, aliases: &str| format!("\"{label}\" = [{aliases}]\n");
    let mapped = |lines: &str| match realm {
        true => format!("[stores.own.mappings]\n{lines}"),
        false => lines.to_owned(),
    };
    let old = if realm { BADGES } else { TOKENS };
    let mut house = House::new(&labels, &mapped(&map(old, "\"a\"")), realm.then_some("r"));
    let text = house.shop.text();
    let token = house.made(old, house.realm.as_ref(), 10_000);
    let late = house.keyring();
    let former = house.realm.clone();
    let renamed = if realm {
        house.realm = Some("s".parse().unwrap());
        vec![text.replace("realm = \"r\"", "realm = \"s\"")]
    } else {
        let beside = text.replace(&map(old, "\"a\""), &(map(old, "\"a\"") + &map(BADGES, "\"a\"")));
        let alone = text.replace(&map(old, "\"a\""), &map(BADGES, "\"a\""));
        vec![beside, alone]
    };
    for text in &renamed[renamed.len() - edits..] {
        std::fs::write(house.shop.config(), text).unwrap();
        drop(house.shop.rotation());
        house.shop.wait(10);
    }
    assert!(house.is_taken(BADGES, &token), "{store}");
    house.apply(stage("b"), BADGES, Overrides::default()).unwrap();
    house.shop.wait(KNOWN + 3_600);
    house.apply(promote("b"), BADGES, Overrides::default()).unwrap();
    let told = house.refused("a", BADGES);
    assert!(told.starts_with("tokens of alias \"a\" may live until "), "{told}");
    assert!(told.contains(" (made behind another label"), "{told}");
    house.shop.wait(10_000 - KNOWN - 3_600);
    house.refused("a", BADGES);
    house.shop.wait(100);
    house.apply(retire("a"), BADGES, Overrides::default()).unwrap();
    // A process that knows the old name alone makes nothing that nobody takes.
    let set = late.snapshot().keys(former.as_ref(), &old.parse().unwrap()).unwrap().clone();
    let now = house.shop.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = format!("{{\"exp\":{}}}", now + 100_000);
    let refused = sign(&set, claims.as_bytes(), &SignOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::KeyRetired, "{refused}");
}

#[test]
fn a_label_that_is_renamed_by_hand_needs_what_its_keys_made_under_the_old_name() {
    what_was_made_under_another_name_is_needed(false, 1);
    what_was_made_under_another_name_is_needed(false, 2);
}

#[test]
fn a_realm_that_is_renamed_by_hand_needs_what_its_keys_made_under_the_old_name() {
    what_was_made_under_another_name_is_needed(true, 1);
}

/// A realm has a mapping of its own, which is taken out by hand once its key stands in the global list, where it never acted.
fn what_a_realm_leaves_behind(house: &mut House, label: &str, text: &str) {
    std::fs::write(house.shop.config(), text).unwrap();
    (house.realm, house.store) = (None, "keys");
    house.apply(retire("a"), label, Overrides::default()).unwrap_err();
    house.shop.wait(3_600 - 100);
    house.refused("a", label);
    house.shop.wait(200);
    house.apply(retire("a"), label, Overrides::default()).unwrap();
}

#[test]
fn what_peers_encrypted_to_the_key_of_a_realm_is_needed_where_it_is_read_then() {
    let labels = "[labels.\"app.inbox\"]\nuse = \"decrypt\"\nalgorithms = [\"ECDH-ES\", \"A256GCM\"]\n\
                  max_token_lifetime = \"1h\"\n";
    let global = "\"app.inbox\" = [\"b\", \"a\"]\n";
    let own = "[stores.own.mappings]\n\"app.inbox\" = [\"a\"]\n";
    let mut house = House::new(labels, &format!("{global}{own}"), Some("r"));
    let text = house.shop.text().replace(own, "");
    what_a_realm_leaves_behind(&mut house, "app.inbox", &text);
}

#[test]
fn what_the_key_of_a_realm_made_before_the_journal_began_is_needed_where_it_is_read_then() {
    let shop = Workshop::new();
    let text = format!(
        "[keyring]\nstate_dir = \"state\"\n\
         [stores.keys]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\
         [stores.own]\nkind = \"keystore\"\nrealm = \"r\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\
         [labels.\"{ES256}\"]\nmax_token_lifetime = \"1h\"\n\
         [stores.keys.mappings]\n\"{ES256}\" = [\"b\"]\n"
    );
    let own = format!("[stores.own.mappings]\n\"{ES256}\" = [\"a\"]\n");
    std::fs::write(shop.config(), format!("{text}{own}")).unwrap();
    drop(shop.rotation());
    let mut house = House { shop, realm: None, store: "keys" };
    house.apply(stage("a"), ES256, Overrides::default()).unwrap();
    let text = house.shop.text().replace(&own, "");
    what_a_realm_leaves_behind(&mut house, ES256, &text);
}

/// What a step took out is gone as that step says, and labels of other parts of a product are not asked one for another.
#[test]
fn what_left_another_label_by_a_step_or_belongs_to_another_part_keeps_no_key() {
    let own = |label: &str, uses: &str| {
        format!("[labels.\"{label}\"]\n{uses}max_token_lifetime = \"1h\"\n")
    };
    let labels = own(GENERIC, "") + &own(TOKENS, "use = \"sign\"\nalgorithms = [\"ES256\"]\n");
    let map = |label: &str| format!("\"{label}\" = [\"a\"]\n");
    let none = Overrides::default();
    for other in [TOKENS, ES256] {
        let house = House::new(&labels, &(map(other) + &map(GENERIC)), None);
        house.made(other, None, 10_000);
        if other == TOKENS {
            house.apply(stage("b"), other, none).unwrap();
            house.apply(promote("b"), other, NOW).unwrap();
            house.apply(retire("a"), other, FORCE).unwrap();
        } else {
            std::fs::write(house.shop.config(), house.shop.text().replace(&map(other), ""))
                .unwrap();
        }
        house.apply(stage("b"), GENERIC, none).unwrap();
        house.apply(promote("b"), GENERIC, NOW).unwrap();
        house.apply(retire("a"), GENERIC, none).unwrap();
    }
}
