//! Messages and assertions: where each is signed, what each may be encrypted as.

use super::{lifetime, md, saml, samlp};
use crate::error::Result;
use crate::ops::KeySet;
use crate::xmlsec::dsig::{self, SignOptions, Signed, Target, VerifiedElement};
use crate::xmlsec::enc::{self, Decrypted, EncryptOptions, Encrypted, Place, Recipient, Wanted};
use crate::xmlsec::{ElementName, Node, PeerPolicy, Trust, XmlLimits};

/// Every element that SAML signs: assertions, requests, responses, and behind them metadata (SAML core §3.2, §2.3.3;
/// metadata §2.3).
const SIGNABLE: [ElementName; 20] = [
    saml("Assertion"),
    samlp("ArtifactResolve"),
    samlp("ArtifactResponse"),
    samlp("AssertionIDRequest"),
    samlp("AttributeQuery"),
    samlp("AuthnQuery"),
    samlp("AuthnRequest"),
    samlp("AuthzDecisionQuery"),
    samlp("LogoutRequest"),
    samlp("LogoutResponse"),
    samlp("ManageNameIDRequest"),
    samlp("ManageNameIDResponse"),
    samlp("NameIDMappingRequest"),
    samlp("NameIDMappingResponse"),
    samlp("Response"),
    md("EntityDescriptor"),
    md("EntitiesDescriptor"),
    md("AffiliationDescriptor"),
    md("IDPSSODescriptor"),
    md("SPSSODescriptor"),
];
/// How many of them are no metadata.
const MESSAGES: usize = 15;

/// What must be signed for a document to be believed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the three ways to ask")]
pub enum Expect<'a> {
    /// Whatever is signed of the document element and its assertions: one at least, and each must hold.
    #[default]
    Any,
    /// The assertion: the document element, or the only one of a Response; with an ID, that one.
    Assertion(Option<&'a str>),
    /// The document element.
    Message,
}

/// What [`sign`] signs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "all that SAML signs")]
pub enum Signing<'a> {
    /// The assertion in a Response, or the document element if it is one; with an ID, that one.
    Assertion(Option<&'a str>),
    /// The document element.
    #[default]
    Message,
    /// The document element, which is metadata.
    Metadata,
}

/// Signs a message, an assertion or metadata with the active alias. The signature stands behind the Issuer,
/// in metadata first, as the schemas want it.
///
/// # Errors
/// Those of [`dsig::sign`]; [`crate::error::ErrorKind::Usage`] for what SAML does not sign.
pub fn sign(
    set: &KeySet,
    document: &[u8],
    what: Signing<'_>,
    options: &SignOptions<'_>,
) -> Result<Signed> {
    let target = match what {
        Signing::Assertion(id) => Target::Element { name: saml("Assertion"), id },
        Signing::Message | Signing::Metadata => Target::Root,
    };
    let signable = match what {
        Signing::Metadata => SIGNABLE.get(MESSAGES..).unwrap_or_default(),
        _ => &SIGNABLE,
    };
    let options = SignOptions { after: Some(saml("Issuer")), ..options.clone() };
    let limits = XmlLimits::METADATA;
    dsig::sign_until(set, document, signable, &target, &options, &limits, lifetime::ends)
}

/// Verifies; what is not in the octets of an element that comes back is not authenticated: a signed
/// assertion says nothing of the Response around it. Whom its Issuer names is not looked at:
/// [`super::KnownPeer::verify`] does.
///
/// # Errors
/// Those of [`dsig::verify`].
pub fn verify(
    document: &[u8],
    expect: Expect<'_>,
    trust: Trust<'_>,
    policy: &PeerPolicy,
    limits: &XmlLimits,
) -> Result<Vec<VerifiedElement>> {
    verify_where(document, expect, trust, policy, limits, |_| Ok(()))
}

