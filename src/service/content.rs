//! What goes into tokens and comes out of them: claims, bytes or text; and the tokens themselves.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use memchr::memchr;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::encoding::BASE64URL;
use crate::error::{Error, ErrorKind, Result};
use crate::jose::Serialization;
use crate::json::{self, Flaw, ObjectWriter};
use crate::ops::LabelKey;

/// Text of a body, borrowed where it has no escapes.
#[derive(Clone, Debug)]
pub(crate) struct Text<'b>(pub(crate) Cow<'b, str>);

impl<'b> Text<'b> {
    /// The bytes of its UTF-8.
    pub(crate) fn into_bytes(self) -> Cow<'b, [u8]> {
        match self.0 {
            Cow::Borrowed(text) => text.as_bytes().into(),
            Cow::Owned(text) => text.into_bytes().into(),
        }
    }
}

impl<'de: 'b, 'b> Deserialize<'de> for Text<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(text.into()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(text.to_owned().into()))
            }
        }

        deserializer.deserialize_str(Reader)
    }
}

impl JsonSchema for Text<'_> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

/// A value of a body that should be a JSON object, as it stands there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'b> {
    text: &'b str,
    /// It is one, and names every member once.
    strict: bool,
}

impl<'b> Object<'b> {
    /// A text of which [`json::require_object`] holds.
    pub(crate) const fn strict(text: &'b str) -> Self {
        Self { text, strict: true }
    }

    /// Its octets, if it is an object.
    fn into_bytes(self) -> Result<&'b [u8]> {
        if !self.strict {
            if !self.text.starts_with('{') {
                return Err(Error::new(ErrorKind::Malformed, "\"claims\" is no JSON object"));
            }
            json::require_object(self.text).map_err(|_| not_strict(self.text))?;
        }
        Ok(self.text.as_bytes())
    }
}

impl<'de: 'b, 'b> Deserialize<'de> for Object<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        Ok(Self { text, strict: false })
    }
}

/// The input of an operation: exactly one of three members.
pub(crate) struct Input<'b> {
    pub(crate) claims: Option<Object<'b>>,
    pub(crate) payload: Option<Text<'b>>,
    pub(crate) text: Option<Text<'b>>,
}

impl<'b> Input<'b> {
    /// The bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if there is none or more than one, [`ErrorKind::Malformed`] for one of the wrong form.
    pub(crate) fn required(self) -> Result<Cow<'b, [u8]>> {
        self.given()?
            .ok_or_else(|| Error::new(ErrorKind::Usage, "there is no input").with_help(ONE))
    }

    /// The same where there may be none.
    ///
    /// # Errors
    /// As [`Input::required`].
    pub(crate) fn given(self) -> Result<Option<Cow<'b, [u8]>>> {
        match (self.claims, self.payload, self.text) {
            (None, None, None) => Ok(None),
            // As it stands: what is signed is what was sent, octet for octet.
            (Some(claims), None, None) => Ok(Some(claims.into_bytes()?.into())),
            (None, Some(payload), None) => Ok(Some(decoded("payload", &payload.0)?.into())),
            (None, None, Some(text)) => Ok(Some(text.into_bytes())),
            _ => Err(Error::new(ErrorKind::Usage, "there is more than one input").with_help(ONE)),
        }
    }
}

/// What is wrong with claims that name a member twice, or are no JSON that everybody reads.
#[cold]
fn not_strict(claims: &str) -> Error {
    let found = json::parse_strict(claims.as_bytes(), MAX_DEPTH);
    let other = || Error::new(ErrorKind::Malformed, "not strict JSON");
    found.err().unwrap_or_else(other).about("\"claims\"")
}

/// How deep claims may nest that nobody reads here; the parser of bodies goes no deeper.
const MAX_DEPTH: usize = 126;

const ONE: &str = "send one of \"claims\" (a JSON object), \"payload\" (base64url) and \"text\"";

/// The bytes of a member in base64url.
///
/// # Errors
/// [`ErrorKind::Malformed`] naming the member.
pub(crate) fn decoded(member: &str, text: &str) -> Result<Vec<u8>> {
    BASE64URL.decode(text).map_err(|_| {
        let text = format!("\"{member}\" is not base64url without padding (RFC 4648 §5)");
        Error::new(ErrorKind::Malformed, text)
    })
}

/// base64url, as answers have it.
pub(crate) fn encoded(bytes: &[u8]) -> String {
    BASE64URL.encode(bytes)
}

/// In which form a content is answered.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    /// A JSON object; another content is refused.
    #[default]
    Claims,
    /// base64url.
    Payload,
    /// A string; a content that is not UTF-8 is refused.
    Text,
}

