//! Changes the aliases of one mapping in the text of a configuration; every other byte stays.
//!
//! ```text
//! "label" = [                    the list is cut into items; an item is
//!     # the new one              what stands above it,
//!     "b",   # since May         its text, and the comment on its line
//!     "a",
//! ]
//! ```
//!
//! An item that moves takes its comments along. What stands above the first item stays at the top, and
//! what stands above an item that is taken out stays in the list.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::catalogue;
use crate::error::{Error, ErrorKind, Result};
use crate::label::{Alias, LabelName, StoreName};

/// An alias as the mapping is to list it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ListedAlias {
    /// The alias. One that is listed already keeps how it is written.
    pub(crate) alias: Alias,
    /// The kid that the mapping gives to an alias that is not listed yet.
    pub(crate) kid: Option<String>,
}

/// The text in which the mapping of `label` in `store` lists `aliases`, in this order.
///
/// # Errors
/// [`ErrorKind::StepRefused`] if the text has no such mapping, or `aliases` is empty.
pub(crate) fn set_aliases(
    text: &str,
    store: &StoreName,
    label: &LabelName,
    aliases: &[ListedAlias],
) -> Result<String> {
    if aliases.is_empty() {
        let text = format!("the mapping of label \"{label}\" would be left without an alias");
        return Err(Error::new(ErrorKind::StepRefused, text));
    }
    let bom = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let (mark, body) = text.split_at(bom);
    let list = find(body, store, label).ok_or_else(|| missing(store, label))?;
    let new = list.arranged(aliases).ok_or_else(|| missing(store, label))?;
    let before = body.get(..list.span.start).unwrap_or_default();
    let after = body.get(list.span.end..).unwrap_or_default();
    Ok([mark, before, new.as_str(), after].concat())
}

fn missing(store: &StoreName, label: &LabelName) -> Error {
    let text = format!("store \"{store}\" has no mapping of label \"{label}\" that can be edited");
    Error::new(ErrorKind::StepRefused, text)
        .with_help("edit the file by hand, then `claviger check`")
}

/// A list of aliases in the text, taken apart.
struct List<'t> {
    /// From `[` to `]`.
    span: Range<usize>,
    items: Vec<Item<'t>>,
    /// Between the last item and `]`.
    end: &'t str,
    /// Whether a comma follows the last item.
    last_comma: bool,
}

struct Item<'t> {
    alias: String,
    /// What stands above it, with the spaces before it.
    above: &'t str,
    /// As it is written.
    text: &'t str,
    /// The rest of its line: a comment, with the spaces before it.
    beside: &'t str,
}

/// The list behind `stores.STORE.mappings."LABEL"`, however tables and keys are written.
fn find<'t>(text: &'t str, store: &StoreName, label: &LabelName) -> Option<List<'t>> {
    let root = DeTable::parse(text).ok()?;
    let stores = root.get_ref().get("stores")?.get_ref().as_table()?;
    let mappings = stores.get(store.as_str())?.get_ref().as_table()?.get("mappings")?;
    let mut entries = mappings.get_ref().as_table()?.iter();
    let (_, value) = entries.find(|(key, _)| is_label(key.get_ref().as_ref(), label))?;
    let list = match value.get_ref() {
        DeValue::Table(inner) => inner.get("aliases")?,
        _ => value,
    };
    let items: Option<Vec<(String, Range<usize>)>> =
        list.get_ref().as_array()?.iter().map(read_item).collect();
    take_apart(text, list.span(), items?)
}

/// Whether a key of the text is this label, however it is written.
pub(super) fn is_label(name: &str, label: &LabelName) -> bool {
    let wanted = catalogue::canonical(label);
    name.parse::<LabelName>().is_ok_and(|name| catalogue::canonical(&name) == wanted)
}

/// Whether a text maps `label` in `store`.
pub(crate) fn lists_label(text: &str, store: &StoreName, label: &LabelName) -> bool {
    listed(text.trim_start_matches('\u{feff}'), store, label).is_some()
}

/// The aliases that a text without a byte order mark lists; `None`: it has no such mapping.
pub(super) fn listed(text: &str, store: &StoreName, label: &LabelName) -> Option<Vec<String>> {
    Some(find(text, store, label)?.items.into_iter().map(|item| item.alias).collect())
}

fn read_item(item: &Spanned<DeValue<'_>>) -> Option<(String, Range<usize>)> {
    let alias = match item.get_ref() {
        DeValue::Table(inner) => inner.get("alias")?.get_ref().as_str()?,
        other => other.as_str()?,
    };
    Some((alias.to_owned(), item.span()))
}

