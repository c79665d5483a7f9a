//! Tokens back and forth with other people's libraries, in every algorithm that both sides know.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use claviger::alg::{ALGORITHMS, Algorithm, Curve, Family, Operation};
use claviger::catalogue::LabelUse;
use claviger::crypto::generate::{KeySpec, generate};
use claviger::formats::{Entry, Material, SecretKeyType, jwk};
use claviger::jose::jwe::{self, EncryptOptions};
use claviger::jose::jws::{self, SignOptions, VerifyOptions};
use claviger::ops::{KeySet, KeySetPolicy};
use serde_json::{Value, json};

/// What `scripts/setup.sh` installs the peers into.
pub(crate) fn peers() -> Option<PathBuf> {
    // target/debug/claviger
    let target = Path::new(env!("CARGO_BIN_EXE_claviger")).parent().unwrap().parent().unwrap();
    let folder = target.join("interop");
    if folder.join("node_modules/jose").is_dir() && folder.join("venv/bin/python").exists() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "run scripts/setup.sh first");
    println!("the peers are absent: run scripts/setup.sh for the interoperability tests");
    None
}

struct Case {
    id: String,
    row: &'static Algorithm,
    enc: Option<&'static Algorithm>,
    jwk: Value,
    public: Option<Value>,
    set: KeySet,
    token: String,
}

fn materials(row: &Algorithm, enc: Option<&Algorithm>) -> Vec<(String, Material)> {
    let oct = |bytes: usize, key_type| {
        let bytes = generate(KeySpec::Oct { bytes }).unwrap();
        vec![("oct".to_owned(), Material::SecretKey { key_type, bytes })]
    };
    let pairs = |specs: &[(&str, KeySpec)]| {
        specs
            .iter()
            .map(|(name, spec)| {
                ((*name).to_owned(), Material::PrivateKey(generate(*spec).unwrap()))
            })
            .collect()
    };
    match row.family {
        Family::Hmac(_) => oct(64, SecretKeyType::Hmac),
        Family::RsaPkcs1(_) | Family::RsaPss(_) | Family::RsaOaep(_) | Family::Rsa15 => {
            pairs(&[("rsa", KeySpec::Rsa { bits: 2048 })])
        }
        Family::Ecdsa(curve, _) => pairs(&[(curve.name(), KeySpec::Curve(curve))]),
        Family::EdDsa => pairs(&[
            ("Ed25519", KeySpec::Curve(Curve::Ed25519)),
            ("Ed448", KeySpec::Curve(Curve::Ed448)),
        ]),
        Family::EcdhEs(_) => pairs(&[
            ("P-256", KeySpec::Curve(Curve::P256)),
            ("P-384", KeySpec::Curve(Curve::P384)),
            ("P-521", KeySpec::Curve(Curve::P521)),
            ("X25519", KeySpec::Curve(Curve::X25519)),
            ("X448", KeySpec::Curve(Curve::X448)),
        ]),
        Family::AesKw(bits) | Family::AesGcmKw(bits) => oct(bits / 8, SecretKeyType::Aes),
        Family::Pbes2(..) => oct(32, SecretKeyType::Other("oct".into())),
        _ => oct(enc.unwrap().content_key_bytes().unwrap(), SecretKeyType::Aes),
    }
}

