//! JWT claims of a token that verified (RFC 7519 §4.1); the time is the caller's.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::ops::KeySetPolicy;

/// What the claims must say. The default checks `exp`, `nbf` and `iat` where they are there.
#[derive(Clone, Debug)]
pub struct ClaimRules {
    /// `iss` must be this.
    pub issuer: Option<String>,
    /// `aud` must hold this.
    pub audience: Option<String>,
    /// Clocks may differ by this much.
    pub skew: Duration,
    /// Claims that must be there.
    pub required: Vec<Cow<'static, str>>,
    /// How deep objects and lists may nest: `policy.limits.max_json_depth`.
    pub max_json_depth: usize,
    /// Takes a token whose `exp` has passed, for those few uses that a specification allows it.
    pub accept_expired: bool,
}

impl Default for ClaimRules {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            skew: Duration::ZERO,
            required: Vec::new(),
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
pub fn check(payload: &[u8], rules: &ClaimRules, now: SystemTime) -> Result<Map<String, Value>> {
    let claims = json::parse_strict_object(payload, rules.max_json_depth)
        .map_err(|_| rejected("the payload is not a JSON object"))?;
    if let Some(missing) = rules.required.iter().find(|name| !claims.contains_key(&***name)) {
        return Err(rejected(&format!("the claim \"{}\" is missing", missing.escape_debug())));
    }
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let skew = rules.skew.as_secs_f64();
    let exp = date(&claims, "exp")?;
    if !rules.accept_expired && exp.is_some_and(|exp| now >= exp + skew) {
        return Err(rejected("the token has expired"));
    }
    if date(&claims, "nbf")?.is_some_and(|nbf| now + skew < nbf) {
        return Err(rejected("the token is not valid yet"));
    }
    if date(&claims, "iat")?.is_some_and(|iat| now + skew < iat) {
        return Err(rejected("the token was issued in the future"));
    }
    // RFC 7519 §4.1: these are strings, wherever they stand.
    if let Some(name) = ["iss", "sub", "jti"]
        .into_iter()
        .find(|name| claims.get(*name).is_some_and(|value| !value.is_string()))
    {
        return Err(rejected(&format!("{name} is not a string")));
    }
    if let Some(issuer) = &rules.issuer
        && claims.get("iss").and_then(Value::as_str) != Some(issuer)
    {
        return Err(rejected("the token is of another issuer"));
    }
    check_audience(&claims, rules)?;
    Ok(claims)
}

fn check_audience(claims: &Map<String, Value>, rules: &ClaimRules) -> Result<()> {
    let audiences: Vec<&str> = match claims.get("aud") {
        None => Vec::new(),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => {
            let texts: Option<Vec<&str>> = many.iter().map(Value::as_str).collect();
            texts.ok_or_else(|| rejected("aud is no string and no list of strings"))?
        }
        Some(_) => return Err(rejected("aud is no string and no list of strings")),
    };
    match &rules.audience {
        Some(expected) if !audiences.contains(&expected.as_str()) => {
            Err(rejected("the token is for another audience"))
        }
        _ => Ok(()),
    }
}

/// A NumericDate: any JSON number that is finite (RFC 7519 §2).
pub(crate) fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite());
    seconds.map(Some).ok_or_else(|| rejected(&format!("{name} is not a number")))
}

fn rejected(why: &str) -> Error {
    Error::new(ErrorKind::ClaimsRejected, why.to_owned())
}