fn take_apart(
    text: &str,
    span: Range<usize>,
    items: Vec<(String, Range<usize>)>,
) -> Option<List<'_>> {
    let close = span.end.checked_sub(1)?;
    let mut at = span.start + 1;
    let mut found = Vec::new();
    let mut last_comma = false;
    let count = items.len();
    for (index, (alias, place)) in items.into_iter().enumerate() {
        let above = text.get(at..place.start)?;
        let after = text.get(place.end..close)?;
        let (comma, beside) = rest_of_line(after, index + 1 == count)?;
        last_comma = comma.is_some();
        // What stands between item and comma is part of how the item is written.
        let written = text.get(place.start..place.end + comma.unwrap_or(0))?;
        at = place.end + comma.map_or(0, |comma| comma + 1) + beside.len();
        found.push(Item { alias, above, text: written, beside });
    }
    Some(List { span, items: found, end: text.get(at..close)?, last_comma })
}

/// Where the comma after an item stands, and the comment on its line. Only the last item may have none.
fn rest_of_line(after: &str, last: bool) -> Option<(Option<usize>, &str)> {
    let comma = find_comma(after);
    if comma.is_none() && !last {
        return None;
    }
    let rest = after.get(comma.map_or(0, |comma| comma + 1)..)?;
    let line = rest.find('\n').map_or(rest, |end| rest.get(..end).unwrap_or(rest));
    let line = line.strip_suffix('\r').unwrap_or(line);
    let beside = if line.trim_start().starts_with('#') { line } else { "" };
    Some((comma, beside))
}

/// The first comma outside of comments.
fn find_comma(text: &str) -> Option<usize> {
    let mut comment = false;
    text.char_indices().find_map(|(at, c)| {
        match c {
            '\n' => comment = false,
            '#' => comment = true,
            ',' if !comment => return Some(at),
            _ => {}
        }
        None
    })
}

impl List<'_> {
    /// The list with these aliases in this order.
    fn arranged(&self, aliases: &[ListedAlias]) -> Option<String> {
        let top = self.items.first()?.above;
        // How items are set apart where nothing of their own stands between them.
        let gap =
            self.items.get(1).map_or_else(|| self.usual_gap(top), |item| spaces_of(item.above));
        let fresh: Vec<String> = aliases.iter().map(written).collect();
        let mut out = String::from("[");
        for (position, (listed, fresh)) in aliases.iter().zip(&fresh).enumerate() {
            let known = self.items.iter().find(|item| item.alias == listed.alias.as_str());
            let own = known.filter(|item| !self.is_first(item)).map(|item| item.above);
            let above = match own.filter(|above| above.contains('#')) {
                // The comments above the first item stay above whatever becomes the first.
                Some(own) if position == 0 && top.contains('#') => {
                    format!("{top}{}", own.trim_start())
                }
                Some(own) => own.to_owned(),
                None if position == 0 => top.to_owned(),
                None => gap.to_owned(),
            };
            self.start_item(&mut out, &above);
            out.push_str(known.map_or(fresh.as_str(), |item| item.text.trim_end()));
            let beside = known.map_or("", |item| item.beside);
            let last = position + 1 == aliases.len();
            if !last || self.last_comma || !beside.is_empty() {
                self.start_item(&mut out, ",");
            }
            out.push_str(beside);
        }
        for above in self.orphans(aliases) {
            self.start_item(&mut out, above.trim_end());
        }
        self.start_item(&mut out, self.end);
        out.push(']');
        Some(out)
    }

    /// Adds what stands before an item, or its comma; a comment before it must end with its line.
    fn start_item(&self, out: &mut String, above: &str) {
        let in_comment = out.rsplit('\n').next().is_some_and(comment_in);
        if in_comment && !above.trim_start_matches('\r').starts_with('\n') {
            out.push_str(self.line_end());
        }
        out.push_str(above);
    }

    fn is_first(&self, item: &Item<'_>) -> bool {
        self.items.first().is_some_and(|first| first.alias == item.alias)
    }

    /// The comments above items that are taken out.
    fn orphans(&self, aliases: &[ListedAlias]) -> Vec<&str> {
        let gone =
            |item: &&Item<'_>| !aliases.iter().any(|listed| listed.alias.as_str() == item.alias);
        let items = self.items.iter().skip(1).filter(gone);
        items.map(|item| item.above).filter(|above| above.contains('#')).collect()
    }

    fn usual_gap<'g>(&self, top: &'g str) -> &'g str {
        let spaces = spaces_of(top);
        if spaces.contains('\n') { spaces } else { " " }
    }

    fn line_end(&self) -> &'static str {
        let parts = self.items.iter().map(|item| item.above).chain([self.end]);
        if parts.into_iter().any(|part| part.contains("\r\n")) { "\r\n" } else { "\n" }
    }
}

/// The spaces from the last line break on, with it.
fn spaces_of(above: &str) -> &str {
    if !above.contains('#') {
        return above;
    }
    let start = above.rfind('\n').map_or(0, |at| {
        if above.get(..at).is_some_and(|before| before.ends_with('\r')) { at - 1 } else { at }
    });
    above.get(start..).unwrap_or(above)
}

/// Whether a line of a list ends within a comment: a `#` outside of strings.
fn comment_in(line: &str) -> bool {
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for c in line.chars() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '#' => return true,
            None => {}
        }
    }
    false
}

