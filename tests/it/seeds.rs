//! What mutation and fuzzing start from: fixtures, tokens and values of our own making, and the vectors.

use std::path::{Path, PathBuf};

use claviger::alg::{Algorithm, Operation};
use claviger::catalogue::{self, JwkAlg, LabelUse};
use claviger::crypto::{Key, OctType, Role};
use claviger::formats::{self, ContainerType, sealed};
use claviger::jose::jwe::{self, EncryptOptions};
use claviger::jose::jwks::{self, Extent};
use claviger::jose::jws::{self, SignOptions};
use claviger::jose::{Serialization, nested};
use claviger::ops::KeySet;
use claviger::secret::SecretBytes;
use serde_json::Value;

use crate::entry_points::state_files;
use crate::entry_points::{PAYLOAD, key_set};
use crate::support::vectors;

/// A name and the bytes.
pub(crate) type Seed = (String, Vec<u8>);

/// Larger ones make mutation slow and find nothing more.
const MAX_BYTES: usize = 16 << 10;

/// Those that we make or keep ourselves.
pub(crate) fn own(target: &str) -> Vec<Seed> {
    match target {
        "config" => configurations(),
        "journal" | "revoked" | "trace" | "usage" => state_files::seeds(target),
        "json" => json_texts(),
        "jwe" => encrypted_tokens(),
        "jwk" => key_sets(),
        "jws" => signed_tokens(),
        "life" => payloads(),
        "names" => names(),
        #[cfg(feature = "saml")]
        "query" | "saml" => saml_messages(target),
        "sealed" => sealed_values(),
        "session" => session_claims(),
        container => containers(&["keystores", "fuzz/seeds"].map(in_repository), container),
    }
}

/// Those of other people's software, where they are installed.
pub(crate) fn foreign(target: &str) -> Vec<Seed> {
    let (jose, keystores) = (vectors("jose"), vectors("keystores"));
    match target {
        "jwe" | "jwk" | "jws" => jose.map(|root| from_jose(&root, target)).unwrap_or_default(),
        "config" | "journal" | "json" | "life" | "names" | "query" | "revoked" | "saml"
        | "sealed" | "session" | "trace" | "usage" => Vec::new(),
        container => keystores.map(|root| containers(&[root], container)).unwrap_or_default(),
    }
}

/// Signed, encrypted, published and carried messages.
#[cfg(feature = "saml")]
fn saml_messages(target: &str) -> Vec<Seed> {
    use claviger::profiles::saml::redirect::{self, RedirectOptions};
    use claviger::profiles::saml::{self, Encryptable, Signing, binding};
    use claviger::xmlsec::dsig::SignOptions;
    use claviger::xmlsec::enc::{EncryptOptions, Recipient};

    use crate::entry_points::saml::{MESSAGE, opening};

    let signing = key_set([LabelUse::Sign, LabelUse::Verify]);
    let seed = |name: &str, text: String| (name.to_owned(), text.into_bytes());
    if target == "query" {
        let options = RedirectOptions { relay_state: Some("a b"), ..Default::default() };
        let query = redirect::sign(&signing, MESSAGE.as_bytes(), &options).unwrap().query;
        return vec![seed("redirect", query), seed("post", binding::encode_post(MESSAGE))];
    }
    let sign = |what| {
        let options = SignOptions { prefix_list: "a", ..Default::default() };
        saml::sign(&signing, MESSAGE.as_bytes(), what, &options).unwrap().xml
    };
    let encrypt = |kind| {
        let to = Recipient::Label(opening());
        saml::encrypt(to, MESSAGE.as_bytes(), kind, &EncryptOptions::default()).unwrap().0
    };
    let certificate = std::fs::read(in_repository("fuzz/seeds/certificate.der")).unwrap();
    let certificate =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, certificate);
    let metadata = format!(
        "<m:EntityDescriptor xmlns:m=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"x\" \
         validUntil=\"2030-01-01T00:00:00Z\" cacheDuration=\"PT1H\"><m:SPSSODescriptor protocolSupportEnumeration=\"y\">\
         <m:KeyDescriptor use=\"signing\"><d:KeyInfo xmlns:d=\"http://www.w3.org/2000/09/xmldsig#\"><d:X509Data>\
         <d:X509Certificate>{certificate}</d:X509Certificate></d:X509Data></d:KeyInfo></m:KeyDescriptor>\
         </m:SPSSODescriptor></m:EntityDescriptor>"
    );
    vec![
        seed("message", sign(Signing::Message)),
        seed("assertion", sign(Signing::Assertion(None))),
        seed("encrypted", encrypt(Encryptable::Assertion)),
        seed("name", encrypt(Encryptable::Id)),
        seed("envelope", binding::wrap_soap(MESSAGE).unwrap()),
        seed("metadata", metadata),
        seed("markup", "<?xml version=\"1.0\"?><b xmlns='urn:x' c=\"&#13;\"><!-- c --><?p q?><![CDATA[<]]>&amp;</b>".into()),
    ]
}

