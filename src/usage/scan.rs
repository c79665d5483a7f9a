//! One look at every byte inside a JSON object: where the name `exp` may stand, and what makes that doubtful.
//!
//! Blocks of 32 bytes become masks of 32 bits: texts are short, and what is done once a text is most of the price.

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, mask8x32, u8x32};

/// Bytes of a block.
const BLOCK: usize = 32;

/// What was seen, in one word: it comes back in a register.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Seen(u64);

/// Where the flags begin; below them stands the place of the only `p`, which comes after an `x` and so is never 0.
const FLAGS: u32 = 48;
const BEHIND_BRACE: u64 = 1 << FLAGS;
const DOUBTFUL: u64 = 2 << FLAGS;

impl Seen {
    /// The place of the only `p` behind an `x`; 0 if there is none, or it is doubtful.
    pub(super) fn place(self) -> usize {
        usize::try_from(self.0 & (BEHIND_BRACE - 1)).unwrap_or_default()
    }

    /// It is the only place that there is, and no object begins before it in which it may stand.
    pub(super) const fn is_plain(self) -> bool {
        self.0 < BEHIND_BRACE
    }

    /// There are several such places, or something is escaped, or the text is short.
    pub(super) const fn is_doubtful(self) -> bool {
        self.0 & DOUBTFUL != 0
    }
}

/// Looks at an object behind its first byte; the last one ends it. What is no longer than a block is doubtful.
#[inline(always)]
pub(super) fn look_at(text: &[u8]) -> Seen {
    let level = Level::new();
    // What `dispatch!` does, but what is looked at goes in registers, and wider blocks than these are not asked for.
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = level.as_avx2() {
        return simd.vectorize(move || look_with(simd, text));
    }
    look_elsewhere(level, text)
}

#[inline(never)]
fn look_elsewhere(level: Level, text: &[u8]) -> Seen {
    dispatch!(level, simd => look_with(simd, text))
}

// What runs with wider instructions has to be inlined where they are switched on.
#[inline(always)]
fn look_with<S: Simd>(simd: S, text: &[u8]) -> Seen {
    let ([inner @ .., _], [_, behind @ ..]) = (text, text) else { return Seen(DOUBTFUL) };
    let (Some(last), Some(last_behind)) = (inner.last_chunk(), behind.last_chunk()) else {
        return Seen(DOUBTFUL);
    };
    let nowhere = mask8x32::splat(simd, false);
    let mut look =
        Look { simd, place: 0, several: 0, begun: 0, begins: nowhere, escapes: nowhere, at: 0 };
    let (blocks, rest) = inner.as_chunks::<BLOCK>();
    for (block, next) in blocks.iter().zip(behind.as_chunks::<BLOCK>().0) {
        look.add(block, next, 0);
        look.at += 32;
    }
    if !rest.is_empty() {
        // The last block overlaps the one before it.
        look.add(last, last_behind, BLOCK - rest.len());
    }
    look.seen()
}

struct Look<S: Simd> {
    simd: S,
    /// The place of the last `p`; 0 before that.
    place: u64,
    /// Not 0 if there are several.
    several: u64,
    /// Where in its block objects begin before it.
    begun: u64,
    /// Where in a block before that one they do.
    begins: mask8x32<S>,
    escapes: mask8x32<S>,
    /// Where the block begins.
    at: u64,
}

impl<S: Simd> Look<S> {
    /// Adds a block of which the first `skipped` bytes were looked at; `next` is the block a byte further on.
    #[inline(always)]
    fn add(&mut self, block: &[u8; BLOCK], next: &[u8; BLOCK], skipped: usize) {
        let bytes = u8x32::from_slice(self.simd, block);
        let next = u8x32::from_slice(self.simd, next);
        let pairs = (self.is(bytes, b'x') & self.is(next, b'p')).to_bitmask() >> skipped;
        let begins = self.is(bytes, b'{');
        self.escapes |= self.is(bytes, b'\\');
        if pairs != 0 {
            self.several |= self.place | pairs & (pairs - 1);
            self.begun = (begins.to_bitmask() >> skipped) & (pairs ^ (pairs - 1));
            self.place = self.at + u64::from(pairs.trailing_zeros()) + 1;
        } else if self.place == 0 {
            self.begins |= begins;
        }
    }

    #[inline(always)]
    fn seen(self) -> Seen {
        let doubtful = self.several != 0 || self.escapes.any_true();
        if doubtful {
            return Seen(DOUBTFUL);
        }
        let begun = self.place > 0 && (self.begun != 0 || self.begins.any_true());
        Seen(if begun { self.place | BEHIND_BRACE } else { self.place })
    }

    #[inline(always)]
    fn is(&self, bytes: u8x32<S>, byte: u8) -> mask8x32<S> {
        bytes.simd_eq(u8x32::splat(self.simd, byte))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, byte by byte.
    fn plainly(text: &[u8]) -> Seen {
        let pairs: Vec<usize> =
            (1..text.len()).filter(|at| text[at - 1..].starts_with(b"xp")).collect();
        let seen = match *pairs {
            _ if text.len() <= BLOCK || text[..text.len() - 1].contains(&b'\\') => DOUBTFUL,
            [] => 0,
            [only] => {
                let begun = text[..only].contains(&b'{');
                u64::try_from(only).unwrap() | if begun { BEHIND_BRACE } else { 0 }
            }
            _ => DOUBTFUL,
        };
        Seen(seen)
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
            #[cfg(any(feature = "saml", feature = "service"))]
            for level in crate::blocks::every_level() {
                prop_assert_eq!(dispatch!(level, simd => look_with(simd, &text)), expected);
            }
        }
    }
}
