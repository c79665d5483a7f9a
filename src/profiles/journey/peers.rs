//! Tokens that a peer makes or opens: its keys, and what it is called.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Between, Profile, Tokens};
use crate::error::{Error, ErrorKind, Result};
use crate::jose::claims::{self as jwt, ClaimRules};
use crate::ops::{Asked, KeySet};
use crate::profiles::claims::{self, Claims, Head};
use crate::profiles::kind::Kind;
use crate::profiles::{Accepted, Form, Parts, Times, open_asked, refused_by};

/// Who made a token of a peer, and for whom.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the two claims that say it")]
pub struct Expected {
    /// `iss`.
    pub issuer: String,
    /// `aud` holds this.
    pub audience: String,
}

/// The claims that a caller does not set: `iss` is not among them, nor `aud`.
const RESERVED: [&str; 4] = ["jti", "iat", "exp", "nbf"];

impl Tokens {
    /// The same with the keys of a peer: what is made is encrypted to them, what is opened is verified with
    /// them. Without any the labels of the profile stand for both sides.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a profile without peers.
    pub fn with_peer(mut self, keys: Arc<KeySet>) -> Result<Self> {
        self.require_peers()?;
        self.peer = Some(keys);
        Ok(self)
    }

    /// The keys of the peer, if they were given.
    #[must_use]
    pub const fn peer(&self) -> Option<&Arc<KeySet>> {
        self.peer.as_ref()
    }

    /// The same, accepting tokens of this issuer for this audience.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a profile without peers.
    pub fn expecting(mut self, expected: Expected) -> Result<Self> {
        self.require_peers()?;
        self.expected = Some(expected);
        Ok(self)
    }

    /// That the profile has a peer.
    pub(crate) fn require_peers(&self) -> Result<()> {
        if self.profile.between == Between::Peers {
            return Ok(());
        }
        let text =
            format!("nobody else makes or opens tokens of profile \"{}\"", self.profile.name);
        Err(Error::new(ErrorKind::Usage, text).with_help("leave out what is said of a peer"))
    }
}

pub(super) fn seal(
    kind: &Kind<'_>,
    keys: &Parts<&KeySet>,
    claims: &Map<String, Value>,
) -> Result<String> {
    let head = kind.start()?;
    let payload = claims::write(&head, claims, &RESERVED, kind.max_json_depth)?;
    let expires = head.times.map(|times| times.expires);
    super::super::seal_claims(&Form { typ: kind.typ, zip: kind.zip, expires }, keys, &payload)
}

pub(super) fn open(
    kind: &Kind<'_>,
    keys: &Parts<Vec<Asked<'_>>>,
    token: &str,
    profile: &Profile,
    expected: Option<&Expected>,
) -> Result<Accepted> {
    let expected = expected.ok_or_else(|| {
        let text = format!("nobody said who makes tokens of profile \"{}\"", profile.name);
        Error::new(ErrorKind::Usage, text).with_help("name the issuer and the audience")
    })?;
    let rules = ClaimRules {
        issuer: Some(expected.issuer.as_str()),
        audience: Some(expected.audience.as_str()),
        skew: kind.rules.map(|rules| rules.skew).unwrap_or_default(),
        max_json_depth: kind.max_json_depth,
        ..ClaimRules::default()
    };
    let (unsealed, claims) = open_asked(kind.typ, keys, token, |payload| {
        jwt::check(payload, &rules, kind.now).map_err(refused_by)
    })?;
    let mut claims = Claims(claims);
    let times = Times::read(&claims.0)?;
    if let Some(rules) = &kind.rules {
        times.check(rules, kind.now)?;
    }
    let id = claims.take_text("jti")?;
    claims.keep_others(&RESERVED);
    let head = Head { id, times: Some(times), realm: None, issuer: None, audience: None };
    Ok(Accepted::new(kind.typ, head, claims, unsealed))
}
