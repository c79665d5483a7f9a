//! Signatures by label: tokens and bare signatures.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::access::Right;
use crate::alg::Hash;
use crate::error::{Error, ErrorKind, Result};
use crate::jose::claims::{self, ClaimRules};
use crate::jose::jws::{self, SignOptions, VerifyOptions};
use crate::json::{Lone, ObjectWriter};
use crate::ops::{self, GivenDigest, KeySet, LabelKey};
use crate::service::answer::ToJson;
use crate::service::call::Call;
use crate::service::content::{
    Content, Form, Input, KeyNames, MadeToken, Object, Text, Token, Written, decoded, encoded,
    put_names,
};
use crate::service::operation::Operation;
use crate::service::route::Route;

pub(super) fn routes() -> Vec<Route> {
    [
        Route::operation::<Sign>("sign", Right::Sign, "Sign with the active alias"),
        Route::operation::<Verify>("verify", Right::Verify, "Verify with every valid alias"),
        Route::operation::<SignRaw>(
            "raw/sign",
            Right::Sign,
            "Make a bare signature with the active alias",
        ),
        Route::operation::<VerifyRaw>(
            "raw/verify",
            Right::Verify,
            "Check a bare signature with every valid alias",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

struct Sign;

/// What is to be signed: one of `claims`, `payload` and `text`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SignRequest<'b> {
    /// A JSON object, signed as it stands in the request.
    #[serde(borrow)]
    #[schemars(with = "Option<Map<String, Value>>")]
    claims: Option<Object<'b>>,
    /// Bytes in base64url.
    payload: Option<Text<'b>>,
    /// Text, signed as UTF-8.
    text: Option<Text<'b>>,
    /// The algorithm; absent: the label's first that fits its active alias.
    alg: Option<String>,
    /// The `typ` header.
    typ: Option<String>,
    /// The `cty` header.
    cty: Option<String>,
    /// How the token is written.
    #[serde(default)]
    serialization: Written,
    /// Leaves the payload out of the token (RFC 7515 appendix F).
    #[serde(default)]
    detached: bool,
    /// Signs the payload as it is, `b64=false` (RFC 7797); only with `detached`.
    #[serde(default)]
    unencoded: bool,
    /// Until when a token without `exp` is used, in seconds since 1970; absent: the label's lifetime of tokens.
    expires: Option<u64>,
}

/// A token, and who made it.
#[derive(JsonSchema)]
pub(super) struct Made<'k> {
    /// The token.
    pub(super) token: MadeToken,
    /// The alias that made it.
    pub(super) alias: &'k str,
    /// Its kid.
    pub(super) kid: &'k str,
}

impl<'k> Made<'k> {
    pub(super) fn with(keys: &'k KeySet, token: MadeToken) -> Self {
        let active = keys.active();
        Self { token, alias: active.alias.as_str(), kid: &active.kid }
    }

    /// Adds its members to an answer.
    pub(super) fn put(&self, answer: &mut ObjectWriter<'_>) {
        self.token.put(answer);
        answer.text("alias", self.alias);
        answer.text("kid", self.kid);
    }
}

impl ToJson for Made<'_> {
    fn write_json(&self, out: &mut Vec<u8>) {
        let mut answer = ObjectWriter::new(out);
        self.put(&mut answer);
        answer.end();
    }
}

impl Operation for Sign {
    type Item<'b> = SignRequest<'b>;
    type Done<'k> = Made<'k>;

    const LONE: Option<Lone> = Some(Lone::Object("claims"));

    fn of_lone(claims: &str) -> Option<SignRequest<'_>> {
        Some(SignRequest { claims: Some(Object::strict(claims)), ..SignRequest::default() })
    }

    fn act<'k>(_: &Call<'_>, keys: &'k KeySet, item: SignRequest<'_>) -> Result<Made<'k>> {
        let SignRequest { claims, payload, text, .. } = item;
        let payload = Input { claims, payload, text }.required()?;
        let options = SignOptions {
            algorithm: item.alg.map(Into::into),
            typ: item.typ.map(Into::into),
            cty: item.cty.map(Into::into),
            serialization: item.serialization.into(),
            detached: item.detached,
            unencoded: item.unencoded,
            expires: item.expires,
            ..SignOptions::default()
        };
        let token = jws::sign(keys, &payload, &options)?;
        Ok(Made::with(keys, MadeToken::new(token, options.serialization)))
    }

    fn key<'d>(done: &'d Made<'_>) -> (&'d str, &'d str) {
        (done.alias, done.kid)
    }
}

struct Verify;

