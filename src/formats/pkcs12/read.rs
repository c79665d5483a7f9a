//! Reads a PFX: bounds, then the MAC, then the bags, then entries as Java shows them.

use std::collections::{HashMap, HashSet};

use der::asn1::ObjectIdentifier;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::bags::{Bag, BagContent, BagPasswords, BagReader};
use super::mac;
use crate::crypto::material::{encode_spki, parse_spki};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::asn1::{self, Node, OCTET_STRING, SEQUENCE, damaged};
use crate::formats::pbe::{self, Password, Work};
use crate::formats::public_half::public_half;
use crate::formats::{Container, ContainerType, Entry, Limits, Material, Passwords};
use crate::secret::SecretString;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.6");

/// Opens a PKCS#12 file.
///
/// # Errors
/// [`ErrorKind::WrongPassword`], [`ErrorKind::Unsupported`] with the name of the algorithm,
/// [`ErrorKind::Damaged`], [`ErrorKind::LimitExceeded`]; where only one entry is concerned, that entry is
/// [`Material::Unreadable`].
pub fn read(
    bytes: &[u8],
    passwords: &Passwords<'_>,
    limits: &Limits,
    require_integrity: bool,
) -> Result<Container> {
    let mut work = Work::new(limits);
    let mut warnings = Vec::new();
    let pfx = asn1::parse(bytes, limits)?;
    let [version, auth_safe, rest @ ..] = pfx.children(SEQUENCE)? else {
        return Err(damaged("the PFX"));
    };
    let version = version.number()?;
    if version != 3 {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("PFX version {version} is not built in"),
        ));
    }
    let (named, content) = content_info(auth_safe)?;
    if named != DATA {
        return Err(pbe::unsupported("the integrity mode", named));
    }
    // Bags that are not encrypted hold keys as they are.
    let content = Zeroizing::new(content.string(OCTET_STRING)?);
    let mut store = readings(passwords.store, 0);
    if let Some(mac_data) = rest.first() {
        let fits = mac::check(mac_data, &content, &store, &mut work)?;
        store = store.into_iter().skip(fits).take(1).collect();
    } else if require_integrity {
        return Err(Error::new(
            ErrorKind::Damaged,
            "the file has no MAC: anybody can have altered it",
        )
        .with_help("write it again with a MAC, or accept it with integrity = \"none\""));
    } else {
        warnings.push("the file has no MAC: nothing shows whether it was altered".into());
    }
    let mut all = readings(passwords.entry, 1);
    all.retain(|_| passwords.entry.is_some());
    let of_entries = all.len();
    all.extend(readings_of(&store, passwords));
    let mut entry = BagPasswords { all, of_entries, entry_fits: false, store_fits: false };
    let bags = read_safes(&content, &store, &mut entry, &mut work, &mut warnings)?;
    warnings.extend(entry.warning());
    if !work.legacy.is_empty() {
        warnings.push(format!(
            "the file is protected with legacy algorithms ({}): write it again with \
             `claviger import FILE --store NEW.p12`",
            work.legacy.join(", ")
        ));
    }
    let entries = entries(bags, &mut warnings);
    Ok(Container { container_type: ContainerType::Pkcs12, entries, warnings })
}

/// The ways to read a password: the empty one is written both as no bytes and as a terminator alone.
fn readings(password: Option<&SecretString>, tag: u8) -> Vec<Password> {
    let mut all: Vec<Password> = password.map(Password::new).into_iter().collect();
    if all.first().is_none_or(Password::is_empty) {
        all.push(Password::none());
    }
    if password.is_none() {
        all.push(Password::new(&SecretString::from_string(String::new())));
    }
    all.into_iter().map(|one| one.marked(tag)).collect()
}

fn readings_of(store: &[Password], passwords: &Passwords<'_>) -> Vec<Password> {
    let all = readings(passwords.store, 0);
    if store.len() == all.len() { all } else { readings(passwords.store, 0) }
}

