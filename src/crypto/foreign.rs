//! Ed448 and X448, which only OpenSSL has (feature `compat`).

use zeroize::Zeroizing;

use crate::alg::Curve;
use crate::error::{Error, ErrorKind, Result};

#[cfg(not(feature = "compat"))]
pub(in crate::crypto) use without::ForeignKey;

#[cfg(feature = "compat")]
pub(in crate::crypto) struct ForeignKey {
    private: Option<openssl::pkey::PKey<openssl::pkey::Private>>,
    public: openssl::pkey::PKey<openssl::pkey::Public>,
}

#[cfg(feature = "compat")]
impl ForeignKey {
    pub(in crate::crypto) fn from_private(curve: Curve, secret: &[u8]) -> Result<(Self, Vec<u8>)> {
        let private = openssl::pkey::PKey::private_key_from_raw_bytes(secret, id(curve))
            .map_err(|error| refused(curve).with_source(error))?;
        let x = private.raw_public_key().map_err(|error| refused(curve).with_source(error))?;
        let public = Self::from_public(curve, &x)?.public;
        Ok((Self { private: Some(private), public }, x))
    }

    pub(in crate::crypto) fn from_public(curve: Curve, x: &[u8]) -> Result<Self> {
        let public = openssl::pkey::PKey::public_key_from_raw_bytes(x, id(curve))
            .map_err(|error| refused(curve).with_source(error))?;
        Ok(Self { private: None, public })
    }

    /// A fresh private key, raw.
    pub(in crate::crypto) fn generate(curve: Curve) -> Result<Vec<u8>> {
        let made = match curve {
            Curve::X448 => openssl::pkey::PKey::generate_x448(),
            _ => openssl::pkey::PKey::generate_ed448(),
        };
        made.and_then(|key| key.raw_private_key())
            .map_err(|error| refused(curve).with_source(error))
    }

    pub(in crate::crypto) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let private = self.private.as_ref()?;
        let mut signer = openssl::sign::Signer::new_without_digest(private).ok()?;
        signer.sign_oneshot_to_vec(message).ok()
    }

    pub(in crate::crypto) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        openssl::sign::Verifier::new_without_digest(&self.public)
            .and_then(|mut verifier| verifier.verify_oneshot(signature, message))
            .unwrap_or(false)
    }

    /// The shared secret with a peer's raw public key (RFC 7748 §6.2).
    pub(in crate::crypto) fn agree(&self, peer: &Self) -> Option<Zeroizing<Vec<u8>>> {
        let private = self.private.as_ref()?;
        let mut deriver = openssl::derive::Deriver::new(private).ok()?;
        deriver.set_peer(&peer.public).ok()?;
        deriver.derive_to_vec().ok().map(Zeroizing::new)
    }
}

#[cfg(feature = "compat")]
const fn id(curve: Curve) -> openssl::pkey::Id {
    match curve {
        Curve::X448 => openssl::pkey::Id::X448,
        _ => openssl::pkey::Id::ED448,
    }
}

#[cfg(feature = "compat")]
fn refused(curve: Curve) -> Error {
    Error::new(ErrorKind::KeyUnfit, format!("the {} key is refused", curve.name()))
}

#[cfg(not(feature = "compat"))]
mod without {
    use super::{Curve, Error, ErrorKind, Result, Zeroizing};

    /// Cannot be made: every constructor says which feature it needs.
    pub(in crate::crypto) enum ForeignKey {}

    impl ForeignKey {
        pub(in crate::crypto) fn from_private(curve: Curve, _: &[u8]) -> Result<(Self, Vec<u8>)> {
            Err(missing(curve))
        }

        pub(in crate::crypto) fn from_public(curve: Curve, _: &[u8]) -> Result<Self> {
            Err(missing(curve))
        }

        pub(in crate::crypto) fn generate(curve: Curve) -> Result<Vec<u8>> {
            Err(missing(curve))
        }

        pub(in crate::crypto) fn sign(&self, _: &[u8]) -> Option<Vec<u8>> {
            match *self {}
        }

        pub(in crate::crypto) fn verify(&self, _: &[u8], _: &[u8]) -> bool {
            match *self {}
        }

        pub(in crate::crypto) fn agree(&self, _: &Self) -> Option<Zeroizing<Vec<u8>>> {
            match *self {}
        }
    }

    fn missing(curve: Curve) -> Error {
        let text = format!("{} needs feature \"compat\"", curve.name());
        Error::new(ErrorKind::Unsupported, text)
    }
}
