//! Content encryption: AES-GCM and AES-CBC with HMAC (RFC 7518 §5).

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use ring::hmac;

use crate::alg::{Algorithm, Family};
use crate::crypto::random;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

const GCM_IV_BYTES: usize = 12;
const GCM_TAG_BYTES: usize = 16;
const CBC_IV_BYTES: usize = 16;

/// A sealed content.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "the three parts of a JWE ciphertext")]
pub struct Sealed {
    /// The initialization vector, fresh and random.
    pub iv: Vec<u8>,
    /// The ciphertext.
    pub ciphertext: Vec<u8>,
    /// The authentication tag.
    pub tag: Vec<u8>,
}

/// Encrypts and authenticates (RFC 7518 §5). The IV is random.
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] if the length of `cek` does not fit `enc`.
pub fn seal(enc: &Algorithm, cek: &[u8], aad: &[u8], plaintext: &[u8]) -> Result<Sealed> {
    let failed = || Error::new(ErrorKind::KeyUnfit, format!("the content key does not fit {enc}"));
    match enc.family {
        Family::AesGcm(bits) => {
            let iv = random::bytes::<GCM_IV_BYTES>()?;
            let (ciphertext, tag) = seal_gcm(bits, cek, iv, aad, plaintext).ok_or_else(failed)?;
            Ok(Sealed { iv: iv.to_vec(), ciphertext, tag })
        }
        Family::AesCbcHmac(bits) => {
            let iv = random::bytes::<CBC_IV_BYTES>()?;
            let halves = CbcHmac::new(bits, cek).ok_or_else(failed)?;
            let ciphertext = halves.encrypt(iv, plaintext).ok_or_else(failed)?;
            let tag = halves.tag(aad, &iv, &ciphertext);
            Ok(Sealed { iv: iv.to_vec(), ciphertext, tag })
        }
        _ => Err(failed()),
    }
}

/// Checks and decrypts. Lengths of key, IV and tag are checked first; the MAC before the padding.
///
/// # Errors
/// [`ErrorKind::NotDecrypted`], whatever the reason.
pub fn open(
    enc: &Algorithm,
    cek: &[u8],
    iv: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
    tag: &[u8],
) -> Result<SecretBytes> {
    let opened = match enc.family {
        Family::AesGcm(bits) => open_gcm(bits, cek, iv, aad, ciphertext, tag),
        Family::AesCbcHmac(bits) => {
            CbcHmac::new(bits, cek).and_then(|halves| halves.open(iv, aad, ciphertext, tag))
        }
        _ => None,
    };
    opened
        .map(SecretBytes::from_vec)
        .ok_or_else(|| Error::new(ErrorKind::NotDecrypted, "the content does not decrypt"))
}

fn gcm_key(bits: usize, key: &[u8]) -> Option<LessSafeKey> {
    let algorithm = match bits {
        128 => &aead::AES_128_GCM,
        192 => &aead::AES_192_GCM,
        256 => &aead::AES_256_GCM,
        _ => return None,
    };
    UnboundKey::new(algorithm, key).ok().map(LessSafeKey::new)
}

pub(in crate::crypto) fn seal_gcm(
    bits: usize,
    key: &[u8],
    iv: [u8; GCM_IV_BYTES],
    aad: &[u8],
    plaintext: &[u8],
) -> Option<(Vec<u8>, Vec<u8>)> {
    let key = gcm_key(bits, key)?;
    let mut text = plaintext.to_vec();
    let nonce = Nonce::assume_unique_for_key(iv);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut text).ok()?;
    Some((text, tag.as_ref().to_vec()))
}

/// Only tags of 128 bits and IVs of 96 bits (RFC 7518 §5.3; attacks.md J26).
pub(in crate::crypto) fn open_gcm(
    bits: usize,
    key: &[u8],
    iv: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
    tag: &[u8],
) -> Option<Vec<u8>> {
    if tag.len() != GCM_TAG_BYTES || iv.len() != GCM_IV_BYTES {
        return None;
    }
    let nonce = Nonce::try_assume_unique_for_key(iv).ok()?;
    let mut out = vec![0; ciphertext.len()];
    gcm_key(bits, key)?
        .open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, &mut out)
        .ok()?;
    Some(out)
}

/// The two halves of an AES-CBC-HMAC key (RFC 7518 §5.2.2.1): MAC first, then encryption.
struct CbcHmac<'a> {
    mac: hmac::Key,
    cipher: &'static cipher::Algorithm,
    key: &'a [u8],
    tag_bytes: usize,
}

impl<'a> CbcHmac<'a> {
    fn new(bits: usize, cek: &'a [u8]) -> Option<Self> {
        if cek.len() * 8 != bits {
            return None;
        }
        let (mac, key) = cek.split_at(cek.len() / 2);
        let (hash, cipher) = match bits {
            256 => (hmac::HMAC_SHA256, &cipher::AES_128),
            384 => (hmac::HMAC_SHA384, &cipher::AES_192),
            512 => (hmac::HMAC_SHA512, &cipher::AES_256),
            _ => return None,
        };
        Some(Self { mac: hmac::Key::new(hash, mac), cipher, key, tag_bytes: key.len() })
    }

    fn encrypt(&self, iv: [u8; CBC_IV_BYTES], plaintext: &[u8]) -> Option<Vec<u8>> {
        let key = UnboundCipherKey::new(self.cipher, self.key).ok()?;
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).ok()?;
        let mut text = plaintext.to_vec();
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        key.less_safe_encrypt(&mut text, context).ok()?;
        Some(text)
    }

    /// HMAC over AAD, IV, ciphertext and the length of AAD in bits, cut to half (RFC 7518 §5.2.2.1).
    fn tag(&self, aad: &[u8], iv: &[u8], ciphertext: &[u8]) -> Vec<u8> {
        let aad_bits = u64::try_from(aad.len()).unwrap_or(u64::MAX).wrapping_mul(8);
        let mut context = hmac::Context::with_key(&self.mac);
        for part in [aad, iv, ciphertext, &aad_bits.to_be_bytes()] {
            context.update(part);
        }
        context.sign().as_ref().iter().take(self.tag_bytes).copied().collect()
    }

    fn open(&self, iv: &[u8], aad: &[u8], ciphertext: &[u8], tag: &[u8]) -> Option<Vec<u8>> {
        let iv: [u8; CBC_IV_BYTES] = iv.try_into().ok()?;
        let expected = self.tag(aad, &iv, ciphertext);
        aws_lc_rs::constant_time::verify_slices_are_equal(&expected, tag).ok()?;
        let key = UnboundCipherKey::new(self.cipher, self.key).ok()?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
        let mut text = ciphertext.to_vec();
        let context = DecryptionContext::Iv128(FixedLength::from(iv));
        let plain = key.decrypt(&mut text, context).ok()?.len();
        text.truncate(plain);
        Some(text)
    }
}
