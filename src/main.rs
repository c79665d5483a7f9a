//! The `claviger` program: harden the process, parse arguments, call one command, turn the answer into text
//! and an exit code.

use std::process::ExitCode;

mod cli;
mod hardening;

fn main() -> ExitCode {
    let refused = hardening::apply();
    cli::run(std::env::args_os().collect(), refused)
}
