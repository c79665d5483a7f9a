//! SAML back and forth with signxml and python-xmlsec (libxmlsec1), in every algorithm that both sides know.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use claviger::alg::{Algorithm, Family, Hash};
use claviger::catalogue::LabelUse;
use claviger::crypto::Key;
use claviger::crypto::certificate::self_signed;
use claviger::crypto::generate::{KeySpec, generate};
use claviger::formats::JwkHints;
use claviger::ops::{KeySet, KeySetPolicy, LabelKey};
use claviger::profiles::saml::{self, Encryptable, Expect, Signing};
use claviger::secret::SecretBytes;
use claviger::xmlsec::dsig::SignOptions;
use claviger::xmlsec::enc::{EncryptOptions, Recipient};
use claviger::xmlsec::names::{DSIG, XENC11};
use claviger::xmlsec::{PeerKeys, PeerPolicy, Trust, XmlLimits};
use serde_json::{Value, json};

pub(crate) const RESPONSE: &str = "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
    xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_r\"><saml:Issuer>https://idp</saml:Issuer>\
    <saml:Assertion ID=\"_a\"><saml:Issuer>https://idp</saml:Issuer><saml:Subject><saml:NameID>alice</saml:NameID>\
    </saml:Subject></saml:Assertion></samlp:Response>";

/// Signature algorithms by their XML names.
pub(crate) const SIGNATURES: [&str; 9] = [
    "rsa-sha256",
    "rsa-sha384",
    "rsa-sha512",
    "sha256-rsa-MGF1",
    "sha384-rsa-MGF1",
    "sha512-rsa-MGF1",
    "ecdsa-sha256",
    "ecdsa-sha384",
    "ecdsa-sha512",
];
/// Content algorithms, how python-xmlsec calls them, bits.
pub(crate) const CONTENTS: [(&str, &str, u32); 6] = [
    ("aes128-gcm", "TransformAes128Gcm", 128),
    ("aes192-gcm", "TransformAes192Gcm", 192),
    ("aes256-gcm", "TransformAes256Gcm", 256),
    ("aes128-cbc", "TransformAes128Cbc", 128),
    ("aes192-cbc", "TransformAes192Cbc", 192),
    ("aes256-cbc", "TransformAes256Cbc", 256),
];
/// Key transports with the digest of OAEP and that of its mask; `None` is not written down.
const TRANSPORTS: [(&str, Option<Hash>, Option<Hash>); 10] = [
    ("rsa-1_5", None, None),
    ("rsa-oaep-mgf1p", None, None),
    ("rsa-oaep-mgf1p", Some(Hash::Sha256), None),
    ("rsa-oaep-mgf1p", Some(Hash::Sha512), None),
    ("rsa-oaep", Some(Hash::Sha1), Some(Hash::Sha1)),
    ("rsa-oaep", Some(Hash::Sha256), Some(Hash::Sha1)),
    ("rsa-oaep", Some(Hash::Sha256), Some(Hash::Sha256)),
    ("rsa-oaep", Some(Hash::Sha384), Some(Hash::Sha384)),
    ("rsa-oaep", Some(Hash::Sha512), Some(Hash::Sha512)),
    ("rsa-oaep", Some(Hash::Sha512), Some(Hash::Sha1)),
];

/// A key pair as both sides hold it.
pub(crate) struct Pair {
    pub(crate) set: KeySet,
    pub(crate) peer: PeerKeys,
    pub(crate) pem: String,
    pub(crate) certificate: String,
}

/// The digest that goes with a signature algorithm.
pub(crate) fn digest_uri(signature: &str) -> String {
    let digest = ["384", "512"].into_iter().find(|digest| signature.contains(digest));
    match digest {
        Some("384") => "http://www.w3.org/2001/04/xmldsig-more#sha384".to_owned(),
        other => format!("http://www.w3.org/2001/04/xmlenc#sha{}", other.unwrap_or("256")),
    }
}

