//! The common protected header, read without building a JSON tree: one object whose members are all plain
//! strings of the names below. Whatever else a header holds is left to the full parser, whose verdict is
//! the only one: this reader accepts nothing that the full one refuses.

use std::ops::Range;

/// The members that are strings (RFC 7515 §4.1, RFC 7516 §4.1, RFC 7518 §4).
const NAMES: [&str; 11] =
    ["alg", "enc", "kid", "typ", "cty", "zip", "iv", "tag", "apu", "apv", "p2s"];

/// A header of plain strings.
#[derive(Clone, Debug)]
pub(super) struct PlainHeader {
    text: String,
    /// Where each of [`NAMES`] has its value in `text`.
    values: [Option<Range<usize>>; NAMES.len()],
}

impl PlainHeader {
    /// Reads the JSON text; gives it back if it is anything but plain.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Self, Vec<u8>> {
        match scan(&bytes) {
            // What was scanned is ASCII.
            Some(values) => String::from_utf8(bytes)
                .map(|text| Self { text, values })
                .map_err(|e| e.into_bytes()),
            None => Err(bytes),
        }
    }

    /// The value of a member.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let index = NAMES.iter().position(|known| *known == name)?;
        self.text.get(self.values.get(index)?.clone()?)
    }

    /// The JSON text.
    pub(super) fn json(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

fn scan(bytes: &[u8]) -> Option<[Option<Range<usize>>; NAMES.len()]> {
    let mut values = [const { None }; NAMES.len()];
    let mut cursor = Cursor { bytes, at: 0 };
    cursor.expect(b'{')?;
    loop {
        let name = bytes.get(cursor.string()?)?;
        let index = NAMES.iter().position(|known| known.as_bytes() == name)?;
        cursor.expect(b':')?;
        let value = cursor.string()?;
        // A second member of the name: the full parser refuses it.
        if values.get_mut(index)?.replace(value).is_some() {
            return None;
        }
        match cursor.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    cursor.skip_space();
    (cursor.at == bytes.len()).then_some(values)
}

struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Cursor<'_> {
    fn skip_space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        self.skip_space();
        let byte = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// A string of printable ASCII without escapes; its content.
    fn string(&mut self) -> Option<Range<usize>> {
        self.expect(b'"')?;
        let start = self.at;
        let rest = self.bytes.get(start..)?;
        let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let len = rest.iter().position(|byte| !plain(byte))?;
        let end = start + len;
        self.at = end + 1;
        (self.bytes.get(end) == Some(&b'"')).then_some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::json::parse_strict_object;

    /// Texts that are nearly plain: every piece may go wrong.
    fn nearly_plain() -> impl Strategy<Value = String> {
        let space = || prop::sample::select(vec!["", "", "", " ", "\r\n ", "\t", "\u{a0}", "\0"]);
        let name = prop::sample::select(vec![
            "\"alg\"",
            "\"kid\"",
            "\"typ\"",
            "\"enc\"",
            "\"p2s\"",
            "\"crit\"",
            "\"jwk\"",
            "\"\"",
            "\"a\\u006cg\"",
            "\"ALG\"",
            "alg",
            "'alg'",
        ]);
        let value = prop::sample::select(vec![
            "\"ES256\"",
            "\"none\"",
            "\"a b\"",
            "\"\"",
            "\"\\n\"",
            "\"\\\\\"",
            "\"\\u0041\"",
            "\"é\"",
            "\"\u{7f}\"",
            "\"\n\"",
            "null",
            "1",
            "true",
            "{}",
            "[\"b64\"]",
            "\"x",
            "x\"",
            "\"a\"b\"",
        ]);
        let member = (space(), name, space(), value, space());
        let member = member.prop_map(|(a, name, b, value, c)| format!("{a}{name}{b}:{value}{c}"));
        let separator = prop::sample::select(vec![",", ",", ",", "", ",,", ";"]);
        let end = prop::sample::select(vec!["}", "}", "}", "} ", "}\n", "}x", "}{}", ""]);
        (space(), prop::collection::vec(member, 0..5), separator, end).prop_map(
            |(a, members, separator, end)| format!("{a}{{{}{end}", members.join(separator)),
        )
    }

    fn agree(text: &str) -> bool {
        let Ok(plain) = PlainHeader::parse(text.as_bytes().to_vec()) else { return false };
        let full = parse_strict_object(text.as_bytes(), 1).expect("the full parser accepts it");
        assert_eq!(plain.json(), text.as_bytes());
        let found: Vec<&str> =
            NAMES.into_iter().filter(|name| plain.text(name).is_some()).collect();
        assert_eq!(found.len(), full.len());
        for name in found {
            assert_eq!(full.get(name).and_then(Value::as_str), plain.text(name));
        }
        true
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_this_reader_accepts_the_full_parser_reads_alike(text in nearly_plain()) {
            agree(&text);
        }
    }

    #[test]
    fn common_headers_are_plain_and_others_are_not() {
        assert!(agree(r#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#));
        assert!(agree("{ \"typ\" : \"JWT\",\r\n \"alg\" : \"HS256\" }\n"));
        for text in [
            "",
            "{",
            "{}",
            "{}x",
            r#"{"alg":"a","alg":"b"}"#,
            r#"{"alg":"a",}"#,
            r#"{"alg":1}"#,
            r#"{"crit":["b64"]}"#,
            r#"{"alg":"\u0041"}"#,
            r#"{"kid":"é"}"#,
            r#"{"alg":"a"}{"#,
            "{\"kid\":\"a\u{1}\"}",
            r#"["alg"]"#,
        ] {
            assert!(!agree(text), "{text}");
        }
    }
}
