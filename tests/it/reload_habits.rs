//! Hot reload as people and deployments change files: editors, ConfigMaps, two files one after the other, links
//! that lead nowhere, clocks that jump.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use claviger::Keyring;
use claviger::error::ErrorKind;

use crate::reload::{
    MAC, PASSWORD, Place, SIGN, Told, active, config, keystore, mac_key, sealed_with, until,
    with_keys,
};

/// Whether a reload changed a label.
fn changed(told: &Told) -> bool {
    matches!(told, Told::Taken(_, diff) if !diff.labels.is_empty())
}

/// A name, and how it saves a text.
type Editor<'a> = (&'a str, &'a dyn Fn(&str));

#[test]
fn the_configuration_is_followed_through_every_editor() {
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let (file, backup) = (place.path("claviger.toml"), place.path("claviger.toml~"));
    // Of vim with backupcopy=no: the file goes away, another one takes its name, the old one is deleted.
    let renaming = |text: &str| {
        std::fs::write(place.path("4913"), "").unwrap();
        std::fs::remove_file(place.path("4913")).unwrap();
        std::fs::rename(&file, &backup).unwrap();
        std::fs::write(&file, text).unwrap();
        std::fs::remove_file(&backup).unwrap();
    };
    // Of vim with backupcopy=yes, nano and shells: emptied, then written.
    let in_place = |text: &str| {
        std::fs::copy(&file, &backup).unwrap();
        let mut opened = std::fs::File::create(&file).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        std::io::Write::write_all(&mut opened, text.as_bytes()).unwrap();
        std::fs::remove_file(&backup).unwrap();
    };
    // A shorter text over a longer one, cut to size afterwards.
    let shortened = |text: &str| {
        let mut opened = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        std::io::Write::write_all(&mut opened, text.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        opened.set_len(text.len().try_into().unwrap()).unwrap();
    };
    let removed = |text: &str| {
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, text).unwrap();
    };
    let by_sed = |text: &str| {
        let first = text.split("[\"").nth(1).unwrap().split('"').next().unwrap();
        let change = format!("s/= \\[\"[a-z]\"/= [\"{first}\"/");
        let done = Command::new("sed").args(["-i", &change]).arg(&file).status().unwrap();
        assert!(done.success());
    };
    let editors: [Editor<'_>; 5] = [
        ("renaming", &renaming),
        ("in place", &in_place),
        ("shortened", &shortened),
        ("removed", &removed),
        ("sed -i", &by_sed),
    ];
    for (name, save) in editors {
        for alias in ["c", "b", "a"] {
            heard.forget();
            // A comment makes the text longer for the one who shortens it.
            let long = format!("{}# {}\n", config("watch", &["a"]), "-".repeat(500));
            if name == "shortened" {
                place.replace("claviger.toml", long);
            }
            save(&config("watch", &[alias]));
            until(name, || active(&keyring, SIGN) == alias);
            until(name, || keyring.status().refused.is_none());
        }
    }
    assert!(keyring.status().watching);
}

/// A configuration and what it names, mounted as Kubernetes mounts a ConfigMap: links to `..data`, a link itself.
#[test]
fn a_configuration_in_a_config_map_is_followed() {
    let place = Place::new("watch");
    let map = place.path("map");
    let swap = |number: u8, alias: &str| {
        let generation = map.join(format!("..2026_{number}"));
        std::fs::create_dir_all(&generation).unwrap();
        let text = config("watch", &[alias])
            .replace("= \"secrets\"", "= \"../secrets\"")
            .replace("= \"macs\"", "= \"../macs\"")
            .replace("= \"keys.p12\"", "= \"../keys.p12\"");
        std::fs::write(generation.join("claviger.toml"), text).unwrap();
        let old = std::fs::read_link(map.join("..data")).ok();
        symlink(generation.file_name().unwrap(), map.join("..data_tmp")).unwrap();
        std::fs::rename(map.join("..data_tmp"), map.join("..data")).unwrap();
        if let Some(old) = old {
            std::fs::remove_dir_all(map.join(old)).unwrap();
        }
    };
    swap(0, "a");
    symlink("..data/claviger.toml", map.join("claviger.toml")).unwrap();
    let keyring = Keyring::open(&map.join("claviger.toml")).unwrap();
    for number in 1..=20 {
        let alias = if number % 2 == 0 { "a" } else { "b" };
        swap(number, alias);
        until("the swap", || active(&keyring, SIGN) == alias);
    }
    assert!(keyring.status().is_healthy(), "{:?}", keyring.status());
}

#[test]
fn a_keystore_and_its_new_password_may_come_in_either_order() {
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let label = keyring.label(SIGN).unwrap();
    let mut token = label.sign(b"x").unwrap();
    let mut step = |first: &dyn Fn(), second: &dyn Fn(), what: &str| {
        heard.forget();
        first();
        heard.refused("wrong_password");
        assert!(label.verify(&token).is_ok(), "{what}: the last good keys do not serve");
        second();
        heard.wait(what, changed);
        assert!(keyring.status().refused.is_none(), "{what}");
        assert!(label.verify(&token).is_err(), "{what}: the old key verifies");
        token = label.sign(b"x").unwrap();
    };
    let store = |password: &str| place.replace("keys.p12", sealed_with(password, &["a", "b"]));
    let word = |password: &str| place.replace("secrets/storepass", password);
    step(&|| word("second"), &|| store("second"), "the password first");
    step(&|| store("third"), &|| word("third"), "the keystore first");
    // Written in place, and with a password file instead of a label.
    let text = config("watch", &["a", "b"])
        .replace("{ label = \"storepass\" }", "{ file = \"password\" }");
    place.write("password", "third");
    place.replace("claviger.toml", text);
    heard.taken("another source of the same password");
    let store = |password: &str| {
        std::fs::write(place.path("keys.p12"), sealed_with(password, &["a", "b"])).unwrap();
    };
    let word = |password: &str| place.write("password", password);
    step(&|| word("fourth"), &|| store("fourth"), "the password file first");
    step(&|| store("fifth"), &|| word("fifth"), "the keystore first, with a password file");
    // Both within one burst: no refusal is told.
    heard.forget();
    place.replace("keys.p12", with_keys(&["a", "b"]));
    place.replace("password", PASSWORD);
    until("both", || keyring.status().refused.is_none() && label.verify(&token).is_err());
}

