//! Start tags: attributes, namespace declarations, and what prefixes mean (Namespaces in XML 1.0).

use memchr::{memchr, memchr2, memchr3};

use super::chars::name_end;
use super::marks::Marks;
use super::order::{Order, first_eight};
use super::parse::{Parser, Read, Scoped, no};
use super::{
    AttributeData, Binding, ElementData, Kind, NONE, Name, Piece, Tree, Uses, XML, XML_URI,
    XMLNS_URI, read_bytes, small, wide,
};
use crate::error::Error;
use crate::xmlsec::limits::beyond;

/// Canonical text repeats a URI wherever its prefix comes in use: long ones would make much of little.
const MAX_URI_BYTES: usize = 512;

/// The [`prefix_key`] of a long prefix: no text has these bytes.
pub(super) const LONG: u64 = u64::MAX;

/// Behind it each attribute may stand out of order: no name begins with this byte.
const PREFIXED: u8 = u8::MAX;

/// What is known of a tag whose end is not read yet.
#[derive(Clone, Copy)]
struct Tag {
    /// The first of its declarations in the tree.
    declared: usize,
    /// Everything so far stands as in canonical text.
    canonical: bool,
    /// Its attributes may stand in another order than in canonical text, or the prefix of one has no meaning yet.
    unsettled: bool,
    /// The first byte of the last attribute, [`PREFIXED`] if that has a prefix.
    last: u8,
    /// What its attributes use.
    uses: Uses,
    /// It is its own end tag.
    empty: bool,
}

