//! What a signature must look like before anything is computed: saml core §5.4, XML-DSig §4.
//!
//! Elements are taken by position, never searched for: a second `SignedInfo` or one inside an `Object` is no
//! detail but a refusal (CVE-2025-29774, CVE-2019-3465).

use crate::alg::{Algorithm, Hash};
use crate::xmlsec::c14n::{Canonicalization, Kind};
use crate::xmlsec::input::ElementName;
use crate::xmlsec::names::{self, EXC_C14N, digest_of, ds};
use crate::xmlsec::tree::Node;
use crate::xmlsec::{
    PeerPolicy, attribute, certificate_hint, children_named, decode_base64, element_content,
    only_text,
};

/// Prefixes of a list: it is gone through before anybody knows who wrote it.
pub(super) const MAX_PREFIXES: usize = 64;

type Refused = &'static str;

const INCLUSIVE: Refused = "the canonicalization is inclusive, which the switch incl-c14n takes";

/// The parts of a signature.
pub(crate) struct Shape<'a, 'i> {
    pub(crate) signature: Node<'a, 'i>,
    pub(crate) signed_info: Node<'a, 'i>,
    pub(crate) signed_info_form: Canonicalization<'a>,
    pub(crate) algorithm: &'static Algorithm,
    /// The value of `URI`, as it is.
    pub(crate) uri: &'a str,
    pub(crate) content_form: Canonicalization<'a>,
    pub(crate) digest: Hash,
    pub(crate) digest_value: Vec<u8>,
    pub(crate) value: Vec<u8>,
    key_info: Option<Node<'a, 'i>>,
}

pub(crate) fn has_signature(node: Node<'_, '_>) -> bool {
    children_named(node, ds("Signature")).next().is_some()
}

impl<'a, 'i> Shape<'a, 'i> {
    /// The one signature that is a direct child of `parent`.
    pub(crate) fn read(parent: Node<'a, 'i>, policy: &PeerPolicy) -> Result<Self, Refused> {
        let mut signatures = children_named(parent, ds("Signature"));
        let signature = signatures.next().ok_or("the element is not signed")?;
        if signatures.next().is_some() {
            return Err("the element has two signatures");
        }
        let parts = element_content(signature).ok_or("text stands inside the signature")?;
        let (signed_info, value, key_info) = match parts.as_slice() {
            [info, value] => (*info, *value, None),
            [info, value, key_info] if ds("KeyInfo").is(*key_info) => {
                (*info, *value, Some(*key_info))
            }
            _ => return Err("the signature has other children than SAML allows"),
        };
        if !ds("SignedInfo").is(signed_info) || !ds("SignatureValue").is(value) {
            return Err("the signature has other children than SAML allows");
        }
        let info = element_content(signed_info).ok_or("text stands inside SignedInfo")?;
        let [c14n, method, reference] = info.as_slice() else {
            return Err("SignedInfo has not exactly its three children");
        };
        named(*c14n, ds("CanonicalizationMethod"))?;
        named(*method, ds("SignatureMethod"))?;
        named(*reference, ds("Reference"))?;
        childless(*method)?;
        let algorithm = attribute(*method, "Algorithm").and_then(Algorithm::by_xml_uri);
        let reference = Reference::read(*reference, policy)?;
        Ok(Self {
            signature,
            signed_info,
            signed_info_form: canonicalization(*c14n, policy)?,
            algorithm: algorithm.ok_or("the signature algorithm is not known")?,
            uri: reference.uri,
            content_form: reference.form,
            digest: reference.digest,
            digest_value: reference.value,
            value: base64_of(value)?,
            key_info,
        })
    }

    /// The certificate that its KeyInfo names.
    pub(crate) fn certificate_hint(&self) -> Option<Vec<u8>> {
        certificate_hint(self.key_info?)
    }
}

struct Reference<'a> {
    uri: &'a str,
    form: Canonicalization<'a>,
    digest: Hash,
    value: Vec<u8>,
}

impl<'a> Reference<'a> {
    fn read(reference: Node<'a, '_>, policy: &PeerPolicy) -> Result<Self, Refused> {
        let parts = element_content(reference).ok_or("text stands inside the Reference")?;
        let [transforms, method, value] = parts.as_slice() else {
            return Err("the Reference has not exactly its three children");
        };
        named(*transforms, ds("Transforms"))?;
        named(*method, ds("DigestMethod"))?;
        named(*value, ds("DigestValue"))?;
        childless(*method)?;
        let digest = attribute(*method, "Algorithm").and_then(digest_of);
        Ok(Self {
            uri: attribute(reference, "URI").ok_or("the Reference has no URI")?,
            form: transform(*transforms, policy)?,
            digest: digest.ok_or("the digest algorithm is not known")?,
            value: base64_of(*value)?,
        })
    }
}