pub(crate) fn pair(spec: KeySpec, uses: Vec<LabelUse>) -> Pair {
    let pkcs8 = generate(spec).unwrap();
    let bare = Key::from_private(&pkcs8, Vec::new()).unwrap();
    let der = self_signed(&bare, "CN=peer", [7; 16], 0, 4_000_000_000).unwrap().unwrap();
    // EXPOSE: a test key.
    let private = openssl::pkey::PKey::private_key_from_pkcs8(pkcs8.expose_secret()).unwrap();
    let pem = String::from_utf8(private.private_key_to_pem_pkcs8().unwrap()).unwrap();
    let x509 = openssl::x509::X509::from_der(&der).unwrap();
    let key = Key::from_private(&pkcs8, vec![der.clone()]).unwrap();
    let one = LabelKey {
        alias: "ours".parse().unwrap(),
        store: "test".parse().unwrap(),
        realm: None,
        kid: "ours".into(),
        key,
        hints: JwkHints::default(),
        usage: claviger::usage::KeyUsage::default(),
    };
    let names = SIGNATURES.into_iter().chain([
        "rsa-oaep-mgf1p",
        "rsa-oaep",
        "A128GCM",
        "A192GCM",
        "A256GCM",
    ]);
    let rows = names.map(|name| Algorithm::named(name).unwrap()).collect();
    let label = "app.saml".parse().unwrap();
    Pair {
        set: KeySet::new(label, uses, vec![one], rows, KeySetPolicy::default()).unwrap(),
        peer: PeerKeys::from_file(&der).unwrap(),
        pem,
        certificate: String::from_utf8(x509.to_pem().unwrap()).unwrap(),
    }
}

fn short(hash: Hash) -> String {
    hash.name().to_lowercase().replace('-', "")
}

fn digest_of(hash: Hash) -> String {
    if hash == Hash::Sha1 { format!("{DSIG}sha1") } else { digest_uri(hash.name()) }
}

/// Each case through the script; what it made, by the case's name.
fn ask(cases: &[Value]) -> Option<Vec<(String, String)>> {
    let target = Path::new(env!("CARGO_BIN_EXE_claviger")).parent().unwrap().parent().unwrap();
    let python = target.join("interop/venv/bin/python");
    let has = Command::new(&python).args(["-c", "import signxml, xmlsec"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "run scripts/setup.sh first");
        println!(
            "signxml and python-xmlsec are absent: run scripts/setup.sh for the interoperability tests"
        );
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/saml.py");
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let mut made = Vec::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let answer: Value = serde_json::from_str(line).unwrap();
        let id = answer["id"].as_str().unwrap();
        assert!(answer["made"].is_string(), "{id}: the peer says {}", answer["error"]);
        made.push((id.to_owned(), answer["made"].as_str().unwrap().to_owned()));
    }
    assert_eq!(made.len(), cases.len());
    Some(made)
}

