//! Making JWS tokens.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::SignOptions;
use crate::alg::{Algorithm, Operation};
use crate::crypto::Role;
use crate::crypto::sign::MAX_SIGNATURE_BYTES;
use crate::error::{Error, ErrorKind, Result};
use crate::jose::{Serialization, begin_header, encode, encode_onto, opened_again, require_room};
use crate::ops::{End, KeySet};

/// Room for the signature of most algorithms; RSA above 2048 bits makes the token grow once.
const SIGNATURE_CHARACTERS: usize = 344;

/// Signs `payload` with the active key of the label. What the label itself would not verify is not made.
///
/// # Errors
/// [`ErrorKind::WrongUse`], [`ErrorKind::AlgorithmNotAllowed`], [`ErrorKind::Usage`] for `unencoded`
/// without `detached`, and for more than `[policy.limits]` lets anybody open.
pub fn sign(set: &KeySet, payload: &[u8], options: &SignOptions) -> Result<String> {
    make(set, payload, options, End::OfPayload(payload, options.expires))
}

/// As [`sign`], of claims whose `exp` is known to be `options.expires`: nobody looks for it there.
///
/// # Errors
/// As [`sign`].
pub(crate) fn sign_known(set: &KeySet, payload: &[u8], options: &SignOptions) -> Result<String> {
    let end = options.expires.map_or(End::OfPayload(payload, None), End::Known);
    make(set, payload, options, end)
}

fn make(set: &KeySet, payload: &[u8], options: &SignOptions, end: End<'_>) -> Result<String> {
    set.require_use(Role::Sign)?;
    if options.unencoded && !options.detached {
        return Err(Error::new(ErrorKind::Usage, "b64=false is for detached payloads")
            .with_help("ask for a detached signature as well"));
    }
    let (algorithm, header) = header(set, options)?;
    if options.serialization == Serialization::Compact && !options.detached {
        let body_characters = payload.len().div_ceil(3) * 4;
        let capacity = header.len() + body_characters + SIGNATURE_CHARACTERS + 2;
        let mut token = String::with_capacity(capacity);
        token.push_str(&header);
        token.push('.');
        encode_onto(payload, &mut token);
        let mut buffer = [0; MAX_SIGNATURE_BYTES];
        let signature = set.sign_payload(algorithm, end, token.as_bytes(), &mut buffer)?;
        token.push('.');
        encode_onto(signature, &mut token);
        return opened_again(set, token);
    }
    let body = if options.unencoded { String::new() } else { encode(payload) };
    let mut input = Vec::with_capacity(header.len() + 1 + body.len().max(payload.len()));
    input.extend_from_slice(header.as_bytes());
    input.push(b'.');
    input.extend_from_slice(if options.unencoded { payload } else { body.as_bytes() });
    let mut buffer = [0; MAX_SIGNATURE_BYTES];
    let signature = encode(set.sign_payload(algorithm, end, &input, &mut buffer)?);
    opened_again(set, write(&header, body, &signature, options))
}

/// The algorithm and the encoded protected header; that of a default signature was made at load.
fn header<'s>(
    set: &'s KeySet,
    options: &SignOptions,
) -> Result<(&'static Algorithm, Cow<'s, str>)> {
    let plain = options.typ.is_none()
        && options.cty.is_none()
        && options.extra.is_empty()
        && !options.unencoded
        && !options.without_kid;
    let algorithm = match &options.algorithm {
        Some(name) => set.allowed(name, Operation::Sign)?,
        None => match set.acts().default_signing() {
            Some((algorithm, header)) if plain => return Ok((algorithm, header.into())),
            Some((algorithm, _)) => algorithm,
            None => set.preferred(Operation::Sign, Role::Sign)?,
        },
    };
    let made = set.acts().signing_header(algorithm).filter(|_| plain);
    if let Some(header) = made {
        return Ok((algorithm, header.into()));
    }
    let text = if options.extra.is_empty() && !options.unencoded {
        typed(algorithm, set, options)
    } else {
        Value::Object(protected(algorithm, set, options)).to_string()
    };
    let most = set.policy().limits.max_header_bytes;
    require_room("header", text.len(), most, "max_header_bytes")?;
    Ok((algorithm, encode(text.as_bytes()).into()))
}

/// A header of strings alone, written without a JSON tree.
fn typed(algorithm: &Algorithm, set: &KeySet, options: &SignOptions) -> String {
    let kid = set.acts().kid.as_ref().filter(|_| !options.without_kid);
    let texts = [("typ", options.typ.as_deref()), ("cty", options.cty.as_deref())];
    let mut text = begin_header(&[("alg", algorithm.name)], kid, texts);
    text.push('}');
    text
}

fn protected(algorithm: &Algorithm, set: &KeySet, options: &SignOptions) -> Map<String, Value> {
    let mut header = Map::new();
    header.insert("alg".into(), algorithm.name.into());
    if !options.without_kid && !set.policy().without_kid {
        header.insert("kid".into(), set.active().kid.clone().into());
    }
    header.extend(options.typ.iter().map(|typ| ("typ".into(), typ.as_ref().into())));
    header.extend(options.cty.iter().map(|cty| ("cty".into(), cty.as_ref().into())));
    let ours = ["alg", "kid", "crit", "b64"];
    let extra = options.extra.iter().filter(|(name, _)| !ours.contains(&name.as_str()));
    header.extend(extra.map(|(name, value)| (name.clone(), value.clone())));
    if options.unencoded {
        header.insert("b64".into(), false.into());
        header.insert("crit".into(), json!(["b64"]));
    }
    header
}

fn write(header: &str, body: String, signature: &str, options: &SignOptions) -> String {
    let mut token = match options.serialization {
        Serialization::Compact => {
            return format!("{header}.{}.{signature}", body_of(options, &body));
        }
        Serialization::Flattened => json!({ "protected": header, "signature": signature }),
        Serialization::General => {
            json!({ "signatures": [{ "protected": header, "signature": signature }] })
        }
    };
    if !options.detached
        && let Some(token) = token.as_object_mut()
    {
        token.insert("payload".into(), Value::String(body));
    }
    token.to_string()
}

fn body_of<'b>(options: &SignOptions, body: &'b str) -> &'b str {
    if options.detached { "" } else { body }
}
