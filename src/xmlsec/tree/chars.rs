//! Which characters may stand where (XML 1.0 §2.2 and §2.3, Namespaces in XML §3).

use zeroize::Zeroizing;

/// Whether XML has this character.
pub(super) fn is_character(one: char) -> bool {
    matches!(one, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether this ASCII byte may stand in a name.
const fn in_name(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'_' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')
}

/// Where the NCName that begins at `from` ends; `from` itself if there is none.
pub(super) fn name_end(text: &str, from: usize) -> usize {
    let mut at = from;
    loop {
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        at += rest.iter().position(|byte| !in_name(*byte)).unwrap_or(rest.len());
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
        let end = from.bytes().position(|byte| byte == b';')?;
        let (reference, behind) = (from.get(1..end)?, from.get(end + 1..)?);
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
