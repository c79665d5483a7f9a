//! Reads `claviger.toml`: form first, every problem at once.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::alg::Algorithm;
use crate::catalogue::{self, JwkAlg, LabelUse, Publish};
use crate::config::reader::{
    Source, Table, Value, as_string, number, parse_name, suggest, wrong_type,
};
use crate::config::values::{algorithm, algorithms, duration};
use crate::config::{
    Config, DemoKeys, KeyringSettings, KidMode, LabelSettings, Placed, Policy, Reload, TokenLimits,
    TraceSettings, UnknownKid, ValidSet, access, rotation, rules, service, sessions, stores,
};
use crate::error::{Error, ErrorKind, Result};
use crate::label::LabelName;
use crate::problem::{Problem, Severity};

/// A larger file is no configuration: 10^5 labels take about 8 MiB.
const MAX_BYTES: u64 = 16 << 20;

impl Config {
    /// Reads and checks the form of a configuration file.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with every problem.
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_text(&Self::read_text(path)?, path)
    }

    /// As [`Config::load`], of a text that was read; `file` is what it is to be called.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] with every problem.
    pub fn from_text(text: &str, file: &Path) -> Result<Self> {
        let (config, problems) = Self::parse(text, file);
        let errors = problems.iter().filter(|one| one.severity == Severity::Error).count();
        match config {
            Some(config) if errors == 0 => Ok(config),
            _ => Err(Error::from_problems(
                format!(
                    "{} has {errors} error{}",
                    file.display(),
                    if errors == 1 { "" } else { "s" }
                ),
                problems,
            )
            .with_file(file)),
        }
    }

    /// The text of a configuration file, without a byte order mark.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is not there, is too large or is not UTF-8; [`ErrorKind::Io`] if it cannot
    /// be read.
    pub fn read_text(path: &Path) -> Result<String> {
        let text = Self::read_unaltered(path)?;
        Ok(without_mark(&text).to_owned())
    }

    /// The text of a configuration file as it stands.
    pub(crate) fn read_unaltered(path: &Path) -> Result<String> {
        let cannot_read = |kind: ErrorKind, why: String| {
            Error::new(kind, format!("cannot read {}: {why}", path.display())).with_file(path)
        };
        let unreadable = |why: String| {
            cannot_read(ErrorKind::Config, why)
                .with_help("`claviger init` makes a working starter; -c FILE names another file")
        };
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => unreadable(error.to_string()),
            _ => cannot_read(ErrorKind::Io, error.to_string())
                .with_help("check who may read the file and its folders"),
        };
        let facts = std::fs::metadata(path).map_err(failed)?;
        if !facts.is_file() {
            return Err(unreadable("it is no regular file".into()));
        }
        if facts.len() > MAX_BYTES {
            return Err(unreadable("it is larger than 16 MiB".into()));
        }
        let bytes = std::fs::read(path).map_err(failed)?;
        String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".into()))
    }

    /// Where journal and usage live, as far as a text says so that may have any error: for who reads the journal
    /// or writes down that the configuration does not load.
    #[must_use]
    pub fn state_dir_of(text: &str, file: &Path) -> Option<PathBuf> {
        let source = Source::new(file, text);
        let (root, _) = DeTable::parse_recoverable(text);
        let root = Table::new(&source, root.get_ref(), "the file", 0..0);
        read_keyring(&source, root.table("keyring", "[keyring]")).state_dir
    }

    /// Reads a configuration from text; `file` names it in problems and is what relative paths start
    /// from. A configuration comes back even with errors, so that stores can be checked as well; its
    /// warnings are among the problems.
    #[must_use]
    pub fn parse(text: &str, file: &Path) -> (Option<Self>, Vec<Problem>) {
        let source = Source::new(file, text);
        let (root, errors) = DeTable::parse_recoverable(text);
        let broken = syntax_errors(&source, &errors);
        let syntax = source.take_problems();
        let root = Table::new(&source, root.get_ref(), "the file", 0..0);
        let keyring = read_keyring(&source, root.table("keyring", "[keyring]"));
        let policy = read_policy(&source, root.table("policy", "[policy]"));
        let trace = read_trace(&source, root.table("trace", "[trace]"), &keyring);
        let labels = read_labels(&source, root.table("labels", "[labels]"));
        let schedules = rotation::read(&source, root.table("rotation", "[rotation]"));
        let stores = stores::read(&source, root.table("stores", "[stores]"));
        let sessions = root.table("sessions", "[sessions]");
        let sessions = sessions::read(&source, sessions, &labels, &stores);
        let access = access::read(&source, &root, &labels, &stores);
        let service = service::read(&source, root.table("service", "[service]"));
        root.finish();
        let mut config = Self {
            file: file.to_owned(),
            keyring,
            policy,
            rotation: schedules,
            sessions,
            trace,
            access,
            service,
            stores,
            labels,
            warnings: Vec::new(),
        };
        rules::check(&source, &config);
        rotation::check(&source, &config);
        let mut problems = source.take_problems();
        if broken {
            problems.retain(|problem| !follows_from(problem, &syntax));
        }
        problems.extend(syntax);
        problems.sort_by_key(Problem::order);
        config.warnings =
            problems.iter().filter(|one| one.severity == Severity::Warning).cloned().collect();
        ((!broken).then_some(config), problems)
    }
}

