//! XML signatures, enveloped, in the strict profile of SAML core §5.4.

mod method;
mod shape;
mod sign;
mod verify;

use crate::xmlsec::input::ElementName;
use crate::xmlsec::names::ds;
use crate::xmlsec::tree::{Node, Tree};
use crate::xmlsec::{attribute, children_named};

pub use method::SigningMethod;
pub use sign::{KeyInfo, SignOptions, Signed, sign};
pub(crate) use sign::{choose, key_info, sign_until};
pub(crate) use verify::verify_where;
pub use verify::{VerifiedElement, verify};

/// Which element is signed. It is found by its place, and the signature is its direct child.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the places where SAML signs")]
pub enum Target<'a> {
    /// The element of this name: the document element, or the one direct child of it; with an ID, the one
    /// that carries it.
    Element {
        /// Its name.
        name: ElementName,
        /// Its `ID`, needed where there are several.
        id: Option<&'a str>,
    },
    /// The document element.
    Root,
    /// What is signed of the document element and its direct children of this name. Where the document element
    /// is not signed, each of the children must be, and no other signature may stand about.
    Signed {
        /// The name of the children.
        child: ElementName,
    },
}

/// Why a document has nothing at a [`Target`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Missing {
    Absent,
    Several,
    Unsigned,
    /// Beside one that is signed.
    OneUnsigned,
    StraySignature,
}

impl Missing {
    const fn why(self) -> &'static str {
        match self {
            Self::Absent => "the element is not there",
            Self::Several => "there are several such elements, and no ID was asked for",
            Self::Unsigned => "nothing is signed; what is encrypted is decrypted first",
            Self::OneUnsigned => "an element that is not signed stands beside one that is",
            Self::StraySignature => "a signature stands where SAML has none",
        }
    }
}

/// Whether an element around this one is signed: its signature holds no longer once anything inside changes.
pub(crate) fn is_covered(node: Node<'_, '_>) -> bool {
    node.ancestors().skip(1).any(shape::has_signature)
}

impl Target<'_> {
    /// The elements; there is one at least.
    fn find<'a, 'i>(&self, tree: &'a Tree<'i>) -> Result<Vec<Node<'a, 'i>>, Missing> {
        let root = tree.root_element();
        match self {
            Self::Root => Ok(vec![root]),
            Self::Element { name, id } if name.is(root) => match id {
                Some(id) if attribute(root, "ID") != Some(id) => Err(Missing::Absent),
                _ => Ok(vec![root]),
            },
            Self::Element { name, id } => {
                let fits =
                    |node: &Node<'_, '_>| id.is_none_or(|id| attribute(*node, "ID") == Some(id));
                let mut found = children_named(root, *name).filter(fits);
                match (found.next(), found.next()) {
                    (Some(one), None) => Ok(vec![one]),
                    (None, _) => Err(Missing::Absent),
                    _ => Err(Missing::Several),
                }
            }
            Self::Signed { child } => signed_elements(root, *child),
        }
    }
}

fn signed_elements<'a, 'i>(
    root: Node<'a, 'i>,
    child: ElementName,
) -> Result<Vec<Node<'a, 'i>>, Missing> {
    let children: Vec<Node<'a, 'i>> = children_named(root, child).collect();
    let signed = |node: &Node<'a, 'i>| shape::has_signature(*node);
    if signed(&root) {
        let inside = children.into_iter().filter(signed);
        return Ok(std::iter::once(root).chain(inside).collect());
    }
    if children.is_empty() || !children.iter().any(signed) {
        return Err(Missing::Unsigned);
    }
    if !children.iter().all(signed) {
        return Err(Missing::OneUnsigned);
    }
    let mut outside = root.children().filter(|one| !child.is(*one)).flat_map(Node::descendants);
    if outside.any(|node| ds("Signature").is(node)) {
        return Err(Missing::StraySignature);
    }
    Ok(children)
}
