//! A mapping that begins with the keys that acted around it: what they made there is needed until it ends, and no longer.

use claviger::Keyring;
use claviger::config::Config;
use claviger::error::{Error, ErrorKind};
use claviger::jose::jws::{SignOptions, VerifyOptions, sign, verify};
use claviger::label::{LabelName, Realm};
use claviger::rotation::{Overrides, Past, Plan, Request, Step, verify_at};

use crate::workshop::{ES256, NOW, Workshop, promote, retire, stage};

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