/// As [`verify`], of elements that `accept` takes as well: it says why not.
pub(super) fn verify_where(
    document: &[u8],
    expect: Expect<'_>,
    trust: Trust<'_>,
    policy: &PeerPolicy,
    limits: &XmlLimits,
    accept: impl Fn(Node<'_, '_>) -> Result<(), &'static str>,
) -> Result<Vec<VerifiedElement>> {
    let target = match expect {
        Expect::Any => Target::Signed { child: saml("Assertion") },
        Expect::Assertion(id) => Target::Element { name: saml("Assertion"), id },
        Expect::Message => Target::Root,
    };
    dsig::verify_where(document, &SIGNABLE, &target, trust, policy, limits, accept)
}

/// What SAML encrypts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "SAML core §2.2.4, §2.3.4, §2.7.3.2 and §3.6.1")]
pub enum Encryptable {
    /// `saml:EncryptedAssertion`.
    Assertion,
    /// `saml:EncryptedAttribute`.
    Attribute,
    /// `saml:EncryptedID`.
    Id,
    /// `samlp:NewEncryptedID`.
    NewId,
}

impl Encryptable {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Assertion, Self::Attribute, Self::Id, Self::NewId];

    /// The element around the EncryptedData.
    #[must_use]
    pub const fn wrapper(self) -> ElementName {
        match self {
            Self::Assertion => saml("EncryptedAssertion"),
            Self::Attribute => saml("EncryptedAttribute"),
            Self::Id => saml("EncryptedID"),
            Self::NewId => samlp("NewEncryptedID"),
        }
    }

    /// What may be inside.
    #[must_use]
    pub const fn content(self) -> &'static [ElementName] {
        const ASSERTION: &[ElementName] = &[saml("Assertion")];
        const ATTRIBUTE: &[ElementName] = &[saml("Attribute")];
        // SAML core §2.2.4: a whole assertion may stand in for a name.
        const ID: &[ElementName] = &[saml("NameID"), saml("BaseID"), saml("Assertion")];
        const NEW_ID: &[ElementName] = &[samlp("NewID")];
        match self {
            Self::Assertion => ASSERTION,
            Self::Attribute => ATTRIBUTE,
            Self::Id => ID,
            Self::NewId => NEW_ID,
        }
    }

    /// What [`encrypt`] looks for: an assertion is encrypted as one.
    const fn encrypted(self) -> &'static [ElementName] {
        const NAMES: &[ElementName] = &[saml("NameID"), saml("BaseID")];
        match self {
            Self::Id => NAMES,
            _ => self.content(),
        }
    }

    const fn place(self) -> Place {
        match self {
            Self::Assertion => Place::Top,
            Self::Attribute | Self::Id | Self::NewId => Place::Anywhere,
        }
    }
}

/// Encrypts the one element of `kind` in the document (for assertions: the document element or its one such
/// child) and puts the encrypted element in its place.
///
/// # Errors
/// Those of [`enc::encrypt`]; [`crate::error::ErrorKind::Usage`] if there is not exactly one such element, or one
/// around it is signed: names and attributes are encrypted first, then signed with what holds them (SAML core §6.2).
pub fn encrypt(
    recipient: Recipient<'_>,
    document: &[u8],
    kind: Encryptable,
    options: &EncryptOptions<'_>,
) -> Result<(String, Encrypted)> {
    let wanted = Wanted { wrapper: kind.wrapper(), place: kind.place(), content: kind.encrypted() };
    enc::encrypt_in(recipient, document, &wanted, options, &XmlLimits::MESSAGE)
}

/// Decrypts every element of `kind` with the valid aliases of `set`, in document order.
///
/// # Errors
/// Those of [`enc::decrypt`].
pub fn decrypt(
    set: &KeySet,
    document: &[u8],
    kind: Encryptable,
    policy: &PeerPolicy,
) -> Result<Vec<Decrypted>> {
    let wanted = Wanted { wrapper: kind.wrapper(), place: kind.place(), content: kind.content() };
    enc::decrypt(set, document, &wanted, policy, &XmlLimits::MESSAGE)
}
