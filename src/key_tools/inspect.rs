//! What is inside a container, as plain facts that hold no secret.

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::crypto::certificate::{self, CertificateFacts};
use crate::crypto::material::parse_spki;
use crate::crypto::{Key, OctType, PublicParameters, sha256, unserved};
use crate::error::{Error, ErrorKind, Result};
use crate::formats::{
    self, Container, ContainerType, Entry, Limits, Material, Passwords, SecretKeyType,
};
use crate::secret::{SecretBytes, SecretString};

/// How to open a container.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions<'a> {
    /// The name of the type that it must have; `None` tells by the content.
    pub insist: Option<&'a str>,
    /// The store's password.
    pub store_password: Option<&'a SecretString>,
    /// The entries' password; `None` means the store's.
    pub entry_password: Option<&'a SecretString>,
}

/// A container's content.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// `pkcs12`, `jks`, `jceks`, `pem`, `jwk`, `jwks` or `der`.
    #[serde(rename = "type")]
    pub container: &'static str,
    /// In the order of the file.
    pub entries: Vec<EntryDescription>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// One entry.
#[derive(Clone, Debug, Serialize)]
pub struct EntryDescription {
    /// Its alias.
    pub alias: String,
    /// `key-pair`, `public-key`, `secret-key`, `certificate`, `secret` or `unreadable`.
    pub kind: &'static str,
    /// `RSA`, `EC`, `Ed25519`, `AES`, `HMAC`, ….
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// The curve of an EC key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curve: Option<&'static str>,
    /// Its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<usize>,
    /// SHA-256 of the SubjectPublicKeyInfo, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spki_sha256: Option<String>,
    /// Leaf first.
    pub certificates: Vec<CertificateDescription>,
    /// Why it cannot be served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<EntryProblem>,
}

/// One certificate.
#[derive(Clone, Debug, Serialize)]
pub struct CertificateDescription {
    /// The subject.
    pub subject: String,
    /// SHA-256 of the DER, in hex.
    pub sha256: String,
    /// RFC 3339.
    pub not_before: String,
    /// RFC 3339.
    pub not_after: String,
}

/// Why an entry cannot be served.
#[derive(Clone, Debug, Serialize)]
pub struct EntryProblem {
    /// [`ErrorKind::code`].
    pub code: &'static str,
    /// The sentence.
    pub message: String,
}

impl From<&Error> for EntryProblem {
    fn from(error: &Error) -> Self {
        Self { code: error.kind().code(), message: error.message().to_owned() }
    }
}

/// Describes the container in `bytes`.
///
/// # Errors
/// [`ErrorKind::WrongPassword`], [`ErrorKind::Damaged`], [`ErrorKind::Unsupported`],
/// [`ErrorKind::LimitExceeded`] as the formats say; [`ErrorKind::Usage`] for an unknown type name.
pub fn inspect(bytes: &SecretBytes, options: &OpenOptions<'_>) -> Result<Inspection> {
    let container = open(bytes, options)?;
    Ok(Inspection {
        container: container.container_type.name(),
        entries: container.entries.iter().map(describe).collect(),
        warnings: container.warnings,
    })
}

pub(super) fn open(bytes: &SecretBytes, options: &OpenOptions<'_>) -> Result<Container> {
    let insist = options.insist.map(type_named).transpose()?;
    let passwords = Passwords { store: options.store_password, entry: options.entry_password };
    // EXPOSE: to the readers, which keep copies in zeroizing owners only.
    formats::open(bytes.expose_secret(), insist, &passwords, &Limits::default(), false)
}

fn type_named(name: &str) -> Result<ContainerType> {
    let known = [
        ContainerType::Der,
        ContainerType::Jceks,
        ContainerType::Jks,
        ContainerType::Jwk,
        ContainerType::Jwks,
        ContainerType::Pem,
        ContainerType::Pkcs12,
    ];
    known.into_iter().find(|one| one.name() == name).ok_or_else(|| {
        Error::new(ErrorKind::Usage, format!("{name:?} is no type of container"))
            .with_help("use pkcs12, jks, jceks, pem, jwk, jwks or der")
    })
}

