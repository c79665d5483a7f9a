//! Attacks on XML encryption: everybody may encrypt to a public key, whatever they like.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claviger::error::ErrorKind;
use claviger::profiles::saml::{self, Encryptable};
use claviger::xmlsec::PeerPolicy;
use claviger::xmlsec::enc::{self, EncryptOptions, Recipient};

use crate::xml_hostile::{House, SAML, assertion, response};

/// What is no one assertion.
fn plaintexts() -> Vec<(&'static str, Vec<u8>)> {
    let (one, other) = (assertion("_a", "alice"), assertion("_b", "alice"));
    vec![
        ("two", format!("{one}{other}").into_bytes()),
        ("text behind", format!("{one}x").into_bytes()),
        ("text alone", b"alice".to_vec()),
        ("nothing", Vec::new()),
        ("another element", b"<x/>".to_vec()),
        ("the right name in no namespace", b"<Assertion/>".to_vec()),
        ("the end of its parent", format!("{one}</saml:EncryptedAssertion><evil/>").into_bytes()),
        ("the end of the context", format!("{one}</context><context>").into_bytes()),
        ("a document type", format!("<!DOCTYPE a>{one}").into_bytes()),
        ("an entity", one.replace("alice", "&e;").into_bytes()),
        ("no XML", one.replace("</saml:Subject>", "").into_bytes()),
        ("no UTF-8", one.replace("alice", "ali").into_bytes().into_iter().chain([0xff]).collect()),
        ("a prefix that nobody declares", one.replace("saml:Issuer", "x:Issuer").into_bytes()),
    ]
}

/// What anybody may encrypt: one error, whatever it is.
#[test]
fn a_plaintext_is_one_element_of_its_name() {
    let house = House::rsa();
    let wrap = |data: &str| {
        response(&format!(
            "<saml:EncryptedAssertion xmlns:saml=\"{SAML}\">{data}</saml:EncryptedAssertion>"
        ))
    };
    let encrypt = |plain: &[u8]| {
        let to = Recipient::Certificate(&house.peer.keys()[0]);
        enc::encrypt(to, plain, &EncryptOptions::default()).unwrap().xml
    };
    let good = encrypt(assertion("_a", "alice").as_bytes());
    let policy = PeerPolicy { cbc: true, ..PeerPolicy::default() };
    let open = |document: &str| {
        let found = saml::decrypt(&house.set, document.as_bytes(), Encryptable::Assertion, &policy);
        found.map(|found| found[0].xml.expose_secret().to_vec())
    };
    assert!(String::from_utf8(open(&wrap(&good)).unwrap()).unwrap().contains(">alice<"));
    let mut cases: Vec<(&str, String)> =
        plaintexts().into_iter().map(|(what, plain)| (what, encrypt(&plain))).collect();
    let key = good
        .split_once("<xenc:EncryptedKey>")
        .unwrap()
        .1
        .split_once("</xenc:EncryptedKey>")
        .unwrap()
        .0;
    let key = format!("<xenc:EncryptedKey>{key}</xenc:EncryptedKey>");
    let cipher =
        good.rsplit_once("<xenc:CipherValue>").unwrap().1.split_once('<').unwrap().0.to_owned();
    let octets = STANDARD.decode(&cipher).unwrap();
    let mut flipped = octets.clone();
    flipped[20] ^= 1;
    let gcm = "http://www.w3.org/2009/xmlenc11#aes256-gcm";
    let reference = format!("<xenc:CipherValue>{cipher}</xenc:CipherValue>");
    for (what, from, to) in [
        ("a bit", cipher.as_str(), STANDARD.encode(&flipped)),
        ("a cut tag", &cipher, STANDARD.encode(&octets[..octets.len() - 4])),
        ("only a nonce", &cipher, STANDARD.encode(&octets[..12])),
        ("nothing", &cipher, String::new()),
        ("GCM that says CBC", gcm, "http://www.w3.org/2001/04/xmlenc#aes256-cbc".into()),
        ("a shorter key", gcm, "http://www.w3.org/2009/xmlenc11#aes128-gcm".into()),
        ("an algorithm that nobody knows", gcm, "urn:x".into()),
        (
            "a CipherReference",
            &reference,
            "<xenc:CipherReference URI=\"file:///etc/passwd\"/>".into(),
        ),
        ("an element in the value", &cipher, format!("{cipher}<x/>")),
        ("no key", &key, String::new()),
        ("nine keys", &key, key.repeat(9)),
        ("a key elsewhere", &key, "<ds:RetrievalMethod URI=\"https://evil/#k\"/>".into()),
        (
            "a key that is something else",
            &key,
            "<ds:RetrievalMethod URI=\"#k\" Type=\"urn:x\"/>".into(),
        ),
    ] {
        let changed = good.replace(from, &to);
        assert_ne!(changed, good, "{what}");
        cases.push((what, changed));
    }
    cases.push(("two EncryptedData", format!("{good}{good}")));
    for (what, data) in cases {
        let error = open(&wrap(&data)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotDecrypted, "{what}");
        assert_eq!(error.to_string(), "the XML does not decrypt", "{what}");
    }
}

/// Operators look for the key no longer where the maker encrypted something else. What is not authenticated says
/// nothing: any key makes something of it.
#[test]
fn the_reason_tells_a_key_that_is_missing_from_a_plaintext_that_is_another() {
    let (house, stranger) = (House::rsa(), House::rsa());
    let policy = PeerPolicy { cbc: true, ..PeerPolicy::default() };
    let reason = |to: &House, content: &str, plain: &[u8]| {
        let to = Recipient::Certificate(&to.peer.keys()[0]);
        let options =
            EncryptOptions { content: Some(content), policy, ..EncryptOptions::default() };
        let data = enc::encrypt(to, plain, &options).unwrap().xml;
        let document = response(&format!(
            "<saml:EncryptedAssertion xmlns:saml=\"{SAML}\">{data}</saml:EncryptedAssertion>"
        ));
        let wanted = Encryptable::Assertion;
        let error = saml::decrypt(&house.set, document.as_bytes(), wanted, &policy).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    for (what, plain) in plaintexts() {
        let told = reason(&house, "aes256-gcm", &plain);
        assert_eq!(
            told, "a key decrypts it, and inside is not the one element that is looked for",
            "{what}"
        );
        assert_eq!(reason(&house, "aes256-cbc", &plain), "no key decrypts it", "{what}");
    }
    let good = assertion("_a", "alice");
    assert_eq!(reason(&stranger, "aes256-gcm", good.as_bytes()), "no key decrypts it");
}
