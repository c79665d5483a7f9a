//! The certificate and key of a label as a TLS identity, of a server or a client (RFC 8446 §4.4).

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

use crate::alg::{Algorithm, Curve};
use crate::catalogue::LabelUse;
use crate::crypto::{KeyKind, Role};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{Label, LabelKey};

/// The active alias of a label whose use is `mtls`: its chain is shown, its key signs.
#[derive(Clone, Debug)]
pub struct Identity(Label);

impl Identity {
    /// The identity of a label.
    ///
    /// # Errors
    /// [`ErrorKind::WrongUse`] for a label that is not for `mtls`; [`ErrorKind::KeyUnfit`] for an active key
    /// without a certificate, or of a type that TLS does not sign with; [`ErrorKind::UnknownLabel`].
    pub fn new(label: Label) -> Result<Self> {
        super::require(&label, LabelUse::Mtls)?;
        let active = Arc::clone(label.keys()?.active());
        if certified(&active).is_none() {
            let text = format!(
                "label \"{}\", alias \"{}\": no certificate with a key that signs in TLS",
                label.name(),
                active.alias
            );
            return Err(Error::new(ErrorKind::KeyUnfit, text)
                .with_help("RSA, P-256, P-384, P-521 and Ed25519 do, with a certificate"));
        }
        Ok(Self(label))
    }

    /// That of the active alias now; `None` once a reload took it away, and the handshake fails.
    fn now(&self) -> Option<Arc<CertifiedKey>> {
        let active = self.0.keys().map(|keys| Arc::clone(keys.active()));
        let found = active.ok().and_then(|active| certified(&active));
        if found.is_none() {
            log::warn!("label \"{}\" has no identity for TLS any more", self.0.name());
        }
        found
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.now()
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.now()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certified(key: &Arc<LabelKey>) -> Option<Arc<CertifiedKey>> {
    let chain: Vec<_> =
        key.key.chain().iter().map(|der| CertificateDer::from(der.clone())).collect();
    let acts = schemes(key).next().is_some() && !chain.is_empty();
    acts.then(|| Arc::new(CertifiedKey::new(chain, Arc::new(Handshakes(Arc::clone(key))))))
}

/// What a key signs handshakes with, the preferred first.
fn schemes(key: &LabelKey) -> impl Iterator<Item = (SignatureScheme, &'static Algorithm)> {
    use SignatureScheme as Scheme;
    const RSA: &[(Scheme, &str)] = &[
        (Scheme::RSA_PSS_SHA256, "PS256"),
        (Scheme::RSA_PSS_SHA384, "PS384"),
        (Scheme::RSA_PSS_SHA512, "PS512"),
        (Scheme::RSA_PKCS1_SHA256, "RS256"),
        (Scheme::RSA_PKCS1_SHA384, "RS384"),
        (Scheme::RSA_PKCS1_SHA512, "RS512"),
    ];
    let all: &[(Scheme, &str)] = match key.key.kind() {
        KeyKind::Rsa { .. } => RSA,
        KeyKind::Curve(Curve::P256) => &[(Scheme::ECDSA_NISTP256_SHA256, "ES256")],
        KeyKind::Curve(Curve::P384) => &[(Scheme::ECDSA_NISTP384_SHA384, "ES384")],
        KeyKind::Curve(Curve::P521) => &[(Scheme::ECDSA_NISTP521_SHA512, "ES512")],
        KeyKind::Curve(Curve::Ed25519) => &[(Scheme::ED25519, "EdDSA")],
        _ => &[],
    };
    let rows = all.iter().filter_map(|(scheme, name)| Some((*scheme, Algorithm::find(name)?)));
    rows.filter(|(_, row)| key.key.fits(row, Role::Sign).is_ok())
}

/// A key of a label that signs handshakes.
#[derive(Debug)]
struct Handshakes(Arc<LabelKey>);

impl SigningKey for Handshakes {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let (scheme, row) = schemes(&self.0).find(|(scheme, _)| offered.contains(scheme))?;
        Some(Box::new(Handshake { key: Arc::clone(&self.0), scheme, row }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0.key.kind() {
            KeyKind::Rsa { .. } => SignatureAlgorithm::RSA,
            KeyKind::Curve(Curve::Ed25519) => SignatureAlgorithm::ED25519,
            _ => SignatureAlgorithm::ECDSA,
        }
    }
}

/// One signature.
#[derive(Debug)]
struct Handshake {
    key: Arc<LabelKey>,
    scheme: SignatureScheme,
    row: &'static Algorithm,
}

impl Signer for Handshake {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.key.sign_handshake(self.row, message).map_err(|error| {
            log::warn!("alias \"{}\" does not sign a handshake: {error}", self.key.alias);
            rustls::Error::General("the key does not sign".into())
        })
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
