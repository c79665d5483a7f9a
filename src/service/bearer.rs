//! What stands behind `Authorization: Bearer` if it is no API key: a token whose signature and claims hold.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::identity::{self, Gate};
use super::slots::Slot;
use super::{Problem, Service};
use crate::access::{TokenKeys, TokenRule};
use crate::config::Policy;
use crate::error::{Error, ErrorKind, Result};
use crate::jose::claims::{self, ClaimRules};
use crate::jose::jws::{self, Verified, VerifyOptions};
use crate::json;
use crate::label::CallerName;
use crate::ops;

/// The caller that a token proves.
///
/// # Errors
/// 401 if it is of nobody, or of several; 503 if the keys of its issuer cannot be had, or all slots are taken once they
/// are there.
pub(super) async fn caller<'s>(
    gate: Gate<'s>,
    text: &str,
    slot: &mut Slot<'_>,
) -> Result<&'s CallerName, Problem> {
    let Gate { service, snapshot, .. } = gate;
    let config = snapshot.config();
    let named = Named::unverified(text, &config.policy).ok_or_else(Problem::unauthenticated)?;
    let rules = config.access.by_token(&named.issuer, &named.subject);
    let mut found = None;
    for (caller, rule) in rules.filter(|(_, rule)| named.audiences.contains(&rule.audience)) {
        let checked = match &rule.keys {
            TokenKeys::Label { label, realm } => ops::keys_of(snapshot, realm.as_ref(), label),
            TokenKeys::Url(url) => service.0.issuers.keys(gate, url, kid(text), slot).await?,
        }
        .and_then(|keys| jws::verify(&keys, text, &VerifyOptions::default()))
        .and_then(|verified| check(service, &config.policy, rule, &verified));
        match (checked, found) {
            (Ok(()), None) => found = Some(caller),
            (Ok(()), Some(_)) => return Err(identity::conflicting()),
            (Err(error), _) => {
                log::debug!("a token that names caller {caller} is refused: {error}")
            }
        }
    }
    found.ok_or_else(Problem::unauthenticated)
}

/// What a token says that nobody has checked: it only tells whose keys are to check it.
struct Named {
    issuer: String,
    subject: String,
    audiences: Vec<String>,
}

impl Named {
    fn unverified(text: &str, policy: &Policy) -> Option<Self> {
        let mut parts = text.split('.');
        let (Some(_), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let payload = Some(payload).filter(|_| text.len() <= policy.limits.max_token_bytes)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let claims = json::parse_strict_object(&payload, policy.limits.max_json_depth).ok()?;
        let audiences = match claims.get("aud")? {
            Value::String(one) => vec![one.clone()],
            Value::Array(many) => {
                many.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<_>>()?
            }
            _ => return None,
        };
        Some(Self {
            issuer: text_of(&claims, "iss")?,
            subject: text_of(&claims, "sub")?,
            audiences,
        })
    }
}

fn text_of(claims: &Map<String, Value>, name: &str) -> Option<String> {
    claims.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// The kid of a token that nobody has checked.
fn kid(text: &str) -> Option<String> {
    let header = text.split('.').next()?;
    let header: Map<String, Value> =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    text_of(&header, "kid")
}

/// What a token whose signature holds must say: what its caller's rule does, and that it is in time.
fn check(service: &Service, policy: &Policy, rule: &TokenRule, verified: &Verified) -> Result<()> {
    let rejected = |why: &str| Error::new(ErrorKind::ClaimsRejected, why.to_owned());
    // RFC 9068 §2.1; RFC 8725 §3.11: what is made for something else says so.
    if verified.has_typ() && !["at+jwt", "JWT"].iter().any(|typ| verified.is_of_type(typ)) {
        return Err(rejected("its typ says that it is for something else"));
    }
    let rules = ClaimRules {
        issuer: Some(rule.issuer.as_str()),
        audience: Some(rule.audience.as_str()),
        skew: policy.clock_skew,
        required: &["iss", "sub", "aud", "exp"],
        max_json_depth: policy.limits.max_json_depth,
        ..ClaimRules::default()
    };
    let claims = claims::check(&verified.payload, &rules, service.0.clock.now())?;
    if claims.get("sub").and_then(Value::as_str) == Some(rule.subject.as_str()) {
        Ok(())
    } else {
        Err(rejected("the token is of another subject"))
    }
}
