//! Keys and what is done with them; private material never leaves this folder.

mod agreement;
pub mod certificate;
pub mod cipher;
mod client_secret;
mod content;
mod foreign;
pub mod generate;
mod given_digest;
mod hash;
pub mod issue;
mod key;
pub mod material;
pub mod oaep;
mod prepared;
pub mod random;
mod registered_subject;
mod roca;
mod rsa15;
pub mod sign;
mod small_order;
mod subject;
mod tag;
mod tdes;
pub mod unserved;
pub mod value;

pub use given_digest::{GivenDigest, sign_digest_into, verify_digest};
pub(crate) use hash::Digest;
pub use hash::{digest, sha1, sha256};
pub use key::{Key, KeyKind, OctType, PublicParameters, Role, WeakKey};
pub use registered_subject::{RegisteredSubject, SubjectPlace};
pub use subject::DistinguishedName;
pub use tag::{Tag, Tagger};
