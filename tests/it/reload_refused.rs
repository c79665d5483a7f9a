//! What is wrong with a file leaves what serves, says why, and recovers alone.

use std::os::unix::fs::PermissionsExt;

use crate::reload::{
    MAC, PASSWORD, Place, SIGN, Told, active, alone, config, keystore, mac_key, until,
};

/// The code of the refusal, how to spoil, how to mend.
type Case<'p> = (&'static str, Box<dyn Fn() + 'p>, Box<dyn Fn() + 'p>);

#[test]
fn what_is_wrong_leaves_what_serves_says_why_and_recovers_alone() {
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let label = keyring.label(SIGN).unwrap();
    let token = label.sign(b"x").unwrap();
    let whole = keystore();
    let toml = config("watch", &["a", "b"]);
    let cases: Vec<Case<'_>> = vec![
        (
            "store_unreadable",
            Box::new(|| std::fs::remove_file(place.path("keys.p12")).unwrap()),
            Box::new(|| place.replace("keys.p12", whole)),
        ),
        (
            "damaged",
            Box::new(|| place.replace("keys.p12", &whole[..whole.len() / 2])),
            Box::new(|| place.replace("keys.p12", whole)),
        ),
        (
            "damaged",
            // Cut in place, as a writer that died leaves it.
            Box::new(|| std::fs::write(place.path("keys.p12"), &whole[..100]).unwrap()),
            Box::new(|| std::fs::write(place.path("keys.p12"), whole).unwrap()),
        ),
        (
            "damaged",
            Box::new(|| std::fs::write(place.path("keys.p12"), "").unwrap()),
            Box::new(|| place.replace("keys.p12", whole)),
        ),
        (
            "wrong_password",
            Box::new(|| place.replace("secrets/storepass", "no")),
            Box::new(|| place.replace("secrets/storepass", PASSWORD)),
        ),
        (
            "syntax_error",
            Box::new(|| place.replace("claviger.toml", &toml[..toml.len() - 20])),
            Box::new(|| place.replace("claviger.toml", &toml)),
        ),
        (
            "alias_not_found",
            Box::new(|| place.replace("claviger.toml", config("watch", &["a", "bb"]))),
            Box::new(|| place.replace("claviger.toml", &toml)),
        ),
        (
            "store_unreadable",
            Box::new(|| {
                std::fs::remove_file(place.path("keys.p12")).unwrap();
                place.make_dir("keys.p12");
            }),
            Box::new(|| {
                std::fs::remove_dir(place.path("keys.p12")).unwrap();
                place.replace("keys.p12", whole);
            }),
        ),
        (
            "damaged",
            Box::new(|| place.replace(&format!("macs/{MAC}.v1"), "no base64!")),
            Box::new(|| place.replace(&format!("macs/{MAC}.v1"), mac_key(1))),
        ),
    ];
    for (number, (code, spoil, mend)) in cases.iter().enumerate() {
        heard.forget();
        spoil();
        heard.refused(code);
        let status = keyring.status();
        assert!(!status.is_healthy(), "case {number}");
        let refused = status.refused.expect("a refusal");
        assert!(refused.problems.iter().any(|one| one.code == *code), "case {number}: {refused:?}");
        assert!(label.verify(&token).is_ok(), "case {number} ended service");
        mend();
        until("recovery", || keyring.status().refused.is_none());
        assert!(label.verify(&token).is_ok(), "case {number}");
    }
    // A configuration that is gone is a refusal without problems.
    std::fs::rename(place.path("claviger.toml"), place.path("gone")).unwrap();
    heard.wait(
        "no file",
        |told| matches!(told, Told::Refused(_, text) if text.contains("cannot read")),
    );
    std::fs::rename(place.path("gone"), place.path("claviger.toml")).unwrap();
    until("recovery", || keyring.status().refused.is_none());
    assert_eq!(keyring.status().generation, keyring.snapshot().generation());
}

