//! Digests that were made elsewhere, signed and verified by label: openssl is the other side.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use claviger::Keyring;
use claviger::access::Right;
use claviger::alg::Hash;
use claviger::ops::GivenDigest;
use openssl::bn::BigNum;
use openssl::ecdsa::EcdsaSig;
use serde_json::json;

use crate::running::{Running, granting};

const KEY: Option<&str> = Some("the key of portal");
const MESSAGE: &[u8] = b"a release of many gigabytes";

/// What openssl has to do with each: label, algorithm, hash, and the options of its signatures.
const ROWS: [(&str, &str, Hash, &[&str]); 8] = [
    ("am.services.oauth2.oidc.signing.ES256", "ES256", Hash::Sha256, &[]),
    ("am.services.oauth2.oidc.signing.ES384", "ES384", Hash::Sha384, &[]),
    ("am.services.oauth2.oidc.signing.RSA", "RS256", Hash::Sha256, &[]),
    ("am.services.oauth2.oidc.signing.RSA", "RS384", Hash::Sha384, &[]),
    ("am.services.oauth2.oidc.signing.RSA", "RS512", Hash::Sha512, &[]),
    ("am.services.oauth2.oidc.signing.RSA", "PS256", Hash::Sha256, &PSS),
    ("am.services.oauth2.oidc.signing.RSA", "PS384", Hash::Sha384, &PSS),
    ("am.services.oauth2.oidc.signing.RSA", "PS512", Hash::Sha512, &PSS),
];
const PSS: [&str; 4] = ["-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:digest"];

fn openssl(folder: &Path, arguments: &[&str]) -> bool {
    Command::new("openssl").args(arguments).current_dir(folder).output().unwrap().status.success()
}

fn running() -> Running {
    Running::new(granting(&[Right::Sign, Right::Verify, Right::Keys]))
}

