//! PEM text (RFC 7468, RFC 1421 headers, Ping AM's secret types): read with real-world tolerance, written plainly.

use std::collections::{HashMap, HashSet};

use base64ct::{Base64, Encoding};
use pem_rfc7468::LineEnding;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::{SecretBytes, SecretString};

use super::der::{self, WorkLeft, certificate, damaged, no_password, wrong_password};
use super::public_half::public_half;
use super::{
    Container, ContainerType, Entry, Limits, Material, Passwords, SecretKeyType, pem_legacy,
};

/// Reads PEM text: text around the blocks, the line ends of every system, a byte order mark, indentation and
/// blanks between the characters of a block are tolerated (RFC 7468 §2).
/// Certificates go to the private or public key that the first of them certifies, in any order of the file.
///
/// # Errors
/// [`ErrorKind::Damaged`] for a broken block, and [`ErrorKind::KeyUnfit`] where certificates stand beside
/// one key and none is of it. [`ErrorKind::Unsupported`] for unknown labels and ciphers and
/// [`ErrorKind::WrongPassword`] for encrypted keys, where no key of the file can be read; else these
/// keys are [`Material::Unreadable`].
pub fn read(bytes: &[u8], passwords: &Passwords<'_>, limits: &Limits) -> Result<Container> {
    let mut found = Found::default();
    let mut parameters = None;
    let work = WorkLeft::new(limits);
    let password = passwords.entry.or(passwords.store);
    for block in blocks(bytes, limits)? {
        match block.label.as_str() {
            "EC PARAMETERS" => parameters = Some(block.body.to_vec()),
            label if is_keyless(label) => found.warn(format!("{label} skipped: it holds no key")),
            _ => found.add_or_keep(&block, parameters.as_deref(), password, &work)?,
        }
    }
    found.group()
}

/// Parameters of every kind (`DH`, `X9.42 DH`, `DSA`) and what stands beside keys in the files of servers.
fn is_keyless(label: &str) -> bool {
    matches!(label, "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" | "X509 CRL")
        || label.ends_with(" PARAMETERS")
}

/// Writes entries: `PRIVATE KEY` (PKCS#8), `CERTIFICATE`, `PUBLIC KEY`, and Ping AM's secret types.
///
/// # Errors
/// [`ErrorKind::Usage`] for a secret where only the public part is asked for; [`ErrorKind::Unsupported`]
/// for what has no PEM type.
pub fn write(entries: &[Entry], public_only: bool) -> Result<SecretString> {
    let mut text = Vec::new();
    for entry in entries {
        match &entry.material {
            Material::Certificate => {}
            Material::PrivateKey(key) if !public_only => {
                // EXPOSE: export of the private key was asked for.
                push(&mut text, "PRIVATE KEY", key.expose_secret())?;
            }
            Material::PrivateKey(key) if entry.chain.is_empty() => {
                // EXPOSE: only the public half is written.
                let public = public_half(key.expose_secret()).ok_or_else(|| {
                    Error::new(ErrorKind::Unsupported, "this key's public half cannot be derived")
                })?;
                push(&mut text, "PUBLIC KEY", &public)?;
            }
            Material::PrivateKey(_) => {}
            Material::PublicKey(key) => push(&mut text, "PUBLIC KEY", key)?,
            Material::Secret(_) | Material::SecretKey { .. } if public_only => {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!("{:?} is a secret: it has no public part", entry.alias),
                ));
            }
            Material::Secret(secret) => {
                // EXPOSE: export of the secret was asked for.
                push(&mut text, "GENERIC SECRET", secret.expose_secret())?;
            }
            Material::SecretKey { key_type, bytes } => {
                let label = match key_type {
                    SecretKeyType::Aes => "AES SECRET KEY",
                    SecretKeyType::Hmac => "HMAC SECRET KEY",
                    SecretKeyType::Other(name) => {
                        return Err(Error::new(
                            ErrorKind::Unsupported,
                            format!("PEM has no type for {name:?} keys"),
                        ));
                    }
                };
                // EXPOSE: export of the key was asked for.
                push(&mut text, label, bytes.expose_secret())?;
            }
            Material::Unreadable(_) => {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!("{:?} could not be read and cannot be written", entry.alias),
                ));
            }
        }
        for certificate in &entry.chain {
            push(&mut text, "CERTIFICATE", certificate)?;
        }
    }
    let mut whole = String::with_capacity(text.iter().map(|block| block.len()).sum());
    text.iter().for_each(|block| whole.push_str(block));
    Ok(SecretString::from_string(whole))
}