/// A content: one of three members, the one that was asked for.
#[derive(JsonSchema)]
pub(crate) struct Content {
    /// The JSON object, as it stands in the token.
    #[schemars(with = "Option<Map<String, Value>>", skip_serializing_if = "Option::is_none")]
    claims: Option<String>,
    /// base64url.
    #[schemars(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    /// The string.
    #[schemars(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl Content {
    /// A content in a form.
    ///
    /// # Errors
    /// [`ErrorKind::ClaimsRejected`] if it has no such form.
    pub(crate) fn new(bytes: Vec<u8>, form: Form) -> Result<Self> {
        let mut content = Self { claims: None, payload: None, text: None };
        match form {
            Form::Claims => content.claims = Some(object(bytes)?),
            Form::Payload => content.payload = Some(encoded(&bytes)),
            Form::Text => content.text = Some(text(bytes)?),
        }
        Ok(content)
    }

    /// Adds its member to an answer.
    pub(crate) fn put(&self, answer: &mut ObjectWriter<'_>) {
        if let Some(claims) = &self.claims {
            answer.json("claims", claims);
        }
        if let Some(payload) = &self.payload {
            answer.plain_text("payload", payload);
        }
        if let Some(text) = &self.text {
            answer.text("text", text);
        }
    }
}

fn object(bytes: Vec<u8>) -> Result<String> {
    let text =
        String::from_utf8(bytes).map_err(|_| rejected("the content is not a JSON object"))?;
    match json::require_object(&text) {
        Ok(()) => Ok(text),
        Err(Flaw::NoObject) => Err(rejected("the content is not a JSON object")),
        // Parsers differ about which of them counts (RFC 7519 §4).
        Err(Flaw::NamedTwice) => Err(rejected("the content names a member twice")),
    }
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| rejected("the content is not UTF-8"))
}

fn rejected(text: &'static str) -> Error {
    Error::new(ErrorKind::ClaimsRejected, text).with_help("\"as\": \"payload\" answers any content")
}

/// The names of a key that served, as answers have them.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "its form, for the schema")]
pub(crate) struct KeyNames {
    /// The alias whose key did it.
    alias: String,
    /// Its kid.
    kid: String,
}

/// Adds the names of a key to an answer.
pub(crate) fn put_names(key: &LabelKey, answer: &mut ObjectWriter<'_>) {
    answer.text("alias", key.alias.as_str());
    answer.text("kid", &key.kid);
}

/// A token in a body: the compact form is a string, a JSON form is an object. Who sends it says which it is.
#[derive(Debug)]
pub(crate) enum Token<'b> {
    Compact(Cow<'b, str>),
    Json(Cow<'b, str>),
}

impl<'de: 'b, 'b> Deserialize<'de> for Token<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        if text.starts_with('{') {
            return Ok(Self::Json(text.into()));
        }
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        match inner {
            Some(inner) if memchr(b'\\', inner.as_bytes()).is_none() => {
                Ok(Self::Compact(inner.into()))
            }
            _ => serde_json::from_str::<String>(text)
                .map(|text| Self::Compact(text.into()))
                .map_err(|_| {
                    de::Error::invalid_type(Unexpected::Other("a value"), &"a string or an object")
                }),
        }
    }
}

/// A token that was made.
pub(crate) struct MadeToken {
    text: String,
    form: Serialization,
}

impl MadeToken {
    /// Of a token in this form.
    pub(crate) const fn new(text: String, form: Serialization) -> Self {
        Self { text, form }
    }

    /// Adds it to an answer as the member `token`.
    pub(crate) fn put(&self, answer: &mut ObjectWriter<'_>) {
        match self.form {
            Serialization::Compact => answer.plain_text("token", &self.text),
            Serialization::Flattened | Serialization::General => answer.json("token", &self.text),
        }
    }
}

impl JsonSchema for MadeToken {
    fn schema_name() -> Cow<'static, str> {
        Token::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Token::json_schema(generator)
    }
}

impl JsonSchema for Token<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Token".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The compact form as a string, a JSON form as an object.",
            "type": ["string", "object"],
        })
    }
}

/// How a token is written (RFC 7515 §7, RFC 7516 §7).
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Written {
    /// Parts between dots.
    #[default]
    Compact,
    /// JSON with one signature or recipient.
    Flattened,
    /// JSON with a list of one.
    General,
}

impl From<Written> for Serialization {
    fn from(written: Written) -> Self {
        match written {
            Written::Compact => Self::Compact,
            Written::Flattened => Self::Flattened,
            Written::General => Self::General,
        }
    }
}
