//! The ways a tree is read: elements, attributes, texts, and where they stand.

use std::ops::Range;

use super::{AttributeData, ElementData, Kind, NONE, NodeData, Tree, XML, span, wide};

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
    /// Which declaration it is; [`NONE`] for no namespace at all.
    pub(in crate::xmlsec) id: u32,
    /// The prefix; empty for the default namespace.
    pub(crate) prefix: &'a str,
    pub(crate) uri: &'a str,
}

impl Namespace<'_> {
    /// No default namespace.
    pub(in crate::xmlsec) const NO_DEFAULT: Self = Self { id: NONE, prefix: "", uri: "" };
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
        self.tree.read_bytes(self.data.value) == value.as_bytes()
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

    /// Its namespace, if it has a prefix other than `xml`.
    pub(in crate::xmlsec) fn declared_namespace(self) -> Option<Namespace<'a>> {
        namespace(self.tree, self.data.namespace)
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

    /// The namespaces that this element itself declares.
    pub(in crate::xmlsec) fn declared(self) -> impl Iterator<Item = Namespace<'a>> {
        let (from, to) = self.element().map_or((0, 0), |element| element.declared);
        let tree = self.tree;
        let own = (from..to).filter_map(move |id| namespace(tree, id));
        // `xml` may be declared as what it is, which says nothing.
        own.filter(|one| one.prefix != "xml")
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

    /// The namespace that the name of this element needs; `None` if its prefix is `xml`.
    pub(in crate::xmlsec) fn name_namespace(self) -> Option<Namespace<'a>> {
        match self.element()?.namespace {
            XML => None,
            NONE => Some(Namespace::NO_DEFAULT),
            id => namespace(self.tree, id),
        }
    }

    /// Where the tags stand, and what of them is canonical.
    pub(in crate::xmlsec) fn tags(self) -> Option<Tags> {
        let (range, element) = (self.range(), self.element()?);
        let (content, end_tag) = (wide(element.content), wide(element.end_tag));
        let name = wide(element.name.end - element.name.start);
        Some(Tags {
            start: element.canonical.then_some(range.start..content),
            name: range.start..wide(element.name.end),
            bracket: content - 1..content,
            end: (range.end == end_tag + name + 3).then_some(end_tag..range.end),
        })
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

/// Where the tags of an element stand in the source.
pub(in crate::xmlsec) struct Tags {
    /// The start tag, if it is canonical but for namespaces, and declares none.
    pub(in crate::xmlsec) start: Option<Range<usize>>,
    /// `<` and the name.
    pub(in crate::xmlsec) name: Range<usize>,
    /// The `>` of the start tag.
    pub(in crate::xmlsec) bracket: Range<usize>,
    /// The end tag, if there is one and it is canonical.
    pub(in crate::xmlsec) end: Option<Range<usize>>,
}

fn namespace<'a>(tree: &'a Tree<'_>, id: u32) -> Option<Namespace<'a>> {
    let binding = tree.bindings.get(wide(id))?;
    Some(Namespace { id, prefix: tree.read(binding.prefix), uri: tree.read(binding.uri) })
}
