//! Certificates: their public facts, and self-signed ones around a new key.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::alg::{Algorithm, Curve};
use crate::crypto::{DistinguishedName, Key, KeyKind, sha256, sign};
use crate::error::{Error, ErrorKind, Result};

/// What a certificate says. Times are seconds since 1970.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateFacts {
    /// The subject as RFC 4514 text, the most specific part first; values that are no text as `x509-parser` shows them.
    pub subject: String,
    /// SHA-256 over the DER.
    pub sha256: [u8; 32],
    /// SubjectPublicKeyInfo in DER.
    pub spki: Vec<u8>,
    /// Start of validity.
    pub not_before: i64,
    /// End of validity.
    pub not_after: i64,
}

/// Reads a DER certificate.
///
/// # Errors
/// [`ErrorKind::Damaged`] if it is none.
pub fn facts(der: &[u8]) -> Result<CertificateFacts> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| {
        Error::new(ErrorKind::Damaged, format!("the certificate cannot be read: {error}"))
    })?;
    let subject = DistinguishedName::of(certificate.subject());
    Ok(CertificateFacts {
        subject: subject
            .map_or_else(|| certificate.subject().to_string(), |subject| subject.to_string()),
        sha256: sha256(der),
        spki: certificate.public_key().raw.to_vec(),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}

/// What a certificate calls its holder. Times are seconds since 1970.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "what is asked of a certificate")]
pub struct CertificateNames {
    /// The subject; `None` for an empty one and for values that are no text.
    pub subject: Option<DistinguishedName>,
    /// The DNS names of its subject alternative names, in small letters (RFC 5280 §4.2.1.6).
    pub dns: Vec<String>,
    /// The URIs.
    pub uris: Vec<String>,
    /// The e-mail addresses.
    pub emails: Vec<String>,
    /// The addresses of hosts.
    pub addresses: Vec<IpAddr>,
    /// SHA-256 over the DER.
    pub sha256: [u8; 32],
    /// Start of validity.
    pub not_before: i64,
    /// End of validity.
    pub not_after: i64,
}

/// Reads the names of a DER certificate.
///
/// # Errors
/// [`ErrorKind::Damaged`] if it is none, or has two extensions of alternative names or one that cannot be read.
pub fn names(der: &[u8]) -> Result<CertificateNames> {
    let damaged = |why: String| {
        Error::new(ErrorKind::Damaged, format!("the certificate cannot be read: {why}"))
    };
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| damaged(error.to_string()))?;
    let alternatives =
        certificate.subject_alternative_name().map_err(|error| damaged(error.to_string()))?;
    let (mut dns, mut uris) = (Vec::new(), Vec::new());
    let (mut emails, mut addresses) = (Vec::new(), Vec::new());
    for name in alternatives.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName(name) => dns.push(name.to_ascii_lowercase()),
            GeneralName::URI(uri) => uris.push((*uri).to_owned()),
            GeneralName::RFC822Name(email) => emails.push((*email).to_owned()),
            GeneralName::IPAddress(octets) => addresses.extend(address(octets)),
            _ => {}
        }
    }
    Ok(CertificateNames {
        subject: DistinguishedName::of(certificate.subject()),
        dns,
        uris,
        emails,
        addresses,
        sha256: sha256(der),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}

/// Four octets or sixteen (RFC 5280 §4.2.1.6).
fn address(octets: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// The certificates of a file, in its order: PEM text, or one in DER. Anything else in PEM is left out.
///
/// # Errors
/// [`ErrorKind::Damaged`] if it has none, or one that cannot be read.
pub fn read_file(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let damaged = |why: &str| Error::new(ErrorKind::Damaged, why.to_owned());
    let mut found = Vec::new();
    if bytes.first() == Some(&SEQUENCE) {
        found.push(bytes.to_vec());
    } else {
        for block in Pem::iter_from_buffer(bytes) {
            let block = block.map_err(|_| damaged("a block of the PEM cannot be read"))?;
            if block.label == "CERTIFICATE" {
                found.push(block.contents);
            }
        }
    }
    if found.is_empty() {
        return Err(damaged("the file has no certificate"));
    }
    found.iter().try_for_each(|der| facts(der).map(drop))?;
    Ok(found)
}

/// `x5t#S256` of a certificate in DER: base64url of its SHA-256 digest (RFC 7515 §4.1.8, RFC 8705 §3.1).
#[must_use]
pub fn thumbprint(der: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(sha256(der))
}

/// A self-signed X.509 v3 certificate (RFC 5280 §4.1) around `key`, as Java keeps beside a key pair;
/// `None` for keys that cannot sign (X25519, X448). `serial` is random, times are seconds since 1970.
///
/// # Errors
/// [`ErrorKind::Usage`] for a subject that cannot be read or years beyond 9999.
pub fn self_signed(
    key: &Key,
    subject: &str,
    serial: [u8; 16],
    not_before: i64,
    not_after: i64,
) -> Result<Option<Vec<u8>>> {
    let Some(spki) = key.spki() else { return Ok(None) };
    let parts = Parts {
        subject: &name(subject)?,
        spki,
        serial,
        not_before,
        not_after,
        extensions: &[subject_key_identifier(spki)],
    };
    parts.signed(key, &name(subject)?)
}

/// What a certificate says, each part in DER.
pub(super) struct Parts<'a> {
    pub(super) subject: &'a [u8],
    pub(super) spki: &'a [u8],
    /// Random.
    pub(super) serial: [u8; 16],
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) extensions: &'a [Vec<u8>],
}

