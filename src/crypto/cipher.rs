//! Key management: how a content key reaches the receiver, for one key and one algorithm row.

use std::num::NonZeroU32;

use aes_kw::{KwAes192, cipher::KeyInit};
use aws_lc_rs::aead::LessSafeKey;
use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrap};
use aws_lc_rs::rsa::{self, OAEP_SHA1_MGF1SHA1, OaepAlgorithm};
use ring::pbkdf2;

use crate::alg::{Algorithm, Family, Hash};
pub use crate::crypto::content::{Sealed, open, open_direct, seal, seal_direct};
use crate::crypto::content::{open_with, seal_in_place};
use crate::crypto::prepared::Prepared;
use crate::crypto::{Key, PublicParameters, Role, agreement, random};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

/// Iterations written for PBES2 where the caller names none: within the cap that peers put on reading.
const PBES2_ITERATIONS: u32 = 10_000;

/// Header members that a key management algorithm reads or adds (RFC 7518 §4.6.1, §4.7.1, §4.8.1), decoded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the members that RFC 7518 names")]
pub struct KeyManagementHeader {
    /// `epk`.
    pub epk: Option<PublicParameters>,
    /// `apu`.
    pub apu: Option<Vec<u8>>,
    /// `apv`.
    pub apv: Option<Vec<u8>>,
    /// `iv` of AES-GCM key wrap.
    pub iv: Option<Vec<u8>>,
    /// `tag` of AES-GCM key wrap.
    pub tag: Option<Vec<u8>>,
    /// `p2s`.
    pub p2s: Option<Vec<u8>>,
    /// `p2c`, already bounded by the caller.
    pub p2c: Option<u32>,
}

/// A content key on its way to the receiver.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "the results of RFC 7516 §5.1 steps 1 to 8")]
pub struct EstablishedKey {
    /// The content encryption key.
    pub cek: SecretBytes,
    /// What travels as the JWE Encrypted Key; empty for `dir` and `ECDH-ES`.
    pub encrypted_key: Vec<u8>,
    /// What the header must carry.
    pub header: KeyManagementHeader,
}

/// Makes or agrees on a content key for `enc` (RFC 7516 §5.1 steps 1 to 8). `given` carries `apu`, `apv`
/// and `p2c` of the caller. With `cek`, wraps that one instead of a fresh one (several recipients);
/// refused for `dir` and `ECDH-ES`.
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] if the key does not fit.
pub fn establish(
    key: &Key,
    algorithm: &Algorithm,
    enc: &Algorithm,
    given: &KeyManagementHeader,
    cek: Option<&SecretBytes>,
) -> Result<EstablishedKey> {
    key.fits(algorithm, Role::Encrypt)?;
    let unfit = || {
        Error::new(ErrorKind::KeyUnfit, format!("{} cannot do {algorithm} with {enc}", key.kind()))
    };
    let size = enc.content_key_bytes().ok_or_else(unfit)?;
    let mut header = given.clone();
    match algorithm.family {
        Family::Direct | Family::EcdhEs(None) if cek.is_some() => return Err(unfit()),
        Family::Direct => {
            key.fits(enc, Role::Encrypt)?;
            let cek = key.reveal(SecretBytes::from_slice).ok_or_else(unfit)?;
            return Ok(EstablishedKey { cek, encrypted_key: Vec::new(), header });
        }
        Family::EcdhEs(None) => {
            let (cek, epk) = agreement::send(key, enc.name, size, &header)?;
            header.epk = Some(epk);
            return Ok(EstablishedKey { cek, encrypted_key: Vec::new(), header });
        }
        _ => {}
    }
    let cek = match cek {
        // EXPOSE: copied into another zeroizing owner.
        Some(cek) => SecretBytes::from_slice(cek.expose_secret()),
        None => fresh_key(size)?,
    };
    // EXPOSE: into the wrapping primitive.
    let raw = cek.expose_secret();
    let encrypted_key = match algorithm.family {
        Family::EcdhEs(Some(bits)) => {
            let (kek, epk) = agreement::send(key, algorithm.name, bits / 8, &header)?;
            header.epk = Some(epk);
            // EXPOSE: as above.
            wrap(bits, kek.expose_secret(), raw)
        }
        Family::AesKw(bits) => key.reveal(|kek| wrap(bits, kek, raw)).flatten(),
        Family::AesGcmKw(_) => {
            gcm_kek(key).and_then(|kek| seal_in_place(kek, b"", raw)).map(|sealed| {
                header.iv = Some(sealed.iv);
                header.tag = Some(sealed.tag);
                sealed.ciphertext
            })
        }
        Family::Pbes2(hash, bits) => {
            let salt = random::bytes::<16>()?;
            header.p2s = Some(salt.to_vec());
            let count = *header.p2c.get_or_insert(PBES2_ITERATIONS);
            let kek = pbes2_key(key, algorithm, hash, bits, &salt, count).ok_or_else(unfit)?;
            // EXPOSE: as above.
            wrap(bits, kek.expose_secret(), raw)
        }
        Family::RsaOaep(hash) => wrap_oaep(key, hash, None, raw),
        Family::Rsa15 => super::rsa15::encrypt(key, raw),
        _ => None,
    };
    let encrypted_key = encrypted_key.ok_or_else(unfit)?;
    Ok(EstablishedKey { cek, encrypted_key, header })
}

