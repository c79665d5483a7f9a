//! What a client certificate proves after the handshake (RFC 8705): who the client is, and that a token is its own.

use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use serde_json::{Map, Value};

use crate::catalogue::LabelUse;
use crate::clock::to_unix;
use crate::crypto::certificate;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{KeySet, Label};
use crate::secret::SecretBytes;
use crate::tls::ClientTrust;

impl ClientTrust {
    /// Checks a certificate that was presented elsewhere, with what came beside it (RFC 8705 §2.1): chain to an
    /// anchor of the label, dates at `now`, and that it is for client authentication. The subject that a client
    /// registered is [`crate::crypto::RegisteredSubject`]; `Provider::verify_client_certificate` checks both.
    ///
    /// # Errors
    /// [`ErrorKind::NotVerified`].
    pub fn check(&self, leaf: &[u8], others: &[Vec<u8>], now: SystemTime) -> Result<()> {
        let others: Vec<_> =
            others.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(now);
        let checked = self.verify_client_cert(&CertificateDer::from(leaf), &others, now);
        checked.map(drop).map_err(|error| refused(error.to_string()))
    }
}

/// Checks that a certificate is one of a label, `am.applications.oauth2.client.{identifier}.mtls.trusted.cert`
/// (RFC 8705 §2.2), and that its dates hold at `now`.
///
/// # Errors
/// [`ErrorKind::NotVerified`]; [`ErrorKind::WrongUse`] for a label whose use is not `trust`.
pub fn check_pinned(label: &Label, leaf: &[u8], now: SystemTime) -> Result<()> {
    super::require(label, LabelUse::Trust)?;
    check_among(&*label.keys()?, leaf, now)
}

/// The same among the certificates of any keys.
///
/// # Errors
/// [`ErrorKind::NotVerified`].
pub(crate) fn check_among(keys: &KeySet, leaf: &[u8], now: SystemTime) -> Result<()> {
    let is_leaf = |der: &Vec<u8>| der.as_slice() == leaf;
    if !keys.keys().iter().any(|key| key.key.chain().first().is_some_and(is_leaf)) {
        return Err(refused("it is none of those that are trusted"));
    }
    let facts = certificate::facts(leaf)?;
    let now = to_unix(now);
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    if (facts.not_before..=facts.not_after).contains(&now) {
        return Ok(());
    }
    Err(refused("its dates do not hold"))
}

/// `cnf` of a token that is bound to a client certificate, in DER (RFC 8705 §3.1).
#[must_use]
pub fn confirmation(leaf: &[u8]) -> Value {
    serde_json::json!({ "x5t#S256": certificate::thumbprint(leaf) })
}

/// Checks that the claims of a token are bound to this client certificate; compared in constant time.
///
/// # Errors
/// [`ErrorKind::ClaimsRejected`] for another certificate, and for a token that is bound to none.
pub fn check_bound(claims: &Map<String, Value>, leaf: &[u8]) -> Result<()> {
    let named = claims.get("cnf").and_then(|cnf| cnf.get("x5t#S256")).and_then(Value::as_str);
    let own = SecretBytes::from_vec(certificate::thumbprint(leaf).into_bytes());
    if named.is_some_and(|named| own.ct_eq(named.as_bytes())) {
        return Ok(());
    }
    let text = "the token is not bound to the certificate of the client";
    Err(Error::new(ErrorKind::ClaimsRejected, text))
}

/// The one error of a certificate that does not say who the client is; `reason` is for logs.
pub(crate) fn refused(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::NotVerified, "the client certificate is not accepted")
        .with_source(reason.into())
}
