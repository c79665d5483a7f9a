//! Project Wycheproof's vectors of the primitives, for every algorithm of the table that they cover.

use std::collections::BTreeMap;

use claviger::alg::{Algorithm, Curve};
use claviger::crypto::cipher::{self, KeyManagementHeader};
use claviger::crypto::{Key, OctType, PublicParameters, sha256, sign};
use claviger::secret::SecretBytes;
use wycheproof::TestResult;

/// Vectors that no token can carry, by reason and number; what else is skipped fails the tests.
const NOT_APPLICABLE: [(&str, usize); 7] = [
    ("AES-GCM: JWE has IVs of 96 bits and tags of 128 (RFC 7518 §5.3)", 119),
    ("AES-KW: what is wrapped is no content key of JWE", 57),
    ("ECDH: compressed points are no JWK coordinates", 25),
    ("HMAC: JWS has full tags only (RFC 7518 §3.2)", 261),
    ("RSA-OAEP: a label, which JWE does not use", 70),
    ("RSA-OAEP: what is wrapped is no content key of JWE", 135),
    ("RSA1_5: what is wrapped is no content key of JWE", 120),
];

/// Counts cases and collects disagreements.
#[derive(Default)]
struct Tally {
    ran: usize,
    skipped: BTreeMap<&'static str, usize>,
    failures: Vec<String>,
}

impl Tally {
    fn skip(&mut self, reason: &'static str) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    /// Valid cases must hold, invalid ones must not; acceptable ones may do either.
    fn compare(&mut self, what: String, result: TestResult, held: bool) {
        self.ran += 1;
        let wrong = match result {
            TestResult::Valid => !held,
            TestResult::Invalid => held,
            TestResult::Acceptable => false,
        };
        if wrong {
            self.failures.push(format!("{what}: {result:?}, held: {held}"));
        }
    }

    fn finish(self, least: usize) {
        println!("wycheproof: {} cases, not applicable: {:?}", self.ran, self.skipped);
        for (reason, number) in &self.skipped {
            let known = NOT_APPLICABLE.iter().find(|(known, _)| known == reason);
            assert_eq!(known.map(|(_, number)| number), Some(number), "{reason}");
        }
        assert!(self.ran >= least, "only {} cases", self.ran);
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
    }
}

fn row(name: &str) -> &'static Algorithm {
    Algorithm::find(name).unwrap()
}

fn oct(bytes: &[u8], oct_type: OctType) -> Option<Key> {
    Key::from_secret(SecretBytes::from_slice(bytes), oct_type).ok()
}

#[test]
fn hmac() {
    use wycheproof::mac::{TestName, TestSet};
    let mut tally = Tally::default();
    for (set, name) in [
        (TestName::HmacSha256, "HS256"),
        (TestName::HmacSha384, "HS384"),
        (TestName::HmacSha512, "HS512"),
    ] {
        for group in TestSet::load(set).unwrap().test_groups {
            for test in group.tests {
                let full = match name {
                    "HS256" => 32,
                    "HS384" => 48,
                    _ => 64,
                };
                let held = oct(&test.key, OctType::Hmac)
                    .is_some_and(|key| sign::verify(&key, row(name), &test.msg, &test.tag).is_ok());
                if test.tag.len() != full {
                    assert!(!held, "{name} {}: a cut tag holds", test.tc_id);
                    tally.skip("HMAC: JWS has full tags only (RFC 7518 §3.2)");
                    continue;
                }
                tally.compare(format!("{name} {}", test.tc_id), test.result, held);
            }
        }
    }
    tally.finish(200);
}

fn verifies(spki: &[u8], name: &str, message: &[u8], signature: &[u8]) -> bool {
    Key::from_public(spki)
        .is_ok_and(|key| sign::verify(&key, row(name), message, signature).is_ok())
}