impl Parser<'_, '_> {
    /// From `<` to behind `>`.
    pub(super) fn start_tag(&mut self) -> Read<()> {
        let start = self.at;
        if self.depth >= self.limits.max_depth {
            return Err(too_deep(self.limits.max_depth));
        }
        self.at += 1;
        let name = match self.ascii_name() {
            Some(name) => name,
            None => self.any_name()?,
        };
        self.at = wide(name.end);
        let (attributes, declared) = (self.tree.attributes.len(), self.tree.bindings.len());
        let mut tag = Tag {
            declared,
            canonical: true,
            unsettled: false,
            last: 0,
            uses: Uses::default(),
            empty: false,
        };
        self.plain_attributes(&mut tag)?;
        if self.byte(0) == b'>' {
            self.at += 1;
        } else {
            tag = self.other_attributes(tag)?;
        }
        let declarations = self.tree.bindings.len() - declared;
        if self.tree.attributes.len() - attributes + declarations > self.limits.max_attributes {
            return Err(too_many_attributes(self.limits.max_attributes));
        }
        if self.scope.len() > self.limits.max_namespaces_in_scope {
            return Err(too_many_in_scope(self.limits.max_namespaces_in_scope));
        }
        let key = prefix_key(self.text.as_bytes(), name.prefix());
        let namespace = match nearest(&self.scope, key) {
            Some(meaning) => meaning,
            None => self.namespaces().look_up(name)?,
        };
        // What the tag itself declares may mean something else.
        if tag.unsettled || declarations > 0 && tag.uses != Uses::default() {
            let Settled { sorted, uses } = self.settle_attributes(attributes)?;
            tag.canonical &= sorted;
            tag.uses = uses;
        }
        tag.canonical &= !tag.empty;
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
                canonical: tag.canonical,
                own: Uses::of(namespace).and(tag.uses),
                // Until its end tag, what stands before it.
                inside: if tag.empty { Uses::ALTERED } else { self.inside },
            }),
        )?;
        if tag.empty {
            self.inside = self.inside.and(Uses::ALTERED);
            self.leave_scope(small(declared));
        } else {
            self.inside = Uses::default();
            (self.parent, self.depth) = (id, self.depth + 1);
        }
        Ok(())
    }

    /// From behind the first plain attributes to behind `>`, however that is written.
    #[inline(never)]
    fn other_attributes(&mut self, mut tag: Tag) -> Read<Tag> {
        loop {
            let from = self.at;
            let spaced = self.skip_spaces();
            match self.byte(0) {
                b'>' => {
                    tag.canonical &= !spaced;
                    self.at += 1;
                    return Ok(tag);
                }
                b'/' if self.byte(1) == b'>' => {
                    tag.empty = true;
                    self.at += 2;
                    return Ok(tag);
                }
                _ if !spaced => return Err(no("no space stands before an attribute")),
                _ => {
                    // What is copied begins right before the name.
                    let space = self.text.as_bytes().get(self.at - 1) == Some(&b' ');
                    tag.canonical &= self.at == from + 1;
                    self.attribute(space, &mut tag)?;
                }
            }
            self.plain_attributes(&mut tag)?;
        }
    }

    /// A name with at most one colon, which has something on both sides.
    #[inline(never)]
    fn name(&self) -> Read<Name> {
        self.ascii_name().map_or_else(|| self.any_name(), Ok)
    }

    /// The name, if all of it is ASCII.
    #[inline(always)]
    fn ascii_name(&self) -> Option<Name> {
        let text = self.text.as_bytes();
        let name = plain_name(text, self.marks, small(self.at))?;
        text.get(wide(name.end)).is_some_and(u8::is_ascii).then_some(name)
    }

    #[cold]
    fn any_name(&self) -> Read<Name> {
        let bad = || no("a name is none that XML has");
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
        Ok(Name { start: small(start), end: small(end), prefix: small(prefix) })
    }

    /// Attributes as nearly all are written: one space, a name, `="`, a value without references.
    #[inline(always)]
    fn plain_attributes(&mut self, tag: &mut Tag) -> Read<()> {
        let (text, marks, mut at) = (self.text.as_bytes(), self.marks, small(self.at));
        while text.get(wide(at)) == Some(&b' ') {
            let Some(name) = plain_name(text, marks, at + 1) else { break };
            let behind = wide(name.end);
            if text.get(behind..behind + 2) != Some(b"=\"") {
                break;
            }
            let start = name.end + 2;
            let end = marks.mark(start);
            if text.get(wide(end)) != Some(&b'"') {
                break;
            }
            at = end + 1;
            let kept = self.keep(name, Piece { start, end, decoded: NONE }, true, tag);
            kept.inspect_err(|_| self.at = wide(at))?;
        }
        self.at = wide(at);
        Ok(())
    }

    #[inline(never)]
    fn attribute(&mut self, space: bool, tag: &mut Tag) -> Read<()> {
        let name = self.name()?;
        let behind_name = wide(name.end);
        self.at = behind_name;
        let quote = self.equals_and_quote()?;
        let tight = self.at == behind_name + 2;
        let (value, canonical) = self.value(quote)?;
        self.at = wide(value.end) + 1;
        self.keep(name, value, canonical && tight && space, tag)
    }

    /// Notes an attribute or namespace declaration. Within a tag nothing is called: that is a tenth of the time.
    #[inline(always)]
    fn keep(&mut self, name: Name, value: Piece, canonical: bool, tag: &mut Tag) -> Read<()> {
        let first = self.text.as_bytes().get(wide(name.start)).copied().unwrap_or(0);
        if first == b'x'
            && let Some(prefix) = self.declared_prefix(name)
        {
            tag.canonical = false;
            let key = prefix_key(self.text.as_bytes(), prefix);
            return self.declare(Binding { prefix, key, uri: value, canonical }, tag.declared);
        }
        tag.canonical &= canonical;
        let mut namespace = NONE;
        let mut first = first;
        if name.prefix > 0 {
            match nearest(&self.scope, prefix_key(self.text.as_bytes(), name.prefix())) {
                Some(meaning) => (namespace, tag.uses) = (meaning, tag.uses.and(Uses::of(meaning))),
                None => tag.unsettled = true,
            }
            tag.unsettled |= tag.last > 0;
            first = PREFIXED;
        }
        tag.unsettled |= first <= tag.last;
        tag.last = first;
        self.tree.attributes.push(AttributeData { name, namespace, value, canonical });
        Ok(())
    }

    /// The prefix that an attribute of this name declares, empty for the default namespace; `None` if it declares
    /// none.
    fn declared_prefix(&self, name: Name) -> Option<Piece> {
        match read_bytes(self.text, &[], name.whole()) {
            b"xmlns" => Some(Piece { end: name.start, ..name.whole() }),
            [b'x', b'm', b'l', b'n', b's', b':', ..] => Some(name.local()),
            _ => None,
        }
    }

    /// The value up to its quote, and whether it stands as in canonical text.
    fn value(&mut self, quote: u8) -> Read<(Piece, bool)> {
        let rest = self.rest();
        let stop = memchr3(quote, b'<', b'&', rest).ok_or_else(|| no("it ends early"))?;
        let (mut len, mut decode) = (stop, false);
        if rest.get(stop) == Some(&b'&') {
            let behind = rest.get(stop..).unwrap_or_default();
            len += memchr2(quote, b'<', behind).ok_or_else(|| no("it ends early"))?;
            decode = true;
        }
        if rest.get(len) == Some(&b'<') {
            return Err(no("the value of an attribute has \"<\""));
        }
        let raw = rest.get(..len).unwrap_or_default();
        let mut canonical = quote == b'"';
        if memchr2(b'\t', b'\n', raw).is_some() {
            (decode, canonical) = (true, false);
        }
        let (from, to) = (self.at, self.at + len);
        if !decode {
            return Ok((self.piece(from, to), canonical));
        }
        let (piece, as_written) = self.decoded(from, to, true)?;
        Ok((piece, canonical && as_written))
    }

    /// A namespace declaration; its prefix is empty for the default namespace.
    fn declare(&mut self, binding: Binding, first: usize) -> Read<()> {
        let Binding { prefix, key, uri, .. } = binding;
        let count = self.tree.bindings.len() - first;
        if count >= self.limits.max_namespaces {
            let most = self.limits.max_namespaces;
            return Err(Box::new(beyond(&format!(
                "an element declares more than {most} namespaces"
            ))));
        }
        let read = |piece: Piece| read_bytes(self.text, &self.tree.decoded, piece);
        let (name, value) = (read(prefix), read(uri));
        if name == b"xmlns" || value == XMLNS_URI.as_bytes() {
            return Err(no("it declares the namespace of declarations"));
        }
        if (name == b"xml") != (value == XML_URI.as_bytes()) {
            return Err(no("it declares the namespace of \"xml\" as something else"));
        }
        if value.is_empty() && !name.is_empty() {
            return Err(no("it takes back a prefix"));
        }
        if value.len() > MAX_URI_BYTES {
            return Err(Box::new(beyond(&format!(
                "the URI of a namespace has more than {MAX_URI_BYTES} bytes"
            ))));
        }
        if !value.is_empty() && !is_absolute(value) {
            return Err(no("it declares a namespace whose URI is relative"));
        }
        let own = self.tree.bindings.get(first..).unwrap_or_default();
        if own.iter().any(|known| read(known.prefix) == name) {
            return Err(no("an element declares a prefix twice"));
        }
        let id = small(self.tree.bindings.len());
        // `xml` means what it always means.
        if name != b"xml" {
            let meaning = if value.is_empty() { NONE } else { id };
            self.scope.push(Scoped { key, binding: id, meaning });
        }
        self.tree.bindings.push(binding);
        Ok(())
    }

    fn namespaces(&self) -> Namespaces<'_> {
        Namespaces { text: self.text, bindings: &self.tree.bindings, scope: &self.scope }
    }

    /// Resolves the prefixes of the attributes from `first` on, brings them into canonical order, and refuses
    /// one that is there twice.
    #[inline(never)]
    fn settle_attributes(&mut self, first: usize) -> Read<Settled> {
        let Tree { attributes, bindings, decoded, .. } = &mut self.tree;
        let namespaces = Namespaces { text: self.text, bindings, scope: &self.scope };
        let own = attributes.get_mut(first..).unwrap_or_default();
        let mut uses = Uses::default();
        for one in &mut *own {
            if one.name.prefix > 0 {
                one.namespace = namespaces.resolve(one.name)?;
                uses = uses.and(Uses::of(one.namespace));
            }
        }
        let sorted = Order { text: self.text, bindings, decoded }.sort(own);
        let sorted = sorted.ok_or_else(|| no("an element has an attribute twice"))?;
        Ok(Settled { sorted, uses })
    }
}

