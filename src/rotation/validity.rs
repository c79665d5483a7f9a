//! How long a document that shows the keys of labels holds, such as SAML metadata: until a key acts that it
//! does not show, or a key goes that it tells others to encrypt to.

use std::time::{Duration, SystemTime};

use super::{Rotation, announce};
use crate::catalogue::Publish;
use crate::clock;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::Action;
use crate::keyring::keyset::KeySet;
use crate::label::{LabelName, Realm};

/// How far ahead schedules are looked at.
const AHEAD: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How long a published document holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Validity {
    /// How long it may be kept before it is fetched again.
    pub cache: Duration,
    /// When it stops being true; `None`: no schedule says.
    pub until: Option<SystemTime>,
}

/// The keys of a label that a document tells others to encrypt to.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "one or all")]
pub enum EncryptTo<'s> {
    /// The active one, or with `publish = "all"` every one.
    Active(&'s KeySet),
    /// Every one.
    All(&'s KeySet),
}

impl<'s> EncryptTo<'s> {
    const fn set(self) -> &'s KeySet {
        match self {
            Self::Active(set) | Self::All(set) => set,
        }
    }

    fn shows(self, alias: &str) -> bool {
        let set = self.set();
        let all = matches!(self, Self::All(_)) || set.policy().publish == Publish::All;
        let count = if all { set.keys().len() } else { 1 };
        set.keys().iter().take(count).any(|key| key.alias.as_str() == alias)
    }
}

impl Rotation {
    /// How long a key set of these labels may be cached now, as a realm sees them: the policy's time, or a shorter one
    /// that the journal knows, and never
    /// past the next planned step of any of them, by hand (a staged key that may act) or by schedule.
    /// For `Cache-Control: max-age`, in whole seconds.
    #[must_use]
    pub fn max_age<'l>(
        &self,
        labels: impl IntoIterator<Item = &'l LabelName>,
        realm: Option<&Realm>,
    ) -> Duration {
        let next = labels.into_iter().filter_map(|label| self.next_step(label, realm)).min();
        self.known_age(announce::max_age(&self.keyring.config().policy, self.now(), next))
    }

    /// As long as the journal says that key sets are cached, at most: by that keys are promoted, and a longer time that
    /// nobody recorded would outlive a promotion once it is short again.
    #[must_use]
    pub fn known_age(&self, age: Duration) -> Duration {
        self.caches.map_or(age, |caches| age.min(caches))
    }

    /// How long a document holds that shows every key of `verify` and those of `encrypt`.
    #[must_use]
    pub fn validity(
        &self,
        verify: &[&KeySet],
        encrypt: Option<EncryptTo<'_>>,
        realm: Option<&Realm>,
    ) -> Validity {
        let (config, now) = (self.keyring.config(), self.now());
        let shown = verify.iter().copied().chain(encrypt.map(EncryptTo::set)).map(KeySet::label);
        let cache = self.max_age(shown, realm);
        let ahead = self.ahead(now + AHEAD);
        let ends = |set: &KeySet, action: Action, ends: &dyn Fn(&str) -> bool| {
            let sees = |of: &Option<Realm>| of.is_none() || of.as_ref() == realm;
            ahead
                .iter()
                .filter(|step| step.mapping.label == *set.label() && sees(&step.mapping.realm))
                .filter(|step| step.action == action && ends(step.alias.as_str()))
                .find_map(super::Scheduled::time)
        };
        let new_acts = verify.iter().filter_map(|set| {
            let known = |alias: &str| set.keys().iter().any(|key| key.alias.as_str() == alias);
            ends(set, Action::Promote, &|alias| !known(alias))
        });
        let leaves =
            encrypt.and_then(|to| ends(to.set(), Action::Retire, &|alias| to.shows(alias)));
        // Who reads it has a clock of its own.
        let until = new_acts.chain(leaves).min();
        let until = until.and_then(|until| until.checked_sub(config.policy.clock_skew));
        Validity { cache, until }
    }

    /// As [`Rotation::validity`], and not beyond `wanted`: what a document says of itself that is written now.
    ///
    /// # Errors
    /// [`ErrorKind::StepRefused`] if a step of a schedule is due now.
    pub fn validity_until(
        &self,
        verify: &[&KeySet],
        encrypt: Option<EncryptTo<'_>>,
        realm: Option<&Realm>,
        wanted: Option<SystemTime>,
    ) -> Result<Validity> {
        let (validity, now) = (self.validity(verify, encrypt, realm), self.now());
        // As documents write it, so that what is told is what they say.
        let whole = |until| clock::from_unix(clock::to_unix(until));
        let until = [wanted, validity.until].into_iter().flatten().min().map(whole);
        if until.is_some_and(|until| until <= now) {
            let text = "a step of a schedule is due now: what is written would be old";
            return Err(Error::new(ErrorKind::StepRefused, text).with_help("claviger rotate --due"));
        }
        let left = until.and_then(|until| until.duration_since(now).ok());
        let cache = left.map_or(validity.cache, |left| left.min(validity.cache));
        // A duration of 0 makes peers ask without end.
        Ok(Validity { cache: cache.max(Duration::from_secs(1)), until })
    }
}
