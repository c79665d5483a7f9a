//! JSON Web Signature (RFC 7515) over the keys of a label; RFC 7797 for detached payloads.

use serde_json::{Map, Value, json};

use super::header::{Header, Reason, parse_protected};
use super::{Serialization, decode, encode, not_verified};
use crate::alg::{Algorithm, Operation};
use crate::crypto::{Role, sign as primitive};
use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::ops::{KeySet, LabelKey};

/// How a token is signed. The default: compact, the label's preferred algorithm, with a kid.
#[derive(Clone, Debug, Default)]
pub struct SignOptions {
    /// The algorithm, by its JOSE name; absent: the label's first that fits its active key.
    pub algorithm: Option<String>,
    /// `typ`.
    pub typ: Option<String>,
    /// `cty`.
    pub cty: Option<String>,
    /// More protected members; `alg`, `kid`, `crit` and `b64` are not taken from here.
    pub extra: Map<String, Value>,
    /// How it is written.
    pub serialization: Serialization,
    /// Leaves the payload out of the token (RFC 7515 appendix F).
    pub detached: bool,
    /// Signs the payload as it is, `b64=false` (RFC 7797); only detached.
    pub unencoded: bool,
    /// Leaves `kid` out.
    pub without_kid: bool,
}

/// How a token is checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifyOptions<'a> {
    /// The payload of a token that does not carry it.
    pub detached_payload: Option<&'a [u8]>,
    /// The `typ` that the token must have, compared without case and without `application/`.
    pub typ: Option<&'a str>,
}

/// A token whose signature holds.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Verified {
    /// What was signed.
    pub payload: Vec<u8>,
    /// The header of the signature that held, protected and unprotected members together.
    pub header: Map<String, Value>,
    /// The key that verified.
    pub key: LabelKey,
    /// The algorithm.
    pub algorithm: &'static Algorithm,
}

/// Signs `payload` with the active key of the label.
///
/// # Errors
/// [`ErrorKind::WrongUse`], [`ErrorKind::AlgorithmNotAllowed`], [`ErrorKind::Usage`] for `unencoded`
/// without `detached`.
pub fn sign(set: &KeySet, payload: &[u8], options: &SignOptions) -> Result<String> {
    set.require_use(Role::Sign)?;
    if options.unencoded && !options.detached {
        return Err(Error::new(ErrorKind::Usage, "b64=false is for detached payloads")
            .with_help("ask for a detached signature as well"));
    }
    let algorithm = match &options.algorithm {
        Some(name) => set.allowed(name, Operation::Sign)?,
        None => set.preferred(Operation::Sign, Role::Sign)?,
    };
    let active = set.active();
    let header = protected(algorithm, active, options);
    let header = encode(Value::Object(header).to_string().as_bytes());
    let body = if options.unencoded { Vec::new() } else { encode(payload).into_bytes() };
    let mut input = Vec::with_capacity(header.len() + 1 + body.len().max(payload.len()));
    input.extend_from_slice(header.as_bytes());
    input.push(b'.');
    input.extend_from_slice(if options.unencoded { payload } else { &body });
    let mut signature = Vec::new();
    primitive::sign(&active.key, algorithm, &input, &mut signature)?;
    let signature = encode(&signature);
    let body = String::from_utf8(body).unwrap_or_default();
    Ok(match options.serialization {
        Serialization::Compact if options.detached => format!("{header}..{signature}"),
        Serialization::Compact => format!("{header}.{body}.{signature}"),
        Serialization::Flattened => {
            let mut token = json!({ "protected": header, "signature": signature });
            with_payload(&mut token, options, body);
            token.to_string()
        }
        Serialization::General => {
            let one = json!({ "protected": header, "signature": signature });
            let mut token = json!({ "signatures": [one] });
            with_payload(&mut token, options, body);
            token.to_string()
        }
    })
}

fn with_payload(token: &mut Value, options: &SignOptions, body: String) {
    if !options.detached
        && let Some(token) = token.as_object_mut()
    {
        token.insert("payload".into(), Value::String(body));
    }
}

fn protected(
    algorithm: &Algorithm,
    active: &LabelKey,
    options: &SignOptions,
) -> Map<String, Value> {
    let mut header = Map::new();
    header.insert("alg".into(), algorithm.name.into());
    if !options.without_kid {
        header.insert("kid".into(), active.kid.clone().into());
    }
    header.extend(options.typ.iter().map(|typ| ("typ".into(), typ.clone().into())));
    header.extend(options.cty.iter().map(|cty| ("cty".into(), cty.clone().into())));
    let ours = ["alg", "kid", "crit", "b64"];
    let extra = options.extra.iter().filter(|(name, _)| !ours.contains(&name.as_str()));
    header.extend(extra.map(|(name, value)| (name.clone(), value.clone())));
    if options.unencoded {
        header.insert("b64".into(), false.into());
        header.insert("crit".into(), json!(["b64"]));
    }
    header
}

/// Checks a compact token against the valid keys of the label.
///
/// # Errors
/// [`ErrorKind::NotVerified`] whatever is wrong with the token, [`ErrorKind::WrongUse`] for the label.
pub fn verify(set: &KeySet, token: &str, options: &VerifyOptions<'_>) -> Result<Verified> {
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
    check_json(set, token, options).map_err(not_verified)
}

/// One signature of a token.
struct Signature<'t> {
    protected: &'t str,
    header: Header,
    bytes: Vec<u8>,
}

