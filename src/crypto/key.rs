//! A key: public facts, and private material parsed once, proven once and kept prepared.

use std::fmt;
use std::sync::{Arc, Weak};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use num_bigint::BigUint;
use ring::hmac;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::alg::{Algorithm, Curve, Family, Hash, Operation};
use crate::crypto::material::{RsaUse, encode_spki, parse_pkcs8, parse_spki, rsa_use};
use crate::crypto::prepared::Prepared;
use crate::crypto::{sha1, sha256, sign};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

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

impl KeyKind {
    /// The size that people quote, in bits.
    #[must_use]
    pub const fn bits(self) -> usize {
        match self {
            Self::Curve(curve) => curve.bits(),
            Self::Oct { bits, .. } | Self::Rsa { bits } => bits,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Curve(curve) if curve.is_okp() => f.write_str(curve.name()),
            Self::Curve(curve) => write!(f, "EC {}", curve.name()),
            Self::Oct { oct_type: OctType::Aes, bits } => write!(f, "AES {bits}"),
            Self::Oct { oct_type: OctType::Hmac, bits } => write!(f, "HMAC {bits}"),
            Self::Oct { oct_type: OctType::Any, bits } => write!(f, "symmetric {bits}"),
            Self::Oct { oct_type: OctType::Generic, .. } => f.write_str("secret"),
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
        }
    }
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

/// Finds a key again as long as somebody else holds it; it keeps nothing alive.
#[derive(Clone)]
pub struct WeakKey(Weak<Inner>);

impl WeakKey {
    /// The key, if it is still held.
    #[must_use]
    pub fn upgrade(&self) -> Option<Key> {
        self.0.upgrade().map(Key)
    }
}

impl fmt::Debug for WeakKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakKey")
    }
}

struct Inner {
    kind: KeyKind,
    chain: Vec<Vec<u8>>,
    spki: Option<Vec<u8>>,
    public: Option<PublicParameters>,
    thumbprint: String,
    rsa_use: RsaUse,
    /// PKCS#8 of a key pair, or the raw symmetric bytes.
    secret: Option<SecretBytes>,
    prepared: Prepared,
}

impl Key {
    /// A key pair from PKCS#8 DER and its certificates (leaf first, may be empty). The pair is
    /// proven once: the public half is derived, compared with the leaf certificate, and a
    /// signature is made and checked.
    ///
    /// # Errors
    /// [`ErrorKind::KeyUnfit`] where key, curve or size is refused or the certificate is of another
    /// key; [`ErrorKind::Unsupported`] for key types that are not built in (DSA).
    pub fn from_private(pkcs8: &SecretBytes, chain: Vec<Vec<u8>>) -> Result<Self> {
        // EXPOSE: parsed into the backends' own zeroizing owners; the copy kept below is one too.
        let bytes = pkcs8.expose_secret();
        let parts = parse_pkcs8(bytes)?;
        let (public, prepared) = Prepared::pair(&parts, bytes)?;
        let secret = Some(SecretBytes::from_slice(bytes));
        let of_certificate = match chain.first() {
            Some(leaf) => rsa_use(&certificate_spki(leaf)?)?,
            None => RsaUse::Any,
        };
        let rsa_use = parts.rsa_use.and(of_certificate);
        let key = Self::assemble(&public, prepared, chain, secret, rsa_use)?;
        key.check_certificate()?;
        sign::prove(&key)?;
        Ok(key)
    }

    /// A public key from SubjectPublicKeyInfo DER.
    ///
    /// # Errors
    /// As [`Key::from_private`].
    pub fn from_public(spki: &[u8]) -> Result<Self> {
        Self::from_public_half(spki, Vec::new())
    }

    /// The public key of the first of these DER certificates.
    ///
    /// # Errors
    /// As [`Key::from_private`]; [`ErrorKind::Damaged`] if it is no certificate.
    pub fn from_certificates(chain: Vec<Vec<u8>>) -> Result<Self> {
        let leaf = chain.first().ok_or_else(|| Error::new(ErrorKind::Damaged, "no certificate"))?;
        let spki = certificate_spki(leaf)?;
        Self::from_public_half(&spki, chain)
    }

