//! Secrets leave no copy: a stopped process is searched for them after its keyring was dropped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use claviger::Keyring;
use claviger::crypto::generate::{KeySpec, generate};
use claviger::formats::{
    self, Entry, Limits, Material, Passwords, SecretKeyType, jwk, pem, pkcs12, sealed,
};
use claviger::secret::{SecretBytes, SecretString};

use crate::support::hex;

const CHILD: &str = "CLAVIGER_WIPING_CHILD";
const PLAINTEXT: &[u8] = b"the plaintext of a token, 5b1f7c60";

const CONFIG: &str = r#"
[keyring]
reload = "off"

[stores.passwords]
kind = "volume"
directory = "plain"

[stores.keys]
kind = "keystore"
path = "keys.p12"
store_password = { label = "storepass" }

[stores.keys.mappings]
"am.services.oauth2.oidc.signing.ES256" = ["es256"]
"am.services.oauth2.oidc.signing.ES384" = ["es384"]
"am.services.oauth2.oidc.signing.RSA" = ["rsa"]
"am.services.oauth2.oidc.signing.EDDSA" = ["ed25519"]
"am.services.oauth2.jwt.authenticity.signing" = ["hmac"]
"app.seal" = ["aes"]
"app.direct" = ["aes2"]
"app.rsa" = ["rsa2"]
"am.authn.trees.transientstate.encryption" = ["aes"]

[stores.jks]
kind = "keystore"
path = "legacy.jks"
store_password = { file = "java.txt" }

[stores.jks.mappings]
"app.jks" = ["rsa"]

[stores.jceks]
kind = "keystore"
path = "legacy.jceks"
store_password = { file = "java.txt" }

[stores.jceks.mappings]
"app.jceks.ec" = ["es256"]
"app.jceks.hmac" = ["hmac"]

[stores.encoded]
kind = "volume"
directory = "base64"
format = "base64"

[stores.sealed]
kind = "volume"
directory = "sealed"
format = "encrypted-plain"
key = { file = "seal.key" }

[stores.jwk]
kind = "volume"
directory = "jwk"
format = "jwk"

[stores.pem]
kind = "volume"
directory = "pem"
format = "pem"
pem_password = { file = "pem.txt" }

[labels."app.seal"]
use = "encrypt"
algorithms = ["A256KW", "A256CBC-HS512"]
[labels."app.direct"]
use = "encrypt"
algorithms = ["dir", "A256GCM"]
[labels."app.rsa"]
use = "encrypt"
algorithms = ["RSA-OAEP-256", "A256GCM"]
[labels."app.jks"]
use = "sign"
algorithms = ["RS256"]
[labels."app.jceks.ec"]
use = "sign"
algorithms = ["ES256"]
[labels."app.jceks.hmac"]
use = "sign"
algorithms = ["HS256"]
[labels."app.encoded"]
use = "secret"
[labels."app.sealed"]
use = "secret"
[labels."app.jwk.hmac"]
use = "sign"
algorithms = ["HS256"]
[labels."app.jwk.ec"]
use = "encrypt"
algorithms = ["ECDH-ES+A256KW", "A256GCM"]
[labels."app.jwk.rsa"]
use = "sign"
algorithms = ["PS256"]
[labels."app.pem"]
use = "sign"
algorithms = ["ES256"]
[labels."storepass"]
use = "secret"
"#;

/// A few labels of every kind, for whoever wants to show them.
pub(crate) const LABELS: [&str; 6] = [
    "am.services.oauth2.oidc.signing.ES256",
    "am.services.oauth2.jwt.authenticity.signing",
    "app.seal",
    "app.sealed",
    "app.jwk.rsa",
    "app.pem",
];

/// Labels that sign, that encrypt, and that are passwords.
const SIGN: [&str; 10] = [
    "am.services.oauth2.oidc.signing.ES256",
    "am.services.oauth2.oidc.signing.ES384",
    "am.services.oauth2.oidc.signing.RSA",
    "am.services.oauth2.oidc.signing.EDDSA",
    "am.services.oauth2.jwt.authenticity.signing",
    "app.jks",
    "app.jceks.ec",
    "app.jceks.hmac",
    "app.jwk.hmac",
    "app.jwk.rsa",
];
const ENCRYPT: [&str; 4] = ["app.seal", "app.direct", "app.rsa", "app.jwk.ec"];
const REVEAL: [&str; 3] = ["app.encoded", "app.sealed", "storepass"];

/// What must not be found, by name.
#[derive(Default)]
pub(crate) struct Secrets {
    parts: BTreeMap<String, Vec<u8>>,
    /// The secrets as they are.
    pub(crate) whole: Vec<(String, Vec<u8>)>,
}

