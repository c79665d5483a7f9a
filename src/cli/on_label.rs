//! What `sign`, `verify`, `encrypt` and `decrypt` share.

use std::sync::Arc;

use claviger::alg::Hash;
use claviger::error::Result;
use claviger::jose::Serialization;
use claviger::ops::{GivenDigest, KeySet};

use super::Context;

/// The keys of a label as the realm of the command sees them.
pub(crate) fn keys(context: &Context, label: &str) -> Result<Arc<KeySet>> {
    let keyring = context.open()?;
    let label = match &context.realm {
        Some(realm) => keyring.realm(realm)?.label(label)?,
        None => keyring.label(label)?,
    };
    label.keys()
}

/// A hash whose digests are signed.
pub(crate) fn hash(text: &str) -> Result<Hash, String> {
    let hash = Hash::from_name(text).filter(|hash| GivenDigest::HASHES.contains(hash));
    hash.ok_or_else(|| {
        let names: Vec<&str> = GivenDigest::HASHES.iter().map(|hash| hash.name()).collect();
        format!("use one of {}", names.join(", "))
    })
}

/// How a token is written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Form {
    // Parts between dots.
    Compact,
    // JSON with one signature or recipient.
    Flattened,
    // JSON with a list of them.
    General,
}

impl From<Form> for Serialization {
    fn from(form: Form) -> Self {
        match form {
            Form::Compact => Self::Compact,
            Form::Flattened => Self::Flattened,
            Form::General => Self::General,
        }
    }
}
