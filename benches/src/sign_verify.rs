//! What signing and verifying cost beyond the primitive, and against the peers.
//!
//! Fixed input: a claims set of 300 bytes, RSA of 2048 bits, HMAC keys of 64 bytes, compact tokens with a kid.

use std::hint::black_box;

use crate::fixture::{CLAIMS, label, material, row, rows};
use crate::harness::{Case, measure, ns, print_row, ratio};
use crate::primitive;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger::alg::{Backend, Operation};
use josekit::jws::{
    ES256, ES384, EdDSA, HS256, JwsHeader, JwsSigner, JwsVerifier, PS256, RS256, serialize_compact,
};
use jwt_simple::prelude as simple;
use jwt_simple::prelude::{ECDSAP256KeyPairLike, ECDSAP256PublicKeyLike, ECDSAP384KeyPairLike};
use jwt_simple::prelude::{ECDSAP384PublicKeyLike, EdDSAKeyPairLike, EdDSAPublicKeyLike};
use jwt_simple::prelude::{MACLike, RSAKeyPairLike, RSAPublicKeyLike};
use serde::{Deserialize, Serialize};

/// Prints the tables.
pub fn run() {
    assert_eq!(CLAIMS.len(), 300);
    beyond_the_primitive();
    backends();
    against_the_peers();
}

/// The figures by which the algorithm table chooses where ring and aws-lc-rs both have an algorithm.
fn backends() {
    println!("\nthe primitive alone, ns of CPU time\n");
    let head = ["ring sign", "aws-lc-rs sign", "ring verify", "aws-lc verify"];
    print_row("algorithm", &head.map(str::to_owned));
    for name in ["HS256", "HS384", "HS512", "ES256"] {
        let (_, key) = material(row(name), None);
        let both = ["ring", "aws-lc-rs"].map(|backend| {
            primitive::signature(row(name), key.expose_secret(), backend).expect("built in")
        });
        let folder = tempfile::tempdir().expect("a directory");
        let token = label(folder.path(), &[key], &[row(name)], 16).sign(CLAIMS.as_bytes());
        let token = token.expect("signed");
        let (input, encoded) = token.rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(encoded).expect("base64url");
        let [ring, aws] = &both;
        let times = measure(&mut [
            Case::new(|| (ring.0)(input.as_bytes())),
            Case::new(|| (aws.0)(input.as_bytes())),
            Case::new(|| (ring.1)(input.as_bytes(), &signature)),
            Case::new(|| (aws.1)(input.as_bytes(), &signature)),
        ]);
        let cells: Vec<String> = times.iter().map(|time| ns(*time)).collect();
        print_row(name, &cells);
    }
}

/// The header that a receiver has to read.
#[derive(Deserialize)]
struct Head<'a> {
    alg: &'a str,
    kid: Option<&'a str>,
}

fn beyond_the_primitive() {
    println!("one call on a Label, ns of CPU time: ours = primitive + base64url and JSON + over\n");
    let head = ["sign", "primitive", "format", "over", "verify", "primitive", "format", "over"];
    print_row("algorithm (backend)", &head.map(str::to_owned));
    for row in rows(Operation::Sign) {
        let folder = tempfile::tempdir().expect("a directory");
        let (_, key) = material(row, None);
        let backend = match row.backend {
            Backend::AwsLc => "aws-lc-rs",
            Backend::Ring => "ring",
            _ => continue,
        };
        let (sign, verify) =
            primitive::signature(row, key.expose_secret(), backend).expect("built in");
        let ours = label(folder.path(), &[key], &[row], 16);
        let token = ours.sign(CLAIMS.as_bytes()).expect("signed");
        let (input, encoded) = token.rsplit_once('.').expect("three parts");
        let (header, payload) = input.split_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(encoded).expect("base64url");
        assert!(verify(input.as_bytes(), &signature));
        let times = measure(&mut [
            Case::new(|| ours.sign(CLAIMS.as_bytes()).expect("signed")),
            Case::new(|| sign(input.as_bytes())),
            Case::new(|| {
                let mut out = String::with_capacity(token.len());
                out.push_str(header);
                URL_SAFE_NO_PAD.encode_string(CLAIMS, &mut out);
                URL_SAFE_NO_PAD.encode_string(&signature, &mut out);
                out
            }),
            Case::new(|| ours.verify(&token).expect("verified")),
            Case::new(|| assert!(verify(input.as_bytes(), &signature))),
            Case::new(|| {
                let head = URL_SAFE_NO_PAD.decode(header).expect("base64url");
                let read: Head<'_> = serde_json::from_slice(&head).expect("a header");
                black_box((read.alg, read.kid));
                let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
                (payload, URL_SAFE_NO_PAD.decode(encoded).expect("base64url"))
            }),
        ]);
        let over = |at: usize| times[at] - times[at + 1] - times[at + 2];
        let cells = [times[0], times[1], times[2], over(0), times[3], times[4], times[5], over(3)];
        print_row(&format!("{row} ({backend})"), &cells.map(ns));
    }
}

