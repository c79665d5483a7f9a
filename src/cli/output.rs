//! How answers and errors are shown: data on stdout, words on stderr, one JSON object with `--json`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use claviger::error::{Error, ErrorKind, Result};
use claviger::key_tools::Change;
use claviger::problem::{Problem, Severity};
use claviger::secret::SecretBytes;
use serde_json::{Value, json};

use super::commands::{as_typed, as_typed_in};
use super::{Color, Context};

/// What a command answers.
#[derive(Debug)]
pub(crate) struct Outcome {
    json: Value,
    data: SecretBytes,
    notes: Vec<String>,
    exit: u8,
}

impl Outcome {
    /// An answer: `json` is printed with `--json`, `data` as it stands without.
    pub(crate) fn new(json: Value, data: impl Into<Vec<u8>>) -> Self {
        Self { json, data: SecretBytes::from_vec(data.into()), notes: Vec::new(), exit: 0 }
    }

    /// The answer of a command that changed or made a file of keys.
    pub(crate) fn of_change(change: &Change, done: &str) -> Result<Self> {
        let mut notes: Vec<String> = change
            .entries
            .iter()
            .map(|entry| {
                let algorithm = entry.algorithm.as_deref();
                let algorithm = algorithm.map(|name| format!(" {name}")).unwrap_or_default();
                escape(&format!("{done}: {} ({}{algorithm})", entry.alias, entry.kind))
            })
            .collect();
        for one in &change.skipped {
            notes.push(escape(&format!("left out: {}: {}", one.alias, one.error.message)));
        }
        notes.extend(change.warnings.iter().map(|text| escape(&format!("warning: {text}"))));
        Ok(Self::of(change, "")?.with_notes(notes))
    }

    /// An answer whose JSON is a struct of the library.
    pub(crate) fn of(facts: &impl serde::Serialize, data: impl Into<Vec<u8>>) -> Result<Self> {
        let json = serde_json::to_value(facts)
            .map_err(|error| Error::new(ErrorKind::Bug, "JSON encoding").with_source(error))?;
        Ok(Self::new(json, data))
    }

