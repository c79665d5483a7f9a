//! `[rotation."…"]`: when a label rotates by itself, and what its next key is like.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::alg::Curve;
use crate::catalogue::{self, LabelUse, Rotation};
use crate::clock::rfc3339;
use crate::config::reader::{Source, Table, parse_name, suggest, wrong_type};
use crate::config::values::duration;
use crate::config::{Config, Placed};
use crate::error::{Error, ErrorKind, Result};
use crate::label::{Alias, LabelName, Realm};
use crate::stores::StoreConfig;

/// `[rotation."LABEL"]`: off unless it is there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Schedule {
    /// `period`: how long an alias acts.
    pub period: Duration,
    /// `overlap`: how long an alias stays after it acted; absent: as long as its tokens may live.
    pub overlap: Option<Duration>,
    /// `propagation`: how long before it acts a key is staged; never less than the gate asks for.
    pub propagation: Option<Duration>,
    /// `alias`: the name of the next key, `{date}` or `{month}` in it.
    pub alias: AliasPattern,
    /// `type`, as of `claviger generate`; absent: as the active key is.
    pub key_type: Option<&'static str>,
    /// `bits`.
    pub bits: Option<usize>,
    /// `curve`.
    pub curve: Option<Curve>,
    /// `days`: how long the certificate is valid; default 825.
    pub days: u32,
    /// `realm`: the mapping of this realm alone; absent: every mapping of the label.
    pub realm: Option<Realm>,
}

/// The name of the next key: text with a date in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AliasPattern(String);

impl AliasPattern {
    /// The alias of a key that is made at `time`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if the whole is no alias.
    pub fn at(&self, time: SystemTime) -> Result<Alias> {
        let date = rfc3339(time);
        let part = |length: usize| date.get(..length).unwrap_or_default();
        self.0.replace("{date}", part(10)).replace("{month}", part(7)).parse()
    }

    fn parse(text: &str) -> Result<Self> {
        if !text.contains("{date}") && !text.contains("{month}") {
            return Err(Error::new(ErrorKind::Usage, "the alias of each key would be the same")
                .with_help("write {date} or {month} in it: \"es256-{date}\""));
        }
        let pattern = Self(text.to_owned());
        pattern.at(SystemTime::UNIX_EPOCH).map(|_| pattern)
    }
}

const TYPES: &[(&str, &str)] = &[
    ("rsa", "rsa"),
    ("ec", "ec"),
    ("ed25519", "ed25519"),
    ("ed448", "ed448"),
    ("x25519", "x25519"),
    ("x448", "x448"),
    ("aes", "aes"),
    ("hmac", "hmac"),
    ("password", "password"),
];

const CURVES: &[(&str, Curve)] = &[
    ("P-256", Curve::P256),
    ("P-384", Curve::P384),
    ("P-521", Curve::P521),
    ("secp256k1", Curve::Secp256k1),
];

pub(super) fn read(
    source: &Source<'_>,
    table: Option<Table<'_>>,
) -> BTreeMap<LabelName, Placed<Schedule>> {
    let mut schedules = BTreeMap::new();
    for (key, value) in table.iter().flat_map(Table::entries) {
        let Some(label) = parse_name::<LabelName>(source, &key, "bad_label") else { continue };
        let name = format!("[rotation.\"{}\"]", label.value);
        let Some(map) = value.get_ref().as_table() else {
            wrong_type(source, value, &name, "a table");
            continue;
        };
        let table = Table::new(source, map, name, key.location.span.clone());
        let Some(schedule) = read_one(source, table) else { continue };
        let label = catalogue::canonical(&label.value);
        schedules.insert(label, Placed { value: schedule, location: key.location });
    }
    schedules
}

