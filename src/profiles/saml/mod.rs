//! SAML v2.0 on labels: messages and assertions, the redirect, POST and SOAP bindings, metadata.
//!
//! A [`SamlEntity`] is a hosted provider as one realm sees it. It signs with the active alias of its signing
//! label, decrypts with every valid alias of its encryption label, and follows reloads.

pub mod binding;
mod entity;
mod known;
mod lifetime;
mod messages;
pub mod metadata;
pub mod redirect;
mod scope;

use crate::xmlsec::ElementName;

pub use entity::{METADATA_LABEL, STORAGE_LABEL, SamlEntity};
pub use known::KnownPeer;
pub use messages::{Encryptable, Expect, Signing, decrypt, encrypt, sign, verify};
pub use scope::{SamlRole, SamlScope, SamlUse};

/// Assertions.
pub const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
/// Protocol messages.
pub const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// Metadata.
pub const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";

const fn saml(local: &'static str) -> ElementName {
    ElementName::new(ASSERTION, local)
}

const fn samlp(local: &'static str) -> ElementName {
    ElementName::new(PROTOCOL, local)
}

const fn md(local: &'static str) -> ElementName {
    ElementName::new(METADATA, local)
}

/// Whether it is a whole `http` or `https` URL; schemes have no case (RFC 3986 §3.1).
#[must_use]
pub fn is_http_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| {
        ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
            && !rest.is_empty()
            && !rest.starts_with(['/', '?', '#'])
    })
}
