//! The one way in which a key makes something: its use is written down before that leaves. What cannot be written
//! down was made for nobody.
//!
//! Nothing else in the library calls the primitives that sign, wrap or seal with a label's key; a test over
//! the sources holds that.

use crate::alg::{Algorithm, Family};
use crate::crypto::cipher::{self, EstablishedKey, KeyManagementHeader, Sealed};
use crate::crypto::sign::{self, MAX_SIGNATURE_BYTES};
use crate::crypto::{self, GivenDigest};
use crate::error::Result;
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::secret::SecretBytes;
use crate::usage::{Life, NEVER};

/// Who says when something that is signed ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End<'p> {
    /// Whoever wrote the payload: this second since 1970.
    Known(u64),
    /// The `exp` of this payload, else this second.
    OfPayload(&'p [u8], Option<u64>),
}

impl KeySet {
    /// Signs `input` with the active key; `end` says how long that lives.
    ///
    /// # Errors
    /// Those of [`crate::usage::KeyUsage::before_signing`];
    /// [`crate::error::ErrorKind::KeyUnfit`] if the key does not fit the row.
    pub(crate) fn sign_payload<'b>(
        &self,
        algorithm: &Algorithm,
        end: End<'_>,
        input: &[u8],
        buffer: &'b mut [u8; MAX_SIGNATURE_BYTES],
    ) -> Result<&'b [u8]> {
        let active = self.active();
        let signature = sign::sign_into(&active.key, algorithm, input, buffer)?;
        // While HMAC waits for its last rounds, the processor looks for `exp`.
        match end {
            End::Known(end) => active.usage.before_signing(until(end))?,
            End::OfPayload(payload, expires) => {
                let otherwise = expires.map_or(Life::Open, until);
                active.usage.before_signing_payload(payload, otherwise)?;
            }
        }
        Ok(signature)
    }

    /// Signs bytes that say nothing themselves; `expires` is when they end, if that is known.
    ///
    /// # Errors
    /// As [`KeySet::sign_payload`].
    pub(crate) fn sign_bytes<'b>(
        &self,
        algorithm: &Algorithm,
        (bytes, expires): (&[u8], Option<u64>),
        buffer: &'b mut [u8; MAX_SIGNATURE_BYTES],
    ) -> Result<&'b [u8]> {
        let active = self.active();
        let signature = sign::sign_into(&active.key, algorithm, bytes, buffer)?;
        active.usage.before_signing(expires.map_or(Life::Open, until))?;
        Ok(signature)
    }

    /// Signs a digest that was made elsewhere.
    ///
    /// # Errors
    /// As [`KeySet::sign_payload`].
    pub(crate) fn sign_given<'b>(
        &self,
        algorithm: &Algorithm,
        digest: &GivenDigest,
        buffer: &'b mut [u8; MAX_SIGNATURE_BYTES],
    ) -> Result<&'b [u8]> {
        let active = self.active();
        let signature = crypto::sign_digest_into(&active.key, algorithm, digest, buffer)?;
        active.usage.before_signing(Life::Open)?;
        Ok(signature)
    }

    /// Makes or agrees on a content key for the active key, as [`cipher::establish`] does; `expires` is when the
    /// token ends, if that is known.
    ///
    /// # Errors
    /// Those of [`crate::usage::KeyUsage::before_encrypting`] and of [`cipher::establish`].
    pub(crate) fn establish(
        &self,
        algorithm: &Algorithm,
        enc: &Algorithm,
        given: &KeyManagementHeader,
        expires: Option<u64>,
    ) -> Result<EstablishedKey> {
        let active = self.active();
        let made = cipher::establish(&active.key, algorithm, enc, given, None)?;
        let life = expires.map_or(Life::Open, until);
        let random_nonce = matches!(algorithm.family, Family::AesGcmKw(_));
        active.usage.before_encrypting_for(life, random_nonce)?;
        Ok(made)
    }

    /// The active key to wrap a content key for, its use written down: for a format that wraps for the keys of
    /// peers in the same way.
    ///
    /// # Errors
    /// Those of [`crate::usage::KeyUsage::before_encrypting`].
    #[cfg(feature = "saml")]
    pub(crate) fn recipient(&self) -> Result<&crypto::Key> {
        let active = self.active();
        active.usage.before_encrypting(false)?;
        Ok(&active.key)
    }

    /// Encrypts under the active key itself, as [`cipher::seal_direct`] does; `expires` as of
    /// [`KeySet::establish`].
    ///
    /// # Errors
    /// Those of [`crate::usage::KeyUsage::before_encrypting`] and of [`cipher::seal_direct`].
    pub(crate) fn seal_direct(
        &self,
        enc: &Algorithm,
        authenticated: &[u8],
        content: &[u8],
        expires: Option<u64>,
    ) -> Result<Sealed> {
        let active = self.active();
        let sealed = cipher::seal_direct(&active.key, enc, authenticated, content)?;
        let life = expires.map_or(Life::Open, until);
        active.usage.before_encrypting_for(life, matches!(enc.family, Family::AesGcm(_)))?;
        Ok(sealed)
    }
}

impl KeySet {
    /// Opens what [`LabelKey::seal`] made with any valid key.
    ///
    /// # Errors
    /// That of the active key, as [`LabelKey::unseal`].
    pub fn unseal(&self, text: &str) -> Result<SecretBytes> {
        let first = self.active().unseal(text);
        let others = self.keys().iter().skip(1);
        first.or_else(|error| others.map(|key| key.unseal(text)).find_map(Result::ok).ok_or(error))
    }
}

impl LabelKey {
    /// Signs a TLS handshake, which nobody checks later: ECDSA in DER (RFC 8446 §4.2.3).
    ///
    /// # Errors
    /// Those of [`crate::usage::KeyUsage::before_signing`];
    /// [`crate::error::ErrorKind::KeyUnfit`] if the key does not fit the row.
    #[cfg(feature = "tls")]
    pub(crate) fn sign_handshake(&self, algorithm: &Algorithm, message: &[u8]) -> Result<Vec<u8>> {
        self.usage.before_signing(Life::Open)?;
        sign::sign_handshake(&self.key, algorithm, message)
    }

    /// Seals a value for the `encrypted-*` volume formats under this key.
    ///
    /// # Errors
    /// Those of [`crate::usage::KeyUsage::before_encrypting`];
    /// [`crate::error::ErrorKind::KeyUnfit`] if it is no symmetric key or password.
    pub fn seal(&self, value: &SecretBytes) -> Result<String> {
        self.usage.before_encrypting(true)?;
        // EXPOSE: into the cipher.
        crate::stores::seal_with(&self.key, value)
    }

    /// Opens what [`LabelKey::seal`] made.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Malformed`], [`crate::error::ErrorKind::NotDecrypted`].
    pub fn unseal(&self, text: &str) -> Result<SecretBytes> {
        let value = crate::stores::unseal_with(&self.key, text)?;
        self.usage.decrypted();
        Ok(value)
    }
}

/// The life of what ends at this second since 1970.
fn until(end: u64) -> Life {
    Life::Until(end.min(NEVER))
}
