//! Encryption by label: plaintexts are wiped when they are dropped.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::signing::{Made, written};
use super::wire::{decoded, encoded, parse};
use super::{Label, Problem, Result, Token};
use crate::jose::Serialization;
use crate::secret::{SecretBytes, SecretString};

/// How a plaintext is encrypted.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "options, set with `..EncryptOptions::default()`")]
pub struct EncryptOptions {
    /// The key management algorithm; absent: the label's first that fits its active alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// The content encryption; absent: the label's first that fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enc: Option<String>,
    /// The `typ` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
    /// The `cty` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cty: Option<String>,
    /// `apu` (RFC 7518 §4.6.1.2).
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "base64url")]
    pub apu: Option<Vec<u8>>,
    /// `apv`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "base64url")]
    pub apv: Option<Vec<u8>>,
    /// Additional authenticated data; only of the JSON forms.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "base64url")]
    pub aad: Option<Vec<u8>>,
    /// Compresses first; the label must allow it.
    pub zip: bool,
    /// How the token is written.
    #[serde(serialize_with = "written")]
    pub serialization: Serialization,
    /// Until when a token without `exp` is used, in seconds since 1970; absent: the label's lifetime of tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

fn base64url<S: serde::Serializer>(
    bytes: &Option<Vec<u8>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&encoded(bytes.as_deref().unwrap_or_default()))
}

#[derive(Serialize)]
struct EncryptBody<'a> {
    #[serde(serialize_with = "exposed")]
    payload: SecretString,
    #[serde(flatten)]
    options: &'a EncryptOptions,
}

impl<'a> EncryptBody<'a> {
    fn new(plaintext: &[u8], options: &'a EncryptOptions) -> Self {
        Self { payload: SecretString::from_string(encoded(plaintext)), options }
    }
}

fn exposed<S: serde::Serializer>(text: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    // EXPOSE: into the body of the request, which is wiped.
    serializer.serialize_str(text.expose_secret())
}

#[derive(Serialize)]
struct TokenBody {
    token: Token,
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    form: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    header: bool,
}

impl TokenBody {
    const fn to_decrypt(token: Token) -> Self {
        Self { token, form: Some("payload"), header: true }
    }

    const fn to_rewrap(token: Token) -> Self {
        Self { token, form: None, header: false }
    }
}

/// What decrypted.
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub struct Decrypted {
    /// What was encrypted.
    pub plaintext: SecretBytes,
    /// The alias that decrypted.
    pub alias: String,
    /// Its kid.
    pub kid: String,
    /// The key management algorithm.
    pub alg: String,
    /// The content encryption.
    pub enc: String,
    /// The header.
    pub header: Map<String, Value>,
}

#[derive(Deserialize)]
struct DecryptedBody<'b> {
    payload: &'b str,
    alias: String,
    kid: String,
    alg: String,
    enc: String,
    header: Map<String, Value>,
}

fn decrypted(bytes: &[u8]) -> Result<Decrypted> {
    let DecryptedBody { payload, alias, kid, alg, enc, header } = parse(bytes)?;
    let plaintext = SecretBytes::from_vec(decoded(payload)?);
    Ok(Decrypted { plaintext, alias, kid, alg, enc, header })
}

/// The same content for the active alias.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Rewrapped {
    /// The new token, and who made it.
    #[serde(flatten)]
    pub made: Made,
    /// What opened the old one.
    pub from: OpenedBy,
}

/// A key that opened a token.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct OpenedBy {
    /// Its alias.
    pub alias: String,
    /// Its kid.
    pub kid: String,
}

impl Label {
    /// Encrypts for the active alias.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn encrypt(&self, plaintext: &[u8]) -> Result<Made> {
        self.encrypt_with(plaintext, &EncryptOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn encrypt_with(&self, plaintext: &[u8], options: &EncryptOptions) -> Result<Made> {
        self.act("encrypt", &EncryptBody::new(plaintext, options))
    }

    /// Encrypts several plaintexts: a result each, in their order.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError) of the batch as a whole.
    pub fn encrypt_all(
        &self,
        plaintexts: &[&[u8]],
        options: &EncryptOptions,
    ) -> Result<Vec<Result<Made, Problem>>> {
        let items = plaintexts.iter().map(|one| EncryptBody::new(one, options));
        self.act_all("encrypt", items.collect(), |bytes| parse(bytes))
    }

    /// Decrypts with every valid alias.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError); `not_decrypted`, whatever is wrong with the token.
    pub fn decrypt(&self, token: impl Into<Token>) -> Result<Decrypted> {
        let answer = self.send("decrypt", &TokenBody::to_decrypt(token.into()))?;
        // EXPOSE: to the caller, who asked for it, in a wiped buffer again.
        decrypted(answer.body.expose_secret())
    }

    /// Decrypts several tokens: a result each, in their order.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError) of the batch as a whole.
    pub fn decrypt_all(&self, tokens: &[Token]) -> Result<Vec<Result<Decrypted, Problem>>> {
        let items = tokens.iter().cloned().map(TokenBody::to_decrypt);
        self.act_all("decrypt", items.collect(), decrypted)
    }

    /// Encrypts again for the active alias; nobody sees the plaintext.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn rewrap(&self, token: impl Into<Token>) -> Result<Rewrapped> {
        self.act("rewrap", &TokenBody::to_rewrap(token.into()))
    }

    /// Encrypts several tokens again: a result each, in their order.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError) of the batch as a whole.
    pub fn rewrap_all(&self, tokens: &[Token]) -> Result<Vec<Result<Rewrapped, Problem>>> {
        let items = tokens.iter().cloned().map(TokenBody::to_rewrap);
        self.act_all("rewrap", items.collect(), |bytes| parse(bytes))
    }
}
