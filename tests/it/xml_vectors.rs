//! Every XML vector of `vectors/xml/INDEX.tsv` has the verdict that the strict profile of SAML gives it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use claviger::alg::{ALGORITHMS, Operation};
use claviger::catalogue::LabelUse;
use claviger::crypto::Key;
use claviger::error::Result;
use claviger::formats::JwkHints;
use claviger::ops::{KeySet, KeySetPolicy, LabelKey};
use claviger::profiles::saml::metadata::PeerMetadata;
use claviger::profiles::saml::{self, Encryptable, Expect, redirect};
use claviger::secret::SecretBytes;
use claviger::xmlsec::dsig::{self, Target, VerifiedElement};
use claviger::xmlsec::enc::{self, Place, Wanted};
use claviger::xmlsec::{ElementName, PeerKey, PeerKeys, PeerPolicy, Trust, XmlLimits};

use crate::support::vectors;

const EVIL: &str = "admin@keyring.test";

/// Vectors whose core result is valid and that the profile refuses: path, tab, reason.
const OUTSIDE: &str = include_str!("../vectors/xml/outside_profile.tsv");

struct Row {
    path: String,
    kind: String,
    expect: String,
    consumes: String,
    keys: String,
    needs: Vec<String>,
}

impl Row {
    fn policy(&self) -> PeerPolicy {
        PeerPolicy::of(self.needs.iter().map(String::as_str)).unwrap()
    }
}

fn rows(root: &Path) -> Vec<Row> {
    let index = std::fs::read_to_string(root.join("INDEX.tsv")).unwrap();
    let read = |line: &str| {
        let cells: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let needs = cells[6].split(',').filter(|one| *one != "-").map(str::to_owned).collect();
        Row {
            path: cells[0].clone(),
            kind: cells[1].clone(),
            expect: cells[2].clone(),
            consumes: cells[4].clone(),
            keys: cells[5].clone(),
            needs,
        }
    };
    index.lines().skip(1).map(read).collect()
}

/// The text of every NameID, as far as the element is an assertion or response.
fn name_ids(octets: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(octets).unwrap();
    let tree = roxmltree::Document::parse(text).unwrap();
    let is_name = |node: &roxmltree::Node<'_, '_>| node.tag_name().name() == "NameID";
    let text_of = |node: roxmltree::Node<'_, '_>| {
        node.descendants().filter(|one| one.is_text()).filter_map(|one| one.text()).collect()
    };
    tree.descendants().filter(is_name).map(text_of).collect()
}

fn set(uses: Vec<LabelUse>, keys: Vec<Key>) -> KeySet {
    let named = keys.into_iter().enumerate().map(|(index, key)| LabelKey {
        alias: format!("key-{index}").parse().unwrap(),
        store: "test".parse().unwrap(),
        realm: None,
        kid: format!("key-{index}"),
        key,
        hints: JwkHints::default(),
        usage: claviger::usage::KeyUsage::default(),
    });
    let rows = ALGORITHMS
        .iter()
        .filter(|row| row.operation != Operation::XmlSign && row.operation != Operation::XmlContent)
        .filter(|row| row.name != "RSA1_5")
        .collect();
    KeySet::new("app.xml".parse().unwrap(), uses, named.collect(), rows, KeySetPolicy::default())
        .unwrap()
}

fn private_key(path: &Path) -> Key {
    let bytes = std::fs::read(path).unwrap();
    let key = openssl::pkey::PKey::private_key_from_pem(&bytes)
        .or_else(|_| openssl::pkey::PKey::private_key_from_pem_passphrase(&bytes, b"secret123"))
        .or_else(|_| openssl::pkey::PKey::private_key_from_der(&bytes))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let pkcs8 = SecretBytes::from_vec(key.private_key_to_pkcs8().unwrap());
    Key::from_private(&pkcs8, Vec::new()).unwrap()
}

