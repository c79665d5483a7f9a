//! Passwords from files and environment variables.

use std::env::VarError;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;
use crate::stores::PasswordSource;
use crate::stores::content::Content;
use crate::stores::files::{take, unreadable};

/// A password file is no larger.
pub(super) const MAX_BYTES: usize = 64 << 10;

/// Reads an `env` or `file` source. A label is resolved by the keyring, which knows the other stores.
///
/// # Errors
/// [`ErrorKind::StoreUnreadable`] if the file or variable is not there or is empty.
pub fn read(source: &PasswordSource) -> Result<SecretBytes> {
    match source {
        PasswordSource::Env(name) => {
            let shown = name.escape_debug();
            let refused = |why: &str| {
                let text = format!("the variable \"{shown}\" {why}");
                Error::new(ErrorKind::StoreUnreadable, text)
                    .with_help(format!("export {shown}=… before you start"))
            };
            match std::env::var(name) {
                Ok(value) if value.is_empty() => Err(refused("is empty")),
                Ok(value) => Ok(SecretBytes::from_vec(value.into_bytes())),
                Err(VarError::NotPresent) => Err(refused("is not set")),
                Err(VarError::NotUnicode(_)) => Err(refused("is not UTF-8")),
            }
        }
        PasswordSource::File(path) => of_file(path, take(path, MAX_BYTES)?.bytes.expose_secret()),
        PasswordSource::Label(label) => Err(Error::new(
            ErrorKind::UnknownLabel,
            format!("the password label \"{label}\" needs a keyring"),
        )),
    }
}

/// The password in a file that was read.
pub(crate) fn of_content(path: &Path, content: &Content) -> Result<SecretBytes> {
    let part = content.parts.first();
    let part = part.ok_or_else(|| Error::new(ErrorKind::Bug, "a password file without content"))?;
    // EXPOSE: into another owner that wipes itself.
    of_file(path, part.bytes()?.expose_secret())
}

fn of_file(path: &Path, bytes: &[u8]) -> Result<SecretBytes> {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let text =
        if text.len() < bytes.len() { text.strip_suffix(b"\r").unwrap_or(text) } else { text };
    if text.is_empty() {
        return Err(unreadable(path, "it is empty"));
    }
    Ok(SecretBytes::from_slice(text))
}

/// Drops one `\n` or `\r\n` at the end; whether there was one.
pub(super) fn trim_newline(bytes: &mut Vec<u8>) -> bool {
    if bytes.last() != Some(&b'\n') {
        return false;
    }
    bytes.pop();
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    true
}