pub(super) fn describe(entry: &Entry) -> EntryDescription {
    let mut out = EntryDescription {
        alias: entry.alias.clone(),
        kind: "unreadable",
        algorithm: None,
        curve: None,
        bits: None,
        spki_sha256: None,
        certificates: Vec::new(),
        error: None,
    };
    let mut leaf_spki = None;
    for der in &entry.chain {
        match certificate::facts(der) {
            Ok(facts) => {
                out.certificates.push(describe_certificate(&facts));
                leaf_spki.get_or_insert(facts.spki);
            }
            Err(error) => out.error = Some((&error).into()),
        }
    }
    match &entry.material {
        Material::Certificate => {
            out.kind = "certificate";
            public(&mut out, leaf_spki.as_deref());
            prove(&mut out, leaf_spki.as_deref());
        }
        Material::PrivateKey(pkcs8) => {
            out.kind = "key-pair";
            match Key::from_private(pkcs8, entry.chain.clone()) {
                Ok(key) => public(&mut out, key.spki()),
                Err(error) => {
                    public(&mut out, leaf_spki.as_deref());
                    out.error = Some((&error).into());
                }
            }
        }
        Material::PublicKey(spki) => {
            out.kind = "public-key";
            public(&mut out, Some(spki));
            prove(&mut out, Some(spki));
        }
        Material::Secret(_) => out.kind = "secret",
        Material::SecretKey { key_type, bytes } => {
            out.kind = "secret-key";
            secret_key(&mut out, key_type, bytes);
        }
        Material::Unreadable(error) => {
            public(&mut out, leaf_spki.as_deref());
            out.error = Some(error.into());
        }
    }
    out
}

fn secret_key(out: &mut EntryDescription, key_type: &SecretKeyType, bytes: &SecretBytes) {
    let (name, oct_type) = match key_type {
        SecretKeyType::Aes => ("AES", OctType::Aes),
        SecretKeyType::Hmac => ("HMAC", OctType::Hmac),
        SecretKeyType::Other(name) => (name.as_str(), OctType::Any),
    };
    out.algorithm = Some(name.to_owned());
    out.bits = Some(bytes.len() * 8);
    // EXPOSE: into a key that is dropped here, to learn whether it can be served.
    let copy = SecretBytes::from_slice(bytes.expose_secret());
    if let Err(error) = Key::from_secret(copy, oct_type) {
        out.error = Some((&error).into());
    }
}

fn public(out: &mut EntryDescription, spki: Option<&[u8]>) {
    let Some(spki) = spki else { return };
    out.spki_sha256 = Some(hex::encode(sha256(spki)));
    match parse_spki(spki) {
        Ok(PublicParameters::Rsa { n, .. }) => {
            out.algorithm = Some("RSA".to_owned());
            let zeros =
                n.first().map_or(0, |first| usize::try_from(first.leading_zeros()).unwrap_or(0));
            out.bits = Some((n.len() * 8).saturating_sub(zeros));
        }
        Ok(PublicParameters::Ec { curve, .. }) => {
            out.algorithm = Some("EC".to_owned());
            out.curve = Some(curve.name());
            out.bits = Some(curve.bits());
        }
        Ok(PublicParameters::Okp { curve, .. }) => {
            out.algorithm = Some(curve.name().to_owned());
            out.bits = Some(curve.bits());
        }
        Err(error) => {
            if let Some(known) = unserved::describe(spki) {
                out.algorithm = Some(known.algorithm.to_owned());
                out.curve = known.curve;
                out.bits = known.bits;
            }
            out.error = Some((&error).into());
        }
    }
}

/// Whether a label could serve it: a point may lie beside its curve, a modulus be even.
fn prove(out: &mut EntryDescription, spki: Option<&[u8]>) {
    if let (None, Some(spki)) = (&out.error, spki) {
        out.error = Key::from_public(spki).err().map(|error| (&error).into());
    }
}

fn describe_certificate(facts: &CertificateFacts) -> CertificateDescription {
    CertificateDescription {
        subject: facts.subject.clone(),
        sha256: hex::encode(facts.sha256),
        not_before: rfc3339(facts.not_before),
        not_after: rfc3339(facts.not_after),
    }
}

fn rfc3339(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("@{seconds}"))
}
