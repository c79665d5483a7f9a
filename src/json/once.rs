//! Whether a text is a JSON object that names every member once, without building what it says.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::DUPLICATE;
use super::marks::quotation_marks;

/// What is wrong with the text of an object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flaw {
    /// It is no JSON object, or has a number that no `f64` holds.
    NoObject,
    /// An object in it names a member twice.
    NamedTwice,
}

/// Whether a text is one JSON object (RFC 8259 §4) in which no object names a member twice.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn require_object(text: &str) -> Result<(), Flaw> {
    if flat(text.as_bytes()).is_some() {
        return Ok(());
    }
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Flaw::NoObject);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Once.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| {
        if error.to_string().starts_with(DUPLICATE) { Flaw::NamedTwice } else { Flaw::NoObject }
    })
}

/// Whether a text is one object of plain members and names each once: then [`require_object`] takes it, which takes others
/// as well.
pub(super) fn is_flat(text: &str) -> bool {
    flat(text.as_bytes()).is_some()
}

/// Reads one object of plain members, which most claims are: texts without escapes, whole numbers, literals, and lists of
/// such. `None` of anything else, sound or not.
fn flat(text: &[u8]) -> Option<()> {
    let inner = text.strip_prefix(b"{")?.strip_suffix(b"}")?;
    let mut places = [0; 4 * FEW];
    // Without escapes they come in pairs, and nothing else stands in a text that may not.
    let marks = quotation_marks(inner, &mut places)?;
    let (pairs, []) = marks.as_chunks() else { return None };
    let mut reader = Flat { inner, at: 0, pairs: pairs.iter() };
    let mut names = Names::default();
    loop {
        names.add(reader.text()?)?;
        reader.skip(b':')?;
        reader.value()?;
        if reader.skip(b',').is_none() {
            return (reader.at == inner.len()).then_some(());
        }
    }
}

/// The inside of an object. Spaces are looked for where something else is missing: most texts have none.
struct Flat<'t> {
    inner: &'t [u8],
    at: usize,
    /// The quotation marks that are not read yet.
    pairs: std::slice::Iter<'t, [usize; 2]>,
}

impl<'t> Flat<'t> {
    /// Skips spaces.
    #[cold]
    fn skip_spaces(&mut self) {
        while self.inner.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
    }

    /// Skips a byte and the spaces before it; without that byte the spaces alone.
    fn skip(&mut self, byte: u8) -> Option<()> {
        if self.inner.get(self.at) != Some(&byte) {
            self.skip_spaces();
        }
        (self.inner.get(self.at)? == &byte).then(|| self.at += 1)
    }

    fn text(&mut self) -> Option<&'t [u8]> {
        let [open, close] = *self.pairs.next()?;
        if open != self.at {
            self.skip_spaces();
        }
        (open == self.at).then_some(())?;
        self.at = close + 1;
        self.inner.get(open + 1..close)
    }

    /// A value, or a list of such as have nothing inside them.
    fn value(&mut self) -> Option<()> {
        if self.inner.get(self.at) == Some(&b' ') {
            self.skip_spaces();
        }
        if self.inner.get(self.at) != Some(&b'[') {
            return self.plain();
        }
        self.at += 1;
        if self.skip(b']').is_some() {
            return Some(());
        }
        loop {
            self.plain()?;
            if self.skip(b',').is_none() {
                return self.skip(b']');
            }
        }
    }

    /// A text, a literal or a whole number.
    fn plain(&mut self) -> Option<()> {
        if self.inner.get(self.at) == Some(&b' ') {
            self.skip_spaces();
        }
        let rest = self.inner.get(self.at..)?;
        if rest.first()? == &b'"' {
            return self.text().map(drop);
        }
        self.at += bare(rest)?;
        Some(())
    }
}

/// The length of a literal or a whole number that every parser holds.
fn bare(text: &[u8]) -> Option<usize> {
    match text {
        [b't', b'r', b'u', b'e', ..] | [b'n', b'u', b'l', b'l', ..] => Some(4),
        [b'f', b'a', b'l', b's', b'e', ..] => Some(5),
        _ => {
            let sign = usize::from(text.first() == Some(&b'-'));
            let digits = text.get(sign..)?.iter().take(DIGITS + 1);
            let count = digits.take_while(|byte| byte.is_ascii_digit()).count();
            let leads = text.get(sign) != Some(&b'0') || count == 1;
            ((1..=DIGITS).contains(&count) && leads).then_some(sign + count)
        }
    }
}

/// Digits of a number that an `i64` holds.
const DIGITS: usize = 18;

/// Names that are compared with each other; with more they are sorted. Each has two quotation marks, as its value may.
const FEW: usize = 16;

