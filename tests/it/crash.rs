//! Killed anywhere, out of room, or all at once: the configuration is the old one or the new one, and the
//! journal's chain holds.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use claviger::journal::{Action, Event};
use claviger::rotation::{Request, Step};

use crate::workshop::{ES256, FORCE, SEAL, TAIL, Workshop, stage};

/// What must hold whatever happened: one of two texts, and a chain.
fn assert_whole(shop: &Workshop, texts: &[&str], told: &str) {
    let text = shop.text();
    assert!(texts.contains(&text.as_str()), "{told}: {text}");
    assert_eq!(shop.history().broken, None, "{told}");
}

/// No file aside is left once a command has run to its end.
fn assert_swept(shop: &Workshop) {
    for folder in [shop.path().to_owned(), shop.path().join("state")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            assert!(!name.starts_with(".."), "{name}");
        }
    }
}

/// Two configurations, and the command that makes the second of the first.
fn two_texts(shop: &Workshop) -> (String, String) {
    drop(shop.rotation());
    let old = shop.text();
    let output = shop.run(&["reorder", ES256, "b", "a", "--force"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    (old, shop.text())
}

#[test]
fn killed_at_random_the_configuration_is_old_or_new() {
    let shop = Workshop::new();
    let (old, new) = two_texts(&shop);
    // A fixed sequence of delays: Knuth's multiplicative generator.
    let mut seed: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut killed = 0;
    for round in 0..120 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let order = if shop.text() == old { ["b", "a"] } else { ["a", "b"] };
        let mut command = shop.command(&["reorder", ES256, order[0], order[1], "--force"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros((seed >> 33) % 40_000));
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
        assert_whole(&shop, &[&old, &new], &format!("round {round}"));
    }
    assert!(killed > 20, "{killed} of 120 were killed before their end");
    let output = shop.run(&["stage", ES256, "c"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(shop.text().ends_with(TAIL));
    let history = shop.history();
    assert!(history.broken.is_none() && history.unfinished().is_none());
    assert_swept(&shop);
}

/// Whether strace can follow a process here.
pub(crate) fn strace_works() -> bool {
    let works = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    let works = works.is_ok_and(|output| output.status.success());
    assert!(works || std::env::var_os("CI").is_none(), "strace is absent under CI");
    if !works {
        println!("strace is absent: scripts/setup.sh installs it");
    }
    works
}

/// Runs a step under strace, which does something to the `count`th call of `name`; the exit code.
fn injected(shop: &Workshop, name: &str, fault: &str, count: usize) -> Option<i32> {
    injected_into(shop, &["reorder", ES256, "b", "a", "--force"], name, fault, count)
}

pub(crate) fn injected_into(
    shop: &Workshop,
    arguments: &[&str],
    name: &str,
    fault: &str,
    count: usize,
) -> Option<i32> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={name}")]);
    command.args(["-e", &format!("inject={name}:{fault}:when={count}")]);
    command.arg(env!("CARGO_BIN_EXE_claviger")).args(arguments);
    command.env("CLAVIGER_CONFIG", shop.config()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap().code()
}

#[test]
fn killed_at_every_write_sync_and_rename_the_configuration_is_old_or_new() {
    if !strace_works() {
        return;
    }
    for name in ["write", "fsync", "/^rename", "ftruncate"] {
        let mut ended = false;
        for count in 1..40 {
            let shop = Workshop::new();
            let (old, new) = two_texts(&shop);
            std::fs::write(shop.config(), &old).unwrap();
            drop(shop.rotation());
            let code = injected(&shop, name, "signal=SIGKILL", count);
            let told = format!("{name} {count}");
            assert_whole(&shop, &[&old, &new], &told);
            drop(shop.rotation());
            assert!(shop.history().unfinished().is_none(), "{told}");
            if code == Some(0) {
                assert_eq!(shop.text(), new, "{told}");
                ended = true;
                break;
            }
        }
        assert!(ended, "{name}: no run came to its end");
    }
}

#[test]
fn a_write_sync_or_rename_that_fails_is_told_and_changes_nothing() {
    if !strace_works() {
        return;
    }
    for (name, errors) in
        [("write", &["ENOSPC"][..]), ("fsync", &["EIO"]), ("/^rename", &["EIO", "EDQUOT"])]
    {
        for error in errors {
            let mut ended = false;
            for count in 1..40 {
                let shop = Workshop::new();
                let (old, new) = two_texts(&shop);
                std::fs::write(shop.config(), &old).unwrap();
                drop(shop.rotation());
                let code = injected(&shop, name, &format!("error={error}"), count);
                let told = format!("{name} {error} {count}");
                assert_whole(&shop, &[&old, &new], &told);
                if code == Some(0) && shop.text() == new {
                    ended = true;
                    break;
                }
            }
            assert!(ended, "{name} {error}: no run came to its end");
        }
    }
}

#[test]
fn success_is_told_only_after_file_and_folder_are_on_disk() {
    if !strace_works() {
        return;
    }
    let shop = Workshop::new();
    drop(shop.rotation());
    let trace = shop.path().join("trace");
    let status = Command::new("strace")
        .args(["-f", "-y", "-o"])
        .arg(&trace)
        .args(["-e", "trace=fsync,/^rename,write"])
        .arg(env!("CARGO_BIN_EXE_claviger"))
        .args(["reorder", ES256, "b", "a", "--force"])
        .env("CLAVIGER_CONFIG", shop.config())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let text = std::fs::read_to_string(&trace).unwrap();
    let folder = shop.path().canonicalize().unwrap();
    let place = |wanted: &dyn Fn(&str) -> bool| text.lines().position(wanted);
    let aside = place(&|line| line.contains("fsync") && line.contains("..claviger-aside")).unwrap();
    let renamed = place(&|line| line.contains("rename") && line.contains("claviger.toml")).unwrap();
    let synced =
        place(&|line| line.contains("fsync") && line.contains(&format!("{}>", folder.display())));
    let told = text.lines().collect::<Vec<_>>().iter().rposition(|line| line.contains("write(2"));
    assert!(aside < renamed && renamed < synced.unwrap() && synced < told, "{text}");
}

#[test]
fn a_full_disk_is_told_and_changes_nothing() {
    // A limit on file sizes stands for a full disk; what is over it fails as on one.
    for blocks in [0, 1, 8] {
        let shop = Workshop::new();
        shop.edit(TAIL, &format!("# {}\n{TAIL}", "long ".repeat(2_000)));
        drop(shop.rotation());
        let old = shop.text();
        let records = shop.history().records.len();
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" stage {ES256} c");
        let output = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_claviger")])
            .env("CLAVIGER_CONFIG", shop.config())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{blocks}: {said}");
        assert!(
            said.contains("cannot be written") && said.contains("nothing was changed"),
            "{said}"
        );
        assert_eq!(shop.text(), old);
        let history = shop.history();
        assert!(history.broken.is_none() && history.torn.is_none());
        assert!(history.records.len() <= records + 2 && history.unfinished().is_none());
        // With room again it goes.
        shop.apply(stage("c"), ES256).unwrap();
    }
}

#[test]
fn a_full_file_system_is_told_and_changes_nothing() {
    let shop = Workshop::new();
    let disk = shop.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(&disk).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("only root mounts a small file system");
        return;
    }
    let unmount = Unmount(&disk);
    for name in ["claviger.toml", "keys.jwks"] {
        std::fs::copy(shop.path().join(name), disk.join(name)).unwrap();
    }
    let config = disk.join("claviger.toml");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.args(arguments).env("CLAVIGER_CONFIG", &config).output().unwrap()
    };
    assert_eq!(run(&["reorder", ES256, "b", "a", "--force"]).status.code(), Some(0));
    // A key that was used has its place on the disk.
    let sign = ["sign", "--label", ES256, "--in", config.to_str().unwrap()];
    assert_eq!(run(&sign).status.code(), Some(0));
    let old = std::fs::read_to_string(&config).unwrap();
    for left in [0_usize, 4_096, 70_000] {
        let filler = disk.join("filler");
        fill(&filler, left);
        let output = run(&["stage", ES256, "c"]);
        let said = String::from_utf8_lossy(&output.stderr);
        let now = std::fs::read_to_string(&config).unwrap();
        if output.status.code() == Some(0) {
            assert_ne!(now, old);
        } else {
            assert!(
                output.status.code() == Some(3) && said.contains("make room"),
                "{left}: {said}"
            );
            assert_eq!(now, old, "{left}");
        }
        let token = run(&sign);
        assert_eq!(
            token.status.code(),
            Some(0),
            "signing goes on: {}",
            String::from_utf8_lossy(&token.stderr)
        );
        std::fs::remove_file(&filler).unwrap();
    }
    assert_eq!(run(&["promote", ES256, "a", "--force"]).status.code(), Some(0));
    assert_eq!(run(&["history", "--verify"]).status.code(), Some(0));
    drop(unmount);
}

/// Fills the disk of a file up to so many bytes.
fn fill(path: &Path, left: usize) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    let mut length = 0;
    while file.write_all(&[0; 1024]).is_ok() {
        length += 1024;
    }
    file.set_len(u64::try_from(length - left.min(length)).unwrap()).unwrap();
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0).output());
    }
}

