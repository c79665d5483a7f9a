//! Fresh keys: the next one of a label, and those that stand in for keys whose private half is elsewhere.

use crate::crypto::generate::{KeySpec, generate};
use crate::crypto::{Key, KeyKind, OctType};
use crate::error::Result;
use crate::formats::JwkHints;
use crate::ops::LabelKey;
use crate::usage::KeyUsage;

/// A fresh key as `like` is, under another alias and kid.
pub(super) fn next(like: &LabelKey, alias: &str) -> Result<LabelKey> {
    let key = fresh(like.key.kind())?;
    let kid = key.thumbprint().to_owned();
    let mut made = with_key(like, key);
    made.alias = alias.parse()?;
    made.kid = kid;
    Ok(made)
}

/// A fresh key in the place of `absent`: who holds the private half elsewhere.
pub(super) fn for_absent(absent: &LabelKey) -> Result<LabelKey> {
    Ok(with_key(absent, fresh(absent.key.kind())?))
}

/// The same key, whose uses in a drill nobody counts.
pub(super) fn uncounted(key: &LabelKey) -> LabelKey {
    LabelKey { usage: KeyUsage::default(), ..key.clone() }
}

/// `alg` of a JWK narrows a fresh key as well; what only the other half does is not said of it.
fn with_key(like: &LabelKey, key: Key) -> LabelKey {
    let hints = JwkHints { kid: None, key_ops: Vec::new(), ..like.hints.clone() };
    LabelKey { key, hints, usage: KeyUsage::default(), ..like.clone() }
}

fn fresh(kind: KeyKind) -> Result<Key> {
    match kind {
        KeyKind::Curve(curve) => pair(KeySpec::Curve(curve)),
        KeyKind::Rsa { bits } => pair(KeySpec::Rsa { bits: offered(bits) }),
        KeyKind::Oct { bits, oct_type } => secret(bits / 8, oct_type),
    }
}

fn pair(spec: KeySpec) -> Result<Key> {
    Key::from_private(&generate(spec)?, Vec::new())
}

fn secret(bytes: usize, oct_type: OctType) -> Result<Key> {
    Key::from_secret(generate(KeySpec::Oct { bytes: bytes.clamp(1, 4096) })?, oct_type)
}

/// The size that is made in the place of another: every size acts alike, and beyond 4096 bits making one
/// takes longer than the drill.
const fn offered(bits: usize) -> usize {
    match bits {
        ..=2048 => 2048,
        2049..=3072 => 3072,
        _ => 4096,
    }
}
