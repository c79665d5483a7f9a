//! One look at every byte inside a JSON object: where the name `exp` may stand, and what makes that doubtful.
//!
//! Blocks of 32 bytes become masks of 32 bits: texts are short, and what is done once a text is most of the price.

use fearless_simd::prelude::*;
use fearless_simd::{Simd, mask8x32, u8x32};

/// Bytes of a block.
const BLOCK: usize = 32;

/// What was seen in a text in which nothing is escaped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Seen {
    /// Where the only `p` behind an `x` stands; 0 if there is none.
    pub(super) place: usize,
    /// An object begins before it.
    pub(super) begun: bool,
}

/// Looks at an object behind its first byte; the last one ends it. `None`: something is escaped, there are several such
/// places, or the text is no longer than a block.
// What runs with wider instructions has to be inlined where they are switched on.
#[inline(always)]
pub(super) fn look<S: Simd>(simd: S, text: &[u8]) -> Option<Seen> {
    let ([inner @ .., _], [_, behind @ ..]) = (text, text) else { return None };
    let (last, last_behind) = (inner.last_chunk()?, behind.last_chunk()?);
    let nowhere = mask8x32::splat(simd, false);
    let mut look = Look { simd, place: 0, begun: 0, several: 0, begins: nowhere, odd: nowhere };
    let (blocks, rest) = inner.as_chunks::<BLOCK>();
    let mut blocks = blocks.iter().zip(behind.as_chunks::<BLOCK>().0);
    let mut at = 0;
    for (block, next) in blocks.by_ref() {
        if look.finds_in(block, next, at, 0) {
            break;
        }
        at += BLOCK;
    }
    for (block, next) in blocks {
        look.goes_on_in(block, next);
    }
    if !rest.is_empty() {
        look.ends_in(last, last_behind, at, BLOCK - rest.len());
    }
    look.seen()
}

struct Look<S: Simd> {
    simd: S,
    /// The place of the first `p`; 0 before that.
    place: usize,
    /// Where in its block objects begin before it.
    begun: u64,
    /// Where in the blocks before that one they do.
    begins: mask8x32<S>,
    /// Not 0 if there are several in a block.
    several: u64,
    /// Where something is escaped, or another `p` stands.
    odd: mask8x32<S>,
}

/// Of each block the first `skipped` bytes were looked at; `next` is the block a byte further on.
impl<S: Simd> Look<S> {
    /// Whether the first place is in the block that begins at `at`.
    #[inline(always)]
    fn finds_in(
        &mut self,
        block: &[u8; BLOCK],
        next: &[u8; BLOCK],
        at: usize,
        skipped: usize,
    ) -> bool {
        let bytes = u8x32::from_slice(self.simd, block);
        let pairs = self.pairs(bytes, next).to_bitmask() >> skipped;
        let begins = self.is(bytes, b'{');
        self.odd |= self.is(bytes, b'\\');
        if pairs == 0 {
            self.begins |= begins;
            return false;
        }
        self.several = pairs & (pairs - 1);
        self.begun = (begins.to_bitmask() >> skipped) & (pairs ^ (pairs - 1));
        self.place = at + usize::try_from(pairs.trailing_zeros()).unwrap_or_default() + 1;
        true
    }

    /// Behind the first place.
    #[inline(always)]
    fn goes_on_in(&mut self, block: &[u8; BLOCK], next: &[u8; BLOCK]) {
        let bytes = u8x32::from_slice(self.simd, block);
        self.odd |= self.pairs(bytes, next) | self.is(bytes, b'\\');
    }

    /// The last block, which overlaps the one before it.
    #[inline(always)]
    fn ends_in(&mut self, block: &[u8; BLOCK], next: &[u8; BLOCK], at: usize, skipped: usize) {
        if self.place == 0 {
            self.finds_in(block, next, at, skipped);
            return;
        }
        let bytes = u8x32::from_slice(self.simd, block);
        self.several |= self.pairs(bytes, next).to_bitmask() >> skipped;
        self.odd |= self.is(bytes, b'\\');
    }

    #[inline(always)]
    fn seen(self) -> Option<Seen> {
        if self.several != 0 || self.odd.any_true() {
            return None;
        }
        let begun = self.place > 0 && (self.begun != 0 || self.begins.any_true());
        Some(Seen { place: self.place, begun })
    }

    /// Where an `x` has a `p` behind it.
    #[inline(always)]
    fn pairs(&self, bytes: u8x32<S>, next: &[u8; BLOCK]) -> mask8x32<S> {
        self.is(bytes, b'x') & self.is(u8x32::from_slice(self.simd, next), b'p')
    }

    #[inline(always)]
    fn is(&self, bytes: u8x32<S>, byte: u8) -> mask8x32<S> {
        bytes.simd_eq(u8x32::splat(self.simd, byte))
    }
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};
    use proptest::prelude::*;

    use super::*;

    /// The same, byte by byte.
    fn plainly(text: &[u8]) -> Option<Seen> {
        if text.len() <= BLOCK || text[..text.len() - 1].contains(&b'\\') {
            return None;
        }
        let mut pairs = (1..text.len()).filter(|at| text[at - 1..].starts_with(b"xp"));
        let Some(place) = pairs.next() else { return Some(Seen { place: 0, begun: false }) };
        let begun = text[..place].contains(&b'{');
        pairs.next().is_none().then_some(Seen { place, begun })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn blocks_show_what_bytes_show(
            text in "[a-e ]{0,140}",
            marks in prop::collection::vec((0..140_usize, prop::sample::select(vec!["xp", "x", "p", "{", "}", "}", "\\"])), 0..6),
        ) {
            let mut text = text.into_bytes();
            for (at, mark) in marks {
                if let Some(place) = text.get_mut(at..at + mark.len()) {
                    place.copy_from_slice(mark.as_bytes());
                }
            }
            let expected = plainly(&text);
            prop_assert_eq!(dispatch!(Level::new(), simd => look(simd, &text)), expected);
            #[cfg(any(feature = "saml", feature = "service"))]
            for level in crate::blocks::every_level() {
                prop_assert_eq!(dispatch!(level, simd => look(simd, &text)), expected);
            }
        }
    }
}
