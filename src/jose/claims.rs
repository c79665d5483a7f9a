//! JWT claims of a token that verified (RFC 7519 §4.1); the time is the caller's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::ops::KeySetPolicy;

/// What the claims must say. The default checks `exp`, `nbf` and `iat` where they are there.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRules<'a> {
    /// `iss` must be this.
    pub issuer: Option<&'a str>,
    /// `aud` must hold this.
    pub audience: Option<&'a str>,
    /// Clocks may differ by this much.
    pub skew: Duration,
    /// Claims that must be there.
    pub required: &'a [&'a str],
    /// How deep objects and lists may nest: `policy.limits.max_json_depth`.
    pub max_json_depth: usize,
    /// Takes a token whose `exp` has passed, for those few uses that a specification allows it.
    pub accept_expired: bool,
}

impl Default for ClaimRules<'_> {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            skew: Duration::ZERO,
            required: &[],
            max_json_depth: KeySetPolicy::default().limits.max_json_depth,
            accept_expired: false,
        }
    }
}

/// Checks the claims in `payload` against `rules` at `now`. Without rules `exp` may be absent and `aud` may
/// name anybody: a caller who needs them says so in `required` and `audience`.
///
/// # Errors
/// [`ErrorKind::ClaimsRejected`] naming the claim, never its value. A claim of a wrong type counts as
/// failed, not as absent (CVE-2026-25537).
pub fn check(
    payload: &[u8],
    rules: &ClaimRules<'_>,
    now: SystemTime,
) -> Result<Map<String, Value>> {
    let claims = json::parse_strict_object(payload, rules.max_json_depth)
        .map_err(|_| rejected("the payload is not a JSON object"))?;
    let known = Registered::of(&claims);
    if let Some(missing) = rules.required.iter().find(|name| !known.has(name, &claims)) {
        return Err(rejected(&format!("the claim \"{}\" is missing", missing.escape_debug())));
    }
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let skew = rules.skew.as_secs_f64();
    let exp = known.exp.map(|value| seconds(value, "exp")).transpose()?;
    if !rules.accept_expired && exp.is_some_and(|exp| now >= exp + skew) {
        return Err(rejected("the token has expired"));
    }
    let nbf = known.nbf.map(|value| seconds(value, "nbf")).transpose()?;
    if nbf.is_some_and(|nbf| now + skew < nbf) {
        return Err(rejected("the token is not valid yet"));
    }
    let iat = known.iat.map(|value| seconds(value, "iat")).transpose()?;
    if iat.is_some_and(|iat| now + skew < iat) {
        return Err(rejected("the token was issued in the future"));
    }
    // RFC 7519 §4.1: these are strings, wherever they stand.
    let texts = [("iss", known.iss), ("sub", known.sub), ("jti", known.jti)];
    let wrong = |value: Option<&Value>| value.is_some_and(|value| !value.is_string());
    if let Some((name, _)) = texts.into_iter().find(|(_, value)| wrong(*value)) {
        return Err(rejected(&format!("{name} is not a string")));
    }
    if rules.issuer.is_some() && known.iss.and_then(Value::as_str) != rules.issuer {
        return Err(rejected("the token is of another issuer"));
    }
    check_audience(known.aud, rules)?;
    Ok(claims)
}

/// The claims that RFC 7519 §4.1 registers, found in one pass: a look-up of each in the map costs more.
#[derive(Default)]
struct Registered<'c> {
    aud: Option<&'c Value>,
    exp: Option<&'c Value>,
    iat: Option<&'c Value>,
    iss: Option<&'c Value>,
    jti: Option<&'c Value>,
    nbf: Option<&'c Value>,
    sub: Option<&'c Value>,
}

impl<'c> Registered<'c> {
    fn of(claims: &'c Map<String, Value>) -> Self {
        let mut known = Self::default();
        for (name, value) in claims {
            let place = match name.as_str() {
                "aud" => &mut known.aud,
                "exp" => &mut known.exp,
                "iat" => &mut known.iat,
                "iss" => &mut known.iss,
                "jti" => &mut known.jti,
                "nbf" => &mut known.nbf,
                "sub" => &mut known.sub,
                _ => continue,
            };
            *place = Some(value);
        }
        known
    }

    fn has(&self, name: &str, all: &Map<String, Value>) -> bool {
        match name {
            "aud" => self.aud.is_some(),
            "exp" => self.exp.is_some(),
            "iat" => self.iat.is_some(),
            "iss" => self.iss.is_some(),
            "jti" => self.jti.is_some(),
            "nbf" => self.nbf.is_some(),
            "sub" => self.sub.is_some(),
            other => all.contains_key(other),
        }
    }
}

fn check_audience(found: Option<&Value>, rules: &ClaimRules<'_>) -> Result<()> {
    let is_expected = |one: &str| rules.audience.is_none_or(|expected| one == expected);
    let holds = match found {
        None => rules.audience.is_none(),
        Some(Value::String(one)) => is_expected(one),
        Some(Value::Array(many)) if many.iter().all(Value::is_string) => {
            rules.audience.is_none() || many.iter().filter_map(Value::as_str).any(is_expected)
        }
        Some(_) => return Err(rejected("aud is no string and no list of strings")),
    };
    if holds { Ok(()) } else { Err(rejected("the token is for another audience")) }
}

/// A NumericDate: any JSON number that is finite (RFC 7519 §2).
pub(crate) fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>> {
    claims.get(name).map(|value| seconds(value, name)).transpose()
}

fn seconds(value: &Value, name: &str) -> Result<f64> {
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite());
    seconds.ok_or_else(|| rejected(&format!("{name} is not a number")))
}

fn rejected(why: &str) -> Error {
    Error::new(ErrorKind::ClaimsRejected, why.to_owned())
}
