//! Verifies: limits, one parse, signature by position, shape, URIs, SignatureValue, and only then the digest.

use super::Target;
use super::shape::Shape;
use crate::alg::{Algorithm, Hash};
use crate::crypto::digest;
use crate::error::Result;
use crate::xmlsec::input::{ElementName, count_of_id};
use crate::xmlsec::tree::{Node, Tree};
use crate::xmlsec::trust::{Candidate, Signer, Trust};
use crate::xmlsec::{PeerPolicy, XmlLimits, XmlText, attribute, not_verified};

/// An element whose signature holds. Believe `octets` and nothing else of the document.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use]
pub struct VerifiedElement {
    /// The canonical octets that were digested: a document of its own, without the signature.
    pub octets: Vec<u8>,
    /// Its `ID`; empty if it has none and the policy lets it.
    pub id: String,
    /// The namespace of its name.
    pub namespace: String,
    /// The local part of its name.
    pub local_name: String,
    /// The key that made the signature.
    pub signer: Signer,
    /// The signature algorithm.
    pub algorithm: &'static Algorithm,
    /// The digest under it.
    pub digest: Hash,
}

/// Verifies the signatures of `target`, the document element first. The document element has one of the
/// names `roots`, or any if there is none.
///
/// # Errors
/// [`crate::error::ErrorKind::LimitExceeded`] and [`crate::error::ErrorKind::Malformed`] for the XML, [`crate::error::ErrorKind::WrongUse`] for a label
/// that does not verify; else [`crate::error::ErrorKind::NotVerified`] whatever the reason, which is the error's source.
pub fn verify(
    document: &[u8],
    roots: &[ElementName],
    target: &Target<'_>,
    trust: Trust<'_>,
    policy: &PeerPolicy,
    limits: &XmlLimits,
) -> Result<Vec<VerifiedElement>> {
    verify_where(document, roots, target, trust, policy, limits, |_| Ok(()))
}

/// As [`verify`], of elements that `accept` takes as well: it says why not.
pub(crate) fn verify_where(
    document: &[u8],
    roots: &[ElementName],
    target: &Target<'_>,
    trust: Trust<'_>,
    policy: &PeerPolicy,
    limits: &XmlLimits,
    accept: impl Fn(Node<'_, '_>) -> Result<(), &'static str>,
) -> Result<Vec<VerifiedElement>> {
    trust.require()?;
    let text = XmlText::read(document, limits)?;
    let tree = text.parse()?;
    if !roots.is_empty() && !roots.iter().any(|name| name.is(tree.root_element())) {
        return Err(not_verified(
            "the document element is none that is signed here; a message is taken out of its envelope first",
        ));
    }
    let found = target.find(&tree).map_err(|missing| not_verified(missing.why()))?;
    let verify = |node| verify_element(&tree, node, trust, policy, &accept);
    let verified: Result<Vec<VerifiedElement>, &'static str> =
        found.into_iter().map(verify).collect();
    verified.inspect_err(|_| trust.refused()).map_err(not_verified)
}

fn verify_element(
    tree: &Tree<'_>,
    node: Node<'_, '_>,
    trust: Trust<'_>,
    policy: &PeerPolicy,
    accept: impl Fn(Node<'_, '_>) -> Result<(), &'static str>,
) -> Result<VerifiedElement, &'static str> {
    let shape = Shape::read(node, policy)?;
    let id = check_reference(tree, node, shape.uri, policy)?;
    if !trust.allows(shape.algorithm, policy) {
        return Err(Trust::why_refused(shape.algorithm));
    }
    if shape.digest == Hash::Sha1 && !trust.allows_sha1(policy) {
        return Err("the digest is SHA-1, which the switch sha1 takes");
    }
    if !shape.signed_info_form.can_write(shape.signed_info) || !shape.content_form.can_write(node) {
        return Err("an xml:base stands around what C14N 1.1 is to be of");
    }
    let signed_info = shape.signed_info_form.octets(shape.signed_info, None);
    let candidates = trust.candidates(shape.algorithm, policy, || shape.certificate_hint());
    let made = |one: &&Candidate<'_>| one.made(shape.algorithm, policy, &signed_info, &shape.value);
    let nobody = || trust.why_nobody(policy, &candidates);
    let signer = candidates.iter().find(made).ok_or_else(nobody)?;
    let octets = shape.content_form.octets(node, Some(shape.signature));
    // Both are public.
    if digest(shape.digest, &octets) != shape.digest_value {
        return Err("the digest is of other content");
    }
    accept(node)?;
    Ok(VerifiedElement {
        octets,
        id: id.to_owned(),
        namespace: node.namespace().unwrap_or_default().to_owned(),
        local_name: node.local_name().to_owned(),
        signer: signer.signer(shape.algorithm),
        algorithm: shape.algorithm,
        digest: shape.digest,
    })
}

/// The Reference names the signature's own parent, by an ID that nothing else in the document carries.
fn check_reference<'a>(
    tree: &Tree<'_>,
    node: Node<'a, '_>,
    uri: &str,
    policy: &PeerPolicy,
) -> Result<&'a str, &'static str> {
    let id = attribute(node, "ID");
    if uri.is_empty() && node == tree.root_element() {
        let switched = policy.empty_uri.then(|| id.unwrap_or_default());
        return switched
            .ok_or("the Reference is to the whole document, which the switch empty-uri takes");
    }
    let id = id.filter(|id| !id.is_empty()).ok_or("the element has no ID")?;
    if uri.strip_prefix('#') != Some(id) {
        return Err("the Reference is to something else");
    }
    if count_of_id(tree, id) != 1 {
        return Err("the ID is not unique");
    }
    Ok(id)
}
