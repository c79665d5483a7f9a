//! The claims that a profile adds to those of the caller, and takes off again: `jti`, times, `realm`, `iss`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::members::Members;
use super::{Times, refused};
use crate::crypto::random;
use crate::error::{Error, ErrorKind, Result};
use crate::json;

/// The claims that a caller does not set.
pub(super) const RESERVED: [&str; 8] = ["jti", "iat", "exp", "idle", "seen", "realm", "iss", "nbf"];

/// The longest id that is looked for in a denylist.
const MAX_ID_BYTES: usize = 256;

/// What a profile says of a token: who it is, when it lives, and whose it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Head {
    /// `jti`; tokens that never end have none.
    pub(super) id: Option<String>,
    pub(super) times: Option<Times>,
    /// The realm that it was made in.
    pub(super) realm: Option<String>,
    /// The deployment that it was made by.
    pub(super) issuer: Option<String>,
    /// The identifier of the node that it is for, where a profile has them: then `aud` is no claim of the caller.
    pub(super) audience: Option<String>,
}

/// An id that nobody guesses: 128 random bits.
pub(super) fn generate_id() -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(random::bytes::<16>()?))
}

/// The payload: what the profile says, then the claims of the caller.
///
/// # Errors
/// [`ErrorKind::Usage`] for a claim that the profile sets itself, and for what nobody could read again: objects
/// and lists deeper than `max_depth`.
pub(super) fn write(
    head: &Head,
    claims: &Map<String, Value>,
    reserved: &[&str],
    max_depth: usize,
) -> Result<Zeroizing<Vec<u8>>> {
    let set_here = claims.keys().any(|name| reserved.contains(&name.as_str()));
    if set_here && let Some(name) = reserved.iter().find(|name| claims.contains_key(**name)) {
        let text = format!("the claim \"{name}\" is set by the profile");
        return Err(
            Error::new(ErrorKind::Usage, text).with_help("take it out, or call it something else")
        );
    }
    require_shallow(claims, max_depth)?;
    let mut out = Members::before(claims);
    if let Some(id) = &head.id {
        out.add_text("jti", id)?;
    }
    if let Some(times) = &head.times {
        out.add("iat", &times.issued)?;
        out.add("exp", &times.expires)?;
        if let Some(idle) = times.idle {
            out.add("idle", &idle)?;
            out.add("seen", &times.seen)?;
        }
    }
    if let Some(realm) = &head.realm {
        out.add_text("realm", realm)?;
    }
    if let Some(issuer) = &head.issuer {
        out.add_text("iss", issuer)?;
    }
    if let Some(audience) = &head.audience {
        out.add_text("aud", audience)?;
    }
    out.finish(claims)
}

/// Takes the payload apart: what the profile says, and the claims of the caller.
///
/// # Errors
/// [`ErrorKind::TokenRefused`].
pub(super) fn read(payload: &[u8], lives: bool, max_depth: usize) -> Result<(Head, Claims)> {
    let (own, claims) = json::parse_strict_apart(payload, max_depth, &RESERVED)
        .map(|(own, others)| (Own(own), Claims(others)))
        .map_err(|error| refused(format!("the payload is no JSON object: {}", error.message())))?;
    let mut own = own;
    let times = if lives { Some(Times::of(|name| own.get(name))?) } else { None };
    let id = own.take_text("jti")?;
    match &id {
        None if lives => return Err(refused("jti is missing")),
        Some(id) if id.is_empty() || id.len() > MAX_ID_BYTES => {
            return Err(refused("jti is empty, or longer than any"));
        }
        _ => {}
    }
    if own.get("nbf").is_some() {
        return Err(refused("nbf is not a claim of this profile"));
    }
    let (realm, issuer) = (own.take_text("realm")?, own.take_text("iss")?);
    Ok((Head { id, times, realm, issuer, audience: None }, claims))
}

