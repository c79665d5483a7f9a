//! The time of day: the one place that reads the system's clock, and a clock that tests set.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Where the present comes from; cheap to clone.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Given(Arc<dyn Fn() -> SystemTime + Send + Sync>),
    System,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that answers what `now` returns.
    pub fn from_fn(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Source::Given(Arc::new(now)))
    }

    /// The present.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn now(&self) -> SystemTime {
        match &self.0 {
            Source::Given(now) => now(),
            Source::System => SystemTime::now(),
        }
    }

    /// The present in whole seconds since 1970, at the price of a few nanoseconds: the second may be some
    /// milliseconds late.
    #[must_use]
    pub fn coarse_secs(&self) -> u64 {
        match &self.0 {
            Source::Given(now) => {
                now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
            }
            Source::System => {
                u64::try_from(clock_gettime(ClockId::RealtimeCoarse).tv_sec).unwrap_or(0)
            }
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
