//! Key sets of others, fetched over HTTPS and kept: one request at a time, stale keys through an outage, and
//! no flood of requests for unknown kids.

mod fetch;

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::jose::jws::{self, Verified, VerifyOptions};
use crate::ops::{KeySet, Label, PeerKeySet, PeerRules};
use fetch::{Answer, Source};

/// Which certificates the server is checked against.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Roots {
    /// The certificates of a label, as they are at each request.
    Label(Label),
    /// Those of the system.
    #[default]
    System,
}

/// Which addresses are connected to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "all of them, or those of the internet")]
pub enum Reach {
    /// Every one: for URLs that the operator wrote.
    #[default]
    Anywhere,
    /// None of this host, of private or link-local networks, or reserved: for URLs that strangers register.
    Internet,
}

/// How a key set is fetched and kept.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "callers change single fields of the default")]
pub struct RemoteOptions {
    /// Who may be asked.
    pub reach: Reach,
    /// Whose certificates count.
    pub roots: Roots,
    /// The shortest time for which an answer is fresh, whatever its `Cache-Control` says.
    pub min_age: Duration,
    /// The longest.
    pub max_age: Duration,
    /// How long keys serve that cannot be refreshed, counted from when they were fetched.
    pub max_stale: Duration,
    /// The time between two requests that failed, or that unknown kids caused.
    pub cool_down: Duration,
    /// The time of one request, from the name to the last byte.
    pub timeout: Duration,
    /// The largest document.
    pub max_bytes: u64,
    /// The present.
    pub clock: Clock,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            reach: Reach::default(),
            roots: Roots::default(),
            min_age: Duration::from_secs(60),
            max_age: Duration::from_secs(86_400),
            max_stale: Duration::from_secs(86_400),
            cool_down: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            max_bytes: 512 << 10,
            clock: Clock::system(),
        }
    }
}

/// How a key set stands.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct RemoteState {
    /// When the keys were last confirmed; `None`: there are none yet.
    pub fetched: Option<SystemTime>,
    /// Until when they are fresh.
    pub fresh_until: Option<SystemTime>,
    /// Why the last request failed; `None`: it did not.
    pub error: Option<String>,
    /// Requests so far.
    pub requests: u64,
}

/// The key set behind a URL. Cheap to clone; clones share what was fetched.
#[derive(Clone)]
pub struct RemoteKeys(Arc<Inner>);

struct Inner {
    source: Source,
    rules: PeerRules,
    options: RemoteOptions,
    cache: Mutex<Cache>,
    fetched: Condvar,
}

#[derive(Default)]
struct Cache {
    keys: Option<PeerKeySet>,
    etag: Option<String>,
    state: RemoteState,
    fetching: bool,
    /// When the last request began.
    asked: Option<SystemTime>,
}

/// What is kept, against what is asked for.
struct Look {
    now: SystemTime,
    /// Whether the server may be asked again.
    rested: bool,
    fresh: bool,
    /// Whether there are keys that may still be used and are what is asked for.
    suited: bool,
}

impl Look {
    /// Whether the server is to be asked.
    const fn wanted(&self) -> bool {
        !self.fresh || !self.suited
    }
}

impl RemoteKeys {
    /// Nothing is fetched yet.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a URL that is not https; http is for this host alone.
    pub fn new(url: &str, rules: PeerRules, options: RemoteOptions) -> Result<Self> {
        let source = Source::new(url)?;
        let (cache, fetched) = (Mutex::default(), Condvar::new());
        Ok(Self(Arc::new(Inner { source, rules, options, cache, fetched })))
    }

    /// Checks a compact token; a kid that is not known makes the set be fetched again, once a cool-down.
    ///
    /// # Errors
    /// Those of [`RemoteKeys::keys`] and of [`jws::verify`].
    pub fn verify(&self, token: &str, options: &VerifyOptions<'_>) -> Result<Verified> {
        let keys = self.keys()?;
        let header = jws::unverified_header(&keys, token).unwrap_or_default();
        match header.get("kid").and_then(|kid| kid.as_str()) {
            Some(kid) => jws::verify(&*self.keys_for(kid)?, token, options),
            None => jws::verify(&keys, token, options),
        }
    }

    /// The keys: those that are kept, or else fetched. Of many callers one fetches.
    ///
    /// # Errors
    /// [`ErrorKind::StoreUnavailable`] if there is none and the server gives none;
    /// [`ErrorKind::KeyUnfit`] if no key of the set can be used.
    pub fn keys(&self) -> Result<Arc<KeySet>> {
        self.keys_if(is_of_use)
    }

