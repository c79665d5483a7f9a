//! How much of an XML text is read.

use crate::error::{Error, ErrorKind};

/// Bounds on an XML text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "plain numbers that callers set")]
pub struct XmlLimits {
    /// Size of the text in bytes; never more than 4 GiB.
    pub max_bytes: usize,
    /// Nesting of elements.
    pub max_depth: usize,
    /// Attributes of one element, namespace declarations included.
    pub max_attributes: usize,
    /// Namespace declarations of one element.
    pub max_namespaces: usize,
    /// Namespace declarations in scope at one place.
    pub max_namespaces_in_scope: usize,
    /// Elements, texts, comments and processing instructions.
    pub max_nodes: u32,
}

impl XmlLimits {
    /// For a message: 256 KiB.
    pub const MESSAGE: Self = Self {
        max_bytes: 256 << 10,
        max_depth: 100,
        max_attributes: 128,
        max_namespaces: 32,
        max_namespaces_in_scope: 64,
        max_nodes: 20_000,
    };
    /// For metadata: 4 MiB.
    pub const METADATA: Self = Self { max_bytes: 4 << 20, max_nodes: 200_000, ..Self::MESSAGE };
}

impl Default for XmlLimits {
    fn default() -> Self {
        Self::MESSAGE
    }
}

pub(super) fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("the XML is refused: {why}"))
}

pub(super) fn beyond(why: &str) -> Error {
    Error::new(ErrorKind::LimitExceeded, format!("the XML is refused: {why}"))
}