    /// A symmetric key or a password.
    ///
    /// # Errors
    /// [`ErrorKind::KeyUnfit`] if AES bytes are not of 16, 24, 32, 48 or 64 bytes, or there are none.
    pub fn from_secret(bytes: SecretBytes, oct_type: OctType) -> Result<Self> {
        let len = bytes.len();
        if len == 0 {
            return Err(Error::new(ErrorKind::KeyUnfit, "the secret is empty"));
        }
        if oct_type == OctType::Aes && ![16, 24, 32, 48, 64].contains(&len) {
            let text = format!("an AES key of {len} bytes does not exist");
            return Err(Error::new(ErrorKind::KeyUnfit, text)
                .with_help("AES keys have 16, 24 or 32 bytes; with HMAC together 32, 48 or 64"));
        }
        // EXPOSE: into the backends' own owners.
        let raw = bytes.expose_secret();
        let prepared = Prepared::oct(raw, oct_type);
        // Never a bare hash of the key: a MAC under it tells nothing about it (RFC 7638 §7).
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, raw), b"claviger kid v1");
        let thumbprint = URL_SAFE_NO_PAD.encode(tag.as_ref().get(..16).unwrap_or_default());
        Ok(Self(Arc::new(Inner {
            kind: KeyKind::Oct { bits: len * 8, oct_type },
            chain: Vec::new(),
            spki: None,
            public: None,
            thumbprint,
            rsa_use: RsaUse::Any,
            secret: Some(bytes),
            prepared,
        })))
    }

    fn from_public_half(spki: &[u8], chain: Vec<Vec<u8>>) -> Result<Self> {
        let public = parse_spki(spki)?;
        let prepared = Prepared::public(&public, spki)?;
        Self::assemble(&public, prepared, chain, None, rsa_use(spki)?)
    }

    fn assemble(
        public: &PublicParameters,
        prepared: Prepared,
        chain: Vec<Vec<u8>>,
        secret: Option<SecretBytes>,
        rsa_use: RsaUse,
    ) -> Result<Self> {
        let kind = match public {
            PublicParameters::Rsa { n, .. } => KeyKind::Rsa { bits: bit_length(n) },
            PublicParameters::Ec { curve, .. } | PublicParameters::Okp { curve, .. } => {
                KeyKind::Curve(*curve)
            }
        };
        let spki = encode_spki(public)?;
        Ok(Self(Arc::new(Inner {
            kind,
            chain,
            thumbprint: thumbprint(public),
            public: Some(public.clone()),
            spki: Some(spki),
            rsa_use,
            secret,
            prepared,
        })))
    }

    fn check_certificate(&self) -> Result<()> {
        let Some(leaf) = self.0.chain.first() else { return Ok(()) };
        // Compared as numbers, since the encodings of one key may differ (RSA with PSS parameters).
        if Some(parse_spki(&certificate_spki(leaf)?)?) == self.0.public {
            return Ok(());
        }
        Err(Error::new(ErrorKind::KeyUnfit, "the certificate belongs to another key")
            .with_help("import the key again with the certificate that was issued for it"))
    }

    /// Whether this is the very same prepared key, not only an equal one.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A way back to this key that does not keep it.
    #[must_use]
    pub fn downgrade(&self) -> WeakKey {
        WeakKey(Arc::downgrade(&self.0))
    }

    /// Type and size.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.0.kind
    }

    /// Whether the private half is here (always for symmetric keys).
    #[must_use]
    pub fn has_private(&self) -> bool {
        self.0.secret.is_some()
    }

    /// The certificates, leaf first; empty if none.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.0.chain
    }

    /// The SubjectPublicKeyInfo in DER; `None` for symmetric keys.
    #[must_use]
    pub fn spki(&self) -> Option<&[u8]> {
        self.0.spki.as_deref()
    }

    /// The public half as JWK members; `None` for symmetric keys.
    #[must_use]
    pub fn public_parameters(&self) -> Option<&PublicParameters> {
        self.0.public.as_ref()
    }

    /// RFC 7638 thumbprint (SHA-256, base64url) for key pairs; for symmetric keys the first 16 bytes,
    /// base64url, of HMAC-SHA256 under the key over a fixed text, so that it tells nothing about the key.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.0.thumbprint
    }

    /// Ping AM's kid for an asymmetric key: SHA-1 over alias, use (`sig` or `enc`) and the parameters in
    /// decimal. `None` for symmetric keys and for OKP, whose formula is not known.
    #[must_use]
    pub fn am_kid(&self, alias: &str, usage: &str) -> Option<String> {
        let decimal = |bytes: &[u8]| BigUint::from_bytes_be(bytes).to_string();
        let text = match self.0.public.as_ref()? {
            PublicParameters::Rsa { n, e } => {
                format!("{alias}:{usage}{}{}", decimal(n), decimal(e))
            }
            PublicParameters::Ec { curve, x, y } => {
                format!("{alias}:{usage}:{}:{}:{}", curve.name(), decimal(x), decimal(y))
            }
            PublicParameters::Okp { .. } => return None,
        };
        Some(STANDARD.encode(sha1(text.as_bytes())))
    }

    /// Whether type, curve, size and private half fit `algorithm` in this role.
    ///
    /// # Errors
    /// [`ErrorKind::KeyUnfit`] with the reason.
    pub fn fits(&self, algorithm: &Algorithm, role: Role) -> Result<()> {
        let unfit = |why: &str| {
            Err(Error::new(
                ErrorKind::KeyUnfit,
                format!("{} cannot do {algorithm}: {why}", self.0.kind),
            ))
        };
        if !family_takes(algorithm, self.0.kind) {
            return unfit("it needs another type or size of key");
        }
        if !self.0.rsa_use.allows(algorithm.family) {
            return unfit(
                "the key is for RSASSA-PSS, with the digest that it names (RFC 4055 §1.2)",
            );
        }
        if let KeyKind::Rsa { bits } = self.0.kind
            && !(2048..=8192).contains(&bits)
        {
            return unfit("RSA acts with 2048 to 8192 bits");
        }
        if matches!(role, Role::Sign | Role::Decrypt) && !self.has_private() {
            return unfit("the private key is not here");
        }
        Ok(())
    }

    /// Whether this is an HMAC key shorter than the digest (RFC 7518 §3.2 forbids it).
    #[must_use]
    pub fn is_short_for(&self, algorithm: &Algorithm) -> bool {
        let needed = match algorithm.family {
            Family::Hmac(Hash::Sha1) => 160,
            Family::Hmac(Hash::Sha256) => 256,
            Family::Hmac(Hash::Sha384) => 384,
            Family::Hmac(Hash::Sha512) => 512,
            _ => return false,
        };
        self.0.kind.bits() < needed
    }

    /// Shows the bytes of a symmetric key or password to `read`, for labels whose use is `secret`.
    /// `None` for key pairs.
    pub(crate) fn reveal<T>(&self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        // EXPOSE: the caller's closure; it says where the copy ends.
        self.secret_bytes().map(|bytes| read(bytes.expose_secret()))
    }

    /// The bytes of a symmetric key or password.
    pub(crate) fn secret_bytes(&self) -> Option<&SecretBytes> {
        self.0.secret.as_ref().filter(|_| self.0.public.is_none())
    }

    /// The private key as PKCS#8 DER, for OpenSSL.
    #[cfg(feature = "compat")]
    pub(crate) fn pkcs8(&self) -> Option<&SecretBytes> {
        self.0.secret.as_ref().filter(|_| self.0.public.is_some())
    }

    pub(in crate::crypto) fn prepared(&self) -> &Prepared {
        &self.0.prepared
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kind", &self.0.kind)
            .field("thumbprint", &self.0.thumbprint)
            .finish_non_exhaustive()
    }
}

