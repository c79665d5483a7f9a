//! Primitives: every row of the algorithm table, round trip and refusals.

use claviger::alg::{ALGORITHMS, Algorithm, Curve, Family, Operation};
use claviger::crypto::cipher::{self, KeyManagementHeader};
use claviger::crypto::generate::{KeySpec, generate};
use claviger::crypto::{Key, OctType, PublicParameters, sign};
use claviger::error::ErrorKind;

/// A fresh key that fits a row.
fn key_for(row: &Algorithm) -> Key {
    let pair = |spec| Key::from_private(&generate(spec).unwrap(), Vec::new()).unwrap();
    let oct = |bits: usize, kind| {
        Key::from_secret(generate(KeySpec::Oct { bytes: bits / 8 }).unwrap(), kind).unwrap()
    };
    match row.family {
        Family::Hmac(_) => oct(512, OctType::Hmac),
        Family::RsaPkcs1(_) | Family::RsaPss(_) | Family::RsaOaep(_) | Family::Rsa15 => {
            pair(KeySpec::Rsa { bits: 2048 })
        }
        Family::Ecdsa(curve, _) => pair(KeySpec::Curve(curve)),
        Family::EdDsa => pair(KeySpec::Curve(Curve::Ed25519)),
        Family::EcdhEs(_) => pair(KeySpec::Curve(Curve::P256)),
        Family::Direct => oct(256, OctType::Aes),
        Family::AesKw(bits) | Family::AesGcmKw(bits) => oct(bits, OctType::Aes),
        Family::Pbes2(..) => oct(128, OctType::Generic),
        Family::AesGcm(bits) | Family::AesCbcHmac(bits) => oct(bits, OctType::Aes),
    }
}

/// The key as somebody sees it who has the public half only; symmetric keys as they are.
fn public_half(key: &Key) -> Key {
    key.spki().map_or_else(|| key.clone(), |spki| Key::from_public(spki).unwrap())
}

#[test]
fn every_signing_row_signs_and_verifies_and_refuses_changes() {
    let rows = ALGORITHMS.iter().filter(|row| row.operation == Operation::Sign);
    let extra = [Curve::Ed448];
    let mut cases: Vec<(&Algorithm, Key)> = rows.map(|row| (row, key_for(row))).collect();
    for curve in extra {
        let key = Key::from_private(&generate(KeySpec::Curve(curve)).unwrap(), Vec::new()).unwrap();
        cases.push((Algorithm::find("EdDSA").unwrap(), key));
    }
    for (row, key) in &cases {
        let mut signature = Vec::new();
        sign::sign(key, row, b"message", &mut signature).unwrap();
        let public = public_half(key);
        sign::verify(&public, row, b"message", &signature).unwrap();
        let refused = |key: &Key, message: &[u8], signature: &[u8]| {
            let error = sign::verify(key, row, message, signature).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotVerified, "{row}");
        };
        refused(&public, b"messagE", &signature);
        refused(&public_half(&key_for(row)), b"message", &signature);
        refused(&public, b"message", &signature[..signature.len() - 1]);
        refused(&public, b"message", &[signature.as_slice(), &[0]].concat());
        refused(&public, b"message", &[]);
        for position in [0, signature.len() / 2, signature.len() - 1] {
            let mut flipped = signature.clone();
            flipped[position] ^= 1;
            refused(&public, b"message", &flipped);
        }
        if key.spki().is_some() {
            let error = sign::sign(&public, row, b"message", &mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::KeyUnfit, "{row}: a public key signed");
        }
    }
}

#[test]
fn every_key_management_row_carries_every_content_key() {
    let agreement = [Curve::P256, Curve::P384, Curve::P521, Curve::X25519, Curve::X448];
    for row in ALGORITHMS.iter().filter(|row| row.operation == Operation::KeyManagement) {
        let keys: Vec<Key> = match row.family {
            Family::EcdhEs(_) => agreement
                .iter()
                .map(|curve| {
                    let pkcs8 = generate(KeySpec::Curve(*curve)).unwrap();
                    Key::from_private(&pkcs8, Vec::new()).unwrap()
                })
                .collect(),
            _ => vec![key_for(row)],
        };
        for enc in ALGORITHMS.iter().filter(|row| row.operation == Operation::Content) {
            for key in &keys {
                let key = if row.family == Family::Direct { &key_for(enc) } else { key };
                carry(row, enc, key);
            }
        }
    }
}