/// Reports what TOML itself finds; whether any of it leaves parts of the file unread.
fn syntax_errors(source: &Source<'_>, errors: &[toml::de::Error]) -> bool {
    let mut seen = HashSet::new();
    let mut broken = false;
    for error in errors {
        let message = error.message().lines().next().unwrap_or("not TOML");
        let span = error.span().unwrap_or(0..0);
        // A hundred brackets left open are one mistake.
        if !seen.insert((message.to_owned(), span.start)) {
            continue;
        }
        let twice = message.contains("duplicate");
        broken |= !twice;
        let code = if twice { "duplicate_key" } else { "syntax_error" };
        source.error_with(code, message.to_owned(), syntax_help(message), span);
    }
    broken
}

fn syntax_help(message: &str) -> String {
    if message.contains("duplicate") {
        return "keep one of the two: a later one never overrides".into();
    }
    if message.contains("recursion limit") {
        return "nest less: no key of this file is deeper than four tables".into();
    }
    if message.contains("quoted") {
        return "write text in quotes: key = \"value\"".into();
    }
    message.split_once(", expected ").map_or_else(
        || "write it as TOML: key = \"value\", [table], key = [\"a\", \"b\"]".into(),
        |(_, wanted)| format!("write {wanted} here"),
    )
}

/// Whether a problem may come of what TOML left unread: something absent, or on a broken line.
fn follows_from(problem: &Problem, syntax: &[Problem]) -> bool {
    let absent = ["missing_key", "no_stores", "empty_list", "empty_mapping", "bad_password_source"];
    let line = |one: &Problem| one.location.as_ref().map(|place| place.line);
    absent.contains(&problem.code)
        || syntax.iter().any(|error| line(error).is_some() && line(error) == line(problem))
}

/// Some editors begin files with a byte order mark.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn read_keyring(source: &Source<'_>, table: Option<Table<'_>>) -> KeyringSettings {
    let mut settings =
        KeyringSettings { state_dir: None, reload: Reload::Watch, kid: KidMode::default() };
    let Some(table) = table else { return settings };
    settings.state_dir = table.filled("state_dir").map(|path| source.join(&path.value));
    if let Some(text) = table.string("reload") {
        settings.reload = match text.value.as_str() {
            "off" => Reload::Off,
            "watch" => Reload::Watch,
            _ => duration(source, &text).map_or(Reload::Watch, Reload::Poll),
        };
    }
    settings.kid = table.choice("kid", KID_MODES).unwrap_or_default();
    table.finish();
    settings
}

