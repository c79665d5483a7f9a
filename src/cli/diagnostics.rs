//! Problems as the Rust compiler shows them: place, line, caret, help.

use std::collections::HashMap;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use claviger::problem::{Problem, Severity};

use super::output::escape;

/// Every problem, one after the other.
pub(crate) fn render(problems: &[Problem], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut sources: HashMap<&Path, String> = HashMap::new();
    for place in problems.iter().filter_map(|one| one.location.as_ref()) {
        // The file was read a moment ago; without it the place is still named.
        sources
            .entry(&place.file)
            .or_insert_with(|| std::fs::read_to_string(&place.file).unwrap_or_default());
    }
    let mut out = String::new();
    for problem in problems {
        let message = escape(&problem.message);
        let help = problem.help.as_deref().map(escape);
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(message.as_str()).id(problem.code);
        let place = problem.location.as_ref();
        let source = place.and_then(|place| sources.get(place.file.as_path()));
        let path = place.map(|place| place.file.to_string_lossy().into_owned()).unwrap_or_default();
        let mut group = match (place, source) {
            (Some(place), Some(text)) if place.span.end <= text.len() && !text.is_empty() => {
                let span = place.span.start..place.span.end.max(place.span.start);
                let snippet = Snippet::source(text.as_str())
                    .path(path.as_str())
                    .annotation(AnnotationKind::Primary.span(span));
                title.element(snippet)
            }
            _ => Group::with_title(title),
        };
        if let Some(help) = &help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        out.push_str(&renderer.render(&[group]).to_string());
        out.push_str("\n\n");
    }
    out
}
