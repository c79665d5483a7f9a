//! The kid of a key in a label: explicit, of its own JWK, or made as `keyring.kid` says.

use crate::catalogue::LabelUse;
use crate::config::KidMode;
use crate::crypto::Key;
use crate::label::Alias;

/// The kid under which tokens of a label name `key`.
pub(crate) fn kid_of(mode: KidMode, alias: &Alias, key: &Key, uses: &[LabelUse]) -> String {
    match mode {
        KidMode::Alias => alias.to_string(),
        KidMode::Rfc7638 => key.thumbprint().to_owned(),
        KidMode::Am => {
            let encrypts =
                uses.iter().any(|one| matches!(one, LabelUse::Encrypt | LabelUse::Decrypt));
            let usage = if encrypts { "enc" } else { "sig" };
            match key.am_kid(alias.as_str(), usage) {
                Some(kid) => kid,
                // The stable id of a symmetric secret in AM is its alias; for Edwards curves AM's
                // formula is not known.
                None if key.spki().is_none() => alias.to_string(),
                None => key.thumbprint().to_owned(),
            }
        }
    }
}
