//! What `import` writes, read by a Java program: algorithms, sizes, chains; and changes that do not lose each other.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{json, run};

const PASSWORD: &str = "changeit";

/// Prints alias, algorithm, bits or format, and the length of the chain of every entry.
const READER: &str = r#"
import java.io.FileInputStream;
import java.security.*;
import java.util.*;

public class Reader {
    public static void main(String[] arguments) throws Exception {
        char[] password = arguments[1].toCharArray();
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(new FileInputStream(arguments[0]), password);
        for (String alias : new TreeSet<>(Collections.list(store.aliases()))) {
            Key key = store.getKey(alias, password);
            String size = key.getFormat().equals("RAW") ? "" + key.getEncoded().length * 8 : "-";
            int chain = store.getCertificateChain(alias) == null ? 0 : store.getCertificateChain(alias).length;
            System.out.println(alias + " " + key.getAlgorithm() + " " + size + " " + chain);
        }
    }
}
"#;

fn claviger(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
    command.args(arguments).args(["--json", "--store-password-env", "STORE"]).current_dir(dir);
    command.env_remove("CLAVIGER_CONFIG").env("STORE", PASSWORD).output().unwrap()
}

fn succeeds(dir: &Path, arguments: &[&str]) {
    let output = claviger(dir, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[test]
fn a_java_program_reads_every_key_that_was_imported() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // A chain of three, the leaf last, and each key in a file of its own.
    let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "99"];
    run(
        dir,
        "openssl",
        &[&new[..], &["-subj", "/CN=root", "-keyout", "r.k", "-out", "r.c"]].concat(),
    );
    for (name, issuer) in [("i", "r"), ("l", "i")] {
        let files = [".k", ".csr", ".c"].map(|end| format!("{name}{end}"));
        let [key, request, certificate] = files.each_ref().map(String::as_str);
        let subject = format!("/CN={name}");
        let ask = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject];
        run(dir, "openssl", &[&ask[..], &["-keyout", key, "-out", request]].concat());
        let (ca, ca_key) = (format!("{issuer}.c"), format!("{issuer}.k"));
        let sign =
            ["x509", "-req", "-in", request, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial"];
        run(dir, "openssl", &[&sign[..], &["-days", "98", "-out", certificate]].concat());
    }
    let parts = ["r.c", "i.c", "l.c", "l.k"];
    let chain: Vec<String> =
        parts.iter().map(|file| std::fs::read_to_string(dir.join(file)).unwrap()).collect();
    std::fs::write(dir.join("chain.pem"), chain.concat()).unwrap();
    succeeds(dir, &["import", "chain.pem", "--as", "Ein Schlüssel", "--store", "k.p12"]);
    let octets = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (alias, alg) in [("hs", "HS256"), ("aes", "A256GCM")] {
        let jwk = format!(r#"{{"kty":"oct","kid":"{alias}","alg":"{alg}","k":"{octets}"}}"#);
        std::fs::write(dir.join("o.jwk"), jwk).unwrap();
        succeeds(dir, &["import", "o.jwk", "--store", "k.p12"]);
    }
    succeeds(dir, &["generate", "hs512", "--type", "hmac", "--store", "k.p12"]);
    succeeds(dir, &["generate", "ed", "--type", "ed25519", "--store", "k.p12"]);

    std::fs::write(dir.join("Reader.java"), READER).unwrap();
    let mut command = Command::new("java");
    let output = command.args(["-Dfile.encoding=UTF-8", "Reader.java", "k.p12", PASSWORD]);
    let output = output.current_dir(dir).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let wanted = [
        "aes AES 256 0",
        "ed EdDSA - 1",
        "ein schlüssel RSA - 3",
        "hs HmacSHA256 256 0",
        "hs512 HmacSHA512 512 0",
    ];
    assert_eq!(lines, wanted, "{output:?}");
}

#[test]
fn what_pkcs12_cannot_hold_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("o.jwk"), r#"{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAA"}"#).unwrap();
    std::fs::write(
        dir.join("h.jwk"),
        r#"{"kty":"oct","alg":"HS256","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#,
    )
    .unwrap();
    for (file, alias, reason) in [
        ("o.jwk", "a", "\"alg\" or \"use\""),
        ("h.jwk", "", "not empty"),
        ("h.jwk", "\u{1f511}", "beyond U+FFFF"),
        ("h.jwk", "two\nlines", "control"),
    ] {
        let output = claviger(dir, &["import", file, "--as", alias, "--store", "k.p12"]);
        let got = json(&output);
        assert_eq!(output.status.code(), Some(2), "{got}");
        assert!(got["error"]["message"].as_str().unwrap().contains(reason), "{got}");
        assert!(!dir.join("k.p12").exists());
    }
    succeeds(dir, &["import", "h.jwk", "--as", "one", "--store", "k.p12"]);
    let before = std::fs::read(dir.join("k.p12")).unwrap();
    let taken = claviger(dir, &["import", "h.jwk", "--as", "ONE", "--store", "k.p12"]);
    assert_eq!(taken.status.code(), Some(2), "{taken:?}");
    assert_eq!(std::fs::read(dir.join("k.p12")).unwrap(), before);
}

#[test]
fn changes_at_the_same_time_do_not_lose_each_other() {
    let dir = tempfile::tempdir().unwrap();
    succeeds(dir.path(), &["generate", "first", "--type", "aes", "--store", "k.p12"]);
    std::thread::scope(|scope| {
        for number in 0..6 {
            let dir = dir.path();
            scope.spawn(move || {
                let alias = format!("key-{number}");
                succeeds(dir, &["generate", &alias, "--type", "aes", "--store", "k.p12"]);
            });
        }
    });
    let got = json(&claviger(dir.path(), &["inspect", "k.p12"]));
    assert_eq!(got["entries"].as_array().unwrap().len(), 7, "{got}");
}
