//! The `claviger` program: parse arguments, call one command, turn the answer into text and an exit code.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    forbid_core_dumps();
    cli::run(std::env::args_os().collect())
}

/// A core file would hold keys and passwords. Best effort: some systems refuse the call.
fn forbid_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
}
