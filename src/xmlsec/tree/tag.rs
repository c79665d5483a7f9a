//! Start tags: attributes, namespace declarations, and what prefixes mean (Namespaces in XML 1.0).

use std::cmp::Ordering;

use memchr::{memchr, memchr2, memchr3};
use zeroize::Zeroizing;

use super::chars::name_end;
use super::parse::{Parser, Read, Scoped, no};
use super::{
    AttributeData, Binding, ElementData, Kind, NONE, Name, Piece, Tree, XML, XML_URI, XMLNS_URI,
    read_bytes, small, wide,
};
use crate::error::Error;
use crate::xmlsec::limits::beyond;

/// Canonical text repeats a URI wherever its prefix comes in use: long ones would make much of little.
const MAX_URI_BYTES: usize = 512;

/// The [`prefix_key`] of a long prefix: no text has these bytes.
pub(super) const LONG: u64 = u64::MAX;

/// Attributes that are sorted by moving one after the other.
const FEW: usize = 8;

/// What is known of a tag whose end is not read yet.
struct Tag {
    /// How many attributes and declarations it has.
    count: usize,
    /// The first of its declarations in the tree.
    declared: usize,
    /// Everything so far stands as in canonical text.
    canonical: bool,
    /// An attribute has a prefix, or begins no later in the alphabet than the one before it.
    unsettled: bool,
    /// The first byte of the last attribute.
    last: u8,
}

impl Parser<'_, '_> {
    /// From `<` to behind `>`.
    pub(super) fn start_tag(&mut self) -> Read<()> {
        let start = self.at;
        if self.open.len() >= self.limits.max_depth {
            return Err(too_deep(self.limits.max_depth));
        }
        self.at += 1;
        let name = match self.plain_name(small(self.at)) {
            Some(name) => name,
            None => self.any_name()?,
        };
        self.at = wide(name.end);
        let (attributes, declared) = (self.tree.attributes.len(), self.tree.bindings.len());
        let mut tag = Tag { count: 0, declared, canonical: true, unsettled: false, last: 0 };
        let scope = self.scope.len();
        let empty = loop {
            if self.plain_attribute(&mut tag)? {
                continue;
            }
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
                    return Err(no("no space stands before an attribute"));
                }
                _ => {
                    let space = self.text.as_bytes().get(from) == Some(&b' ');
                    tag.canonical &= self.at == from + 1;
                    self.attribute(space, &mut tag)?;
                }
            }
        };
        if self.scope.len() > self.limits.max_namespaces_in_scope {
            return Err(too_many_in_scope(self.limits.max_namespaces_in_scope));
        }
        let namespace = self.resolve(name)?;
        let Settled { sorted, qualified } = match tag.unsettled {
            true => self.settle_attributes(attributes)?,
            false => Settled { sorted: true, qualified: false },
        };
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
                qualified,
            }),
        )?;
        if empty {
            self.scope.truncate(scope);
        } else {
            self.open.push((id, scope));
        }
        Ok(())
    }

    /// The qualified name that begins at `start`, if it is plain to see: of ASCII, with something behind it. Else
    /// somebody has to look closer.
    #[inline(always)]
    fn plain_name(&self, start: u32) -> Option<Name> {
        let text = self.text.as_bytes();
        // Of the bytes in names, those before `A` begin none.
        let begins = |at: u32| text.get(wide(at)).is_some_and(|byte| *byte >= b'A');
        let (mut end, mut prefix) = (self.marks.name_end(start), 0);
        let mut plain = begins(start) && end > start;
        if text.get(wide(end)) == Some(&b':') {
            prefix = end - start;
            let local = end + 1;
            end = self.marks.name_end(local);
            plain &= begins(local) && end > local;
        }
        plain &= text.get(wide(end)).is_some_and(u8::is_ascii);
        plain.then_some(Name { start, end, prefix })
    }

    /// A name with at most one colon, which has something on both sides.
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

    /// An attribute as nearly all are written: one space, a name, `="`, a value without references. Whether there
    /// is one.
    #[inline]
    fn plain_attribute(&mut self, tag: &mut Tag) -> Read<bool> {
        let text = self.text.as_bytes();
        if text.get(self.at) != Some(&b' ') {
            return Ok(false);
        }
        let Some(name) = self.plain_name(small(self.at) + 1) else { return Ok(false) };
        let behind = wide(name.end);
        if text.get(behind..behind + 2) != Some(b"=\"") {
            return Ok(false);
        }
        let start = name.end + 2;
        let end = self.marks.mark(start);
        if text.get(wide(end)) != Some(&b'"') {
            return Ok(false);
        }
        self.at = wide(end) + 1;
        self.keep(name, Piece { start, end, decoded: NONE }, true, tag)?;
        Ok(true)
    }

    #[cold]
    fn attribute(&mut self, space: bool, tag: &mut Tag) -> Read<()> {
        let name = self.any_name()?;
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
        tag.count += 1;
        if tag.count > self.limits.max_attributes {
            return Err(too_many_attributes(self.limits.max_attributes));
        }
        let first = self.text.as_bytes().get(wide(name.start)).copied().unwrap_or(0);
        if first == b'x'
            && let Some(prefix) = self.declared_prefix(name)
        {
            tag.canonical = false;
            let key = prefix_key(self.text.as_bytes(), prefix);
            return self.declare(Binding { prefix, key, uri: value, canonical }, tag.declared);
        }
        tag.canonical &= canonical;
        tag.unsettled |= name.prefix > 0 || first <= tag.last;
        tag.last = first;
        self.tree.attributes.push(AttributeData { name, namespace: NONE, value, canonical });
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

    /// What the prefix of a name means; without one, the default namespace.
    #[inline(always)]
    fn resolve(&self, name: Name) -> Read<u32> {
        let key = prefix_key(self.text.as_bytes(), name.prefix());
        if key != LONG {
            return match self.scope.iter().rev().find(|one| one.key == key) {
                Some(one) => Ok(one.meaning),
                None => self.undeclared(name),
            };
        }
        self.resolve_long(name)
    }

    #[cold]
    fn resolve_long(&self, name: Name) -> Read<u32> {
        let read = |piece: Piece| read_bytes(self.text, &[], piece);
        let is_it = |one: &&Scoped| {
            let binding = self.tree.bindings.get(wide(one.binding));
            binding.is_some_and(|binding| read(binding.prefix) == read(name.prefix()))
        };
        let found = self.scope.iter().rev().find(is_it);
        found.map_or_else(|| self.undeclared(name), |one| Ok(one.meaning))
    }

    fn undeclared(&self, name: Name) -> Read<u32> {
        match read_bytes(self.text, &[], name.prefix()) {
            b"" => Ok(NONE),
            b"xml" => Ok(XML),
            b"xmlns" => Err(no("an element or attribute has the prefix \"xmlns\"")),
            _ => Err(no("a prefix is not declared")),
        }
    }

    /// Resolves the prefixes of the attributes from `first` on, brings them into canonical order, and refuses
    /// one that is there twice.
    fn settle_attributes(&mut self, first: usize) -> Read<Settled> {
        let mut qualified = false;
        for index in first..self.tree.attributes.len() {
            let Some(name) = self.tree.attributes.get(index).map(|one| one.name) else { break };
            if name.prefix > 0 {
                let namespace = self.resolve(name)?;
                if let Some(one) = self.tree.attributes.get_mut(index) {
                    one.namespace = namespace;
                }
                qualified |= namespace != NONE;
            }
        }
        let text = self.text;
        let Tree { attributes, bindings, decoded, .. } = &mut self.tree;
        let own = attributes.get_mut(first..).unwrap_or_default();
        let order = |a: &AttributeData, b: &AttributeData| order(text, bindings, decoded, a, b);
        let sorted = if own.len() <= FEW { sort_few(own, order) } else { sort(own, order) };
        let sorted = sorted.ok_or_else(|| no("an element has an attribute twice"))?;
        Ok(Settled { sorted, qualified })
    }
}

