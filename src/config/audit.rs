//! `[service.audit]`: where audit lines go, for what there are some, and what happens when one cannot be written.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Placed;
use crate::config::reader::{Source, Table};
use crate::config::values::duration;

/// `[service.audit]`. Two are equal wherever they stand.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct AuditSettings {
    /// `to`: where lines go.
    pub to: AuditTarget,
    /// `uses`, with `sample_one_in`; default none.
    pub uses: AuditedUses,
    /// `on_failure`: what happens when a line cannot be written.
    pub on_failure: AuditFailure,
}

/// `to`.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the forms of the setting")]
pub enum AuditTarget {
    /// A file, with the bounds of its rotation.
    File {
        /// Where.
        path: Placed<PathBuf>,
        /// When it is put aside.
        rotation: AuditRotation,
    },
    /// `"stdout"`: lines of standard output, for the journal of systemd or of a container.
    Stdout,
}

impl PartialEq for AuditTarget {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { path, rotation }, Self::File { path: other_path, rotation: other }) => {
                (&path.value, rotation) == (&other_path.value, other)
            }
            (Self::Stdout, Self::Stdout) => true,
            _ => false,
        }
    }
}

/// When the file is put aside as `….1`, and how many are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct AuditRotation {
    /// `max_bytes`: before it would be larger; default 64 MiB.
    pub max_bytes: u64,
    /// `every`: with the first line of a new period, counted from 1970 in UTC (`"1d"`: at midnight); absent: its size
    /// alone decides.
    pub every: Option<Duration>,
    /// `max_files`: how many there are together with the one that is written; default 8.
    pub max_files: u32,
}

impl Default for AuditRotation {
    fn default() -> Self {
        Self { max_bytes: 64 << 20, every: None, max_files: 8 }
    }
}

/// `uses`: for which uses of labels and profiles there is a line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the values of the setting")]
pub enum AuditedUses {
    /// `"full"`: for each.
    Full,
    /// `"none"`.
    #[default]
    None,
    /// `"sampled"`: for one in so many, chosen at random.
    Sampled {
        /// `sample_one_in`; default 100.
        one_in: u32,
    },
}

/// `on_failure`, for each kind of line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct AuditFailure {
    /// `changes`; default closed: nothing is changed of which there is no line.
    pub changes: FailureMode,
    /// `refusals`; default closed: the answer is 503.
    pub refusals: FailureMode,
    /// `uses`; default open.
    pub uses: FailureMode,
}

impl Default for AuditFailure {
    fn default() -> Self {
        let (changes, refusals, uses) =
            (FailureMode::Closed, FailureMode::Closed, FailureMode::Open);
        Self { changes, refusals, uses }
    }
}

/// What happens to an operation whose line cannot be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the values of the setting")]
pub enum FailureMode {
    /// It is answered with 503 `audit_unavailable`.
    Closed,
    /// It goes on; the line is counted as lost.
    Open,
}

/// Reads the table; without one nothing is audited.
pub(super) fn read(source: &Source<'_>, table: Option<Table<'_>>) -> Option<AuditSettings> {
    let table = table?;
    let to = table.required_filled("to", "\"audit.log\", or \"stdout\"");
    let rotation = rotation(source, &table, to.as_ref().is_some_and(|to| to.value == "stdout"));
    let uses = uses(source, &table);
    let on_failure = table.table("on_failure", "`on_failure` of [service.audit]");
    let on_failure = on_failure.map_or_else(AuditFailure::default, failure);
    table.finish();
    let to = to?;
    let to = if to.value == "stdout" {
        AuditTarget::Stdout
    } else {
        let path = Placed { value: source.join(&to.value), location: to.location };
        AuditTarget::File { path, rotation }
    };
    Some(AuditSettings { to, uses, on_failure })
}

fn rotation(source: &Source<'_>, table: &Table<'_>, stdout: bool) -> AuditRotation {
    let default = AuditRotation::default();
    let max_bytes = table.number("max_bytes", 65_536..1 << 40);
    let every = table.string("every").and_then(|text| duration(source, &text));
    let max_files = table.number("max_files", 1..1_001).and_then(|many| u32::try_from(many).ok());
    let set = ["max_bytes", "every", "max_files"].into_iter().find(|key| table.has(key));
    if let Some(key) = set.filter(|_| stdout) {
        let text = format!("`{key}` of [service.audit] is about a file, and lines go to stdout");
        let help = format!("take {key} out, or name a file: to = \"audit.log\"");
        source.error_with("conflicting_keys", text, help, table.key_span(key));
    }
    AuditRotation {
        max_bytes: max_bytes.unwrap_or(default.max_bytes),
        every,
        max_files: max_files.unwrap_or(default.max_files),
    }
}