/// What the attributes of an element are like.
struct Settled {
    /// They stood in canonical order.
    sorted: bool,
    uses: Uses,
}

/// The namespaces in scope, and what declares them.
#[derive(Clone, Copy)]
struct Namespaces<'n> {
    text: &'n str,
    bindings: &'n [Binding],
    scope: &'n [Scoped],
}

impl Namespaces<'_> {
    /// What the prefix of a name means; without one, the default namespace.
    #[inline(always)]
    fn resolve(self, name: Name) -> Read<u32> {
        match nearest(self.scope, prefix_key(self.text.as_bytes(), name.prefix())) {
            Some(meaning) => Ok(meaning),
            None => self.look_up(name),
        }
    }

    /// As [`Namespaces::resolve`], of a prefix that [`nearest`] does not find.
    #[cold]
    fn look_up(self, name: Name) -> Read<u32> {
        let read = |piece: Piece| read_bytes(self.text, &[], piece);
        let is_it = |one: &&Scoped| {
            let binding = self.bindings.get(wide(one.binding));
            binding.is_some_and(|binding| read(binding.prefix) == read(name.prefix()))
        };
        let found = self.scope.iter().rev().find(is_it);
        found.map_or_else(|| self.undeclared(name), |one| Ok(one.meaning))
    }

    fn undeclared(self, name: Name) -> Read<u32> {
        match read_bytes(self.text, &[], name.prefix()) {
            b"" => Ok(NONE),
            b"xml" => Ok(XML),
            b"xmlns" => Err(no("an element or attribute has the prefix \"xmlns\"")),
            _ => Err(no("a prefix is not declared")),
        }
    }
}

