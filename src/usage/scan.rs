//! One look at every byte inside a JSON object: where the name `exp` may stand, and what makes that doubtful.
//!
//! Blocks of 64 bytes become masks of 64 bits, with the widest instructions that the processor has; what is asked
//! of a block is arithmetic on its masks.

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, u8x64};

use crate::blocks::{BLOCK, is};

/// What was seen, in one word: it comes back in a register.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Seen(u64);

/// Where the flags begin; below them stands the place of the only `p`, which comes after an `x` and so is never 0.
const FLAGS: u32 = 48;
const SEVERAL: u64 = 1 << FLAGS;
const WITHIN: u64 = 2 << FLAGS;
const ESCAPES: u64 = 4 << FLAGS;

impl Seen {
    /// The place of the only `p` behind an `x`.
    pub(super) fn place(self) -> Option<usize> {
        usize::try_from(self.0 & (SEVERAL - 1)).ok().filter(|place| *place > 0)
    }

    /// There are several such.
    pub(super) const fn is_several(self) -> bool {
        self.0 & SEVERAL != 0
    }

    /// There is one that may stand in an inner object: one begins before it, and one ends behind it.
    pub(super) const fn is_within(self) -> bool {
        self.0 & WITHIN != 0
    }

    /// Something is escaped.
    pub(super) const fn has_escapes(self) -> bool {
        self.0 & ESCAPES != 0
    }
}

/// Looks at a text; `None` if it is no longer than a block.
#[inline]
pub(super) fn look_at(text: &[u8]) -> Option<Seen> {
    dispatch!(Level::new(), simd => look_with(simd, text))
}

// What runs with wider instructions has to be inlined where they are switched on.
#[inline(always)]
fn look_with<S: Simd>(simd: S, text: &[u8]) -> Option<Seen> {
    let (end, before) = text.split_last()?;
    let behind = text.get(1..)?;
    let (last, last_behind) = (before.last_chunk::<BLOCK>()?, behind.last_chunk::<BLOCK>()?);
    let nowhere = u8x64::splat(simd, u8::MAX);
    let mut look = Look {
        simd,
        place: 0,
        several: false,
        begun: false,
        ended: false,
        begins: nowhere,
        ends: nowhere,
        escapes: nowhere,
        at: 0,
    };
    let (blocks, rest) = before.as_chunks::<BLOCK>();
    for (block, next) in blocks.iter().zip(behind.as_chunks::<BLOCK>().0) {
        look.add(block, next);
    }
    if !rest.is_empty() {
        // The last block overlaps the one before it.
        look.add_last(last, last_behind, BLOCK - rest.len());
    }
    Some(look.seen(*end))
}

/// Bytes that differ from a wanted one are not 0 after `^`, and where blocks are put on each other the smaller stays:
/// a 0 says that it was there, without a mask for each block.
struct Look<S: Simd> {
    simd: S,
    /// The place of the last `p`; 0 before that.
    place: u64,
    several: bool,
    /// In its block, an object begins before it.
    begun: bool,
    /// In its block, an object ends behind it.
    ended: bool,
    /// Before that block, or everywhere.
    begins: u8x64<S>,
    /// Behind that block, or everywhere.
    ends: u8x64<S>,
    escapes: u8x64<S>,
    /// Where the block begins.
    at: u64,
}

impl<S: Simd> Look<S> {
    #[inline(always)]
    fn add(&mut self, block: &[u8; BLOCK], next: &[u8; BLOCK]) {
        let bytes = u8x64::from_slice(self.simd, block);
        let pairs = self.pairs(bytes, next);
        self.escapes = self.escapes.min(self.unlike(bytes, b'\\'));
        if pairs == 0 {
            if self.place == 0 {
                self.begins = self.begins.min(self.unlike(bytes, b'{'));
            }
            self.ends = self.ends.min(self.unlike(bytes, b'}'));
        } else {
            self.add_pairs(bytes, pairs, 0);
        }
        self.at += 64;
    }