fn read_trace(
    source: &Source<'_>,
    table: Option<Table<'_>>,
    keyring: &KeyringSettings,
) -> TraceSettings {
    let mut settings = TraceSettings::default();
    let Some(table) = table else { return settings };
    settings.record = table.bool("record").unwrap_or(false);
    if let Some(bytes) = table.number("max_bytes", 65_536..(1 << 30) + 1) {
        settings.max_bytes = bytes;
    }
    if let Some(files) = table.number("max_files", 1..1_001) {
        settings.max_files = u32::try_from(files).unwrap_or(settings.max_files);
    }
    if settings.record && keyring.state_dir.is_none() {
        let text = "`record` of [trace] needs a place";
        let help = "add state_dir = \"state\" to [keyring]";
        source.error_with("trace_without_state_dir", text, help, table.key_span("record"));
    }
    table.finish();
    settings
}

const KID_MODES: &[(&str, KidMode)] =
    &[("rfc7638", KidMode::Rfc7638), ("am", KidMode::Am), ("alias", KidMode::Alias)];

fn read_policy(source: &Source<'_>, table: Option<Table<'_>>) -> Policy {
    let mut policy = Policy::default();
    let Some(table) = table else { return policy };
    let to_usize = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    if let Some(bits) = table.number("min_rsa_bits", 2048..8193) {
        policy.min_rsa_bits = to_usize(bits);
    }
    if let Some(rows) = table.list("legacy") {
        policy.legacy = rows.into_iter().filter_map(|row| legacy(source, row)).collect();
    }
    if let Some(days) = table.list("expiry_warn_days") {
        let name = "`expiry_warn_days` of [policy]";
        policy.expiry_warn_days = days
            .into_iter()
            .filter_map(|day| number(source, day, name, 0..3651))
            .filter_map(|day| u32::try_from(day).ok())
            .collect();
    }
    let demo = [("allow", DemoKeys::Allow), ("refuse", DemoKeys::Refuse), ("warn", DemoKeys::Warn)];
    policy.demo_keys = table.choice("demo_keys", &demo).unwrap_or_default();
    policy.allow_short_hmac_keys = table.bool("allow_short_hmac_keys").unwrap_or(false);
    if let Some(messages) = table.number("gcm_messages", 1..(1 << 32) + 1) {
        policy.gcm_messages = messages;
    }
    let period = |key| table.string(key).and_then(|text| duration(source, &text));
    policy.jwks_max_age = period("jwks_max_age").unwrap_or(policy.jwks_max_age);
    let alg = [("each", JwkAlg::Each), ("none", JwkAlg::None), ("single", JwkAlg::Single)];
    policy.jwks_alg = table.choice("jwks_alg", &alg).unwrap_or_default();
    policy.clock_skew = period("clock_skew").unwrap_or(policy.clock_skew);
    policy.propagation = period("propagation");
    if let Some(limits) = table.table("limits", "[policy.limits]") {
        read_limits(&limits, &mut policy.limits);
        limits.finish();
    }
    table.finish();
    policy
}

fn read_limits(table: &Table<'_>, limits: &mut TokenLimits) {
    let size = |key, range, slot: &mut usize| {
        if let Some(value) = table.number(key, range) {
            *slot = usize::try_from(value).unwrap_or(*slot);
        }
    };
    size("max_token_bytes", 1024..1_048_577, &mut limits.max_token_bytes);
    size("max_header_bytes", 256..65_537, &mut limits.max_header_bytes);
    size("max_json_depth", 4..65, &mut limits.max_json_depth);
    size("max_signatures", 1..257, &mut limits.max_signatures);
    size("max_recipients", 1..257, &mut limits.max_recipients);
    size("max_inflated_bytes", 1024..16_777_217, &mut limits.max_inflated_bytes);
    size("max_kid_bytes", 0..65_537, &mut limits.max_kid_bytes);
    size("max_tries", 1..1025, &mut limits.max_tries);
    if let Some(count) = table.number("max_p2c", 1..10_000_001) {
        limits.max_p2c = u32::try_from(count).unwrap_or(limits.max_p2c);
    }
}

/// A row that is off.
fn legacy(source: &Source<'_>, value: Value<'_>) -> Option<&'static Algorithm> {
    let row = algorithm(source, value)?;
    if row.status == crate::alg::Status::On {
        let text = format!("\"{row}\" is on by itself");
        source.report(
            Problem::warning("not_legacy", text).with_help("take it out of `legacy`"),
            value.span(),
        );
    }
    Some(row)
}

