//! Keys as the backends want them: parsed and expanded once, at load.

use std::sync::OnceLock;

use aws_lc_rs::aead::LessSafeKey;
use aws_lc_rs::rsa::{
    OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    self as aws, ECDSA_P256K1_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair, ParsedPublicKey, RsaKeyPair,
};
use aws_lc_rs::{agreement, error::KeyRejected};
use ring::hmac;

use crate::alg::{Curve, Family, Hash};
use crate::crypto::content::{CbcHmac, gcm_key};
use crate::crypto::foreign::ForeignKey;
use crate::crypto::key::bit_length;
use crate::crypto::material::{KeyType, PrivateParts, encode_spki, with_whole_bytes};
use crate::crypto::rsa15::Rsa15;
use crate::crypto::{OctType, PublicParameters};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

/// Keys as the backends want them; nothing is parsed per call.
pub(in crate::crypto) enum Prepared {
    Edwards { private: Option<Ed25519KeyPair>, public: ParsedPublicKey },
    Elliptic(Box<Elliptic>),
    Foreign(ForeignKey),
    Oct(Box<Oct>),
    Rsa(Box<Rsa>),
    X25519 { private: Option<agreement::PrivateKey> },
}

impl Prepared {
    /// A key pair; its public half is derived.
    pub(in crate::crypto) fn pair(
        parts: &PrivateParts<'_>,
        pkcs8: &[u8],
    ) -> Result<(PublicParameters, Self)> {
        match parts.key_type {
            KeyType::Rsa => rsa_pair(pkcs8, parts.secret),
            KeyType::Curve(Curve::Ed25519) => ed25519_pair(parts.secret),
            KeyType::Curve(Curve::X25519) => x25519_pair(parts.secret),
            KeyType::Curve(curve @ (Curve::Ed448 | Curve::X448)) => {
                let (key, x) = ForeignKey::from_private(curve, parts.secret)?;
                Ok((PublicParameters::Okp { curve, x }, Self::Foreign(key)))
            }
            KeyType::Curve(curve) => ec_pair(curve, pkcs8, parts.secret),
        }
    }

    /// A public half.
    pub(in crate::crypto) fn public(public: &PublicParameters, spki: &[u8]) -> Result<Self> {
        Ok(match public {
            PublicParameters::Rsa { n, e } => {
                check_rsa_numbers(n, e)?;
                Self::Rsa(Box::new(Rsa {
                    signer: None,
                    verifiers: rsa_verifiers(spki, n)?,
                    unwrap: None,
                    wrap: rsa_wrap(spki, n)?,
                    rsa15: Rsa15::default(),
                }))
            }
            PublicParameters::Okp { curve: Curve::Ed25519, x } => {
                Self::Edwards { private: None, public: ed25519_public(x)? }
            }
            PublicParameters::Okp { curve: Curve::X25519, .. } => Self::X25519 { private: None },
            PublicParameters::Okp { curve, x } => {
                Self::Foreign(ForeignKey::from_public(*curve, x)?)
            }
            PublicParameters::Ec { curve, x, y } => {
                let point = [&[4], x.as_slice(), y].concat();
                Self::Elliptic(Box::new(Elliptic {
                    signer: None,
                    verifier: ec_verifier(*curve, &point)?,
                    agreement: None,
                }))
            }
        })
    }

    /// A symmetric key.
    pub(in crate::crypto) fn oct(raw: &[u8], oct_type: OctType) -> Self {
        let encrypts = matches!(oct_type, OctType::Aes | OctType::Any);
        let bits = raw.len() * 8;
        Self::Oct(Box::new(Oct {
            hs256: hmac::Key::new(hmac::HMAC_SHA256, raw),
            hs384: hmac::Key::new(hmac::HMAC_SHA384, raw),
            hs512: hmac::Key::new(hmac::HMAC_SHA512, raw),
            gcm: encrypts.then(|| gcm_key(bits, raw)).flatten(),
            cbc: OnceLock::new(),
        }))
    }
}

pub(in crate::crypto) struct Elliptic {
    pub(in crate::crypto) signer: Option<EcdsaKeyPair>,
    pub(in crate::crypto) verifier: ParsedPublicKey,
    pub(in crate::crypto) agreement: Option<agreement::PrivateKey>,
}

