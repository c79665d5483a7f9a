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

    #[inline(never)]
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
fn beginning(text: &[u8], name: Piece) -> u64 {
    let behind = u64::MAX.checked_shr(8 * u32::min(name.end - name.start, 8)).unwrap_or(0);
    first_eight(text, name.start) & !behind
}

/// The eight bytes from `start` on as a number, the first the highest; behind the text stand zeros.
#[inline(always)]
pub(super) fn first_eight(text: &[u8], start: u32) -> u64 {
    let start = wide(start);
    u64::from_be_bytes(match text.get(start..).and_then(<[u8]>::first_chunk) {
        Some(bytes) => *bytes,
        None => last_bytes(text, start),
    })
}

#[cold]
fn last_bytes(text: &[u8], start: usize) -> [u8; 8] {
    let mut bytes = text.get(start..).unwrap_or_default().iter().copied();
    std::array::from_fn(|_| bytes.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::xmlsec::tree::{NONE, Name, small};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// Few are sorted as many are, and as texts are; names end where the text ends, too.
        #[test]
        fn few_are_sorted_as_many(all in prop::collection::vec(("[ab]{1,10}|[a-cé]{1,3}", 0..4_usize), 0..=FEW)) {
            let mut text = String::from("urn:aurn:b");
            let part = |start, end| Piece { start, end, decoded: NONE };
            let binding = |uri| Binding { prefix: Piece::EMPTY, key: 0, uri, canonical: true };
            // The second is the first under another prefix.
            let bindings = [binding(part(0, 5)), binding(part(0, 5)), binding(part(5, 10))];
            let mut few: Vec<AttributeData> = Vec::new();
            for (name, namespace) in &all {
                let start = small(text.len());
                text += name;
                let name = Name { start, end: small(text.len()), prefix: 0 };
                let namespace = if *namespace == 3 { NONE } else { small(*namespace) };
                few.push(AttributeData { name, namespace, value: Piece::EMPTY, canonical: true });
            }
            let mut many = few.clone();
            let order = Order { text: &text, bindings: &bindings, decoded: &[] };
            let (told, told_of_many) = (order.sort(&mut few), order.sort_many(&mut many));
            prop_assert_eq!(told, told_of_many);
            let uri = |namespace: usize| ["urn:a", "urn:a", "urn:b", ""][namespace];
            let mut expected: Vec<_> = all.iter().map(|(name, of)| (uri(*of), name.as_str())).collect();
            let were = expected.is_sorted();
            expected.sort_unstable();
            let len = expected.len();
            expected.dedup();
            prop_assert_eq!(told, (expected.len() == len).then_some(were));
            if told.is_some() {
                let sorted: Vec<_> = few
                    .iter()
                    .map(|one| (order.uri(one.namespace), read_bytes(&text, &[], one.name.whole())))
                    .collect();
                let expected: Vec<_> =
                    expected.iter().map(|(uri, name)| (uri.as_bytes(), name.as_bytes())).collect();
                prop_assert_eq!(sorted, expected);
            }
        }
    }
}
