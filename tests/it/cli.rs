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

/// A starter in a directory of its own.
fn starter() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = claviger(&["init", "-q", folder.path().to_str().unwrap()]);
    assert_eq!(made.status.code(), Some(0));
    folder
}

fn run_in(folder: &std::path::Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("CLAVIGER_CONFIG")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

const LABEL: &str = "am.services.oauth2.oidc.signing.ES256";

#[test]
fn every_failure_is_one_object_with_code_message_help_and_exit_code() {
    let folder = starter();
    std::fs::write(folder.path().join("broken.toml"), "[keyring]\nkid = 'amm'\n").unwrap();
    std::fs::write(folder.path().join("latin1.toml"), b"# \xe4\n").unwrap();
    std::fs::write(folder.path().join("there"), "x").unwrap();
    std::fs::write(folder.path().join("binary"), [0xff, 0, 0xfe]).unwrap();
    for (arguments, exit, code) in [
        (&["-c", "gone.toml", "labels"][..], 2, "config_invalid"),
        (&["-c", ".", "check"], 2, "config_invalid"),
        (&["-c", "latin1.toml", "check"], 2, "config_invalid"),
        (&["-c", "broken.toml", "labels"], 2, "config_invalid"),
        (&["labels", "app.nothing"], 2, "unknown_label"),
        (&["labels", "a\u{1b}[31m"], 2, "usage"),
        (&["jwks", "app.nothing"], 2, "unknown_label"),
        (&["--realm", "a/../b", "labels"], 2, "usage"),
        (&["sign", "--label", LABEL, "--in", "gone"], 3, "store_unreadable"),
        (&["sign", "--label", LABEL, "--in", "."], 3, "store_unreadable"),
        (&["sign", "--label", LABEL, "--in", "there", "--out", "gone/x"], 3, "io_failed"),
        (&["sign", "--label", LABEL, "--in", "there", "--out", "there"], 2, "usage"),
        (
            &["sign", "--label", LABEL, "--in", "there", "--alg", "RS256"],
            2,
            "algorithm_not_allowed",
        ),
        (&["decrypt", "--label", LABEL, "--in", "there"], 2, "wrong_use"),
        (&["verify", "--label", LABEL, "--in", "binary"], 1, "malformed"),
        (&["verify", "--label", LABEL, "--in", "there"], 1, "not_verified"),
        (&["explain", LABEL, "--token", "there"], 1, "malformed"),
        (&["encode", "--label", LABEL, "--in", "there"], 2, "wrong_use"),
        (&["init", "."], 2, "usage"),
        (&["man", "nothing"], 2, "usage"),
        (&["inspect", "there"], 2, "damaged"),
        (&["export", "x", "--private", "--store", "there"], 2, "usage"),
        (&["generate", "x", "--type", "ec", "--store", "new.p12"], 2, "usage"),
        (&["generate", "x", "--type", "ec", "--store", "s", "--format", "jwk"], 2, "usage"),
    ] {
        let output = run_in(folder.path(), &[arguments, &["--json"]].concat());
        let value = json_of(&output);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?} {value}");
        assert_eq!(value["error"]["code"], code, "{arguments:?} {value}");
        assert!(value["error"]["message"].is_string(), "{value}");
        assert!(value["error"]["help"].is_string(), "{arguments:?} {value}");
        assert!(output.stderr.is_empty(), "{arguments:?}");
        // In words: the same exit code, nothing on stdout, no control characters.
        let output = run_in(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!output.stderr.contains(&0x1b), "{arguments:?}");
    }
    let value = json_of(&run_in(folder.path(), &["-c", "broken.toml", "labels", "--json"]));
    assert_eq!(value["error"]["where"]["line"], 1, "{value}");
    let lines: Vec<_> = value["error"]["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["where"]["line"])
        .collect();
    assert_eq!(lines, [1, 2], "{value}");
}

#[test]
fn with_out_the_data_is_in_the_file_alone() {
    let folder = starter();
    std::fs::write(folder.path().join("plain"), "attack at dawn").unwrap();
    let made = run_in(
        folder.path(),
        &["encrypt", "--label", "app.session.seal", "--in", "plain", "--out", "t", "--json"],
    );
    assert!(json_of(&made)["token"].is_null() && json_of(&made)["out"] == "t");
    let opened = run_in(
        folder.path(),
        &["decrypt", "--label", "app.session.seal", "--in", "t", "--out", "o", "--json"],
    );
    assert!(!String::from_utf8_lossy(&opened.stdout).contains("attack"), "{opened:?}");
    assert_eq!(std::fs::read(folder.path().join("o")).unwrap(), b"attack at dawn");
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(folder.path().join("o")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let shown = run_in(
        folder.path(),
        &["decrypt", "--label", "app.session.seal", "--in", "t", "--out", "-"],
    );
    assert_eq!(shown.stdout, b"attack at dawn");
}

#[test]
fn a_public_half_goes_to_stdout_and_a_secret_has_none() {
    let folder = starter();
    let export = |alias| {
        let store =
            ["--store", "keystores/default.p12", "--store-password-file", "secrets/storepass"];
        run_in(folder.path(), &[&["export", alias, "--format", "jwk"][..], &store].concat())
    };
    let public = json_of(&export("es256-1"));
    assert!(public["d"].is_null() && public["kty"] == "EC", "{public}");
    assert_eq!(export("hmac-1").status.code(), Some(2));
}

#[test]
fn a_file_name_that_is_not_utf_8_is_shown_and_breaks_nothing() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"odd-\xff"));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.args(arguments).env("CLAVIGER_CONFIG", odd.join("claviger.toml"));
        command.current_dir(folder.path()).output().unwrap()
    };
    let made = Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(["init", "--json"])
        .arg(&odd)
        .output()
        .unwrap();
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    assert_eq!(json_of(&run(&["check", "--json"]))["ok"], true);
    std::fs::write(odd.join("claviger.toml"), "[keyring]\nkid = 'amm'\n").unwrap();
    assert_eq!(json_of(&run(&["check", "--json"]))["errors"], 2);
    assert_eq!(json_of(&run(&["labels", "--json"]))["error"]["where"]["line"], 1);
    assert_eq!(run(&["check"]).status.code(), Some(1));
}