fn certificates_in(document: &str) -> Option<PeerKeys> {
    let mut keys = Vec::new();
    for part in document.split("X509Certificate>").skip(1).step_by(2) {
        let body = part.split("</").next().unwrap_or_default();
        let pem = format!("-----BEGIN CERTIFICATE-----{body}-----END CERTIFICATE-----");
        if let Ok(found) = PeerKeys::from_file(pem.as_bytes()) {
            keys.extend(found.keys().iter().cloned());
        }
    }
    PeerKeys::new(keys).ok()
}

/// Whom a row trusts to sign.
fn trusted(root: &Path, row: &Row, document: &str) -> Option<PeerKeys> {
    if row.kind.starts_with("gen-") {
        let mut keys = Vec::new();
        for name in row.keys.split(',') {
            let pem = std::fs::read(root.join(format!("{name}.crt"))).unwrap();
            keys.extend(PeerKeys::from_file(&pem).unwrap().keys().iter().cloned());
        }
        return PeerKeys::new(keys).ok();
    }
    let mut keys: Vec<PeerKey> = Vec::new();
    if let Some(embedded) = certificates_in(document) {
        keys.extend(embedded.keys().iter().cloned());
    }
    // Certificates of the repositories that the documents come from.
    let folder = root.join(&row.path);
    let repository = row.path.split('/').take(2).collect::<PathBuf>();
    if keys.is_empty() && folder.exists() {
        let mut files = Vec::new();
        walk(&root.join(repository), &mut files);
        for file in files.iter().filter(|file| {
            file.extension().is_some_and(|extension| extension == "pem" || extension == "crt")
        }) {
            let found = PeerKeys::from_file(&std::fs::read(file).unwrap());
            keys.extend(found.into_iter().flat_map(|found| found.keys().to_vec()));
        }
    }
    PeerKeys::new(keys).ok()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

fn verify(
    document: &[u8],
    expect: Expect<'_>,
    trust: &PeerKeys,
    policy: &PeerPolicy,
) -> Result<Vec<VerifiedElement>> {
    let trust = Trust::Certificates(trust);
    saml::verify(document, expect, trust, policy, &XmlLimits::MESSAGE)
}

/// What is wrong with a row, if anything.
fn fault_of_signature(root: &Path, row: &Row, outside: &BTreeMap<&str, &str>) -> Option<String> {
    let document = std::fs::read(root.join(&row.path)).unwrap();
    let text = String::from_utf8_lossy(&document);
    let trust = trusted(root, row, &text);
    // The Response is signed, and the row is about the assertion in it, which is not.
    let of_assertion = row.path.ends_with("signed_message_encrypted_unsigned_assertion.xml");
    let expect = if of_assertion { Expect::Assertion(None) } else { Expect::Any };
    let run = |policy: &PeerPolicy| match &trust {
        Some(trust) => verify(&document, expect, trust, policy).map_err(|error| {
            let reason = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {reason:?}")
        }),
        None => Err("nobody is trusted".to_owned()),
    };
    let with = run(&row.policy());
    let strict = run(&PeerPolicy::default());
    let consumed = |elements: &[VerifiedElement]| {
        let names: Vec<String> =
            elements.iter().flat_map(|element| name_ids(&element.octets)).collect();
        if names.iter().any(|name| name == EVIL) {
            return Some("the attacker's NameID came out".to_owned());
        }
        let wanted = row.consumes.as_str();
        let fits = wanted == "-" || names.iter().any(|name| name == wanted);
        (!fits).then(|| format!("{names:?} came out"))
    };
    // What is encrypted inside may be what needs them.
    let needs_switch = !row.needs.is_empty() && !text.contains("EncryptedData");
    // Without its switches it is refused, for a reason that names one of them.
    let refused_without = || match &strict {
        Ok(_) => Some("no switch was needed".to_owned()),
        Err(reason) => {
            let mut names = row.needs.iter().map(|one| format!("the switch {one} "));
            (!names.any(|one| reason.contains(&one)))
                .then(|| format!("no switch is named: {reason}"))
        }
    };
    match (row.expect.as_str(), with) {
        ("accept", Ok(found)) => {
            consumed(&found).or_else(|| needs_switch.then(refused_without).flatten())
        }
        ("accept", Err(error)) => Some(error),
        ("reject", Ok(_)) => Some("accepted".into()),
        ("policy" | "reject-unless-sha1-compat", Ok(found)) => {
            consumed(&found).or_else(refused_without)
        }
        ("policy" | "reject-unless-sha1-compat", Err(error)) => Some(error),
        ("core-valid", Ok(found)) if outside.contains_key(row.path.as_str()) => {
            Some(format!("listed as outside, and {} elements verified", found.len()))
        }
        ("core-valid", Err(_)) if outside.contains_key(row.path.as_str()) => None,
        ("core-valid", Ok(found)) => {
            consumed(&found).or_else(|| needs_switch.then(refused_without).flatten())
        }
        ("core-valid", Err(error)) => Some(error),
        ("reject", Err(_)) => None,
        (expect, found) if EITHER.contains(&expect) => found.map_or(None, |found| consumed(&found)),
        (expect, _) => Some(format!("{expect} is not known")),
    }
}

/// Verdicts that leave it to the reader: refused, or nothing comes out but what was signed.
const EITHER: [&str; 5] = [
    "accept-full-text-or-reject",
    "accept-or-reject",
    "accept-or-reject-cleanly",
    "reject-or-consume-original",
    "reject-or-consume-signed",
];

fn fault_of_redirect(root: &Path, row: &Row) -> Option<String> {
    let query = std::fs::read_to_string(root.join(&row.path)).unwrap();
    let trust = trusted(root, row, "").unwrap();
    let run = |policy: &PeerPolicy| {
        let trust = Trust::Certificates(&trust);
        redirect::verify(query.trim_end_matches('\n'), trust, policy, &XmlLimits::MESSAGE)
    };
    match (row.expect.as_str(), run(&row.policy())) {
        ("accept", Ok(found)) => {
            (!found.message.contains("samlp:")).then(|| "no message came out".into())
        }
        // A signature of SHA-1: refused unless the switch is on.
        ("reject", Ok(_)) if row.needs == ["sha1"] => {
            run(&PeerPolicy::default()).is_ok().then(|| "accepted without a switch".into())
        }
        ("reject", Ok(_)) => Some("accepted".into()),
        ("reject", Err(_)) => None,
        (_, Err(error)) => Some(format!("{error}: {:?}", std::error::Error::source(&error))),
        (expect, Ok(_)) => Some(format!("accepted, and {expect} is not known")),
    }
}

/// The keys that decrypt a row's document.
fn decryption_keys(root: &Path, row: &Row) -> Option<Vec<Key>> {
    if row.kind.starts_with("gen-") {
        let names = row.keys.split(',').filter(|name| name.contains("sp-"));
        return Some(names.map(|name| private_key(&root.join(format!("{name}.key")))).collect());
    }
    if let Some(rest) = row.keys.strip_prefix("enc:") {
        let file = rest.split([',', ';']).next()?.strip_prefix("decrypts:")?;
        let repository = row.path.split('/').take(2).collect::<PathBuf>();
        return Some(vec![private_key(&root.join(repository).join(file))]);
    }
    let words: Vec<&str> = row.keys.split(' ').collect();
    let at = words.iter().position(|word| word.starts_with("--privkey"))?;
    Some(vec![private_key(&root.join(words[at + 1]))])
}

/// xmlsec1's own suite encrypts any element: it is put where SAML has its own.
fn generic(set: &KeySet, document: &[u8], policy: &PeerPolicy) -> Result<Vec<Vec<u8>>, String> {
    let text = std::str::from_utf8(document).unwrap();
    let part = ["EncryptedData", "xenc:EncryptedData"].iter().find_map(|name| {
        let end = format!("</{name}>");
        text.get(text.find(&format!("<{name}"))?..text.rfind(&end)? + end.len())
    });
    let part = part.ok_or("no EncryptedData")?;
    let wrapped = format!("<t:wrapper xmlns:t=\"urn:t\">{part}</t:wrapper>");
    let wrapper = ElementName::new("urn:t", "wrapper");
    let wanted = Wanted { wrapper, place: Place::Top, content: &[] };
    enc::decrypt(set, wrapped.as_bytes(), &wanted, policy, &XmlLimits::MESSAGE)
        .map(|found| found.iter().map(|one| one.xml.expose_secret().to_vec()).collect())
        .map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))
}

