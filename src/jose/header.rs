//! JOSE headers: parsed strictly, protected and unprotected members kept apart.

use std::cell::RefCell;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::jwk;
use super::plain_header::PlainHeader;
use crate::crypto::PublicParameters;
use crate::json;
use crate::ops::KeySet;
use crate::recent::Recent;

/// Header members that this program understands, which `crit` must therefore not name (RFC 7515 §4.1.11).
const REGISTERED: [&str; 18] = [
    "alg", "enc", "zip", "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty",
    "crit", "epk", "apu", "apv", "p2s", "p2c",
];

pub(super) type Reason = &'static str;

/// The joined header of a signature or recipient.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a box would be one more allocation a token")]
pub(super) enum Header {
    /// All members, the names of those that are not protected, and how long the protected kid is as it is spelled.
    Full { all: Map<String, Value>, unprotected: Vec<String>, spelled_kid: usize },
    /// Protected strings, and an `epk` of strings; nothing else.
    Plain(PlainHeader),
    /// The same of a header that was read before.
    Known(Arc<PlainHeader>),
}

/// base64url, and what it says.
type KnownHeader = (Box<str>, Arc<PlainHeader>);

/// How many headers a thread knows, and how long each may be: a service verifies the tokens of few issuers, and all
/// tokens that an issuer signs with one key begin with the same header.
const MOST_KNOWN: usize = 4;
const KNOWN_BYTES: usize = 512;

thread_local! {
    /// The last plain headers of signatures that this thread read.
    static KNOWN: RefCell<Recent<KnownHeader, MOST_KNOWN>> = RefCell::default();
}

/// A header that this thread knows; a thread that ends knows none.
fn known(text: &str) -> Option<Arc<PlainHeader>> {
    let find = |known: &RefCell<Recent<KnownHeader, MOST_KNOWN>>| {
        let known = known.try_borrow().ok()?;
        known.iter().find(|(one, _)| **one == *text).map(|(_, header)| Arc::clone(header))
    };
    KNOWN.try_with(find).ok().flatten()
}

fn keep_known(text: &str, header: &Arc<PlainHeader>) {
    let keep = |known: &RefCell<Recent<KnownHeader, MOST_KNOWN>>| {
        if let Ok(mut known) = known.try_borrow_mut() {
            known.keep((text.into(), Arc::clone(header)));
        }
    };
    // A thread that ends keeps nothing.
    let _ = KNOWN.try_with(keep);
}

impl Header {
    /// Decodes a protected header: base64url of a JSON object, bounded.
    pub(super) fn protected(text: &str, set: &KeySet) -> Result<Self, Reason> {
        let limits = &set.policy().limits;
        if !is_bounded(text, set) {
            return Err("the header is larger than its bound");
        }
        let bytes = super::decode(text).ok_or("the protected header is not base64url")?;
        let bytes = match PlainHeader::parse(bytes, limits.max_json_depth) {
            Ok(plain) => return Ok(Self::Plain(plain)),
            Err(bytes) => bytes,
        };
        json::parse_strict_object(&bytes, limits.max_json_depth)
            .map(|all| Self::Full {
                all,
                unprotected: Vec::new(),
                spelled_kid: spelled_kid(&bytes),
            })
            .map_err(|_| "the protected header is not a JSON object")
    }

    /// As [`Header::protected`], of a signature: its header is likely to be that of an earlier one, which is not read
    /// again.
    pub(super) fn of_signature(text: &str, set: &KeySet) -> Result<Self, Reason> {
        let max_depth = set.policy().limits.max_json_depth;
        let fits = |one: &Arc<PlainHeader>| is_bounded(text, set) && one.depth() <= max_depth;
        if let Some(known) = known(text).filter(fits) {
            return Ok(Self::Known(known));
        }
        let header = Self::protected(text, set)?;
        let Self::Plain(plain) = header else { return Ok(header) };
        if text.len() > KNOWN_BYTES {
            return Ok(Self::Plain(plain));
        }
        let plain = Arc::new(plain);
        keep_known(text, &plain);
        Ok(Self::Known(plain))
    }

    /// A header of plain strings, or all members of any other.
    fn content(&self) -> Result<&PlainHeader, &Map<String, Value>> {
        match self {
            Self::Plain(plain) => Ok(plain),
            Self::Known(plain) => Ok(plain),
            Self::Full { all, .. } => Err(all),
        }
    }

    /// No protected header.
    pub(super) fn empty() -> Self {
        Self::Full { all: Map::new(), unprotected: Vec::new(), spelled_kid: 0 }
    }

    /// Adds unprotected parts; no two may share a member (RFC 7515 §7.2.1, RFC 7516 §7.2.1).
    pub(super) fn join(self, parts: &[&Map<String, Value>]) -> Result<Self, Reason> {
        if parts.iter().all(|part| part.is_empty()) {
            return Ok(self);
        }
        let mut all = self.members();
        let spelled_kid = match &self {
            Self::Full { spelled_kid, .. } => *spelled_kid,
            Self::Plain(_) | Self::Known(_) => 0,
        };
        let mut unprotected = Vec::new();
        for (name, value) in parts.iter().flat_map(|part| part.iter()) {
            if all.insert(name.clone(), value.clone()).is_some() {
                return Err("a header member stands in two places");
            }
            unprotected.push(name.clone());
        }
        Ok(Self::Full { all, unprotected, spelled_kid })
    }