/// Recovers the content key (RFC 7516 §5.2 steps 6 to 13). For `RSA1_5` a random key comes back
/// instead of an error (§11.5), so that the caller's next step fails alike.
///
/// # Errors
/// [`ErrorKind::NotDecrypted`], whatever the reason.
pub fn recover(
    key: &Key,
    algorithm: &Algorithm,
    enc: &Algorithm,
    encrypted_key: &[u8],
    header: &KeyManagementHeader,
) -> Result<SecretBytes> {
    let failed = || Error::new(ErrorKind::NotDecrypted, "the content key does not decrypt");
    key.fits(algorithm, Role::Decrypt).map_err(|_| failed())?;
    let size = enc.content_key_bytes().ok_or_else(failed)?;
    let direct = matches!(algorithm.family, Family::Direct | Family::EcdhEs(None));
    // RFC 7516 §5.2 step 10; attacks.md J25.
    if direct != encrypted_key.is_empty() {
        return Err(failed());
    }
    let cek = match algorithm.family {
        Family::Direct => {
            key.fits(enc, Role::Decrypt).map_err(|_| failed())?;
            key.reveal(<[u8]>::to_vec)
        }
        // EXPOSE (both): the content key, or into the unwrapping primitive.
        Family::EcdhEs(None) => {
            agreement::receive(key, enc.name, size, header).map(|cek| cek.expose_secret().to_vec())
        }
        Family::EcdhEs(Some(bits)) => agreement::receive(key, algorithm.name, bits / 8, header)
            .and_then(|kek| unwrap(bits, kek.expose_secret(), encrypted_key)),
        Family::AesKw(bits) => key.reveal(|kek| unwrap(bits, kek, encrypted_key)).flatten(),
        Family::AesGcmKw(_) => {
            let (iv, tag) = (header.iv.as_deref(), header.tag.as_deref());
            let (iv, tag) = iv.zip(tag).ok_or_else(failed)?;
            gcm_kek(key).and_then(|kek| open_with(kek, iv, b"", encrypted_key, tag))
        }
        Family::Pbes2(hash, bits) => {
            let salt = header.p2s.as_deref().ok_or_else(failed)?;
            let count = header.p2c.ok_or_else(failed)?;
            pbes2_key(key, algorithm, hash, bits, salt, count)
                // EXPOSE: into the unwrapping primitive.
                .and_then(|kek| unwrap(bits, kek.expose_secret(), encrypted_key))
        }
        Family::RsaOaep(hash) => unwrap_oaep(key, hash, None, encrypted_key),
        Family::Rsa15 => {
            return recover_rsa15(key, enc, encrypted_key);
        }
        _ => None,
    };
    let cek = cek.map(SecretBytes::from_vec).ok_or_else(failed)?;
    if cek.len() == size { Ok(cek) } else { Err(failed()) }
}

/// As [`recover`] for `RSA1_5`, whatever the size of the key: XML encryption to old keys of 1024 bits, where
/// the caller switched it on. A random key instead of an error (RFC 7516 §11.5).
///
/// # Errors
/// [`ErrorKind::NotDecrypted`], whatever the reason.
pub fn recover_rsa15(key: &Key, enc: &Algorithm, encrypted_key: &[u8]) -> Result<SecretBytes> {
    let failed = || Error::new(ErrorKind::NotDecrypted, "the content key does not decrypt");
    let size = enc.content_key_bytes().ok_or_else(failed)?;
    let substitute = fresh_key(size)?;
    let found = super::rsa15::decrypt(key, encrypted_key).filter(|cek| cek.len() == size);
    Ok(found.unwrap_or(substitute))
}

