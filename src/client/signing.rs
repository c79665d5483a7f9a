//! Signatures by label: tokens and bare signatures.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::wire::{decoded, encoded, parse};
use super::{Label, Problem, Result, Token};
use crate::jose::Serialization;

/// How a token is signed.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "options, set with `..SignOptions::default()`")]
pub struct SignOptions {
    /// The algorithm; absent: the label's first that fits its active alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// The `typ` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
    /// The `cty` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cty: Option<String>,
    /// How the token is written.
    #[serde(serialize_with = "written")]
    pub serialization: Serialization,
    /// Leaves the payload out of the token (RFC 7515 appendix F).
    pub detached: bool,
    /// Signs the payload as it is, `b64=false` (RFC 7797); only with `detached`.
    pub unencoded: bool,
    /// Until when a token without `exp` is used, in seconds since 1970; absent: the label's lifetime of tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

pub(super) fn written<S: serde::Serializer>(
    serialization: &Serialization,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match serialization {
        Serialization::Compact => "compact",
        Serialization::Flattened => "flattened",
        Serialization::General => "general",
    })
}

#[derive(Serialize)]
struct SignBody<'a> {
    payload: String,
    #[serde(flatten)]
    options: &'a SignOptions,
}

/// A token, and who made it.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Made {
    /// The token.
    pub token: Token,
    /// The alias that made it.
    pub alias: String,
    /// Its kid.
    pub kid: String,
}

/// What a token must be, besides signed by a valid alias.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "options, set with `..VerifyOptions::default()`")]
pub struct VerifyOptions {
    /// The payload of a token that comes without it.
    pub detached_payload: Option<Vec<u8>>,
    /// The `typ` that it must have, in its protected header.
    pub typ: Option<String>,
    /// What its claims must say; absent: they are not looked at.
    pub checks: Option<Checks>,
    /// Answers the header as well.
    pub header: bool,
}

/// What claims must say (RFC 7519 §4.1). `exp`, `nbf` and `iat` must hold where they are there.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "options, set with `..Checks::default()`")]
pub struct Checks {
    /// The `iss` that they must name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The `aud` that they must name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How far clocks may differ, in seconds.
    pub skew: u32,
    /// Claims that must be there.
    pub require: Vec<String>,
}

#[derive(Serialize)]
struct VerifyBody<'a> {
    token: Token,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    typ: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<&'a Checks>,
    #[serde(rename = "as")]
    form: &'static str,
    header: bool,
}

impl<'a> VerifyBody<'a> {
    fn new(token: Token, options: &'a VerifyOptions) -> Self {
        Self {
            token,
            payload: options.detached_payload.as_deref().map(encoded),
            typ: options.typ.as_deref(),
            checks: options.checks.as_ref(),
            form: "payload",
            header: options.header,
        }
    }
}

/// What verified.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Verified {
    /// What was signed.
    pub payload: Vec<u8>,
    /// The alias that verified.
    pub alias: String,
    /// Its kid.
    pub kid: String,
    /// The algorithm.
    pub alg: String,
    /// The header, if it was asked for.
    pub header: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct VerifiedBody<'b> {
    payload: &'b str,
    alias: String,
    kid: String,
    alg: String,
    header: Option<Map<String, Value>>,
}

fn verified(bytes: &[u8]) -> Result<Verified> {
    let VerifiedBody { payload, alias, kid, alg, header } = parse(bytes)?;
    Ok(Verified { payload: decoded(payload)?, alias, kid, alg, header })
}

/// The hash of a digest that was made elsewhere (FIPS 180-4).
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub enum DigestHash {
    /// 32 bytes: of ES256, RS256 and PS256.
    #[serde(rename = "SHA-256")]
    Sha256,
    /// 48 bytes: of ES384, RS384 and PS384.
    #[serde(rename = "SHA-384")]
    Sha384,
    /// 64 bytes: of ES512, RS512 and PS512.
    #[serde(rename = "SHA-512")]
    Sha512,
}

/// A bare signature.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct RawSignature {
    /// The signature; of ECDSA `r‖s`.
    #[serde(deserialize_with = "bytes")]
    pub signature: Vec<u8>,
    /// The alias that made it.
    pub alias: String,
    /// Its kid.
    pub kid: String,
    /// The algorithm.
    pub alg: String,
}

fn bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    decoded(&text).map_err(serde::de::Error::custom)
}