#[test]
fn the_manual_page_names_the_options() {
    let page = String::from_utf8(claviger(&["man", "sign"]).stdout).unwrap();
    assert!(page.starts_with(".ie") && page.contains("unencoded"), "{page}");
    assert!(String::from_utf8(claviger(&["man"]).stdout).unwrap().contains("explain"));
    // Its examples are no paragraph: they keep their lines, also those that go on.
    let (_, extra) = page.split_once("Examples:\n.nf\n  ").unwrap();
    assert!(extra.contains("| claviger sign \\\\\n      \\-\\-label am."), "{extra}");
}

#[test]
fn a_configuration_that_cannot_be_read_exits_3_and_one_that_is_not_there_2() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("loop.toml", folder.path().join("loop.toml")).unwrap();
    for (file, code, exit) in [("loop.toml", "io_failed", 3), ("none.toml", "config_invalid", 2)] {
        let output = run_in(folder.path(), &["-c", file, "check", "--json"]);
        assert_eq!(output.status.code(), Some(exit), "{file}");
        assert_eq!(json_of(&output)["error"]["code"], code);
        assert_eq!(json_of(&output)["error"]["where"]["file"], file);
    }
}

#[test]
fn a_mistyped_label_gets_the_one_that_was_meant_and_a_failed_write_names_no_file_aside() {
    let folder = starter();
    let help = |label: &str| {
        let output = run_in(folder.path(), &["verify", "--label", label, "--in", "x", "--json"]);
        json_of(&output)["error"]["help"].as_str().unwrap().to_owned()
    };
    std::fs::write(folder.path().join("x"), "token").unwrap();
    let near = "did you mean \"am.services.oauth2.oidc.signing.ES256\"?";
    assert!(help("am.services.oauth2.oidc.signing.ES25").starts_with(near));
    // A label of the catalogue that is not mapped is no slip.
    assert!(!help("am.services.oauth2.oidc.signing.ES384").contains("did you mean"));

    let label = "am.services.oauth2.oidc.signing.ES256";
    let arguments = ["sign", "--label", label, "--in", "x", "--out", "no/such/folder", "--json"];
    let error = json_of(&run_in(folder.path(), &arguments));
    assert_eq!(error["error"]["code"], "io_failed");
    assert_eq!(error["error"]["where"]["file"], "no/such/folder");
    assert!(!error.to_string().contains("aside"), "{error}");
}

