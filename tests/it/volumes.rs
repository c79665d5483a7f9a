//! Volumes of secret files: names and versions, Kubernetes' layout, links, modes, text, sealed values.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use claviger::Keyring;
use serde_json::Value;

use crate::support::{claviger, copy_program, json, run};

const LABELS: &str = "[labels.'app.one']\nuse = 'secret'\n[labels.'app.two']\nuse = 'secret'\n";

fn write(path: &Path, text: &str) {
    write_mode(path, text, 0o600);
}

fn write_mode(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A folder with a volume `v`, mode 0700, and a configuration of it.
fn volume(options: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("v")).unwrap();
    chmod(&dir.path().join("v"), 0o700);
    let text = format!("[stores.v]\nkind = 'volume'\ndirectory = 'v'\n{options}{LABELS}");
    write(&dir.path().join("claviger.toml"), &text);
    dir
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn check(dir: &Path) -> Value {
    json(&claviger(dir, &["check"], &[]))
}

/// The messages of a severity, without those of unused labels.
fn messages(checked: &Value, severity: &str) -> Vec<String> {
    let all = checked["problems"].as_array().unwrap_or_else(|| panic!("{checked}"));
    all.iter()
        .filter(|one| one["severity"] == severity)
        .filter(|one| {
            one["message"].as_str().unwrap().contains("store \"v\"") || severity == "error"
        })
        .map(|one| one["message"].as_str().unwrap().to_owned())
        .collect()
}

fn aliases(dir: &Path, label: &str) -> Vec<String> {
    let got = json(&claviger(dir, &["labels", label], &[]));
    let all = got["labels"][0]["aliases"].as_array().unwrap_or_else(|| panic!("{got}"));
    all.iter().map(|one| one["alias"].as_str().unwrap().to_owned()).collect()
}

/// What the label `app.one` gives out.
fn revealed(dir: &Path) -> Vec<u8> {
    let keyring = Keyring::open_once(&dir.join("claviger.toml")).unwrap();
    keyring.label("app.one").unwrap().reveal(<[u8]>::to_vec).unwrap()
}

#[test]
fn versions_stand_before_or_after_the_extension_and_the_highest_is_active() {
    let dir = volume("extension = '.txt'\nversion_suffix = '.v'\n");
    let at = |name: &str| dir.path().join("v").join(name);
    for name in
        ["app.one.txt", "app.one.v2.txt", "app.one.txt.v10", "app.one.v01.txt", "app.one.v1.txt"]
    {
        write(&at(name), &format!("the secret of {name}"));
    }
    let order = ["app.one.v10", "app.one.v2", "app.one.v01", "app.one.v1", "app.one"];
    assert_eq!(aliases(dir.path(), "app.one"), order);
    for name in [
        "app.two.v0.txt",
        "app.two.v-1.txt",
        "app.two.v4294967296.txt",
        "app.two",
        "app.one.txt.v2",
    ] {
        write(&at(name), "not read");
    }
    let warned = messages(&check(dir.path()), "warning");
    for name in [
        "app.two.v0.txt",
        "app.two.v-1.txt",
        "app.two.v4294967296.txt",
        "app.two",
        "app.one.v2.txt",
    ] {
        assert!(
            warned.iter().any(|text| text.contains(&format!("\"{name}\""))),
            "{name}: {warned:?}"
        );
    }
    assert_eq!(aliases(dir.path(), "app.one"), order);
}

#[test]
fn names_that_are_no_labels_are_reported_and_never_read() {
    let dir = volume("");
    let names = [
        "a..b",
        ".hidden",
        "trailing.",
        "a b",
        "bak~",
        "a%2e%2eb",
        "ä",
        "new\nline",
        &"x".repeat(255),
    ];
    for name in &names[..8] {
        write(&dir.path().join("v").join(name), "");
    }
    std::fs::create_dir(dir.path().join("v/lost+found")).unwrap();
    std::fs::create_dir(dir.path().join("v/sub.folder")).unwrap();
    write(&dir.path().join("v/app.one"), "a secret of some length");
    let checked = check(dir.path());
    assert_eq!(checked["ok"], true, "{checked}");
    assert_eq!(messages(&checked, "warning").len(), 10, "{checked}");
    assert!(!checked.to_string().contains("new\nline"), "{checked}");
}

#[test]
fn a_kubernetes_volume_is_read_through_its_generation() {
    let dir = volume("");
    let root = dir.path().join("v");
    for (generation, text) in [
        ("..2026_11_25_01", "the first of all secrets"),
        ("..2026_11_25_02", "the second one of them"),
    ] {
        std::fs::create_dir(root.join(generation)).unwrap();
        write_mode(&root.join(generation).join("app.one"), text, 0o440);
    }
    symlink("..2026_11_25_01", root.join("..data")).unwrap();
    symlink("..data/app.one", root.join("app.one")).unwrap();
    // As kubelet mounts it: everybody may write, and only the owner of a name may change it.
    chmod(&root, 0o1777);
    let checked = check(dir.path());
    assert_eq!(
        (&checked["ok"], messages(&checked, "warning").len()),
        (&true.into(), 0),
        "{checked}"
    );
    assert_eq!(aliases(dir.path(), "app.one"), ["app.one"]);
    assert_eq!(revealed(dir.path()), b"the first of all secrets");
    // As kubelet updates it: one rename.
    symlink("..2026_11_25_02", root.join("..data_tmp")).unwrap();
    std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    assert_eq!(revealed(dir.path()), b"the second one of them");
    write(&root.join("app.two"), "a file beside the generation");
    let warned = messages(&check(dir.path()), "warning");
    assert!(warned[0].contains("app.two") && warned[0].contains("..data"), "{warned:?}");
    // A generation outside the volume is none.
    std::fs::remove_file(root.join("..data")).unwrap();
    std::fs::create_dir(dir.path().join("outside")).unwrap();
    symlink("../outside", root.join("..data")).unwrap();
    let failed = messages(&check(dir.path()), "error");
    assert!(failed.iter().any(|text| text.contains("out of the directory")), "{failed:?}");
}

#[test]
fn links_stay_inside_and_what_is_no_file_is_refused() {
    let dir = volume("");
    let root = dir.path().join("v");
    write(&dir.path().join("elsewhere"), "a secret of somebody else");
    write(&root.join("app.one"), "a secret of some length");
    symlink("app.one", root.join("app.two")).unwrap();
    assert_eq!(check(dir.path())["ok"], true);
    std::fs::remove_file(root.join("app.two")).unwrap();
    let absolute = dir.path().join("elsewhere");
    let cases = [
        ("../elsewhere", "out of the directory"),
        (absolute.to_str().unwrap(), "out of the directory"),
        ("../v/app.one", "out of the directory"),
        ("app.two", "symbolic links"),
        ("absent", "No such file"),
    ];
    for (target, reason) in cases {
        symlink(target, root.join("app.two")).unwrap();
        let failed = messages(&check(dir.path()), "error");
        assert!(
            failed[0].contains("app.two") && failed[0].contains(reason),
            "{target}: {failed:?}"
        );
        // One bad file leaves the others.
        assert_eq!(failed.len(), 1, "{target}: {failed:?}");
        std::fs::remove_file(root.join("app.two")).unwrap();
    }
    run(&root, "mkfifo", &["app.two"]);
    let failed = messages(&check(dir.path()), "error");
    assert!(failed[0].contains("no regular file"), "{failed:?}");
}

#[test]
fn modes_are_refused_warned_of_or_ignored() {
    for (setting, mode, errors, warnings) in [
        ("warn", 0o400, 0, 0),
        ("warn", 0o440, 0, 0),
        ("warn", 0o644, 0, 1),
        ("warn", 0o660, 0, 1),
        ("warn", 0o666, 1, 0),
        ("refuse", 0o440, 0, 0),
        ("refuse", 0o644, 1, 0),
        ("ignore", 0o644, 0, 0),
        ("ignore", 0o602, 1, 0),
    ] {
        let dir = volume(&format!("permissions = '{setting}'\n"));
        write_mode(&dir.path().join("v/app.one"), "a secret of some length", mode);
        let checked = check(dir.path());
        let got = (messages(&checked, "error").len(), messages(&checked, "warning").len());
        assert_eq!(got, (errors, warnings), "{setting} {mode:o}: {checked}");
    }
    for (setting, mode, errors, warnings) in [
        ("warn", 0o755, 0, 0),
        ("warn", 0o775, 0, 1),
        ("warn", 0o1777, 0, 1),
        ("warn", 0o777, 1, 0),
        ("refuse", 0o775, 1, 0),
        ("ignore", 0o775, 0, 0),
        ("ignore", 0o757, 1, 0),
    ] {
        let dir = volume(&format!("permissions = '{setting}'\n"));
        write(&dir.path().join("v/app.one"), "a secret of some length");
        chmod(&dir.path().join("v"), mode);
        let checked = check(dir.path());
        let got = (messages(&checked, "error").len(), messages(&checked, "warning").len());
        assert_eq!(got, (errors, warnings), "directory, {setting} {mode:o}: {checked}");
    }
}

#[test]
fn text_loses_one_line_break_with_a_warning_and_base64_every_one() {
    let dir = volume("format = 'plain'\n");
    let file = dir.path().join("v/app.one");
    for (text, warnings, read) in [
        ("secret text", 0, "secret text"),
        ("secret text\n", 1, "secret text"),
        ("secret text\r\n", 1, "secret text"),
        ("secret text\n\n", 1, "secret text\n"),
    ] {
        write(&file, text);
        let checked = check(dir.path());
        assert_eq!(messages(&checked, "warning").len(), warnings, "{text:?}: {checked}");
        assert_eq!(revealed(dir.path()), read.as_bytes(), "{text:?}");
    }
    write(&file, "");
    assert_eq!(messages(&check(dir.path()), "error").len(), 1);
    write(&file, &"x".repeat((2 << 20) + 1));
    let failed = messages(&check(dir.path()), "error");
    assert!(failed[0].contains("2097152"), "{failed:?}");
    std::fs::write(&file, [0xff, 0xfe, 0x41]).unwrap();
    let failed = messages(&check(dir.path()), "error");
    assert!(failed[0].contains("UTF-8"), "{failed:?}");

    // `base64` of coreutils cuts its lines after 76 digits.
    let label = "am.services.oauth2.jwt.authenticity.signing";
    let dir = volume("format = 'base64'\n");
    run(
        dir.path(),
        "sh",
        &["-c", &format!("umask 077; head -c 64 /dev/urandom | base64 > v/{label}")],
    );
    write(&dir.path().join("payload"), "{}");
    let signed = claviger(dir.path(), &["sign", "--label", label, "--in", "payload"], &[]);
    assert!(signed.status.success(), "{signed:?}");
    let got = json(&claviger(dir.path(), &["labels", label], &[]));
    assert_eq!(got["labels"][0]["aliases"][0]["key"], "symmetric 512", "{got}");
}

#[test]
fn sealed_values_open_with_their_key_alone_and_only_unaltered() {
    let dir = volume("format = 'encrypted-plain'\nkey = { file = 'seal.key' }\n");
    let dir = dir.path();
    write(&dir.join("seal.key"), "correct horse battery staple");
    write(&dir.join("other.key"), "another horse and its staple");
    write(&dir.join("plain"), "the word\nin two lines");
    let encode = ["encode", "--key-file", "seal.key", "--in", "plain", "--out", "v/app.one"];
    assert!(claviger(dir, &encode, &[]).status.success());
    chmod(&dir.join("v/app.one"), 0o600);
    assert_eq!(check(dir)["ok"], true);
    let sealed = std::fs::read_to_string(dir.join("v/app.one")).unwrap();
    let decode = |key: &str| {
        let _ = std::fs::remove_file(dir.join("opened"));
        let arguments = ["decode", "--key-file", key, "--in", "v/app.one", "--out", "opened"];
        let output = claviger(dir, &arguments, &[]);
        (output.status.code(), std::fs::read_to_string(dir.join("opened")).ok())
    };
    assert_eq!(decode("seal.key"), (Some(0), Some("the word\nin two lines".into())));
    assert_eq!(decode("other.key").1, None);
    for around in ["\n", "\r\n"] {
        write(&dir.join("v/app.one"), &format!("{sealed}{around}"));
        assert_eq!(decode("seal.key").0, Some(0), "{around:?}");
    }
    // Another character in each eighth of the text, and each half.
    for place in (0..sealed.len()).step_by(sealed.len() / 8) {
        let mut altered = sealed.clone().into_bytes();
        altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
        write(&dir.join("v/app.one"), std::str::from_utf8(&altered).unwrap());
        assert_eq!(decode("seal.key").1, None, "{place}");
        write(&dir.join("v/app.one"), &sealed[..place]);
        assert_eq!(decode("seal.key").1, None, "cut at {place}");
    }
    write(&dir.join("v/app.one"), "AQICd0FZZxbSwYrzkpNNoMYLrYcIrWRiPlSw");
    let failed = messages(&check(dir), "error");
    assert!(failed[0].contains("encode.jsp"), "{failed:?}");
}

#[test]
fn a_volume_of_a_realm_serves_that_realm_before_the_global_one() {
    let dir = volume("");
    let dir = dir.path();
    std::fs::create_dir(dir.join("alpha")).unwrap();
    chmod(&dir.join("alpha"), 0o700);
    write(&dir.join("v/app.one"), "the secret of everybody");
    write(&dir.join("alpha/app.one"), "the secret of alpha only");
    let config = std::fs::read_to_string(dir.join("claviger.toml")).unwrap();
    let realm = "[stores.alpha]\nkind = 'volume'\ndirectory = 'alpha'\nrealm = 'alpha'\n";
    write(&dir.join("claviger.toml"), &format!("{config}{realm}"));
    let stores = |realm: &[&str]| {
        let got = json(&claviger(dir, &[&["labels", "app.one"], realm].concat(), &[]));
        let row = got["labels"].as_array().unwrap().last().unwrap().clone();
        let all: Vec<String> =
            row["aliases"].as_array().unwrap().iter().map(|one| one["store"].to_string()).collect();
        all
    };
    assert_eq!(stores(&["--realm", "alpha"]), ["\"alpha\"", "\"v\""]);
    assert_eq!(stores(&["--realm", "beta"]), ["\"v\""]);
}

#[test]
fn a_user_without_the_right_to_read_is_told_so() {
    let dir = volume("");
    chmod(dir.path(), 0o755);
    chmod(&dir.path().join("v"), 0o755);
    chmod(&dir.path().join("claviger.toml"), 0o644);
    write(&dir.path().join("v/app.one"), "a secret of some length");
    // The binary may lie where only its builder may look: it is copied out.
    let binary = dir.path().join("claviger");
    copy_program(&binary);
    chmod(&binary, 0o755);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&binary);
    let output = command.args(["check", "--json"]).current_dir(dir.path()).output().unwrap();
    if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("setpriv") {
        println!("setpriv may not change the user: not root");
        return;
    }
    let failed = messages(&json(&output), "error");
    assert!(failed[0].contains("app.one") && failed[0].contains("ermission denied"), "{failed:?}");
}

#[test]
fn text_behind_a_label_of_keys_is_refused_and_told_where_keys_are_kept() {
    let text = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for (format, errors) in [("plain", 1), ("base64", 0)] {
        let dir = volume(&format!("format = '{format}'\n"));
        let path = dir.path().join("claviger.toml");
        let label = "[labels.'app.mac']\nuse = 'mac'\nalgorithms = ['HS256']\n";
        write(&path, &(std::fs::read_to_string(&path).unwrap() + label));
        write(&dir.path().join("v/app.mac"), text);
        let checked = check(dir.path());
        let all = checked["problems"].as_array().unwrap();
        let refused: Vec<&Value> = all.iter().filter(|one| one["severity"] == "error").collect();
        assert_eq!(refused.len(), errors, "{checked}");
        for problem in refused {
            assert_eq!(problem["code"], "no_algorithm_fits", "{checked}");
            assert!(problem["help"].as_str().unwrap().contains("format = \"base64\""), "{checked}");
        }
    }
}
