//! What may not be written is told, and nothing is changed: as a user who is not root.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::copy_program;
use crate::workshop::{ES256, Workshop};

/// Of nobody, as whom everything runs where the tests run as root.
const NOBODY: u32 = 65_534;

struct Shop {
    shop: Workshop,
    program: PathBuf,
    root: bool,
}

impl Shop {
    fn new() -> Self {
        let shop = Workshop::new();
        shop.configure("propagation = \"1s\"\n", "");
        let new = Self::of(shop);
        // The first step finds the journal begun.
        assert_eq!(new.run(&["stage", ES256, "c"]).status.code(), Some(0));
        new
    }

    /// Of nobody, with a state directory that is empty.
    fn of(shop: Workshop) -> Self {
        // The folder of the build may be closed to others.
        let program = shop.path().join("claviger");
        copy_program(&program);
        std::fs::create_dir(shop.path().join("state")).unwrap();
        let root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&program).unwrap()) == 0;
        let new = Self { shop, program, root };
        new.mode("", 0o755);
        if root {
            for path in ["", "claviger.toml", "keys.jwks", "state"] {
                let path = new.shop.path().join(path);
                std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        new
    }

    fn mode(&self, path: &str, mode: u32) {
        let path = self.shop.path().join(path);
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_as(NOBODY, arguments)
    }

    fn run_as(&self, user: u32, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("CLAVIGER_CONFIG", self.shop.config());
        command.current_dir(self.shop.path());
        if self.root {
            command.uid(user).gid(user);
        }
        command.output().unwrap()
    }

    /// Every file but the journal, which records refusals, the lock, which names who had it, and the usage file,
    /// which is there once it was looked at.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let here = std::fs::read_dir(self.shop.path()).unwrap();
        let state = std::fs::read_dir(self.shop.path().join("state")).unwrap();
        let paths = here.chain(state).map(|entry| entry.unwrap().path());
        let kept = |path: &PathBuf| {
            path.is_file()
                && !["journal.jsonl", "journal.head", "lock", "usage"]
                    .iter()
                    .any(|name| path.ends_with(name))
        };
        paths.filter(kept).map(|path| (path.clone(), read(&path))).collect()
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[test]
fn a_step_that_cannot_be_written_is_refused_whole() {
    let steps: [&[&str]; 4] = [
        &["generate", "d2", "--stage", ES256],
        &["promote", ES256, "b", "--now"],
        &["revoke", ES256, "b", "--reason", "seen"],
        &["undo", ES256],
    ];
    let shop = Shop::new();
    for (closed, mode, open) in
        [("", 0o555, 0o755), ("state", 0o555, 0o755), ("state/lock", 0o444, 0o644)]
    {
        shop.mode(closed, mode);
        let told = shop.run(&["promote", ES256, "b", "--now", "--dry-run"]);
        let note = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.status.code(), Some(0), "{closed}: {note}");
        let place = if closed.is_empty() { "claviger.toml" } else { closed };
        assert!(
            note.contains("the step itself is refused: this process may not write"),
            "{closed}: {note}"
        );
        assert!(note.contains(place), "{closed}: {note}");
        for step in steps {
            let before = shop.files();
            let output = shop.run(step);
            let told = String::from_utf8_lossy(&output.stderr).to_lowercase();
            assert_eq!(output.status.code(), Some(3), "{closed}: {step:?}: {told}");
            assert!(told.contains("permission denied"), "{closed}: {step:?}: {told}");
            assert!(told.contains("help: nothing was changed"), "{closed}: {step:?}: {told}");
            assert!(shop.files() == before, "{closed}: {step:?}");
            assert_eq!(shop.shop.aliases(ES256), ["a", "b", "c"]);
        }
        shop.mode(closed, open);
    }
    assert_eq!(shop.run(&["history", "--verify"]).status.code(), Some(0));
    // As soon as it may be written it is done.
    let told = shop.run(&["promote", ES256, "b", "--now", "--dry-run"]);
    assert!(!String::from_utf8_lossy(&told.stderr).contains("the step itself"), "{told:?}");
    assert_eq!(shop.run(steps[2]).status.code(), Some(0));
    assert_eq!(shop.shop.aliases(ES256), ["a", "c"]);
}

