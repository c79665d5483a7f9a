//! The JSON serializations of a JWS (RFC 7515 §7.2), taken apart and not yet checked.

use serde_json::{Map, Value};

use crate::jose::header::{Header, Reason};
use crate::ops::KeySet;

/// One signature of a token.
pub(super) struct Signature<'t> {
    pub(super) protected: &'t str,
    pub(super) header: Header,
    /// base64url.
    pub(super) encoded: &'t str,
}

/// The payload, if there is one, and every signature with its header.
pub(super) fn parse_json<'t>(
    set: &KeySet,
    token: &'t Map<String, Value>,
) -> Result<(Option<&'t str>, Vec<Signature<'t>>), Reason> {
    let limits = &set.policy().limits;
    let payload = match token.get("payload") {
        None => None,
        Some(Value::String(text)) => Some(text.as_str()),
        Some(_) => return Err("the payload is not a string"),
    };
    let flattened =
        ["protected", "header", "signature"].iter().any(|name| token.contains_key(*name));
    let signatures: Vec<&Map<String, Value>> = match token.get("signatures") {
        None => vec![token],
        Some(_) if flattened => return Err("both JSON serializations at once"),
        Some(Value::Array(list)) if (1..=limits.max_signatures).contains(&list.len()) => list
            .iter()
            .map(|one| one.as_object().ok_or("a signature is not an object"))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err("no signatures, or more than the bound"),
    };
    let empty = Map::new();
    let parsed = signatures
        .into_iter()
        .map(|one| {
            let protected = match one.get("protected") {
                None => "",
                Some(value) => value.as_str().ok_or("the protected header is not a string")?,
            };
            let unprotected = match one.get("header") {
                None => &empty,
                Some(value) => value.as_object().ok_or("the header is not an object")?,
            };
            let members = if protected.is_empty() {
                Header::empty()
            } else {
                Header::protected(protected, set)?
            };
            let encoded = one.get("signature").and_then(Value::as_str).ok_or("no signature")?;
            Ok(Signature { protected, header: members.join(&[unprotected])?, encoded })
        })
        .collect::<Result<_, Reason>>()?;
    Ok((payload, parsed))
}
