//! JOSE headers: parsed strictly, protected and unprotected members kept apart.

use serde_json::{Map, Value};

use crate::json;
use crate::ops::KeySet;

/// Header members that this program understands, which `crit` must therefore not name (RFC 7515 §4.1.11).
const REGISTERED: [&str; 18] = [
    "alg", "enc", "zip", "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty",
    "crit", "epk", "apu", "apv", "p2s", "p2c",
];

/// The joined header of a signature or recipient, and which of its members are protected.
#[derive(Clone, Debug, Default)]
pub(super) struct Header {
    pub(super) protected: Map<String, Value>,
    pub(super) all: Map<String, Value>,
}

pub(super) type Reason = &'static str;

/// Decodes a protected header: base64url of a JSON object, bounded.
pub(super) fn parse_protected(text: &str, set: &KeySet) -> Result<Map<String, Value>, Reason> {
    let limits = &set.policy().limits;
    if text.len() / 4 * 3 > limits.max_header_bytes {
        return Err("the header is larger than its bound");
    }
    let bytes = super::decode(text).ok_or("the protected header is not base64url")?;
    json::parse_strict_object(&bytes, limits.max_json_depth)
        .map_err(|_| "the protected header is not a JSON object")
}

impl Header {
    /// Joins the parts; no two may share a member (RFC 7515 §7.2.1).
    pub(super) fn join(
        protected: Map<String, Value>,
        unprotected: &[&Map<String, Value>],
    ) -> Result<Self, Reason> {
        let mut all = protected.clone();
        for part in unprotected {
            for (name, value) in *part {
                if all.insert(name.clone(), value.clone()).is_some() {
                    return Err("a header member stands in two places");
                }
            }
        }
        Ok(Self { protected, all })
    }

    /// A member that must be a string if it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Reason> {
        match self.all.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err("a header member is not a string"),
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
        let Some(crit) = self.all.get("crit") else { return Ok(false) };
        if !self.protected.contains_key("crit") {
            return Err("crit is not protected");
        }
        let names: Option<Vec<&str>> =
            crit.as_array().and_then(|array| array.iter().map(Value::as_str).collect());
        let names = names.filter(|names| !names.is_empty()).ok_or("crit is not a list of names")?;
        for (index, name) in names.iter().enumerate() {
            if names.iter().take(index).any(|other| other == name) {
                return Err("crit names a member twice");
            }
            if REGISTERED.contains(name) || !self.protected.contains_key(*name) {
                return Err("crit names a member that it must not name");
            }
            if *name != "b64" {
                return Err("crit names an extension that is not understood");
            }
        }
        Ok(true)
    }
}
