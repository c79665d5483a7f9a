//! The entry points for outside bytes, one function each, with what must hold of every answer. The fuzz
//! targets and the mutation tests call the same functions.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use claviger::alg::{ALGORITHMS, Operation};
use claviger::catalogue::{self, LabelUse};
use claviger::clock::Clock;
use claviger::crypto::{Key, OctType};
use claviger::formats::{self, Container, Entry, Limits, Material, Passwords};
use claviger::formats::{der, jks, jwk, pem, pkcs12, sealed};
use claviger::jose::claims::{self, ClaimRules};
use claviger::jose::jws::{self, SignOptions, VerifyOptions};
use claviger::jose::{jwe, nested};
use claviger::keyring::Keyring;
use claviger::label::{Alias, LabelName, Realm, StoreName};
use claviger::ops::{KeySet, KeySetPolicy};
use claviger::profiles::DeniedIds;
use claviger::profiles::session::{self, Sessions};
use claviger::secret::{SecretBytes, SecretString};
use claviger::{Config, json, stores};

#[path = "state_files.rs"]
pub(crate) mod state_files;

/// What every token of ours holds: a token that is accepted with other content is a forgery.
pub(crate) const PAYLOAD: &[u8] = br#"{"sub":"alice","exp":4102444800}"#;
/// The password of every container of ours.
pub(crate) const PASSWORD: &str = "changeit";

/// Reads outside bytes and asserts what must hold of the answer.
type EntryPoint = fn(&[u8]);

/// Every entry point by its name, which is also the name of its fuzz target.
pub(crate) const TARGETS: &[(&str, EntryPoint)] = &[
    ("config", config),
    ("der", read_der),
    ("jceks", read_java),
    ("jks", read_java),
    ("journal", state_files::journal),
    ("json", read_json),
    ("jwe", decrypt),
    ("jwk", read_jwk),
    ("jws", verify),
    ("life", state_files::life),
    ("names", names),
    ("pem", read_pem),
    ("pkcs12", read_pkcs12),
    #[cfg(feature = "saml")]
    ("query", saml::query),
    ("revoked", state_files::revoked),
    #[cfg(feature = "saml")]
    ("saml", saml::document),
    ("sealed", unseal),
    ("session", open_session),
    ("trace", state_files::traces),
    ("usage", state_files::usage),
];

/// Hands `bytes` to one entry point.
pub(crate) fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a known target");
    target(bytes);
}

/// The keys that tokens are made and checked with; they protect nothing.
pub(crate) fn key_set(uses: [LabelUse; 2]) -> KeySet {
    let rows = ALGORITHMS.iter().collect();
    // Few iterations: the parser is what is looked at, not PBKDF2.
    let mut policy = KeySetPolicy { zip: true, ..KeySetPolicy::default() };
    policy.limits.max_p2c = 1_000;
    let keys = include_bytes!("../../keystores/tokens.jwks");
    KeySet::from_jwks("app.fuzz".parse().unwrap(), uses.to_vec(), keys, rows, policy).unwrap()
}

fn signing() -> &'static KeySet {
    static SET: OnceLock<KeySet> = OnceLock::new();
    SET.get_or_init(|| key_set([LabelUse::Sign, LabelUse::Verify]))
}

fn sealing() -> &'static KeySet {
    static SET: OnceLock<KeySet> = OnceLock::new();
    SET.get_or_init(|| key_set([LabelUse::Encrypt, LabelUse::Decrypt]))
}

fn verify(bytes: &[u8]) {
    let Ok(token) = std::str::from_utf8(bytes) else { return };
    for detached_payload in [None, Some(PAYLOAD)] {
        let options = VerifyOptions { detached_payload, typ: None };
        for verified in
            [jws::verify(signing(), token, &options), jws::verify_json(signing(), token, &options)]
                .into_iter()
                .flatten()
        {
            assert_eq!(verified.payload, PAYLOAD, "a forged token was accepted");
            assert_eq!(verified.algorithm.operation, Operation::Sign);
        }
    }
    drop(jws::unverified_header(signing(), token));
}

