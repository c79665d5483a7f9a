//! Hot reload with real files: every way in which they change, and every way in which that goes wrong.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant, UNIX_EPOCH};

use claviger::Keyring;
use claviger::key_tools::{self, GenerateOptions};
use claviger::keyring::{Diff, ReloadEvent};
use claviger::secret::{SecretBytes, SecretString};

pub(crate) const SIGN: &str = "am.services.oauth2.oidc.signing.ES256";
pub(crate) const MAC: &str = "am.services.iot.jwt.issuer.signing";
pub(crate) const PASSWORD: &str = "a-password-of-tests";
/// Longer than anything takes here, shorter than the safety net of polling: what is seen within it was
/// reported by the system.
const SOON: Duration = Duration::from_secs(20);

/// A keyring's files: a keystore, a volume with its password, a volume of MAC keys.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(reload: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.make_dir("secrets");
        place.make_dir("macs");
        place.write("secrets/storepass", PASSWORD);
        place.write(&format!("macs/{MAC}.v1"), &mac_key(1));
        std::fs::write(place.path("keys.p12"), keystore()).unwrap();
        place.write("claviger.toml", &config(reload, &["a", "b"]));
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn make_dir(&self, name: &str) {
        std::fs::create_dir_all(self.path(name)).unwrap();
    }

    /// In place, as some editors do.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path(name), private).unwrap();
    }

    /// Beside the old one, then renamed into place.
    pub(crate) fn replace(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let aside = self.folder.path().join(".aside");
        std::fs::write(&aside, bytes).unwrap();
        std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(aside, self.path(name)).unwrap();
    }

    pub(crate) fn open(&self) -> Keyring {
        Keyring::open(&self.path("claviger.toml")).unwrap()
    }

    pub(crate) fn follow(&self) -> (Keyring, Heard) {
        let keyring = self.open();
        let heard = Heard::of(&keyring);
        (keyring, heard)
    }
}

pub(crate) fn config(reload: &str, aliases: &[&str]) -> String {
    let aliases: Vec<String> = aliases.iter().map(|alias| format!("\"{alias}\"")).collect();
    format!(
        "[keyring]\nreload = \"{reload}\"\n\
         [stores.passwords]\nkind = \"volume\"\ndirectory = \"secrets\"\n\
         [stores.macs]\nkind = \"volume\"\ndirectory = \"macs\"\nformat = \"base64\"\nversion_suffix = \".v\"\n\
         [stores.keys]\nkind = \"keystore\"\npath = \"keys.p12\"\nstore_password = {{ label = \"storepass\" }}\n\
         [stores.keys.mappings]\n\"{SIGN}\" = [{}]\n",
        aliases.join(", ")
    )
}

/// A MAC key of 32 bytes, in base64.
pub(crate) fn mac_key(number: u8) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode([number; 32])
}

/// A keystore with the EC keys `a`, `b` and `c`; made once.
pub(crate) fn keystore() -> &'static [u8] {
    static STORE: OnceLock<Vec<u8>> = OnceLock::new();
    STORE.get_or_init(|| with_keys(&["a", "b", "c"]))
}

pub(crate) fn with_keys(aliases: &[&str]) -> Vec<u8> {
    sealed_with(PASSWORD, aliases)
}

pub(crate) fn sealed_with(password: &str, aliases: &[&str]) -> Vec<u8> {
    let password = SecretString::from_string(password.into());
    let mut store: Option<SecretBytes> = None;
    for alias in aliases {
        let now = UNIX_EPOCH + Duration::from_secs(1_795_500_000);
        let options = GenerateOptions {
            alias,
            key_type: "ec",
            bits: None,
            curve: None,
            subject: None,
            days: 3650,
            now,
        };
        let made = key_tools::generate_into(store.as_ref(), &password, &options).unwrap();
        store = Some(made.content);
    }
    store.unwrap().expose_secret().to_vec()
}

/// What a listener heard.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Refused(Vec<&'static str>, String),
    Taken(u64, Diff),
}

#[derive(Clone)]
pub(crate) struct Heard(Arc<(Mutex<Vec<Told>>, Condvar)>);

