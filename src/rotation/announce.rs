//! Announce before use: how long a key must have been known before it may act, and how long a key set may be
//! cached so that this holds.

use std::time::{Duration, SystemTime};

use crate::catalogue::{LabelUse, Publish};
use crate::clock;
use crate::config::{Config, Policy};
use crate::journal::{History, MappedKey, Span, stay};
use crate::keyring::keyset::KeySet;
use crate::label::{LabelName, Realm};

/// Since when a key is known, and when everybody knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Announcement {
    /// Since when it has stood in its mapping without a break, under the same kid.
    pub since: SystemTime,
    /// Whether it stood there before the journal began; `since` is then when it was first seen.
    pub first_seen: bool,
    /// From when on it may act.
    pub ready: Ready,
}

/// When a key may act.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Ready {
    /// From this time on.
    At(SystemTime),
    /// Nobody knows: `reload` is off and `propagation` not set.
    ReloadUnknown,
    /// Never by waiting: the key set shows the active key alone.
    Unpublished,
}

/// How long a published key set may be cached at `now`, in whole seconds: the policy's time, and never past
/// `next_step`, the next planned step of what it shows.
#[must_use]
pub fn max_age(policy: &Policy, now: SystemTime, next_step: Option<SystemTime>) -> Duration {
    let left = next_step.and_then(|step| step.duration_since(now).ok());
    let bound = left.map_or(policy.jwks_max_age, |left| left.min(policy.jwks_max_age));
    Duration::from_secs(bound.as_secs())
}

/// What is known of a key in its mapping; `None`: it does not stand there.
pub(super) fn announcement(
    config: &Config,
    set: &KeySet,
    history: &History,
    (label, realm): (&LabelName, Option<&Realm>),
    key: &MappedKey,
    now: SystemTime,
) -> Option<Announcement> {
    let spans = history.spans(label, realm, key, now);
    let first = start_of_run(&spans, key)?;
    let (since, first_seen) = (first.from, first.first_seen);
    // What acted when the journal began was known then.
    let ready = if first_seen && first.active {
        Ready::At(since)
    } else {
        ready(config, set, history, since, now)
    };
    Some(Announcement { since, first_seen, ready })
}

/// Where the unbroken run of spans that still lasts begins.
fn start_of_run<'s>(spans: &'s [Span], key: &MappedKey) -> Option<&'s Span> {
    let same = |span: &&Span| span.key.kid == key.kid && span.key.published == key.published;
    stay(spans).take_while(same).last()
}

/// When everybody knows a key that has been known since `since`.
pub(super) fn ready(
    config: &Config,
    set: &KeySet,
    history: &History,
    since: SystemTime,
    now: SystemTime,
) -> Ready {
    if let Some(propagation) = propagation(config, set.label()) {
        return Ready::At(since + propagation);
    }
    let Some(noticed) = noticed(config, history, since, now) else {
        return Ready::ReloadUnknown;
    };
    if !peers_must_know(set) {
        return Ready::At(since + noticed);
    }
    match set.policy().publish {
        // What shows it is the metadata of its provider.
        Publish::None if is_in_metadata(set) => {
            Ready::At(caches_end(config, history, since, now) + noticed)
        }
        Publish::Active => Ready::Unpublished,
        Publish::None => Ready::At(since + noticed),
        Publish::All => Ready::At(caches_end(config, history, since, now) + noticed),
    }
}

/// How long it takes until every process has noticed a change of `since`; `None`: nobody knows.
fn noticed(
    config: &Config,
    history: &History,
    since: SystemTime,
    now: SystemTime,
) -> Option<Duration> {
    let reload = config.keyring.reload.noticed_within()?;
    // Processes that were told to look less often do so until they have noticed that as well.
    let mut noticed = longest(since + reload, history.reloads(now), since);
    // Since when they do so is not known of those that nobody recorded until they were found.
    for (found, secs) in history.longer_waits(now) {
        noticed = noticed.max(clock::later(found.min(since), Duration::from_secs(secs)));
    }
    // What was refused is loaded by the next look once it is not.
    if let Some((_, until)) = behind(history, since, reload) {
        noticed = noticed.max(until + reload);
    }
    Some(noticed.duration_since(since).unwrap_or(reload) + config.policy.clock_skew)
}

