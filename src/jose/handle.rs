//! JOSE in one call on a [`Label`].

use super::jwe::{self, Decrypted, EncryptOptions};
use super::jws::{self, SignOptions, Verified, VerifyOptions};
use crate::error::Result;
use crate::ops::Label;

impl Label {
    /// Signs `payload` as a compact JWS with the active key and the label's preferred algorithm.
    ///
    /// # Errors
    /// Those of [`jws::sign`].
    pub fn sign(&self, payload: &[u8]) -> Result<String> {
        self.with_keys(|keys| jws::sign(keys, payload, &SignOptions::default()))
    }

    /// Checks a compact JWS against every valid key.
    ///
    /// # Errors
    /// Those of [`jws::verify`].
    pub fn verify(&self, token: &str) -> Result<Verified> {
        self.with_keys(|keys| jws::verify(keys, token, &VerifyOptions::default()))
    }

    /// Encrypts `plaintext` as a compact JWE for the active key.
    ///
    /// # Errors
    /// Those of [`jwe::encrypt`].
    pub fn encrypt(&self, plaintext: &[u8]) -> Result<String> {
        self.with_keys(|keys| jwe::encrypt(keys, plaintext, &EncryptOptions::default()))
    }

    /// Decrypts a compact JWE with every valid key.
    ///
    /// # Errors
    /// Those of [`jwe::decrypt`].
    pub fn decrypt(&self, token: &str) -> Result<Decrypted> {
        self.with_keys(|keys| jwe::decrypt(keys, token))
    }
}