    /// Adds a block without its first `skipped` bytes, at the end.
    #[inline(always)]
    fn add_last(&mut self, block: &[u8; BLOCK], next: &[u8; BLOCK], skipped: usize) {
        let bytes = u8x64::from_slice(self.simd, block);
        let pairs = self.pairs(bytes, next) >> skipped;
        self.escapes = self.escapes.min(self.unlike(bytes, b'\\'));
        if pairs != 0 {
            self.add_pairs(bytes, pairs, skipped);
        } else if self.places(bytes, b'}') >> skipped != 0 {
            self.ends = u8x64::splat(self.simd, 0);
        }
    }

    #[inline(always)]
    fn add_pairs(&mut self, bytes: u8x64<S>, pairs: u64, skipped: usize) {
        let first = pairs & pairs.wrapping_neg();
        self.several = self.place > 0 || pairs != first;
        self.place = self.at + u64::from(pairs.trailing_zeros()) + 1;
        self.begun = (self.places(bytes, b'{') >> skipped) & (first - 1) != 0;
        self.ended = (self.places(bytes, b'}') >> skipped) & !(first | (first - 1)) != 0;
        self.ends = u8x64::splat(self.simd, u8::MAX);
    }

    #[inline(always)]
    fn seen(self, end: u8) -> Seen {
        let mut seen = if self.several { SEVERAL } else { self.place };
        let ends = || self.ended || end == b'}' || self.has_zero(self.ends);
        let begins = || self.begun || self.has_zero(self.begins);
        if !self.several && self.place > 0 && ends() && begins() {
            seen |= WITHIN;
        }
        if end == b'\\' || self.has_zero(self.escapes) {
            seen |= ESCAPES;
        }
        Seen(seen)
    }

    /// A bit for each `x` before a `p`; `next` is the block a byte further on.
    #[inline(always)]
    fn pairs(&self, bytes: u8x64<S>, next: &[u8; BLOCK]) -> u64 {
        let next = u8x64::from_slice(self.simd, next);
        let unlike = self.unlike(bytes, b'x') | self.unlike(next, b'p');
        is(self.simd, unlike, 0).to_bitmask()
    }

    /// A bit for each such byte, the lowest for the first.
    #[inline(always)]
    fn places(&self, bytes: u8x64<S>, byte: u8) -> u64 {
        is(self.simd, bytes, byte).to_bitmask()
    }

    #[inline(always)]
    fn unlike(&self, bytes: u8x64<S>, byte: u8) -> u8x64<S> {
        bytes ^ u8x64::splat(self.simd, byte)
    }

    #[inline(always)]
    fn has_zero(&self, bytes: u8x64<S>) -> bool {
        is(self.simd, bytes, 0).any_true()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::blocks::every_level;

    /// The same, byte by byte.
    fn plainly(text: &[u8]) -> Option<Seen> {
        let places = |wanted: &[u8]| -> Vec<usize> {
            let windows = text.windows(wanted.len()).enumerate();
            windows.filter(|(_, window)| *window == wanted).map(|(at, _)| at).collect()
        };
        let pairs = places(b"xp");
        let mut seen = match *pairs {
            [] => 0,
            [only] => {
                let begins = places(b"{").iter().any(|at| *at < only);
                let ends = places(b"}").iter().any(|at| *at > only);
                u64::try_from(only + 1).unwrap() | if begins && ends { WITHIN } else { 0 }
            }
            _ => SEVERAL,
        };
        if text.contains(&b'\\') {
            seen |= ESCAPES;
        }
        (text.len() > BLOCK).then_some(Seen(seen))
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
            prop_assert_eq!(look_at(&text), expected);
            for level in every_level() {
                prop_assert_eq!(dispatch!(level, simd => look_with(simd, &text)), expected);
            }
        }
    }
}
