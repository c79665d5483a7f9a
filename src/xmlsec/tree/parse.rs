//! Reads a document: declaration, elements, texts, comments, processing instructions (XML 1.0 §2.1 to §2.8).
//!
//! Nothing is searched twice and no depth is on the stack, so that the time is that of the size, whatever the text.

use memchr::{memchr, memchr3, memmem};

use super::chars::{decode, is_space, name_end};
use super::marks::{Marks, Seen};
use super::{Kind, NONE, NodeData, Piece, Tree, Uses, small, wide};
use crate::error::{Error, Result};
use crate::xmlsec::limits::{XmlLimits, beyond, refused};

/// Marks in a text that are looked at one by one.
const FEW_MARKS: usize = 16;

/// A reader of one text.
#[derive(Debug)]
pub(super) struct Parser<'i, 'l> {
    pub(super) tree: Tree<'i>,
    pub(super) text: &'i str,
    pub(super) at: usize,
    pub(super) limits: &'l XmlLimits,
    pub(super) marks: Marks<'l>,
    /// The element that everything read now stands in; [`NONE`] around the document element.
    pub(super) parent: u32,
    /// How many elements did not end yet.
    pub(super) depth: usize,
    /// What that element holds so far.
    pub(super) inside: Uses,
    /// Namespaces in scope, the nearest last.
    pub(super) scope: Vec<Scoped>,
}

/// A namespace declaration in scope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scoped {
    /// Its prefix as a number.
    pub(super) key: u64,
    pub(super) binding: u32,
    /// The binding, or [`NONE`] if it takes the default namespace back.
    pub(super) meaning: u32,
}

/// What reading a part gives: an error is rare, and so it is small.
pub(super) type Read<T> = std::result::Result<T, Box<Error>>;

#[cold]
pub(super) fn no(why: &str) -> Box<Error> {
    Box::new(refused(why))
}

impl<'i> Tree<'i> {
    /// The tree of `text`, whose line ends are normalized; `seen` is of it.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::LimitExceeded`], [`crate::error::ErrorKind::Malformed`].
    pub(crate) fn parse(text: &'i str, seen: &Seen, limits: &XmlLimits) -> Result<Self> {
        if text.len() >= wide(super::XML) {
            return Err(beyond("it has 4 GiB or more"));
        }
        if !seen.are_characters(text) {
            return Err(refused("it has a character that XML has not"));
        }
        let tree = Self {
            text,
            nodes: Vec::with_capacity(text.len() / 64),
            attributes: Vec::with_capacity(text.len() / 64),
            bindings: Vec::with_capacity(8),
            decoded: Vec::with_capacity(8),
        };
        let scope = Vec::with_capacity(16);
        let mut parser = Parser {
            tree,
            text,
            at: 0,
            limits,
            marks: seen.marks(),
            parent: NONE,
            depth: 0,
            inside: Uses::default(),
            scope,
        };
        let read = parser.document();
        let at = parser.at;
        read.map_err(|error| error.with_source(format!("at byte {at}")))?;
        Ok(parser.tree)
    }
}

