//! The public keys of a JSON Web Key set of somebody else: each is read by itself, so that none spoils the
//! others (RFC 7517 §5).

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::jwk::{KEY_TYPES, MAX_DEPTH, PRIVATE_RSA, entry, wrong};
use super::{Entry, Limits};
use crate::error::{Error, ErrorKind, Result};
use crate::json;

/// One key of a set, or why it is none of ours to use.
#[derive(Debug)]
pub struct PublicJwk {
    /// Its place in the set, from 1.
    pub number: usize,
    /// Its `kid`, if it is a string.
    pub kid: Option<String>,
    /// The public key. [`ErrorKind::Unsupported`] for a type or curve that is not built in,
    /// [`ErrorKind::Damaged`] for what contradicts itself, [`ErrorKind::KeyUnfit`] for private and symmetric
    /// keys, which have no place in a public set.
    pub entry: Result<Entry>,
}

/// Reads a JWK set, or one JWK.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`] for a text or a set beyond the bounds, [`ErrorKind::Damaged`] for what is
/// no JSON object with `keys`.
pub fn read_public(bytes: &[u8], limits: &Limits) -> Result<Vec<PublicJwk>> {
    if bytes.len() > limits.max_jwk_bytes {
        let text = format!("{} bytes of JWK set are more than the bound", bytes.len());
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    }
    let damaged = |_| Error::new(ErrorKind::Damaged, "this is no JSON object with an array `keys`");
    let shape: Shape<'_> = serde_json::from_slice(bytes).map_err(damaged)?;
    let keys = match (shape.keys, shape.kty) {
        (Some(keys), _) => keys,
        (None, Some(_)) => vec![serde_json::from_slice(bytes).map_err(damaged)?],
        (None, None) => return Err(Error::new(ErrorKind::Damaged, "there is no member `keys`")),
    };
    if keys.len() > limits.max_private_keys {
        return Err(Error::new(ErrorKind::LimitExceeded, "the set has more keys than the bound"));
    }
    Ok(keys.iter().enumerate().map(|(index, key)| read_one(index + 1, key.get())).collect())
}

/// What a set looks like from outside; two members `keys` are refused.
#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow)]
    keys: Option<Vec<&'a RawValue>>,
    kty: Option<IgnoredAny>,
}

fn read_one(number: usize, text: &str) -> PublicJwk {
    let members = json::parse_strict_object(text.as_bytes(), MAX_DEPTH);
    let members =
        members.map_err(|error| Error::new(ErrorKind::Damaged, error.message().to_owned()));
    let kid = members.as_ref().ok().and_then(|members| members.get("kid")?.as_str());
    let kid = kid.map(str::to_owned);
    let entry = members.and_then(|members| public(&members, number));
    PublicJwk { number, kid, entry }
}

fn public(members: &Map<String, Value>, number: usize) -> Result<Entry> {
    let kty = members.get("kty").and_then(Value::as_str);
    let kty = kty.ok_or_else(|| wrong("kty", "missing, or not a string"))?;
    if !KEY_TYPES.contains(&kty) {
        let shown: String = kty.chars().take(64).collect();
        let text = format!("kty \"{}\" is not known", shown.escape_debug());
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    if kty == "oct" || members.contains_key("k") {
        return Err(Error::new(ErrorKind::KeyUnfit, "a symmetric key in a public set"));
    }
    if PRIVATE_RSA.iter().chain(&["oth"]).any(|name| members.contains_key(*name)) {
        return Err(Error::new(ErrorKind::KeyUnfit, "a private key in a public set")
            .with_help("it is compromised: tell its owner"));
    }
    entry(members, number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_one_key_stays_with_it() {
        let set = br#"{"keys":[
            {"kty":"OKP","crv":"Ed25519","kid":"good","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
            {"kty":"AKP","kid":"later","pub":"AA"}, {"kty":"EC","kty":"RSA"}, 7, {"kty":"oct","k":"AAAA"},
            {"kty":"OKP","crv":"Ed25519","d":"AA","x":"AA"}, {"kty":"RSA","n":"AQAB"}]}"#;
        let read = read_public(set, &Limits::default()).unwrap();
        let kinds: Vec<_> =
            read.iter().map(|one| one.entry.as_ref().err().map(Error::kind)).collect();
        use ErrorKind::{Damaged, KeyUnfit, Unsupported};
        let [damaged, unfit] = [Some(Damaged), Some(KeyUnfit)];
        assert_eq!(
            kinds,
            [None, Some(Unsupported), damaged, damaged, unfit, unfit, damaged],
            "{read:?}"
        );
        assert_eq!(read[0].kid.as_deref(), Some("good"));
    }

    #[test]
    fn what_is_no_set_is_refused_whole() {
        let limits = Limits { max_jwk_bytes: 64, max_private_keys: 2, ..Limits::default() };
        for (text, kind) in [
            (r#"{"keys":{}}"#, ErrorKind::Damaged),
            (r#"{"keys":[],"keys":[]}"#, ErrorKind::Damaged),
            ("[]", ErrorKind::Damaged),
            ("{}", ErrorKind::Damaged),
            ("<html>", ErrorKind::Damaged),
            (r#"{"keys":[1,2,3]}"#, ErrorKind::LimitExceeded),
            (&" ".repeat(65), ErrorKind::LimitExceeded),
        ] {
            assert_eq!(read_public(text.as_bytes(), &limits).unwrap_err().kind(), kind, "{text}");
        }
        assert!(read_public(br#"{"keys":[]}"#, &limits).unwrap().is_empty());
    }
}
