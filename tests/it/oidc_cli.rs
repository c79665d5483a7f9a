//! `claviger oidc`: every kind of token issued and verified by the program, and what it says when it refuses.

use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::oidc_house::{House, ISSUER, SECRET, public};
use crate::support;

/// Runs `claviger oidc …` over `input`.
fn oidc(house: &House, arguments: &[&str], input: &str) -> Output {
    use std::io::Write;
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_claviger"))
        .arg("oidc")
        .args(arguments)
        .env_remove("CLAVIGER_CONFIG")
        .current_dir(house.folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments does not read.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A house with a client file in TOML and one in JSON, and the provider's key set.
fn house() -> House {
    let house = House::new();
    let write = |name: &str, text: &str| {
        std::fs::write(house.folder.path().join(name), text).unwrap();
    };
    write("secret.txt", &format!("{SECRET}\n"));
    // Two RSA keys: without a use the first one would encrypt.
    let mut signs = public("rsa-1");
    signs["use"] = "sig".into();
    write("keys.json", &json!({ "keys": [signs, public("enc-1")] }).to_string());
    write(
        "shop.toml",
        "client_id = \"shop\"\nid_token_signed_response_alg = \"ES256\"\nid_token_encrypted_response_alg = \"RSA-OAEP-256\"\n\
         token_endpoint_auth_method = \"private_key_jwt\"\nclient_secret_file = \"secret.txt\"\njwks_file = \"keys.json\"\n",
    );
    write(
        "mac.json",
        &json!({ "client_id": "shop", "id_token_signed_response_alg": "HS256", "client_secret": SECRET,
            "request_object_signing_alg": "HS384", "request_object_encryption_alg": "dir",
            "token_endpoint_auth_method": "client_secret_jwt", "userinfo_signed_response_alg": "HS256",
            "userinfo_encrypted_response_alg": "A128KW" })
        .to_string(),
    );
    let jwks = support::claviger(house.folder.path(), &["jwks", "--provider"], &[]);
    write("op.jwks", &String::from_utf8(jwks.stdout).unwrap());
    house
}

#[test]
fn every_kind_of_token_is_issued_and_verified_by_the_program() {
    let house = house();
    let (issuer, toml, mac) =
        (["--issuer", ISSUER], ["--client", "shop.toml"], ["--client", "mac.json"]);
    let alice = r#"{"sub":"alice","scope":"read","sid":"s-1"}"#;
    let es256 = ["--protection", "ES256"];
    let sealed = ["--protection", "encrypted", "--protection", "ES256"];
    let encrypted = ["--provider-jwks", "op.jwks"];
    // What, arguments of both sides, those of issue, those of verify, the input.
    let none: Vec<&str> = Vec::new();
    let cases = [
        ("id-token", toml.to_vec(), none.clone(), encrypted.to_vec(), alice),
        ("id-token", mac.to_vec(), none.clone(), none.clone(), alice),
        ("id-token", mac.to_vec(), none.clone(), vec!["--relying-party"], alice),
        ("logout-token", toml.to_vec(), none.clone(), encrypted.to_vec(), alice),
        ("refresh-token", [toml, es256].concat(), none.clone(), none.clone(), alice),
        ("refresh-token", [&toml[..], &sealed].concat(), none.clone(), none.clone(), alice),
        ("request-object", mac.to_vec(), none.clone(), none.clone(), r#"{"scope":"openid"}"#),
        ("client-assertion", toml.to_vec(), vec!["--typed"], vec!["--require-typ"], ""),
        ("client-assertion", mac.to_vec(), none.clone(), none.clone(), ""),
    ];
    for (what, both, making, checking, input) in cases {
        let call = |verb: &'static str, more: &[&str], input: &str| {
            let arguments = [&[what, verb][..], &issuer, &both, more].concat();
            text(&oidc(&house, &arguments, input))
        };
        let token = call("issue", &making, input);
        let claims: Value = serde_json::from_str(&call("verify", &checking, &token)).unwrap();
        assert!(claims["exp"].is_number(), "{what}: {claims}");
    }
    let issue = [
        "access-token",
        "issue",
        "--issuer",
        ISSUER,
        "--client",
        "shop.toml",
        "--audience",
        "https://api",
    ];
    let token = text(&oidc(&house, &issue, alice));
    let verify = [
        "access-token",
        "verify",
        "--issuer",
        ISSUER,
        "--audience",
        "https://api",
        "--scope",
        "read",
    ];
    assert!(text(&oidc(&house, &verify, &token)).contains("\"client_id\":\"shop\""));
    let introspect = ["access-token", "introspect", "--issuer", ISSUER];
    assert!(text(&oidc(&house, &introspect, &token)).contains("\"active\":true"));
    let dead = oidc(&house, &introspect, "a.b.c");
    assert_eq!(
        (dead.status.code(), dead.stdout.as_slice()),
        (Some(1), &b"{\"active\":false}\n"[..])
    );
    let told = |output: &Output| String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(told(&dead), "not active: -v says why\n");
    let dead = oidc(&house, &[&introspect[..], &["-v"]].concat(), "a.b.c");
    assert_eq!(
        (dead.status.code(), dead.stdout.as_slice()),
        (Some(1), &b"{\"active\":false}\n"[..])
    );
    assert!(told(&dead).contains("not active: ") && !told(&dead).contains("-v"), "{}", told(&dead));
    let access = text(&oidc(
        &house,
        &["access-token", "issue", "--issuer", "https://other.example", "--client", "mac.json"],
        r#"{"sub":"alice"}"#,
    ));
    let dead = oidc(&house, &[&introspect[..], &["-v"]].concat(), &access);
    assert!(told(&dead).contains("issuer"), "{}", told(&dead));
    let both = ["--issuer", ISSUER, "--client", "mac.json"];
    let issue = [&["userinfo", "issue"][..], &both].concat();
    let response = text(&oidc(&house, &issue, r#"{"sub":"alice","email":"a@example.com"}"#));
    let verify = [&["userinfo", "verify", "--subject", "alice"][..], &both].concat();
    assert!(text(&oidc(&house, &verify, &response)).contains("a@example.com"));
    let subject = text(&oidc(&house, &["subject", "alice", "--client", "mac.json"], ""));
    assert_eq!(subject, "alice\n");
}

#[test]
fn refusals_exit_with_one_and_wrong_usage_with_two() {
    let house = house();
    let issue = ["id-token", "issue", "--issuer", ISSUER, "--client", "mac.json", "--json"];
    let answer = support::json(&oidc(&house, &issue, r#"{"sub":"alice"}"#));
    let token = answer["token"].as_str().unwrap().to_owned();
    let verify = |more: &[&str], token: &str| {
        let arguments = ["id-token", "verify", "--client", "mac.json", "--json"];
        let output = oidc(&house, &[&arguments[..], more].concat(), token);
        (output.status.code(), support::json(&output))
    };
    let (code, found) = verify(&["--issuer", ISSUER], &token);
    assert_eq!(
        (code, &found["verified"], &found["claims"]["sub"]),
        (Some(0), &json!(true), &json!("alice"))
    );
    assert_eq!((&found["algorithm"], &found["store"]), (&json!("HS256"), &json!("registration")));
    let (code, found) = verify(&["--issuer", "https://other", "-v"], &token);
    assert_eq!((code, &found["error"]["code"]), (Some(1), &json!("token_refused")));
    assert_eq!(found["error"]["help"], "the token is of another issuer");
    let (code, found) = verify(&["--issuer", ISSUER], &token[1..]);
    assert_eq!((code, &found["error"]["help"]), (Some(1), &json!("-v says why")));
    for (arguments, input, code, error) in [
        (vec!["id-token", "issue", "--issuer", ISSUER, "--client", "mac.json"], "{}", 2, "usage"),
        (
            vec!["id-token", "issue", "--issuer", ISSUER, "--client", "mac.json"],
            "[]",
            1,
            "malformed",
        ),
        (
            vec!["id-token", "issue", "--issuer", ISSUER, "--client", "nobody.toml"],
            "{}",
            3,
            "store_unreadable",
        ),
        (vec!["id-token", "issue", "--client", "mac.json"], "{}", 2, "usage"),
        (
            vec![
                "access-token",
                "issue",
                "--issuer",
                ISSUER,
                "--client",
                "mac.json",
                "--protection",
                "none",
            ],
            "{}",
            2,
            "usage",
        ),
        (vec!["subject", "alice", "--client", "pairwise.toml"], "", 2, "usage"),
    ] {
        let pairwise = "client_id = \"shop\"\nsubject_type = \"pairwise\"\n";
        std::fs::write(house.folder.path().join("pairwise.toml"), pairwise).unwrap();
        let output = oidc(&house, &[&arguments[..], &["--json"]].concat(), input);
        let shown = support::json(&output);
        assert_eq!(
            (output.status.code(), &shown["error"]["code"]),
            (Some(code), &json!(error)),
            "{arguments:?} {shown}"
        );
    }
}

#[test]
fn a_replay_file_remembers_across_processes() {
    let house = house();
    let both = ["--issuer", ISSUER, "--client", "mac.json"];
    let token = text(&oidc(&house, &[&["client-assertion", "issue"][..], &both].concat(), ""));
    let verify = [&["client-assertion", "verify", "--replay", "used.txt"][..], &both].concat();
    assert!(oidc(&house, &verify, &token).status.success());
    assert_eq!(oidc(&house, &verify, &token).status.code(), Some(1));
    std::fs::write(house.folder.path().join("used.txt"), "not a line of it at all\n").unwrap();
    let broken = oidc(&house, &verify, &token);
    assert!(!broken.status.success() && broken.stdout.is_empty(), "{broken:?}");
}

#[test]
fn the_client_file_names_its_secrets_and_says_what_is_wrong_without_showing_them() {
    let house = house();
    let try_file = |content: &str| {
        std::fs::write(house.folder.path().join("try.toml"), content).unwrap();
        let arguments = ["id-token", "issue", "--issuer", ISSUER, "--client", "try.toml"];
        oidc(&house, &arguments, r#"{"sub":"alice"}"#)
    };
    let mac = "client_id = \"shop\"\nid_token_signed_response_alg = \"HS256\"\n";
    assert!(try_file(&format!("{mac}client_secret_file = [\"secret.txt\"]")).status.success());
    for (content, why) in [
        (format!("{mac}client_secret_file = 1"), "client_secret_file"),
        (format!("{mac}client_secret_env = \"NOT_SET_ANYWHERE\""), "NOT_SET_ANYWHERE"),
        (format!("{mac}client_secret = \"{SECRET}\nclient_name = 1"), "try.toml"),
        (format!("{mac}id_token_encrypted_response_al = \"dir\""), "did you mean"),
        ("id = \"shop\"".to_owned(), "\"client_id\" is missing"),
    ] {
        let output = try_file(&content);
        let shown = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && shown.contains(why), "{content}: {shown}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn every_kind_has_help_with_an_example() {
    let help = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_claviger"));
        let output = command.arg("oidc").args(arguments).arg("--help").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let all = help(&[]);
    let kinds = all.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut count = 0;
    for kind in kinds.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   ")) {
        let kind = kind.split_whitespace().next().unwrap();
        if kind != "help" {
            let text = help(&[kind]);
            assert!(
                text.contains("Example") && text.contains(&format!("claviger oidc {kind}")),
                "{text}"
            );
            count += 1;
        }
    }
    assert_eq!(count, 9);
}