#[derive(Clone, Deserialize, Serialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    iat: u64,
    auth_time: u64,
    jti: String,
    scope: String,
    acr: String,
    nonce: String,
}

#[derive(Clone, Deserialize, Serialize)]
struct Custom {
    auth_time: u64,
    scope: String,
    acr: String,
}

/// Claims in and out, `exp` checked, the key named by a kid: the whole job, with each library's own API.
fn against_the_peers() {
    println!(
        "\nclaims to token and back, ns of CPU time; in brackets: the peer's time over ours\n"
    );
    let peers = ["ours", "jsonwebtoken", "josekit", "jwt-simple", "slowest part"];
    print_row("operation", &peers.map(str::to_owned));
    for name in ["HS256", "ES256", "RS256", "PS256", "ES384", "EdDSA"] {
        compare(name);
    }
}

fn compare(name: &str) {
    let folder = tempfile::tempdir().expect("a directory");
    let (_, key) = material(row(name), None);
    let raw = key.expose_secret().to_vec();
    let backend = if row(name).backend == Backend::Ring { "ring" } else { "aws-lc-rs" };
    let (sign, verify) = primitive::signature(row(name), &raw, backend).expect("built in");
    let ours = label(folder.path(), &[key], &[row(name)], 16);
    let claims: Claims = serde_json::from_str(CLAIMS).expect("claims");
    let token = ours.sign(CLAIMS.as_bytes()).expect("signed");
    let (input, encoded) = token.rsplit_once('.').expect("three parts");
    let signature = URL_SAFE_NO_PAD.decode(encoded).expect("base64url");

    let web_header = jsonwebtoken::Header {
        kid: Some("k0".into()),
        ..jsonwebtoken::Header::new(name.parse().expect("known"))
    };
    let (web_sign, web_verify) = web_keys(name, &raw);
    let mut validation = jsonwebtoken::Validation::new(name.parse().expect("known"));
    validation.set_audience(&[claims.aud.as_str()]);

    let (kit_signer, kit_verifier) = kit_keys(name, &raw);
    let mut kit_header = JwsHeader::new();
    kit_header.set_key_id("k0");

    let simple_claims = || simple::JWTClaims {
        issued_at: Some(simple::Duration::from_secs(claims.iat)),
        expires_at: Some(simple::Duration::from_secs(claims.exp)),
        invalid_before: None,
        issuer: Some(claims.iss.clone()),
        subject: Some(claims.sub.clone()),
        audiences: Some(simple::Audiences::AsString(claims.aud.clone())),
        jwt_id: Some(claims.jti.clone()),
        nonce: Some(claims.nonce.clone()),
        custom: Custom {
            auth_time: claims.auth_time,
            scope: claims.scope.clone(),
            acr: claims.acr.clone(),
        },
    };
    let (simple_sign, simple_verify) = simple_keys(name, &raw);

    let times = measure(&mut [
        Case::new(|| ours.sign(&serde_json::to_vec(&claims).expect("claims")).expect("signed")),
        Case::new(|| jsonwebtoken::encode(&web_header, &claims, &web_sign).expect("signed")),
        Case::new(|| {
            let payload = serde_json::to_vec(&claims).expect("claims");
            serialize_compact(&payload, &kit_header, &*kit_signer).expect("signed")
        }),
        Case::new(|| simple_sign(simple_claims())),
        Case::new(|| sign(input.as_bytes())),
        Case::new(|| {
            let verified = ours.verify(&token).expect("verified");
            let claims: Claims = serde_json::from_slice(&verified.payload).expect("claims");
            assert!(claims.exp > now() && claims.aud == "https://api.example.com/orders");
            claims
        }),
        Case::new(|| {
            jsonwebtoken::decode::<Claims>(&token, &web_verify, &validation).expect("verified")
        }),
        Case::new(|| {
            let (payload, _) =
                josekit::jws::deserialize_compact(&token, &*kit_verifier).expect("verified");
            let claims: Claims = serde_json::from_slice(&payload).expect("claims");
            assert!(claims.exp > now() && claims.aud == "https://api.example.com/orders");
            claims
        }),
        Case::new(|| simple_verify(&token)),
        Case::new(|| assert!(verify(input.as_bytes(), &signature))),
    ]);
    for (at, what) in [(0, "sign"), (5, "verify")] {
        let peer = |index: usize| {
            format!("{} ({})", ns(times[at + index]), ratio(times[at + index] / times[at]))
        };
        let part = format!("{backend} {:.0} %", times[at + 4] / times[at] * 100.0);
        print_row(&format!("{what} {name}"), &[ns(times[at]), peer(1), peer(2), peer(3), part]);
    }
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

fn public_der(raw: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let key = openssl::pkey::PKey::private_key_from_der(raw).expect("a key");
    let spki = key.public_key_to_der().expect("a key");
    let pem = key.public_key_to_pem().expect("a key");
    (spki, pem)
}

fn private_pem(raw: &[u8]) -> Vec<u8> {
    let key = openssl::pkey::PKey::private_key_from_der(raw).expect("a key");
    key.private_key_to_pem_pkcs8().expect("a key")
}

fn web_keys(name: &str, raw: &[u8]) -> (jsonwebtoken::EncodingKey, jsonwebtoken::DecodingKey) {
    use jsonwebtoken::{DecodingKey, EncodingKey};
    if name == "HS256" {
        return (EncodingKey::from_secret(raw), DecodingKey::from_secret(raw));
    }
    let (private, (_, public)) = (private_pem(raw), public_der(raw));
    match name {
        "ES256" | "ES384" => (
            EncodingKey::from_ec_pem(&private).expect("a key"),
            DecodingKey::from_ec_pem(&public).expect("a key"),
        ),
        "EdDSA" => (
            EncodingKey::from_ed_pem(&private).expect("a key"),
            DecodingKey::from_ed_pem(&public).expect("a key"),
        ),
        _ => (
            EncodingKey::from_rsa_pem(&private).expect("a key"),
            DecodingKey::from_rsa_pem(&public).expect("a key"),
        ),
    }
}

fn kit_keys(name: &str, raw: &[u8]) -> (Box<dyn JwsSigner>, Box<dyn JwsVerifier>) {
    if name == "HS256" {
        let signer = HS256.signer_from_bytes(raw).expect("a key");
        return (Box::new(signer), Box::new(HS256.verifier_from_bytes(raw).expect("a key")));
    }
    let (private, (_, public)) = (private_pem(raw), public_der(raw));
    macro_rules! keys {
        ($algorithm:expr) => {
            (
                Box::new($algorithm.signer_from_pem(&private).expect("a key")),
                Box::new($algorithm.verifier_from_pem(&public).expect("a key")),
            )
        };
    }
    match name {
        "ES256" => keys!(ES256),
        "ES384" => keys!(ES384),
        "EdDSA" => keys!(EdDSA),
        // Its PEM reader insists on keys that are for PSS alone.
        "PS256" => {
            let material = claviger::formats::Material::PrivateKey(
                claviger::secret::SecretBytes::from_slice(raw),
            );
            let entry = claviger::formats::Entry::new("k0", material);
            let jwk = claviger::formats::jwk::write(&entry, false).expect("a JWK");
            let jwk = josekit::jwk::Jwk::from_bytes(jwk.expose_secret()).expect("a JWK");
            (
                Box::new(PS256.signer_from_jwk(&jwk).expect("a key")),
                Box::new(PS256.verifier_from_jwk(&jwk).expect("a key")),
            )
        }
        _ => keys!(RS256),
    }
}

type SimpleSign = Box<dyn Fn(simple::JWTClaims<Custom>) -> String>;
type SimpleVerify = Box<dyn Fn(&str) -> simple::JWTClaims<Custom>>;

fn simple_keys(name: &str, raw: &[u8]) -> (SimpleSign, SimpleVerify) {
    let options = simple::VerificationOptions {
        allowed_audiences: Some(["https://api.example.com/orders".to_owned()].into()),
        ..Default::default()
    };
    macro_rules! keys {
        ($key:expr) => {{
            let key = $key.with_key_id("k0");
            let public = key.public_key();
            (
                Box::new(move |claims| key.sign(claims).expect("signed")),
                Box::new(move |token: &str| {
                    public.verify_token(token, Some(options.clone())).expect("verified")
                }),
            )
        }};
    }
    if name == "HS256" {
        let key = simple::HS256Key::from_bytes(raw).with_key_id("k0");
        let same = simple::HS256Key::from_bytes(raw);
        return (
            Box::new(move |claims| key.authenticate(claims).expect("signed")),
            Box::new(move |token| {
                same.verify_token(token, Some(options.clone())).expect("verified")
            }),
        );
    }
    let pem = String::from_utf8(private_pem(raw)).expect("PEM");
    match name {
        "ES256" => keys!(simple::ES256KeyPair::from_pem(&pem).expect("a key")),
        "ES384" => keys!(simple::ES384KeyPair::from_pem(&pem).expect("a key")),
        "EdDSA" => keys!(simple::Ed25519KeyPair::from_pem(&pem).expect("a key")),
        "PS256" => keys!(simple::PS256KeyPair::from_pem(&pem).expect("a key")),
        _ => keys!(simple::RS256KeyPair::from_pem(&pem).expect("a key")),
    }
}