#[test]
fn a_file_that_may_not_be_read_any_more() {
    if !alone("reload_refused::a_file_that_may_not_be_read_any_more", Some(65_534)) {
        return;
    }
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let mode = |name: &str, mode| {
        std::fs::set_permissions(place.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for name in ["keys.p12", "macs", "secrets/storepass"] {
        let before = if name == "macs" { 0o700 } else { 0o600 };
        mode(name, 0);
        heard.wait("a refusal", |told| matches!(told, Told::Refused(..)));
        let refused = keyring.status().refused.unwrap();
        let text = format!("{:?}", refused.problems);
        assert!(text.contains("ermission denied"), "{text}");
        assert!(keyring.label(SIGN).unwrap().sign(b"x").is_ok());
        mode(name, before);
        until("recovery", || keyring.status().refused.is_none());
    }
}

#[test]
fn no_descriptor_is_left_for_a_reload() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    if !alone("reload_refused::no_descriptor_is_left_for_a_reload", None) {
        return;
    }
    let place = Place::new("watch");
    let (keyring, heard) = place.follow();
    let before = getrlimit(Resource::Nofile);
    place.replace("claviger.toml", config("watch", &["b"]));
    // Descriptors are numbered from the lowest: none below the limit is free.
    let mut held = Vec::new();
    let limit = 64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: before.maximum }).unwrap();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        held.push(file);
    }
    let result = keyring.reload();
    drop(held);
    setrlimit(Resource::Nofile, before).unwrap();
    // The thread that watches gives back what it reads with: the configuration, or one of its stores, finds none.
    let error = format!("{:?}", result.expect_err("no descriptor was left"));
    assert!(error.contains("oo many open files"), "{error}");
    heard.taken("recovery alone");
    assert_eq!(active(&keyring, SIGN), "b");
    assert!(keyring.status().refused.is_none());
}

#[test]
fn three_hundred_wrong_configurations_are_refused_with_a_place() {
    let place = Place::new("off");
    let keyring = place.open();
    let good = config("off", &["a", "b"]);
    let lines: Vec<&str> = good.lines().collect();
    let mut refused = 0;
    for number in 0..300 {
        let at = number / 10 % lines.len();
        let mut text: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let change = match number % 10 {
            0 => "an unknown key",
            1 => "an open string",
            2 => "a key twice",
            3 => "no value",
            4 => "a missing alias",
            5 => "a wrong type",
            6 => "a label twice",
            7 => "passwords in a circle",
            8 => "an unknown kind",
            _ => "bytes that are no TOML",
        };
        match number % 10 {
            0 => text[at].push_str(&format!("\nnonsense_{number} = 1")),
            1 => text[at].push_str(&format!("\nx{number} = \"open")),
            2 => text.insert(1, format!("reload = \"{number}s\"\nreload = \"watch\"")),
            3 => text[at].push_str(&format!("\nkey{number} =")),
            4 => text.push(format!("\"app.more.m{number}\" = [\"missing-{number}\"]")),
            5 => text[1] = format!("reload = {number}"),
            6 => text.push(format!("\"{SIGN}\" = [\"a\"]\n# {number}")),
            7 => text.push(format!(
                "[stores.k{number}]\nkind = \"keystore\"\npath = \"keys.p12\"\nstore_password = {{ label = \"no.such{number}\" }}"
            )),
            8 => text[3] = format!("kind = \"volum{number}\""),
            _ => text[at].push_str(&format!("\n]{number}[ = {{")),
        }
        place.replace("claviger.toml", text.join("\n"));
        let error = keyring.reload().expect_err(change);
        let placed = error.problems().iter().any(|problem| problem.location.is_some());
        assert!(placed, "{number}: {change}: {error:?}");
        assert_eq!(keyring.snapshot().generation(), 1, "{number}: {change}");
        refused += 1;
    }
    assert_eq!(refused, 300);
    assert!(keyring.label(SIGN).unwrap().sign(b"x").is_ok());
    // Too large is refused before it is read.
    let huge = std::fs::File::create(place.path("huge")).unwrap();
    huge.set_len(64 << 20).unwrap();
    std::fs::rename(place.path("huge"), place.path("claviger.toml")).unwrap();
    assert!(keyring.reload().unwrap_err().to_string().contains("larger than 16 MiB"));
    place.replace("claviger.toml", &good);
    keyring.reload().unwrap();
}
