//! Blocks of 64 bytes, which are looked at at once with the widest instructions that the processor has.

use fearless_simd::prelude::*;
use fearless_simd::{Simd, mask8x64, u8x64};

/// Bytes of a block: a bit of a `u64` for each.
pub(crate) const BLOCK: usize = 64;

/// Where a block has such a byte.
// What runs with wider instructions has to be inlined where they are switched on.
#[inline(always)]
pub(crate) fn is<S: Simd>(simd: S, bytes: u8x64<S>, byte: u8) -> mask8x64<S> {
    bytes.simd_eq(u8x64::splat(simd, byte))
}

/// Every kind of instructions that this processor has, for tests of what is done with all of them.
#[cfg(test)]
pub(crate) fn every_level() -> Vec<fearless_simd::Level> {
    let widest = fearless_simd::Level::new();
    let mut all = vec![widest];
    #[cfg(target_arch = "x86_64")]
    {
        all.extend(widest.as_sse2().map(Simd::level));
        all.extend(widest.as_sse4_2().map(Simd::level));
        all.extend(widest.as_avx2().map(Simd::level));
        all.extend(widest.as_avx512().map(Simd::level));
    }
    all
}