fn carry(row: &Algorithm, enc: &Algorithm, key: &Key) {
    let given = KeyManagementHeader { apu: Some(b"Alice".to_vec()), ..Default::default() };
    let sent = cipher::establish(&public_half(key), row, enc, &given, None)
        .unwrap_or_else(|error| panic!("{row} {enc}: {error}"));
    let got = cipher::recover(key, row, enc, &sent.encrypted_key, &sent.header)
        .unwrap_or_else(|error| panic!("{row} {enc}: {error}"));
    assert!(got.ct_eq(sent.cek.expose_secret()), "{row} {enc}");
    if !sent.encrypted_key.is_empty() {
        let mut flipped = sent.encrypted_key.clone();
        flipped[3] ^= 1;
        match cipher::recover(key, row, enc, &flipped, &sent.header) {
            // RFC 7516 §11.5: another key, so that the content fails instead.
            Ok(other) => {
                assert!(row.family == Family::Rsa15 && !other.ct_eq(sent.cek.expose_secret()))
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::NotDecrypted),
        }
        let extra = [sent.encrypted_key.as_slice(), &[0]].concat();
        let grown = cipher::recover(key, row, enc, &extra, &sent.header);
        assert!(grown.is_err() || row.family == Family::Rsa15, "{row}");
    }
    if row.family != Family::Direct {
        let direct = sent.encrypted_key.is_empty();
        let wrong: &[u8] = if direct { b"x" } else { b"" };
        assert!(cipher::recover(key, row, enc, wrong, &sent.header).is_err(), "{row}");
    }
}

#[test]
fn every_content_row_opens_only_what_it_sealed() {
    for enc in ALGORITHMS.iter().filter(|row| row.operation == Operation::Content) {
        let cek = generate(KeySpec::Oct { bytes: enc.content_key_bytes().unwrap() }).unwrap();
        let cek = cek.expose_secret();
        for plaintext in [b"".as_slice(), b"x", &[7; 16], &[7; 1000]] {
            let sealed = cipher::seal(enc, cek, b"aad", plaintext).unwrap();
            let open = |iv: &[u8], aad: &[u8], text: &[u8], tag: &[u8]| {
                cipher::open(enc, cek, iv, aad, text, tag)
            };
            let opened = open(&sealed.iv, b"aad", &sealed.ciphertext, &sealed.tag).unwrap();
            assert!(opened.ct_eq(plaintext), "{enc}");
            assert!(open(&sealed.iv, b"aae", &sealed.ciphertext, &sealed.tag).is_err());
            for cut in 0..sealed.tag.len() {
                assert!(open(&sealed.iv, b"aad", &sealed.ciphertext, &sealed.tag[..cut]).is_err());
            }
            for cut in 0..sealed.iv.len() {
                assert!(open(&sealed.iv[..cut], b"aad", &sealed.ciphertext, &sealed.tag).is_err());
            }
            let mut flipped = sealed.tag.clone();
            flipped[0] ^= 1;
            assert!(open(&sealed.iv, b"aad", &sealed.ciphertext, &flipped).is_err());
        }
        assert!(cipher::seal(enc, &cek[1..], b"", b"").is_err());
    }
}

#[test]
fn ping_ams_kid_of_its_published_demo_key() {
    let b64 = |text: &str| {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
    };
    // Published in the JWK sets of Ping's documentation.
    let public = PublicParameters::Ec {
        curve: Curve::P256,
        x: b64("N7MtObVf92FJTwYvY2ZvTVT3rgZp7a7XDtzT_9Rw7IA"),
        y: b64("uxNmyoocPopYh4k1FCc41yuJZVohxlhMo3KTIJVTP3c"),
    };
    let spki = claviger::crypto::material::encode_spki(&public).unwrap();
    let key = Key::from_public(&spki).unwrap();
    assert_eq!(key.am_kid("es256test", "sig").unwrap(), "Fol7IpdKeLZmzKtCEgi1LDhSIzM=");
}

#[test]
fn the_thumbprint_of_rfc_7638() {
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    use base64::Engine;
    let n = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(n).unwrap();
    let public = PublicParameters::Rsa { n, e: vec![1, 0, 1] };
    let spki = claviger::crypto::material::encode_spki(&public).unwrap();
    let key = Key::from_public(&spki).unwrap();
    assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}
