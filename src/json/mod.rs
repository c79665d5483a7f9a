//! Strict JSON: duplicate members, deep nesting and trailing bytes are refused (RFC 8259, RFC 7515 §4).

mod apart;
#[cfg(feature = "service")]
mod lone;
#[cfg(feature = "service")]
mod marks;
#[cfg(feature = "service")]
mod object;
#[cfg(feature = "service")]
mod objects;
#[cfg(feature = "service")]
mod once;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use zeroize::Zeroize;

use crate::error::{Error, ErrorKind, Result};

pub(crate) use apart::parse_strict_apart;
#[cfg(feature = "service")]
pub(crate) use lone::{Lone, lone_value, lone_values};
#[cfg(feature = "service")]
pub(crate) use object::ObjectWriter;
#[cfg(feature = "service")]
pub(crate) use objects::Objects;
#[cfg(feature = "service")]
pub(crate) use once::{Flaw, require_object};

/// Parses one JSON text whose arrays and objects nest at most `max_depth` deep.
///
/// # Errors
/// [`ErrorKind::Malformed`] for anything that is not one JSON text in UTF-8, for an object with two
/// members of one name, and for deeper nesting. The error never quotes the text: it may be a secret.
pub fn parse_strict(bytes: &[u8], max_depth: usize) -> Result<Value> {
    let strict = Strict { depth_left: max_depth, room: room(bytes) };
    let mut value = read(bytes, strict, Unfinished).map_err(|error| refused(&error))?;
    Ok(value.finish())
}

/// The value that a text is, and nothing behind it; `own` takes it for the time in which it may still be refused.
pub(crate) fn read<'de, S: DeserializeSeed<'de>, T>(
    bytes: &'de [u8],
    seed: S,
    own: fn(S::Value) -> T,
) -> serde_json::Result<T> {
    // What is UTF-8 as a whole is so in each string. What is not is no JSON: the other reader says where.
    match std::str::from_utf8(bytes) {
        Ok(text) => read_with(&mut serde_json::Deserializer::from_str(text), seed, own),
        Err(_) => read_with(&mut serde_json::Deserializer::from_slice(bytes), seed, own),
    }
}

fn read_with<'de, R: serde_json::de::Read<'de>, S: DeserializeSeed<'de>, T>(
    deserializer: &mut serde_json::Deserializer<R>,
    seed: S,
    own: fn(S::Value) -> T,
) -> serde_json::Result<T> {
    let value = own(seed.deserialize(&mut *deserializer)?);
    deserializer.end()?;
    Ok(value)
}

/// About how many members an object of so many bytes has: where it has no more, it never grows.
fn room(bytes: &[u8]) -> usize {
    (bytes.len() / MEMBER_BYTES).min(MOST_ROOM)
}

const MEMBER_BYTES: usize = 24;
const MOST_ROOM: usize = 28;

/// Parses one JSON object with the rules of [`parse_strict`].
///
/// # Errors
/// Those of [`parse_strict`], and [`ErrorKind::Malformed`] for a text that is not an object.
pub fn parse_strict_object(bytes: &[u8], max_depth: usize) -> Result<Map<String, Value>> {
    match parse_strict(bytes, max_depth)? {
        Value::Object(members) => Ok(members),
        other => {
            drop(Unfinished(other));
            Err(Error::new(ErrorKind::Malformed, "the JSON text is not an object"))
        }
    }
}

/// Says where and of what class, but not what: serde's own texts quote values.
fn refused(error: &serde_json::Error) -> Error {
    let text = error.to_string();
    let why = if text.starts_with(DUPLICATE) {
        "a member occurs twice"
    } else if text.starts_with(TOO_DEEP) {
        "nested too deep"
    } else if text.starts_with("number out of range") {
        "a number is too large"
    } else if error.is_eof() {
        "cut short"
    } else {
        "bad syntax"
    };
    Error::new(
        ErrorKind::Malformed,
        format!("not strict JSON: {why} at line {}, column {}", error.line(), error.column()),
    )
}

/// A value that an error may still cut off: what was read of a key is then wiped.
struct Unfinished(Value);

impl Unfinished {
    fn finish(&mut self) -> Value {
        self.0.take()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Whether a text stands between quotation marks as it is (RFC 8259 §7).
pub(crate) fn is_plain(text: &str) -> bool {
    // Without short cuts, so that many bytes are looked at at once.
    text.bytes().fold(true, |plain, byte| plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\'))
}

/// Overwrites every text of a value: serde keeps key material in plain strings.
pub(crate) fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        _ => {}
    }
}

const DUPLICATE: &str = "duplicate member";
const TOO_DEEP: &str = "too deep";

#[derive(Clone, Copy)]
struct Strict {
    depth_left: usize,
    /// Members for which an object has room from the start.
    room: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom(TOO_DEEP))?;
        Ok(Self { depth_left, room: 0 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Unfinished(Value::Array(Vec::new()));
        while let Some(element) = elements.next_element_seed(inner)? {
            if let Value::Array(array) = &mut array.0 {
                array.push(element);
            }
        }
        Ok(array.finish())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Unfinished(Value::Object(Map::with_capacity(self.room)));
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            let Value::Object(object) = &mut object.0 else { continue };
            if let Some(first) = object.insert(name, value) {
                drop(Unfinished(first));
                return Err(serde::de::Error::custom(DUPLICATE));
            }
        }
        Ok(object.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_utf8_is_refused_where_it_stands() {
        for (text, place) in [
            (&b"{\"a\":\"\xff\"}"[..], "bad syntax at line 1, column 7"),
            (b"{\"a\":\n1\xff}", "bad syntax at line 2, column 2"),
            (b"\xef\xbb\xbf{}", "bad syntax at line 1, column 1"),
        ] {
            let error = parse_strict(text, 4).unwrap_err();
            assert!(error.message().ends_with(place), "{error}");
        }
    }

    #[test]
    fn ordinary_texts_come_out_as_serde_reads_them() {
        let text = br#"{"a":[1,-2,3.5,true,null,"\u00e9"],"b":{"c":{}}}"#;
        assert_eq!(parse_strict(text, 4).unwrap(), serde_json::from_slice::<Value>(text).unwrap());
    }

    #[test]
    fn duplicates_depth_and_trailing_bytes_are_refused_without_quoting() {
        for (text, why) in [
            (&br#"{"secret":1,"secret":2}"#[..], "twice"),
            (br#"{"x":{"a":1,"\u0061":2}}"#, "twice"),
            (b"[[[[[1]]]]]", "deep"),
            (b"{} {}", "syntax"),
            (br#"{"a":"#, "cut"),
            (b"\"\xff\"", "syntax"),
            (b"", "cut"),
            (br#""\ud800""#, "syntax"),
        ] {
            let error = parse_strict(text, 4).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed);
            assert!(error.message().contains(why), "{error} for {text:?}");
            assert!(!error.message().contains("secret"));
        }
        assert!(parse_strict_object(b"[]", 4).is_err());
        assert!(parse_strict(&b"[".repeat(100_000), usize::MAX).is_err());
    }
}