#[test]
fn a_state_directory_that_is_closed_stops_making_and_not_reading() {
    let shop = Shop::new();
    let payload = shop.shop.path().join("payload");
    std::fs::write(&payload, "{\"exp\":4102444800}").unwrap();
    shop.mode("payload", 0o644);
    let sign = ["sign", "--label", ES256, "--in", "payload"];
    let made = shop.run(&sign);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    std::fs::write(shop.shop.path().join("token"), made.stdout).unwrap();
    shop.mode("token", 0o644);
    shop.mode("state/usage", 0o444);
    let refused = shop.run(&sign);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "{told}");
    assert!(
        told.contains("the usage of keys cannot be kept") && told.contains("nothing was made"),
        "{told}"
    );
    let verified = shop.run(&["verify", "--label", ES256, "--in", "token"]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    for command in [&["labels"][..], &["status"], &["check"], &["history", "--verify"]] {
        let shown = shop.run(command);
        assert_eq!(shown.status.code(), Some(0), "{command:?}: {shown:?}");
    }
}

#[test]
fn a_retirement_whose_receipt_cannot_be_written_changes_nothing() {
    let shop = Shop::new();
    assert_eq!(shop.run(&["retire", ES256, "c"]).status.code(), Some(0));
    assert_eq!(shop.run(&["stage", ES256, "d"]).status.code(), Some(0));
    shop.mode("state/receipts", 0o555);
    let refused = shop.run(&["retire", ES256, "d"]);
    let told = String::from_utf8_lossy(&refused.stderr).to_lowercase();
    assert_eq!(refused.status.code(), Some(3), "{told}");
    assert!(told.contains("permission denied") && told.contains("nothing was changed"), "{told}");
    assert_eq!(shop.shop.aliases(ES256), ["a", "b", "d"]);
    shop.mode("state/receipts", 0o755);
    assert_eq!(shop.run(&["retire", ES256, "d"]).status.code(), Some(0));
    assert_eq!(shop.shop.aliases(ES256), ["a", "b"]);
}

#[test]
fn what_root_does_locks_nobody_out() {
    let shop = Workshop::new();
    shop.configure("propagation = \"1s\"\n", "[trace]\nrecord = true\n");
    shop.edit(
        "[stores.keys.mappings]",
        "[stores.files]\nkind = \"volume\"\ndirectory = \"files\"\nversion_suffix = \".v\"\n\
         [stores.keys.mappings]",
    );
    let volume = shop.path().join("files");
    std::fs::create_dir(&volume).unwrap();
    let captcha = "am.authentication.nodes.captcha.x.secret";
    for (name, value) in [(format!("{captcha}.v3"), "old"), ("new".to_owned(), "new")] {
        std::fs::write(volume.join(name), value).unwrap();
    }
    let shop = Shop::of(shop);
    if !shop.root {
        return;
    }
    for path in ["files", &format!("files/{captcha}.v3")] {
        let path = shop.shop.path().join(path);
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let new = shop.shop.path().join("files/new");
    // As an operator does it at night: the service is nobody, and he is root.
    let steps: [&[&str]; 5] = [
        &["stage", ES256, "c"],
        &["stage", captcha, new.to_str().unwrap()],
        &["retire", ES256, "b", "--force"],
        &["revoke", ES256, "a", "--force"],
        &["stage", ES256, "d"],
    ];
    for step in steps {
        let output = shop.run_as(0, step);
        assert_eq!(output.status.code(), Some(0), "{step:?}: {output:?}");
    }
    std::fs::write(shop.shop.path().join("in"), "{}").unwrap();
    let sign = shop.run_as(0, &["sign", "--label", ES256, "--in", "in", "--out", "out"]);
    assert_eq!(sign.status.code(), Some(0), "{sign:?}");
    let verify = shop.run_as(0, &["verify", "--label", ES256, "--in", "out"]);
    assert_eq!(verify.status.code(), Some(0), "{verify:?}");
    std::os::unix::fs::chown(shop.shop.path().join("out"), Some(NOBODY), None).unwrap();
    // Nobody does everything there now.
    for step in
        [&["status"][..], &["labels"], &["history", "--verify"], &["promote", ES256, "d", "--now"]]
    {
        let output = shop.run(step);
        assert_eq!(output.status.code(), Some(0), "{step:?}: {output:?}");
    }
    assert_eq!(shop.run(&["verify", "--label", ES256, "--in", "out"]).status.code(), Some(0));
    let own = |path: &Path| std::os::unix::fs::MetadataExt::uid(&path.metadata().unwrap());
    let mut folders = vec![shop.shop.path().join("state"), volume];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            assert!(own(&path) == NOBODY || path == new, "{} is root's", path.display());
            folders.extend(path.is_dir().then_some(path));
        }
    }
}
