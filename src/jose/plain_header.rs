//! The common protected header, read without building a JSON tree: one object whose members are all plain
//! strings of the names below, and `epk`, which is one such object. Whatever else a header holds is left to
//! the full parser, whose verdict is the only one: this reader accepts nothing that the full one refuses.

use std::ops::Range;

/// The members that are strings (RFC 7515 §4.1, RFC 7516 §4.1, RFC 7518 §4).
const NAMES: [&str; 11] =
    ["alg", "enc", "kid", "typ", "cty", "zip", "iv", "tag", "apu", "apv", "p2s"];

/// The members of `epk`, the public key of ECDH-ES (RFC 7518 §4.6.1.1, §6.2.1, RFC 8037 §2).
const EPHEMERAL: [&str; 4] = ["kty", "crv", "x", "y"];

/// Where each of some names has its value in the text.
type Values<const N: usize> = [Option<Range<usize>>; N];

/// A header of plain strings.
#[derive(Clone, Debug)]
pub(super) struct PlainHeader {
    text: String,
    values: Values<{ NAMES.len() }>,
    ephemeral: Option<Values<{ EPHEMERAL.len() }>>,
}

impl PlainHeader {
    /// Reads the JSON text; gives it back if it is anything but plain, or nests deeper than `max_depth`.
    pub(super) fn parse(bytes: Vec<u8>, max_depth: usize) -> Result<Self, Vec<u8>> {
        let Some((values, ephemeral)) = scan(&bytes) else { return Err(bytes) };
        if max_depth < depth(&ephemeral) {
            return Err(bytes);
        }
        // What was scanned is ASCII.
        String::from_utf8(bytes)
            .map(|text| Self { text, values, ephemeral })
            .map_err(|error| error.into_bytes())
    }

    /// The value of a member that is a string.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(&NAMES, &self.values, name)
    }

    /// Whether there is a member of this name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.text(name).is_some() || (name == "epk" && self.has_ephemeral())
    }

    /// Whether there is an `epk`.
    pub(super) const fn has_ephemeral(&self) -> bool {
        self.ephemeral.is_some()
    }

    /// The value of a member of `epk`.
    pub(super) fn ephemeral(&self, name: &str) -> Option<&str> {
        self.value(&EPHEMERAL, self.ephemeral.as_ref()?, name)
    }

    /// The JSON text.
    pub(super) fn json(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// How deep the JSON text nests.
    pub(super) const fn depth(&self) -> usize {
        depth(&self.ephemeral)
    }

    fn value<const N: usize>(
        &self,
        names: &[&str; N],
        values: &Values<N>,
        name: &str,
    ) -> Option<&str> {
        let index = names.iter().position(|known| *known == name)?;
        self.text.get(values.get(index)?.clone()?)
    }
}

const fn depth<T>(nested: &Option<T>) -> usize {
    if nested.is_some() { 2 } else { 1 }
}

type Scanned = (Values<{ NAMES.len() }>, Option<Values<{ EPHEMERAL.len() }>>);

fn scan(bytes: &[u8]) -> Option<Scanned> {
    let mut values = [const { None }; NAMES.len()];
    let mut ephemeral = None;
    let mut cursor = Cursor { bytes, at: 0 };
    cursor.object(|cursor, name| {
        if name != b"epk" {
            return put(&NAMES, &mut values, name, cursor.string()?);
        }
        let mut members = [const { None }; EPHEMERAL.len()];
        cursor.object(|cursor, name| put(&EPHEMERAL, &mut members, name, cursor.string()?))?;
        // A second one: the full parser refuses it.
        ephemeral.replace(members).is_none().then_some(())
    })?;
    cursor.skip_space();
    (cursor.at == bytes.len()).then_some((values, ephemeral))
}

/// Notes where a known name has its value, unless it has one already: the full parser refuses a second.
fn put<const N: usize>(
    names: &[&str; N],
    values: &mut Values<N>,
    name: &[u8],
    value: Range<usize>,
) -> Option<()> {
    let index = names.iter().position(|known| known.as_bytes() == name)?;
    values.get_mut(index)?.replace(value).is_none().then_some(())
}

struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Cursor<'b> {
    /// One object that is not empty; `member` reads the value of each name.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'b [u8]) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        loop {
            let name = self.string()?;
            let name = self.bytes.get(name)?;
            self.expect(b':')?;
            member(self, name)?;
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

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

    /// Objects that are nearly plain: every piece may go wrong.
    fn nearly_plain(
        names: &'static [&'static str],
        nested: impl Strategy<Value = String> + 'static,
    ) -> impl Strategy<Value = String> {
        let space = || prop::sample::select(vec!["", "", "", " ", "\r\n ", "\t", "\u{a0}", "\0"]);
        let name = prop::sample::select(names.to_vec());
        let text = prop::sample::select(vec![
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
        let value = prop_oneof![4 => text.prop_map(str::to_owned), 1 => nested];
        let member = (space(), name, space(), value, space());
        let member = member.prop_map(|(a, name, b, value, c)| format!("{a}{name}{b}:{value}{c}"));
        let separator = prop::sample::select(vec![",", ",", ",", "", ",,", ";"]);
        let end = prop::sample::select(vec!["}", "}", "}", "} ", "}\n", "}x", "}{}", ""]);
        (space(), prop::collection::vec(member, 0..5), separator, end).prop_map(
            |(a, members, separator, end)| format!("{a}{{{}{end}", members.join(separator)),
        )
    }

    const MEMBERS: [&str; 14] = [
        "\"alg\"",
        "\"kid\"",
        "\"typ\"",
        "\"enc\"",
        "\"p2s\"",
        "\"crit\"",
        "\"jwk\"",
        "\"epk\"",
        "\"epk\"",
        "\"\"",
        "\"a\\u006cg\"",
        "\"ALG\"",
        "alg",
        "'alg'",
    ];
    const KEY_MEMBERS: [&str; 9] =
        ["\"kty\"", "\"crv\"", "\"x\"", "\"y\"", "\"d\"", "\"alg\"", "\"\"", "\"\\u0078\"", "y"];

    fn headers() -> impl Strategy<Value = String> {
        let too_deep = Just(r#"{"x":{"x":{}}}"#.to_owned());
        let whole = prop_oneof![
            Just(r#"{"kty":"EC","crv":"P-256","x":"AQ","y":"Ag"}"#.to_owned()),
            Just(r#"{ "crv" : "X25519", "kty":"OKP", "x":"AQ" }"#.to_owned()),
        ];
        let epk = whole.clone().prop_map(|key| format!("{{\"alg\":\"ECDH-ES\",\"epk\":{key}}}"));
        let nested = prop_oneof![2 => whole, 3 => nearly_plain(&KEY_MEMBERS, too_deep)];
        prop_oneof![1 => epk, 9 => nearly_plain(&MEMBERS, nested)]
    }

    fn agree(text: &str) -> bool {
        let Ok(plain) = PlainHeader::parse(text.as_bytes().to_vec(), 2) else { return false };
        let depth = plain.depth();
        let full = parse_strict_object(text.as_bytes(), depth).expect("the full parser accepts it");
        assert!(parse_strict_object(text.as_bytes(), depth - 1).is_err());
        assert!(PlainHeader::parse(text.as_bytes().to_vec(), depth - 1).is_err());
        assert_eq!(plain.json(), text.as_bytes());
        assert!(full.keys().all(|name| plain.contains(name)));
        assert_eq!(
            full.len(),
            NAMES.iter().chain(&["epk"]).filter(|name| plain.contains(name)).count()
        );
        for name in NAMES {
            assert_eq!(full.get(name).and_then(Value::as_str), plain.text(name));
        }
        let epk = full.get("epk").map(|epk| epk.as_object().expect("an object"));
        assert_eq!(epk.is_some(), plain.has_ephemeral());
        for name in EPHEMERAL {
            let found = epk.and_then(|epk| epk.get(name)?.as_str());
            assert_eq!(found, plain.ephemeral(name));
        }
        assert!(epk.is_none_or(|epk| epk.keys().all(|name| plain.ephemeral(name).is_some())));
        true
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_this_reader_accepts_the_full_parser_reads_alike(text in headers()) {
            agree(&text);
        }
    }

    #[test]
    fn common_headers_are_plain_and_others_are_not() {
        assert!(agree(r#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#));
        assert!(agree("{ \"typ\" : \"JWT\",\r\n \"alg\" : \"HS256\" }\n"));
        assert!(agree(
            r#"{"alg":"ECDH-ES","epk":{"kty":"OKP","crv":"X25519","x":"AQ"},"kid":"k"}"#
        ));
        for text in [
            r#"{"epk":{"x":"AQ"},"epk":{"x":"AQ"}}"#,
            r#"{"epk":{"x":"AQ","x":"AQ"}}"#,
            r#"{"epk":{"x":"AQ","d":"AQ"}}"#,
            r#"{"epk":{"x":{"x":"AQ"}}}"#,
            r#"{"epk":{}}"#,
            r#"{"epk":"AQ"}"#,
            r#"{"alg":{"x":"AQ"}}"#,
            r#"{"epk":{"x":"AQ"}"#,
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
