//! Making keys and moving them between containers; what is written is PKCS#12, PEM, JWK or DER.

use std::ops::RangeInclusive;
use std::time::SystemTime;

use base64ct::{Base64, Encoding};
use serde::Serialize;

use super::append::append;
use super::inspect::{EntryDescription, EntryProblem, OpenOptions, describe, open};
use crate::alg::Curve;
use crate::clock::to_unix;
use crate::crypto::generate::{KeySpec, generate as generate_key};
use crate::crypto::material::encode_spki;
use crate::crypto::{Key, certificate, random};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::{
    self, Container, ContainerType, Entry, Limits, Material, Passwords, SecretKeyType, jwk, pem,
    pkcs12,
};
use crate::secret::{SecretBytes, SecretString};

/// A new key.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the options of `generate`, explained in its help")]
pub struct GenerateOptions<'a> {
    pub alias: &'a str,
    /// `rsa`, `ec`, `ed25519`, `ed448`, `x25519`, `x448`, `aes`, `hmac` or `password`.
    pub key_type: &'a str,
    pub bits: Option<usize>,
    pub curve: Option<&'a str>,
    /// The certificate's subject; `CN=` and the alias without.
    pub subject: Option<&'a str>,
    /// How long the certificate is valid; 1 to 36,500.
    pub days: u32,
    pub now: SystemTime,
}

