//! Problems as the Rust compiler shows them: place, line, caret, help.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use claviger::Config;
use claviger::problem::{Location, Problem, Severity};

use super::commands::as_typed;
use super::output::escape;

/// Every problem, one after the other; `named`: how the configuration was named.
pub(crate) fn render(problems: &[Problem], named: Option<&str>, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut sources: HashMap<&Path, Text> = HashMap::new();
    for place in problems.iter().filter_map(|one| one.location.as_ref()) {
        sources.entry(&place.file).or_insert_with(|| Text::read(&place.file));
    }
    let mut out = String::new();
    for problem in problems {
        let message = escape(&problem.message);
        let help = problem.help.as_deref().map(|help| as_typed(named, &escape(help)));
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(message.as_str()).id(problem.code);
        let place = problem.location.as_ref();
        let path = place.map(|place| place.file.to_string_lossy().into_owned()).unwrap_or_default();
        let shown = place.and_then(|place| sources.get(place.file.as_path())?.lines_of(place));
        let mut group = match (place, shown) {
            (Some(place), Some((lines, span))) => {
                let snippet = Snippet::source(lines)
                    .line_start(place.line)
                    .path(path.as_str())
                    .annotation(AnnotationKind::Primary.span(span));
                title.element(snippet)
            }
            (Some(place), None) => title
                .element(Origin::path(path.as_str()).line(place.line).char_column(place.column)),
            (None, _) => Group::with_title(title),
        };
        if let Some(help) = &help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        out.push_str(&renderer.render(&[group]).to_string());
        out.push_str("\n\n");
    }
    out
}

/// A configuration as it was read a moment ago. Without it the place is still named.
struct Text(String);

impl Text {
    fn read(path: &Path) -> Self {
        let text = Config::read_text(path).unwrap_or_default();
        Self(text.split_inclusive('\n').map(without_secret).collect())
    }

    /// The lines of a place, and the place in them: what is drawn costs what is drawn, not the whole file.
    fn lines_of(&self, place: &Location) -> Option<(&str, Range<usize>)> {
        let Range { start, end } = place.span;
        let end = end.max(start);
        let window = start.saturating_sub(MAX_SHOWN_BYTES)..end.saturating_add(MAX_SHOWN_BYTES);
        let window = window.start..window.end.min(self.0.len());
        let bytes = self.0.as_bytes();
        let newline = |byte: &u8| *byte == b'\n';
        let first = match bytes.get(window.start..start)?.iter().rposition(newline) {
            Some(at) => window.start + at + 1,
            None if window.start == 0 => 0,
            None => return None,
        };
        let last = match bytes.get(end..window.end)?.iter().position(newline) {
            Some(at) => end + at,
            None if window.end == bytes.len() => bytes.len(),
            None => return None,
        };
        let lines = self.0.get(first..last).filter(|lines| !lines.is_empty())?;
        Some((lines, start - first..end - first))
    }
}

/// What stands where a password belongs is a secret, however wrong it is there: its line is drawn with stars,
/// as many as it has bytes, so that every place stays where it is.
fn without_secret(line: &str) -> Cow<'_, str> {
    let Some((key, value)) = line.split_once('=') else { return Cow::Borrowed(line) };
    let name = key.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    let secret = name == "key" || SECRET_NAMES.iter().any(|word| name.contains(word));
    if !secret || !value.trim_start().starts_with(['"', '\'']) {
        return Cow::Borrowed(line);
    }
    let star = |c: char| if c.is_control() { c.to_string() } else { "*".repeat(c.len_utf8()) };
    let space = value.len() - value.trim_start().len();
    let (space, value) = value.split_at(space);
    Cow::Owned(format!("{key}={space}{}", value.chars().map(star).collect::<String>()))
}

const SECRET_NAMES: [&str; 4] = ["passphrase", "password", "pin", "secret"];
/// How far a line is followed to either side; a longer one is not shown.
const MAX_SHOWN_BYTES: usize = 4096;