impl Secrets {
    /// Only the second half is searched for: an allocator writes its links over the start of what is freed.
    fn raw(&mut self, name: &str, bytes: &[u8]) {
        self.parts.insert(name.to_owned(), bytes[bytes.len() / 2..].to_vec());
    }

    /// The bytes, and the texts that files and JWKs hold them in.
    fn add(&mut self, name: &str, bytes: &[u8]) {
        self.whole.push((name.to_owned(), bytes.to_vec()));
        self.raw(name, bytes);
        self.raw(&format!("{name}, hex"), hex(bytes).as_bytes());
        self.raw(
            &format!("{name}, base64"),
            STANDARD.encode(bytes).trim_end_matches('=').as_bytes(),
        );
        self.raw(&format!("{name}, base64url"), URL_SAFE_NO_PAD.encode(bytes).as_bytes());
    }

    fn password(&mut self, name: &str, text: &str) {
        self.add(name, text.as_bytes());
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        self.raw(&format!("{name}, UTF-16"), &wide);
    }

    /// The scalar or the primes of a private key, in both orders of bytes: libraries turn numbers round.
    fn private_key(&mut self, name: &str, pkcs8: &SecretBytes) {
        let key = openssl::pkey::PKey::private_key_from_pkcs8(pkcs8.expose_secret()).unwrap();
        let numbers: Vec<(&str, Vec<u8>)> = if let Ok(rsa) = key.rsa() {
            let (p, q) = (rsa.p().unwrap().to_vec(), rsa.q().unwrap().to_vec());
            vec![("d", rsa.d().to_vec()), ("p", p), ("q", q)]
        } else if let Ok(ec) = key.ec_key() {
            vec![("d", ec.private_key().to_vec())]
        } else {
            vec![("d", key.raw_private_key().unwrap())]
        };
        for (part, bytes) in numbers {
            self.add(&format!("{name} {part}"), &bytes);
            let turned: Vec<u8> = bytes.iter().rev().copied().collect();
            self.raw(&format!("{name} {part}, turned"), &turned);
        }
    }
}

fn entry(alias: &str, spec: KeySpec, oct: Option<SecretKeyType>) -> Entry {
    let bytes = generate(spec).unwrap();
    Entry::new(
        alias,
        match oct {
            Some(key_type) => Material::SecretKey { key_type, bytes },
            None => Material::PrivateKey(bytes),
        },
    )
}

fn password(prefix: &str) -> String {
    let random = generate(KeySpec::Oct { bytes: 12 }).unwrap();
    format!("{prefix}-{}", URL_SAFE_NO_PAD.encode(random.expose_secret()))
}

fn note(secrets: &mut Secrets, store: &str, entries: &[Entry]) {
    for entry in entries {
        let name = format!("{store} {}", entry.alias);
        match &entry.material {
            Material::PrivateKey(pkcs8) => secrets.private_key(&name, pkcs8),
            Material::SecretKey { bytes, .. } => secrets.add(&name, bytes.expose_secret()),
            _ => {}
        }
    }
}