/// The claims of a token that are the profile's own, in the order of [`RESERVED`]; their texts are wiped when they go.
struct Own([Option<Value>; RESERVED.len()]);

impl Own {
    fn get(&self, name: &str) -> Option<&Value> {
        let index = RESERVED.iter().position(|known| *known == name)?;
        self.0.get(index)?.as_ref()
    }

    /// Takes a claim that must be a string if it is there.
    fn take_text(&mut self, name: &'static str) -> Result<Option<String>> {
        let index = RESERVED.iter().position(|known| *known == name);
        text_of(index.and_then(|index| self.0.get_mut(index)?.as_mut()), name)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.0.iter_mut().flatten().for_each(json::wipe);
    }
}

fn text_of(value: Option<&mut Value>, name: &'static str) -> Result<Option<String>> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(std::mem::take(text))),
        Some(_) => Err(refused(format!("{name} is not a string"))),
    }
}

/// Claims of a token that was opened: their texts are wiped when they go.
pub(super) struct Claims(pub(super) Map<String, Value>);

impl Claims {
    /// Takes a claim that must be a string if it is there; its name stays.
    pub(super) fn take_text(&mut self, name: &'static str) -> Result<Option<String>> {
        text_of(self.0.get_mut(name), name)
    }

    /// Leaves the claims of the caller, in their order.
    pub(super) fn keep_others(&mut self, ours: &[&str]) {
        self.0.retain(|name, _| !ours.contains(&name.as_str()));
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.0.values_mut().for_each(json::wipe);
    }
}

/// Refuses claims that nobody reads again.
///
/// # Errors
/// [`ErrorKind::Usage`].
pub(super) fn require_shallow(claims: &Map<String, Value>, max_depth: usize) -> Result<()> {
    if claims.values().all(|value| is_shallow(value, max_depth.saturating_sub(1))) {
        return Ok(());
    }
    let text = "the claims nest deeper than tokens are read";
    Err(Error::new(ErrorKind::Usage, text)
        .with_help("nest less, or raise max_json_depth in [policy.limits]"))
}

fn is_shallow(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|one| is_shallow(one, depth - 1)),
        Value::Object(members) => {
            depth > 0 && members.values().all(|one| is_shallow(one, depth - 1))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn head() -> Head {
        let times = Times { issued: 1, expires: 9, idle: Some(3), seen: 2 };
        Head {
            id: Some("id".into()),
            times: Some(times),
            realm: Some("alpha".into()),
            issuer: Some("https://a".into()),
            audience: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let claims = json!({ "sub": "\"alice\"", "roles": ["a", { "b": null }] });
        let claims = claims.as_object().unwrap();
        let payload = write(&head(), claims, &RESERVED, 16).unwrap();
        let (read_head, read_claims) = read(&payload, true, 16).unwrap();
        assert_eq!((&read_head, &read_claims.0), (&head(), claims));
        let endless = Head { id: None, times: None, realm: None, issuer: None, audience: None };
        let empty = write(&endless, &Map::new(), &RESERVED, 16).unwrap();
        assert_eq!(&**empty, b"{}");
        assert_eq!(read(&empty, false, 16).unwrap().0, endless);
        assert!(read(&empty, true, 16).is_err());
    }

    #[test]
    fn claims_of_the_profile_and_what_cannot_be_read_again_are_refused() {
        for name in RESERVED {
            let claims = Map::from_iter([(name.to_owned(), json!(1))]);
            assert_eq!(
                write(&head(), &claims, &RESERVED, 16).unwrap_err().kind(),
                ErrorKind::Usage,
                "{name}"
            );
        }
        let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        for (depth, fits) in [(3, true), (4, false)] {
            let claims = Map::from_iter([("a".to_owned(), nested(depth))]);
            let written = write(&head(), &claims, &RESERVED, 4);
            assert_eq!(written.is_ok(), fits, "{depth}");
            if let Ok(payload) = written {
                assert!(read(&payload, true, 4).is_ok());
            }
        }
    }
}
