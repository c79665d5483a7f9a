//! The promise, held against a model: what an alias made verifies and decrypts exactly as long as that alias is
//! mapped where the caller looks, and its key was not revoked; the active one is the realm's first, else the
//! global first. A revoked key stays mapped in the model: every later change puts the old files back.
//!
//! Everything goes the way of an operator: TOML text and files are changed, the keyring reloads, handles
//! follow. `CLAVIGER_SEED=n` chooses other histories, `CLAVIGER_HISTORIES=n` more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claviger::alg::Curve;
use claviger::clock::Clock;
use claviger::crypto::generate::{KeySpec, generate};
use claviger::formats::{Entry, JwkHints, Material, SecretKeyType, jwk};
use claviger::jose::jwe::{self, EncryptOptions};
use claviger::jose::jws::{self, SignOptions, VerifyOptions};
use claviger::journal::Actor;
use claviger::rotation::{Request, Rotation, Step};
use claviger::secret::SecretBytes;
use claviger::{ErrorKind, Keyring, Label};

use crate::mutation::Random;

const CHILD: &str = "CLAVIGER_PROMISE_CHILD";
const HISTORIES: u64 = 26;
const STEPS: usize = 80;
/// Tokens that one history remembers; the oldest go first.
const REMEMBERED: usize = 6;
/// Keys that one history revokes.
const MOST_REVOKED: usize = 4;
const PAYLOAD: &[u8] = b"a promise";

/// A label of the model, and what its settings say.
struct Purpose {
    label: &'static str,
    /// The beginning of its aliases in the key pool, and how many there are.
    pool: (&'static str, usize),
    settings: &'static str,
    encrypts: bool,
    realm_only: bool,
}

const PURPOSES: [Purpose; 7] = [
    Purpose {
        label: "app.hs",
        pool: ("hs", 6),
        settings: "use = \"sign\"\nalgorithms = [\"HS256\"]",
        encrypts: false,
        realm_only: false,
    },
    Purpose {
        label: "am.services.oauth2.oidc.signing.ES256",
        pool: ("es", 4),
        settings: "kid = \"am\"",
        encrypts: false,
        realm_only: false,
    },
    Purpose {
        label: "app.ed",
        pool: ("ed", 5),
        settings: "use = \"sign\"\nalgorithms = [\"EdDSA\"]\nunknown_kid = \"reject\"\nkid = \"alias\"",
        encrypts: false,
        realm_only: false,
    },
    Purpose {
        label: "app.ps",
        pool: ("rsa", 2),
        settings: "use = \"sign\"\nalgorithms = [\"PS256\"]\nvalid = \"realm-only\"",
        encrypts: false,
        realm_only: true,
    },
    Purpose {
        label: "app.kw",
        pool: ("kw", 6),
        settings: "use = \"encrypt\"\nalgorithms = [\"A256KW\", \"A256GCM\"]",
        encrypts: true,
        realm_only: false,
    },
    Purpose {
        label: "app.ecdh",
        pool: ("ecdh", 3),
        settings: "use = \"encrypt\"\nalgorithms = [\"ECDH-ES+A128KW\", \"A128CBC-HS256\"]",
        encrypts: true,
        realm_only: false,
    },
    Purpose {
        label: "app.env",
        pool: ("hs", 6),
        settings: "use = \"sign\"\nalgorithms = [\"HS512\"]",
        encrypts: false,
        realm_only: false,
    },
];
/// The label whose global secret is a variable, and the key in it.
const ENVIRONMENT: (usize, &str) = (6, "hs-0");

/// Who looks: no realm, one with two stores, one with one, one without any.
const VIEWERS: [Option<&str>; 4] = [None, Some("alpha"), Some("beta"), Some("gamma")];
/// Keystores and their scope; the volumes of a scope are named after it.
const KEYSTORES: [(&str, Option<&str>); 5] = [
    ("one", None),
    ("two", None),
    ("alpha-one", Some("alpha")),
    ("alpha-two", Some("alpha")),
    ("beta-one", Some("beta")),
];
const VOLUMES: [(&str, Option<&str>); 2] = [("files", None), ("alpha-files", Some("alpha"))];

/// Where a scope keeps a label.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Environment,
    Keystore(usize),
    Volume(usize),
}