fn fault_of_encryption(root: &Path, row: &Row, outside: &BTreeMap<&str, &str>) -> Option<String> {
    let document = std::fs::read(root.join(&row.path)).unwrap();
    let keys = decryption_keys(root, row);
    let mut policy = row.policy();
    // The keys of ruby-saml and crewjam have 1024 bits, whatever their rows say of signatures.
    policy.rsa1024 |= row.path.starts_with("saml/");
    let run = |policy: &PeerPolicy| -> Result<Vec<Vec<u8>>, String> {
        let keys = keys.clone().ok_or("no RSA key decrypts it")?;
        let set = set(vec![LabelUse::Decrypt], keys);
        let mut last = String::new();
        if row.kind == "xmlsec-enc" {
            return generic(&set, &document, policy);
        }
        for kind in Encryptable::ALL {
            match saml::decrypt(&set, &document, kind, policy) {
                Ok(found) => {
                    let xml = found.iter().map(|one| one.xml.expose_secret().to_vec());
                    return Ok(xml.collect());
                }
                Err(error) => {
                    let reason = std::error::Error::source(&error).map(ToString::to_string);
                    if reason.as_deref() != Some("there is no such encrypted element") {
                        last = format!("{error}: {reason:?}");
                    }
                }
            }
        }
        Err(last)
    };
    let consumed = |found: &[Vec<u8>]| {
        let names: Vec<String> = found.iter().flat_map(|octets| name_ids(octets)).collect();
        let wanted = row.consumes.as_str();
        let fits = wanted == "-" || names.iter().any(|name| name == wanted);
        (!fits).then(|| format!("{names:?} came out"))
    };
    let with = run(&policy);
    let strict = |switch: &str, off: PeerPolicy| {
        let named = row.needs.iter().any(|one| one == switch);
        (named && run(&off).is_ok()).then(|| format!("it decrypts without the switch {switch}"))
    };
    let refused_without = || {
        strict("cbc", PeerPolicy { cbc: false, ..policy })
            .or_else(|| strict("rsa1_5", PeerPolicy { rsa1_5: false, ..policy }))
            .or_else(|| strict("3des", PeerPolicy { triple_des: false, ..policy }))
    };
    match (row.expect.as_str(), with) {
        ("accept" | "accept-if-rsa15-allowed" | "decrypt", Ok(found)) => {
            consumed(&found).or_else(refused_without)
        }
        ("decrypt-then-verify", Ok(found)) => {
            let trust = certificates_in(std::str::from_utf8(&found[0]).unwrap()).unwrap();
            // Signatures under the encryption are of whatever age and size their repositories have.
            let policy = PeerPolicy { sha1: true, rsa1024: true, ..policy };
            match verify(&found[0], Expect::Any, &trust, &policy) {
                Ok(_) => refused_without(),
                Err(error) => Some(format!("inside: {:?}", std::error::Error::source(&error))),
            }
        }
        ("reject", Ok(_)) => Some("decrypted".into()),
        ("reject-or-unauthenticated", Ok(found)) => {
            let pem = std::fs::read(root.join("keys/idp-a.crt")).unwrap();
            let trust = PeerKeys::from_file(&pem).unwrap();
            verify(&found[0], Expect::Any, &trust, &policy)
                .is_ok()
                .then(|| "the signature inside holds".into())
        }
        ("decrypts", Ok(_)) => outside
            .contains_key(row.path.as_str())
            .then(|| "listed as outside, and it decrypts".into()),
        ("decrypts", Err(_)) if outside.contains_key(row.path.as_str()) => None,
        ("reject" | "reject-or-unauthenticated", Err(_)) => None,
        (_, Err(error)) => Some(error),
        (expect, Ok(_)) => Some(format!("decrypted, and {expect} is not known")),
    }
}

