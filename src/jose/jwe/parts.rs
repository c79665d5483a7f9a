//! A JWE taken apart and not yet checked.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::jose::header::{Header, Reason};
use crate::jose::{Short, decode};
use crate::json;
use crate::ops::KeySet;

/// The parts of a token that all recipients share.
pub(super) struct Parts<'t> {
    /// What the tag authenticates (RFC 7516 §5.2 step 15).
    pub(super) aad: Cow<'t, [u8]>,
    pub(super) iv: Short,
    pub(super) ciphertext: Vec<u8>,
    pub(super) tag: Short,
    /// Header and encrypted key of each.
    pub(super) recipients: Vec<(Header, Vec<u8>)>,
}

fn part(text: &str) -> Result<Vec<u8>, Reason> {
    decode(text).ok_or("a part is not base64url")
}

fn short(text: &str) -> Result<Short, Reason> {
    Short::decode(text).ok_or("iv or tag is not base64url, or longer than any")
}

/// Parts of the compact serialization (RFC 7516 §7.1).
pub(super) fn parse_compact<'t>(set: &KeySet, token: &'t str) -> Result<Parts<'t>, Reason> {
    let mut parts = token.split('.');
    let mut next = || parts.next().ok_or("a compact JWE has five parts");
    let (header, key, iv, ciphertext, tag) = (next()?, next()?, next()?, next()?, next()?);
    if parts.next().is_some() {
        return Err("a compact JWE has five parts");
    }
    Ok(Parts {
        aad: header.as_bytes().into(),
        iv: short(iv)?,
        tag: short(tag)?,
        recipients: vec![(Header::protected(header, set)?, part(key)?)],
        ciphertext: part(ciphertext)?,
    })
}

/// Parts of one of the JSON serializations (RFC 7516 §7.2).
pub(super) fn parse_json<'t>(set: &KeySet, token: &'t str) -> Result<Parts<'t>, Reason> {
    let limits = &set.policy().limits;
    let token = json::parse_strict_object(token.as_bytes(), limits.max_json_depth)
        .map_err(|_| "the token is not a JSON object")?;
    let text = |name: &str| match token.get(name) {
        None => Ok(""),
        Some(value) => value.as_str().ok_or("a member of the token is not a string"),
    };
    let object = |value: Option<&Value>| match value {
        None => Ok(Map::new()),
        Some(value) => value.as_object().cloned().ok_or("a header is not an object"),
    };
    let protected_text = text("protected")?;
    let protected = if protected_text.is_empty() {
        Header::empty()
    } else {
        Header::protected(protected_text, set)?
    };
    let shared = object(token.get("unprotected"))?;
    let flattened = token.contains_key("header") || token.contains_key("encrypted_key");
    let listed: Vec<&Map<String, Value>> = match token.get("recipients") {
        None => vec![&token],
        Some(_) if flattened => return Err("both JSON serializations at once"),
        Some(Value::Array(list)) if (1..=limits.max_recipients).contains(&list.len()) => list
            .iter()
            .map(|one| one.as_object().ok_or("a recipient is not an object"))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err("no recipients, or more than the bound"),
    };
    let recipients = listed
        .into_iter()
        .map(|one| {
            let own = object(one.get("header"))?;
            let key = match one.get("encrypted_key") {
                None => Vec::new(),
                Some(value) => part(value.as_str().ok_or("the encrypted key is not a string")?)?,
            };
            let header = protected.clone().join(&[&shared, &own])?;
            // RFC 7516 §4.1.3: zip must be integrity protected.
            if header.contains("zip") && !header.is_protected("zip") {
                return Err("zip is not protected");
            }
            Ok((header, key))
        })
        .collect::<Result<_, Reason>>()?;
    let mut aad = protected_text.as_bytes().to_vec();
    if token.contains_key("aad") {
        part(text("aad")?)?;
        aad.push(b'.');
        aad.extend_from_slice(text("aad")?.as_bytes());
    }
    let (iv, ciphertext, tag) = (text("iv")?, text("ciphertext")?, text("tag")?);
    Ok(Parts {
        aad: aad.into(),
        iv: short(iv)?,
        ciphertext: part(ciphertext)?,
        tag: short(tag)?,
        recipients,
    })
}
