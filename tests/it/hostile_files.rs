//! Files made to cost time, memory or patience: each is refused at once, with the reason.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::run;

/// `inspect` in little memory; a process that does not end in time is killed.
fn inspect(folder: &Path, file: &str) -> Value {
    let started = Instant::now();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 300000; exec timeout 20 \"$0\" \"$@\""]);
    command.args([env!("CARGO_BIN_EXE_claviger"), "inspect", "--json", file]).current_dir(folder);
    command.args(["--store-password-env", "STORE_PASSWORD"]).env("STORE_PASSWORD", "changeit");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let took = started.elapsed();
    // Bounds in a build without optimization, on a busy machine.
    assert!(took < Duration::from_secs(10), "{file}: {took:?}");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{file}: {error}: {output:?}"))
}

#[track_caller]
fn refused(folder: &Path, file: &str, code: &str, reason: &str) {
    let got = inspect(folder, file);
    assert_eq!(got["error"]["code"], code, "{file}: {got}");
    let message = got["error"]["message"].as_str().unwrap();
    assert!(message.contains(reason), "{file}: {message}");
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "mkfifo", &["fifo"]);
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    std::fs::write(folder.path().join("empty"), "").unwrap();
    for file in ["fifo", "folder", "/dev/zero"] {
        refused(folder.path(), file, "store_unreadable", "no regular file");
    }
    refused(folder.path(), "empty", "damaged", "it is empty");
    let huge = std::fs::File::create(folder.path().join("huge")).unwrap();
    huge.set_len(8 << 30).unwrap();
    refused(folder.path(), "huge", "limit_exceeded", "bound");
}

#[test]
fn json_that_grows_in_memory_is_refused_by_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let many = format!("{{\"keys\":[{}0]}}", "0,".repeat(7_000_000));
    std::fs::write(folder.path().join("many.json"), many).unwrap();
    refused(folder.path(), "many.json", "limit_exceeded", "bound of 1048576");
    let deep = format!("{{\"keys\":{}", "[".repeat(500_000));
    std::fs::write(folder.path().join("deep.json"), deep).unwrap();
    refused(folder.path(), "deep.json", "damaged", "nested");
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let mut out = vec![tag, 0x88];
    out.extend_from_slice(&length);
    out.extend_from_slice(content);
    out
}

/// A PFX without a MAC around SafeContents.
fn pfx(safe_contents: &[u8]) -> Vec<u8> {
    let data = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
    let info = |content: &[u8]| {
        let octets = der(0xa0, &der(4, content));
        der(0x30, &[&data[..], &octets].concat())
    };
    let safes = der(0x30, &info(&der(0x30, safe_contents)));
    der(0x30, &[&[2, 1, 3][..], &info(&safes)].concat())
}

fn bag(kind: u8, value: &[u8]) -> Vec<u8> {
    let named = [6, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 10, 1, kind];
    der(0x30, &[&named[..], &der(0xa0, value)].concat())
}

#[test]
fn many_keys_with_many_certificates_are_counted_and_not_compared_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let out = ["-subj", "/CN=t", "-keyout", "k.pem", "-out", "c.der", "-outform", "DER"];
    run(folder.path(), "openssl", &[&new[..], &out].concat());
    let plain = ["pkcs8", "-topk8", "-nocrypt", "-in", "k.pem", "-outform", "DER"];
    run(folder.path(), "openssl", &[&plain[..], &["-out", "k.der"]].concat());
    let read = |file: &str| std::fs::read(folder.path().join(file)).unwrap();
    let x509 = [6, 10, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 22, 1];
    let value = der(0x30, &[&x509[..], &der(0xa0, &der(4, &read("c.der")))].concat());
    let certificates = bag(3, &value).repeat(3000);
    let keys = bag(1, &read("k.der"));
    let write = |file: &str, bytes: &[u8]| std::fs::write(folder.path().join(file), bytes).unwrap();

    write("many.p12", &pfx(&[certificates.clone(), keys.repeat(3000)].concat()));
    refused(folder.path(), "many.p12", "limit_exceeded", "3000 private keys");
    write("more.p12", &pfx(&certificates.repeat(4)));
    refused(folder.path(), "more.p12", "limit_exceeded", "entries");
    write("few.p12", &pfx(&[certificates, keys.repeat(200)].concat()));
    assert_eq!(inspect(folder.path(), "few.p12")["type"], "pkcs12");
    write("deep.p12", &pfx(&(0..40).fold(keys, |inner, _| bag(6, &der(0x30, &inner)))));
    refused(folder.path(), "deep.p12", "limit_exceeded", "nested");
    write("bits.p12", &pfx(&[0x05, 0x00].repeat(2_000_000)));
    refused(folder.path(), "bits.p12", "limit_exceeded", "elements");
}

#[test]
fn costly_derivations_are_refused_before_they_run() {
    let folder = tempfile::tempdir().unwrap();
    let key = ["genpkey", "-algorithm", "ED25519", "-out", "k.pem"];
    run(folder.path(), "openssl", &key);
    let base = ["pkcs8", "-topk8", "-in", "k.pem", "-passout", "pass:changeit", "-outform", "DER"];
    let scrypt = ["-scrypt", "-scrypt_N", "1024", "-scrypt_r", "8", "-scrypt_p", "1"];
    run(folder.path(), "openssl", &[&base[..], &scrypt, &["-out", "k.der"]].concat());
    let bytes = std::fs::read(folder.path().join("k.der")).unwrap();
    // N, r and p stand together: INTEGER 1024, 8, 1.
    let place = bytes.windows(4).position(|window| window == [2, 2, 4, 0]).unwrap();
    for (file, n, p) in [("n.der", [0x40, 0], 1_u8), ("p.der", [4, 0], 0x7f)] {
        let mut costly = bytes.clone();
        costly[place + 2..place + 4].copy_from_slice(&n);
        costly[place + 6] = 0x7f;
        costly[place + 9] = p;
        std::fs::write(folder.path().join(file), costly).unwrap();
        refused(folder.path(), file, "limit_exceeded", "scrypt");
    }
    let iterations = ["-iter", "6000000", "-out", "i.der"];
    run(folder.path(), "openssl", &[&base[..], &iterations].concat());
    refused(folder.path(), "i.der", "limit_exceeded", "6000000");
}
