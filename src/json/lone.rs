//! The bodies that are asked with most: an object of one member, and a list of such; read without a parser.

use memchr::memchr;

use super::marks::quotation_marks;
use super::once::is_flat;

/// The only member of an object: its name, and what its value is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lone {
    /// An object of plain members that names each once.
    Object(&'static str),
    /// A text.
    Text(&'static str),
}

/// The value of the only member, written without spaces around it and without escapes: what stands between the quotation
/// marks of a text, the whole of an object. `None` of anything else, sound or not.
pub(crate) fn lone_value(json: &[u8], member: Lone) -> Option<&str> {
    let (value, rest) = Reader::of(member).read(std::str::from_utf8(json).ok()?)?;
    rest.is_empty().then_some(value)
}

/// The values of `{"list":[{"name":value},…]}`, at most `max`; `None` as of [`lone_value`].
pub(crate) fn lone_values<'t>(
    json: &'t [u8],
    list: &str,
    member: Lone,
    max: usize,
) -> Option<Vec<&'t str>> {
    let json = std::str::from_utf8(json).ok()?;
    let mut rest = json.strip_prefix("{\"")?.strip_prefix(list)?.strip_prefix("\":[")?;
    let reader = Reader::of(member);
    let mut values = Vec::with_capacity(max.min(128));
    while values.len() < max {
        let (value, behind) = reader.read(rest)?;
        values.push(value);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None => return (behind == "]}").then_some(values),
        }
    }
    None
}

struct Reader {
    /// `{"name":`
    beginning: String,
    member: Lone,
}

impl Reader {
    fn of(member: Lone) -> Self {
        let (Lone::Object(name) | Lone::Text(name)) = member;
        Self { beginning: ["{\"", name, "\":"].concat(), member }
    }

    /// A value, and what stands behind the object around it.
    fn read<'t>(&self, json: &'t str) -> Option<(&'t str, &'t str)> {
        let behind = json.strip_prefix(self.beginning.as_str())?;
        let (value, rest) = match self.member {
            Lone::Object(_) => object(behind),
            Lone::Text(_) => text(behind),
        }?;
        Some((value, rest.strip_prefix('}')?))
    }
}

fn text(json: &str) -> Option<(&str, &str)> {
    let inner = json.strip_prefix('"')?;
    let (text, rest) = inner.split_at_checked(memchr(b'"', inner.as_bytes())?)?;
    // Nothing is escaped, and nothing is there that no text has.
    quotation_marks(text.as_bytes(), &mut [])?;
    Some((text, rest.strip_prefix('"')?))
}

