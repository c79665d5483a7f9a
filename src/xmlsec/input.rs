//! From bytes to a tree: scanned, line ends normalized, parsed once; and the few ways the tree is read.

use std::borrow::Cow;

use memchr::memchr;
use roxmltree::{Document, Node, ParsingOptions};

use crate::error::{Error, ErrorKind, Result};
use crate::xmlsec::scan::{XmlLimits, scan};

/// A scanned text, as the tree borrows it.
#[derive(Debug)]
pub(crate) struct XmlText<'a> {
    text: Cow<'a, str>,
    max_nodes: u32,
}

impl<'a> XmlText<'a> {
    /// Scans `document`.
    pub(crate) fn read(document: &'a [u8], limits: &XmlLimits) -> Result<Self> {
        let text = scan(document, limits)?;
        // XML 1.0 §2.11, before parsing: the tree keeps comments and processing instructions as they are.
        let text = match memchr(b'\r', text.as_bytes()) {
            None => Cow::Borrowed(text),
            Some(_) => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        };
        Ok(Self { text, max_nodes: limits.max_nodes })
    }

    /// The tree. Entities other than the five of XML do not exist, since no DTD does.
    pub(crate) fn parse(&self) -> Result<Document<'_>> {
        let options =
            ParsingOptions { allow_dtd: false, nodes_limit: self.max_nodes, ..Default::default() };
        Document::parse_with_options(&self.text, options).map_err(|error| match error {
            roxmltree::Error::NodesLimitReached => Error::new(
                ErrorKind::LimitExceeded,
                format!("the XML is refused: it has more than {} nodes", self.max_nodes),
            ),
            error => Error::new(ErrorKind::Malformed, "the XML is not well-formed")
                .with_source(error.to_string()),
        })
    }

    /// The text that the tree borrows; ranges of nodes are into it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// The name of an element: namespace URI and local name. Prefixes never count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the two halves of an expanded name")]
pub struct ElementName {
    /// The namespace URI.
    pub namespace: &'static str,
    /// The local name.
    pub local: &'static str,
}

impl ElementName {
    /// A name.
    #[must_use]
    pub const fn new(namespace: &'static str, local: &'static str) -> Self {
        Self { namespace, local }
    }

    /// Whether `node` is an element of this name.
    pub(crate) fn is(self, node: Node<'_, '_>) -> bool {
        node.is_element()
            && node.tag_name().name() == self.local
            && node.tag_name().namespace() == Some(self.namespace)
    }
}

/// The direct children of this name.
pub(crate) fn children_named<'a, 'i>(
    parent: Node<'a, 'i>,
    name: ElementName,
) -> impl Iterator<Item = Node<'a, 'i>> {
    parent.children().filter(move |child| name.is(*child))
}

/// The one direct child of this name; `None` if there is none or several.
pub(crate) fn only_child<'a, 'i>(parent: Node<'a, 'i>, name: ElementName) -> Option<Node<'a, 'i>> {
    let mut found = children_named(parent, name);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// The element children, if nothing but white space and comments stands between them.
pub(crate) fn element_content<'a, 'i>(parent: Node<'a, 'i>) -> Option<Vec<Node<'a, 'i>>> {
    let mut elements = Vec::new();
    for child in parent.children() {
        match child.text() {
            _ if child.is_element() => elements.push(child),
            Some(text) if child.is_text() && !text.trim_ascii().is_empty() => return None,
            _ => {}
        }
    }
    Some(elements)
}

/// The text of an element that holds nothing else: no element, and no comment that would hide a part of it.
pub(crate) fn only_text(node: Node<'_, '_>) -> Option<String> {
    let mut text = String::new();
    for child in node.children() {
        if !child.is_text() {
            return None;
        }
        text.push_str(child.text().unwrap_or_default());
    }
    Some(text)
}

/// The whole text under an element, comments left out: never the first piece alone (CVE-2017-11427).
pub(crate) fn full_text(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|one| one.text()).collect()
}

/// An attribute without a namespace; `xsi:ID` is not `ID`.
pub(crate) fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes()
        .find(|one| one.namespace().is_none() && one.name() == name)
        .map(|one| one.value())
}

/// How many elements carry this value in any attribute that some consumer takes for an ID.
pub(crate) fn count_of_id(document: &Document<'_>, id: &str) -> usize {
    let is_id = |one: &roxmltree::Attribute<'_, '_>| match one.namespace() {
        None => matches!(one.name(), "ID" | "Id" | "id" | "AssertionID"),
        Some(namespace) => namespace == roxmltree::NS_XML_URI && one.name() == "id",
    };
    document
        .descendants()
        .flat_map(|node| node.attributes())
        .filter(|one| one.value() == id && is_id(one))
        .count()
}

/// An NCName of ASCII letters, digits, `_`, `-` and `.`: an ID that can stand in a URI as it is.
pub(crate) fn is_plain_id(id: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    id.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && id.bytes().all(rest)
}
