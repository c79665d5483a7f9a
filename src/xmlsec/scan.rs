//! The lexical pre-scan: what would cost the parser much, or has no place in SAML, is refused before it.
//!
//! It reads each byte once and builds nothing. It does not decide whether a text is well-formed: that is
//! the parser's business.

use memchr::{memchr, memchr3, memmem};

use crate::error::{Error, ErrorKind, Result};

/// Bounds on an XML text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain numbers that callers set")]
pub struct XmlLimits {
    /// Size of the text in bytes.
    pub max_bytes: usize,
    /// Nesting of elements.
    pub max_depth: usize,
    /// Attributes of one element, namespace declarations included.
    pub max_attributes: usize,
    /// Namespace declarations of one element.
    pub max_namespaces: usize,
    /// Namespace declarations in scope at one place.
    pub max_namespaces_in_scope: usize,
    /// Elements, texts, comments and processing instructions.
    pub max_nodes: u32,
}

impl XmlLimits {
    /// For a message: 256 KiB.
    pub const MESSAGE: Self = Self {
        max_bytes: 256 << 10,
        max_depth: 100,
        max_attributes: 128,
        max_namespaces: 32,
        max_namespaces_in_scope: 64,
        max_nodes: 20_000,
    };
    /// For metadata: 4 MiB.
    pub const METADATA: Self = Self { max_bytes: 4 << 20, max_nodes: 200_000, ..Self::MESSAGE };
}

impl Default for XmlLimits {
    fn default() -> Self {
        Self::MESSAGE
    }
}

/// Refuses what is not UTF-8, has a DOCTYPE, is not XML 1.0 or goes beyond `limits`; the text comes back
/// without its byte order mark.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`], [`ErrorKind::Malformed`].
pub(crate) fn scan<'a>(document: &'a [u8], limits: &XmlLimits) -> Result<&'a str> {
    if document.len() > limits.max_bytes {
        return Err(beyond(format!("it has more than {} bytes", limits.max_bytes)));
    }
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    let text = std::str::from_utf8(document).map_err(|_| refused("it is not UTF-8"))?;
    Scanner { bytes: document, at: 0, limits, in_scope: 0, open: Vec::new() }.run()?;
    Ok(text)
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    limits: &'a XmlLimits,
    in_scope: usize,
    /// How many namespaces each open element declares.
    open: Vec<usize>,
}

impl Scanner<'_> {
    fn run(mut self) -> Result<()> {
        if self.rest().starts_with(b"<?xml")
            && self.rest().get(5).is_some_and(|byte| is_space(*byte))
        {
            let end = memmem::find(self.rest(), b"?>").ok_or_else(|| refused("it ends early"))?;
            check_declaration(self.rest().get(..end).unwrap_or_default())?;
            self.at += end + 2;
        }
        while let Some(found) = memchr(b'<', self.rest()) {
            self.at += found + 1;
            match self.rest().first() {
                Some(b'/') => self.close()?,
                Some(b'?') => self.skip_past(b"?>")?,
                Some(b'!') if self.rest().starts_with(b"!--") => {
                    self.at += 3;
                    self.skip_past(b"-->")?;
                }
                Some(b'!') if self.rest().starts_with(b"![CDATA[") => self.skip_past(b"]]>")?,
                // XXE, entity expansion, IDs and attributes out of a DTD: nothing of it is needed.
                Some(b'!') => return Err(refused("it has a document type declaration")),
                _ => self.start_tag()?,
            }
        }
        Ok(())
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn skip_past(&mut self, end: &[u8]) -> Result<()> {
        let found = memmem::find(self.rest(), end).ok_or_else(|| refused("it ends early"))?;
        self.at += found + end.len();
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let declared =
            self.open.pop().ok_or_else(|| refused("an element ends that did not begin"))?;
        self.in_scope -= declared;
        Ok(())
    }

    /// From behind `<` to behind `>`: counts attributes by their quotes.
    fn start_tag(&mut self) -> Result<()> {
        let (mut attributes, mut namespaces) = (0, 0);
        let mut name_from = self.at;
        loop {
            let found =
                memchr3(b'>', b'"', b'\'', self.rest()).ok_or_else(|| refused("it ends early"))?;
            let at = self.at + found;
            let Some(quote @ (b'"' | b'\'')) = self.bytes.get(at).copied() else {
                let empty = found > 0 && self.bytes.get(at - 1) == Some(&b'/');
                self.at = at + 1;
                return self.open_element(empty, namespaces);
            };
            let value_from = at + 1;
            let value = self.bytes.get(value_from..).unwrap_or_default();
            let len = memchr(quote, value).ok_or_else(|| refused("it ends early"))?;
            attributes += 1;
            if attributes > self.limits.max_attributes {
                let most = self.limits.max_attributes;
                return Err(beyond(format!("an element has more than {most} attributes")));
            }
            let before = self.bytes.get(name_from..at).unwrap_or_default();
            if declares_namespace(before) {
                namespaces += 1;
                if namespaces > self.limits.max_namespaces {
                    let most = self.limits.max_namespaces;
                    return Err(beyond(format!("an element declares more than {most} namespaces")));
                }
                check_namespace(value.get(..len).unwrap_or_default())?;
            }
            self.at = value_from + len + 1;
            name_from = self.at;
        }
    }

    fn open_element(&mut self, empty: bool, namespaces: usize) -> Result<()> {
        let (depth, in_scope) = (self.open.len() + 1, self.in_scope + namespaces);
        if depth > self.limits.max_depth {
            return Err(beyond(format!("it nests deeper than {}", self.limits.max_depth)));
        }
        if in_scope > self.limits.max_namespaces_in_scope {
            let most = self.limits.max_namespaces_in_scope;
            return Err(beyond(format!("more than {most} namespaces are in scope")));
        }
        if !empty {
            self.open.push(namespaces);
            self.in_scope = in_scope;
        }
        Ok(())
    }
}

