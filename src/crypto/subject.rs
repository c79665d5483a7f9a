//! Subjects of certificates as names that can be compared: RFC 4514 text, and what a certificate has.

use std::fmt;
use std::str::FromStr;

use x509_parser::x509::X509Name;

use crate::error::{Error, ErrorKind, Result};

/// A distinguished name, most specific part first. Two are equal if every part is, letter by letter; how the text
/// spaces and escapes them, and which string type the certificate has, makes no difference.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct DistinguishedName {
    /// Each part: one pair, or several in order of type (RFC 4514 §2.2).
    parts: Vec<Vec<(String, String)>>,
}

impl DistinguishedName {
    /// The name that a certificate has; `None` for an empty one and for values that are no text.
    pub(super) fn of(name: &X509Name<'_>) -> Option<Self> {
        let mut parts = Vec::new();
        for part in name.iter() {
            let pair = |pair: &x509_parser::x509::AttributeTypeAndValue<'_>| {
                let value = pair.as_str().ok()?.to_owned();
                Some((short_name(&pair.attr_type().to_id_string()), value))
            };
            parts.push(part.iter().map(pair).collect::<Option<Vec<_>>>()?);
        }
        parts.reverse();
        Self::new(parts)
    }

    /// Whether both name the same by the matching rules of their types (RFC 5280 §7.1, RFC 4517 §4.2.11): the case of
    /// ASCII letters, and how many spaces stand between words, makes no difference. Types without a name here are
    /// compared letter by letter, and so is what RFC 4518 would map beyond ASCII.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        let same = |(one, other): (&Vec<_>, &Vec<_>)| same_part(one, other);
        self.parts.len() == other.parts.len() && self.parts.iter().zip(&other.parts).all(same)
    }

    /// The first type that is neither an OID nor has a name here.
    pub(super) fn unknown_type(&self) -> Option<&str> {
        let mut keys = self.parts.iter().flatten().map(|(key, _)| key.as_str());
        keys.find(|key| {
            let is_oid =
                key.contains('.') && key.bytes().all(|one| one == b'.' || one.is_ascii_digit());
            !is_oid && !is_named(key)
        })
    }

    fn new(mut parts: Vec<Vec<(String, String)>>) -> Option<Self> {
        parts.iter_mut().for_each(|part| part.sort());
        (!parts.is_empty()).then_some(Self { parts })
    }
}

impl FromStr for DistinguishedName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let shown: String = text.chars().take(128).collect();
            Error::new(ErrorKind::Usage, format!("\"{}\" is no subject", shown.escape_debug()))
                .with_help(
                    "write it as `openssl x509 -noout -subject -nameopt RFC2253` does: \"CN=portal,O=Example\"",
                )
        };
        let mut parts = vec![Vec::new()];
        let mut rest = text;
        loop {
            let (key, after) = rest.split_once('=').ok_or_else(wrong)?;
            let (value, end, after) = value(after).ok_or_else(wrong)?;
            let key = key.trim();
            let is_key = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
            if key.is_empty() || !key.bytes().all(is_key) {
                return Err(wrong());
            }
            if let Some(part) = parts.last_mut() {
                part.push((short_name(key), value));
            }
            match end {
                Some('+') => {}
                Some(_) => parts.push(Vec::new()),
                None => break,
            }
            rest = after;
        }
        Self::new(parts).ok_or_else(wrong)
    }
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.parts.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            for (at, (key, value)) in part.iter().enumerate() {
                write!(f, "{}{key}=", if at == 0 { "" } else { "+" })?;
                let last = value.chars().count().saturating_sub(1);
                for (at, letter) in value.chars().enumerate() {
                    let edge = letter == ' ' && (at == 0 || at == last);
                    if letter.is_control() {
                        let mut bytes = [0; 4];
                        for byte in letter.encode_utf8(&mut bytes).bytes() {
                            write!(f, "\\{byte:02x}")?;
                        }
                        continue;
                    }
                    let marked = edge || (letter == '#' && at == 0) || SPECIAL.contains(letter);
                    write!(f, "{}{letter}", if marked { "\\" } else { "" })?;
                }
            }
        }
        Ok(())
    }
}