impl Heard {
    pub(crate) fn of(keyring: &Keyring) -> Self {
        let heard = Self(Arc::new((Mutex::new(Vec::new()), Condvar::new())));
        let to = heard.clone();
        keyring.on_reload(move |event| {
            let told = match event {
                ReloadEvent::Taken { generation, diff } => {
                    Told::Taken(*generation, (*diff).clone())
                }
                ReloadEvent::Refused { error, .. } => {
                    let codes = error.problems().iter().map(|problem| problem.code).collect();
                    Told::Refused(codes, error.to_string())
                }
                _ => return,
            };
            to.0.0.lock().unwrap().push(told);
            to.0.1.notify_all();
        });
        heard
    }

    /// Waits until `holds` of something heard; it and all before it are forgotten.
    pub(crate) fn wait(&self, what: &str, holds: impl Fn(&Told) -> bool) -> Told {
        let until = Instant::now() + SOON;
        let mut all = self.0.0.lock().unwrap();
        loop {
            if let Some(at) = all.iter().position(&holds) {
                return all.drain(..=at).next_back().unwrap();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not heard in time: {what}; heard: {all:?}");
            all = self.0.1.wait_timeout(all, left).unwrap().0;
        }
    }

    pub(crate) fn taken(&self, what: &str) {
        self.wait(what, |told| matches!(told, Told::Taken(..)));
    }

    pub(crate) fn refused(&self, code: &str) {
        self.wait(code, |told| matches!(told, Told::Refused(codes, _) if codes.contains(&code)));
    }

    pub(crate) fn forget(&self) {
        self.0.0.lock().unwrap().clear();
    }

    fn count(&self) -> usize {
        self.0.0.lock().unwrap().len()
    }
}

pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn active(keyring: &Keyring, label: &str) -> String {
    keyring.label(label).unwrap().keys().unwrap().active().alias.to_string()
}

#[test]
fn the_configuration_is_followed_however_it_is_written() {
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let label = keyring.label(SIGN).unwrap();
    let old = label.sign(b"x").unwrap();

    place.replace("claviger.toml", config("watch", &["b", "a"]));
    heard.taken("a rename");
    assert_eq!(active(&keyring, SIGN), "b");
    assert_eq!(label.verify(&old).unwrap().key.alias.as_str(), "a");

    place.write("claviger.toml", &config("watch", &["c", "b"]));
    let told = heard.wait("a write in place", |told| matches!(told, Told::Taken(..)));
    let Told::Taken(generation, diff) = told else { panic!() };
    assert_eq!((generation, active(&keyring, SIGN).as_str()), (3, "c"));
    assert!(label.verify(&old).is_err(), "a removed alias verifies");
    let diff = &diff.labels[0];
    assert_eq!(diff.active_after.as_ref().unwrap().as_str(), "c");
    assert_eq!(diff.leaves[0].alias.as_str(), "a");
    assert_eq!(diff.enters[0].alias.as_str(), "c");
}

#[test]
fn a_keystore_and_its_password_are_followed() {
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let old = keyring.label(SIGN).unwrap().sign(b"x").unwrap();
    place.replace("keys.p12", with_keys(&["a", "b"]));
    heard.taken("a new keystore");
    assert!(keyring.label(SIGN).unwrap().verify(&old).is_err(), "another key under the alias");

    // A password that does not fit, then the one that does.
    place.replace("secrets/storepass", "another");
    heard.refused("wrong_password");
    assert_eq!(keyring.status().refused.unwrap().problems[0].code, "wrong_password");
    assert!(keyring.label(SIGN).unwrap().sign(b"x").is_ok(), "it serves on");
    place.replace("secrets/storepass", PASSWORD);
    until("recovery", || keyring.status().refused.is_none());
}

/// Swaps the generation of a Kubernetes volume for one with MAC key `number`, and takes the old one away at
/// once.
fn swap(volume: &std::path::Path, number: u8) {
    let generation = volume.join(format!("..2026_{number}"));
    let old = std::fs::read_link(volume.join("..data")).ok();
    std::fs::create_dir_all(&generation).unwrap();
    std::fs::write(generation.join(format!("{MAC}.v1")), mac_key(number)).unwrap();
    symlink(generation.file_name().unwrap(), volume.join("..data_tmp")).unwrap();
    std::fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    match old {
        Some(old) => std::fs::remove_dir_all(volume.join(old)).unwrap(),
        None => symlink(format!("..data/{MAC}.v1"), volume.join(format!("{MAC}.v1"))).unwrap(),
    }
}

fn kubernetes(reload: &str) -> Place {
    let place = Place::new(reload);
    swap(&place.path("k8s"), 0);
    let text = config(reload, &["a"]).replace("\"macs\"\nformat", "\"k8s\"\nformat");
    place.write("claviger.toml", &text);
    place
}

#[test]
fn a_kubernetes_volume_is_followed_through_every_swap() {
    let place = kubernetes("watch");
    let (keyring, heard) = place.follow();
    let label = keyring.label(MAC).unwrap();
    for number in 1..=100 {
        let before = label.sign(b"x").unwrap();
        heard.forget();
        swap(&place.path("k8s"), number);
        heard
            .wait("a swap", |told| matches!(told, Told::Taken(_, diff) if !diff.labels.is_empty()));
        assert!(label.verify(&before).is_err(), "swap {number} was told and does not serve");
    }
    assert!(open_descriptors() < 400, "{} descriptors are open", open_descriptors());
}

#[test]
fn a_generation_that_goes_while_it_is_read_is_never_half_a_volume() {
    let place = kubernetes("off");
    let keyring = place.open();
    let label = keyring.label(MAC).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u8;
            while !done.load(Ordering::Relaxed) {
                number = number.wrapping_add(1);
                swap(&place.path("k8s"), number);
            }
        });
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..300 {
            match keyring.reload() {
                Ok(_) => taken += 1,
                Err(_) => refused += 1,
            }
            assert!(label.sign(b"x").is_ok(), "the label vanished: {:?}", keyring.status());
        }
        done.store(true, Ordering::Relaxed);
        assert!(taken > 0, "{refused} reloads were refused and none was taken");
    });
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn directories_that_come_late_or_go_and_come_back_are_followed() {
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let more = format!(
        "{}[stores.late]\nkind = \"volume\"\ndirectory = \"later/secrets\"\n",
        config("watch", &["b"])
    );
    place.replace("claviger.toml", &more);
    heard.refused("store_unreadable");
    assert_eq!(active(&keyring, SIGN), "a");
    place.make_dir("later/secrets");
    heard.taken("the directory");
    assert_eq!(active(&keyring, SIGN), "b");
    // And what happens in it from now on.
    place.write("later/secrets/am.global.services.secret.pem.decryption", "x");
    heard.taken("a file in it");

    for _ in 0..3 {
        std::fs::rename(place.path("macs"), place.path("away")).unwrap();
        heard.refused("store_unreadable");
        assert!(keyring.label(MAC).unwrap().sign(b"x").is_ok(), "it serves on");
        std::fs::rename(place.path("away"), place.path("macs")).unwrap();
        until("recovery", || keyring.status().refused.is_none());
    }
    place.replace(&format!("macs/{MAC}.v2"), mac_key(2));
    heard.taken("a file in the directory that came back");
    assert_eq!(active(&keyring, MAC), format!("{MAC}.v2"));
}

