//! The figures of a keyring, read when they are asked for: snapshot, keys, certificates, horizons, budgets.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::clock::to_unix;
use crate::crypto::certificate;
use crate::keyring::Keyring;
use crate::label::Realm;
use crate::ops::{KeySet, LabelKey};
use crate::rotation::{KeyLife, Lives};
use crate::service::readiness::{Readiness, Reason};
use crate::usage::{Act, Horizon};

/// Reads a keyring at each scrape.
pub(super) struct Figures {
    keyring: Keyring,
    readiness: Arc<Readiness>,
}

impl Figures {
    pub(super) const fn new(keyring: Keyring, readiness: Arc<Readiness>) -> Self {
        Self { keyring, readiness }
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

/// A key under a label, and what is known of it.
struct Row {
    names: Vec<(&'static str, String)>,
    phase: &'static str,
    life: KeyLife,
    not_after: Option<i64>,
}

impl Row {
    fn new(lives: &Lives, realm: Option<&Realm>, set: &KeySet, key: &LabelKey) -> Self {
        let life = lives.of_key(set, key);
        let leaf = key.key.chain().first();
        let names = vec![
            ("label", set.label().to_string()),
            ("realm", realm.map_or_else(String::new, ToString::to_string)),
            ("alias", key.alias.to_string()),
            ("kid", set.shown_kid(key).unwrap_or_default().to_owned()),
        ];
        let not_after = leaf.and_then(|der| certificate::facts(der).ok()).map(|one| one.not_after);
        Self { names, phase: life.phase.name(), life, not_after }
    }

    fn with(&self, name: &'static str, value: &str) -> Vec<(&'static str, String)> {
        let mut names = self.names.clone();
        names.push((name, value.to_owned()));
        names
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let keyring = &self.keyring;
        let status = keyring.status();
        let gauge = |value: i64| ConstGauge::new(value);
        let mut one = |name: &str, help: &str, value: i64| {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            gauge(value).encode(metric)
        };
        let generation = i64::try_from(status.generation).unwrap_or(i64::MAX);
        one("snapshot_generation", "Counts the snapshots, from 1", generation)?;
        let help = "When the snapshot that serves was taken";
        one("snapshot_loaded_timestamp_seconds", help, seconds(status.loaded_at))?;
        let help = "1 if what lies on disk is refused and an older snapshot serves";
        one("reload_is_refused", help, i64::from(status.refused.is_some()))?;
        let help = "1 for the content that serves: equal where the same keys serve";
        let mut metric =
            encoder.encode_descriptor("snapshot_content", help, None, MetricType::Gauge)?;
        gauge(1).encode(metric.encode_family(&[("content", status.content.as_str())])?)?;
        let help = "1 for each reason for which the service is not ready";
        let mut metric = encoder.encode_descriptor("not_ready", help, None, MetricType::Gauge)?;
        let reasons = self.readiness.reasons();
        for reason in Reason::ALL {
            let holds = gauge(i64::from(reasons.contains(&reason)));
            holds.encode(metric.encode_family(&[("reason", reason.name())])?)?;
        }
        let rows = rows(keyring);
        encode_keys(&mut encoder, &rows)
    }
}

fn rows(keyring: &Keyring) -> Vec<Row> {
    let lives = Lives::read(keyring).unwrap_or_else(|error| {
        log::warn!("figures without the state directory: {error}");
        Lives::unread(keyring)
    });
    let snapshot = keyring.snapshot();
    let sets = snapshot.labels().into_iter();
    sets.flat_map(|((_, realm), set)| {
        let lives = &lives;
        set.keys().iter().map(move |key| Row::new(lives, realm, set, key))
    })
    .collect()
}

fn encode_keys(encoder: &mut DescriptorEncoder<'_>, rows: &[Row]) -> Result<(), fmt::Error> {
    let mut family =
        |name: &str, help: &str, value: &dyn Fn(&Row) -> Option<i64>| -> Result<(), fmt::Error> {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for row in rows {
                if let Some(value) = value(row) {
                    ConstGauge::new(value).encode(metric.encode_family(&row.names)?)?;
                }
            }
            Ok(())
        };
    let help = "When the certificate of a key ends";
    family("certificate_not_after_timestamp_seconds", help, &|row| row.not_after)?;
    let help = "Until when something that a key made may be alive";
    family("key_horizon_timestamp_seconds", help, &|row| match row.life.horizon {
        Horizon::Until(second) => i64::try_from(second).ok(),
        Horizon::Nothing | Horizon::Unknown(_) => None,
    })?;
    let limited = |row: &Row| row.life.report.message_limit > 0 && row.life.report.messages > 0;
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let help = "Messages that a key encrypted under random nonces";
    family("key_messages", help, &|row| limited(row).then(|| count(row.life.report.messages)))?;
    let help = "How many messages it may encrypt under random nonces";
    family("key_messages_limit", help, &|row| {
        limited(row).then(|| count(row.life.report.message_limit))
    })?;
    let mut metric = encoder.encode_descriptor(
        "key",
        "1 for each key, with its phase",
        None,
        MetricType::Gauge,
    )?;
    for row in rows {
        let names = row.with("phase", row.phase);
        ConstGauge::new(1_i64).encode(metric.encode_family(&names)?)?;
    }
    let help = "What was done with each key, as the state directory keeps it";
    let metric = encoder.encode_descriptor("key_operations", help, None, MetricType::Counter)?;
    encode_operations(metric, rows)
}

fn encode_operations(mut metric: MetricEncoder<'_>, rows: &[Row]) -> Result<(), fmt::Error> {
    for row in rows {
        for act in &Act::ALL {
            let done = row.life.report.count(*act);
            if done > 0 {
                let names = row.with("operation", name_of(*act));
                ConstCounter::new(done).encode(metric.encode_family(&names)?)?;
            }
        }
    }
    Ok(())
}

const fn name_of(act: Act) -> &'static str {
    match act {
        Act::Decrypted => "decrypt",
        Act::Encrypted => "encrypt",
        Act::Signed => "sign",
        Act::Verified => "verify",
    }
}

fn seconds(time: SystemTime) -> i64 {
    i64::try_from(to_unix(time)).unwrap_or(i64::MAX)
}
