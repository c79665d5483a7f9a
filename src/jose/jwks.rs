//! JSON Web Key sets of labels (RFC 7517 §5): each public key once, or once for each of its algorithms.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::jwk;
use crate::alg::{Algorithm, Operation};
use crate::catalogue::JwkAlg;
use crate::crypto::{Role, certificate};
use crate::ops::{KeySet, LabelKey};

/// Which keys of a label are shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "what is published, or all there is")]
pub enum Extent {
    /// Every public key, whatever the label publishes.
    Everything,
    /// What the label publishes, as far as an algorithm of the label works with it.
    Published,
}

/// The JWK set of several labels. What one key does under several labels is told together, so that one kid
/// names one key of a type and use: peers refuse a token whose kid names two.
#[must_use]
pub fn document<'s>(
    sets: impl IntoIterator<Item = &'s KeySet>,
    extent: Extent,
    alg: JwkAlg,
) -> Value {
    let mut shown: Vec<Shown<'_>> = Vec::new();
    let mut places: HashMap<(&str, &str, &str), usize> = HashMap::new();
    for set in sets {
        let keys = match extent {
            Extent::Everything => set.keys(),
            Extent::Published => set.published(),
        };
        for key in keys {
            let algorithms = algorithms(set, key);
            let idle = algorithms.is_empty() && acts(set);
            if key.key.public_parameters().is_none() || (idle && extent == Extent::Published) {
                continue;
            }
            let name = (key.kid.as_str(), key.key.thumbprint(), jwk::usage(set));
            let place = *places.entry(name).or_insert(shown.len());
            match shown.get_mut(place) {
                Some(known) => known.join(key, algorithms),
                None => shown.push(Shown { set, key, algorithms }),
            }
        }
    }
    let keys: Vec<Value> = shown.iter().flat_map(|one| one.jwks(alg)).collect();
    json!({ "keys": keys })
}

/// A key, and what it does under all the labels that show it.
struct Shown<'s> {
    set: &'s KeySet,
    key: &'s LabelKey,
    algorithms: Vec<&'static Algorithm>,
}

impl<'s> Shown<'s> {
    /// The same key under another label; of its certificates the one is shown that ends last, for it was renewed.
    fn join(&mut self, key: &'s LabelKey, algorithms: Vec<&'static Algorithm>) {
        self.algorithms.extend(algorithms);
        if !std::ptr::eq(self.key, key) && end_of(key) > end_of(self.key) {
            self.key = key;
        }
    }

    fn jwks(&self, alg: JwkAlg) -> Vec<Value> {
        let Some(jwk) = jwk::public(self.set, self.key) else { return Vec::new() };
        let mut names: Vec<&str> = self.algorithms.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        let named = |name: &&str| {
            let mut jwk = jwk.clone();
            if let Some(members) = jwk.as_object_mut() {
                members.insert("alg".into(), (*name).into());
            }
            jwk
        };
        match (alg, names.as_slice()) {
            (JwkAlg::Each, [_, ..]) => names.iter().map(named).collect(),
            (JwkAlg::Single, [only]) => vec![named(only)],
            _ => vec![jwk],
        }
    }
}

/// When the certificate of a key ends, in seconds since 1970; `None`: it has none that can be read.
fn end_of(key: &LabelKey) -> Option<i64> {
    let leaf = key.key.chain().first()?;
    certificate::facts(leaf).ok().map(|facts| facts.not_after)
}

/// The rows of the label that peers use the key for: to verify, or to encrypt.
fn algorithms(set: &KeySet, key: &LabelKey) -> Vec<&'static Algorithm> {
    let (operation, role) = match jwk::usage(set) {
        "enc" => (Operation::KeyManagement, Role::Encrypt),
        _ => (Operation::Sign, Role::Verify),
    };
    let rows = set.algorithms().iter().copied();
    rows.filter(|row| row.operation == operation && set.fits(key, row, role)).collect()
}

/// Whether the label signs, verifies, encrypts or decrypts; certificates for TLS do without an algorithm.
fn acts(set: &KeySet) -> bool {
    let roles = [Role::Decrypt, Role::Encrypt, Role::Sign, Role::Verify];
    roles.into_iter().any(|role| set.require_use(role).is_ok())
}
