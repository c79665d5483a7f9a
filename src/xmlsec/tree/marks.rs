//! One look at every byte of a text: where names end, where markup, values and texts may, and whether every
//! character is one that XML has (XML 1.0 §2.2).
//!
//! Blocks of 64 bytes become masks of 64 bits, with the widest instructions that the processor has; the reader
//! then goes from bit to bit instead of from byte to byte.

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, mask8x64, u8x64};
use memchr::memmem;

use super::{NONE, wide};
use crate::blocks::{BLOCK, is};

/// A bit for each byte, the lowest for the first. Behind the text stand spaces.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Block {
    /// Anything but what may stand in an ASCII name without a colon.
    not_in_name: u64,
    /// `<`, `>`, `&`, `"` and what stands before the space in ASCII: tabs and line feeds.
    marks: u64,
}

/// What one look at a text shows.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    blocks: Vec<Block>,
    /// Something stands before the space in ASCII, white or not.
    pub(crate) control: bool,
    beyond_ascii: bool,
}

impl Seen {
    /// Looks at `text`.
    pub(crate) fn of(text: &str) -> Self {
        dispatch!(Level::new(), simd => look_with(simd, text.as_bytes()))
    }

    /// Whether `text`, which this was seen of, has only characters that XML has, be it as a reference.
    pub(super) fn are_characters(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        // Without short cuts, so that the compiler looks at many bytes at once.
        let white = |byte: u8| (byte == b'\t') | (byte == b'\n') | (byte == b'\r');
        let refused = |some: bool, byte: &u8| some | ((*byte < b' ') & !white(*byte));
        let no_character = |one: &[u8; 3]| memmem::find(bytes, one).is_some();
        // U+FFFE and U+FFFF; UTF-8 has no surrogates.
        let none = || no_character(b"\xef\xbf\xbe") || no_character(b"\xef\xbf\xbf");
        !(self.control && bytes.iter().fold(false, refused) || self.beyond_ascii && none())
    }

    pub(super) fn marks(&self) -> Marks<'_> {
        Marks { blocks: &self.blocks }
    }
}

/// Where the bytes of a text are that a reader stops at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks<'b> {
    blocks: &'b [Block],
}

impl Marks<'_> {
    /// The first byte at `from` or behind it that stands in no ASCII name without a colon; maybe where the text
    /// ends.
    #[inline(always)]
    pub(super) fn name_end(self, from: u32) -> u32 {
        self.next(from, |block| block.not_in_name)
    }

    /// The first `<`, `>`, `&`, `"`, tab or line feed at `from` or behind it; no place in the text if there is
    /// none.
    #[inline(always)]
    pub(super) fn mark(self, from: u32) -> u32 {
        self.next(from, |block| block.marks)
    }

    #[inline(always)]
    fn next(self, from: u32, bits: impl Fn(&Block) -> u64) -> u32 {
        let (mut index, shift) = (from / 64, from % 64);
        let Some(here) = self.blocks.get(wide(index)) else { return NONE };
        let found = bits(here) >> shift;
        if found != 0 {
            return from + found.trailing_zeros();
        }
        loop {
            index += 1;
            let Some(block) = self.blocks.get(wide(index)) else { return NONE };
            if bits(block) != 0 {
                return index * 64 + bits(block).trailing_zeros();
            }
        }
    }
}

// What runs with wider instructions has to be inlined where they are switched on.
#[inline(always)]
fn look_with<S: Simd>(simd: S, text: &[u8]) -> Seen {
    let (whole, rest) = text.as_chunks::<BLOCK>();
    let mut last = [b' '; BLOCK];
    if let Some(part) = last.get_mut(..rest.len()) {
        part.copy_from_slice(rest);
    }
    let mut look = Look { simd, control: 0, all: u8x64::splat(simd, 0) };
    let mut blocks = vec![Block::default(); whole.len() + 1];
    let mut free = blocks.iter_mut();
    for (block, free) in whole.iter().zip(&mut free) {
        *free = look.at(block);
    }
    if let Some(free) = free.next() {
        *free = look.at(&last);
    }
    let beyond_ascii = look.all.simd_ge(u8x64::splat(simd, 0x80)).to_bitmask() != 0;
    Seen { blocks, control: look.control != 0, beyond_ascii }
}

