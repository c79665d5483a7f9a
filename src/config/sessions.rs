//! `[sessions]`: how client-side sessions are put together, and how long they live.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use crate::config::reader::{Source, Table, as_string, suggest};
use crate::config::values::duration;
use crate::config::{LabelSettings, Placed, StoreEntry};
use crate::label::LabelName;

/// A label of the catalogue that client-side sessions use.
#[derive(Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SessionLabel {
    /// As `[sessions]` names it: the end of the label's name.
    pub name: &'static str,
    /// The label.
    pub label: LabelName,
}

impl SessionLabel {
    /// Those that sign: first what is small and fast, and nobody but us can check.
    #[must_use]
    pub fn signing() -> &'static [Self] {
        &SIGNING
    }

    /// Those that encrypt.
    #[must_use]
    pub fn encryption() -> &'static [Self] {
        &ENCRYPTION
    }
}

/// `[sessions]`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the keys of the table")]
pub struct SessionSettings {
    /// `signing`: of these labels the first that is mapped signs, all of them verify; empty: not signed.
    /// Default: all of them.
    pub signing: Vec<&'static SessionLabel>,
    /// `encryption`, in the same way.
    pub encryption: Vec<&'static SessionLabel>,
    /// `order`: what is done first.
    pub order: SessionOrder,
    /// `zip`: whether claims are compressed before they are encrypted; default false. The label must allow it.
    pub zip: bool,
    /// `absolute`: how long a session lives; default two hours.
    pub absolute: Duration,
    /// `idle`: how long nobody may use it; default 30 minutes; `None`: `"off"`.
    pub idle: Option<Duration>,
    /// `issuer`: which deployment this is, for those that share keys.
    pub issuer: Option<String>,
    /// `cookie`: the cookie's name, which counts for its size; default `session`.
    pub cookie: String,
}

/// `sessions.order`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the values of the setting")]
pub enum SessionOrder {
    /// Encrypted, and the result signed.
    EncryptThenSign,
    /// Signed, and the result encrypted.
    #[default]
    SignThenEncrypt,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            signing: SessionLabel::signing().iter().collect(),
            encryption: SessionLabel::encryption().iter().collect(),
            order: SessionOrder::default(),
            zip: false,
            absolute: Duration::from_secs(2 * 3_600),
            idle: Some(Duration::from_secs(30 * 60)),
            issuer: None,
            cookie: "session".into(),
        }
    }
}

pub(super) fn read(
    source: &Source<'_>,
    table: Option<Table<'_>>,
    labels: &BTreeMap<LabelName, Placed<LabelSettings>>,
    stores: &[StoreEntry],
) -> SessionSettings {
    let mut settings = SessionSettings::default();
    let Some(table) = table else { return settings };
    if let Some(labels) = read_labels(source, &table, "signing", SessionLabel::signing()) {
        settings.signing = labels;
    }
    if let Some(labels) = read_labels(source, &table, "encryption", SessionLabel::encryption()) {
        settings.encryption = labels;
    }
    settings.order = table.choice("order", ORDERS).unwrap_or_default();
    settings.zip = table.bool("zip").unwrap_or(false);
    if let Some(time) = table.string("absolute").and_then(|text| duration(source, &text)) {
        settings.absolute = time;
    }
    if let Some(text) = table.string("idle") {
        settings.idle =
            if text.value == "off" { None } else { duration(source, &text).or(settings.idle) };
    }
    settings.issuer = table.filled("issuer").map(|text| text.value);
    if let Some(text) = table.filled("cookie") {
        settings.cookie = text.value;
    }
    if let Some(why) = settings.flaw() {
        let help = "name labels: signing = [\"HMAC\"], encryption = [\"AES\"]";
        source.error_with("unsafe_sessions", why, help, table.span());
    }
    if settings.zip {
        for label in uncompressed(&settings, labels, stores) {
            let text = format!("`zip` of [sessions] needs label \"{label}\" to allow it");
            let help = format!("write zip = true under [labels.\"{label}\"], or take it out here");
            source.error_with("zip_not_allowed", text, help, table.key_span("zip"));
        }
    }
    table.finish();
    settings
}

