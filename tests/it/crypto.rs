//! Primitives: every row of the algorithm table, round trip and refusals.

use claviger::alg::{ALGORITHMS, Algorithm, Curve, Family, Operation};
use claviger::crypto::cipher::{self, KeyManagementHeader};
use claviger::crypto::generate::{KeySpec, generate};
use claviger::crypto::{Key, OctType, PublicParameters, Role, sign};
use claviger::error::ErrorKind;
use claviger::secret::SecretBytes;

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
        Family::AesCbc(_) | Family::RsaOaepNamed | Family::TripleDesCbc => {
            unreachable!("rows of XML, which tests/it/saml.rs goes through")
        }
    }
}

/// The key as somebody sees it who has the public half only; symmetric keys as they are.
fn public_half(key: &Key) -> Key {
    key.spki().map_or_else(|| key.clone(), |spki| Key::from_public(spki).unwrap())
}

/// Old Bouncy Castle counted the zero bits at the end of a point as unused.
#[test]
fn an_ec_key_whose_point_has_unused_bits_is_the_key_that_it_is() {
    let (bytes, spki, at) = loop {
        let pkcs8 = generate(KeySpec::Curve(Curve::P256)).unwrap();
        let spki = Key::from_private(&pkcs8, Vec::new()).unwrap().spki().unwrap().to_vec();
        let bytes = pkcs8.expose_secret().to_vec();
        let point = &spki[spki.len() - 65..];
        if point[64].is_multiple_of(2) {
            let at = bytes.windows(65).position(|window| window == point).unwrap() - 1;
            break (bytes, spki, at);
        }
    };
    let mut odd = bytes.clone();
    odd[at] = 1;
    let key = Key::from_private(&SecretBytes::from_vec(odd.clone()), Vec::new()).unwrap();
    assert_eq!(key.spki().unwrap(), spki);
    let row = Algorithm::find("ES256").unwrap();
    let mut signature = Vec::new();
    sign::sign(&key, row, b"message", &mut signature).unwrap();
    sign::verify(&Key::from_public(&spki).unwrap(), row, b"message", &signature).unwrap();
    // A point of another key stays one, and the reason is in words.
    let other = Key::from_private(&generate(KeySpec::Curve(Curve::P256)).unwrap(), Vec::new());
    let other = other.unwrap().spki().unwrap().to_vec();
    for mut foreign in [bytes, odd] {
        foreign[at + 1..at + 66].copy_from_slice(&other[other.len() - 65..]);
        foreign[at + 65] &= 0xfe;
        let error = Key::from_private(&SecretBytes::from_vec(foreign), Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::KeyUnfit, "{error}");
        assert!(error.message().contains("do not belong together"), "{error}");
    }
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

/// RFC 4055 §1.2: `id-RSASSA-PSS`, in the private key, the public key or the certificate, restricts to PSS; with
/// parameters to their digest.
#[test]
fn an_rsa_key_that_is_restricted_to_pss_does_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let openssl = |line: &str| {
        let command = std::process::Command::new("openssl")
            .args(line.split(' '))
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(command.status.success(), "{line}: {}", String::from_utf8_lossy(&command.stderr));
    };
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let restricted = "-pkeyopt rsa_pss_keygen_md:sha384 -pkeyopt rsa_pss_keygen_mgf1_md:sha384 \
                      -pkeyopt rsa_pss_keygen_saltlen:48 ";
    for (options, able) in [("", &["PS256", "PS384", "PS512"][..]), (restricted, &["PS384"])] {
        openssl(&format!("genpkey -algorithm RSA-PSS {options}-outform DER -out key -quiet"));
        openssl("pkey -inform DER -in key -pubout -outform DER -out public");
        openssl("req -x509 -keyform DER -key key -subj /CN=pss -outform DER -out certificate");
        let pkcs8 = SecretBytes::from_vec(read("key"));
        let keys = [
            Key::from_private(&pkcs8, Vec::new()).unwrap(),
            Key::from_private(&pkcs8, vec![read("certificate")]).unwrap(),
            Key::from_public(&read("public")).unwrap(),
            Key::from_certificates(vec![read("certificate")]).unwrap(),
        ];
        for (key, row) in keys.iter().flat_map(|key| ALGORITHMS.iter().map(move |row| (key, row))) {
            let fits = able.contains(&row.name);
            assert_eq!(key.fits(row, Role::Verify).is_ok(), fits, "{row} verifies, {options}");
            let signs = fits && key.has_private();
            assert_eq!(key.fits(row, Role::Sign).is_ok(), signs, "{row} signs, {options}");
            assert!(fits || key.fits(row, Role::Encrypt).is_err(), "{row} encrypts, {options}");
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

/// Published in the JWK sets of Ping's documentation: alias, use, kid, curve, and x and y or n.
pub(crate) type DemoKey =
    (&'static str, &'static str, &'static str, Option<Curve>, &'static str, &'static str);
pub(crate) const DEMO_KEYS: &[DemoKey] = &[
    (
        "es256test",
        "sig",
        "Fol7IpdKeLZmzKtCEgi1LDhSIzM=",
        Some(Curve::P256),
        "N7MtObVf92FJTwYvY2ZvTVT3rgZp7a7XDtzT_9Rw7IA",
        "uxNmyoocPopYh4k1FCc41yuJZVohxlhMo3KTIJVTP3c",
    ),
    (
        "es384test",
        "sig",
        "I4x/IijvdDsUZMghwNq2gC/7pYQ=",
        Some(Curve::P384),
        "k5wSvW_6JhOuCj-9PdDWdEA4oH90RSmC2GTliiUHAhXj6rmTdE2S-_zGmMFxufuV",
        "XfbR-tRoVcZMCoUrkKtuZUIyfCgAy8b0FWnPZqevwpdoTzGQBOXSNi6uItN_o4tH",
    ),
    (
        "es512test",
        "sig",
        "pZSfpEq8tQPeiIe3fnnaWnnr/Zc=",
        Some(Curve::P521),
        "AHdVKbNDHym-MiUh6caaod_ktp8PXN6g1zIKLzlaCSOZP82KKaQsfwltAKnMrw129nVx-2kt8x1J1pp1ADe9HtXt",
        "AUqhRKcYvA6lElI3UrfqvpuhVsyEFBQ4cM_E9v4WGnRc_priiTVa_UC7YfCtQJT9F8Oc21v_i57Sp3Mq_vw5ueRd",
    ),
    ("test", "enc", "DkKMPE7hFVEn77WWhVuzaoFp4O8=", None, DEMO_RSA_TEST, "AQAB"),
    ("test", "sig", "4iCKFB0RXIxytor1r3ToBdRievs=", None, DEMO_RSA_TEST, "AQAB"),
    ("rsajwtsigningkey", "sig", "wU3ifIIaLOUAReRB/FG6eM1P1QM=", None, DEMO_RSA_SIGNING, "AQAB"),
];
const DEMO_RSA_TEST: &str = "i7t6m4d_02dZ8dOe-DFcuUYiOWueHlNkFwdUfOs06eUETOV6Y9WCXu3D71dbF0Fhou69ez5c3HAZrSVS2qC1Htw9NkVlLDeED7qwQQMmSr7RFYNQ6BYekAtn_ScFHpq8Tx4BzhcDb6P0-PHCo-bkQedxwhbMD412KSM2UAVQaZ-TW-ngdaaVEs1Cgl4b8xxZ9ZuApXZfpddNdgvjBeeYQbZnaqU3b0P5YE0s0YvIQqYmTjxh4RyLfkt6s_BS1obWUOC-0ChRWlpWE7QTEVEWJP5yt8hgZ5MecTmBi3yZ_0ts3NsL83413NdbWYh-ChtP696mZbJozflF8jR9pewTbQ";
const DEMO_RSA_SIGNING: &str = "10iGQ5l5IdqBP1l5wb5BDBZpSyLs4y_Um-kGv_se0BkRkwMZavGD_Nqjq8x3-fKNI45nU7E7COAh8gjn6LCXfug57EQfi0gOgKhOhVcLmKqIEXPmqeagvMndsXWIy6k8WPPwBzSkN5PDLKBXKG_X1BwVvOE9276nrx6lJq3CgNbmiEihovNt_6g5pCxiSarIk2uaG3T3Ve6hUJrM0W35QmqrNM9rL3laPgXtCuz4sJJN3rGnQq_25YbUawW9L1MTVbqKxWiyN5WbXoWUg8to1DhoQnXzDymIMhFa45NTLhxtdH9CDprXWXWBaWzo8mIFes5yI4AJW4ZSg1PPO2UJSQ";

#[test]
fn ping_ams_kids_of_its_published_demo_keys() {
    use base64::Engine;
    let b64 = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap();
    for (alias, usage, kid, curve, first, second) in DEMO_KEYS {
        let (first, second) = (b64(first), b64(second));
        let public = match *curve {
            Some(curve) => PublicParameters::Ec { curve, x: first, y: second },
            None => PublicParameters::Rsa { n: first, e: second },
        };
        let spki = claviger::crypto::material::encode_spki(&public).unwrap();
        let key = Key::from_public(&spki).unwrap();
        assert_eq!(key.am_kid(alias, usage).unwrap(), *kid, "{alias} {usage}");
    }
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