/// The code of the refusal, how to spoil, how to mend.
type Case<'p> = (&'static str, Box<dyn Fn() + 'p>, Box<dyn Fn() + 'p>);

#[test]
fn what_is_wrong_leaves_what_serves_says_why_and_recovers_alone() {
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let label = keyring.label(SIGN).unwrap();
    let token = label.sign(b"x").unwrap();
    let whole = keystore();
    let toml = config("watch", &["a", "b"]);
    let cases: Vec<Case<'_>> = vec![
        (
            "store_unreadable",
            Box::new(|| std::fs::remove_file(place.path("keys.p12")).unwrap()),
            Box::new(|| place.replace("keys.p12", whole)),
        ),
        (
            "damaged",
            Box::new(|| place.replace("keys.p12", &whole[..whole.len() / 2])),
            Box::new(|| place.replace("keys.p12", whole)),
        ),
        (
            "damaged",
            // Cut in place, as a writer that died leaves it.
            Box::new(|| std::fs::write(place.path("keys.p12"), &whole[..100]).unwrap()),
            Box::new(|| std::fs::write(place.path("keys.p12"), whole).unwrap()),
        ),
        (
            "damaged",
            Box::new(|| std::fs::write(place.path("keys.p12"), "").unwrap()),
            Box::new(|| place.replace("keys.p12", whole)),
        ),
        (
            "wrong_password",
            Box::new(|| place.replace("secrets/storepass", "no")),
            Box::new(|| place.replace("secrets/storepass", PASSWORD)),
        ),
        (
            "syntax_error",
            Box::new(|| place.replace("claviger.toml", &toml[..toml.len() - 20])),
            Box::new(|| place.replace("claviger.toml", &toml)),
        ),
        (
            "alias_not_found",
            Box::new(|| place.replace("claviger.toml", config("watch", &["a", "bb"]))),
            Box::new(|| place.replace("claviger.toml", &toml)),
        ),
        (
            "store_unreadable",
            Box::new(|| {
                std::fs::remove_file(place.path("keys.p12")).unwrap();
                place.make_dir("keys.p12");
            }),
            Box::new(|| {
                std::fs::remove_dir(place.path("keys.p12")).unwrap();
                place.replace("keys.p12", whole);
            }),
        ),
        (
            "damaged",
            Box::new(|| place.replace(&format!("macs/{MAC}.v1"), "no base64!")),
            Box::new(|| place.replace(&format!("macs/{MAC}.v1"), mac_key(1))),
        ),
    ];
    for (number, (code, spoil, mend)) in cases.iter().enumerate() {
        heard.forget();
        spoil();
        heard.refused(code);
        let status = keyring.status();
        assert!(!status.is_healthy(), "case {number}");
        let refused = status.refused.expect("a refusal");
        assert!(refused.problems.iter().any(|one| one.code == *code), "case {number}: {refused:?}");
        assert!(label.verify(&token).is_ok(), "case {number} ended service");
        mend();
        until("recovery", || keyring.status().refused.is_none());
        assert!(label.verify(&token).is_ok(), "case {number}");
    }
    // A configuration that is gone is a refusal without problems.
    std::fs::rename(place.path("claviger.toml"), place.path("gone")).unwrap();
    heard.wait(
        "no file",
        |told| matches!(told, Told::Refused(_, text) if text.contains("cannot read")),
    );
    std::fs::rename(place.path("gone"), place.path("claviger.toml")).unwrap();
    until("recovery", || keyring.status().refused.is_none());
    assert_eq!(keyring.status().generation, keyring.snapshot().generation());
}

