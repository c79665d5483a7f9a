//! `claviger session` and `claviger token`: what goes in, what comes out, and how they exit.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::deployment::Deployment;
use crate::support::json;
use crate::token_kinds::{REALM, mappings};

fn claviger(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_claviger"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("CLAVIGER_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A deployment with every label; the clock of a program is that of the system.
fn deployment() -> Deployment {
    let deployment = Deployment::new();
    deployment.configure(&mappings(), "");
    deployment
}

/// The JSON answer of a command that succeeds.
fn done(folder: &Path, arguments: &[&str], input: &str) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    let output = claviger(folder, &arguments, input);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    json(&output)
}

/// Exit code and error code of one that does not.
fn refused(folder: &Path, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let arguments = [arguments, &["--json"]].concat();
    let output = claviger(folder, &arguments, input);
    let code = json(&output)["error"]["code"].as_str().unwrap_or_default().to_owned();
    (output.status.code(), code)
}

#[test]
fn a_session_goes_through_its_life_on_the_command_line() {
    let deployment = deployment();
    let folder = deployment.folder.path();
    let sealed = done(folder, &["session", "seal"], "{\"sub\":\"alice\"}");
    let token = sealed["token"].as_str().unwrap();
    assert_eq!(sealed["cookie"]["limit"], 4_096);
    assert_eq!(sealed["cookie"]["bytes"], "session=".len() + token.len());
    let opened = done(folder, &["session", "open"], token);
    assert_eq!(opened["claims"]["sub"], "alice");
    assert_eq!((&opened["id"], &opened["ends"]), (&sealed["id"], &sealed["ends"]));
    assert_eq!(opened["verified_by"]["alias"], "hmac-1");
    let next = done(folder, &["session", "refresh"], token);
    assert_eq!((&next["id"], &next["ends"]), (&sealed["id"], &sealed["ends"]));
    assert_eq!(done(folder, &["session", "info"], token)["accepted"], true);
    // Logged out: refused with its reason for whoever asks, and told from the outside in one way.
    let logout = done(folder, &["session", "logout", "--denied", "out.txt"], token);
    assert_eq!((&logout["id"], &logout["denied"]), (&sealed["id"], &1.into()));
    let next = next["token"].as_str().unwrap();
    let guarded = ["session", "open", "--denied", "out.txt"];
    assert_eq!(refused(folder, &guarded, next), (Some(1), "token_refused".into()));
    let info = ["session", "info", "--json", "--denied", "out.txt"];
    let output = claviger(folder, &info, next);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["refused"], "it was logged out");
    // Another realm.
    let elsewhere = ["--realm", "beta", "session", "open"];
    assert_eq!(refused(folder, &elsewhere, token), (Some(1), "token_refused".into()));
    assert_eq!(refused(folder, &["--realm", "beta", "session", "info"], token).0, Some(1));
}

#[test]
fn what_is_no_session_or_no_claims_exits_as_it_should() {
    let deployment = deployment();
    let folder = deployment.folder.path();
    for (arguments, input, exit, code) in [
        (&["session", "seal"][..], "[]", 1, "malformed"),
        (&["session", "seal"], "{\"a\":1,\"a\":2}", 1, "malformed"),
        (&["session", "seal"], "{\"exp\":1}", 2, "usage"),
        (&["session", "open"], "eyJ.a.b", 1, "token_refused"),
        (&["session", "open"], "", 1, "token_refused"),
        (&["session", "open", "--denied", "none.txt"], "a", 3, "store_unreadable"),
        (&["session", "logout", "--denied", "none/none.txt"], "a", 1, "token_refused"),
        (&["session"], "", 2, "usage"),
        (&["token", "seal", "--profile", "authId"], "{}", 2, "usage"),
        (&["token", "seal", "--profile", "authid"], "{}", 2, "unknown_label"),
        (&["token", "seal", "--profile", "consent-request"], "{}", 2, "usage"),
        (&["token", "open", "--profile", "consent-request"], "a", 2, "usage"),
        (&["token", "seal", "--profile", "device-oath", "--life", "5m"], "{}", 2, "usage"),
        (&["token", "seal", "--profile", "iot", "--life", "soon"], "{}", 2, "usage"),
    ] {
        assert_eq!(refused(folder, arguments, input), (Some(exit), code.into()), "{arguments:?}");
    }
    std::fs::write(folder.join("bad.txt"), "a b c\n").unwrap();
    let guarded = ["session", "open", "--denied", "bad.txt"];
    assert_eq!(refused(folder, &guarded, "a"), (Some(1), "malformed".into()));
    // Nothing of a claim or of a token is said.
    let secret = claviger(folder, &["session", "seal"], "{\"password\":\"hunter2\",}");
    let said = String::from_utf8(secret.stderr).unwrap();
    assert!(!said.contains("hunter2") && said.contains("no JSON object"), "{said}");
}

