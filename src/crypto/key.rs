//! A key: public facts, and private material parsed once, proven once and kept prepared.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::rsa::{OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{
    self as aws, ECDSA_P256K1_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey, RsaKeyPair,
};
use aws_lc_rs::{agreement, error::KeyRejected};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use num_bigint::BigUint;
use ring::rand::SystemRandom;
use ring::{hmac, signature as ring_signature};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::alg::{Algorithm, Curve, Family, Hash, Operation};
use crate::crypto::material::{KeyType, encode_spki, parse_pkcs8, parse_spki};
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

struct Inner {
    kind: KeyKind,
    chain: Vec<Vec<u8>>,
    spki: Option<Vec<u8>>,
    public: Option<PublicParameters>,
    thumbprint: String,
    /// PKCS#8 of a key pair, or the raw symmetric bytes.
    secret: Option<SecretBytes>,
    prepared: Prepared,
}

/// Keys as the backends want them; nothing is parsed per call.
pub(in crate::crypto) enum Prepared {
    Edwards { private: Option<Ed25519KeyPair>, public: ParsedPublicKey },
    Elliptic(Box<Elliptic>),
    Foreign(super::foreign::ForeignKey),
    Oct(Box<Oct>),
    Rsa(Box<Rsa>),
    X25519 { private: Option<agreement::PrivateKey> },
}

pub(in crate::crypto) struct Elliptic {
    pub(in crate::crypto) signer: Option<EcSigner>,
    pub(in crate::crypto) verifier: EcVerifier,
    pub(in crate::crypto) agreement: Option<agreement::PrivateKey>,
}

pub(in crate::crypto) enum EcSigner {
    AwsLc(EcdsaKeyPair),
    Ring(ring_signature::EcdsaKeyPair),
}

pub(in crate::crypto) enum EcVerifier {
    AwsLc(ParsedPublicKey),
    Ring(ring_signature::UnparsedPublicKey<Vec<u8>>),
}

pub(in crate::crypto) struct Oct {
    pub(in crate::crypto) hs256: hmac::Key,
    pub(in crate::crypto) hs384: hmac::Key,
    pub(in crate::crypto) hs512: hmac::Key,
}

pub(in crate::crypto) struct Rsa {
    pub(in crate::crypto) signer: Option<RsaKeyPair>,
    /// One a padding and digest, in the order of [`RSA_ROWS`].
    pub(in crate::crypto) verifiers: Vec<ParsedPublicKey>,
    pub(in crate::crypto) unwrap: Option<OaepPrivateDecryptingKey>,
    pub(in crate::crypto) wrap: Option<OaepPublicEncryptingKey>,
}

/// The verification rows of RSA, which aws-lc-rs parses one by one.
pub(in crate::crypto) const RSA_ROWS: [(Family, &aws::RsaParameters); 6] = [
    (Family::RsaPkcs1(Hash::Sha256), &aws::RSA_PKCS1_2048_8192_SHA256),
    (Family::RsaPkcs1(Hash::Sha384), &aws::RSA_PKCS1_2048_8192_SHA384),
    (Family::RsaPkcs1(Hash::Sha512), &aws::RSA_PKCS1_2048_8192_SHA512),
    (Family::RsaPss(Hash::Sha256), &aws::RSA_PSS_2048_8192_SHA256),
    (Family::RsaPss(Hash::Sha384), &aws::RSA_PSS_2048_8192_SHA384),
    (Family::RsaPss(Hash::Sha512), &aws::RSA_PSS_2048_8192_SHA512),
];