/// What is to be verified. A token without its payload comes with one of `claims`, `payload` and `text`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VerifyRequest<'b> {
    /// The token.
    #[serde(borrow)]
    token: Token<'b>,
    /// The detached payload: a JSON object, as it stands in the request.
    #[schemars(with = "Option<Map<String, Value>>")]
    claims: Option<Object<'b>>,
    /// The detached payload in base64url.
    payload: Option<Text<'b>>,
    /// The detached payload as text.
    text: Option<Text<'b>>,
    /// The `typ` that it must have, in its protected header.
    typ: Option<Text<'b>>,
    /// What its claims must say; absent: they are not looked at.
    checks: Option<Checks>,
    /// How the payload is answered.
    #[serde(default, rename = "as")]
    form: Form,
    /// Answers the header as well; of a JSON form with the members that are not protected, which anybody may add.
    #[serde(default)]
    header: bool,
}

/// What claims must say (RFC 7519 §4.1). `exp`, `nbf` and `iat` must hold where they are there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Checks {
    /// The `iss` that they must name.
    issuer: Option<String>,
    /// The `aud` that they must name.
    audience: Option<String>,
    /// How far clocks may differ, in seconds.
    #[serde(default)]
    skew: u32,
    /// Claims that must be there.
    #[serde(default)]
    require: Vec<String>,
}

/// What verified.
#[derive(JsonSchema)]
struct Verified {
    #[schemars(flatten)]
    content: Content,
    #[schemars(flatten, with = "KeyNames")]
    key: Arc<LabelKey>,
    /// The algorithm.
    alg: &'static str,
    /// The header, if it was asked for.
    #[schemars(skip_serializing_if = "Option::is_none")]
    header: Option<Map<String, Value>>,
}

impl ToJson for Verified {
    fn write_json(&self, out: &mut Vec<u8>) {
        let mut answer = ObjectWriter::new(out);
        self.content.put(&mut answer);
        put_names(&self.key, &mut answer);
        answer.plain_text("alg", self.alg);
        if let Some(header) = &self.header {
            answer.value("header", header);
        }
        answer.end();
    }
}

impl Operation for Verify {
    type Item<'b> = VerifyRequest<'b>;
    type Done<'k> = Verified;

    const LONE: Option<Lone> = Some(Lone::Text("token"));

    fn act(call: &Call<'_>, keys: &KeySet, item: VerifyRequest<'_>) -> Result<Verified> {
        let VerifyRequest { claims, payload, text, .. } = item;
        let detached = Input { claims, payload, text }.given()?;
        let options = VerifyOptions {
            detached_payload: detached.as_deref(),
            typ: item.typ.as_ref().map(|typ| &*typ.0),
        };
        let verified = match &item.token {
            Token::Compact(token) => jws::verify(keys, token, &options),
            Token::Json(token) => jws::verify_json(keys, token, &options),
        }?;
        if let Some(checks) = item.checks {
            let required: Vec<&str> = checks.require.iter().map(String::as_str).collect();
            let rules = ClaimRules {
                issuer: checks.issuer.as_deref(),
                audience: checks.audience.as_deref(),
                skew: Duration::from_secs(checks.skew.into()),
                required: &required,
                max_json_depth: keys.policy().limits.max_json_depth,
                ..ClaimRules::default()
            };
            claims::check(&verified.payload, &rules, call.service.0.clock.now())?;
        }
        let header = item.header.then(|| verified.header());
        Ok(Verified {
            content: Content::new(verified.payload, item.form)?,
            key: verified.key,
            alg: verified.algorithm.name,
            header,
        })
    }

    fn of_lone(token: &str) -> Option<VerifyRequest<'_>> {
        let token = Token::Compact(token.into());
        let (claims, payload, text, typ, checks) = (None, None, None, None, None);
        let (form, header) = (Form::default(), false);
        Some(VerifyRequest { token, claims, payload, text, typ, checks, form, header })
    }

    fn key(done: &Verified) -> (&str, &str) {
        (done.key.alias.as_str(), &done.key.kid)
    }
}

/// What a bare signature is of.
enum Signed<'b> {
    Digest(GivenDigest),
    Message(Cow<'b, [u8]>),
}

/// The members that say so.
struct SignedMembers<'b> {
    message: Option<Text<'b>>,
    text: Option<Text<'b>>,
    digest: Option<Text<'b>>,
    hash: Option<HashName>,
}

impl<'b> SignedMembers<'b> {
    fn signed(self) -> Result<Signed<'b>> {
        Ok(match (self.message, self.text, self.digest, self.hash) {
            (Some(message), None, None, None) => {
                Signed::Message(decoded("message", &message.0)?.into())
            }
            (None, Some(text), None, None) => Signed::Message(text.into_bytes()),
            (None, None, Some(digest), Some(hash)) => {
                let digest = decoded("digest", &digest.0)?;
                Signed::Digest(GivenDigest::new(hash.into(), &digest)?)
            }
            _ => {
                let text = "there is nothing to be signed, or more than one thing";
                return Err(Error::new(ErrorKind::Usage, text).with_help(
                    "send one of \"message\" (base64url), \"text\", and \"digest\" (base64url) with its \"hash\"",
                ));
            }
        })
    }
}

