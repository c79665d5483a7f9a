//! What loading and reloading cost, against what cannot be avoided in the same run.
//!
//! `cargo bench --bench load`. The input: 1,000 EC P-256 pairs with certificates behind one label, in
//! PKCS#12 (PBES2) and JCEKS, both of 10,000 rounds an entry, and in a volume of PEM files. keytool's 200,000
//! rounds an entry would be beyond the bound of a container, 20,000,000 rounds: it is asked for fewer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a bench"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use claviger::Keyring;
use claviger::alg::Curve;
use claviger::crypto::generate::{KeySpec, generate};
use claviger::crypto::{Key, certificate, random};
use claviger::formats::{self, Entry, Limits, Material, Passwords, pem, pkcs12};
use claviger::secret::SecretString;

const ALIASES: usize = 1_000;
const STORES: usize = 50;
const LABEL: &str = "am.services.oauth2.oidc.signing.ES256";
const MAC: &str = "am.services.iot.jwt.issuer.signing";
const PASSWORD: &str = "a-password-of-benches";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|one| one == "--resident") {
        return resident(Path::new(&arguments[at + 1]));
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let processors = std::thread::available_parallelism().unwrap();
    println!("{ALIASES} aliases, {processors} processors\n");
    loads(root);
    many_stores(root);
    changes(root);
    readers(root);
}

/// One line of the table: ours, what cannot be avoided, the ratio.
fn row(what: &str, ours: Duration, unavoidable: Duration) {
    let ratio = ours.as_secs_f64() / unavoidable.as_secs_f64();
    println!("{what:<44} {:>9.1} ms  {:>9.1} ms  {ratio:>5.2}", ms(ours), ms(unavoidable));
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let made = work();
    (made, begun.elapsed())
}

/// The best of three: what the machine can do, not what else it did meanwhile.
fn best(mut work: impl FnMut()) -> Duration {
    (0..3).map(|_| timed(&mut work).1).min().unwrap()
}

fn entries(count: usize) -> Vec<Entry> {
    let make = |index: usize| {
        let pkcs8 = generate(KeySpec::Curve(Curve::P256)).unwrap();
        let key = Key::from_private(&pkcs8, Vec::new()).unwrap();
        let serial = random::bytes().unwrap();
        let (from, to) = (1_700_000_000, 2_500_000_000);
        let made = certificate::self_signed(&key, "CN=bench", serial, from, to).unwrap();
        let mut entry = Entry::new(format!("key-{index}"), Material::PrivateKey(pkcs8));
        entry.chain.extend(made);
        entry
    };
    (0..count).map(make).collect()
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Renamed into place, as the README advises.
    let aside = path.with_extension("aside");
    std::fs::write(&aside, bytes).unwrap();
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(aside, path).unwrap();
}

fn keystore_config(file: &str, aliases: impl Iterator<Item = usize>) -> String {
    let aliases: Vec<String> = aliases.map(|index| format!("\"key-{index}\"")).collect();
    format!(
        "[keyring]\nreload = \"watch\"\n[stores.keys]\nkind = \"keystore\"\npath = \"{file}\"\n\
         store_password = {{ file = \"password\" }}\n[stores.keys.mappings]\n\"{LABEL}\" = [{}]\n",
        aliases.join(", ")
    )
}

fn loads(root: &Path) {
    println!("{:<44} {:>12}  {:>12}  {:>5}", "load", "ours", "unavoidable", "ratio");
    write(&root.join("password"), PASSWORD);
    let made = entries(ALIASES);
    let password = SecretString::from_string(PASSWORD.into());
    write(&root.join("keys.p12"), pkcs12::write(&made, &password).unwrap());
    write(&root.join("p12.toml"), keystore_config("keys.p12", 0..ALIASES));
    report(root, "PKCS#12", "p12.toml", &[root.join("keys.p12")]);

    if to_jceks(root) {
        write(&root.join("jceks.toml"), keystore_config("keys.jceks", 0..ALIASES));
        report(root, "JCEKS", "jceks.toml", &[root.join("keys.jceks")]);
    } else {
        println!("JCEKS: keytool is absent");
    }

    let mut files = Vec::new();
    for (index, entry) in made.iter().enumerate() {
        let path = root.join("pem").join(format!("{LABEL}.v{}", index + 1));
        let text = pem::write(std::slice::from_ref(entry), false).unwrap();
        write(&path, text.expose_secret());
        files.push(path);
    }
    let text = "[keyring]\nreload = \"watch\"\n[stores.pem]\nkind = \"volume\"\ndirectory = \"pem\"\n\
                format = \"pem\"\nversion_suffix = \".v\"\n";
    write(&root.join("pem.toml"), text);
    report(root, "PEM volume", "pem.toml", &files);
    println!();
}