/// Exactly the enveloped-signature transform and one canonicalization (SAML core §5.4.4).
fn transform<'a>(
    transforms: Node<'a, '_>,
    policy: &PeerPolicy,
) -> Result<Canonicalization<'a>, Refused> {
    let parts = element_content(transforms).ok_or("text stands inside Transforms")?;
    let (enveloped, form) = match parts.as_slice() {
        [enveloped, form] => (*enveloped, Some(*form)),
        // XML-DSig §4.4.3.2: inclusive canonicalization where none is named.
        [enveloped] if policy.inclusive_c14n => (*enveloped, None),
        [one] if attribute(*one, "Algorithm") == Some(names::ENVELOPED) => {
            return Err(INCLUSIVE);
        }
        _ => return Err("there are not exactly the two transforms of SAML"),
    };
    named(enveloped, ds("Transform"))?;
    childless(enveloped)?;
    if attribute(enveloped, "Algorithm") != Some(names::ENVELOPED) {
        return Err("the first transform is not the enveloped signature");
    }
    let inclusive = Canonicalization { kind: Kind::Inclusive, ..Canonicalization::default() };
    let Some(form) = form else { return Ok(inclusive) };
    named(form, ds("Transform"))?;
    // XML-DSig §4.4.3.3: a same-document reference drops comments before any transform sees them.
    Ok(Canonicalization { comments: false, ..canonicalization(form, policy)? })
}

/// The canonicalization that an `Algorithm` and its child name.
fn canonicalization<'a>(
    node: Node<'a, '_>,
    policy: &PeerPolicy,
) -> Result<Canonicalization<'a>, Refused> {
    let uri = attribute(node, "Algorithm").ok_or("a canonicalization has no algorithm")?;
    match uri {
        EXC_C14N | names::EXC_C14N_WITH_COMMENTS => {
            let children = element_content(node).ok_or("text stands inside a canonicalization")?;
            let list = match children.as_slice() {
                [] => "",
                [one] if ElementName::new(EXC_C14N, "InclusiveNamespaces").is(*one) => {
                    childless(*one)?;
                    let list = attribute(*one, "PrefixList").unwrap_or_default();
                    if list.split_ascii_whitespace().nth(MAX_PREFIXES).is_some() {
                        return Err("a prefix list names more than can be in scope");
                    }
                    list
                }
                _ => return Err("a canonicalization has other children than a prefix list"),
            };
            let comments = keeps_comments(node);
            Ok(Canonicalization { comments, ..Canonicalization::exclusive(list) })
        }
        names::C14N | names::C14N_WITH_COMMENTS => inclusive(node, Kind::Inclusive, policy),
        names::C14N11 | names::C14N11_WITH_COMMENTS => inclusive(node, Kind::Inclusive11, policy),
        _ => Err("the canonicalization is not one of SAML"),
    }
}

fn inclusive<'a>(
    node: Node<'a, '_>,
    kind: Kind,
    policy: &PeerPolicy,
) -> Result<Canonicalization<'a>, Refused> {
    if !policy.inclusive_c14n {
        return Err(INCLUSIVE);
    }
    childless(node)?;
    Ok(Canonicalization { comments: keeps_comments(node), kind, prefixes: Vec::new() })
}

fn keeps_comments(node: Node<'_, '_>) -> bool {
    attribute(node, "Algorithm").is_some_and(|uri| uri.ends_with("#WithComments"))
}

fn named(node: Node<'_, '_>, name: ElementName) -> Result<(), Refused> {
    if name.is(node) { Ok(()) } else { Err("the signature has its children in another order") }
}

fn childless(node: Node<'_, '_>) -> Result<(), Refused> {
    match element_content(node) {
        Some(children) if children.as_slice().is_empty() => Ok(()),
        _ => Err("an algorithm has parameters"),
    }
}

/// Comments inside hid forged digests from one reader and not from the other (CVE-2025-29775).
fn base64_of(node: Node<'_, '_>) -> Result<Vec<u8>, Refused> {
    let text = only_text(node).ok_or("a value holds more than text")?;
    decode_base64(&text).filter(|value| !value.is_empty()).ok_or("a value is not base64")
}
