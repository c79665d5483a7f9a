//! The key sets of those who issue tokens to callers: fetched beside the runtime, one request an issuer at a time.
//!
//! A key set outlives snapshots, as long as the configuration names it: a reload every second would otherwise ask
//! issuers every second, and an outage of theirs would become ours with the next reload. What it may be used for is
//! asked of each snapshot anew.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::identity::Gate;
use super::slots::Slot;
use super::{Problem, Service};
use crate::access::{Credential, KeySetUrl, TokenKeys};
use crate::config::{Config, Policy, TokenLimits, UnknownKid};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::{KeySet, PeerRules};
use crate::remote::{RemoteKeys, RemoteOptions, Roots};

/// All of them.
#[derive(Default)]
pub(crate) struct Issuers(Mutex<Vec<Arc<Issuer>>>);

/// One, under the rules that hold for it.
struct Issuer {
    url: KeySetUrl,
    limits: TokenLimits,
    min_rsa_bits: usize,
    keys: RemoteKeys,
    /// Who waits for an answer, without a slot: those are for others meanwhile.
    waiting: Semaphore,
    /// One waits in a thread, the others for that one. It is the thread's: whoever asked may go away meanwhile.
    turn: Arc<Semaphore>,
}

/// Requests that wait for one issuer at once.
const WAITING: usize = 128;

impl Issuers {
    /// The keys of an issuer, fetched if the kid that a token names is not among them.
    ///
    /// # Errors
    /// 503 if they cannot be had now, or all slots are taken once they are there; an error within if they can never be
    /// had.
    pub(super) async fn keys(
        &self,
        gate: Gate<'_>,
        url: &KeySetUrl,
        kid: Option<String>,
        slot: &mut Slot<'_>,
    ) -> Result<Result<Arc<KeySet>>, Problem> {
        let issuer = match self.find(gate.service, gate.snapshot.config(), url) {
            Ok(issuer) => issuer,
            Err(error) => return Ok(Err(error)),
        };
        let answer = match issuer.keys.at_hand(kid.as_deref()) {
            Some(answer) => answer,
            None => slot.without(issuer.wait(kid)).await?,
        };
        match answer {
            Err(error) if error.kind() == ErrorKind::StoreUnavailable => {
                log::warn!("callers whose tokens {} signs cannot be told: {error}", url.url);
                Err(unavailable())
            }
            answer => Ok(answer),
        }
    }

    fn find(&self, service: &Service, config: &Config, url: &KeySetUrl) -> Result<Arc<Issuer>> {
        let Policy { limits, min_rsa_bits, .. } = &config.policy;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |one: &&Arc<Issuer>| {
            one.url == *url && one.min_rsa_bits == *min_rsa_bits && one.limits == *limits
        };
        if let Some(found) = all.iter().find(is_it) {
            return Ok(Arc::clone(found));
        }
        // One that is new, or under new rules: a configuration was loaded.
        all.retain(|one| names(config, &one.url));
        let issuer = Arc::new(Issuer {
            keys: RemoteKeys::new(&url.url, rules(&config.policy, url)?, options(service, url)?)?,
            url: url.clone(),
            limits: limits.clone(),
            min_rsa_bits: *min_rsa_bits,
            waiting: Semaphore::new(WAITING),
            turn: Arc::new(Semaphore::new(1)),
        });
        all.push(Arc::clone(&issuer));
        Ok(issuer)
    }
}

impl Issuer {
    /// As [`RemoteKeys::keys_for`], in a thread of its own.
    async fn wait(self: Arc<Self>, kid: Option<String>) -> Result<Arc<KeySet>> {
        let busy = |why: &str| Error::new(ErrorKind::StoreUnavailable, why.to_owned());
        let _place = self.waiting.try_acquire().map_err(|_| busy("too many wait for it"))?;
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        let turn = turn.map_err(|_| busy("the service ends"))?;
        // Who had the turn before may have brought what is asked for.
        if let Some(answer) = self.keys.at_hand(kid.as_deref()) {
            return answer;
        }
        let keys = self.keys.clone();
        let fetched = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            match kid {
                Some(kid) => keys.keys_for(&kid),
                None => keys.keys(),
            }
        });
        fetched.await.unwrap_or_else(|_| Err(busy("the service ends")))
    }
}

fn unavailable() -> Problem {
    let text = "the keys that sign this token cannot be had now";
    Problem::new(hyper::StatusCode::SERVICE_UNAVAILABLE, "issuer_unavailable", text)
        .with_retry_after(1)
}

/// Whether a caller's tokens are signed by the keys behind this URL.
fn names(config: &Config, url: &KeySetUrl) -> bool {
    config.access.callers().iter().any(|caller| match &caller.credential {
        Credential::Token(rule) => matches!(&rule.keys, TokenKeys::Url(one) if one == url),
        _ => false,
    })
}

fn rules(policy: &Policy, url: &KeySetUrl) -> Result<PeerRules> {
    let names: Vec<&str> = url.algorithms.iter().map(|row| row.name).collect();
    let mut rules = PeerRules::verify(&names)?.under(policy);
    // Who names a kid means it: a stranger is not to cost a try with every key.
    rules.policy.unknown_kid = UnknownKid::Reject;
    Ok(rules)
}

fn options(service: &Service, url: &KeySetUrl) -> Result<RemoteOptions> {
    let roots = match &url.roots {
        Some(label) => Roots::Label(service.0.keyring.label(label.as_str())?),
        None => Roots::System,
    };
    Ok(RemoteOptions { roots, clock: service.0.clock.clone(), ..RemoteOptions::default() })
}
