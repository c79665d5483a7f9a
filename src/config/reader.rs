//! Reads typed values out of spanned TOML; every finding is kept with its place, none stops the reading.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::Placed;
use crate::error::Error;
use crate::problem::{Location, Problem};

/// The text that is read, and what was found wrong in it so far.
pub(crate) struct Source<'a> {
    file: &'a Path,
    /// Where each line starts: a file of 10^5 labels asks for as many places.
    lines: Vec<usize>,
    /// Bytes that continue a character, which columns do not count.
    continuations: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(file: &'a Path, text: &str) -> Self {
        let places = |wanted: fn(u8) -> bool| {
            text.bytes().enumerate().filter(move |(_, byte)| wanted(*byte)).map(|(at, _)| at)
        };
        let newlines = places(|byte| byte == b'\n').map(|at| at + 1);
        Self {
            file,
            lines: std::iter::once(0).chain(newlines).collect(),
            continuations: places(|byte| byte & 0b1100_0000 == 0b1000_0000).collect(),
            problems: RefCell::default(),
        }
    }

    pub(crate) fn take_problems(&self) -> Vec<Problem> {
        self.problems.take()
    }

    /// The directory that relative paths start from.
    pub(crate) fn join(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or_else(|| Path::new("")).join(path)
    }

    pub(crate) fn location(&self, span: Range<usize>) -> Location {
        let line = self.lines.partition_point(|start| *start <= span.start).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = |at: usize| self.continuations.partition_point(|byte| *byte < at);
        let column = span.start - start - (before(span.start) - before(start)) + 1;
        Location { file: self.file.to_owned(), line, column, span }
    }

    pub(crate) fn report(&self, problem: Problem, span: Range<usize>) {
        self.problems.borrow_mut().push(problem.at(self.location(span)));
    }

    pub(crate) fn error_with(
        &self,
        code: &'static str,
        text: impl Into<String>,
        help: impl Into<String>,
        span: Range<usize>,
    ) {
        self.report(Problem::error(code, text).with_help(help), span);
    }
}

/// A TOML value with its place.
pub(crate) type Value<'v> = &'v Spanned<DeValue<'v>>;

