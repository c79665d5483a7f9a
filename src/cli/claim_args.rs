//! `--claims`: what is asked of the claims of a token that verified.

use std::time::{Duration, SystemTime};

use claviger::config::TokenLimits;
use claviger::error::Result;
use claviger::jose::claims::{self, ClaimRules};
use claviger::jose::jws::Verified;
use serde_json::Value;

#[derive(Debug, clap::Args)]
pub(crate) struct ClaimArgs {
    /// Check the JWT claims exp, nbf and iat too
    #[arg(long)]
    pub(crate) claims: bool,
    /// The issuer that the claims must name
    #[arg(long, requires = "claims")]
    issuer: Option<String>,
    /// The audience that the claims must name
    #[arg(long, requires = "claims")]
    audience: Option<String>,
    /// How far clocks may differ, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0, requires = "claims")]
    skew: u32,
    /// A claim that must be there; may be repeated
    #[arg(long, value_name = "NAME", requires = "claims")]
    require: Vec<String>,
}

impl ClaimArgs {
    /// The claims, if they are asked for, as they must be at a time.
    pub(crate) fn check(
        &self,
        limits: &TokenLimits,
        verified: &Verified,
        time: SystemTime,
    ) -> Result<Option<Value>> {
        if !self.claims {
            return Ok(None);
        }
        let required: Vec<&str> = self.require.iter().map(String::as_str).collect();
        let rules = ClaimRules {
            issuer: self.issuer.as_deref(),
            audience: self.audience.as_deref(),
            skew: Duration::from_secs(self.skew.into()),
            required: &required,
            max_json_depth: limits.max_json_depth,
            ..ClaimRules::default()
        };
        Ok(Some(Value::Object(claims::check(&verified.payload, &rules, time)?)))
    }
}
