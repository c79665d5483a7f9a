//! The time of day: the one place that reads the system's clock, a clock that tests set, and times as text.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, PrimitiveDateTime};

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
    #[inline]
    pub fn coarse_secs(&self) -> u64 {
        match &self.0 {
            Source::Given(now) => given_secs(&**now),
            Source::System => {
                u64::try_from(clock_gettime(ClockId::RealtimeCoarse).tv_sec).unwrap_or(0)
            }
        }
    }
}

// Out of line: nearly nobody gives a clock, and the stack that it takes would be paid for each time.
#[cold]
#[inline(never)]
fn given_secs(now: &dyn Fn() -> SystemTime) -> u64 {
    to_unix(now())
}

/// Milliseconds since some moment before the process began, which no one sets; some of them late, at the price of a few
/// nanoseconds.
#[cfg(feature = "service")]
pub(crate) fn coarse_millis() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    let secs = u64::try_from(now.tv_sec).unwrap_or_default();
    secs.saturating_mul(1_000) + u64::try_from(now.tv_nsec / 1_000_000).unwrap_or_default()
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// So many seconds after the beginning of 1970; what lies beyond the year 9999 is its last second, as no
/// text has a later one.
#[must_use]
pub fn from_unix(secs: u64) -> SystemTime {
    later(UNIX_EPOCH, Duration::from_secs(secs))
}

/// Whole seconds since the beginning of 1970; 0 for what lies before.
#[must_use]
pub fn to_unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A time and a duration, both from outside: no later than the last second of the year 9999.
pub(crate) fn later(time: SystemTime, by: Duration) -> SystemTime {
    let end = UNIX_EPOCH.checked_add(Duration::from_secs(LAST_SECOND)).unwrap_or(time);
    time.checked_add(by).map_or(end, |sum| sum.min(end))
}

/// The date of any time; the first or last one that there is for what lies beyond.
pub(crate) fn date_of(time: SystemTime) -> OffsetDateTime {
    let (nanos, beyond) = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => (i128::try_from(since.as_nanos()).ok(), PrimitiveDateTime::MAX),
        Err(before) => {
            let nanos = i128::try_from(before.duration().as_nanos());
            (nanos.ok().map(|nanos| -nanos), PrimitiveDateTime::MIN)
        }
    };
    nanos
        .and_then(|nanos| OffsetDateTime::from_unix_timestamp_nanos(nanos).ok())
        .unwrap_or_else(|| beyond.assume_utc())
}

/// The last second of the year 9999, since 1970.
const LAST_SECOND: u64 = 253_402_300_799;

/// A time in RFC 3339, UTC, whole seconds, rounded up: "not before" stays true.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let time = date_of(time);
    let whole = time.replace_nanosecond(0).unwrap_or(time);
    let up = whole.checked_add(time::Duration::SECOND).filter(|_| whole < time);
    let shown = up.unwrap_or(whole);
    shown.format(&Rfc3339).unwrap_or_else(|_| shown.unix_timestamp().to_string())
}

/// A time in RFC 3339, UTC, always with milliseconds: texts in order are times in order.
#[cfg(any(feature = "service", test))]
pub(crate) fn rfc3339_millis(time: SystemTime) -> String {
    let time = date_of(time);
    let mut shown = time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default();
    if shown.pop().is_some() {
        shown.push_str(&format!(".{:03}Z", time.millisecond()));
    }
    shown
}

/// A time written in RFC 3339; `None` for anything else.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}

/// A duration as people say it: "3 h 12 min".
#[must_use]
pub fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => two(minutes, "min", seconds % 60, "s"),
        (0, _, _) => two(hours, "h", minutes % 60, "min"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        return format!("{large} {large_unit}");
    }
    format!("{large} {large_unit} {small} {small_unit}")
}

/// Serializes a time as RFC 3339 text with milliseconds.
pub(crate) mod rfc3339_text {
    use serde::{Deserialize, Deserializer, Serializer, de, ser};

    use super::{Rfc3339, SystemTime, date_of, parse_rfc3339};

    pub(crate) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let time = date_of(*time);
        let millis = time.replace_millisecond(time.millisecond()).map_err(ser::Error::custom)?;
        serializer.serialize_str(&millis.format(&Rfc3339).map_err(ser::Error::custom)?)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_rfc3339(&text).ok_or_else(|| de::Error::custom("no RFC 3339 time"))
    }

    /// The same for a time that may be absent.
    pub(crate) mod optional {
        use super::{Deserialize, Deserializer, Serializer, SystemTime, de, parse_rfc3339};

        pub(crate) fn serialize<S: Serializer>(
            time: &Option<SystemTime>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<SystemTime>, D::Error> {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|text| {
                parse_rfc3339(&text).ok_or_else(|| de::Error::custom("no RFC 3339 time"))
            })
            .transpose()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_beyond_what_is_shown() {
        let last = "9999-12-31T23:59:59Z";
        for secs in [LAST_SECOND, LAST_SECOND + 1, u64::MAX >> 1, u64::MAX] {
            assert_eq!(rfc3339(from_unix(secs)), last);
        }
        let time = from_unix(7) + Duration::from_micros(40_999);
        assert_eq!(rfc3339_millis(time), "1970-01-01T00:00:07.040Z");
        assert_eq!(rfc3339_millis(from_unix(7)), "1970-01-01T00:00:07.000Z");
        assert_eq!(later(from_unix(7), Duration::from_secs(8)), from_unix(15));
        // In UTC it is in the year 10000, which has no text.
        let beyond = parse_rfc3339("9999-12-31T23:59:59-23:00").unwrap();
        assert_eq!(rfc3339(beyond), last);
        assert_eq!(later(beyond, Duration::MAX), from_unix(LAST_SECOND));
        let before = parse_rfc3339("0000-01-01T00:00:00+23:00").unwrap();
        assert_eq!(rfc3339(before), "-62167302000", "{:?}", date_of(before));
    }

    #[test]
    fn times_round_up_and_durations_are_spoken() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        assert_eq!(rfc3339(time), "1970-01-01T00:00:02Z");
        assert_eq!(parse_rfc3339("1970-01-01T00:00:02Z"), Some(time + Duration::from_millis(500)));
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (11_520, "3 h 12 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
    }
}
