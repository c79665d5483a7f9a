//! Examples of the help run as they are printed: one that is longer than a terminal is wide goes on behind a `\`.

use clap::Command;

/// What most terminals have at least; clap breaks longer lines wherever it likes.
const COLUMNS: usize = 80;

/// The command and those below it with examples that can be copied.
pub(super) fn with_examples(command: Command) -> Command {
    let command = match command.get_after_help().map(ToString::to_string) {
        Some(text) => command.after_help(copyable(&text)),
        None => command,
    };
    command.mut_subcommands(with_examples)
}

/// The text with its indented lines continued; prose stands at the margin.
fn copyable(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix("  ") {
        Some(example) => continued(example),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn continued(example: &str) -> String {
    let (mut out, mut column) = (String::from(" "), 1);
    let mut words = words(example).peekable();
    while let Some(word) = words.next() {
        // An option stays with its value.
        let value =
            words.next_if(|next| word.starts_with("--") && !next.starts_with(['-', '|', '>']));
        let word = value.map_or_else(|| word.to_owned(), |value| format!("{word} {value}"));
        let width = word.chars().count();
        // Room for what announces the next line.
        if column > 1 && column + 1 + width + 2 > COLUMNS {
            out.push_str(" \\\n     ");
            column = 5;
        }
        out.push(' ');
        out.push_str(&word);
        column += 1 + width;
    }
    out
}

/// The parts between spaces that are in no quotes.
fn words(example: &str) -> impl Iterator<Item = &str> {
    let mut quote = None;
    example.split(move |one| {
        match quote {
            Some(open) if one == open => quote = None,
            None if matches!(one, '\'' | '"') => quote = Some(one),
            _ => {}
        }
        one == ' ' && quote.is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_examples_go_on_in_the_next_line_outside_quotes() {
        let quoted = "'a long value in quotes that has spaces in it and so on and so forth'";
        let text = format!(
            "Prose.\nExample:\n  claviger sign --label some.label --value {quoted} --out b"
        );
        let expected = format!(
            "Prose.\nExample:\n  claviger sign --label some.label \\\n      --value {quoted} \\\n      --out b"
        );
        assert_eq!(copyable(&text), expected);
        assert_eq!(copyable("  claviger check"), "  claviger check");
    }
}