impl<'i> Parser<'i, '_> {
    fn document(&mut self) -> Read<()> {
        if self.starts_with(b"<?xml") && is_space(self.byte(5)) {
            self.declaration()?;
        }
        self.miscellaneous()?;
        if self.byte(0) != b'<' {
            return Err(no("there is no document element"));
        }
        self.start_tag()?;
        while self.parent != NONE {
            self.content()?;
        }
        self.miscellaneous()?;
        match self.rest() {
            [] => Ok(()),
            _ => Err(no("something stands behind the document element")),
        }
    }

    pub(super) fn rest(&self) -> &'i [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The byte so far ahead; 0, which no text has, at the end.
    pub(super) fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    pub(super) fn starts_with(&self, text: &[u8]) -> bool {
        self.rest().starts_with(text)
    }

    /// Whether there were any.
    pub(super) fn skip_spaces(&mut self) -> bool {
        let from = self.at;
        while is_space(self.byte(0)) {
            self.at += 1;
        }
        self.at > from
    }

    /// A part of the text as it stands.
    pub(super) fn piece(&self, from: usize, to: usize) -> Piece {
        Piece { start: small(from), end: small(to), decoded: NONE }
    }

    /// A part of the text with its references replaced, and whether those are written as in canonical text.
    pub(super) fn decoded(
        &mut self,
        from: usize,
        to: usize,
        in_value: bool,
    ) -> Read<(Piece, bool)> {
        let raw = self.text.get(from..to).unwrap_or_default();
        let decoded = decode(raw, in_value)
            .ok_or_else(|| no("a reference is to no character and none of the five entities"))?;
        let mut piece = self.piece(from, to);
        piece.decoded = small(self.tree.decoded.len());
        self.tree.decoded.push(decoded.text);
        Ok((piece, decoded.canonical))
    }

    /// Appends a node that ends here and has nothing inside it.
    pub(super) fn node(&mut self, start: usize, kind: Kind) -> Read<u32> {
        let id = small(self.tree.nodes.len());
        if id >= self.limits.max_nodes {
            return Err(too_many_nodes(self.limits.max_nodes));
        }
        let (parent, start, end) = (self.parent, small(start), small(self.at));
        self.tree.nodes.push(NodeData { parent, after: id + 1, start, end, kind });
        Ok(id)
    }

    /// `<?xml version="1.0" encoding="UTF-8" standalone="no"?>`
    #[cold]
    fn declaration(&mut self) -> Read<()> {
        self.at += 5;
        if self.pseudo_attribute("version")? != Some("1.0") {
            return Err(no("it is not XML 1.0"));
        }
        if let Some(name) = self.pseudo_attribute("encoding")? {
            let utf8 = ["utf-8", "us-ascii"].iter().any(|one| name.eq_ignore_ascii_case(one));
            if !utf8 {
                return Err(no("it declares an encoding other than UTF-8"));
            }
        }
        if !matches!(self.pseudo_attribute("standalone")?, None | Some("yes" | "no")) {
            return Err(no("its declaration is not well-formed"));
        }
        self.skip_spaces();
        if !self.starts_with(b"?>") {
            return Err(no("its declaration is not well-formed"));
        }
        self.at += 2;
        Ok(())
    }

    /// The value, if the declaration goes on with this name.
    fn pseudo_attribute(&mut self, name: &str) -> Read<Option<&'i str>> {
        let from = self.at;
        if !self.skip_spaces() || !self.starts_with(name.as_bytes()) {
            self.at = from;
            return Ok(None);
        }
        self.at += name.len();
        let quote = self.equals_and_quote()?;
        let end = memchr(quote, self.rest()).ok_or_else(|| no("it ends early"))?;
        let value = self.text.get(self.at..self.at + end);
        self.at += end + 1;
        Ok(value)
    }

    /// From behind a name to behind the quote, which comes back.
    pub(super) fn equals_and_quote(&mut self) -> Read<u8> {
        self.skip_spaces();
        if self.byte(0) != b'=' {
            return Err(no("an attribute has no value"));
        }
        self.at += 1;
        self.skip_spaces();
        let quote = self.byte(0);
        if !matches!(quote, b'"' | b'\'') {
            return Err(no("the value of an attribute has no quotes"));
        }
        self.at += 1;
        Ok(quote)
    }

    /// What stands around the document element is read and not kept.
    fn miscellaneous(&mut self) -> Read<()> {
        loop {
            self.skip_spaces();
            match (self.byte(0), self.byte(1)) {
                (b'<', b'!') => drop(self.comment()?),
                (b'<', b'?') => drop(self.instruction()?),
                _ => return Ok(()),
            }
        }
    }

    /// A text, if there is one, and the markup behind it.
    fn content(&mut self) -> Read<()> {
        if self.byte(0) != b'<' {
            self.text_node()?;
        }
        let start = self.at;
        match self.byte(1) {
            b'/' => self.end_tag(),
            b'!' if self.starts_with(b"<![CDATA[") => self.cdata(),
            b'!' => self.comment().and_then(|kind| self.altered(start, kind)),
            b'?' => self.instruction().and_then(|kind| self.altered(start, kind)),
            _ => self.start_tag(),
        }
    }

    fn text_node(&mut self) -> Read<()> {
        let (text, from) = (self.text.as_bytes(), self.at);
        let found = match TextEnd::walk(text, self.marks, small(from)) {
            Some(found) => found,
            None => TextEnd::search(text, from).ok_or_else(|| no("it ends early"))?,
        };
        let TextEnd { end, references, brackets, closes } = found;
        let piece = Piece { start: small(from), end, decoded: NONE };
        let (piece, canonical) = match references {
            true => self.decoded(from, wide(end), false)?,
            false => (piece, true),
        };
        if closes {
            return Err(no("a text has \"]]>\""));
        }
        self.at = wide(end);
        let kind = Kind::Text { piece, canonical: canonical && !brackets };
        match kind {
            Kind::Text { canonical: true, .. } => self.node(from, kind).map(drop),
            _ => self.altered(from, kind),
        }
    }

    /// Appends a node that canonical text has otherwise or not at all.
    #[inline(never)]
    fn altered(&mut self, start: usize, kind: Kind) -> Read<()> {
        self.inside = self.inside.and(Uses::ALTERED);
        self.node(start, kind).map(drop)
    }

    #[inline(never)]
    fn cdata(&mut self) -> Read<()> {
        let start = self.at;
        self.at += b"<![CDATA[".len();
        let len = memmem::find(self.rest(), b"]]>").ok_or_else(|| no("it ends early"))?;
        let (piece, raw) =
            (self.piece(self.at, self.at + len), self.rest().get(..len).unwrap_or_default());
        let canonical = memchr3(b'&', b'<', b'>', raw).is_none();
        self.at += len + 3;
        self.altered(start, Kind::Text { piece, canonical })
    }

    #[inline(never)]
    fn comment(&mut self) -> Read<Kind> {
        if !self.starts_with(b"<!--") {
            // XXE, entity expansion, IDs and attributes out of a DTD: nothing of it is needed.
            return Err(no("it has a document type declaration"));
        }
        self.at += 4;
        let len = memmem::find(self.rest(), b"--").ok_or_else(|| no("it ends early"))?;
        if self.byte(len + 2) != b'>' {
            return Err(no("a comment has \"--\""));
        }
        let piece = self.piece(self.at, self.at + len);
        self.at += len + 3;
        Ok(Kind::Comment(piece))
    }

    #[inline(never)]
    fn instruction(&mut self) -> Read<Kind> {
        let from = self.at + 2;
        let to = name_end(self.text, from);
        let target = self.text.get(from..to).unwrap_or_default();
        if target == "xml" && self.at > 0 {
            return Err(no("an XML declaration stands elsewhere than at its very beginning"));
        }
        if target.is_empty() || target.eq_ignore_ascii_case("xml") {
            return Err(no("a processing instruction has a target that none has"));
        }
        self.at = to;
        let spaced = self.skip_spaces();
        let len = memmem::find(self.rest(), b"?>").ok_or_else(|| no("it ends early"))?;
        if len > 0 && !spaced {
            return Err(no("a processing instruction has a target that none has"));
        }
        let (target, value) = (self.piece(from, to), self.piece(self.at, self.at + len));
        self.at += len + 2;
        Ok(Kind::Instruction { target, value })
    }

    fn end_tag(&mut self) -> Read<()> {
        let other = || no("an end tag has another name than its start tag");
        let (from, after) = (self.at, small(self.tree.nodes.len()));
        let node = self.tree.nodes.get_mut(wide(self.parent)).ok_or_else(other)?;
        let Kind::Element(element) = &mut node.kind else { return Err(other()) };
        let name = super::read_bytes(self.text, &[], element.name.whole());
        let rest = self.text.as_bytes().get(from + 2..).unwrap_or_default();
        let behind = rest.strip_prefix(name).ok_or_else(other)?;
        let spaces = behind.iter().take_while(|byte| is_space(**byte)).count();
        if behind.get(spaces) != Some(&b'>') {
            return Err(other());
        }
        self.at = from + 2 + name.len() + spaces + 1;
        element.end_tag = small(from);
        // Until here it kept what stands before it.
        let before = std::mem::replace(&mut element.inside, self.inside);
        if spaces > 0 {
            element.inside = Uses::ALTERED;
        }
        self.inside = before.and(element.whole());
        (node.after, node.end) = (after, small(self.at));
        (self.parent, self.depth) = (node.parent, self.depth - 1);
        let (first, end) = element.declared;
        if first < end {
            self.leave_scope(first);
        }
        Ok(())
    }

    /// The namespaces from this binding on go out of scope.
    pub(super) fn leave_scope(&mut self, first: u32) {
        while self.scope.pop_if(|one| one.binding >= first).is_some() {}
    }
}