/// Runs a test again in a process of its own, as user `uid` if that is given and possible.
fn alone(name: &str, uid: Option<u32>) -> bool {
    use std::os::unix::process::CommandExt;

    if std::env::var_os("CLAVIGER_ALONE").is_some() {
        return true;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    // The link leads to this program even where its directory is closed to the other user.
    let mut command = std::process::Command::new("/proc/self/exe");
    command.args(["--exact", name]).env("CLAVIGER_ALONE", "1").env("TMPDIR", folder.path());
    if let Some(uid) = uid.filter(|_| rustix::process::geteuid().is_root()) {
        command.uid(uid).gid(uid);
    }
    let output = command.current_dir("/").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    false
}

#[test]
fn a_file_that_may_not_be_read_any_more() {
    if !alone("reload::a_file_that_may_not_be_read_any_more", Some(65_534)) {
        return;
    }
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let mode = |name: &str, mode| {
        std::fs::set_permissions(place.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for name in ["keys.p12", "macs", "secrets/storepass"] {
        let before = if name == "macs" { 0o700 } else { 0o600 };
        mode(name, 0);
        heard.wait("a refusal", |told| matches!(told, Told::Refused(..)));
        let refused = keyring.status().refused.unwrap();
        let text = format!("{:?}", refused.problems);
        assert!(text.contains("ermission denied"), "{text}");
        assert!(keyring.label(SIGN).unwrap().sign(b"x").is_ok());
        mode(name, before);
        until("recovery", || keyring.status().refused.is_none());
    }
}

#[test]
fn no_descriptor_is_left_for_a_reload() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    if !alone("reload::no_descriptor_is_left_for_a_reload", None) {
        return;
    }
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let before = getrlimit(Resource::Nofile);
    place.replace("claviger.toml", config("watch", &["b"]));
    // Descriptors are numbered from the lowest: none below the limit is free.
    let mut held = Vec::new();
    let limit = 64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: before.maximum }).unwrap();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        held.push(file);
    }
    let result = keyring.reload();
    drop(held);
    setrlimit(Resource::Nofile, before).unwrap();
    let error = result.expect_err("no descriptor was left").to_string();
    assert!(error.contains("oo many open files"), "{error}");
    heard.taken("recovery alone");
    assert_eq!(active(&keyring, SIGN), "b");
    assert!(keyring.status().refused.is_none());
}