/// Whether what stands before a quote ends in the name of a namespace declaration and `=`.
fn declares_namespace(before: &[u8]) -> bool {
    let name = before.trim_ascii().strip_suffix(b"=").unwrap_or(before).trim_ascii_end();
    let from = name.iter().rposition(|byte| is_space(*byte)).map_or(0, |space| space + 1);
    name.get(from..).is_some_and(|name| name.starts_with(b"xmlns"))
}

/// A relative URI makes canonicalization undefined (C14N 1.0 §1.3); libraries that then hash nothing let
/// signatures of nothing hold (CVE-2025-66568). Empty undeclares the default namespace.
fn check_namespace(uri: &[u8]) -> Result<()> {
    let scheme_end = uri.iter().position(|byte| *byte == b':');
    let scheme = scheme_end.and_then(|end| uri.get(..end)).unwrap_or_default();
    let absolute = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    if uri.is_empty() || absolute {
        return Ok(());
    }
    Err(refused("it declares a namespace whose URI is relative"))
}

/// The XML declaration: version 1.0, encoding UTF-8 or its subset US-ASCII.
fn check_declaration(declaration: &[u8]) -> Result<()> {
    let value_of = |name: &[u8]| {
        let found = memmem::find(declaration, name)?;
        let rest = declaration.get(found + name.len()..)?.trim_ascii_start();
        let rest = rest.strip_prefix(b"=")?.trim_ascii_start();
        let (quote, rest) = rest.split_first()?;
        rest.get(..memchr(*quote, rest)?)
    };
    if value_of(b"version") != Some(b"1.0") {
        return Err(refused("it is not XML 1.0"));
    }
    let utf8 =
        |name: &[u8]| name.eq_ignore_ascii_case(b"utf-8") || name.eq_ignore_ascii_case(b"us-ascii");
    match value_of(b"encoding") {
        Some(name) if !utf8(name) => Err(refused("it declares an encoding other than UTF-8")),
        _ => Ok(()),
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn refused(why: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, format!("the XML is refused: {why}"))
}

fn beyond(why: String) -> Error {
    Error::new(ErrorKind::LimitExceeded, format!("the XML is refused: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<(), ErrorKind> {
        scan(text.as_bytes(), &XmlLimits::MESSAGE).map(drop).map_err(|error| error.kind())
    }

    #[test]
    fn what_saml_needs_passes() {
        for good in [
            "<a/>",
            "\u{feff}<a/>",
            "<?xml version='1.0' encoding=\"utf-8\" standalone='yes'?>\n<a xmlns='urn:x' b = '>\"'/>",
            "<a><!-- <!DOCTYPE --><![CDATA[<!DOCTYPE]]><?pi <!DOCTYPE ?></a>",
            "<a xmlns=''><b xmlnsx=\"relative\"/></a>",
        ] {
            let known = good.contains("xmlnsx");
            assert_eq!(verdict(good).is_ok(), !known, "{good}");
        }
    }

    #[test]
    fn what_has_no_place_is_refused_by_kind() {
        let deep = format!("{}{}", "<a>".repeat(101), "</a>".repeat(101));
        let wide = format!("<a {}/>", (0..129).map(|i| format!("a{i}='' ")).collect::<String>());
        let declared: String = (0..33).map(|i| format!("xmlns:a{i}='urn:x' ")).collect();
        let named = format!("<a {declared}/>");
        let nested: String = (0..65).map(|i| format!("<a xmlns:a{i}='urn:x'>")).collect();
        for bad in [&deep, &wide, &named, &nested] {
            assert_eq!(verdict(bad), Err(ErrorKind::LimitExceeded), "{:.80}", bad);
        }
        for bad in [
            "<!DOCTYPE a><a/>",
            "<a><!ENTITY x 'y'></a>",
            "<?xml version='1.1'?><a/>",
            "<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
            "<a xmlns:x='1'/>",
            "<a xmlns:x='/a:b'/>",
            "<a b='",
            "<a",
            "<!--",
            "</a>",
        ] {
            assert_eq!(verdict(bad), Err(ErrorKind::Malformed), "{bad}");
        }
    }
}