/// xmlsec1's own suite: generic signatures with the keys that its options name.
fn fault_of_generic(root: &Path, row: &Row, outside: &BTreeMap<&str, &str>) -> Option<String> {
    let document = std::fs::read(root.join(&row.path)).unwrap();
    let words: Vec<&str> = row.keys.split(' ').collect();
    let mut keys = Vec::new();
    for file in words.iter().filter(|word| word.ends_with(".pem")) {
        let pem = std::fs::read(root.join(file)).unwrap();
        if let Ok(found) = PeerKeys::from_file(&pem) {
            keys.extend(found.keys().iter().map(|one| one.key().clone()));
        } else if let Ok(key) = openssl::pkey::PKey::public_key_from_pem(&pem) {
            keys.extend(Key::from_public(&key.public_key_to_der().unwrap()));
        }
    }
    let set = (!keys.is_empty()).then(|| set(vec![LabelUse::Verify], keys));
    let verifies = |policy: &PeerPolicy| {
        let Some(set) = &set else { return false };
        let (trust, limits) = (Trust::Label(set), XmlLimits::MESSAGE);
        dsig::verify(&document, &[], &Target::Root, trust, policy, &limits).is_ok()
    };
    let verified = verifies(&row.policy());
    if !row.needs.is_empty() && verifies(&PeerPolicy::default()) {
        return Some("no switch was needed".into());
    }
    match (row.expect.as_str(), verified, outside.contains_key(row.path.as_str())) {
        ("reject", true, _) => Some("accepted".into()),
        ("core-valid", true, true) => Some("listed as outside, and it verifies".into()),
        ("core-valid", false, false) => Some("refused, and not listed".into()),
        ("core-valid" | "reject", ..) => None,
        (expect, ..) => Some(format!("{expect} is not known")),
    }
}

