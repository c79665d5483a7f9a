//! The frame of the command line: usage errors, help, exit codes, JSON in every case.

use std::process::{Command, Output};

use serde_json::Value;

fn claviger(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(arguments)
        .env_remove("CLAVIGER_CONFIG")
        .output()
        .unwrap()
}

#[test]
fn usage_errors_exit_2_and_are_one_json_object_when_asked() {
    for arguments in [
        &["--json", "no-such-command"][..],
        &["inspect", "--json"],
        &["inspect", "x", "--no-such-option", "--json"],
        &["inspect", "x", "--store-password-file", "a", "--store-password-env", "B", "--json"],
    ] {
        let output = claviger(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["error"]["code"], "usage", "{arguments:?}");
        assert!(!value["error"]["message"].as_str().unwrap().starts_with("error"), "{value}");
        assert!(output.stderr.is_empty(), "{arguments:?}");
    }
    let output = claviger(&["no-such-command"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty() && !output.stderr.is_empty());
}

#[test]
fn help_and_version_exit_0_on_stdout_and_help_has_an_example() {
    assert!(claviger(&["--version"]).stdout.starts_with(b"claviger "));
    let help = String::from_utf8(claviger(&["--help"]).stdout).unwrap();
    let commands = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut count = 0;
    for line in commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        if name == "help" {
            continue;
        }
        let output = claviger(&[name, "--help"]);
        assert_eq!(output.status.code(), Some(0), "{name}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Example") && text.contains("claviger "), "{name}: {text}");
        count += 1;
    }
    assert!(count >= 2, "{help}");
}

#[test]
fn a_missing_file_exits_3_and_names_the_file() {
    let output = claviger(&["inspect", "no/such/file.p12", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["error"]["code"], "store_unreadable");
    assert_eq!(value["error"]["where"]["file"], "no/such/file.p12");
    let output = claviger(&["inspect", "no/such/file.p12"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no/such/file.p12"));
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = claviger(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).unwrap().contains("inspect"), "{shell}");
    }
}
