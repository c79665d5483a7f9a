//! Files that are being written in place never serve, and whoever opens them waits.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use claviger::Keyring;
use claviger::clock::Clock;
use claviger::journal::Actor;
use claviger::rotation::Rotation;

use crate::reload::{MAC, Place, SIGN, Told, active, config, mac_key, until};

/// A value, any part of which would be one as well: nothing but patience tells it from a whole one.
const SECRET: &str = "am.global.services.secret.pem.decryption";

#[test]
fn a_file_that_is_being_written_never_serves() {
    let place = Place::new("watch");
    let file = format!("secrets/{SECRET}");
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
fn while_writing<T>(
    path: &Path,
    text: impl Fn(u32) -> String,
    work: impl Fn() -> T,
) -> (T, String) {
    for number in 0..100 {
        let text = &text(number);
        let (made, longest) = std::thread::scope(|scope| {
            let (step_done, steps) = std::sync::mpsc::channel();
            let writer = scope.spawn(move || {
                let mut file = std::fs::File::create(path).unwrap();
                let mut longest = Duration::ZERO;
                for step in text.as_bytes().chunks(text.len().div_ceil(40)) {
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

fn words(word: &str) -> impl Fn(u32) -> String {
    move |number| format!("{number} {}", word.repeat(20))
}

fn shown(keyring: &Keyring) -> String {
    let label = keyring.label(SECRET).unwrap();
    label.reveal(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).unwrap()
}

#[test]
fn opening_and_reloading_by_hand_wait_for_a_writer() {
    let place = Place::new("off");
    let path = place.path(&format!("secrets/{SECRET}"));
    let (keyring, text) = while_writing(&path, words("first-"), || place.open());
    assert_eq!(shown(&keyring), text);
    let ((), text) = while_writing(&path, words("second-"), || drop(keyring.reload().unwrap()));
    assert_eq!(shown(&keyring), text);
    let once = || Keyring::open_once(&place.path("claviger.toml")).unwrap();
    let (keyring, text) = while_writing(&path, words("third-"), once);
    assert_eq!(shown(&keyring), text);
}

#[test]
fn steps_of_a_rotation_wait_for_a_writer_of_a_store() {
    let place = Place::new("off");
    let (file, path) = (place.path("claviger.toml"), place.path(&format!("secrets/{SECRET}")));
    let actor = || Actor::of_this_process(None);
    let open = || Rotation::open(&file, Clock::system(), actor()).unwrap();
    let (rotation, text) = while_writing(&path, words("first-"), open);
    assert_eq!(shown(rotation.keyring()), text);
    drop(rotation);
    let preview = || Rotation::preview(&file, Clock::system()).unwrap();
    let (rotation, text) = while_writing(&path, words("second-"), preview);
    assert_eq!(shown(rotation.keyring()), text);
}

#[test]
fn check_and_the_steps_of_a_rotation_wait_for_a_writer_of_the_configuration() {
    let place = Place::new("off");
    place.make_dir("state");
    let file = place.path("claviger.toml");
    // The line that says where the lock is comes last: half a file names another one.
    let text = |number| {
        let text = config("off", &["a", "b"]).replace("[keyring]\nreload = \"off\"\n", "");
        format!("{text}# {number}\n[keyring]\nreload = \"off\"\nstate_dir = \"state\"\n")
    };
    place.write("claviger.toml", &text(0));
    let check = || claviger::keyring::check(&file, &Clock::system()).unwrap();
    let quiet = check();
    let (found, _) = while_writing(&file, text, check);
    assert_eq!(found.len(), quiet.len(), "{found:?}");
    let open = || Rotation::open(&file, Clock::system(), Actor::of_this_process(None)).unwrap();
    let (rotation, _) = while_writing(&file, text, open);
    assert_eq!(active(rotation.keyring(), SIGN), "a");
    assert!(rotation.keyring().config().keyring.state_dir.is_some());
    let held = std::fs::File::open(place.path("state/lock")).unwrap();
    let free = rustix::fs::flock(&held, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    assert!(free.is_err(), "the lock of the whole configuration is not held");
    drop(rotation);
    let preview = || Rotation::preview(&file, Clock::system()).unwrap();
    let (rotation, _) = while_writing(&file, text, preview);
    assert_eq!(active(rotation.keyring(), SIGN), "a");
}