/// A new item as TOML.
fn written(listed: &ListedAlias) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let alias = quoted(listed.alias.as_str());
    match &listed.kid {
        Some(kid) => format!("{{ alias = {alias}, kid = {} }}", quoted(kid)),
        None => alias,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(text: &str, aliases: &[&str]) -> String {
        let listed: Vec<ListedAlias> = aliases
            .iter()
            .map(|alias| ListedAlias { alias: alias.parse().unwrap(), kid: None })
            .collect();
        let label = "am.services.oauth2.oidc.signing.ES256".parse().unwrap();
        let text = set_aliases(text, &"a".parse().unwrap(), &label, &listed).unwrap();
        let list =
            find(text.trim_start_matches('\u{feff}'), &"a".parse().unwrap(), &label).unwrap();
        let found: Vec<&str> = list.items.iter().map(|item| item.alias.as_str()).collect();
        assert_eq!(found, aliases, "{text}");
        text
    }

    const KEY: &str = "\"am.services.oauth2.oidc.signing.ES256\"";

    #[test]
    fn every_way_to_write_a_mapping_is_edited_in_place() {
        for (before, aliases, after) in [
            ("[\"x\", \"y\"] # why", &["y", "x"][..], "[\"y\", \"x\"] # why"),
            ("['x','y']", &["y", "x"], "['y','x']"),
            ("[\"x\"]", &["x", "n\"w"], "[\"x\", 'n\"w']"),
            ("[ \"x\" , \"y\", ]", &["y", "x", "z"], "[ \"y\", \"x\", \"z\", ]"),
            ("[\"x\", \"y\"]", &["y"], "[\"y\"]"),
            (
                "{ algorithms = [\"ES256\"], aliases = [\"x\"] }",
                &["x", "y"],
                "{ algorithms = [\"ES256\"], aliases = [\"x\", \"y\"] }",
            ),
            (
                "[{ alias = \"x\", kid = \"k,#1\" }, \"y\"]",
                &["y", "x"],
                "[\"y\", { alias = \"x\", kid = \"k,#1\" }]",
            ),
        ] {
            for frame in [
                "# top\n[stores.a]\nkind = 'keystore'\n[stores.a.mappings]\nKEY = LIST\n# end\n",
                "stores.a.mappings.KEY = LIST\n",
                "[stores]\na = { kind = 'keystore', mappings = { KEY = LIST } }\n",
            ] {
                let whole = |list: &str| frame.replace("KEY", KEY).replace("LIST", list);
                // A comment cannot stand inside of an inline table.
                if before.contains(" # ") && frame.contains("mappings = {") {
                    continue;
                }
                assert_eq!(edit(&whole(before), aliases), whole(after), "{before}");
            }
        }
    }

    const COMMENTED: &str = "[stores.a.mappings]
# which keys
KEY = [
    # newest first
    \"x\",   # since May
    # the old one
    \"y\", # since January, #1
    # end of the list
]
other = 1 # stays
";

    #[test]
    fn comments_travel_with_their_items_and_none_above_is_lost() {
        let text = COMMENTED.replace("KEY", KEY);
        let swapped = edit(&text, &["y", "x"]);
        let list = swapped.split("= [").nth(1).unwrap().split(']').next().unwrap();
        assert_eq!(
            list,
            "\n    # newest first\n    # the old one\n    \"y\", # since January, #1\n    \"x\",   # since May\n    # end of the list\n"
        );
        let staged = edit(&text, &["x", "y", "z"]);
        assert!(staged.contains("#1\n    \"z\",\n    # end of the list\n]"), "{staged}");
        let retired = edit(&text, &["x"]);
        assert!(retired.contains("# the old one") && !retired.contains("January"), "{retired}");
        for edited in [swapped, staged, retired] {
            assert!(edited.ends_with("]\nother = 1 # stays\n") && edited.contains("# which keys"));
        }
    }

    #[test]
    fn carriage_returns_and_byte_order_marks_stay() {
        let text = format!("\u{feff}{}", COMMENTED.replace("KEY", KEY).replace('\n', "\r\n"));
        for aliases in [&["y", "x"][..], &["x", "y", "z"], &["y"], &["z", "y", "x"]] {
            let edited = edit(&text, aliases);
            assert!(edited.starts_with("\u{feff}[stores"));
            assert_eq!(edited.matches('\n').count(), edited.matches("\r\n").count(), "{edited:?}");
        }
    }

    #[test]
    fn comments_without_a_line_of_their_own_never_swallow_an_item() {
        for list in ["[\"x\", # c\n\"y\"]", "[\"x\" # c\n, \"y\"]", "[ # c\n\"x\"\n,\"y\" # d\n]"] {
            let text = format!("[stores.a.mappings]\n{KEY} = {list}\n");
            for aliases in [&["y", "x"][..], &["x", "y", "z"], &["z", "x"], &["y"]] {
                edit(&text, aliases);
            }
        }
    }
}
