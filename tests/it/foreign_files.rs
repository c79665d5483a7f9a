//! Keystores made here with other people's programs: what they write opens with the right facts, what is
//! not built in is named, and what was altered gives other bytes never.

use std::path::Path;
use std::process::Command;

use claviger::crypto::sha256;
use claviger::formats::{self, Limits, Material, Passwords};
use claviger::secret::SecretString;
use serde_json::Value;

use crate::support::{claviger, hex, json, run};

const PASSWORD: &str = "changeit";

fn inspect(folder: &Path, file: &str, password: &str) -> Value {
    let arguments = ["inspect", file, "--store-password-env", "STORE_PASSWORD"];
    json(&claviger(folder, &arguments, &[("STORE_PASSWORD", password)]))
}

/// A folder with a key pair; the SHA-256 of its SubjectPublicKeyInfo, by OpenSSL.
fn key_pair() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let curve = "ec_paramgen_curve:P-256";
    let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", curve, "-nodes", "-subj", "/CN=t"];
    run(folder.path(), "openssl", &[&new[..], &["-keyout", "k.pem", "-out", "c.pem"]].concat());
    let public = ["pkey", "-in", "k.pem", "-pubout", "-outform", "DER", "-out", "spki.der"];
    run(folder.path(), "openssl", &public);
    let spki = hex(&sha256(&std::fs::read(folder.path().join("spki.der")).unwrap()));
    (folder, spki)
}

fn openssl_p12(folder: &Path, options: &[&str]) {
    let base = ["pkcs12", "-export", "-inkey", "k.pem", "-in", "c.pem", "-name", "one"];
    let out = ["-passout", "pass:changeit", "-out", "out.p12"];
    run(folder, "openssl", &[&base[..], options, &out].concat());
}

#[test]
fn pkcs12_of_openssl_opens_in_every_cipher_and_mac() {
    let (folder, spki) = key_pair();
    let folder = folder.path();
    let ciphers = [
        ("PBE-MD5-DES", true),
        ("PBE-MD5-RC2-64", true),
        ("PBE-SHA1-DES", true),
        ("PBE-SHA1-RC2-64", true),
        ("PBE-SHA1-RC2-40", true),
        ("PBE-SHA1-RC2-128", true),
        ("PBE-SHA1-RC4-40", true),
        ("PBE-SHA1-RC4-128", true),
        ("PBE-SHA1-2DES", true),
        ("PBE-SHA1-3DES", true),
        ("DES-EDE3-CBC", true),
        ("AES-128-CBC", false),
        ("AES-192-CBC", false),
        ("AES-256-CBC", false),
        ("NONE", false),
    ];
    for (cipher, legacy) in ciphers {
        openssl_p12(
            folder,
            &["-legacy", "-keypbe", cipher, "-certpbe", cipher, "-macalg", "sha256"],
        );
        let got = inspect(folder, "out.p12", PASSWORD);
        let entry = &got["entries"][0];
        assert_eq!(entry["spki_sha256"], spki.as_str(), "{cipher}: {got}");
        assert_eq!(entry["certificates"].as_array().unwrap().len(), 1, "{cipher}");
        assert_eq!(got["warnings"].to_string().contains("legacy"), legacy, "{cipher}: {got}");
    }
    for digest in ["sha1", "sha224", "sha256", "sha384", "sha512", "sha512-224", "sha512-256"] {
        openssl_p12(folder, &["-macalg", digest]);
        let got = inspect(folder, "out.p12", PASSWORD);
        assert_eq!(got["entries"][0]["spki_sha256"], spki.as_str(), "{digest}: {got}");
        let wrong = inspect(folder, "out.p12", "other");
        assert_eq!(wrong["error"]["code"], "wrong_password", "{digest}");
    }
}

#[test]
fn an_algorithm_that_is_not_built_in_is_named() {
    let (folder, _) = key_pair();
    let folder = folder.path();
    let camellia = ["-keypbe", "CAMELLIA-256-CBC", "-certpbe", "CAMELLIA-256-CBC"];
    let cases: [(&[&str], &str); 3] = [
        (&camellia, "Camellia-256-CBC"),
        (&["-keypbe", "ARIA-256-CBC", "-certpbe", "ARIA-256-CBC"], "ARIA-256-CBC"),
        (&["-macalg", "sha3-256"], "SHA3-256"),
    ];
    for (options, name) in cases {
        openssl_p12(folder, options);
        let got = inspect(folder, "out.p12", PASSWORD);
        assert_eq!(got["error"]["code"], "unsupported", "{got}");
        assert!(got["error"]["message"].as_str().unwrap().contains(name), "{got}");
    }
    // One entry's cipher is that entry's trouble: the file opens and says so.
    openssl_p12(folder, &["-keypbe", "CAMELLIA-256-CBC"]);
    let got = inspect(folder, "out.p12", PASSWORD);
    assert_eq!(got["entries"][0]["error"]["code"], "unsupported", "{got}");
}

