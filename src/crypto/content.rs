//! Content encryption: AES-GCM, AES-CBC with HMAC (RFC 7518 §5), and the bare CBC of XML-Enc 1.1 §5.2.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, DecryptingKey, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use ring::hmac;

use crate::alg::{Algorithm, Family};
use crate::crypto::prepared::{Oct, Prepared};
use crate::crypto::{Key, Role, random};
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

/// Encrypts and authenticates under a content key of this one token (RFC 7518 §5). The IV is random.
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] if the length of `cek` does not fit `enc`.
pub fn seal(enc: &Algorithm, cek: &[u8], aad: &[u8], plaintext: &[u8]) -> Result<Sealed> {
    let sealed = match enc.family {
        Family::AesGcm(bits) => {
            gcm_key(bits, cek).and_then(|key| seal_in_place(&key, aad, plaintext))
        }
        Family::AesCbcHmac(bits) => {
            CbcHmac::new(bits, cek).and_then(|halves| halves.seal(aad, plaintext))
        }
        Family::AesCbc(bits) => seal_bare_cbc(bits, cek, plaintext),
        _ => None,
    };
    sealed.ok_or_else(|| unfit(enc))
}

/// As [`seal`], under the key itself (`dir`), which was expanded at load.
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] if the key does not fit `enc`.
pub fn seal_direct(key: &Key, enc: &Algorithm, aad: &[u8], plaintext: &[u8]) -> Result<Sealed> {
    key.fits(enc, Role::Encrypt)?;
    let Prepared::Oct(oct) = key.prepared() else { return Err(unfit(enc)) };
    let sealed = match enc.family {
        Family::AesGcm(_) => oct.gcm.as_ref().and_then(|key| seal_in_place(key, aad, plaintext)),
        Family::AesCbcHmac(_) => halves(key, oct).and_then(|both| both.seal(aad, plaintext)),
        _ => None,
    };
    sealed.ok_or_else(|| unfit(enc))
}

/// Checks and decrypts. Lengths of key, IV and tag are checked first; the MAC before the padding. The bare
/// CBC families authenticate nothing.
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
        Family::AesCbc(bits) if tag.is_empty() && aad.is_empty() => {
            aes(bits).and_then(|cipher| decrypt_cbc_any_padding(cipher, cek, iv, ciphertext))
        }
        Family::TripleDesCbc if tag.is_empty() && aad.is_empty() => {
            super::tdes::decrypt(cek, iv, ciphertext)
        }
        _ => None,
    };
    opened.map(SecretBytes::from_vec).ok_or_else(not_opened)
}

/// As [`open`], under the key itself (`dir`), which was expanded at load.
///
/// # Errors
/// [`ErrorKind::NotDecrypted`], whatever the reason.
pub fn open_direct(
    key: &Key,
    enc: &Algorithm,
    iv: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
    tag: &[u8],
) -> Result<SecretBytes> {
    key.fits(enc, Role::Decrypt).map_err(|_| not_opened())?;
    let Prepared::Oct(oct) = key.prepared() else { return Err(not_opened()) };
    let opened = match enc.family {
        Family::AesGcm(_) => {
            oct.gcm.as_ref().and_then(|key| open_with(key, iv, aad, ciphertext, tag))
        }
        Family::AesCbcHmac(_) => {
            halves(key, oct).and_then(|both| both.open(iv, aad, ciphertext, tag))
        }
        _ => None,
    };
    opened.map(SecretBytes::from_vec).ok_or_else(not_opened)
}

/// The two halves of a key that encrypts content itself, expanded when first asked for.
fn halves<'k>(key: &Key, oct: &'k Oct) -> Option<&'k CbcHmac> {
    let expand = || key.reveal(|raw| CbcHmac::new(raw.len() * 8, raw)).flatten().map(Box::new);
    oct.cbc.get_or_init(expand).as_deref()
}

fn unfit(enc: &Algorithm) -> Error {
    Error::new(ErrorKind::KeyUnfit, format!("the content key does not fit {enc}"))
}

fn not_opened() -> Error {
    Error::new(ErrorKind::NotDecrypted, "the content does not decrypt")
}

pub(in crate::crypto) fn gcm_key(bits: usize, key: &[u8]) -> Option<LessSafeKey> {
    let algorithm = match bits {
        128 => &aead::AES_128_GCM,
        192 => &aead::AES_192_GCM,
        256 => &aead::AES_256_GCM,
        _ => return None,
    };
    UnboundKey::new(algorithm, key).ok().map(LessSafeKey::new)
}

/// Under a random IV of 96 bits.
pub(in crate::crypto) fn seal_in_place(
    key: &LessSafeKey,
    aad: &[u8],
    plaintext: &[u8],
) -> Option<Sealed> {
    let iv = random::bytes::<GCM_IV_BYTES>().ok()?;
    let mut text = plaintext.to_vec();
    let nonce = Nonce::assume_unique_for_key(iv);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut text).ok()?;
    Some(Sealed { iv: iv.to_vec(), ciphertext: text, tag: tag.as_ref().to_vec() })
}

