//! Where the quotation marks of a plain JSON object stand, by masks of 64 bytes.

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, u8x64};

use crate::blocks::{BLOCK, is};

/// The places of the quotation marks, in `places`; `None` if it has no room for them, if anything is escaped or an object within,
/// and if a character is there that no text between quotation marks has (RFC 8259 §7).
#[inline]
pub(super) fn quotation_marks<'p>(text: &[u8], places: &'p mut [usize]) -> Option<&'p [usize]> {
    let count = dispatch!(Level::new(), simd => look_with(simd, text, places))?;
    places.get(..count)
}

// What runs with wider instructions has to be inlined where they are switched on.
#[inline(always)]
fn look_with<S: Simd>(simd: S, text: &[u8], places: &mut [usize]) -> Option<usize> {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    let mut found = Found { places, count: 0, at: 0 };
    for block in blocks {
        found.add(simd, block)?;
    }
    if !rest.is_empty() {
        let mut last = [b' '; BLOCK];
        last.get_mut(..rest.len())?.copy_from_slice(rest);
        found.add(simd, &last)?;
    }
    Some(found.count)
}

struct Found<'p> {
    places: &'p mut [usize],
    count: usize,
    /// Where the block begins.
    at: usize,
}

impl Found<'_> {
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, block: &[u8; BLOCK]) -> Option<()> {
        let block = u8x64::from_slice(simd, block);
        let is = |byte| is(simd, block, byte);
        let control = block.simd_lt(u8x64::splat(simd, b' '));
        if (is(b'{') | is(b'\\') | control).any_true() {
            return None;
        }
        let mut marks = is(b'"').to_bitmask();
        while marks != 0 {
            let place = self.places.get_mut(self.count)?;
            *place = self.at + usize::try_from(marks.trailing_zeros()).ok()?;
            self.count += 1;
            marks &= marks - 1;
        }
        self.at += BLOCK;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::blocks::every_level;

    /// The same, byte by byte.
    fn plainly(text: &[u8], room: usize) -> Option<Vec<usize>> {
        let marks: Vec<usize> = (0..text.len()).filter(|at| text[*at] == b'"').collect();
        let plain = !text.iter().any(|byte| b"\\{".contains(byte) || *byte < b' ');
        (plain && marks.len() <= room).then_some(marks)
    }

    proptest! {
        #[test]
        fn blocks_show_what_bytes_show(
            text in "[a ]{0,200}",
            marks in prop::collection::vec((0..200_usize, prop::sample::select(vec![b'"', b'"', b'"', b'{', b'}', b'[', b'\\', b'\n', 0x1f, 0x7f])), 0..9),
            room in 0..9_usize,
        ) {
            let mut text = text.into_bytes();
            for (at, mark) in marks {
                if let Some(place) = text.get_mut(at) {
                    *place = mark;
                }
            }
            let expected = plainly(&text, room);
            let mut places = vec![0; room];
            prop_assert_eq!(quotation_marks(&text, &mut places).map(<[usize]>::to_vec), expected.clone());
            for level in every_level() {
                let count = dispatch!(level, simd => look_with(simd, &text, &mut places));
                prop_assert_eq!(count, expected.as_ref().map(Vec::len));
            }
        }
    }
}