/// Which key made a bare signature.
#[derive(Clone, Debug, Deserialize)]
#[must_use]
#[non_exhaustive]
pub struct RawVerified {
    /// The alias that verified.
    pub alias: String,
    /// Its kid.
    pub kid: String,
    /// The algorithm.
    pub alg: String,
}

/// What a bare signature is of, by its members.
#[derive(Serialize)]
#[serde(untagged)]
enum Signed {
    Digest { digest: String, hash: DigestHash },
    Message { message: String },
}

impl Signed {
    fn digest(hash: DigestHash, digest: &[u8]) -> Self {
        Self::Digest { digest: encoded(digest), hash }
    }

    fn message(message: &[u8]) -> Self {
        Self::Message { message: encoded(message) }
    }
}

#[derive(Serialize)]
struct RawBody<'a> {
    #[serde(flatten)]
    signed: Signed,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<&'a str>,
}

impl Label {
    /// Signs with the active alias, octet for octet.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn sign(&self, payload: &[u8]) -> Result<Made> {
        self.sign_with(payload, &SignOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn sign_with(&self, payload: &[u8], options: &SignOptions) -> Result<Made> {
        self.act("sign", &SignBody { payload: encoded(payload), options })
    }

    /// Signs several payloads: a result each, in their order.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError) of the batch as a whole.
    pub fn sign_all(
        &self,
        payloads: &[&[u8]],
        options: &SignOptions,
    ) -> Result<Vec<Result<Made, Problem>>> {
        let items = payloads.iter().map(|one| SignBody { payload: encoded(one), options });
        self.act_all("sign", items.collect(), |bytes| parse(bytes))
    }

    /// Verifies with every valid alias.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError); `not_verified`, whatever is wrong with the token.
    pub fn verify(&self, token: impl Into<Token>) -> Result<Verified> {
        self.verify_with(token, &VerifyOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError); `claims_rejected` for claims that do not pass the checks.
    pub fn verify_with(
        &self,
        token: impl Into<Token>,
        options: &VerifyOptions,
    ) -> Result<Verified> {
        let answer = self.send("verify", &VerifyBody::new(token.into(), options))?;
        // EXPOSE: to the caller, who asked for it.
        verified(answer.body.expose_secret())
    }

    /// Verifies several tokens: a result each, in their order.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError) of the batch as a whole.
    pub fn verify_all(
        &self,
        tokens: &[Token],
        options: &VerifyOptions,
    ) -> Result<Vec<Result<Verified, Problem>>> {
        let items = tokens.iter().map(|token| VerifyBody::new(token.clone(), options));
        self.act_all("verify", items.collect(), verified)
    }

    /// Makes a bare signature; without an algorithm, with the label's first that fits.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn sign_raw(&self, message: &[u8], alg: Option<&str>) -> Result<RawSignature> {
        let signed = Signed::message(message);
        self.act("raw/sign", &RawBody { signed, signature: None, alg })
    }

    /// Checks a bare signature; without an algorithm, with every one that the label allows.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError).
    pub fn verify_raw(
        &self,
        message: &[u8],
        signature: &[u8],
        alg: Option<&str>,
    ) -> Result<RawVerified> {
        let (signed, signature) = (Signed::message(message), Some(encoded(signature)));
        self.act("raw/verify", &RawBody { signed, signature, alg })
    }

    /// Makes a bare signature of a message that stays where it is, from its digest: the bytes, not their text. Without an
    /// algorithm, with the label's first of this hash that fits. ECDSA and RSA sign digests; EdDSA and HMAC need the
    /// message.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError); `malformed` for a digest that is not as long as those of its hash, `usage` if
    /// the label signs none of this hash.
    pub fn sign_digest(
        &self,
        hash: DigestHash,
        digest: &[u8],
        alg: Option<&str>,
    ) -> Result<RawSignature> {
        let signed = Signed::digest(hash, digest);
        self.act("raw/sign", &RawBody { signed, signature: None, alg })
    }

    /// Checks a bare signature by the digest of its message, whether it was made of the digest or of the message; without
    /// an algorithm, with every one of this hash that the label allows.
    ///
    /// # Errors
    /// [`ClientError`](super::ClientError); `not_verified` for another digest, `malformed` and `usage` as of
    /// [`sign_digest`](Self::sign_digest).
    pub fn verify_digest(
        &self,
        hash: DigestHash,
        digest: &[u8],
        signature: &[u8],
        alg: Option<&str>,
    ) -> Result<RawVerified> {
        let (signed, signature) = (Signed::digest(hash, digest), Some(encoded(signature)));
        self.act("raw/verify", &RawBody { signed, signature, alg })
    }
}