fn push(text: &mut Vec<Zeroizing<String>>, label: &str, body: &[u8]) -> Result<()> {
    let block = pem_rfc7468::encode_string(label, LineEnding::LF, body)
        .map_err(|_| Error::new(ErrorKind::Bug, "PEM encoding failed"))?;
    text.push(Zeroizing::new(block));
    Ok(())
}

/// One block, decoded but not decrypted.
struct Block {
    label: String,
    dek_info: Option<String>,
    body: Zeroizing<Vec<u8>>,
}

fn blocks(bytes: &[u8], limits: &Limits) -> Result<Vec<Block>> {
    let mut lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        if boundary(line, b"-----END ").is_some() {
            return Err(damaged("a PEM block ends that did not begin"));
        }
        if let Some(rest) = line.strip_prefix(b"-----BEGIN ")
            && without_breaks(rest)
        {
            return Err(damaged("a PEM block has no line breaks").with_help(
                "write its lines one below the other: what was put into JSON or one variable often \
                 has \\n for them",
            ));
        }
        let Some(label) = boundary(line, b"-----BEGIN ") else { continue };
        if found.len() == limits.max_entries {
            return Err(Error::new(ErrorKind::LimitExceeded, "more PEM blocks than the bound"));
        }
        found.push(block(label, &mut lines)?);
    }
    Ok(found)
}

fn block<'a>(label: &[u8], lines: &mut (impl Iterator<Item = &'a [u8]> + Clone)) -> Result<Block> {
    let label = std::str::from_utf8(label)
        .ok()
        .filter(|label| label.len() <= 64 && label.chars().all(|c| matches!(c, ' '..='~')))
        .ok_or_else(|| damaged("a PEM label is not printable ASCII"))?
        .to_owned();
    let mut dek_info = None;
    let mut encrypted = false;
    // Room for all of it: a text that grows leaves copies of a key behind.
    let inside = lines.clone().take_while(|line| !line.starts_with(b"-----"));
    let mut text = Zeroizing::new(String::with_capacity(inside.map(<[u8]>::len).sum()));
    for line in lines {
        if let Some(end) = boundary(line, b"-----END ") {
            if end != label.as_bytes() {
                return Err(damaged("a PEM block ends with another label than it began with"));
            }
            if encrypted && dek_info.is_none() {
                return Err(damaged("an encrypted PEM block has no DEK-Info header"));
            }
            let body = Base64::decode_vec(&text).map_err(|_| {
                Error::new(ErrorKind::Damaged, format!("the {label} is not base64"))
            })?;
            return Ok(Block { label, dek_info, body: Zeroizing::new(body) });
        }
        let line = std::str::from_utf8(line).map_err(|_| damaged("a PEM block is not ASCII"))?;
        if line.starts_with("-----") {
            return Err(damaged("a PEM block begins inside another"));
        }
        match line.split_once(':') {
            Some(("Proc-Type", value)) => encrypted = value.trim() == "4,ENCRYPTED",
            Some(("DEK-Info", value)) => dek_info = Some(value.trim().to_owned()),
            Some(_) => {}
            None => line.split_ascii_whitespace().for_each(|part| text.push_str(part)),
        }
    }
    Err(damaged("a PEM block has no end"))
}

/// Whether more than the label stands in the first line of a block.
fn without_breaks(rest: &[u8]) -> bool {
    let dashes = rest.windows(5).position(|part| part == b"-----");
    dashes.is_some_and(|at| at + 5 < rest.len())
}

fn boundary<'a>(line: &'a [u8], kind: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(kind)?.strip_suffix(b"-----")
}

/// What the blocks hold, before grouping.
#[derive(Default)]
struct Found {
    certificates: Vec<Vec<u8>>,
    keys: Vec<Material>,
    warnings: Vec<String>,
}