fn rejected(what: &str) -> impl Fn(KeyRejected) -> Error + '_ {
    move |reason| Error::new(ErrorKind::KeyUnfit, format!("the {what} key is refused: {reason}"))
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
        let (public, prepared) = match parts.key_type {
            KeyType::Rsa => prepare_rsa_pair(bytes, parts.secret)?,
            KeyType::Curve(Curve::Ed25519) => prepare_ed25519_pair(parts.secret)?,
            KeyType::Curve(Curve::X25519) => prepare_x25519_pair(parts.secret)?,
            KeyType::Curve(curve @ (Curve::Ed448 | Curve::X448)) => {
                let (key, x) = super::foreign::ForeignKey::from_private(curve, parts.secret)?;
                (PublicParameters::Okp { curve, x }, Prepared::Foreign(key))
            }
            KeyType::Curve(curve) => prepare_ec_pair(curve, bytes, parts.secret)?,
        };
        let secret = Some(SecretBytes::from_slice(bytes));
        let key = Self::assemble(&public, prepared, chain, secret)?;
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
        // EXPOSE: into ring's prepared MAC keys.
        let raw = bytes.expose_secret();
        let oct = Oct {
            hs256: hmac::Key::new(hmac::HMAC_SHA256, raw),
            hs384: hmac::Key::new(hmac::HMAC_SHA384, raw),
            hs512: hmac::Key::new(hmac::HMAC_SHA512, raw),
        };
        // Never a bare hash of the key: a MAC under it tells nothing about it (RFC 7638 §7).
        let tag = hmac::sign(&oct.hs256, b"claviger kid v1");
        let thumbprint = URL_SAFE_NO_PAD.encode(tag.as_ref().get(..16).unwrap_or_default());
        Ok(Self(Arc::new(Inner {
            kind: KeyKind::Oct { bits: len * 8, oct_type },
            chain: Vec::new(),
            spki: None,
            public: None,
            thumbprint,
            secret: Some(bytes),
            prepared: Prepared::Oct(Box::new(oct)),
        })))
    }

    fn from_public_half(spki: &[u8], chain: Vec<Vec<u8>>) -> Result<Self> {
        let public = parse_spki(spki)?;
        let prepared = match &public {
            PublicParameters::Rsa { n, e } => {
                check_rsa_numbers(n, e)?;
                Prepared::Rsa(Box::new(Rsa {
                    signer: None,
                    verifiers: rsa_verifiers(spki, n)?,
                    unwrap: None,
                    wrap: rsa_wrap(spki, n)?,
                }))
            }
            PublicParameters::Okp { curve: Curve::Ed25519, x } => {
                Prepared::Edwards { private: None, public: ed25519_public(x)? }
            }
            PublicParameters::Okp { curve: Curve::X25519, .. } => {
                Prepared::X25519 { private: None }
            }
            PublicParameters::Okp { curve, x } => {
                Prepared::Foreign(super::foreign::ForeignKey::from_public(*curve, x)?)
            }
            PublicParameters::Ec { curve, x, y } => {
                let point = uncompressed(x, y);
                Prepared::Elliptic(Box::new(Elliptic {
                    signer: None,
                    verifier: ec_verifier(*curve, &point)?,
                    agreement: None,
                }))
            }
        };
        Self::assemble(&public, prepared, chain, None)
    }

    fn assemble(
        public: &PublicParameters,
        prepared: Prepared,
        chain: Vec<Vec<u8>>,
        secret: Option<SecretBytes>,
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
        | (Family::RsaOaep(_) | Family::Rsa15, KeyKind::Rsa { .. }) => true,
        (Family::Ecdsa(curve, _), KeyKind::Curve(own)) => curve == own,
        (Family::EdDsa, KeyKind::Curve(own)) => matches!(own, Curve::Ed25519 | Curve::Ed448),
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

fn bit_length(big_endian: &[u8]) -> usize {
    let leading = big_endian.first().map_or(0, |byte| byte.leading_zeros());
    big_endian.len() * 8 - usize::try_from(leading).unwrap_or_default()
}

fn uncompressed(x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[4], x, y].concat()
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

/// attacks.md J10: bounds on RSA numbers, before a backend sees them.
fn check_rsa_numbers(n: &[u8], e: &[u8]) -> Result<()> {
    let unfit = |why: String| {
        Err(Error::new(ErrorKind::KeyUnfit, format!("the RSA key is refused: {why}")))
    };
    let bits = bit_length(n);
    if !(512..=8192).contains(&bits) {
        return unfit(format!("its modulus has {bits} bits"));
    }
    if n.last().is_none_or(|byte| byte % 2 == 0) {
        return unfit("its modulus is even".into());
    }
    let exponent =
        e.iter().fold(0_u64, |sum, byte| sum.saturating_mul(256).saturating_add(u64::from(*byte)));
    if e.len() > 5 || !(3..1 << 33).contains(&exponent) || exponent % 2 == 0 {
        return unfit("its public exponent is not odd and between 3 and 2^33".into());
    }
    if super::roca::is_affected(n) {
        return unfit("its modulus has the ROCA fingerprint (CVE-2017-15361)".into());
    }
    Ok(())
}

fn prepare_rsa_pair(pkcs8: &[u8], pkcs1: &[u8]) -> Result<(PublicParameters, Prepared)> {
    let (n, e) = super::material::rsa_private_numbers(pkcs1)?;
    check_rsa_numbers(&n, &e)?;
    let public = PublicParameters::Rsa { n: n.clone(), e };
    let spki = encode_spki(&public)?;
    let acts = bit_length(&n) >= 2048;
    let signer =
        if acts { Some(RsaKeyPair::from_der(pkcs1).map_err(rejected("RSA"))?) } else { None };
    // A key that its PKCS#8 restricts to PSS does not decrypt.
    let unwrap = PrivateDecryptingKey::from_pkcs8(pkcs8)
        .ok()
        .filter(|_| acts)
        .and_then(|key| OaepPrivateDecryptingKey::new(key).ok());
    let rsa =
        Rsa { signer, verifiers: rsa_verifiers(&spki, &n)?, unwrap, wrap: rsa_wrap(&spki, &n)? };
    Ok((public, Prepared::Rsa(Box::new(rsa))))
}

fn rsa_verifiers(spki: &[u8], n: &[u8]) -> Result<Vec<ParsedPublicKey>> {
    if bit_length(n) < 2048 {
        return Ok(Vec::new());
    }
    RSA_ROWS
        .iter()
        .map(|(_, parameters)| {
            ParsedPublicKey::new(*parameters, spki).map_err(rejected("RSA public"))
        })
        .collect()
}

fn rsa_wrap(spki: &[u8], n: &[u8]) -> Result<Option<OaepPublicEncryptingKey>> {
    if bit_length(n) < 2048 {
        return Ok(None);
    }
    let key = PublicEncryptingKey::from_der(spki).map_err(rejected("RSA public"))?;
    let unfit = |_| Error::new(ErrorKind::KeyUnfit, "the RSA public key is refused");
    OaepPublicEncryptingKey::new(key).map(Some).map_err(unfit)
}

fn ed25519_public(x: &[u8]) -> Result<ParsedPublicKey> {
    if super::small_order::is_small_order_ed25519(x) {
        return Err(Error::new(ErrorKind::KeyUnfit, "the Ed25519 public key is of small order"));
    }
    ParsedPublicKey::new(&aws::ED25519, x).map_err(rejected("Ed25519 public"))
}

fn prepare_ed25519_pair(seed: &[u8]) -> Result<(PublicParameters, Prepared)> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(rejected("Ed25519"))?;
    let x = pair.public_key().as_ref().to_vec();
    let public = ed25519_public(&x)?;
    let parameters = PublicParameters::Okp { curve: Curve::Ed25519, x };
    Ok((parameters, Prepared::Edwards { private: Some(pair), public }))
}