fn read_labels(
    source: &Source<'_>,
    table: Option<Table<'_>>,
) -> BTreeMap<LabelName, Placed<LabelSettings>> {
    let mut labels = BTreeMap::new();
    for (key, value) in table.iter().flat_map(Table::entries) {
        let Some(label) = parse_name::<LabelName>(source, &key, "bad_label") else { continue };
        let name = format!("[labels.\"{}\"]", label.value);
        let Some(map) = value.get_ref().as_table() else {
            wrong_type(source, value, &name, "a table");
            continue;
        };
        let settings = read_label(source, Table::new(source, map, name, key.location.span.clone()));
        let name = catalogue::canonical(&label.value);
        if labels.contains_key(&name) {
            let text = format!("label \"{name}\" is declared twice, in its two spellings");
            let span = key.location.span.clone();
            source.error_with("duplicate_key", text, "keep one of the two", span);
            continue;
        }
        labels.insert(name, Placed { value: settings, location: key.location });
    }
    labels
}

fn read_label(source: &Source<'_>, table: Table<'_>) -> LabelSettings {
    let settings = LabelSettings {
        uses: read_uses(source, &table),
        algorithms: algorithms(source, &table),
        max_token_lifetime: table
            .string("max_token_lifetime")
            .and_then(|text| duration(source, &text)),
        valid: table
            .choice("valid", &[("realm-only", ValidSet::RealmOnly), ("union", ValidSet::Union)])
            .unwrap_or_default(),
        unknown_kid: table
            .choice(
                "unknown_kid",
                &[("reject", UnknownKid::Reject), ("try-all", UnknownKid::TryAll)],
            )
            .unwrap_or_default(),
        max_tries: table.number("max_tries", 1..1025).and_then(|tries| usize::try_from(tries).ok()),
        zip: table.bool("zip").unwrap_or(false),
        kid: table.choice("kid", KID_MODES),
        publish: table.choice(
            "publish",
            &[("active", Publish::Active), ("all", Publish::All), ("none", Publish::None)],
        ),
        propagation: table.string("propagation").and_then(|text| duration(source, &text)),
    };
    table.finish();
    settings
}

fn read_uses(source: &Source<'_>, table: &Table<'_>) -> Option<Placed<Vec<LabelUse>>> {
    let value = table.value("use")?;
    let one = [value];
    let listed: Option<Vec<Value<'_>>> =
        value.get_ref().as_array().map(|array| array.iter().collect());
    let items: &[Value<'_>] = listed.as_deref().unwrap_or(&one);
    if items.is_empty() {
        source.error_with("empty_list", "`use` is empty", "name one: use = \"sign\"", value.span());
    }
    let mut uses: Vec<LabelUse> = items.iter().flat_map(|item| read_use(source, item)).collect();
    uses.sort();
    uses.dedup();
    Some(Placed { value: uses, location: source.location(value.span()) })
}

/// One word of `use`: what it stands for, nothing if it is none.
fn read_use(source: &Source<'_>, item: Value<'_>) -> Vec<LabelUse> {
    let Some(text) = as_string(source, item, "`use`") else { return Vec::new() };
    match LabelUse::ALL.iter().find(|one| one.name() == text) {
        // A label that acts one way checks the other way too, as every label of the catalogue.
        Some(LabelUse::Sign) => vec![LabelUse::Sign, LabelUse::Verify],
        Some(LabelUse::Encrypt) => vec![LabelUse::Encrypt, LabelUse::Decrypt],
        Some(found) => vec![*found],
        None => {
            let names: Vec<&str> = LabelUse::ALL.iter().map(|one| one.name()).collect();
            let shown = format!("\"{}\" is no use of a label", text.escape_debug());
            let help = suggest(&text, &names).map_or_else(
                || format!("use one of {}", names.join(", ")),
                |near| format!("did you mean \"{near}\"?"),
            );
            source.error_with("unknown_value", shown, help, item.span());
            Vec::new()
        }
    }
}