fn to_jceks(root: &Path) -> bool {
    let output = Command::new("keytool")
        .args(["-J-Djdk.jceks.iterationCount=10000", "-importkeystore", "-noprompt"])
        .args(["-srcstoretype", "pkcs12", "-deststoretype", "jceks"])
        .args(["-srcstorepass", PASSWORD, "-deststorepass", PASSWORD])
        .arg("-srckeystore")
        .arg(root.join("keys.p12"))
        .arg("-destkeystore")
        .arg(root.join("keys.jceks"))
        .output();
    output.is_ok_and(|output| output.status.success())
}

/// Ours against reading, deriving, parsing and proving each key, with the keys spread over all processors.
fn report(root: &Path, name: &str, config: &str, files: &[PathBuf]) {
    let config = root.join(config);
    let processors = std::thread::available_parallelism().unwrap().get();
    let open = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        let password = SecretString::from_string(PASSWORD.into());
        let passwords = Passwords { store: Some(&password), entry: None };
        formats::open(&bytes, None, &passwords, &Limits::default(), true).unwrap().entries
    };
    let opening = best(|| drop(files.iter().map(open).collect::<Vec<_>>()));
    let made: Vec<Entry> = files.iter().flat_map(open).collect();
    let prove = |entry: &Entry| match &entry.material {
        Material::PrivateKey(pkcs8) => Key::from_private(pkcs8, entry.chain.clone()).unwrap(),
        other => unreachable_material(other),
    };
    let proving = best(|| drop(made.iter().map(prove).collect::<Vec<_>>()));
    // The files of a volume are parsed on all processors too.
    let opening = if files.len() > 1 { opening / processors as u32 } else { opening };
    let unavoidable = opening + proving / processors as u32;
    let ours = best(|| drop(Keyring::open_once(&config).unwrap()));
    row(&format!("{name}: open"), ours, unavoidable);
    let keyring = Keyring::open_once(&config).unwrap();
    row(
        &format!("{name}: reload, nothing changed"),
        best(|| drop(keyring.reload().unwrap())),
        ours,
    );
    drop(keyring);
    let count = made.len();
    let per_alias = [0, 1].map(|_| resident_of(&config)).into_iter().min().unwrap() / count;
    println!("{:<44} {per_alias:>9} bytes an alias", format!("{name}: resident memory"));
}

fn unreachable_material(material: &Material) -> Key {
    println!("unexpected {material:?}");
    std::process::exit(1)
}

fn resident_of(config: &Path) -> usize {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.arg("--resident").arg(config).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// In a process of its own: how much memory a keyring adds once it is open.
fn resident(config: &Path) {
    let pages = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap()
    };
    // One key pays for what every process needs.
    drop(generate(KeySpec::Curve(Curve::P256)).unwrap());
    let before = pages();
    let keyring = Keyring::open_once(config).unwrap();
    println!("{}", (pages() - before) * 4096);
    drop(keyring);
}

fn many_stores(root: &Path) {
    println!(
        "{:<44} {:>12}  {:>12}  {:>5}",
        "50 keystores, 10,000 rounds each", "ours", "one by one", "ratio"
    );
    let password = SecretString::from_string(PASSWORD.into());
    let mut text = String::from("[keyring]\nreload = \"off\"\n");
    let mut files = Vec::new();
    for store in 0..STORES {
        let path = root.join(format!("many/{store}.p12"));
        write(&path, pkcs12::write(&entries(4), &password).unwrap());
        text.push_str(&format!(
            "[stores.s{store}]\nkind = \"keystore\"\nrealm = \"r{store}\"\npath = \"many/{store}.p12\"\n\
             store_password = {{ file = \"password\" }}\n[stores.s{store}.mappings]\n\"{LABEL}\" = [\"key-0\", \"key-1\", \"key-2\", \"key-3\"]\n"
        ));
        files.push(path);
    }
    write(&root.join("many.toml"), &text);
    let serial = best(|| {
        for path in &files {
            let bytes = std::fs::read(path).unwrap();
            let passwords = Passwords { store: Some(&password), entry: None };
            let opened = formats::open(&bytes, None, &passwords, &Limits::default(), true).unwrap();
            for entry in &opened.entries {
                if let Material::PrivateKey(pkcs8) = &entry.material {
                    drop(Key::from_private(pkcs8, entry.chain.clone()).unwrap());
                }
            }
        }
    });
    row("open", best(|| drop(Keyring::open_once(&root.join("many.toml")).unwrap())), serial);
    // The same file and password behind every realm: one derivation.
    let same = (1..STORES)
        .fold(text, |text, store| text.replace(&format!("many/{store}.p12"), "many/0.p12"));
    write(&root.join("same.toml"), same);
    row(
        "open, all the same file",
        best(|| drop(Keyring::open_once(&root.join("same.toml")).unwrap())),
        serial,
    );
    println!();
}

