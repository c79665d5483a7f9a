//! Whether a JSON text names every member once, without building what it says.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::DUPLICATE;

/// Whether a text is JSON in which no object names a member twice. It builds nothing.
pub(crate) fn names_members_once(text: &str) -> bool {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Once.deserialize(&mut deserializer).and_then(|()| deserializer.end()).is_ok()
}

/// Reads a value and keeps the names of one object at a time.
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = Vec::with_capacity(8);
        while let Some(name) = members.next_key_seed(Name)? {
            names.push(name);
            members.next_value_seed(Self)?;
        }
        names.sort_unstable();
        let twice = names.windows(2).any(|pair| matches!(pair, [one, other] if one == other));
        if twice { Err(A::Error::custom(DUPLICATE)) } else { Ok(()) }
    }
}

/// A name, borrowed where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(name.into())
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(name.to_owned().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse_strict;

    #[test]
    fn a_name_that_stands_twice_in_one_object_is_found_however_it_is_written() {
        for good in ["{}", "[]", "7", r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#, r#"{"a":1,"A":2}"#]
        {
            assert!(names_members_once(good), "{good}");
        }
        let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"\u0061":3}"#,
            r#"[{"x":{"a":1,"c":0,"a":1}}]"#,
            "{} {}",
            "",
            r#"{"a":1e999}"#,
            &deep,
        ] {
            assert!(!names_members_once(bad), "{bad}");
        }
        // As the parser that builds a tree has it.
        for text in [r#"{"a":1,"b":{"c":1,"c":2}}"#, r#"{"a":[1,{"b":2}]}"#] {
            assert_eq!(names_members_once(text), parse_strict(text.as_bytes(), 9).is_ok());
        }
    }
}
