//! The canonical order of the attributes of an element, in which equal ones are neighbours.

use std::cmp::Ordering;

use zeroize::Zeroizing;

use super::{AttributeData, Binding, Piece, XML, XML_URI, read_bytes, wide};

/// Attributes that are sorted by moving one after the other.
const FEW: usize = 8;

/// By namespace URI, then by local name; those without a namespace first (C14N 1.0 §2.2).
pub(super) struct Order<'o> {
    pub(super) text: &'o str,
    pub(super) bindings: &'o [Binding],
    pub(super) decoded: &'o [Zeroizing<String>],
}

impl Order<'_> {
    /// Brings attributes into order. Whether they were; `None` if one is there twice.
    #[inline(always)]
    pub(super) fn sort(&self, all: &mut [AttributeData]) -> Option<bool> {
        if all.len() > FEW {
            return self.sort_many(all);
        }
        let mut were = true;
        for index in 1..all.len() {
            let mut at = index;
            while let Some([a, b]) = at.checked_sub(1).and_then(|from| all.get_mut(from..=at)) {
                match self.compare(a, b) {
                    Ordering::Less => break,
                    Ordering::Equal => return None,
                    Ordering::Greater => std::mem::swap(a, b),
                }
                (were, at) = (false, at - 1);
            }
        }
        Some(were)
    }

    #[cold]
    fn sort_many(&self, all: &mut [AttributeData]) -> Option<bool> {
        let rising = |all: &[AttributeData]| {
            let mut pairs = all.iter().zip(all.iter().skip(1));
            pairs.all(|(a, b)| self.compare(a, b) == Ordering::Less)
        };
        if rising(all) {
            return Some(true);
        }
        all.sort_unstable_by(|a, b| self.compare(a, b));
        rising(all).then_some(false)
    }

    #[inline(always)]
    fn compare(&self, a: &AttributeData, b: &AttributeData) -> Ordering {
        if a.namespace != b.namespace {
            let by_uri = self.uri(a.namespace).cmp(self.uri(b.namespace));
            if by_uri != Ordering::Equal {
                return by_uri;
            }
        }
        let (a, b) = (a.name.local(), b.name.local());
        let begin = |name: Piece| beginning(self.text.as_bytes(), name);
        begin(a).cmp(&begin(b)).then_with(|| {
            let whole = |name: Piece| read_bytes(self.text, &[], name);
            whole(a).cmp(whole(b))
        })
    }

    fn uri(&self, namespace: u32) -> &[u8] {
        match self.bindings.get(wide(namespace)) {
            Some(binding) => read_bytes(self.text, self.decoded, binding.uri),
            None if namespace == XML => XML_URI.as_bytes(),
            None => b"",
        }
    }
}

/// The first eight bytes of a name as a number that is in the order of the names; behind its end stand zeros,
/// which no name has.
#[inline(always)]
pub(super) fn beginning(text: &[u8], name: Piece) -> u64 {
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
