//! The text form of sealed values: what stands in the files of the `encrypted-*` volume formats.
//!
//! `claviger:v1:` and base64url of what [`crate::crypto::value`] makes. A value is bound to its key and to
//! nothing else, so that files may be renamed and moved between stores.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::crypto::Key;
use crate::crypto::value::{open_value, seal_value};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;

const PREFIX: &str = "claviger:v1:";

/// Seals `plaintext` under a symmetric key or a password.
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] for a key that cannot seal.
pub fn encode(key: &Key, plaintext: &[u8]) -> Result<String> {
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(seal_value(key, plaintext)?)))
}

/// Opens what [`encode`] made; one newline at the end is let pass.
///
/// # Errors
/// [`ErrorKind::Malformed`] if it is no sealed value, [`ErrorKind::NotDecrypted`] if it does not open.
pub fn decode(key: &Key, text: &str) -> Result<SecretBytes> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let Some(body) = text.strip_prefix(PREFIX) else {
        return Err(if text.starts_with("AQIC") {
            Error::new(ErrorKind::Unsupported, "values of Ping AM's encode.jsp are not read")
                .with_help("decrypt it there, then `claviger encode` it")
        } else {
            Error::new(ErrorKind::Malformed, "the value is not sealed").with_help(
                "`claviger encode` makes sealed values; they begin with \"claviger:v1:\"",
            )
        });
    };
    let sealed = URL_SAFE_NO_PAD
        .decode(body)
        .map_err(|_| Error::new(ErrorKind::Malformed, "the sealed value is not base64url"))?;
    open_value(key, &sealed)
}