#[test]
fn a_removed_alias_is_refused_once_reload_returned() {
    let place = Place::new("off");
    let keyring = place.open();
    let label = keyring.label(SIGN).unwrap();
    for round in 0..100 {
        let token = label.sign(b"x").unwrap();
        let (mapped, gone) = if round % 2 == 0 { ("b", "a") } else { ("a", "b") };
        place.replace("claviger.toml", config("off", &[mapped]));
        let diff = keyring.reload().unwrap();
        assert_eq!(diff.labels[0].leaves[0].alias.as_str(), gone);
        assert!(label.verify(&token).is_err(), "round {round}");
    }
    assert!(keyring.reload().unwrap().is_empty(), "nothing changed");
}

#[test]
fn generations_never_go_back_and_the_active_kid_is_of_its_generation() {
    let place = Place::new("off");
    let keyring = place.open();
    let kids = Mutex::new(std::collections::HashMap::new());
    let note = |keyring: &Keyring| {
        let snapshot = keyring.snapshot();
        let set = snapshot.keys(None, &SIGN.parse().unwrap()).unwrap();
        kids.lock().unwrap().insert(snapshot.generation(), set.active().kid.clone());
    };
    note(&keyring);
    let stop = AtomicBool::new(false);
    let histories: Vec<Vec<(u64, String)>> = std::thread::scope(|scope| {
        let read = || {
            let mut history: Vec<(u64, String)> = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let snapshot = keyring.snapshot();
                let set = snapshot.keys(None, &SIGN.parse().unwrap()).unwrap();
                let seen = (snapshot.generation(), set.active().kid.clone());
                if history.last() != Some(&seen) {
                    history.push(seen);
                }
            }
            history
        };
        let readers: Vec<_> = (0..8).map(|_| scope.spawn(read)).collect();
        for round in 0..60 {
            let order = if round % 2 == 0 { ["b", "a"] } else { ["a", "b"] };
            place.replace("claviger.toml", config("off", &order));
            keyring.reload().unwrap();
            note(&keyring);
        }
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    let kids = kids.into_inner().unwrap();
    assert_eq!(kids.len(), 61);
    for history in histories {
        assert!(history.is_sorted_by(|a, b| a.0 < b.0), "{history:?}");
        for (generation, kid) in history {
            assert_eq!(kids[&generation], kid, "generation {generation}");
        }
    }
}

#[test]
fn three_hundred_wrong_configurations_are_refused_with_a_place() {
    let place = Place::new("off");
    let keyring = place.open();
    let good = config("off", &["a", "b"]);
    let lines: Vec<&str> = good.lines().collect();
    let mut refused = 0;
    for number in 0..300 {
        let at = number / 10 % lines.len();
        let mut text: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let change = match number % 10 {
            0 => "an unknown key",
            1 => "an open string",
            2 => "a key twice",
            3 => "no value",
            4 => "a missing alias",
            5 => "a wrong type",
            6 => "a label twice",
            7 => "passwords in a circle",
            8 => "an unknown kind",
            _ => "bytes that are no TOML",
        };
        match number % 10 {
            0 => text[at].push_str(&format!("\nnonsense_{number} = 1")),
            1 => text[at].push_str(&format!("\nx{number} = \"open")),
            2 => text.insert(1, format!("reload = \"{number}s\"\nreload = \"watch\"")),
            3 => text[at].push_str(&format!("\nkey{number} =")),
            4 => text.push(format!("\"app.more.m{number}\" = [\"missing-{number}\"]")),
            5 => text[1] = format!("reload = {number}"),
            6 => text.push(format!("\"{SIGN}\" = [\"a\"]\n# {number}")),
            7 => text.push(format!(
                "[stores.k{number}]\nkind = \"keystore\"\npath = \"keys.p12\"\nstore_password = {{ label = \"no.such{number}\" }}"
            )),
            8 => text[3] = format!("kind = \"volum{number}\""),
            _ => text[at].push_str(&format!("\n]{number}[ = {{")),
        }
        place.replace("claviger.toml", text.join("\n"));
        let error = keyring.reload().expect_err(change);
        let placed = error.problems().iter().any(|problem| problem.location.is_some());
        assert!(placed, "{number}: {change}: {error:?}");
        assert_eq!(keyring.snapshot().generation(), 1, "{number}: {change}");
        refused += 1;
    }
    assert_eq!(refused, 300);
    assert!(keyring.label(SIGN).unwrap().sign(b"x").is_ok());
    // Too large is refused before it is read.
    let huge = std::fs::File::create(place.path("huge")).unwrap();
    huge.set_len(64 << 20).unwrap();
    std::fs::rename(place.path("huge"), place.path("claviger.toml")).unwrap();
    assert!(keyring.reload().unwrap_err().to_string().contains("larger than 16 MiB"));
    place.replace("claviger.toml", &good);
    keyring.reload().unwrap();
}

#[test]
fn a_file_that_is_being_written_never_serves() {
    use std::io::Write;

    const SECRET: &str = "am.global.services.secret.pem.decryption";
    let place = Place::new("watch");
    let file = format!("secrets/{SECRET}");
    // Any part of them would be a password as well: nothing but patience tells it from a whole one.
    let values = ["first-".repeat(12), "second-".repeat(11), "third-".repeat(13)];
    place.write(&file, &values[0]);
    let keyring = place.open();
    let (signing, secret) = (keyring.label(SIGN).unwrap(), keyring.label(SECRET).unwrap());
    let token = signing.sign(b"x").unwrap();
    let shown = || secret.reveal(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).unwrap();

    let done = AtomicBool::new(false);
    let checked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert!(signing.verify(&token).is_ok(), "a mapped alias does not verify");
                let now = shown();
                assert!(values.contains(&now), "half a value serves: {now}");
                checked.fetch_add(1, Ordering::Relaxed);
            }
        });
        for round in 0..40 {
            let mut writer = std::fs::File::create(place.path(&file)).unwrap();
            for step in values[round % 2].as_bytes().chunks(7) {
                writer.write_all(step).unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        std::fs::write(place.path(&file), &values[2]).unwrap();
        until("the last value", || shown() == values[2]);
        done.store(true, Ordering::Relaxed);
    });
    assert!(checked.load(Ordering::Relaxed) > 100);
    assert!(keyring.status().is_healthy());
}