#[test]
fn a_state_directory_that_cannot_be_written_is_told_and_changes_nothing() {
    let shop = Workshop::new();
    let old = shop.text();
    // A file in its place: that stops even root.
    std::fs::write(shop.path().join("state"), "").unwrap();
    let output = shop.run(&["--json", "reorder", ES256, "b", "a", "--force"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(matches!(output.status.code(), Some(2 | 3)), "{told}");
    assert!(told["error"].to_string().contains("state"), "{told}");
    assert_eq!(shop.text(), old);
}

#[test]
fn eight_commands_at_once_lose_no_update() {
    let shop = Workshop::new();
    for alias in ["c", "d"] {
        shop.apply(stage(alias), ES256).unwrap();
    }
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for worker in 0..8_usize {
            let (shop, done) = (&shop, &done);
            scope.spawn(move || {
                for round in 0..8 {
                    let mut order = ["a", "b", "c", "d"];
                    order.rotate_left((worker + round) % 4);
                    if worker % 2 == 0 {
                        order.swap(0, 3);
                    }
                    let mut arguments = vec!["--json", "reorder", ES256];
                    arguments.extend(order);
                    arguments.push("--force");
                    let output = shop.run(&arguments);
                    assert_eq!(
                        output.status.code(),
                        Some(0),
                        "{}",
                        String::from_utf8_lossy(&output.stdout)
                    );
                    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
                    done.fetch_add(u64::from(told["done"] == true), Ordering::Relaxed);
                }
            });
        }
    });
    let history = shop.history();
    assert_eq!(history.broken, None);
    let steps: Vec<_> = history
        .records
        .iter()
        .filter(|record| record.event == Event::Done && record.action == Action::Reorder)
        .collect();
    assert_eq!(u64::try_from(steps.len()).unwrap(), done.load(Ordering::Relaxed));
    for pair in steps.windows(2) {
        assert_eq!(pair[0].changes[0].after, pair[1].changes[0].before, "an update was lost");
    }
    let last: Vec<String> =
        steps.last().unwrap().changes[0].after.iter().map(|key| key.alias.to_string()).collect();
    assert_eq!(shop.aliases(ES256), last);
    assert!(history.records.iter().all(|record| record.action != Action::EditedByHand));
}

