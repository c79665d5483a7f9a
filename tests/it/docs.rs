//! What the documents say, held against the program.

use std::path::{Path, PathBuf};
use std::process::Command;

use claviger::alg::{ALGORITHMS, Status};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

#[test]
fn the_readme_names_every_algorithm_with_its_status() {
    let readme = read("README.md");
    let section = readme.split("## Algorithms").nth(1).unwrap().split("\n## ").next().unwrap();
    let (on, off): (Vec<&str>, Vec<&str>) = section
        .lines()
        .filter(|line| line.starts_with("| "))
        .partition(|line| line.contains("| on |"));
    for row in ALGORITHMS {
        // The table writes the ECDH-ES variants short.
        let name =
            row.name.strip_prefix("ECDH-ES").filter(|rest| !rest.is_empty()).unwrap_or(row.name);
        let lines = if row.status == Status::On { &on } else { &off };
        let named = lines
            .iter()
            .any(|line| line.split([' ', ',', '|']).any(|word| word == name || word == row.name));
        assert!(named, "{row} is not in the README where {:?} rows are", row.status);
    }
}

#[test]
fn the_readme_names_every_command() {
    let help = Command::new(env!("CARGO_BIN_EXE_claviger")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let readme = read("README.md");
    let section = readme.split("## Commands").nth(1).unwrap().split("\n## ").next().unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<&str> =
        commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 15, "{help}");
    for name in names.into_iter().filter(|name| *name != "help") {
        assert!(section.contains(&format!("`{name}")), "{name} is not in the README");
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let program = env!("CARGO_BIN_EXE_claviger");
    let help = Command::new(program).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for name in commands.lines().filter_map(|line| line.split_whitespace().next()) {
        if name == "help" {
            continue;
        }
        let shown = Command::new(program).args([name, "--help"]).output().unwrap();
        let text = String::from_utf8(shown.stdout).unwrap();
        assert!(
            text.contains("Example") && text.contains(&format!("claviger {name}")),
            "{name}: {text}"
        );
    }
}

#[test]
fn the_fixtures_hold_what_the_manifest_says() {
    let mut found = Vec::new();
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("keystores"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let extension = path.extension().and_then(|text| text.to_str());
            extension.is_some_and(|text| ["p12", "jks", "jceks", "pem"].contains(&text))
        })
        .collect();
    files.sort();
    for file in files {
        found.extend(inspect(&file));
    }
    let manifest = read("keystores/MANIFEST.tsv");
    let mut expected: Vec<String> =
        manifest.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

fn inspect(file: &Path) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(["inspect", "--json", "--store-password-file"])
        .arg(root().join("keystores/storepass.txt"))
        .arg(file)
        .output()
        .unwrap();
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    facts["entries"]
        .as_array()
        .unwrap_or_else(|| panic!("{facts}"))
        .iter()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            let (alias, kind, algorithm) = (text("alias"), text("kind"), text("algorithm"));
            format!("{name}\t{alias}\t{kind}\t{algorithm}\t{}", entry["bits"])
        })
        .collect()
}

#[test]
fn examples_run() {
    // Built with the tests; each ends in an assertion of its own.
    let folder = Path::new(env!("CARGO_BIN_EXE_claviger")).parent().unwrap().join("examples");
    for name in ["sign_and_verify", "rotate", "from_java_keystore"] {
        let output = Command::new(folder.join(name)).current_dir(root()).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