/// What the attributes of an element are like.
struct Settled {
    /// They stood in canonical order.
    sorted: bool,
    /// One has a namespace.
    qualified: bool,
}

/// Sorts many. Whether they were; `None` if two are equal.
fn sort<T>(all: &mut [T], order: impl Fn(&T, &T) -> Ordering) -> Option<bool> {
    let rising =
        |all: &[T]| all.iter().zip(all.iter().skip(1)).all(|(a, b)| order(a, b) == Ordering::Less);
    if rising(all) {
        return Some(true);
    }
    all.sort_unstable_by(&order);
    rising(all).then_some(false)
}

/// As [`sort`], by moving each before those that it is less than: quicker for few.
#[inline(always)]
fn sort_few<T>(all: &mut [T], order: impl Fn(&T, &T) -> Ordering) -> Option<bool> {
    let mut were = true;
    for index in 1..all.len() {
        let mut at = index;
        while let Some([a, b]) = at.checked_sub(1).and_then(|from| all.get_mut(from..=at)) {
            match order(a, b) {
                Ordering::Less => break,
                Ordering::Equal => return None,
                Ordering::Greater => std::mem::swap(a, b),
            }
            (were, at) = (false, at - 1);
        }
    }
    Some(were)
}

/// By namespace URI, then by local name; those without a namespace first (C14N 1.0 §2.2).
#[inline(always)]
fn order(
    text: &str,
    bindings: &[Binding],
    decoded: &[Zeroizing<String>],
    a: &AttributeData,
    b: &AttributeData,
) -> Ordering {
    if a.namespace != b.namespace {
        let uri = |namespace: u32| match bindings.get(wide(namespace)) {
            Some(binding) => read_bytes(text, decoded, binding.uri),
            None if namespace == XML => XML_URI.as_bytes(),
            None => b"",
        };
        let by_uri = uri(a.namespace).cmp(uri(b.namespace));
        if by_uri != Ordering::Equal {
            return by_uri;
        }
    }
    let (a, b) = (a.name.local(), b.name.local());
    let begin = |name: Piece| beginning(text.as_bytes(), name);
    begin(a).cmp(&begin(b)).then_with(|| {
        let whole = |name: Piece| read_bytes(text, &[], name);
        whole(a).cmp(whole(b))
    })
}

/// A prefix as a number, so that none is compared byte by byte; [`LONG`] if it has more than seven bytes.
#[inline(always)]
fn prefix_key(text: &[u8], prefix: Piece) -> u64 {
    if prefix.end - prefix.start > 7 { LONG } else { beginning(text, prefix) }
}

/// The first eight bytes of a name as a number that is in the order of the names; behind its end stand zeros,
/// which no name has.
#[inline(always)]
fn beginning(text: &[u8], name: Piece) -> u64 {
    let start = wide(name.start);
    let bytes = match text.get(start..).and_then(<[u8]>::first_chunk) {
        Some(bytes) => *bytes,
        None => last_bytes(text, start),
    };
    let behind = u64::MAX.checked_shr(8 * (name.end - name.start)).unwrap_or(0);
    u64::from_be_bytes(bytes) & !behind
}

#[cold]
fn last_bytes(text: &[u8], start: usize) -> [u8; 8] {
    let mut bytes = text.get(start..).unwrap_or_default().iter().copied();
    std::array::from_fn(|_| bytes.next().unwrap_or(0))
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
