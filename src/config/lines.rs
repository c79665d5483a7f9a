//! Adds a whole mapping to the text of a configuration, or takes one out; every other byte stays.
//!
//! One that is added gets a line of its own; where the mappings are an inline table that is left to people.

use std::ops::Range;

use toml::de::DeTable;

use super::edit::{is_label, listed};
use crate::error::{Error, ErrorKind, Result};
use crate::label::{Alias, LabelName, StoreName};

/// The text with a mapping of `label` to `alias` at the end of those of `store`.
///
/// # Errors
/// [`ErrorKind::StepRefused`] if the text is not written so that it can be added.
pub(crate) fn add_mapping(
    text: &str,
    store: &StoreName,
    label: &LabelName,
    alias: &Alias,
) -> Result<String> {
    let item = toml::Value::String(alias.as_str().to_owned());
    let line = format!("\"{label}\" = [{item}]");
    let refused = || {
        let text = format!("a mapping cannot be added to store \"{store}\" as it is written");
        Error::new(ErrorKind::StepRefused, text)
            .with_help(format!("add by hand, under [stores.{store}.mappings]: {line}"))
    };
    let (mark, body) = split_mark(text);
    let new = added(body, store, &line).ok_or_else(refused)?;
    let alias = alias.as_str();
    if listed(&new, store, label).as_deref() != Some(&[alias.to_owned()]) {
        return Err(refused());
    }
    Ok([mark, &new].concat())
}

/// The text without the mapping of `label` in `store`; comments above it stay.
///
/// # Errors
/// [`ErrorKind::StepRefused`] if it stands neither on lines of its own nor in an inline table of mappings.
pub(crate) fn remove_mapping(text: &str, store: &StoreName, label: &LabelName) -> Result<String> {
    let refused = || {
        let text = format!(
            "the mapping of label \"{label}\" in store \"{store}\" cannot be taken out as it is written"
        );
        Error::new(ErrorKind::StepRefused, text).with_help(format!(
            "write the mappings on lines of their own under [stores.{store}.mappings], then try again; or put \
             another key in its place: --replace NEW"
        ))
    };
    let (mark, body) = split_mark(text);
    let lines = mapping_lines(body, store, label);
    let place = lines.or_else(|| inline_entry(body, store, label)).ok_or_else(refused)?;
    let before = body.get(..place.start).unwrap_or_default();
    let after = body.get(place.end..).unwrap_or_default();
    let new = [before, after].concat();
    if !differ_by_one(body, &new, store, label).unwrap_or(false) {
        return Err(refused());
    }
    Ok([mark, &new].concat())
}

/// Whether the second text says what the first one does but for the mapping of one label.
fn differ_by_one(before: &str, after: &str, store: &StoreName, label: &LabelName) -> Option<bool> {
    let mut before: toml::Table = before.parse().ok()?;
    let mut after: toml::Table = after.parse().ok()?;
    let mappings = mappings_of(&mut before, store)?;
    let name = mappings.keys().find(|name| is_label(name, label))?.clone();
    mappings.remove(&name)?;
    // The last mapping that was written with its whole path takes the table along.
    if mappings.is_empty() && mappings_of(&mut after, store).is_none() {
        let tables = before.get_mut("stores")?.as_table_mut()?;
        tables.get_mut(store.as_str())?.as_table_mut()?.remove("mappings");
        if tables.get(store.as_str())?.as_table()?.is_empty() {
            tables.remove(store.as_str());
        }
        before.retain(|_, value| value.as_table().is_none_or(|table| !table.is_empty()));
        after.retain(|_, value| value.as_table().is_none_or(|table| !table.is_empty()));
    }
    Some(before == after)
}

fn mappings_of<'t>(root: &'t mut toml::Table, store: &StoreName) -> Option<&'t mut toml::Table> {
    let store = root.get_mut("stores")?.as_table_mut()?.get_mut(store.as_str())?;
    store.as_table_mut()?.get_mut("mappings")?.as_table_mut()
}

fn split_mark(text: &str) -> (&str, &str) {
    let length = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    text.split_at(length)
}

