//! Which characters may stand where (XML 1.0 §2.2 and §2.3, Namespaces in XML §3).

use memchr::memmem;
use zeroize::Zeroizing;

/// What a whole text has, looked at once so that nobody looks again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Characters {
    /// Tabs or line feeds, which are spaces in the values of attributes.
    pub(super) tabs_or_lines: bool,
}

impl Characters {
    /// `None` if the text has a character that XML has nowhere, not even as a reference.
    pub(super) fn of(text: &str) -> Option<Self> {
        // Without short cuts, so that the compiler looks at many bytes at once.
        let (least, most) = text
            .bytes()
            .fold((u8::MAX, 0), |(least, most), byte| (u8::min(least, byte), u8::max(most, byte)));
        if least >= b' ' && most.is_ascii() {
            return Some(Self { tabs_or_lines: false });
        }
        let (mut control, mut tabs_or_lines) = (false, false);
        for byte in text.bytes() {
            let white = (byte == b'\t') | (byte == b'\n');
            tabs_or_lines |= white;
            control |= (byte < b' ') & !white & (byte != b'\r');
        }
        let no_character = |bytes: &[u8; 3]| memmem::find(text.as_bytes(), bytes).is_some();
        // U+FFFE and U+FFFF; UTF-8 has no surrogates.
        let none =
            !text.is_ascii() && (no_character(b"\xef\xbf\xbe") || no_character(b"\xef\xbf\xbf"));
        (!control && !none).then_some(Self { tabs_or_lines })
    }
}

/// Whether XML has this character.
pub(super) fn is_character(one: char) -> bool {
    matches!(one, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// What an ASCII byte is in a name: a beginning of one is 2, another part of one 1, anything else 0.
const NAME: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0u8;
    while byte < 128 {
        #[expect(
            clippy::as_conversions,
            clippy::indexing_slicing,
            reason = "checked when compiled"
        )]
        {
            table[byte as usize] = match byte {
                b'A'..=b'Z' | b'_' | b'a'..=b'z' => 2,
                b'0'..=b'9' | b'-' | b'.' => 1,
                _ => 0,
            };
        }
        byte += 1;
    }
    table
};

fn in_name(byte: u8) -> u8 {
    NAME.get(usize::from(byte)).copied().unwrap_or(0)
}

/// A name, where its bytes end.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlainName {
    pub(super) len: usize,
    /// Bytes of the prefix, without the colon.
    pub(super) prefix: usize,
}

/// The qualified name that `text` begins with, if it is plain to see: of ASCII, with something behind it. Else
/// somebody has to look closer. Names are short and repeat: byte by byte is quicker than blocks of them, whose
/// results a processor has to wait for.
#[inline]
pub(super) fn plain_name(text: &[u8]) -> Option<PlainName> {
    let (mut len, mut prefix) = (plain_ncname(text)?, 0);
    if text.get(len) == Some(&b':') {
        prefix = len;
        len += 1 + plain_ncname(text.get(len + 1..)?)?;
    }
    text.get(len)?.is_ascii().then_some(PlainName { len, prefix })
}

#[inline]
fn plain_ncname(text: &[u8]) -> Option<usize> {
    let (first, rest) = text.split_first()?;
    let len = rest.iter().position(|byte| in_name(*byte) == 0)? + 1;
    (in_name(*first) == 2).then_some(len)
}

/// Where the NCName that begins at `from` ends; `from` itself if there is none.
pub(super) fn name_end(text: &str, from: usize) -> usize {
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    let len = rest.iter().position(|byte| in_name(*byte) == 0).unwrap_or(rest.len());
    if rest.get(len).is_none_or(u8::is_ascii) {
        let begins = rest.first().is_some_and(|first| in_name(*first) == 2);
        return if begins { from + len } else { from };
    }
    name_end_beyond_ascii(text, from)
}

#[cold]
fn name_end_beyond_ascii(text: &str, from: usize) -> usize {
    let mut at = from;
    loop {
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        at += rest.iter().position(|byte| in_name(*byte) == 0).unwrap_or(rest.len());
        let Some(one) = text.get(at..).and_then(|rest| rest.chars().next()) else { break };
        if one.is_ascii() || !is_name(one) {
            break;
        }
        at += one.len_utf8();
    }
    let first = text.get(from..at).and_then(|name| name.chars().next());
    if first.is_some_and(is_name_start) { at } else { from }
}

/// NameStartChar without the colon.
fn is_name_start(one: char) -> bool {
    matches!(one,
        'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}'
        | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}'
        | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

/// NameChar without the colon.
fn is_name(one: char) -> bool {
    is_name_start(one)
        || matches!(one, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

/// Text or value with its references replaced, and whether it stands in canonical text as it is.
#[derive(Debug)]
pub(super) struct Decoded {
    /// Of something decrypted, maybe.
    pub(super) text: Zeroizing<String>,
    pub(super) canonical: bool,
}

/// Replaces the references of `raw`: characters by number, and the five entities of XML (XML 1.0 §4.1, §4.6).
/// `None` for any other entity, and for numbers of what is no character.
pub(super) fn decode(raw: &str, in_value: bool) -> Option<Decoded> {
    // Never longer than what it was written as.
    let mut text = Zeroizing::new(String::with_capacity(raw.len()));
    let (mut canonical, mut rest) = (true, raw);
    while let Some(at) = memchr::memchr(b'&', rest.as_bytes()) {
        let (plain, from) = rest.split_at(at);
        push(plain, in_value, &mut text);
        let (reference, behind) = from.get(1..)?.split_once(';')?;
        let one = match reference {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => numbered(reference.strip_prefix('#')?)?,
        };
        let other = if in_value { "quot" } else { "gt" };
        canonical &= matches!(reference, "amp" | "lt") || reference == other;
        text.push(one);
        rest = behind;
    }
    push(rest, in_value, &mut text);
    Some(Decoded { text, canonical })
}

/// White space of a value is spaces, unless it was written by its number (XML 1.0 §3.3.3).
fn push(plain: &str, in_value: bool, text: &mut String) {
    if in_value {
        text.extend(plain.chars().map(|one| if matches!(one, '\t' | '\n') { ' ' } else { one }));
    } else {
        text.push_str(plain);
    }
}

fn numbered(number: &str) -> Option<char> {
    let (digits, radix) = match number.strip_prefix('x') {
        Some(hex) => (hex, 16),
        None => (number, 10),
    };
    // `from_str_radix` takes a sign.
    if !digits.chars().all(|one| one.is_digit(radix)) {
        return None;
    }
    let code = u32::from_str_radix(digits, radix).ok()?;
    char::from_u32(code).filter(|one| is_character(*one))
}