/// Writes stores full of fresh secrets and says what is in them.
pub(crate) fn plant(folder: &Path) -> Secrets {
    use claviger::alg::Curve;
    let mut secrets = Secrets::default();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write("claviger.toml", CONFIG.as_bytes());
    let storepass = password("storepass");
    write("plain/storepass", storepass.as_bytes());
    let entries = [
        entry("es256", KeySpec::Curve(Curve::P256), None),
        entry("es384", KeySpec::Curve(Curve::P384), None),
        entry("rsa", KeySpec::Rsa { bits: 2048 }, None),
        entry("rsa2", KeySpec::Rsa { bits: 2048 }, None),
        entry("ed25519", KeySpec::Curve(Curve::Ed25519), None),
        entry("hmac", KeySpec::Oct { bytes: 64 }, Some(SecretKeyType::Hmac)),
        entry("aes", KeySpec::Oct { bytes: 32 }, Some(SecretKeyType::Aes)),
        entry("aes2", KeySpec::Oct { bytes: 32 }, Some(SecretKeyType::Aes)),
    ];
    note(&mut secrets, "p12", &entries);
    let text = SecretString::from_string(storepass.clone());
    write("keys.p12", &pkcs12::write(&entries, &text).unwrap());
    secrets.password("store password", &storepass);

    let java = SecretString::from_string("changeit".into());
    write("java.txt", b"changeit");
    for name in ["legacy.jks", "legacy.jceks"] {
        let bytes =
            std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("keystores").join(name))
                .unwrap();
        let passwords = Passwords { store: Some(&java), entry: None };
        let container = formats::open(&bytes, None, &passwords, &Limits::default(), true).unwrap();
        note(&mut secrets, name, &container.entries);
        write(name, &bytes);
    }

    let encoded = generate(KeySpec::Oct { bytes: 48 }).unwrap();
    secrets.add("base64 value", encoded.expose_secret());
    write("base64/app.encoded", STANDARD.encode(encoded.expose_secret()).as_bytes());

    let seal_key = generate(KeySpec::Oct { bytes: 32 }).unwrap();
    secrets.add("seal key", seal_key.expose_secret());
    write("seal.key", STANDARD.encode(seal_key.expose_secret()).as_bytes());
    let value = password("sealed");
    secrets.password("sealed value", &value);
    let key = claviger::crypto::Key::from_secret(seal_key, claviger::crypto::OctType::Aes).unwrap();
    write("sealed/app.sealed", sealed::encode(&key, value.as_bytes()).unwrap().as_bytes());

    let jwks = [
        ("app.jwk.hmac", entry("h", KeySpec::Oct { bytes: 64 }, Some(SecretKeyType::Hmac))),
        ("app.jwk.ec", entry("e", KeySpec::Curve(Curve::P256), None)),
        ("app.jwk.rsa", entry("r", KeySpec::Rsa { bits: 2048 }, None)),
    ];
    for (label, entry) in jwks {
        let text = jwk::write(&entry, false).unwrap();
        write(&format!("jwk/{label}"), text.expose_secret().as_bytes());
        note(&mut secrets, "jwk", &[entry]);
    }

    let pem_password = password("pem");
    write("pem.txt", pem_password.as_bytes());
    secrets.password("PEM password", &pem_password);
    let key = entry("pem", KeySpec::Curve(Curve::P256), None);
    let Material::PrivateKey(pkcs8) = &key.material else { panic!("a pair") };
    let pair = openssl::pkey::PKey::private_key_from_pkcs8(pkcs8.expose_secret()).unwrap();
    let cipher = openssl::symm::Cipher::aes_256_cbc();
    let sealed = pair.private_key_to_pem_pkcs8_passphrase(cipher, pem_password.as_bytes()).unwrap();
    write("pem/app.pem", &sealed);
    note(&mut secrets, "pem", std::slice::from_ref(&key));
    let plain = pem::write(std::slice::from_ref(&key), false).unwrap();
    secrets.raw("pem text", &plain.expose_secret().as_bytes()[60..120]);

    secrets.add("plaintext", PLAINTEXT);
    for (name, bytes) in readable_files(&mut secrets, &text) {
        write(&format!("more/{name}"), &bytes);
    }
    secrets
}

/// Files that hold keys as they are, whole and broken: what a reader held when it gave up counts as well.
fn readable_files(secrets: &mut Secrets, password: &SecretString) -> Vec<(&'static str, Vec<u8>)> {
    use claviger::alg::Curve;
    let entries = [
        entry("ec", KeySpec::Curve(Curve::P256), None),
        entry("rsa", KeySpec::Rsa { bits: 2048 }, None),
        entry("oct", KeySpec::Oct { bytes: 64 }, Some(SecretKeyType::Hmac)),
    ];
    note(secrets, "readable", &entries);
    let pem = pem::write(&entries, false).unwrap();
    let set = jwk::write_set(&entries, false).unwrap();
    let set = set.expose_secret();
    let plain = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/plain.p12"));
    let plain = plain.unwrap();
    let passwords = Passwords { store: Some(password), entry: None };
    let container = formats::open(&plain, None, &passwords, &Limits::default(), false).unwrap();
    note(secrets, "plain p12", &container.entries);
    vec![
        ("whole.pem", pem.expose_secret().as_bytes().to_vec()),
        ("cut.pem", pem.expose_secret().as_bytes()[..pem.expose_secret().len() - 10].to_vec()),
        ("whole.jwks", set.as_bytes().to_vec()),
        ("cut.jwks", set.as_bytes()[..set.len() - 2].to_vec()),
        (
            "twice.jwks",
            set.replace("\"kty\":\"oct\"", "\"kty\":\"oct\",\"kty\":\"oct\"").into_bytes(),
        ),
        ("plain.p12", plain),
    ]
}

