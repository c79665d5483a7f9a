//! Tokens that any of several labels may have made: the header says which of them are asked, and adds none.

use super::header::Header;
use super::jwe::{self, Decrypted};
use super::jws::{self, Verified, VerifyOptions};
use super::{not_decrypted, not_verified};
use crate::alg::Operation;
use crate::error::{Error, Result};
use crate::ops::{Asked, KeySet};

/// Checks a compact token against several sets: those that [`asked`] says, in order. Which of them held comes with it,
/// and nothing is recorded: there may be more layers.
///
/// # Errors
/// Those of [`jws::verify`], of the set that was asked last.
pub(crate) fn verify<'s>(
    sets: &[Asked<'s>],
    token: &str,
    options: &VerifyOptions<'_>,
) -> Result<(Asked<'s>, Verified)> {
    first(sets, token, Operation::Sign, not_verified, |set| jws::verify_unseen(set, token, options))
}

/// Opens a compact token with several sets, as [`verify`] does.
///
/// # Errors
/// Those of [`jwe::decrypt`], of the set that was asked last.
pub(crate) fn decrypt<'s>(sets: &[Asked<'s>], token: &str) -> Result<(Asked<'s>, Decrypted)> {
    first(sets, token, Operation::KeyManagement, not_decrypted, |set| {
        jwe::decrypt_unseen(set, token)
    })
}

fn first<'s, T>(
    sets: &[Asked<'s>],
    token: &str,
    operation: Operation,
    refuse: fn(&'static str) -> Error,
    act: impl Fn(&KeySet) -> Result<T>,
) -> Result<(Asked<'s>, T)> {
    let held = |one: &Asked<'s>| Ok((*one, act(one.set())?));
    let Some(any) = sets.first() else { return Err(refuse("no label is asked")) };
    if sets.len() == 1 {
        return held(any);
    }
    // What is too large is refused before anything is decoded.
    if token.len() > any.set().policy().limits.max_token_bytes {
        return Err(refuse("the token is larger than its bound"));
    }
    let protected = token.split('.').next().unwrap_or_default();
    let header = Header::protected(protected, any.set()).map_err(refuse)?;
    let (name, kid) =
        (header.required("alg").map_err(refuse)?, header.text("kid").map_err(refuse)?);
    let mut last = refuse("no label that is asked allows the algorithm");
    for set in asked(sets, name, kid, operation) {
        match held(set) {
            Ok(found) => return Ok(found),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Which sets are asked for a token, in order: the one that knows its kid alone, else each that allows its algorithm.
pub(crate) fn asked<'a, 's>(
    sets: &'a [Asked<'s>],
    algorithm: &str,
    kid: Option<&str>,
    operation: Operation,
) -> impl Iterator<Item = &'a Asked<'s>> {
    let allows = move |one: &&Asked<'_>| one.set().find_allowed(algorithm, operation).is_some();
    let knows = |one: &&Asked<'_>| kid.is_some_and(|kid| one.set().named(kid).is_some());
    let named = sets.iter().filter(knows).find(allows);
    sets.iter()
        .filter(allows)
        .filter(move |one| named.is_none_or(|named| std::ptr::eq(named, *one)))
}
