//! Client authentication with a certificate: `tls_client_auth` and `self_signed_tls_client_auth` (RFC 8705 §2).

#[cfg(feature = "tls")]
use super::client::Client;
#[cfg(feature = "tls")]
use super::provider::Provider;
use super::registration::Registration;
#[cfg(feature = "tls")]
use super::relying_party::RelyingParty;
use crate::crypto::{RegisteredSubject, SubjectPlace};
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "tls")]
use crate::tls::client_auth::{check_among, refused};
#[cfg(feature = "tls")]
use crate::tls::{ClientTrust, Identity, ServerTrust};

/// The CAs of clients' certificates.
#[cfg(feature = "tls")]
const CA_LABEL: &str = "am.services.oauth2.tls.client.cert.authentication";
/// The certificate that a relying party shows.
#[cfg(feature = "tls")]
const IDENTITY_LABEL: &str = "am.services.oauth2.mtls.client.authentication";

/// The metadata of RFC 8705 §2.1.2.
const SUBJECTS: [(&str, SubjectPlace); 5] = [
    ("tls_client_auth_san_dns", SubjectPlace::Dns),
    ("tls_client_auth_san_email", SubjectPlace::Email),
    ("tls_client_auth_san_ip", SubjectPlace::Ip),
    ("tls_client_auth_san_uri", SubjectPlace::Uri),
    ("tls_client_auth_subject_dn", SubjectPlace::SubjectDn),
];

/// How a client authenticates with a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 8705 defines these two")]
pub enum CertificateMethod {
    /// One that it registered itself: by the label `….mtls.trusted.cert` or in `x5c` of its JWK set.
    SelfSigned,
    /// One of a CA, about this subject.
    Subject(RegisteredSubject),
}

/// The method of a registration, if it is one with a certificate.
pub(super) fn method(read: &Registration<'_>) -> Result<Option<CertificateMethod>> {
    match read.text("token_endpoint_auth_method")? {
        Some("self_signed_tls_client_auth") => Ok(Some(CertificateMethod::SelfSigned)),
        Some("tls_client_auth") => subject(read).map(CertificateMethod::Subject).map(Some),
        _ => Ok(None),
    }
}

/// RFC 8705 §2.1.2: exactly one is registered.
fn subject(read: &Registration<'_>) -> Result<RegisteredSubject> {
    let mut found = Vec::new();
    for (name, place) in SUBJECTS {
        found.extend(read.text(name)?.map(|text| (name, place, text)));
    }
    let [(name, place, text)] = found[..] else {
        let count = if found.is_empty() { "none" } else { "several" };
        let text = format!(
            "\"tls_client_auth\" needs the subject of the certificate: {count} is registered"
        );
        let names = SUBJECTS.map(|(name, _)| name).join(", ");
        return Err(Error::new(ErrorKind::Usage, text)
            .with_help(format!("register exactly one of {names}")));
    };
    RegisteredSubject::new(place, text).map_err(|error| {
        let text = format!("client metadata \"{name}\": {}", error.message());
        let help = error.help().map(str::to_owned);
        let error = Error::new(ErrorKind::Usage, text);
        if let Some(help) = help { error.with_help(help) } else { error }
    })
}

#[cfg(feature = "tls")]
impl Provider {
    /// Checks the certificate with which a client authenticates, by its registered method. `chain` is what the handshake
    /// showed, in DER, the client's own certificate first; the handshake proved that the client has its key.
    ///
    /// With `tls_client_auth` the chain leads to a certificate of the label
    /// `am.services.oauth2.tls.client.cert.authentication`, and the subject is the registered one. With
    /// `self_signed_tls_client_auth` it is one of the label `….mtls.trusted.cert` of the client if that is mapped, else
    /// one in `x5c` of its JWK set. Dates hold in both.
    ///
    /// # Errors
    /// [`ErrorKind::NotVerified`]; [`ErrorKind::Usage`] for a client that is not registered to authenticate so or has no
    /// certificate; [`ErrorKind::UnknownLabel`] without CAs.
    pub fn verify_client_certificate(&self, client: &Client, chain: &[Vec<u8>]) -> Result<()> {
        let now = self.oidc().now();
        let method = client.certificate().ok_or_else(|| {
            let id = client.id().escape_debug();
            let text = format!("client \"{id}\" is not registered to authenticate with a certificate");
            Error::new(ErrorKind::Usage, text).with_help(
                "register token_endpoint_auth_method tls_client_auth or self_signed_tls_client_auth",
            )
        })?;
        let Some((leaf, others)) = chain.split_first() else {
            return Err(refused("there is none"));
        };
        match method {
            CertificateMethod::SelfSigned => {
                let keys = now.certificates_of(client)?;
                check_among(&keys.set, leaf, now.time)
            }
            CertificateMethod::Subject(subject) => {
                let trust = ClientTrust::new(self.oidc().handle(CA_LABEL)?)?;
                trust.check(leaf, others, now.time)?;
                match subject.is_of(leaf) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(refused("it is about another subject than was registered")),
                    Err(error) => Err(refused(error.message())),
                }
            }
        }
    }
}

#[cfg(feature = "tls")]
impl RelyingParty {
    /// The certificate and key that this client shows to the provider, for rustls: the label
    /// `am.services.oauth2.mtls.client.authentication`.
    ///
    /// # Errors
    /// As [`Identity::new`].
    pub fn tls_identity(&self) -> Result<Identity> {
        Identity::new(self.oidc().handle(IDENTITY_LABEL)?)
    }

    /// The certificates that the provider's must lead to, for rustls: the label
    /// `am.services.oidc.reliant.party.{identifier}.truststore`; `None` without a `secret_label_identifier` or a mapping,
    /// where those of the system count.
    ///
    /// # Errors
    /// As [`ServerTrust::new`].
    pub fn tls_trust(&self) -> Result<Option<ServerTrust>> {
        let Some(identifier) = self.client().identifier() else { return Ok(None) };
        let label = format!("am.services.oidc.reliant.party.{identifier}.truststore");
        match self.oidc().handle(&label).and_then(ServerTrust::new) {
            Ok(trust) => Ok(Some(trust)),
            Err(error) if error.kind() == ErrorKind::UnknownLabel => Ok(None),
            Err(error) => Err(error),
        }
    }
}
