//! The running program keeps its memory to itself: no core file, nothing for others of the same user.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::copy_program;

/// Somebody who is not root: nobody.
const OTHER: u32 = 65_534;

/// `sign` with loaded keys, waiting for its input, in a folder that everybody may enter.
struct Running {
    child: Child,
    folder: tempfile::TempDir,
}

impl Running {
    /// With core files allowed by the shell around it, and as another user where the tests run as root.
    fn start(program: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let binary = folder.path().join("claviger");
        copy_program(&binary);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("keystores");
        for name in ["claviger.toml", "default.p12", "storepass.txt"] {
            std::fs::copy(root.join(name), folder.path().join(name)).unwrap();
        }
        let child = as_other(Command::new("sh").args(["-c", program]))
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let running = Self { child, folder };
        running.wait_until_it_reads();
        running
    }

    /// The kernel shows in which call a process sleeps: here in the read of its input.
    fn wait_until_it_reads(&self) {
        for _ in 0..10_000 {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
            let name = state.split(['(', ')']).nth(1).unwrap();
            let sleeps = state.rsplit(") ").next().unwrap().starts_with('S');
            if sleeps && name != "sh" {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        panic!("it does not come to its input");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn as_other(command: &mut Command) -> &mut Command {
    if rustix::process::getuid().is_root() {
        command.uid(OTHER).gid(OTHER);
    }
    command
}

const SIGN: &str = "ulimit -c unlimited; exec ./claviger -c claviger.toml sign --label \
                    am.services.oauth2.oidc.signing.ES256";
/// A program that is not hardened, as a control: where it does not fail either, the test shows nothing.
const PLAIN: &str = "ulimit -c unlimited; exec cat";

fn dumps_core(program: &str) -> bool {
    let mut running = Running::start(program);
    kill_process(running.pid(), Signal::ABORT).unwrap();
    let status = running.child.wait().unwrap();
    assert_eq!(status.signal(), Some(6), "{status}");
    let names = std::fs::read_dir(running.folder.path()).unwrap();
    let files =
        names.filter(|one| one.as_ref().unwrap().file_name().to_string_lossy().starts_with("core"));
    status.core_dumped() || files.count() > 0
}

#[test]
fn an_abort_leaves_no_core_file() {
    if !dumps_core(PLAIN) {
        println!("this system writes no core files at all");
    }
    assert!(!dumps_core(SIGN));
}

/// Whether a process of the same user may read this file of it.
fn same_user_reads(running: &Running, file: &str) -> bool {
    let path = format!("/proc/{}/{file}", running.child.id());
    let read = as_other(Command::new("head").args(["-c", "1", &path])).output().unwrap();
    read.status.success()
}

#[test]
fn the_same_user_can_read_neither_its_memory_map_nor_its_environment() {
    let plain = Running::start(PLAIN);
    let hardened = Running::start(SIGN);
    for file in ["environ", "maps", "auxv"] {
        if !same_user_reads(&plain, file) {
            println!("this system lets nobody read {file}");
        }
        assert!(!same_user_reads(&hardened, file), "{file} is readable");
    }
}

#[test]
fn it_still_reads_inputs_that_are_descriptors_of_its_own() {
    let script = format!("{SIGN} --in /dev/fd/0 < claviger.toml");
    let folder = Running::start(PLAIN);
    let output = as_other(Command::new("sh").args(["-c", &script]))
        .current_dir(folder.folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_refused_lock_is_told_only_when_asked() {
    let said = |flags: &str| {
        // A limit of nothing, soft and hard, which only root may raise.
        let script = format!("ulimit -l 0; exec ./claviger {flags} -c claviger.toml check");
        let folder = Running::start(PLAIN);
        let output = as_other(Command::new("sh").args(["-c", &script]))
            .current_dir(folder.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said("-v").contains("memory is not locked"));
    assert!(!said("").contains("locked"));
}