#[test]
fn a_thousand_reloads_and_reorders_fail_no_operation() {
    let shop = Workshop::new();
    shop.apply(stage("c"), ES256).unwrap();
    let keyring = shop.keyring();
    let (stop, made) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (keyring, stop, made) = (keyring.clone(), &stop, &made);
            scope.spawn(move || {
                let (signing, sealing) =
                    (keyring.label(ES256).unwrap(), keyring.label(SEAL).unwrap());
                let mut kept = vec![signing.sign(b"kept").unwrap()];
                while !stop.load(Ordering::Relaxed) {
                    let token = signing.sign(b"payload").unwrap();
                    assert_eq!(signing.verify(&token).unwrap().payload, b"payload");
                    let sealed = sealing.encrypt(b"plaintext").unwrap();
                    assert!(sealing.decrypt(&sealed).unwrap().plaintext.ct_eq(b"plaintext"));
                    for token in &kept {
                        assert_eq!(signing.verify(token).unwrap().key.store.as_str(), "keys");
                    }
                    if kept.len() < 8 {
                        kept.push(token);
                    }
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..1_000_usize {
            // Every tenth by the command's own way, the others as an editor does it.
            let mut order = ["a", "b", "c"];
            order.rotate_left(round % 3);
            if round % 10 == 0 {
                let aliases = order.iter().map(|alias| alias.parse().unwrap()).collect();
                let mut request = Request::new(Step::Reorder { aliases }, ES256).unwrap();
                request.overrides = FORCE;
                shop.rotation().apply(&request).unwrap();
            } else {
                write_order(&shop, &order);
            }
            keyring.reload().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(made.load(Ordering::Relaxed) > 100);
    assert_eq!(keyring.snapshot().generation(), 1_001);
    assert_eq!(shop.history().broken, None);
}

/// The list in another order, renamed into place.
fn write_order(shop: &Workshop, order: &[&str]) {
    let text = shop.text();
    let start = text.find(&format!("\"{ES256}\" = [")).unwrap();
    let end = start + text[start..].find("]\n").unwrap();
    let list = order.iter().map(|alias| format!("\"{alias}\"")).collect::<Vec<_>>().join(", ");
    let new = format!("{}\"{ES256}\" = [{list}{}", &text[..start], &text[end..]);
    let aside = shop.path().join("aside.toml");
    std::fs::write(&aside, new).unwrap();
    std::fs::rename(&aside, shop.config()).unwrap();
}
