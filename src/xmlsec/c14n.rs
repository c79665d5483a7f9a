//! Canonical XML of a subtree: exclusive (Exc-C14N 1.0) with an inclusive prefix list, and inclusive
//! (C14N 1.0) for old peers; both with or without comments.
//!
//! A subtree and an optional child to leave out come in, octets go out. The tree knows no prefixes, so they
//! are read off its source text.

use memchr::{memchr, memchr3};
use roxmltree::{Attribute, Node, StringStorage};

/// What is written, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Canonicalization<'p> {
    pub(crate) kind: Kind,
    pub(crate) comments: bool,
    /// Prefixes treated as inclusive C14N treats them; empty text is the default namespace.
    pub(crate) prefixes: Vec<&'p str>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Kind {
    #[default]
    Exclusive,
    Inclusive,
}

impl<'p> Canonicalization<'p> {
    /// Exclusive without comments, with the prefixes of a `PrefixList` attribute.
    pub(crate) fn exclusive(prefix_list: &'p str) -> Self {
        let prefixes = prefix_list.split_ascii_whitespace();
        let prefixes = prefixes.map(|one| if one == "#default" { "" } else { one }).collect();
        Self { kind: Kind::Exclusive, comments: false, prefixes }
    }

    /// Appends the canonical form of `apex` to `out`, without the subtree `left_out`.
    pub(crate) fn write(
        &self,
        apex: Node<'_, '_>,
        left_out: Option<Node<'_, '_>>,
        out: &mut Vec<u8>,
    ) {
        let source = apex.document().input_text();
        let mut writer = Writer {
            method: self,
            source,
            left_out,
            out,
            rendered: Vec::new(),
            needed: Vec::new(),
            attributes: Vec::new(),
        };
        let inherited =
            if self.kind == Kind::Inclusive { xml_attributes(apex) } else { Vec::new() };
        writer.element(apex, &inherited);
    }

    /// The canonical form of `apex`.
    pub(crate) fn octets(&self, apex: Node<'_, '_>, left_out: Option<Node<'_, '_>>) -> Vec<u8> {
        let mut out = Vec::with_capacity(apex.range().len());
        self.write(apex, left_out, &mut out);
        out
    }
}

/// `xml:` attributes that an apex takes over from its ancestors (C14N 1.0 §2.4).
fn xml_attributes<'a, 'i>(apex: Node<'a, 'i>) -> Vec<Attribute<'a, 'i>> {
    let is_xml = |one: &Attribute<'_, '_>| one.namespace() == Some(roxmltree::NS_XML_URI);
    let mut found: Vec<Attribute<'a, 'i>> = Vec::new();
    for node in apex.ancestors().skip(1) {
        for one in node.attributes().filter(is_xml) {
            let nearer = found
                .iter()
                .map(Attribute::name)
                .chain(apex.attributes().filter(is_xml).map(|own| own.name()));
            if !nearer.into_iter().any(|name| name == one.name()) {
                found.push(one);
            }
        }
    }
    found
}

struct Writer<'w, 'a, 'i> {
    method: &'w Canonicalization<'w>,
    source: &'i str,
    left_out: Option<Node<'a, 'i>>,
    out: &'w mut Vec<u8>,
    /// Namespace declarations written on the way down, the nearest last.
    rendered: Vec<(&'a str, &'a str)>,
    /// Scratch of one element: what it may have to declare, and its attributes.
    needed: Vec<(&'a str, &'a str)>,
    attributes: Vec<Attribute<'a, 'i>>,
}

impl<'a, 'i: 'a> Writer<'_, 'a, 'i> {
    fn element(&mut self, node: Node<'a, 'i>, inherited: &[Attribute<'a, 'i>]) {
        let source = self.source;
        let qname = qname_at(source, node.range().start + 1);
        let scope = self.rendered.len();
        self.out.push(b'<');
        self.out.extend_from_slice(qname.as_bytes());
        self.attributes.clear();
        self.attributes.extend(node.attributes());
        self.attributes.extend_from_slice(inherited);
        self.needed.clear();
        match self.method.kind {
            Kind::Exclusive => self.need_used(node, prefix_of(qname, node.tag_name().name())),
            Kind::Inclusive => {
                let own = node.namespaces().map(|one| (one.name().unwrap_or_default(), one.uri()));
                self.needed.extend(own);
                if node.default_namespace().is_none() {
                    self.needed.push(("", ""));
                }
            }
        }
        self.write_namespaces();
        self.write_attributes();
        self.out.push(b'>');
        for child in node.children() {
            self.child(child);
        }
        self.out.extend_from_slice(b"</");
        self.out.extend_from_slice(qname.as_bytes());
        self.out.push(b'>');
        self.rendered.truncate(scope);
    }

