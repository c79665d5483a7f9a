//! The claims of a token that is made: those that are set here, then those of the caller, written once.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use zeroize::Zeroizing;

use super::Now;
use super::rules::{Claims, usage};
use crate::clock::to_unix;
use crate::error::Result;
use crate::profiles::claims::{generate_id, require_shallow};
use crate::profiles::members::Members;
use crate::profiles::times::NEVER;

/// Claims as they are signed.
pub(super) struct Payload {
    pub(super) json: Zeroizing<Vec<u8>>,
    /// Their `exp`: for as long the keys that made the token must stay.
    pub(super) expires: Option<u64>,
}

/// Claims that are being written. The caller's must hold none of those that are set.
pub(super) struct Draft<'c> {
    members: Members,
    given: &'c Claims,
    expires: Option<u64>,
}

impl<'c> Draft<'c> {
    /// Nothing but the caller's claims so far, which must not nest deeper than tokens are read.
    pub(super) fn of(now: &Now<'_>, given: &'c Claims) -> Result<Self> {
        require_shallow(given, now.claim_rules().max_json_depth)?;
        Ok(Self::before(given))
    }

    fn before(given: &'c Claims) -> Self {
        Self { members: Members::before(given), given, expires: None }
    }

    /// Sets a claim.
    pub(super) fn set(&mut self, name: &str, value: &impl Serialize) -> Result<()> {
        self.members.add(name, value)
    }

    /// Sets a claim that is a text.
    pub(super) fn set_text(&mut self, name: &str, value: &str) -> Result<()> {
        self.members.add_text(name, value)
    }

    /// Sets `aud`: one string, or a list of several.
    pub(super) fn set_audience(&mut self, audiences: &[&str]) -> Result<()> {
        match audiences {
            [one] => self.set_text("aud", one),
            many => self.set("aud", &many),
        }
    }

    /// Sets `iat` and `exp`.
    pub(super) fn set_times(&mut self, now: SystemTime, lifetime: Duration) -> Result<()> {
        let iat = to_unix(now);
        let exp = iat.checked_add(lifetime.as_secs()).filter(|exp| (iat + 1..NEVER).contains(exp));
        let text = "a lifetime is at least one second, and ends before the year 9999";
        let exp = exp.ok_or_else(|| usage(text))?;
        self.set("iat", &iat)?;
        self.set("exp", &exp)?;
        self.expires = Some(exp);
        Ok(())
    }

    /// Draws a `jti` of 128 bits unless the caller gave one.
    pub(super) fn set_jti(&mut self) -> Result<()> {
        if self.given.contains_key("jti") { Ok(()) } else { self.set_text("jti", &generate_id()?) }
    }

    /// The claims, those of the caller at the end.
    pub(super) fn finish(self) -> Result<Payload> {
        Ok(Payload { json: self.members.finish(self.given)?, expires: self.expires })
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn claims_are_written_in_their_order() {
        let given = json!({ "sub": "a\"b", "roles": ["x", { "y": null }] });
        let mut draft = Draft::before(given.as_object().unwrap());
        draft.set_text("iss", "https://op.example").unwrap();
        draft.set_audience(&["shop", "api"]).unwrap();
        draft.set_times(UNIX_EPOCH + Duration::from_secs(10), Duration::from_secs(5)).unwrap();
        draft.set_jti().unwrap();
        let Payload { json: text, expires } = draft.finish().unwrap();
        assert!(text.starts_with(
            br#"{"iss":"https://op.example","aud":["shop","api"],"iat":10,"exp":15,"jti":""#
        ));
        let mut read: Value = serde_json::from_slice(&text).unwrap();
        let jti = read.as_object_mut().unwrap().remove("jti").unwrap();
        assert_eq!((expires, jti.as_str().unwrap().len()), (Some(15), 22));
        let whole = json!({
            "iss": "https://op.example", "aud": ["shop", "api"], "iat": 10, "exp": 15, "sub": "a\"b",
            "roles": ["x", { "y": null }],
        });
        assert_eq!(read, whole);
        let own = json!({ "jti": "1" });
        let mut draft = Draft::before(own.as_object().unwrap());
        draft.set_audience(&["shop"]).unwrap();
        draft.set_jti().unwrap();
        let Payload { json: text, expires } = draft.finish().unwrap();
        assert_eq!((&text[..], expires), (&br#"{"aud":"shop","jti":"1"}"#[..], None));
    }

    #[test]
    fn a_lifetime_must_end_and_last() {
        let now = UNIX_EPOCH + Duration::from_secs(10);
        for (lifetime, holds) in
            [(Duration::from_secs(1), true), (Duration::ZERO, false), (Duration::MAX, false)]
        {
            let given = Claims::new();
            assert_eq!(
                Draft::before(&given).set_times(now, lifetime).is_ok(),
                holds,
                "{lifetime:?}"
            );
        }
    }
}
