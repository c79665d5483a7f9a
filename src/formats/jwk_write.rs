//! Writes entries as JSON Web Keys: from PKCS#8 and SubjectPublicKeyInfo to RFC 7518 §6 members.

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::json::wipe;
use crate::secret::{SecretBytes, SecretString};

use super::der::{EC, RSA, certificate, elements, parts};
use super::jwk::PRIVATE_RSA;
use super::public_half::{
    ED448, ED25519, P256, P384, P521, SECP256K1, X448, X25519, inner, public_half,
};
use super::{Entry, Material};

type Members = Map<String, Value>;

/// One entry as a JWK; `public_only` leaves the private members out.
///
/// # Errors
/// [`ErrorKind::Usage`] for a symmetric key or password where only the public part is asked for;
/// [`ErrorKind::Unsupported`] for a key type that JWK does not have.
pub fn write(entry: &Entry, public_only: bool) -> Result<SecretString> {
    text(Value::Object(members(entry, public_only)?))
}

/// Entries as a JWK set.
///
/// # Errors
/// As [`write()`].
pub fn write_set(entries: &[Entry], public_only: bool) -> Result<SecretString> {
    let mut keys = Vec::new();
    for entry in entries {
        keys.push(Value::Object(members(entry, public_only)?));
    }
    text(json!({ "keys": keys }))
}

fn text(mut value: Value) -> Result<SecretString> {
    let text = written(&value);
    wipe(&mut value);
    text.ok_or_else(|| Error::new(ErrorKind::Bug, "JSON encoding failed"))
}

/// Measured before it is written: a text that grows leaves copies of the key behind.
fn written(value: &Value) -> Option<SecretString> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value).ok()?;
    let mut text = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *text, value).ok()?;
    SecretString::from_utf8(&SecretBytes::from_slice(&text))
}

/// Counts what is written.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn members(entry: &Entry, public_only: bool) -> Result<Members> {
    let mut members = Members::new();
    match &entry.material {
        Material::PrivateKey(key) => {
            // EXPOSE: the private members are written only where they were asked for.
            let pkcs8 = key.expose_secret();
            let spki = public_half(pkcs8).ok_or_else(unsupported)?;
            public(&mut members, &spki).ok_or_else(unsupported)?;
            if !public_only {
                private(&mut members, pkcs8).ok_or_else(unsupported)?;
            }
        }
        Material::PublicKey(spki) => public(&mut members, spki).ok_or_else(unsupported)?,
        Material::Certificate => {
            let leaf = entry.chain.first().and_then(|leaf| certificate(leaf));
            let leaf = leaf.ok_or_else(unsupported)?;
            public(&mut members, leaf.public_key().raw).ok_or_else(unsupported)?;
        }
        Material::Secret(_) | Material::SecretKey { .. } if public_only => {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("{:?} is a secret: it has no public part", entry.alias),
            ));
        }
        Material::Secret(bytes) | Material::SecretKey { bytes, .. } => {
            members.insert("kty".into(), "oct".into());
            // EXPOSE: export of the key was asked for.
            set(&mut members, "k", bytes.expose_secret());
        }
        Material::Unreadable(_) => {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("{:?} could not be read and cannot be written", entry.alias),
            ));
        }
    }
    add_hints(&mut members, entry, public_only);
    Ok(members)
}

fn add_hints(members: &mut Members, entry: &Entry, public_only: bool) {
    let hints = &entry.hints;
    for (name, value) in [("kid", &hints.kid), ("alg", &hints.alg), ("use", &hints.usage)] {
        if let Some(value) = value {
            members.insert(name.into(), value.as_str().into());
        }
    }
    let ops: Vec<Value> = hints
        .key_ops
        .iter()
        .filter_map(|op| match op.as_str() {
            // The other half of a key does the other half of the operation.
            "sign" if public_only => Some("verify"),
            "decrypt" if public_only => Some("encrypt"),
            "unwrapKey" if public_only => Some("wrapKey"),
            "deriveKey" | "deriveBits" if public_only => None,
            other => Some(other),
        })
        .fold(Vec::new(), |mut ops, op| {
            if !ops.contains(&Value::from(op)) {
                ops.push(Value::from(op));
            }
            ops
        });
    if !ops.is_empty() {
        members.insert("key_ops".into(), ops.into());
    }
    if !entry.chain.is_empty() {
        let chain: Vec<_> = entry.chain.iter().map(|der| Base64::encode_string(der)).collect();
        members.insert("x5c".into(), chain.into());
    }
}

fn public(members: &mut Members, spki: &[u8]) -> Option<()> {
    let outer = elements(spki)?;
    let algorithm = parts(outer.first()?.value())?;
    let oid = algorithm.first()?.decode_as().ok()?;
    let key = outer.get(1)?.value().strip_prefix(&[0])?;
    if oid == RSA {
        let numbers = elements(key)?;
        members.insert("kty".into(), "RSA".into());
        set(members, "n", super::der::magnitude(numbers.first()?.value())?);
        set(members, "e", super::der::magnitude(numbers.get(1)?.value())?);
    } else if oid == EC {
        let curve = algorithm.get(1)?.decode_as().ok()?;
        let known = [(P256, "P-256"), (P384, "P-384"), (P521, "P-521"), (SECP256K1, "secp256k1")];
        let (_, name) = known.iter().find(|(known, _)| *known == curve)?;
        let point = key.strip_prefix(&[4])?;
        let (x, y) = point.split_at_checked(point.len() / 2)?;
        members.insert("kty".into(), "EC".into());
        members.insert("crv".into(), (*name).into());
        set(members, "x", x);
        set(members, "y", y);
    } else {
        let known = [(ED25519, "Ed25519"), (ED448, "Ed448"), (X25519, "X25519"), (X448, "X448")];
        let (_, name) = known.iter().find(|(known, _)| *known == oid)?;
        members.insert("kty".into(), "OKP".into());
        members.insert("crv".into(), (*name).into());
        set(members, "x", key);
    }
    Some(())
}

fn private(members: &mut Members, pkcs8: &[u8]) -> Option<()> {
    let info = pkcs8::PrivateKeyInfoRef::try_from(pkcs8).ok()?;
    let key = info.private_key.as_bytes();
    if info.algorithm.oid == RSA {
        let numbers = elements(key)?;
        for (name, number) in PRIVATE_RSA.iter().zip(numbers.get(3..)?) {
            set(members, name, super::der::magnitude(number.value())?);
        }
    } else if info.algorithm.oid == EC {
        // The scalar has the length of a coordinate (RFC 7518 §6.2.2.1); some writers shorten it.
        let fields = elements(key)?;
        let scalar = fields.get(1)?.value();
        let length = Base64UrlUnpadded::decode_vec(members.get("x")?.as_str()?).ok()?.len();
        let spare = scalar.len().saturating_sub(length);
        let (head, tail) = scalar.split_at_checked(spare)?;
        if head.iter().any(|byte| *byte != 0) {
            return None;
        }
        let mut padded = Zeroizing::new(vec![0; length.checked_sub(tail.len())?]);
        padded.extend_from_slice(tail);
        set(members, "d", &padded);
    } else {
        set(members, "d", inner(key)?);
    }
    Some(())
}

fn set(members: &mut Members, name: &str, bytes: &[u8]) {
    members.insert(name.into(), Base64UrlUnpadded::encode_string(bytes).into());
}

fn unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "JWK has no form for this key")
}