#[test]
fn ecdsa() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let mut tally = Tally::default();
    for (set, name) in [
        (TestName::EcdsaSecp256r1Sha256P1363, "ES256"),
        (TestName::EcdsaSecp384r1Sha384P1363, "ES384"),
        (TestName::EcdsaSecp521r1Sha512P1363, "ES512"),
        (TestName::EcdsaSecp256k1Sha256P1363, "ES256K"),
    ] {
        for group in TestSet::load(set).unwrap().test_groups {
            for test in &group.tests {
                let held = verifies(&group.der, name, &test.msg, &test.sig);
                tally.compare(format!("{name} {}", test.tc_id), test.result, held);
            }
        }
    }
    // The same cases in DER: no JWS signature has that form.
    for group in TestSet::load(TestName::EcdsaSecp256r1Sha256).unwrap().test_groups {
        for test in &group.tests {
            assert!(!verifies(&group.der, "ES256", &test.msg, &test.sig), "DER {}", test.tc_id);
        }
    }
    tally.finish(1000);
}

#[test]
fn eddsa() {
    use wycheproof::eddsa::{TestName, TestSet};
    let mut tally = Tally::default();
    for set in [TestName::Ed25519, TestName::Ed448] {
        for group in TestSet::load(set).unwrap().test_groups {
            for test in &group.tests {
                let held = verifies(&group.der, "EdDSA", &test.msg, &test.sig);
                tally.compare(format!("{set:?} {}", test.tc_id), test.result, held);
            }
        }
    }
    tally.finish(200);
}

