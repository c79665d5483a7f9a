//! The ways a tree is read: elements, attributes, texts, and where they stand.

use std::ops::Range;

use super::tag::LONG;
use super::{
    AttributeData, Binding, ElementData, Kind, NONE, NodeData, Piece, Tree, Uses, XML, span, wide,
};

/// A place in a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a, 'i> {
    tree: &'a Tree<'i>,
    id: u32,
}

/// An attribute that declares no namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a, 'i> {
    tree: &'a Tree<'i>,
    data: &'a AttributeData,
}

/// A namespace in scope.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Namespace<'a> {
    /// The prefix; empty for the default namespace.
    pub(crate) prefix: &'a str,
    pub(crate) uri: &'a str,
}

impl Namespace<'_> {
    /// The number of no default namespace.
    pub(in crate::xmlsec) const NO_DEFAULT: u32 = NONE;
}

impl PartialEq for Node<'_, '_> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && std::ptr::eq(self.tree, other.tree)
    }
}

impl<'a, 'i> Attribute<'a, 'i> {
    pub(super) const fn new(tree: &'a Tree<'i>, data: &'a AttributeData) -> Self {
        Self { tree, data }
    }

    /// The local name.
    pub(crate) fn name(self) -> &'a str {
        self.tree.read(self.data.name.local())
    }

    /// The namespace URI, where there is a prefix.
    pub(crate) fn namespace(self) -> Option<&'a str> {
        self.tree.uri(self.data.namespace)
    }

    /// The value, normalized.
    pub(crate) fn value(self) -> &'a str {
        self.tree.read(self.data.value)
    }

    /// Whether that is its value.
    pub(crate) fn has_value(self, value: &str) -> bool {
        let piece = self.data.value;
        let may_be = piece.decoded != NONE || wide(piece.end - piece.start) == value.len();
        may_be && self.tree.read_bytes(piece) == value.as_bytes()
    }

    /// Whether it has this name and no namespace.
    pub(crate) fn is_named(self, name: &str) -> bool {
        self.data.namespace == NONE
            && self.tree.read_bytes(self.data.name.local()) == name.as_bytes()
    }

    /// Whether its prefix is `xml`.
    pub(crate) const fn is_xml(self) -> bool {
        self.data.namespace == XML
    }

    /// The number of its namespace, [`Namespace::NO_DEFAULT`] if it has none.
    pub(in crate::xmlsec) const fn namespace_id(self) -> u32 {
        self.data.namespace
    }

    /// The name as it is written.
    pub(in crate::xmlsec) fn qname(self) -> &'a str {
        self.tree.read(self.data.name.whole())
    }

    /// Where a space, name and value stand, if they stand there as in canonical text.
    pub(in crate::xmlsec) fn canonical_range(self) -> Option<Range<usize>> {
        let range = wide(self.data.name.start) - 1..wide(self.data.value.end) + 1;
        self.data.canonical.then_some(range)
    }
}

impl<'a, 'i> Node<'a, 'i> {
    pub(super) const fn new(tree: &'a Tree<'i>, id: u32) -> Self {
        Self { tree, id }
    }