fn decrypt(bytes: &[u8]) {
    let Ok(token) = std::str::from_utf8(bytes) else { return };
    for opened in [jwe::decrypt(sealing(), token), jwe::decrypt_json(sealing(), token)] {
        // Everybody may encrypt to a public key: only what shared keys opened must be ours.
        if let Ok(opened) = opened
            && opened.key.key.public_parameters().is_none()
            && !opened.plaintext.ct_eq(PAYLOAD)
        {
            let inner = std::str::from_utf8(opened.plaintext.expose_secret()).unwrap_or_default();
            let nested = jws::verify(signing(), inner, &VerifyOptions::default());
            assert!(nested.is_ok(), "a forged token was decrypted");
        }
    }
    drop(nested::open(sealing(), signing(), token, &VerifyOptions::default()));
}

/// Whoever has the keys of sessions may put anything into one.
fn open_session(bytes: &[u8]) {
    static SESSIONS: OnceLock<(Sessions, Arc<KeySet>)> = OnceLock::new();
    let (sessions, keys) = SESSIONS.get_or_init(sessions);
    let typ = Some(session::TYP.into());
    let options = SignOptions { typ, ..SignOptions::default() };
    let token = jws::sign(keys, bytes, &options).expect("signed");
    if let Ok(session) = sessions.open_at_any_time(&token) {
        let claims = json::parse_strict_object(bytes, 16).expect("strict JSON was accepted");
        let id = claims.get("jti").and_then(serde_json::Value::as_str);
        assert!(session.id() == id && id.is_some_and(|id| !id.is_empty()));
        assert!(session.times().is_some() && session.realm().is_none());
        // Nothing but what is ours is taken off.
        let ours = ["jti", "iat", "exp", "idle", "seen"];
        let kept = session.claims().keys().filter(|name| claims.contains_key(*name)).count();
        let taken = ours.iter().filter(|name| claims.contains_key(**name)).count();
        assert_eq!(kept + taken, claims.len());
        if sessions.check(&session).is_ok() {
            let again = sessions.refresh(&session).expect("used");
            let opened = sessions.open(&again.token).expect("opened again");
            assert_eq!(opened.claims(), session.claims());
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(sessions.open(text).is_err(), "a forged session was accepted");
        if let Ok(denied) = DeniedIds::parse(text) {
            assert_eq!(DeniedIds::parse(&denied.to_text()).expect("our own text"), denied);
        }
    }
}

/// Sessions that are signed with a key of the repository, and that key.
fn sessions() -> (Sessions, Arc<KeySet>) {
    const LABEL: &str = "am.global.services.session.clientbased.signing.HMAC";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let keys = ["keystores/tokens.jwks", "../keystores/tokens.jwks"].map(|name| root.join(name));
    let path = keys.iter().find(|path| path.exists()).expect("the keys of the repository");
    let text = format!(
        "[sessions]\nsigning = [\"HMAC\"]\nencryption = []\n[stores.keys]\nkind = \"keystore\"\npath = {path:?}\n\
         integrity = \"none\"\n[stores.keys.mappings]\n\"{LABEL}\" = [\"sign-hmac\"]\n"
    );
    let config = Config::from_text(&text, "claviger.toml".as_ref()).expect("a configuration");
    let clock = Clock::from_fn(|| UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let keyring = Keyring::from_config(config, clock).expect("a keyring");
    let keys = keyring.label(LABEL).and_then(|label| label.keys()).expect("mapped");
    (keyring.sessions(), keys)
}

fn read_json(bytes: &[u8]) {
    let usual = serde_json::from_slice::<serde_json::Value>(bytes).ok();
    if let Ok(strict) = json::parse_strict(bytes, 16) {
        assert_eq!(Some(strict), usual, "strict reading differs from the usual one");
    }
    let rules = ClaimRules { audience: Some("alice"), ..ClaimRules::default() };
    drop(claims::check(bytes, &rules, UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
}

fn read_jwk(bytes: &[u8]) {
    if let Ok(container) = jwk::read(bytes, &limits()) {
        use_entries(&container);
        for entry in &container.entries {
            again(entry);
        }
    }
    drop(stores::load_jwks(bytes));
}

/// A key that is written and read again is the same key.
fn again(entry: &Entry) {
    let Some(key) = key_of(entry) else { return };
    let Ok(text) = jwk::write(entry, false) else { return };
    let read = jwk::read(text.expose_secret().as_bytes(), &limits()).unwrap();
    let same = key_of(&read.entries[0]).unwrap();
    assert_eq!(key.thumbprint(), same.thumbprint(), "a written key reads as another");
}

fn read_pem(bytes: &[u8]) {
    let password = SecretString::from_string(PASSWORD.into());
    for store in [None, Some(&password)] {
        let passwords = Passwords { store, entry: None };
        if let Ok(container) = pem::read(bytes, &passwords, &limits()) {
            use_entries(&container);
        }
    }
}

fn read_der(bytes: &[u8]) {
    let password = SecretString::from_string(PASSWORD.into());
    let passwords = Passwords { store: Some(&password), entry: None };
    if let Ok(container) = der::read(bytes, &passwords, &limits()) {
        use_entries(&container);
    }
    sniffed(bytes, &passwords);
}

/// With the store password the digest guards everything; with the entries' alone the parser is open.
fn read_java(bytes: &[u8]) {
    let password = SecretString::from_string(PASSWORD.into());
    for passwords in [
        Passwords { store: Some(&password), entry: None },
        Passwords { store: None, entry: Some(&password) },
    ] {
        if let Ok(container) = jks::read(bytes, &passwords, &limits(), false) {
            use_entries(&container);
        }
        sniffed(bytes, &passwords);
    }
}

fn read_pkcs12(bytes: &[u8]) {
    let password = SecretString::from_string(PASSWORD.into());
    for store in [None, Some(&password)] {
        let passwords = Passwords { store, entry: None };
        if let Ok(container) = pkcs12::read(bytes, &passwords, &limits(), false) {
            use_entries(&container);
        }
        sniffed(bytes, &passwords);
    }
}

/// As a store opens it: told apart by content.
fn sniffed(bytes: &[u8], passwords: &Passwords<'_>) {
    if let Ok(container) = formats::open(bytes, None, passwords, &limits(), true) {
        assert_eq!(formats::sniff(bytes), Some(container.container_type));
    }
}

/// Small work, so that the parser and not the key derivation takes the time.
fn limits() -> Limits {
    Limits {
        max_iterations: 2_048,
        max_total_iterations: 8_192,
        max_entries: 64,
        ..Limits::default()
    }
}

/// What was read becomes keys and is written again; each may be refused, none may fail otherwise.
fn use_entries(container: &Container) {
    for entry in &container.entries {
        drop(key_of(entry));
        for public_only in [false, true] {
            drop(pem::write(std::slice::from_ref(entry), public_only));
            drop(jwk::write(entry, public_only));
        }
    }
}

fn key_of(entry: &Entry) -> Option<Key> {
    let copy = |bytes: &SecretBytes| SecretBytes::from_slice(bytes.expose_secret());
    match &entry.material {
        Material::PrivateKey(pkcs8) => Key::from_private(pkcs8, entry.chain.clone()).ok(),
        Material::PublicKey(spki) => Key::from_public(spki).ok(),
        Material::Certificate => Key::from_certificates(entry.chain.clone()).ok(),
        Material::Secret(bytes) | Material::SecretKey { bytes, .. } => {
            Key::from_secret(copy(bytes), OctType::Any).ok()
        }
        _ => None,
    }
}

fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (config, problems) = Config::parse(text, Path::new("claviger.toml"));
    for problem in &problems {
        assert!(!problem.code.is_empty() && !problem.message.is_empty());
        let Some(place) = &problem.location else { continue };
        assert!(
            text.get(place.span.clone()).is_some(),
            "{}: a place outside the text",
            problem.code
        );
        assert!(place.line >= 1 && place.column >= 1);
    }
    assert!(config.is_some() || !problems.is_empty(), "refused without a reason");
}

fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(label) = text.parse::<LabelName>() {
        assert_eq!(label.as_str(), text);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'));
        assert!(!text.contains("..") && !text.starts_with('.') && !text.ends_with('.'));
        let canonical = catalogue::canonical(&label);
        assert_eq!(catalogue::canonical(&canonical), canonical);
        drop(catalogue::find(&label));
        drop(catalogue::fallbacks_of(&label));
        assert!(!stores::variable_of(&label).contains(['=', '.', '/']));
    }
    if let Ok(alias) = text.parse::<Alias>() {
        assert!(alias.as_str() == text && !text.chars().any(char::is_control));
    }
    if let Ok(store) = text.parse::<StoreName>() {
        assert!(store.as_str() == text && !text.contains(['.', '/']));
    }
    if let Ok(realm) = text.parse::<Realm>() {
        assert!(
            realm.as_str() == text && text.split('/').all(|part| !part.is_empty() && part != "..")
        );
    }
}

fn unseal(bytes: &[u8]) {
    static KEY: OnceLock<Key> = OnceLock::new();
    let key = KEY
        .get_or_init(|| Key::from_secret(SecretBytes::from_slice(&[7; 32]), OctType::Aes).unwrap());
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(plain) = sealed::decode(key, text) {
        assert!(plain.ct_eq(PAYLOAD), "a forged value was opened");
    }
}

/// XML and what carries it.
#[cfg(feature = "saml")]
pub(crate) mod saml {
    use std::sync::OnceLock;

    use claviger::alg::{ALGORITHMS, Status};
    use claviger::catalogue::LabelUse;
    use claviger::ops::{KeySet, KeySetPolicy};
    use claviger::profiles::saml::metadata::PeerMetadata;
    use claviger::profiles::saml::{self, Encryptable, Expect, binding, redirect};
    use claviger::xmlsec::{CanonicalForm, PeerPolicy, Trust, XmlLimits, canonicalize};

    const LIMITS: XmlLimits = XmlLimits::MESSAGE;
    /// What every message of ours holds.
    pub(crate) const MESSAGE: &str = "<p:Response xmlns:p=\"urn:oasis:names:tc:SAML:2.0:protocol\" ID=\"_r\">\
        <a:Assertion xmlns:a=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_a\"><a:Subject>\
        <a:NameID>alice</a:NameID></a:Subject></a:Assertion></p:Response>";

    /// The RSA key that assertions are encrypted to, for what is on.
    pub(crate) fn opening() -> &'static KeySet {
        static SET: OnceLock<KeySet> = OnceLock::new();
        SET.get_or_init(|| {
            let keys = include_bytes!("../../keystores/tokens.jwks");
            let mut keys: serde_json::Value = serde_json::from_slice(keys).unwrap();
            keys["keys"].as_array_mut().unwrap().retain(|key| key["kid"] == "seal-rsa");
            let rows = ALGORITHMS.iter().filter(|row| row.status == Status::On).collect();
            let label = "app.fuzz".parse().unwrap();
            let uses = vec![LabelUse::Decrypt];
            let policy = KeySetPolicy::default();
            KeySet::from_jwks(label, uses, keys.to_string().as_bytes(), rows, policy).unwrap()
        })
    }

    pub(super) fn document(bytes: &[u8]) {
        let form = CanonicalForm { inclusive: true, comments: true, ..CanonicalForm::default() };
        let read = canonicalize(bytes, None, &form, &LIMITS);
        as_others_read(bytes, &read);
        if let Ok(octets) = read {
            // Canonical text may be longer than what it was made of.
            let more = XmlLimits { max_bytes: usize::MAX, ..LIMITS };
            let again = canonicalize(&octets, None, &form, &more).unwrap();
            assert!(again == octets, "a canonical form is not its own");
        }
        let policy = PeerPolicy::default();
        let trust = Trust::Label(super::signing());
        for expect in [Expect::Any, Expect::Message, Expect::Assertion(None)] {
            for one in saml::verify(bytes, expect, trust, &policy, &LIMITS).unwrap_or_default() {
                let text = String::from_utf8(one.octets).unwrap();
                assert!(text.contains(">alice<"), "a forged message was accepted");
            }
        }
        for kind in Encryptable::ALL {
            for one in saml::decrypt(opening(), bytes, kind, &policy).unwrap_or_default() {
                let text = std::str::from_utf8(one.xml.expose_secret()).unwrap();
                assert!(text.contains(">alice<"), "a forged assertion was decrypted");
            }
        }
        drop(PeerMetadata::read(bytes, None, &LIMITS));
        let _ = binding::unwrap_artifact(bytes, &LIMITS);
        if let Ok(message) = binding::unwrap_soap(bytes, &LIMITS) {
            assert!(canonicalize(message.as_bytes(), None, &form, &LIMITS).is_ok());
        }
    }

    /// Where this reader is stricter than roxmltree, by a word of its reason.
    const STRICTER: [&str; 17] = [
        "a reference is to no character",
        "a name is none",
        "has a target that none has",
        "at its very beginning",
        "takes back a prefix",
        "declares a prefix twice",
        "declares the namespace of declarations",
        "whose URI is relative",
        "an attribute twice",
        "not XML 1.0",
        "an encoding other",
        "its declaration is not",
        "a document type",
        "behind the document element",
        "no value",
        "character that XML has not",
        "the namespace of \"xml\"",
    ];

    /// What is read here is XML to roxmltree too, and says the same; what is not is none to it either, or there
    /// is a known reason.
    fn as_others_read(bytes: &[u8], read: &claviger::error::Result<Vec<u8>>) {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        match read {
            Ok(octets) => {
                let other = roxmltree::Document::parse(&text).expect("XML to roxmltree");
                let octets = std::str::from_utf8(octets).expect("UTF-8");
                let again = roxmltree::Document::parse(octets).expect("canonical XML");
                assert_eq!(told(&other), told(&again), "it reads as something else");
            }
            Err(error) if error.kind() == claviger::error::ErrorKind::Malformed => {
                // To roxmltree `</:b>` ends `<b>`; no name begins with a colon (Namespaces in XML 1.0, QName).
                let says = |why: &str| error.message().contains(why);
                let known = STRICTER.iter().any(|why| says(why))
                    || (says("an end tag has another name") && text.contains("</:"));
                let other = roxmltree::Document::parse(&text);
                assert!(known || other.is_err(), "{error}, and roxmltree reads it");
            }
            Err(_) => {}
        }
    }

    /// Everything that a tree says of its document element, a line each.
    fn told(tree: &roxmltree::Document<'_>) -> Vec<String> {
        let mut lines = Vec::new();
        for node in tree.root_element().descendants() {
            let depth = node.ancestors().count();
            let mut attributes: Vec<_> =
                node.attributes().map(|one| (one.namespace(), one.name(), one.value())).collect();
            attributes.sort_unstable();
            let text = if node.is_element() { None } else { node.text() };
            // `xmlns=""` where there is no default namespace anyway is left out of canonical text.
            let namespace = node.tag_name().namespace().filter(|uri| !uri.is_empty());
            let name = (namespace, node.tag_name().name());
            // An instruction may lose white space in front of its value, and an empty text its node.
            if text != Some("") {
                lines.push(format!("{depth} {:?} {attributes:?} {text:?} {:?}", name, node.pi()));
            }
        }
        lines
    }

    pub(super) fn query(bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let trust = Trust::Label(super::signing());
        if let Ok(found) = redirect::verify(text, trust, &PeerPolicy::default(), &LIMITS) {
            assert_eq!(found.message, MESSAGE, "a forged query was accepted");
        }
        if let Ok(message) = binding::decode_post(text, &LIMITS) {
            let again = binding::decode_post(&binding::encode_post(&message), &LIMITS).unwrap();
            assert_eq!(again, message);
        }
    }
}