pub(in crate::crypto) fn open_gcm(
    bits: usize,
    key: &[u8],
    iv: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
    tag: &[u8],
) -> Option<Vec<u8>> {
    open_with(&gcm_key(bits, key)?, iv, aad, ciphertext, tag)
}

/// Only tags of 128 bits and IVs of 96 bits (RFC 7518 §5.3; attacks.md J26).
pub(in crate::crypto) fn open_with(
    key: &LessSafeKey,
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
    key.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, &mut out).ok()?;
    Some(out)
}

const fn aes(bits: usize) -> Option<&'static cipher::Algorithm> {
    match bits {
        128 => Some(&cipher::AES_128),
        192 => Some(&cipher::AES_192),
        256 => Some(&cipher::AES_256),
        _ => None,
    }
}

/// PKCS#7 padding is one of those that XML-Enc 1.1 §5.2 reads.
fn seal_bare_cbc(bits: usize, key: &[u8], plaintext: &[u8]) -> Option<Sealed> {
    let iv = random::bytes::<CBC_IV_BYTES>().ok()?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(aes(bits)?, key).ok()?);
    let mut text = plaintext.to_vec();
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    key.ok()?.less_safe_encrypt(&mut text, context).ok()?;
    Some(Sealed { iv: iv.to_vec(), ciphertext: text, tag: Vec::new() })
}

/// Padding of which only the last byte counts, 1 to 16 (XML-Enc 1.1 §5.2).
fn decrypt_cbc_any_padding(
    cipher: &'static cipher::Algorithm,
    key: &[u8],
    iv: &[u8],
    ciphertext: &[u8],
) -> Option<Vec<u8>> {
    let iv: [u8; CBC_IV_BYTES] = iv.try_into().ok()?;
    if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(CBC_IV_BYTES) {
        return None;
    }
    let key = DecryptingKey::cbc(UnboundCipherKey::new(cipher, key).ok()?).ok()?;
    let mut text = ciphertext.to_vec();
    key.decrypt(&mut text, DecryptionContext::Iv128(FixedLength::from(iv))).ok()?;
    let padding = usize::from(*text.last()?);
    if !(1..=CBC_IV_BYTES).contains(&padding) {
        return None;
    }
    text.truncate(text.len() - padding);
    Some(text)
}

/// The two halves of an AES-CBC-HMAC key (RFC 7518 §5.2.2.1): MAC first, then encryption.
pub(in crate::crypto) struct CbcHmac {
    mac: hmac::Key,
    encrypting: PaddedBlockEncryptingKey,
    decrypting: PaddedBlockDecryptingKey,
    tag_bytes: usize,
}

impl CbcHmac {
    pub(in crate::crypto) fn new(bits: usize, cek: &[u8]) -> Option<Self> {
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
        let unbound = || UnboundCipherKey::new(cipher, key).ok();
        Some(Self {
            mac: hmac::Key::new(hash, mac),
            encrypting: PaddedBlockEncryptingKey::cbc_pkcs7(unbound()?).ok()?,
            decrypting: PaddedBlockDecryptingKey::cbc_pkcs7(unbound()?).ok()?,
            tag_bytes: key.len(),
        })
    }

    fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Option<Sealed> {
        let iv = random::bytes::<CBC_IV_BYTES>().ok()?;
        // Room for the padding, so that the plaintext is not copied again.
        let mut text = Vec::with_capacity(plaintext.len() + CBC_IV_BYTES);
        text.extend_from_slice(plaintext);
        let context = EncryptionContext::Iv128(FixedLength::from(iv));
        self.encrypting.less_safe_encrypt(&mut text, context).ok()?;
        let full = self.tag(aad, &iv, &text);
        let tag = full.as_ref().get(..self.tag_bytes)?.to_vec();
        Some(Sealed { iv: iv.to_vec(), ciphertext: text, tag })
    }

    /// HMAC over AAD, IV, ciphertext and the length of AAD in bits; half of it is the tag (RFC 7518
    /// §5.2.2.1).
    fn tag(&self, aad: &[u8], iv: &[u8], ciphertext: &[u8]) -> hmac::Tag {
        let aad_bits = u64::try_from(aad.len()).unwrap_or(u64::MAX).wrapping_mul(8);
        let mut context = hmac::Context::with_key(&self.mac);
        for part in [aad, iv, ciphertext, &aad_bits.to_be_bytes()] {
            context.update(part);
        }
        context.sign()
    }

    fn open(&self, iv: &[u8], aad: &[u8], ciphertext: &[u8], tag: &[u8]) -> Option<Vec<u8>> {
        let iv: [u8; CBC_IV_BYTES] = iv.try_into().ok()?;
        let full = self.tag(aad, &iv, ciphertext);
        let expected = full.as_ref().get(..self.tag_bytes)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(expected, tag).ok()?;
        let mut text = ciphertext.to_vec();
        let context = DecryptionContext::Iv128(FixedLength::from(iv));
        let plain = self.decrypting.decrypt(&mut text, context).ok()?.len();
        text.truncate(plain);
        Some(text)
    }
}
