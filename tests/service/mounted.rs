//! A secret volume of Kubernetes under load: its link `..data` is swapped, with keys and the server certificate behind it,
//! and no client notices.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{Home, LONG, Over, PLAIN};
use crate::tls_client::TlsClient;

const TOKENS: &str = "app.tokens";

/// Swaps.
const GENERATIONS: u64 = 12;

/// How many versions a generation has: what was signed under the one before still verifies.
const KEPT: u64 = 3;

/// Puts a generation in the place of the one before, as the kubelet does it, and takes that away.
fn swap(home: &Home, number: u64) {
    let volume = home.path("volume");
    let folder = volume.join(format!("..2026_{number}"));
    fs::create_dir_all(&folder).unwrap();
    for version in number.saturating_sub(KEPT - 1).max(1)..=number {
        for label in [TOKENS, "app.https"] {
            let file = format!("{label}.v{version}");
            fs::copy(home.path(&file), folder.join(&file)).unwrap();
        }
    }
    let old = fs::read_link(volume.join("..data")).ok();
    symlink(folder.file_name().unwrap(), volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    if let Some(old) = old {
        fs::remove_dir_all(volume.join(old)).unwrap();
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

/// Every version of both labels, beside the volume; the first generation in it.
fn home() -> Home {
    let home = Home::new(PLAIN);
    for version in 1..=GENERATIONS {
        let name = format!("server-{version}");
        home.leaf("ca", &name, "subjectAltName=DNS:localhost");
        home.authority("tokens");
        let key = read(&home.path("tokens.key"));
        fs::write(home.path(&format!("{TOKENS}.v{version}")), key).unwrap();
        let pair = ["key", "pem"].map(|end| read(&home.path(&format!("{name}.{end}"))));
        fs::write(home.path(&format!("app.https.v{version}")), pair.concat()).unwrap();
    }
    swap(&home, 1);
    let text = format!(
        "[keyring]\nreload = \"watch\"\n\
         [stores.mounted]\nkind = \"volume\"\ndirectory = \"../volume\"\nformat = \"pem\"\n\
         version_suffix = \".v\"\npermissions = \"ignore\"\n\
         [labels.\"{TOKENS}\"]\nuse = \"sign\"\nalgorithms = [\"ES256\"]\n[labels.\"app.https\"]\nuse = \"mtls\"\n\
         [[callers]]\nname = \"anybody\"\nanonymous = true\n\
         [[grants]]\ncallers = [\"anybody\"]\nrights = [\"sign\", \"verify\"]\nlabels = [\"{TOKENS}\"]\n\
         [service]\nlisten = [\"127.0.0.1:0\"]\ncertificate = {{ label = \"app.https\" }}\n"
    );
    fs::write(home.config(), text).unwrap();
    home
}

fn ask(client: &mut TlsClient, what: &str, body: &Value) -> Value {
    let answer = client.post(&format!("/v1/labels/{TOKENS}/{what}"), None, body).unwrap();
    assert_eq!(answer.status, 200, "{what}: {}", answer.body);
    answer.body
}

#[test]
fn certificate_files_behind_the_link_are_followed_under_load() {
    let home = Home::new(PLAIN);
    let volume = home.path("volume");
    for version in 0..6 {
        let name = format!("server-{version}");
        home.leaf("ca", &name, "subjectAltName=DNS:localhost");
    }
    let swap = |version: u32| {
        let folder = volume.join(format!("..2026_{version}"));
        fs::create_dir_all(&folder).unwrap();
        for end in ["pem", "key"] {
            let from = home.path(&format!("server-{version}.{end}"));
            fs::copy(from, folder.join(format!("tls.{end}"))).unwrap();
        }
        symlink(folder.file_name().unwrap(), volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    };
    swap(0);
    for file in ["tls.pem", "tls.key"] {
        symlink(format!("..data/{file}"), volume.join(file)).unwrap();
    }
    home.configure(
        "listen = [\"127.0.0.1:0\"]\n\
         certificate = { chain = \"../volume/tls.pem\", key = \"../volume/tls.key\" }\n",
    );
    let mut served = home.serve();
    let address = served.address();
    let path = "/v1/labels/am.services.oauth2.oidc.signing.ES256/sign";
    let (over, turns) = (Over::default(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let load_ends = over.once_dropped();
        let load = || {
            let mut kept = TlsClient::at(&home, address, None).unwrap();
            while !over.is_so() {
                let mut fresh = TlsClient::at(&home, address, None).unwrap();
                for client in [&mut kept, &mut fresh] {
                    assert_eq!(
                        client.post(path, None, &json!({"claims": {}})).unwrap().status,
                        200
                    );
                }
                turns.fetch_add(1, Ordering::Relaxed);
            }
        };
        let clients = [scope.spawn(load), scope.spawn(load)];
        let until = Instant::now() + LONG;
        for version in 1..6 {
            swap(version);
            served.signal("HUP");
            served.wait_for("the server certificate was read again");
            let fresh = TlsClient::at(&home, address, None).unwrap();
            assert_eq!(fresh.server(), format!("server-{version}"));
            let before = turns.load(Ordering::Relaxed);
            while turns.load(Ordering::Relaxed) < before + 4 {
                assert!(Instant::now() < until, "swap {version}");
                assert!(clients.iter().all(|client| !client.is_finished()), "a client failed");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        drop(load_ends);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
}

#[test]
fn every_swap_is_taken_under_load_and_nothing_fails() {
    let home = home();
    let mut served = home.serve();
    let address = served.address();
    let connect = || TlsClient::at(&home, address, None).unwrap();
    let (over, turns) = (Over::default(), [AtomicU64::new(0), AtomicU64::new(0)]);
    std::thread::scope(|scope| {
        let load_ends = over.once_dropped();
        let load = |mine: &'_ AtomicU64| {
            let mut kept = connect();
            let mut last = ask(&mut kept, "sign", &json!({"claims": {}}))["token"].clone();
            while !over.is_so() {
                // What was signed over one connection is verified over another, and with the next key.
                let mut fresh = connect();
                let token = ask(&mut fresh, "sign", &json!({"claims": {}}))["token"].clone();
                for token in [&token, &last] {
                    ask(&mut kept, "verify", &json!({"token": token}));
                }
                last = token;
                mine.fetch_add(1, Ordering::Relaxed);
            }
        };
        let clients = turns.each_ref().map(|mine| scope.spawn(move || load(mine)));
        let until = Instant::now() + LONG;
        for number in 2..=GENERATIONS {
            let before = turns.each_ref().map(|mine| mine.load(Ordering::Relaxed));
            swap(&home, number);
            let alias = format!("{TOKENS}.v{number}");
            let taken = || {
                let mut fresh = connect();
                fresh.server() == format!("server-{number}")
                    && ask(&mut fresh, "sign", &json!({"claims": {}}))["alias"] == json!(alias)
            };
            let went_on = || {
                let all = turns.iter().zip(before);
                all.into_iter().all(|(mine, before)| mine.load(Ordering::Relaxed) >= before + 3)
            };
            while !(taken() && went_on()) {
                assert!(Instant::now() < until, "swap {number}");
                assert!(clients.iter().all(|client| !client.is_finished()), "a client failed");
            }
        }
        drop(load_ends);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    // That a folder is gone is no news each time.
    served.signal("TERM");
    served.wait_for("stopped");
    assert!(served.said("generation") && !served.said("watches"));
}