fn added(body: &str, store: &StoreName, line: &str) -> Option<String> {
    let line_end = if body.contains("\r\n") { "\r\n" } else { "\n" };
    let root = DeTable::parse(body).ok()?;
    let table = root.get_ref().get("stores")?.get_ref().as_table()?.get(store.as_str())?;
    let Some(mappings) = table.get_ref().as_table()?.get("mappings") else {
        let gap = if body.ends_with('\n') { "" } else { line_end };
        let header = format!("[stores.{store}.mappings]");
        return Some(format!("{body}{gap}{line_end}{header}{line_end}{line}{line_end}"));
    };
    let entries = mappings.get_ref().as_table()?.iter();
    let last = entries.max_by_key(|(_, value)| value.span().end);
    let (end, prefix) = match last {
        Some((key, value)) => (value.span().end, prefix_of(body, key.span().start)?),
        None => (mappings.span().end, ""),
    };
    let at = end_of_line(body, end);
    let (before, after) = body.split_at_checked(at)?;
    let gap = if before.ends_with('\n') { "" } else { line_end };
    Some(format!("{before}{gap}{prefix}{line}{line_end}{after}"))
}

/// The lines of a mapping, with what stands beside it.
fn mapping_lines(body: &str, store: &StoreName, label: &LabelName) -> Option<Range<usize>> {
    let root = DeTable::parse(body).ok()?;
    let table = root.get_ref().get("stores")?.get_ref().as_table()?.get(store.as_str())?;
    let mappings = table.get_ref().as_table()?.get("mappings")?.get_ref().as_table()?;
    let (key, value) = mappings.iter().find(|(key, _)| is_label(key.get_ref().as_ref(), label))?;
    prefix_of(body, key.span().start)?;
    Some(start_of_line(body, key.span().start)..end_of_line(body, value.span().end))
}

/// A mapping in an inline table, with the comma that sets it apart.
fn inline_entry(body: &str, store: &StoreName, label: &LabelName) -> Option<Range<usize>> {
    let root = DeTable::parse(body).ok()?;
    let table = root.get_ref().get("stores")?.get_ref().as_table()?.get(store.as_str())?;
    let mappings = table.get_ref().as_table()?.get("mappings")?.get_ref().as_table()?;
    let mut entries: Vec<(Range<usize>, bool)> = mappings
        .iter()
        .map(|(key, value)| {
            (key.span().start..value.span().end, is_label(key.get_ref().as_ref(), label))
        })
        .collect();
    entries.sort_by_key(|(place, _)| place.start);
    let at = entries.iter().position(|(_, wanted)| *wanted)?;
    let place = entries.get(at)?.0.clone();
    let before = at.checked_sub(1).and_then(|before| entries.get(before));
    Some(match (entries.get(at + 1), before) {
        (Some((next, _)), _) => place.start..next.start,
        (None, Some((before, _))) => before.end..place.end,
        (None, None) => place,
    })
}

/// What stands before a key on its line: spaces, or the path of a dotted key. `None` in an inline table.
fn prefix_of(body: &str, key: usize) -> Option<&str> {
    let prefix = body.get(start_of_line(body, key)..key)?;
    (!prefix.contains(['{', ',', '=', '['])).then_some(prefix)
}

fn start_of_line(body: &str, at: usize) -> usize {
    body.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1)
}

