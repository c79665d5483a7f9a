//! What the command line advises, as callers over HTTP can follow it: a command that is a route is that route, an option is
//! a member of the body. Every other command is for who administers the service.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The program, as help texts write it before a command.
const PROGRAM: &str = "claviger ";
/// The commands that are routes of a label, each with the method of its route.
const OF_LABELS: [(&str, &str); 10] = [
    ("drill", "POST"),
    ("explain", "GET"),
    ("generate", "POST"),
    ("history", "GET"),
    ("promote", "POST"),
    ("reorder", "POST"),
    ("retire", "POST"),
    ("revoke", "POST"),
    ("stage", "POST"),
    ("undo", "POST"),
];

/// A text of the command line for callers over HTTP.
pub(super) fn over_http(text: &str) -> String {
    let (mut told, mut rest, mut is_for_others) = (String::new(), text, false);
    while let Some((before, after)) = rest.split_once(PROGRAM) {
        let quoted = before.strip_suffix('`');
        let (command, after) = if quoted.is_some() {
            after.split_once('`').unwrap_or((after, ""))
        } else {
            after.split_at(end_of_command(after))
        };
        match route(command) {
            Some(route) => told.push_str(&(options(quoted.unwrap_or(before)) + &route)),
            None => {
                let mark = if quoted.is_some() { "`" } else { "" };
                told.push_str(&(options(before) + PROGRAM + command + mark));
                is_for_others = true;
            }
        }
        rest = after;
    }
    told.push_str(&options(rest));
    if is_for_others {
        told.push_str("; commands are for who administers the service");
    }
    told
}

/// Where a command ends that no quotation marks say.
fn end_of_command(text: &str) -> usize {
    let mut in_quotes = false;
    let ends = |c: char| {
        in_quotes ^= c == '\'';
        !in_quotes && [';', ',', ')'].contains(&c)
    };
    text.find(ends).unwrap_or(text.len())
}

/// The route that a command is, with the body that it takes.
fn route(command: &str) -> Option<String> {
    let words = words(command);
    let (verb, arguments) = words.split_first()?;
    if *verb == "labels" {
        let one = if arguments.is_empty() { "" } else { "/{label}" };
        return Some(format!("GET /v1/labels{one}"));
    }
    let (verb, method) = OF_LABELS.iter().find(|(name, _)| name == verb)?;
    if *verb == "history" && arguments.contains(&"--verify") {
        return Some("GET /v1/history/verify".to_owned());
    }
    let (mut named, mut options, mut realm) = (Vec::new(), Map::new(), None);
    let mut arguments = arguments.iter().peekable();
    while let Some(word) = arguments.next() {
        let Some(option) = word.strip_prefix("--") else {
            named.push(*word);
            continue;
        };
        let value = arguments.next_if(|next| !next.starts_with("--"));
        match (option, value) {
            // They name the label, as the path does.
            ("stage" | "label", _) => {}
            ("realm", value) => realm = value,
            (option, value) => {
                drop(options.insert(member(option), value.map_or(Value::Bool(true), json)))
            }
        }
    }
    // A new key comes before the label that it is staged for.
    let aliases = if *verb == "generate" { named.get(..) } else { named.get(1..) };
    let mut body = Map::new();
    match aliases.unwrap_or_default() {
        [] => {}
        many if *verb == "reorder" => drop(body.insert("aliases".into(), many.to_vec().into())),
        [one, ..] => drop(body.insert("alias".into(), (*one).into())),
    }
    body.extend(options);
    let mut told = format!("{method} /v1/labels/{{label}}/{verb}");
    if let Some(realm) = realm {
        let _ = write!(told, "?realm={realm}");
    }
    if *method == "POST" && !body.is_empty() {
        let _ = write!(told, " {}", Value::Object(body));
    }
    Some(told)
}

/// The words of a command; what stands between quotation marks is one.
fn words(command: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = command.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap_or((quoted, "")),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

fn member(option: &str) -> String {
    option.replace('-', "_")
}

fn json(value: &&str) -> Value {
    value.parse::<u64>().map_or_else(|_| (*value).into(), Value::from)
}

/// Options that stand alone: `--realm` is of the query, the others are members of the body.
fn options(text: &str) -> String {
    let mut told = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("--") {
        let is_of_name = |c: char| c.is_ascii_lowercase() || c == '-';
        let (name, after) = after.split_at(after.find(|c| !is_of_name(c)).unwrap_or(after.len()));
        told.push_str(before);
        match name {
            "realm" => told.push_str("?realm="),
            _ if name.starts_with(|c: char| c.is_ascii_lowercase()) => {
                told.push_str(&format!("\"{}\"", member(name)));
            }
            _ => told.push_str(&format!("--{name}")),
        }
        rest = if name == "realm" { after.strip_prefix(' ').unwrap_or(after) } else { after };
    }
    told + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::route_table;

    #[test]
    fn what_is_a_route_is_told_as_one() {
        for (text, told) in [
            (
                "let it act: claviger promote a.b c",
                r#"let it act: POST /v1/labels/{label}/promote {"alias":"c"}"#,
            ),
            (
                "next: claviger promote a.b 'it, c' --realm alpha, from noon on",
                r#"next: POST /v1/labels/{label}/promote?realm=alpha {"alias":"it, c"}, from noon on"#,
            ),
            (
                "make one: claviger generate NEW --stage a.b --bits 3072; `claviger history --label a.b` has the reason",
                "make one: POST /v1/labels/{label}/generate {\"alias\":\"NEW\",\"bits\":3072}; GET \
                 /v1/labels/{label}/history has the reason",
            ),
            (
                "claviger reorder a.b x y",
                r#"POST /v1/labels/{label}/reorder {"aliases":["x","y"]}"#,
            ),
            (
                "or: claviger revoke a.b c --compromised-at T --force",
                r#"or: POST /v1/labels/{label}/revoke {"alias":"c","compromised_at":"T","force":true}"#,
            ),
            ("`claviger labels a.b` shows the others", "GET /v1/labels/{label} shows the others"),
            ("`claviger history --verify` says more", "GET /v1/history/verify says more"),
            ("say which: --store NAME or --realm R", "say which: \"store\" NAME or ?realm=R"),
            ("revoke it without --replace: a -- b", "revoke it without \"replace\": a -- b"),
            (
                "`claviger check` says why, `claviger labels` what is there",
                "`claviger check` says why, GET /v1/labels what is there; commands are for who administers the service",
            ),
            ("-----BEGIN X-----", "-----BEGIN X-----"),
            ("wait", "wait"),
            ("claviger ", "claviger ; commands are for who administers the service"),
        ] {
            assert_eq!(over_http(text), told, "{text}");
        }
    }

    #[test]
    fn these_routes_are_there() {
        let routes = route_table();
        for (verb, method) in OF_LABELS {
            let path = format!("/v1/labels/{{label}}/{verb}");
            assert!(routes.iter().any(|one| one.method == method && one.path == path), "{verb}");
        }
    }
}