#[test]
fn what_is_being_written_is_named_and_holds_up_nothing_else() {
    use std::io::Write;

    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u64;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                let mut writer = std::fs::File::create(place.path("secrets/a.b")).unwrap();
                write!(writer, "{number}").unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let waits = || keyring.status().waiting.contains(&"store \"passwords\"".to_owned());
        until("the store by name", waits);
        place.replace(&format!("macs/{MAC}.v2"), mac_key(2));
        heard.wait(
            "the other store",
            |told| matches!(told, Told::Taken(_, diff) if !diff.labels.is_empty()),
        );
        assert_eq!(active(&keyring, MAC), format!("{MAC}.v2"));
        done.store(true, Ordering::Relaxed);
    });
    until("the end of it", || keyring.status().waiting.is_empty());
}

/// Runs `work` while a text is being written in place, and until that is done; what was written comes back too. A
/// writer that the machine holds up looks like one that is done: then it is done again, with another text.
fn while_writing<T>(path: &std::path::Path, text: &str, work: impl Fn() -> T) -> (T, String) {
    use std::io::Write;

    for number in 0..100 {
        let text = &format!("{number} {text}");
        let (made, longest) = std::thread::scope(|scope| {
            let (step_done, steps) = std::sync::mpsc::channel();
            let writer = scope.spawn(move || {
                let mut file = std::fs::File::create(path).unwrap();
                let mut longest = Duration::ZERO;
                for step in text.as_bytes().chunks(7) {
                    let begun = Instant::now();
                    file.write_all(step).unwrap();
                    step_done.send(()).unwrap();
                    std::thread::sleep(Duration::from_millis(5));
                    longest = longest.max(begun.elapsed());
                }
                longest
            });
            steps.recv().unwrap();
            (work(), writer.join().unwrap())
        });
        if longest < Duration::from_millis(40) {
            return (made, text.clone());
        }
    }
    panic!("this machine holds every writer up");
}

