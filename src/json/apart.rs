//! An object whose members of known names are read apart from all others.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{DUPLICATE, Strict, parse_strict_object, read, room, wipe};
use crate::error::Result;

/// The members of known names, in the order of the names, and all others in the order of the text.
type Parts<const N: usize> = ([Option<Value>; N], Map<String, Value>);

/// Parses one JSON object with the rules of [`parse_strict_object`]; members of these names, at the top, come apart
/// from the others.
///
/// # Errors
/// Those of [`parse_strict_object`].
pub(crate) fn parse_strict_apart<const N: usize>(
    bytes: &[u8],
    max_depth: usize,
    names: &'static [&'static str; N],
) -> Result<Parts<N>> {
    let strict = Strict { depth_left: max_depth, room: room(bytes) };
    if let Ok(mut taken) = read(bytes, Apart { names, strict }, |taken| taken) {
        return Ok(taken.finish());
    }
    // The plain reader says what is wrong.
    plainly(bytes, max_depth, names)
}

#[cold]
fn plainly<const N: usize>(
    bytes: &[u8],
    max_depth: usize,
    names: &'static [&'static str; N],
) -> Result<Parts<N>> {
    let mut others = parse_strict_object(bytes, max_depth)?;
    let named = names.map(|name| others.get_mut(name).map(Value::take));
    others.retain(|name, _| !names.contains(&name.as_str()));
    Ok((named, others))
}

/// What was read, of which an error may still cut off the rest: then it is wiped.
struct Taken<const N: usize> {
    named: [Option<Value>; N],
    others: Map<String, Value>,
}

impl<const N: usize> Taken<N> {
    fn finish(&mut self) -> Parts<N> {
        let named = std::mem::replace(&mut self.named, [const { None }; N]);
        (named, std::mem::take(&mut self.others))
    }
}

impl<const N: usize> Drop for Taken<N> {
    fn drop(&mut self) {
        self.named.iter_mut().flatten().for_each(wipe);
        self.others.values_mut().for_each(wipe);
    }
}

struct Apart<const N: usize> {
    names: &'static [&'static str; N],
    strict: Strict,
}

impl<'de, const N: usize> DeserializeSeed<'de> for Apart<N> {
    type Value = Taken<N>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Taken<N>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Apart<N> {
    type Value = Taken<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Taken<N>, A::Error> {
        let inner = self.strict.deeper()?;
        let mut taken = Taken {
            named: [const { None }; N],
            others: Map::with_capacity(self.strict.room.saturating_sub(N)),
        };
        while let Some(name) = members.next_key_seed(Names(self.names))? {
            let value = members.next_value_seed(inner)?;
            let before = match name {
                Name::Known(index) => taken.named.get_mut(index).and_then(|one| one.replace(value)),
                Name::Other(name) => taken.others.insert(name, value),
            };
            if let Some(mut before) = before {
                wipe(&mut before);
                return Err(A::Error::custom(DUPLICATE));
            }
        }
        Ok(taken)
    }
}

/// The name of a member.
enum Name {
    /// Its place among the known ones.
    Known(usize),
    Other(String),
}

struct Names(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Names {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Names {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        let known = self.0.iter().position(|known| *known == name);
        Ok(known.map_or_else(|| Name::Other(name.to_owned()), Name::Known))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 3] = ["jti", "iat", "exp"];

    /// What both readers say of a text.
    fn both(text: &[u8], max_depth: usize) -> [Result<Parts<3>, String>; 2] {
        let said = |read: Result<Parts<3>>| read.map_err(|error| error.to_string());
        [said(parse_strict_apart(text, max_depth, &NAMES)), said(plainly(text, max_depth, &NAMES))]
    }

    #[test]
    fn members_of_known_names_come_apart_whatever_they_hold() {
        let text = br#" {"a":1,"exp":null,"b":{"exp":2},"\u006ati":["x"]} "#;
        let (named, others) = parse_strict_apart(text, 3, &NAMES).unwrap();
        assert_eq!(named, [Some(serde_json::json!(["x"])), None, Some(Value::Null)]);
        assert_eq!(Value::Object(others), serde_json::json!({ "a": 1, "b": { "exp": 2 } }));
        assert!(parse_strict_apart(text, 1, &NAMES).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// The one pass against the plain reader, on texts of which many are no object: repeated names, escaped
        /// ones, depth, bytes that are no UTF-8, what is cut off.
        #[test]
        fn one_pass_says_what_the_plain_reader_says(
            members in prop::collection::vec(
                (
                    prop::sample::select(vec!["jti", "iat", "exp", r"e\u0078p", "sub", "", "ä", r"\ud800"]),
                    prop::sample::select(vec![
                        "1", "-0", "1e999", "\"x\"", "\"\\n\"", "[[1]]", "{\"exp\":{}}", "null", "tru", "\"\u{1}\"",
                    ]),
                ),
                0..5,
            ),
            ends in prop::sample::select(vec![("{", "}"), (" {\n", "\t} "), ("{", ""), ("[", "]"), ("{", "} 1"), ("{", ",}")]),
            depth in 0..4_usize,
            broken in prop::option::of((0..60_usize, any::<u8>())),
        ) {
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            let mut text = format!("{}{}{}", ends.0, members.join(","), ends.1).into_bytes();
            if let Some((at, byte)) = broken
                && let Some(place) = text.get_mut(at)
            {
                *place = byte;
            }
            let [apart, plain] = both(&text, depth);
            prop_assert_eq!(apart, plain, "{}", String::from_utf8_lossy(&text));
        }
    }
}