/// When every process has loaded what a mapping of a label has had since `since`; `None`: nobody knows.
pub(super) fn loaded_by(
    config: &Config,
    label: &LabelName,
    history: &History,
    since: SystemTime,
    now: SystemTime,
) -> Option<SystemTime> {
    let after = noticed(config, history, since, now).or_else(|| propagation(config, label))?;
    Some(since + after)
}

/// From when until when a process is known not to have loaded a key that came at `since`, where that is waited for.
pub(super) fn missed(
    config: &Config,
    set: &KeySet,
    history: &History,
    since: SystemTime,
) -> Option<(SystemTime, SystemTime)> {
    let reload = config.keyring.reload.noticed_within()?;
    behind(history, since, reload).filter(|_| propagation(config, set.label()).is_none())
}

fn behind(
    history: &History,
    since: SystemTime,
    reload: Duration,
) -> Option<(SystemTime, SystemTime)> {
    let missed =
        history.behind().filter(|(from, until)| *from <= since + reload && since <= *until);
    missed.max_by_key(|(_, until)| *until)
}

/// When the last peer has forgotten a key that was shown until `end`: metadata that peers take by hand live as long
/// as `propagation` says.
pub(super) fn forgotten(
    config: &Config,
    set: &KeySet,
    history: &History,
    end: SystemTime,
    now: SystemTime,
) -> SystemTime {
    let cached = caches_end(config, history, end, now);
    if is_in_metadata(set) { cached.max(end + told_by_hand(config, set)) } else { cached }
}

/// How long it takes until peers know of a change that no cache tells them of, as far as `propagation` says.
pub(super) fn told_by_hand(config: &Config, set: &KeySet) -> Duration {
    propagation(config, set.label()).unwrap_or_default()
}

fn propagation(config: &Config, label: &LabelName) -> Option<Duration> {
    let own = config.labels.get(label).and_then(|label| label.value.propagation);
    own.or(config.policy.propagation)
}

/// Whether SAML metadata shows keys of the label: every one that signs or stands before TLS, and of those that peers
/// encrypt to the active one, or with `publish = "all"` every one.
pub(super) fn is_in_metadata(set: &KeySet) -> bool {
    let spec = crate::catalogue::find(set.label()).map(|found| found.spec);
    spec.is_some_and(|spec| spec.section == "saml2" && !spec.name.contains("metadata"))
        && set.keys().iter().any(|key| key.key.public_parameters().is_some())
}

/// Whether peers learn from a key set or metadata whom to believe: keys that sign, and client certificates in
/// metadata. Who encrypts to an old key is understood as long as it is mapped.
fn peers_must_know(set: &KeySet) -> bool {
    let is_client = set.uses().contains(&LabelUse::Mtls) && is_in_metadata(set);
    (set.uses().contains(&LabelUse::Sign) || is_client)
        && set.keys().iter().any(|key| key.key.public_parameters().is_some())
}

/// When the last key set has expired that was fetched before `since`: each setting of `jwks_max_age` counts
/// until the next one, so lowering it does not shorten what was served.
fn caches_end(
    config: &Config,
    history: &History,
    since: SystemTime,
    now: SystemTime,
) -> SystemTime {
    longest(since + config.policy.jwks_max_age, history.max_ages(now), since)
}

/// The latest of `latest` and of what each setting before `since` allows: it counts until the next one.
pub(super) fn longest(
    mut latest: SystemTime,
    settings: impl Iterator<Item = (SystemTime, u64)>,
    since: SystemTime,
) -> SystemTime {
    let settings: Vec<(SystemTime, u64)> = settings.collect();
    for (index, (from, seconds)) in settings.iter().enumerate() {
        if *from > since {
            break;
        }
        let until = settings.get(index + 1).map_or(since, |(next, _)| (*next).min(since));
        latest = latest.max(clock::later(until, Duration::from_secs(*seconds)));
    }
    latest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_never_outlive_the_next_step() {
        let policy = Policy::default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let age = |next: Option<u64>| {
            max_age(&policy, now, next.map(|next| now + Duration::from_millis(next))).as_secs()
        };
        assert_eq!((age(None), age(Some(10_000)), age(Some(1_999))), (3_600, 10, 1));
        // A step that is due already bounds nothing any more.
        assert_eq!(max_age(&policy, now, Some(now - Duration::from_secs(1))).as_secs(), 3_600);
    }
}
