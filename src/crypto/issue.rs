//! Certificates that an authority of our own issues: its own, those of servers and of clients (RFC 5280 §4.2).

use std::net::IpAddr;

use crate::crypto::Key;
use crate::crypto::certificate::{
    BITS, OCTETS, OID, Parts, SEQUENCE, key_identifier, name, subject_key_identifier, tlv,
};
use crate::error::{Error, ErrorKind, Result};

/// What a certificate is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Purpose {
    /// It issues certificates of servers and clients, and no further authorities.
    Authority,
    /// TLS of clients.
    Client,
    /// TLS of servers.
    Server,
}

/// A name of the holder besides the subject.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AlternativeName<'a> {
    /// A host.
    Dns(&'a str),
    /// An address.
    Ip(IpAddr),
}

/// What is to be certified. Times are seconds since 1970.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the arguments of one function")]
pub struct Request<'a> {
    /// The holder's key.
    pub key: &'a Key,
    /// The holder: `CN=…,O=…`.
    pub subject: &'a str,
    /// Further names.
    pub names: &'a [AlternativeName<'a>],
    /// What for.
    pub purpose: Purpose,
    /// Random.
    pub serial: [u8; 16],
    /// Start of validity.
    pub not_before: i64,
    /// End of validity.
    pub not_after: i64,
}

/// The certificate in DER, signed by the key of `issuer`, which is named as it is in its own certificate.
///
/// # Errors
/// [`ErrorKind::Usage`] for a subject that cannot be read or years beyond 9999; [`ErrorKind::KeyUnfit`] for keys
/// that do not sign or have no public half.
pub fn issue(request: &Request<'_>, issuer: &Key, issuer_subject: &str) -> Result<Vec<u8>> {
    let unfit = || Error::new(ErrorKind::KeyUnfit, "the key cannot be certified or cannot certify");
    let spki = request.key.spki().ok_or_else(unfit)?;
    let authority = issuer.spki().ok_or_else(unfit)?;
    let mut extensions = purpose(request.purpose);
    extensions.push(subject_key_identifier(spki));
    // RFC 5280 §4.2.1.1: the identifier of the issuer's key.
    let identifier = tlv(SEQUENCE, &[&tlv(0x80, &[&key_identifier(authority)])]);
    extensions.push(extension(b"\x55\x1d\x23", false, &identifier));
    if !request.names.is_empty() {
        let names: Vec<Vec<u8>> = request.names.iter().map(alternative).collect();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        extensions.push(extension(b"\x55\x1d\x11", false, &tlv(SEQUENCE, &names)));
    }
    let parts = Parts {
        subject: &name(request.subject)?,
        spki,
        serial: request.serial,
        not_before: request.not_before,
        not_after: request.not_after,
        extensions: &extensions,
    };
    parts.signed(issuer, &name(issuer_subject)?)?.ok_or_else(unfit)
}

/// Basic constraints, key usage and extended key usage (RFC 5280 §4.2.1.9, §4.2.1.3, §4.2.1.12).
fn purpose(purpose: Purpose) -> Vec<Vec<u8>> {
    // cA TRUE, pathLenConstraint 0; keyCertSign and cRLSign.
    const AUTHORITY: (&[u8], &[u8]) = (b"\x01\x01\xff\x02\x01\x00", b"\x01\x06");
    // digitalSignature.
    const LEAF: (&[u8], &[u8]) = (b"", b"\x07\x80");
    let ((constraints, usage), extended): (_, Option<u8>) = match purpose {
        Purpose::Authority => (AUTHORITY, None),
        Purpose::Client => (LEAF, Some(2)),
        Purpose::Server => (LEAF, Some(1)),
    };
    let mut found = vec![
        extension(b"\x55\x1d\x13", true, &tlv(SEQUENCE, &[constraints])),
        extension(b"\x55\x1d\x0f", true, &tlv(BITS, &[usage])),
    ];
    found.extend(extended.map(|last| {
        let purpose = tlv(OID, &[b"\x2b\x06\x01\x05\x05\x07\x03", &[last]]);
        extension(b"\x55\x1d\x25", false, &tlv(SEQUENCE, &[&purpose]))
    }));
    found
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { b"\x01\x01\xff" } else { b"" };
    tlv(SEQUENCE, &[&tlv(OID, &[oid]), critical, &tlv(OCTETS, &[value])])
}

/// RFC 5280 §4.2.1.6.
fn alternative(name: &AlternativeName<'_>) -> Vec<u8> {
    match name {
        AlternativeName::Dns(host) => tlv(0x82, &[host.as_bytes()]),
        AlternativeName::Ip(IpAddr::V4(address)) => tlv(0x87, &[&address.octets()]),
        AlternativeName::Ip(IpAddr::V6(address)) => tlv(0x87, &[&address.octets()]),
    }
}
