//! Every kind of token that a profile makes, as a maker and an opener: what the tests of confusion and rotation
//! go over. A row of a table is a kind by itself; a profile with code of its own adds one here.

use std::sync::Arc;

use claviger::Keyring;
use claviger::error::Result;
use claviger::jose::jwk;
use claviger::ops::{KeySet, PeerKeySet, PeerRules};
use claviger::profiles::Parts;
use claviger::profiles::journey::{Between, Expected, PROFILES, Profile, Tokens};
use serde_json::{Map, Value, json};

use crate::deployment::{Mapped, aliases, kind_of};
use crate::oidc_kinds;

/// The realm that makes and opens them.
pub(crate) const REALM: &str = "alpha";
/// The identifier of a node.
pub(crate) const NODE: &str = "front.door";

/// One kind of token in one deployment.
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) make: Make,
    pub(crate) open: Open,
}

type Make = Box<dyn Fn() -> String>;
type Open = Box<dyn Fn(&str) -> Result<()>>;

/// A row, with or without an identifier.
pub(crate) type Variant = (&'static Profile, Option<&'static str>);

/// Every row, and those with identifiers twice.
pub(crate) fn variants() -> Vec<Variant> {
    let plain = PROFILES.iter().map(|row| (row, None));
    let identified = PROFILES.iter().filter(|row| row.is_identified());
    plain.chain(identified.map(|row| (row, Some(NODE)))).collect()
}

/// The labels of a variant, identifiers filled in.
pub(crate) fn labels_of((row, identifier): Variant) -> Vec<String> {
    let parts = [row.parts.signing(), row.parts.encryption()];
    let mut labels = Vec::new();
    for part in parts.into_iter().flatten() {
        let identified = identifier.is_some() && !part.identified.is_empty();
        let names = if identified { part.identified } else { part.plain };
        labels.extend(names.iter().map(|name| name.replace("{identifier}", NODE)));
    }
    labels
}

/// Claims that a profile takes.
pub(crate) fn claims_of(row: &Profile) -> Map<String, Value> {
    let mut claims = json!({ "sub": "alice", "state": { "node": 7 } });
    let members = claims.as_object_mut().unwrap();
    for name in row.required {
        let value = match *name {
            "iss" => json!("https://maker.example.com"),
            "aud" => json!("reader"),
            "decision" => json!(true),
            _ => json!("x"),
        };
        members.insert((*name).to_owned(), value);
    }
    claims.as_object().unwrap().clone()
}

pub(crate) fn expected() -> Expected {
    Expected { issuer: "https://maker.example.com".into(), audience: "reader".into() }
}

/// The public halves of a label, as a peer knows them.
pub(crate) fn published(keyring: &Keyring, label: &str, rules: &PeerRules) -> Arc<KeySet> {
    let keys = keyring.realm(REALM).unwrap().label(label).unwrap().keys().unwrap();
    let public = keys.keys().iter().filter_map(|key| jwk::public(&keys, key));
    let jwks = json!({ "keys": public.collect::<Vec<Value>>() }).to_string();
    Arc::clone(PeerKeySet::from_jwks(jwks.as_bytes(), rules).unwrap().keys().unwrap())
}

/// Who makes tokens of a variant, and who opens them.
pub(crate) fn sides(keyring: &Keyring, variant: Variant) -> (Tokens, Tokens) {
    let (row, identifier) = variant;
    let tokens = keyring.realm(REALM).unwrap().tokens(row.name, identifier).unwrap();
    if row.between == Between::Ourselves {
        return (tokens.clone(), tokens);
    }
    let opener = tokens.clone().expecting(expected()).unwrap();
    if row.name != "consent-response" {
        return (tokens, opener);
    }
    // The service has the keys that sign, we have those that decrypt.
    let Parts::SignedThenEncrypted { signing, encryption } = &row.parts else { panic!("{row:?}") };
    let verify = published(keyring, signing.plain[0], &row.peer_signs().unwrap());
    let encrypt = published(keyring, encryption.plain[0], &row.peer_encrypts().unwrap());
    (tokens.with_peer(encrypt).unwrap(), opener.with_peer(verify).unwrap())
}

/// Every label that a kind uses, mapped to the first keys of what it wants: labels share what keys they can.
pub(crate) fn mappings() -> Vec<Mapped<'static>> {
    let mut mapped: Vec<Mapped<'static>> = Vec::new();
    let mut map = |realm, label: String| {
        let names = aliases(kind_of(&label), &[1]);
        if !mapped.iter().any(|(_, known, _)| *known == label) {
            mapped.push((realm, label.leak(), names));
        }
    };
    for label in variants().into_iter().flat_map(labels_of) {
        map(Some(REALM), label);
    }
    for label in oidc_kinds::LABELS {
        map(Some(REALM), label.to_owned());
    }
    for name in ["signing.HMAC", "encryption.AES"] {
        map(None, format!("am.global.services.session.clientbased.{name}"));
    }
    mapped
}

/// Every kind of token of a deployment.
pub(crate) fn kinds(keyring: &Keyring) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for variant in variants() {
        let (maker, opener) = sides(keyring, variant);
        let claims = claims_of(variant.0);
        kinds.push(Kind {
            name: format!("{} {:?}", variant.0.name, variant.1),
            make: Box::new(move || maker.seal(&claims).unwrap()),
            open: Box::new(move |token| opener.open(token).map(drop)),
        });
    }
    let sessions = keyring.realm(REALM).unwrap().sessions();
    let opener = sessions.clone();
    kinds.push(Kind {
        name: "session".into(),
        make: Box::new(move || sessions.seal(&Map::new()).unwrap().token),
        open: Box::new(move |token| opener.open(token).map(drop)),
    });
    kinds.extend(oidc_kinds::kinds(keyring));
    kinds
}
