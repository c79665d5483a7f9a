//! How often callers may ask, and addresses fail: the generic cell rate algorithm (ITU-T I.371), a number for each.
//!
//! An address that fails too often is not even looked at before it may fail again: its guesses are bounded, right ones
//! too. Callers that the TLS handshake proved have nothing to guess and are let through.
//!
//! Not by the crate `governor`: it cannot look without taking, and its tables of keys have no bound.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;

use super::Problem;
use super::listen::PeerAddress;
use crate::config::Rate;
use crate::label::CallerName;

/// How many callers and addresses are known at once; each is some dozens of bytes.
const MOST: usize = 65_536;

/// Who asked, and who failed.
#[derive(Debug)]
pub(super) struct Rates {
    start: Instant,
    callers: Mutex<HashMap<(CallerName, Option<Network>), Duration>>,
    failures: Mutex<HashMap<Network, Duration>>,
}

/// One IPv4 address, or the 64 bits that one customer has of IPv6 (RFC 6177).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Network(u64);

impl Network {
    /// `None` on this machine, by Unix socket: the mode of the socket says who may.
    fn of(address: PeerAddress) -> Option<Self> {
        match address {
            PeerAddress::Tcp(address) => Some(match address.ip().to_canonical() {
                // Multicast begins with these bits: nobody calls from there (RFC 4291 §2.7).
                IpAddr::V4(address) => Self(0xff00_0000_0000_0000 | u64::from(address.to_bits())),
                IpAddr::V6(address) => {
                    Self(u64::try_from(address.to_bits() >> 64).unwrap_or_default())
                }
            }),
            PeerAddress::Unix(_) => None,
        }
    }
}

impl Rates {
    pub(super) fn new() -> Self {
        let (callers, failures) = (Mutex::default(), Mutex::default());
        Self { start: Instant::now(), callers, failures }
    }

    /// Whether an address may show a credential now.
    ///
    /// # Errors
    /// 429 while it failed too often.
    pub(super) fn look_at(&self, address: PeerAddress, rate: Option<Rate>) -> Result<(), Problem> {
        let (Some(rate), Some(network)) = (rate, Network::of(address)) else { return Ok(()) };
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = failures.get(&network).copied() else { return Ok(()) };
        drop(failures);
        let told = "this address failed too often to prove who it is";
        step(next, self.start.elapsed(), rate).map(drop).map_err(|wait| limited(told, wait))
    }

    /// Counts that an address proved nobody.
    pub(super) fn failed(&self, address: PeerAddress, rate: Option<Rate>) {
        let (Some(rate), Some(network)) = (rate, Network::of(address)) else { return };
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        // Others of the same address may have come between: it has to wait in any case.
        let _ = take(&mut failures, network, self.start.elapsed(), rate);
    }

    /// Counts a request of a caller; of the anonymous one by address.
    ///
    /// # Errors
    /// 429 if it asks too often.
    pub(super) fn ask(
        &self,
        caller: &CallerName,
        anonymous: Option<PeerAddress>,
        rate: Option<Rate>,
    ) -> Result<(), Problem> {
        let Some(rate) = rate else { return Ok(()) };
        let key = (caller.clone(), anonymous.and_then(Network::of));
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let told = "the caller asks too often";
        take(&mut callers, key, self.start.elapsed(), rate).map_err(|wait| limited(told, wait))
    }
}

/// Takes one, if there is one. Kept is when all would be there again.
fn take<K: Eq + Hash>(
    all: &mut HashMap<K, Duration>,
    key: K,
    now: Duration,
    rate: Rate,
) -> Result<(), Duration> {
    if let Some(next) = all.get_mut(&key) {
        *next = step(*next, now, rate)?;
        return Ok(());
    }
    if all.len() >= MOST {
        all.retain(|_, next| *next > now);
        // So many at once are no callers of ours. Who is forgotten begins anew, and memory has an end.
        if all.len() > MOST / 2 {
            all.clear();
        }
    }
    all.insert(key, step(Duration::ZERO, now, rate)?);
    Ok(())
}

/// When all are there again after one more, or how long to wait for that one.
fn step(next: Duration, now: Duration, rate: Rate) -> Result<Duration, Duration> {
    let one = Duration::from_secs(1) / rate.per_second.max(1);
    let after = next.max(now) + one;
    match after.saturating_sub(now).checked_sub(one * rate.burst.max(1)) {
        Some(wait) if !wait.is_zero() => Err(wait),
        _ => Ok(after),
    }
}

fn limited(text: &'static str, wait: Duration) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", text)
        .with_help("wait as long as Retry-After says; [service.rate_limits] has the bounds")
        .with_retry_after(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_is_let_through_and_then_one_for_each_interval() {
        let mut all = HashMap::new();
        let mut take = |millis| take(&mut all, "portal", at(millis), RATE);
        assert_eq!([take(0), take(0), take(0)], [Ok(()); 3]);
        assert_eq!(take(0), Err(at(100)));
        assert_eq!(take(60), Err(at(40)));
        assert_eq!(take(100), Ok(()));
        assert_eq!(take(100), Err(at(100)));
        // After a rest there is a whole burst again, and no more.
        assert_eq!([take(9_000), take(9_000), take(9_000)], [Ok(()); 3]);
        assert_eq!(take(9_000), Err(at(100)));
        // Who waits as long as it was told is let in.
        assert_eq!(take(9_100), Ok(()));
    }

    #[test]
    fn in_the_long_run_no_more_are_let_through_than_the_rate_says() {
        let mut all = HashMap::new();
        let let_through =
            (0..10_000).filter(|millis| take(&mut all, (), at(*millis), RATE).is_ok()).count();
        assert_eq!(let_through, 3 + 99);
    }

    #[test]
    fn memory_has_an_end_whoever_asks() {
        let mut all = HashMap::new();
        for number in 0..3 * MOST {
            take(&mut all, number, at(0), RATE).unwrap();
            assert!(all.len() <= MOST);
        }
        // Those that have rested make room for others.
        let mut all: HashMap<usize, Duration> = (0..MOST).map(|one| (one, at(50))).collect();
        all.insert(0, at(5_000));
        take(&mut all, MOST, at(100), RATE).unwrap();
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn addresses_are_told_apart_by_what_one_customer_has() {
        let of = |text: &str| Network::of(PeerAddress::Tcp(text.parse().unwrap()));
        assert_eq!(of("192.0.2.1:1"), of("[::ffff:192.0.2.1]:2"));
        assert_ne!(of("192.0.2.1:1"), of("192.0.2.2:1"));
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::ffff:1]:1"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
        assert_eq!(Network::of(PeerAddress::Unix(None)), None);
    }
}