/// What a change made: the new content of the file, and what to tell about it.
#[derive(Debug, Serialize)]
pub struct Change {
    /// The whole new file.
    #[serde(skip)]
    pub content: SecretBytes,
    /// The entries that were added, written or removed.
    pub entries: Vec<EntryDescription>,
    /// The entries that were left out, and why.
    pub skipped: Vec<Skipped>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// An entry that was left out.
#[derive(Clone, Debug, Serialize)]
pub struct Skipped {
    /// Its alias.
    pub alias: String,
    /// Why.
    pub error: EntryProblem,
}

/// Adds a new key to a keystore: PKCS#12, PEM or JWK; `existing` is its content, `None` for a new PKCS#12 one.
/// In a PEM file it goes by its number, whatever alias is asked for.
///
/// # Errors
/// [`ErrorKind::Usage`] for wrong options or an alias that is there already; [`ErrorKind::Unsupported`] for
/// formats that are not written; the reader's own.
pub fn generate_into(
    existing: Option<&SecretBytes>,
    password: &SecretString,
    options: &GenerateOptions<'_>,
) -> Result<Change> {
    let found = existing.and_then(|bytes| formats::sniff(bytes.expose_secret()));
    if let (Some(existing), Some(found)) = (existing, found.filter(|found| is_text(*found))) {
        let (entry, warnings) = make(options)?;
        let (content, entry) = append(existing, found, password, entry)?;
        return Ok(Change {
            content,
            entries: vec![describe(&entry)],
            skipped: Vec::new(),
            warnings,
        });
    }
    if options.key_type == "password" {
        return Err(Error::new(ErrorKind::Usage, "PKCS#12 holds no passwords")
            .with_help(
                "write it into a file of its own with --out FILE; for a label, name a store of files (kind = \"volume\")",
            ));
    }
    let mut entries = open_target(existing, password)?;
    refuse_taken(&entries, options.alias)?;
    let (entry, warnings) = make(options)?;
    let added = describe(&entry);
    entries.push(entry);
    change(&entries, password, vec![added], warnings)
}

/// Whether a keystore is text, to which a key can be added without a password.
#[must_use]
pub fn is_text_keystore(bytes: &SecretBytes) -> bool {
    formats::sniff(bytes.expose_secret()).is_some_and(is_text)
}

const fn is_text(found: ContainerType) -> bool {
    matches!(found, ContainerType::Jwk | ContainerType::Jwks | ContainerType::Pem)
}

/// A new key as a file of its own: `pem` or `jwk`.
///
/// # Errors
/// [`ErrorKind::Usage`] for wrong options.
pub fn generate_file(format: &str, options: &GenerateOptions<'_>) -> Result<Change> {
    let (mut entry, warnings) = make(options)?;
    entry.hints.kid = Some(options.alias.to_owned());
    let content = encode(&entry, format, false)?;
    Ok(Change { content, entries: vec![describe(&entry)], skipped: Vec::new(), warnings })
}

/// Copies entries of a container into a PKCS#12 keystore: those named, or all.
///
/// # Errors
/// [`ErrorKind::UnknownAlias`] for a name that is not there; [`ErrorKind::AliasTaken`] for one that the target has;
/// [`ErrorKind::Usage`] for an empty password, and where there is nothing to import; what stopped the first entry,
/// where none could be imported; the readers' own.
pub fn import(
    source: &SecretBytes,
    options: &OpenOptions<'_>,
    names: &[String],
    rename: Option<&str>,
    target: Option<&SecretBytes>,
    password: &SecretString,
) -> Result<Change> {
    let source = open(source, options).map_err(|error| match error.kind() {
        ErrorKind::WrongPassword => error.with_help(SOURCE_PASSWORD),
        _ => error,
    })?;
    if let Some(missing) = names.iter().find(|name| position(&source, name).is_none()) {
        return Err(unknown(missing));
    }
    let wanted = |alias: &str| names.is_empty() || names.iter().any(|name| same(name, alias));
    let chosen: Vec<Entry> =
        source.entries.into_iter().filter(|entry| wanted(&entry.alias)).collect();
    if rename.is_some() && chosen.len() != 1 {
        let text = format!("one new name does not fit {} entries", chosen.len());
        return Err(Error::new(ErrorKind::Usage, text).with_help("name one entry with --alias"));
    }
    let mut entries = open_target(target, password)?;
    let (mut added, mut skipped) = (Vec::new(), Vec::new());
    let mut first_refused = None;
    for mut entry in chosen {
        if let Some(name) = rename {
            name.clone_into(&mut entry.alias);
        }
        refuse_taken(&entries, &entry.alias)?;
        // Written alone first: one entry that PKCS#12 cannot hold must not stop the others.
        let refused = match &entry.material {
            Material::Unreadable(error) => Some(error.repeat()),
            _ => pkcs12::write(std::slice::from_ref(&entry), password).err(),
        };
        match refused {
            Some(error) => {
                let problem = EntryProblem::from(&error);
                first_refused
                    .get_or_insert_with(|| nothing_imported(&entry.alias, &error, options));
                skipped.push(Skipped { alias: entry.alias, error: problem });
            }
            None => {
                added.push(describe(&entry));
                entries.push(entry);
            }
        }
    }
    if added.is_empty() {
        return Err(first_refused
            .unwrap_or_else(|| Error::new(ErrorKind::Usage, "there is nothing to import")));
    }
    Ok(Change { skipped, ..change(&entries, password, added, source.warnings)? })
}

fn nothing_imported(alias: &str, error: &Error, options: &OpenOptions<'_>) -> Error {
    let text = format!("nothing was imported: {alias:?}: {}", error.message());
    let without = options.store_password.is_none() && options.entry_password.is_none();
    let help = match error.kind() {
        ErrorKind::WrongPassword if without => Some(SOURCE_PASSWORD),
        ErrorKind::WrongPassword => Some(ENTRY_PASSWORD),
        _ => error.help(),
    };
    let stopped = Error::new(error.kind(), text);
    match help {
        Some(help) => stopped.with_help(help.to_owned()),
        None => stopped,
    }
}

/// One entry as `pem`, `jwk` or `der`; `private` includes the private or secret key.
///
/// # Errors
/// [`ErrorKind::UnknownAlias`]; [`ErrorKind::Usage`] for the public half of a secret.
pub fn export(
    source: &SecretBytes,
    options: &OpenOptions<'_>,
    alias: &str,
    format: &str,
    private: bool,
) -> Result<Change> {
    let mut container = open(source, options)?;
    let at = position(&container, alias).ok_or_else(|| unknown(alias))?;
    let mut entry = container.entries.swap_remove(at);
    if private {
        // A key that moves keeps its name; a public one is for others, whose tokens name it by `keyring.kid`.
        entry.hints.kid.get_or_insert_with(|| entry.alias.clone());
    }
    if let Material::Unreadable(error) = &entry.material {
        return Err(Error::new(error.kind(), format!("{alias:?}: {}", error.message())));
    }
    Ok(Change {
        content: encode(&entry, format, !private)?,
        entries: vec![describe(&entry)],
        skipped: Vec::new(),
        warnings: container.warnings,
    })
}

/// Removes one entry of a PKCS#12 keystore.
///
/// # Errors
/// [`ErrorKind::UnknownAlias`]; the reader's own.
pub fn delete(store: &SecretBytes, password: &SecretString, alias: &str) -> Result<Change> {
    let mut entries = open_target(Some(store), password)?;
    let at = entries.iter().position(|entry| same(&entry.alias, alias));
    let removed = entries.remove(at.ok_or_else(|| unknown(alias))?);
    change(&entries, password, vec![describe(&removed)], Vec::new())
}

/// The keystore as it is written, never under an empty password: it protects nothing, and stores refuse it.
fn change(
    entries: &[Entry],
    password: &SecretString,
    told: Vec<EntryDescription>,
    warnings: Vec<String>,
) -> Result<Change> {
    // EXPOSE: its length alone is looked at.
    if password.expose_secret().is_empty() {
        return Err(Error::new(ErrorKind::Usage, "the password of the keystore is empty")
            .with_help("write one to its file or variable: openssl rand -base64 24 > FILE"));
    }
    let content = SecretBytes::from_vec(pkcs12::write(entries, password)?);
    Ok(Change { content, entries: told, skipped: Vec::new(), warnings })
}

/// The entries of the keystore to change. One that cannot be read would be lost, so it stops the change.
fn open_target(existing: Option<&SecretBytes>, password: &SecretString) -> Result<Vec<Entry>> {
    let Some(existing) = existing else { return Ok(Vec::new()) };
    // EXPOSE: to the reader, which keeps copies in zeroizing owners only.
    let bytes = existing.expose_secret();
    match formats::sniff(bytes) {
        Some(ContainerType::Pkcs12) | None => {}
        Some(other) => {
            let text = format!("{} is not written, only PKCS#12 keystores are", other.name());
            return Err(Error::new(ErrorKind::StoreNotWritten, text)
                .with_help("convert it first: claviger import OLD --store NEW.p12"));
        }
    }
    let passwords = Passwords { store: Some(password), entry: None };
    let container =
        formats::open(bytes, Some(ContainerType::Pkcs12), &passwords, &Limits::default(), true)?;
    for entry in &container.entries {
        if let Material::Unreadable(error) = &entry.material {
            let text = format!("{:?} would be lost: {}", entry.alias, error.message());
            return Err(Error::new(ErrorKind::Unsupported, text)
                .with_help("change this keystore with the tool that made it"));
        }
    }
    Ok(container.entries)
}

fn encode(entry: &Entry, format: &str, public_only: bool) -> Result<SecretBytes> {
    let text = match format {
        "pem" => pem::write(std::slice::from_ref(entry), public_only)?,
        "jwk" => jwk::write(entry, public_only)?,
        "der" => return der(entry, public_only),
        "base64" | "plain" if !public_only => return bare(entry, format),
        other => {
            return Err(Error::new(ErrorKind::Usage, format!("{other:?} is no format to write"))
                .with_help(
                    "use pem, jwk or der; for PKCS#12: claviger import FILE --store NEW.p12",
                ));
        }
    };
    // EXPOSE: copied into another zeroizing owner.
    Ok(SecretBytes::from_slice(text.expose_secret().as_bytes()))
}

/// A symmetric key or password as volumes hold it: its bytes, or base64 of them.
fn bare(entry: &Entry, format: &str) -> Result<SecretBytes> {
    let (Material::Secret(bytes) | Material::SecretKey { bytes, .. }) = &entry.material else {
        return Err(Error::new(ErrorKind::Usage, format!("a key pair is not written as {format}"))
            .with_help("use pem or jwk"));
    };
    // EXPOSE: into the value that was asked for.
    let bytes = bytes.expose_secret();
    if format == "base64" {
        return Ok(SecretBytes::from_vec(Base64::encode_string(bytes).into_bytes()));
    }
    let text = std::str::from_utf8(bytes).is_ok();
    text.then(|| SecretBytes::from_slice(bytes)).ok_or_else(|| {
        Error::new(ErrorKind::Usage, "the bytes of a key are no plain text")
            .with_help("use base64, or --type password")
    })
}

/// PKCS#8 of a private key, else the leaf certificate, else the SubjectPublicKeyInfo.
fn der(entry: &Entry, public_only: bool) -> Result<SecretBytes> {
    match (&entry.material, entry.chain.first()) {
        // EXPOSE: export of the private key was asked for.
        (Material::PrivateKey(key), _) if !public_only => {
            Ok(SecretBytes::from_slice(key.expose_secret()))
        }
        (Material::PrivateKey(_) | Material::Certificate, Some(leaf)) => {
            Ok(SecretBytes::from_slice(leaf))
        }
        (Material::PrivateKey(key), None) => {
            let key = Key::from_private(key, Vec::new())?;
            let public = key.public_parameters().map(encode_spki).transpose()?;
            Ok(SecretBytes::from_vec(public.unwrap_or_default()))
        }
        (Material::PublicKey(spki), _) => Ok(SecretBytes::from_slice(spki)),
        _ => Err(Error::new(ErrorKind::Usage, format!("{:?} has no DER form", entry.alias))),
    }
}

/// For how many days a certificate may be valid.
const DAYS: RangeInclusive<u32> = 1..=36_500;

fn make(options: &GenerateOptions<'_>) -> Result<(Entry, Vec<String>)> {
    if options.alias.is_empty() || options.alias.chars().any(char::is_control) {
        return Err(Error::new(ErrorKind::Usage, "the alias is empty or has control characters"));
    }
    if !DAYS.contains(&options.days) {
        let (fewest, most) = DAYS.into_inner();
        let text = format!("a certificate is valid for {fewest} to {most} days");
        return Err(Error::new(ErrorKind::Usage, text));
    }
    let spec = spec(options)?;
    let bytes = generate_key(spec)?;
    if matches!(spec, KeySpec::Oct { .. }) {
        let material = match options.key_type {
            "aes" => Material::SecretKey { key_type: SecretKeyType::Aes, bytes },
            "hmac" => Material::SecretKey { key_type: SecretKeyType::Hmac, bytes },
            // A password is text: hex keeps all of its randomness.
            // EXPOSE: the raw bytes into their hex form, which is the secret.
            _ => Material::Secret(SecretBytes::from_vec(
                hex::encode(bytes.expose_secret()).into_bytes(),
            )),
        };
        return Ok((Entry::new(options.alias, material), Vec::new()));
    }
    let key = Key::from_private(&bytes, Vec::new())?;
    let start = i64::try_from(to_unix(options.now)).unwrap_or(0);
    let end = start.saturating_add(i64::from(options.days) * 86_400);
    let subject = options
        .subject
        .map_or_else(|| format!("CN={}", options.alias.replace(',', "\\,")), str::to_owned);
    let certificate = certificate::self_signed(&key, &subject, random::bytes()?, start, end)?;
    let mut entry = Entry::new(options.alias, Material::PrivateKey(bytes));
    let mut warnings = Vec::new();
    match certificate {
        Some(certificate) => entry.chain.push(certificate),
        None => warnings.push(format!(
            "{} keys cannot sign a certificate: stored without one, and Java wants one",
            options.key_type
        )),
    }
    Ok((entry, warnings))
}

fn spec(options: &GenerateOptions<'_>) -> Result<KeySpec> {
    let usage = |text: String| Error::new(ErrorKind::Usage, text);
    if options.curve.is_some() && options.key_type != "ec" {
        return Err(usage(format!("{} keys take no --curve", options.key_type)));
    }
    let fixed = matches!(options.key_type, "ec" | "ed25519" | "ed448" | "x25519" | "x448");
    if fixed && options.bits.is_some() {
        return Err(usage(format!("{} keys take no --bits", options.key_type)));
    }
    let bytes = |default: usize| match options.bits.unwrap_or(default) {
        bits if bits % 8 == 0 && (128..=4096).contains(&bits) => {
            Ok(KeySpec::Oct { bytes: bits / 8 })
        }
        bits => Err(usage(format!("a secret of {bits} bits is not offered"))),
    };
    Ok(match options.key_type {
        "rsa" => KeySpec::Rsa { bits: options.bits.unwrap_or(3072) },
        "ec" => {
            let name = options.curve.unwrap_or("P-256");
            let curve = Curve::from_name(name).filter(|curve| !curve.is_okp());
            KeySpec::Curve(curve.ok_or_else(|| {
                usage(format!("{name:?} is no EC curve"))
                    .with_help("use P-256, P-384, P-521 or secp256k1")
            })?)
        }
        "ed25519" => KeySpec::Curve(Curve::Ed25519),
        "ed448" => KeySpec::Curve(Curve::Ed448),
        "x25519" => KeySpec::Curve(Curve::X25519),
        "x448" => KeySpec::Curve(Curve::X448),
        "aes" => match options.bits {
            None | Some(128 | 192 | 256 | 384 | 512) => bytes(256)?,
            Some(bits) => return Err(usage(format!("AES of {bits} bits is not offered"))),
        },
        "hmac" => bytes(512)?,
        "password" => bytes(256)?,
        other => {
            return Err(usage(format!("{other:?} is no type of key"))
                .with_help("use rsa, ec, ed25519, ed448, x25519, x448, aes, hmac or password"));
        }
    })
}

fn position(container: &Container, alias: &str) -> Option<usize> {
    let exact = container.entries.iter().position(|entry| entry.alias == alias);
    exact.or_else(|| {
        let folds = container.container_type.ignores_alias_case();
        container.entries.iter().position(|entry| folds && same(&entry.alias, alias))
    })
}

/// Java compares the aliases of PKCS#12 without case.
fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

pub(super) fn refuse_taken(entries: &[Entry], alias: &str) -> Result<()> {
    if entries.iter().any(|entry| same(&entry.alias, alias)) {
        let text = format!("the keystore already has an entry {alias:?}");
        return Err(Error::new(ErrorKind::AliasTaken, text)
            .with_help("choose another alias, or delete the old entry first"));
    }
    Ok(())
}

fn unknown(alias: &str) -> Error {
    Error::new(ErrorKind::UnknownAlias, format!("no entry {alias:?}"))
        .with_help("list the entries with claviger inspect FILE")
}

const SOURCE_PASSWORD: &str = "name the right one of the imported file: --source-password-file FILE or \
                               --source-password-env NAME";
const ENTRY_PASSWORD: &str = "name the right one of the imported entries: --entry-password-file FILE or \
                              --entry-password-env NAME";
