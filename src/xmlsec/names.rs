//! Namespaces, element names and URIs of XML signatures, XML encryption and SAML 2.0.

use crate::alg::Hash;
use crate::xmlsec::input::ElementName;

/// XML signatures.
pub const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
/// XML signatures 1.1.
pub const DSIG11: &str = "http://www.w3.org/2009/xmldsig11#";
/// XML encryption 1.0.
pub const XENC: &str = "http://www.w3.org/2001/04/xmlenc#";
/// XML encryption 1.1.
pub const XENC11: &str = "http://www.w3.org/2009/xmlenc11#";
/// Exclusive canonicalization, algorithm and namespace.
pub const EXC_C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";

pub(crate) const EXC_C14N_WITH_COMMENTS: &str =
    "http://www.w3.org/2001/10/xml-exc-c14n#WithComments";
pub(crate) const C14N: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
pub(crate) const C14N_WITH_COMMENTS: &str =
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments";
pub(crate) const C14N11: &str = "http://www.w3.org/2006/12/xml-c14n11";
pub(crate) const C14N11_WITH_COMMENTS: &str = "http://www.w3.org/2006/12/xml-c14n11#WithComments";
pub(crate) const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
pub(crate) const ELEMENT_TYPE: &str = "http://www.w3.org/2001/04/xmlenc#Element";
pub(crate) const ENCRYPTED_KEY_TYPE: &str = "http://www.w3.org/2001/04/xmlenc#EncryptedKey";
pub(crate) const OAEP_MGF1P: &str = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p";
pub(crate) const OAEP11: &str = "http://www.w3.org/2009/xmlenc11#rsa-oaep";

/// `ds:` elements.
pub(crate) const fn ds(local: &'static str) -> ElementName {
    ElementName::new(DSIG, local)
}

/// `dsig11:` elements.
pub(crate) const fn dsig11(local: &'static str) -> ElementName {
    ElementName::new(DSIG11, local)
}

/// `xenc:` elements.
pub(crate) const fn xenc(local: &'static str) -> ElementName {
    ElementName::new(XENC, local)
}

/// Digests by URI (XML-DSig 1.1 §6.2, XML-Enc 1.1 §5.8).
const DIGESTS: [(&str, Hash); 4] = [
    ("http://www.w3.org/2000/09/xmldsig#sha1", Hash::Sha1),
    ("http://www.w3.org/2001/04/xmlenc#sha256", Hash::Sha256),
    ("http://www.w3.org/2001/04/xmldsig-more#sha384", Hash::Sha384),
    ("http://www.w3.org/2001/04/xmlenc#sha512", Hash::Sha512),
];

/// The digests of MGF1 by URI (XML-Enc 1.1 §5.5.2).
const MGFS: [(&str, Hash); 4] = [
    ("http://www.w3.org/2009/xmlenc11#mgf1sha1", Hash::Sha1),
    ("http://www.w3.org/2009/xmlenc11#mgf1sha256", Hash::Sha256),
    ("http://www.w3.org/2009/xmlenc11#mgf1sha384", Hash::Sha384),
    ("http://www.w3.org/2009/xmlenc11#mgf1sha512", Hash::Sha512),
];

/// The digest of this URI.
#[must_use]
pub fn digest_of(uri: &str) -> Option<Hash> {
    DIGESTS.iter().find(|(known, _)| *known == uri).map(|(_, hash)| *hash)
}

/// The URI of a digest.
#[must_use]
pub fn digest_uri(hash: Hash) -> &'static str {
    DIGESTS.iter().find(|(_, known)| *known == hash).map_or("", |(uri, _)| uri)
}

pub(crate) fn mgf_of(uri: &str) -> Option<Hash> {
    MGFS.iter().find(|(known, _)| *known == uri).map(|(_, hash)| *hash)
}

pub(crate) fn mgf_uri(hash: Hash) -> &'static str {
    MGFS.iter().find(|(_, known)| *known == hash).map_or("", |(uri, _)| uri)
}