impl Found {
    /// Each warning once, however many blocks give it.
    fn warn(&mut self, text: String) {
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    /// What stops one key leaves the others: see [`Found::group`].
    fn add_or_keep(
        &mut self,
        block: &Block,
        parameters: Option<&[u8]>,
        password: Option<&SecretString>,
        work: &WorkLeft,
    ) -> Result<()> {
        self.add(block, parameters, password, work).or_else(|error| match error.kind() {
            ErrorKind::Unsupported | ErrorKind::WrongPassword => {
                self.keys.push(Material::Unreadable(error));
                Ok(())
            }
            _ => Err(error),
        })
    }

    fn add(
        &mut self,
        block: &Block,
        parameters: Option<&[u8]>,
        password: Option<&SecretString>,
        work: &WorkLeft,
    ) -> Result<()> {
        let opened = match &block.dek_info {
            Some(dek_info) => {
                let password = password.ok_or_else(no_password)?;
                self.warn(LEGACY.to_owned());
                Some(pem_legacy::decrypt(dek_info, &block.body, password)?)
            }
            None => None,
        };
        let body: &[u8] = opened.as_ref().map_or(&*block.body, |plain| plain);
        let material = match block.label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" => {
                if !der::is_certificate(body) {
                    return Err(damaged("a CERTIFICATE is not X.509 in DER"));
                }
                self.certificates.push(body.to_vec());
                return Ok(());
            }
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Material::PublicKey(
                der::public_key(body).ok_or_else(|| damaged("a PUBLIC KEY is not DER"))?,
            ),
            "PRIVATE KEY" if der::is_private_key_info(body) => {
                Material::PrivateKey(SecretBytes::from_slice(body))
            }
            "PRIVATE KEY" => return Err(damaged("a PRIVATE KEY is not PKCS#8 in DER")),
            "RSA PRIVATE KEY" => converted(der::rsa_to_pkcs8(body), opened.is_some())?,
            "EC PRIVATE KEY" => converted(der::sec1_to_pkcs8(body, parameters), opened.is_some())?,
            "ENCRYPTED PRIVATE KEY" => {
                let password = password.ok_or_else(no_password)?;
                let opened = der::decrypt(body, password, work)?;
                opened.warning().into_iter().for_each(|text| self.warn(text));
                Material::PrivateKey(opened.key)
            }
            "AES SECRET KEY" => secret_key(SecretKeyType::Aes, body),
            "HMAC SECRET KEY" => secret_key(SecretKeyType::Hmac, body),
            "GENERIC SECRET" => Material::Secret(SecretBytes::from_slice(body)),
            label => return Err(unknown_label(label)),
        };
        self.keys.push(material);
        Ok(())
    }

    fn group(mut self) -> Result<Container> {
        let is_readable = |key: &Material| !matches!(key, Material::Unreadable(_));
        if let Some(Material::Unreadable(error)) = self.keys.first()
            && !self.keys.iter().any(is_readable)
        {
            return Err(error.repeat());
        }
        let mut chains = Chains::new(&self.certificates);
        let publics: Vec<Option<Vec<u8>>> = self.keys.iter().map(public_of).collect();
        let private: HashSet<&[u8]> = self
            .keys
            .iter()
            .zip(&publics)
            .filter(|(key, _)| matches!(key, Material::PrivateKey(_)))
            .filter_map(|(_, public)| public.as_deref())
            .collect();
        let pairs = self.keys.iter().filter(|key| matches!(key, Material::PrivateKey(_))).count();
        let mut entries = Vec::new();
        for (material, public) in self.keys.into_iter().zip(&publics) {
            let repeated = matches!(material, Material::PublicKey(_))
                && public.as_deref().is_some_and(|public| private.contains(public));
            if repeated {
                continue;
            }
            let chain = public.as_deref().map(|public| chains.of(public)).unwrap_or_default();
            let known = matches!(material, Material::PrivateKey(_)) && public.is_some();
            if known && pairs == 1 && chain.is_empty() && !self.certificates.is_empty() {
                return Err(Error::new(
                    ErrorKind::KeyUnfit,
                    "no certificate of the file belongs to its private key",
                )
                .with_help("put its own certificate into the file, or take the others out"));
            }
            let alias = (entries.len() + 1).to_string();
            entries.push(Entry { chain, ..Entry::new(alias, material) });
        }
        let had_keys = !entries.is_empty();
        let unused = chains.unused();
        if had_keys && !unused.is_empty() {
            self.warnings.push("a certificate belongs to no key of the file".to_owned());
        }
        for certificate in unused {
            let alias = (entries.len() + 1).to_string();
            let chain = vec![certificate.to_vec()];
            entries.push(Entry { chain, ..Entry::new(alias, Material::Certificate) });
        }
        if entries.is_empty() {
            return Err(damaged("the PEM text holds no key, certificate or secret"));
        }
        Ok(Container { container_type: ContainerType::Pem, entries, warnings: self.warnings })
    }
}