fn check(set: &KeySet, token: &str, options: &VerifyOptions<'_>) -> Result<Verified, Reason> {
    if token.len() > set.policy().limits.max_token_bytes {
        return Err("the token is larger than its bound");
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("a compact JWS has three parts");
    };
    let one = Signature {
        protected: header,
        header: Header::join(parse_protected(header, set)?, &[])?,
        bytes: decode(signature).ok_or("the signature is not base64url")?,
    };
    check_signatures(set, &[one], payload, options)
}

fn check_json(set: &KeySet, token: &str, options: &VerifyOptions<'_>) -> Result<Verified, Reason> {
    let limits = &set.policy().limits;
    if token.len() > limits.max_token_bytes {
        return Err("the token is larger than its bound");
    }
    let token = json::parse_strict_object(token.as_bytes(), limits.max_json_depth)
        .map_err(|_| "the token is not a JSON object")?;
    let payload = match token.get("payload") {
        None => "",
        Some(Value::String(text)) => text,
        Some(_) => return Err("the payload is not a string"),
    };
    let flattened =
        ["protected", "header", "signature"].iter().any(|name| token.contains_key(*name));
    let signatures: Vec<&Map<String, Value>> = match token.get("signatures") {
        None => vec![&token],
        Some(_) if flattened => return Err("both JSON serializations at once"),
        Some(Value::Array(list)) if (1..=limits.max_signatures).contains(&list.len()) => list
            .iter()
            .map(|one| one.as_object().ok_or("a signature is not an object"))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err("no signatures, or more than the bound"),
    };
    let empty = Map::new();
    let parsed: Vec<Signature<'_>> = signatures
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
            let members =
                if protected.is_empty() { Map::new() } else { parse_protected(protected, set)? };
            let signature = one.get("signature").and_then(Value::as_str).ok_or("no signature")?;
            Ok(Signature {
                protected,
                header: Header::join(members, &[unprotected])?,
                bytes: decode(signature).ok_or("the signature is not base64url")?,
            })
        })
        .collect::<Result<_, Reason>>()?;
    check_signatures(set, &parsed, payload, options)
}

fn check_signatures(
    set: &KeySet,
    signatures: &[Signature<'_>],
    payload: &str,
    options: &VerifyOptions<'_>,
) -> Result<Verified, Reason> {
    let mut unencoded = None;
    for signature in signatures {
        let critical = signature.header.critical_b64()?;
        let this = match signature.header.all.get("b64") {
            None => false,
            // RFC 7797 §6: b64 must be critical, and a Boolean.
            Some(Value::Bool(b64)) if critical => !b64,
            Some(_) => return Err("b64 is not a critical Boolean"),
        };
        if *unencoded.get_or_insert(this) != this {
            return Err("signatures differ in b64");
        }
        if signature.header.all.contains_key("zip") || signature.header.all.contains_key("enc") {
            return Err("the header is that of a JWE");
        }
    }
    let unencoded = unencoded.unwrap_or(false);
    let payload = match (options.detached_payload, unencoded) {
        (Some(_), _) if !payload.is_empty() => return Err("a payload where none is expected"),
        (Some(detached), _) => detached.to_vec(),
        (None, true) => return Err("b64=false outside a detached token"),
        (None, false) => decode(payload).ok_or("the payload is not base64url")?,
    };
    let body = if unencoded { payload.clone() } else { encode(&payload).into_bytes() };
    let mut last = "no signature has an allowed algorithm";
    for signature in signatures {
        match check_one(set, signature, &body, options) {
            Ok((key, algorithm)) => {
                return Ok(Verified {
                    payload,
                    header: signature.header.all.clone(),
                    key: key.clone(),
                    algorithm,
                });
            }
            Err(reason) => last = reason,
        }
    }
    Err(last)
}

fn check_one<'s>(
    set: &'s KeySet,
    signature: &Signature<'_>,
    body: &[u8],
    options: &VerifyOptions<'_>,
) -> Result<(&'s LabelKey, &'static Algorithm), Reason> {
    let header = &signature.header;
    let name = header.required("alg")?;
    let algorithm =
        set.allowed(name, Operation::Sign).map_err(|_| "the label does not allow the algorithm")?;
    let kid = header.text("kid")?;
    if let Some(expected) = options.typ {
        let plain =
            |typ: &str| typ.to_ascii_lowercase().trim_start_matches("application/").to_owned();
        if header.text("typ")?.map(plain) != Some(plain(expected)) {
            return Err("the token is of another typ");
        }
    }
    let mut input = Vec::with_capacity(signature.protected.len() + 1 + body.len());
    input.extend_from_slice(signature.protected.as_bytes());
    input.push(b'.');
    input.extend_from_slice(body);
    let mut tried = false;
    for key in set.candidates(kid, algorithm, Role::Verify) {
        tried = true;
        if primitive::verify(&key.key, algorithm, &input, &signature.bytes).is_ok() {
            return Ok((key, algorithm));
        }
    }
    Err(if tried {
        "no valid key made this signature"
    } else {
        "no valid key fits kid and algorithm"
    })
}

/// The header of a token that nobody has checked: for `explain`, never for a decision.
///
/// # Errors
/// [`ErrorKind::Malformed`] if there is none.
pub fn unverified_header(set: &KeySet, token: &str) -> Result<Map<String, Value>> {
    let malformed = || Error::new(ErrorKind::Malformed, "this is no compact JWS or JWE");
    let first = token.trim().split('.').next().ok_or_else(malformed)?;
    parse_protected(first, set).map_err(|_| malformed())
}
