//! Volumes rotate by the names of their files, with the same steps and gates as keystores.

use claviger::error::{ErrorKind, Result};
use claviger::journal::Event;
use claviger::rotation::{NextKey, Plan, Request, Step};

use crate::crash::{injected_into, strace_works};
use crate::workshop::{FORCE, NOW, Workshop, jwk, promote, retire, revoke, stage};

const TOKENS: &str = "app.tokens";

/// A volume of PEM files with one version of the label.
fn with_volume(suffix: &str, label: &str) -> Workshop {
    let shop = Workshop::new();
    let files = shop.path().join("files");
    std::fs::create_dir(&files).unwrap();
    let more = format!(
        "[stores.files]\nkind = \"volume\"\ndirectory = \"files\"\nformat = \"pem\"\nversion_suffix = \"{suffix}\"\n\
         [labels.\"{TOKENS}\"]\nuse = \"sign\"\nalgorithms = [\"ES256\"]\npublish = \"all\"\n{label}"
    );
    shop.configure("propagation = \"5m\"", &more);
    let name = if suffix.is_empty() { TOKENS.to_owned() } else { format!("{TOKENS}{suffix}1") };
    let made = shop.run(&["generate", "x", "--type", "ec", "--out", &format!("files/{name}")]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    shop
}

fn next(shop: &Workshop) -> Result<Plan> {
    let request = Request::new(stage("next"), TOKENS).unwrap();
    let options = NextKey { days: 30, ..NextKey::default() };
    shop.rotation().generate(&request, &options)
}

fn names(shop: &Workshop) -> Vec<String> {
    let entries = std::fs::read_dir(shop.path().join("files")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_version_is_staged_below_promoted_above_and_retired_aside() {
    let shop = with_volume(".v", "");
    let keyring = shop.keyring();
    let label = keyring.label(TOKENS).unwrap();
    let old = label.sign(b"old").unwrap();
    let plan = next(&shop).unwrap();
    assert_eq!((plan.diff.labels[0].kids_enter.len(), plan.diff.labels[0].moves.len()), (1, 0));
    assert_eq!(shop.aliases(TOKENS), ["app.tokens.v1", "app.tokens"]);
    assert_eq!(
        shop.apply(promote("app.tokens"), TOKENS).unwrap_err().kind(),
        ErrorKind::NotAnnounced
    );
    shop.wait(300);
    let plan = shop.apply(promote("app.tokens"), TOKENS).unwrap();
    let diff = &plan.diff.labels[0];
    assert!(
        diff.enters.is_empty() && diff.leaves.is_empty() && diff.kids_leave.is_empty(),
        "{plan}"
    );
    assert_eq!(shop.aliases(TOKENS), ["app.tokens.v2", "app.tokens.v1"]);
    keyring.reload().unwrap();
    let new = label.sign(b"new").unwrap();
    assert!(label.verify(&old).is_ok() && label.verify(&new).is_ok());
    // The next one has no whole number left between.
    next(&shop).unwrap();
    assert_eq!(shop.aliases(TOKENS), ["app.tokens.v2", "app.tokens.v01", "app.tokens.v1"]);
    shop.apply_over(retire("app.tokens.v1"), TOKENS, FORCE).unwrap();
    assert_eq!(names(&shop), ["..retired-app.tokens.v1", "app.tokens.v01", "app.tokens.v2"]);
    keyring.reload().unwrap();
    assert!(label.verify(&old).is_err());
    shop.apply(Step::Undo, TOKENS).unwrap();
    assert_eq!(shop.aliases(TOKENS), ["app.tokens.v2", "app.tokens.v01", "app.tokens.v1"]);
    shop.apply(revoke("app.tokens.v2"), TOKENS).unwrap();
    assert_eq!(shop.aliases(TOKENS), ["app.tokens.v01", "app.tokens.v1"]);
    // The file back in its place, from a backup: the key stays out.
    let files = shop.path().join("files");
    std::fs::rename(files.join("..retired-app.tokens.v2"), files.join("app.tokens.v9")).unwrap();
    assert_eq!(shop.aliases(TOKENS), ["app.tokens.v01", "app.tokens.v1"]);
    assert!(shop.history().broken.is_none());
}

#[test]
fn jwks_of_one_name_get_kids_that_the_label_never_had() {
    let shop = with_volume(".v", "");
    shop.edit("format = \"pem\"", "format = \"jwk\"");
    let file = shop.path().join(format!("files/{TOKENS}.v1"));
    std::fs::write(file, jwk("next", "ec")).unwrap();
    let label = shop.keyring().label(TOKENS).unwrap();
    let mut tokens = vec![label.sign(b"0").unwrap()];
    for round in 1..=4 {
        let plan = next(&shop).unwrap();
        let kid = format!("next-{}", round + 1);
        assert_eq!(plan.diff.labels[0].kids_enter, [kid]);
        let staged = shop.aliases(TOKENS)[1].clone();
        shop.apply_over(promote(&staged), TOKENS, NOW).unwrap();
        // What went leaves its kid to nobody: caches know another key by it.
        let last = shop.aliases(TOKENS)[1].clone();
        shop.apply_over(retire(&last), TOKENS, FORCE).unwrap();
        tokens.push(shop.keyring().label(TOKENS).unwrap().sign(b"token").unwrap());
    }
    let label = shop.keyring().label(TOKENS).unwrap();
    let held: Vec<bool> = tokens.iter().map(|token| label.verify(token).is_ok()).collect();
    assert_eq!(held, [false, false, false, false, true]);
}

#[test]
fn a_dry_run_leaves_the_volume_as_it_was_and_a_bad_value_never_enters() {
    let shop = with_volume(".v", "");
    next(&shop).unwrap();
    let before = names(&shop);
    let output = shop.run(&["promote", TOKENS, "app.tokens", "--now", "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(shop.path().join("bad.pem"), "no key").unwrap();
    let bad = shop.path().join("bad.pem");
    assert!(shop.apply(stage(bad.to_str().unwrap()), TOKENS).is_err());
    assert_eq!(names(&shop), before);
    let made = shop.run(&["generate", "x", "--type", "ec", "--out", "good.pem"]);
    assert!(made.status.success());
    let good = shop.path().join("good.pem");
    shop.apply(stage(good.to_str().unwrap()), TOKENS).unwrap();
    assert_eq!(shop.aliases(TOKENS).len(), 3);
}

#[test]
fn what_would_change_a_kid_or_cannot_be_written_is_refused_with_what_to_do() {
    let shop = with_volume(".v", "kid = \"alias\"\n");
    next(&shop).unwrap();
    let error = shop.apply_over(promote("app.tokens"), TOKENS, NOW).unwrap_err();
    assert!(
        error.message().contains("kid") && error.help().unwrap().contains("rfc7638"),
        "{error}"
    );
    assert_eq!(shop.aliases(TOKENS), ["app.tokens.v1", "app.tokens"]);

    let shop = with_volume("", "");
    let error = next(&shop).unwrap_err();
    assert!(error.help().unwrap().contains("version_suffix"), "{error}");

    let shop = with_volume(".v", "");
    let files = shop.path().join("files");
    std::fs::create_dir(files.join("..2026")).unwrap();
    std::fs::rename(files.join("app.tokens.v1"), files.join("..2026/app.tokens.v1")).unwrap();
    std::os::unix::fs::symlink("..2026", files.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/app.tokens.v1", files.join("app.tokens.v1")).unwrap();
    let error = next(&shop).unwrap_err();
    assert!(error.message().contains("Kubernetes"), "{error}");
}

#[test]
fn nothing_that_is_derived_from_a_password_is_shown() {
    let shop = Workshop::new();
    std::fs::create_dir(shop.path().join("files")).unwrap();
    std::fs::write(shop.path().join("files/app.password.v1"), "hunter1").unwrap();
    std::fs::write(shop.path().join("next"), "hunter2").unwrap();
    let more = "[stores.files]\nkind = \"volume\"\ndirectory = \"files\"\nversion_suffix = \".v\"\n\
                permissions = \"ignore\"\n[labels.\"app.password\"]\nuse = \"secret\"";
    shop.configure("", more);
    let steps: [&[&str]; 4] = [
        &["stage", "app.password", "next", "--dry-run"],
        &["stage", "app.password", "next", "--json"],
        &["promote", "app.password", "app.password", "--now", "--json"],
        &["retire", "app.password", "app.password.v1", "--dry-run"],
    ];
    let mut told = String::new();
    for step in steps {
        let output = shop.run(step);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        told.push_str(&String::from_utf8(output.stdout).unwrap());
    }
    assert!(told.contains("enters: \"app.password\"\n"), "{told}");
    assert!(told.contains("leaves: \"app.password.v1\"\n"), "{told}");
    let keys = shop.keyring().label("app.password").unwrap().keys().unwrap();
    assert_eq!(keys.keys().len(), 2);
    for key in keys.keys() {
        assert!(!told.contains(&key.kid) && !told.contains(key.key.thumbprint()), "{told}");
    }
}

#[test]
fn values_are_made_in_the_format_of_the_volume() {
    for (format, use_of, key_type) in [
        ("plain", "use = \"secret\"", "password"),
        ("base64", "use = \"mac\"\nalgorithms = [\"HS256\"]", "hmac"),
        ("jwk", "use = \"sign\"\nalgorithms = [\"ES256\"]", "ec"),
        ("encrypted-plain", "use = \"secret\"", "password"),
        ("encrypted-base64", "use = \"mac\"\nalgorithms = [\"HS256\"]", "hmac"),
        ("encrypted-pem", "use = \"sign\"\nalgorithms = [\"ES256\"]", "ec"),
    ] {
        let shop = Workshop::new();
        let files = shop.path().join("files");
        std::fs::create_dir(&files).unwrap();
        std::fs::write(shop.path().join("seal.key"), "a key that seals").unwrap();
        let key =
            if format.starts_with("encrypted") { "key = { file = \"seal.key\" }\n" } else { "" };
        let more = format!(
            "[stores.files]\nkind = \"volume\"\ndirectory = \"files\"\nformat = \"{format}\"\n\
             version_suffix = \".v\"\n{key}[labels.\"{TOKENS}\"]\n{use_of}\n"
        );
        shop.configure("", &more);
        let inner = format.strip_prefix("encrypted-").unwrap_or(format);
        let made =
            shop.run(&["generate", "x", "--type", key_type, "--format", inner, "--out", "first"]);
        assert!(made.status.success(), "{format}: {}", String::from_utf8_lossy(&made.stderr));
        if inner == format {
            std::fs::rename(shop.path().join("first"), files.join("app.tokens.v1")).unwrap();
        } else {
            let sealed = shop.run(&[
                "encode",
                "--key-file",
                "seal.key",
                "--in",
                "first",
                "--out",
                "files/app.tokens.v1",
            ]);
            assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
        }
        let request = Request::new(stage("next"), TOKENS).unwrap();
        let options = NextKey { key_type: Some(key_type), days: 30, ..NextKey::default() };
        shop.rotation().generate(&request, &options).unwrap();
        assert_eq!(shop.aliases(TOKENS), ["app.tokens.v1", "app.tokens"], "{format}");
        shop.apply_over(promote("app.tokens"), TOKENS, NOW).unwrap();
        assert_eq!(shop.aliases(TOKENS), ["app.tokens.v2", "app.tokens.v1"], "{format}");
    }
}

fn reorder(aliases: &[&str]) -> Step {
    Step::Reorder { aliases: aliases.iter().map(|alias| alias.parse().unwrap()).collect() }
}

/// A volume with three versions, in the order of their keys' thumbprints.
fn with_three() -> (Workshop, Vec<String>) {
    let shop = with_volume(".v", "");
    next(&shop).unwrap();
    next(&shop).unwrap();
    let aliases = shop.aliases(TOKENS);
    assert_eq!(aliases.len(), 3);
    (shop, aliases)
}

fn thumbprints(shop: &Workshop) -> Vec<String> {
    let keys = shop.keyring().label(TOKENS).unwrap().keys().unwrap();
    keys.keys().iter().map(|key| key.key.thumbprint().to_owned()).collect()
}

#[test]
fn the_versions_of_a_volume_are_put_in_any_order_and_back() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (shop, aliases) = with_three();
        let before = thumbprints(&shop);
        let wanted = order.map(|at| aliases[at].as_str());
        let plan = shop.apply_over(reorder(&wanted), TOKENS, FORCE).unwrap();
        assert_eq!(plan.is_done(), order == [0, 1, 2]);
        assert_eq!(thumbprints(&shop), order.map(|at| before[at].clone()), "{order:?}");
        if !plan.is_done() {
            shop.apply_over(Step::Undo, TOKENS, FORCE).unwrap();
            assert_eq!((shop.aliases(TOKENS), thumbprints(&shop)), (aliases, before));
        }
    }
    let (shop, aliases) = with_three();
    let error = shop.apply_over(reorder(&[&aliases[0]]), TOKENS, FORCE).unwrap_err();
    assert!(error.message().contains("every alias"), "{error}");
}

#[test]
fn killed_between_two_renames_a_volume_is_whole_and_the_next_command_ends_the_step() {
    if !strace_works() {
        return;
    }
    let mut between = 0;
    for count in 1..20 {
        let (shop, aliases) = with_three();
        let before = thumbprints(&shop);
        let wanted = [&aliases[2], &aliases[1], &aliases[0]].map(String::as_str);
        let mut arguments = vec!["reorder", TOKENS];
        arguments.extend(wanted);
        arguments.push("--force");
        let code = injected_into(&shop, &arguments, "/^rename", "signal=SIGKILL", count);
        // Readers see every key at every moment, and what acts is the old one or the new one.
        let found = thumbprints(&shop);
        let (old, new) = (before.clone(), before.iter().rev().cloned().collect::<Vec<_>>());
        assert_eq!(found.len(), 3, "{count}");
        assert!(found[0] == old[0] || found[0] == new[0], "{count}");
        between += u32::from(found != old && found != new);
        drop(shop.rotation());
        let ended = thumbprints(&shop);
        assert!(ended == old || ended == new, "{count}: {ended:?}");
        let history = shop.history();
        assert!(history.unfinished().is_none() && history.broken.is_none(), "{count}");
        if code == Some(0) {
            assert_eq!(ended, new);
            assert!(between > 0, "no kill fell between two renames");
            return;
        }
    }
    panic!("no run came to its end");
}

#[test]
fn a_key_that_is_not_made_leaves_a_record_of_the_refusal() {
    let shop = with_volume("", "");
    drop(shop.rotation());
    let known = shop.history().records.len();
    let output = shop.run(&["generate", "x", "--stage", TOKENS, "--type", "no-such-type"]);
    assert_ne!(output.status.code(), Some(0));
    let history = shop.history();
    assert_eq!(history.records.len(), known + 1);
    assert_eq!(history.records[known].event, Event::Refused);
}

#[test]
fn a_volume_that_cannot_be_written_is_told_and_the_step_is_ended_in_the_journal() {
    if !strace_works() {
        return;
    }
    let mut refused = 0;
    for count in 1..8 {
        let (shop, aliases) = with_three();
        let before = (names(&shop), thumbprints(&shop));
        let arguments = ["promote", TOKENS, &aliases[2], "--force"];
        let code = injected_into(&shop, &arguments, "/^rename", "error=EROFS", count);
        let history = shop.history();
        assert!(history.broken.is_none() && history.unfinished().is_none(), "{count}");
        if code == Some(0) {
            assert_ne!(thumbprints(&shop), before.1, "{count}");
            continue;
        }
        assert_eq!((names(&shop), thumbprints(&shop)), before, "{count}");
        let last = history.records.last().unwrap();
        refused += u32::from(last.event == Event::Aborted);
    }
    assert!(refused > 0, "no rename of a file of the volume failed");
}

#[test]
fn the_active_file_that_gets_another_name_is_told_as_that() {
    let shop = with_volume(".v", "");
    next(&shop).unwrap();
    // Nothing is lower any more: the active file goes up first.
    let plan = next(&shop).unwrap();
    assert_eq!(shop.aliases(TOKENS)[0], "app.tokens.v3");
    let text = plan.to_string();
    assert!(text.contains("renamed: \"app.tokens.v1\" is \"app.tokens.v3\" from now on"), "{text}");
    assert!(!text.contains("acts"), "{text}");
}

#[test]
fn a_label_that_is_spelled_as_no_other_begins_nothing() {
    let shop = with_volume(".v", "");
    let generate = |label: &str| shop.run(&["generate", "k", "--stage", label, "--store", "files"]);
    let refused = generate("am.services.oauth2.oidc.signing.ES265");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("did you mean \"am.services.oauth2.oidc.signing.ES256\"?"), "{told}");
    assert_eq!(names(&shop).len(), 1);
    // One of somebody's own may be asked for later.
    let made = generate("app.later");
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    assert!(String::from_utf8_lossy(&made.stdout).contains("nobody asks for the label yet"));
}
