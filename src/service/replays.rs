//! Tokens that count once: which were seen by this process. Each is remembered until it has ended.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::error::{Error, ErrorKind, Result};
use crate::profiles::oidc::JtiUse;

/// How many are remembered; with more that have not ended, no further one is accepted.
const MAX_TOKENS: usize = 100_000;

/// By issuer and id, until when.
#[derive(Debug, Default)]
pub(crate) struct Replays(Mutex<HashMap<(String, String), SystemTime>>);

impl Replays {
    /// Remembers a use; whether it is the first.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if too many are remembered.
    pub(crate) fn is_first(&self, token: &JtiUse<'_>, now: SystemTime) -> Result<bool> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (token.issuer.to_owned(), token.jti.to_owned());
        if seen.get(&name).is_some_and(|until| *until > now) {
            return Ok(false);
        }
        if seen.len() >= MAX_TOKENS {
            seen.retain(|_, until| *until > now);
            if seen.len() >= MAX_TOKENS {
                return Err(Error::new(ErrorKind::Busy, "too many tokens are remembered"));
            }
        }
        seen.insert(name, token.until);
        Ok(true)
    }
}
