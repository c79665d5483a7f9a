//! `[[grants]]`: who may do what to which labels in which realms; with the callers, the [`Access`] of a file.

use std::collections::BTreeMap;

use crate::access::{
    Access, Caller, Credential, Grant, Pattern, ROOT_REALM, Right, Scope, TokenKeys,
};
use crate::catalogue;
use crate::config::callers::{self, Callers};
use crate::config::reader::{Source, Table, Value, as_string, parse_name, suggest, wrong_type};
use crate::config::{LabelSettings, Placed, StoreEntry};
use crate::label::{CallerName, LabelName, Realm};
use crate::problem::Problem;

pub(super) fn read(
    source: &Source<'_>,
    root: &Table<'_>,
    labels: &BTreeMap<LabelName, Placed<LabelSettings>>,
    stores: &[StoreEntry],
) -> Access {
    let callers = root.list("callers").unwrap_or_default();
    let callers = callers::read(source, callers, labels);
    let grants: Vec<PlacedGrant> = root
        .list("grants")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|item| read_grant(source, item, &callers))
        .collect();
    let known = KnownLabels { labels, stores };
    for grant in &grants {
        check(source, grant, &callers.callers, &known);
    }
    without_grant(source, &callers.callers, &grants);
    let callers = callers.callers.into_iter().map(|caller| caller.value).collect();
    Access::new(callers, grants.into_iter().map(PlacedGrant::into_grant).collect())
}

/// A grant with the places of what it names.
struct PlacedGrant {
    callers: Vec<Placed<CallerName>>,
    rights: Vec<Placed<Right>>,
    labels: Vec<Placed<Pattern>>,
    realms: Vec<Placed<Pattern>>,
}

impl PlacedGrant {
    fn into_grant(self) -> Grant {
        fn values<T>(placed: Vec<Placed<T>>) -> Vec<T> {
            placed.into_iter().map(|one| one.value).collect()
        }
        let mut realms = values(self.realms);
        if realms.is_empty() {
            realms.extend(ROOT_REALM.parse());
        }
        Grant {
            callers: values(self.callers),
            rights: values(self.rights),
            labels: values(self.labels),
            realms,
        }
    }
}

fn read_grant(source: &Source<'_>, item: Value<'_>, callers: &Callers) -> Option<PlacedGrant> {
    let Some(map) = item.get_ref().as_table() else {
        wrong_type(source, item, "a grant", "a table");
        return None;
    };
    let table = Table::new(source, map, "[[grants]]", item.span());
    let named = words(source, &table, "callers", |text| caller(source, text, callers));
    let rights = words(source, &table, "rights", |text| right(source, text));
    let labels = words(source, &table, "labels", |text| label_pattern(source, text));
    let realms = words(source, &table, "realms", |text| realm_pattern(source, text));
    for (key, example) in [("callers", "[\"portal\"]"), ("rights", "[\"verify\"]")] {
        if !table.has(key) {
            let text = format!("[[grants]] needs `{key}`");
            source.error_with("missing_key", text, format!("add {key} = {example}"), table.span());
        }
    }
    // A right that is misspelt might be of any kind.
    let all_read = table.list("rights").is_some_and(|all| all.len() == rights.len());
    if all_read && !rights.is_empty() {
        let has = |scope: &[Scope]| rights.iter().any(|one| scope.contains(&one.value.scope()));
        check_scope(source, &table, has(&[Scope::Label]), has(&[Scope::Label, Scope::Realm]));
    }
    table.finish();
    Some(PlacedGrant { callers: named, rights, labels, realms })
}

/// Whether labels and realms are named where rights ask for them, and only there.
fn check_scope(source: &Source<'_>, table: &Table<'_>, of_labels: bool, of_realms: bool) {
    match (table.has("labels"), of_labels) {
        (false, true) => {
            let text = "[[grants]] gives rights to labels, and says not to which";
            let help = "add labels = [\"am.services.oauth2.*\"]";
            source.error_with("missing_key", text, help, table.key_span("rights"));
        }
        (true, false) => {
            let text = "`labels` of [[grants]] limits nothing: no right of it is to labels";
            let help = "take it out, or name a right to labels such as \"sign\"";
            source.error_with("labels_not_allowed", text, help, table.key_span("labels"));
        }
        _ => {}
    }
    if table.has("realms") && !of_realms {
        let text = "`realms` of [[grants]] limits nothing: every right of it is to the service";
        source.error_with("realms_not_allowed", text, "take it out", table.key_span("realms"));
    }
}

