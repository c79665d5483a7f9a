//! One hot operation, many times: what `scripts/instructions.sh` runs under Callgrind.
//!
//! `hot OPERATION COUNT`; without an operation their names. Only what `collected` runs is counted.

use std::hint::black_box;
use std::path::Path;

use crate::fixture::{CLAIMS, label, material, row};
use crate::profiles::{CLAIMS as CLAIMS_OF_USER, Shop};
use crate::saml::House;
use claviger::jose::jws::SignOptions;
use claviger::jose::{jwe, jws};

/// Operation, algorithm, content algorithm; of ID tokens the last part of the label.
const OPERATIONS: [(&str, &str, &str); 19] = [
    ("sign-HS256", "HS256", ""),
    ("verify-HS256", "HS256", ""),
    ("verify-HS256-full-header", "HS256", ""),
    ("sign-EdDSA", "EdDSA", ""),
    ("verify-EdDSA", "EdDSA", ""),
    ("sign-ES256", "ES256", ""),
    ("verify-ES256", "ES256", ""),
    ("verify-RS256", "RS256", ""),
    ("encrypt-dir", "dir", "A256GCM"),
    ("decrypt-dir", "dir", "A256GCM"),
    ("encrypt-ECDH-ES", "ECDH-ES", "A256GCM"),
    ("decrypt-ECDH-ES", "ECDH-ES", "A256GCM"),
    ("seal-session", "HS256", "A256KW"),
    ("open-session", "HS256", "A256KW"),
    ("issue-id-token", "EdDSA", "EDDSA"),
    ("verify-id-token", "EdDSA", "EDDSA"),
    ("canonicalize-saml", "RS256", ""),
    ("sign-saml", "RS256", ""),
    ("verify-saml", "RS256", ""),
];

/// Runs an operation, or names them.
pub fn run() {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let [name, count] = arguments.as_slice() else {
        OPERATIONS.iter().for_each(|(name, ..)| println!("{name}"));
        return;
    };
    let count: usize = count.parse().expect("a number");
    let (name, algorithm, enc) =
        OPERATIONS.iter().find(|(known, ..)| known == name).expect("one of the operations");
    let folder = tempfile::tempdir().expect("a directory");
    if name.ends_with("-saml") {
        return saml(name, count);
    }
    if name.ends_with("-session") {
        return session(folder.path(), name, (algorithm, enc), count);
    }
    if name.ends_with("-id-token") {
        return id_token(folder.path(), name, (algorithm, enc), count);
    }
    let enc = (!enc.is_empty()).then(|| row(enc));
    let (_, key) = material(row(algorithm), enc);
    let rows: Vec<_> = std::iter::once(row(algorithm)).chain(enc).collect();
    let label = label(folder.path(), &[key], &rows, 16);
    let keys = label.keys().expect("mapped");
    let payload = CLAIMS.as_bytes();
    match name.split_once('-').expect("a verb") {
        ("sign", _) => repeat(count, || label.sign(payload).expect("signed")),
        ("verify", "HS256-full-header") => {
            let mut options = SignOptions::default();
            options.extra.insert("x".into(), 1.into());
            let token = jws::sign(&keys, payload, &options).expect("signed");
            repeat(count, || label.verify(&token).expect("verified"));
        }
        ("verify", _) => {
            let token = label.sign(payload).expect("signed");
            repeat(count, || label.verify(&token).expect("verified"));
        }
        ("encrypt", _) => repeat(count, || label.encrypt(payload).expect("encrypted")),
        _ => {
            let token = jwe::encrypt(&keys, payload, &Default::default()).expect("encrypted");
            repeat(count, || label.decrypt(&token).expect("decrypted"));
        }
    }
}

fn session(folder: &Path, name: &str, (signs, wraps): (&str, &str), count: usize) {
    let Shop { sessions, .. } = Shop::new(folder, "HMAC", signs, wraps);
    let claims = serde_json::from_str(CLAIMS_OF_USER).expect("claims");
    let token = sessions.seal(&claims).expect("sealed").token;
    match name {
        "seal-session" => repeat(count, || sessions.seal(&claims).expect("sealed")),
        _ => repeat(count, || sessions.open(&token).expect("opened")),
    }
}

fn id_token(folder: &Path, name: &str, (algorithm, suffix): (&str, &str), count: usize) {
    let house = crate::oidc::House::new(folder, algorithm, suffix);
    let claims = crate::oidc::claims();
    let token = house.issue(&claims);
    match name {
        "issue-id-token" => repeat(count, || house.issue(&claims)),
        _ => repeat(count, || house.verify(&token)),
    }
}

/// A Response of 8 KB: what comes of it when it is read alone, signed, verified.
fn saml(name: &str, count: usize) {
    let house = House::new();
    let signed = house.sign();
    match name {
        "canonicalize-saml" => repeat(count, || house.canonical()),
        "sign-saml" => repeat(count, || house.sign()),
        _ => repeat(count, || house.octets(&signed)),
    }
}

fn repeat<T>(count: usize, mut operation: impl FnMut() -> T) {
    // What is made once, on first use, is no part of the count.
    black_box(operation());
    collected(count, &mut || drop(black_box(operation())));
}

/// Callgrind switches on here.
#[inline(never)]
fn collected(count: usize, operation: &mut dyn FnMut()) {
    for _ in 0..count {
        operation();
    }
}
