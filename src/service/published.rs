//! Key sets that are published, rendered once a snapshot; and when the next step of what they show comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::call::Call;
use crate::config::Config;
use crate::crypto::sha256;
use crate::error::Result;
use crate::jose::jwks::{Extent, document};
use crate::label::{LabelName, Realm};
use crate::profiles::jwks::Party;
use crate::rotation::Rotation;
use crate::rotation::announce::max_age;

/// What is published.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Which {
    /// What one label publishes.
    Label(LabelName),
    /// The labels of a party.
    Party(Party),
}

/// A key set, ready to be sent.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) json: Bytes,
    /// With its quotation marks.
    pub(crate) etag: String,
    /// When something of it may change, in seconds since 1970; absent: nothing is planned.
    next: Option<u64>,
}

impl Published {
    /// For how many seconds it may be kept.
    pub(crate) fn max_age(&self, now: u64, config: &Config) -> u64 {
        let time = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        max_age(&config.policy, time(now), self.next.map(time)).as_secs()
    }
}

/// The key sets of one snapshot, by what they are and the realm that sees them.
#[derive(Debug, Default)]
pub(crate) struct KeySets(Mutex<Rendered>);

#[derive(Debug, Default)]
struct Rendered {
    generation: u64,
    sets: HashMap<(Which, Option<Realm>), Arc<Published>>,
}

/// As long as nobody can tell when the next step comes.
const UNKNOWN: Duration = Duration::from_secs(60);

impl KeySets {
    /// The key set as the realm of a call sees it. Who comes first renders it, and others wait for that.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::UnknownLabel`].
    pub(crate) fn get(&self, call: &Call<'_>, which: Which) -> Result<Arc<Published>> {
        // Realms that have no store of their own all see the same.
        let config = call.snapshot.config();
        let has_stores =
            |realm: &&Realm| config.stores.iter().any(|one| one.realm.as_ref() == Some(*realm));
        let realm = call.realm.as_ref().filter(has_stores);
        let now = seconds(call.service.0.clock.now());
        let mut rendered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rendered.generation != call.snapshot.generation() {
            let generation = call.snapshot.generation();
            *rendered = Rendered { generation, sets: HashMap::new() };
        }
        let name = (which, realm.cloned());
        if let Some(found) = rendered.sets.get(&name)
            && found.next.is_none_or(|next| next > now)
        {
            return Ok(Arc::clone(found));
        }
        let fresh = Arc::new(render(call, &name.0, realm)?);
        rendered.sets.insert(name, Arc::clone(&fresh));
        Ok(fresh)
    }
}

fn render(call: &Call<'_>, which: &Which, realm: Option<&Realm>) -> Result<Published> {
    let snapshot = &call.snapshot;
    let labels = match which {
        Which::Label(label) => vec![label.clone()],
        Which::Party(party) => party.labels(snapshot, realm),
    };
    let sets =
        labels.iter().map(|label| snapshot.keys(realm, label)).collect::<Result<Vec<_>>>()?;
    let alg = snapshot.config().policy.jwks_alg;
    let json = document(sets.into_iter().map(|set| &**set), Extent::Published, alg).to_string();
    let digest = sha256(json.as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let (etag, next) = (format!("\"{hex}\""), next_step(call, &labels, realm));
    Ok(Published { json: json.into(), etag, next })
}

/// When a staged key of these labels may act, or the next scheduled step.
fn next_step(call: &Call<'_>, labels: &[LabelName], realm: Option<&Realm>) -> Option<u64> {
    let clock = call.service.0.clock.clone();
    match Rotation::preview(&call.snapshot.config().file, clock.clone()) {
        Ok(rotation) => {
            let steps = labels.iter().filter_map(|label| rotation.next_step(label, realm));
            steps.min().map(seconds)
        }
        Err(error) => {
            log::warn!("the next step is not known: {}", error.message());
            Some(seconds(clock.now() + UNKNOWN))
        }
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
