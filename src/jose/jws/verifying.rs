//! Checking JWS tokens.

use std::borrow::Cow;
use std::sync::Arc;

use memchr::memchr_iter;
use serde_json::Value;

use super::json_form::{Signature, parse_json};
use super::{Verified, VerifyOptions};
use crate::alg::{Algorithm, Operation};
use crate::crypto::{Role, sign as primitive};
use crate::error::{ErrorKind, Result};
use crate::jose::header::{Header, Reason};
use crate::jose::{Pass, decode, decode_signature, not_verified, same_type};
use crate::ops::{Asked, KeySet, LabelKey};

/// Checks a compact token against the valid keys of the label.
///
/// # Errors
/// [`crate::error::ErrorKind::NotVerified`] whatever is wrong with the token,
/// [`crate::error::ErrorKind::WrongUse`] for the label.
pub fn verify(set: &KeySet, token: &str, options: &VerifyOptions<'_>) -> Result<Verified> {
    seen(set, verify_unseen(set, token, options))
}

/// As [`verify`], and whoever asks records it.
pub(crate) fn verify_unseen(
    set: &KeySet,
    token: &str,
    options: &VerifyOptions<'_>,
) -> Result<Verified> {
    set.require_use(Role::Verify)?;
    check(set, token, options).map_err(not_verified)
}

/// Checks a token in one of the JSON serializations. Of several signatures one that holds is enough, and
/// all of them must be well-formed.
///
/// # Errors
/// As [`verify`].
pub fn verify_json(set: &KeySet, token: &str, options: &VerifyOptions<'_>) -> Result<Verified> {
    set.require_use(Role::Verify)?;
    seen(set, check_json(set, token, options).map_err(not_verified))
}

fn seen(set: &KeySet, verified: Result<Verified>) -> Result<Verified> {
    let asked = Asked::from(set);
    match &verified {
        Ok(held) => held.is_seen_by(asked, &held.payload),
        Err(error) if error.kind() == ErrorKind::NotVerified => asked.refused(),
        Err(_) => {}
    }
    verified
}

fn check(set: &KeySet, token: &str, options: &VerifyOptions<'_>) -> Result<Verified, Reason> {
    if token.len() > set.policy().limits.max_token_bytes {
        return Err("the token is larger than its bound");
    }
    let (input, protected, payload, encoded) =
        three_parts(token).ok_or("a compact JWS has three parts")?;
    let header = Header::of_signature(protected, set)?;
    let unencoded = check_header(&header)?;
    let signature = Signature { protected, header, encoded };
    let payload = content(payload, unencoded, options)?;
    // What was signed is what stands in the token: strict base64url has one text for each content.
    let input = match options.detached_payload {
        None => Cow::Borrowed(input.as_bytes()),
        Some(_) => Cow::Owned(input_of(protected, &payload, unencoded)),
    };
    let mut tries = set.policy().limits.max_tries;
    let (key, algorithm) = check_one(set, &signature, &input, options, &mut tries)?;
    Ok(Verified { payload, header: signature.header, key, algorithm })
}

/// The JWS Signing Input and the three parts of a compact token (RFC 7515 §7.1).
fn three_parts(token: &str) -> Option<(&str, &str, &str, &str)> {
    let mut dots = memchr_iter(b'.', token.as_bytes());
    let (first, last) = (dots.next()?, dots.next()?);
    if dots.next().is_some() {
        return None;
    }
    let (protected, payload) = (token.get(..first)?, token.get(first + 1..last)?);
    Some((token.get(..last)?, protected, payload, token.get(last + 1..)?))
}