/// The qualified name of ASCII that begins at `start`. It may go on where `end` is beyond ASCII: then, and if
/// there is none, somebody has to look closer.
#[inline(always)]
fn plain_name(text: &[u8], marks: Marks<'_>, start: u32) -> Option<Name> {
    // Of the bytes in names, those before `A` begin none.
    let begins = |at: u32| text.get(wide(at)).is_some_and(|byte| *byte >= b'A');
    let (mut end, mut prefix) = (marks.name_end(start), 0);
    let mut plain = begins(start) && end > start;
    if text.get(wide(end)) == Some(&b':') {
        prefix = end - start;
        let local = end + 1;
        end = marks.name_end(local);
        plain &= begins(local) && end > local;
    }
    plain.then_some(Name { start, end, prefix })
}

/// What the nearest declaration of a prefix means; `None` if there is none, and for those that are [`LONG`].
#[inline(always)]
fn nearest(scope: &[Scoped], key: u64) -> Option<u32> {
    let found = scope.iter().rev().find(|one| one.key == key);
    found.filter(|_| key != LONG).map(|one| one.meaning)
}

/// A prefix as a number, so that none is compared byte by byte; [`LONG`] if it has more than seven bytes.
#[inline(always)]
fn prefix_key(text: &[u8], prefix: Piece) -> u64 {
    let len = prefix.end - prefix.start;
    if len > 7 { LONG } else { first_eight(text, prefix.start) & !(u64::MAX >> (8 * len)) }
}

#[cold]
fn too_deep(most: usize) -> Box<Error> {
    Box::new(beyond(&format!("it nests deeper than {most}")))
}

#[cold]
fn too_many_attributes(most: usize) -> Box<Error> {
    Box::new(beyond(&format!("an element has more than {most} attributes")))
}

#[cold]
fn too_many_in_scope(most: usize) -> Box<Error> {
    Box::new(beyond(&format!("more than {most} namespaces are in scope")))
}

/// A relative URI makes canonicalization undefined (C14N 1.0 §1.3); libraries that then hash nothing let
/// signatures of nothing hold (CVE-2025-66568).
fn is_absolute(uri: &[u8]) -> bool {
    let scheme = memchr(b':', uri).and_then(|end| uri.get(..end)).unwrap_or_default();
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}
