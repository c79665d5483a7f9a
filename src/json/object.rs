//! A JSON object that is written member by member, without a tree.

use serde::Serialize;

use super::is_plain;

/// Writes one object onto a text.
pub(crate) struct ObjectWriter<'o> {
    out: &'o mut Vec<u8>,
    /// What stands before the next member.
    between: u8,
}

impl<'o> ObjectWriter<'o> {
    /// Begins an object behind what is there.
    pub(crate) const fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, between: b'{' }
    }

    /// Adds a member whose value is JSON already. In no name of a member is anything to be escaped.
    pub(crate) fn json(&mut self, name: &'static str, value: &str) {
        self.begin(name);
        self.out.extend_from_slice(value.as_bytes());
    }

    /// Adds a text.
    pub(crate) fn text(&mut self, name: &'static str, text: &str) {
        if is_plain(text) {
            self.plain_text(name, text);
        } else {
            self.value(name, text);
        }
    }

    /// Adds a text in which nothing is to be escaped, as in base64url.
    pub(crate) fn plain_text(&mut self, name: &'static str, text: &str) {
        self.begin(name);
        for part in ["\"", text, "\""] {
            self.out.extend_from_slice(part.as_bytes());
        }
    }

    /// Adds a value of JSON.
    pub(crate) fn value(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) {
        self.begin(name);
        // Into memory, of texts and maps of texts: nothing can fail.
        drop(serde_json::to_writer(&mut *self.out, value));
    }

    /// Ends the object.
    pub(crate) fn end(self) {
        let end: &[u8] = if self.between == b'{' { b"{}" } else { b"}" };
        self.out.extend_from_slice(end);
    }

    fn begin(&mut self, name: &'static str) {
        self.out.push(self.between);
        self.between = b',';
        for part in ["\"", name, "\":"] {
            self.out.extend_from_slice(part.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_object_without_members_is_one() {
        let mut out = b"[".to_vec();
        ObjectWriter::new(&mut out).end();
        assert_eq!(out, b"[{}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_serde_reads(
            text in r#"([a-z]|["\\\x00-\x1f\x7f]|\PC){0,20}"#,
            plain in "[A-Za-z0-9_-]{0,40}",
            number: i64,
        ) {
            let mut out = Vec::new();
            let mut object = ObjectWriter::new(&mut out);
            object.plain_text("plain", &plain);
            object.text("text", &text);
            object.json("json", "[1, {}]");
            object.value("value", &json!({ "n": number }));
            object.end();
            let expected = json!({ "plain": plain, "text": text, "json": [1, {}], "value": { "n": number } });
            prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
        }
    }
}
