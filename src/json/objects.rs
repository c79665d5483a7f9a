//! Structs that are read from objects alone, and names from texts, however deep they stand.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// A reader each of whose structs is an object, and each of whose enums is a name. A derived one takes more, which no
/// document says: an array, its members in the order of the source, where another order would be another request; and
/// `{"name": null}`.
///
/// It stands around seeds, deserializers, visitors and what they hand on alike. Values that serde holds back before
/// it knows their type (`flatten`, `untagged`) are out of its reach.
pub(crate) struct Objects<T>(pub(crate) T);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Objects<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Objects(deserializer))
    }
}

/// Methods that hand a visitor on: as it is, or with this reader around what it visits.
macro_rules! hand_on {
    (plain: $($plain:ident)*; inner: $($inner:ident($($name:ident: $type:ty),*))*) => {
        $(fn $plain<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$plain(visitor)
        })*
        $(fn $inner<V: Visitor<'de>>(self, $($name: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$inner($($name,)* Objects(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Objects(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_str(Name { names, visitor })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    hand_on! {
        plain:
            deserialize_any deserialize_bool
            deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
            deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
            deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
            deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier
            deserialize_ignored_any;
        inner:
            deserialize_option() deserialize_seq() deserialize_map()
            deserialize_newtype_struct(name: &'static str)
            deserialize_tuple(len: usize)
            deserialize_tuple_struct(name: &'static str, len: usize)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Objects<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Objects(some))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Objects(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Objects(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Objects(members))
    }
}

/// Reads an enum from its name.
struct Name<V> {
    names: &'static [&'static str],
    visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Name<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of `{}`", self.names.join("`, `"))
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<V::Value, E> {
        self.visitor.visit_enum(StrDeserializer::new(name))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        // The name of a member is no struct.
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::marker::PhantomData;

    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;
    use crate::json::read;

    #[derive(Debug, Deserialize)]
    struct Outer<'b> {
        one: Option<Inner>,
        #[serde(default)]
        many: Vec<Inner>,
        #[serde(default)]
        pair: Option<(u8, Named)>,
        #[serde(borrow, default)]
        raw: Option<&'b RawValue>,
        #[serde(default)]
        boxed: Option<Box<RawValue>>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        x: u8,
        name: Option<Number>,
    }

    #[derive(Debug, Deserialize)]
    struct Named(Inner);

    #[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
    enum Number {
        One,
    }

    fn outer(text: &str) -> serde_json::Result<Outer<'_>> {
        read(text.as_bytes(), Objects(PhantomData), |outer| outer)
    }

    #[test]
    fn objects_are_read_as_without_it() {
        let text = r#"{"one":{"x":1,"name":"One"},"many":[{"x":2},{"x":3}],"pair":[4,{"x":5}],"raw":[ 6],"boxed":{"a":[]}}"#;
        let read = outer(text).unwrap();
        let one = read.one.unwrap();
        assert_eq!((one.x, one.name), (1, Some(Number::One)));
        assert_eq!(read.many.iter().map(|inner| inner.x).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(read.pair.map(|(first, Named(inner))| (first, inner.x)), Some((4, 5)));
        assert_eq!(read.raw.map(RawValue::get), Some("[ 6]"));
        assert_eq!(read.boxed.as_deref().map(RawValue::get), Some(r#"{"a":[]}"#));
        assert!(outer(r#"{"one":null}"#).unwrap().one.is_none());
    }

    #[test]
    fn a_list_is_no_struct_however_deep() {
        for list in [
            "[]",
            "[null,[],null,null,null]",
            r#"{"one":[1,null]}"#,
            r#"{"many":[{"x":1},[1,null]]}"#,
            r#"{"pair":[4,[5,null]]}"#,
        ] {
            let error = outer(list).unwrap_err().to_string();
            assert!(
                error.starts_with("invalid type: sequence, expected struct "),
                "{list}: {error}"
            );
        }
    }

    #[test]
    fn an_enum_is_a_name() {
        for (name, why) in [
            (r#"{"One":null}"#, "invalid type: map, expected one of `One`"),
            ("7", "invalid type: integer `7`, expected one of `One`"),
            (r#""Two""#, "unknown variant `Two`, expected `One`"),
        ] {
            let text = format!(r#"{{"one":{{"x":1,"name":{name}}}}}"#);
            let error = outer(&text).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }
}
