//! The tree of an XML text: strict, without a DTD, read in one pass within limits.
//!
//! It keeps where things stand instead of what they say: names and values are slices of the text, and only what
//! holds references is copied. Canonicalization takes as it stands what stands there canonically. Elements of one
//! subtree are neighbours: a node knows where the next subtree begins, so nothing here recurses.

mod chars;
mod marks;
mod node;
mod order;
mod parse;
mod tag;
mod uses;

use std::ops::Range;

use zeroize::Zeroizing;

pub(crate) use marks::Seen;
pub(in crate::xmlsec) use node::Written;
pub(crate) use node::{Attribute, Namespace, Node};
pub(in crate::xmlsec) use uses::Uses;

/// No index: no namespace, no parent, no text of its own.
const NONE: u32 = u32::MAX;
/// The namespace of `xml:`, which nobody declares.
const XML: u32 = u32::MAX - 1;
const XML_URI: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS_URI: &str = "http://www.w3.org/2000/xmlns/";

/// A tree over a text.
#[derive(Debug)]
pub(crate) struct Tree<'i> {
    text: &'i str,
    /// In document order; the document element is the first.
    nodes: Vec<NodeData>,
    attributes: Vec<AttributeData>,
    bindings: Vec<Binding>,
    /// Texts and values that held references.
    decoded: Vec<Zeroizing<String>>,
}

#[derive(Clone, Copy, Debug)]
struct NodeData {
    parent: u32,
    /// The first node behind the subtree.
    after: u32,
    start: u32,
    end: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Element(ElementData),
    /// Text or CDATA; `canonical` if it stands in canonical text as it does in the source.
    Text {
        piece: Piece,
        canonical: bool,
    },
    Comment(Piece),
    Instruction {
        target: Piece,
        value: Piece,
    },
}

#[derive(Clone, Copy, Debug)]
struct ElementData {
    name: Name,
    namespace: u32,
    /// Where the content begins.
    content: u32,
    /// Where the end tag begins; the end of an element without one.
    end_tag: u32,
    attributes: (u32, u32),
    declared: (u32, u32),
    /// The start tag stands in canonical text as it does in the source, namespaces apart; it declares none.
    canonical: bool,
    /// What its name and its attributes use.
    own: Uses,
    /// What its content uses, and whether that and the end tag stand in canonical text as they do in the source.
    inside: Uses,
}

impl ElementData {
    /// What all of it uses.
    #[inline(always)]
    const fn whole(&self) -> Uses {
        let all = self.own.and(self.inside);
        if self.canonical { all } else { all.and(Uses::ALTERED) }
    }
}

/// A qualified name in the text.
#[derive(Clone, Copy, Debug)]
struct Name {
    start: u32,
    end: u32,
    /// Bytes of the prefix, without the colon.
    prefix: u32,
}

impl Name {
    const fn prefix(self) -> Piece {
        Piece { start: self.start, end: self.start + self.prefix, decoded: NONE }
    }

    const fn local(self) -> Piece {
        let colon = if self.prefix == 0 { 0 } else { 1 };
        Piece { start: self.start + self.prefix + colon, end: self.end, decoded: NONE }
    }

    const fn whole(self) -> Piece {
        Piece { start: self.start, end: self.end, decoded: NONE }
    }
}

#[derive(Clone, Copy, Debug)]
struct AttributeData {
    name: Name,
    namespace: u32,
    value: Piece,
    /// Name and value, and the space before them, stand in canonical text as they do in the source.
    canonical: bool,
}

/// A namespace declaration.
#[derive(Clone, Copy, Debug)]
struct Binding {
    prefix: Piece,
    /// The prefix as a number.
    key: u64,
    uri: Piece,
    /// It stands in canonical text as it does in the source, the space before it included.
    canonical: bool,
}

/// A part of the text, or what a part of it says.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: u32,
    end: u32,
    decoded: u32,
}

impl Piece {
    const EMPTY: Self = Self { start: 0, end: 0, decoded: NONE };
}

/// An offset or index: no text has 2^32 bytes, and what is below that needs no comparison.
fn small(number: usize) -> u32 {
    u32::try_from(number & wide(u32::MAX)).unwrap_or(u32::MAX)
}

fn wide(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn span((from, to): (u32, u32)) -> Range<usize> {
    wide(from)..wide(to)
}

/// What a piece says.
fn read<'t>(text: &'t str, decoded: &'t [Zeroizing<String>], piece: Piece) -> &'t str {
    match decoded.get(wide(piece.decoded)) {
        Some(decoded) => decoded,
        None => text.get(span((piece.start, piece.end))).unwrap_or_default(),
    }
}

/// As [`read`], where characters do not matter.
fn read_bytes<'t>(text: &'t str, decoded: &'t [Zeroizing<String>], piece: Piece) -> &'t [u8] {
    match decoded.get(wide(piece.decoded)) {
        Some(decoded) => decoded.as_bytes(),
        None => text.as_bytes().get(span((piece.start, piece.end))).unwrap_or_default(),
    }
}

/// Whether it is an NCName (Namespaces in XML §3).
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && chars::name_end(text, 0) == text.len()
}

impl<'i> Tree<'i> {
    /// The document element.
    pub(crate) const fn root_element(&self) -> Node<'_, 'i> {
        Node::new(self, 0)
    }

    /// The attributes of all elements.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = Attribute<'_, 'i>> {
        self.attributes.iter().map(|data| Attribute::new(self, data))
    }

    fn read(&self, piece: Piece) -> &str {
        read(self.text, &self.decoded, piece)
    }

    fn read_bytes(&self, piece: Piece) -> &[u8] {
        read_bytes(self.text, &self.decoded, piece)
    }

    fn uri_bytes(&self, namespace: u32) -> Option<&[u8]> {
        match self.bindings.get(wide(namespace)) {
            Some(binding) => Some(self.read_bytes(binding.uri)),
            None => self.uri(namespace).map(str::as_bytes),
        }
    }

    fn uri(&self, namespace: u32) -> Option<&str> {
        if namespace == XML {
            return Some(XML_URI);
        }
        self.bindings.get(wide(namespace)).map(|binding| self.read(binding.uri))
    }
}
