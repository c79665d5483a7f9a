//! Memory that one request frees and the next one uses.

/// As large as this a block may be that is kept; no thread keeps more than two.
const KEPT: usize = 4 << 20;

/// Has the allocator of glibc keep what requests free. It gives the end of a heap back to the system as soon as 128 KiB of
/// it are free, and every batch would have to get its pages anew; and it takes the largest block that it was ever given
/// back for what a program frees and needs again (mallopt(3), `M_MMAP_THRESHOLD`). Other allocators see a short-lived block.
pub(super) fn keep() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT)));
}
