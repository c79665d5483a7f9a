//! Random lives of mappings in two scopes and of labels that stand in for one another: whatever the gates let pass breaks no
//! live token, lets nothing act that somebody does not know, and is answered for by the journal.
//! `CLAVIGER_SEED=n` begins with other lives, `CLAVIGER_LIVES=n` makes more of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use claviger::Keyring;
use claviger::config::Config;
use claviger::jose::jws::VerifyOptions;
use claviger::label::{LabelName, Realm};
use claviger::ops::KeySet;
use claviger::rotation::{Overrides, Past, Request, Step, verify_at};

use crate::mutation::Random;
use crate::workshop::{ES256, FORCE, Workshop, promote, retire, revoke, stage};

const GENERIC: &str = "am.global.services.session.clientbased.signing";
const OWN: &str = "am.global.services.session.clientbased.signing.ES256";
const LABELS: [&str; 3] = [ES256, GENERIC, OWN];
const ALIASES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// How long peers keep a key set, how late processes read, and how clocks differ.
const CACHED: u64 = 3_600;
const NOTICED: u64 = 120;
const SKEW: u64 = 60;
const LIFETIME: u64 = 7_200;

/// The place of a label in [`LABELS`], and whether it is asked in the realm.
type Scope = (usize, bool);

fn one<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len())]
}

struct Made {
    text: String,
    at: u64,
    until: u64,
    /// The scopes that took it when it was made.
    taken: Vec<Scope>,
}

/// What one scope was, at a time.
#[derive(Clone)]
struct Shown {
    at: u64,
    kids: BTreeSet<String>,
    published: BTreeSet<String>,
}

struct Life {
    shop: Workshop,
    random: Random,
    realm: Realm,
    made: Vec<Made>,
    shown: Vec<Vec<Shown>>,
    log: Vec<String>,
    done: usize,
    loaded: Option<(u64, Keyring)>,
}