pub(in crate::crypto) struct Oct {
    pub(in crate::crypto) hs256: hmac::Key,
    pub(in crate::crypto) hs384: hmac::Key,
    pub(in crate::crypto) hs512: hmac::Key,
    /// Of AES keys that encrypt content themselves (`dir`) or wrap with AES-GCM.
    pub(in crate::crypto) gcm: Option<LessSafeKey>,
    /// Of keys that are an encryption and a MAC key together (`dir`): at first use, since few labels ask for
    /// it and what is expanded lies in memory once more.
    pub(in crate::crypto) cbc: OnceLock<Option<Box<CbcHmac>>>,
}

pub(in crate::crypto) struct Rsa {
    pub(in crate::crypto) signer: Option<RsaKeyPair>,
    /// One a padding and digest, in the order of [`RSA_ROWS`].
    pub(in crate::crypto) verifiers: Vec<ParsedPublicKey>,
    pub(in crate::crypto) unwrap: Option<OaepPrivateDecryptingKey>,
    pub(in crate::crypto) wrap: Option<OaepPublicEncryptingKey>,
    #[cfg_attr(not(feature = "compat"), expect(dead_code, reason = "RSA1_5 needs OpenSSL"))]
    pub(in crate::crypto) rsa15: Rsa15,
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
    move |reason| {
        let why = match reason.to_string().as_str() {
            "TooSmall" => "it is too small",
            "TooLarge" => "it is too large",
            _ => "its parts do not belong together, or are not encoded as its type wants",
        };
        Error::new(ErrorKind::KeyUnfit, format!("the {what} key is refused: {why}"))
    }
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

fn rsa_pair(pkcs8: &[u8], pkcs1: &[u8]) -> Result<(PublicParameters, Prepared)> {
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
    let rsa = Rsa {
        signer,
        verifiers: rsa_verifiers(&spki, &n)?,
        unwrap,
        wrap: rsa_wrap(&spki, &n)?,
        rsa15: Rsa15::default(),
    };
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

fn ed25519_pair(seed: &[u8]) -> Result<(PublicParameters, Prepared)> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(rejected("Ed25519"))?;
    let x = pair.public_key().as_ref().to_vec();
    let public = ed25519_public(&x)?;
    let parameters = PublicParameters::Okp { curve: Curve::Ed25519, x };
    Ok((parameters, Prepared::Edwards { private: Some(pair), public }))
}

fn x25519_pair(secret: &[u8]) -> Result<(PublicParameters, Prepared)> {
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

fn ec_pair(curve: Curve, pkcs8: &[u8], scalar: &[u8]) -> Result<(PublicParameters, Prepared)> {
    let scalar = padded(scalar, curve.coordinate_bytes())?;
    let what = curve.name();
    let signing = match curve {
        Curve::P384 => &aws::ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &aws::ECDSA_P521_SHA512_FIXED_SIGNING,
        Curve::Secp256k1 => &aws::ECDSA_P256K1_SHA256_FIXED_SIGNING,
        _ => &aws::ECDSA_P256_SHA256_FIXED_SIGNING,
    };
    let whole = with_whole_bytes(pkcs8);
    // EXPOSE: into the backend's own owner.
    let pkcs8 = whole.as_ref().map_or(pkcs8, SecretBytes::expose_secret);
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
    let elliptic =
        Elliptic { signer: Some(pair), verifier: ec_verifier(curve, &point)?, agreement };
    Ok((public, Prepared::Elliptic(Box::new(elliptic))))
}

fn ec_verifier(curve: Curve, point: &[u8]) -> Result<ParsedPublicKey> {
    let rows = match curve {
        Curve::P384 => &ECDSA_P384_SHA384_FIXED,
        Curve::P521 => &ECDSA_P521_SHA512_FIXED,
        Curve::Secp256k1 => &ECDSA_P256K1_SHA256_FIXED,
        _ => &aws::ECDSA_P256_SHA256_FIXED,
    };
    // Parsing checks that the point is on the curve (attacks.md J24, J30).
    ParsedPublicKey::new(rows, point).map_err(|_| {
        let text = format!("the {} key is refused: its point is not on the curve", curve.name());
        Error::new(ErrorKind::KeyUnfit, text)
    })
}