#[test]
fn a_mistyped_label_of_a_mapping_is_one_error_and_not_one_for_each_of_its_aliases() {
    let folder = starter();
    let path = folder.path().join("claviger.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("oidc.signing.ES256", "oidc.signing.ES265")).unwrap();
    let found = json_of(&run_in(folder.path(), &["check", "--json"]));
    assert_eq!(found["errors"], 1, "{found}");
    assert_eq!(found["problems"][0]["code"], "unknown_label");
}

#[test]
fn the_journal_of_a_starter_says_who_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let made = run_in(folder.path(), &["init", "demo", "--as", "alice"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let history = run_in(folder.path(), &["-c", "demo/claviger.toml", "--json", "history"]);
    let records = json_of(&history)["records"].clone();
    assert_eq!(
        (&records[0]["action"], &records[0]["who"]["name"]),
        (&"init".into(), &"alice".into())
    );
}

/// The keys of a starter are new, and its journal begins with that: what they made is known from the first token on.
#[test]
fn of_the_keys_of_a_starter_nothing_is_unknown() {
    let folder = starter();
    let run = |arguments: &[&str]| {
        let output = run_in(folder.path(), &[&["--json"], arguments].concat());
        (output.status.code(), json_of(&output))
    };
    let status = |alias: &str| {
        let (code, found) = run(&["status"]);
        assert!(matches!(code, Some(0 | 1)), "{found}");
        let labels = found["keys"].as_array().unwrap();
        let aliases =
            labels.iter().find(|one| one["label"] == LABEL).unwrap()["aliases"].as_array();
        aliases.unwrap().iter().find(|key| key["alias"] == alias).unwrap().clone()
    };
    for alias in ["es256-1", "es256-2"] {
        assert!(!status(alias).to_string().contains("unknown"), "{}", status(alias));
    }
    let (code, history) = run(&["history"]);
    assert_eq!(code, Some(0));
    assert!(history.to_string().contains("\"init\""), "{history}");
    // It never acted, and it is known that it did not.
    let (code, retired) = run(&["retire", LABEL, "es256-2"]);
    assert_eq!(code, Some(0), "{retired}");
    let (code, again) = run(&["check"]);
    assert_eq!(code, Some(0), "{again}");
}

#[test]
fn what_a_load_warns_of_is_shown_with_v_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("claviger.toml");
    let path = config.to_str().unwrap();
    assert!(claviger(&["init", folder.path().to_str().unwrap()]).status.success());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[labels.'app.gone']\nuse = 'secret'\n")).unwrap();
    let label = "am.services.oauth2.oidc.signing.ES256";
    let payload = folder.path().join("payload");
    std::fs::write(&payload, "{}").unwrap();
    let sign = |more: &[&str]| {
        let arguments = ["-c", path, "sign", "--label", label, "--in", payload.to_str().unwrap()];
        let output = claviger(&[&arguments[..], more].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let told = sign(&["-v"]);
    assert!(told.contains("warning: ") && told.contains("claviger.toml:"), "{told}");
    assert!(told.contains("app.gone"), "{told}");
    for more in [&[][..], &["-q"], &["-v", "--json"]] {
        assert_eq!(sign(more), "", "{more:?}");
    }
}
