//! What `sign`, `verify`, `encrypt` and `decrypt` share.

use std::sync::Arc;

use claviger::error::Result;
use claviger::jose::Serialization;
use claviger::keyring::Keyring;
use claviger::ops::KeySet;

use super::Context;

/// The keys of a label as the realm of the command sees them.
pub(crate) fn keys(context: &Context, label: &str) -> Result<Arc<KeySet>> {
    let keyring = Keyring::open_once(&context.config)?;
    match &context.realm {
        Some(realm) => keyring.realm(realm)?.label(label)?.keys(),
        None => keyring.label(label)?.keys(),
    }
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