/// The names of one object so far.
#[derive(Default)]
struct Names<'t> {
    all: [&'t [u8]; FEW],
    count: usize,
    /// A bit for what their lengths and ends are like: a new one is compared with none.
    known: u64,
}

impl<'t> Names<'t> {
    /// `None` if it is there already, or there is no room for it.
    fn add(&mut self, name: &'t [u8]) -> Option<()> {
        let ends = [name.first(), name.last()].map(|end| end.map_or(0, |byte| usize::from(*byte)));
        let [first, last] = ends;
        let bit = 1_u64 << ((name.len() * 5 + first * 3 + last) % 64);
        if self.known & bit != 0 && self.all.get(..self.count)?.contains(&name) {
            return None;
        }
        self.known |= bit;
        *self.all.get_mut(self.count)? = name;
        self.count += 1;
        Some(())
    }
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
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::json::parse_strict;

    fn once(text: &str) -> bool {
        require_object(text).is_ok()
    }

    #[test]
    fn a_name_that_stands_twice_in_one_object_is_found_however_it_is_written() {
        let many = |last: &str| {
            let names: String = (0..40).map(|n| format!("\"{n}\":{n},")).collect();
            format!("{{{names}\"{last}\":0}}")
        };
        for good in [
            "{}",
            "{ }",
            " {}\n",
            r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#,
            r#"{"a":1,"A":2}"#,
            r#"{ "a" : "b" , "b" : "a" , "c" : "a:" , "d" : -1e9 , "" : ":" }"#,
            r#"{"a":true,"b":false,"c":null,"d":0,"e":-0,"f":-12,"g":999999999999999999,"h":1.5}"#,
            "{\n \"a\": 1\n}",
            &many("40"),
        ] {
            assert_eq!(require_object(good), Ok(()), "{good}");
        }
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{ "a" : 1, "b":"a", "a" : 1}"#,
            r#"{"":1,"":1}"#,
            r#"{"a":1,"b":2,"\u0061":3}"#,
            r#"{"x":[{"a":1,"c":0,"a":1}]}"#,
            &many("39"),
        ] {
            assert_eq!(require_object(bad), Err(Flaw::NamedTwice), "{bad}");
        }
    }

    #[test]
    fn what_is_no_object_is_told_apart() {
        for text in [
            "",
            "{",
            "}",
            "[]",
            "7",
            "{}{}",
            "{} x",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{,"a":1}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a" "b":2}"#,
            r#"{"a":"b""c":1}"#,
            r#"{"a":01}"#,
            r#"{"a":-}"#,
            r#"{"a":+1}"#,
            r#"{"a":1x}"#,
            r#"{"a":truex}"#,
            r#"{"a":nul}"#,
            r#"{"a":"b}"#,
            r#"{"a":1"b":2}"#,
            r#"{"a":1e999}"#,
            r#"{"a":"b","c":[1e999]}"#,
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\n\"}",
            "{\u{a0}\"a\":1}",
            r#"{"a":[1,]}"#,
            r#"{"a":[,1]}"#,
            r#"{"a":[1 2]}"#,
            r#"{"a":[1}"#,
            r#"{"a":["b"}]"#,
        ] {
            assert_eq!(require_object(text), Err(Flaw::NoObject), "{text}");
        }
    }

    #[test]
    fn plain_claims_need_no_parser() {
        for (text, plain) in [
            (r#"{"iss":"https://a.example","exp":4102444800, "n":-1,"x":null}"#, true),
            (r#"{"aud":["a", "b"],"amr":[ ],"n":[1,true]}"#, true),
            (r#"{"a":1234567890123456789}"#, false),
            (r#"{"a":"\u0061"}"#, false),
            (r#"{"a":{"b":1}}"#, false),
        ] {
            assert_eq!(flat(text.as_bytes()).is_some(), plain, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

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
            prop_assert_eq!(once(&text), parse_strict(text.as_bytes(), 9).is_ok());
        }

        /// Pieces of JSON in any order: what is taken without a parser, a parser takes.
        #[test]
        fn whatever_is_taken_is_an_object(
            pieces in vec(prop::sample::select(vec![
                "\"a\"", "\"b\"", "\"\"", "\"", ":", ":", ",", ",", " ", "1", "-", "0", "-7", "12345678901234567890", "true", "null",
                "fals", "false", "e", ".", "{", "}", "[", "]", "\\", "\n", "\u{7f}", "\u{e9}", "\"a\":1", "\"b\":\"x\"", "\"c\":null,",
            ]), 0..12),
        ) {
            let text = format!("{{{}}}", pieces.concat());
            prop_assert_eq!(once(&text), parse_strict(text.as_bytes(), 100).is_ok(), "{}", text);
        }
    }
}
