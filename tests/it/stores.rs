//! The contract of every kind of store: order, rotation, what is missing, what is damaged, passwords.
//!
//! Two secrets, `a` and `b`, are put into a store of each kind in both orders; all else is the same code.

use std::path::Path;

use serde_json::Value;

use crate::support::{claviger, json, run};

const ES256: &str = "am.services.oauth2.oidc.signing.ES256";
const HMAC: &str = "am.services.oauth2.jwt.authenticity.signing";
const TEXT: &str = "app.text";
const PASSWORD: &str = "pass wörd";
/// 32 bytes in base64: a key, which costs no derivation.
const SEAL: &str = "c2VhbGluZyBrZXkgb2YgdGhlIHRlc3RzLCAzMiBieXQ=";

/// A kind of store in one of its forms.
struct Kind {
    name: &'static str,
    label: &'static str,
    /// The table `[stores.s]`; `{order}` stands for the aliases in their order.
    config: &'static str,
    /// The aliases of `a` and `b`; empty for kinds that order by version.
    aliases: Option<[&'static str; 2]>,
    /// Puts the secrets in place, the first one active where the kind orders by itself.
    fill: fn(&Path, [&str; 2]),
    /// A file whose change makes the store, or the active secret, unreadable.
    damaged: &'static str,
    /// What `check` says when the password or the sealing key is another one.
    wrong: Option<&'static str>,
}

const KEYSTORE: &str = "kind = 'keystore'\npath = 'FILE'\nstore_password = { file = 'pw' }\n\
                        [stores.s.mappings]\n'am.services.oauth2.oidc.signing.ES256' = {order}\n";

const KINDS: &[Kind] = &[
    Kind {
        name: "pkcs12",
        label: ES256,
        config: KEYSTORE,
        aliases: Some(["a", "b"]),
        fill: |dir, _| copy(dir, "ab.p12", "FILE"),
        damaged: "FILE",
        wrong: Some("wrong_password"),
    },
    Kind {
        name: "jks",
        label: ES256,
        config: KEYSTORE,
        aliases: Some(["a", "b"]),
        fill: |dir, _| java(dir, "JKS"),
        damaged: "FILE",
        wrong: Some("wrong_password"),
    },
    Kind {
        name: "jceks",
        label: ES256,
        config: KEYSTORE,
        aliases: Some(["A", "B"]),
        fill: |dir, _| java(dir, "JCEKS"),
        damaged: "FILE",
        wrong: Some("wrong_password"),
    },
    Kind {
        name: "pem",
        label: ES256,
        config: KEYSTORE,
        aliases: Some(["1", "2"]),
        fill: |dir, _| {
            let text = ["a", "b"].map(|name| read(dir, &format!("{name}.enc")));
            write(dir, "FILE", &text.concat());
        },
        damaged: "FILE",
        wrong: Some("wrong_password"),
    },
    Kind {
        name: "jwks",
        label: ES256,
        config: "kind = 'keystore'\npath = 'FILE'\n[stores.s.mappings]\n\
                 'am.services.oauth2.oidc.signing.ES256' = {order}\n",
        aliases: Some(["a", "b"]),
        fill: |dir, _| {
            let [a, b] =
                ["a", "b"].map(|name| String::from_utf8(read(dir, &format!("{name}.jwk"))));
            let set = format!("{{\"keys\":[{},{}]}}", a.unwrap(), b.unwrap());
            write(dir, "FILE", set.as_bytes());
        },
        damaged: "FILE",
        wrong: None,
    },
    Kind {
        name: "volume of PEM",
        label: ES256,
        config: "kind = 'volume'\ndirectory = 'v'\nformat = 'pem'\nversion_suffix = '.v'\n\
                 pem_password = { file = 'pw' }\n",
        aliases: None,
        fill: |dir, order| versions(dir, ES256, order, |name| read(dir, &format!("{name}.enc"))),
        damaged: "v/am.services.oauth2.oidc.signing.ES256.v2",
        wrong: Some("wrong_password"),
    },
    Kind {
        name: "volume of JWK",
        label: ES256,
        config: "kind = 'volume'\ndirectory = 'v'\nformat = 'jwk'\nversion_suffix = '.v'\n",
        aliases: None,
        fill: |dir, order| versions(dir, ES256, order, |name| read(dir, &format!("{name}.jwk"))),
        damaged: "v/am.services.oauth2.oidc.signing.ES256.v2",
        wrong: None,
    },
    Kind {
        name: "volume of base64",
        label: HMAC,
        config: "kind = 'volume'\ndirectory = 'v'\nformat = 'base64'\nversion_suffix = '.v'\n",
        aliases: None,
        fill: |dir, order| versions(dir, HMAC, order, |name| base64_key(name).into_bytes()),
        damaged: "v/am.services.oauth2.jwt.authenticity.signing.v2",
        wrong: None,
    },
    Kind {
        name: "volume of text",
        label: TEXT,
        config: "kind = 'volume'\ndirectory = 'v'\nformat = 'plain'\nversion_suffix = '.v'\n",
        aliases: None,
        fill: |dir, order| versions(dir, TEXT, order, |name| name.repeat(20).into_bytes()),
        damaged: "v/app.text.v2",
        wrong: None,
    },
    Kind {
        name: "volume of sealed text",
        label: TEXT,
        config: "kind = 'volume'\ndirectory = 'v'\nformat = 'encrypted-plain'\nversion_suffix = '.v'\n\
                 key = { file = 'seal' }\n",
        aliases: None,
        fill: |dir, order| versions(dir, TEXT, order, |name| seal(dir, name.repeat(20).as_bytes())),
        damaged: "v/app.text.v2",
        wrong: Some("not_decrypted"),
    },
    Kind {
        name: "volume of sealed base64",
        label: HMAC,
        config: "kind = 'volume'\ndirectory = 'v'\nformat = 'encrypted-base64'\nversion_suffix = '.v'\n\
                 key = { file = 'seal' }\n",
        aliases: None,
        fill: |dir, order| {
            versions(dir, HMAC, order, |name| seal(dir, base64_key(name).as_bytes()))
        },
        damaged: "v/am.services.oauth2.jwt.authenticity.signing.v2",
        wrong: Some("not_decrypted"),
    },
    Kind {
        name: "volume of sealed PEM",
        label: ES256,
        config: "kind = 'volume'\ndirectory = 'v'\nformat = 'encrypted-pem'\nversion_suffix = '.v'\n\
                 key = { file = 'seal' }\npem_password = { file = 'pem-pw' }\n",
        aliases: None,
        fill: |dir, order| {
            let sealed = |name: &str| seal(dir, &read(dir, &format!("{name}.enc")));
            versions(dir, ES256, order, sealed);
        },
        damaged: "v/am.services.oauth2.oidc.signing.ES256.v2",
        wrong: Some("not_decrypted"),
    },
];

fn read(dir: &Path, file: &str) -> Vec<u8> {
    std::fs::read(dir.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn write(dir: &Path, file: &str, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(file);
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn copy(dir: &Path, from: &str, to: &str) {
    write(dir, to, &read(dir, from));
}

/// Two versions of a label; the second one is active.
fn versions(dir: &Path, label: &str, order: [&str; 2], value: impl Fn(&str) -> Vec<u8>) {
    std::fs::create_dir_all(dir.join("v")).unwrap();
    write(dir, &format!("v/{label}.v1"), &value(order[1]));
    write(dir, &format!("v/{label}.v2"), &value(order[0]));
}

fn base64_key(name: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(name.repeat(64))
}

fn seal(dir: &Path, value: &[u8]) -> Vec<u8> {
    write(dir, "plain", value);
    let out =
        claviger(dir, &["encode", "--key-file", "seal", "--in", "plain", "--out", "sealed"], &[]);
    assert!(out.status.success(), "{out:?}");
    let sealed = read(dir, "sealed");
    std::fs::remove_file(dir.join("sealed")).unwrap();
    sealed
}

fn java(dir: &Path, store_type: &str) {
    // keytool takes ASCII passwords only.
    write(dir, "pw", b"changeit");
    if dir.join(store_type).exists() {
        return copy(dir, store_type, "FILE");
    }
    for name in ["a", "b"] {
        let source = format!("{name}-ascii.p12");
        let from = ["-importkeystore", "-srckeystore", &source, "-srcstorepass", "changeit"];
        let to = [
            "-destkeystore",
            store_type,
            "-deststoretype",
            store_type,
            "-deststorepass",
            "changeit",
        ];
        run(dir, "keytool", &[&from[..], &to, &["-noprompt"]].concat());
    }
    copy(dir, store_type, "FILE");
}

/// The secrets `a` and `b` in the forms that the kinds need, made by OpenSSL.
fn secrets(dir: &Path) {
    write(dir, "pw", PASSWORD.as_bytes());
    write(dir, "pem-pw", PASSWORD.as_bytes());
    write(dir, "seal", SEAL.as_bytes());
    for name in ["a", "b"] {
        let file = |end: &str| format!("{name}{end}");
        let (key, certificate) = (file(".key"), file(".crt"));
        let new =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let out = ["-subj", "/CN=t", "-days", "400", "-keyout", &key, "-out", &certificate];
        run(dir, "openssl", &[&new[..], &out].concat());
        let encrypted = file(".enc");
        let encrypt = ["pkcs8", "-topk8", "-in", &key, "-passout", "file:pw", "-out", &encrypted];
        run(dir, "openssl", &encrypt);
        let mut text = read(dir, &encrypted);
        text.extend(read(dir, &certificate));
        write(dir, &encrypted, &text);
        let store = file("-ascii.p12");
        let base = ["pkcs12", "-export", "-inkey", &key, "-in", &certificate, "-name", name];
        run(dir, "openssl", &[&base[..], &["-passout", "pass:changeit", "-out", &store]].concat());
        let jwk = file(".jwk");
        let source = ["--store-password-env", "JAVA", "--store", &store, "--out", &jwk];
        let export = ["export", name, "--private", "--format", "jwk"];
        let done = claviger(dir, &[&export[..], &source].concat(), &[("JAVA", "changeit")]);
        assert!(done.status.success(), "{done:?}");
        let target = ["--store", "ab.p12", "--store-password-file", "pw"];
        let import = ["import", &store, "--source-password-env", "JAVA"];
        let done = claviger(dir, &[&import[..], &target].concat(), &[("JAVA", "changeit")]);
        assert!(done.status.success(), "{done:?}");
    }
}

fn configure(dir: &Path, kind: &Kind, order: [&str; 2]) {
    (kind.fill)(dir, order);
    let aliases = kind.aliases.map(|[a, b]| if order[0] == "a" { [a, b] } else { [b, a] });
    let listed = aliases.map(|[one, two]| format!("['{one}', '{two}']")).unwrap_or_default();
    let store = kind.config.replace("{order}", &listed);
    let text = format!("[stores.s]\n{store}[labels.'app.text']\nuse = 'secret'\n");
    write(dir, "claviger.toml", text.as_bytes());
}

fn check(dir: &Path) -> Value {
    json(&claviger(dir, &["check"], &[]))
}

fn has_error(checked: &Value, code: &str) -> bool {
    let all = checked["problems"].as_array().unwrap();
    all.iter().any(|one| one["code"] == code && one["severity"] == "error")
}

fn aliases_of(dir: &Path, label: &str) -> Vec<String> {
    let got = json(&claviger(dir, &["labels", label], &[]));
    let all = got["labels"][0]["aliases"].as_array().unwrap_or_else(|| panic!("{got}"));
    all.iter().map(|one| one["alias"].as_str().unwrap().to_owned()).collect()
}

fn sign(dir: &Path, label: &str, token: &str) {
    write(dir, "payload", b"{\"sub\":\"alice\"}");
    let output = claviger(dir, &["sign", "--label", label, "--in", "payload", "--out", token], &[]);
    assert!(output.status.success(), "{output:?}");
}

fn verified_with(dir: &Path, label: &str, token: &str) -> String {
    let got = json(&claviger(dir, &["verify", "--label", label, "--in", token], &[]));
    got["alias"].as_str().unwrap_or_else(|| panic!("{token}: {got}")).to_owned()
}

#[test]
fn every_kind_keeps_the_order_and_rotates() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    secrets(dir);
    for kind in KINDS {
        write(dir, "pw", PASSWORD.as_bytes());
        configure(dir, kind, ["a", "b"]);
        let checked = check(dir);
        assert_eq!(checked["ok"], true, "{}: {checked}", kind.name);
        let before = aliases_of(dir, kind.label);
        match kind.aliases {
            Some(aliases) => assert_eq!(before, aliases, "{}", kind.name),
            None => assert_eq!(before, [".v2", ".v1"].map(|end| format!("{}{end}", kind.label))),
        }
        if kind.label == TEXT {
            continue;
        }
        sign(dir, kind.label, "old.jws");
        configure(dir, kind, ["b", "a"]);
        sign(dir, kind.label, "new.jws");
        // The old token is made with what is now the second secret.
        let after = aliases_of(dir, kind.label);
        assert_eq!(verified_with(dir, kind.label, "old.jws"), after[1], "{}", kind.name);
        assert_eq!(verified_with(dir, kind.label, "new.jws"), after[0], "{}", kind.name);
        let _ = std::fs::remove_dir_all(dir.join("v"));
        for token in ["old.jws", "new.jws"] {
            std::fs::remove_file(dir.join(token)).unwrap();
        }
    }
}

#[test]
fn every_kind_says_what_is_missing_wrong_or_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    secrets(dir);
    for kind in KINDS {
        let _ = std::fs::remove_dir_all(dir.join("v"));
        write(dir, "pw", PASSWORD.as_bytes());
        configure(dir, kind, ["a", "b"]);
        let absent = "am.services.oauth2.oidc.signing.ES512";
        let output = claviger(dir, &["sign", "--label", absent, "--in", "pw"], &[]);
        assert_eq!(json(&output)["error"]["code"], "unknown_label", "{}: {output:?}", kind.name);

        if kind.aliases.is_some() {
            let text = String::from_utf8(read(dir, "claviger.toml")).unwrap();
            let text = text.replacen("ES256' = [", "ES256' = ['nope', ", 1);
            write(dir, "claviger.toml", text.as_bytes());
            assert!(has_error(&check(dir), "alias_not_found"), "{}", kind.name);
        }

        if let Some(code) = kind.wrong {
            configure(dir, kind, ["a", "b"]);
            write(dir, "pw", b"another password");
            write(dir, "seal", b"YW5vdGhlciBrZXkgb2YgdGhlIHRlc3RzLCAzMiBieXQ=");
            let checked = check(dir);
            assert!(has_error(&checked, code), "{}: {checked}", kind.name);
            assert!(!checked.to_string().contains("another password"), "{}", kind.name);
            write(dir, "pw", PASSWORD.as_bytes());
            write(dir, "seal", SEAL.as_bytes());
        }

        configure(dir, kind, ["a", "b"]);
        let mut bytes = read(dir, kind.damaged);
        bytes.truncate(bytes.len() / 3);
        // No UTF-8, no base64, no DER.
        bytes.push(0xff);
        write(dir, kind.damaged, &bytes);
        let checked = check(dir);
        assert_eq!(checked["ok"], false, "{}: {checked}", kind.name);
        let codes = ["damaged", "malformed", "wrong_password", "not_decrypted"];
        assert!(codes.iter().any(|code| has_error(&checked, code)), "{}: {checked}", kind.name);
        std::fs::remove_file(dir.join(kind.damaged)).unwrap();
        if kind.aliases.is_some() {
            assert!(has_error(&check(dir), "store_unreadable"), "{}", kind.name);
        } else {
            assert_eq!(aliases_of(dir, kind.label), [format!("{}.v1", kind.label)]);
        }
    }
}

#[test]
fn the_environment_holds_one_value_a_label_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    secrets(dir);
    let variable = "AM_SERVICES_OAUTH2_OIDC_SIGNING_ES256";
    let hmac_variable = "AM_SERVICES_OAUTH2_JWT_AUTHENTICITY_SIGNING";
    let text = |file: &str| String::from_utf8(read(dir, file)).unwrap();
    let sealed = |bytes: &[u8]| String::from_utf8(seal(dir, bytes)).unwrap();
    let cases = [
        ("base64", HMAC, hmac_variable, base64_key("a"), true),
        ("encrypted-base64", HMAC, hmac_variable, sealed(base64_key("a").as_bytes()), true),
        ("pem", ES256, variable, text("a.enc"), true),
        ("encrypted-pem", ES256, variable, sealed(&read(dir, "a.enc")), true),
        ("jwk", ES256, variable, text("a.jwk"), true),
        ("plain", TEXT, "APP_TEXT", "a word".repeat(9), false),
        ("encrypted-plain", TEXT, "APP_TEXT", sealed("a word".repeat(9).as_bytes()), false),
    ];
    for (format, label, variable, value, signs) in cases {
        let sealing =
            if format.starts_with("encrypted") { "key = { file = 'seal' }\n" } else { "" };
        let store = format!(
            "[stores.s]\nkind = 'environment'\nformat = '{format}'\n{sealing}\
             pem_password = {{ file = 'pem-pw' }}\n[labels.'app.text']\nuse = 'secret'\n"
        );
        write(dir, "claviger.toml", store.as_bytes());
        let run =
            |arguments: &[&str], value: &str| json(&claviger(dir, arguments, &[(variable, value)]));
        let got = run(&["labels", label], &value);
        assert_eq!(got["labels"][0]["active"], variable, "{format}: {got}");
        assert_eq!(run(&["check"], &value)["ok"], true, "{format}");
        let bad = run(&["check"], "");
        assert_eq!(bad["ok"], false, "{format}, empty: {bad}");
        if format != "plain" {
            let cut = run(&["check"], &value[..value.len() / 2 - 1]);
            assert_eq!(cut["ok"], false, "{format}, cut: {cut}");
        }
        if signs {
            write(dir, "payload", b"{}");
            let signed = run(&["sign", "--label", label, "--in", "payload"], &value);
            assert!(signed["error"].is_null(), "{format}: {signed}");
        }
        let absent = json(&claviger(dir, &["sign", "--label", label, "--in", "pw"], &[]));
        assert_eq!(absent["error"]["code"], "unknown_label", "{format}: {absent}");
    }
}

#[test]
fn passwords_come_from_a_label_a_variable_or_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    secrets(dir);
    std::fs::create_dir(dir.join("p")).unwrap();
    write(dir, "p/storepass", PASSWORD.as_bytes());
    write(dir, "pw-newline", format!("{PASSWORD}\r\n").as_bytes());
    let volume = "[stores.p]\nkind = 'volume'\ndirectory = 'p'\n";
    let environment = "[stores.p]\nkind = 'environment'\nformat = 'plain'\n";
    for (others, source) in [
        (volume, "{ label = 'storepass' }"),
        (environment, "{ label = 'my.store.pass' }"),
        ("", "{ env = 'MY_STORE_PASS' }"),
        ("", "{ file = 'pw' }"),
        ("", "{ file = 'pw-newline' }"),
    ] {
        // The password's store may stand behind the store that needs it.
        let store = format!(
            "[stores.s]\nkind = 'keystore'\npath = 'ab.p12'\nstore_password = {source}\n\
             [stores.s.mappings]\n'{ES256}' = ['b']\n{others}"
        );
        write(dir, "claviger.toml", store.as_bytes());
        let output = claviger(dir, &["check"], &[("MY_STORE_PASS", PASSWORD)]);
        assert_eq!(json(&output)["ok"], true, "{source}: {output:?}");
    }
    for (source, code, named) in [
        ("{ label = 'absent' }", "unknown_label", "absent"),
        ("{ env = 'ABSENT' }", "store_unreadable", "ABSENT"),
        ("{ file = 'absent' }", "store_unreadable", "absent"),
    ] {
        let store =
            format!("[stores.s]\nkind = 'keystore'\npath = 'ab.p12'\nstore_password = {source}\n");
        write(dir, "claviger.toml", store.as_bytes());
        let checked = check(dir);
        assert!(has_error(&checked, code), "{checked}");
        assert!(checked["problems"][0]["message"].as_str().unwrap().contains(named), "{checked}");
    }
    let cycle = "[stores.s]\nkind = 'keystore'\npath = 'ab.p12'\nstore_password = { label = 'x' }\n\
                 [stores.s.mappings]\n'y' = ['a']\n[labels.'y']\nuse = 'secret'\n\
                 [stores.v]\nkind = 'volume'\ndirectory = 'p'\nformat = 'encrypted-plain'\n\
                 key = { label = 'y' }\n";
    write(dir, "claviger.toml", cycle.as_bytes());
    let checked = check(dir);
    assert!(has_error(&checked, "password_cycle"), "{checked}");
    let text = checked.to_string();
    assert!(text.contains("\\\"s\\\"") && text.contains("\\\"v\\\""), "{checked}");
}