/// The hash of a digest.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
enum HashName {
    /// FIPS 180-4.
    #[serde(rename = "SHA-256")]
    Sha256,
    /// FIPS 180-4.
    #[serde(rename = "SHA-384")]
    Sha384,
    /// FIPS 180-4.
    #[serde(rename = "SHA-512")]
    Sha512,
}

impl From<HashName> for Hash {
    fn from(name: HashName) -> Self {
        match name {
            HashName::Sha256 => Self::Sha256,
            HashName::Sha384 => Self::Sha384,
            HashName::Sha512 => Self::Sha512,
        }
    }
}

struct SignRaw;

/// What is to be signed as it is: one of `message`, `text`, and `digest` with `hash`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SignRawRequest<'b> {
    /// The message in base64url.
    #[serde(borrow)]
    message: Option<Text<'b>>,
    /// The message as text.
    text: Option<Text<'b>>,
    /// A digest of the message that was made already, in base64url: of algorithms of ECDSA and RSA.
    digest: Option<Text<'b>>,
    /// Of which hash the digest is.
    hash: Option<HashName>,
    /// The algorithm; absent: the label's first that fits its active alias.
    alg: Option<Text<'b>>,
}

/// A bare signature.
#[derive(JsonSchema, Serialize)]
struct RawSignature<'k> {
    /// The signature in base64url; of ECDSA `r‖s`.
    signature: String,
    /// The alias that made it.
    alias: &'k str,
    /// Its kid.
    kid: &'k str,
    /// The algorithm.
    alg: &'static str,
}

impl Operation for SignRaw {
    type Item<'b> = SignRawRequest<'b>;
    type Done<'k> = RawSignature<'k>;

    fn act<'k>(
        _: &Call<'_>,
        keys: &'k KeySet,
        item: SignRawRequest<'_>,
    ) -> Result<RawSignature<'k>> {
        let SignRawRequest { message, text, digest, hash, alg } = item;
        let alg = alg.as_ref().map(|alg| &*alg.0);
        let (signature, algorithm) =
            match (SignedMembers { message, text, digest, hash }).signed()? {
                Signed::Digest(digest) => ops::sign_digest(keys, &digest, alg),
                Signed::Message(message) => ops::sign_raw(keys, &message, alg),
            }?;
        let active = keys.active();
        Ok(RawSignature {
            signature: encoded(&signature),
            alias: active.alias.as_str(),
            kid: &active.kid,
            alg: algorithm.name,
        })
    }

    fn key<'d>(done: &'d RawSignature<'_>) -> (&'d str, &'d str) {
        (done.alias, done.kid)
    }
}

struct VerifyRaw;

/// A bare signature, and of what: one of `message`, `text`, and `digest` with `hash`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VerifyRawRequest<'b> {
    /// The signature in base64url; of ECDSA `r‖s`.
    #[serde(borrow)]
    signature: Text<'b>,
    /// The message in base64url.
    message: Option<Text<'b>>,
    /// The message as text.
    text: Option<Text<'b>>,
    /// A digest of the message that was made already, in base64url: of algorithms of ECDSA and RSA.
    digest: Option<Text<'b>>,
    /// Of which hash the digest is.
    hash: Option<HashName>,
    /// The algorithm; absent: every one that the label allows.
    alg: Option<Text<'b>>,
}

/// Which key made a bare signature.
#[derive(JsonSchema, Serialize)]
struct RawVerified<'k> {
    /// The alias that verified.
    alias: &'k str,
    /// Its kid.
    kid: &'k str,
    /// The algorithm.
    alg: &'static str,
}

impl Operation for VerifyRaw {
    type Item<'b> = VerifyRawRequest<'b>;
    type Done<'k> = RawVerified<'k>;

    fn act<'k>(
        _: &Call<'_>,
        keys: &'k KeySet,
        item: VerifyRawRequest<'_>,
    ) -> Result<RawVerified<'k>> {
        let VerifyRawRequest { signature, message, text, digest, hash, alg } = item;
        let signed = SignedMembers { message, text, digest, hash }.signed()?;
        let signature = decoded("signature", &signature.0)?;
        let alg = alg.as_ref().map(|alg| &*alg.0);
        let (key, algorithm) = match signed {
            Signed::Digest(digest) => ops::verify_digest(keys, &digest, &signature, alg),
            Signed::Message(message) => ops::verify_raw(keys, &message, &signature, alg),
        }?;
        Ok(RawVerified { alias: key.alias.as_str(), kid: &key.kid, alg: algorithm.name })
    }

    fn key<'d>(done: &'d RawVerified<'_>) -> (&'d str, &'d str) {
        (done.alias, done.kid)
    }
}
