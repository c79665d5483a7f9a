//! Start tags: attributes, namespace declarations, and what prefixes mean (Namespaces in XML 1.0).

use std::cmp::Ordering;

use memchr::{memchr, memchr2, memchr3};
use zeroize::Zeroizing;

use super::chars::name_end;
use super::parse::Parser;
use super::{
    AttributeData, Binding, ElementData, Kind, NONE, Name, Piece, Tree, XML, XML_URI, XMLNS_URI,
    read_bytes, small, span, wide,
};
use crate::error::Result;
use crate::xmlsec::limits::{beyond, refused};

/// Canonical text repeats a URI wherever its prefix comes in use: long ones would make much of little.
const MAX_URI_BYTES: usize = 512;

/// What is counted of one tag.
struct Tag {
    /// The first of its attributes and declarations in the tree.
    attributes: usize,
    declared: usize,
    /// Everything so far stands as in canonical text.
    canonical: bool,
}

impl Parser<'_, '_> {
    /// From `<` to behind `>`.
    pub(super) fn start_tag(&mut self) -> Result<()> {
        let start = self.at;
        if self.open.len() >= self.limits.max_depth {
            return Err(beyond(&format!("it nests deeper than {}", self.limits.max_depth)));
        }
        self.at += 1;
        let name = self.name()?;
        let (attributes, declared) = (self.tree.attributes.len(), self.tree.bindings.len());
        let mut tag = Tag { attributes, declared, canonical: true };
        let scope = self.scope.len();
        let empty = loop {
            let from = self.at;
            let spaced = self.skip_spaces();
            match self.byte(0) {
                b'>' => {
                    tag.canonical &= !spaced;
                    self.at += 1;
                    break false;
                }
                b'/' if self.byte(1) == b'>' => {
                    self.at += 2;
                    break true;
                }
                _ if !spaced => {
                    return Err(refused("no space stands before an attribute"));
                }
                _ => {
                    let space = self.text.as_bytes().get(self.at - 1) == Some(&b' ');
                    tag.canonical &= self.at == from + 1;
                    self.attribute(space, &mut tag)?;
                }
            }
        };
        let in_scope = self.limits.max_namespaces_in_scope;
        if self.scope.len() > in_scope {
            return Err(beyond(&format!("more than {in_scope} namespaces are in scope")));
        }
        let namespace = self.resolve(name, true)?;
        let sorted = self.settle_attributes(attributes)?;
        let range = |from: usize, to: usize| (small(from), small(to));
        let id = self.node(
            start,
            Kind::Element(ElementData {
                name,
                namespace,
                content: small(self.at),
                end_tag: small(self.at),
                attributes: range(attributes, self.tree.attributes.len()),
                declared: range(declared, self.tree.bindings.len()),
                canonical: tag.canonical && sorted && !empty,
            }),
        )?;
        if empty {
            self.scope.truncate(scope);
        } else {
            self.open.push((id, scope));
        }
        Ok(())
    }

    /// A name with at most one colon, which has something on both sides.
    fn name(&mut self) -> Result<Name> {
        let bad = || refused("a name is none that XML has");
        let start = self.at;
        let mut end = name_end(self.text, start);
        if end == start {
            return Err(bad());
        }
        let mut prefix = 0;
        if self.byte(end - start) == b':' {
            prefix = end - start;
            let local = end + 1;
            end = name_end(self.text, local);
            if end == local {
                return Err(bad());
            }
        }
        self.at = end;
        Ok(Name { start: small(start), end: small(end), prefix: small(prefix) })
    }

    fn attribute(&mut self, space: bool, tag: &mut Tag) -> Result<()> {
        let name = self.name()?;
        let behind_name = self.at;
        let quote = self.equals_and_quote()?;
        let tight = self.at == behind_name + 2;
        let (value, canonical) = self.value(quote)?;
        let canonical = canonical && tight && space;
        self.at = wide(value.end) + 1;
        let count =
            self.tree.attributes.len() - tag.attributes + self.tree.bindings.len() - tag.declared;
        if count >= self.limits.max_attributes {
            let most = self.limits.max_attributes;
            return Err(beyond(&format!("an element has more than {most} attributes")));
        }
        let qname = read_bytes(self.text, &[], name.whole());
        match qname.strip_prefix(b"xmlns") {
            Some([]) => {
                tag.canonical = false;
                self.declare(Piece { end: name.start, ..name.whole() }, value, tag.declared)
            }
            Some([b':', ..]) => {
                tag.canonical = false;
                self.declare(name.local(), value, tag.declared)
            }
            _ => {
                tag.canonical &= canonical;
                let namespace = NONE;
                self.tree.attributes.push(AttributeData { name, namespace, value, canonical });
                Ok(())
            }
        }
    }

    /// The value up to its quote, and whether it stands as in canonical text.
    fn value(&mut self, quote: u8) -> Result<(Piece, bool)> {
        let rest = self.rest();
        let stop = memchr3(quote, b'<', b'&', rest).ok_or_else(|| refused("it ends early"))?;
        let (mut len, mut decode) = (stop, false);
        if rest.get(stop) == Some(&b'&') {
            let behind = rest.get(stop..).unwrap_or_default();
            len += memchr2(quote, b'<', behind).ok_or_else(|| refused("it ends early"))?;
            decode = true;
        }
        if rest.get(len) == Some(&b'<') {
            return Err(refused("the value of an attribute has \"<\""));
        }
        let raw = rest.get(..len).unwrap_or_default();
        let mut canonical = quote == b'"';
        if self.characters.tabs_or_lines && memchr2(b'\t', b'\n', raw).is_some() {
            (decode, canonical) = (true, false);
        }
        let (from, to) = (self.at, self.at + len);
        if !decode {
            return Ok((self.piece(from, to), canonical));
        }
        let (piece, as_written) = self.decoded(from, to, true)?;
        Ok((piece, canonical && as_written))
    }

