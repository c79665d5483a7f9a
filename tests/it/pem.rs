//! PEM: every case of the answer sheet, joserfc's and keystore-explorer's files, round trips, altered text.

use std::path::Path;

use claviger::crypto::Key;
use claviger::error::{ErrorKind, Result};
use claviger::formats::{self, Container, Entry, Limits, Material, Passwords, SecretKeyType, pem};
use claviger::secret::{SecretBytes, SecretString};
use ring::digest::{SHA256, digest};
use serde_json::Value;

use crate::support::{hex, vectors};

fn open(bytes: &[u8], password: Option<&str>) -> Result<Container> {
    let password = password.map(|text| SecretString::from_string(text.to_owned()));
    let passwords = Passwords { store: password.as_ref(), entry: None };
    formats::open(bytes, None, &passwords, &Limits::default(), true)
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// The SubjectPublicKeyInfo of a private key, by OpenSSL: another road than the program's own.
fn spki_of(pkcs8: &SecretBytes) -> Vec<u8> {
    let key = openssl::pkey::PKey::private_key_from_pkcs8(pkcs8.expose_secret()).unwrap();
    key.public_key_to_der().unwrap()
}

fn hashes(case: &Value, list: &str) -> Vec<String> {
    let list = case[list].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|key| key["spki_sha256"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_case_of_the_answer_sheet_is_met() {
    let Some(root) = vectors("keystores/pem") else { return };
    let sheet: Value =
        serde_json::from_slice(&std::fs::read(root.join("expectations.json")).unwrap()).unwrap();
    let cases = sheet["cases"].as_array().unwrap();
    for case in cases {
        let file = case["file"].as_str().unwrap();
        let bytes = std::fs::read(root.join(file)).unwrap();
        let result = open(&bytes, case["password"].as_str());
        match case["must"].as_str().unwrap() {
            "refuse" => drop(result.expect_err(file)),
            "either" if result.is_err() => {}
            _ if case["oracle_error"].is_string() => {}
            _ => meets(case, &result.unwrap_or_else(|error| panic!("{file}: {error}"))),
        }
    }
    println!("PEM: {} cases ran", cases.len());
    assert!(cases.len() >= 36);
}

fn meets(case: &Value, container: &Container) {
    let file = case["file"].as_str().unwrap();
    let (mut keys, mut publics, mut certificates) = (Vec::new(), Vec::new(), Vec::new());
    for entry in &container.entries {
        match &entry.material {
            Material::PrivateKey(key) => keys.push(sha256(&spki_of(key))),
            Material::PublicKey(spki) => publics.push(sha256(spki)),
            Material::Certificate => {}
            other => panic!("{file}: {other:?}"),
        }
        certificates.extend(entry.chain.iter().map(|der| Value::from(sha256(der))));
    }
    assert_eq!(keys, hashes(case, "keys"), "{file}");
    assert_eq!(publics, hashes(case, "public_keys"), "{file}");
    // The leaf stands first in the sheet too, whatever the order in the file.
    assert_eq!(case["certs"].as_array().unwrap(), &certificates, "{file}");
}

#[test]
fn joserfc_keys_load_and_ssh_keys_do_not() {
    let Some(root) = vectors("jose/joserfc/keys") else { return };
    let mut count = 0;
    for file in std::fs::read_dir(root).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.extension().is_none_or(|end| end != "pem") {
            continue;
        }
        let result = open(&std::fs::read(&path).unwrap(), None);
        assert_eq!(result.is_err(), name.starts_with("ssh-"), "{name}: {result:?}");
        count += 1;
    }
    println!("joserfc: {count} PEM files");
    assert!(count >= 16);
}

#[test]
fn keystore_explorer_files() {
    let Some(root) = vectors("keystores/keystore-explorer") else { return };
    for (file, password, loads) in [
        ("PemUtilTest/single-key-cert.pem", None, true),
        ("PemUtilTest/single-key-ec.pem", None, true),
        ("PemUtilTest/single-key-rsa.pem", None, true),
        ("PemUtilTest/rsa-plain.pem", None, true),
        ("PemUtilTest/rsa-encrypted.pem", None, false),
        ("PemUtilTest/rsa-encrypted.pem", Some("wrong"), false),
        ("PemUtilTest/bad-key-mismatch.pem", None, false),
        ("PemUtilTest/bad-key-malformed.pem", None, false),
        ("PemUtilTest/bad-key-attributes.pem", Some("x"), false),
        // DER under a .pem name: the content decides.
        ("PemUtilTest/bad-key-binary.pem", None, true),
        ("PemUtilTest/bad-key-corrupted.pem", None, false),
        ("CryptoFileUtilTest/problematic-cert.indentations.pem", None, true),
        ("CryptoFileUtilTest/ec.unenc.pem.key", None, true),
        ("CryptoFileUtilTest/ec.unenc.pem.pkcs8", None, true),
        ("CryptoFileUtilTest/ed25519.unenc.pem.pkcs8", None, true),
        ("CryptoFileUtilTest/rsa.unenc.pem.key", None, true),
        ("CryptoFileUtilTest/rsa.unenc.pem.pkcs8", None, true),
        ("CryptoFileUtilTest/ec.pem.pub", None, true),
        ("CryptoFileUtilTest/rsa.pem.pub", None, true),
        ("CryptoFileUtilTest/ed25519.pem.pub", None, true),
        ("CryptoFileUtilTest/ec.der.pub", None, true),
        ("CryptoFileUtilTest/ed25519.der.pub", None, true),
        ("CryptoFileUtilTest/rsa.der.pub", None, true),
        ("CryptoFileUtilTest/ec.unenc.der.key", None, true),
        ("CryptoFileUtilTest/ec.unenc.der.pkcs8", None, true),
        ("CryptoFileUtilTest/ed25519.unenc.der.pkcs8", None, true),
        ("CryptoFileUtilTest/rsa.unenc.der.key", None, true),
        ("CryptoFileUtilTest/rsa.unenc.der.pkcs8", None, true),
        ("CryptoFileUtilTest/rsa.enc.der.pkcs8", Some("wrong"), false),
        ("CryptoFileUtilTest/unknown.txt", None, false),
        ("CryptoFileUtilTest/csr.p10", None, false),
        ("CryptoFileUtilTest/rsa.unenc.pvk", None, false),
        ("CryptoFileUtilTest/keystore.kdb", None, false),
    ] {
        let result = open(&std::fs::read(root.join(file)).unwrap(), password);
        assert_eq!(result.is_ok(), loads, "{file}: {result:?}");
    }
}

#[test]
fn an_encrypted_key_without_a_password_names_the_label() {
    let Some(root) = vectors("keystores/pem") else { return };
    for file in ["rsa.pkcs8-enc.pem", "p256.traditional-enc.pem"] {
        let error = open(&std::fs::read(root.join(file)).unwrap(), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WrongPassword);
        assert!(error.help().unwrap().contains("am.global.services.secret.pem.decryption"));
    }
}

#[test]
fn what_is_written_is_read_back() {
    let Some(root) = vectors("keystores/pem") else { return };
    let bytes = std::fs::read(root.join("bundle-key-chain.pem")).unwrap();
    let mut entries = open(&bytes, None).unwrap().entries;
    for (key_type, length) in [(SecretKeyType::Aes, 32), (SecretKeyType::Hmac, 64)] {
        let bytes = SecretBytes::from_vec(vec![7; length]);
        entries.push(Entry::new("x", Material::SecretKey { key_type, bytes }));
    }
    entries.push(Entry::new("x", Material::Secret(SecretBytes::from_slice(b"pass word"))));
    let text = pem::write(&entries, false).unwrap();
    let again = open(text.expose_secret().as_bytes(), None).unwrap().entries;
    assert_eq!(pem::write(&again, false).unwrap().expose_secret(), text.expose_secret());
    assert_eq!(again.len(), 4);
    assert_eq!(again[0].chain, entries[0].chain);
    for entry in &entries[1..] {
        assert!(pem::write(std::slice::from_ref(entry), true).is_err());
    }
    let public = pem::write(&entries[..1], true).unwrap();
    assert!(!public.expose_secret().contains("PRIVATE"));
    let crlf = format!("\u{feff}subject: x\r\n{}", text.expose_secret().replace('\n', "\r\n"));
    assert_eq!(open(crlf.as_bytes(), None).unwrap().entries.len(), 4);
}

#[test]
fn loaded_keys_work() {
    let Some(root) = vectors("keystores/pem") else { return };
    for file in
        ["rsa.traditional.pem", "ec-params-then-key.pem", "p384.pkcs8.pem", "p521.pkcs8.pem"]
    {
        let entries = open(&std::fs::read(root.join(file)).unwrap(), None).unwrap().entries;
        let Material::PrivateKey(key) = &entries[0].material else { panic!("{file}") };
        let loaded = Key::from_private(key, entries[0].chain.clone()).unwrap();
        assert_eq!(loaded.spki().unwrap(), spki_of(key), "{file}");
    }
}

#[test]
fn altered_text_never_panics() {
    let Some(root) = vectors("keystores/pem") else { return };
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for file in ["bundle-chain-key.pem", "p256.traditional-enc.pem", "ec-params-then-key.pem"] {
        let bytes = std::fs::read(Path::new(&root).join(file)).unwrap();
        for _ in 0..700 {
            let mut altered = bytes.clone();
            for _ in 0..=seed % 4 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let place = usize::try_from(seed % u64::try_from(bytes.len()).unwrap()).unwrap();
                altered[place] = seed.to_be_bytes()[0];
            }
            drop(open(&altered, Some("pem-pass")));
            let cut = usize::try_from(seed % u64::try_from(bytes.len()).unwrap()).unwrap();
            drop(open(&bytes[..cut], Some("pem-pass")));
        }
    }
}

#[test]
fn what_openssl_encrypts_is_opened() {
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::symm::Cipher;

    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = EcKey::generate(&group).unwrap();
    let pair = PKey::from_ec_key(key.clone()).unwrap();
    let ciphers = [
        Cipher::aes_128_cbc(),
        Cipher::aes_192_cbc(),
        Cipher::aes_256_cbc(),
        Cipher::des_ede3_cbc(),
    ];
    for cipher in ciphers {
        let old = key.private_key_to_pem_passphrase(cipher, b"secret").unwrap();
        let new = pair.private_key_to_pem_pkcs8_passphrase(cipher, b"secret").unwrap();
        let der = pair.private_key_to_pkcs8_passphrase(cipher, b"secret").unwrap();
        for file in [old, new, der] {
            let container = open(&file, Some("secret")).unwrap();
            let Material::PrivateKey(opened) = &container.entries[0].material else { panic!() };
            assert_eq!(spki_of(opened), pair.public_key_to_der().unwrap());
            let error = open(&file, Some("Secret")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WrongPassword, "{error}");
        }
    }
}

#[test]
fn an_ec_key_without_its_public_half_finds_its_certificate() {
    let Some(root) = vectors("keystores/pem") else { return };
    let certificate = std::fs::read_to_string(root.join("p256.crt.pem")).unwrap();
    let entries = open(&std::fs::read(root.join("p256.pkcs8.pem")).unwrap(), None).unwrap().entries;
    let Material::PrivateKey(key) = &entries[0].material else { panic!() };
    let key = openssl::ec::EcKey::private_key_from_der(key.expose_secret())
        .or_else(|_| openssl::pkey::PKey::private_key_from_pkcs8(key.expose_secret())?.ec_key())
        .unwrap();
    let mut scalar = key.private_key().to_vec_padded(32).unwrap();
    // RFC 5915: version 1, the scalar, the curve, no public key.
    let mut sec1 = vec![0x30, 0x31, 2, 1, 1, 4, 32];
    sec1.append(&mut scalar);
    sec1.extend([0xa0, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
    let block = pem_rfc7468::encode_string("EC PRIVATE KEY", pem_rfc7468::LineEnding::CRLF, &sec1);
    let both = format!("{certificate}{}", block.unwrap());
    let container = open(both.as_bytes(), None).unwrap();
    assert_eq!(container.entries.len(), 1);
    assert_eq!(container.entries[0].chain.len(), 1);
    assert!(matches!(container.entries[0].material, Material::PrivateKey(_)));
}

#[test]
fn a_certificate_of_another_key_and_broken_framing_are_refused() {
    let Some(root) = vectors("keystores/pem") else { return };
    let read = |file: &str| std::fs::read_to_string(root.join(file)).unwrap();
    let both = read("p256.pkcs8.pem") + &read("rsa.crt.pem");
    let error = open(both.as_bytes(), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeyUnfit);
    assert!(error.help().is_some_and(|help| help.contains("its own certificate")), "{error}");
    let key = read("p256.pkcs8.pem");
    for broken in [
        key.replace("END PRIVATE", "END PUBLIC"),
        key.replace("-----END", "-----BEGIN PRIVATE KEY-----\n-----END"),
        key.replacen('M', "!", 1),
        format!("-----END PRIVATE KEY-----\n{key}"),
        key.replace("PRIVATE KEY", "DSA PRIVATE KEY"),
        key.replace("PRIVATE KEY", "TRUSTED CERTIFICATE"),
    ] {
        assert!(open(broken.as_bytes(), None).is_err(), "{broken}");
    }
}

#[test]
fn costly_derivations_are_refused_unrun() {
    let Some(root) = vectors("keystores/pem") else { return };
    let bytes = std::fs::read(root.join("rsa.pkcs8-enc.pem")).unwrap();
    let password = SecretString::from_string("pem-pass".into());
    let passwords = Passwords { store: Some(&password), entry: None };
    let one = Limits { max_iterations: 10, ..Limits::default() };
    let error = formats::open(&bytes, None, &passwords, &one, true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let total = Limits { max_total_iterations: 10, ..Limits::default() };
    let error = formats::open(&bytes, None, &passwords, &total, true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

#[test]
fn a_key_of_version_2_in_der_is_no_pkcs12() {
    let pkcs8 =
        aws_lc_rs::signature::Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())
            .unwrap();
    let container = open(pkcs8.as_ref(), None).unwrap();
    assert!(matches!(container.entries[0].material, Material::PrivateKey(_)));
}

#[test]
fn what_holds_no_key_takes_no_number() {
    let Some(root) = vectors("keystores/pem") else { return };
    let key = std::fs::read_to_string(root.join("p256.pkcs8.pem")).unwrap();
    for label in ["DH PARAMETERS", "X9.42 DH PARAMETERS", "DSA PARAMETERS", "X509 CRL"] {
        let text = format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n{key}");
        let container = open(text.as_bytes(), None).unwrap();
        assert_eq!(container.entries.len(), 1, "{label}");
        assert!(matches!(container.entries[0].material, Material::PrivateKey(_)), "{label}");
        assert_eq!(container.warnings, [format!("{label} skipped: it holds no key")]);
    }
}

#[test]
fn what_is_not_read_is_called_what_it_is() {
    let Some(root) = vectors("keystores/pem") else { return };
    let key = std::fs::read_to_string(root.join("p256.pkcs8.pem")).unwrap();
    let said = |text: &str| {
        let error = open(text.as_bytes(), None).unwrap_err();
        (error.message().to_owned(), error.help().unwrap_or_default().to_owned())
    };
    for empty in ["", "\n", " \r\n"] {
        assert_eq!(said(empty).0, "it is empty");
    }
    for joined in [key.replace('\n', ""), key.replace('\n', "\\n"), key.replace('\n', " ")] {
        let (message, help) = said(&joined);
        assert_eq!(message, "a PEM block has no line breaks", "{joined}");
        assert!(help.contains("\\n"), "{help}");
    }
    let bundle = "-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n";
    assert!(said(bundle).1.contains("openssl pkcs7 -print_certs"));
}

/// RFC 7468 §2: whitespace counts for nothing, and lines end as on any system. A file may begin with any text.
#[test]
fn text_is_read_as_it_comes_from_other_systems_and_hands() {
    let key = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let pkcs8 = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key);
    let bytes = pkcs8.unwrap().as_ref().to_vec();
    let entry = Entry::new("1", Material::PrivateKey(SecretBytes::from_vec(bytes)));
    let text = pem::write(&[entry], false).unwrap();
    let text = text.expose_secret();
    for changed in [
        text.replace('\n', "\r"),
        text.replace('\n', "\r\n"),
        text.replace('\n', "\n\r"),
        text.replacen("MC", "M C", 1).replacen("BA", "B\tA", 1),
        format!("0 s:CN = shop.example\n{text}"),
        format!("0: äöü\r\n{}", text.replace('\n', "\r\n")),
    ] {
        let container = open(changed.as_bytes(), None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(container.container_type, formats::ContainerType::Pem, "{changed}");
        assert!(matches!(container.entries[0].material, Material::PrivateKey(_)), "{changed}");
    }
    for damaged in [text.replacen('M', "=", 1), text.replacen('M', "M-", 1)] {
        assert!(open(damaged.as_bytes(), None).is_err(), "{damaged}");
    }
}

/// What is damaged in an encrypted key in DER is no keystore of Bouncy Castle.
#[test]
fn a_damaged_encrypted_key_in_der_is_called_damaged() {
    let pair = openssl::pkey::PKey::generate_ed25519().unwrap();
    let cipher = openssl::symm::Cipher::aes_256_cbc();
    let whole = pair.private_key_to_pkcs8_passphrase(cipher, b"secret").unwrap();
    assert!(open(&whole, Some("secret")).is_ok());
    // The salt's length is made one less than it is.
    let salt = whole.windows(2).position(|pair| pair == [4, 8] || pair == [4, 16]).unwrap();
    let mut bad = whole.clone();
    bad[salt + 1] -= 1;
    let error = open(&bad, Some("secret")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
}

#[test]
fn rsa_keys_of_three_primes_are_refused_by_name() {
    for form in [&["-traditional"][..], &[]] {
        let made = std::process::Command::new("openssl")
            .args(["genrsa", "-primes", "3"])
            .args(form)
            .arg("2048")
            .output()
            .unwrap();
        assert!(made.status.success());
        let container = open(&made.stdout, None).unwrap();
        let Material::PrivateKey(pkcs8) = &container.entries[0].material else { panic!("no key") };
        let error = Key::from_private(pkcs8, Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.message(), "RSA keys of more than two primes are not built in");
    }
}