#[test]
fn encrypted_pem_keys_of_openssl_open_in_every_scheme() {
    let (folder, spki) = key_pair();
    let folder = folder.path();
    let old = ["PBE-MD5-DES", "PBE-SHA1-DES", "PBE-SHA1-3DES", "PBE-SHA1-2DES", "PBE-SHA1-RC2-128"];
    let prfs = ["hmacWithSHA1", "hmacWithSHA224", "hmacWithSHA384", "hmacWithSHA512-256"];
    let mut schemes: Vec<Vec<&str>> = old.iter().map(|name| vec!["-v1", name]).collect();
    schemes.extend(["des", "des3", "rc2-cbc", "aes-192-cbc"].map(|name| vec!["-v2", name]));
    schemes.extend(prfs.map(|name| vec!["-v2", "aes-256-cbc", "-v2prf", name]));
    schemes.push(vec!["-scrypt"]);
    for scheme in schemes {
        let base = ["pkcs8", "-topk8", "-provider", "legacy", "-provider", "default"];
        let rest = ["-in", "k.pem", "-passout", "pass:changeit", "-out", "enc.pem"];
        run(folder, "openssl", &[&base[..], &scheme, &rest].concat());
        let got = inspect(folder, "enc.pem", PASSWORD);
        assert_eq!(got["entries"][0]["spki_sha256"], spki.as_str(), "{scheme:?}: {got}");
        let told = got["warnings"].to_string().contains("encrypted with legacy algorithms (");
        let old = ["-v1", "des", "des3", "rc2-cbc"];
        let legacy = scheme.iter().any(|one| old.contains(one));
        assert_eq!(told, legacy, "{scheme:?}: {got}");
        let wrong = inspect(folder, "enc.pem", "other");
        assert_eq!(wrong["error"]["code"], "wrong_password", "{scheme:?}: {wrong}");
    }
    let base = ["pkcs8", "-topk8", "-in", "k.pem", "-passout", "pass:changeit"];
    run(folder, "openssl", &[&base[..], &["-v2", "aria-256-cbc", "-out", "enc.pem"]].concat());
    let got = inspect(folder, "enc.pem", PASSWORD);
    assert_eq!(got["error"]["code"], "unsupported", "{got}");
    assert!(got["error"]["message"].as_str().unwrap().contains("ARIA-256-CBC"), "{got}");
}

#[test]
fn one_key_of_a_pem_file_that_does_not_open_leaves_the_others() {
    let (folder, spki) = key_pair();
    let folder = folder.path();
    let other = ["genpkey", "-algorithm", "ED25519", "-aes256", "-pass", "pass:else"];
    run(folder, "openssl", &[&other[..], &["-out", "other.pem"]].concat());
    let mut text = std::fs::read_to_string(folder.join("other.pem")).unwrap();
    text.push_str(&std::fs::read_to_string(folder.join("k.pem")).unwrap());
    std::fs::write(folder.join("both.pem"), text).unwrap();
    let got = inspect(folder, "both.pem", PASSWORD);
    assert_eq!(got["entries"][0]["error"]["code"], "wrong_password", "{got}");
    assert_eq!(got["entries"][1]["spki_sha256"], spki.as_str(), "{got}");
    assert_eq!(inspect(folder, "other.pem", PASSWORD)["error"]["code"], "wrong_password");
}

#[test]
fn a_key_in_plain_under_the_mark_of_an_encrypted_one_opens_as_gnutls_writes_it() {
    let (folder, spki) = key_pair();
    let folder = folder.path();
    openssl_p12(folder, &["-keypbe", "NONE", "-certpbe", "NONE", "-nomac"]);
    let mut bytes = std::fs::read(folder.join("out.p12")).unwrap();
    // keyBag becomes pkcs8ShroudedKeyBag (RFC 7292 appendix D).
    let key_bag = [0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x01];
    let place = bytes.windows(8).position(|window| window == key_bag).unwrap();
    bytes[place + 7] = 2;
    std::fs::write(folder.join("out.p12"), bytes).unwrap();
    let got = inspect(folder, "out.p12", "");
    assert_eq!(got["entries"][0]["spki_sha256"], spki.as_str(), "{got}");
}