fn in_repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn configurations() -> Vec<Seed> {
    let readme = std::fs::read_to_string(in_repository("README.md")).unwrap();
    let fixture = std::fs::read(in_repository("keystores/claviger.toml")).unwrap();
    let mut found = vec![("fixture".to_owned(), fixture)];
    for (index, block) in readme.split("```toml\n").skip(1).enumerate() {
        let text = block.split("```").next().unwrap();
        found.push((format!("readme-{index}"), text.as_bytes().to_vec()));
    }
    found
}

fn session_claims() -> Vec<Seed> {
    let own = [
        r#"{"jti":"x","iat":1800000000,"exp":1800003600,"idle":600,"seen":1800000000,"sub":"alice"}"#,
        r#"{"jti":"\u0061","iat":1.8e9,"exp":1800003600.5,"idle":600,"seen":1800000000.25,"a":{"b":[1]}}"#,
        r#"{"jti":"x","iat":1799999999,"exp":18446744073709551615}"#,
        "x1 2027-01-15T09:00:00Z\n# logged out\n%23 2027-01-15T09:00:00Z\nx2\n",
    ];
    let seeds = own.iter().enumerate();
    seeds.map(|(at, text)| (format!("own-{at}"), text.as_bytes().to_vec())).collect()
}

/// Payloads whose end is plain to see, hidden, given twice, or not there.
fn payloads() -> Vec<Seed> {
    let own = [
        r#"{"iss":"https://idp","exp":1800000000,"aud":["a","b"],"cnf":{"exp":5,"jkt":"}{"}}"#,
        r#"{"\u0065xp":1.8e9,"a":"\"exp\":7","x":{"y":[{"exp":1}]}}"#,
        r#"{"exp":1800000000.25,"exp":17}"#,
        r#" {"exp":-5,"nbf":null} "#,
        r#"{"exp":"soon","sub":"x"}"#,
        r#"{"exp":99999999999999999999}"#,
        "no claims",
    ];
    let seeds = own.iter().enumerate();
    seeds.map(|(at, text)| (format!("own-{at}"), text.as_bytes().to_vec())).collect()
}

fn json_texts() -> Vec<Seed> {
    let own = [
        PAYLOAD,
        br#"{"aud":["alice"],"nbf":1.5e9,"iat":-0,"x":[null,true,"\u00e9\ud83d\ude00"]}"#,
    ];
    let mut found: Vec<Seed> =
        own.iter().enumerate().map(|(at, text)| (format!("own-{at}"), text.to_vec())).collect();
    found.extend(signed_tokens().into_iter().filter(|(_, text)| text.starts_with(b"{")).take(3));
    found.extend(key_sets().into_iter().take(3));
    found
}

/// The set with each key alone in front: what makes a token is always the first.
fn with_each_key(uses: [LabelUse; 2]) -> Vec<KeySet> {
    let all = key_set(uses);
    let alone = |key: &claviger::ops::LabelKey| {
        let (label, uses) = (all.label().clone(), all.uses().to_vec());
        let (rows, policy) = (all.algorithms().to_vec(), all.policy().clone());
        KeySet::new(label, uses, vec![key.clone()], rows, policy).unwrap()
    };
    all.keys().iter().map(|key| alone(key)).collect()
}

/// The rows of an operation that the only key of the set does.
fn rows(set: &KeySet, operation: Operation, role: Role) -> Vec<&'static Algorithm> {
    let mut rows = set.algorithms().to_vec();
    rows.retain(|row| row.operation == operation && set.fits(set.active(), row, role));
    rows
}

fn signed_tokens() -> Vec<Seed> {
    let mut found = Vec::new();
    for set in with_each_key([LabelUse::Sign, LabelUse::Verify]) {
        for row in rows(&set, Operation::Sign, Role::Sign) {
            for (form, serialization) in [
                ("compact", Serialization::Compact),
                ("flattened", Serialization::Flattened),
                ("general", Serialization::General),
            ] {
                for detached in [false, true] {
                    let algorithm = Some(row.name.into());
                    let options = SignOptions {
                        algorithm,
                        serialization,
                        detached,
                        unencoded: detached && form == "flattened",
                        ..SignOptions::default()
                    };
                    let token = jws::sign(&set, PAYLOAD, &options).unwrap();
                    let name = format!("{row}-{}-{form}-{detached}", set.active().alias);
                    found.push((name, token.into_bytes()));
                }
            }
        }
    }
    found
}

