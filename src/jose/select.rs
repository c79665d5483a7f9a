//! Tokens that any of several labels may have made: the header says which of them are asked, and adds none.

use super::header::Header;
use super::jwe::{self, Decrypted};
use super::jws::{self, Verified, VerifyOptions};
use super::{not_decrypted, not_verified};
use crate::alg::Operation;
use crate::error::{Error, Result};
use crate::ops::KeySet;

/// Checks a compact token against several sets: the one that knows its kid alone, else each that allows its
/// algorithm, in order.
///
/// # Errors
/// Those of [`jws::verify`], of the set that was asked last.
pub fn verify(sets: &[&KeySet], token: &str, options: &VerifyOptions<'_>) -> Result<Verified> {
    first(sets, token, Operation::Sign, not_verified, |set| jws::verify(set, token, options))
}

/// Opens a compact token with several sets, chosen as [`verify`] does.
///
/// # Errors
/// Those of [`jwe::decrypt`], of the set that was asked last.
pub fn decrypt(sets: &[&KeySet], token: &str) -> Result<Decrypted> {
    first(sets, token, Operation::KeyManagement, not_decrypted, |set| jwe::decrypt(set, token))
}

fn first<T>(
    sets: &[&KeySet],
    token: &str,
    operation: Operation,
    refuse: fn(&'static str) -> Error,
    act: impl Fn(&KeySet) -> Result<T>,
) -> Result<T> {
    let Some(any) = sets.first() else { return Err(refuse("no label is asked")) };
    if sets.len() == 1 {
        return act(any);
    }
    // What is too large is refused before anything is decoded.
    if token.len() > any.policy().limits.max_token_bytes {
        return Err(refuse("the token is larger than its bound"));
    }
    let protected = token.split('.').next().unwrap_or_default();
    let header = Header::protected(protected, any).map_err(refuse)?;
    let (name, kid) =
        (header.required("alg").map_err(refuse)?, header.text("kid").map_err(refuse)?);
    let admitting = || sets.iter().filter(|set| set.find_allowed(name, operation).is_some());
    if let Some(kid) = kid
        && let Some(set) = admitting().find(|set| set.named(kid).is_some())
    {
        return act(set);
    }
    let mut last = refuse("no label that is asked allows the algorithm");
    for set in admitting() {
        match act(set) {
            Ok(found) => return Ok(found),
            Err(error) => last = error,
        }
    }
    Err(last)
}
