//! Passwords from files and environment variables.

use crate::error::{Error, ErrorKind, Result};
use crate::secret::SecretBytes;
use crate::stores::PasswordSource;
use crate::stores::files::{read_small, unreadable};

/// A password file is no larger.
const MAX_BYTES: usize = 64 << 10;

/// Reads an `env` or `file` source. A label is resolved by the keyring, which knows the other stores.
///
/// # Errors
/// [`ErrorKind::StoreUnreadable`] if the file or variable is not there or is empty.
pub fn read(source: &PasswordSource) -> Result<SecretBytes> {
    match source {
        PasswordSource::Env(name) => {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty());
            value.map(|value| SecretBytes::from_vec(value.into_bytes())).ok_or_else(|| {
                let shown = name.escape_debug();
                Error::new(
                    ErrorKind::StoreUnreadable,
                    format!("the variable \"{shown}\" is not set"),
                )
                .with_help(format!("export {shown}=… before you start"))
            })
        }
        PasswordSource::File(path) => {
            let mut bytes = read_small(path, MAX_BYTES)?;
            trim_newline(&mut bytes);
            if bytes.is_empty() {
                return Err(unreadable(path, "it is empty"));
            }
            Ok(SecretBytes::from_vec(bytes))
        }
        PasswordSource::Label(label) => Err(Error::new(
            ErrorKind::UnknownLabel,
            format!("the password label \"{label}\" needs a keyring"),
        )),
    }
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
