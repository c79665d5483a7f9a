//! Fresh keys of every kind.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, RsaKeyPair,
};
use zeroize::Zeroizing;

use crate::alg::Curve;
use crate::crypto::foreign::ForeignKey;
use crate::crypto::material::encode_okp_pkcs8;
use crate::crypto::random;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

/// What to make.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeySpec {
    /// An EC or OKP pair.
    Curve(Curve),
    /// Symmetric bytes: AES, HMAC or a password.
    Oct {
        /// Length in bytes.
        bytes: usize,
    },
    /// An RSA pair.
    Rsa {
        /// Modulus length: 2048, 3072, 4096 or 8192 bits.
        bits: usize,
    },
}

/// A fresh key: PKCS#8 DER of a pair, raw bytes of a symmetric key.
///
/// # Errors
/// [`ErrorKind::Usage`] for sizes that are not offered.
pub fn generate(spec: KeySpec) -> Result<SecretBytes> {
    let failed = || Error::new(ErrorKind::Bug, "the key could not be generated");
    match spec {
        KeySpec::Oct { bytes } if !(1..=4096).contains(&bytes) => {
            Err(Error::new(ErrorKind::Usage, format!("a secret of {bytes} bytes is not offered")))
        }
        KeySpec::Oct { bytes } => {
            let mut out = vec![0; bytes];
            random::fill(&mut out)?;
            Ok(SecretBytes::from_vec(out))
        }
        KeySpec::Rsa { bits } => {
            let size = match bits {
                2048 => KeySize::Rsa2048,
                3072 => KeySize::Rsa3072,
                4096 => KeySize::Rsa4096,
                8192 => KeySize::Rsa8192,
                _ => {
                    let text = format!("RSA of {bits} bits is not offered");
                    return Err(
                        Error::new(ErrorKind::Usage, text).with_help("use 2048, 3072 or 4096")
                    );
                }
            };
            let pair = RsaKeyPair::generate(size).map_err(|_| failed())?;
            let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair)
                .map_err(|_| failed())?;
            Ok(SecretBytes::from_slice(der.as_ref()))
        }
        KeySpec::Curve(curve @ (Curve::Ed25519 | Curve::X25519)) => {
            let secret = Zeroizing::new(random::bytes::<32>()?);
            encode_okp_pkcs8(curve, secret.as_ref())
        }
        KeySpec::Curve(curve @ (Curve::Ed448 | Curve::X448)) => {
            let secret = Zeroizing::new(ForeignKey::generate(curve)?);
            encode_okp_pkcs8(curve, &secret)
        }
        KeySpec::Curve(curve) => {
            let signing = match curve {
                Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
                Curve::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
                Curve::Secp256k1 => &ECDSA_P256K1_SHA256_FIXED_SIGNING,
                _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
            };
            let pair = EcdsaKeyPair::generate(signing).map_err(|_| failed())?;
            let der = pair.to_pkcs8v1().map_err(|_| failed())?;
            Ok(SecretBytes::from_slice(der.as_ref()))
        }
    }
}
