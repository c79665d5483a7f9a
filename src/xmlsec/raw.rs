//! What bindings need around XML: signatures over other octets by XML's names, and texts taken apart.

use crate::alg::{Algorithm, Family, Hash, Operation};
use crate::crypto::sign::MAX_SIGNATURE_BYTES;
use crate::crypto::{Role, certificate};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::KeySet;
use crate::xmlsec::c14n::Canonicalization;
use crate::xmlsec::input::children_named;
use crate::xmlsec::names::ds;
use crate::xmlsec::trust::{Candidate, Signer, Trust};
use crate::xmlsec::{ElementName, Node, PeerPolicy, XmlLimits, XmlText, not_verified};

pub(crate) use crate::xmlsec::dsig::choose;

/// The bare signature over `octets` with the active alias; `expires` is the second since 1970 from which on nobody
/// takes them, if that is known.
pub(crate) fn sign(
    set: &KeySet,
    algorithm: &'static Algorithm,
    octets: &[u8],
    expires: Option<u64>,
) -> Result<Vec<u8>> {
    set.require_use(Role::Sign)?;
    let mut buffer = [0; MAX_SIGNATURE_BYTES];
    Ok(set.sign_bytes(algorithm, (octets, expires), &mut buffer)?.to_vec())
}

/// Who made the bare signature `value` over `octets`.
pub(crate) fn verify(
    trust: Trust<'_>,
    policy: &PeerPolicy,
    algorithm: &'static Algorithm,
    octets: &[u8],
    value: &[u8],
) -> Result<Signer> {
    trust.require()?;
    let signer = find_signer(trust, policy, algorithm, octets, value);
    signer.inspect_err(|_| trust.refused()).map_err(not_verified)
}

fn find_signer(
    trust: Trust<'_>,
    policy: &PeerPolicy,
    algorithm: &'static Algorithm,
    octets: &[u8],
    value: &[u8],
) -> Result<Signer, &'static str> {
    let signs = matches!(algorithm.operation, Operation::Sign | Operation::XmlSign);
    if !signs || !trust.allows(algorithm, policy) {
        return Err(Trust::why_refused(algorithm));
    }
    let candidates = trust.candidates(algorithm, policy, || None);
    let mut in_der = false;
    let made = |one: &&Candidate<'_>| {
        one.made(algorithm, policy, octets, value)
            || one.out_of_der(algorithm, value).is_some_and(|fixed| {
                in_der = true;
                policy.der_ecdsa && one.made(algorithm, policy, octets, &fixed)
            })
    };
    match candidates.iter().find(made) {
        Some(one) => Ok(one.signer(algorithm)),
        None if in_der && !policy.der_ecdsa => {
            Err("the ECDSA value is in DER, which the switch der-ecdsa takes")
        }
        None => Err(trust.why_nobody(policy, &candidates)),
    }
}

/// The value as peers in Java write and read it where no XML is around it: of ECDSA in DER.
pub(crate) fn in_der(algorithm: &Algorithm, value: Vec<u8>) -> Vec<u8> {
    match algorithm.family {
        Family::Ecdsa(..) => certificate::ecdsa_der(&value),
        _ => value,
    }
}

/// Whether this is XML that may be read at all.
pub(crate) fn check(document: &[u8], limits: &XmlLimits) -> Result<()> {
    look(document, limits, |_| ())
}

/// What `read` finds at the document element.
pub(crate) fn look<T>(
    document: &[u8],
    limits: &XmlLimits,
    read: impl FnOnce(Node<'_, '_>) -> T,
) -> Result<T> {
    let text = XmlText::read(document, limits)?;
    let tree = text.parse()?;
    Ok(read(tree.root_element()))
}

/// The text without the signature of its document element, and what `look` finds there.
pub(crate) fn without_signature<T>(
    document: &[u8],
    limits: &XmlLimits,
    look: impl FnOnce(Node<'_, '_>) -> T,
) -> Result<(String, T)> {
    let text = XmlText::read(document, limits)?;
    let tree = text.parse()?;
    let (source, mut from) = (text.as_str(), 0);
    let mut out = String::with_capacity(source.len());
    for signature in children_named(tree.root_element(), ds("Signature")) {
        let range = signature.range();
        out.push_str(source.get(from..range.start).unwrap_or_default());
        from = range.end;
    }
    out.push_str(source.get(from..).unwrap_or_default());
    Ok((out, look(tree.root_element())))
}

/// The one child element of the one child `inside` of the document element, as a document of its own.
pub(crate) fn unwrap(
    document: &[u8],
    root: ElementName,
    inside: ElementName,
    limits: &XmlLimits,
) -> Result<String> {
    let malformed = |why: &'static str| Error::new(ErrorKind::Malformed, why);
    let text = XmlText::read(document, limits)?;
    let tree = text.parse()?;
    if !root.is(tree.root_element()) {
        return Err(malformed("the document element is no envelope"));
    }
    let body = crate::xmlsec::only_child(tree.root_element(), inside);
    let content = body.and_then(crate::xmlsec::element_content);
    let content = content.ok_or_else(|| malformed("the envelope has no body"))?;
    let [message] = content.as_slice() else {
        return Err(malformed("the body holds not exactly one element"));
    };
    if message.is_named(root.namespace, "Fault") {
        return Err(malformed("the envelope carries a fault instead of a message"));
    }
    alone(*message)
}

/// The one child element of the document element `root` that has none of the names `others`, as a document of its own.
pub(crate) fn message_in(
    document: &[u8],
    root: ElementName,
    others: &[ElementName],
    limits: &XmlLimits,
) -> Result<String> {
    let text = XmlText::read(document, limits)?;
    let tree = text.parse()?;
    if !root.is(tree.root_element()) {
        let text = format!("the document element is no {}", root.local);
        return Err(Error::new(ErrorKind::Malformed, text));
    }
    let is_message =
        |one: &Node<'_, '_>| one.is_element() && !others.iter().any(|name| name.is(*one));
    let mut found = tree.root_element().children().filter(is_message);
    match (found.next(), found.next()) {
        (Some(message), None) => alone(message),
        (None, _) => {
            Err(Error::new(ErrorKind::Malformed, format!("the {} has no message", root.local)))
        }
        _ => Err(Error::new(
            ErrorKind::Malformed,
            format!("the {} has several messages", root.local),
        )),
    }
}

/// An element as a document of its own, with the namespaces that were in scope: signatures in it hold as before.
fn alone(element: Node<'_, '_>) -> Result<String> {
    let prefixes = element.namespaces().into_iter().map(|one| one.prefix).collect();
    let form = Canonicalization { comments: true, prefixes, ..Canonicalization::default() };
    String::from_utf8(form.octets(element, None))
        .map_err(|_| Error::new(ErrorKind::Malformed, "the message is not UTF-8"))
}

/// The digest that belongs to a hash function, by URI (for metadata).
pub(crate) fn digest_uris() -> [&'static str; 3] {
    [Hash::Sha256, Hash::Sha384, Hash::Sha512].map(crate::xmlsec::names::digest_uri)
}
