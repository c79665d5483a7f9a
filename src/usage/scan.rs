//! One look at every byte inside a JSON object: where the name `exp` may stand, and what makes that doubtful.
//!
//! Blocks of 64 bytes become masks of 64 bits, with the widest instructions that the processor has; what is asked
//! of a block is arithmetic on its masks.

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, u8x64};

const BLOCK: usize = 64;

/// What was seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Seen {
    /// The place of the first `p` behind an `x`.
    pub(super) first: Option<usize>,
    /// There are several such, or an object begins before the first.
    pub(super) others: bool,
    /// Something is escaped.
    pub(super) escapes: bool,
}

/// Looks at a text; `None` if it is shorter than a block.
#[inline]
pub(super) fn look_at(text: &[u8]) -> Option<Seen> {
    dispatch!(Level::new(), simd => look_with(simd, text))
}

// What runs with wider instructions has to be inlined where they are switched on.
#[inline(always)]
fn look_with<S: Simd>(simd: S, text: &[u8]) -> Option<Seen> {
    let last = text.last_chunk::<BLOCK>()?;
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    let mut look = Look::default();
    for block in blocks {
        look.add(simd, block, 0);
    }
    if !rest.is_empty() {
        // The last block overlaps the one before it.
        look.add(simd, last, BLOCK - rest.len());
    }
    let Look { first, others, escapes, .. } = look;
    Some(Seen { first, others, escapes: escapes != 0 })
}

#[derive(Default)]
struct Look {
    first: Option<usize>,
    others: bool,
    escapes: u64,
    /// Where the block begins.
    at: usize,
    /// 1 if the last byte was an `x`.
    after_x: u64,
}

impl Look {
    /// Adds a block without its first `skipped` bytes.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, block: &[u8; BLOCK], skipped: usize) {
        let block = u8x64::from_slice(simd, block);
        self.escapes |= places(simd, block, b'\\') >> skipped;
        let objects = places(simd, block, b'{') >> skipped;
        let xs = places(simd, block, b'x') >> skipped;
        let pairs = (xs << 1 | self.after_x) & (places(simd, block, b'p') >> skipped);
        self.after_x = xs >> (BLOCK - 1);
        if self.first.is_some() {
            self.others |= pairs != 0;
        } else {
            // Every bit below the first pair; all if there is none.
            let before = pairs.wrapping_sub(1) & !pairs;
            self.others |= objects & before != 0;
            if pairs != 0 {
                self.first = usize::try_from(pairs.trailing_zeros()).ok().map(|at| self.at + at);
                self.others |= pairs & (pairs - 1) != 0;
            }
        }
        self.at += BLOCK;
    }
}

/// A bit for each such byte, the lowest for the first.
#[inline(always)]
fn places<S: Simd>(simd: S, block: u8x64<S>, byte: u8) -> u64 {
    block.simd_eq(u8x64::splat(simd, byte)).to_bitmask()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, byte by byte.
    fn plainly(text: &[u8]) -> Option<Seen> {
        let places = |wanted: &[u8]| -> Vec<usize> {
            let windows = text.windows(wanted.len()).enumerate();
            windows.filter(|(_, window)| *window == wanted).map(|(at, _)| at).collect()
        };
        let (pairs, objects) = (places(b"xp"), places(b"{"));
        let first = pairs.first().map(|at| at + 1);
        let before = objects.first().is_some_and(|at| first.is_none_or(|first| *at < first));
        let seen =
            Seen { first, others: pairs.len() > 1 || before, escapes: text.contains(&b'\\') };
        (text.len() >= BLOCK).then_some(seen)
    }

    /// Every kind of instructions that this processor has.
    fn every_way(text: &[u8]) -> Vec<Option<Seen>> {
        let mut all = vec![look_at(text)];
        #[cfg(target_arch = "x86_64")]
        {
            let level = Level::new();
            all.extend(level.as_sse2().map(|simd| look_with(simd, text)));
            all.extend(level.as_sse4_2().map(|simd| look_with(simd, text)));
            all.extend(level.as_avx2().map(|simd| look_with(simd, text)));
            all.extend(level.as_avx512().map(|simd| look_with(simd, text)));
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn blocks_show_what_bytes_show(
            text in "[a-e ]{0,140}",
            marks in prop::collection::vec((0..140_usize, prop::sample::select(vec!["xp", "x", "p", "{", "\\"])), 0..4),
        ) {
            let mut text = text.into_bytes();
            for (at, mark) in marks {
                if let Some(place) = text.get_mut(at..at + mark.len()) {
                    place.copy_from_slice(mark.as_bytes());
                }
            }
            for seen in every_way(&text) {
                prop_assert_eq!(seen, plainly(&text));
            }
        }
    }
}
