//! Nested JWTs: a signed token inside an encrypted one (RFC 7519 §11.2), two layers and no more.

use super::jwe::EncryptOptions;
use super::jwe::{self, Decrypted};
use super::jws::{self, SignOptions, Verified, VerifyOptions};
use super::not_decrypted;
use crate::error::Result;
use crate::ops::KeySet;

/// Signs `payload` with the active key of `signing`, then encrypts the token for that of `encrypting`,
/// with `cty` JWT (RFC 7519 §5.2).
///
/// # Errors
/// Those of [`jws::sign`] and [`jwe::encrypt`].
pub fn seal(
    signing: &KeySet,
    encrypting: &KeySet,
    payload: &[u8],
    sign: &SignOptions,
    encrypt: &EncryptOptions,
) -> Result<String> {
    let inner = jws::sign(signing, payload, sign)?;
    let options = EncryptOptions { cty: Some("JWT".into()), ..encrypt.clone() };
    jwe::encrypt(encrypting, inner.as_bytes(), &options)
}

/// Decrypts, then verifies what is inside. Anything inside but a compact JWS under `verifying` fails: an
/// unsigned or once more encrypted content is never passed on (attacks.md J28).
///
/// # Errors
/// [`crate::error::ErrorKind::NotDecrypted`] or [`crate::error::ErrorKind::NotVerified`].
pub fn open(
    decrypting: &KeySet,
    verifying: &KeySet,
    token: &str,
    options: &VerifyOptions<'_>,
) -> Result<(Decrypted, Verified)> {
    let outer = jwe::decrypt(decrypting, token)?;
    // EXPOSE: the inner token is verified as text; its payload goes to the caller.
    let inner = std::str::from_utf8(outer.plaintext.expose_secret())
        .map_err(|_| not_decrypted("the content is no token"))?;
    let verified = jws::verify(verifying, inner, options)?;
    Ok((outer, verified))
}
