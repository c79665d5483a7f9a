//! JOSE over the keys of a label: JWS, JWE, JWK and JWT claims, strict before anything is computed.
//!
//! A token never chooses: `alg` and `enc` select among what the label allows, `kid` among its keys. What
//! is wrong with a token is one error to the outside; the reason is the error's source, for logs.

pub mod claims;
mod handle;
mod header;
pub mod jwe;
pub mod jwk;
pub mod jwks;
pub mod jws;
pub mod nested;
mod plain_header;
pub(crate) mod select;

use base64::Engine;
use serde_json::Value;

use crate::encoding::BASE64URL;
use crate::error::{Error, ErrorKind};
use crate::json;
use crate::ops::KeySet;

/// How a token is written (RFC 7515 §7, RFC 7516 §7).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the RFCs define these three")]
pub enum Serialization {
    /// Parts between dots.
    #[default]
    Compact,
    /// JSON with one signature or recipient.
    Flattened,
    /// JSON with a list of signatures or recipients.
    General,
}

/// Strict base64url: no padding, no other characters, no spare bits (RFC 7515 §2).
fn decode(text: &str) -> Option<Vec<u8>> {
    // Zeroed by us: allocators take their slow way for that, where sizes are small.
    let mut bytes = Vec::with_capacity(base64::decoded_len_estimate(text.len()));
    BASE64URL.decode_vec(text, &mut bytes).ok()?;
    Some(bytes)
}

/// As [`decode`], of a signature: into `buffer`, which holds the longest there is (RSA of 8192 bits).
fn decode_signature<'b>(text: &str, buffer: &'b mut [u8; 1032]) -> Option<&'b [u8]> {
    let len = BASE64URL.decode_slice(text, buffer).ok()?;
    buffer.get(..len)
}

fn encode(bytes: &[u8]) -> String {
    BASE64URL.encode(bytes)
}

fn encode_onto(bytes: &[u8], text: &mut String) {
    BASE64URL.encode_string(bytes, text);
}

/// The beginning of a header of texts alone, written without a JSON tree: names of algorithms, a kid that is JSON
/// already, and what else there is.
fn begin_header(
    algorithms: &[(&str, &str)],
    kid: Option<&String>,
    texts: [(&str, Option<&str>); 2],
) -> String {
    let mut text = String::with_capacity(TYPED_BYTES + kid.map_or(0, String::len));
    let mut between = "{\"";
    for (name, algorithm) in algorithms {
        for part in [between, name, "\":\"", algorithm, "\""] {
            text.push_str(part);
        }
        between = ",\"";
    }
    if let Some(kid) = kid {
        text.push_str(",\"kid\":");
        text.push_str(kid);
    }
    for (name, value) in texts {
        if let Some(value) = value {
            for part in [",\"", name, "\":"] {
                text.push_str(part);
            }
            quote_onto(value, &mut text);
        }
    }
    text
}

/// Room for a header of usual texts, its kid apart.
const TYPED_BYTES: usize = 96;

/// Adds a text as a JSON string; one without escapes is copied.
fn quote_onto(value: &str, text: &mut String) {
    if json::is_plain(value) {
        for part in ["\"", value, "\""] {
            text.push_str(part);
        }
    } else {
        text.push_str(&Value::from(value).to_string());
    }
}

/// An IV or tag: at most 32 bytes (RFC 7518 §5).
struct Short {
    bytes: [u8; 36],
    len: usize,
}

impl Short {
    fn decode(text: &str) -> Option<Self> {
        let mut bytes = [0; 36];
        let len = BASE64URL.decode_slice(text, &mut bytes).ok()?;
        Some(Self { bytes, len })
    }

    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// RFC 7515 §4.1.9: media types compare without case; `application/` may be left out.
fn same_type(found: &str, expected: &str) -> bool {
    const PREFIX: &str = "application/";
    let short = |typ: &'_ str| match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, _)) if prefix.eq_ignore_ascii_case(PREFIX) => PREFIX.len(),
        _ => 0,
    };
    let rest = |typ| str::get(typ, short(typ)..).unwrap_or(typ);
    rest(found).eq_ignore_ascii_case(rest(expected))
}

/// The order in which the signatures or recipients of a token are tried, so that a bounded number of
/// tries reaches the right one: those that name a key of the label, then the rest.
#[derive(Clone, Copy)]
enum Pass {
    Named,
    Others,
}

impl Pass {
    const BOTH: [Self; 2] = [Self::Named, Self::Others];

    /// How many keys are tried: each named one, and as many others as the label's bound says, together.
    fn tries(self, set: &KeySet) -> usize {
        match self {
            Self::Named => usize::MAX,
            Self::Others => set.policy().limits.max_tries,
        }
    }

    fn takes(self, set: &KeySet, header: &header::Header) -> bool {
        let named = matches!(header.text("kid"), Ok(Some(kid)) if set.named(kid).is_some());
        named == matches!(self, Self::Named)
    }
}

/// A token, if who has these keys reads tokens of its size: one that nobody opens is of no use, or has lost what is in it.
///
/// # Errors
/// [`ErrorKind::Usage`].
pub(crate) fn opened_again(set: &KeySet, token: String) -> Result<String, Error> {
    require_room("token", token.len(), set.policy().limits.max_token_bytes, "max_token_bytes")?;
    Ok(token)
}

/// Refuses what is larger than a bound of `[policy.limits]`.
fn require_room(what: &str, bytes: usize, most: usize, bound: &str) -> Result<(), Error> {
    if bytes <= most {
        return Ok(());
    }
    let text = format!("a {what} of {bytes} bytes is larger than {bound} lets anybody open");
    Err(Error::new(ErrorKind::Usage, text)
        .with_help(format!("put less into it, or raise {bound} in [policy.limits]")))
}

/// The one error of a token that is not accepted; `reason` is for operators.
fn not_verified(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::NotVerified, "the token does not verify").with_source(reason.into())
}

/// The one error of a token that does not decrypt; `reason` is for operators.
fn not_decrypted(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::NotDecrypted, "the token does not decrypt").with_source(reason.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Value, quote_onto, same_type};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_quoted_text_is_what_serde_writes(text in r#"(JWT|[ -~]|["\\\x00-\x1f\x7f-\xa0]|\PC){0,6}"#) {
            let mut quoted = String::from("{");
            quote_onto(&text, &mut quoted);
            prop_assert_eq!(quoted, format!("{{{}", Value::from(text)));
        }
    }

    #[test]
    fn types_compare_as_media_types_do() {
        for (found, expected, same) in [
            ("JWT", "jwt", true),
            ("application/at+jwt", "AT+JWT", true),
            ("at+jwt", "Application/at+jwt", true),
            ("application/", "", true),
            ("application/application/jwt", "jwt", false),
            ("jwt", "at+jwt", false),
            ("\u{212a}wt", "kwt", false),
        ] {
            assert_eq!(same_type(found, expected), same, "{found} {expected}");
        }
    }
}
