//! Planted secrets never come out: not in logs, errors, `Debug`, panics or anything the program prints.

use std::fmt::Debug;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use claviger::crypto::Key;
use claviger::formats::{self, Limits, Passwords};
use claviger::secret::{SecretBytes, SecretString};
use claviger::{Config, Keyring};

use crate::support::hex;
use crate::wiping::{LABELS, plant};

/// Fails to compile if the type has one of the traits: then two candidates answer to one name.
macro_rules! lacks {
    ($type:ty: $($trait:path),+) => {
        $(const _: fn() = || {
            trait Ambiguous<A> {
                fn candidate() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Has;
            impl<T: ?Sized + $trait> Ambiguous<Has> for T {}
            let _ = <$type as Ambiguous<_>>::candidate;
        };)+
    };
}

lacks!(SecretBytes: Clone, std::fmt::Display, serde::Serialize, PartialEq, std::hash::Hash, AsRef<[u8]>);
lacks!(SecretString: Clone, std::fmt::Display, serde::Serialize, PartialEq, std::hash::Hash, AsRef<str>);
lacks!(Key: std::fmt::Display, serde::Serialize, PartialEq, std::hash::Hash);

const CHILD: &str = "CLAVIGER_CANARY_CHILD";

/// Everything that bytes can look like in a text; enough of them to be no chance.
fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let part = &bytes[..bytes.len().min(24)];
    let mut forms = vec![part.to_vec(), hex(part).into_bytes()];
    forms.push(hex(part).to_uppercase().into_bytes());
    let decimal: Vec<String> = part[..6].iter().map(u8::to_string).collect();
    forms.push(decimal.join(", ").into_bytes());
    forms.push(decimal.join(",").into_bytes());
    // Inside other data base64 may begin at any of three places; its first and last digits then differ.
    for from in 0..3 {
        let whole = (part.len() - from) / 3 * 3;
        let text = STANDARD_NO_PAD.encode(&part[from..from + whole]);
        forms.push(text.replace('+', "-").replace('/', "_").into_bytes());
        forms.push(text.into_bytes());
    }
    forms
}

/// The secrets as they might be printed, by name.
struct Canaries(Vec<(String, Vec<u8>)>);

impl Canaries {
    fn plant(folder: &Path) -> Self {
        let planted = plant(folder);
        let whole = planted.whole.iter().filter(|(_, bytes)| bytes.len() >= 12);
        let spread = |(name, bytes): &(String, Vec<u8>)| {
            forms(bytes).into_iter().map(|form| (name.clone(), form)).collect::<Vec<_>>()
        };
        Self(whole.flat_map(spread).collect())
    }

    fn also(&mut self, name: &str, text: &str) {
        self.0.extend(forms(text.as_bytes()).into_iter().map(|form| (name.to_owned(), form)));
    }

    fn assert_absent(&self, what: &str, output: &Output) {
        for stream in [&output.stdout, &output.stderr] {
            for (name, form) in &self.0 {
                assert!(
                    memchr::memmem::find(stream, form).is_none(),
                    "{what}: {name} as {:?} in\n{}",
                    String::from_utf8_lossy(form),
                    String::from_utf8_lossy(stream)
                );
            }
        }
    }
}