/// The labels that are mapped to encrypt sessions and allow no compression.
fn uncompressed<'s>(
    settings: &'s SessionSettings,
    labels: &BTreeMap<LabelName, Placed<LabelSettings>>,
    stores: &[StoreEntry],
) -> Vec<&'s LabelName> {
    let mapped = |label: &LabelName| {
        let mut mappings = stores.iter().flat_map(|store| &store.mappings);
        mappings.any(|mapping| mapping.label.value == *label)
    };
    let allows = |label: &LabelName| labels.get(label).is_some_and(|one| one.value.zip);
    let asked = settings.encryption.iter().map(|one| &one.label);
    asked.filter(|label| mapped(label) && !allows(label)).collect()
}

impl SessionSettings {
    /// What keeps these settings from protecting anything.
    #[must_use]
    pub fn flaw(&self) -> Option<&'static str> {
        let public = self.encryption.iter().any(|label| label.name == RSA);
        match (self.signing.is_empty(), self.encryption.is_empty()) {
            (true, true) => Some("sessions that are neither signed nor encrypted protect nothing"),
            (true, false) if public => {
                Some("sessions that are not signed need AES: everybody may encrypt to an RSA key")
            }
            _ => None,
        }
    }
}

fn read_labels(
    source: &Source<'_>,
    table: &Table<'_>,
    key: &'static str,
    known: &'static [SessionLabel],
) -> Option<Vec<&'static SessionLabel>> {
    let mut found: Vec<&SessionLabel> = Vec::new();
    for value in table.list(key)? {
        let Some(name) = as_string(source, value, "a label of sessions") else { continue };
        match known.iter().find(|one| one.name == name) {
            Some(one) if found.contains(&one) => {
                let text = format!("`{key}` of [sessions] names \"{name}\" twice");
                source.error_with("repeated_label", text, "keep the first", value.span());
            }
            Some(one) => found.push(one),
            None => {
                let names: Vec<&str> = known.iter().map(|one| one.name).collect();
                let text = format!("`{key}` of [sessions] knows no \"{}\"", name.escape_debug());
                let help = suggest(&name, &names).map_or_else(
                    || format!("use some of {}", names.join(", ")),
                    |near| format!("did you mean \"{near}\"?"),
                );
                source.error_with("unknown_value", text, help, value.span());
            }
        }
    }
    Some(found)
}

const ORDERS: &[(&str, SessionOrder)] = &[
    ("encrypt-then-sign", SessionOrder::EncryptThenSign),
    ("sign-then-encrypt", SessionOrder::SignThenEncrypt),
];

const RSA: &str = "RSA";

static SIGNING: LazyLock<Vec<SessionLabel>> =
    LazyLock::new(|| labels("signing", &["HMAC", "ES256", "ES384", "ES512", RSA]));
static ENCRYPTION: LazyLock<Vec<SessionLabel>> =
    LazyLock::new(|| labels("encryption", &["AES", RSA]));

#[expect(clippy::expect_used, reason = "names of ours; a test reads them")]
fn labels(use_of: &str, names: &[&'static str]) -> Vec<SessionLabel> {
    let label = |name: &str| {
        let label = format!("am.global.services.session.clientbased.{use_of}.{name}");
        label.parse().expect("a well-formed label")
    };
    names.iter().map(|name| SessionLabel { name, label: label(name) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    #[test]
    fn every_label_is_one_of_the_catalogue() {
        let all = SessionLabel::signing().iter().chain(SessionLabel::encryption());
        let mut seen = 0;
        for one in all {
            let found = catalogue::find(&one.label).unwrap();
            assert_eq!(found.spec.home, catalogue::Home::Session, "{}", one.label);
            seen += 1;
        }
        // The other two are the deprecated ones, to which these fall back.
        let home = catalogue::all().iter().filter(|spec| spec.home == catalogue::Home::Session);
        assert_eq!(home.filter(|spec| !spec.deprecated).count(), seen);
    }
}
