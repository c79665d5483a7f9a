//! RSAES-PKCS1-v1_5, off unless a label names it (feature `compat`).

#[cfg(feature = "compat")]
use std::sync::OnceLock;

use crate::crypto::Key;
#[cfg(feature = "compat")]
use crate::crypto::prepared::{Prepared, Rsa};
use crate::secret::SecretBytes;

/// OpenSSL's keys, parsed when first used: few labels ever name the algorithm.
#[cfg(feature = "compat")]
#[derive(Default)]
pub(in crate::crypto) struct Rsa15 {
    private: OnceLock<Option<openssl::pkey::PKey<openssl::pkey::Private>>>,
    public: OnceLock<Option<openssl::rsa::Rsa<openssl::pkey::Public>>>,
}

/// Encrypts to the public half; `None` if this is no RSA key or the feature is not built in.
#[cfg(feature = "compat")]
pub(in crate::crypto) fn encrypt(key: &Key, plain: &[u8]) -> Option<Vec<u8>> {
    let parse = || openssl::rsa::Rsa::public_key_from_der(key.spki()?).ok();
    let public = rsa(key)?.rsa15.public.get_or_init(parse).as_ref()?;
    let mut out = vec![0; usize::try_from(public.size()).ok()?];
    let len = public.public_encrypt(plain, &mut out, openssl::rsa::Padding::PKCS1).ok()?;
    out.truncate(len);
    Some(out)
}

/// Decrypts; OpenSSL 3.2 and later answers bad padding with a message derived from key and ciphertext
/// instead of an error (implicit rejection), so neither error nor time tells of the padding.
#[cfg(feature = "compat")]
pub(in crate::crypto) fn decrypt(key: &Key, wrapped: &[u8]) -> Option<SecretBytes> {
    use openssl::{pkey::PKey, pkey_ctx::PkeyCtx, rsa::Padding};

    // EXPOSE: into OpenSSL's own key, freed and cleansed by it.
    let parse = || PKey::private_key_from_pkcs8(key.pkcs8()?.expose_secret()).ok();
    let private = rsa(key)?.rsa15.private.get_or_init(parse).as_ref()?;
    let mut context = PkeyCtx::new(private).ok()?;
    context.decrypt_init().ok()?;
    context.set_rsa_padding(Padding::PKCS1).ok()?;
    let mut out = Vec::new();
    context.decrypt_to_vec(wrapped, &mut out).ok()?;
    Some(SecretBytes::from_vec(out))
}

#[cfg(feature = "compat")]
fn rsa(key: &Key) -> Option<&Rsa> {
    match key.prepared() {
        Prepared::Rsa(rsa) => Some(rsa),
        _ => None,
    }
}

/// Nothing is built in.
#[cfg(not(feature = "compat"))]
#[derive(Default)]
pub(in crate::crypto) struct Rsa15 {}

#[cfg(not(feature = "compat"))]
pub(in crate::crypto) fn encrypt(_: &Key, _: &[u8]) -> Option<Vec<u8>> {
    None
}

#[cfg(not(feature = "compat"))]
pub(in crate::crypto) fn decrypt(_: &Key, _: &[u8]) -> Option<SecretBytes> {
    None
}
