//! Certificates: their public facts, and self-signed ones around a new key.

use x509_parser::prelude::{FromDer, X509Certificate};

use crate::crypto::sha256;
use crate::error::{Error, ErrorKind, Result};

/// What a certificate says. Times are seconds since 1970.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateFacts {
    /// The subject as RFC 4514 text.
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
    Ok(CertificateFacts {
        subject: certificate.subject().to_string(),
        sha256: sha256(der),
        spki: certificate.public_key().raw.to_vec(),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}
