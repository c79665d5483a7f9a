//! Tools for key files: look inside, make, and convert. Bytes in, facts or bytes out; only `replace` does IO.

mod append;
mod authority;
mod inspect;
mod make;
mod replace;

pub use authority::{Issued, private_authority};
pub use inspect::{
    CertificateDescription, EntryDescription, EntryProblem, Inspection, OpenOptions, inspect,
};
pub use make::{
    Change, GenerateOptions, Skipped, delete, export, generate_file, generate_into, import,
    is_text_keystore,
};
pub use replace::{FolderLock, create_file, lock_folder, replace_file};

/// The largest container that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 16 << 20;
