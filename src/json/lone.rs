//! The bodies that are asked with most: an object of one text, and a list of such; read without a parser.

use memchr::memchr;

use super::marks::quotation_marks;

/// The text of `{"name":"text"}`, written just so and without escapes; `None` of anything else, sound or not.
pub(crate) fn lone_text<'t>(json: &'t [u8], name: &str) -> Option<&'t str> {
    let (text, rest) = Beginning::of(name).read(std::str::from_utf8(json).ok()?)?;
    rest.is_empty().then_some(text)
}

/// The texts of `{"list":[{"name":"text"},…]}`, at most `max`; `None` as of [`lone_text`].
pub(crate) fn lone_texts<'t>(
    json: &'t [u8],
    list: &str,
    name: &str,
    max: usize,
) -> Option<Vec<&'t str>> {
    let json = std::str::from_utf8(json).ok()?;
    let mut rest = json.strip_prefix("{\"")?.strip_prefix(list)?.strip_prefix("\":[")?;
    let beginning = Beginning::of(name);
    let mut texts = Vec::with_capacity(max.min(128));
    while texts.len() < max {
        let (text, behind) = beginning.read(rest)?;
        texts.push(text);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None => return (behind == "]}").then_some(texts),
        }
    }
    None
}

/// `{"name":"`
struct Beginning(String);

impl Beginning {
    fn of(name: &str) -> Self {
        Self(["{\"", name, "\":\""].concat())
    }

    /// A text, and what stands behind its object.
    fn read<'t>(&self, json: &'t str) -> Option<(&'t str, &'t str)> {
        let behind = json.strip_prefix(self.0.as_str())?;
        let (text, rest) = behind.split_at_checked(memchr(b'"', behind.as_bytes())?)?;
        // Nothing is escaped, and nothing is there that no text has.
        quotation_marks(text.as_bytes(), &mut [])?;
        Some((text, rest.strip_prefix("\"}")?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_one_plain_text_is_read() {
        let read = |json: &str| lone_text(json.as_bytes(), "token").map(str::to_owned);
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
        assert_eq!(lone_text(b"{\"token\":\"\xff\"}", "token"), None);
    }

    #[test]
    fn only_a_list_of_plain_texts_is_read() {
        fn read(json: &str) -> Option<Vec<&str>> {
            lone_texts(json.as_bytes(), "items", "token", 3)
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
                if let Some(read) = lone_text(text.as_bytes(), "token") {
                    prop_assert_eq!(parsed(), json!({ "token": read }));
                }
                if let Some(read) = lone_texts(text.as_bytes(), "items", "token", 9) {
                    let items: Vec<Value> = read.iter().map(|text| json!({ "token": text })).collect();
                    prop_assert_eq!(parsed(), json!({ "items": items }));
                }
            }
        }
    }
}
