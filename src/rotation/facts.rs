//! What is told of labels and keys to programs: what stands behind them, what each key made, what is gone.

use serde::Serialize;

use super::life::time;
use super::{GoneKey, KeyLife, Lives, Phase};
use crate::alg::Algorithm;
use crate::clock::rfc3339;
use crate::crypto::Role;
use crate::jose::jwk;
use crate::keyring::keyset::{KeySet, LabelKey};
use crate::label::{Alias, LabelName, Realm, StoreName};
use crate::usage::{Act, Doubt, Horizon, KeyReport};

/// A label as one scope has it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "service", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LabelFacts {
    /// The label.
    #[cfg_attr(feature = "service", schemars(with = "String"))]
    pub label: LabelName,
    /// The realm; absent: global.
    #[cfg_attr(feature = "service", schemars(with = "Option<String>"))]
    pub realm: Option<Realm>,
    /// What it is for.
    #[serde(rename = "use")]
    pub uses: Vec<&'static str>,
    /// The alias that acts.
    #[cfg_attr(feature = "service", schemars(with = "String"))]
    pub active: Alias,
    /// The algorithms that fit it, in order of preference.
    pub algorithms: Vec<&'static str>,
    /// Every valid alias, the active one first.
    pub aliases: Vec<AliasFacts>,
    /// Keys that left it, the last one first.
    pub gone: Vec<GoneFacts>,
}

/// One key of a label.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "service", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AliasFacts {
    /// Its alias.
    #[cfg_attr(feature = "service", schemars(with = "String"))]
    pub alias: Alias,
    /// Its store.
    #[cfg_attr(feature = "service", schemars(with = "String"))]
    pub store: StoreName,
    /// The realm of that store; absent: global.
    #[cfg_attr(feature = "service", schemars(with = "Option<String>"))]
    pub realm: Option<Realm>,
    /// How tokens name it; absent of passwords, which could be guessed from what is derived from them.
    pub kid: Option<String>,
    /// What kind of key it is.
    pub key: String,
    /// When its certificate ends, in RFC 3339.
    pub expires: Option<String>,
    /// Where it is in its life.
    #[serde(flatten)]
    pub life: LifeFacts,
}

/// Where a key is in its life, and until when something that it made may be alive. Times are in RFC 3339.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "service", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LifeFacts {
    /// What was done with it.
    #[serde(flatten)]
    pub uses: UseFacts,
    /// Where it is.
    #[cfg_attr(feature = "service", schemars(with = "String"))]
    pub phase: Phase,
    /// Until when something that it made may be alive.
    pub horizon: Option<String>,
    /// Whether it can be proved when it may go.
    pub provable: bool,
    /// Why not.
    pub not_provable_because: Option<&'static str>,
    /// From when on it may go; absent: at once.
    pub safe_after: Option<String>,
}

/// A key that left its label.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "service", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct GoneFacts {
    /// What was done with it.
    #[serde(flatten)]
    pub uses: UseFacts,
    /// The alias that it had.
    #[cfg_attr(feature = "service", schemars(with = "String"))]
    pub alias: Alias,
    /// Retired or revoked.
    #[cfg_attr(feature = "service", schemars(with = "String"))]
    pub phase: Phase,
    /// When it left, in RFC 3339.
    pub since: String,
}

/// What was done with a key. Times are in RFC 3339.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "service", derive(schemars::JsonSchema))]
#[expect(missing_docs, reason = "counts and times by what was done")]
#[non_exhaustive]
pub struct UseFacts {
    /// Since when uses are recorded; absent: they are not.
    pub recorded_since: Option<String>,
    /// Whether a restart keeps them.
    pub durable: bool,
    pub signed: u64,
    pub encrypted: u64,
    pub verified: u64,
    pub decrypted: u64,
    pub last_signed: Option<String>,
    pub last_encrypted: Option<String>,
    pub last_verified: Option<String>,
    pub last_decrypted: Option<String>,
    /// How many messages were encrypted with random nonces.
    pub messages: u64,
    /// How many of them are safe.
    pub message_limit: u64,
}

impl Lives {
    /// Everything of a label in one scope.
    #[must_use]
    pub fn facts(&self, set: &KeySet, realm: Option<&Realm>) -> LabelFacts {
        let alias = |key: &LabelKey| AliasFacts {
            alias: key.alias.clone(),
            store: key.store.clone(),
            realm: key.realm.clone(),
            kid: set.shown_kid(key).map(str::to_owned),
            key: key.key.kind().to_string(),
            expires: jwk::certificate_expiry(key),
            life: LifeFacts::of(&self.of_key(set, key)),
        };
        LabelFacts {
            label: set.label().clone(),
            realm: realm.cloned(),
            uses: set.uses().iter().map(|one| one.name()).collect(),
            active: set.active().alias.clone(),
            algorithms: fitting(set).into_iter().map(|row| row.name).collect(),
            aliases: set.keys().iter().map(|key| alias(key)).collect(),
            gone: self.gone(set.label(), realm).iter().map(GoneFacts::of).collect(),
        }
    }
}

/// The algorithms of a label that fit its active key.
#[must_use]
pub fn fitting(set: &KeySet) -> Vec<&'static Algorithm> {
    let active = set.active();
    let fits = |row: &&'static Algorithm| {
        set.fits(active, row, Role::Verify) || set.fits(active, row, Role::Encrypt)
    };
    set.algorithms().iter().copied().filter(fits).collect()
}

impl LifeFacts {
    fn of(life: &KeyLife) -> Self {
        let horizon = match life.horizon {
            Horizon::Until(end) => Some(shown(end)),
            Horizon::Nothing | Horizon::Unknown(_) => None,
        };
        Self {
            uses: UseFacts::of(&life.report),
            phase: life.phase,
            horizon,
            provable: life.safe_after.is_ok(),
            not_provable_because: life.safe_after.err().map(Doubt::code),
            safe_after: life.safe_after.ok().flatten().map(rfc3339),
        }
    }
}

impl GoneFacts {
    fn of(gone: &GoneKey) -> Self {
        Self {
            uses: UseFacts::of(&gone.report),
            alias: gone.alias.clone(),
            phase: gone.phase,
            since: rfc3339(gone.since),
        }
    }
}

impl UseFacts {
    fn of(report: &KeyReport) -> Self {
        let last = |act| report.last(act).map(shown);
        Self {
            recorded_since: report.recorded_since.map(shown),
            durable: report.durable,
            signed: report.count(Act::Signed),
            encrypted: report.count(Act::Encrypted),
            verified: report.count(Act::Verified),
            decrypted: report.count(Act::Decrypted),
            last_signed: last(Act::Signed),
            last_encrypted: last(Act::Encrypted),
            last_verified: last(Act::Verified),
            last_decrypted: last(Act::Decrypted),
            messages: report.messages,
            message_limit: report.message_limit,
        }
    }
}

fn shown(seconds: u64) -> String {
    rfc3339(time(seconds))
}
