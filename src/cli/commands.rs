//! Commands that are proposed, as they are typed here: with the configuration that was named on the command line.

use std::path::Path;

use clap::CommandFactory;
use serde_json::Value;

use super::Cli;

/// The words with which a command begins.
const PROGRAM: &str = "claviger ";

/// How the configuration was named, where neither the environment nor the default names it.
pub(crate) fn named(config: &Path) -> Option<String> {
    let by_default = config == Path::new("claviger.toml");
    let by_environment = std::env::var_os("CLAVIGER_CONFIG").is_some_and(|named| config == named);
    (!by_default && !by_environment).then(|| word(&config.to_string_lossy()))
}

/// The same text; what it proposes to type is about the same configuration.
pub(crate) fn as_typed(named: Option<&str>, text: &str) -> String {
    let Some(config) = named else { return text.to_owned() };
    let program = Cli::command();
    let is_command = |name: &str| program.get_subcommands().any(|one| one.get_name() == name);
    let mut parts = text.split(PROGRAM);
    let mut typed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let begins = !typed.ends_with(|c: char| c.is_alphanumeric() || "/-_.".contains(c));
        typed.push_str(PROGRAM);
        let end = part.find(|c: char| !(c.is_ascii_lowercase() || c == '-'));
        if begins && is_command(part.split_at(end.unwrap_or(part.len())).0) {
            typed.push_str(&format!("-c {config} "));
        }
        typed.push_str(part);
    }
    typed
}

/// The same answer; what it proposes to type is about the same configuration. Every other text is a fact, and stays.
pub(crate) fn as_typed_in(named: Option<&str>, mut json: Value) -> Value {
    if named.is_some() {
        type_members(named, &mut json);
    }
    json
}

fn type_members(named: Option<&str>, json: &mut Value) {
    match json {
        Value::Array(all) => all.iter_mut().for_each(|one| type_members(named, one)),
        Value::Object(members) => {
            for (name, value) in members {
                if PROPOSING.contains(&name.as_str()) {
                    type_texts(named, value);
                } else {
                    type_members(named, value);
                }
            }
        }
        _ => {}
    }
}

fn type_texts(named: Option<&str>, value: &mut Value) {
    match value {
        Value::String(text) => *text = as_typed(named, text),
        Value::Array(all) => all.iter_mut().for_each(|one| type_texts(named, one)),
        _ => {}
    }
}

/// The members of answers that say what to type.
const PROPOSING: [&str; 4] = ["command", "consequences", "help", "notes"];

/// A word as a shell takes it.
pub(crate) fn word(text: &str) -> String {
    if text.chars().all(|c| c.is_alphanumeric() || "-_.:@/+=,".contains(c)) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_configuration_and_other_words_stay() {
        let text = "then: claviger promote x y · or: `claviger history --verify` says more; changed outside of claviger \
                    between; /opt/claviger check; myclaviger check; claviger promotes nobody";
        assert_eq!(as_typed(None, text), text);
        assert_eq!(
            as_typed(Some("demo/c.toml"), text),
            "then: claviger -c demo/c.toml promote x y · or: `claviger -c demo/c.toml history --verify` says more; \
             changed outside of claviger between; /opt/claviger check; myclaviger check; claviger promotes nobody"
        );
        assert_eq!(word("a b'c"), "'a b'\\''c'");
    }
}
