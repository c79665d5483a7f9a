//! The log of a program that goes on: one line an event on stderr, for people, for `--json` or for the journal of
//! systemd.

use std::io::{self, Write};

use claviger::clock::{Clock, rfc3339};
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde_json::json;

use super::Context;
use super::output::escape;

/// Sends every line that is logged from now on to stderr: `-q` warnings and errors only, `-v` more.
pub(crate) fn start(context: &Context) {
    let level = match context.verbosity {
        ..0 => LevelFilter::Warn,
        0 => LevelFilter::Info,
        1 => LevelFilter::Debug,
        2.. => LevelFilter::Trace,
    };
    let form = match (context.json, std::env::var_os("JOURNAL_STREAM").is_some()) {
        (true, _) => Form::Json,
        (false, true) => Form::Journal,
        (false, false) => Form::Text,
    };
    let lines = Lines { form, clock: context.clock.clone() };
    // A second logger is refused: the first one goes on.
    if log::set_boxed_logger(Box::new(lines)).is_ok() {
        log::set_max_level(level);
    }
}

#[derive(Clone, Copy, Debug)]
enum Form {
    /// The journal has times of its own; it reads a priority at the start of a line (sd-daemon(3)).
    Journal,
    Json,
    Text,
}

struct Lines {
    form: Form,
    clock: Clock,
}

impl Lines {
    fn line(&self, record: &Record<'_>) -> String {
        let text = escape(&record.args().to_string()).replace('\n', "\\n");
        let (level, priority) = match record.level() {
            Level::Error => ("error", 3),
            Level::Warn => ("warning", 4),
            Level::Info => ("info", 6),
            Level::Debug | Level::Trace => ("debug", 7),
        };
        let now = || rfc3339(self.clock.now());
        match self.form {
            Form::Journal => format!("<{priority}>{text}\n"),
            Form::Json => {
                let line = json!({ "time": now(), "level": level, "message": text });
                format!("{line}\n")
            }
            Form::Text => format!("{} {level}: {text}\n", now()),
        }
    }
}

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        // What other crates say below a warning is about them; so are the warnings of the one that watches folders, of
        // those that are gone, as behind the links of Kubernetes each time.
        target.starts_with("claviger")
            || (metadata.level() <= Level::Warn && !target.starts_with("notify"))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // Nobody can be told that stderr failed.
            drop(io::stderr().lock().write_all(self.line(record).as_bytes()));
        }
    }

    fn flush(&self) {}
}
