//! The old OpenSSL encryption of PEM bodies (`Proc-Type`, `DEK-Info`; RFC 1421 §4.6.1): read only.

use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretString;

use super::der::{damaged, wrong_password};

/// Decrypts `body` as its `DEK-Info` value (`AES-256-CBC,hex`) says. Only padding guards the result: the
/// caller checks its shape.
pub(super) fn decrypt(
    dek_info: &str,
    body: &[u8],
    password: &SecretString,
) -> Result<Zeroizing<Vec<u8>>> {
    let bad = || damaged("the DEK-Info header is not a cipher and an initialization vector");
    let (cipher, iv) = dek_info.split_once(',').ok_or_else(bad)?;
    let iv = hex::decode(iv.trim()).map_err(|_| bad())?;
    let key_bytes = match cipher.trim() {
        "AES-128-CBC" => 16,
        "AES-192-CBC" | "DES-EDE3-CBC" => 24,
        "AES-256-CBC" => 32,
        "DES-CBC" => 8,
        _ => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the private key is encrypted with a cipher that is not built in",
            )
            .with_help("convert it with openssl pkcs8 -topk8 -in FILE -out NEW"));
        }
    };
    let key = derive(password, iv.get(..8).ok_or_else(bad)?, key_bytes);
    let plain = match cipher.trim() {
        "AES-128-CBC" => cbc_decrypt(Decryptor::<aes::Aes128>::new_from_slices(&key, &iv), body),
        "AES-192-CBC" => cbc_decrypt(Decryptor::<aes::Aes192>::new_from_slices(&key, &iv), body),
        "AES-256-CBC" => cbc_decrypt(Decryptor::<aes::Aes256>::new_from_slices(&key, &iv), body),
        "DES-EDE3-CBC" => cbc_decrypt(Decryptor::<des::TdesEde3>::new_from_slices(&key, &iv), body),
        _ => cbc_decrypt(Decryptor::<des::Des>::new_from_slices(&key, &iv), body),
    };
    plain.ok_or_else(wrong_password)
}

fn cbc_decrypt<M: BlockModeDecrypt, E>(
    mode: std::result::Result<M, E>,
    body: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    mode.ok()?.decrypt_padded_vec::<Pkcs7>(body).ok().map(Zeroizing::new)
}

/// One round of MD5 over the previous block, the password and the salt, until there is enough.
fn derive(password: &SecretString, salt: &[u8], key_bytes: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(key_bytes + 16));
    let mut block = Zeroizing::new(Vec::new());
    while key.len() < key_bytes {
        let hash = Md5::new_with_prefix(block.as_slice())
            // EXPOSE: the key derivation reads the password.
            .chain_update(password.expose_secret())
            .chain_update(salt)
            .finalize();
        block = Zeroizing::new(hash.to_vec());
        key.extend_from_slice(&block);
    }
    key.truncate(key_bytes);
    key
}