/// From the change of a file to the snapshot, as a listener hears of it.
fn changes(root: &Path) {
    println!("{:<44} {:>12}  {:>12}", "change to snapshot, by inotify", "median", "worst");
    let config = root.join("p12.toml");
    let keyring = Keyring::open(&config).unwrap();
    let (sender, told) = mpsc::channel();
    keyring.on_reload(move |_| sender.send(Instant::now()).unwrap_or(()));
    while !keyring.status().watching {
        std::thread::sleep(Duration::from_millis(1));
    }
    let wait = |change: &dyn Fn(usize)| {
        let mut times: Vec<Duration> = (0..20)
            .map(|round| {
                let begun = Instant::now();
                change(round);
                told.recv_timeout(Duration::from_secs(60)).unwrap() - begun
            })
            .collect();
        times.sort();
        (times[times.len() / 2], times[times.len() - 1])
    };
    let show = |what: &str, (median, worst): (Duration, Duration)| {
        println!("{what:<44} {:>9.1} ms  {:>9.1} ms", ms(median), ms(worst));
    };
    // The first two change places: a rotation.
    let text = |round: usize| {
        keystore_config("keys.p12", [round % 2, 1 - round % 2].into_iter().chain(2..ALIASES))
    };
    show("configuration renamed into place", wait(&|round| write(&config, text(round + 1))));
    show(
        "configuration written in place",
        wait(&|round| std::fs::write(&config, text(round + 1)).unwrap()),
    );
    let password = SecretString::from_string(PASSWORD.into());
    let mut made = entries(ALIASES + 1);
    let mut store = |from: usize| {
        made.rotate_left(from);
        pkcs12::write(&made, &password).unwrap()
    };
    let stores = [store(0), store(1)];
    show(
        "keystore of 1,000 keys renamed into place",
        wait(&|round| write(&root.join("keys.p12"), &stores[round % 2])),
    );
    println!();
}

/// What requests take while nothing happens, and during 1,000 reloads.
fn readers(root: &Path) {
    write(&root.join(format!("macs/{MAC}")), [7; 32]);
    let config = |round: usize| {
        format!(
            "[keyring]\nreload = \"off\"\n[stores.macs]\nkind = \"volume\"\ndirectory = \"macs\"\nformat = \"plain\"\n# {round}\n"
        )
    };
    // 32 bytes of 7 are valid text: a password that serves as MAC key.
    let path = root.join("macs.toml");
    write(&root.join(format!("macs/{MAC}")), base64_of(&[7; 32]));
    write(&path, config(0).replace("\"plain\"", "\"base64\""));
    let keyring = Keyring::open_once(&path).unwrap();
    let label = keyring.label(MAC).unwrap();
    let token = label.sign(br#"{"sub":"alice"}"#).unwrap();
    let stop = AtomicBool::new(false);
    let read = || {
        let mut times = Vec::with_capacity(1 << 22);
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            drop(label.verify(&token).unwrap());
            times.push(u32::try_from(begun.elapsed().as_nanos()).unwrap_or(u32::MAX));
        }
        times.sort_unstable();
        let at = |part: f64| f64::from(times[((times.len() - 1) as f64 * part) as usize]) / 1e3;
        (at(0.5), at(0.99))
    };
    let during = |work: &dyn Fn()| {
        stop.store(false, Ordering::Relaxed);
        std::thread::scope(|scope| {
            let reader = scope.spawn(read);
            work();
            stop.store(true, Ordering::Relaxed);
            reader.join().unwrap()
        })
    };
    let (quiet, loaded): (Vec<_>, Vec<_>) = (0..3)
        .map(|_| {
            let begun = Instant::now();
            let loaded = during(&|| {
                for round in 0..1_000 {
                    write(&path, config(round).replace("\"plain\"", "\"base64\""));
                    keyring.reload().unwrap();
                }
            });
            let took = begun.elapsed();
            // As much work on the other processor, none of it a reload.
            let quiet = during(&|| std::thread::sleep(took.min(Duration::from_secs(2))));
            (quiet, loaded)
        })
        .unzip();
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    println!(
        "{:<44} {:>12}  {:>12}  {:>5}",
        "one reader: HS256 verify", "1000 reloads", "quiet", "ratio"
    );
    for (name, part) in [("p50", 0), ("p99", 1)] {
        let pick = |all: &[(f64, f64)]| {
            median(all.iter().map(|pair| if part == 0 { pair.0 } else { pair.1 }).collect())
        };
        let (loaded, quiet) = (pick(&loaded), pick(&quiet));
        println!("{name:<44} {loaded:>9.2} µs  {quiet:>9.2} µs  {:>5.2}", loaded / quiet);
    }
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