fn unknown_label(label: &str) -> Error {
    let help = match label {
        "TRUSTED CERTIFICATE" => "convert it with openssl x509 -in FILE -out NEW",
        "PKCS7" => "take the certificates out: openssl pkcs7 -print_certs -in FILE -out NEW",
        "OPENSSH PRIVATE KEY" => "convert it with ssh-keygen -p -m PKCS8 -f FILE",
        _ => "convert private keys with openssl pkcs8 -topk8 -in FILE -out NEW",
    };
    Error::new(ErrorKind::Unsupported, format!("PEM blocks of type {label} are not read"))
        .with_help(help)
}

/// A decrypted body of the wrong shape means a wrong password, a plain one damage.
fn converted(key: Result<SecretBytes>, decrypted: bool) -> Result<Material> {
    key.map(Material::PrivateKey).map_err(|error| {
        if decrypted && error.kind() == ErrorKind::Damaged { wrong_password() } else { error }
    })
}

fn secret_key(key_type: SecretKeyType, body: &[u8]) -> Material {
    Material::SecretKey { key_type, bytes: SecretBytes::from_slice(body) }
}

fn public_of(material: &Material) -> Option<Vec<u8>> {
    match material {
        // EXPOSE: only the public half leaves.
        Material::PrivateKey(key) => public_half(key.expose_secret()),
        Material::PublicKey(key) => Some(key.clone()),
        _ => None,
    }
}

/// The certificates of a file, found by key and by subject.
struct Chains<'a> {
    certificates: &'a [Vec<u8>],
    by_key: HashMap<Vec<u8>, usize>,
    by_subject: HashMap<Vec<u8>, usize>,
    names: Vec<Option<Vec<u8>>>,
    used: HashSet<usize>,
}

impl<'a> Chains<'a> {
    fn new(certificates: &'a [Vec<u8>]) -> Self {
        let mut chains = Self {
            certificates,
            by_key: HashMap::new(),
            by_subject: HashMap::new(),
            names: Vec::new(),
            used: HashSet::new(),
        };
        for (index, bytes) in certificates.iter().enumerate() {
            let parsed = certificate(bytes);
            if let Some(parsed) = &parsed {
                chains.by_key.entry(parsed.public_key().raw.to_vec()).or_insert(index);
                chains.by_subject.entry(parsed.subject().as_raw().to_vec()).or_insert(index);
            }
            chains.names.push(parsed.map(|parsed| parsed.issuer().as_raw().to_vec()));
        }
        chains
    }

    /// The chain of a key, leaf first: each certificate's issuer is the next one's subject.
    fn of(&mut self, spki: &[u8]) -> Vec<Vec<u8>> {
        let mut chain = Vec::new();
        let mut next = self.by_key.get(spki).copied();
        let mut seen = HashSet::new();
        while let Some(index) = next.filter(|index| chain.len() < MAX_CHAIN && seen.insert(*index))
        {
            self.used.insert(index);
            chain.extend(self.certificates.get(index).cloned());
            let issuer = self.names.get(index).and_then(Option::as_ref);
            next = issuer.and_then(|issuer| self.by_subject.get(issuer).copied());
        }
        chain
    }

    /// The certificates in no chain, each once.
    fn unused(&self) -> Vec<&'a [u8]> {
        let mut seen: HashSet<&[u8]> = self
            .used
            .iter()
            .filter_map(|index| self.certificates.get(*index))
            .map(Vec::as_slice)
            .collect();
        self.certificates.iter().map(Vec::as_slice).filter(|bytes| seen.insert(bytes)).collect()
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const MAX_CHAIN: usize = 32;
const LEGACY: &str = "a private key is encrypted in the old PEM way (MD5): convert it with \
                      openssl pkcs8 -topk8 -in FILE -out NEW";