/// A folder with the message, the key pair of an alias, and the digest that openssl makes.
fn folder(alias: &str, hash: Hash) -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let keystores = Path::new(env!("CARGO_MANIFEST_DIR")).join("keystores");
    let password = keystores.join("storepass.txt");
    std::fs::write(folder.path().join("message"), MESSAGE).unwrap();
    let made = Command::new("openssl")
        .args(["pkcs12", "-nodes", "-nocerts", "-passin"])
        .arg(format!("file:{}", password.display()))
        .arg("-in")
        .arg(keystores.join("default.p12"))
        .output()
        .unwrap();
    let text = String::from_utf8(made.stdout).unwrap();
    let named = format!("friendlyName: {alias}\n");
    let (_, rest) = text.split_once(&named).unwrap_or_else(|| panic!("{alias} in {text}"));
    let key = rest.lines().skip_while(|line| !line.starts_with("-----BEGIN"));
    let mut key: Vec<&str> = key.take_while(|line| !line.starts_with("-----END")).collect();
    key.push("-----END PRIVATE KEY-----\n");
    std::fs::write(folder.path().join("key.pem"), key.join("\n")).unwrap();
    let name = format!("-{}", hash.name().to_lowercase().replace('-', ""));
    assert!(openssl(folder.path(), &["dgst", &name, "-binary", "-out", "digest", "message"]));
    assert!(openssl(folder.path(), &["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]));
    let digest = std::fs::read(folder.path().join("digest")).unwrap();
    (folder, digest)
}

/// ECDSA between `r‖s` and DER; RSA as it is.
fn to_der(algorithm: &str, signature: &[u8]) -> Vec<u8> {
    if !algorithm.starts_with("ES") {
        return signature.to_vec();
    }
    let (r, s) = signature.split_at(signature.len() / 2);
    let number = |bytes| BigNum::from_slice(bytes).unwrap();
    EcdsaSig::from_private_components(number(r), number(s)).unwrap().to_der().unwrap()
}

fn from_der(algorithm: &str, signature: &[u8]) -> Vec<u8> {
    if !algorithm.starts_with("ES") {
        return signature.to_vec();
    }
    let size = if algorithm == "ES256" { 32 } else { 48 };
    let signature = EcdsaSig::from_der(signature).unwrap();
    let number = |number: &openssl::bn::BigNumRef| number.to_vec_padded(size).unwrap();
    [number(signature.r()), number(signature.s())].concat()
}

#[test]
fn openssl_verifies_what_labels_sign_and_labels_verify_what_openssl_signs() {
    let running = running();
    for (label, algorithm, hash, options) in ROWS {
        let path = |what: &str| format!("/v1/labels/{label}/raw/{what}");
        let (_, probe) =
            running.post(&path("sign"), KEY, &json!({ "text": "x", "alg": algorithm }));
        let (folder, digest) = folder(probe["alias"].as_str().unwrap(), hash);
        let given = json!({ "digest": B64.encode(&digest), "hash": hash.name(), "alg": algorithm });
        let (status, signed) = running.post(&path("sign"), KEY, &given);
        assert_eq!((status, &signed["alg"]), (200, &json!(algorithm)), "{signed}");
        let signature = B64.decode(signed["signature"].as_str().unwrap()).unwrap();
        std::fs::write(folder.path().join("signature"), to_der(algorithm, &signature)).unwrap();
        let digest_option = format!("digest:{}", hash.name().to_lowercase().replace('-', ""));
        let with = ["-pkeyopt", &digest_option];
        let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-in", "digest"];
        let checked = [&verify[..], &["-sigfile", "signature"], &with, options].concat();
        assert!(openssl(folder.path(), &checked), "{algorithm}");

        // The same as a signature of the message.
        let message = json!({ "message": B64.encode(MESSAGE), "signature": signed["signature"] });
        assert_eq!(running.post(&path("verify"), KEY, &message).0, 200, "{algorithm}");

        let sign = ["pkeyutl", "-sign", "-inkey", "key.pem", "-in", "digest", "-out", "theirs"];
        assert!(openssl(folder.path(), &[&sign[..], &with, options].concat()), "{algorithm}");
        let theirs = std::fs::read(folder.path().join("theirs")).unwrap();
        let theirs = B64.encode(from_der(algorithm, &theirs));
        let mut asked =
            json!({ "digest": B64.encode(&digest), "hash": hash.name(), "signature": theirs });
        let (status, verified) = running.post(&path("verify"), KEY, &asked);
        assert_eq!((status, &verified["alias"]), (200, &signed["alias"]), "{verified}");
        assert_eq!(verified["alg"], algorithm);
        let mut other = digest.clone();
        other[0] ^= 1;
        asked["digest"] = B64.encode(other).into();
        let (status, problem) = running.post(&path("verify"), KEY, &asked);
        assert_eq!((status, &problem["code"]), (422, &json!("not_verified")));
    }
}

#[test]
fn without_an_algorithm_the_hash_decides() {
    let running = running();
    let rsa = "am.services.oauth2.oidc.signing.RSA";
    for hash in GivenDigest::HASHES {
        let digest = claviger::crypto::digest(hash, MESSAGE);
        let given = json!({ "digest": B64.encode(digest), "hash": hash.name() });
        let (status, signed) = running.post(&format!("/v1/labels/{rsa}/raw/sign"), KEY, &given);
        assert_eq!(status, 200, "{signed}");
        let bits = hash.name().strip_prefix("SHA-").unwrap();
        assert!(signed["alg"].as_str().unwrap().ends_with(bits), "{signed}");
    }
}

#[test]
fn what_is_no_digest_and_what_signs_none_is_told_so() {
    let running = running();
    let es256 = "am.services.oauth2.oidc.signing.ES256";
    let (eddsa, hmac) =
        ("am.services.oauth2.oidc.signing.EDDSA", "am.services.oauth2.jwt.authenticity.signing");
    let digest = |bytes: usize| B64.encode(vec![7; bytes]);
    let of = |bytes: usize, hash: &str| json!({ "digest": digest(bytes), "hash": hash });
    let rows = [
        (es256, of(20, "SHA-256"), "malformed", "has 32 bytes, this one has 20"),
        (es256, of(64, "SHA-256"), "malformed", "this one has 64"),
        (es256, json!({ "digest": digest(32) }), "usage", "nothing to be signed, or more than one"),
        (
            es256,
            json!({ "digest": digest(32), "hash": "SHA-256", "text": "x" }),
            "usage",
            "more than one",
        ),
        (es256, json!({ "text": "x", "hash": "SHA-256" }), "usage", "more than one"),
        (es256, of(48, "SHA-384"), "usage", "signs no digest of SHA-384"),
        (es256, of(20, "SHA-1"), "malformed", "not of the form"),
        (eddsa, of(32, "SHA-256"), "usage", "signs no digest"),
        (
            hmac,
            json!({ "digest": digest(32), "hash": "SHA-256", "alg": "HS256" }),
            "usage",
            "HS256 signs no digest",
        ),
    ];
    for (label, body, code, detail) in rows {
        for what in ["sign", "verify"] {
            let mut body = body.clone();
            if what == "verify" {
                body["signature"] = "AAAA".into();
            }
            let (found, problem) =
                running.post(&format!("/v1/labels/{label}/raw/{what}"), KEY, &body);
            assert_eq!((found, &problem["code"]), (400, &json!(code)), "{what} {body}: {problem}");
            assert!(
                problem["detail"].as_str().unwrap().contains(detail),
                "{what} {body}: {problem}"
            );
        }
    }
}

#[cfg(feature = "client")]
#[test]
fn the_rust_client_signs_and_verifies_digests() {
    use claviger::client::{Client, DigestHash};

    let running = running();
    let url = format!("http://{}", running.address);
    let client = Client::builder(&url).bearer(KEY.unwrap()).unwrap().build().unwrap();
    for (name, algorithm, hash, options) in ROWS {
        let label = client.label(name).unwrap();
        let hash_of = match hash {
            Hash::Sha256 => DigestHash::Sha256,
            Hash::Sha384 => DigestHash::Sha384,
            _ => DigestHash::Sha512,
        };
        let alias = label.sign_raw(b"x", Some(algorithm)).unwrap().alias;
        let (folder, digest) = folder(&alias, hash);
        let made = label.sign_digest(hash_of, &digest, Some(algorithm)).unwrap();
        assert_eq!((&made.alias, made.alg.as_str()), (&alias, algorithm));
        let theirs = to_der(algorithm, &made.signature);
        std::fs::write(folder.path().join("signature"), theirs).unwrap();
        let digest_option = format!("digest:{}", hash.name().to_lowercase().replace('-', ""));
        let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-in", "digest"];
        let with = ["-sigfile", "signature", "-pkeyopt", &digest_option];
        assert!(openssl(folder.path(), &[&verify[..], &with, options].concat()), "{algorithm}");

        for named in [None, Some(algorithm)] {
            let found = label.verify_digest(hash_of, &digest, &made.signature, named).unwrap();
            assert_eq!(
                (&found.alias, &found.kid, found.alg.as_str()),
                (&alias, &made.kid, algorithm)
            );
            let mut other = digest.clone();
            other[0] ^= 1;
            let error = label.verify_digest(hash_of, &other, &made.signature, named).unwrap_err();
            assert_eq!(error.code(), "not_verified", "{error}");
        }
        // The same as of the message, in both directions.
        let found = label.verify_raw(MESSAGE, &made.signature, Some(algorithm)).unwrap();
        assert_eq!(found.kid, made.kid);
        let of_message = label.sign_raw(MESSAGE, Some(algorithm)).unwrap();
        assert!(label.verify_digest(hash_of, &digest, &of_message.signature, None).is_ok());
        let error = label.sign_digest(hash_of, &digest[1..], None).unwrap_err();
        let problem = error.problem().unwrap();
        assert_eq!((problem.status, problem.code.as_str()), (400, "malformed"), "{problem}");
        let size = digest.len();
        let said = format!("has {size} bytes, this one has {}", size - 1);
        assert!(problem.detail.contains(&said), "{problem}");
        assert!(problem.help.as_ref().unwrap().contains("not its text"), "{problem}");
    }
    let label = client.label("am.services.oauth2.oidc.signing.EDDSA").unwrap();
    let error = label.sign_digest(DigestHash::Sha512, &[7; 64], None).unwrap_err();
    assert_eq!(error.code(), "usage", "{error}");
}

#[test]
fn the_library_and_the_command_line_sign_the_same() {
    let keyring = Keyring::open(Path::new("keystores/claviger.toml")).unwrap();
    let label = keyring.label("am.services.oauth2.oidc.signing.ES384").unwrap();
    let digest = claviger::crypto::digest(Hash::Sha384, MESSAGE);
    let given = GivenDigest::new(Hash::Sha384, &digest).unwrap();
    let (signature, algorithm) = label.sign_digest(&given, None).unwrap();
    let (key, _) = label.verify_digest(&given, &signature, Some("ES384")).unwrap();
    assert_eq!((algorithm.name, key.alias.as_str()), ("ES384", "es384"));

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("digest"), &digest).unwrap();
    std::fs::write(file("signature"), &signature).unwrap();
    std::fs::write(file("hex"), "00".repeat(48)).unwrap();
    let claviger = |arguments: &[&str], input: PathBuf, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claviger"));
        command.args(["-c", "keystores/claviger.toml"]).args(arguments).arg("--label");
        command.arg(label.name().as_str()).args(["--raw", "--digest"]);
        command.args(more).arg("--in").arg(input).output().unwrap()
    };
    let theirs = file("signature");
    let verify = ["verify", "--signature", theirs.to_str().unwrap()];
    let done = claviger(&verify, file("digest"), &["SHA-384"]);
    assert!(done.status.success(), "{done:?}");
    let made = claviger(&["sign"], file("digest"), &["SHA-384"]);
    assert!(label.verify_digest(&given, &made.stdout, None).is_ok(), "{made:?}");
    let refused = claviger(&["sign"], file("hex"), &["SHA-384"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("has 48 bytes, this one has 96"), "{said}");
    let refused = claviger(&["sign"], file("digest"), &["sha384"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("use one of SHA-256, SHA-384, SHA-512"), "{said}");
}
