//! What the claims of all tokens here have in common: who sets them, what they look like, when they end.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use crate::clock::to_unix;
use crate::error::{Error, ErrorKind, Result};
use crate::jose::claims::date;
use crate::profiles::{refused, refused_by};

/// The claims of a token.
pub(super) type Claims = Map<String, Value>;

pub(super) fn usage(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, why.into())
}

/// Refuses claims that the profile sets itself, so that nobody wonders which of two values is signed.
pub(super) fn refuse_own(claims: &Claims, own: &[&str]) -> Result<()> {
    match claims.keys().find(|name| own.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(usage(format!("the claim \"{name}\" is set here, not by the caller"))
            .with_help(
                "leave it out; issuer, audience, lifetime and the rest have options of their own",
            )),
    }
}

/// The first thing that is wrong with the types of well-known claims.
fn misshapen(claims: &Claims) -> Option<String> {
    // One pass: a look for each of the names in the map costs more.
    claims.iter().find_map(|(name, value)| match name.as_str() {
        // Strings wherever they stand.
        "acr" | "at_hash" | "azp" | "c_hash" | "client_id" | "iss" | "jti" | "nonce" | "s_hash"
        | "scope" | "sid" | "sub"
            if !value.is_string() =>
        {
            Some(format!("{name} is not a string"))
        }
        "auth_time" if !value.is_number() => Some("auth_time is not a number".into()),
        "amr" if !is_texts(value) => Some("amr is no list of strings".into()),
        _ => None,
    })
}

fn is_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|list| list.iter().all(Value::is_string))
}

/// Checks the types of well-known claims of a token that was received.
pub(super) fn check_shapes(claims: &Claims) -> Result<()> {
    misshapen(claims).map_or(Ok(()), |why| Err(refused(why)))
}

/// The same for a token that is to be made, so that its own kind takes it, and that the required ones are there.
pub(super) fn check_given(claims: &Claims, required: &[&str]) -> Result<()> {
    if let Some(name) = required.iter().find(|name| !claims.contains_key(**name)) {
        return Err(usage(format!("the claim \"{name}\" is missing")));
    }
    if text(claims, "jti") == Some("") {
        return Err(usage("jti is empty"));
    }
    date(claims, "nbf").map_err(|error| usage(error.message()))?;
    misshapen(claims).map_or(Ok(()), |why| Err(usage(why)))
}

/// A string claim.
pub(super) fn text<'c>(claims: &'c Claims, name: &str) -> Option<&'c str> {
    claims.get(name).and_then(Value::as_str)
}

/// The audiences of a token whose `aud` was found to be a string or a list of strings.
pub(super) fn audiences(aud: Option<&Value>) -> impl Iterator<Item = &str> + Clone {
    let (one, many) = match aud {
        Some(Value::Array(many)) => (None, many.as_slice()),
        one => (one, &[][..]),
    };
    one.into_iter().chain(many).filter_map(Value::as_str)
}

/// Refuses a token whose `exp` is further ahead than this, or that says it was made longer ago.
pub(super) fn check_lifetime(claims: &Claims, now: SystemTime, most: Duration) -> Result<()> {
    let time = |name| date(claims, name).map_err(refused_by);
    let now = Duration::from_secs(to_unix(now)).as_secs_f64();
    let most = most.as_secs_f64();
    if time("exp")?.is_none_or(|exp| exp > now + most) {
        return Err(refused("exp is too far ahead"));
    }
    if time("iat")?.is_some_and(|iat| iat + most < now) {
        return Err(refused("the token was made too long ago"));
    }
    Ok(())
}

/// A `sub` of OpenID Connect: 1 to 255 ASCII characters (OpenID Connect Core §2).
pub(super) fn is_subject(sub: Option<&str>) -> bool {
    sub.is_some_and(|sub| (1..=255).contains(&sub.len()) && sub.is_ascii())
}

/// Whether a token may come without a typ of its own: none, or `JWT`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum Untyped {
    /// It is taken for what was expected.
    Accepted,
    /// It is refused.
    #[default]
    Refused,
}
