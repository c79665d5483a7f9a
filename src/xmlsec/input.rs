//! From bytes to a tree: scanned, line ends normalized, parsed once; and the few ways the tree is read.

use std::borrow::Cow;

use memchr::memchr;
use zeroize::Zeroize;

use crate::error::Result;
use crate::xmlsec::decode_base64;
use crate::xmlsec::limits::{XmlLimits, beyond, refused};
use crate::xmlsec::names::ds;
use crate::xmlsec::tree::{Node, Seen, Tree};

/// A text, as the tree borrows it.
#[derive(Debug)]
pub(crate) struct XmlText<'a> {
    text: Cow<'a, str>,
    seen: Seen,
    limits: &'a XmlLimits,
}

impl<'a> XmlText<'a> {
    /// Takes `document` if it is UTF-8 and within the limits, without its byte order mark.
    pub(crate) fn read(document: &'a [u8], limits: &'a XmlLimits) -> Result<Self> {
        if document.len() > limits.max_bytes {
            return Err(beyond(&format!("it has more than {} bytes", limits.max_bytes)));
        }
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        let text = simdutf8::basic::from_utf8(document).map_err(|_| refused("it is not UTF-8"))?;
        let seen = Seen::of(text);
        // XML 1.0 §2.11, before parsing.
        if seen.control && memchr(b'\r', document).is_some() {
            let text = with_line_feeds(text);
            return Ok(Self { seen: Seen::of(&text), text: Cow::Owned(text), limits });
        }
        Ok(Self { text: Cow::Borrowed(text), seen, limits })
    }

    /// The tree. Entities other than the five of XML do not exist, since no DTD does.
    pub(crate) fn parse(&self) -> Result<Tree<'_>> {
        Tree::parse(&self.text, &self.seen, self.limits)
    }

    /// The text that the tree borrows; ranges of nodes are into it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// What was decrypted is read through it too.
impl Drop for XmlText<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(text) = &mut self.text {
            text.zeroize();
        }
    }
}

/// Carriage returns, and those with a line feed behind them, as line feeds.
fn with_line_feeds(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('\r');
    out.extend(parts.next());
    for part in parts {
        out.push('\n');
        out.push_str(part.strip_prefix('\n').unwrap_or(part));
    }
    out
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
        node.is_named(self.namespace, self.local)
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

/// No element that is taken apart has so many children: of one with more, this many are told.
const TOO_MANY: usize = 4;

/// The element children of an element.
pub(crate) struct Content<'a, 'i> {
    first: [Node<'a, 'i>; TOO_MANY],
    count: usize,
}

impl<'a, 'i> Content<'a, 'i> {
    pub(crate) fn as_slice(&self) -> &[Node<'a, 'i>] {
        self.first.get(..self.count).unwrap_or(&self.first)
    }
}

/// The element children, if nothing but white space, comments and processing instructions stands between them.
pub(crate) fn element_content<'a, 'i>(parent: Node<'a, 'i>) -> Option<Content<'a, 'i>> {
    let mut content = Content { first: [parent; TOO_MANY], count: 0 };
    for child in parent.children() {
        match child.text() {
            None if child.is_element() => {
                if let Some(free) = content.first.get_mut(content.count) {
                    *free = child;
                }
                content.count += 1;
            }
            Some(text) if !text.trim_ascii().is_empty() => return None,
            _ => {}
        }
    }
    Some(content)
}

/// The text of an element that holds nothing else: no element, and no comment that would hide a part of it.
pub(crate) fn only_text<'a>(node: Node<'a, '_>) -> Option<Cow<'a, str>> {
    let mut whole = Cow::Borrowed("");
    for child in node.children() {
        let text = child.text()?;
        if whole.is_empty() {
            whole = Cow::Borrowed(text);
        } else {
            whole.to_mut().push_str(text);
        }
    }
    Some(whole)
}

/// The whole text under an element, comments left out: never the first piece alone (CVE-2017-11427).
pub(crate) fn full_text(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(Node::text).collect()
}

/// An attribute without a namespace; `xsi:ID` is not `ID`.
pub(crate) fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes().find(|one| one.is_named(name)).map(|one| one.value())
}

/// The first certificate in a KeyInfo: a hint and no more, since nobody signed it.
pub(crate) fn certificate_hint(key_info: Node<'_, '_>) -> Option<Vec<u8>> {
    let data = children_named(key_info, ds("X509Data")).next()?;
    let certificate = children_named(data, ds("X509Certificate")).next()?;
    only_text(certificate).as_deref().and_then(decode_base64)
}

/// How many elements carry this value in any attribute that some consumer takes for an ID.
pub(crate) fn count_of_id(tree: &Tree<'_>, id: &str) -> usize {
    let carries = tree.attributes().filter(|one| {
        one.has_value(id)
            && match one.namespace() {
                None => matches!(one.name(), "ID" | "Id" | "id" | "AssertionID"),
                Some(_) => one.is_xml() && one.name() == "id",
            }
    });
    carries.count()
}

/// An NCName of ASCII letters, digits, `_`, `-` and `.`: an ID that can stand in a URI as it is.
pub(crate) fn is_plain_id(id: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    id.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && id.bytes().all(rest)
}