fn end_of_line(body: &str, at: usize) -> usize {
    let rest = body.get(at..).unwrap_or_default();
    rest.find('\n').map_or(body.len(), |end| at + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ES256: &str = "am.services.oauth2.oidc.signing.ES256";
    const ES384: &str = "am.services.oauth2.oidc.signing.ES384";

    fn add(text: &str) -> Result<String> {
        add_mapping(text, &"a".parse()?, &ES384.parse()?, &"x".parse()?)
    }

    #[test]
    fn a_mapping_comes_on_a_line_of_its_own_and_goes_without_a_trace() {
        for (before, after) in [
            (
                "[stores.a.mappings]\n  \"ES256\" = [\n  'x', # why\n] # beside\n\n[stores.b]\n",
                "[stores.a.mappings]\n  \"ES256\" = [\n  'x', # why\n] # beside\n  \"ES384\" = [\"x\"]\n\n[stores.b]\n",
            ),
            (
                "stores.a.mappings.\"ES256\" = ['x']\nkeyring.kid = 'am'",
                "stores.a.mappings.\"ES256\" = ['x']\nstores.a.mappings.\"ES384\" = [\"x\"]\nkeyring.kid = 'am'",
            ),
            (
                "\u{feff}[stores.a.mappings]\r\n'ES256' = ['x']\r\n# end\r\n",
                "\u{feff}[stores.a.mappings]\r\n'ES256' = ['x']\r\n\"ES384\" = [\"x\"]\r\n# end\r\n",
            ),
            ("[stores.a.mappings]\n# none\n", "[stores.a.mappings]\n\"ES384\" = [\"x\"]\n# none\n"),
        ] {
            let named = |text: &str| text.replace("ES256", ES256).replace("ES384", ES384);
            let (before, after) = (named(before), named(after));
            let new = add(&before).unwrap();
            assert_eq!(new, after);
            let (store, label) = ("a".parse().unwrap(), ES384.parse().unwrap());
            assert_eq!(remove_mapping(&new, &store, &label).unwrap(), before);
        }
        let new = add("[stores.a]\nkind = 'keystore'\n# end").unwrap();
        assert!(new.ends_with(&format!("# end\n\n[stores.a.mappings]\n\"{ES384}\" = [\"x\"]\n")));
    }

    #[test]
    fn nothing_is_added_to_inline_tables() {
        for text in [
            "[stores]\na = { kind = 'keystore', mappings = { 'ES256' = ['x'] } }\n",
            "[stores.a]\nmappings = { 'ES256' = ['x'] }\n",
            "[stores]\na = { kind = 'keystore' }\n",
        ] {
            let text = text.replace("ES256", ES256);
            let error = add(&text).unwrap_err();
            assert!(error.help().unwrap().contains(&format!("\"{ES384}\" = [\"x\"]")), "{error:?}");
        }
    }

    #[test]
    fn a_mapping_goes_from_inline_tables_and_nothing_else_does() {
        for (before, after) in [
            (
                "[stores.a]\nmappings = { 'ES256' = ['x'], 'ES384' = ['y'] } # c\n",
                "[stores.a]\nmappings = { 'ES256' = ['x'] } # c\n",
            ),
            (
                "[stores.a]\nmappings = { 'ES384' = ['y'], 'ES256' = ['x'] }\n",
                "[stores.a]\nmappings = { 'ES256' = ['x'] }\n",
            ),
            ("[stores.a]\nmappings = {'ES384' = ['y']}\n", "[stores.a]\nmappings = {}\n"),
            (
                "[stores]\na = { kind = 'k', mappings = { 'ES256' = ['x'], 'ES384' = { aliases = ['y'], kid = 'am' }, 'z' = [] } }\nb = {}",
                "[stores]\na = { kind = 'k', mappings = { 'ES256' = ['x'], 'z' = [] } }\nb = {}",
            ),
            (
                "stores.a = { mappings.'ES384' = ['y'], mappings.'ES256' = ['x'] }\n",
                "stores.a = { mappings.'ES256' = ['x'] }\n",
            ),
            ("[x]\n[stores.a.mappings]\n'ES384' = ['y']\n", "[x]\n[stores.a.mappings]\n"),
            ("[stores.a]\nmappings.'ES384' = ['y']\nkind = 'k'\n", "[stores.a]\nkind = 'k'\n"),
        ] {
            let named = |text: &str| text.replace("ES256", ES256).replace("ES384", ES384);
            let (store, label) = ("a".parse().unwrap(), ES384.parse().unwrap());
            let new = remove_mapping(&named(before), &store, &label).unwrap();
            assert_eq!(new, named(after));
        }
        // What cannot be cut out cleanly is left to people.
        let text = format!("stores.a = {{ kind = 'k', mappings.'{ES384}' = ['y'] }}\n");
        let error = remove_mapping(&text, &"a".parse().unwrap(), &ES384.parse().unwrap());
        assert!(error.unwrap_err().help().unwrap().contains("lines of their own"));
    }
}