/// The words of a list, each read by `read`; none of them twice.
fn words<T: PartialEq>(
    source: &Source<'_>,
    table: &Table<'_>,
    key: &'static str,
    read: impl Fn(&Placed<String>) -> Option<T>,
) -> Vec<Placed<T>> {
    let Some(items) = table.list(key) else { return Vec::new() };
    if items.is_empty() {
        let text = format!("`{key}` of [[grants]] is empty");
        let help = "name at least one";
        source.error_with("empty_list", text, help, table.key_span(key));
    }
    let mut found: Vec<Placed<T>> = Vec::new();
    for item in items {
        let Some(text) = as_string(source, item, &format!("an element of `{key}`")) else {
            continue;
        };
        let text = Placed { value: text, location: source.location(item.span()) };
        let Some(value) = read(&text) else { continue };
        if found.iter().any(|one| one.value == value) {
            let shown =
                format!("`{key}` of [[grants]] names \"{}\" twice", text.value.escape_debug());
            source.error_with("repeated_value", shown, "keep the first", item.span());
        }
        found.push(Placed { value, location: text.location });
    }
    found
}

fn caller(source: &Source<'_>, text: &Placed<String>, callers: &Callers) -> Option<CallerName> {
    let names = callers.names.iter();
    if let Some(name) = names.clone().find(|name| name.value.as_str() == text.value) {
        return Some(name.value.clone());
    }
    let names: Vec<&str> = names.map(|name| name.value.as_str()).collect();
    let shown = format!("there is no caller \"{}\"", text.value.escape_debug());
    let help = suggest(&text.value, &names).map_or_else(
        || "add [[callers]] with this name".to_owned(),
        |near| format!("did you mean \"{near}\"?"),
    );
    source.error_with("unknown_caller", shown, help, text.location.span.clone());
    None
}

fn right(source: &Source<'_>, text: &Placed<String>) -> Option<Right> {
    let found = text.value.parse().ok();
    if found.is_none() {
        let names: Vec<&str> = Right::ALL.iter().map(|right| right.name()).collect();
        let shown = format!("\"{}\" is no right", text.value.escape_debug());
        let help = suggest(&text.value, &names).map_or_else(
            || format!("use some of {}", names.join(", ")),
            |near| format!("did you mean \"{near}\"?"),
        );
        source.error_with("unknown_right", shown, help, text.location.span.clone());
    }
    found
}

/// A label, or the beginning of one; in the spelling that requests are looked up by.
fn label_pattern(source: &Source<'_>, text: &Placed<String>) -> Option<Pattern> {
    let pattern = parse_name::<Pattern>(source, text, "bad_pattern")?.value;
    let part = pattern.text();
    if pattern.is_open() {
        let fits = part.len() <= 255
            && !part.starts_with('.')
            && !part.contains("..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        if !fits {
            let shown = format!("no label begins with \"{}\"", part.escape_debug());
            let help = "labels are letters and digits with dots between parts";
            source.error_with("bad_pattern", shown, help, text.location.span.clone());
        }
        return fits.then_some(pattern);
    }
    let label = parse_name::<LabelName>(source, text, "bad_label")?;
    catalogue::canonical(&label.value).as_str().parse().ok()
}

/// `/`, a realm, or the beginning of one.
fn realm_pattern(source: &Source<'_>, text: &Placed<String>) -> Option<Pattern> {
    let pattern = parse_name::<Pattern>(source, text, "bad_pattern")?.value;
    let part = pattern.text();
    let is_realm = |part: &str| part.parse::<Realm>().is_ok();
    let fits = if pattern.is_open() {
        part.is_empty() || is_realm(part.strip_suffix('/').unwrap_or(part))
    } else {
        part == ROOT_REALM || is_realm(part)
    };
    if !fits {
        let shown = format!("\"{}\" is no realm", text.value.escape_debug());
        let help = "write \"/\" for the root realm, \"alpha\" or \"customers/*\" for others, \"*\" for all";
        source.error_with("bad_realm", shown, help, text.location.span.clone());
    }
    fits.then_some(pattern)
}

