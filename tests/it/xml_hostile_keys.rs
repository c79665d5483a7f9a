//! Attacks on the keys of XML signatures, and on the forms of their values.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use claviger::alg::Curve;
use claviger::crypto::generate::KeySpec;
use claviger::profiles::saml::Expect;
use claviger::xmlsec::PeerKeys;

use crate::xml_hostile::{House, Parts, RSA_SHA256, assertion, response, usual, with};

/// HMAC keyed with what everybody has; CVE-2009-0217 and its kin.
#[test]
fn a_public_key_is_no_secret() {
    let house = House::rsa();
    let der = house.peer.keys()[0].certificate().unwrap();
    let x509 = openssl::x509::X509::from_der(der).unwrap();
    let spki = x509.public_key().unwrap();
    let hmac = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256";
    let parts = Parts { method: usual().method.replace(RSA_SHA256, hmac), ..usual() };
    for key in [
        der.to_vec(),
        x509.to_pem().unwrap(),
        spki.public_key_to_der().unwrap(),
        spki.public_key_to_pem().unwrap(),
        vec![0],
    ] {
        let key = openssl::pkey::PKey::hmac(&key).unwrap();
        let mut signer =
            openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &key).unwrap();
        let value = signer.sign_oneshot_to_vec(parts.info().as_bytes()).unwrap();
        house
            .refuses("HMAC", &response(&with(&assertion("_a", "alice"), &parts.signature(&value))));
    }
}

/// What a signature says of its key neither helps nor harms.
#[test]
fn key_info_only_orders() {
    let (house, evil) = (House::rsa(), House::rsa());
    let info = |peer: &PeerKeys| {
        let der = STANDARD.encode(peer.keys()[0].certificate().unwrap());
        format!(
            "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{der}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
        )
    };
    for rest in [
        info(&house.peer),
        info(&evil.peer),
        "<ds:KeyInfo><ds:KeyName>x</ds:KeyName></ds:KeyInfo>".into(),
        "<ds:KeyInfo><ds:RetrievalMethod URI=\"https://evil/\"></ds:RetrievalMethod></ds:KeyInfo>"
            .into(),
    ] {
        let parts = Parts { rest, ..usual() };
        assert!(house.read(&parts.signed(&house), Expect::Any).is_ok());
        house.refuses("a key that nobody trusts", &parts.signed(&evil));
    }
}

/// ECDSA values are `r‖s` of full width, and zero is none of them (CVE-2022-21449).
#[test]
fn an_ecdsa_value_has_one_form() {
    let house = House::new(KeySpec::Curve(Curve::P256));
    let parts = Parts { method: usual().method.replace("rsa-sha256", "ecdsa-sha256"), ..usual() };
    let document =
        |value: &[u8]| response(&with(&assertion("_a", "alice"), &parts.signature(value)));
    let value = house.sign(parts.info().as_bytes(), "ES256");
    assert!(house.read(&document(&value), Expect::Any).is_ok());
    let number = |bytes: &[u8]| openssl::bn::BigNum::from_slice(bytes).unwrap();
    let der = openssl::ecdsa::EcdsaSig::from_private_components(
        number(&value[..32]),
        number(&value[32..]),
    );
    for (what, value) in [
        ("DER", der.unwrap().to_der().unwrap()),
        ("zeros", vec![0; 64]),
        ("nothing but a zero", vec![0]),
        ("short", value[..63].to_vec()),
        ("wider", [&[0], &value[..32], &[0], &value[32..]].concat()),
    ] {
        house.refuses(what, &document(&value));
    }
}

/// Operators are told where keys are of another kind than the signature: they look for no rotation that was missed.
#[test]
fn the_reason_tells_keys_of_another_kind_from_other_keys() {
    let document = usual().signed(&House::rsa());
    for (house, why) in [
        (House::rsa(), "no trusted key made the signature"),
        (
            House::new(KeySpec::Curve(Curve::P256)),
            "no trusted key is of a kind that signs with this algorithm",
        ),
    ] {
        assert!(house.read(&document, Expect::Any).unwrap_err().ends_with(why));
    }
}