fn cases() -> Vec<Case> {
    let contents: Vec<&'static Algorithm> =
        ALGORITHMS.iter().filter(|row| row.operation == Operation::Content).collect();
    let mut cases = Vec::new();
    let acts = [Operation::Sign, Operation::KeyManagement];
    for row in ALGORITHMS.iter().filter(|row| acts.contains(&row.operation)) {
        let signs = row.operation == Operation::Sign;
        let encs: Vec<Option<&'static Algorithm>> =
            if signs { vec![None] } else { contents.iter().map(|enc| Some(*enc)).collect() };
        for enc in encs {
            for (name, material) in materials(row, enc) {
                let pair = matches!(material, Material::PrivateKey(_));
                let entry = Entry::new("1", material);
                // EXPOSE: a test key.
                let parse = |text: claviger::secret::SecretString| -> Value {
                    let mut jwk: Value = serde_json::from_str(text.expose_secret()).unwrap();
                    jwk.as_object_mut().unwrap().retain(|name, _| name != "kid");
                    jwk
                };
                let jwk = parse(jwk::write(&entry, false).unwrap());
                let public = pair.then(|| parse(jwk::write(&entry, true).unwrap()));
                let uses = if signs {
                    vec![LabelUse::Sign, LabelUse::Verify]
                } else {
                    vec![LabelUse::Encrypt, LabelUse::Decrypt]
                };
                let rows = std::iter::once(row).chain(enc).collect();
                let text = jwk.to_string();
                let label = "app.interop".parse().unwrap();
                let policy = KeySetPolicy::default();
                let set = KeySet::from_jwks(label, uses, text.as_bytes(), rows, policy).unwrap();
                let token = if signs {
                    jws::sign(
                        &set,
                        b"from us",
                        &SignOptions { without_kid: true, ..Default::default() },
                    )
                } else {
                    jwe::encrypt(
                        &set,
                        b"from us",
                        &EncryptOptions { without_kid: true, ..Default::default() },
                    )
                };
                let id = format!("{row} {} {name}", enc.map_or("", |enc| enc.name));
                cases.push(Case { id, row, enc, jwk, public, set, token: token.unwrap() });
            }
        }
    }
    cases
}

/// Runs a peer over the cases; those that it does not know come back as names.
fn exchange(mut command: Command, cases: &[Case], unknown: &dyn Fn(&Case) -> bool) -> usize {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the peer starts");
    let mut input = child.stdin.take().unwrap();
    let lines: Vec<String> = cases
        .iter()
        .filter(|case| !unknown(case))
        .map(|case| {
            let kind = if case.enc.is_some() { "jwe" } else { "jws" };
            json!({ "id": case.id, "kind": kind, "alg": case.row.name, "enc": case.enc.map(|enc| enc.name),
                "jwk": case.jwk, "publicJwk": case.public, "token": case.token })
            .to_string()
        })
        .collect();
    let writer = std::thread::spawn(move || {
        for line in lines {
            writeln!(input, "{line}").unwrap();
        }
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let mut failures = Vec::new();
    let mut ran = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let answer: Value = serde_json::from_str(line).unwrap();
        let case = cases.iter().find(|case| answer["id"] == case.id.as_str()).unwrap();
        ran += 1;
        if answer["opened"] != "from us" {
            failures.push(format!("{}: the peer says {}", case.id, answer["error"]));
            continue;
        }
        let made = answer["made"].as_str().unwrap();
        let opened = if case.enc.is_some() {
            jwe::decrypt(&case.set, made).map(|opened| opened.plaintext.expose_secret().to_vec())
        } else {
            jws::verify(&case.set, made, &VerifyOptions::default()).map(|opened| opened.payload)
        };
        match opened {
            Ok(text) if text == b"from the peer" => {}
            other => failures.push(format!("{}: we say {other:?}", case.id)),
        }
    }
    assert!(failures.is_empty(), "{} of {ran}\n{}", failures.len(), failures.join("\n"));
    ran
}

#[test]
fn tokens_go_back_and_forth_with_jose_of_node_and_joserfc_of_python() {
    let Some(folder) = peers() else { return };
    let cases = cases();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop");
    let mut node = Command::new("node");
    node.arg(scripts.join("peer.mjs")).arg(&folder);
    let curve = |case: &Case, name: &str| case.id.ends_with(name);
    // jose 6 has no RSA1_5, ES256K, Ed448, X448 and no 192-bit AES in WebCrypto of every Node.
    let ran = exchange(node, &cases, &|case| {
        matches!(case.row.name, "RSA1_5" | "ES256K") || curve(case, "Ed448") || curve(case, "X448")
    });
    println!("interop: {ran} cases with jose (npm)");
    assert!(ran > 150);
    let mut python = Command::new(folder.join("venv/bin/python"));
    python.arg(scripts.join("peer.py"));
    // joserfc has no RSA-OAEP with SHA-384 and SHA-512.
    let ran =
        exchange(python, &cases, &|case| matches!(case.row.name, "RSA-OAEP-384" | "RSA-OAEP-512"));
    println!("interop: {ran} cases with joserfc (PyPI)");
    assert!(ran > 150);
}
