//! What several subjects share: the vectors of other people's software, and hex.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of vectors under `../shared/vectors` or `$CLAVIGER_VECTORS`. Absent: one line says so and
/// the caller returns; under CI absence fails.
pub(crate) fn vectors(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CLAVIGER_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors"),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "vectors/{folder} is absent under CI");
    println!("vectors/{folder} is absent: set CLAVIGER_VECTORS to run these cases");
    None
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs another program in `folder`; it must succeed.
pub(crate) fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("these tests need {program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

/// Copies the program to where everybody may run it. Another process does: a file that this one had open to write might
/// still be open in the child of another test when it is run.
pub(crate) fn copy_program(to: &Path) {
    let to = to.to_str().unwrap();
    run(Path::new("."), "cp", &[env!("CARGO_BIN_EXE_claviger"), to]);
}

/// Runs claviger in `folder` with JSON output and environment variables.
pub(crate) fn claviger(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.args(arguments).arg("--json").env_remove("CLAVIGER_CONFIG").current_dir(folder);
    command.envs(variables.iter().copied()).output().unwrap()
}

/// The JSON on stdout.
pub(crate) fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The examples of a help, as they are printed: one goes on where its line ends with `\`.
pub(crate) fn examples(help: &str) -> Vec<String> {
    let lines = help.split_once("\nExample").unwrap_or_else(|| panic!("{help}")).1.lines().skip(1);
    let mut examples: Vec<String> = Vec::new();
    for line in lines.filter(|line| line.starts_with("  ")) {
        match examples.last_mut().filter(|last| last.ends_with('\\')) {
            Some(last) => *last += &format!("\n{line}"),
            None => examples.push(line.trim().to_owned()),
        }
    }
    examples
}
