//! Signed and encrypted XML for labels of SAML: made by the active alias, opened by a set.

use crate::alg::{Algorithm, Family};
use crate::catalogue;
use crate::error::Result;
use crate::ops::{KeySet, LabelKey, Role};
use crate::xmlsec::dsig::{self, SignOptions, Target};
use crate::xmlsec::enc::{self, EncryptOptions, Place, Recipient, Wanted};
use crate::xmlsec::{ElementName, PeerPolicy, Trust, XmlLimits};

const NAMESPACE: &str = "urn:claviger:drill";
const MESSAGE: &[u8] = b"<d:Message xmlns:d=\"urn:claviger:drill\" ID=\"drill\">alice</d:Message>";
const WRAPPER: ElementName = ElementName::new(NAMESPACE, "Encrypted");
const CONTENT: [ElementName; 1] = [ElementName::new(NAMESPACE, "Message")];

/// Whether XML is what the label is for.
pub(super) fn is_made_by(set: &KeySet) -> bool {
    catalogue::find(set.label()).is_some_and(|found| found.spec.section == "saml2")
}

/// Whether the label decrypts any content that XML has.
pub(super) fn is_read_by(set: &KeySet) -> bool {
    enc::methods_of(set).iter().any(|row| row.content_key_bytes().is_some())
}

/// Whether `key` signs XML with this row.
pub(super) fn signs(set: &KeySet, key: &LabelKey, row: &Algorithm) -> bool {
    let family = matches!(row.family, Family::Ecdsa(..) | Family::RsaPkcs1(_) | Family::RsaPss(_));
    family && row.xml_uri.is_some() && set.fits(key, row, Role::Sign)
}

pub(super) fn sign(set: &KeySet, row: &Algorithm) -> Result<Vec<u8>> {
    let options = SignOptions { algorithm: Some(row.name), ..SignOptions::default() };
    let signed = dsig::sign(set, MESSAGE, &[], &Target::Root, &options, &XmlLimits::MESSAGE)?;
    Ok(signed.xml.into_bytes())
}

pub(super) fn verifies(set: &KeySet, xml: &[u8]) -> bool {
    let (trust, policy) = (Trust::Label(set), PeerPolicy::default());
    let found = dsig::verify(xml, &[], &Target::Root, trust, &policy, &XmlLimits::MESSAGE);
    found.is_ok_and(|found| found.iter().all(|one| one.octets == MESSAGE))
}

pub(super) fn encrypt(set: &KeySet, row: &Algorithm) -> Result<Vec<u8>> {
    let options = EncryptOptions { key_transport: Some(row.name), ..EncryptOptions::default() };
    let made = enc::encrypt(Recipient::Label(set), MESSAGE, &options)?;
    let local = WRAPPER.local;
    Ok(format!("<d:{local} xmlns:d=\"{NAMESPACE}\">{}</d:{local}>", made.xml).into_bytes())
}

pub(super) fn decrypts(set: &KeySet, xml: &[u8]) -> bool {
    let wanted = Wanted { wrapper: WRAPPER, place: Place::Top, content: &CONTENT };
    let found = enc::decrypt(set, xml, &wanted, &PeerPolicy::default(), &XmlLimits::MESSAGE);
    found.is_ok_and(|found| found.iter().all(|one| one.xml.ct_eq(MESSAGE)))
}
