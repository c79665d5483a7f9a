//! Encryption by label: encrypt, decrypt, and encrypt again.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::signing::Made;
use crate::access::Right;
use crate::error::{Error, ErrorKind, Result};
use crate::jose::Serialization;
use crate::jose::jwe::{self, EncryptOptions, RewrapOptions};
use crate::json::{Lone, ObjectWriter};
use crate::ops::{KeySet, LabelKey};
use crate::service::answer::ToJson;
use crate::service::call::Call;
use crate::service::content::{
    Content, Form, Input, KeyNames, MadeToken, Object, Text, Token, Written, decoded, put_names,
};
use crate::service::operation::Operation;
use crate::service::route::Route;

pub(super) fn routes() -> Vec<Route> {
    [
        Route::operation::<Encrypt>("encrypt", Right::Encrypt, "Encrypt for the active alias"),
        Route::operation::<Decrypt>("decrypt", Right::Decrypt, "Decrypt with every valid alias"),
        Route::operation::<Rewrap>(
            "rewrap",
            Right::Rewrap,
            "Encrypt again for the active alias, without showing the plaintext",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

struct Encrypt;

/// What is to be encrypted: one of `claims`, `payload` and `text`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EncryptRequest<'b> {
    /// A JSON object, encrypted as it stands in the request.
    #[serde(borrow)]
    #[schemars(with = "Option<Map<String, Value>>")]
    claims: Option<Object<'b>>,
    /// Bytes in base64url.
    payload: Option<Text<'b>>,
    /// Text, encrypted as UTF-8.
    text: Option<Text<'b>>,
    /// The key management algorithm; absent: the label's first that fits its active alias.
    alg: Option<String>,
    /// The content encryption; absent: the label's first that fits.
    enc: Option<String>,
    /// The `typ` header.
    typ: Option<String>,
    /// The `cty` header.
    cty: Option<String>,
    /// `apu` in base64url (RFC 7518 §4.6.1.2).
    apu: Option<Text<'b>>,
    /// `apv` in base64url.
    apv: Option<Text<'b>>,
    /// Additional authenticated data in base64url; only of the JSON forms.
    aad: Option<Text<'b>>,
    /// Compresses first; the label must allow it.
    #[serde(default)]
    zip: bool,
    /// How the token is written.
    #[serde(default)]
    serialization: Written,
    /// Until when a token without `exp` is used, in seconds since 1970; absent: the label's lifetime of tokens.
    expires: Option<u64>,
}

impl Operation for Encrypt {
    type Item<'b> = EncryptRequest<'b>;
    type Done<'k> = Made<'k>;

    const LONE: Option<Lone> = Some(Lone::Object("claims"));

    fn of_lone(claims: &str) -> Option<EncryptRequest<'_>> {
        Some(EncryptRequest { claims: Some(Object::strict(claims)), ..EncryptRequest::default() })
    }

    fn act<'k>(_: &Call<'_>, keys: &'k KeySet, item: EncryptRequest<'_>) -> Result<Made<'k>> {
        let EncryptRequest { claims, payload, text, .. } = item;
        let plaintext = Input { claims, payload, text }.required()?;
        let bytes =
            |name, member: Option<Text<'_>>| member.map(|text| decoded(name, &text.0)).transpose();
        let options = EncryptOptions {
            algorithm: item.alg.map(Into::into),
            content: item.enc.map(Into::into),
            typ: item.typ.map(Into::into),
            cty: item.cty.map(Into::into),
            apu: bytes("apu", item.apu)?,
            apv: bytes("apv", item.apv)?,
            aad: bytes("aad", item.aad)?,
            zip: item.zip,
            serialization: item.serialization.into(),
            expires: item.expires,
            ..EncryptOptions::default()
        };
        let token = jwe::encrypt(keys, &plaintext, &options)?;
        Ok(Made::with(keys, MadeToken::new(token, options.serialization)))
    }

    fn key<'d>(done: &'d Made<'_>) -> (&'d str, &'d str) {
        (done.alias, done.kid)
    }
}

struct Decrypt;

/// What is to be decrypted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DecryptRequest<'b> {
    /// The token.
    #[serde(borrow)]
    token: Token<'b>,
    /// The `typ` that it must have, in its protected header.
    typ: Option<Text<'b>>,
    /// How the plaintext is answered.
    #[serde(default, rename = "as")]
    form: Form,
    /// Answers the header as well; of a JSON form with the members that are not protected, which anybody may add.
    #[serde(default)]
    header: bool,
}