fn uses(source: &Source<'_>, table: &Table<'_>) -> AuditedUses {
    let uses = table.choice("uses", USES).unwrap_or_default();
    let one_in = table.number("sample_one_in", 1..1_000_001);
    let one_in = one_in.and_then(|many| u32::try_from(many).ok());
    match uses {
        AuditedUses::Sampled { one_in: default } => {
            AuditedUses::Sampled { one_in: one_in.unwrap_or(default) }
        }
        other => {
            if table.has("sample_one_in") {
                let text = "`sample_one_in` of [service.audit] is for uses = \"sampled\"";
                let help = "write uses = \"sampled\", or take sample_one_in out";
                let span = table.key_span("sample_one_in");
                source.error_with("conflicting_keys", text, help, span);
            }
            other
        }
    }
}

const USES: &[(&str, AuditedUses)] = &[
    ("none", AuditedUses::None),
    ("sampled", AuditedUses::Sampled { one_in: 100 }),
    ("full", AuditedUses::Full),
];

fn failure(table: Table<'_>) -> AuditFailure {
    let default = AuditFailure::default();
    let mode = |key| table.choice(key, MODES);
    let found = AuditFailure {
        changes: mode("changes").unwrap_or(default.changes),
        refusals: mode("refusals").unwrap_or(default.refusals),
        uses: mode("uses").unwrap_or(default.uses),
    };
    table.finish();
    found
}

const MODES: &[(&str, FailureMode)] =
    &[("closed", FailureMode::Closed), ("open", FailureMode::Open)];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Config;

    fn parse(audit: &str) -> (Option<AuditSettings>, Vec<(&'static str, usize, usize)>) {
        let text = format!("[service]\nplain_http = true\n[service.audit]\n{audit}");
        let (config, problems) = Config::parse(&text, Path::new("/etc/claviger.toml"));
        let place = |one: &crate::problem::Problem| {
            let at = one.location.as_ref().unwrap();
            (one.code, at.line, at.column)
        };
        let problems = problems.iter().filter(|one| one.code != "no_stores").map(place).collect();
        (config.and_then(|config| config.service.audit), problems)
    }

    #[test]
    fn every_form_of_the_table_is_read() {
        let (found, problems) = parse("to = \"stdout\"\n");
        assert!(problems.is_empty(), "{problems:?}");
        let plain = AuditSettings {
            to: AuditTarget::Stdout,
            uses: AuditedUses::None,
            on_failure: AuditFailure::default(),
        };
        assert_eq!(found, Some(plain));
        let (found, problems) = parse(
            "to = \"log/audit.log\"\nuses = \"sampled\"\nsample_one_in = 7\nmax_bytes = 65536\nevery = \"1d\"\n\
             max_files = 3\non_failure = { changes = \"open\", uses = \"closed\" }\n",
        );
        assert!(problems.is_empty(), "{problems:?}");
        let found = found.unwrap();
        assert_eq!(found.uses, AuditedUses::Sampled { one_in: 7 });
        let (closed, open) = (FailureMode::Closed, FailureMode::Open);
        let modes = AuditFailure { changes: open, refusals: closed, uses: closed };
        assert_eq!(found.on_failure, modes);
        let AuditTarget::File { path, rotation } = found.to else { panic!() };
        assert_eq!(path.value, Path::new("/etc/log/audit.log"));
        let day = Some(Duration::from_secs(86_400));
        assert_eq!(rotation, AuditRotation { max_bytes: 65_536, every: day, max_files: 3 });
        assert_eq!(parse("to = \"a\"\nuses = \"sampled\"\n").0.unwrap().uses, {
            AuditedUses::Sampled { one_in: 100 }
        });
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        for (audit, code, line, column) in [
            ("", "missing_key", 3, 1),
            ("to = \"\"", "empty_value", 4, 6),
            ("to = 1", "wrong_type", 4, 6),
            ("to = \"a\"\nuses = \"some\"", "unknown_value", 5, 8),
            ("to = \"a\"\nsample_one_in = 5", "conflicting_keys", 5, 1),
            ("to = \"a\"\nuses = \"sampled\"\nsample_one_in = 0", "out_of_range", 6, 17),
            ("to = \"stdout\"\nmax_files = 2", "conflicting_keys", 5, 1),
            ("to = \"a\"\nmax_bytes = 10", "out_of_range", 5, 13),
            ("to = \"a\"\nevery = \"daily\"", "bad_duration", 5, 9),
            ("to = \"a\"\nfile = \"b\"", "unknown_key", 5, 1),
            ("to = \"a\"\non_failure = \"closed\"", "wrong_type", 5, 14),
            ("to = \"a\"\non_failure = { change = \"open\" }", "unknown_key", 5, 16),
            ("to = \"a\"\non_failure = { uses = \"shut\" }", "unknown_value", 5, 23),
        ] {
            assert_eq!(parse(audit).1, [(code, line, column)], "{audit}");
        }
    }
}