/// The labels that can be there: of the catalogue, declared, or mapped.
struct KnownLabels<'c> {
    labels: &'c BTreeMap<LabelName, Placed<LabelSettings>>,
    stores: &'c [StoreEntry],
}

impl KnownLabels<'_> {
    fn meets(&self, pattern: &Pattern) -> bool {
        let mapped = self.stores.iter().flat_map(|store| &store.mappings);
        let mut named = self.labels.keys().chain(mapped.map(|mapping| &mapping.label.value));
        let exact = || pattern.text().parse().is_ok_and(|name| catalogue::find(&name).is_some());
        let begins = || {
            catalogue::all().iter().any(|spec| match spec.name.split_once('{') {
                Some((start, _)) => pattern.meets(start),
                None => pattern.matches(&spec.name),
            })
        };
        named.any(|name| pattern.matches(name.as_str()))
            || if pattern.is_open() { begins() } else { exact() }
    }
}

/// What a grant says that nobody may mean.
fn check(
    source: &Source<'_>,
    grant: &PlacedGrant,
    callers: &[Placed<Caller>],
    known: &KnownLabels<'_>,
) {
    for pattern in grant.labels.iter().filter(|pattern| !known.meets(&pattern.value)) {
        let text = format!("no label of the catalogue or of this file is \"{}\"", pattern.value);
        let near = catalogue::nearest(pattern.value.text());
        let help = near.map_or_else(
            || "check its spelling; `claviger labels` lists what is mapped".to_owned(),
            |near| format!("did you mean \"{near}\"?"),
        );
        let problem = Problem::warning("pattern_without_label", text).with_help(help);
        source.report(problem, pattern.location.span.clone());
    }
    let who = |name: &CallerName| callers.iter().find(|caller| caller.value.name == *name);
    let anonymous = grant.callers.iter().find(|name| {
        who(&name.value).is_some_and(|caller| caller.value.credential == Credential::Anonymous)
    });
    let acting = grant.rights.iter().find(|right| right.value.acts());
    if let (Some(name), Some(right)) = (anonymous, acting) {
        let text = format!("everybody may {}: \"{}\" is anonymous", right.value, name.value);
        let help = "meant so? else give the right to a caller with a credential";
        let problem = Problem::warning("anonymous_acts", text).with_help(help);
        source.report(problem, right.location.span.clone());
    }
    check_self_made(source, grant, callers);
}

/// Who signs with a label by which others prove who they are can be any of them.
fn check_self_made(source: &Source<'_>, grant: &PlacedGrant, callers: &[Placed<Caller>]) {
    let Some(right) = grant.rights.iter().find(|right| right.value == Right::Sign) else { return };
    for caller in callers {
        let Credential::Token(rule) = &caller.value.credential else { continue };
        let TokenKeys::Label { label, realm } = &rule.keys else { continue };
        let realm = realm.as_ref().map_or(ROOT_REALM, Realm::as_str);
        let in_realm = grant.realms.is_empty() && realm == ROOT_REALM
            || grant.realms.iter().any(|pattern| pattern.value.matches(realm));
        if !in_realm || !grant.labels.iter().any(|pattern| pattern.value.matches(label.as_str())) {
            continue;
        }
        let text = format!(
            "who may sign with label \"{label}\" can make tokens that prove to be \"{}\"",
            caller.value.name
        );
        let help = "let callers prove themselves by a label that no grant lets sign";
        let problem = Problem::warning("credentials_can_be_made", text).with_help(help);
        source.report(problem, right.location.span.clone());
    }
}

fn without_grant(source: &Source<'_>, callers: &[Placed<Caller>], grants: &[PlacedGrant]) {
    for caller in callers {
        let named =
            |grant: &PlacedGrant| grant.callers.iter().any(|name| name.value == caller.value.name);
        if !grants.iter().any(named) {
            let text =
                format!("caller \"{}\" may do nothing: no grant names it", caller.value.name);
            let help = "add [[grants]] with callers, rights and labels, or take the caller out";
            let problem = Problem::warning("caller_without_grant", text).with_help(help);
            source.report(problem, caller.location.span.clone());
        }
    }
}
