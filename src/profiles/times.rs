//! When a token was made, when it ends, and how long nobody may have used it: `iat`, `exp`, `idle`, `seen`.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::refused;
use crate::clock::to_unix;
use crate::error::{Error, ErrorKind, Result};

/// How long tokens of a kind live.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "what a configuration says of time")]
pub struct TimeRules {
    /// From the making to the end, which nothing puts off. What is configured when a token is opened counts
    /// as well, if it is less.
    pub absolute: Duration,
    /// From the last use to the end; `None`: no such end.
    pub idle: Option<Duration>,
    /// By how much clocks may differ: a token from further ahead is refused. No end is put off by it.
    pub skew: Duration,
}

/// The times of one token, in seconds since 1970.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Times {
    /// `iat`: when it was made.
    pub issued: u64,
    /// `exp`: its absolute end; from this second on it is refused.
    pub expires: u64,
    /// `idle`: how many seconds nobody may have used it.
    pub idle: Option<u64>,
    /// `seen`: when it was used last.
    pub seen: u64,
}

impl Times {
    /// The names of the claims that hold them.
    pub const CLAIMS: [&'static str; 4] = ["iat", "exp", "idle", "seen"];

    /// Those of a token that is made at `now`.
    #[must_use]
    pub fn start(rules: &TimeRules, now: SystemTime) -> Self {
        let now = to_unix(now);
        Self {
            issued: now,
            expires: now.saturating_add(rules.absolute.as_secs()),
            idle: rules.idle.map(|idle| idle.as_secs()),
            seen: now,
        }
    }

    /// The same token, used at `now`. The absolute end stays.
    #[must_use]
    pub fn used(self, rules: &TimeRules, now: SystemTime) -> Self {
        Self {
            expires: self.end(rules),
            idle: rules.idle.map(|idle| idle.as_secs()),
            seen: to_unix(now).max(self.seen),
            ..self
        }
    }

    /// Reads them; `iat` and `exp` must be there, `seen` where `idle` is.
    ///
    /// # Errors
    /// [`ErrorKind::TokenRefused`]. A claim of a wrong type counts as wrong, not as absent (CVE-2026-25537).
    pub fn read(claims: &Map<String, Value>) -> Result<Self> {
        Self::of(|name| claims.get(name))
    }

    /// The same of claims wherever they are.
    pub(super) fn of<'c>(claim: impl Fn(&'static str) -> Option<&'c Value>) -> Result<Self> {
        let issued = required(&claim, "iat")?;
        let idle = number(&claim, "idle")?;
        let seen = if idle.is_some() { required(&claim, "seen")? } else { issued };
        Ok(Self { issued, expires: required(&claim, "exp")?, idle, seen })
    }

    /// Whether a token with these times is taken at `now`.
    ///
    /// # Errors
    /// [`ErrorKind::TokenRefused`] naming the rule.
    pub fn check(&self, rules: &TimeRules, now: SystemTime) -> Result<()> {
        let now = to_unix(now);
        let ahead = now.saturating_add(rules.skew.as_secs());
        if self.issued > ahead || self.seen > ahead {
            return Err(refused("it was made or used in the future"));
        }
        if self.seen < self.issued || self.expires < self.issued {
            return Err(refused("its times contradict each other"));
        }
        if now >= self.end(rules) {
            return Err(refused("it has expired"));
        }
        match self.idle_end(rules) {
            Some(end) if now >= end => Err(refused("nobody has used it for too long")),
            None if rules.idle.is_some() => Err(refused("it has no idle time-out")),
            _ => Ok(()),
        }
    }

    /// The absolute end under these rules.
    #[must_use]
    pub fn end(&self, rules: &TimeRules) -> u64 {
        self.expires.min(self.issued.saturating_add(rules.absolute.as_secs()))
    }

    /// When it ends unless somebody uses it.
    #[must_use]
    pub fn idle_end(&self, rules: &TimeRules) -> Option<u64> {
        let configured = rules.idle.map_or(u64::MAX, |idle| idle.as_secs());
        self.idle.map(|idle| self.seen.saturating_add(idle.min(configured)))
    }
}

fn required<'c>(
    claim: impl Fn(&'static str) -> Option<&'c Value>,
    name: &'static str,
) -> Result<u64> {
    number(claim, name)?.ok_or_else(|| refused(format!("{name} is missing")))
}

