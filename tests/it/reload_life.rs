//! What readers, listeners and the process may rely on while a keyring reloads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use claviger::Keyring;

use crate::reload::{
    Heard, MAC, PASSWORD, Place, SIGN, SOON, active, alone, config, mac_key, open_descriptors,
    until,
};

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
    if !alone("reload_life::a_keyring_that_is_opened_once_starts_no_thread", None) {
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