#[test]
fn opening_and_reloading_by_hand_wait_for_a_writer() {
    const SECRET: &str = "am.global.services.secret.pem.decryption";
    let place = Place::new("off");
    let path = place.path(&format!("secrets/{SECRET}"));
    let shown = |keyring: &Keyring| {
        let label = keyring.label(SECRET).unwrap();
        label.reveal(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).unwrap()
    };
    let (keyring, text) = while_writing(&path, &"first-".repeat(20), || place.open());
    assert_eq!(shown(&keyring), text);
    let ((), text) =
        while_writing(&path, &"second-".repeat(20), || drop(keyring.reload().unwrap()));
    assert_eq!(shown(&keyring), text);
    let once = || Keyring::open_once(&place.path("claviger.toml")).unwrap();
    let (keyring, text) = while_writing(&path, &"third-".repeat(20), once);
    assert_eq!(shown(&keyring), text);
}

#[test]
fn equal_size_and_time_with_other_content_is_found_by_polling() {
    let place = Place::new("1s");
    let (keyring, heard) = place.follow();
    assert!(!keyring.status().watching);
    let path = place.path(&format!("macs/{MAC}.v1"));
    let token = keyring.label(MAC).unwrap().sign(b"x").unwrap();
    let facts = path.metadata().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::io::Write::write_all(&mut &file, mac_key(7).as_bytes()).unwrap();
    let times = std::fs::FileTimes::new().set_modified(facts.modified().unwrap());
    file.set_times(times).unwrap();
    drop(file);
    assert_eq!(path.metadata().unwrap().modified().unwrap(), facts.modified().unwrap());
    heard.taken("the poll");
    assert!(keyring.label(MAC).unwrap().verify(&token).is_err());
}

#[test]
fn many_quick_changes_are_few_reloads() {
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let begun = Instant::now();
    for round in 0..200 {
        let order = if round % 2 == 0 { ["b", "a"] } else { ["a", "b"] };
        place.replace("claviger.toml", format!("{}# {round}\n", config("watch", &order)));
    }
    place.replace("claviger.toml", config("watch", &["c"]));
    until("the last one", || active(&keyring, SIGN) == "c");
    // A burst is looked at after 20 ms of quiet: a slow machine makes several of this one.
    let bursts = 20 + usize::try_from(begun.elapsed().as_millis()).unwrap() / 20;
    assert!(heard.count() <= bursts, "{} reloads of 201 changes", heard.count());
}

#[test]
fn the_thread_ends_with_the_last_clone() {
    struct Ends(Arc<(Mutex<bool>, Condvar)>);
    impl Drop for Ends {
        fn drop(&mut self) {
            *self.0.0.lock().unwrap() = true;
            self.0.1.notify_all();
        }
    }
    thread_local! {
        static GUARD: std::cell::RefCell<Option<Ends>> = const { std::cell::RefCell::new(None) };
    }
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let ended = Arc::new((Mutex::new(false), Condvar::new()));
    let of_thread = Arc::clone(&ended);
    // Told on the thread that watches; what it keeps there is dropped when the thread ends.
    keyring.on_reload(move |_| {
        GUARD.with(|guard| *guard.borrow_mut() = Some(Ends(Arc::clone(&of_thread))));
    });
    place.replace("claviger.toml", config("watch", &["b"]));
    heard.taken("a change");
    until("the listener", || Arc::strong_count(&ended) > 2);
    let clone = keyring.clone();
    drop(keyring);
    assert!(!*ended.0.lock().unwrap(), "a clone still watches");
    drop(clone);
    let (ended, _) =
        ended.1.wait_timeout_while(ended.0.lock().unwrap(), SOON, |ended| !*ended).unwrap();
    assert!(*ended, "the thread lives on");
}

