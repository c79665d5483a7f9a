//! Tokens that count once: who remembers them, and for how long.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::rules::{Claims, text};
use crate::crypto::sha256;
use crate::error::Result;
use crate::jose::claims::date;
use crate::profiles::{refused, refused_by};

/// Remembers the tokens that were seen. It is asked last, once everything else about a token holds, so that nobody can
/// use up the id of somebody else.
///
/// A token is told by its issuer and `jti`, never by its text: of an ECDSA signature another one can be made that
/// verifies too.
pub trait ReplayGuard {
    /// Remembers a use; whether it is the first. Several processes must share one memory.
    ///
    /// # Errors
    /// What keeps it from knowing; the token is then not accepted.
    fn is_first(&self, token: &JtiUse<'_>) -> Result<bool>;
}

/// The use of a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct JtiUse<'t> {
    /// Who made it.
    pub issuer: &'t str,
    /// Its id, of this issuer.
    pub jti: &'t str,
    /// Until when it must be remembered: from then on the token has expired, whatever clocks say.
    pub until: SystemTime,
}

impl<'t> JtiUse<'t> {
    /// What tells the token from every other one, of a size that no issuer chooses: SHA-256 of issuer and id, as a JSON
    /// array.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(serde_json::json!([self.issuer, self.jti]).to_string().as_bytes())
    }

    /// That of a token whose `iss`, `jti` and `exp` were found to be there.
    pub(super) fn of(claims: &'t Claims, skew: Duration) -> Result<Self> {
        let issuer = text(claims, "iss").ok_or_else(|| refused("iss is missing"))?;
        let jti = text(claims, "jti").ok_or_else(|| refused("jti is missing"))?;
        if jti.is_empty() {
            return Err(refused("jti is empty"));
        }
        let exp =
            date(claims, "exp").map_err(refused_by)?.ok_or_else(|| refused("exp is missing"))?;
        let exp = Duration::try_from_secs_f64(exp.ceil()).ok();
        let end = exp.and_then(|exp| UNIX_EPOCH.checked_add(exp)?.checked_add(skew));
        Ok(Self { issuer, jti, until: end.ok_or_else(|| refused("exp is no time"))? })
    }

    /// Refuses a second use.
    pub(super) fn first(&self, guard: &dyn ReplayGuard) -> Result<()> {
        if guard.is_first(self)? { Ok(()) } else { Err(refused("the token was used before")) }
    }
}

impl<F: Fn(&JtiUse<'_>) -> Result<bool>> ReplayGuard for F {
    fn is_first(&self, token: &JtiUse<'_>) -> Result<bool> {
        self(token)
    }
}

/// Remembers nothing: for callers who know otherwise that a token comes once.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has no parts")]
pub struct NoReplayCheck;

impl ReplayGuard for NoReplayCheck {
    fn is_first(&self, _: &JtiUse<'_>) -> Result<bool> {
        Ok(true)
    }
}

impl fmt::Debug for dyn ReplayGuard + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplayGuard")
    }
}