/// An object with nothing inside it ends with the first brace; where that one stands in a text, what is before it is none.
fn object(json: &str) -> Option<(&str, &str)> {
    let end = memchr(b'}', json.as_bytes())? + 1;
    let (object, rest) = json.split_at_checked(end)?;
    is_flat(object).then_some((object, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_one_plain_text_is_read() {
        let read = |json: &str| lone_value(json.as_bytes(), Lone::Text("token")).map(str::to_owned);
        for (json, text) in [
            (r#"{"token":"a.b-c_d"}"#, Some("a.b-c_d")),
            (r#"{"token":""}"#, Some("")),
            (r#"{"token":"é"}"#, Some("é")),
            (r#"{"token":"a","as":"text"}"#, None),
            (r#"{"token":"a\n"}"#, None),
            ("{\"token\":\"a\n\"}", None),
            (r#"{ "token":"a"}"#, None),
            (r#"{"token":"a"} "#, None),
            (r#"{"token":"}"#, None),
            (r#"{"tokens":"a"}"#, None),
            (r#"{"token":7}"#, None),
            ("", None),
        ] {
            assert_eq!(read(json).as_deref(), text, "{json}");
        }
        assert_eq!(lone_value(b"{\"token\":\"\xff\"}", Lone::Text("token")), None);
    }

    #[test]
    fn only_one_plain_object_is_read() {
        let read =
            |json: &str| lone_value(json.as_bytes(), Lone::Object("claims")).map(str::to_owned);
        for (json, object) in [
            (r#"{"claims":{"a":"b","c":[1,"d"]}}"#, Some(r#"{"a":"b","c":[1,"d"]}"#)),
            (r#"{"claims":{"a":"}"}}"#, None),
            (r#"{"claims":{"a":"}}"}}"#, None),
            (r#"{"claims":{"a":1,"a":2}}"#, None),
            (r#"{"claims":{"a":{}}}"#, None),
            (r#"{"claims":{"a":1}"#, None),
            (r#"{"claims":{"a":1}},"#, None),
            (r#"{"claims":{"a":1},"alg":"ES256"}"#, None),
            (r#"{"claims":{"a":1} }"#, None),
            (r#"{"claims": {"a":1}}"#, None),
            (r#"{"claims":"a"}"#, None),
            (r#"{"claims":[1}}"#, None),
        ] {
            assert_eq!(read(json).as_deref(), object, "{json}");
        }
    }

    #[test]
    fn only_a_list_of_plain_texts_is_read() {
        fn read(json: &str) -> Option<Vec<&str>> {
            lone_values(json.as_bytes(), "items", Lone::Text("token"), 3)
        }
        let one = r#"{"token":"a"}"#;
        assert_eq!(read(&format!(r#"{{"items":[{one}]}}"#)), Some(vec!["a"]));
        assert_eq!(read(&format!(r#"{{"items":[{one},{one},{one}]}}"#)), Some(vec!["a", "a", "a"]));
        for other in [
            format!(r#"{{"items":[{one},{one},{one},{one}]}}"#),
            format!(r#"{{"items":[{one},]}}"#),
            format!(r#"{{"items":[{one}],"items":[]}}"#),
            format!(r#"{{"items":[{one}]}} "#),
            format!(r#"{{"items":[{one}"#),
            r#"{"items":[{"token":"a","as":"text"}]}"#.to_owned(),
            r#"{"items":[]}"#.to_owned(),
            r#"{"item":[]}"#.to_owned(),
        ] {
            assert_eq!(read(&other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_a_parser_reads(
            texts in prop::collection::vec(r#"([a-zA-Z0-9._-]{0,90}|["\\{}:,\x00-\x20\x7f]|\PC){0,4}"#, 1..4),
            pieces in prop::collection::vec(prop::sample::select(vec![
                "{\"token\":\"", "a", "b", "\"}", "\"}", ",", "]}", "\"", " ", "\\", "{\"items\":[",
            ]), 0..12),
        ) {
            let objects: Vec<Value> = texts.iter().map(|text| json!({ "token": text })).collect();
            let raw = texts.iter().map(|text| format!("{{\"token\":\"{text}\"}}")).collect::<Vec<_>>();
            for text in [json!({ "items": objects }).to_string(), format!("{{\"items\":[{}]}}", raw.join(",")),
                format!("{{\"items\":[{}", pieces.concat()), raw.concat(), objects[0].to_string(), pieces.concat()] {
                let parsed = || serde_json::from_str::<Value>(&text).unwrap();
                if let Some(read) = lone_value(text.as_bytes(), Lone::Text("token")) {
                    prop_assert_eq!(parsed(), json!({ "token": read }));
                }
                if let Some(read) = lone_values(text.as_bytes(), "items", Lone::Text("token"), 9) {
                    let items: Vec<Value> = read.iter().map(|text| json!({ "token": text })).collect();
                    prop_assert_eq!(parsed(), json!({ "items": items }));
                }
            }
        }

        #[test]
        fn what_is_read_of_objects_is_what_a_parser_reads(
            objects in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![
                "\"a\":1", "\"b\":\"c\"", "\"b\":\"}\"", "\"d\":[true,\"]\"]", "\"e\":{}", "\"a\":null", "", " \"f\":2",
                "\"g\":\"}},{\"", "\"h\":\"\\\"\"",
            ]), 0..5), 1..4),
            pieces in prop::collection::vec(prop::sample::select(vec![
                "{\"claims\":", "{\"a\":1", "\"b\":[", "}", "}", "]}", ",", "]", "\"", " ", "{\"items\":[",
            ]), 0..12),
        ) {
            let objects: Vec<String> = objects.iter().map(|members| format!("{{\"claims\":{{{}}}}}", members.join(","))).collect();
            for text in [format!("{{\"items\":[{}]}}", objects.join(",")), objects[0].clone(),
                format!("{{\"items\":[{}", pieces.concat()), pieces.concat()] {
                let parsed = || serde_json::from_str::<Value>(&text).unwrap();
                let object = |read: &str| json!({ "claims": serde_json::from_str::<Value>(read).unwrap() });
                if let Some(read) = lone_value(text.as_bytes(), Lone::Object("claims")) {
                    prop_assert_eq!(parsed(), object(read));
                    prop_assert_eq!(crate::json::require_object(read), Ok(()));
                }
                if let Some(read) = lone_values(text.as_bytes(), "items", Lone::Object("claims"), 9) {
                    let items: Vec<Value> = read.iter().copied().map(object).collect();
                    prop_assert_eq!(parsed(), json!({ "items": items }));
                }
            }
        }
    }
}