/// A table whose keys are asked for one by one; [`Table::finish`] reports those nobody asked for.
pub(crate) struct Table<'v> {
    source: &'v Source<'v>,
    map: &'v DeTable<'v>,
    /// How people write it: `[stores.x]`.
    name: String,
    span: Range<usize>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'v> Table<'v> {
    pub(crate) fn new(
        source: &'v Source<'v>,
        map: &'v DeTable<'v>,
        name: impl Into<String>,
        span: Range<usize>,
    ) -> Self {
        Self { source, map, name: name.into(), span, asked: RefCell::default() }
    }

    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Whether a key is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// The place of a key, else of the table.
    pub(crate) fn key_span(&self, key: &str) -> Range<usize> {
        self.map.get_key_value(key).map_or_else(|| self.span(), |(key, _)| key.span())
    }

    /// The value of a key.
    pub(crate) fn value(&self, key: &'static str) -> Option<Value<'v>> {
        self.ask(key);
        self.map.get(key)
    }

    fn ask(&self, key: &'static str) {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
    }

    /// Every key and value, in file order.
    pub(crate) fn entries(&self) -> Vec<(Placed<String>, Value<'v>)> {
        let mut entries: Vec<_> = self.map.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
            .into_iter()
            .map(|(key, value)| {
                let location = self.source.location(key.span());
                (Placed { value: key.get_ref().to_string(), location }, value)
            })
            .collect()
    }

    pub(crate) fn string(&self, key: &'static str) -> Option<Placed<String>> {
        let value = self.value(key)?;
        let text = as_string(self.source, value, &self.path(key))?;
        Some(Placed { value: text, location: self.source.location(value.span()) })
    }

    /// As [`Table::string`]; reports its absence.
    pub(crate) fn required(&self, key: &'static str, example: &str) -> Option<Placed<String>> {
        if self.map.get(key).is_none() {
            self.ask(key);
            let text = format!("{} needs `{key}`", self.name);
            self.source.error_with(
                "missing_key",
                text,
                format!("add {key} = {example}"),
                self.span(),
            );
            return None;
        }
        self.string(key)
    }

    /// As [`Table::string`]; an empty one is reported: no path and no variable has an empty name.
    pub(crate) fn filled(&self, key: &'static str) -> Option<Placed<String>> {
        self.string(key).filter(|text| self.is_filled(key, text))
    }

    /// As [`Table::required`] and [`Table::filled`].
    pub(crate) fn required_filled(
        &self,
        key: &'static str,
        example: &str,
    ) -> Option<Placed<String>> {
        self.required(key, example).filter(|text| self.is_filled(key, text))
    }

    fn is_filled(&self, key: &str, text: &Placed<String>) -> bool {
        let filled = !text.value.is_empty();
        if !filled {
            let shown = format!("{} is empty", self.path(key));
            let help = "name it, or take the key out";
            self.source.error_with("empty_value", shown, help, text.location.span.clone());
        }
        filled
    }

    pub(crate) fn bool(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            wrong_type(self.source, value, &self.path(key), "true or false");
        }
        found
    }

    /// A whole number within `range`.
    pub(crate) fn number(&self, key: &'static str, range: Range<u64>) -> Option<u64> {
        number(self.source, self.value(key)?, &self.path(key), range)
    }

    /// One of the named values.
    pub(crate) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.string(key)?;
        let found = choices.iter().find(|(name, _)| *name == text.value);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.unknown_value(key, &text, &names);
        }
        found.map(|(_, value)| *value)
    }

    /// Reports a value that is none of `names`.
    pub(crate) fn unknown_value(&self, key: &str, found: &Placed<String>, names: &[&str]) {
        let text = format!("`{key}` of {} cannot be \"{}\"", self.name, found.value.escape_debug());
        let help = suggest(&found.value, names).map_or_else(
            || format!("use one of {}", names.join(", ")),
            |near| format!("did you mean \"{near}\"?"),
        );
        self.source.error_with("unknown_value", text, help, found.location.span.clone());
    }

    /// A string parsed into one of the name types.
    pub(crate) fn parsed<T: FromStr<Err = Error>>(
        &self,
        key: &'static str,
        code: &'static str,
    ) -> Option<Placed<T>> {
        let text = self.string(key)?;
        parse_name(self.source, &text, code)
    }

    /// The elements of a list.
    pub(crate) fn list(&self, key: &'static str) -> Option<Vec<Value<'v>>> {
        let value = self.value(key)?;
        let Some(array) = value.get_ref().as_array() else {
            wrong_type(self.source, value, &self.path(key), "a list");
            return None;
        };
        Some(array.iter().collect())
    }

    /// A table under this one.
    pub(crate) fn table(&self, key: &'static str, name: impl Into<String>) -> Option<Self> {
        let value = self.value(key)?;
        let name = name.into();
        let Some(map) = value.get_ref().as_table() else {
            wrong_type(self.source, value, &name, "a table");
            return None;
        };
        Some(Self::new(self.source, map, name, value.span()))
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self) {
        let asked = self.asked.into_inner();
        for (key, _) in self.map {
            let name = key.get_ref().as_ref();
            if asked.contains(&name) {
                continue;
            }
            let text = format!("{} has no key `{}`", self.name, name.escape_debug());
            let help = suggest(name, &asked).map_or_else(
                || format!("its keys are {}", asked.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.source.error_with("unknown_key", text, help, key.span());
        }
    }

    fn path(&self, key: &str) -> String {
        format!("`{key}` of {}", self.name)
    }
}

pub(crate) fn as_string(source: &Source<'_>, value: Value<'_>, name: &str) -> Option<String> {
    let found = value.get_ref().as_str();
    if found.is_none() {
        wrong_type(source, value, name, "a string");
    }
    found.map(str::to_owned)
}

pub(crate) fn number(
    source: &Source<'_>,
    value: Value<'_>,
    name: &str,
    range: Range<u64>,
) -> Option<u64> {
    let Some(integer) = value.get_ref().as_integer() else {
        wrong_type(source, value, name, "a whole number");
        return None;
    };
    let found = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
    if let Some(found) = found
        && range.contains(&found)
    {
        return Some(found);
    }
    let text = format!("{name} is out of range");
    let help = format!("use {} to {}", range.start, range.end - 1);
    source.error_with("out_of_range", text, help, value.span());
    None
}

pub(crate) fn parse_name<T: FromStr<Err = Error>>(
    source: &Source<'_>,
    text: &Placed<String>,
    code: &'static str,
) -> Option<Placed<T>> {
    match text.value.parse() {
        Ok(value) => Some(Placed { value, location: text.location.clone() }),
        Err(error) => {
            let help = if text.value.contains("{identifier}") {
                "write the identifier that the feature is configured with in the place of {identifier}"
            } else {
                error.help().unwrap_or_default()
            };
            let span = text.location.span.clone();
            source.error_with(code, error.message().to_owned(), help, span);
            None
        }
    }
}

pub(crate) fn wrong_type(source: &Source<'_>, value: Value<'_>, name: &str, wanted: &str) {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let text = format!("{name} is {found}, not {wanted}");
    source.error_with("wrong_type", text, format!("write {wanted}"), value.span());
}

/// The name nearest to what was typed, if it is near.
pub(crate) fn suggest<'n>(typed: &str, names: &[&'n str]) -> Option<&'n str> {
    let typed = typed.to_lowercase();
    names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&name.to_lowercase(), &typed), *name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 4))
        .map(|(_, name)| name)
}