fn encrypted_tokens() -> Vec<Seed> {
    let mut found = Vec::new();
    for set in with_each_key([LabelUse::Encrypt, LabelUse::Decrypt]) {
        let contents = rows_of(&set, Operation::Content);
        for row in rows(&set, Operation::KeyManagement, Role::Encrypt) {
            for (index, enc) in contents.iter().enumerate() {
                let serialization =
                    [Serialization::Compact, Serialization::Flattened, Serialization::General]
                        [index % 3];
                let json = serialization != Serialization::Compact;
                let options = EncryptOptions {
                    algorithm: Some(row.name.into()),
                    content: Some(enc.name.into()),
                    apu: (index == 1).then(|| b"Alice".to_vec()),
                    aad: json.then(|| b"more".to_vec()),
                    zip: index % 2 == 0,
                    serialization,
                    ..EncryptOptions::default()
                };
                // `dir` takes only the content algorithm of its key's length.
                if let Ok(token) = jwe::encrypt(&set, PAYLOAD, &options) {
                    found.push((format!("{row}-{enc}-{}", set.active().alias), token.into_bytes()));
                }
            }
        }
    }
    let signing = &with_each_key([LabelUse::Sign, LabelUse::Verify])[0];
    for set in with_each_key([LabelUse::Encrypt, LabelUse::Decrypt]).iter().take(8) {
        let (sign, encrypt) = (SignOptions::default(), EncryptOptions::default());
        if let Ok(token) = nested::seal(signing, set, PAYLOAD, &sign, &encrypt) {
            found.push((format!("nested-{}", set.active().alias), token.into_bytes()));
        }
    }
    found
}

fn rows_of(set: &KeySet, operation: Operation) -> Vec<&'static Algorithm> {
    set.algorithms().iter().copied().filter(|row| row.operation == operation).collect()
}

fn key_sets() -> Vec<Seed> {
    let whole = std::fs::read(in_repository("keystores/tokens.jwks")).unwrap();
    let sets = [key_set([LabelUse::Sign, LabelUse::Verify])];
    let public = jwks::document(&sets, Extent::Everything, JwkAlg::None);
    let mut found = Vec::new();
    collect_keys(&serde_json::from_slice(&whole).unwrap(), "own", &mut found);
    collect_keys(&public, "public", &mut found);
    found.push(("whole".to_owned(), whole));
    found.push(("public".to_owned(), public.to_string().into_bytes()));
    found
}

fn names() -> Vec<Seed> {
    let mut found: Vec<String> = catalogue::all().iter().map(|row| row.name.clone()).collect();
    found.extend(["alpha", "alpha/beta-1", "es256-2026", "a b", "..", "%2e%2e"].map(str::to_owned));
    found.into_iter().map(|name| (name.clone(), name.into_bytes())).collect()
}

fn sealed_values() -> Vec<Seed> {
    let key = Key::from_secret(SecretBytes::from_slice(&[7; 32]), OctType::Aes).unwrap();
    vec![("aes".to_owned(), sealed::encode(&key, PAYLOAD).unwrap().into_bytes())]
}

/// The files of these folders that this reader is for, by their content.
fn containers(roots: &[PathBuf], target: &str) -> Vec<Seed> {
    let mut files = Vec::new();
    for root in roots {
        walk(root, &mut files);
    }
    files.sort();
    files
        .into_iter()
        .filter_map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            let wanted = match formats::sniff(&bytes) {
                Some(ContainerType::Der) => "der",
                Some(ContainerType::Jceks) => "jceks",
                Some(ContainerType::Jks) => "jks",
                Some(ContainerType::Pem) => "pem",
                Some(ContainerType::Pkcs12) => "pkcs12",
                _ => return None,
            };
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (wanted == target && bytes.len() <= MAX_BYTES).then_some((name, bytes))
        })
        .collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

/// Tokens and keys out of every file of the JOSE vectors, whatever its form.
fn from_jose(root: &Path, target: &str) -> Vec<Seed> {
    let mut files = Vec::new();
    walk(root, &mut files);
    files.sort();
    let mut found = Vec::new();
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(value) if target == "jwk" => collect_keys(&value, &name, &mut found),
            Ok(value) => collect_tokens(&value, target, &name, &mut found),
            Err(_) if target != "jwk" && bytes.starts_with(b"eyJ") => found.push((name, bytes)),
            Err(_) => {}
        }
    }
    found.retain(|(_, bytes)| bytes.len() <= MAX_BYTES);
    found
}

fn collect_keys(value: &Value, name: &str, found: &mut Vec<Seed>) {
    match value {
        Value::Object(members) => {
            if members.contains_key("kty") {
                found.push((format!("{name}-{}", found.len()), value.to_string().into_bytes()));
            }
            members.values().for_each(|value| collect_keys(value, name, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_keys(value, name, found)),
        _ => {}
    }
}

fn collect_tokens(value: &Value, target: &str, name: &str, found: &mut Vec<Seed>) {
    match value {
        Value::String(text) => {
            let dots = text.bytes().filter(|byte| *byte == b'.').count();
            if (target == "jws" && dots == 2) || (target == "jwe" && dots == 4) {
                found.push((format!("{name}-{}", found.len()), text.clone().into_bytes()));
            }
        }
        Value::Object(members) => {
            let json = members.contains_key(if target == "jws" { "payload" } else { "ciphertext" });
            if json {
                found.push((format!("{name}-{}", found.len()), value.to_string().into_bytes()));
            }
            members.values().for_each(|value| collect_tokens(value, target, name, found));
        }
        Value::Array(items) => {
            items.iter().for_each(|value| collect_tokens(value, target, name, found));
        }
        _ => {}
    }
}
