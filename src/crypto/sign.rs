//! Signs and verifies bytes with one key and one algorithm row.

use crate::alg::Algorithm;
use crate::crypto::Key;
use crate::error::{Error, ErrorKind, Result};

/// Appends the signature of `message` to `out` (JOSE form: ECDSA as `r‖s`).
///
/// # Errors
/// [`ErrorKind::KeyUnfit`] if the key does not fit the row.
pub fn sign(_key: &Key, _algorithm: &Algorithm, _message: &[u8], _out: &mut Vec<u8>) -> Result<()> {
    Err(Error::new(ErrorKind::Unsupported, "pending"))
}

/// Checks `signature` over `message`.
///
/// # Errors
/// [`ErrorKind::NotVerified`], whatever the reason.
pub fn verify(
    _key: &Key,
    _algorithm: &Algorithm,
    _message: &[u8],
    _signature: &[u8],
) -> Result<()> {
    Err(Error::new(ErrorKind::Unsupported, "pending"))
}