/// Whether keys of this kind do the row at all.
fn family_takes(algorithm: &Algorithm, kind: KeyKind) -> bool {
    match (algorithm.family, kind) {
        (Family::Hmac(_), KeyKind::Oct { oct_type, .. }) => {
            matches!(oct_type, OctType::Any | OctType::Hmac)
        }
        (Family::RsaPkcs1(_) | Family::RsaPss(_), KeyKind::Rsa { .. })
        | (Family::RsaOaep(_) | Family::RsaOaepNamed | Family::Rsa15, KeyKind::Rsa { .. }) => true,
        (Family::Ecdsa(curve, _), KeyKind::Curve(own)) => curve == own,
        // RFC 9864 §2.2: the name may tell the curve.
        (Family::EdDsa, KeyKind::Curve(own)) => match algorithm.name {
            "Ed25519" => own == Curve::Ed25519,
            "Ed448" => own == Curve::Ed448,
            _ => matches!(own, Curve::Ed25519 | Curve::Ed448),
        },
        (Family::EcdhEs(_), KeyKind::Curve(own)) => {
            !matches!(own, Curve::Ed25519 | Curve::Ed448 | Curve::Secp256k1)
        }
        (Family::AesKw(size) | Family::AesGcmKw(size), KeyKind::Oct { bits, oct_type }) => {
            bits == size && matches!(oct_type, OctType::Any | OctType::Aes)
        }
        // Whether it fits the content algorithm is asked of that row.
        (Family::Direct, KeyKind::Oct { oct_type, .. }) => {
            matches!(oct_type, OctType::Any | OctType::Aes)
        }
        (Family::Pbes2(..), KeyKind::Oct { oct_type, .. }) => {
            matches!(oct_type, OctType::Any | OctType::Generic)
        }
        (Family::AesGcm(size) | Family::AesCbcHmac(size), KeyKind::Oct { bits, oct_type }) => {
            debug_assert_eq!(algorithm.operation, Operation::Content);
            bits == size && matches!(oct_type, OctType::Any | OctType::Aes)
        }
        _ => false,
    }
}

/// RFC 7638 §3: the required members in lexical order, no white space.
fn thumbprint(public: &PublicParameters) -> String {
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let text = match public {
        PublicParameters::Rsa { n, e } => {
            format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, b64(e), b64(n))
        }
        PublicParameters::Ec { curve, x, y } => {
            let (crv, x, y) = (curve.name(), b64(x), b64(y));
            format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
        }
        PublicParameters::Okp { curve, x } => {
            format!(r#"{{"crv":"{}","kty":"OKP","x":"{}"}}"#, curve.name(), b64(x))
        }
    };
    b64(&sha256(text.as_bytes()))
}

pub(in crate::crypto) fn bit_length(big_endian: &[u8]) -> usize {
    let leading = big_endian.first().map_or(0, |byte| byte.leading_zeros());
    big_endian.len() * 8 - usize::try_from(leading).unwrap_or_default()
}

fn certificate_spki(certificate: &[u8]) -> Result<Vec<u8>> {
    let (rest, parsed) = X509Certificate::from_der(certificate).map_err(|error| {
        Error::new(ErrorKind::Damaged, "a certificate is not valid DER").with_source(error)
    })?;
    if !rest.is_empty() {
        return Err(Error::new(ErrorKind::Damaged, "bytes follow a certificate"));
    }
    Ok(parsed.public_key().raw.to_vec())
}