fn content_info<'n, 'a>(info: &'n Node<'a>) -> Result<(ObjectIdentifier, &'n Node<'a>)> {
    let [named, content] = info.children(SEQUENCE)? else { return Err(damaged("a ContentInfo")) };
    let [content] = content.context(0)? else {
        return Err(damaged("the content of a ContentInfo"));
    };
    Ok((named.oid()?, content))
}

fn read_safes(
    authenticated_safe: &[u8],
    store: &[Password],
    entry: &mut BagPasswords,
    work: &mut Work<'_>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Bag>> {
    let safes = asn1::parse(authenticated_safe, work.limits)?;
    let mut bags = Vec::new();
    for safe in safes.children(SEQUENCE)? {
        let (named, content) = content_info(safe)?;
        let plain = if named == DATA {
            crate::secret::SecretBytes::from_vec(content.string(OCTET_STRING)?)
        } else if named == ENCRYPTED_DATA {
            decrypt_safe(content, store, work)?
        } else {
            return Err(pbe::unsupported("the privacy mode", named));
        };
        // EXPOSE: read into entries that wipe themselves.
        let contents = asn1::parse(plain.expose_secret(), work.limits)?;
        let mut reader = BagReader { passwords: entry, work, warnings, bags };
        reader.safe_contents(&contents)?;
        bags = reader.bags;
    }
    Ok(bags)
}

