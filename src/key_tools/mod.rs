//! Tools for key files: look inside, make, and convert. Bytes in, facts or bytes out; no IO.

mod inspect;

pub use inspect::{
    CertificateDescription, EntryDescription, EntryProblem, Inspection, OpenOptions, inspect,
};

/// The largest container that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 16 << 20;