#[test]
fn signatures_hold_on_both_sides() {
    let rsa = || pair(KeySpec::Rsa { bits: 2048 }, vec![LabelUse::Sign, LabelUse::Verify]);
    let shared = rsa();
    let mut pairs = Vec::new();
    let mut cases = Vec::new();
    for name in SIGNATURES {
        let row = Algorithm::named(name).unwrap();
        let own = match row.family {
            Family::Ecdsa(curve, _) => {
                Some(pair(KeySpec::Curve(curve), vec![LabelUse::Sign, LabelUse::Verify]))
            }
            _ => None,
        };
        let one = own.as_ref().unwrap_or(&shared);
        let options = SignOptions { algorithm: Some(name), ..Default::default() };
        let signed = saml::sign(&one.set, RESPONSE.as_bytes(), Signing::Message, &options).unwrap();
        for call in ["signxml_verify", "signxml_sign", "xmlsec_verify", "xmlsec_sign"] {
            cases.push(json!({ "id": format!("{name} {call}"), "do": call, "xml": signed.xml, "plain": RESPONSE,
                "key": one.pem, "certificate": one.certificate, "method": row.xml_uri, "digest": digest_uri(name) }));
        }
        pairs.push((name, own));
    }
    let Some(made) = ask(&cases) else { return };
    for (id, made) in &made {
        let (name, call) = id.split_once(' ').unwrap();
        if call.ends_with("verify") {
            assert!(made.contains("alice"), "{id}: {made}");
            continue;
        }
        let own = pairs.iter().find(|(known, _)| *known == name).and_then(|(_, own)| own.as_ref());
        let trust = Trust::Certificates(&own.unwrap_or(&shared).peer);
        let verify = |xml: &str| {
            let policy = PeerPolicy::default();
            saml::verify(xml.as_bytes(), Expect::Message, trust, &policy, &XmlLimits::MESSAGE)
        };
        let found = verify(made).unwrap_or_else(|error| panic!("{id}: {error:?}: {made}"));
        assert_eq!(found[0].algorithm.xml_name(), Some(name));
        assert_ne!(found[0].digest, Hash::Sha1);
        assert!(verify(&made.replace("alice", "admin")).is_err(), "{id}");
    }
    println!("interop: {} signatures with signxml and libxmlsec1", made.len());
    assert_eq!(made.len(), 9 * 4);
}

#[test]
fn encrypted_assertions_open_on_both_sides() {
    let one = pair(KeySpec::Rsa { bits: 2048 }, vec![LabelUse::Decrypt]);
    let mut cases = Vec::new();
    let policy_of = |content: &str, transport: &str| PeerPolicy {
        cbc: content.ends_with("cbc"),
        rsa1_5: transport == "rsa-1_5",
        ..Default::default()
    };
    for (content, content_name, bits) in CONTENTS {
        for (transport, digest, mgf) in TRANSPORTS {
            let policy = policy_of(content, transport);
            let options = EncryptOptions {
                content: Some(content),
                key_transport: Some(transport),
                digest,
                mgf,
                policy,
                ..Default::default()
            };
            let to = Recipient::Certificate(&one.peer.keys()[0]);
            let (xml, _) =
                saml::encrypt(to, RESPONSE.as_bytes(), Encryptable::Assertion, &options).unwrap();
            for call in ["xmlsec_decrypt", "xmlsec_encrypt"] {
                cases.push(
                    json!({ "id": format!("{content} {transport} {call} {digest:?} {mgf:?}"), "do": call, "xml": xml,
                    "plain": RESPONSE, "key": one.pem, "certificate": one.certificate,
                    "content": content_name, "bits": bits, "transport": Algorithm::named(transport).unwrap().xml_uri,
                    "digest": digest.map(digest_of), "mgf": mgf.map(|mgf| format!("{XENC11}mgf1{}", short(mgf))) }),
                );
            }
        }
    }
    let Some(made) = ask(&cases) else { return };
    for (id, made) in &made {
        let parts: Vec<&str> = id.split(' ').collect();
        if parts[2] == "xmlsec_decrypt" {
            assert_eq!(made, "alice", "{id}");
            continue;
        }
        let policy = policy_of(parts[0], parts[1]);
        let kind = Encryptable::Assertion;
        let found = saml::decrypt(&one.set, made.as_bytes(), kind, &policy)
            .unwrap_or_else(|error| panic!("{id}: {error:?}: {made}"));
        let text: &SecretBytes = &found[0].xml;
        assert!(std::str::from_utf8(text.expose_secret()).unwrap().contains(">alice<"), "{id}");
        assert_eq!(found[0].content.xml_name(), Some(parts[0]));
    }
    println!("interop: {} encrypted assertions with libxmlsec1", made.len());
    assert_eq!(made.len(), 6 * 10 * 2);
}