#[test]
fn a_large_cookie_is_made_with_a_warning_and_what_helps() {
    let deployment = deployment();
    let folder = deployment.folder.path();
    let claims = format!("{{\"a\":\"{}\"}}", "a".repeat(4_000));
    let output = claviger(folder, &["session", "seal"], &claims);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.contains("warning: ") && said.contains("zip = true"),
        "{said}"
    );
}

#[test]
fn logouts_at_once_lose_nobody() {
    let deployment = deployment();
    let folder = deployment.folder.path();
    let tokens: Vec<String> = (0..8)
        .map(|_| done(folder, &["session", "seal"], "{}")["token"].as_str().unwrap().to_owned())
        .collect();
    std::thread::scope(|scope| {
        for token in &tokens {
            scope.spawn(|| done(folder, &["session", "logout", "--denied", "out.txt"], token));
        }
    });
    let list = std::fs::read_to_string(folder.join("out.txt")).unwrap();
    assert_eq!(list.lines().count(), tokens.len());
    for token in &tokens {
        let guarded = ["session", "open", "--denied", "out.txt"];
        assert_eq!(refused(folder, &guarded, token).0, Some(1));
    }
}

#[test]
fn tokens_of_profiles_go_through_the_command_line() {
    let deployment = deployment();
    let folder = deployment.folder.path();
    let of = |verb: &'static str, rest: &[&'static str]| {
        [&["--realm", REALM, "token", verb][..], rest].concat()
    };
    let cookie = ["--profile", "persistent-cookie", "--identifier", "front.door"];
    let token = done(folder, &of("seal", &cookie), "{\"sub\":\"alice\"}");
    let token = token["token"].as_str().unwrap();
    let opened = done(folder, &of("open", &cookie), token);
    assert_eq!(opened["claims"]["sub"], "alice");
    let without = of("open", &["--profile", "persistent-cookie"]);
    assert_eq!(refused(folder, &without, token), (Some(1), "token_refused".into()));
    // A life that is shorter when it is opened counts.
    let brief = ["--profile", "authid", "--life", "1s"];
    let token = done(folder, &of("seal", &["--profile", "authid"]), "{}");
    let token = token["token"].as_str().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    assert_eq!(refused(folder, &of("open", &brief), token), (Some(1), "token_refused".into()));
    drop(done(folder, &of("open", &["--profile", "authid"]), token));
    let listed = done(folder, &["token", "profiles"], "");
    let names = listed["profiles"].as_array().unwrap().iter().map(|row| row["name"].clone());
    assert_eq!(names.count(), claviger::profiles::journey::PROFILES.len());
}

#[test]
fn a_consent_request_crosses_the_border_with_the_keys_of_the_other_side() {
    let deployment = deployment();
    let folder = deployment.folder.path();
    let label = "am.services.oauth2.remote.consent.response.decryption";
    let jwks = done(folder, &["--realm", REALM, "jwks", label], "");
    std::fs::write(folder.join("am.jwks"), jwks.to_string()).unwrap();
    let claims = "{\"iss\":\"rcs\",\"aud\":\"am\",\"csrf\":\"c\",\"decision\":true}";
    let seal =
        ["--realm", REALM, "token", "seal", "--profile", "consent-response", "--peer", "am.jwks"];
    let token = done(folder, &seal, claims);
    let token = token["token"].as_str().unwrap();
    // What the service publishes are the keys that sign, which its label does not publish by itself.
    let keyring = deployment.keyring();
    let label = "am.services.oauth2.remote.consent.response.signing.RSA";
    let keys = keyring.realm(REALM).unwrap().label(label).unwrap().keys().unwrap();
    let public = claviger::jose::jwk::public(&keys, keys.active()).unwrap();
    std::fs::write(folder.join("rcs.jwk"), public.to_string()).unwrap();
    let open = ["--realm", REALM, "token", "open", "--profile", "consent-response"];
    let from = |issuer: &'static str| {
        [&open[..], &["--peer", "rcs.jwk", "--issuer", issuer, "--audience", "am"]].concat()
    };
    assert_eq!(done(folder, &from("rcs"), token)["claims"]["decision"], true);
    assert_eq!(refused(folder, &from("other"), token), (Some(1), "token_refused".into()));
    // Without the keys of the other side nothing of ours verifies what it signs.
    let alone = [&open[..], &["--issuer", "rcs", "--audience", "am"]].concat();
    assert_eq!(refused(folder, &alone, token), (Some(2), "wrong_use".into()));
}
