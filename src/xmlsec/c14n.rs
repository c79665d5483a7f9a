//! Canonical XML of a subtree: exclusive (Exc-C14N 1.0) with an inclusive prefix list, and inclusive
//! (C14N 1.0 and 1.1) for old peers; all with or without comments.
//!
//! A subtree and an optional child to leave out come in, octets go out. What stands in the source as it stands
//! in canonical text is copied, as far as it reaches in one piece.

use std::ops::Range;

use crate::xmlsec::tree::{Attribute, Namespace, Node, Uses, Written};

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
    /// C14N 1.1.
    Inclusive11,
}

impl<'p> Canonicalization<'p> {
    /// Exclusive without comments, with the prefixes of a `PrefixList` attribute.
    pub(crate) fn exclusive(prefix_list: &'p str) -> Self {
        let prefixes = prefix_list.split_ascii_whitespace();
        let prefixes = prefixes.map(|one| if one == "#default" { "" } else { one }).collect();
        Self { kind: Kind::Exclusive, comments: false, prefixes }
    }

    /// Whether `apex` can be written: C14N 1.1 §2.4 joins its `xml:base` with those around it, which nothing here does.
    pub(crate) fn can_write(&self, apex: Node<'_, '_>) -> bool {
        let mut around = apex.ancestors().skip(1).flat_map(|node| node.attributes());
        self.kind != Kind::Inclusive11 || !around.any(|one| one.is_xml() && one.name() == "base")
    }

    /// Appends the canonical form of `apex` to `out`, without the subtree `left_out`.
    pub(crate) fn write(
        &self,
        apex: Node<'_, '_>,
        left_out: Option<Node<'_, '_>>,
        out: &mut Vec<u8>,
    ) {
        let mut writer = Writer {
            method: self,
            apex,
            out,
            run: 0..0,
            rendered: Vec::with_capacity(16),
            declared: Uses::default(),
            scoped: self.kind != Kind::Exclusive || !self.prefixes.is_empty(),
            scope: Vec::new(),
            needed: Vec::with_capacity(16),
        };
        writer.subtree(apex, left_out.map(Node::id));
        writer.flush();
    }

    /// The canonical form of `apex`.
    pub(crate) fn octets(&self, apex: Node<'_, '_>, left_out: Option<Node<'_, '_>>) -> Vec<u8> {
        // Namespaces are declared where they are used, which is more often than in the source.
        let source = apex.range().len();
        let mut out = Vec::with_capacity(source + source / 4 + 128);
        self.write(apex, left_out, &mut out);
        out
    }
}

/// `xml:` attributes that an apex takes over from its ancestors: all (C14N 1.0 §2.4), or two (C14N 1.1 §2.4).
fn xml_attributes<'a, 'i>(apex: Node<'a, 'i>, kind: Kind) -> Vec<Attribute<'a, 'i>> {
    let is_inherited = |one: &Attribute<'_, '_>| {
        one.is_xml() && (kind != Kind::Inclusive11 || matches!(one.name(), "lang" | "space"))
    };
    let mut found: Vec<Attribute<'a, 'i>> = Vec::new();
    for node in apex.ancestors().skip(1) {
        for one in node.attributes().filter(is_inherited) {
            let own = apex.attributes().filter(is_inherited).map(Attribute::name);
            let mut nearer = found.iter().map(|one| one.name()).chain(own);
            if !nearer.any(|name| name == one.name()) {
                found.push(one);
            }
        }
    }
    found
}

struct Writer<'w, 'a, 'i> {
    method: &'w Canonicalization<'w>,
    apex: Node<'a, 'i>,
    out: &'w mut Vec<u8>,
    /// A part of the source that is to be copied.
    run: Range<usize>,
    /// Namespace declarations written on the way down, by number, the nearest last.
    rendered: Vec<u32>,
    /// What may be used because it is declared there.
    declared: Uses,
    /// What is in scope matters, used or not.
    scoped: bool,
    /// Namespaces in scope, the nearest last.
    scope: Vec<u32>,
    /// Scratch: what an element has to declare.
    needed: Vec<u32>,
}

/// An element whose end tag is not written yet.
struct Open<'a> {
    id: u32,
    written: Written<'a>,
    around: Around,
}

/// What is declared around an element.
#[derive(Clone, Copy)]
struct Around {
    rendered: usize,
    declared: Uses,
    scope: usize,
}