/// What decrypted.
#[derive(JsonSchema)]
struct Decrypted {
    #[schemars(flatten)]
    content: Content,
    #[schemars(flatten, with = "KeyNames")]
    key: Arc<LabelKey>,
    /// The key management algorithm.
    alg: &'static str,
    /// The content encryption.
    enc: &'static str,
    /// The header, if it was asked for.
    #[schemars(skip_serializing_if = "Option::is_none")]
    header: Option<Map<String, Value>>,
}

impl ToJson for Decrypted {
    fn write_json(&self, out: &mut Vec<u8>) {
        let mut answer = ObjectWriter::new(out);
        self.content.put(&mut answer);
        put_names(&self.key, &mut answer);
        answer.plain_text("alg", self.alg);
        answer.plain_text("enc", self.enc);
        if let Some(header) = &self.header {
            answer.value("header", header);
        }
        answer.end();
    }
}

impl Operation for Decrypt {
    type Item<'b> = DecryptRequest<'b>;
    type Done<'k> = Decrypted;

    const LONE: Option<Lone> = Some(Lone::Text("token"));

    fn act(_: &Call<'_>, keys: &KeySet, item: DecryptRequest<'_>) -> Result<Decrypted> {
        let opened = match &item.token {
            Token::Compact(token) => jwe::decrypt(keys, token),
            Token::Json(token) => jwe::decrypt_json(keys, token),
        }?;
        if item.typ.is_some_and(|typ| !opened.is_of_type(&typ.0)) {
            return Err(Error::new(ErrorKind::NotDecrypted, "the token does not decrypt"));
        }
        Ok(Decrypted {
            // EXPOSE: to the caller, who has the right to it.
            content: Content::new(opened.plaintext.expose_secret().to_vec(), item.form)?,
            alg: opened.algorithm.name,
            enc: opened.content.name,
            header: item.header.then(|| opened.header()),
            key: opened.key,
        })
    }

    fn of_lone(token: &str) -> Option<DecryptRequest<'_>> {
        let token = Token::Compact(token.into());
        Some(DecryptRequest { token, typ: None, form: Form::default(), header: false })
    }

    fn key(done: &Decrypted) -> (&str, &str) {
        (done.key.alias.as_str(), &done.key.kid)
    }
}

struct Rewrap;

/// What is to be encrypted again: `typ`, `cty`, `apu`, `apv`, `zip` and `aad` stay as they are, and so does its form.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RewrapRequest<'b> {
    /// The token.
    #[serde(borrow)]
    token: Token<'b>,
    /// The key management algorithm; absent: the label's first that fits its active alias.
    alg: Option<String>,
    /// The content encryption; absent: the label's first that fits.
    enc: Option<String>,
    /// Until when a token without `exp` is used, in seconds since 1970; absent: the label's lifetime of tokens.
    expires: Option<u64>,
}

/// The same content for the active alias.
#[derive(JsonSchema)]
struct Rewrapped<'k> {
    #[schemars(flatten)]
    made: Made<'k>,
    /// What opened the old token.
    from: From,
}

/// A key that opened a token.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "OpenedBy")]
struct From {
    /// Its alias.
    alias: String,
    /// Its kid.
    kid: String,
}

impl ToJson for Rewrapped<'_> {
    fn write_json(&self, out: &mut Vec<u8>) {
        let mut answer = ObjectWriter::new(out);
        self.made.put(&mut answer);
        answer.value("from", &self.from);
        answer.end();
    }
}

impl Operation for Rewrap {
    type Item<'b> = RewrapRequest<'b>;
    type Done<'k> = Rewrapped<'k>;

    fn act<'k>(_: &Call<'_>, keys: &'k KeySet, item: RewrapRequest<'_>) -> Result<Rewrapped<'k>> {
        let options = RewrapOptions {
            algorithm: item.alg.map(Into::into),
            content: item.enc.map(Into::into),
            expires: item.expires,
        };
        let (rewrapped, serialization) = match &item.token {
            Token::Compact(token) => (jwe::rewrap(keys, token, &options)?, Serialization::Compact),
            Token::Json(token) => {
                (jwe::rewrap_json(keys, token, &options)?, Serialization::Flattened)
            }
        };
        let from = &rewrapped.from;
        let from = From { alias: from.alias.to_string(), kid: from.kid.clone() };
        let token = MadeToken::new(rewrapped.token, serialization);
        Ok(Rewrapped { made: Made::with(keys, token), from })
    }

    fn key<'d>(done: &'d Rewrapped<'_>) -> (&'d str, &'d str) {
        (done.made.alias, done.made.kid)
    }
}