#[cold]
fn too_many_nodes(most: u32) -> Box<Error> {
    Box::new(beyond(&format!("it has more than {most} nodes")))
}

/// Where a text ends, and what is in it.
struct TextEnd {
    end: u32,
    /// `&`.
    references: bool,
    /// `>`.
    brackets: bool,
    /// `]]>`.
    closes: bool,
}

impl TextEnd {
    /// From mark to mark, of which most texts have few; `None` if there are more, or no end.
    #[inline(always)]
    fn walk(text: &[u8], marks: Marks<'_>, from: u32) -> Option<Self> {
        let mut found =
            Self { end: marks.mark(from), references: false, brackets: false, closes: false };
        for _ in 0..FEW_MARKS {
            match text.get(wide(found.end))? {
                b'<' => return Some(found),
                b'&' => found.references = true,
                b'>' => {
                    let before = text.get(wide(from)..wide(found.end)).unwrap_or_default();
                    found.closes |= before.ends_with(b"]]");
                    found.brackets = true;
                }
                _ => {}
            }
            found.end = marks.mark(found.end + 1);
        }
        None
    }

    /// As [`TextEnd::walk`], of any text; `None` if it has no end.
    #[inline(never)]
    fn search(text: &[u8], from: usize) -> Option<Self> {
        let rest = text.get(from..)?;
        let len = memchr(b'<', rest)?;
        let raw = rest.get(..len)?;
        Some(Self {
            end: small(from + len),
            references: memchr(b'&', raw).is_some(),
            brackets: memchr(b'>', raw).is_some(),
            closes: memmem::find(raw, b"]]>").is_some(),
        })
    }
}