/// Ways to break a store so that every reader has something to say.
fn break_stores(folder: &Path, case: usize) -> bool {
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    let replace = |name: &str, from: &str, to: &str| {
        let text = String::from_utf8(read(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        write(name, text.replacen(from, to, 1).as_bytes());
    };
    let cut = |name: &str| {
        let bytes = read(name);
        write(name, &bytes[..bytes.len() * 3 / 4]);
    };
    match case {
        0 => write("plain/storepass", WRONG.as_bytes()),
        1 => cut("keys.p12"),
        2 => cut("jwk/app.jwk.hmac"),
        3 => replace("jwk/app.jwk.ec", "\"d\":", "\"d\":1,\"d\":"),
        4 => replace("jwk/app.jwk.rsa", "\"kty\":\"RSA\"", "\"kty\":\"EC\",\"crv\":\"P-256\""),
        5 => replace("jwk/app.jwk.hmac", "\"k\":\"", "\"k\":\"?"),
        6 => write("pem.txt", WRONG.as_bytes()),
        7 => cut("pem/app.pem"),
        8 => write("base64/app.encoded", &[&read("base64/app.encoded")[..20], b"?!"].concat()),
        9 => write("seal.key", WRONG.as_bytes()),
        10 => write("sealed/app.sealed", &read("base64/app.encoded")),
        11 => write("plain/storepass", &[&read("plain/storepass")[..], b"\xff"].concat()),
        12 => write("java.txt", &read("plain/storepass")),
        13 => cut("legacy.jks"),
        14 => cut("legacy.jceks"),
        15 => replace("claviger.toml", "{ label = \"storepass\" }", &format!("\"{WRONG}\"")),
        16 => replace(
            "claviger.toml",
            "store_password = ",
            &format!("password = \"{WRONG}\"\nstore_password = "),
        ),
        17 => {
            replace("claviger.toml", "key = { file = \"seal.key\" }", &format!("key = \"{WRONG}"))
        }
        18 => write("jwk/app.jwk.rsa", &read("plain/storepass")),
        19 => write("keys.p12", &read("plain/storepass")),
        20 => replace("jwk/app.jwk.ec", "\"y\":\"", "\"y\":\"AAAA"),
        _ => return false,
    }
    true
}

/// What an operator typed by mistake is a secret too.
const WRONG: &str = "mistyped-canary-7Qz4vT9x";

/// Writes every record, of every target and level, to stderr.
struct Everything;

impl log::Log for Everything {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        println!("log {} {}: {}", record.level(), record.target(), record.args());
    }

    fn flush(&self) {}
}

fn show(what: &str, value: &dyn Debug) {
    println!("{what}: {value:?}\n{value:#?}");
}

/// The child: shows whatever the library has to say about the folder, then panics over it.
fn say_everything(folder: &Path) {
    log::set_logger(&Everything).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let path = folder.join("claviger.toml");
    show("parsed", &Config::parse(&std::fs::read_to_string(&path).unwrap(), &path));
    show("checked", &claviger::keyring::check(&path, &claviger::clock::Clock::system()));
    for name in ["keys.p12", "legacy.jks", "pem/app.pem", "jwk/app.jwk.rsa"] {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let text = std::fs::read_to_string(folder.join("plain/storepass")).unwrap_or_default();
        let password = SecretString::from_string(text);
        for store in [None, Some(&password)] {
            let passwords = Passwords { store, entry: None };
            show(name, &passwords);
            show(name, &formats::open(&bytes, None, &passwords, &Limits::default(), false));
        }
    }
    let keyring = Keyring::open(&path);
    show("keyring", &keyring);
    if let Ok(keyring) = keyring {
        show("snapshot", &keyring.snapshot());
        show("config", &keyring.config());
        show("warnings", &keyring.warnings());
        for name in LABELS {
            let Ok(label) = keyring.label(name) else { continue };
            show(name, &label);
            let keys = label.keys().unwrap();
            show(name, &keys);
            show(name, &keyring.explain(label.name(), None));
            for token in ["", "a.b.c", "{}"] {
                show(name, &label.verify(token));
                show(name, &label.decrypt(token));
            }
            show(name, &label.encrypt(b"x").map(|token| label.decrypt(&token)));
            show(name, &keys.active().unseal("claviger:v1:AAAA"));
        }
        show("reloaded", &keyring.reload().is_ok());
        panic!("over {keyring:?} {:?}", keyring.snapshot());
    }
    panic!("over {:?}", Keyring::open(&path));
}

/// Runs `look` on a whole folder and on every broken one; the secrets are planted once.
fn in_every_case(look: impl Fn(usize, &Path, &Canaries) + Sync) {
    let planted = tempfile::tempdir().unwrap();
    let mut canaries = Canaries::plant(planted.path());
    canaries.also("a mistyped password", WRONG);
    std::thread::scope(|scope| {
        for first in 0..2 {
            let (planted, canaries, look) = (planted.path(), &canaries, &look);
            scope.spawn(move || {
                for case in (first..).step_by(2) {
                    let folder = tempfile::tempdir().unwrap();
                    copy_folder(planted, folder.path());
                    if case != JCEKS_CASE {
                        without_jceks(folder.path());
                    }
                    if case > 0 && !break_stores(folder.path(), case - 1) {
                        break;
                    }
                    look(case, folder.path(), canaries);
                }
            });
        }
    });
}

/// The case that breaks the JCEKS keystore; elsewhere its key derivation would only take time.
const JCEKS_CASE: usize = 15;

fn without_jceks(folder: &Path) {
    let path = folder.join("claviger.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("[stores.jceks]").unwrap();
    let (_, after) = rest.split_once("[stores.encoded]").unwrap();
    std::fs::write(path, format!("{before}[stores.encoded]{after}")).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn the_library_says_no_secret() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return say_everything(Path::new(&folder));
    }
    in_every_case(|case, folder, canaries| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["canary::the_library_says_no_secret", "--exact", "--nocapture"])
            .env(CHILD, folder)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("panicked at") && told.contains("over "), "{told}");
        canaries.assert_absent(&format!("case {case}"), &output);
    });
}

