//! Encrypting the content of a token again, for the key that is active now.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::{Decrypted, EncryptOptions, decrypt, decrypt_json, encrypt};
use crate::error::{Error, ErrorKind, Result};
use crate::jose::{Serialization, decode};
use crate::json;
use crate::ops::{KeySet, LabelKey};

/// How the new token is encrypted. What a header says of the content is that of the old one.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "callers build it")]
pub struct RewrapOptions {
    /// `alg`; absent: the label's first that fits its active key.
    pub algorithm: Option<Cow<'static, str>>,
    /// `enc`; absent: the label's first that fits.
    pub content: Option<Cow<'static, str>>,
    /// As [`EncryptOptions::expires`].
    pub expires: Option<u64>,
}

/// A token that was encrypted again.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Rewrapped {
    /// The new token, for the active key.
    pub token: String,
    /// The key that opened the old one.
    pub from: Arc<LabelKey>,
}

/// Decrypts a compact token with any valid key and encrypts its content for the active one; the plaintext is
/// wiped here. `typ`, `cty`, `apu`, `apv` and `zip` stay.
///
/// # Errors
/// Those of [`decrypt`] and [`encrypt`].
pub fn rewrap(set: &KeySet, token: &str, options: &RewrapOptions) -> Result<Rewrapped> {
    again(set, decrypt(set, token)?, options, Serialization::Compact, None)
}

/// As [`rewrap`], of one of the JSON serializations. The new token has the same `aad`, the same form, and one
/// recipient: the active key.
///
/// # Errors
/// Those of [`decrypt_json`] and [`encrypt`].
pub fn rewrap_json(set: &KeySet, token: &str, options: &RewrapOptions) -> Result<Rewrapped> {
    let opened = decrypt_json(set, token)?;
    let token = json::parse_strict_object(token.as_bytes(), set.policy().limits.max_json_depth)?;
    let general = token.contains_key("recipients");
    let form = if general { Serialization::General } else { Serialization::Flattened };
    let aad = token.get("aad").and_then(Value::as_str).and_then(decode);
    again(set, opened, options, form, aad)
}

fn again(
    set: &KeySet,
    opened: Decrypted,
    options: &RewrapOptions,
    serialization: Serialization,
    aad: Option<Vec<u8>>,
) -> Result<Rewrapped> {
    let header = opened.header();
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    // The headers of content encryption are read before it; what is no base64url did not decrypt.
    let bytes = |name: &str| {
        let malformed = || Error::new(ErrorKind::NotDecrypted, "the token does not decrypt");
        text(name).map(|text| decode(text).ok_or_else(malformed)).transpose()
    };
    let options = EncryptOptions {
        algorithm: options.algorithm.clone(),
        content: options.content.clone(),
        typ: text("typ").map(|typ| typ.to_owned().into()),
        cty: text("cty").map(|cty| cty.to_owned().into()),
        apu: bytes("apu")?,
        apv: bytes("apv")?,
        aad,
        zip: header.contains_key("zip"),
        serialization,
        without_kid: false,
        expires: options.expires,
    };
    // EXPOSE: into the cipher.
    let token = encrypt(set, opened.plaintext.expose_secret(), &options)?;
    Ok(Rewrapped { token, from: opened.key })
}