/// A NumericDate (RFC 7519 §2): whole seconds, or a fraction of them, rounded down.
fn number<'c>(
    claim: impl Fn(&'static str) -> Option<&'c Value>,
    name: &'static str,
) -> Result<Option<u64>> {
    let Some(value) = claim(name) else { return Ok(None) };
    let wrong = || refused(format!("{name} is no time"));
    if let Some(whole) = value.as_u64() {
        return Ok(Some(whole));
    }
    let whole = value.as_f64().map(Duration::try_from_secs_f64).ok_or_else(wrong)?;
    whole.map(|time| Some(time.as_secs())).map_err(|_| wrong())
}

/// After every time that a person can mean: the year 9999.
pub(super) const NEVER: u64 = 253_402_300_800;

impl TimeRules {
    /// Whether the rules can be kept.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if a time is shorter than a second, or for ever.
    pub fn validate(&self) -> Result<()> {
        let second = Duration::from_secs(1);
        if self.absolute < second || self.idle.is_some_and(|idle| idle < second) {
            return Err(Error::new(ErrorKind::Usage, "a time-out is shorter than a second"));
        }
        if self.absolute.as_secs() >= NEVER {
            return Err(Error::new(ErrorKind::Usage, "a time-out ends before the year 9999"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use std::time::UNIX_EPOCH;

    use super::*;

    const RULES: TimeRules = TimeRules {
        absolute: Duration::from_secs(100),
        idle: Some(Duration::from_secs(10)),
        skew: Duration::from_secs(5),
    };

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn why(times: &Times, rules: &TimeRules, now: u64) -> Option<String> {
        let refused = times.check(rules, at(now)).err()?;
        assert_eq!(refused.kind(), ErrorKind::TokenRefused);
        std::error::Error::source(&refused).map(ToString::to_string)
    }

    #[test]
    fn a_token_ends_with_the_second_that_its_claims_or_the_rules_name() {
        let times = Times::start(&RULES, at(1_000));
        assert_eq!((times.expires, times.idle, times.seen), (1_100, Some(10), 1_000));
        assert_eq!(why(&times, &RULES, 1_009), None);
        assert!(why(&times, &RULES, 1_010).unwrap().contains("used"));
        let used = Times { seen: 1_095, ..times };
        assert_eq!(why(&used, &RULES, 1_099), None);
        assert!(why(&used, &RULES, 1_100).unwrap().contains("expired"));
        // A shorter rule counts at once, a longer one puts nothing off.
        let rules = |absolute, idle| TimeRules {
            absolute: Duration::from_secs(absolute),
            idle: Some(Duration::from_secs(idle)),
            ..RULES
        };
        assert!(why(&times, &rules(5, 10), 1_005).unwrap().contains("expired"));
        assert!(why(&times, &rules(100, 3), 1_003).unwrap().contains("used"));
        assert!(why(&times, &rules(9_999, 9_999), 1_010).is_some());
        // Without an idle time-out of its own a token does not pass rules that ask for one.
        let endless = Times { idle: None, ..times };
        assert!(why(&endless, &RULES, 1_000).unwrap().contains("no idle"));
        assert_eq!(why(&endless, &TimeRules { idle: None, ..RULES }, 1_099), None);
        // From the future, beyond the skew.
        assert_eq!(why(&times, &RULES, 995), None);
        assert!(why(&times, &RULES, 994).unwrap().contains("future"));
        assert!(why(&Times { seen: 999, ..times }, &RULES, 1_000).unwrap().contains("contradict"));
        let last = Times::start(&TimeRules { absolute: Duration::MAX, ..RULES }, at(u64::MAX >> 2));
        assert_eq!(last.expires, u64::MAX);
    }

    #[test]
    fn a_claim_of_a_wrong_type_is_no_absent_claim() {
        for claims in [
            json!({}),
            json!({ "iat": 1 }),
            json!({ "iat": 1, "exp": "9" }),
            json!({ "iat": -1, "exp": 9 }),
            json!({ "iat": 1, "exp": 1e300 }),
            json!({ "iat": 1, "exp": null }),
            json!({ "iat": 1, "exp": 9, "idle": "3", "seen": 1 }),
            json!({ "iat": 1, "exp": 9, "idle": 3 }),
        ] {
            let refused = Times::read(claims.as_object().unwrap()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::TokenRefused, "{claims}");
        }
        let claims = json!({ "iat": 1.9, "exp": 9.0 });
        let times = Times::read(claims.as_object().unwrap()).unwrap();
        assert_eq!((times.issued, times.expires, times.seen), (1, 9, 1));
    }
}