impl<'a, 'i> Writer<'_, 'a, 'i> {
    fn subtree(&mut self, apex: Node<'a, 'i>, left_out: Option<u32>) {
        if self.scoped {
            let around = apex.ancestors().skip(1);
            self.scope.extend(around.flat_map(|node| node.declared_ids().rev()));
            self.scope.reverse();
        }
        let mut open: Vec<Open<'a>> = Vec::with_capacity(16);
        let (mut id, end) = (apex.id(), apex.id_after());
        loop {
            while let Some(last) = open.pop_if(|last| last.written.after() == id) {
                self.leave(last.around);
                match last.written.end() {
                    Some(end) => self.copy(end),
                    None => self.other_end_tag(apex.other(last.id)),
                }
            }
            if id >= end {
                return;
            }
            let node = apex.other(id);
            if left_out == Some(id) {
                id = node.id_after();
                continue;
            }
            match node.written() {
                Some(written) => {
                    let around = self.around();
                    self.start_tag(node, written, open.is_empty());
                    let after = written.after();
                    let whole = left_out.is_none_or(|out| !(id..after).contains(&out));
                    if whole && written.inside().stand_under(self.declared) {
                        self.copy(written.content());
                        self.leave(around);
                        id = after;
                        continue;
                    }
                    open.push(Open { id, written, around });
                }
                None => match node.canonical_text() {
                    Some(text) => self.copy(text),
                    None => self.other_leaf(node),
                },
            }
            id += 1;
        }
    }

    fn around(&self) -> Around {
        let (rendered, scope) = (self.rendered.len(), self.scope.len());
        Around { rendered, declared: self.declared, scope }
    }

    fn leave(&mut self, around: Around) {
        self.rendered.truncate(around.rendered);
        self.declared = around.declared;
        self.scope.truncate(around.scope);
    }

    /// Copies a part of the source, together with what was copied before it if that ends there.
    #[inline(always)]
    fn copy(&mut self, range: Range<usize>) {
        if self.run.end == range.start {
            self.run.end = range.end;
        } else {
            self.flush();
            self.run = range;
        }
    }

    // Out of line: it would stand wherever something is copied.
    #[inline(never)]
    fn flush(&mut self) {
        let run = std::mem::replace(&mut self.run, 0..0);
        self.out.extend_from_slice(self.apex.source().as_bytes().get(run).unwrap_or_default());
    }

    fn put(&mut self, text: &str) {
        self.flush();
        self.out.extend_from_slice(text.as_bytes());
    }

    fn put_escaped(&mut self, text: &str, escaped: fn(u8) -> Option<&'static str>) {
        self.flush();
        escape(text, escaped, self.out);
    }

    #[inline(always)]
    fn start_tag(&mut self, node: Node<'a, 'i>, written: Written<'a>, is_apex: bool) {
        let (declares, start) = (written.declares(), written.start());
        if declares && self.scoped {
            self.scope.extend(node.declared_ids());
        }
        let declares = is_apex || declares;
        if self.method.kind == Kind::Exclusive && !written.own().stand_under(self.declared) {
            self.need(written.namespace());
            self.need_qualified(node);
        }
        // Where nothing is declared the parent has written them.
        if declares {
            match self.method.kind {
                Kind::Exclusive if self.method.prefixes.is_empty() => {}
                Kind::Exclusive => self.need_listed(),
                Kind::Inclusive | Kind::Inclusive11 => self.need_all(),
            }
        }
        let inherits = is_apex && self.method.kind != Kind::Exclusive;
        if let Some(start) = start
            && self.needed.is_empty()
            && !inherits
        {
            return self.copy(start);
        }
        self.copy(written.name());
        self.write_namespaces();
        if inherits {
            self.attributes_with_inherited(node);
        } else {
            node.attributes().for_each(|one| self.attribute(one));
        }
        self.copy(written.bracket());
    }

    #[inline(never)]
    fn attributes_with_inherited(&mut self, node: Node<'a, 'i>) {
        let mut all: Vec<_> =
            node.attributes().chain(xml_attributes(node, self.method.kind)).collect();
        all.sort_by_key(|one| (one.namespace().unwrap_or_default(), one.name()));
        all.into_iter().for_each(|one| self.attribute(one));
    }

    #[inline(never)]
    fn other_end_tag(&mut self, node: Node<'a, 'i>) {
        self.put("</");
        self.put(node.qname());
        self.put(">");
    }

    #[inline(always)]
    fn attribute(&mut self, one: Attribute<'a, 'i>) {
        match one.canonical_range() {
            Some(range) => self.copy(range),
            None => self.other_attribute(one),
        }
    }

    #[inline(never)]
    fn other_attribute(&mut self, one: Attribute<'a, 'i>) {
        self.put(" ");
        self.put(one.qname());
        self.put("=\"");
        self.put_escaped(one.value(), attribute_escape);
        self.put("\"");
    }

    #[inline(never)]
    fn other_leaf(&mut self, node: Node<'a, 'i>) {
        if let Some(text) = node.text() {
            self.put_escaped(text, text_escape);
        } else if let Some((target, value)) = node.instruction() {
            self.put("<?");
            self.put(target);
            if !value.is_empty() {
                self.put(" ");
                self.put(value);
            }
            self.put("?>");
        } else if let Some(text) = node.comment().filter(|_| self.method.comments) {
            self.put("<!--");
            self.put(text);
            self.put("-->");
        }
    }

    /// The namespaces that attributes use visibly (Exc-C14N §3).
    fn need_qualified(&mut self, node: Node<'a, 'i>) {
        for id in node.attributes().map(Attribute::namespace_id) {
            if id != Namespace::NO_DEFAULT {
                self.need(id);
            }
        }
    }

    /// The namespaces of the listed prefixes (Exc-C14N §3).
    #[inline(never)]
    fn need_listed(&mut self) {
        let method = self.method;
        for listed in &method.prefixes {
            let is_it = |id: &&u32| self.prefix(**id) == Some(*listed);
            match self.scope.iter().rev().find(is_it).copied() {
                Some(id) => self.need(id),
                None if listed.is_empty() => self.need(Namespace::NO_DEFAULT),
                None => {}
            }
        }
    }

    /// The namespaces in scope (C14N 1.0 §2.3).
    #[inline(never)]
    fn need_all(&mut self) {
        let scope = std::mem::take(&mut self.scope);
        for (at, id) in scope.iter().enumerate() {
            let nearer = scope.get(at + 1..).unwrap_or_default();
            if !nearer.iter().any(|other| self.prefix(*other) == self.prefix(*id)) {
                self.need(*id);
            }
        }
        self.scope = scope;
    }

    fn prefix(&self, id: u32) -> Option<&'a str> {
        self.apex.numbered_namespace(id).map(|one| one.prefix)
    }

    /// Notes a declaration, unless the nearest one of its prefix on the way down says the same.
    #[inline(always)]
    fn need(&mut self, id: u32) {
        // What is in scope hides whatever was declared before it. Nothing declares that there is no default.
        let written = self.rendered.iter().rev().any(|one| *one == id);
        if !(written && id != Namespace::NO_DEFAULT || self.is_said(id)) {
            self.needed.push(id);
        }
        self.declared.declare(id);
    }

    fn is_said(&self, id: u32) -> bool {
        // Nothing declares `xml:`.
        let Some(wanted) = self.apex.declared_uri(id) else { return true };
        let mut above = self.rendered.iter().rev();
        match above.find(|one| self.apex.same_prefix(**one, id)) {
            Some(nearest) => self.apex.declared_uri(*nearest) == Some(wanted),
            None => wanted.is_empty(),
        }
    }

    fn write_namespaces(&mut self) {
        if self.needed.len() > 1 {
            self.sort_needed();
        }
        for index in 0..self.needed.len() {
            let Some(id) = self.needed.get(index).copied() else { break };
            self.rendered.push(id);
            match self.apex.canonical_declaration(id) {
                Some(range) => self.copy(range),
                None => self.other_declaration(id),
            }
        }
        self.needed.clear();
    }

    #[inline(never)]
    fn sort_needed(&mut self) {
        let mut needed = std::mem::take(&mut self.needed);
        needed.sort_by_key(|id| self.prefix(*id));
        needed.dedup_by_key(|id| self.prefix(*id));
        self.needed = needed;
    }

    #[inline(never)]
    fn other_declaration(&mut self, id: u32) {
        let Some(one) = self.apex.numbered_namespace(id) else { return };
        self.put(if one.prefix.is_empty() { " xmlns" } else { " xmlns:" });
        self.put(one.prefix);
        self.put("=\"");
        self.put_escaped(one.uri, attribute_escape);
        self.put("\"");
    }
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
