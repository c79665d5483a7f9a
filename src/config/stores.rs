//! Reads `[stores.*]`: what each store is and what it maps.

use std::collections::HashSet;
use std::time::Duration;

use crate::config::reader::{Source, Table, Value, as_string, parse_name, suggest, wrong_type};
use crate::config::values::{algorithms, duration};
use crate::config::{MappedAlias, Mapping, Placed, StoreEntry, StorePlaces};
use crate::formats::ContainerType;
use crate::label::{Alias, LabelName, Realm, StoreName};
use crate::problem::Problem;
use crate::stores::{
    EnvironmentOptions, KeystoreOptions, PasswordSource, Permissions, StoreConfig, ValueFormat,
    VolumeOptions,
};

const KINDS: [&str; 3] = ["keystore", "volume", "environment"];
/// Kinds that are planned, and the feature that will hold them.
const PLANNED: [(&str, &str); 7] = [
    ("hsm", "hsm"),
    ("google-kms", "google"),
    ("google-secret-manager", "google"),
    ("aws-secrets-manager", "aws"),
    ("aws-kms", "aws"),
    ("azure-key-vault", "azure"),
    ("vault", "vault"),
];
const FORMATS: &[(&str, ValueFormat)] = &[
    ("plain", ValueFormat::Plain),
    ("base64", ValueFormat::Base64),
    ("pem", ValueFormat::Pem),
    ("jwk", ValueFormat::Jwk),
    ("encrypted-plain", ValueFormat::EncryptedPlain),
    ("encrypted-base64", ValueFormat::EncryptedBase64),
    ("encrypted-pem", ValueFormat::EncryptedPem),
];

pub(super) fn read(source: &Source<'_>, table: Option<Table<'_>>) -> Vec<StoreEntry> {
    let Some(table) = table.filter(|table| !table.is_empty()) else {
        let help = "add [stores.NAME] with kind = \"keystore\", or run `claviger init`";
        source.report(Problem::error("no_stores", "there is no store").with_help(help), 0..0);
        return Vec::new();
    };
    table
        .entries()
        .into_iter()
        .filter_map(|(key, value)| {
            let name = parse_name::<StoreName>(source, &key, "bad_store_name")?;
            let shown = format!("[stores.{}]", name.value);
            let Some(map) = value.get_ref().as_table() else {
                wrong_type(source, value, &shown, "a table");
                return None;
            };
            let span = name.location.span.clone();
            read_store(source, name, Table::new(source, map, shown, span))
        })
        .collect()
}

fn read_store(
    source: &Source<'_>,
    name: Placed<StoreName>,
    table: Table<'_>,
) -> Option<StoreEntry> {
    let kind = read_kind(source, &table);
    let realm = table.parsed::<Realm>("realm", "bad_realm").map(|realm| realm.value);
    let (content, options) = match kind {
        Some(Kind::Environment) => (Some("kind"), environment(source, &table, realm.as_ref())),
        Some(Kind::Keystore) => (Some("path"), keystore(source, &table)),
        Some(Kind::Volume) => (Some("directory"), volume(source, &table)),
        None => (None, None),
    };
    let mappings = read_mappings(source, &table, kind);
    let places = StorePlaces {
        content: content
            .and_then(|key| table.value(key))
            .map_or_else(|| name.location.clone(), |value| source.location(value.span())),
        passwords: places_of(source, &table, options.as_ref()),
    };
    if kind.is_some() {
        table.finish();
    }
    Some(StoreEntry { name, realm, options: options?, places, mappings })
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Environment,
    Keystore,
    Volume,
}

/// The kind; where it is absent or mistyped, the one that is meant, so that the rest is read as well.
fn read_kind(source: &Source<'_>, table: &Table<'_>) -> Option<Kind> {
    let by_name = |name: &str| match name {
        "environment" => Some(Kind::Environment),
        "keystore" => Some(Kind::Keystore),
        "volume" => Some(Kind::Volume),
        _ => None,
    };
    let by_keys = || match (table.has("path"), table.has("directory")) {
        (true, false) => Some(Kind::Keystore),
        (false, true) => Some(Kind::Volume),
        _ => None,
    };
    let Some(kind) = table.required("kind", "\"keystore\", \"volume\" or \"environment\"") else {
        return by_keys();
    };
    let found = by_name(&kind.value);
    if found.is_some() {
        return found;
    }
    if let Some((planned, feature)) = PLANNED.iter().find(|(planned, _)| *planned == kind.value) {
        let text = format!("store kind \"{planned}\" needs feature \"{feature}\"");
        let help = "this build has keystore, volume and environment";
        source.error_with("store_kind_not_built", text, help, kind.location.span.clone());
        return None;
    }
    table.unknown_value("kind", &kind, &KINDS);
    suggest(&kind.value, &KINDS).and_then(by_name).or_else(by_keys)
}

