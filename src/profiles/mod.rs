//! What a product means by a message: labels and rules over the keys of a keyring, and no cryptography.
//!
//! Every token of a profile names its kind in `typ`, in each of its headers (RFC 8725 §3.11), so that no kind
//! is taken for another even where two labels share a key. Where a standard has none, as for ID tokens, every typ
//! but `JWT` is refused, and the claims tell the kinds apart. What is wrong with a token is one error to the
//! outside, [`crate::error::ErrorKind::TokenRefused`]; the reason is the error's source, for logs.

mod accepted;
mod choice;
mod claims;
mod denied_file;
mod denylist;
mod forms;
pub mod journey;
pub mod jwks;
mod kind;
mod members;
pub mod oidc;
mod parts;
#[cfg(feature = "saml")]
pub mod saml;
pub mod session;
mod times;

use std::error::Error as _;

use crate::error::{Error, ErrorKind};

pub use accepted::Accepted;
pub use choice::Choice;
pub use denied_file::DeniedFile;
pub use denylist::{DeniedIds, Denylist};
pub use forms::{TokenForm, forms};
pub use parts::{Form, Parts, Typ, Unsealed, open, seal};
use parts::{open_asked, seal_claims};
pub use times::{TimeRules, Times};

/// The one error of a token that a profile does not accept; `reason` is for logs, and quotes no claim.
pub(crate) fn refused(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::TokenRefused, "the token is not accepted").with_source(reason.into())
}

/// The same of what a layer below refused: its own reason becomes ours. Failures that are no verdict on the
/// token stay what they are.
pub(crate) fn refused_by(error: Error) -> Error {
    let verdict = matches!(
        error.kind(),
        ErrorKind::ClaimsRejected
            | ErrorKind::Malformed
            | ErrorKind::NotDecrypted
            | ErrorKind::NotVerified
    );
    if !verdict {
        return error;
    }
    let reason = error.source().map_or_else(
        || error.message().to_owned(),
        |source| format!("{}: {source}", error.message()),
    );
    refused(reason)
}
