//! XML signatures and encryption in the strict profile of SAML, over the keys of a label.
//!
//! Octets come in and go out; no tree and no boolean. A text is read once, by a reader that refuses what is
//! dear or has no place, and what verified is handed out as the very octets that were digested. A document chooses
//! nothing: its URIs select among what label and peer policy allow, its certificates only order the keys.

mod c14n;
pub mod dsig;
pub mod enc;
mod input;
mod key_value;
mod limits;
pub mod names;
mod policy;
pub(crate) mod raw;
mod tree;
mod trust;

use base64::Engine;

use crate::encoding::BASE64;
use crate::error::{Error, ErrorKind, Result};

pub(crate) use c14n::attribute_value;
pub use input::ElementName;
pub(crate) use input::{
    XmlText, attribute, certificate_hint, children_named, element_content, full_text, is_plain_id,
    only_child, only_text,
};
pub(crate) use key_value::public_keys;
pub use limits::XmlLimits;
pub use policy::PeerPolicy;
pub(crate) use tree::Node;
pub use trust::{PeerKey, PeerKeys, Signer, Trust};

use c14n::{Canonicalization, Kind};

/// Which canonical form [`canonicalize`] writes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the options of C14N 1.0 and Exc-C14N 1.0")]
pub struct CanonicalForm<'a> {
    /// Inclusive (C14N 1.0) instead of exclusive (Exc-C14N 1.0).
    pub inclusive: bool,
    /// Keep comments.
    pub comments: bool,
    /// The `PrefixList` of Exc-C14N: prefixes between white space, `#default` for the default namespace.
    pub prefix_list: &'a str,
}

/// The canonical octets of the element that carries `id` in an attribute `ID`, or of the document element.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`] and [`ErrorKind::Malformed`] as for every XML input; [`ErrorKind::Malformed`]
/// if no element has the ID, or several have.
pub fn canonicalize(
    document: &[u8],
    id: Option<&str>,
    form: &CanonicalForm<'_>,
    limits: &XmlLimits,
) -> Result<Vec<u8>> {
    let text = XmlText::read(document, limits)?;
    let tree = text.parse()?;
    let apex = match id {
        None => tree.root_element(),
        Some(id) => {
            let all = tree.root_element().descendants();
            let mut found = all.filter(|node| attribute(*node, "ID") == Some(id));
            match (found.next(), found.next()) {
                (Some(one), None) => one,
                _ => return Err(Error::new(ErrorKind::Malformed, "not one element has this ID")),
            }
        }
    };
    let mut method = Canonicalization::exclusive(form.prefix_list);
    method.comments = form.comments;
    if form.inclusive {
        method.kind = Kind::Inclusive;
    }
    Ok(method.octets(apex, None))
}

/// The one error of a signature that does not hold; `reason` is for operators.
pub(crate) fn not_verified(reason: &'static str) -> Error {
    Error::new(ErrorKind::NotVerified, "the XML signature does not verify").with_source(reason)
}

/// base64 of XML Schema: white space between the characters, nothing else (RFC 4648 §3.3).
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    // Most are without.
    if let Ok(decoded) = BASE64.decode(text) {
        return Some(decoded);
    }
    let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(compact).ok()
}

pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// A fresh ID: `_` and 32 hex digits, 128 bits of randomness (SAML core §1.3.4).
///
/// # Errors
/// [`ErrorKind::Io`] if the operating system gives no random bytes.
pub fn fresh_id() -> Result<String> {
    let bytes = crate::crypto::random::bytes::<16>()?;
    Ok(format!("_{}", hex::encode(bytes)))
}
