//! A hosted provider: its scope, and what stands behind it now.

use std::sync::Arc;

use super::metadata::{self, MetadataOptions};
use super::redirect::{self, RedirectOptions, VerifiedQuery};
use super::{Encryptable, Expect, SamlScope, SamlUse, Signing, decrypt, sign, verify};
use crate::error::{Error, ErrorKind, Result};
use crate::keyring::Keyring;
use crate::label::LabelName;
use crate::ops::{KeySet, Label};
use crate::xmlsec::dsig::{SignOptions, Signed, VerifiedElement};
use crate::xmlsec::enc::Decrypted;
use crate::xmlsec::{PeerPolicy, Trust, XmlLimits};

/// The label that seals SAML state kept in the browser, as a JWE.
pub const STORAGE_LABEL: &str = "am.global.services.saml2.client.storage.jwt.encryption";
/// The label that signs metadata.
pub const METADATA_LABEL: &str = "am.services.saml2.metadata.signing.RSA";

/// A hosted provider as one realm sees it. Cheap to clone; each call works with the snapshot of its moment.
#[derive(Clone, Debug)]
pub struct SamlEntity {
    keyring: Keyring,
    scope: SamlScope,
}

impl Keyring {
    /// A handle on a hosted SAML provider.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if the identifier cannot stand in a label.
    pub fn saml(&self, scope: SamlScope) -> Result<SamlEntity> {
        scope.labels(SamlUse::Signing)?;
        Ok(SamlEntity { keyring: self.clone(), scope })
    }

    /// The label that seals SAML state kept in the browser.
    ///
    /// # Errors
    /// As [`Keyring::label`].
    pub fn saml_storage(&self) -> Result<Label> {
        self.label(STORAGE_LABEL)
    }
}

impl SamlEntity {
    /// Who it is.
    #[must_use]
    pub const fn scope(&self) -> &SamlScope {
        &self.scope
    }

    /// The keys for a purpose: those of the provider's own identifier if mapped, else those of its role; each
    /// in the realm, then globally.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`] if nothing is mapped.
    pub fn keys(&self, purpose: SamlUse) -> Result<Arc<KeySet>> {
        let labels = self.scope.labels(purpose)?;
        let snapshot = self.keyring.snapshot();
        let realm = self.scope.realm.as_ref();
        let found = labels.iter().find_map(|label| snapshot.find(realm, label));
        found.map(|set| set.asked_as_first(&labels, realm)).ok_or_else(|| {
            let names: Vec<String> = labels.iter().map(|label| format!("\"{label}\"")).collect();
            let realm = realm.map_or_else(String::new, |realm| format!(" in realm \"{realm}\""));
            let text = format!("no secret is mapped to {}{realm}", names.join(" or "));
            Error::new(ErrorKind::UnknownLabel, text)
                .with_help(
                    "`claviger generate ALIAS --stage LABEL --store STORE` makes and maps one; `claviger explain LABEL` \
                     shows which stores were asked",
                )
        })
    }

    /// The keys for a purpose, `None` if nothing is mapped.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if the identifier cannot stand in a label.
    pub fn keys_if_mapped(&self, purpose: SamlUse) -> Result<Option<Arc<KeySet>>> {
        match self.keys(purpose) {
            Ok(keys) => Ok(Some(keys)),
            Err(error) if error.kind() == ErrorKind::UnknownLabel => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Signs with the active alias.
    ///
    /// # Errors
    /// Those of [`sign`].
    pub fn sign(
        &self,
        document: &[u8],
        what: Signing<'_>,
        options: &SignOptions<'_>,
    ) -> Result<Signed> {
        sign(&*self.keys(SamlUse::Signing)?, document, what, options)
    }

    /// Verifies what this provider signed, with every valid alias.
    ///
    /// # Errors
    /// Those of [`verify`].
    pub fn verify(&self, document: &[u8], expect: Expect<'_>) -> Result<Vec<VerifiedElement>> {
        let keys = self.keys(SamlUse::Signing)?;
        let policy = PeerPolicy::default();
        // As much as is signed.
        verify(document, expect, Trust::Label(&keys), &policy, &XmlLimits::METADATA)
    }

    /// Decrypts with every valid alias.
    ///
    /// # Errors
    /// Those of [`decrypt`].
    pub fn decrypt(
        &self,
        document: &[u8],
        kind: Encryptable,
        policy: &PeerPolicy,
    ) -> Result<Vec<Decrypted>> {
        decrypt(&*self.keys(SamlUse::Encryption)?, document, kind, policy)
    }

    /// A query for the redirect binding, signed with the active alias.
    ///
    /// # Errors
    /// Those of [`redirect::sign`].
    pub fn sign_redirect(&self, message: &[u8], options: &RedirectOptions<'_>) -> Result<String> {
        Ok(redirect::sign(&*self.keys(SamlUse::Signing)?, message, options)?.query)
    }

    /// Verifies a query that this provider signed, with every valid alias.
    ///
    /// # Errors
    /// Those of [`redirect::verify`].
    pub fn verify_redirect(&self, query: &str) -> Result<VerifiedQuery> {
        let keys = self.keys(SamlUse::Signing)?;
        // As it is asked to sign them.
        let policy = PeerPolicy { der_ecdsa: true, ..PeerPolicy::default() };
        redirect::verify(query, Trust::Label(&keys), &policy, &XmlLimits::MESSAGE)
    }

    /// Shows the password of back channels to `read`. `None` if no label is mapped: then the password of the
    /// provider's own configuration counts.
    ///
    /// # Errors
    /// [`ErrorKind::WrongUse`].
    pub fn basic_auth<T>(&self, read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let snapshot = self.keyring.snapshot();
        let mapped = self.scope.labels(SamlUse::BasicAuth)?;
        let realm = self.scope.realm.as_ref();
        let mapped = mapped.iter().find(|label| snapshot.find(realm, label).is_some());
        let Some(label) = mapped else { return Ok(None) };
        let label = match realm {
            Some(realm) => self.keyring.realm(realm.as_str())?.label(label.as_str())?,
            None => self.keyring.label(label.as_str())?,
        };
        label.reveal(read).map(Some)
    }

    /// This provider's metadata, unsigned: its keys of now.
    ///
    /// # Errors
    /// Those of [`metadata::write`] and [`SamlEntity::keys`].
    pub fn metadata(&self, options: &MetadataOptions<'_>) -> Result<String> {
        metadata::write(
            self.scope.role,
            &*self.keys(SamlUse::Signing)?,
            self.keys_if_mapped(SamlUse::Encryption)?.as_deref(),
            self.keys_if_mapped(SamlUse::Mtls)?.as_deref(),
            options,
        )
    }

    /// Signs metadata, and nothing else, with the label that is for it.
    ///
    /// # Errors
    /// Those of [`sign`]; [`ErrorKind::UnknownLabel`].
    pub fn sign_metadata(&self, document: &[u8], options: &SignOptions<'_>) -> Result<Signed> {
        let label: LabelName = METADATA_LABEL.parse()?;
        let snapshot = self.keyring.snapshot();
        let keys = snapshot.keys(self.scope.realm.as_ref(), &label)?;
        sign(keys, document, Signing::Metadata, options)
    }
}