fn fault_of_metadata(root: &Path, row: &Row) -> Option<String> {
    let document = std::fs::read(root.join(&row.path)).unwrap();
    match PeerMetadata::read(&document, None, &XmlLimits::METADATA) {
        Ok(peer) if peer.roles.iter().any(|role| !role.signing.is_empty()) => None,
        Ok(peer) => Some(format!("no keys in {peer:?}")),
        Err(error) => Some(error.to_string()),
    }
}

#[test]
fn every_vector_has_its_verdict() {
    let Some(root) = vectors("xml") else { return };
    let outside: BTreeMap<&str, &str> = OUTSIDE
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once('\t').unwrap())
        .collect();
    let mut faults = Vec::new();
    let mut walked = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for row in rows(&root).iter().filter(|row| row.kind != "key-or-data") {
        *walked.entry(row.kind.clone()).or_insert(0) += 1;
        seen.insert(row.path.clone());
        let encrypted = row.kind == "gen-xmlenc"
            || row.kind == "xmlsec-enc"
            || row.expect.starts_with("decrypt");
        let fault = if row.expect == "unsigned" {
            fault_of_metadata(&root, row)
        } else if row.kind == "gen-redirect" {
            fault_of_redirect(&root, row)
        } else if encrypted {
            fault_of_encryption(&root, row, &outside)
        } else if row.kind == "xmlsec-dsig" {
            fault_of_generic(&root, row, &outside)
        } else {
            fault_of_signature(&root, row, &outside)
        };
        faults.extend(fault.map(|fault| format!("{} ({}): {fault}", row.path, row.expect)));
    }
    for path in outside.keys() {
        if !seen.contains(*path) {
            faults.push(format!("{path} is listed as outside, and there is no such row"));
        }
    }
    println!("XML vectors: {walked:?}");
    assert!(faults.is_empty(), "{} of {}\n{}", faults.len(), seen.len(), faults.join("\n"));
}
