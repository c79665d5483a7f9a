//! What the tokens of one kind have in common, whether `[sessions]` or a row of a table says it.

use std::time::SystemTime;

use serde_json::{Map, Value};

use super::claims::{self, Head};
use super::{
    Accepted, Denylist, Form, Parts, TimeRules, Times, Typ, open_asked, refused, seal_claims,
};
use crate::error::{Error, ErrorKind, Result};
use crate::label::Realm;
use crate::ops::{Asked, KeySet};

/// A kind of token that we make and open, in one realm, now.
pub(super) struct Kind<'k> {
    pub(super) typ: Typ,
    pub(super) zip: bool,
    /// `None`: it is kept, and never ends.
    pub(super) rules: Option<TimeRules>,
    pub(super) realm: Option<&'k Realm>,
    /// The deployment.
    pub(super) issuer: Option<&'k str>,
    pub(super) audience: Audience<'k>,
    pub(super) max_json_depth: usize,
    pub(super) now: SystemTime,
}

/// Whose claim `aud` is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Audience<'k> {
    /// The caller's.
    Free,
    /// The profile's: the identifier of a node, or of none.
    Node(Option<&'k str>),
}

/// A token and how many bytes of claims are in it.
pub(super) struct Made {
    pub(super) token: String,
    pub(super) claims_bytes: usize,
}

impl Kind<'_> {
    /// The head of a new token.
    pub(super) fn start(&self) -> Result<Head> {
        let times = self.rules.as_ref().map(|rules| Times::start(rules, self.now));
        let id = times.map(|_| claims::generate_id()).transpose()?;
        Ok(self.head(id, times))
    }

    /// The head of the same token, used now.
    pub(super) fn used(&self, head: &Head) -> Head {
        let times = head.times.zip(self.rules.as_ref());
        self.head(head.id.clone(), times.map(|(times, rules)| times.used(rules, self.now)))
    }

    fn head(&self, id: Option<String>, times: Option<Times>) -> Head {
        let realm = self.realm.map(ToString::to_string);
        let audience = match self.audience {
            Audience::Free => None,
            Audience::Node(identifier) => identifier.map(str::to_owned),
        };
        Head { id, times, realm, issuer: self.issuer.map(str::to_owned), audience }
    }

    pub(super) fn seal(
        &self,
        keys: &Parts<&KeySet>,
        head: &Head,
        claims: &Map<String, Value>,
    ) -> Result<Made> {
        if self.audience != Audience::Free && claims.contains_key("aud") {
            let text = "the claim \"aud\" is set by the profile: the identifier of the node";
            return Err(Error::new(ErrorKind::Usage, text));
        }
        let payload = claims::write(head, claims, &claims::RESERVED, self.max_json_depth)?;
        let expires = head.times.map(|times| times.expires);
        let token = seal_claims(&Form { typ: self.typ, zip: self.zip, expires }, keys, &payload)?;
        Ok(Made { token, claims_bytes: payload.len() })
    }

    /// Opens a token of this kind, realm and deployment, whatever its times are.
    pub(super) fn open(&self, keys: &Parts<Vec<Asked<'_>>>, token: &str) -> Result<Accepted> {
        let lives = self.rules.is_some();
        let (unsealed, (head, claims)) = open_asked(self.typ, keys, token, |payload| {
            let (mut head, mut claims) = claims::read(payload, lives, self.max_json_depth)?;
            if self.audience != Audience::Free {
                head.audience = claims.take_text("aud")?;
                claims.keep_others(&["aud"]);
            }
            self.check_whose(&head)?;
            Ok((head, claims))
        })?;
        Ok(Accepted::new(self.typ, head, claims, unsealed))
    }

    /// Whether a token is of this realm, deployment and node.
    fn check_whose(&self, head: &Head) -> Result<()> {
        if head.realm.as_deref() != self.realm.map(Realm::as_str) {
            return Err(refused("it is of another realm"));
        }
        if head.issuer.as_deref() != self.issuer {
            return Err(refused("it is of another deployment"));
        }
        match self.audience {
            Audience::Node(identifier) if head.audience.as_deref() != identifier => {
                Err(refused("it is for another node"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a token that was opened, if by another handle, is accepted now.
    pub(super) fn check(&self, token: &Accepted, denylist: Option<&dyn Denylist>) -> Result<()> {
        if token.typ() != self.typ {
            return Err(refused("it is of another typ"));
        }
        self.check_whose(token.head())?;
        if let Some(rules) = &self.rules {
            let times = token.times().ok_or_else(|| refused("it has no times"))?;
            times.check(rules, self.now)?;
        }
        check_denied(token, denylist)
    }
}

/// Whether somebody logged it out.
pub(super) fn check_denied(token: &Accepted, denylist: Option<&dyn Denylist>) -> Result<()> {
    match (denylist, token.id()) {
        (Some(list), Some(id)) if list.denies(id)? => Err(refused("it was logged out")),
        _ => Ok(()),
    }
}
