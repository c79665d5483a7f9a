//! How long an answer of somebody else may be kept: `Cache-Control` (RFC 9111 §5.2.2).

use std::time::Duration;

/// The seconds of `max-age`, none where an answer is not to be kept; `None`: it does not say.
pub(crate) fn max_age(control: &str) -> Option<Duration> {
    let control = control.to_ascii_lowercase();
    let directives = || control.split(',').map(str::trim);
    if directives().any(|one| ["no-cache", "no-store"].contains(&one)) {
        return Some(Duration::ZERO);
    }
    let seconds = directives().find_map(|one| one.strip_prefix("max-age="))?;
    seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_to_be_kept_is_not_whatever_its_max_age_is() {
        assert_eq!(max_age("public, max-age=300"), Some(Duration::from_secs(300)));
        assert_eq!(max_age("Max-Age=\"60\", public"), Some(Duration::from_secs(60)));
        assert_eq!(max_age("no-store"), Some(Duration::ZERO));
        assert_eq!(max_age("max-age=300, no-cache"), Some(Duration::ZERO));
        assert_eq!(max_age("public, max-age=x"), None);
        assert_eq!(max_age(""), None);
    }
}