#[test]
fn a_new_configuration_is_watched_where_it_points() {
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    place.make_dir("elsewhere/deep");
    place.write(&format!("elsewhere/deep/{MAC}.v1"), &mac_key(4));
    let text = config("watch", &["a"]).replace("\"macs\"\nformat", "\"elsewhere/deep\"\nformat");
    place.replace("claviger.toml", text);
    heard.taken("the new directory");
    place.replace(&format!("elsewhere/deep/{MAC}.v2"), mac_key(5));
    heard.taken("a change in it");
    assert_eq!(active(&keyring, MAC), format!("{MAC}.v2"));
    assert!(keyring.status().files.contains(&place.path("elsewhere/deep")));
    // From watching to nothing, and by hand back again.
    place.replace("claviger.toml", config("off", &["a"]));
    heard.taken("off");
    until("no watch", || !keyring.status().watching);
    place.replace("claviger.toml", config("watch", &["b"]));
    keyring.reload().unwrap();
    until("watching again", || keyring.status().watching);
    place.replace("claviger.toml", config("watch", &["c"]));
    until("a change", || active(&keyring, SIGN) == "c");
}

#[test]
fn leases_are_renewed_and_told_when_they_run_out() {
    let place = Place::new("off");
    let text = config("off", &["a"])
        .replace("directory = \"macs\"", "directory = \"macs\"\nlease = \"1s\"");
    place.write("claviger.toml", &text);
    let (keyring, heard) = place.follow();
    place.replace(&format!("macs/{MAC}.v2"), mac_key(2));
    heard.taken("the lease");
    assert_eq!(active(&keyring, MAC), format!("{MAC}.v2"));
    let stale = || {
        let status = keyring.status();
        status.stores.iter().find(|store| store.name.as_str() == "macs").unwrap().stale
    };
    std::fs::rename(place.path("macs"), place.path("away")).unwrap();
    until("stale", stale);
    assert!(!keyring.status().is_healthy());
    assert!(keyring.label(MAC).unwrap().sign(b"x").is_ok(), "the last good values serve");
    std::fs::rename(place.path("away"), place.path("macs")).unwrap();
    until("fresh", || !stale() && keyring.status().is_healthy());
}

#[test]
fn a_listener_that_panics_does_not_end_the_watching() {
    let place = Place::new("watch");
    let keyring = place.open();
    keyring.on_reload(|_| panic!("a listener of a test panics: this is expected"));
    let heard = Heard::of(&keyring);
    for order in [["b", "a"], ["a", "b"]] {
        place.replace("claviger.toml", config("watch", &order));
        heard.taken("a change");
    }
}

#[test]
fn the_status_says_what_serves() {
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    until("watching", || keyring.status().watching);
    let status = keyring.status();
    assert_eq!((status.generation, status.reload), (1, "watch"));
    assert!(status.is_healthy() && status.waiting.is_empty());
    let names: Vec<&str> = status.stores.iter().map(|store| store.name.as_str()).collect();
    assert_eq!(names, ["passwords", "macs", "keys"]);
    assert_eq!(status.stores[2].aliases, 3);
    for name in ["claviger.toml", "keys.p12", "macs", "secrets"] {
        assert!(status.files.contains(&place.path(name)), "{name}");
    }
    // Equal in another process that serves the same; another order is another content.
    assert_eq!(status.content, place.open().status().content);
    place.replace("claviger.toml", config("watch", &["b", "a"]));
    heard.taken("another order");
    assert_ne!(status.content, keyring.status().content);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(["status", "--json", "-c"])
        .arg(place.path("claviger.toml"))
        .output()
        .unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["content"], keyring.status().content);
    assert_eq!(shown["stores"][2]["name"], "keys");
    let json = serde_json::to_string(&keyring.status()).unwrap();
    assert!(json.contains("\"generation\":2") && !json.contains(PASSWORD), "{json}");
}

#[test]
fn a_keyring_that_is_opened_once_starts_no_thread() {
    if !alone("reload::a_keyring_that_is_opened_once_starts_no_thread", None) {
        return;
    }
    let threads = || -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let comm = |task: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default()
        };
        tasks.map(comm).map(|name| name.trim().to_owned()).collect()
    };
    let place = Place::new("watch");
    let once = Keyring::open_once(&place.path("claviger.toml")).unwrap();
    assert!(!threads().iter().any(|name| name.starts_with("claviger")), "{:?}", threads());
    once.follow().unwrap();
    until("the thread", || threads().iter().any(|name| name.starts_with("claviger-reload")));
    let before = open_descriptors();
    for _ in 0..50 {
        drop(place.open());
    }
    until("every thread to end", || open_descriptors() <= before + 8);
    drop(once);
    until("the end", || !threads().iter().any(|name| name.starts_with("claviger")));
}