/// Where the passwords of a store are named.
fn places_of(
    source: &Source<'_>,
    table: &Table<'_>,
    options: Option<&StoreConfig>,
) -> Vec<Placed<PasswordSource>> {
    let named: [(&'static str, Option<&PasswordSource>); 2] = match options {
        None => return Vec::new(),
        Some(StoreConfig::Keystore(options)) => [
            ("store_password", options.store_password.as_ref()),
            ("entry_password", options.entry_password.as_ref()),
        ],
        Some(StoreConfig::Environment(options)) => {
            [("key", options.key.as_ref()), ("pem_password", options.pem_password.as_ref())]
        }
        Some(StoreConfig::Volume(options)) => {
            [("key", options.key.as_ref()), ("pem_password", options.pem_password.as_ref())]
        }
    };
    named
        .into_iter()
        .filter_map(|(key, password)| {
            let location = source.location(table.value(key)?.span());
            Some(Placed { value: password?.clone(), location })
        })
        .collect()
}

fn keystore(source: &Source<'_>, table: &Table<'_>) -> Option<StoreConfig> {
    let types = [
        ("pkcs12", ContainerType::Pkcs12),
        ("jks", ContainerType::Jks),
        ("jceks", ContainerType::Jceks),
        ("pem", ContainerType::Pem),
        ("jwks", ContainerType::Jwks),
    ];
    let path = table.required_filled("path", "\"keystores/default.p12\"");
    let options = KeystoreOptions {
        path: source.join(path.as_ref().map_or("", |path| path.value.as_str())),
        container_type: table.choice("type", &types),
        store_password: password(source, table, "store_password"),
        entry_password: password(source, table, "entry_password"),
        require_integrity: table
            .choice("integrity", &[("required", true), ("none", false)])
            .unwrap_or(true),
        lease: lease(source, table),
    };
    path.map(|_| StoreConfig::Keystore(options))
}

fn volume(source: &Source<'_>, table: &Table<'_>) -> Option<StoreConfig> {
    let directory = table.required_filled("directory", "\"secrets\"");
    let extension = dotted(source, table, "extension");
    let version_suffix = table.string("version_suffix");
    let suffix = version_suffix.as_ref().map_or("", |text| text.value.as_str());
    // A suffix that ends in a digit could not be told from the version that follows it.
    let fits = suffix.is_empty()
        || (suffix.starts_with('.') && suffix.ends_with(|last: char| last.is_ascii_alphabetic()));
    if !fits && let Some(text) = &version_suffix {
        let shown = format!("\"{}\" is no version suffix", suffix.escape_debug());
        let help = "write a dot and letters: \".v\"";
        source.error_with("bad_version_suffix", shown, help, text.location.span.clone());
    }
    let permissions = [
        ("ignore", Permissions::Ignore),
        ("refuse", Permissions::Refuse),
        ("warn", Permissions::Warn),
    ];
    let options = VolumeOptions {
        directory: source.join(directory.as_ref().map_or("", |path| path.value.as_str())),
        format: table.choice("format", FORMATS).unwrap_or(ValueFormat::Plain),
        extension,
        version_suffix: suffix.to_owned(),
        permissions: table.choice("permissions", &permissions).unwrap_or_default(),
        key: password(source, table, "key"),
        pem_password: password(source, table, "pem_password"),
        lease: lease(source, table),
    };
    check_sealing_key(source, table, options.format, options.key.as_ref());
    directory.map(|_| StoreConfig::Volume(options))
}

fn environment(
    source: &Source<'_>,
    table: &Table<'_>,
    realm: Option<&Realm>,
) -> Option<StoreConfig> {
    if realm.is_some() {
        let text = "an environment store is global: variables know no realm";
        source.error_with("realm_not_allowed", text, "take `realm` out", table.key_span("realm"));
    }
    let options = EnvironmentOptions {
        format: table.choice("format", FORMATS).unwrap_or(ValueFormat::Base64),
        key: password(source, table, "key"),
        pem_password: password(source, table, "pem_password"),
        lease: lease(source, table),
    };
    check_sealing_key(source, table, options.format, options.key.as_ref());
    Some(StoreConfig::Environment(options))
}

fn lease(source: &Source<'_>, table: &Table<'_>) -> Option<Duration> {
    table.string("lease").and_then(|text| duration(source, &text))
}

fn check_sealing_key(
    source: &Source<'_>,
    table: &Table<'_>,
    format: ValueFormat,
    key: Option<&PasswordSource>,
) {
    let sealed = matches!(
        format,
        ValueFormat::EncryptedBase64 | ValueFormat::EncryptedPem | ValueFormat::EncryptedPlain
    );
    if sealed && key.is_none() {
        let text = "an encrypted format needs `key`, what the values are sealed under";
        let help = "add key = { file = \"…\" } or key = { label = \"…\" }";
        source.error_with("missing_key", text, help, table.span());
    }
}

fn dotted(source: &Source<'_>, table: &Table<'_>, key: &'static str) -> String {
    let Some(text) = table.string(key) else { return String::new() };
    let rest = text.value.strip_prefix('.');
    let plain = rest.is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    if !text.value.is_empty() && !plain {
        let shown = format!("\"{}\" is no file name extension", text.value.escape_debug());
        let help = "write a dot and letters: \".txt\"";
        source.error_with("bad_extension", shown, help, text.location.span.clone());
    }
    text.value
}

/// `{ label = "…" }`, `{ env = "…" }` or `{ file = "…" }`.
fn password(source: &Source<'_>, table: &Table<'_>, key: &'static str) -> Option<PasswordSource> {
    let value = table.value(key)?;
    let help = "write { label = \"…\" }, { env = \"…\" } or { file = \"…\" }";
    if value.get_ref().as_str().is_some() {
        let text = format!("`{key}` is written into the configuration");
        source.error_with("password_in_clear", text, help, value.span());
        return None;
    }
    let Some(map) = value.get_ref().as_table() else {
        wrong_type(source, value, &format!("`{key}`"), "a table");
        return None;
    };
    let inner = Table::new(source, map, format!("`{key}`"), value.span());
    let label = inner.parsed::<LabelName>("label", "bad_label");
    let env = inner.filled("env");
    let file = inner.filled("file");
    inner.finish();
    let sources = [
        label.map(|label| PasswordSource::Label(label.value)),
        env.map(|name| PasswordSource::Env(name.value)),
        file.map(|path| PasswordSource::File(source.join(&path.value))),
    ];
    let mut found = sources.into_iter().flatten();
    let (first, second) = (found.next(), found.next());
    if (first.is_none() && map.is_empty()) || second.is_some() {
        let text = format!("`{key}` needs exactly one of label, env and file");
        source.error_with("bad_password_source", text, help, value.span());
        return None;
    }
    first
}

fn read_mappings(source: &Source<'_>, table: &Table<'_>, kind: Option<Kind>) -> Vec<Mapping> {
    let Some(mappings) = table.table("mappings", "mappings") else { return Vec::new() };
    if matches!(kind, Some(Kind::Environment | Kind::Volume)) {
        let text = "a volume or environment store takes no mappings";
        let help = "the names of its files or variables are the labels";
        source.error_with("mappings_not_allowed", text, help, table.key_span("mappings"));
        return Vec::new();
    }
    mappings.entries().into_iter().filter_map(|(key, value)| mapping(source, &key, value)).collect()
}

fn mapping(source: &Source<'_>, key: &Placed<String>, value: Value<'_>) -> Option<Mapping> {
    let label = parse_name::<LabelName>(source, key, "bad_label");
    let name = format!("the mapping of \"{}\"", key.value.escape_debug());
    let (items, rows) = if let Some(map) = value.get_ref().as_table() {
        let inner = Table::new(source, map, name.clone(), value.span());
        if inner.value("aliases").is_none() {
            let text = format!("{name} needs `aliases`");
            source.error_with("missing_key", text, "add aliases = [\"…\"]", value.span());
        }
        let items = inner.list("aliases");
        let rows = algorithms(source, &inner);
        inner.finish();
        (items?, rows)
    } else if let Some(array) = value.get_ref().as_array() {
        (array.iter().collect(), None)
    } else {
        wrong_type(source, value, &name, "a list of aliases");
        return None;
    };
    if items.is_empty() {
        let text = format!("{name} has no alias");
        let help = "list at least one alias; the first acts. To unmap the label, delete the line";
        source.error_with("empty_mapping", text, help, value.span());
        return None;
    }
    let mut seen = HashSet::new();
    let mut aliases = Vec::new();
    for item in items {
        let Some(alias) = mapped_alias(source, item) else { continue };
        if seen.insert(alias.alias.value.as_str().to_lowercase()) {
            aliases.push(alias);
        } else {
            let text = format!("{name} lists \"{}\" twice", alias.alias.value);
            source.error_with("repeated_alias", text, "keep the first", item.span());
        }
    }
    Some(Mapping { label: label?, aliases, algorithms: rows })
}

fn mapped_alias(source: &Source<'_>, item: Value<'_>) -> Option<MappedAlias> {
    let (text, kid) = if let Some(map) = item.get_ref().as_table() {
        let inner = Table::new(source, map, "an alias", item.span());
        let text = inner.required("alias", "\"…\"");
        let kid = inner.string("kid").filter(|kid| {
            let fits = (1..=128).contains(&kid.value.len());
            if !fits {
                let span = kid.location.span.clone();
                source.error_with("bad_kid", "a kid has 1 to 128 bytes", "shorten it", span);
            }
            fits
        });
        inner.finish();
        (text?, kid.map(|kid| kid.value))
    } else {
        let text = as_string(source, item, "an alias")?;
        (Placed { value: text, location: source.location(item.span()) }, None)
    };
    let alias = parse_name::<Alias>(source, &text, "bad_alias")?;
    Some(MappedAlias { alias, kid })
}