    fn data(self) -> Option<&'a NodeData> {
        self.tree.nodes.get(wide(self.id))
    }

    fn element(self) -> Option<&'a ElementData> {
        match &self.data()?.kind {
            Kind::Element(element) => Some(element),
            _ => None,
        }
    }

    /// The text that the tree is of.
    pub(crate) const fn source(self) -> &'i str {
        self.tree.text
    }

    /// Where it stands in the source.
    pub(crate) fn range(self) -> Range<usize> {
        self.data().map(|data| span((data.start, data.end))).unwrap_or_default()
    }

    pub(crate) fn is_element(self) -> bool {
        self.element().is_some()
    }

    /// The local name of an element; empty for anything else.
    pub(crate) fn local_name(self) -> &'a str {
        self.element().map_or("", |element| self.tree.read(element.name.local()))
    }

    /// The namespace URI of an element.
    pub(crate) fn namespace(self) -> Option<&'a str> {
        self.tree.uri(self.element()?.namespace)
    }

    /// Whether it is an element of this name.
    pub(crate) fn is_named(self, namespace: &str, local: &str) -> bool {
        self.element().is_some_and(|element| {
            self.tree.read_bytes(element.name.local()) == local.as_bytes()
                && self.tree.uri_bytes(element.namespace) == Some(namespace.as_bytes())
        })
    }

    /// The name of an element as it is written.
    pub(crate) fn qname(self) -> &'a str {
        self.element().map_or("", |element| self.tree.read(element.name.whole()))
    }

    /// The attributes of an element in canonical order: by namespace URI, then by local name; those without a
    /// namespace first.
    pub(crate) fn attributes(self) -> impl Iterator<Item = Attribute<'a, 'i>> {
        let tree = self.tree;
        let own = self.element().and_then(|element| tree.attributes.get(span(element.attributes)));
        own.unwrap_or_default().iter().map(|data| Attribute::new(tree, data))
    }

    /// The text of a text node or CDATA section.
    pub(crate) fn text(self) -> Option<&'a str> {
        match self.data()?.kind {
            Kind::Text { piece, .. } => Some(self.tree.read(piece)),
            _ => None,
        }
    }

    /// The text of a comment.
    pub(crate) fn comment(self) -> Option<&'a str> {
        match self.data()?.kind {
            Kind::Comment(piece) => Some(self.tree.read(piece)),
            _ => None,
        }
    }

    /// Target and value of a processing instruction.
    pub(crate) fn instruction(self) -> Option<(&'a str, &'a str)> {
        match self.data()?.kind {
            Kind::Instruction { target, value } => {
                Some((self.tree.read(target), self.tree.read(value)))
            }
            _ => None,
        }
    }

    /// The node behind this subtree.
    fn after(self) -> u32 {
        self.data().map_or(NONE, |data| data.after)
    }

    /// Its children, in order.
    pub(crate) fn children(self) -> impl Iterator<Item = Self> {
        let (mut next, end) = (self.id + 1, self.after());
        std::iter::from_fn(move || {
            let node = Self::new(self.tree, next);
            (next < end).then(|| {
                next = node.after();
                node
            })
        })
    }

    pub(crate) fn first_child(self) -> Option<Self> {
        self.children().next()
    }

    /// It and everything inside it, in order.
    pub(crate) fn descendants(self) -> impl Iterator<Item = Self> {
        (self.id..self.after()).map(move |id| Self::new(self.tree, id))
    }

    /// It and everything around it, the nearest first.
    pub(crate) fn ancestors(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |node| {
            let parent = node.data()?.parent;
            (parent != NONE).then(|| Self::new(node.tree, parent))
        })
    }

    /// The numbers of the namespaces that this element itself declares.
    pub(in crate::xmlsec) fn declared_ids(self) -> impl DoubleEndedIterator<Item = u32> {
        let (from, to) = self.element().map_or((0, 0), |element| element.declared);
        let tree = self.tree;
        // `xml` may be declared as what it is, which says nothing.
        let is_xml = move |id: &u32| namespace(tree, *id).is_some_and(|one| one.prefix == "xml");
        (from..to).filter(move |id| !is_xml(id))
    }

    /// The namespaces that this element itself declares.
    fn declared(self) -> impl Iterator<Item = Namespace<'a>> {
        let tree = self.tree;
        self.declared_ids().filter_map(move |id| namespace(tree, id))
    }

    /// The namespaces in scope, each prefix once; a default namespace that was taken back is one with an empty URI.
    pub(crate) fn namespaces(self) -> Vec<Namespace<'a>> {
        let mut found: Vec<Namespace<'a>> = Vec::new();
        for node in self.ancestors() {
            for one in node.declared() {
                if !found.iter().any(|nearer| nearer.prefix == one.prefix) {
                    found.push(one);
                }
            }
        }
        found
    }

    /// The namespace of this number; `None` if nothing declares it, as `xml`.
    pub(in crate::xmlsec) fn numbered_namespace(self, id: u32) -> Option<Namespace<'a>> {
        const NO_DEFAULT: Namespace<'_> = Namespace { prefix: "", uri: "" };
        if id == NONE { Some(NO_DEFAULT) } else { namespace(self.tree, id) }
    }

    /// The URI of the namespace of this number, where characters do not matter; `None` as of
    /// [`Node::numbered_namespace`].
    pub(in crate::xmlsec) fn declared_uri(self, id: u32) -> Option<&'a [u8]> {
        let of_binding = |binding: &Binding| self.tree.read_bytes(binding.uri);
        let known = self.tree.bindings.get(wide(id)).map(of_binding);
        if id == NONE { Some(b"") } else { known }
    }

    /// Whether the namespaces of these numbers have the same prefix.
    pub(in crate::xmlsec) fn same_prefix(self, one: u32, other: u32) -> bool {
        let prefix = |id| {
            let binding = self.tree.bindings.get(wide(id));
            binding.map_or((0, Piece::EMPTY), |binding| (binding.key, binding.prefix))
        };
        let ((one, text), (other, other_text)) = (prefix(one), prefix(other));
        one == other
            && (one != LONG || self.tree.read_bytes(text) == self.tree.read_bytes(other_text))
    }

    /// Where the declaration of this number stands with the space before it, if it stands there as in canonical
    /// text.
    pub(in crate::xmlsec) fn canonical_declaration(self, id: u32) -> Option<Range<usize>> {
        let binding = self.tree.bindings.get(wide(id)).filter(|binding| binding.canonical)?;
        let Binding { prefix, uri, .. } = binding;
        // ` xmlns:`, or ` xmlns`, before which the empty prefix is taken to stand.
        let before = if prefix.start == prefix.end { 1 } else { 7 };
        Some(wide(prefix.start - before)..wide(uri.end + 1))
    }

    /// What it takes to write an element.
    #[inline(always)]
    pub(in crate::xmlsec) fn written(self) -> Option<Written<'a>> {
        let node = self.data()?;
        let Kind::Element(element) = &node.kind else { return None };
        Some(Written { node, element })
    }

    /// Where a text stands, if it stands there as in canonical text.
    pub(in crate::xmlsec) fn canonical_text(self) -> Option<Range<usize>> {
        match self.data()?.kind {
            Kind::Text { piece, canonical: true } => Some(span((piece.start, piece.end))),
            _ => None,
        }
    }

    /// As a number: nodes of one subtree are neighbours.
    pub(in crate::xmlsec) const fn id(self) -> u32 {
        self.id
    }

    /// The node behind this subtree, as a number.
    pub(in crate::xmlsec) fn id_after(self) -> u32 {
        self.after()
    }

    /// Another node of the same tree.
    pub(in crate::xmlsec) const fn other(self, id: u32) -> Self {
        Self::new(self.tree, id)
    }
}

