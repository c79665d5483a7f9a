//! When the certificate of the service ends that is in files; those of labels are told with their keys.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::tls::FileIdentity;

/// The identity that listeners show, once there are some.
pub(super) type Shown = Arc<OnceLock<Arc<FileIdentity>>>;

/// Reads it at each scrape.
#[derive(Debug)]
pub(super) struct Figures(pub(super) Shown);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(end) = self.0.get().and_then(|identity| identity.not_after().ok()) else {
            return Ok(());
        };
        let help = "When the certificate of the service ends, where it is one of files";
        let name = "server_certificate_not_after_timestamp_seconds";
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(end).encode(metric)
    }
}
