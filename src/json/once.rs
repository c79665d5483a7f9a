//! Whether a JSON text names every member once, without building what it says.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::DUPLICATE;
use super::marks::quotation_marks;

/// Whether no object of a JSON text names a member twice; numbers that no `f64` holds are refused too. It builds
/// nothing.
pub(crate) fn names_members_once(value: &RawValue) -> bool {
    let text = value.get();
    flat(text.as_bytes()).unwrap_or_else(|| {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        Once.deserialize(&mut deserializer).is_ok()
    })
}

/// The same of one object of plain members, which most claims are; `None` of anything else. The text is known to be
/// JSON: without escapes its quotation marks come in pairs, and a string before a colon is a name.
fn flat(text: &[u8]) -> Option<bool> {
    let inner = text.strip_prefix(b"{")?;
    let mut places = [0; 4 * FEW];
    let marks = quotation_marks(inner, &mut places)?;
    let (mut names, mut count): ([&[u8]; FEW], usize) = ([&[]; FEW], 0);
    for pair in marks.chunks_exact(2) {
        let [open, close] = *pair else { continue };
        let rest = inner.get(close + 1..)?.trim_ascii_start();
        let Some(value) = rest.strip_prefix(b":") else { continue };
        if let [b'-' | b'0'..=b'9', ..] = value.trim_ascii_start()
            && value.iter().take_while(|byte| **byte != b',').any(|byte| b"eE".contains(byte))
        {
            return None;
        }
        let name = inner.get(open + 1..close)?;
        if names.iter().take(count).any(|one| *one == name) {
            return Some(false);
        }
        *names.get_mut(count)? = name;
        count += 1;
    }
    Some(true)
}

/// Names that are compared with each other; with more they are sorted. Each has two quotation marks, as its value may.
const FEW: usize = 16;

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
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::json::parse_strict;

    #[test]
    fn a_name_that_stands_twice_in_one_object_is_found_however_it_is_written() {
        let once = |text: &str| names_members_once(serde_json::from_str(text).unwrap());
        let many = |last: &str| {
            let names: String = (0..40).map(|n| format!("\"{n}\":{n},")).collect();
            format!("{{{names}\"{last}\":0}}")
        };
        for good in [
            "{}",
            "[]",
            "7",
            r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#,
            r#"{"a":1,"A":2}"#,
            r#"{ "a" : "b" , "b" : "a" , "c" : "a:" , "d" : -1e9 , "" : ":" }"#,
            &many("40"),
        ] {
            assert!(once(good), "{good}");
        }
        let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
        assert!(once(&deep));
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{ "a" : 1, "b":"a", "a" : 1}"#,
            r#"{"":1,"":1}"#,
            r#"{"a":1,"b":2,"\u0061":3}"#,
            r#"[{"x":{"a":1,"c":0,"a":1}}]"#,
            r#"{"a":1e999}"#,
            r#"{"a":"b","c":[1e999]}"#,
            &many("39"),
        ] {
            assert!(!once(bad), "{bad}");
        }
        // As the parser that builds a tree has it.
        for text in [r#"{"a":1,"b":{"c":1,"c":2}}"#, r#"{"a":[1,{"b":2}]}"#] {
            assert_eq!(once(text), parse_strict(text.as_bytes(), 9).is_ok());
        }
    }

    proptest! {
        #[test]
        fn the_quick_look_sees_what_the_reader_sees(
            members in vec(("[a-c\\\\:]{0,2}", "[a-c:, \"]{0,3}|\u{1}"), 0..6),
            spaces in "[ \n]{0,2}",
        ) {
            let quoted = |text: &str| serde_json::to_string(text).unwrap();
            let members = members.iter().map(|(name, value)| {
                format!("{spaces}{}{spaces}:{spaces}{}{spaces}", quoted(name), quoted(value))
            });
            let text = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
            let expected = parse_strict(text.as_bytes(), 9).is_ok();
            prop_assert_eq!(names_members_once(serde_json::from_str(&text).unwrap()), expected);
        }
    }
}
