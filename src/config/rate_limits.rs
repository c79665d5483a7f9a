//! `[service.rate_limits]`: how often a caller may ask, and how often an address may fail to prove who it is.

use crate::config::reader::{Source, Table, wrong_type};

/// `[service.rate_limits]`. A reload changes them with the next request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct RateLimits {
    /// `caller`: requests of each caller, of the anonymous one from each address; default none.
    pub caller: Option<Rate>,
    /// `unauthenticated`: requests of each address that prove nobody; default 100 a second, 1,000 at once. IPv6
    /// addresses count by their first 64 bits.
    pub unauthenticated: Option<Rate>,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { caller: None, unauthenticated: Some(Rate { per_second: 100, burst: 1_000 }) }
    }
}

/// How often something may happen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct Rate {
    /// In the long run; from 1 to 1,000,000.
    pub per_second: u32,
    /// At once, after a rest; absent: as many as in a second.
    pub burst: u32,
}

/// Reads the table.
pub(super) fn read(source: &Source<'_>, table: Option<Table<'_>>) -> RateLimits {
    let mut limits = RateLimits::default();
    let Some(table) = table else { return limits };
    for (key, limit) in
        [("caller", &mut limits.caller), ("unauthenticated", &mut limits.unauthenticated)]
    {
        let Some(value) = table.value(key) else { continue };
        match (value.get_ref().as_str(), value.get_ref().as_table()) {
            (Some("off"), _) => *limit = None,
            (Some(text), _) => {
                let text = text.escape_debug();
                let text = format!("`{key}` of [service.rate_limits] cannot be \"{text}\"");
                let help = "write { per_second = 100, burst = 200 }, or \"off\"";
                source.error_with("unknown_value", text, help, value.span());
            }
            (None, Some(map)) => {
                let name = format!("`{key}` of [service.rate_limits]");
                *limit = rate(source, Table::new(source, map, name, value.span())).or(*limit);
            }
            (None, None) => {
                let name = format!("`{key}` of [service.rate_limits]");
                wrong_type(source, value, &name, "a table or \"off\"");
            }
        }
    }
    table.finish();
    limits
}

fn rate(source: &Source<'_>, table: Table<'_>) -> Option<Rate> {
    let number =
        |key| table.number(key, 1..1_000_001).and_then(|number| u32::try_from(number).ok());
    let (per_second, burst) = (number("per_second"), number("burst"));
    if !table.has("per_second") {
        let text = "a rate needs `per_second`";
        source.error_with("missing_key", text, "add per_second = 100", table.span());
    }
    table.finish();
    let per_second = per_second?;
    Some(Rate { per_second, burst: burst.unwrap_or(per_second) })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Config;

    fn parse(limits: &str) -> (RateLimits, Vec<(&'static str, usize, usize)>) {
        let text = format!("[service]\nplain_http = true\n[service.rate_limits]\n{limits}");
        let (config, problems) = Config::parse(&text, Path::new("/etc/claviger.toml"));
        let place = |one: &crate::problem::Problem| {
            let at = one.location.as_ref().unwrap();
            (one.code, at.line, at.column)
        };
        let problems = problems.iter().filter(|one| one.code != "no_stores").map(place).collect();
        (config.map(|config| config.service.rate_limits).unwrap_or_default(), problems)
    }

    #[test]
    fn every_form_of_the_table_is_read_and_every_mistake_has_its_place() {
        assert_eq!(parse(""), (RateLimits::default(), vec![]));
        let (limits, problems) = parse("caller = { per_second = 5 }\nunauthenticated = \"off\"\n");
        assert!(problems.is_empty(), "{problems:?}");
        let five = Some(Rate { per_second: 5, burst: 5 });
        assert_eq!(limits, RateLimits { caller: five, unauthenticated: None });
        let (limits, _) = parse("unauthenticated = { per_second = 2, burst = 9 }\n");
        assert_eq!(limits.unauthenticated, Some(Rate { per_second: 2, burst: 9 }));
        for (limits, code, line, column) in [
            ("caller = { burst = 5 }", "missing_key", 4, 10),
            ("caller = { per_second = 0 }", "out_of_range", 4, 25),
            ("caller = { per_second = 1, bust = 5 }", "unknown_key", 4, 28),
            ("caller = \"on\"", "unknown_value", 4, 10),
            ("caller = 7", "wrong_type", 4, 10),
            ("callers = \"off\"", "unknown_key", 4, 1),
        ] {
            assert_eq!(parse(limits).1, [(code, line, column)], "{limits}");
        }
    }
}
