//! RSAES-PKCS1-v1_5, off unless a label names it (feature `compat`).

use crate::crypto::Key;

/// Encrypts to the public half; `None` if this is no RSA key or the feature is not built in.
#[cfg(feature = "compat")]
pub(in crate::crypto) fn encrypt(key: &Key, plain: &[u8]) -> Option<Vec<u8>> {
    let public = openssl::rsa::Rsa::public_key_from_der(key.spki()?).ok()?;
    let mut out = vec![0; usize::try_from(public.size()).ok()?];
    let len = public.public_encrypt(plain, &mut out, openssl::rsa::Padding::PKCS1).ok()?;
    out.truncate(len);
    Some(out)
}

/// Decrypts; OpenSSL 3.2 and later answers bad padding with a message derived from key and ciphertext
/// instead of an error (implicit rejection), so neither error nor time tells of the padding.
#[cfg(feature = "compat")]
pub(in crate::crypto) fn decrypt(key: &Key, wrapped: &[u8]) -> Option<Vec<u8>> {
    use openssl::{pkey::PKey, pkey_ctx::PkeyCtx, rsa::Padding};

    // EXPOSE: into OpenSSL's own key, freed and cleansed by it.
    let private = PKey::private_key_from_pkcs8(key.pkcs8()?.expose_secret()).ok()?;
    let mut context = PkeyCtx::new(&private).ok()?;
    context.decrypt_init().ok()?;
    context.set_rsa_padding(Padding::PKCS1).ok()?;
    let mut out = Vec::new();
    context.decrypt_to_vec(wrapped, &mut out).ok()?;
    Some(out)
}

#[cfg(not(feature = "compat"))]
pub(in crate::crypto) fn encrypt(_: &Key, _: &[u8]) -> Option<Vec<u8>> {
    None
}

#[cfg(not(feature = "compat"))]
pub(in crate::crypto) fn decrypt(_: &Key, _: &[u8]) -> Option<Vec<u8>> {
    None
}
