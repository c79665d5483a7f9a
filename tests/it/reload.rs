//! Hot reload with real files: every way in which they change is followed.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
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
pub(crate) const SOON: Duration = Duration::from_secs(20);

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

    pub(crate) fn count(&self) -> usize {
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

pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Runs a test again in a process of its own, as user `uid` if that is given and possible.
pub(crate) fn alone(name: &str, uid: Option<u32>) -> bool {
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
