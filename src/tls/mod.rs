//! TLS with the keys and certificates of labels and of files, for rustls: identities that sign handshakes, and trust anchors.
//!
//! Everything follows reloads: a new handshake uses the active alias and the anchors of its moment, and
//! connections that run go on; [`Admitted`] tells whether the client of one still would be let in. A private key
//! never leaves `crypto/`.

mod admitted;
mod any_client;
pub mod client_auth;
mod files;
mod handshake;
mod identity;
mod signatures;
mod trust;

pub use admitted::{Admission, Admitted};
pub use any_client::AnyClient;
pub use files::{FileAnchors, FileIdentity};
pub use identity::Identity;
pub use trust::{ClientTrust, ServerTrust};

use crate::catalogue::LabelUse;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::Label;

/// # Errors
/// [`ErrorKind::WrongUse`] for a label that is for something else.
fn require(label: &Label, needed: LabelUse) -> Result<()> {
    if label.keys()?.uses().contains(&needed) {
        return Ok(());
    }
    let text = format!("label \"{}\" is not for {}", label.name(), needed.name());
    Err(Error::new(ErrorKind::WrongUse, text)
        .with_help(format!("a label of your own: [labels.\"…\"] use = \"{}\"", needed.name())))
}