#[test]
fn passwords_and_odd_secret_keys_of_keytool_have_their_kinds() {
    for (store_type, file) in [("PKCS12", "s.p12"), ("JCEKS", "s.jceks")] {
        let folder = tempfile::tempdir().unwrap();
        let store = ["-keystore", file, "-storetype", store_type, "-storepass", PASSWORD];
        let desede = ["-genseckey", "-alias", "d", "-keyalg", "DESede", "-keysize", "168"];
        run(folder.path(), "keytool", &[&desede[..], &store].concat());
        let import = ["-importpass", "-alias", "p", "-noprompt", "-keypass", PASSWORD];
        let mut command = Command::new("keytool");
        command.args(import).args(store).current_dir(folder.path());
        let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, b"hunter22\nhunter22\n").unwrap();
        drop(input);
        assert!(child.wait().unwrap().success());
        let got = inspect(folder.path(), file, PASSWORD);
        let mut kinds: Vec<String> = got["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| format!("{} {} {}", entry["alias"], entry["kind"], entry["algorithm"]))
            .collect();
        kinds.sort();
        assert_eq!(kinds, [r#""d" "secret-key" "DESede""#, r#""p" "secret" null"#], "{got}");
    }
}

/// keytool keeps the certificates of an issuer beside each of its keys, and lists the keys alone.
#[test]
fn certificates_of_chains_are_no_entries_however_often_keytool_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let keytool = |arguments: &str| {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        run(folder, "keytool", &[&arguments[..], &["-storepass", PASSWORD]].concat());
    };
    let pair = "-genkeypair -keyalg EC -storetype PKCS12";
    keytool(&format!("{pair} -alias root -dname CN=Root -ext bc:c -keystore root.p12"));
    keytool("-exportcert -rfc -alias root -keystore root.p12 -file root.pem");
    for alias in ["one", "two"] {
        keytool(&format!("{pair} -alias {alias} -dname CN={alias} -keystore both.p12"));
        keytool(&format!("-certreq -alias {alias} -keystore both.p12 -file {alias}.csr"));
        keytool(&format!(
            "-gencert -rfc -alias root -keystore root.p12 -infile {alias}.csr -outfile {alias}.pem"
        ));
        let chain = ["root.pem", &format!("{alias}.pem")]
            .map(|file| std::fs::read_to_string(folder.join(file)).unwrap());
        std::fs::write(folder.join("chain.pem"), chain.concat()).unwrap();
        keytool(&format!(
            "-importcert -noprompt -alias {alias} -keystore both.p12 -file chain.pem"
        ));
    }
    let found = inspect(folder, "both.p12", PASSWORD);
    let entries = found["entries"].as_array().unwrap();
    let aliases: Vec<&str> = entries.iter().map(|one| one["alias"].as_str().unwrap()).collect();
    assert_eq!(aliases, ["one", "two"], "{found}");
    assert_eq!(found["warnings"], serde_json::json!([]), "{found}");
    // One that is trusted by itself is an entry, too.
    keytool("-importcert -noprompt -alias anchor -keystore both.p12 -file root.pem");
    assert_eq!(inspect(folder, "both.p12", PASSWORD)["entries"].as_array().unwrap().len(), 3);
}

#[test]
fn keys_that_are_not_built_in_are_described() {
    let folder = tempfile::tempdir().unwrap();
    let store = ["-keystore", "s.jks", "-storetype", "JKS", "-storepass", PASSWORD];
    let dsa =
        ["-genkeypair", "-alias", "d", "-keyalg", "DSA", "-keysize", "2048", "-dname", "CN=d"];
    run(folder.path(), "keytool", &[&dsa[..], &store, &["-keypass", PASSWORD]].concat());
    let got = inspect(folder.path(), "s.jks", PASSWORD);
    let entry = &got["entries"][0];
    assert_eq!((&entry["algorithm"], &entry["bits"]), (&"DSA".into(), &2048.into()), "{got}");
    assert_eq!(entry["error"]["code"], "unsupported", "{got}");

    let curve = "ec_paramgen_curve:brainpoolP256r1";
    let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", curve, "-nodes", "-subj", "/CN=t"];
    run(folder.path(), "openssl", &[&new[..], &["-keyout", "k.pem", "-out", "c.pem"]].concat());
    let entry = &inspect(folder.path(), "c.pem", "")["entries"][0];
    assert_eq!(entry["curve"], "brainpoolP256r1");
    assert!(entry["error"]["message"].as_str().unwrap().contains("brainpoolP256r1"), "{entry}");
}

/// Every bit of a small keystore flipped in one place after the other, and every length.
#[test]
fn altered_files_give_the_same_keys_or_none() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("keystores");
    let password = SecretString::from_string(PASSWORD.into());
    let passwords = Passwords { store: Some(&password), entry: None };
    // Small bounds: an altered iteration count is refused and not computed.
    let limits =
        Limits { max_iterations: 20_000, max_total_iterations: 200_000, ..Limits::default() };
    let keys = |bytes: &[u8], integrity| {
        let opened = formats::open(bytes, None, &passwords, &limits, integrity).ok()?;
        let material = opened.entries.iter().filter_map(|entry| match &entry.material {
            Material::PrivateKey(key) | Material::SecretKey { bytes: key, .. } => {
                Some(sha256(key.expose_secret()))
            }
            _ => None,
        });
        Some(material.collect::<Vec<_>>())
    };
    for file in ["openssl.p12", "default.p12", "legacy.jks", "legacy.jceks"] {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let whole = keys(&bytes, true).unwrap();
        // A prime stride: another bit of another byte each time, a few hundred a file.
        let stride = (bytes.len() / 40) | 1;
        for place in (0..bytes.len()).step_by(stride) {
            let mut altered = bytes.clone();
            altered[place] ^= 1 << (place % 8);
            let got = keys(&altered, true);
            assert!(got.is_none_or(|got| got == whole), "{file}: byte {place}");
            assert_eq!(keys(&bytes[..place], true), None, "{file}: cut at {place}");
        }
    }
}