    fn child(&mut self, child: Node<'a, 'i>) {
        if child.is_element() {
            if self.left_out != Some(child) {
                self.element(child, &[]);
            }
        } else if child.is_text() {
            match child.text_storage() {
                // Borrowed text had no reference, so no carriage return either: line ends are normalized.
                Some(StringStorage::Borrowed(text)) => escape_plain_text(text, self.out),
                Some(text) => escape(text, text_escape, self.out),
                None => {}
            }
        } else if let Some(instruction) = child.pi() {
            self.out.extend_from_slice(b"<?");
            self.out.extend_from_slice(instruction.target.as_bytes());
            if let Some(value) = instruction.value.filter(|value| !value.is_empty()) {
                self.out.push(b' ');
                self.out.extend_from_slice(value.as_bytes());
            }
            self.out.extend_from_slice(b"?>");
        } else if child.is_comment() && self.method.comments {
            self.out.extend_from_slice(b"<!--");
            self.out.extend_from_slice(child.text().unwrap_or_default().as_bytes());
            self.out.extend_from_slice(b"-->");
        }
    }

    /// The namespaces that element and attributes use visibly, and the listed ones (Exc-C14N §3).
    fn need_used(&mut self, node: Node<'a, 'i>, prefix: &'a str) {
        self.needed.push((prefix, node.tag_name().namespace().unwrap_or_default()));
        for one in node.attributes() {
            if let Some(uri) = one.namespace().filter(|uri| *uri != roxmltree::NS_XML_URI) {
                let qname = self.source.get(one.range_qname()).unwrap_or_default();
                self.needed.push((prefix_of(qname, one.name()), uri));
            }
        }
        for listed in &self.method.prefixes {
            let name = Some(*listed).filter(|listed| !listed.is_empty());
            let own = node.namespaces().find(|one| one.name() == name);
            match own {
                Some(one) => self.needed.push((one.name().unwrap_or_default(), one.uri())),
                None if name.is_none() => self.needed.push(("", "")),
                None => {}
            }
        }
    }

    /// Those whose nearest declaration on the way down says something else, by prefix.
    fn write_namespaces(&mut self) {
        let rendered = &self.rendered;
        self.needed.retain(|(prefix, uri)| {
            let nearest = rendered.iter().rev().find(|(known, _)| known == prefix);
            match nearest {
                Some((_, known)) => known != uri,
                None => !(uri.is_empty() || (*prefix == "xml")),
            }
        });
        if self.needed.len() > 1 {
            self.needed.sort_unstable();
            self.needed.dedup();
        }
        for (prefix, uri) in self.needed.drain(..) {
            self.out.extend_from_slice(if prefix.is_empty() { b" xmlns" } else { b" xmlns:" });
            self.out.extend_from_slice(prefix.as_bytes());
            self.out.extend_from_slice(b"=\"");
            escape(uri, attribute_escape, self.out);
            self.out.push(b'"');
            self.rendered.push((prefix, uri));
        }
    }

    /// By namespace URI, then by local name; those without a namespace first (C14N 1.0 §2.2).
    fn write_attributes(&mut self) {
        if self.attributes.len() > 1 {
            self.attributes.sort_by(|a, b| {
                (a.namespace().unwrap_or_default(), a.name())
                    .cmp(&(b.namespace().unwrap_or_default(), b.name()))
            });
        }
        for one in &self.attributes {
            self.out.push(b' ');
            let qname = self.source.get(one.range_qname()).unwrap_or_default();
            self.out.extend_from_slice(qname.as_bytes());
            self.out.extend_from_slice(b"=\"");
            match one.value_storage() {
                StringStorage::Borrowed(value) => escape_plain_value(value, self.out),
                StringStorage::Owned(value) => escape(value, attribute_escape, self.out),
            }
            self.out.push(b'"');
        }
    }
}

fn qname_at(source: &str, from: usize) -> &str {
    let rest = source.get(from..).unwrap_or_default();
    let ends = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'/' | b'>');
    let end = rest.as_bytes().iter().position(ends).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

/// What stands before the colon of `qname`, given its local name.
fn prefix_of<'q>(qname: &'q str, local: &str) -> &'q str {
    let end = qname.len().saturating_sub(local.len() + 1);
    qname.get(..end).unwrap_or_default()
}

const fn text_escape(byte: u8) -> Option<&'static str> {
    match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    }
}

const fn attribute_escape(byte: u8) -> Option<&'static str> {
    match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'"' => Some("&quot;"),
        b'\t' => Some("&#x9;"),
        b'\n' => Some("&#xA;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    }
}

/// Text without references: from CDATA it may hold markup.
fn escape_plain_text(text: &str, out: &mut Vec<u8>) {
    match memchr3(b'&', b'<', b'>', text.as_bytes()) {
        None => out.extend_from_slice(text.as_bytes()),
        Some(_) => escape(text, text_escape, out),
    }
}

/// A value without references: between apostrophes it may hold quotes.
fn escape_plain_value(value: &str, out: &mut Vec<u8>) {
    match memchr(b'"', value.as_bytes()) {
        None => out.extend_from_slice(value.as_bytes()),
        Some(_) => escape(value, attribute_escape, out),
    }
}

fn escape(text: &str, escaped: fn(u8) -> Option<&'static str>, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while let Some((at, instead)) =
        rest.iter().enumerate().find_map(|(at, byte)| Some((at, escaped(*byte)?)))
    {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        out.extend_from_slice(instead.as_bytes());
        rest = from.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// `value` as it stands between quotes in XML.
pub(crate) fn attribute_value(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len());
    escape(value, attribute_escape, &mut out);
    String::from_utf8(out).unwrap_or_default()
}
