//! Values that several tables have: durations and algorithms.

use std::time::Duration;

use crate::alg::Algorithm;
use crate::config::Placed;
use crate::config::reader::{Source, Table, Value, as_string};

/// A row by its name.
pub(super) fn algorithm(source: &Source<'_>, value: Value<'_>) -> Option<&'static Algorithm> {
    let name = as_string(source, value, "an algorithm")?;
    match Algorithm::named(&name) {
        Ok(row) => Some(row),
        Err(error) => {
            let help = error.help().unwrap_or("the README lists the algorithms").to_owned();
            let text = error.message().to_owned();
            source.error_with("unknown_algorithm", text, help, value.span());
            None
        }
    }
}

/// The rows of a list, each with its place; an empty list is an error.
pub(super) fn algorithms(
    source: &Source<'_>,
    table: &Table<'_>,
) -> Option<Vec<Placed<&'static Algorithm>>> {
    let value = table.value("algorithms")?;
    let list = table.list("algorithms").unwrap_or_default();
    if list.is_empty() && value.get_ref().is_array() {
        let help = "name at least one, or leave the key out";
        source.error_with("empty_list", "`algorithms` is empty", help, value.span());
    }
    let mut rows: Vec<Placed<&'static Algorithm>> = Vec::new();
    for value in list {
        let Some(row) = algorithm(source, value) else { continue };
        if rows.iter().any(|one| one.value == row) {
            let text = format!("`algorithms` names \"{row}\" twice");
            source.error_with("repeated_value", text, "keep the first", value.span());
        } else {
            rows.push(Placed { value: row, location: source.location(value.span()) });
        }
    }
    Some(rows)
}

/// `"30s"`, `"5m"`, `"12h"`, `"30d"`.
pub(super) fn duration(source: &Source<'_>, text: &Placed<String>) -> Option<Duration> {
    let parsed = text.value.char_indices().next_back().and_then(|(at, unit)| {
        let number: u64 = text.value.get(..at)?.parse().ok()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        (number > 0 && number < 100_000).then(|| Duration::from_secs(number * seconds))
    });
    if parsed.is_none() {
        let shown = format!("\"{}\" is no duration", text.value.escape_debug());
        let help = "write a number and s, m, h or d: \"30s\"";
        source.error_with("bad_duration", shown, help, text.location.span.clone());
    }
    parsed
}