impl Parts<'_> {
    /// Signed by the key of an issuer (RFC 5280 §4.1); `None` for keys that cannot sign.
    pub(super) fn signed(&self, issuer: &Key, issuer_name: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some((row, oid)) = signature_row(issuer.kind()) else { return Ok(None) };
        let null: &[u8] = if matches!(issuer.kind(), KeyKind::Rsa { .. }) { &[5, 0] } else { &[] };
        let algorithm = tlv(SEQUENCE, &[&tlv(OID, &[oid]), null]);
        let validity = tlv(SEQUENCE, &[&date(self.not_before)?, &date(self.not_after)?]);
        // RFC 5280 §4.1.2.2: positive, at most 20 octets.
        let [first, rest @ ..] = self.serial;
        let serial = tlv(INTEGER, &[&[first & 0x7f | 0x40], &rest]);
        let extensions: Vec<&[u8]> = self.extensions.iter().map(Vec::as_slice).collect();
        let extensions = tlv(CONTEXT_3, &[&tlv(SEQUENCE, &extensions)]);
        let version = tlv(CONTEXT_0, &[&[INTEGER, 1, 2]]);
        let (subject, spki) = (self.subject, self.spki);
        let body = tlv(
            SEQUENCE,
            &[&version, &serial, &algorithm, issuer_name, &validity, subject, spki, &extensions],
        );
        let mut signature = Vec::new();
        sign::sign(issuer, Algorithm::named(row)?, &body, &mut signature)?;
        if matches!(issuer.kind(), KeyKind::Curve(curve) if !curve.is_okp()) {
            signature = ecdsa_der(&signature);
        }
        Ok(Some(tlv(SEQUENCE, &[&body, &algorithm, &tlv(BITS, &[&[0], &signature])])))
    }
}

/// RFC 7093 §2 method 1 over the whole SubjectPublicKeyInfo: any unique value serves.
pub(super) fn key_identifier(spki: &[u8]) -> Vec<u8> {
    sha256(spki).get(..20).unwrap_or_default().to_vec()
}

pub(super) fn subject_key_identifier(spki: &[u8]) -> Vec<u8> {
    let identifier = tlv(OCTETS, &[&key_identifier(spki)]);
    tlv(SEQUENCE, &[&tlv(OID, &[SUBJECT_KEY_IDENTIFIER]), &tlv(OCTETS, &[&identifier])])
}

/// The JOSE row that signs, and the signature algorithm's OID (RFC 4055, RFC 5758, RFC 8410).
const fn signature_row(kind: KeyKind) -> Option<(&'static str, &'static [u8])> {
    Some(match kind {
        KeyKind::Rsa { .. } => ("RS256", b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"),
        KeyKind::Curve(Curve::P256) => ("ES256", b"\x2a\x86\x48\xce\x3d\x04\x03\x02"),
        KeyKind::Curve(Curve::Secp256k1) => ("ES256K", b"\x2a\x86\x48\xce\x3d\x04\x03\x02"),
        KeyKind::Curve(Curve::P384) => ("ES384", b"\x2a\x86\x48\xce\x3d\x04\x03\x03"),
        KeyKind::Curve(Curve::P521) => ("ES512", b"\x2a\x86\x48\xce\x3d\x04\x03\x04"),
        KeyKind::Curve(Curve::Ed25519) => ("EdDSA", b"\x2b\x65\x70"),
        KeyKind::Curve(Curve::Ed448) => ("EdDSA", b"\x2b\x65\x71"),
        _ => return None,
    })
}

/// `r‖s` as `SEQUENCE { r INTEGER, s INTEGER }` (RFC 3279 §2.2.3).
pub(crate) fn ecdsa_der(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    let integer = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        let bytes = bytes.get(start..).unwrap_or_default();
        let pad: &[u8] = if bytes.first().is_none_or(|byte| *byte > 0x7f) { &[0] } else { &[] };
        tlv(INTEGER, &[pad, bytes])
    };
    tlv(SEQUENCE, &[&integer(r), &integer(s)])
}

