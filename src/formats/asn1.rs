//! BER as real PKCS#12 files use it: indefinite lengths and constructed strings, bounded in depth,
//! size and number before anything is built (X.690 §8).

use der::asn1::ObjectIdentifier;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::formats::Limits;

/// Elements of one document; each costs some 60 bytes while it is read.
const MAX_ELEMENTS: usize = 600_000;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
const CONSTRUCTED: u8 = 0x20;
/// How often a string may be cut up again inside itself; BoringSSL's vectors do it two hundred times.
const MAX_STRING_DEPTH: usize = 256;

/// One element.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) tag: u8,
    content: Content<'a>,
}

#[derive(Clone, Debug)]
enum Content<'a> {
    Constructed(Vec<Node<'a>>),
    Primitive(&'a [u8]),
}

/// Reads one element that fills `bytes`.
pub(super) fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Node<'a>> {
    let mut reader = Reader { rest: bytes, left: MAX_ELEMENTS, max_depth: limits.max_depth };
    let node = reader.element(0, 0)?;
    if reader.rest.is_empty() { Ok(node) } else { Err(damaged("bytes follow the outer element")) }
}

pub(super) fn damaged(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Damaged, format!("the ASN.1 is damaged: {}", why.into()))
}

struct Reader<'a> {
    rest: &'a [u8],
    left: usize,
    max_depth: usize,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| damaged("it ends early"))?;
        self.rest = rest;
        Ok(*first)
    }

    fn element(&mut self, depth: usize, strings: usize) -> Result<Node<'a>> {
        if depth > self.max_depth || strings > MAX_STRING_DEPTH {
            let bound = if depth > self.max_depth { self.max_depth } else { MAX_STRING_DEPTH };
            let text = format!("the ASN.1 is nested deeper than {bound}");
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            Error::new(ErrorKind::LimitExceeded, format!("more than {MAX_ELEMENTS} ASN.1 elements"))
        })?;
        let tag = self.byte()?;
        let (depth, strings) = if tag == OCTET_STRING | CONSTRUCTED {
            (depth, strings + 1)
        } else {
            (depth + 1, strings)
        };
        if tag & 0x1f == 0x1f {
            return Err(damaged("a tag of more than one byte"));
        }
        let Some(length) = self.length()? else {
            if tag & CONSTRUCTED == 0 {
                return Err(damaged("a primitive element of indefinite length"));
            }
            let mut children = Vec::new();
            while !self.rest.starts_with(&[0, 0]) {
                children.push(self.element(depth, strings)?);
            }
            self.rest = self.rest.get(2..).unwrap_or_default();
            return Ok(Node { tag, content: Content::Constructed(children) });
        };
        let (content, rest) =
            self.rest.split_at_checked(length).ok_or_else(|| damaged("a length beyond the end"))?;
        self.rest = rest;
        if tag & CONSTRUCTED == 0 {
            return Ok(Node { tag, content: Content::Primitive(content) });
        }
        let after = std::mem::replace(&mut self.rest, content);
        let mut children = Vec::new();
        while !self.rest.is_empty() {
            children.push(self.element(depth, strings)?);
        }
        self.rest = after;
        Ok(Node { tag, content: Content::Constructed(children) })
    }

    /// `None`: indefinite. Lengths in more bytes than needed are BER and accepted.
    fn length(&mut self) -> Result<Option<usize>> {
        let first = self.byte()?;
        match first {
            0..=0x7f => Ok(Some(usize::from(first))),
            0x80 => Ok(None),
            0x81..=0x88 => {
                let mut length = 0_usize;
                for _ in 0..first & 0x7f {
                    let byte = usize::from(self.byte()?);
                    length = length
                        .checked_mul(256)
                        .and_then(|length| length.checked_add(byte))
                        .ok_or_else(|| damaged("a length beyond any file"))?;
                }
                Ok(Some(length))
            }
            _ => Err(damaged("a length of more than eight bytes")),
        }
    }
}

impl<'a> Node<'a> {
    /// The children of a constructed element with this tag.
    pub(super) fn children(&self, tag: u8) -> Result<&[Self]> {
        match &self.content {
            Content::Constructed(children) if self.tag == tag => Ok(children),
            _ => Err(damaged(format!("tag {:#04x} where {tag:#04x} belongs", self.tag))),
        }
    }

    /// The children of an explicit context tag, or of an implicit constructed one.
    pub(super) fn context(&self, number: u8) -> Result<&[Self]> {
        self.children(0xa0 | number)
    }

    /// The bytes of a primitive element with this tag.
    pub(super) fn primitive(&self, tag: u8) -> Result<&'a [u8]> {
        match self.content {
            Content::Primitive(bytes) if self.tag == tag => Ok(bytes),
            _ => Err(damaged(format!("tag {:#04x} where {tag:#04x} belongs", self.tag))),
        }
    }

    /// The bytes of a string, put together where BER cut it up (X.690 §8.7.3).
    pub(super) fn string(&self, tag: u8) -> Result<Vec<u8>> {
        if self.tag & !CONSTRUCTED != tag {
            return Err(damaged(format!("tag {:#04x} where {tag:#04x} belongs", self.tag)));
        }
        // Room for all of it: a buffer that grows leaves copies of a key behind.
        let mut out = Vec::with_capacity(self.length());
        self.gather(&mut out)?;
        Ok(out)
    }

    /// The bytes of all its primitive parts.
    fn length(&self) -> usize {
        match &self.content {
            Content::Primitive(bytes) => bytes.len(),
            Content::Constructed(children) => children.iter().map(Node::length).sum(),
        }
    }

    fn gather(&self, out: &mut Vec<u8>) -> Result<()> {
        match &self.content {
            Content::Primitive(bytes) => out.extend_from_slice(bytes),
            Content::Constructed(children) => {
                for child in children {
                    if child.tag & !CONSTRUCTED != OCTET_STRING {
                        return Err(damaged("a string made of something else"));
                    }
                    child.gather(out)?;
                }
            }
        }
        Ok(())
    }

    /// Whether it is an INTEGER.
    pub(super) fn is_integer(&self) -> bool {
        self.tag == INTEGER
    }

    pub(super) fn oid(&self) -> Result<ObjectIdentifier> {
        ObjectIdentifier::from_bytes(self.primitive(OID)?)
            .map_err(|_| damaged("an object identifier that is none"))
    }

    /// A whole number that is not negative.
    pub(super) fn number(&self) -> Result<u64> {
        let bytes = self.primitive(INTEGER)?;
        let negative = bytes.first().is_none_or(|first| first & 0x80 != 0);
        let significant = bytes.iter().skip_while(|byte| **byte == 0).count();
        if negative || significant > 8 {
            return Err(Error::new(ErrorKind::LimitExceeded, "a number is negative or too large"));
        }
        Ok(bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// The element in DER.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let children = match &self.content {
            Content::Primitive(bytes) => return Zeroizing::new(encode(self.tag, bytes)),
            Content::Constructed(children) => children,
        };
        let parts: Vec<Zeroizing<Vec<u8>>> = children.iter().map(Node::encode).collect();
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_slice()).collect();
        Zeroizing::new(encode(self.tag, &Zeroizing::new(parts.concat())))
    }
}

/// One element in DER.
pub(super) fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 10);
    out.push(tag);
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = content.len().to_be_bytes();
            let skip = bytes.iter().take_while(|byte| **byte == 0).count();
            let digits = bytes.get(skip..).unwrap_or_default();
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(content);
    out
}
