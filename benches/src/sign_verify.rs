//! What signing and verifying cost beyond the primitive, and against the peers.
//!
//! Fixed input: a claims set of 300 bytes, RSA of 2048 bits, HMAC keys of 64 bytes, compact tokens with a kid.

use std::hint::black_box;

use crate::fixture::{BASE64URL, CLAIMS, label, material, pem, row, rows};
use crate::harness::{Case, measure, ns, print_row, ratio};
use crate::primitive;
use base64::Engine;
use claviger::alg::{Backend, Operation};
use claviger::crypto::Key;
use claviger::secret::SecretBytes;
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
        let signature = BASE64URL.decode(encoded).expect("base64url");
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
        let signature = BASE64URL.decode(encoded).expect("base64url");
        assert!(verify(input.as_bytes(), &signature));
        let times = measure(&mut [
            Case::new(|| ours.sign(CLAIMS.as_bytes()).expect("signed")),
            Case::new(|| sign(input.as_bytes())),
            Case::new(|| {
                let mut out = String::with_capacity(token.len());
                out.push_str(header);
                BASE64URL.encode_string(CLAIMS, &mut out);
                BASE64URL.encode_string(&signature, &mut out);
                out
            }),
            Case::new(|| ours.verify(&token).expect("verified")),
            Case::new(|| assert!(verify(input.as_bytes(), &signature))),
            Case::new(|| {
                let head = BASE64URL.decode(header).expect("base64url");
                let read: Head<'_> = serde_json::from_slice(&head).expect("a header");
                black_box((read.alg, read.kid));
                let payload = BASE64URL.decode(payload).expect("base64url");
                (payload, BASE64URL.decode(encoded).expect("base64url"))
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
    let head = [&["ours"], PEERS, &["slowest part"]].concat();
    print_row("operation", &head.into_iter().map(str::to_owned).collect::<Vec<_>>());
    for name in ["HS256", "ES256", "RS256", "PS256", "ES384", "EdDSA"] {
        compare(name);
    }
}

/// OpenSSL and BoringSSL do not fit into one program.
const PEERS: &[&str] = if cfg!(feature = "openssl") {
    &["jsonwebtoken", "josekit", "jwt-simple"]
} else {
    &["jsonwebtoken", "jwt-simple"]
};

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
    let signature = BASE64URL.decode(encoded).expect("base64url");

    let web_header = jsonwebtoken::Header {
        kid: Some("k0".into()),
        ..jsonwebtoken::Header::new(name.parse().expect("known"))
    };
    let (private, public) = pems(name, &raw);
    let (web_sign, web_verify) = web_keys(name, &raw, &private, &public);
    let mut validation = jsonwebtoken::Validation::new(name.parse().expect("known"));
    validation.set_audience(&[claims.aud.as_str()]);

    #[cfg(feature = "openssl")]
    let kit = crate::josekit_peer::Peer::new(name, &raw, &private, &public);

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
    let (simple_sign, simple_verify) = simple_keys(name, &raw, &private);

    let checked = |payload: &[u8]| {
        let claims: Claims = serde_json::from_slice(payload).expect("claims");
        assert!(claims.exp > now() && claims.aud == "https://api.example.com/orders");
        claims
    };
    let mut cases = vec![
        Case::new(|| ours.sign(&serde_json::to_vec(&claims).expect("claims")).expect("signed")),
        Case::new(|| jsonwebtoken::encode(&web_header, &claims, &web_sign).expect("signed")),
        #[cfg(feature = "openssl")]
        Case::new(|| kit.sign(&serde_json::to_vec(&claims).expect("claims"))),
        Case::new(|| simple_sign(simple_claims())),
        Case::new(|| sign(input.as_bytes())),
    ];
    cases.extend([
        Case::new(|| checked(&ours.verify(&token).expect("verified").payload)),
        Case::new(|| {
            jsonwebtoken::decode::<Claims>(&token, &web_verify, &validation).expect("verified")
        }),
        #[cfg(feature = "openssl")]
        Case::new(|| checked(&kit.verify(&token))),
        Case::new(|| simple_verify(&token)),
        Case::new(|| assert!(verify(input.as_bytes(), &signature))),
    ]);
    let times = measure(&mut cases);
    for (what, times) in ["sign", "verify"].iter().zip(times.chunks(PEERS.len() + 2)) {
        let [ours, peers @ .., primitive] = times else { return };
        let peers = peers.iter().map(|peer| format!("{} ({})", ns(*peer), ratio(peer / ours)));
        let part = format!("{backend} {:.0} %", primitive / ours * 100.0);
        let cells: Vec<String> = std::iter::once(ns(*ours)).chain(peers).chain([part]).collect();
        print_row(&format!("{what} {name}"), &cells);
    }
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

/// PKCS#8 and SPKI, as PEM; of HMAC keys nothing.
fn pems(name: &str, raw: &[u8]) -> (String, String) {
    if row(name).backend == Backend::Ring {
        return Default::default();
    }
    let key = Key::from_private(&SecretBytes::from_slice(raw), Vec::new()).expect("a pair");
    (pem("PRIVATE KEY", raw), pem("PUBLIC KEY", key.spki().expect("a public half")))
}

fn web_keys(
    name: &str,
    raw: &[u8],
    private: &str,
    public: &str,
) -> (jsonwebtoken::EncodingKey, jsonwebtoken::DecodingKey) {
    use jsonwebtoken::{DecodingKey, EncodingKey};
    if name == "HS256" {
        return (EncodingKey::from_secret(raw), DecodingKey::from_secret(raw));
    }
    let (private, public) = (private.as_bytes(), public.as_bytes());
    match name {
        "ES256" | "ES384" => (
            EncodingKey::from_ec_pem(private).expect("a key"),
            DecodingKey::from_ec_pem(public).expect("a key"),
        ),
        "EdDSA" => (
            EncodingKey::from_ed_pem(private).expect("a key"),
            DecodingKey::from_ed_pem(public).expect("a key"),
        ),
        _ => (
            EncodingKey::from_rsa_pem(private).expect("a key"),
            DecodingKey::from_rsa_pem(public).expect("a key"),
        ),
    }
}

type SimpleSign = Box<dyn Fn(simple::JWTClaims<Custom>) -> String>;
type SimpleVerify = Box<dyn Fn(&str) -> simple::JWTClaims<Custom>>;

fn simple_keys(name: &str, raw: &[u8], pem: &str) -> (SimpleSign, SimpleVerify) {
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
    match name {
        "ES256" => keys!(simple::ES256KeyPair::from_pem(pem).expect("a key")),
        "ES384" => keys!(simple::ES384KeyPair::from_pem(pem).expect("a key")),
        "EdDSA" => keys!(simple::Ed25519KeyPair::from_pem(pem).expect("a key")),
        "PS256" => keys!(simple::PS256KeyPair::from_pem(pem).expect("a key")),
        _ => keys!(simple::RS256KeyPair::from_pem(pem).expect("a key")),
    }
}