    /// Sets what goes to stdout without `--json`.
    pub(crate) fn with_data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = SecretBytes::from_vec(data.into());
        self
    }

    /// Adds a member of the JSON object.
    pub(crate) fn with_member(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(object) = self.json.as_object_mut() {
            object.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Adds lines for people, printed on stderr unless `--quiet` or `--json`.
    pub(crate) fn with_notes(mut self, notes: impl IntoIterator<Item = String>) -> Self {
        self.notes.extend(notes);
        self
    }

    /// Sets the exit code (1: the answer is no).
    pub(crate) const fn with_exit(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }
}

/// Shows an answer or error and says how to exit.
pub(crate) fn show(context: &Context, answer: Result<Outcome>) -> ExitCode {
    let outcome = match answer {
        Ok(outcome) => outcome,
        Err(error) if context.json => {
            return show_json_error(context.named.as_deref(), &error);
        }
        Err(error) => return show_error(context, &error),
    };
    let exit = ExitCode::from(outcome.exit);
    if context.json {
        return write_json(&as_typed_in(context.named.as_deref(), outcome.json), exit);
    }
    if context.verbosity >= 0 {
        let notes = outcome.notes.iter().map(|note| format!("{note}\n")).collect::<String>();
        say(&as_typed(context.named.as_deref(), &notes));
    }
    // EXPOSE: what the operator asked for.
    write_stdout(outcome.data.expose_secret(), exit)
}

/// Shows an error as JSON on stdout; `named`: how the configuration was named.
pub(crate) fn show_json_error(named: Option<&str>, error: &Error) -> ExitCode {
    let json = as_typed_in(named, json!({ "error": error_json(error) }));
    write_json(&json, ExitCode::from(error.kind().exit_code()))
}

fn error_json(error: &Error) -> Value {
    let mut out = json!({ "code": error.kind().code(), "message": error.message() });
    let Some(members) = out.as_object_mut() else { return out };
    if let Some(help) = next_step(error) {
        members.insert("help".into(), help.into());
    }
    // The first error, in the order of the file; warnings are no reason.
    let errors = error.problems().iter().filter(|problem| problem.severity == Severity::Error);
    if let Some(place) = errors.filter_map(|problem| problem.location.as_ref()).next() {
        members.insert("where".into(), json!(place));
    } else if let Some(file) = error.file() {
        members.insert("where".into(), json!({ "file": file.to_string_lossy() }));
    }
    if !error.problems().is_empty() {
        members.insert("problems".into(), json!(error.problems()));
    }
    out
}

/// The help of an error, else what one does about its kind.
fn next_step(error: &Error) -> Option<&str> {
    let of_kind = match error.kind() {
        ErrorKind::AlgorithmNotAllowed | ErrorKind::WrongUse => {
            Some("`claviger explain LABEL` says what a label is for and which algorithms it allows")
        }
        ErrorKind::Bug => Some("this is our mistake: report it with the command that shows it"),
        ErrorKind::ClaimsRejected => {
            Some("ask for a new token; --skew SECONDS allows for clocks that differ")
        }
        ErrorKind::Damaged => {
            Some("fetch or make the file again; `claviger inspect FILE` shows one")
        }
        ErrorKind::Io | ErrorKind::StoreUnreadable => {
            Some("check the path, and who may read and write it")
        }
        ErrorKind::Malformed => Some("check that the input is whole, and what its maker wrote"),
        ErrorKind::UnknownAlias => Some("`claviger inspect FILE` lists the aliases of a file"),
        ErrorKind::Usage => Some("`claviger COMMAND --help` has examples"),
        ErrorKind::WrongPassword => {
            Some("name the right one: --store-password-file FILE or --store-password-env NAME")
        }
        _ => None,
    };
    error.help().or(of_kind)
}

fn show_error(context: &Context, error: &Error) -> ExitCode {
    let (red, off) = if colored(context) { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let file = error.file().map(|file| file.display().to_string());
    let file = file.filter(|file| !error.message().contains(file.as_str()));
    let file = file.map_or_else(String::new, |file| format!("{file}: "));
    let typed = |help: &str| as_typed(context.named.as_deref(), &escape(help));
    let mut text = format!("{red}error{off}: {}{}\n", escape(&file), escape(error.message()));
    // Warnings are no reason, and `check` shows them.
    let errors = error.problems().iter().filter(|problem| problem.severity == Severity::Error);
    let mut errors: Vec<&Problem> = errors.collect();
    errors.sort_by_key(|problem| problem.order());
    for problem in errors {
        text.push_str(&format!("  {}{}\n", place_of(problem), escape(&problem.message)));
        if let Some(help) = &problem.help {
            text.push_str(&format!("    help: {}\n", typed(help)));
        }
    }
    if let Some(help) = next_step(error) {
        text.push_str(&format!("help: {}\n", typed(help)));
    }
    say(&text);
    ExitCode::from(error.kind().exit_code())
}

fn colored(context: &Context) -> bool {
    match context.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    }
}

/// Whether data on stdout is coloured.
pub(crate) fn colored_stdout(context: &Context) -> bool {
    match context.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    }
}

/// Shows lines that only `-v` asks for.
pub(crate) fn verbose(context: &Context, lines: &[String]) {
    if context.verbosity > 0 && !context.json {
        say(&lines.iter().map(|line| format!("note: {line}\n")).collect::<String>());
    }
}

/// Shows what a load warns of, where `-v` asks for it.
pub(crate) fn warnings(context: &Context, problems: &[Problem]) {
    if context.verbosity <= 0 || context.json {
        return;
    }
    for problem in problems {
        say(&format!("warning: {}{}\n", place_of(problem), escape(&problem.message)));
    }
}

/// `FILE:LINE:COLUMN: `, where there is one.
fn place_of(problem: &Problem) -> String {
    problem.location.as_ref().map_or_else(String::new, |place| {
        escape(&format!("{}:{}:{}: ", place.file.display(), place.line, place.column))
    })
}

/// Nobody can be told that stderr failed.
fn say(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

fn write_json(value: &Value, exit: ExitCode) -> ExitCode {
    write_stdout(format!("{value}\n").as_bytes(), exit)
}

/// A reader that went away (`| head`) is no error.
fn write_stdout(bytes: &[u8], exit: ExitCode) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            say(&format!("error: stdout cannot be written: {error}\n"));
            ExitCode::from(ErrorKind::Io.exit_code())
        }
        _ => exit,
    }
}

/// Control characters of foreign text, escaped: an alias cannot steer the terminal.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Bidirectional overrides (Unicode UAX #9) reorder what is seen.
        let steers = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (c.is_control() && c != '\n') || steers {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Columns padded to the widest cell, two spaces between.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |text: &str| escape(text).replace('\n', "\\n");
    let head: Vec<String> = head.iter().map(|text| (*text).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(&head)
        .chain(rows)
        .map(|row| row.iter().map(|text| cell(text)).collect())
        .collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|at| {
            all.iter()
                .filter_map(|row| row.get(at))
                .map(|one| one.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in &all {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(one, width)| format!("{one:<width$}")).collect();
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
    }
    out
}
