//! Metadata: ours written from labels, a peer's read for its keys, roles and preferences.

mod read;
pub(super) mod times;
mod write;

pub use read::{EncryptionMethod, PeerMetadata, PeerRecipient, PeerRole};
pub use write::{
    Endpoint, KeyDescriptorOptions, MetadataOptions, PublishedEncryption, key_descriptors,
    missing_service, write,
};