    /// All members.
    pub(super) fn members(&self) -> Map<String, Value> {
        match self.content() {
            Err(all) => all.clone(),
            // It was accepted by the stricter reader.
            Ok(plain) => json::parse_strict_object(plain.json(), plain.depth()).unwrap_or_default(),
        }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        match self.content() {
            Err(all) => all.contains_key(name),
            Ok(plain) => plain.contains(name),
        }
    }

    pub(super) fn is_protected(&self, name: &str) -> bool {
        match self {
            Self::Full { all, unprotected, .. } => {
                all.contains_key(name) && !unprotected.iter().any(|one| one == name)
            }
            Self::Plain(_) | Self::Known(_) => self.contains(name),
        }
    }

    /// A member of another type than string; `None` for all of plain headers.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.content().err()?.get(name)
    }

    /// A member that must be a string if it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Reason> {
        match self.content() {
            Ok(plain) => Ok(plain.text(name)),
            Err(all) => match all.get(name) {
                None => Ok(None),
                Some(Value::String(text)) => Ok(Some(text)),
                Some(_) => Err("a header member is not a string"),
            },
        }
    }

    /// `typ`; one that is not protected is none: whoever has a token of another kind may add it (RFC 8725 §3.11).
    pub(super) fn typ(&self) -> Result<Option<&str>, Reason> {
        if self.is_protected("typ") { self.text("typ") } else { Ok(None) }
    }

    /// The sender's public key of ECDH-ES (RFC 7518 §4.6.1.1).
    pub(super) fn ephemeral_key(&self) -> Result<Option<PublicParameters>, Reason> {
        let found = match self.content() {
            Ok(plain) if !plain.has_ephemeral() => return Ok(None),
            Ok(plain) => jwk::public_from(|name| plain.ephemeral(name)),
            Err(all) => match all.get("epk") {
                None => return Ok(None),
                Some(value) => {
                    let members = value.as_object().ok_or("epk is not an object")?;
                    jwk::public_from_members(members)
                }
            },
        };
        found.map(Some).ok_or("epk is no public key")
    }

    /// The kid; a longer one than `max_kid_bytes` only if it names a key. It counts as it is spelled: every key that is
    /// tried goes over the header, escapes and all.
    pub(super) fn kid(&self, set: &KeySet) -> Result<Option<&str>, Reason> {
        let kid = self.text("kid")?;
        match (self, kid) {
            (Self::Full { spelled_kid, .. }, Some(kid))
                if *spelled_kid > set.policy().limits.max_kid_bytes && set.named(kid).is_none() =>
            {
                Err("a kid that names no key is longer than its bound")
            }
            _ => Ok(kid),
        }
    }

    /// A string member that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Reason> {
        self.text(name)?.ok_or("a required header member is missing")
    }

    /// A base64url member.
    pub(super) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, Reason> {
        let text = self.text(name)?;
        text.map(|text| super::decode(text).ok_or("a header member is not base64url")).transpose()
    }

    /// Checks `crit` and answers whether it names `b64` (RFC 7515 §4.1.11, RFC 7797 §6; attacks.md J11).
    pub(super) fn critical_b64(&self) -> Result<bool, Reason> {
        let Some(crit) = self.value("crit") else { return Ok(false) };
        if !self.is_protected("crit") {
            return Err("crit is not protected");
        }
        let names: Option<Vec<&str>> =
            crit.as_array().and_then(|array| array.iter().map(Value::as_str).collect());
        let names = names.filter(|names| !names.is_empty()).ok_or("crit is not a list of names")?;
        for (index, name) in names.iter().enumerate() {
            if names.iter().take(index).any(|other| other == name) {
                return Err("crit names a member twice");
            }
            if REGISTERED.contains(name) || !self.is_protected(name) {
                return Err("crit names a member that it must not name");
            }
            if *name != "b64" {
                return Err("crit names an extension that is not understood");
            }
        }
        Ok(true)
    }
}

/// Whether a header, in base64url, is no larger than the set allows.
fn is_bounded(text: &str, set: &KeySet) -> bool {
    text.len() / 4 * 3 <= set.policy().limits.max_header_bytes
}

/// The member that keys are chosen by, as the text has it.
#[derive(Deserialize)]
struct Spelled<'t> {
    #[serde(borrow)]
    kid: Option<&'t RawValue>,
}

/// How long the kid is as a header spells it, if anything of the header is escaped; else 0: it is as long as
/// it is.
fn spelled_kid(json: &[u8]) -> usize {
    if memchr::memchr(b'\\', json).is_none() {
        return 0;
    }
    let kid = serde_json::from_slice::<Spelled<'_>>(json).ok().and_then(|header| header.kid);
    kid.map_or(0, |kid| kid.get().len().saturating_sub(2))
}