/// Where the tags of an element stand in the source, and what they need around them.
#[derive(Clone, Copy)]
pub(in crate::xmlsec) struct Written<'a> {
    node: &'a NodeData,
    element: &'a ElementData,
}

impl Written<'_> {
    /// The start tag, if it is canonical but for namespaces, and declares none.
    pub(in crate::xmlsec) fn start(self) -> Option<Range<usize>> {
        let range = span((self.node.start, self.element.content));
        self.element.canonical.then_some(range)
    }

    /// `<` and the name.
    pub(in crate::xmlsec) fn name(self) -> Range<usize> {
        span((self.node.start, self.element.name.end))
    }

    /// The `>` of the start tag.
    pub(in crate::xmlsec) fn bracket(self) -> Range<usize> {
        span((self.element.content - 1, self.element.content))
    }

    /// The end tag, if there is one and it is canonical.
    pub(in crate::xmlsec) fn end(self) -> Option<Range<usize>> {
        let (end_tag, name) = (self.element.end_tag, self.element.name);
        let canonical = self.node.end == end_tag + (name.end - name.start) + 3;
        canonical.then(|| span((end_tag, self.node.end)))
    }

    /// The number of the namespace of the name.
    pub(in crate::xmlsec) const fn namespace(self) -> u32 {
        self.element.namespace
    }

    /// What name and attributes use.
    pub(in crate::xmlsec) const fn own(self) -> Uses {
        self.element.own
    }

    /// What the content uses; [`Written::content`] is in one piece if it stands under what is declared.
    pub(in crate::xmlsec) const fn inside(self) -> Uses {
        self.element.inside
    }

    /// From behind the start tag to behind the end tag.
    pub(in crate::xmlsec) fn content(self) -> Range<usize> {
        span((self.element.content, self.node.end))
    }

    /// Whether it declares namespaces itself.
    pub(in crate::xmlsec) const fn declares(self) -> bool {
        self.element.declared.0 < self.element.declared.1
    }

    /// The node behind it, as a number.
    pub(in crate::xmlsec) const fn after(self) -> u32 {
        self.node.after
    }
}

fn namespace<'a>(tree: &'a Tree<'_>, id: u32) -> Option<Namespace<'a>> {
    let binding = tree.bindings.get(wide(id))?;
    Some(Namespace { prefix: tree.read(binding.prefix), uri: tree.read(binding.uri) })
}