#[test]
fn links_in_a_circle_are_refused_and_end_nothing() {
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let circle = |name: &str| {
        symlink(place.path("circle-b"), place.path("circle-a")).unwrap_or(());
        symlink(place.path("circle-a"), place.path("circle-b")).unwrap_or(());
        symlink(place.path("circle-a"), place.path(".aside")).unwrap();
        std::fs::rename(place.path(".aside"), place.path(name)).unwrap();
    };
    circle("keys.p12");
    heard.refused("store_unreadable");
    assert!(keyring.label(SIGN).unwrap().sign(b"x").is_ok());
    place.replace("keys.p12", keystore());
    until("recovery", || keyring.status().refused.is_none());

    std::fs::rename(place.path("macs"), place.path("away")).unwrap();
    circle("macs");
    heard.refused("store_unreadable");
    std::fs::remove_file(place.path("macs")).unwrap();
    std::fs::rename(place.path("away"), place.path("macs")).unwrap();
    until("recovery", || keyring.status().refused.is_none());

    heard.forget();
    circle("claviger.toml");
    let cannot =
        |told: &Told| matches!(told, Told::Refused(_, text) if text.contains("cannot read"));
    heard.wait("the configuration", cannot);
    assert!(keyring.label(SIGN).unwrap().sign(b"x").is_ok());
    place.replace("claviger.toml", config("watch", &["b"]));
    until("recovery", || active(&keyring, SIGN) == "b");

    // A link within a volume that leads around is no secret, and says so.
    let inside = place.path("macs/around");
    symlink("around", &inside).unwrap();
    heard.refused("store_unreadable");
    std::fs::remove_file(inside).unwrap();
    until("recovery", || keyring.status().refused.is_none());
}

fn dated(path: &Path, time: SystemTime) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_times(std::fs::FileTimes::new().set_modified(time)).unwrap();
}

/// The clock that dates files is not ours: one that is wrong, or is put right, neither hides a change nor stops an
/// opening.
#[test]
fn dates_of_files_decide_nothing() {
    let far = UNIX_EPOCH + Duration::from_secs(4_102_444_800);
    for date in [far, UNIX_EPOCH, UNIX_EPOCH - Duration::from_secs(86_400)] {
        let place = Place::new("watch");
        let files = ["claviger.toml", "keys.p12", "secrets/storepass"];
        files.iter().for_each(|name| dated(&place.path(name), date));
        let begun = Instant::now();
        let (keyring, heard) = place.follow();
        drop(Keyring::open_once(&place.path("claviger.toml")).unwrap());
        assert!(begun.elapsed() < Duration::from_secs(10), "opening waits for {date:?}");
        // Of two changes the second is dated before the first.
        for (alias, date) in [("b", far), ("c", UNIX_EPOCH)] {
            heard.forget();
            let aside = place.path("aside");
            std::fs::write(&aside, config("watch", &[alias])).unwrap();
            dated(&aside, date);
            std::fs::rename(aside, place.path("claviger.toml")).unwrap();
            heard.wait(alias, changed);
            assert_eq!(active(&keyring, SIGN), alias);
        }
        let mac = place.path(&format!("macs/{MAC}.v1"));
        let old = keyring.label(MAC).unwrap().sign(b"x").unwrap();
        std::fs::write(&mac, mac_key(9)).unwrap();
        dated(&mac, date);
        heard.wait("a secret", changed);
        assert!(keyring.label(MAC).unwrap().verify(&old).is_err());
    }
}

/// What a writer left half-written does not open, and the error names the file.
#[test]
fn half_a_file_does_not_open_and_is_named() {
    let place = Place::new("off");
    let path = place.path("claviger.toml");
    let open = || Keyring::open_once(&path);
    let whole = keystore();
    let (password, mac, key) = (PASSWORD.as_bytes(), format!("macs/{MAC}.v1"), mac_key(1));
    for (name, half, code) in [
        ("keys.p12", &whole[..whole.len() / 2], "damaged"),
        ("keys.p12", &[][..], "damaged"),
        ("secrets/storepass", &password[..4], "wrong_password"),
        (mac.as_str(), &key.as_bytes()[..21], "damaged"),
    ] {
        let before = std::fs::read(place.path(name)).unwrap();
        std::fs::write(place.path(name), half).unwrap();
        let refused = open().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Config);
        let problem = refused.problems().iter().find(|one| one.code == code);
        let problem = problem.unwrap_or_else(|| panic!("{name}: {refused:?}"));
        let place_of_it = format!("{} {:?}", problem.message, problem.location);
        assert!(place_of_it.contains("keys") || place_of_it.contains(MAC), "{place_of_it}");
        std::fs::write(place.path(name), before).unwrap();
        open().unwrap();
    }
    let text = config("off", &["a", "b"]);
    for cut in [text.len() - 3, text.len() - 20, 8] {
        std::fs::write(&path, &text[..cut]).unwrap();
        let refused = open().unwrap_err();
        assert_eq!(refused.problems()[0].code, "syntax_error", "{cut}: {refused:?}");
    }
}