#[test]
fn rsa_signatures() {
    use wycheproof::{HashFunction, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};
    let mut tally = Tally::default();
    let suffix = |hash| match hash {
        HashFunction::Sha2_256 => Some(("256", 32)),
        HashFunction::Sha2_384 => Some(("384", 48)),
        HashFunction::Sha2_512 => Some(("512", 64)),
        _ => None,
    };
    for set in pkcs1::TestName::all() {
        for group in pkcs1::TestSet::load(set).unwrap().test_groups {
            // What is right with another digest must fail under every row.
            let own = suffix(group.hash).map(|(digits, _)| format!("RS{digits}"));
            for test in &group.tests {
                for name in ["RS256", "RS384", "RS512"] {
                    let held = verifies(&group.der, name, &test.msg, &test.sig);
                    if own.as_deref() == Some(name) {
                        tally.compare(format!("{set:?} {}", test.tc_id), test.result, held);
                    } else if own.is_none() && test.result != TestResult::Invalid {
                        assert!(!held, "{set:?} {} holds as {name}", test.tc_id);
                    }
                }
            }
        }
    }
    for set in pss::TestName::all() {
        let Ok(loaded) = pss::TestSet::load(set) else { continue };
        for group in loaded.test_groups {
            let own = suffix(group.hash).filter(|(_, salt)| {
                *salt == group.salt_size && group.mgf_hash.is_none_or(|mgf| mgf == group.hash)
            });
            for test in &group.tests {
                for name in ["PS256", "PS384", "PS512"] {
                    let held = verifies(&group.der, name, &test.msg, &test.sig);
                    match own {
                        Some((digits, _)) if name.ends_with(digits) => {
                            tally.compare(format!("{set:?} {}", test.tc_id), test.result, held);
                        }
                        // RFC 7518 §3.5: salt and MGF of the digest, nothing else.
                        // The parameters of these groups are not those of all of their signatures.
                        None if !test.flags.contains(&pss::TestFlag::ParameterTest)
                            && test.result != TestResult::Invalid =>
                        {
                            assert!(!held, "{set:?} {} holds as {name}", test.tc_id);
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    tally.finish(1500);
}

#[test]
fn content_encryption() {
    use wycheproof::aead::{TestName, TestSet};
    let mut tally = Tally::default();
    for (set, name) in [
        (TestName::Aes128CbcHmacSha256, "A128CBC-HS256"),
        (TestName::Aes192CbcHmacSha384, "A192CBC-HS384"),
        (TestName::Aes256CbcHmacSha512, "A256CBC-HS512"),
        (TestName::AesGcm, ""),
    ] {
        for group in TestSet::load(set).unwrap().test_groups {
            let name = match (name, group.key_size) {
                ("", 128) => "A128GCM",
                ("", 192) => "A192GCM",
                ("", _) => "A256GCM",
                (name, _) => name,
            };
            for test in &group.tests {
                let opened =
                    cipher::open(row(name), &test.key, &test.nonce, &test.aad, &test.ct, &test.tag);
                let fits = test.nonce.len() == 12 && test.tag.len() == 16;
                if name.ends_with("GCM") && !fits {
                    assert!(opened.is_err(), "{name} {}", test.tc_id);
                    tally.skip("AES-GCM: JWE has IVs of 96 bits and tags of 128 (RFC 7518 §5.3)");
                    continue;
                }
                let held = opened.is_ok_and(|plaintext| plaintext.ct_eq(&test.pt));
                tally.compare(format!("{name} {}", test.tc_id), test.result, held);
                // The key itself, expanded at load, gives the same answer.
                if let Some(key) = oct(&test.key, OctType::Aes) {
                    let direct = cipher::open_direct(
                        &key,
                        row(name),
                        &test.nonce,
                        &test.aad,
                        &test.ct,
                        &test.tag,
                    );
                    let held = direct.is_ok_and(|plaintext| plaintext.ct_eq(&test.pt));
                    tally.compare(format!("dir {name} {}", test.tc_id), test.result, held);
                }
            }
        }
    }
    tally.finish(600);
}

/// A content algorithm whose key is as long as `bytes`, if JWE has one.
fn content_for(bytes: &[u8]) -> Option<&'static Algorithm> {
    match bytes.len() {
        16 => Some(row("A128GCM")),
        24 => Some(row("A192GCM")),
        32 => Some(row("A256GCM")),
        48 => Some(row("A192CBC-HS384")),
        64 => Some(row("A256CBC-HS512")),
        _ => None,
    }
}

#[test]
fn aes_key_wrap() {
    use wycheproof::keywrap::{TestName, TestSet};
    let mut tally = Tally::default();
    let none = KeyManagementHeader::default();
    for group in TestSet::load(TestName::AesKeyWrap).unwrap().test_groups {
        let name = format!("A{}KW", group.key_size);
        for test in &group.tests {
            let key = oct(&test.key, OctType::Aes).unwrap();
            let unwrap = |enc| cipher::recover(&key, row(&name), enc, &test.ct, &none);
            let Some(enc) = content_for(&test.pt) else {
                for enc in ["A128GCM", "A192GCM", "A256GCM", "A192CBC-HS384", "A256CBC-HS512"] {
                    assert!(unwrap(row(enc)).is_err(), "{name} {}", test.tc_id);
                }
                tally.skip("AES-KW: what is wrapped is no content key of JWE");
                continue;
            };
            let held = unwrap(enc).is_ok_and(|cek| cek.ct_eq(&test.pt));
            tally.compare(format!("{name} {}", test.tc_id), test.result, held);
            if test.result == TestResult::Valid {
                let cek = SecretBytes::from_slice(&test.pt);
                let made = cipher::establish(&key, row(&name), enc, &none, Some(&cek)).unwrap();
                assert_eq!(made.encrypted_key, test.ct.to_vec(), "{name} {}", test.tc_id);
            }
        }
    }
    tally.finish(50);
}

#[test]
fn rsa_encryption() {
    use wycheproof::{HashFunction, rsa_oaep as oaep, rsa_pkcs1_decrypt as pkcs1};
    let mut tally = Tally::default();
    let none = KeyManagementHeader::default();
    let pair = |pkcs8: &[u8]| Key::from_private(&SecretBytes::from_slice(pkcs8), Vec::new()).ok();
    for set in oaep::TestName::all() {
        for group in oaep::TestSet::load(set).unwrap().test_groups {
            let name = match (group.hash, group.mgf_hash) {
                (HashFunction::Sha1, HashFunction::Sha1) => "RSA-OAEP",
                (HashFunction::Sha2_256, HashFunction::Sha2_256) => "RSA-OAEP-256",
                (HashFunction::Sha2_384, HashFunction::Sha2_384) => "RSA-OAEP-384",
                (HashFunction::Sha2_512, HashFunction::Sha2_512) => "RSA-OAEP-512",
                // Digests that JWE does not know, and unequal ones.
                _ => continue,
            };
            let Some(key) = pair(&group.pkcs8) else { continue };
            for test in &group.tests {
                let what = format!("{set:?} {}", test.tc_id);
                let enc = content_for(&test.pt);
                let tried = enc.unwrap_or_else(|| row("A256GCM"));
                let got = cipher::recover(&key, row(name), tried, &test.ct, &none);
                if test.result == TestResult::Valid && !test.label.is_empty() {
                    assert!(got.is_err(), "{what}");
                    tally.skip("RSA-OAEP: a label, which JWE does not use");
                } else if test.result == TestResult::Valid && enc.is_none() {
                    assert!(got.is_err(), "{what}");
                    tally.skip("RSA-OAEP: what is wrapped is no content key of JWE");
                } else {
                    let held = got
                        .is_ok_and(|cek| test.result == TestResult::Invalid || cek.ct_eq(&test.pt));
                    tally.compare(what, test.result, held);
                }
            }
        }
    }
    for set in pkcs1::TestName::all() {
        for group in pkcs1::TestSet::load(set).unwrap().test_groups {
            let Some(key) = pair(&group.pkcs8) else { continue };
            for test in &group.tests {
                let what = format!("RSA1_5 {set:?} {}", test.tc_id);
                let enc = content_for(&test.pt);
                let tried = enc.unwrap_or_else(|| row("A256GCM"));
                // RFC 7516 §11.5: always a key, so that nothing tells of the padding.
                let got = cipher::recover(&key, row("RSA1_5"), tried, &test.ct, &none);
                let again = cipher::recover(&key, row("RSA1_5"), tried, &test.ct, &none);
                if test.ct.is_empty() {
                    assert!(got.is_err());
                    continue;
                }
                let (got, again) = (got.unwrap(), again.unwrap());
                assert_eq!(got.len(), tried.content_key_bytes().unwrap());
                if test.result == TestResult::Valid && enc.is_none() {
                    assert!(!got.ct_eq(again.expose_secret()), "{what}: not random");
                    tally.skip("RSA1_5: what is wrapped is no content key of JWE");
                } else {
                    tally.compare(what, test.result, got.ct_eq(&test.pt));
                }
            }
        }
    }
    tally.finish(150);
}

/// One ECDH-ES agreement, with what the Concat KDF makes of the shared secret (RFC 7518 §4.6.2).
fn agrees(key: &Key, epk: PublicParameters, shared: &[u8]) -> bool {
    let header = KeyManagementHeader { epk: Some(epk), ..Default::default() };
    let enc = row("A256GCM");
    let Ok(cek) = cipher::recover(key, row("ECDH-ES"), enc, &[], &header) else { return false };
    let mut input = vec![0, 0, 0, 1];
    input.extend_from_slice(shared);
    input.extend_from_slice(&[0, 0, 0, 7]);
    input.extend_from_slice(b"A256GCM");
    input.extend_from_slice(&[0; 8]);
    input.extend_from_slice(&[0, 0, 1, 0]);
    cek.ct_eq(&sha256(&input))
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 128);
    [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
}

/// PKCS#8 of a scalar on a named curve, without the public half.
fn ec_pair(curve_oid: &[u8], size: usize, scalar: &[u8]) -> Option<Key> {
    let first = scalar.iter().position(|byte| *byte != 0)?;
    let padded = [vec![0; size.checked_sub(scalar.len() - first)?], scalar[first..].to_vec()];
    let sec1 = der(0x30, &[der(2, &[1]), der(4, &padded.concat())].concat());
    let algorithm =
        der(0x30, &[der(6, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]), der(6, curve_oid)].concat());
    let pkcs8 = der(0x30, &[der(2, &[0]), algorithm, der(4, &sec1)].concat());
    Key::from_private(&SecretBytes::from_vec(pkcs8), Vec::new()).ok()
}

#[test]
fn ecdh() {
    use wycheproof::ecdh::{TestName, TestSet};
    let mut tally = Tally::default();
    let p256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let (p384, p521): (&[u8], &[u8]) = (&[0x2b, 0x81, 4, 0, 0x22], &[0x2b, 0x81, 4, 0, 0x23]);
    for (set, curve, oid, point) in [
        (TestName::EcdhSecp256r1Ecpoint, Curve::P256, p256, true),
        (TestName::EcdhSecp384r1Ecpoint, Curve::P384, p384, true),
        (TestName::EcdhSecp521r1Ecpoint, Curve::P521, p521, true),
        (TestName::EcdhSecp256r1, Curve::P256, p256, false),
        (TestName::EcdhSecp384r1, Curve::P384, p384, false),
        (TestName::EcdhSecp521r1, Curve::P521, p521, false),
    ] {
        let size = curve.coordinate_bytes();
        for group in TestSet::load(set).unwrap().test_groups {
            for test in &group.tests {
                let what = format!("{set:?} {}", test.tc_id);
                let Some(key) = ec_pair(oid, size, &test.private_key) else {
                    assert_ne!(
                        test.result,
                        TestResult::Valid,
                        "{what}: the private key is refused"
                    );
                    continue;
                };
                let public = &test.public_key;
                let epk = if point {
                    if public.first() != Some(&4) {
                        tally.skip("ECDH: compressed points are no JWK coordinates");
                        continue;
                    }
                    let (x, y) = public[1..].split_at(size.min(public.len() - 1));
                    Some(PublicParameters::Ec { curve, x: x.to_vec(), y: y.to_vec() })
                } else {
                    // As a certificate or PEM file would bring it.
                    Key::from_public(public).ok().and_then(|key| key.public_parameters().cloned())
                };
                let held = epk.is_some_and(|epk| agrees(&key, epk, &test.shared_secret));
                tally.compare(what, test.result, held);
            }
        }
    }
    tally.finish(1500);
}

#[test]
fn xdh() {
    use wycheproof::xdh::{TestName, TestSet};
    let mut tally = Tally::default();
    for (set, curve, oid) in [
        (TestName::X25519, Curve::X25519, [0x2b, 0x65, 0x6e]),
        (TestName::X448, Curve::X448, [0x2b, 0x65, 0x6f]),
    ] {
        for group in TestSet::load(set).unwrap().test_groups {
            for test in &group.tests {
                let what = format!("{set:?} {}", test.tc_id);
                let algorithm = der(0x30, &der(6, &oid));
                let inner = der(4, &der(4, &test.private_key));
                let pkcs8 = der(0x30, &[der(2, &[0]), algorithm, inner].concat());
                let key = Key::from_private(&SecretBytes::from_vec(pkcs8), Vec::new()).unwrap();
                let x = test.public_key.to_vec();
                let epk = PublicParameters::Okp { curve, x };
                let held = agrees(&key, epk, &test.shared_secret);
                // RFC 8037 §3.2, attacks.md J24: an all-zero secret is refused.
                if test.shared_secret.iter().all(|byte| *byte == 0) {
                    assert!(!held, "{what}: an all-zero secret");
                    tally.ran += 1;
                } else {
                    tally.compare(what, test.result, held);
                }
            }
        }
    }
    tally.finish(700);
}