fn prepare_x25519_pair(secret: &[u8]) -> Result<(PublicParameters, Prepared)> {
    let private = agreement::PrivateKey::from_private_key(&agreement::X25519, secret)
        .map_err(rejected("X25519"))?;
    let unfit = |_| Error::new(ErrorKind::KeyUnfit, "the X25519 key is refused");
    let x = private.compute_public_key().map_err(unfit)?.as_ref().to_vec();
    let public = PublicParameters::Okp { curve: Curve::X25519, x };
    Ok((public, Prepared::X25519 { private: Some(private) }))
}

/// The scalar left-padded to the field size: Java and others drop leading zeros.
fn padded(scalar: &[u8], size: usize) -> Result<SecretBytes> {
    let first = scalar.iter().position(|byte| *byte != 0).unwrap_or(scalar.len());
    let digits = scalar.get(first..).unwrap_or_default();
    if digits.is_empty() || digits.len() > size {
        return Err(Error::new(ErrorKind::KeyUnfit, "the EC private key is zero or too long"));
    }
    let mut out = vec![0; size - digits.len()];
    out.extend_from_slice(digits);
    Ok(SecretBytes::from_vec(out))
}

fn prepare_ec_pair(
    curve: Curve,
    pkcs8: &[u8],
    scalar: &[u8],
) -> Result<(PublicParameters, Prepared)> {
    let scalar = padded(scalar, curve.coordinate_bytes())?;
    let what = curve.name();
    let signing = match curve {
        Curve::P384 => &aws::ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &aws::ECDSA_P521_SHA512_FIXED_SIGNING,
        Curve::Secp256k1 => &aws::ECDSA_P256K1_SHA256_FIXED_SIGNING,
        _ => &aws::ECDSA_P256_SHA256_FIXED_SIGNING,
    };
    // Derives the public half where the encoding lacks it, and compares it where it is there.
    let pair = EcdsaKeyPair::from_private_key_der(signing, pkcs8).map_err(rejected(what))?;
    let point = pair.public_key().as_ref().to_vec();
    let (x, y) = point
        .get(1..)
        .map(|xy| xy.split_at(xy.len() / 2))
        .ok_or_else(|| Error::new(ErrorKind::Bug, "an EC public key without coordinates"))?;
    let public = PublicParameters::Ec { curve, x: x.to_vec(), y: y.to_vec() };
    let agreement_algorithm = match curve {
        Curve::P256 => Some(&agreement::ECDH_P256),
        Curve::P384 => Some(&agreement::ECDH_P384),
        Curve::P521 => Some(&agreement::ECDH_P521),
        _ => None,
    };
    // EXPOSE: into the backends' own owners.
    let raw = scalar.expose_secret();
    let agreement = agreement_algorithm
        .map(|algorithm| agreement::PrivateKey::from_private_key(algorithm, raw))
        .transpose()
        .map_err(rejected(what))?;
    let signer = if curve == Curve::P256 {
        let signing = &ring_signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let made = ring_signature::EcdsaKeyPair::from_private_key_and_public_key(
            signing,
            raw,
            &point,
            &SystemRandom::new(),
        );
        EcSigner::Ring(made.map_err(|reason| {
            Error::new(ErrorKind::KeyUnfit, format!("the {what} key is refused: {reason}"))
        })?)
    } else {
        EcSigner::AwsLc(pair)
    };
    let elliptic =
        Elliptic { signer: Some(signer), verifier: ec_verifier(curve, &point)?, agreement };
    Ok((public, Prepared::Elliptic(Box::new(elliptic))))
}

fn ec_verifier(curve: Curve, point: &[u8]) -> Result<EcVerifier> {
    let rows = match curve {
        Curve::P384 => &ECDSA_P384_SHA384_FIXED,
        Curve::P521 => &ECDSA_P521_SHA512_FIXED,
        Curve::Secp256k1 => &ECDSA_P256K1_SHA256_FIXED,
        _ => &aws::ECDSA_P256_SHA256_FIXED,
    };
    // Parsing checks that the point is on the curve (attacks.md J24, J30).
    let parsed = ParsedPublicKey::new(rows, point).map_err(rejected(curve.name()))?;
    if curve != Curve::P256 {
        return Ok(EcVerifier::AwsLc(parsed));
    }
    let row = &ring_signature::ECDSA_P256_SHA256_FIXED;
    Ok(EcVerifier::Ring(ring_signature::UnparsedPublicKey::new(row, point.to_vec())))
}
