//! `validUntil` and `cacheDuration`: XML Schema times in the shapes that metadata has.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock;

/// `dateTime` in UTC, whole seconds; `None` beyond the year 9999.
pub(super) fn date_time(when: SystemTime) -> Option<String> {
    let when = clock::date_of(when).replace_nanosecond(0).ok()?;
    when.format(&Rfc3339).ok()
}

/// The moment of a `dateTime` with a time zone.
pub(in crate::profiles::saml) fn parse_date_time(text: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(text.trim(), &Rfc3339).ok().map(SystemTime::from)
}

/// The same; one without a time zone is of UTC (SAML core §1.3.3).
pub(super) fn parse_in_utc(text: &str) -> Option<SystemTime> {
    parse_date_time(text).or_else(|| parse_date_time(&format!("{}Z", text.trim())))
}

/// `duration` in whole seconds.
pub(super) fn duration(span: Duration) -> String {
    format!("PT{}S", span.as_secs())
}

/// The length of a `duration` without years and months, whose length depends on the calendar; those count
/// as 365 and 30 days.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let rest = text.trim().strip_prefix('P')?;
    let (date, time) = rest.split_once('T').unwrap_or((rest, ""));
    let date = fields(date, &[('Y', 31_536_000), ('M', 2_592_000), ('W', 604_800), ('D', 86_400)])?;
    let time = fields(time, &[('H', 3_600), ('M', 60), ('S', 1)])?;
    (!rest.is_empty() && !rest.ends_with('T')).then_some(())?;
    date.checked_add(time).map(Duration::from_secs)
}

fn fields(text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut sum = 0_u64;
    let mut rest = text;
    let mut units = units.iter();
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, behind) = rest.split_at_checked(end)?;
        let unit = behind.chars().next()?;
        let (_, seconds) = units.by_ref().find(|(name, _)| *name == unit)?;
        // Fractions of a second do not matter here.
        let whole = digits.split('.').next()?.parse::<u64>().ok()?;
        sum = whole.checked_mul(*seconds).and_then(|part| sum.checked_add(part))?;
        rest = behind.get(1..)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_utc_where_they_name_no_zone() {
        let at = |text| parse_in_utc(text).map(|when| date_time(when).unwrap());
        for text in [
            "2027-01-15T08:00:00Z",
            "2027-01-15T08:00:00",
            " 2027-01-15T08:00:00.999 ",
            "2027-01-15T10:00:00+02:00",
        ] {
            assert_eq!(at(text).as_deref(), Some("2027-01-15T08:00:00Z"), "{text}");
        }
        for text in ["", "Z", "soon", "2027-01-15", "2027-01-15T08:00", "2027-01-15T08:00:00ZZ"] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn durations_come_back() {
        for (text, seconds) in
            [("PT1H", 3600), ("P1DT2M3.5S", 86_523), ("P7D", 604_800), ("P1Y", 31_536_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for bad in
            ["", "P", "PT", "1D", "PD", "P1", "P1S", "P1D1Y", "-P1D", "P99999999999999999999D"]
        {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!(parse_duration(&duration(Duration::from_secs(7))), Some(Duration::from_secs(7)));
    }

    #[test]
    fn moments_come_back() {
        let when = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert_eq!(date_time(when).as_deref(), Some("2027-01-15T08:00:00Z"));
        assert_eq!(parse_date_time("2027-01-15T09:00:00.000+01:00"), Some(when));
        assert_eq!(parse_date_time("yesterday"), None);
    }
}
