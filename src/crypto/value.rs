//! Sealing of small values under a label's secret: the primitive of the `encrypted-*` formats.
//!
//! Layout: version (1) ‖ salt (16) ‖ nonce (12) ‖ AES-256-GCM ciphertext and tag (16). Version 1 derives
//! the key with HKDF-SHA256 (keys), version 2 with PBKDF2-HMAC-SHA256 (text that people chose).

use std::num::NonZeroU32;

use ring::{hkdf, pbkdf2};
use zeroize::Zeroizing;

use crate::crypto::content::{gcm_key, open_gcm, seal_in_place};
use crate::crypto::{Key, KeyKind, OctType, random};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

const INFO: &[u8] = b"claviger sealed value";
/// OWASP's figure for PBKDF2-HMAC-SHA256.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).unwrap();
const HKDF: u8 = 1;
const PBKDF2: u8 = 2;

/// Encrypts and authenticates `plaintext` under a symmetric key or password.
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] for key pairs and for keys below 128 bits that are not passwords.
pub fn seal_value(key: &Key, plaintext: &[u8]) -> Result<Vec<u8>> {
    let version = version_for(key).ok_or_else(|| {
        let text = format!("{} cannot seal values", key.kind());
        Error::new(ErrorKind::KeyUnfit, text).with_help("use AES of 256 bits")
    })?;
    let salt = random::bytes::<16>()?;
    let sealed = derive(key, version, &salt)
        .and_then(|derived| gcm_key(256, derived.as_ref()))
        .and_then(|key| seal_in_place(&key, &[version], plaintext))
        .ok_or_else(|| Error::new(ErrorKind::Bug, "sealing failed"))?;
    Ok([&[version], salt.as_slice(), &sealed.iv, &sealed.ciphertext, &sealed.tag].concat())
}

/// Opens what [`seal_value`] made.
///
/// # Errors
/// [`ErrorKind::NotDecrypted`], whatever the reason.
pub fn open_value(key: &Key, sealed: &[u8]) -> Result<SecretBytes> {
    let open = || {
        let (version, rest) = sealed.split_first()?;
        // The key decides, not the value: a forged one cannot ask for the slow derivation.
        version_for(key).filter(|expected| expected == version)?;
        let (salt, rest) = rest.split_at_checked(16)?;
        let (iv, rest) = rest.split_at_checked(12)?;
        let (ciphertext, tag) = rest.split_at_checked(rest.len().checked_sub(16)?)?;
        let derived = derive(key, *version, salt)?;
        open_gcm(256, derived.as_ref(), iv, &[*version], ciphertext, tag)
    };
    open().map(SecretBytes::from_vec).ok_or_else(|| {
        Error::new(ErrorKind::NotDecrypted, "the sealed value does not open with this key")
            .with_help("was it sealed under another key, or altered?")
    })
}

fn version_for(key: &Key) -> Option<u8> {
    match key.kind() {
        KeyKind::Oct { oct_type: OctType::Generic, .. } => Some(PBKDF2),
        KeyKind::Oct { bits, .. } if bits >= 128 => Some(HKDF),
        _ => None,
    }
}

fn derive(key: &Key, version: u8, salt: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let mut out = Zeroizing::new([0; 32]);
    key.reveal(|secret| match version {
        HKDF => hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
            .extract(secret)
            .expand(&[INFO], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(out.as_mut()))
            .ok(),
        PBKDF2 => {
            let prf = pbkdf2::PBKDF2_HMAC_SHA256;
            pbkdf2::derive(prf, ITERATIONS, salt, secret, out.as_mut());
            Some(())
        }
        _ => None,
    })??;
    Some(out)
}