    /// A namespace declaration; `prefix` is empty for the default namespace.
    fn declare(&mut self, prefix: Piece, uri: Piece, first: usize) -> Result<()> {
        let count = self.tree.bindings.len() - first;
        if count >= self.limits.max_namespaces {
            let most = self.limits.max_namespaces;
            return Err(beyond(&format!("an element declares more than {most} namespaces")));
        }
        let read = |piece: Piece| read_bytes(self.text, &self.tree.decoded, piece);
        let (name, value) = (read(prefix), read(uri));
        if name == b"xmlns" || value == XMLNS_URI.as_bytes() {
            return Err(refused("it declares the namespace of declarations"));
        }
        if (name == b"xml") != (value == XML_URI.as_bytes()) {
            return Err(refused("it declares the namespace of \"xml\" as something else"));
        }
        if value.is_empty() && !name.is_empty() {
            return Err(refused("it takes back a prefix"));
        }
        if value.len() > MAX_URI_BYTES {
            return Err(beyond(&format!(
                "the URI of a namespace has more than {MAX_URI_BYTES} bytes"
            )));
        }
        if !value.is_empty() && !is_absolute(value) {
            return Err(refused("it declares a namespace whose URI is relative"));
        }
        let own = self.tree.bindings.get(first..).unwrap_or_default();
        if own.iter().any(|known| read(known.prefix) == name) {
            return Err(refused("an element declares a prefix twice"));
        }
        let id = small(self.tree.bindings.len());
        self.tree.bindings.push(Binding { prefix, uri });
        // `xml` means what it always means.
        if name != b"xml" {
            self.scope.push(id);
        }
        Ok(())
    }

    /// What the prefix of a name means; the default namespace is for elements alone.
    fn resolve(&self, name: Name, element: bool) -> Result<u32> {
        if name.prefix == 0 && !element {
            return Ok(NONE);
        }
        let read = |piece: Piece| read_bytes(self.text, &self.tree.decoded, piece);
        let prefix = read(name.prefix());
        for id in self.scope.iter().rev() {
            let Some(binding) = self.tree.bindings.get(wide(*id)) else { continue };
            if read(binding.prefix) == prefix {
                return Ok(if read(binding.uri).is_empty() { NONE } else { *id });
            }
        }
        match prefix {
            b"" => Ok(NONE),
            b"xml" => Ok(XML),
            b"xmlns" => Err(refused("an element or attribute has the prefix \"xmlns\"")),
            _ => Err(refused("a prefix is not declared")),
        }
    }

    /// Resolves the prefixes of the attributes from `first` on, brings them into canonical order, and refuses
    /// one that is there twice. Whether they were in that order.
    fn settle_attributes(&mut self, first: usize) -> Result<bool> {
        for index in first..self.tree.attributes.len() {
            let Some(name) = self.tree.attributes.get(index).map(|one| one.name) else { break };
            if name.prefix > 0 {
                let namespace = self.resolve(name, false)?;
                if let Some(one) = self.tree.attributes.get_mut(index) {
                    one.namespace = namespace;
                }
            }
        }
        let text = self.text;
        let Tree { attributes, bindings, decoded, .. } = &mut self.tree;
        let own = attributes.get_mut(first..).unwrap_or_default();
        let order = |a: &AttributeData, b: &AttributeData| order(text, bindings, decoded, a, b);
        let rising = |own: &[AttributeData]| {
            own.iter().zip(own.iter().skip(1)).all(|(a, b)| order(a, b) == Ordering::Less)
        };
        if rising(own) {
            return Ok(true);
        }
        own.sort_unstable_by(order);
        if rising(own) { Ok(false) } else { Err(refused("an element has an attribute twice")) }
    }
}

/// By namespace URI, then by local name; those without a namespace first (C14N 1.0 §2.2).
fn order(
    text: &str,
    bindings: &[Binding],
    decoded: &[Zeroizing<String>],
    a: &AttributeData,
    b: &AttributeData,
) -> Ordering {
    let uri = |namespace: u32| match bindings.get(wide(namespace)) {
        Some(binding) => read_bytes(text, decoded, binding.uri),
        None if namespace == XML => XML_URI.as_bytes(),
        None => b"",
    };
    let by_uri = if a.namespace == b.namespace {
        Ordering::Equal
    } else {
        uri(a.namespace).cmp(uri(b.namespace))
    };
    let local = |one: &AttributeData| {
        let piece = one.name.local();
        text.as_bytes().get(span((piece.start, piece.end))).unwrap_or_default()
    };
    by_uri.then_with(|| {
        let (a, b) = (local(a), local(b));
        // Most differ at once, and that is quicker than a call.
        a.first().cmp(&b.first()).then_with(|| a.cmp(b))
    })
}

/// A relative URI makes canonicalization undefined (C14N 1.0 §1.3); libraries that then hash nothing let
/// signatures of nothing hold (CVE-2025-66568).
fn is_absolute(uri: &[u8]) -> bool {
    let scheme = memchr(b':', uri).and_then(|end| uri.get(..end)).unwrap_or_default();
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}