#[test]
fn the_program_prints_no_secret() {
    let label = "am.services.oauth2.oidc.signing.ES256";
    let check: &[&[&str]] = &[&["check"]];
    let all: &[&[&str]] = &[
        &["check"],
        &["labels"],
        &["explain", label],
        &["jwks"],
        &["sign", "--label", label, "--in", "java.txt"],
        &["verify", "--label", label, "--in", "keys.p12"],
        &["decrypt", "--label", "app.seal", "--in", "java.txt"],
        &["decode", "--key-file", "seal.key", "--in", "base64/app.encoded"],
        &["inspect", "keys.p12", "--store-password-file", "plain/storepass"],
        &["inspect", "jwk/app.jwk.rsa"],
        &["inspect", "pem/app.pem", "--store-password-file", "pem.txt"],
        &[
            "generate",
            "es256",
            "--type",
            "ec",
            "--store",
            "keys.p12",
            "--store-password-file",
            "pem.txt",
        ],
        &[
            "import",
            "legacy.jks",
            "--source-password-file",
            "pem.txt",
            "--store",
            "new.p12",
            "--store-password-file",
            "plain/storepass",
        ],
    ];
    in_every_case(|case, folder, canaries| {
        // Where nothing is broken, every command; where something is, the one that says all of it.
        for arguments in if case == 0 { all } else { check } {
            for flags in [&["-v"][..], &["--json", "-v"]] {
                let output = Command::new(env!("CARGO_BIN_EXE_claviger"))
                    .current_dir(folder)
                    .args(flags)
                    .args(*arguments)
                    .env("RUST_LOG", "trace")
                    .env("RUST_BACKTRACE", "full")
                    .output()
                    .unwrap();
                canaries.assert_absent(&format!("case {case}, {arguments:?} {flags:?}"), &output);
            }
        }
    });
}

/// The library takes no secret from its arguments, and the program has no option for one.
#[test]
fn no_option_takes_a_secret_itself() {
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_claviger")).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let commands = help(&["--help"]);
    let names = commands.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for name in names.lines().filter_map(|line| line.split_whitespace().next()) {
        for line in help(&[name, "--help"]).lines().map(str::trim) {
            let option = line.split_whitespace().find(|word| word.starts_with("--"));
            let secret = option.is_some_and(|option| {
                ["password", "secret", "key", "pin"].iter().any(|word| option.contains(word))
            });
            let option = option.unwrap_or_default();
            assert!(
                !secret || option.ends_with("-file") || option.ends_with("-env"),
                "{name} {line}"
            );
        }
    }
}