/// The child: loads, uses, says so, waits; drops, says so, waits.
fn use_and_drop(folder: &Path) {
    let keyring = Keyring::open(&folder.join("claviger.toml"))
        .unwrap_or_else(|error| panic!("{error}: {:?}", error.problems()));
    for label in SIGN.iter().chain(&["app.pem"]) {
        let label = keyring.label(label).unwrap();
        let token = label.sign(b"{}").unwrap();
        assert_eq!(label.verify(&token).unwrap().payload, b"{}");
    }
    for label in ENCRYPT {
        let label = keyring.label(label).unwrap();
        // The plaintext comes from the file: this program's own constant would be found.
        let plaintext = SecretBytes::from_vec(std::fs::read(folder.join("plaintext")).unwrap());
        let token = label.encrypt(plaintext.expose_secret()).unwrap();
        drop(label.decrypt(&token).unwrap());
        std::fs::write(folder.join(format!("{}.jwe", label.name())), &token).unwrap();
    }
    for label in REVEAL {
        assert!(keyring.label(label).unwrap().reveal(<[u8]>::len).unwrap() > 8);
    }
    pause("loaded");
    let password = SecretString::from_string("no password of anything".into());
    for file in std::fs::read_dir(folder.join("more")).unwrap() {
        let mut bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes.shrink_to_fit();
        let bytes = SecretBytes::from_vec(bytes);
        let passwords = Passwords { store: Some(&password), entry: None };
        drop(formats::open(bytes.expose_secret(), None, &passwords, &Limits::default(), false));
    }
    // The last thing that is done: nothing writes over what it leaves.
    carry_state(&keyring, folder);
    drop(keyring);
    pause("dropped");
}

/// The secure state of a journey, accepted and refused: its plaintext comes from the file too.
fn carry_state(keyring: &Keyring, folder: &Path) {
    let state = keyring.tokens("tree-state", None).unwrap();
    // Of a size that nothing else has: what is left is not written over by chance.
    let mut text = String::with_capacity(3_000);
    while text.len() < 2_900 {
        let mut part = std::fs::read_to_string(folder.join("plaintext")).unwrap();
        text.push_str(&part);
        zeroize::Zeroize::zeroize(&mut part);
    }
    let mut claims = serde_json::Map::new();
    claims.insert("password".into(), text.into());
    // Enough members that what is written moves.
    for index in 0..64 {
        claims
            .insert(format!("member {index}"), "of sixty-four, each with a text of its own".into());
    }
    let token = state.seal(&claims).unwrap();
    drop(state.open(&token).unwrap());
    let elsewhere = keyring.realm("beta").unwrap().tokens("tree-state", None).unwrap();
    drop(elsewhere.open(&token).unwrap_err());
    for value in claims.values_mut() {
        if let serde_json::Value::String(text) = value {
            zeroize::Zeroize::zeroize(text);
        }
    }
}

fn pause(what: &str) {
    println!("{what}");
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// The process of the child, stopped where it waits.
struct Searched {
    child: Child,
    told: BufReader<ChildStdout>,
}

impl Searched {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["wiping::dropped_secrets_are_nowhere_in_memory", "--exact", "--nocapture"])
            .env(CHILD, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = BufReader::new(child.stdout.take().unwrap());
        Self { child, told }
    }

    fn wait_for(&mut self, what: &str) {
        let mut all = String::new();
        while self.told.read_line(&mut all).unwrap() > 0 {
            if all.ends_with(&format!("{what}\n")) {
                return;
            }
        }
        panic!("it ended before it {what}: {all}");
    }

    fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Where in the writable memory each secret stands.
    fn find(&self, secrets: &Secrets) -> Vec<String> {
        let pid = self.child.id();
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
        let mut found = Vec::new();
        for line in maps.lines().filter(|line| line.split(' ').nth(1).unwrap().contains('w')) {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let (from, to) =
                (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
            memory.seek(SeekFrom::Start(from)).unwrap();
            if memory.read_exact(&mut bytes).is_err() {
                continue;
            }
            let region = line.split_whitespace().nth(5).unwrap_or("anonymous");
            for (name, secret) in &secrets.parts {
                let count = memchr::memmem::find_iter(&bytes, secret).count();
                if count > 0 {
                    found.push(format!("{name}: {count} in {region} {from:x}"));
                }
            }
        }
        found
    }
}

impl Drop for Searched {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn dropped_secrets_are_nowhere_in_memory() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return use_and_drop(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let secrets = plant(folder.path());
    std::fs::write(folder.path().join("plaintext"), PLAINTEXT).unwrap();
    let mut process = Searched::start(folder.path());
    process.wait_for("loaded");
    let held = process.find(&secrets);
    // The search works: what a keyring must hold is found while it holds it.
    for name in ["p12 hmac:", "p12 es256 d:", "store password:"] {
        assert!(held.iter().any(|one| one.starts_with(name)), "{name} {held:#?}");
    }
    process.go_on();
    process.wait_for("dropped");
    let left = process.find(&secrets);
    assert!(left.is_empty(), "{} of {}: {left:#?}", left.len(), secrets.parts.len());
}