/// The way back of [`ecdsa_der`], to two numbers of `width` bytes; `None` for what DER does not write so.
#[cfg(feature = "saml")]
pub(crate) fn ecdsa_fixed(der: &[u8], width: usize) -> Option<Vec<u8>> {
    let mut rest = match der {
        [SEQUENCE, 0x81, _, rest @ ..] | [SEQUENCE, _, rest @ ..] => rest,
        _ => return None,
    };
    let mut fixed = Vec::with_capacity(2 * width);
    for _ in 0..2 {
        let [INTEGER, len, behind @ ..] = rest else { return None };
        let (number, behind) = behind.split_at_checked(usize::from(*len))?;
        let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
        let number = number.get(start..).unwrap_or_default();
        fixed.resize(fixed.len() + width.checked_sub(number.len())?, 0);
        fixed.extend_from_slice(number);
        rest = behind;
    }
    // One signature has one form: lengths, signs and leading zeros are those that are written here.
    (ecdsa_der(&fixed) == der).then_some(fixed)
}

/// `CN=…,O=…` (RFC 4514, most specific first; `\,` for a comma) as a Name.
pub(super) fn name(subject: &str) -> Result<Vec<u8>> {
    let wrong = |part: &str| {
        Error::new(ErrorKind::Usage, format!("{part:?} is no part of a subject"))
            .with_help("write it like \"CN=signing 2026,O=Example,C=DE\" (CN, OU, O, L, ST, C)")
    };
    let mut parts = Vec::new();
    let marked = subject.replace("\\,", "\u{0}");
    for part in marked.split(',') {
        let (key, value) = part.split_once('=').ok_or_else(|| wrong(part))?;
        let value = value.trim().replace('\u{0}', ",");
        let oid = match key.trim().to_ascii_uppercase().as_str() {
            "CN" => 3,
            "C" => 6,
            "L" => 7,
            "ST" => 8,
            "O" => 10,
            "OU" => 11,
            _ => return Err(wrong(part)),
        };
        // RFC 5280 appendix A: a country is two letters, the others have 64 characters.
        let fits = if oid == 6 {
            value.len() == 2 && value.bytes().all(|byte| byte.is_ascii_alphabetic())
        } else {
            (1..=64).contains(&value.chars().count())
        };
        if !fits {
            return Err(wrong(part));
        }
        let text = tlv(if oid == 6 { PRINTABLE } else { UTF8 }, &[value.as_bytes()]);
        let pair = tlv(SEQUENCE, &[&tlv(OID, &[&[0x55, 4, oid]]), &text]);
        parts.push(tlv(SET, &[&pair]));
    }
    parts.reverse();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    Ok(tlv(SEQUENCE, &parts))
}

/// UTCTime through 2049, GeneralizedTime after (RFC 5280 §4.1.2.5).
fn date(seconds: i64) -> Result<Vec<u8>> {
    let time = OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .filter(|time| (1970..=9999).contains(&time.year()))
        .ok_or_else(|| Error::new(ErrorKind::Usage, "the validity goes beyond the year 9999"))?;
    let (hour, minute, second) = time.to_hms();
    let month = u8::from(time.month());
    let rest = format!("{month:02}{:02}{hour:02}{minute:02}{second:02}Z", time.day());
    Ok(if time.year() < 2050 {
        tlv(UTC_TIME, &[format!("{:02}{rest}", time.year() % 100).as_bytes()])
    } else {
        tlv(GENERALIZED_TIME, &[format!("{}{rest}", time.year()).as_bytes()])
    })
}

pub(super) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    let bytes = len.to_be_bytes();
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let significant = bytes.get(start..).unwrap_or_default();
    match (len, u8::try_from(significant.len())) {
        (..=0x7f, _) => out.push(significant.first().copied().unwrap_or(0)),
        (_, Ok(count)) => {
            out.push(0x80 | count);
            out.extend_from_slice(significant);
        }
        (_, Err(_)) => {}
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

const INTEGER: u8 = 0x02;
pub(super) const BITS: u8 = 0x03;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_3: u8 = 0xa3;
/// 2.5.29.14 (RFC 5280 §4.2.1.2).
const SUBJECT_KEY_IDENTIFIER: &[u8] = b"\x55\x1d\x0e";
