//! Keys that sign TLS handshakes, whoever holds them; a private key never leaves `crypto/`.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

use crate::alg::{Algorithm, Curve};
use crate::crypto::sign::sign_handshake;
use crate::crypto::{Key, KeyKind, Role};
use crate::error::Result;
use crate::ops::LabelKey;

/// The keys that do.
pub(super) const FIT: &str = "RSA, P-256, P-384, P-521 and Ed25519 do, with a certificate";

/// A key, and who holds it.
#[derive(Clone, Debug)]
pub(super) enum Holder {
    /// A file.
    File(Key),
    /// A label, which counts what its keys do.
    Label(Arc<LabelKey>),
}

impl Holder {
    fn key(&self) -> &Key {
        match self {
            Self::File(key) => key,
            Self::Label(held) => &held.key,
        }
    }

    fn sign(&self, row: &Algorithm, message: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::File(key) => sign_handshake(key, row, message),
            Self::Label(held) => held.sign_handshake(row, message),
        }
    }
}

/// The key with its chain; `None` without a certificate, or for keys that TLS does not sign with.
pub(super) fn certified(holder: Holder) -> Option<Arc<CertifiedKey>> {
    let chain: Vec<_> =
        holder.key().chain().iter().map(|der| CertificateDer::from(der.clone())).collect();
    let acts = schemes(holder.key()).next().is_some() && !chain.is_empty();
    acts.then(|| Arc::new(CertifiedKey::new(chain, Arc::new(Handshakes(holder)))))
}

/// What a key signs handshakes with, the preferred first.
fn schemes(key: &Key) -> impl Iterator<Item = (SignatureScheme, &'static Algorithm)> {
    use SignatureScheme as Scheme;
    const RSA: &[(Scheme, &str)] = &[
        (Scheme::RSA_PSS_SHA256, "PS256"),
        (Scheme::RSA_PSS_SHA384, "PS384"),
        (Scheme::RSA_PSS_SHA512, "PS512"),
        (Scheme::RSA_PKCS1_SHA256, "RS256"),
        (Scheme::RSA_PKCS1_SHA384, "RS384"),
        (Scheme::RSA_PKCS1_SHA512, "RS512"),
    ];
    let all: &[(Scheme, &str)] = match key.kind() {
        KeyKind::Rsa { .. } => RSA,
        KeyKind::Curve(Curve::P256) => &[(Scheme::ECDSA_NISTP256_SHA256, "ES256")],
        KeyKind::Curve(Curve::P384) => &[(Scheme::ECDSA_NISTP384_SHA384, "ES384")],
        KeyKind::Curve(Curve::P521) => &[(Scheme::ECDSA_NISTP521_SHA512, "ES512")],
        KeyKind::Curve(Curve::Ed25519) => &[(Scheme::ED25519, "EdDSA")],
        _ => &[],
    };
    let rows = all.iter().filter_map(|(scheme, name)| Some((*scheme, Algorithm::find(name)?)));
    rows.filter(|(_, row)| key.fits(row, Role::Sign).is_ok())
}

/// A key that signs handshakes.
#[derive(Debug)]
struct Handshakes(Holder);

impl SigningKey for Handshakes {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let (scheme, row) = schemes(self.0.key()).find(|(scheme, _)| offered.contains(scheme))?;
        Some(Box::new(Handshake { holder: self.0.clone(), scheme, row }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0.key().kind() {
            KeyKind::Rsa { .. } => SignatureAlgorithm::RSA,
            KeyKind::Curve(Curve::Ed25519) => SignatureAlgorithm::ED25519,
            _ => SignatureAlgorithm::ECDSA,
        }
    }
}

/// One signature.
#[derive(Debug)]
struct Handshake {
    holder: Holder,
    scheme: SignatureScheme,
    row: &'static Algorithm,
}

impl Signer for Handshake {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.holder.sign(self.row, message).map_err(|error| {
            log::warn!("a handshake is not signed: {error}");
            rustls::Error::General("the key does not sign".into())
        })
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