    /// As [`RemoteKeys::keys`], fetched again if `kid` is not among them and the cool-down is over.
    ///
    /// # Errors
    /// As [`RemoteKeys::keys`].
    pub fn keys_for(&self, kid: &str) -> Result<Arc<KeySet>> {
        self.keys_if(|keys| keys.keys().is_ok_and(|set| set.named(kid).is_some()))
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> RemoteState {
        self.cache().state.clone()
    }

    /// What [`RemoteKeys::keys`], or [`RemoteKeys::keys_for`] with a kid, answers, if neither has to wait for the
    /// server; `None` if they would. For who must not wait.
    pub fn at_hand(&self, kid: Option<&str>) -> Option<Result<Arc<KeySet>>> {
        let mut cache = self.cache();
        let look = self.look(&cache, |keys| match kid {
            Some(kid) => keys.keys().is_ok_and(|set| set.named(kid).is_some()),
            None => is_of_use(keys),
        });
        let served = !look.wanted() || if cache.fetching { look.suited } else { !look.rested };
        if served {
            self.refresh_ahead(&mut cache, &look);
        }
        served.then(|| self.serve(&cache))
    }

    fn keys_if(&self, suits: impl Fn(&PeerKeySet) -> bool) -> Result<Arc<KeySet>> {
        let mut cache = self.cache();
        let look = self.look(&cache, suits);
        if look.wanted() && cache.fetching && !look.suited {
            // Somebody fetches: its answer serves all who wait, at most for the time of a request.
            let waited =
                self.0
                    .fetched
                    .wait_timeout_while(cache, self.0.options.timeout * 2, |cache| cache.fetching);
            cache = waited.unwrap_or_else(PoisonError::into_inner).0;
        } else if look.wanted() && !cache.fetching && look.rested {
            cache = self.fetch(cache);
        } else {
            self.refresh_ahead(&mut cache, &look);
        }
        self.serve(&cache)
    }

    fn look(&self, cache: &Cache, suits: impl Fn(&PeerKeySet) -> bool) -> Look {
        let RemoteOptions { clock, max_stale, cool_down, .. } = &self.0.options;
        let now = clock.now();
        // What lies ahead was of a clock that went back since: it says nothing of when to ask again.
        let rested = cache.asked.is_none_or(|asked| asked > now || since(asked, now) >= *cool_down);
        let usable = cache.state.fetched.is_some_and(|fetched| since(fetched, now) < *max_stale);
        let is_past = cache.state.fetched.is_some_and(|fetched| fetched <= now);
        let fresh = usable && is_past && cache.state.fresh_until.is_some_and(|until| now < until);
        let suited = usable && cache.keys.as_ref().is_some_and(suits);
        Look { now, rested, fresh, suited }
    }

    /// Ahead of its end, beside whoever asks.
    fn refresh_ahead(&self, cache: &mut Cache, look: &Look) {
        if look.fresh && !cache.fetching && look.rested && self.ages(cache, look.now) {
            self.begin(cache, look.now);
            let this = self.clone();
            std::thread::spawn(move || this.complete());
        }
    }

    fn serve(&self, cache: &Cache) -> Result<Arc<KeySet>> {
        let RemoteOptions { clock, max_stale, .. } = &self.0.options;
        let usable =
            cache.state.fetched.is_some_and(|fetched| since(fetched, clock.now()) < *max_stale);
        match &cache.keys {
            Some(keys) if usable => keys.keys().cloned(),
            _ => {
                let why = cache.state.error.clone().unwrap_or_else(|| "no answer yet".into());
                let text = format!("the key set {} cannot be had", self.0.source);
                Err(Error::new(ErrorKind::StoreUnavailable, text).with_source(why))
            }
        }
    }

    /// Whether four fifths of its time are over.
    fn ages(&self, cache: &Cache, now: SystemTime) -> bool {
        let (Some(fetched), Some(until)) = (cache.state.fetched, cache.state.fresh_until) else {
            return false;
        };
        since(fetched, now) * 5 >= since(fetched, until) * 4
    }

    fn begin(&self, cache: &mut Cache, now: SystemTime) {
        cache.fetching = true;
        cache.asked = Some(now);
        cache.state.requests += 1;
    }

    /// One request of this caller's, without the lock.
    fn fetch<'c>(&'c self, mut cache: MutexGuard<'c, Cache>) -> MutexGuard<'c, Cache> {
        self.begin(&mut cache, self.0.options.clock.now());
        drop(cache);
        self.complete();
        self.cache()
    }

    fn complete(&self) {
        let etag = self.cache().etag.clone();
        let answer = self.0.source.get(etag.as_deref(), &self.0.options).and_then(|answer| {
            Ok(match answer {
                Answer::Changed { body, etag, max_age } => {
                    (Some((PeerKeySet::from_jwks(&body, &self.0.rules)?, etag)), max_age)
                }
                Answer::Unchanged { max_age } => (None, max_age),
            })
        });
        let RemoteOptions { clock, min_age, max_age, .. } = &self.0.options;
        let mut cache = self.cache();
        cache.fetching = false;
        match answer {
            Ok((changed, age)) => {
                if let Some((keys, etag)) = changed {
                    cache.keys = Some(keys);
                    cache.etag = etag;
                }
                let age = age.unwrap_or(*min_age * 5).clamp(*min_age, (*max_age).max(*min_age));
                let now = clock.now();
                cache.state.fetched = Some(now);
                cache.state.fresh_until = Some(now + age);
                cache.state.error = None;
            }
            Err(error) => {
                log::warn!("the key set {} was not fetched: {error}", self.0.source);
                cache.state.error = Some(error.to_string());
            }
        }
        drop(cache);
        self.0.fetched.notify_all();
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.0.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys")
            .field("url", &self.0.source.to_string())
            .finish_non_exhaustive()
    }
}

/// Whether a set has a key that can be used: one that has none is asked for again soon, however long it says that it lasts.
fn is_of_use(keys: &PeerKeySet) -> bool {
    keys.keys().is_ok()
}

/// The time between; none if the clock went back.
fn since(from: SystemTime, to: SystemTime) -> Duration {
    to.duration_since(from).unwrap_or_default()
}