struct Look<S: Simd> {
    simd: S,
    control: u64,
    /// Every bit that some byte has.
    all: u8x64<S>,
}

impl<S: Simd> Look<S> {
    #[inline(always)]
    fn at(&mut self, block: &[u8; BLOCK]) -> Block {
        let simd = self.simd;
        let bytes = u8x64::from_slice(simd, block);
        self.all |= bytes;
        let control = bytes.simd_lt(u8x64::splat(simd, b' '));
        self.control |= control.to_bitmask();
        // With their third bit `"` is `&`, with their second `<` is `>`.
        let marks = control
            | is(simd, bytes | u8x64::splat(simd, 4), b'&')
            | is(simd, bytes | u8x64::splat(simd, 2), b'>');
        // With its sixth bit a letter is a small one. From `-` to `9` stand `-`, `.`, `/` and the digits.
        let letter = is_of(simd, bytes | u8x64::splat(simd, 0x20), b'a', 26);
        let other = is_of(simd, bytes, b'-', 13) & !is(simd, bytes, b'/');
        let in_name = letter | other | is(simd, bytes, b'_');
        Block { not_in_name: !in_name.to_bitmask(), marks: marks.to_bitmask() }
    }
}

/// Whether it is one of `count` bytes from `first` on.
#[inline(always)]
fn is_of<S: Simd>(simd: S, bytes: u8x64<S>, first: u8, count: u8) -> mask8x64<S> {
    (bytes - u8x64::splat(simd, first)).simd_lt(u8x64::splat(simd, count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::blocks::every_level;
    use crate::xmlsec::tree::chars::is_character;

    /// Blocks show what bytes show, from wherever one looks.
    fn compare(text: &str) {
        let look = |level| dispatch!(level, simd => look_with(simd, text.as_bytes()));
        let mut ways: Vec<_> = every_level().into_iter().map(look).collect();
        ways.dedup();
        assert_eq!(ways.len(), 1, "{text:?}");
        let seen = Seen::of(text);
        let are_characters = text.chars().all(is_character);
        assert_eq!(seen.are_characters(text), are_characters, "{text:?}");
        if !are_characters {
            return;
        }
        let marks = seen.marks();
        let bytes = text.as_bytes();
        for from in 0..=bytes.len() {
            let plainly = |stops: fn(u8) -> bool| {
                bytes.iter().skip(from).position(|byte| stops(*byte)).map(|at| from + at)
            };
            let there = |at: u32| Some(wide(at)).filter(|at| *at < bytes.len());
            let ends = |byte: u8| !(byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
            let from = u32::try_from(from).unwrap();
            assert_eq!(there(marks.name_end(from)), plainly(ends), "{text:?} from {from}");
            let marked = |byte: u8| b"<>&\"\t\n\r".contains(&byte);
            assert_eq!(there(marks.mark(from)), plainly(marked), "{text:?} from {from}");
        }
    }

    /// Every byte that stands alone and the borders of UTF-8, on each side of the borders of blocks.
    #[test]
    fn each_character_is_seen_wherever_it_stands() {
        let ascii = (0..128).map(char::from);
        let others = "\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fdd0}\u{fffd}\u{fffe}\u{ffff}\u{10000}\u{1fffe}\u{10ffff}";
        for one in ascii.chain(others.chars()) {
            for (before, behind) in [
                (0, 0),
                (0, 1),
                (60, 0),
                (61, 9),
                (62, 2),
                (63, 0),
                (63, 1),
                (63, 64),
                (64, 0),
                (127, 3),
            ] {
                compare(&format!("{}{one}{}", "a".repeat(before), " ".repeat(behind)));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn blocks_show_what_bytes_show(
            parts in prop::collection::vec(prop_oneof![
                "[a-zA-Z_:.0-9-]{0,70}",
                "[ -~]{0,9}",
                "[\t\n <>&\"'/=\\]!?-]{0,5}",
                "\\PC{0,5}",
                "[\u{0}\u{8}\u{b}\u{1f}\u{7f}\r\u{fffe}\u{ffff}]{0,1}",
            ], 0..8),
        ) {
            compare(&parts.concat());
        }
    }
}
