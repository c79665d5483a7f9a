//! Public JSON Web Keys and sets of a label (RFC 7517, RFC 7518 §6, RFC 8037); private members never.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{decode, encode};
use crate::alg::Curve;
use crate::catalogue::LabelUse;
use crate::crypto::{PublicParameters, sha1, sha256};
use crate::ops::{KeySet, LabelKey};

/// The public members of a key: `kty`, `crv`, `x`, `y`, `n`, `e`.
pub(super) fn members(public: &PublicParameters) -> Map<String, Value> {
    let value = match public {
        PublicParameters::Ec { curve, x, y } => {
            json!({ "kty": "EC", "crv": curve.name(), "x": encode(x), "y": encode(y) })
        }
        PublicParameters::Okp { curve, x } => {
            json!({ "kty": "OKP", "crv": curve.name(), "x": encode(x) })
        }
        PublicParameters::Rsa { n, e } => json!({ "kty": "RSA", "n": encode(n), "e": encode(e) }),
    };
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// As [`members`], in JSON: an ephemeral key goes into every header. Names of curves and base64url need no
/// escapes.
pub(super) fn text(public: &PublicParameters) -> String {
    match public {
        PublicParameters::Ec { curve, x, y } => {
            let (crv, x, y) = (curve.name(), encode(x), encode(y));
            format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
        }
        PublicParameters::Okp { curve, x } => {
            format!(r#"{{"crv":"{}","kty":"OKP","x":"{}"}}"#, curve.name(), encode(x))
        }
        PublicParameters::Rsa { .. } => Value::Object(members(public)).to_string(),
    }
}

/// A public EC or OKP key from its members; coordinates of the full length only (RFC 7518 §6.2.1.2).
pub(super) fn public_from_members(members: &Map<String, Value>) -> Option<PublicParameters> {
    // An ephemeral key with a private half is somebody's mistake (attacks.md J24).
    if members.contains_key("d") {
        return None;
    }
    public_from(|name| members.get(name).and_then(Value::as_str))
}

/// As [`public_from_members`], from what `text` says of `kty`, `crv`, `x` and `y`.
pub(super) fn public_from<'t>(text: impl Fn(&str) -> Option<&'t str>) -> Option<PublicParameters> {
    let curve = Curve::from_name(text("crv")?)?;
    let coordinate = |name: &str| {
        let mut bytes = decode(text(name)?)?;
        // The first byte of a P-521 coordinate is 0 or 1, and Authlib leaves a 0 out; every other short
        // coordinate is refused.
        if curve == Curve::P521 && bytes.len() == 65 {
            bytes.insert(0, 0);
        }
        (bytes.len() == curve.coordinate_bytes()).then_some(bytes)
    };
    match (text("kty")?, curve.is_okp()) {
        ("EC", false) => {
            Some(PublicParameters::Ec { curve, x: coordinate("x")?, y: coordinate("y")? })
        }
        ("OKP", true) => Some(PublicParameters::Okp { curve, x: coordinate("x")? }),
        _ => None,
    }
}

/// The public JWK of one key of a label, with `kid`, `use` and its certificates; `None` for symmetric keys.
#[must_use]
pub fn public(set: &KeySet, key: &LabelKey) -> Option<Value> {
    let mut jwk = members(key.key.public_parameters()?);
    jwk.insert("kid".into(), key.kid.clone().into());
    jwk.insert("use".into(), usage(set).into());
    if let Some(leaf) = key.key.chain().first() {
        let chain: Vec<String> = key.key.chain().iter().map(|der| STANDARD.encode(der)).collect();
        jwk.insert("x5c".into(), chain.into());
        jwk.insert("x5t".into(), encode(&sha1(leaf)).into());
        jwk.insert("x5t#S256".into(), encode(&sha256(leaf)).into());
    }
    Some(Value::Object(jwk))
}

/// `use` of the keys of a label (RFC 7517 §4.2).
pub(super) fn usage(set: &KeySet) -> &'static str {
    let encrypts = |one: &LabelUse| matches!(one, LabelUse::Decrypt | LabelUse::Encrypt);
    if set.uses().iter().any(encrypts) { "enc" } else { "sig" }
}

/// When the certificate of a key ends, in RFC 3339; `None` without one.
#[must_use]
pub fn certificate_expiry(key: &LabelKey) -> Option<String> {
    let facts = crate::crypto::certificate::facts(key.key.chain().first()?).ok()?;
    OffsetDateTime::from_unix_timestamp(facts.not_after).ok()?.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alg::Curve;

    #[test]
    fn the_text_of_a_public_key_is_its_members() {
        let (x, y) = (vec![0xfb; 32], vec![0xff; 32]);
        for public in [
            PublicParameters::Ec { curve: Curve::P256, x: x.clone(), y: y.clone() },
            PublicParameters::Okp { curve: Curve::X25519, x },
            PublicParameters::Rsa { n: y, e: vec![1, 0, 1] },
        ] {
            let parsed: Value = serde_json::from_str(&text(&public)).unwrap();
            assert_eq!(parsed, Value::Object(members(&public)));
        }
    }
}