fn fresh_key(size: usize) -> Result<SecretBytes> {
    let mut bytes = vec![0; size];
    random::fill(&mut bytes)?;
    Ok(SecretBytes::from_vec(bytes))
}

/// The key as an AES-GCM key of its length, expanded at load; its length was checked by `fits`.
fn gcm_kek(key: &Key) -> Option<&LessSafeKey> {
    match key.prepared() {
        Prepared::Oct(oct) => oct.gcm.as_ref(),
        _ => None,
    }
}

/// AES key wrap (RFC 3394 §2.2.1).
fn wrap(bits: usize, kek: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; plain.len() + 8];
    let wrapped = match bits {
        128 => AesKek::new(&AES_128, kek).ok()?.wrap(plain, &mut out).ok()?.len(),
        256 => AesKek::new(&AES_256, kek).ok()?.wrap(plain, &mut out).ok()?.len(),
        // aws-lc-rs has no key wrap of 192 bits.
        192 => KwAes192::new_from_slice(kek).ok()?.wrap_key(plain, &mut out).ok()?.len(),
        _ => return None,
    };
    out.truncate(wrapped);
    Some(out)
}

/// AES key unwrap (RFC 3394 §2.2.2).
fn unwrap(bits: usize, kek: &[u8], wrapped: &[u8]) -> Option<Vec<u8>> {
    // At least two blocks and the check block, whole blocks only; content keys are small.
    if wrapped.len() < 24 || wrapped.len() > 128 || !wrapped.len().is_multiple_of(8) {
        return None;
    }
    let mut out = vec![0; wrapped.len()];
    let plain = match bits {
        128 => AesKek::new(&AES_128, kek).ok()?.unwrap(wrapped, &mut out).ok()?.len(),
        256 => AesKek::new(&AES_256, kek).ok()?.unwrap(wrapped, &mut out).ok()?.len(),
        192 => KwAes192::new_from_slice(kek).ok()?.unwrap_key(wrapped, &mut out).ok()?.len(),
        _ => return None,
    };
    out.truncate(plain);
    Some(out)
}

/// PBKDF2 with the salt `alg ‖ 0 ‖ p2s` (RFC 7518 §4.8.1.1); `p2s` of at least 8 bytes.
fn pbes2_key(
    key: &Key,
    algorithm: &Algorithm,
    hash: Hash,
    bits: usize,
    salt_input: &[u8],
    count: u32,
) -> Option<SecretBytes> {
    if !(8..=1024).contains(&salt_input.len()) {
        return None;
    }
    let prf = match hash {
        Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        Hash::Sha384 => pbkdf2::PBKDF2_HMAC_SHA384,
        Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        Hash::Sha1 => return None,
    };
    let count = NonZeroU32::new(count)?;
    let salt = [algorithm.name.as_bytes(), &[0], salt_input].concat();
    let mut kek = vec![0; bits / 8];
    key.reveal(|password| pbkdf2::derive(prf, count, &salt, password, &mut kek))?;
    Some(SecretBytes::from_vec(kek))
}

const fn oaep(hash: Hash) -> &'static OaepAlgorithm {
    match hash {
        Hash::Sha1 => &OAEP_SHA1_MGF1SHA1,
        Hash::Sha256 => &rsa::OAEP_SHA256_MGF1SHA256,
        Hash::Sha384 => &rsa::OAEP_SHA384_MGF1SHA384,
        Hash::Sha512 => &rsa::OAEP_SHA512_MGF1SHA512,
    }
}

pub(in crate::crypto) fn wrap_oaep(
    key: &Key,
    hash: Hash,
    label: Option<&[u8]>,
    plain: &[u8],
) -> Option<Vec<u8>> {
    let Prepared::Rsa(rsa) = key.prepared() else { return None };
    let public = rsa.wrap.as_ref()?;
    let mut out = vec![0; public.ciphertext_size()];
    let len = public.encrypt(oaep(hash), plain, &mut out, label).ok()?.len();
    out.truncate(len);
    Some(out)
}

pub(in crate::crypto) fn unwrap_oaep(
    key: &Key,
    hash: Hash,
    label: Option<&[u8]>,
    wrapped: &[u8],
) -> Option<Vec<u8>> {
    let Prepared::Rsa(rsa) = key.prepared() else { return None };
    let private = rsa.unwrap.as_ref()?;
    if wrapped.len() != private.key_size_bytes() {
        return None;
    }
    let mut out = vec![0; private.min_output_size()];
    let len = private.decrypt(oaep(hash), wrapped, &mut out, label).ok()?.len();
    out.truncate(len);
    Some(out)
}