/// `EncryptedData ::= SEQUENCE { version, SEQUENCE { contentType, algorithm, [0] IMPLICIT content } }`
fn decrypt_safe(
    data: &Node<'_>,
    passwords: &[Password],
    work: &mut Work<'_>,
) -> Result<crate::secret::SecretBytes> {
    const IMPLICIT_CONTENT: u8 = 0x80;
    let [_, info, ..] = data.children(SEQUENCE)? else { return Err(damaged("EncryptedData")) };
    let [_, algorithm, content] = info.children(SEQUENCE)? else {
        return Err(damaged("EncryptedContentInfo"));
    };
    let text = content.string(IMPLICIT_CONTENT)?;
    let mut last = pbe::wrong();
    for password in passwords {
        match pbe::decrypt(algorithm, &text, password, work) {
            // EXPOSE: the shape alone is looked at.
            Ok(plain) if pbe::is_whole_sequence(plain.expose_secret()) => return Ok(plain),
            Ok(_) => last = pbe::wrong(),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Bags become entries: a key with the chain of its certificate, secrets, and certificates of their own.
fn entries(bags: Vec<Bag>, warnings: &mut Vec<String>) -> Vec<Entry> {
    let mut certificates = Vec::new();
    let mut secrets = Vec::new();
    for bag in bags {
        match bag.content {
            BagContent::Certificate(der) => certificates.push(CertificateBag {
                der,
                friendly_name: bag.friendly_name,
                local_key_id: bag.local_key_id,
                trusted: bag.trusted,
                used: false,
            }),
            BagContent::Secret(material) => {
                secrets.push((material, bag.friendly_name, bag.local_key_id));
            }
        }
    }
    let mut unnamed = 0;
    let mut alias_of = |name: Option<String>| {
        name.filter(|name| !name.is_empty()).unwrap_or_else(|| {
            unnamed += 1;
            unnamed.to_string()
        })
    };
    let index = CertificateIndex::new(&certificates);
    let mut entries = Vec::new();
    for (material, name, key_id) in secrets {
        let mut entry = Entry::new(alias_of(name), material);
        if !matches!(entry.material, Material::SecretKey { .. } | Material::Secret(_)) {
            entry.chain = chain(&mut certificates, &index, key_id.as_deref(), &entry);
        }
        entries.push(entry);
    }
    // The certificates of an issuer may be kept once for each key.
    let chains: HashSet<Vec<u8>> =
        certificates.iter().filter(|one| one.used).map(|one| one.der.clone()).collect();
    for certificate in certificates {
        if !certificate.trusted && chains.contains(&certificate.der) {
            continue;
        }
        let mut entry = Entry::new(alias_of(certificate.friendly_name), Material::Certificate);
        entry.chain = vec![certificate.der];
        entries.push(entry);
    }
    without_twins(entries, warnings)
}

struct CertificateBag {
    der: Vec<u8>,
    friendly_name: Option<String>,
    local_key_id: Option<Vec<u8>>,
    trusted: bool,
    used: bool,
}

/// Where certificates are, so that many keys with many certificates cost no more than both together.
#[derive(Default)]
struct CertificateIndex {
    by_key_id: HashMap<Vec<u8>, usize>,
    by_public_key: HashMap<Vec<u8>, usize>,
    by_subject: HashMap<Vec<u8>, usize>,
}

impl CertificateIndex {
    fn new(certificates: &[CertificateBag]) -> Self {
        let mut index = Self::default();
        for (position, certificate) in certificates.iter().enumerate() {
            if let Some(id) = &certificate.local_key_id {
                index.by_key_id.entry(id.clone()).or_insert(position);
            }
            if let Ok((_, parsed)) = X509Certificate::from_der(&certificate.der) {
                let subject = parsed.subject().as_raw().to_vec();
                index.by_subject.entry(subject).or_insert(position);
                if let Some(key) = plain_spki(parsed.public_key().raw) {
                    index.by_public_key.entry(key).or_insert(position);
                }
            }
        }
        index
    }
}

/// The SubjectPublicKeyInfo without what may differ for one key (RSA and RSASSA-PSS identifiers).
fn plain_spki(spki: &[u8]) -> Option<Vec<u8>> {
    parse_spki(spki).and_then(|public| encode_spki(&public)).ok()
}

/// The leaf by localKeyID, else by the public key; then each issuer up to a self-signed one.
fn chain(
    certificates: &mut [CertificateBag],
    index: &CertificateIndex,
    key_id: Option<&[u8]>,
    entry: &Entry,
) -> Vec<Vec<u8>> {
    let by_id = key_id.and_then(|key_id| index.by_key_id.get(key_id).copied());
    let leaf = by_id.or_else(|| {
        let Material::PrivateKey(pkcs8) = &entry.material else { return None };
        // EXPOSE: the public half alone is derived.
        let ours = plain_spki(&public_half(pkcs8.expose_secret())?)?;
        index.by_public_key.get(&ours).copied()
    });
    let mut chain = Vec::new();
    let mut next = leaf;
    while let Some(position) = next {
        let Some(certificate) = certificates.get_mut(position) else { break };
        certificate.used = true;
        if chain.contains(&certificate.der) || chain.len() > 16 {
            break;
        }
        chain.push(certificate.der.clone());
        let issuer = X509Certificate::from_der(&certificate.der).ok().and_then(|(_, parsed)| {
            (parsed.issuer() != parsed.subject()).then(|| parsed.issuer().as_raw().to_vec())
        });
        next = issuer.and_then(|issuer| index.by_subject.get(&issuer).copied());
    }
    chain
}

/// Java keeps one entry an alias, compared without case: the last.
fn without_twins(entries: Vec<Entry>, warnings: &mut Vec<String>) -> Vec<Entry> {
    let mut positions: HashMap<String, usize> = HashMap::new();
    let mut kept: Vec<Entry> = Vec::new();
    for entry in entries {
        let folded = entry.alias.to_lowercase();
        match positions.get(&folded).and_then(|position| kept.get_mut(*position)) {
            Some(twin) => {
                let alias = entry.alias.escape_debug();
                warnings.push(format!("the alias \"{alias}\" occurs twice: the last one is taken"));
                *twin = entry;
            }
            None => {
                positions.insert(folded, kept.len());
                kept.push(entry);
            }
        }
    }
    kept
}
