//! Keys and what is done with them; private material never leaves this folder.

use std::fmt;
use std::sync::Arc;

use crate::alg::{Algorithm, Curve};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

pub mod cipher;
pub mod sign;

/// What a symmetric key may be used for, as its container said.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a closed set that KeyKind names")]
pub enum OctType {
    /// AES only.
    Aes,
    /// AES or HMAC: the container did not say (a JWK `oct` without `alg`).
    Any,
    /// No key but a password or salt; usable where a label's use is `secret`.
    Generic,
    /// HMAC only.
    Hmac,
}

/// The type and size of a key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum KeyKind {
    /// EC or OKP on this curve.
    Curve(Curve),
    /// Symmetric bytes.
    Oct {
        /// Length in bits.
        bits: usize,
        /// What it may be used for.
        oct_type: OctType,
    },
    /// RSA with a modulus of this many bits.
    Rsa {
        /// Modulus length in bits.
        bits: usize,
    },
}

/// The public half, as JWK members (RFC 7518 §6, RFC 8037 §2). Integers are big-endian bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the three public JWK key types")]
pub enum PublicParameters {
    /// `kty` EC: coordinates padded to the field size.
    Ec {
        /// The curve.
        curve: Curve,
        /// `x`.
        x: Vec<u8>,
        /// `y`.
        y: Vec<u8>,
    },
    /// `kty` OKP.
    Okp {
        /// The curve.
        curve: Curve,
        /// `x`.
        x: Vec<u8>,
    },
    /// `kty` RSA, without leading zeros.
    Rsa {
        /// `n`.
        n: Vec<u8>,
        /// `e`.
        e: Vec<u8>,
    },
}

/// What a key is asked to do.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the four operations of a label")]
pub enum Role {
    /// Decrypt or unwrap: needs the private or shared key.
    Decrypt,
    /// Encrypt or wrap: the public half is enough.
    Encrypt,
    /// Sign or MAC: needs the private or shared key.
    Sign,
    /// Verify: the public half is enough.
    Verify,
}

/// A key: public facts, and private material that only `crypto` sees. Cheap to clone.
#[derive(Clone)]
pub struct Key(Arc<Inner>);

struct Inner {
    kind: KeyKind,
}

impl Key {
    /// A key pair from PKCS#8 DER and its certificates (leaf first, may be empty). The pair is
    /// proven once: the public half is derived, compared with the leaf certificate, and a
    /// signature or agreement is made and checked.
    ///
    /// # Errors
    /// [`ErrorKind::KeyUnfit`] where key, curve or size is refused or the certificate is of another key;
    /// [`ErrorKind::Unsupported`] for key types that are not built in (DSA).
    pub fn from_private(_pkcs8: &SecretBytes, _chain: Vec<Vec<u8>>) -> Result<Self> {
        Err(Error::new(ErrorKind::Unsupported, "pending"))
    }

    /// A public key from SubjectPublicKeyInfo DER.
    ///
    /// # Errors
    /// As [`Key::from_private`].
    pub fn from_public(_spki: &[u8]) -> Result<Self> {
        Err(Error::new(ErrorKind::Unsupported, "pending"))
    }

    /// The public key of the first of these DER certificates.
    ///
    /// # Errors
    /// As [`Key::from_private`]; [`ErrorKind::Damaged`] if it is no certificate.
    pub fn from_certificates(_chain: Vec<Vec<u8>>) -> Result<Self> {
        Err(Error::new(ErrorKind::Unsupported, "pending"))
    }

    /// A symmetric key or a password.
    ///
    /// # Errors
    /// [`ErrorKind::KeyUnfit`] if AES bytes are not of 16, 24, 32, 48 or 64 bytes, or there are none.
    pub fn from_secret(_bytes: SecretBytes, _oct_type: OctType) -> Result<Self> {
        Err(Error::new(ErrorKind::Unsupported, "pending"))
    }

    /// Type and size.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.0.kind
    }

    /// Whether the private half is here (always for symmetric keys).
    #[must_use]
    pub fn has_private(&self) -> bool {
        false
    }

    /// The certificates, leaf first; empty if none.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        &[]
    }

    /// The SubjectPublicKeyInfo in DER; `None` for symmetric keys.
    #[must_use]
    pub fn spki(&self) -> Option<&[u8]> {
        None
    }

    /// The public half as JWK members; `None` for symmetric keys.
    #[must_use]
    pub fn public_parameters(&self) -> Option<PublicParameters> {
        None
    }

    /// RFC 7638 thumbprint (SHA-256, base64url) for key pairs; for symmetric keys the first 16 bytes,
    /// base64url, of HMAC-SHA256 under the key over a fixed text, so that it tells nothing about the key.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        ""
    }

    /// Whether type, curve, size and private half fit `algorithm` in this role.
    ///
    /// # Errors
    /// [`ErrorKind::KeyUnfit`] with the reason.
    pub fn fits(&self, _algorithm: &Algorithm, _role: Role) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "pending"))
    }

    /// Whether this is an HMAC key shorter than the digest (RFC 7518 §3.2 forbids it).
    #[must_use]
    pub fn is_short_for(&self, _algorithm: &Algorithm) -> bool {
        false
    }

    /// The bytes of a symmetric key or password, for labels whose use is `secret` and for export.
    #[must_use]
    pub(crate) fn secret_bytes(&self) -> Option<&SecretBytes> {
        None
    }

    /// The private key as PKCS#8 DER, for export.
    #[must_use]
    pub(crate) fn pkcs8(&self) -> Option<&SecretBytes> {
        None
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kind", &self.0.kind)
            .field("thumbprint", &self.thumbprint())
            .finish_non_exhaustive()
    }
}