fn check_json(set: &KeySet, token: &str, options: &VerifyOptions<'_>) -> Result<Verified, Reason> {
    let limits = &set.policy().limits;
    if token.len() > limits.max_token_bytes {
        return Err("the token is larger than its bound");
    }
    let token = crate::json::parse_strict_object(token.as_bytes(), limits.max_json_depth)
        .map_err(|_| "the token is not a JSON object")?;
    let (payload, signatures) = parse_json(set, &token)?;
    let mut unencoded = None;
    for signature in &signatures {
        let this = check_header(&signature.header)?;
        decode(signature.encoded).ok_or("the signature is not base64url")?;
        if *unencoded.get_or_insert(this) != this {
            return Err("signatures differ in b64");
        }
    }
    let unencoded = unencoded.unwrap_or(false);
    if payload.is_none() && options.detached_payload.is_none() {
        return Err("there is no payload");
    }
    let payload = match (payload, options.detached_payload) {
        // RFC 7797 §4.1: a JSON string bounds it, so that it may stand there as it is.
        (Some(payload), None) if unencoded => payload.as_bytes().to_vec(),
        (payload, _) => content(payload.unwrap_or_default(), unencoded, options)?,
    };
    let mut last = "no signature has an allowed algorithm";
    for pass in Pass::BOTH {
        let mut tries = pass.tries(set);
        for signature in signatures.iter().filter(|one| pass.takes(set, &one.header)) {
            let input = input_of(signature.protected, &payload, unencoded);
            match check_one(set, signature, &input, options, &mut tries) {
                Ok((key, algorithm)) => {
                    let header = signature.header.clone();
                    return Ok(Verified { payload, header, key, algorithm });
                }
                Err(reason) => last = reason,
            }
        }
    }
    Err(last)
}

/// What must hold of every header; answers whether the payload is signed as it is, `b64=false`.
fn check_header(header: &Header) -> Result<bool, Reason> {
    let critical = header.critical_b64()?;
    if header.contains("zip") || header.contains("enc") {
        return Err("the header is that of a JWE");
    }
    match header.value("b64") {
        None => Ok(false),
        // RFC 7797 §6: b64 must be critical, and a Boolean.
        Some(Value::Bool(b64)) if critical => Ok(!b64),
        Some(_) => Err("b64 is not a critical Boolean"),
    }
}

fn content(payload: &str, unencoded: bool, options: &VerifyOptions<'_>) -> Result<Vec<u8>, Reason> {
    match (options.detached_payload, unencoded) {
        (Some(_), _) if !payload.is_empty() => Err("a payload where none is expected"),
        (Some(detached), _) => Ok(detached.to_vec()),
        (None, true) => Err("b64=false in a compact token that is not detached"),
        (None, false) => decode(payload).ok_or("the payload is not base64url"),
    }
}

/// The JWS Signing Input (RFC 7515 §5.1 step 5, RFC 7797 §3).
fn input_of(protected: &str, payload: &[u8], unencoded: bool) -> Vec<u8> {
    let mut input = Vec::with_capacity(protected.len() + 1 + payload.len().div_ceil(3) * 4);
    input.extend_from_slice(protected.as_bytes());
    input.push(b'.');
    if unencoded {
        input.extend_from_slice(payload);
    } else {
        input.extend_from_slice(crate::jose::encode(payload).as_bytes());
    }
    input
}

fn check_one(
    set: &KeySet,
    signature: &Signature<'_>,
    input: &[u8],
    options: &VerifyOptions<'_>,
    tries: &mut usize,
) -> Result<(Arc<LabelKey>, &'static Algorithm), Reason> {
    let header = &signature.header;
    let name = header.required("alg")?;
    let algorithm =
        set.find_allowed(name, Operation::Sign).ok_or("the label does not allow the algorithm")?;
    let kid = header.kid(set)?;
    if let Some(expected) = options.typ
        && !header.typ()?.is_some_and(|typ| same_type(typ, expected))
    {
        return Err("the token is of another typ");
    }
    let mut buffer = [0; 1032];
    let bytes = decode_signature(signature.encoded, &mut buffer)
        .ok_or("the signature is not base64url, or longer than any")?;
    let mut last = "no valid key fits kid and algorithm";
    for key in set.candidates(kid, algorithm, Role::Verify) {
        *tries = tries.checked_sub(1).ok_or("the bound on keys to try is reached")?;
        last = "no valid key made this signature";
        if primitive::verify(&key.key, algorithm, input, bytes).is_ok() {
            key.usage.verified();
            return Ok((Arc::clone(key), algorithm));
        }
    }
    Err(last)
}
