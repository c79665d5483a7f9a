//! The certificates of a label or a file as trust anchors (RFC 5280 §6.1.1) of a server or a client.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore,
    SignatureScheme,
};

use crate::catalogue::LabelUse;
use crate::error::Result;
use crate::ops::{KeySet, Label};
use crate::tls::FileAnchors;
use crate::tls::signatures::Signatures;

/// Checks client certificates against the anchors of a label: chain, dates, and that each is for client
/// authentication. Whoever presents none is refused, unless [`ClientTrust::optional`].
#[derive(Clone, Debug)]
pub struct ClientTrust {
    anchors: Anchors,
    mandatory: bool,
}

impl ClientTrust {
    /// The anchors of a label whose use is `trust`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::WrongUse`], [`crate::error::ErrorKind::UnknownLabel`].
    pub fn new(label: Label) -> Result<Self> {
        Ok(Self { anchors: Anchors::new(label)?, mandatory: true })
    }

    /// Those of a file.
    #[must_use]
    pub fn of_file(file: Arc<FileAnchors>) -> Self {
        Self { anchors: Anchors::of(Source::File(file)), mandatory: true }
    }

    /// The same, and clients without a certificate are let in.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { mandatory: false, ..self }
    }

    /// The anchors of this moment; the same pointer for as long as they are the same.
    pub(super) fn anchors(&self) -> Result<Arc<RootCertStore>, TlsError> {
        self.anchors.now()
    }

    /// Checks a chain, leaf first, against these anchors.
    pub(super) fn verify(
        &self,
        anchors: Arc<RootCertStore>,
        (leaf, others): (&CertificateDer<'_>, &[CertificateDer<'_>]),
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let provider = self.anchors.signatures.provider();
        let verifier = WebPkiClientVerifier::builder_with_provider(anchors, provider);
        let verifier = verifier.build().map_err(|_| unknown_issuer())?;
        verifier.verify_client_cert(leaf, others, now)
    }
}

impl ClientCertVerifier for ClientTrust {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// None: they would be those of one snapshot.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        self.verify(self.anchors()?, (end_entity, intermediates), now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.anchors.signatures.verify_tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.anchors.signatures.verify_tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.anchors.signatures.schemes()
    }
}

/// Checks server certificates against the anchors of a label, and against no other: chain, dates, name, and that
/// each is for server authentication.
#[derive(Clone, Debug)]
pub struct ServerTrust(Anchors);

impl ServerTrust {
    /// The anchors of a label whose use is `trust`.
    ///
    /// # Errors
    /// As [`ClientTrust::new`].
    pub fn new(label: Label) -> Result<Self> {
        Anchors::new(label).map(Self)
    }
}

impl ServerCertVerifier for ServerTrust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let roots = self.0.now()?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots, self.0.signatures.provider());
        let verifier = verifier.build().map_err(|_| unknown_issuer())?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.signatures.verify_tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.signatures.verify_tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signatures.schemes()
    }
}

/// Every valid certificate of a label, or those of a file.
#[derive(Clone, Debug)]
struct Anchors {
    source: Source,
    signatures: Signatures,
    /// Those that were asked for last, for as long as the label has the same keys.
    last: Arc<ArcSwapOption<(Arc<KeySet>, Arc<RootCertStore>)>>,
}

#[derive(Clone, Debug)]
enum Source {
    File(Arc<FileAnchors>),
    Label(Label),
}

impl Anchors {
    fn new(label: Label) -> Result<Self> {
        super::require(&label, LabelUse::Trust)?;
        Ok(Self::of(Source::Label(label)))
    }

    fn of(source: Source) -> Self {
        Self { source, signatures: Signatures::new(), last: Arc::default() }
    }

    /// Those of this moment; a label that is gone trusts nobody.
    fn now(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let label = match &self.source {
            Source::File(file) => return Ok(file.now()),
            Source::Label(label) => label,
        };
        let keys = label.keys().map_err(|_| unknown_issuer())?;
        let last = self.last.load();
        if let Some((of, roots)) = last.as_deref()
            && Arc::ptr_eq(of, &keys)
        {
            return Ok(Arc::clone(roots));
        }
        let mut roots = RootCertStore::empty();
        for leaf in keys.keys().iter().filter_map(|key| key.key.chain().first()) {
            if roots.add(CertificateDer::from(leaf.as_slice())).is_err() {
                log::warn!("label \"{}\": a certificate is no trust anchor", label.name());
            }
        }
        // A reload that left them alone is no reason to check anybody again.
        let same = last.as_deref().map(|(_, before)| before).filter(|one| one.roots == roots.roots);
        let roots = same.map_or_else(|| Arc::new(roots), Arc::clone);
        self.last.store(Some(Arc::new((keys, Arc::clone(&roots)))));
        Ok(roots)
    }
}

const fn unknown_issuer() -> TlsError {
    TlsError::InvalidCertificate(CertificateError::UnknownIssuer)
}