/// Every key is asked for before the answer, so that all of them are known.
fn read_one(source: &Source<'_>, table: Table<'_>) -> Option<Schedule> {
    let period = table.required("period", "\"90d\"").and_then(|text| duration(source, &text));
    let time = |key| table.string(key).and_then(|text| duration(source, &text));
    let (overlap, propagation) = (time("overlap"), time("propagation"));
    let alias = table.required("alias", "\"es256-{date}\"").and_then(|text| {
        let parsed = AliasPattern::parse(&text.value);
        parsed
            .map_err(|error| {
                let help = error.help().unwrap_or("an alias is 1 to 255 characters").to_owned();
                let (message, span) = (error.message().to_owned(), text.location.span.clone());
                source.error_with("bad_alias_pattern", message, help, span);
            })
            .ok()
    });
    let key_type = table.choice("type", TYPES);
    let bits = table.number("bits", 64..8_193).and_then(|bits| usize::try_from(bits).ok());
    let curve = table.choice("curve", CURVES);
    if curve.is_some() && key_type.is_some_and(|one| one != "ec") {
        let help = "take `curve` out, or set type = \"ec\"";
        source.error_with(
            "curve_without_ec",
            "`curve` is of EC keys",
            help,
            table.key_span("curve"),
        );
    }
    let days = table.number("days", 1..36_501).and_then(|days| u32::try_from(days).ok());
    let realm = table.parsed::<Realm>("realm", "bad_realm").map(|realm| realm.value);
    table.finish();
    Some(Schedule {
        period: period?,
        overlap,
        propagation,
        alias: alias?,
        key_type,
        bits,
        curve,
        days: days.unwrap_or(825),
        realm,
    })
}

/// What must hold between a schedule and the rest.
pub(super) fn check(source: &Source<'_>, config: &Config) {
    for (label, placed) in &config.rotation {
        let (schedule, span) = (&placed.value, placed.location.span.clone());
        let report = |code: &'static str, text: String, help: String| {
            source.error_with(code, text, help, span.clone());
        };
        if config.keyring.state_dir.is_none() {
            report(
                "schedule_without_state_dir",
                format!("label \"{label}\" rotates by itself, and nothing is recorded"),
                "add state_dir = \"state\" to [keyring]: the journal says when each alias began to act".into(),
            );
        }
        let mode = catalogue::find(label).map(|found| found.spec.rotation);
        if mode == Some(Rotation::None) {
            report(
                "must_not_rotate",
                format!(
                    "label \"{label}\" must not rotate: what was made with its secret would be lost"
                ),
                "take the schedule out".into(),
            );
        }
        if is_of_others(config, label) {
            report(
                "keys_of_others",
                format!(
                    "label \"{label}\" rotates by itself, and its keys are those of others, who make them"
                ),
                "take the schedule out".into(),
            );
        }
        if let Some(text) = unmapped(config, label, schedule) {
            let names: Vec<&str> = config
                .stores
                .iter()
                .flat_map(|store| &store.mappings)
                .map(|mapping| mapping.label.value.as_str())
                .collect();
            let help =
                suggest(label.as_str(), &names).filter(|near| *near != label.as_str()).map_or_else(
                    || "map it in [stores.NAME.mappings], or take the schedule out".to_owned(),
                    |near| format!("did you mean \"{near}\"?"),
                );
            report("unmapped_label", text, help);
        }
        let lead = schedule.propagation.or_else(|| {
            let of_label = config.labels.get(label).and_then(|one| one.value.propagation);
            of_label.or(config.policy.propagation)
        });
        let lead = lead.unwrap_or(config.policy.jwks_max_age);
        if schedule.period <= lead {
            report(
                "period_too_short",
                format!("label \"{label}\" would rotate before its next key is known"),
                format!("set a period longer than {}", crate::clock::spoken(lead)),
            );
        }
    }
}

/// Whether a label only verifies or trusts: no key that is made here is of any use to it.
fn is_of_others(config: &Config, label: &LabelName) -> bool {
    let declared = config.labels.get(label).and_then(|settings| settings.value.uses.as_ref());
    let of_catalogue = || catalogue::find(label).map(|found| found.spec.uses.as_slice());
    let uses = declared.map(|uses| uses.value.as_slice()).or_else(of_catalogue);
    let reads = |one: &LabelUse| matches!(one, LabelUse::Trust | LabelUse::Verify);
    uses.is_some_and(|uses| !uses.is_empty() && uses.iter().all(reads))
}

/// Why no mapping is meant. Volumes hold what their files are called.
fn unmapped(config: &Config, label: &LabelName, schedule: &Schedule) -> Option<String> {
    let mut fitting = config
        .stores
        .iter()
        .filter(|store| schedule.realm.is_none() || store.realm == schedule.realm);
    let maps = fitting.any(|store| {
        let listed = |one: &super::Mapping| catalogue::canonical(&one.label.value) == *label;
        matches!(store.options, StoreConfig::Volume(_)) || store.mappings.iter().any(listed)
    });
    let realm = schedule.realm.as_ref();
    let place = realm.map_or_else(String::new, |realm| format!(" in realm \"{realm}\""));
    (!maps).then(|| format!("label \"{label}\" has a schedule, and no store maps it{place}"))
}