/// A label in a scope: never empty.
#[derive(Clone, Debug)]
struct Mapped {
    place: Place,
    /// Keys of the pool, active first; for volumes with their version, which is never used again.
    keys: Vec<(String, u32)>,
}

type Model = BTreeMap<(usize, Option<&'static str>), Mapped>;

/// What a purpose's aliases are, as a viewer sees them: active first.
fn valid(
    model: &Model,
    revoked: &BTreeSet<String>,
    purpose: usize,
    viewer: Option<&'static str>,
) -> Vec<String> {
    // A scope whose keys are all revoked has nothing.
    let of = |scope| {
        let keys = model.get(&(purpose, scope))?.keys.iter();
        let left: Vec<&String> =
            keys.map(|(key, _)| key).filter(|key| !revoked.contains(*key)).collect();
        (!left.is_empty()).then_some(left)
    };
    let own = viewer.and_then(|realm| of(Some(realm)));
    let global = of(None).filter(|_| own.is_none() || !PURPOSES[purpose].realm_only);
    let mut all: Vec<String> = Vec::new();
    for key in own.into_iter().chain(global).flatten() {
        if !all.contains(key) {
            all.push(key.clone());
        }
    }
    all
}

/// The key pool as JWKs: made once, the same in every store, so that one key may stand in several scopes.
struct Pool(BTreeMap<String, [String; 2]>);

impl Pool {
    fn make() -> Self {
        let mut keys = BTreeMap::new();
        for purpose in &PURPOSES {
            let (prefix, count) = purpose.pool;
            for alias in (0..count).map(|index| format!("{prefix}-{index}")) {
                keys.entry(alias.clone()).or_insert_with(|| Self::key(prefix, &alias));
            }
        }
        Self(keys)
    }

    /// Without and with the alias as its kid.
    fn key(prefix: &str, alias: &str) -> [String; 2] {
        let bytes =
            |spec| if alias == ENVIRONMENT.1 { environment_key() } else { generate(spec).unwrap() };
        let secret = |size, key_type| Material::SecretKey {
            key_type,
            bytes: bytes(KeySpec::Oct { bytes: size }),
        };
        let material = match prefix {
            "hs" => secret(64, SecretKeyType::Hmac),
            "kw" => secret(32, SecretKeyType::Aes),
            "ed" => Material::PrivateKey(bytes(KeySpec::Curve(Curve::Ed25519))),
            "rsa" => Material::PrivateKey(bytes(KeySpec::Rsa { bits: 2048 })),
            _ => Material::PrivateKey(bytes(KeySpec::Curve(Curve::P256))),
        };
        let plain = with_kid(Entry::new(alias, material), None);
        let without = jwk::write(&plain, false).unwrap().expose_secret().to_owned();
        let named = with_kid(plain, Some(alias));
        [without, jwk::write(&named, false).unwrap().expose_secret().to_owned()]
    }

    /// The file of a volume. Without a kid of its own the label's settings make it, of the file's name.
    fn jwk(&self, alias: &str, kid: bool) -> &str {
        &self.0[alias][usize::from(kid)]
    }

    /// The file of a keystore: a JWK set, which needs no key derivation. Its aliases are kids.
    fn keystore(&self, aliases: &BTreeSet<&String>) -> String {
        let keys: Vec<&str> = aliases.iter().map(|alias| self.jwk(alias, true)).collect();
        format!("{{\"keys\":[{}]}}", keys.join(","))
    }
}

fn with_kid(entry: Entry, kid: Option<&str>) -> Entry {
    let hints = JwkHints { kid: kid.map(str::to_owned), ..JwkHints::default() };
    Entry { hints, ..entry }
}

fn environment_key() -> SecretBytes {
    SecretBytes::from_vec(STANDARD.decode(std::env::var("APP_ENV").unwrap()).unwrap())
}

/// A token, and the key that made it.
struct Made {
    purpose: usize,
    key: String,
    token: String,
}

struct World {
    folder: PathBuf,
    model: Model,
    keyring: Keyring,
    /// One handle a purpose and viewer, made when the label first appears; they follow reloads.
    handles: BTreeMap<(usize, Option<&'static str>), Label>,
    tokens: Vec<Made>,
    /// Keys of the pool that somebody else may have.
    revoked: BTreeSet<String>,
    version: u32,
    random: Random,
}

impl World {
    /// A change of the mappings, as an operator would make it.
    fn change(&mut self) {
        let purpose = self.random.below(PURPOSES.len());
        let scope = VIEWERS[self.random.below(3)];
        let slot = (purpose, scope);
        let Some(mut mapped) = self.model.remove(&slot) else {
            if let Some(mapped) = self.first_mapping(purpose, scope) {
                self.model.insert(slot, mapped);
            }
            return;
        };
        if mapped.place == Place::Environment {
            // There, or not.
            return;
        }
        let volume = matches!(mapped.place, Place::Volume(_));
        let any = self.random.below(mapped.keys.len());
        match self.random.below(6) {
            0 | 1 => self.add(purpose, &mut mapped),
            2 if !volume => mapped.keys.rotate_left(1),
            3 if !volume => mapped.keys.swap(0, any),
            4 if mapped.keys.len() > 1 => drop(mapped.keys.remove(any)),
            5 if self.random.below(3) == 0 => return,
            _ => {}
        }
        self.model.insert(slot, mapped);
    }

    fn first_mapping(&mut self, purpose: usize, scope: Option<&'static str>) -> Option<Mapped> {
        if purpose == ENVIRONMENT.0 && scope.is_none() {
            let keys = vec![(ENVIRONMENT.1.to_owned(), 0)];
            return Some(Mapped { place: Place::Environment, keys });
        }
        let keystores = (0..KEYSTORES.len()).filter(|at| KEYSTORES[*at].1 == scope);
        let volumes = (0..VOLUMES.len()).filter(|at| VOLUMES[*at].1 == scope);
        let places: Vec<Place> =
            keystores.map(Place::Keystore).chain(volumes.map(Place::Volume)).collect();
        let place = *places.get(self.random.below(places.len().max(1)))?;
        let mut mapped = Mapped { place, keys: Vec::new() };
        self.add(purpose, &mut mapped);
        Some(mapped)
    }

    fn add(&mut self, purpose: usize, mapped: &mut Mapped) {
        let (prefix, count) = PURPOSES[purpose].pool;
        let key = format!("{prefix}-{}", self.random.below(count));
        if mapped.keys.iter().all(|(known, _)| *known != key) {
            // The highest version of a volume acts; a list takes a new alias anywhere.
            let volume = matches!(mapped.place, Place::Volume(_));
            let at = if volume { 0 } else { self.random.below(mapped.keys.len() + 1) };
            self.version += 1;
            mapped.keys.insert(at, (key, self.version));
        }
    }

    /// A key has leaked: it is revoked where one keystore lists it. Not too many, or nothing is left to watch.
    fn revoke(&mut self) {
        let listed: Vec<_> = self
            .model
            .iter()
            .filter(|(_, mapped)| mapped.keys.len() > 1)
            .filter_map(|((purpose, scope), mapped)| match mapped.place {
                Place::Keystore(at) => Some((*purpose, *scope, at, mapped.keys.clone())),
                Place::Environment | Place::Volume(_) => None,
            })
            .collect();
        if listed.is_empty() || self.revoked.len() == MOST_REVOKED {
            return;
        }
        let (purpose, scope, at, keys) = &listed[self.random.below(listed.len())];
        let (key, _) = &keys[self.random.below(keys.len())];
        if !self.revoked.insert(key.clone()) {
            return;
        }
        let step =
            Step::Revoke { alias: key.parse().unwrap(), compromised_at: None, replace: None };
        let request = Request {
            realm: scope.map(|realm| realm.parse().unwrap()),
            store: Some(KEYSTORES[*at].0.parse().unwrap()),
            ..Request::new(step, PURPOSES[*purpose].label).unwrap()
        };
        let config = self.folder.join("claviger.toml");
        let actor = Actor::of_this_process(None);
        let mut rotation = Rotation::open(&config, Clock::system(), actor).unwrap();
        match rotation.apply(&request) {
            Ok(_) => {}
            // The only key of some mapping: it stays.
            Err(error) if error.kind() == ErrorKind::StepRefused => {
                self.revoked.remove(key);
            }
            Err(error) => panic!("{key}: {error:?} {}", self.about(*purpose, *scope)),
        }
        drop(rotation);
        self.keyring.reload().unwrap();
    }

    /// Reads a broken configuration: what was valid stays valid.
    fn break_it(&mut self) {
        let path = self.folder.join("claviger.toml");
        let good = std::fs::read_to_string(&path).unwrap();
        let generation = self.keyring.snapshot().generation();
        let bad = match self.random.below(3) {
            0 => good.replace("[stores.", "[stroes."),
            1 => good.replace("-0\"", "-none\"").replace("kind = \"volume\"", "kind = \"volumes\""),
            _ => good[..self.random.below(good.len() / 2)].to_owned() + "\n[",
        };
        std::fs::write(&path, bad).unwrap();
        assert!(self.keyring.reload().is_err());
        assert_eq!(self.keyring.snapshot().generation(), generation);
        std::fs::write(&path, good).unwrap();
    }

    fn handle(&mut self, purpose: usize, viewer: Option<&'static str>) -> Option<Label> {
        if let Some(label) = self.handles.get(&(purpose, viewer)) {
            return Some(label.clone());
        }
        let name = PURPOSES[purpose].label;
        let found = match viewer {
            None => self.keyring.label(name),
            Some(realm) => self.keyring.realm(realm).unwrap().label(name),
        };
        let label = found.ok()?;
        self.handles.insert((purpose, viewer), label.clone());
        Some(label)
    }

    /// The active alias of the model acts; where nothing is mapped, nothing is made.
    fn make(&mut self) {
        let (purpose, viewer) =
            (self.random.below(PURPOSES.len()), VIEWERS[self.random.below(VIEWERS.len())]);
        let expected = valid(&self.model, &self.revoked, purpose, viewer).into_iter().next();
        let made = self.handle(purpose, viewer).and_then(|label| self.token(purpose, &label));
        assert_eq!(made.is_some(), expected.is_some(), "{}", self.about(purpose, viewer));
        if let (Some(token), Some(key)) = (made, expected) {
            if self.tokens.len() == REMEMBERED {
                let at = self.random.below(REMEMBERED);
                self.tokens.swap_remove(at);
            }
            self.tokens.push(Made { purpose, key, token });
        }
    }

    fn token(&mut self, purpose: usize, label: &Label) -> Option<String> {
        let keys = label.keys().ok()?;
        let without_kid = self.random.below(3) == 0;
        Some(if PURPOSES[purpose].encrypts {
            let options = EncryptOptions { without_kid, ..EncryptOptions::default() };
            jwe::encrypt(&keys, PAYLOAD, &options).unwrap()
        } else {
            let options = SignOptions { without_kid, ..SignOptions::default() };
            jws::sign(&keys, PAYLOAD, &options).unwrap()
        })
    }

    /// The thumbprint of the key that opened a token; `None`: nothing did.
    fn opened_by(&self, purpose: usize, label: &Label, token: &str) -> Option<String> {
        let keys = label.keys().ok()?;
        if PURPOSES[purpose].encrypts {
            let opened = jwe::decrypt(&keys, token).ok()?;
            assert!(opened.plaintext.ct_eq(PAYLOAD));
            return Some(opened.key.key.thumbprint().to_owned());
        }
        let verified = jws::verify(&keys, token, &VerifyOptions::default()).ok()?;
        assert_eq!(verified.payload, PAYLOAD);
        Some(verified.key.key.thumbprint().to_owned())
    }

    /// Every remembered token, as every viewer sees it.
    fn check(&mut self) -> usize {
        let mut checked = 0;
        for at in 0..self.tokens.len() {
            // A realm without stores sees what the global scope has: looked at now and then.
            let viewers = if self.random.below(8) == 0 { &VIEWERS[..] } else { &VIEWERS[..3] };
            for viewer in viewers.iter().copied() {
                let purpose = self.tokens[at].purpose;
                let label = self.handle(purpose, viewer);
                let Made { key, token, .. } = &self.tokens[at];
                let mapped = valid(&self.model, &self.revoked, purpose, viewer).contains(key);
                let opened = label.and_then(|label| self.opened_by(purpose, &label, token));
                let held = opened.is_some();
                assert_eq!(held, mapped, "{key}: {}", self.about(purpose, viewer));
                checked += 1;
            }
        }
        checked
    }

    fn about(&self, purpose: usize, viewer: Option<&str>) -> String {
        let label = PURPOSES[purpose].label;
        let text = std::fs::read_to_string(self.folder.join("claviger.toml")).unwrap();
        format!("\"{label}\" as {viewer:?} sees it\n{:#?}\n{text}", self.model)
    }
}

/// Writes the files that say what the model says.
fn write(folder: &Path, pool: &Pool, model: &Model) {
    let mut text = String::from("[keyring]\nreload = \"off\"\nstate_dir = \"state\"\n");
    for (name, scope) in KEYSTORES {
        let realm = scope.map(|realm| format!("realm = \"{realm}\"\n")).unwrap_or_default();
        let mut mappings = String::new();
        let mut held = BTreeSet::new();
        for ((purpose, of), mapped) in model {
            let Place::Keystore(at) = mapped.place else { continue };
            if *of == scope && KEYSTORES[at].0 == name {
                let keys: Vec<&String> = mapped.keys.iter().map(|(key, _)| key).collect();
                held.extend(keys.iter().copied());
                writeln!(mappings, "\"{}\" = {keys:?}", PURPOSES[*purpose].label).unwrap();
            }
        }
        if !mappings.is_empty() {
            std::fs::write(folder.join(format!("{name}.jwks")), pool.keystore(&held)).unwrap();
            write!(
                text,
                "[stores.{name}]\nkind = \"keystore\"\npath = \"{name}.jwks\"\n{realm}\
                 [stores.{name}.mappings]\n{mappings}"
            )
            .unwrap();
        }
    }
    for (name, scope) in VOLUMES {
        let realm = scope.map(|realm| format!("realm = \"{realm}\"\n")).unwrap_or_default();
        write!(
            text,
            "[stores.{name}]\nkind = \"volume\"\ndirectory = \"{name}\"\nformat = \"jwk\"\n\
             version_suffix = \".v\"\n{realm}"
        )
        .unwrap();
        write_volume(&folder.join(name), pool, model, scope);
    }
    if model.contains_key(&(ENVIRONMENT.0, None)) {
        text.push_str("[stores.variables]\nkind = \"environment\"\nformat = \"base64\"\n");
    }
    for purpose in &PURPOSES {
        write!(text, "[labels.\"{}\"]\n{}\n", purpose.label, purpose.settings).unwrap();
    }
    std::fs::write(folder.join("claviger.toml"), text).unwrap();
}

fn write_volume(folder: &Path, pool: &Pool, model: &Model, scope: Option<&str>) {
    drop(std::fs::remove_dir_all(folder));
    std::fs::create_dir(folder).unwrap();
    for ((purpose, of), mapped) in model {
        if *of == scope && matches!(mapped.place, Place::Volume(_)) {
            for (key, version) in &mapped.keys {
                let file = format!("{}.v{version}", PURPOSES[*purpose].label);
                // Where unknown kids are refused, a key must have one kid in every store.
                let kid = PURPOSES[*purpose].settings.contains("reject");
                std::fs::write(folder.join(file), pool.jwk(key, kid)).unwrap();
            }
        }
    }
}

/// How many tokens were checked, and how many keys revoked.
fn live(folder: &Path, pool: &Pool, seed: u64) -> (usize, usize) {
    let mut random = Random(seed);
    let mut model = Model::new();
    // A keyring needs nothing mapped, but a history begins with something.
    model.insert(
        (0, None),
        Mapped { place: Place::Keystore(random.below(2)), keys: vec![("hs-1".to_owned(), 1)] },
    );
    write(folder, pool, &model);
    let keyring = Keyring::open(&folder.join("claviger.toml")).unwrap();
    let mut world = World {
        folder: folder.to_owned(),
        model,
        keyring,
        handles: BTreeMap::new(),
        tokens: Vec::new(),
        revoked: BTreeSet::new(),
        version: 0,
        random,
    };
    let mut checked = 0;
    for _ in 0..STEPS {
        world.change();
        write(folder, pool, &world.model);
        if let Err(error) = world.keyring.reload() {
            panic!("seed {seed}: {error}: {:#?} {}", error.problems(), world.about(0, None));
        }
        world.make();
        if world.random.below(12) == 0 {
            world.break_it();
        }
        if world.random.below(20) == 0 {
            world.revoke();
        }
        checked += world.check();
    }
    (checked, world.revoked.len())
}

#[test]
fn what_an_alias_made_holds_exactly_while_the_alias_is_mapped() {
    if std::env::var_os(CHILD).is_some() {
        return live_all();
    }
    let key = generate(KeySpec::Oct { bytes: 64 }).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["promise::what_an_alias_made_holds_exactly_while_the_alias_is_mapped", "--exact"])
        .args(["--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env("APP_ENV", STANDARD.encode(key.expose_secret()))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn live_all() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("CLAVIGER_SEED").unwrap_or(20_261_125);
    let histories = number("CLAVIGER_HISTORIES").unwrap_or(HISTORIES);
    let pool = Pool::make();
    // Side by side: a reload waits until files that have just changed are settled.
    let (checked, revoked) = std::thread::scope(|scope| {
        let lives: Vec<_> = (0..histories)
            .map(|history| {
                let pool = &pool;
                scope.spawn(move || {
                    let folder = tempfile::tempdir().unwrap();
                    live(folder.path(), pool, seed.wrapping_add(history))
                })
            })
            .collect();
        let lives = lives.into_iter().map(|life| life.join().unwrap());
        lives.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    println!(
        "{histories} histories of {STEPS} steps, {checked} tokens checked, {revoked} keys revoked, \
         CLAVIGER_SEED={seed}"
    );
    assert!(checked > 100 && (revoked > 0 || histories < HISTORIES));
}

/// A realm that lists another key under a kid of the global list would hide that one.
#[test]
fn one_kid_of_two_keys_in_realm_and_global_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let key = |kid: &str| {
        let bytes = generate(KeySpec::Oct { bytes: 64 }).unwrap();
        let entry = Entry::new(kid, Material::SecretKey { key_type: SecretKeyType::Hmac, bytes });
        jwk::write(&with_kid(entry, Some(kid)), false).unwrap()
    };
    let config = |settings: &str| {
        let text = format!(
            "[stores.global]\nkind = \"keystore\"\npath = \"global.jwk\"\n\
             [stores.global.mappings]\n\"app.x\" = [\"one\"]\n\
             [stores.alpha]\nkind = \"keystore\"\nrealm = \"alpha\"\npath = \"alpha.jwk\"\n\
             [stores.alpha.mappings]\n\"app.x\" = [\"one\"]\n\
             [labels.\"app.x\"]\nuse = \"sign\"\nalgorithms = [\"HS256\"]\n{settings}"
        );
        std::fs::write(folder.join("claviger.toml"), text).unwrap();
        Keyring::open(&folder.join("claviger.toml"))
    };
    let global = key("one");
    std::fs::write(folder.join("global.jwk"), global.expose_secret()).unwrap();
    std::fs::write(folder.join("alpha.jwk"), key("one").expose_secret()).unwrap();
    let refused = config("").unwrap_err();
    assert!(refused.problems().iter().any(|one| one.code == "duplicate_kid"), "{refused:?}");
    assert!(config("valid = \"realm-only\"").is_ok());
    std::fs::write(folder.join("alpha.jwk"), global.expose_secret()).unwrap();
    assert!(config("").is_ok());
}
