//! Rehearsals: what a drill says of every kind of label, through the program.

use std::path::Path;

use serde_json::Value;

use crate::workshop::{ES256, SEAL, Workshop, jwk};

/// Runs a drill; the exit code, the text and the words for people come back.
fn drill(shop: &Workshop, arguments: &[&str]) -> (i32, String, String) {
    let output = shop.run(&[&["drill"], arguments].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn json(shop: &Workshop, arguments: &[&str]) -> (i32, Value) {
    let (code, text, words) = drill(shop, &[arguments, &["--json"]].concat());
    (code, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{words}")))
}

/// A configuration over `keys.jwks` with these mappings and whatever else.
fn configure(shop: &Workshop, mappings: &str, more: &str) {
    let text = format!(
        "[keyring]\nstate_dir = \"state\"\n[stores.keys]\nkind = \"keystore\"\npath = \"keys.jwks\"\n\
         integrity = \"none\"\n[stores.keys.mappings]\n{mappings}\n{more}\n"
    );
    std::fs::write(shop.config(), text).unwrap();
}

fn add_keys(shop: &Workshop, keys: &[String]) {
    let path = shop.path().join("keys.jwks");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, _) = text.rsplit_once("]}").unwrap();
    std::fs::write(path, format!("{head},{}]}}", keys.join(","))).unwrap();
}

fn breaks(found: &Value) -> Vec<String> {
    let lines = found["labels"][0]["breaks"].as_array().unwrap();
    lines.iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

fn notes(found: &Value) -> String {
    found["labels"][0]["notes"].to_string()
}

#[test]
fn a_rotation_is_rehearsed_step_by_step_and_nothing_is_touched() {
    let shop = Workshop::new();
    let state =
        |shop: &Workshop| (shop.text(), std::fs::read(shop.path().join("keys.jwks")).unwrap());
    let before = state(&shop);
    let (code, text, _) = drill(&shop, &[ES256]);
    assert_eq!(code, 0, "{text}");
    let expected = "\
MADE BY  TOKENS     KID  NOW       STAGE NEW  PROMOTE NEW  RETIRE a
a        JWS ES256  yes  accepted  accepted   accepted     refused
a        JWS ES256  no   accepted  accepted   accepted     refused
a        raw ES256  -    accepted  accepted   accepted     refused
b        JWS ES256  yes  accepted  accepted   accepted     accepted
b        JWS ES256  no   accepted  accepted   accepted     accepted
b        raw ES256  -    accepted  accepted   accepted     accepted
NEW      JWS ES256  yes  refused   accepted   accepted     accepted
NEW      JWS ES256  no   refused   accepted   accepted     accepted
NEW      raw ES256  -    refused   accepted   accepted     accepted
nothing breaks: 21 tokens, each accepted for as long as its alias is mapped
";
    assert!(text.ends_with(expected), "{text}");
    assert_eq!(state(&shop), before);
    assert!(!shop.path().join("state").exists(), "a drill leaves nothing behind");

    let (code, found) = json(&shop, &[ES256]);
    assert_eq!((code, found["verdict"].as_str()), (0, Some("safe")));
    assert_eq!(found["labels"][0]["label"], ES256);
    assert_eq!(found["labels"][0]["steps"][2], "promote NEW");
    assert_eq!(found["labels"][0]["lines"][0]["fates"][3], "refused");
}

#[test]
fn every_kind_of_key_makes_every_kind_of_token() {
    let shop = Workshop::new();
    let kinds = ["rsa", "ed25519", "x25519", "hmac", "aes"];
    add_keys(&shop, &kinds.map(|kind| jwk(&format!("k-{kind}"), kind)));
    configure(
        &shop,
        "\"app.rsa\" = [\"k-rsa\"]\n\"app.okp\" = [\"k-ed25519\"]\n\"app.agree\" = [\"k-x25519\"]\n\
         \"app.mac\" = [\"k-hmac\"]\n\"app.wrap\" = [\"k-aes\"]\n\"app.dir\" = [\"s\"]\n\"app.oaep\" = [\"k-rsa\"]",
        "[labels.\"app.rsa\"]\nuse = \"sign\"\nalgorithms = [\"RS256\", \"PS512\"]\n\
         [labels.\"app.okp\"]\nuse = \"sign\"\nalgorithms = [\"EdDSA\"]\n\
         [labels.\"app.agree\"]\nuse = \"encrypt\"\nalgorithms = [\"ECDH-ES\", \"ECDH-ES+A256KW\"]\n\
         [labels.\"app.mac\"]\nuse = \"mac\"\nalgorithms = [\"HS256\", \"HS512\"]\n\
         [labels.\"app.wrap\"]\nuse = \"encrypt\"\nalgorithms = [\"A256KW\", \"A256GCMKW\"]\n\
         [labels.\"app.dir\"]\nuse = \"encrypt\"\nalgorithms = [\"dir\"]\n\
         [labels.\"app.oaep\"]\nuse = \"encrypt\"\nalgorithms = [\"RSA-OAEP\", \"RSA-OAEP-256\"]\n",
    );
    for (label, tokens) in [
        ("app.rsa", &["JWS RS256", "JWS PS512", "raw PS512"][..]),
        ("app.okp", &["JWS EdDSA"]),
        ("app.agree", &["JWE ECDH-ES A128GCM", "JWE ECDH-ES+A256KW A256GCM", "nested JWT"]),
        ("app.mac", &["JWS HS256", "JWS HS512", "raw HS256"]),
        ("app.wrap", &["JWE A256KW A128CBC-HS256", "JWE A256GCMKW A256GCM", "sealed value"]),
        ("app.dir", &["JWE dir A256GCM", "sealed value"]),
        ("app.oaep", &["JWE RSA-OAEP A256GCM", "JWE RSA-OAEP-256 A256GCM"]),
    ] {
        let (code, found) = json(&shop, &[label]);
        assert_eq!(code, 0, "{label}: {found}");
        let lines = found["labels"][0]["lines"].to_string();
        for token in tokens {
            assert!(lines.contains(&format!("\"{token}")), "{label}: no {token} in {lines}");
        }
        // Compact, flattened and general, with kid and without.
        assert!(found["tokens"].as_u64().unwrap() >= 14, "{label}: {found}");
    }
    let (code, text, _) = drill(&shop, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("nothing breaks: 7 labels, 7 aliases"), "{text}");
}

#[test]
fn bounds_that_leave_tokens_behind_are_found() {
    let shop = Workshop::new();
    // Two keys are tried for tokens without kid; staging makes it three, and the last one drops out.
    shop.configure("", "max_tries = 2");
    shop.edit("max_tries = 2\n", "");
    shop.edit("max_token_lifetime = \"2h\"\n", "max_token_lifetime = \"2h\"\nmax_tries = 2\n");
    let (code, found) = json(&shop, &[ES256]);
    assert_eq!(code, 1, "{found}");
    assert_eq!(found["verdict"], "breaks");
    let broken = breaks(&found);
    assert!(
        broken
            .iter()
            .any(|one| one.starts_with("at \"promote NEW\": JWS ES256 without kid of alias \"b\"")),
        "{broken:?}"
    );
    assert!(
        broken.iter().all(|one| !one.contains("JWS ES256 of alias")),
        "with a kid nothing breaks: {broken:?}"
    );
    let (code, text, _) = drill(&shop, &[ES256]);
    assert!(code == 1 && text.contains("BREAKS") && text.ends_with("would break\n"), "{text}");
    // A bound that even the present list exceeds breaks the whole configuration.
    shop.edit("max_tries = 2", "max_tries = 1");
    let (code, found) = json(&shop, &[]);
    assert_eq!((code, found["verdict"].as_str()), (1, Some("breaks")));
    assert!(
        found["aliases"].to_string().contains("JWS ES256 without kid is refused while"),
        "{found}"
    );
    // What names its key is found whatever the bound.
    shop.edit("max_tries = 1", "max_tries = 16\nunknown_kid = \"reject\"");
    assert_eq!(json(&shop, &[ES256]).0, 0);
    assert_eq!(json(&shop, &[]).0, 0);
}

#[test]
fn realms_are_rehearsed_as_they_see_the_label() {
    let shop = Workshop::new();
    shop.configure(
        "",
        &format!(
            "[stores.alpha]\nkind = \"keystore\"\nrealm = \"alpha\"\npath = \"keys.jwks\"\nintegrity = \"none\"\n\
             [stores.alpha.mappings]\n\"{ES256}\" = [\"c\"]\n"
        ),
    );
    let (code, found) = json(&shop, &[ES256]);
    assert_eq!((code, found["labels"].as_array().unwrap().len()), (0, 2), "{found}");
    let (code, union) = json(&shop, &["--realm", "alpha", ES256]);
    let makers = |found: &Value| found["labels"][0]["lines"].to_string();
    assert_eq!((code, union["labels"].as_array().unwrap().len()), (0, 1));
    assert!(
        makers(&union).contains("\"made_by\":\"a\"")
            && makers(&union).contains("\"made_by\":\"c\"")
    );
    shop.edit(
        "max_token_lifetime = \"2h\"\n",
        "max_token_lifetime = \"2h\"\nvalid = \"realm-only\"\n",
    );
    let (code, alone) = json(&shop, &["--realm", "alpha", ES256]);
    assert_eq!(code, 0);
    assert!(!makers(&alone).contains("\"made_by\":\"a\""), "{alone}");
    // Of all labels those that the realm sees, the global ones too; what it does not see is none of its own.
    let acted = |realm: &str| {
        let (code, whole) = json(&shop, &["--realm", realm]);
        let all = whole["aliases"].as_array().unwrap();
        let aliases = all.iter().map(|one| one["alias"].as_str().unwrap().to_owned());
        (code, aliases.collect::<Vec<_>>().join(" "))
    };
    assert_eq!(acted("alpha"), (0, "c s".into()));
    assert_eq!(acted("beta"), (0, "a b s".into()));
}

#[test]
fn aliases_that_only_verify_have_a_stand_in() {
    let shop = Workshop::new();
    let mut public: Value = serde_json::from_str(&jwk("peer", "ec")).unwrap();
    public.as_object_mut().unwrap().remove("d");
    public.as_object_mut().unwrap().remove("key_ops");
    add_keys(&shop, &[public.to_string()]);
    configure(
        &shop,
        "\"app.peer\" = [\"peer\"]",
        "[labels.\"app.peer\"]\nuse = \"verify\"\nalgorithms = [\"ES256\"]\n",
    );
    let (code, found) = json(&shop, &["app.peer"]);
    assert_eq!(code, 0, "{found}");
    assert!(notes(&found).contains("alias \\\"peer\\\" does not act here"), "{found}");
    let (code, whole) = json(&shop, &[]);
    assert_eq!((code, whole["aliases"][0]["stand_in"].as_bool()), (0, Some(true)), "{whole}");
    let (_, text, _) = drill(&shop, &[]);
    assert!(text.contains("holds, with a stand-in"), "{text}");
}

#[test]
fn labels_without_tokens_say_what_their_rotation_means() {
    let shop = Workshop::new();
    let secrets = shop.path().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    let salt = "am.services.oauth2.provider.hash.salt.secret";
    for (name, value) in
        [("storepass", "hunter2-hunter2"), ("app.smtp", "a-password"), (salt, "salty-salt-salt")]
    {
        std::fs::write(secrets.join(name), value).unwrap();
    }
    let text = shop.text().replace(
        "[stores.keys]\nkind = \"keystore\"\n",
        "[stores.passwords]\nkind = \"volume\"\ndirectory = \"secrets\"\npermissions = \"ignore\"\n\n[stores.keys]\nkind = \
         \"keystore\"\nstore_password = { label = \"storepass\" }\n",
    );
    std::fs::write(shop.config(), text + "[labels.\"app.smtp\"]\nuse = \"secret\"\n").unwrap();

    let (code, found) = json(&shop, &["app.smtp"]);
    assert_eq!(code, 0, "{found}");
    assert!(notes(&found).contains("a password is given out, not checked here"), "{found}");
    let (code, found) = json(&shop, &["storepass"]);
    assert_eq!(code, 1, "{found}");
    assert!(
        breaks(&found)[0].contains("store \"keys\" opens with the active value alone"),
        "{found}"
    );
    let (code, found) = json(&shop, &[salt]);
    assert_eq!(code, 1, "{found}");
    assert!(breaks(&found)[0].contains("must not rotate"), "{found}");
}

#[test]
fn versions_of_a_volume_are_aliases_like_others() {
    let shop = Workshop::new();
    let folder = shop.path().join("secrets");
    std::fs::create_dir(&folder).unwrap();
    for version in ["v1", "v2"] {
        write_value(&folder, &format!("app.cookie.{version}"), &[version.as_bytes()[1]; 32]);
    }
    let more = "[stores.secrets]\nkind = \"volume\"\ndirectory = \"secrets\"\nformat = \"base64\"\n\
                version_suffix = \".v\"\npermissions = \"ignore\"\n[labels.\"app.cookie\"]\nuse = \"mac\"\n\
                algorithms = [\"HS256\"]\n";
    configure(&shop, &format!("\"{ES256}\" = [\"a\"]"), more);
    let (code, found) = json(&shop, &["app.cookie"]);
    assert_eq!(code, 0, "{found}");
    assert_eq!(found["labels"][0]["steps"][3], "retire app.cookie.v2", "{found}");
    let lines = found["labels"][0]["lines"].to_string();
    assert!(lines.contains("app.cookie.v1") && lines.contains("JWS HS256"), "{lines}");
}

fn write_value(folder: &Path, name: &str, bytes: &[u8]) {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    std::fs::write(folder.join(name), text).unwrap();
}

#[test]
fn labels_that_are_not_mapped_and_fallbacks_are_told() {
    let shop = Workshop::new();
    let (code, _, words) = drill(&shop, &["app.nothing"]);
    assert!(code == 2 || code == 1, "{words}");
    assert!(words.contains("no secret is mapped to label \"app.nothing\""), "{words}");
    let generic = "am.global.services.session.clientbased.signing";
    configure(
        &shop,
        &format!("\"{generic}\" = [\"a\", \"b\"]\n\"{SEAL}\" = [\"s\"]"),
        &format!("[labels.\"{SEAL}\"]\nuse = \"encrypt\"\nalgorithms = [\"A256GCMKW\"]\n"),
    );
    let (code, found) = json(&shop, &[&format!("{generic}.ES256")]);
    assert_eq!(code, 0, "{found}");
    assert!(
        notes(&found).contains(&format!("label \\\"{generic}\\\" stands in for it")),
        "{found}"
    );
    for command in ["labels", "status"] {
        let output = shop.run(&[command, &format!("{generic}.ES256")]);
        let words = String::from_utf8(output.stderr).unwrap();
        let help = format!("label \"{generic}\" stands in for it: claviger labels {generic}\n");
        assert!(output.status.code() == Some(2) && words.contains(&help), "{words}");
    }
}