fn place(scope: Scope) -> usize {
    scope.0 * 2 + usize::from(scope.1)
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let shop = Workshop::new();
        let keys: Vec<String> =
            ALIASES.iter().map(|alias| crate::workshop::jwk(alias, "ec")).collect();
        let sets = |keys: &[String]| format!("{{\"keys\":[{}]}}", keys.join(","));
        std::fs::write(shop.path().join("keys.jwks"), sets(&keys)).unwrap();
        let own: Vec<String> =
            ALIASES.iter().map(|alias| crate::workshop::jwk(&format!("r{alias}"), "ec")).collect();
        // Two of the realm's keys are the global ones.
        let own: Vec<String> = own.into_iter().chain(keys.into_iter().take(2)).collect();
        std::fs::write(shop.path().join("own.jwks"), sets(&own)).unwrap();
        let mut text = String::from(
            "[keyring]\nstate_dir = \"state\"\n[stores.keys]\nkind = \"keystore\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\
             [stores.own]\nkind = \"keystore\"\nrealm = \"r\"\npath = \"own.jwks\"\nintegrity = \"none\"\n",
        );
        for label in LABELS {
            text += &format!("[labels.\"{label}\"]\nmax_token_lifetime = \"2h\"\n");
            if random.below(2) == 0 {
                text += "valid = \"realm-only\"\n";
            }
            if random.below(3) == 0 {
                text += "unknown_kid = \"reject\"\n";
            }
        }
        for (store, aliases) in [
            ("keys", ["\"a\", \"b\"", "\"c\"", "\"a\""]),
            ("own", ["\"ra\"", "\"a\", \"rb\"", "\"rc\""]),
        ] {
            text += &format!("[stores.{store}.mappings]\n");
            for (label, aliases) in LABELS.iter().zip(aliases) {
                let may = store == "keys" || *label == ES256;
                if random.below(2) == 0 && may {
                    text += &format!("\"{label}\" = [{aliases}]\n");
                }
            }
        }
        std::fs::write(shop.config(), text).unwrap();
        drop(shop.rotation());
        shop.wait(1_000_000);
        let shown = vec![Vec::new(); LABELS.len() * 2];
        let mut life = Self {
            shop,
            random,
            realm: "r".parse().unwrap(),
            made: Vec::new(),
            shown,
            log: vec![format!("seed {seed}")],
            done: 0,
            loaded: None,
        };
        life.show(true);
        life
    }

    fn now(&self) -> u64 {
        self.shop.now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    /// A process that looks for changes once in a while, as it serves now.
    fn process(&mut self) -> Keyring {
        let now = self.now();
        if self.loaded.as_ref().is_none_or(|(at, _)| now - at >= NOTICED - SKEW) {
            self.loaded = Some((now, self.keyring()));
        }
        self.loaded.as_ref().unwrap().1.clone()
    }

    fn keyring(&self) -> Keyring {
        let config = Config::load(&self.shop.config()).unwrap();
        Keyring::from_config(config, self.shop.clock()).unwrap()
    }

    fn realm_of(&self, scope: Scope) -> Option<&Realm> {
        scope.1.then_some(&self.realm)
    }

    fn set(&self, keyring: &Keyring, scope: Scope) -> Option<Arc<KeySet>> {
        let label: LabelName = LABELS[scope.0].parse().unwrap();
        keyring.snapshot().keys(self.realm_of(scope), &label).ok().cloned()
    }

    fn scopes() -> impl Iterator<Item = Scope> {
        (0..LABELS.len()).flat_map(|label| [(label, false), (label, true)])
    }

    /// Writes down what every scope shows, and checks that what acts was known.
    fn show(&mut self, passed: bool) {
        let keyring = self.keyring();
        let now = self.now();
        for scope in Self::scopes() {
            let Some(set) = self.set(&keyring, scope) else {
                self.shown[place(scope)].clear();
                continue;
            };
            let kids: BTreeSet<String> = set.keys().iter().map(|key| key.kid.clone()).collect();
            let published: BTreeSet<String> =
                set.published().iter().map(|key| key.kid.clone()).collect();
            let before = &mut self.shown[place(scope)];
            if passed {
                before.clear();
            }
            let active = &set.active().kid;
            if set.can_act() {
                let since = |window: u64| {
                    let start = now - window;
                    // The one that was in force at the start, and all since.
                    let first = before.iter().rposition(|one| one.at <= start).unwrap_or(0);
                    before[first..].iter()
                };
                let ok = since(NOTICED).all(|one| one.kids.contains(active))
                    && (published.is_empty()
                        || since(CACHED + NOTICED)
                            .all(|one| one.published.is_empty() || one.published.contains(active)));
                assert!(
                    ok,
                    "{active} acts for {scope:?} unknown: {:#?}\n{}",
                    self.log,
                    self.shop.text()
                );
            }
            self.shown[place(scope)].push(Shown { at: now, kids, published });
        }
    }

    fn takes(&self, keyring: &Keyring, scope: Scope, token: &str) -> bool {
        self.set(keyring, scope).is_some_and(|set| {
            claviger::jose::jws::verify(&set, token, &VerifyOptions::default()).is_ok()
        })
    }

    fn make(&mut self) {
        let scope = (self.random.below(LABELS.len()), self.random.below(2) == 0);
        let keyring = self.process();
        let Some(set) = self.set(&keyring, scope).filter(|set| set.can_act()) else { return };
        let now = self.now();
        let (payload, until) = if self.random.below(4) == 0 {
            ("{}".to_owned(), now + LIFETIME)
        } else {
            let exp = now + u64::try_from(60 + self.random.below(20_000)).unwrap();
            (format!("{{\"exp\":{exp}}}"), exp)
        };
        let Ok(text) = claviger::jose::jws::sign(
            &set,
            payload.as_bytes(),
            &claviger::jose::jws::SignOptions::default(),
        ) else {
            return;
        };
        let stands = |in_set: &KeySet| {
            let thumbprint = set.active().key.thumbprint();
            let mut keys = in_set.keys().iter();
            let key = keys.find(|key| key.key.thumbprint() == thumbprint)?;
            Some((in_set.label().clone(), key.realm.clone()))
        };
        // That another mapping has the key as well makes nothing that is meant for who reads that.
        let reads = |one: &Scope| {
            one.0 == scope.0
                && self.set(&keyring, *one).is_some_and(|other| stands(&other) == stands(&set))
        };
        let current = self.keyring();
        let taken: Vec<Scope> =
            Self::scopes().filter(|one| reads(one) && self.takes(&current, *one, &text)).collect();
        // What is made and what is done have no second in common.
        self.shop.wait(1);
        self.log.push(format!(
            "{now} {scope:?} makes {} with {} until {until}",
            self.made.len(),
            set.active().kid
        ));
        self.made.push(Made { text, at: now, until, taken });
    }

    /// Some mapping: its scope, its store and the keys of that.
    fn some_mapping(&mut self) -> (Scope, &'static str, &'static [&'static str]) {
        let label = self.random.below(LABELS.len());
        if label == 0 && self.random.below(2) == 0 {
            ((label, true), "own", &["ra", "rb", "rc", "rd", "re", "rf", "a", "b"])
        } else {
            ((label, false), "keys", &ALIASES)
        }
    }

    /// Somebody writes a mapping anew, or takes it out.
    fn edit(&mut self) {
        let ((label, _), store, all) = self.some_mapping();
        let before = self.shop.text();
        let mut text: toml::Table = before.parse().unwrap();
        let store = text["stores"][store].as_table_mut().unwrap();
        let mappings = store.entry("mappings").or_insert(toml::Table::new().into());
        let mappings = mappings.as_table_mut().unwrap();
        let mut list: Vec<toml::Value> = Vec::new();
        for _ in 0..self.random.below(4) {
            let alias = toml::Value::from(one(&mut self.random, all));
            if !list.contains(&alias) {
                list.push(alias);
            }
        }
        self.log.push(format!("{} {} by hand: {list:?}", self.now(), LABELS[label]));
        if list.is_empty() {
            mappings.remove(LABELS[label]);
        } else {
            mappings.insert(LABELS[label].to_owned(), list.into());
        }
        std::fs::write(self.shop.config(), toml::to_string(&text).unwrap()).unwrap();
        let loads = Config::load(&self.shop.config())
            .and_then(|config| Keyring::from_config(config, self.shop.clock()));
        if loads.is_err() {
            self.log.push("which does not load".into());
            std::fs::write(self.shop.config(), before).unwrap();
            return;
        }
        self.show(true);
        self.shop.wait(1);
    }

    fn step(&mut self) {
        let (scope, store, all) = self.some_mapping();
        let (label, in_realm) = scope;
        let set = self.set(&self.keyring(), scope);
        let mut there: Vec<String> =
            set.iter().flat_map(|set| set.keys().iter().map(|key| key.alias.to_string())).collect();
        there.extend((there.is_empty()).then(|| "a".to_owned()));
        let any = one(&mut self.random, all);
        // What stands there, or around it: a mapping may begin with that.
        let alias = &*there[self.random.below(there.len())];
        let mut forced = false;
        let step = match self.random.below(12) {
            0..2 => stage(any),
            2 => stage(alias),
            3..6 => promote(alias),
            6..9 => retire(alias),
            9 => Step::Undo,
            10 => {
                forced = true;
                match self.random.below(4) {
                    0 => promote(alias),
                    1 => stage(any),
                    2 => retire(alias),
                    _ => Step::Undo,
                }
            }
            _ => {
                forced = self.random.below(2) == 0;
                if self.random.below(3) == 0 { revoke(alias) } else { stage(any) }
            }
        };
        let request = Request {
            store: Some(store.parse().unwrap()),
            realm: in_realm.then(|| self.realm.clone()),
            overrides: if forced { FORCE } else { Overrides::default() },
            ..Request::new(step.clone(), LABELS[label]).unwrap()
        };
        let before = self.keyring();
        let done = self.shop.rotation().apply(&request);
        let told = match &done {
            Ok(plan) if plan.is_done() => return,
            Ok(_) => "done".to_owned(),
            Err(error) => format!("{:?} {}", error.kind(), error.message()),
        };
        self.log.push(format!(
            "{} {step:?} {} {in_realm} {forced}: {told}",
            self.now(),
            LABELS[label]
        ));
        if done.is_err() {
            return;
        }
        self.done += 1;
        let now = self.now();
        let lawful = !forced && !matches!(step, Step::Revoke { .. });
        let after = self.keyring();
        for (index, made) in self.made.iter().enumerate().filter(|(_, made)| made.until > now) {
            for scope in &made.taken {
                if lawful
                    && self.takes(&before, *scope, &made.text)
                    && !self.takes(&after, *scope, &made.text)
                {
                    panic!(
                        "token {index} breaks for {scope:?}: {:#?}\n{}",
                        self.log,
                        self.shop.text()
                    );
                }
            }
        }
        self.show(!lawful);
        self.shop.wait(1);
    }

    /// The journal says of now what a verification says, and of then what one said.
    fn ask(&mut self) {
        // What was edited by hand is written down by the next step.
        drop(self.shop.rotation());
        let keyring = self.keyring();
        let time = |secs: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        let now = self.now();
        for (index, made) in self.made.iter().enumerate() {
            for scope in Self::scopes() {
                let label = LABELS[scope.0].parse().unwrap();
                let options = VerifyOptions::default();
                let ask = |at: u64| {
                    verify_at(
                        &keyring,
                        &label,
                        self.realm_of(scope),
                        &made.text,
                        &options,
                        time(at),
                    )
                };
                let Ok(today) = ask(now) else { continue };
                let takes = self.takes(&keyring, scope, &made.text);
                let says = today.outcome == Past::ValidThenAndNow;
                assert_eq!(
                    takes,
                    says,
                    "{index} {scope:?} now {:?}: {:#?}\n{}",
                    today.outcome,
                    self.log,
                    self.shop.text()
                );
                if made.taken.contains(&scope) {
                    let then = ask(made.at).unwrap();
                    // What was edited by hand may have been so a while before it was seen, and is told.
                    assert!(
                        then.outcome != Past::Never || then.unsure_between.is_some(),
                        "{index} {scope:?} then: {:#?}\n{}",
                        self.log,
                        self.shop.text()
                    );
                }
            }
        }
    }
}

#[test]
fn whatever_the_gates_let_pass_breaks_nothing() {
    let mut done = 0;
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let first = number("CLAVIGER_SEED").unwrap_or(0);
    let lives = number("CLAVIGER_LIVES").unwrap_or(12);
    for seed in first..first + lives {
        let mut life = Life::new(seed);
        for _ in 0..60 {
            match life.random.below(18) {
                0 => life.edit(),
                1..=3 => life.make(),
                4..=6 => {
                    let wait = one(&mut life.random, &[10, 130, 1_000, 3_800, 9_000, 30_000]);
                    life.shop.wait(wait);
                }
                _ => life.step(),
            }
        }
        life.ask();
        done += life.done;
    }
    println!("{lives} lives of mappings, {done} steps");
}