/// Parts are sets (RFC 5280 §4.1.2.4).
fn same_part(one: &[(String, String)], other: &[(String, String)]) -> bool {
    let mut left: Vec<&(String, String)> = other.iter().collect();
    for pair in one {
        let Some(found) = left.iter().position(|other| same_pair(pair, other)) else {
            return false;
        };
        left.swap_remove(found);
    }
    left.is_empty()
}

fn same_pair((key, value): &(String, String), (other_key, other): &(String, String)) -> bool {
    if key != other_key {
        return false;
    }
    if !is_named(key) {
        return value == other;
    }
    let words = |text: &str| -> Vec<String> {
        text.split(' ').filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect()
    };
    words(value) == words(other)
}

fn is_named(key: &str) -> bool {
    TYPES.iter().any(|(name, _)| *name == key)
}

/// The value at the start of a text, unescaped (RFC 4514 §3); what ends it; what comes after that.
fn value(text: &str) -> Option<(String, Option<char>, &str)> {
    let mut bytes = Vec::new();
    // Up to here nothing is space that may go.
    let mut kept = 0;
    let mut letters = text.char_indices();
    let mut end = None;
    while let Some((at, letter)) = letters.next() {
        match letter {
            ',' | '+' => {
                end = Some((letter, text.get(at + 1..)?));
                break;
            }
            '\\' => {
                let (_, escaped) = letters.next()?;
                if let Some(high) = escaped.to_digit(16) {
                    let low = letters.next()?.1.to_digit(16)?;
                    bytes.push(u8::try_from(high * 16 + low).ok()?);
                } else if SPECIAL.contains(escaped) || " #=".contains(escaped) {
                    bytes.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                } else {
                    return None;
                }
                kept = bytes.len();
            }
            ' ' if bytes.is_empty() => {}
            // A value in BER, and characters that must be escaped.
            '#' if bytes.is_empty() => return None,
            '"' | ';' | '<' | '>' => return None,
            _ => {
                bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                kept = if letter == ' ' { kept } else { bytes.len() };
            }
        }
    }
    bytes.truncate(kept);
    let value = String::from_utf8(bytes).ok().filter(|value| !value.is_empty())?;
    let (end, after) = end.map_or((None, ""), |(end, after)| (Some(end), after));
    Some((value, end, after))
}

/// The short name of an attribute type (RFC 4514 §3), from that or from its OID; others stay as they are.
fn short_name(text: &str) -> String {
    let text = text.strip_prefix("OID.").unwrap_or(text);
    let known = TYPES.iter().find(|(name, oid)| name.eq_ignore_ascii_case(text) || *oid == text);
    known.map_or_else(|| text.to_owned(), |(name, _)| (*name).to_owned())
}

const SPECIAL: &str = ",+\"\\<>;";

const TYPES: [(&str, &str); 11] = [
    ("CN", "2.5.4.3"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("serialNumber", "2.5.4.5"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DistinguishedName {
        text.parse().unwrap()
    }

    #[test]
    fn spelling_makes_no_difference_and_content_does() {
        let plain = name("CN=portal,O=Example\\, Inc.,C=DE");
        assert_eq!(plain, name(" cn = portal , 2.5.4.10=Example\\2c Inc., C=DE "));
        assert_eq!(plain.to_string(), "CN=portal,O=Example\\, Inc.,C=DE");
        assert_eq!(plain, name(&plain.to_string()));
        assert_eq!(name("CN=a+UID=b,O=c"), name("UID=b+CN=a,O=c"));
        for other in ["CN=Portal,O=Example\\, Inc.,C=DE", "O=Example\\, Inc.,CN=portal,C=DE"] {
            assert_ne!(plain, name(other));
        }
        // A comma within a value never makes another part.
        assert_ne!(name("CN=portal\\,O=Example"), name("CN=portal,O=Example"));
        let edges = name("CN=\\ a\\ ,O=\\#b\\0a");
        assert_eq!(edges, name(&edges.to_string()));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in [
            "",
            "portal",
            "CN=",
            "CN=a,",
            "CN=a,,O=b",
            "=a",
            "CN=#0500",
            "CN=\"a\"",
            "CN=a\\",
            "C N=a",
        ] {
            assert!(bad.parse::<DistinguishedName>().is_err(), "{bad:?}");
        }
    }
}
