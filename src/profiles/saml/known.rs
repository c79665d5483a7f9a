//! A peer as it is known: by its metadata, or by certificates alone.

use std::time::SystemTime;

use super::messages::verify_where;
use super::metadata::{PeerMetadata, PeerRole};
use super::redirect::{self, VerifiedQuery};
use super::{Expect, SamlRole, saml, samlp};
use crate::alg::Algorithm;
use crate::error::{Error, ErrorKind, Result};
use crate::xmlsec::dsig::VerifiedElement;
use crate::xmlsec::enc::{EncryptOptions, Encrypted};
use crate::xmlsec::{
    Node, PeerKey, PeerKeys, PeerPolicy, Trust, XmlLimits, children_named, full_text,
};

/// What is known of a peer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KnownPeer {
    /// Its certificates.
    Certificates(PeerKeys),
    /// Its entity ID and one role of its metadata.
    Role(String, Box<PeerRole>),
}

impl KnownPeer {
    /// By certificates: one in DER, or PEM with any number of them.
    ///
    /// # Errors
    /// Those of [`PeerKeys::from_file`].
    pub fn from_certificates(bytes: &[u8]) -> Result<Self> {
        PeerKeys::from_file(bytes).map(Self::Certificates)
    }

    /// By metadata that may be used at `now`: of the entity that is named, if there are several, and of one role,
    /// which must be named if it has both.
    ///
    /// # Errors
    /// Those of [`PeerMetadata::read`] and [`PeerMetadata::require_current`]; [`ErrorKind::Usage`] without the role.
    pub fn from_metadata(
        document: &[u8],
        entity_id: Option<&str>,
        role: Option<SamlRole>,
        now: SystemTime,
    ) -> Result<Self> {
        let read = PeerMetadata::read(document, entity_id, &XmlLimits::METADATA)?;
        read.require_current(now)?;
        let role = role_of(&read, role)?.clone();
        role.require_current(now)?;
        Ok(Self::Role(read.entity_id, Box::new(role)))
    }

    /// What verifies its signatures.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if there is none.
    pub fn signing_keys(&self) -> Result<PeerKeys> {
        match self {
            Self::Certificates(keys) => Ok(keys.clone()),
            Self::Role(_, role) => role.signing_keys(),
        }
    }

    /// Verifies what it signed. Of a peer that is known by its metadata only what names no other entity as its Issuer
    /// counts: hosts of many entities sign with one key for all of them (SAML core §2.2.5). A service provider makes
    /// neither assertions nor a Response.
    ///
    /// # Errors
    /// Those of [`KnownPeer::signing_keys`] and [`super::verify`].
    pub fn verify(
        &self,
        document: &[u8],
        expect: Expect<'_>,
        policy: &PeerPolicy,
        limits: &XmlLimits,
    ) -> Result<Vec<VerifiedElement>> {
        let keys = self.signing_keys()?;
        let trust = Trust::Certificates(&keys);
        verify_where(document, expect, trust, policy, limits, |element| self.made(element))
    }

    /// Verifies a raw query that it signed; whose message counts is as in [`KnownPeer::verify`].
    ///
    /// # Errors
    /// Those of [`KnownPeer::signing_keys`] and [`redirect::verify`].
    pub fn verify_redirect(
        &self,
        query: &str,
        policy: &PeerPolicy,
        limits: &XmlLimits,
    ) -> Result<VerifiedQuery> {
        let keys = self.signing_keys()?;
        let trust = Trust::Certificates(&keys);
        redirect::verify_where(query, trust, policy, limits, |message| self.made(message))
    }

    /// Whether an element with its signature can be its own.
    fn made(&self, element: Node<'_, '_>) -> Result<(), &'static str> {
        let Self::Role(entity_id, role) = self else { return Ok(()) };
        let names = |issuer: Node<'_, '_>| full_text(issuer).trim_ascii() == entity_id;
        if !children_named(element, saml("Issuer")).all(names) {
            return Err(
                "its Issuer is another entity than the metadata are of; where that is meant, trust the certificates \
                 themselves",
            );
        }
        let of_idp = [saml("Assertion"), samlp("Response")];
        if role.descriptor == SamlRole::Sp.descriptor() && of_idp.iter().any(|one| one.is(element))
        {
            return Err("a service provider makes neither assertions nor a Response");
        }
        Ok(())
    }

    /// What to encrypt to, and how if its metadata say so.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if there is none.
    pub fn recipient(&self, policy: PeerPolicy) -> Result<(PeerKey, EncryptOptions<'static>)> {
        match self {
            Self::Certificates(keys) => {
                let keys = keys.keys();
                let found = keys.iter().find(|key| key.is_recipient()).or_else(|| keys.first());
                let key = found.cloned().ok_or_else(|| {
                    Error::new(ErrorKind::Usage, "there is no certificate to encrypt to")
                })?;
                Ok((key, EncryptOptions { policy, ..EncryptOptions::default() }))
            }
            Self::Role(_, role) => {
                let found = role.recipient(policy)?;
                Ok((found.key.clone(), found.encrypt_options(policy)))
            }
        }
    }

    /// What of `made` its metadata do not name though they name others for the same; nothing of one that is known by
    /// its certificates.
    #[must_use]
    pub fn unnamed(&self, policy: PeerPolicy, made: &Encrypted) -> Vec<&'static Algorithm> {
        let recipient = self.role().and_then(|role| role.recipient(policy).ok());
        recipient.map(|one| one.unnamed(made)).unwrap_or_default()
    }

    /// Its role and what that prefers, if metadata say so.
    #[must_use]
    pub fn role(&self) -> Option<&PeerRole> {
        match self {
            Self::Certificates(_) => None,
            Self::Role(_, role) => Some(role),
        }
    }

    /// Its entity ID, if metadata say so.
    #[must_use]
    pub fn entity_id(&self) -> Option<&str> {
        match self {
            Self::Certificates(_) => None,
            Self::Role(entity_id, _) => Some(entity_id),
        }
    }
}

fn role_of(read: &PeerMetadata, role: Option<SamlRole>) -> Result<&PeerRole> {
    if let Some(role) = role {
        return read.role(role).ok_or_else(|| {
            let text = format!("the metadata has no {} for SAML 2.0", role.descriptor());
            Error::new(ErrorKind::Usage, text).with_help(other_roles(read))
        });
    }
    let roles = [SamlRole::Idp, SamlRole::Sp];
    let mut found = roles.iter().filter_map(|role| read.role(*role));
    match (found.next(), found.next()) {
        (Some(role), None) => Ok(role),
        (None, _) => Err(Error::new(
            ErrorKind::Usage,
            "the metadata has neither an identity provider nor a service provider for SAML 2.0",
        )
        .with_help(other_roles(read))),
        _ => Err(Error::new(ErrorKind::Usage, "the peer has both roles").with_help(
            "say which is meant, idp or sp: --peer-role on the command line, \"role\" in a body",
        )),
    }
}

/// What the metadata has instead.
fn other_roles(read: &PeerMetadata) -> String {
    let name = |role: &PeerRole| {
        let protocols = role.protocols.join(" ");
        format!("{} ({})", role.descriptor.escape_debug(), protocols.escape_debug())
    };
    match read.roles.as_slice() {
        [] => "have the peer's metadata with its IDPSSODescriptor or SPSSODescriptor".to_owned(),
        roles => format!("it has {}", roles.iter().map(name).collect::<Vec<_>>().join(", ")),
    }
}
