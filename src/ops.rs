//! The label API: handles through which tokens are made and checked, without ever holding a key.

pub use crate::keyring::keyset::{Candidates, KeySet, KeySetPolicy, LabelKey};
